//! Webcams through nokhwa: Windows (Media Foundation), macOS (AVFoundation), and on Linux the formats that
//! `v4l` leaves out.
//!
//! Everything runs on a camera thread ([`super::thread`]), because nokhwa waits without limit and may panic. Of
//! its requests only `Exact` is used: the others do not do what their names say.

use super::mode::{Converter, Mode, PixelFormat, rank};
use super::thread::{Grabber, Opened, unusable};
use crate::device::{DeviceError, DeviceKind, PictureRequest};
use crate::frame::RawFrame;
use crate::units::Resolution;
use nokhwa::utils::{CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use nokhwa::{Buffer, Camera, NokhwaError};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KIND: DeviceKind = DeviceKind::Camera;
/// How many modes are tried if the driver refuses the best one.
const TRIES: usize = 6;
/// So many errors in a row mean that the camera is gone; a single one may be a damaged picture.
const MAX_FAILURES: u32 = 10;
/// A stamp that says a picture is older than this is wrong.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How long the user may think about the system's question before this attempt counts as refused. The next
/// attempt finds the answer.
const PERMISSION_LIMIT: Duration = Duration::from_secs(3);

/// On macOS nokhwa reports 4:2:0 as YUYV, and takes NV12 for a format with ten bits.
const FORMATS: &[FrameFormat] = if cfg!(target_os = "macos") {
    &[FrameFormat::YUYV, FrameFormat::MJPEG, FrameFormat::RAWRGB, FrameFormat::RAWBGR]
} else {
    &[
        FrameFormat::NV12,
        FrameFormat::YUYV,
        FrameFormat::MJPEG,
        FrameFormat::RAWRGB,
        FrameFormat::RAWBGR,
        FrameFormat::GRAY,
    ]
};

/// Asks the system for leave to use cameras, where it wants to be asked (macOS); the user sees its question once.
pub(super) fn ask_permission() -> Result<(), DeviceError> {
    if nokhwa::nokhwa_check() {
        return Ok(());
    }
    let (answer, answered) = mpsc::sync_channel(1);
    nokhwa::nokhwa_initialize(move |granted| {
        let _ = answer.try_send(granted);
    });
    match answered.recv_timeout(PERMISSION_LIMIT) {
        Ok(true) => Ok(()),
        _ => Err(DeviceError::Denied(KIND)),
    }
}

/// A camera that nokhwa found.
#[cfg(not(target_os = "linux"))]
pub(super) struct Found {
    pub info: crate::device::DeviceInfo,
    pub index: CameraIndex,
    pub error: Option<DeviceError>,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn found() -> Vec<Found> {
    /// The cameras are listed every second; a system without any way to them is told of once.
    static TOLD: std::sync::Once = std::sync::Once::new();
    let cameras = nokhwa::query(nokhwa::utils::ApiBackend::Auto).unwrap_or_else(|error| {
        TOLD.call_once(|| tracing::warn!(%error, "the cameras could not be listed"));
        Vec::new()
    });
    let found = cameras.into_iter().map(|camera| Found {
        info: crate::device::DeviceInfo { name: camera.human_name(), detail: camera.misc() },
        index: camera.index().clone(),
        error: None,
    });
    found.collect()
}

/// The index by which nokhwa knows `/dev/videoN`.
#[cfg(target_os = "linux")]
pub(super) fn index_of(path: &std::path::Path) -> CameraIndex {
    let number = path.to_str().and_then(|path| path.strip_prefix("/dev/video")?.parse().ok());
    CameraIndex::Index(number.unwrap_or(0))
}

pub(super) fn open(
    index: &CameraIndex,
    name: String,
    request: PictureRequest,
) -> Result<Opened, DeviceError> {
    let any = RequestedFormat::with_formats(RequestedFormatType::None, FORMATS);
    let mut camera = Camera::new(index.clone(), any).map_err(|error| device_error(&error))?;
    let offered = camera.compatible_camera_formats().map_err(|error| device_error(&error))?;
    let mut modes: Vec<_> = offered.iter().filter_map(mode).collect();
    rank(&mut modes, request);
    for wanted in modes.into_iter().take(TRIES) {
        let Some(format) = offered.iter().find(|format| mode(format) == Some(wanted)) else { continue };
        let coding = [format.format()];
        let exact = RequestedFormat::with_formats(RequestedFormatType::Exact(*format), &coding);
        match camera.set_camera_requset(exact) {
            Ok(_) => break,
            Err(error) => tracing::debug!(%error, "the camera refused a mode"),
        }
    }
    camera.open_stream().map_err(|error| device_error(&error))?;
    let format = mode(&camera.camera_format()).map(|mode| (mode.resolution, mode.fps));
    tracing::debug!(?format, "the camera runs");
    let grabber = Nokhwa { camera, converter: Converter::default(), failures: 0 };
    Ok(Opened { grabber: Box::new(grabber), name, format })
}

fn mode(format: &CameraFormat) -> Option<Mode> {
    let pixels = match format.format() {
        FrameFormat::NV12 => PixelFormat::Nv12,
        FrameFormat::YUYV => PixelFormat::Yuyv,
        FrameFormat::MJPEG => PixelFormat::Mjpeg,
        FrameFormat::RAWRGB => PixelFormat::Rgb,
        FrameFormat::RAWBGR => PixelFormat::Bgr,
        FrameFormat::GRAY => PixelFormat::Grey,
    };
    let resolution = Resolution::new(format.width(), format.height());
    FORMATS.contains(&format.format()).then_some(Mode {
        pixels,
        resolution,
        fps: f64::from(format.frame_rate()),
    })
}

struct Nokhwa {
    camera: Camera,
    converter: Converter,
    /// Errors in a row.
    failures: u32,
}

impl Grabber for Nokhwa {
    fn grab(&mut self) -> Result<Option<RawFrame>, DeviceError> {
        let buffer = match self.camera.frame() {
            Ok(buffer) => buffer,
            Err(error) => {
                self.failures += 1;
                if self.failures > MAX_FAILURES || device_error(&error) == DeviceError::NotFound(KIND) {
                    tracing::debug!(%error, "the camera stopped");
                    return Err(DeviceError::Lost(KIND));
                }
                std::thread::sleep(Duration::from_millis(10));
                return Ok(None);
            }
        };
        self.failures = 0;
        let captured_at = captured_at(&buffer);
        let resolution = Resolution::new(buffer.resolution().width(), buffer.resolution().height());
        let bytes = buffer.buffer();
        let Some((pixels, stride)) = layout(buffer.source_frame_format(), bytes.len(), resolution) else {
            return Ok(None);
        };
        match self.converter.convert(pixels, bytes, stride, resolution) {
            Ok(image) => Ok(Some(RawFrame { image, captured_at })),
            Err(error) => {
                tracing::trace!(%error, "a damaged picture was left out");
                Ok(None)
            }
        }
    }
}

/// How the bytes of a picture really lie: its name of the format is not always right, and its rows may be padded.
fn layout(format: FrameFormat, length: usize, resolution: Resolution) -> Option<(PixelFormat, usize)> {
    let (width, height) = (resolution.width as usize, resolution.height as usize);
    if !resolution.is_valid() {
        return None;
    }
    // Rows only come padded on macOS; elsewhere bytes too many are at the end.
    let stride = |tight: usize, rows: usize| {
        let padded = cfg!(target_os = "macos") && length.is_multiple_of(rows) && length / rows > tight;
        if padded { length / rows } else { tight }
    };
    Some(match format {
        // 4:2:0 that nokhwa calls YUYV is too short for it.
        FrameFormat::YUYV if length < 2 * width * height => {
            (PixelFormat::Nv12, stride(width, height + height.div_ceil(2)))
        }
        FrameFormat::YUYV => (PixelFormat::Yuyv, stride(4 * width.div_ceil(2), height)),
        FrameFormat::NV12 => (PixelFormat::Nv12, stride(width, height + height.div_ceil(2))),
        FrameFormat::MJPEG => (PixelFormat::Mjpeg, 0),
        FrameFormat::RAWRGB => (PixelFormat::Rgb, stride(3 * width, height)),
        FrameFormat::RAWBGR => (PixelFormat::Bgr, stride(3 * width, height)),
        FrameFormat::GRAY => (PixelFormat::Grey, stride(width, height)),
    })
}

/// When the picture was taken, by the driver's stamp if that makes sense.
fn captured_at(buffer: &Buffer) -> Instant {
    let now = Instant::now();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = buffer.capture_timestamp().and_then(|stamp| clock.checked_sub(stamp));
    age.filter(|age| *age < MAX_AGE).and_then(|age| now.checked_sub(age)).unwrap_or(now)
}

/// nokhwa passes the system's errors on as text only.
fn device_error(error: &NokhwaError) -> DeviceError {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    // Errors of Linux by number; of Windows by code: access denied, another program has the camera, it was taken
    // out; of macOS by word.
    if has(&["(os error 16)", "0xc00d3704", "0xc00d3ea3", "0x80070020", "busy", "in use"]) {
        DeviceError::Busy(KIND)
    } else if has(&["(os error 13)", "(os error 1)", "0x80070005", "denied", "permission", "authoriz"]) {
        DeviceError::Denied(KIND)
    } else if has(&["(os error 2)", "(os error 19)", "(os error 6)", "0xc00d3ea2", "not found", "no such"]) {
        DeviceError::NotFound(KIND)
    } else {
        unusable(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_out_of_their_text() {
        let error = |text: &str| device_error(&NokhwaError::OpenStreamError(text.into()));
        assert_eq!(error("Device or resource busy (os error 16)"), DeviceError::Busy(KIND));
        assert_eq!(error("Permission denied (os error 13)"), DeviceError::Denied(KIND));
        assert_eq!(error("Access is denied. (0x80070005)"), DeviceError::Denied(KIND));
        assert_eq!(error("No such device (os error 19)"), DeviceError::NotFound(KIND));
        assert!(matches!(error("Invalid argument (os error 22)"), DeviceError::Unusable { .. }));
    }

    #[test]
    fn a_misnamed_format_is_seen_by_its_length() {
        let size = Resolution::new(640, 480);
        assert_eq!(layout(FrameFormat::YUYV, 640 * 480 * 2, size), Some((PixelFormat::Yuyv, 1280)));
        assert_eq!(layout(FrameFormat::YUYV, 640 * 480 * 3 / 2, size), Some((PixelFormat::Nv12, 640)));
        assert_eq!(layout(FrameFormat::NV12, 0, Resolution::new(0, 9)), None);
    }
}
