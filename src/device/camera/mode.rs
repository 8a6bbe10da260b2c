//! Which of a camera's modes is taken: the ranking, without any driver.

use crate::codec::convert::{self, ConvertError, MjpegDecoder, PixelOrder};
use crate::device::PictureRequest;
use crate::frame::{FramePool, I420};
use crate::units::Resolution;

/// How a camera codes its pictures; the cheaper one to convert comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PixelFormat {
    Nv12,
    Yuyv,
    Mjpeg,
    Rgb,
    Bgr,
    Grey,
}

impl PixelFormat {
    /// What converting costs, against what a size or rate that is off by a factor of two costs (1.0).
    fn cost(self) -> f64 {
        match self {
            Self::Nv12 => 0.0,
            Self::Yuyv => 0.05,
            Self::Mjpeg => 0.3,
            Self::Rgb | Self::Bgr => 0.4,
            Self::Grey => 3.0,
        }
    }
}

/// One way in which a camera can run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mode {
    pub pixels: PixelFormat,
    pub resolution: Resolution,
    pub fps: f64,
}

/// Brings the most fitting modes to the front.
pub(super) fn rank(modes: &mut Vec<Mode>, request: PictureRequest) {
    modes.retain(|mode| mode.resolution.is_valid() && mode.fps > 0.0);
    modes.sort_by(|a, b| cost(*a, request).total_cmp(&cost(*b, request)));
}

fn cost(mode: Mode, request: PictureRequest) -> f64 {
    let wanted = request.resolution;
    let size = (mode.resolution.area() as f64 / wanted.area().max(1) as f64).log2();
    // Too large costs time to shrink, too small costs sharpness.
    let size = if size > 0.0 { 1.2 * size } else { -size };
    let shape = |resolution: Resolution| f64::from(resolution.width) / f64::from(resolution.height.max(1));
    let bent = (shape(mode.resolution) / shape(wanted) - 1.0).abs() > 0.1;
    let rate = (f64::from(request.fps.max(1)) / mode.fps).log2();
    // Jerky is worse than small; faster than asked does little harm.
    let rate = if rate > 0.05 { 1.5 * rate } else { 0.1 * rate.abs() };
    let jerky = mode.fps < f64::from(request.fps.min(20));
    size + rate + mode.pixels.cost() + if bent { 0.5 } else { 0.0 } + if jerky { 1.0 } else { 0.0 }
}

/// Turns a driver's buffers into pictures.
#[derive(Default)]
pub(super) struct Converter {
    pool: FramePool,
    mjpeg: MjpegDecoder,
}

impl Converter {
    /// `stride`: bytes from one row of the first plane to the next; of no meaning for MJPEG.
    pub fn convert(
        &mut self,
        pixels: PixelFormat,
        bytes: &[u8],
        stride: usize,
        resolution: Resolution,
    ) -> Result<I420, ConvertError> {
        let pool = &self.pool;
        match pixels {
            PixelFormat::Nv12 => convert::nv12_to_i420(bytes, stride, resolution, pool),
            PixelFormat::Yuyv => convert::yuyv_to_i420(bytes, stride, resolution, pool),
            PixelFormat::Mjpeg => self.mjpeg.decode(bytes, pool),
            PixelFormat::Rgb => convert::rgb_to_i420(bytes, stride, PixelOrder::Rgb, resolution, pool),
            PixelFormat::Bgr => convert::rgb_to_i420(bytes, stride, PixelOrder::Bgr, resolution, pool),
            PixelFormat::Grey => convert::grey_to_i420(bytes, stride, resolution, pool),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PixelFormat::{Mjpeg, Nv12, Rgb, Yuyv};

    fn best(modes: &[(PixelFormat, u32, u32, f64)]) -> (PixelFormat, u32, f64) {
        let mode =
            |&(pixels, width, height, fps)| Mode { pixels, resolution: Resolution::new(width, height), fps };
        let mut modes: Vec<_> = modes.iter().map(mode).collect();
        rank(&mut modes, PictureRequest::default());
        (modes[0].pixels, modes[0].resolution.height, modes[0].fps)
    }

    #[test]
    fn the_asked_size_and_rate_wins_in_the_cheapest_coding() {
        let all = [(Mjpeg, 1280, 720, 30.0), (Yuyv, 1280, 720, 30.0), (Nv12, 1280, 720, 30.0)];
        assert_eq!(best(&all), (Nv12, 720, 30.0));
        assert_eq!(best(&all[..2]), (Yuyv, 720, 30.0));
        assert_eq!(best(&[(Rgb, 1280, 720, 30.0), (Mjpeg, 1280, 720, 30.0)]), (Mjpeg, 720, 30.0));
    }

    #[test]
    fn a_usb2_webcam_runs_in_mjpeg() {
        let modes = [
            (Yuyv, 1280, 720, 10.0),
            (Yuyv, 640, 480, 30.0),
            (Mjpeg, 1280, 720, 30.0),
            (Mjpeg, 1920, 1080, 30.0),
        ];
        assert_eq!(best(&modes), (Mjpeg, 720, 30.0));
        assert_eq!(best(&modes[..2]), (Yuyv, 480, 30.0));
    }

    #[test]
    fn near_sizes_and_rates_are_taken() {
        assert_eq!(best(&[(Yuyv, 1280, 800, 30.0), (Yuyv, 640, 360, 30.0)]).1, 800);
        assert_eq!(best(&[(Yuyv, 1280, 720, 29.97), (Yuyv, 1280, 720, 15.0)]).2, 29.97);
        assert_eq!(best(&[(Yuyv, 1280, 720, 60.0), (Yuyv, 1280, 720, 25.0)]).2, 60.0);
        assert_eq!(best(&[(Yuyv, 1280, 720, 12.5), (Yuyv, 640, 360, 40.0), (Yuyv, 320, 180, 60.0)]).1, 360);
    }

    #[test]
    fn modes_that_make_no_sense_are_left_out() {
        let mut modes = vec![
            Mode { pixels: Yuyv, resolution: Resolution::new(0, 0), fps: 30.0 },
            Mode { pixels: Yuyv, resolution: Resolution::HD, fps: 0.0 },
            Mode { pixels: Yuyv, resolution: Resolution::HD, fps: f64::NAN },
        ];
        rank(&mut modes, PictureRequest { resolution: Resolution::new(0, 0), fps: 0 });
        assert!(modes.is_empty());
    }
}
