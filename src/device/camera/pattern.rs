//! The `pattern` camera: colour bars, a ball that flies through the picture, a frame counter, the clock, and the
//! barcode of the clock ([`super::barcode`]).
//!
//! It stands in for a webcam wherever there is none: most of the picture rests and has some texture, a part
//! moves. The resting part is painted once; per picture it is copied and the rest drawn over it. It runs on the
//! thread that asks for pictures.

use super::{barcode, font};
use crate::device::pace::Pace;
use crate::device::{DeviceError, PictureRequest, VideoSource};
use crate::frame::{FramePool, I420, RawFrame};
use crate::units::Resolution;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Y, U, V of the eight bars, 75 %: white, yellow, cyan, green, magenta, red, blue, black.
pub const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

/// After a stall longer than this the clock of the pictures starts anew.
const TOLERANCE: Duration = Duration::from_millis(100);

pub(super) struct Pattern {
    painter: Painter,
    pool: FramePool,
    pace: Pace,
    request: PictureRequest,
}

impl Pattern {
    pub fn new(request: PictureRequest) -> Self {
        let fps = u64::from(request.fps.clamp(1, 240));
        Self {
            painter: Painter::new(request.resolution),
            pool: FramePool::default(),
            pace: Pace::new(Instant::now(), fps, 1, TOLERANCE),
            request,
        }
    }
}

impl VideoSource for Pattern {
    fn next_frame(&mut self, timeout: Duration) -> Result<Option<Arc<RawFrame>>, DeviceError> {
        if self.pace.wait(timeout).is_none() {
            return Ok(None);
        }
        let captured_at = Instant::now();
        let mut image = self.pool.take(self.request.resolution);
        self.painter.paint(&mut image, SystemTime::now());
        Ok(Some(Arc::new(RawFrame { image, captured_at })))
    }

    fn name(&self) -> &str {
        "Test pattern"
    }

    fn format(&self) -> Option<(Resolution, f64)> {
        Some((self.request.resolution, f64::from(self.request.fps)))
    }
}

/// Paints the pictures of one size, one after another.
pub struct Painter {
    background: I420,
    ball: Ball,
    /// Pixels per dot of the writing.
    dot: usize,
    number: u64,
}

impl Painter {
    /// How long the ball takes to fly from side to side and back, in pictures.
    const PERIOD: f64 = 120.0;

    pub fn new(resolution: Resolution) -> Self {
        let dot = (resolution.height / 60).min(resolution.width / 80).max(1) as usize;
        Self { background: background(resolution), ball: Ball::new(resolution), dot, number: 0 }
    }

    /// Paints the next picture over whatever is in `image`, which has this painter's size.
    pub fn paint(&mut self, image: &mut I420, time: SystemTime) {
        let (from, to) = (self.background.planes(), image.planes_mut());
        to.0.copy_from_slice(from.0);
        to.1.copy_from_slice(from.1);
        to.2.copy_from_slice(from.2);
        let angle = self.number as f64 * TAU / Self::PERIOD;
        self.ball.draw(image, 0.5 + 0.5 * angle.sin(), 0.5 + 0.5 * (angle * 1.7).cos());
        let of_day = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() % 86_400_000;
        let (seconds, ms) = (of_day / 1000, of_day % 1000);
        let clock = format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.write(image, &format!("#{:06}", self.number), 2);
        self.write(image, &clock, 1);
        barcode::draw(image, barcode::clock(time));
        self.number += 1;
    }

    /// Writes a line on black, the given number of lines above the lower edge.
    fn write(&self, image: &mut I420, text: &str, line: usize) {
        let (dot, resolution) = (self.dot, image.resolution());
        let (width, height) = (resolution.width as usize, resolution.height as usize);
        let (cell, line_height) = ((font::WIDTH + 1) * dot, (9 * dot) & !1);
        let Some(top) = height.checked_sub(line * line_height + 2 * dot).map(|top| top & !1) else { return };
        let left = (2 * dot) & !1;
        let right = (left + text.len() * cell).min(width);
        let chroma_width = resolution.chroma().width as usize;
        let (y, u, v) = image.planes_mut();
        for row in y.chunks_exact_mut(width).skip(top).take(line_height) {
            row[left.min(right)..right].fill(16);
        }
        for plane in [u, v] {
            for row in plane.chunks_exact_mut(chroma_width).skip(top / 2).take(line_height / 2) {
                row[(left / 2).min(right / 2)..right / 2].fill(128);
            }
        }
        for (place, character) in text.bytes().enumerate() {
            for (row, bits) in font::rows(character).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits >> (font::WIDTH - 1 - column) & 1 == 1) {
                    let x = left + place * cell + dot / 2 + column * dot;
                    let rows = y.chunks_exact_mut(width).skip(top + (row + 1) * dot).take(dot);
                    rows.for_each(|row| row[x.min(width)..(x + dot).min(width)].fill(235));
                }
            }
        }
    }
}

/// The resting part: bars above, a textured wall below.
fn background(resolution: Resolution) -> I420 {
    let mut image = I420::black(resolution);
    let (width, height) = (resolution.width as usize, resolution.height as usize);
    let (chroma_width, chroma_height) =
        (resolution.chroma().width as usize, resolution.chroma().height as usize);
    let bars_end = (height / 2) & !1;
    let (y, u, v) = image.planes_mut();
    for (row, pixels) in y.chunks_exact_mut(width).enumerate() {
        for (column, pixel) in pixels.iter_mut().enumerate() {
            *pixel = if row < bars_end {
                BARS[column * 8 / width][0]
            } else {
                let light = 60 + column * 90 / width + (row - bars_end) * 40 / height;
                (light + usize::from(texture(column / 3, row / 3) % 12)) as u8
            };
        }
    }
    for row in 0..chroma_height {
        for column in 0..chroma_width {
            let at = row * chroma_width + column;
            [u[at], v[at]] = if row * 2 < bars_end {
                let [_, u, v] = BARS[column * 8 / chroma_width];
                [u, v]
            } else {
                [(118 + column * 16 / chroma_width) as u8, (136 - row * 12 / chroma_height) as u8]
            };
        }
    }
    image
}

/// A number for a place that looks random and is always the same.
fn texture(x: usize, y: usize) -> u8 {
    let mixed = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    (mixed.wrapping_mul(0xc2b2_ae3d) >> 24) as u8
}

/// The ball, painted once: rows of pixels and how far each row reaches from the middle.
struct Ball {
    radius: usize,
    luma: Vec<u8>,
}

impl Ball {
    fn new(resolution: Resolution) -> Self {
        let radius = ((resolution.height.min(resolution.width) as usize / 6) & !1).max(2);
        let side = 2 * radius;
        let luma = (0..side * side)
            .map(|at| {
                let (x, y) = (at % side, at / side);
                let shade = 200.0 - 110.0 * ((x + y) as f64 / (2 * side) as f64);
                let stripe = if ((x + y / 2) * 8 / side).is_multiple_of(2) { 20 } else { 0 };
                (shade as u8) + stripe + texture(x / 2, y / 2) % 10
            })
            .collect();
        Self { radius, luma }
    }

    /// Draws it at this place of its way, each coordinate from 0 to 1.
    fn draw(&self, image: &mut I420, across: f64, down: f64) {
        let resolution = image.resolution();
        let (width, height) = (resolution.width as usize, resolution.height as usize);
        let (side, strip) = (2 * self.radius, barcode::strip_height(resolution));
        let (Some(room_x), Some(room_y)) = (width.checked_sub(side), height.checked_sub(side + strip)) else {
            return;
        };
        let left = (across * room_x as f64) as usize & !1;
        let top = (strip + (down * room_y as f64) as usize) & !1;
        let chroma_width = resolution.chroma().width as usize;
        let (y, u, v) = image.planes_mut();
        for row in 0..side {
            let reach = self.reach(row);
            let (from, to) = (self.radius - reach, self.radius + reach);
            y[(top + row) * width + left..][from..to].copy_from_slice(&self.luma[row * side..][from..to]);
            if row % 2 == 0 {
                let start = (top + row) / 2 * chroma_width + left / 2;
                u[start..][from / 2..to / 2].fill(104);
                v[start..][from / 2..to / 2].fill(160);
            }
        }
    }

    /// Half the width of a row, even.
    fn reach(&self, row: usize) -> usize {
        let radius = self.radius as f64;
        let off = row as f64 + 0.5 - radius;
        (radius * radius - off * off).max(0.0).sqrt() as usize & !1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paint(painter: &mut Painter, resolution: Resolution, at_ms: u64) -> I420 {
        let mut image = FramePool::default().take(resolution);
        image.planes_mut().0.fill(99);
        painter.paint(&mut image, UNIX_EPOCH + Duration::from_millis(at_ms));
        image
    }

    #[test]
    fn pictures_move_and_carry_their_time() {
        let resolution = Resolution::new(640, 360);
        let mut painter = Painter::new(resolution);
        let pictures: Vec<_> = (0..10).map(|n| paint(&mut painter, resolution, 1000 + n * 33)).collect();
        for (n, picture) in pictures.iter().enumerate() {
            assert_eq!(barcode::read(picture.y(), resolution), Some(1000 + n as u32 * 33));
        }
        let changed = |a: &I420, b: &I420| a.y().iter().zip(b.y()).filter(|(a, b)| a != b).count();
        for pair in pictures.windows(2) {
            let share = changed(&pair[0], &pair[1]) as f64 / resolution.area() as f64;
            assert!((0.02..0.3).contains(&share), "{share} of the picture changed");
        }
    }

    #[test]
    fn the_counter_counts_and_the_bars_have_their_colours() {
        let mut painter = Painter::new(Resolution::HD);
        let first = paint(&mut painter, Resolution::HD, 0);
        let second = paint(&mut painter, Resolution::HD, 0);
        // The last digit of the counter turns from 0 to 1: its lower left corner goes dark, its foot lights up.
        let (dot, line) = (12, 720 - 2 * (9 * 12) - 2 * 12);
        let at =
            |x: usize, y: usize| (line + (y + 1) * dot + 5) * 1280 + 2 * dot + 6 * 6 * dot + x * dot + 11;
        assert_eq!((first.y()[at(0, 3)], second.y()[at(0, 3)]), (235, 16));
        assert_eq!((first.y()[at(2, 1)], second.y()[at(2, 1)]), (16, 235));
        for (bar, [y, u, v]) in BARS.into_iter().enumerate() {
            let column = bar * 160 + 4;
            assert_eq!(first.y()[80 * 1280 + column], y);
            assert_eq!((first.u()[40 * 640 + column / 2], first.v()[40 * 640 + column / 2]), (u, v));
        }
    }

    #[test]
    fn any_size_is_painted() {
        for (width, height) in [(2, 2), (3, 3), (17, 9), (4096, 2), (2, 4096), (641, 481), (80, 60)] {
            let resolution = Resolution::new(width, height);
            let mut painter = Painter::new(resolution);
            for n in 0..130 {
                let picture = paint(&mut painter, resolution, n);
                // 99 is what was there before, and a brightness that the pattern may have, but not everywhere.
                let left = picture.y().iter().filter(|luma| **luma == 99).count() as u64;
                assert!(4 * left <= resolution.area(), "{resolution}: {left} pixels are not painted");
            }
        }
    }

    #[test]
    fn the_source_gives_the_asked_size_and_waits_no_longer_than_told() {
        let request = PictureRequest { resolution: Resolution::new(320, 180), fps: 1 };
        let mut source = Pattern::new(request);
        let picture = source.next_frame(Duration::ZERO).unwrap().unwrap();
        assert_eq!(picture.image.resolution(), request.resolution);
        assert!(source.next_frame(Duration::ZERO).unwrap().is_none());
    }
}
