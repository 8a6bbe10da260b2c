//! The pictures that the tests of the video codecs encode.

use super::VideoEncoder;
use crate::frame::{I420, RawFrame};
use crate::units::Resolution;
use std::time::{Duration, Instant};

pub const SIZE: Resolution = Resolution::new(320, 180);
pub const FPS: u32 = 30;

/// A textured background with a detailed square that moves over it, and a little noise: like a camera's picture.
fn scene(number: u32, resolution: Resolution) -> I420 {
    let mut image = I420::black(resolution);
    let (width, height) = (resolution.width, resolution.height);
    let side = height / 3;
    let (left, top) = ((number * 3) % (width - side), (number * 2) % (height - side));
    let mut random = 0x9e37_79b9_u32.wrapping_add(number);
    let (y, u, v) = image.planes_mut();
    for (index, pixel) in y.iter_mut().enumerate() {
        let (x, row) = (index as u32 % width, index as u32 / width);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let base = 60 + (x * 60 / width) + (row * 40 / height) + ((x / 9 + row / 7) % 2) * 12;
        let inside = (left..left + side).contains(&x) && (top..top + side).contains(&row);
        let detail = if inside { 60 + ((x - left) / 3 % 2) * 25 + ((row - top) / 4 % 2) * 20 } else { 0 };
        *pixel = (base + detail + (random >> 30)) as u8;
    }
    for (index, pixel) in u.iter_mut().enumerate() {
        *pixel = 110 + (index as u32 % width.div_ceil(2) * 40 / width) as u8;
    }
    v.fill(140);
    image
}

/// Of the luma planes, in dB.
pub fn psnr(a: &I420, b: &I420) -> f64 {
    assert_eq!(a.resolution(), b.resolution());
    let squares: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.y().len() as f64 / squares.max(1) as f64).log10()
}

/// Pictures of [`scene`], [`FPS`] a second.
pub struct Camera {
    number: u32,
    start: Instant,
    pub resolution: Resolution,
}

impl Camera {
    pub fn new(resolution: Resolution) -> Self {
        Self { number: 0, start: Instant::now(), resolution }
    }
    pub fn next(&mut self) -> RawFrame {
        self.number += 1;
        let captured_at = self.start + Duration::from_secs(1) * self.number / FPS;
        RawFrame { image: scene(self.number, self.resolution), captured_at }
    }
}

/// Encodes `count` pictures and gives their rate.
pub fn rate(encoder: &mut dyn VideoEncoder, camera: &mut Camera, count: u32) -> u64 {
    let mut bits = 0;
    for _ in 0..count {
        let encoded = encoder.encode(&camera.next(), false).unwrap();
        bits += encoded.map_or(0, |frame| {
            assert!(!frame.keyframe, "no keyframe unless asked for");
            8 * frame.data.len() as u64
        });
    }
    bits * u64::from(FPS) / u64::from(count)
}
