//! The clock in the picture: 40 black and white cells over the full width of the top twelfth, which survive the
//! encoder and tell how old a picture is wherever it is seen.
//!
//! 32 bits of wall clock in milliseconds modulo 2^32, most significant first, then 8 check bits. Drawn by the
//! `pattern` camera; read by the benchmarks and tests at the other end of a call.

use crate::frame::I420;
use crate::units::Resolution;
use std::time::{SystemTime, UNIX_EPOCH};

const CELLS: u64 = 40;
const WHITE: u8 = 235;
const BLACK: u8 = 16;

/// The wall clock as the barcode carries it.
pub fn clock(time: SystemTime) -> u32 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u32
}

/// Milliseconds from `earlier` to `later`, both clock values.
pub fn elapsed_ms(earlier: u32, later: u32) -> i32 {
    later.wrapping_sub(earlier) as i32
}

/// Height of the strip in pixels: even, so that its chroma rows are its own.
pub fn strip_height(resolution: Resolution) -> usize {
    ((f64::from(resolution.height) / 24.0).round() as usize * 2).min(resolution.height as usize)
}

/// Draws `value` over the top of the picture.
pub fn draw(picture: &mut I420, value: u32) {
    let resolution = picture.resolution();
    let (width, strip) = (resolution.width as usize, strip_height(resolution));
    let chroma = resolution.chroma().width as usize * (strip / 2);
    let (y, u, v) = picture.planes_mut();
    u[..chroma].fill(128);
    v[..chroma].fill(128);
    let Some((first, others)) = y[..width * strip].split_at_mut_checked(width) else { return };
    let bits = u64::from(value) << 8 | u64::from(check(value));
    for cell in 0..CELLS {
        let edge = |cell: u64| ((cell as f64 * width as f64 / CELLS as f64).round() as usize).min(width);
        let white = bits >> (CELLS - 1 - cell) & 1 == 1;
        first[edge(cell)..edge(cell + 1)].fill(if white { WHITE } else { BLACK });
    }
    for row in others.chunks_exact_mut(width) {
        row.copy_from_slice(first);
    }
}

/// Reads the value from the luma plane of a picture of this size; `None` if there is none or it is damaged.
pub fn read(luma: &[u8], resolution: Resolution) -> Option<u32> {
    let width = u64::from(resolution.width);
    if width < CELLS || resolution.height < 24 {
        return None;
    }
    let top = 2 * (f64::from(resolution.height) / 48.0).round().max(1.0) as usize;
    let row = luma.get(top * width as usize..)?.get(..width as usize)?;
    let mut bits = 0u64;
    for cell in 0..CELLS {
        // The edges of a cell are blurred by the encoder; the middle counts.
        let from = ((cell * 10 + 3) * width / (CELLS * 10)) as usize;
        let to = (((cell * 10 + 7) * width / (CELLS * 10)) as usize).max(from + 1);
        let sum: u64 = row[from..to].iter().map(|pixel| u64::from(*pixel)).sum();
        bits = bits << 1 | u64::from(sum > 127 * (to - from) as u64);
    }
    let value = (bits >> 8) as u32;
    (check(value) == bits as u8).then_some(value)
}

fn check(value: u32) -> u8 {
    value.to_le_bytes().iter().fold(0x5a, |check: u8, byte| (check ^ byte).rotate_left(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_back_at_every_size() {
        for size in ["1280x720", "640x360", "320x180", "641x481", "1920x1080", "160x90"] {
            let resolution: Resolution = size.parse().unwrap();
            let mut picture = I420::black(resolution);
            for value in [0, 1, 0xffff_ffff, 0xdead_beef, 0x8000_0001, 1_700_000_000] {
                draw(&mut picture, value);
                assert_eq!(read(picture.y(), resolution), Some(value), "{size} {value:x}");
            }
        }
    }

    #[test]
    fn the_layout_is_the_agreed_one() {
        let mut picture = I420::black(Resolution::HD);
        // The check of 0 is 0x5a rotated four times: 0xa5.
        draw(&mut picture, 0);
        let cells: Vec<_> = (0..40).map(|cell| picture.y()[20 * 1280 + cell * 32 + 16]).collect();
        assert!(cells[..32].iter().all(|luma| *luma == 16));
        assert_eq!(cells[32..], [235, 16, 235, 16, 16, 235, 16, 235]);
        assert_eq!(strip_height(Resolution::HD), 60);
    }

    #[test]
    fn a_picture_without_a_barcode_and_a_damaged_one_are_refused() {
        let resolution = Resolution::new(640, 360);
        let mut picture = I420::black(resolution);
        assert_eq!(read(picture.y(), resolution), None);
        draw(&mut picture, 77);
        picture.planes_mut().0[..640 * 30].chunks_mut(640).for_each(|row| row[64..80].fill(235));
        assert_eq!(read(picture.y(), resolution), None);
        assert_eq!(read(&[], resolution), None);
        assert_eq!(read(&[0; 4], Resolution::new(2, 2)), None);
    }

    #[test]
    fn small_pictures_are_drawn_without_harm() {
        for (width, height) in [(2, 2), (3, 5), (40, 12), (2, 4096)] {
            let resolution = Resolution::new(width, height);
            let mut picture = I420::black(resolution);
            draw(&mut picture, 5);
            assert!(picture.y().iter().all(|luma| [BLACK, WHITE].contains(luma)), "{resolution}");
            let below = width as usize * strip_height(resolution);
            assert!(picture.y()[below..].iter().all(|luma| *luma == BLACK), "{resolution}: only the strip");
        }
    }

    #[test]
    fn elapsed_time_survives_the_wrap() {
        assert_eq!(elapsed_ms(u32::MAX - 4, 5), 10);
        assert_eq!(elapsed_ms(5, 0), -5);
    }
}
