//! Other sizes of a picture. Called by the encoder's thread (smaller pictures when the network or the processor
//! is short) and by the y4m writer (one size per file).

use crate::frame::{FramePool, I420};
use crate::units::Resolution;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Keeps the filter's tables and memory between pictures.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// `image` at size `to`, filling it whatever its shape: one pass over the three planes.
    pub fn scale(&mut self, image: &I420, to: Resolution, pool: &FramePool) -> I420 {
        let mut scaled = pool.take(to);
        let from = image.resolution();
        let (source, target) = (image.planes(), scaled.planes_mut());
        self.plane(source.0, from, target.0, to);
        self.plane(source.1, from.chroma(), target.1, to.chroma());
        self.plane(source.2, from.chroma(), target.2, to.chroma());
        scaled
    }

    /// `image` as large as it fits into `to` without a change of shape, centred, the rest black.
    pub fn letterbox(&mut self, image: &I420, to: Resolution, pool: &FramePool) -> I420 {
        let from = image.resolution();
        let factor =
            (f64::from(to.width) / f64::from(from.width)).min(f64::from(to.height) / f64::from(from.height));
        let side = |from: u32, to: u32| ((f64::from(from) * factor).round() as u32).clamp(2, to.max(2)) & !1;
        let inner = Resolution::new(side(from.width, to.width), side(from.height, to.height));
        let scaled = self.scale(image, inner, pool);
        let mut boxed = pool.take(to);
        let (y, u, v) = boxed.planes_mut();
        y.fill(16);
        u.fill(128);
        v.fill(128);
        // Even offsets keep luma and chroma together.
        let (left, top) = (((to.width - inner.width) / 2) & !1, ((to.height - inner.height) / 2) & !1);
        place(scaled.y(), inner, y, to, left, top);
        place(scaled.u(), inner.chroma(), u, to.chroma(), left / 2, top / 2);
        place(scaled.v(), inner.chroma(), v, to.chroma(), left / 2, top / 2);
        boxed
    }

    fn plane(&mut self, source: &[u8], from: Resolution, target: &mut [u8], to: Resolution) {
        let source = ImageRef::new(from.width, from.height, source, PixelType::U8)
            .expect("a plane has width times height bytes");
        let mut target = Image::from_slice_u8(to.width, to.height, target, PixelType::U8)
            .expect("a plane has width times height bytes");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options).expect("both planes hold bytes");
    }
}

fn place(source: &[u8], from: Resolution, target: &mut [u8], to: Resolution, left: u32, top: u32) {
    let rows = target.chunks_exact_mut(to.width as usize).skip(top as usize);
    for (source, target) in source.chunks_exact(from.width as usize).zip(rows) {
        target[left as usize..][..from.width as usize].copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp from left to right, with one colour.
    fn ramp(resolution: Resolution) -> I420 {
        let mut image = I420::black(resolution);
        let width = resolution.width;
        let (y, u, v) = image.planes_mut();
        for (index, pixel) in y.iter_mut().enumerate() {
            *pixel = (index as u32 % width * 200 / width + 20) as u8;
        }
        u.fill(90);
        v.fill(200);
        image
    }

    #[test]
    fn a_ramp_stays_a_ramp_at_every_size() {
        let pool = FramePool::default();
        let mut scaler = Scaler::default();
        for (from, to) in [((1280, 720), (640, 360)), ((64, 48), (320, 180)), ((5, 3), (2, 2))] {
            let (from, to) = (Resolution::new(from.0, from.1), Resolution::new(to.0, to.1));
            let scaled = scaler.scale(&ramp(from), to, &pool);
            assert_eq!(scaled.resolution(), to);
            assert!(scaled.u().iter().all(|p| *p == 90) && scaled.v().iter().all(|p| *p == 200));
            let row = &scaled.y()[..to.width as usize];
            assert!(row.is_sorted(), "{from} to {to}: {row:?}");
        }
    }

    #[test]
    fn a_letterbox_is_black_outside_and_keeps_the_shape() {
        let pool = FramePool::default();
        let mut white = I420::black(Resolution::new(320, 240));
        white.planes_mut().0.fill(235);
        let boxed = Scaler::default().letterbox(&white, Resolution::new(640, 360), &pool);
        let row = &boxed.y()[180 * 640..][..640];
        assert_eq!(row.iter().filter(|p| **p == 235).count(), 480);
        assert_eq!((row[79], row[80], row[559], row[560]), (16, 235, 235, 16));
        let tall = Scaler::default().letterbox(&white, Resolution::new(320, 480), &pool);
        assert_eq!((tall.y()[119 * 320], tall.y()[120 * 320], tall.y()[360 * 320]), (16, 235, 16));
    }
}
