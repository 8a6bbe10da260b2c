//! Pictures of people for the screens: photographs made into I420.

use crate::frame::I420;
use crate::units::Resolution;

/// Who the other side is.
pub fn astronaut() -> I420 {
    photograph(include_bytes!("../../../tests/ui/astronaut.jpg"))
}

/// Who we are.
pub fn cat() -> I420 {
    photograph(include_bytes!("../../../tests/ui/cat.jpg"))
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
