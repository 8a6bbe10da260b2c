//! Pictures as cameras make them, from two photographs: repeatable, so that figures can be compared.

use std::time::Duration;
use std::time::Instant;
use twocan::codec::convert::MjpegDecoder;
use twocan::codec::scale::Scaler;
use twocan::frame::{FramePool, I420, RawFrame};
use twocan::units::Resolution;

const PERSON: &[u8] = include_bytes!("../ui/astronaut.jpg");
const CAT: &[u8] = include_bytes!("../ui/cat.jpg");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A person who nods and turns in front of a still room.
    Head,
    /// The camera itself is carried about: everything moves all the time.
    Walk,
}

/// Paints one picture after the other.
pub struct Scene {
    content: Content,
    resolution: Resolution,
    /// Larger than a picture, so that the view can move in it.
    large: I420,
    number: u32,
    start: Instant,
    random: u32,
}

impl Scene {
    pub fn new(content: Content, resolution: Resolution) -> Self {
        let (pool, mut scaler) = (FramePool::default(), Scaler::default());
        let photo = if content == Content::Head { PERSON } else { CAT };
        let picture = MjpegDecoder::default().decode(photo, &pool).expect("a photograph");
        let margin = |side: u32| (side * 5 / 4 + 16) & !15;
        let size = Resolution::new(margin(resolution.width), margin(resolution.height));
        let mut large = scaler.scale(&picture, size, &pool);
        sharpen(&mut large);
        Self { content, resolution, large, number: 0, start: Instant::now(), random: 1 }
    }

    /// The next picture, so many of them a second.
    pub fn next(&mut self, fps: u32) -> RawFrame {
        let seconds = f64::from(self.number) / f64::from(fps);
        self.number += 1;
        let mut image = I420::black(self.resolution);
        let (from, to) = (self.large.resolution(), self.resolution);
        let room = (f64::from(from.width - to.width), f64::from(from.height - to.height));
        let wave =
            |period: f64, phase: f64| ((seconds / period + phase) * std::f64::consts::TAU).sin() * 0.5 + 0.5;
        let sway = match self.content {
            Content::Head => (room.0 * 0.15 * wave(2.3, 0.0), room.1 * 0.15 * wave(1.1, 0.3)),
            Content::Walk => (room.0 * wave(4.0, 0.0), room.1 * wave(2.7, 0.2)),
        };
        let still = (room.0 * 0.07, room.1 * 0.07);
        let (y, u, v) = image.planes_mut();
        let planes = [(y, self.large.y(), 1), (u, self.large.u(), 2), (v, self.large.v(), 2)];
        for (plane, source, share) in planes {
            let (width, height) = (to.width as usize / share, to.height as usize / share);
            let stride = from.width as usize / share;
            for (row, line) in plane.chunks_exact_mut(width).take(height).enumerate() {
                for (column, pixel) in line.iter_mut().enumerate() {
                    // The person stands in the middle; the edge of what moves is soft.
                    let (dx, dy) = match self.content {
                        Content::Walk => sway,
                        Content::Head => {
                            let x = (column as f64 / width as f64 - 0.5) / 0.3;
                            let y = (row as f64 / height as f64 - 0.6) / 0.5;
                            let inside = (1.6 - 1.6 * (x * x + y * y)).clamp(0.0, 1.0);
                            (still.0 + (sway.0 - still.0) * inside, still.1 + (sway.1 - still.1) * inside)
                        }
                    };
                    let (x, y) = (column as f64 + dx / share as f64, row as f64 + dy / share as f64);
                    let sample = bilinear(source, stride, x, y);
                    self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let noise = if share == 1 { f64::from(self.random >> 24) / 64.0 - 2.0 } else { 0.0 };
                    *pixel = (sample + noise).clamp(0.0, 255.0) as u8;
                }
            }
        }
        RawFrame { image, captured_at: self.start + Duration::from_secs_f64(seconds) }
    }
}

fn bilinear(plane: &[u8], stride: usize, x: f64, y: f64) -> f64 {
    let (column, row) = (x as usize, y as usize);
    let (right, below) = (x - column as f64, y - row as f64);
    let at = |row: usize, column: usize| f64::from(plane[(row * stride + column).min(plane.len() - 1)]);
    let above = at(row, column) * (1.0 - right) + at(row, column + 1) * right;
    let under = at(row + 1, column) * (1.0 - right) + at(row + 1, column + 1) * right;
    above * (1.0 - below) + under * below
}

/// The photographs are smaller than the pictures: gives back some of the detail that scaling up has not.
fn sharpen(image: &mut I420) {
    let width = image.resolution().width as usize;
    let before = image.y().to_vec();
    let (y, ..) = image.planes_mut();
    for at in width + 1..before.len() - width - 1 {
        let around: i32 =
            [at - 1, at + 1, at - width, at + width].iter().map(|n| i32::from(before[*n])).sum();
        let sharp = i32::from(before[at]) * 3 - around / 2;
        y[at] = sharp.clamp(16, 235) as u8;
    }
}

/// Of the luminance, in decibels.
pub fn psnr(a: &I420, b: &I420) -> f64 {
    assert_eq!(a.resolution(), b.resolution());
    let squares: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.y().len() as f64 / squares.max(1) as f64).log10()
}
