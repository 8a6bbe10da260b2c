//! QR codes: drawn from a text, and read from a picture.
//!
//! Drawn at level M of error correction: less gives fewer and larger modules, more puts up with more damage, and none
//! is read more often than M (`tests::the_level_that_is_read_most_often`). Our codes mix small and capital letters, so
//! they are in byte mode.

use crate::frame::I420;
use qrcode::{Color, EcLevel, QrCode};

const LEVEL: EcLevel = EcLevel::M;
/// A text that is longer has no QR code (version 40, byte mode, at the lowest level).
const MAX_TEXT: usize = 2953;

/// The modules of a QR code, without the quiet zone.
#[derive(Debug, PartialEq, Eq)]
pub struct Modules {
    pub side: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// `None` if the text is too long for one.
    pub fn of(text: &str) -> Option<Self> {
        Self::with_level(text, LEVEL)
    }

    fn with_level(text: &str, level: EcLevel) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, level).ok()?;
        let side = code.width();
        let dark = code.into_colors().into_iter().map(|color| color == Color::Dark).collect();
        Some(Self { side, dark })
    }

    /// Whether the module in this column and row is dark; what is outside is light.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.side && self.dark.get(y * self.side + x).copied().unwrap_or(false)
    }
}

/// The text of the first QR code in a picture that can be read; brightness is all that counts.
pub fn read(picture: &I420) -> Option<String> {
    let size = picture.resolution();
    let (width, height) = (size.width as usize, size.height as usize);
    let luma = picture.y();
    if luma.len() < width * height {
        return None;
    }
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| luma[y * width + x]);
    let mut texts = prepared.detect_grids().into_iter().filter_map(|grid| grid.decode().ok());
    texts.find_map(|(_, text)| (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text))
}

/// A camera's picture of a code that is held straight before it.
#[cfg(test)]
pub fn picture(text: &str, resolution: crate::units::Resolution) -> I420 {
    let modules = Modules::of(text).expect("the text is short");
    let (width, height) = (resolution.width as usize, resolution.height as usize);
    let module = width.min(height) / (modules.side + 12);
    let corner = |side: usize| (side - module * modules.side) / 2;
    let mut picture = I420::black(resolution);
    for (at, luma) in picture.planes_mut().0.iter_mut().enumerate() {
        let place = |at: usize, side: usize| at.checked_sub(corner(side)).map(|at| at / module);
        let dark = place(at % width, width).zip(place(at / width, height));
        *luma = if dark.is_some_and(|(x, y)| modules.is_dark(x, y)) { 30 } else { 220 };
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Resolution;

    /// As long as an invite; what a code looks like.
    const CODE: &str = "2canACEEfGZZhKIaK6XGbII3a7Vz2qxkxOaN4u4Gqrht1GO4iO4knXqM0lcgIrIoTY6jA49qHWZQqlT85Zk1QNKP9tIxrGJVlWjajc1h6SZ3fiG0rqFj4EpAYN7jEM0zxA";

    /// How a screen looks to a camera that is held up to it.
    #[derive(Clone, Copy)]
    struct View {
        /// Pixels of the whole code with its quiet zone.
        size: f32,
        /// By how much its far edge is shorter and its near one longer, twice over.
        perspective: f32,
        /// In radians.
        turned: f32,
        /// Radius of the blur in pixels.
        blur: usize,
        /// Amplitude of the noise, of 255.
        noise: f32,
        mirrored: bool,
    }

    const STRAIGHT: View =
        View { size: 420.0, perspective: 0.0, turned: 0.0, blur: 0, noise: 0.0, mirrored: false };

    fn photograph(modules: &Modules, view: View) -> I420 {
        let size = Resolution::new(640, 480);
        let mut picture = I420::black(size);
        let (width, height) = (size.width as usize, size.height as usize);
        let across = modules.side as f32 + 8.0;
        let (sin, cos) = view.turned.sin_cos();
        let brightness = |x: f32, y: f32| {
            let (x, y) = (x - width as f32 / 2.0, y - height as f32 / 2.0);
            let (x, y) = (x * cos + y * sin, y * cos - x * sin);
            // The upper edge is farther away: everything there is drawn together.
            let slope = view.perspective / view.size;
            let y = y / (1.0 + slope * y);
            let x = x * (1.0 - slope * y);
            let x = if view.mirrored { -x } else { x };
            let (column, row) = ((x / view.size + 0.5) * across - 4.0, (y / view.size + 0.5) * across - 4.0);
            let inside = |at: f32| (-4.0..across - 4.0).contains(&at);
            match (inside(column) && inside(row), column >= 0.0 && row >= 0.0) {
                (false, _) => 60.0,
                (true, true) if modules.is_dark(column as usize, row as usize) => 40.0,
                (true, _) => 215.0,
            }
        };
        let mut sharp = vec![0.0_f32; width * height];
        for (at, pixel) in sharp.iter_mut().enumerate() {
            let (x, y) = ((at % width) as f32, (at / width) as f32);
            // Four samples a pixel: a camera's pixels have an area.
            let samples = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
            *pixel = samples.iter().map(|(dx, dy)| brightness(x + dx, y + dy)).sum::<f32>() / 4.0;
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut noise = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % 2001) as f32 / 1000.0 - 1.0
        };
        let radius = view.blur as isize;
        let luma = picture.planes_mut().0;
        for (at, pixel) in luma.iter_mut().enumerate() {
            let (x, y) = ((at % width) as isize, (at / width) as isize);
            let (mut sum, mut count) = (0.0, 0.0);
            for dy in -radius..=radius {
                for dx in -radius..=radius {
                    let (x, y) = (x + dx, y + dy);
                    if (0..width as isize).contains(&x) && (0..height as isize).contains(&y) {
                        sum += sharp[y as usize * width + x as usize];
                        count += 1.0;
                    }
                }
            }
            *pixel = (sum / count + view.noise * noise()).clamp(16.0, 235.0) as u8;
        }
        picture
    }

    fn reads(modules: &Modules, view: View) -> bool {
        read(&photograph(modules, view)).as_deref() == Some(CODE)
    }

    #[test]
    fn a_code_on_a_screen_is_read_from_the_cameras_picture() {
        let modules = Modules::of(CODE).unwrap();
        for view in [
            STRAIGHT,
            View { size: 260.0, ..STRAIGHT },
            View { turned: 0.3, ..STRAIGHT },
            View { perspective: 0.2, ..STRAIGHT },
            View { blur: 1, noise: 12.0, ..STRAIGHT },
            View { perspective: 0.15, turned: -0.2, blur: 1, noise: 12.0, size: 360.0, ..STRAIGHT },
            View { mirrored: true, ..STRAIGHT },
        ] {
            let View { size, perspective, turned, blur, noise, mirrored } = view;
            assert!(reads(&modules, view), "{size} {perspective} {turned} {blur} {noise} {mirrored}");
        }
    }

    /// Of the same views of each level, from far away, turned, with blur and noise of a 640x480 camera: how many are read.
    #[test]
    fn the_level_that_is_read_most_often() {
        let turns = [0.0, 0.07, 0.15];
        let read_of = |level| {
            let modules = Modules::with_level(CODE, level).unwrap();
            let view =
                |size: usize, turned| View { size: size as f32, blur: 1, noise: 15.0, turned, ..STRAIGHT };
            let views = (220..400).step_by(20).flat_map(|size| turns.map(|turned| view(size, turned)));
            views.filter(|view| reads(&modules, *view)).count()
        };
        let levels = [EcLevel::L, EcLevel::M, EcLevel::Q, EcLevel::H].map(read_of);
        println!("views of L, M, Q, H that are read, of 27: {levels:?}");
        let ours = read_of(LEVEL);
        // Give or take a view at the edge: M repairs more than L, which is read as often.
        assert!(levels.iter().all(|other| *other <= ours + 2), "{levels:?}");
    }

    #[test]
    fn pictures_without_a_code_are_of_no_use() {
        assert_eq!(read(&I420::black(Resolution::new(640, 480))), None);
        assert_eq!(read(&I420::black(Resolution::new(2, 2))), None);
        assert!(Modules::of(&"x".repeat(2331)).is_some() && Modules::of(&"x".repeat(2332)).is_none());
        // Noise and half a code.
        let modules = Modules::of(CODE).unwrap();
        for seed in 0..20_u8 {
            let mut picture = photograph(&modules, View { size: 300.0, ..STRAIGHT });
            let luma = picture.planes_mut().0;
            let mut random = u64::from(seed) + 1;
            let cut = luma.len() * usize::from(seed) / 40;
            for pixel in &mut luma[cut..] {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *pixel = (random >> 56) as u8;
            }
            assert!(read(&picture).is_none_or(|text| text == CODE));
        }
    }
}
