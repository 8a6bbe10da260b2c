//! One plane of a picture, scaled straight into a part of another one: halved while it is at least twice as large, then
//! bilinear. A convolution over all pixels, as for our own camera, costs four times as much with one byte for each pixel,
//! and at the size of a tile it looks no better.
//!
//! Pixels are squares, and what is compared is their middles: nothing moves when a size changes.

use crate::units::Resolution;

/// Sizes in one picture: three planes of a few kinds of tiles.
const MAX_TAPS: usize = 32;
/// Weights are of so much.
const ONE: u32 = 256;

/// Where a pixel comes from: the first of two, and the weight of the second.
type Tap = (u16, u16);

struct Taps {
    /// Pixels there were before any halving, pixels there are, and pixels there are to be.
    sizes: (u32, u32, u32),
    taps: Vec<Tap>,
}

/// Keeps its memory from one picture to the next.
#[derive(Default)]
pub(super) struct Scaling {
    halved: Vec<u8>,
    spare: Vec<u8>,
    row: Vec<u8>,
    taps: Vec<Taps>,
}

/// Pixels of a plane, without gaps between the rows.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub pixels: &'a [u8],
    pub size: Resolution,
}

/// Where to paint: `left` and `top` within rows of `stride` pixels.
pub(super) struct Canvas<'a> {
    pub pixels: &'a mut [u8],
    pub stride: u32,
    pub left: u32,
    pub top: u32,
    pub size: Resolution,
}

impl Scaling {
    /// `source` all over `canvas`, whatever its shape.
    pub fn scale(&mut self, source: Plane, canvas: &mut Canvas) {
        let to = canvas.size;
        let is_empty = |size: Resolution| size.width == 0 || size.height == 0;
        if is_empty(source.size) || is_empty(to) {
            return;
        }
        let (mut size, mut is_halved) = (source.size, false);
        while size.width >= 2 * to.width || size.height >= 2 * to.height {
            let (across, down) = (size.width >= 2 * to.width, size.height >= 2 * to.height);
            let pixels = if is_halved { &self.halved } else { source.pixels };
            size = halve(Plane { pixels, size }, across, down, &mut self.spare);
            std::mem::swap(&mut self.halved, &mut self.spare);
            is_halved = true;
        }
        if self.taps.len() + 2 > MAX_TAPS {
            self.taps.clear();
        }
        let rows = self.find((source.size.height, size.height, to.height));
        let columns = self.find((source.size.width, size.width, to.width));
        let (rows, columns) = (&self.taps[rows].taps, &self.taps[columns].taps);
        let pixels = if is_halved { &self.halved } else { source.pixels };
        bilinear(Plane { pixels, size }, canvas, rows, columns, &mut self.row);
    }

    /// The place of the taps of these sizes.
    fn find(&mut self, sizes: (u32, u32, u32)) -> usize {
        if let Some(place) = self.taps.iter().position(|taps| taps.sizes == sizes) {
            return place;
        }
        self.taps.push(Taps { sizes, taps: taps(sizes) });
        self.taps.len() - 1
    }
}

fn taps((before, now, to): (u32, u32, u32)) -> Vec<Tap> {
    // Halving an odd number leaves the last pixel out: the true size counts.
    let halvings = (0..u32::BITS).find(|halvings| before >> halvings == now).unwrap_or_default();
    let step = f64::from(before) / f64::from(1 << halvings) / f64::from(to);
    let last = f64::from(now - 1);
    let tap = |pixel: u32| {
        let place = ((f64::from(pixel) + 0.5) * step - 0.5).clamp(0.0, last);
        let weight = (place.fract() * f64::from(ONE)).round() as u32;
        if weight == ONE { (place as u16 + 1, 0) } else { (place as u16, weight as u16) }
    };
    (0..to).map(tap).collect()
}

/// Half as many pixels across, down, or both.
fn halve(source: Plane, across: bool, down: bool, into: &mut Vec<u8>) -> Resolution {
    let (width, rows) = (source.size.width as usize, source.pixels.chunks_exact(source.size.width as usize));
    let half = |side: u32, is_halved: bool| if is_halved { side / 2 } else { side };
    let size = Resolution::new(half(source.size.width, across), half(source.size.height, down));
    into.resize((size.width * size.height) as usize, 0);
    let targets = into.chunks_exact_mut(size.width as usize);
    match (across, down) {
        (true, true) => {
            for (rows, target) in source.pixels.chunks_exact(2 * width).zip(targets) {
                let (upper, lower) = rows.split_at(width);
                let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                for (target, (upper, lower)) in target.iter_mut().zip(pairs) {
                    // Both at once: words are easier to take apart than bytes.
                    let (upper, lower) =
                        (u16::from_le_bytes([upper[0], upper[1]]), u16::from_le_bytes([lower[0], lower[1]]));
                    *target = (((upper & 255) + (upper >> 8) + (lower & 255) + (lower >> 8) + 2) >> 2) as u8;
                }
            }
        }
        (true, false) => {
            for (row, target) in rows.zip(targets) {
                for (target, pair) in target.iter_mut().zip(row.chunks_exact(2)) {
                    *target = ((u16::from(pair[0]) + u16::from(pair[1])).div_ceil(2)) as u8;
                }
            }
        }
        (false, _) => {
            for (rows, target) in source.pixels.chunks_exact(2 * width).zip(targets) {
                let (upper, lower) = rows.split_at(width);
                for (target, (upper, lower)) in target.iter_mut().zip(upper.iter().zip(lower)) {
                    *target = ((u16::from(*upper) + u16::from(*lower)).div_ceil(2)) as u8;
                }
            }
        }
    }
    size
}

/// The mean of two pixels.
fn mean(first: u8, second: u8, weight: u16) -> u8 {
    let (first, second, weight) = (i32::from(first), i32::from(second), i32::from(weight));
    (first + (((second - first) * weight + ONE as i32 / 2) >> 8)) as u8
}

/// First down, then across.
fn bilinear(source: Plane, canvas: &mut Canvas, rows: &[Tap], columns: &[Tap], row: &mut Vec<u8>) {
    let width = source.size.width as usize;
    let is_as_wide = source.size.width == canvas.size.width;
    row.resize(width + 1, 0);
    let targets = canvas.pixels.chunks_exact_mut(canvas.stride as usize).skip(canvas.top as usize);
    for (target, &(at, weight)) in targets.zip(rows) {
        let upper = &source.pixels[usize::from(at) * width..][..width];
        if weight == 0 {
            row[..width].copy_from_slice(upper);
        } else {
            let lower = &source.pixels[(usize::from(at) + 1) * width..][..width];
            for (mixed, (upper, lower)) in row.iter_mut().zip(upper.iter().zip(lower)) {
                // Sixteen bits are enough, and twice as many fit into a register.
                let sum = u16::from(*upper) * (ONE as u16 - weight) + u16::from(*lower) * weight;
                *mixed = ((sum + ONE as u16 / 2) >> 8) as u8;
            }
        }
        let target = &mut target[canvas.left as usize..][..canvas.size.width as usize];
        if is_as_wide {
            target.copy_from_slice(&row[..width]);
            continue;
        }
        // The last one has a neighbour that weighs nothing.
        row[width] = row[width - 1];
        for (target, &(at, weight)) in target.iter_mut().zip(columns) {
            let pair = &row[usize::from(at)..][..2];
            *target = mean(pair[0], pair[1], weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
        let size = Resolution::new(to.0, to.1);
        let mut out = vec![0; (to.0 * to.1) as usize];
        let mut canvas = Canvas { pixels: &mut out, stride: to.0, left: 0, top: 0, size };
        Scaling::default().scale(Plane { pixels, size: Resolution::new(from.0, from.1) }, &mut canvas);
        out
    }

    #[test]
    fn every_place_keeps_its_light_at_every_size() {
        for (from, to) in [
            ((640, 360), (426, 240)),
            ((640, 360), (640, 360)),
            ((1280, 720), (150, 84)),
            ((361, 641), (100, 178)),
            ((320, 180), (1280, 720)),
            ((101, 7), (50, 7)),
            ((5, 3), (2, 2)),
            ((1, 1), (4, 2)),
        ] {
            let light = |x: f64, y: f64| 20.0 + 150.0 * x + 60.0 * y;
            let at = |size: (u32, u32), n: usize| {
                let (x, y) = (n as u32 % size.0, n as u32 / size.0);
                ((f64::from(x) + 0.5) / f64::from(size.0), (f64::from(y) + 0.5) / f64::from(size.1))
            };
            let pixels: Vec<u8> = (0..(from.0 * from.1) as usize)
                .map(|n| {
                    let (x, y) = at(from, n);
                    light(x, y).round() as u8
                })
                .collect();
            for (n, pixel) in scaled(&pixels, from, to).into_iter().enumerate() {
                let (x, y) = at(to, n);
                // At the edges there is nothing beyond the middle of the last pixel.
                let inside = |v: f64, side: u32| v.clamp(0.5 / f64::from(side), 1.0 - 0.5 / f64::from(side));
                let wanted = light(inside(x, from.0), inside(y, from.1));
                let tolerance = 1.6 + 150.0 / f64::from(from.0.min(4 * to.0));
                assert!(
                    (f64::from(pixel) - wanted).abs() <= tolerance,
                    "{from:?} to {to:?} at {n}: {pixel}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn a_fine_pattern_becomes_its_mean_and_full_light_stays_full() {
        let checks: Vec<u8> =
            (0..640 * 360).map(|n| if (n % 640 + n / 640) % 2 == 0 { 0 } else { 200 }).collect();
        assert!(scaled(&checks, (640, 360), (160, 90)).iter().all(|pixel| pixel.abs_diff(100) <= 1));
        for level in [0, 255] {
            let flat = vec![level; 640 * 360];
            for to in [(426, 240), (640, 300), (1280, 720), (100, 360)] {
                assert!(scaled(&flat, (640, 360), to).iter().all(|pixel| *pixel == level));
            }
        }
    }
}
