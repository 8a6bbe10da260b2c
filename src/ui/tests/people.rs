//! Pictures of people for the screens: photographs made into I420.

use crate::frame::I420;
use crate::units::Resolution;
use std::sync::LazyLock;

/// Who the other side is.
pub fn astronaut() -> I420 {
    static PICTURE: LazyLock<I420> =
        LazyLock::new(|| photograph(include_bytes!("../../../tests/ui/astronaut.jpg")));
    copy(&PICTURE)
}

/// Who we are.
pub fn cat() -> I420 {
    static PICTURE: LazyLock<I420> =
        LazyLock::new(|| photograph(include_bytes!("../../../tests/ui/cat.jpg")));
    copy(&PICTURE)
}

fn copy(from: &I420) -> I420 {
    let mut to = I420::black(from.resolution());
    let (wanted, given) = (to.planes_mut(), from.planes());
    wanted.0.copy_from_slice(given.0);
    wanted.1.copy_from_slice(given.1);
    wanted.2.copy_from_slice(given.2);
    to
}

/// Somebody in a group: the same two as others see them, through other cameras and in other light.
pub fn guest(number: usize) -> I420 {
    let (picture, light) = if number % 4 == 2 { (cat(), number * 5) } else { (astronaut(), number * 7) };
    // Every fifth has a phone.
    let size = if number % 5 == 2 { Resolution::new(360, 640) } else { Resolution::new(640, 360) };
    let zoom = 1.0 + (number % 4) as f32 * 0.25;
    recorded(&picture, size, zoom, number % 2 == 1, (light % 5) as i16 * 9 - 18)
}

/// What whoever mixes sends: six people in two rows.
pub fn everybody() -> I420 {
    const COLUMNS: usize = 3;
    let mut to = I420::black(Resolution::HD);
    let whole = Resolution::HD.width as usize;
    let tile = (whole / COLUMNS) & !7;
    for index in 0..2 * COLUMNS {
        let size = Resolution::new(tile as u32 - 8, (tile as u32 * 9 / 16) & !7);
        let light = (index % 5) as i16 * 9 - 18;
        let source = if index % 4 == 2 { cat() } else { astronaut() };
        let picture = recorded(&source, size, 1.0 + (index % 3) as f32 * 0.3, index % 2 == 1, light);
        let (left, top) = (tile * (index % COLUMNS), 96 + (size.height as usize + 8) * (index / COLUMNS));
        let (wanted, given) = (to.planes_mut(), picture.planes());
        let planes = [(wanted.0, given.0, 1), (wanted.1, given.1, 2), (wanted.2, given.2, 2)];
        for (out, plane, part) in planes {
            let width = size.width as usize / part;
            for (row, line) in plane.chunks_exact(width).enumerate() {
                let at = (top / part + row) * (whole / part) + left / part;
                out[at..at + width].copy_from_slice(line);
            }
        }
    }
    to
}

/// The middle of a picture, as another camera gives it.
fn recorded(from: &I420, size: Resolution, zoom: f32, mirrored: bool, light: i16) -> I420 {
    let source = from.resolution();
    let scale =
        (source.width as f32 / size.width as f32).min(source.height as f32 / size.height as f32) / zoom;
    let mut to = I420::black(size);
    let (wanted, given) = (to.planes_mut(), from.planes());
    let planes = [(wanted.0, given.0, 1), (wanted.1, given.1, 2), (wanted.2, given.2, 2)];
    for (index, (out, plane, part)) in planes.into_iter().enumerate() {
        let (width, stride) = ((size.width / part) as usize, (source.width / part) as usize);
        let height = (size.height / part) as usize;
        for (at, pixel) in out.iter_mut().enumerate() {
            let (x, y) = (at % width, at / width);
            let x = if mirrored { width - 1 - x } else { x };
            let near = |at: usize, length: usize, whole: u32| {
                let middle = (whole / part) as f32 / 2.0;
                (middle + (at as f32 - length as f32 / 2.0) * scale).clamp(0.0, (whole / part - 1) as f32)
                    as usize
            };
            let value = plane[near(y, height, source.height) * stride + near(x, width, source.width)];
            *pixel = if index == 0 { (i16::from(value) + light).clamp(16, 235) as u8 } else { value };
        }
    }
    to
}

fn photograph(jpeg: &[u8]) -> I420 {
    let mut decoder = zune_jpeg::JpegDecoder::new(std::io::Cursor::new(jpeg));
    let rgb = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    // Bilinear, up to the size of a camera's picture.
    let sample = |x: f32, y: f32| -> [f32; 3] {
        let (x, y) = (x.clamp(0.0, width as f32 - 1.001), y.clamp(0.0, height as f32 - 1.001));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (fx, fy) = (x.fract(), y.fract());
        std::array::from_fn(|channel| {
            let at = |x: usize, y: usize| f32::from(rgb[(y * width + x) * 3 + channel]);
            let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
            let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
            upper * (1.0 - fy) + lower * fy
        })
    };
    from_rgb(Resolution::HD, |x, y| {
        sample(
            (x + 0.5) * width as f32 / Resolution::HD.width as f32 - 0.5,
            (y + 0.5) * height as f32 / Resolution::HD.height as f32 - 0.5,
        )
    })
}

/// A picture whose colours come from a function of position; BT.601, limited range.
fn from_rgb(resolution: Resolution, color: impl Fn(f32, f32) -> [f32; 3]) -> I420 {
    let mut picture = I420::black(resolution);
    let (luma, blue, red) = picture.planes_mut();
    let width = resolution.width as usize;
    for (index, out) in luma.iter_mut().enumerate() {
        let [r, g, b] = color((index % width) as f32, (index / width) as f32);
        *out = (16.0 + 0.257 * r + 0.504 * g + 0.098 * b).round() as u8;
    }
    let chroma = resolution.chroma().width as usize;
    for (index, (blue, red)) in blue.iter_mut().zip(red).enumerate() {
        let at = |n: usize| n as f32 * 2.0 + 0.5;
        let [r, g, b] = color(at(index % chroma), at(index / chroma));
        *blue = (128.0 - 0.148 * r - 0.291 * g + 0.439 * b).round() as u8;
        *red = (128.0 + 0.439 * r - 0.368 * g - 0.071 * b).round() as u8;
    }
    picture
}
