//! Webcams on Linux, by V4L2 directly.
//!
//! nokhwa reaches V4L2 through the same crate, but waits for ever on a camera that froze, cannot open one that
//! another program left in an odd format, and hands out pictures the driver marked as damaged. Here the wait has
//! a limit, the driver says which format it really gives, and marks and lengths are heeded. Everything runs on a
//! camera thread ([`super::thread`]).

use super::mode::{Converter, Mode, PixelFormat, rank};
use super::thread::{Grabber, Opened, unusable};
use crate::device::{DeviceError, DeviceInfo, DeviceKind, PictureRequest};
use crate::frame::RawFrame;
use crate::units::Resolution;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use v4l::buffer::{Flags as BufferFlags, Metadata, Type};
use v4l::capability::Flags as Capabilities;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

const KIND: DeviceKind = DeviceKind::Camera;
/// The camera thread looks this often whether it should stop.
const SLICE_MS: i32 = 100;
/// Buffers of the driver: one being filled, one in our hands, two to bridge a delay.
const BUFFERS: u32 = 4;
/// How many modes are tried if the driver refuses the best one.
const TRIES: usize = 6;
/// A stamp that says a picture is older than this is wrong.
const MAX_AGE: Duration = Duration::from_secs(1);

const FORMATS: [(&[u8; 4], PixelFormat); 3] =
    [(b"NV12", PixelFormat::Nv12), (b"YUYV", PixelFormat::Yuyv), (b"MJPG", PixelFormat::Mjpeg)];

/// A video node of the system that is, or may be, a camera.
pub(super) struct Node {
    pub info: DeviceInfo,
    pub path: PathBuf,
    /// Why it cannot be looked at.
    pub error: Option<DeviceError>,
}

/// All cameras in the order of their numbers; nodes that cannot capture (outputs, metadata, radio) are left out.
pub(super) fn nodes() -> Vec<Node> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.into_iter().filter_map(|number| node(PathBuf::from(format!("/dev/video{number}")))).collect()
}

fn node(path: PathBuf) -> Option<Node> {
    let capabilities = Device::with_path(&path).and_then(|device| device.query_caps());
    let detail = path.display().to_string();
    match capabilities {
        Ok(capabilities) => {
            let camera = capabilities.capabilities.contains(Capabilities::VIDEO_CAPTURE);
            // A node that copies from memory to memory is a converter, not a camera.
            let converter = capabilities.capabilities.contains(Capabilities::VIDEO_M2M);
            let info = DeviceInfo { name: capabilities.card, detail };
            (camera && !converter).then_some(Node { info, path, error: None })
        }
        Err(error) => {
            let error = device_error(&error);
            let name = path.file_name()?.to_string_lossy().into_owned();
            (error != DeviceError::NotFound(KIND)).then_some(Node {
                info: DeviceInfo { name, detail },
                path,
                error: Some(error),
            })
        }
    }
}

/// Opens the camera at a path. [`DeviceError::Unusable`] if it has no format that is known here.
pub(super) fn open(path: &Path, name: String, request: PictureRequest) -> Result<Opened, DeviceError> {
    let fail = |error: io::Error| device_error(&error);
    let device = Device::with_path(path).map_err(fail)?;
    let mut modes = modes(&device, request);
    rank(&mut modes, request);
    let mut refusal = unusable("it has no picture format that is known.");
    for mode in modes.into_iter().take(TRIES) {
        match set_mode(&device, mode) {
            Ok(Some((mode, stride))) => {
                let grabber = V4l::start(&device, mode, stride).map_err(fail)?;
                let format = Some((mode.resolution, mode.fps));
                tracing::debug!(?mode, stride, "the camera runs");
                return Ok(Opened { grabber: Box::new(grabber), name, format });
            }
            Ok(None) => {}
            Err(error) => match device_error(&error) {
                refused @ DeviceError::Unusable { .. } => refusal = refused,
                error => return Err(error),
            },
        }
    }
    Err(refusal)
}

/// What the camera says it can do, in the formats known here.
fn modes(device: &Device, request: PictureRequest) -> Vec<Mode> {
    let offered = device.enum_formats().unwrap_or_default();
    let mut modes = Vec::new();
    for (code, pixels) in FORMATS {
        let fourcc = FourCC::new(code);
        if !offered.iter().any(|format| format.fourcc == fourcc) {
            continue;
        }
        for size in device.enum_framesizes(fourcc).unwrap_or_default() {
            let resolution = match size.size {
                FrameSizeEnum::Discrete(size) => Resolution::new(size.width, size.height),
                FrameSizeEnum::Stepwise(size) => {
                    let side = |wanted: u32, min: u32, max: u32, step: u32| {
                        let wanted = wanted.clamp(min, max.max(min));
                        min + (wanted - min) / step.max(1) * step.max(1)
                    };
                    let wanted = request.resolution;
                    Resolution::new(
                        side(wanted.width, size.min_width, size.max_width, size.step_width),
                        side(wanted.height, size.min_height, size.max_height, size.step_height),
                    )
                }
            };
            let rates = rates(device, fourcc, resolution, request);
            modes.extend(rates.into_iter().map(|fps| Mode { pixels, resolution, fps }));
        }
    }
    modes
}

/// The rates of a size; the asked one if the driver does not say.
fn rates(device: &Device, fourcc: FourCC, resolution: Resolution, request: PictureRequest) -> Vec<f64> {
    let fps = |interval: Fraction| f64::from(interval.denominator) / f64::from(interval.numerator.max(1));
    let wanted = f64::from(request.fps.max(1));
    let intervals = device.enum_frameintervals(fourcc, resolution.width, resolution.height);
    let rates: Vec<_> = intervals
        .unwrap_or_default()
        .into_iter()
        .map(|interval| match interval.interval {
            FrameIntervalEnum::Discrete(interval) => fps(interval),
            // The shortest interval is the highest rate.
            FrameIntervalEnum::Stepwise(range) => wanted.max(fps(range.max)).min(fps(range.min)),
        })
        .collect();
    if rates.is_empty() { vec![wanted] } else { rates }
}

/// Sets a mode. What the driver made of it, with the length of a row in bytes; `None` if that is unknown here.
fn set_mode(device: &Device, mode: Mode) -> io::Result<Option<(Mode, usize)>> {
    let Some((code, _)) = FORMATS.iter().find(|(_, pixels)| *pixels == mode.pixels) else { return Ok(None) };
    let wanted = Format::new(mode.resolution.width, mode.resolution.height, FourCC::new(code));
    let got = device.set_format(&wanted)?;
    let Some((_, pixels)) = FORMATS.iter().find(|(code, _)| FourCC::new(code) == got.fourcc) else {
        return Ok(None);
    };
    let resolution = Resolution::new(got.width, got.height);
    // Many drivers know no rates (grabbers, loopbacks): that is no reason to refuse them.
    let interval = Fraction::new(1000, (mode.fps * 1000.0).round() as u32);
    let fps = match device.set_params(&Parameters::new(interval)) {
        Ok(Parameters { interval, .. }) if interval.numerator > 0 && interval.denominator > 0 => {
            f64::from(interval.denominator) / f64::from(interval.numerator)
        }
        _ => mode.fps,
    };
    Ok(resolution.is_valid().then_some((Mode { pixels: *pixels, resolution, fps }, got.stride as usize)))
}

/// A camera that streams.
struct V4l {
    /// There until it is dropped.
    stream: Option<Stream<'static>>,
    mode: Mode,
    stride: usize,
    converter: Converter,
    /// Whether a buffer is in our hands, as the crate's `next` expects.
    holding: bool,
}

impl V4l {
    fn start(device: &Device, mode: Mode, stride: usize) -> io::Result<Self> {
        let stream = Stream::with_buffers(device, Type::VideoCapture, BUFFERS)?;
        let converter = Converter::default();
        // From here on its `drop` takes care of the stream.
        let mut camera = Self { stream: Some(stream), mode, stride, converter, holding: false };
        if let Some(stream) = &mut camera.stream {
            stream.set_timeout(Duration::from_millis(SLICE_MS as u64));
            for index in 0..BUFFERS as usize {
                // A driver may give fewer buffers than asked for.
                match CaptureStream::queue(stream, index) {
                    Err(error) if index == 0 => return Err(error),
                    Err(_) => break,
                    Ok(()) => {}
                }
            }
            stream.start()?;
        }
        Ok(camera)
    }

    fn next(&mut self) -> io::Result<Option<RawFrame>> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        if stream.handle().poll(POLLIN, SLICE_MS)? == 0 {
            return Ok(None);
        }
        if !self.holding {
            // `next` gives a buffer back first. There is none at the start and after an error, so one picture is
            // taken out without being looked at.
            stream.dequeue()?;
            self.holding = true;
            return Ok(None);
        }
        self.holding = false;
        let (bytes, metadata) = CaptureStream::next(stream)?;
        self.holding = true;
        let Some(bytes) = bytes.get(..metadata.bytesused as usize) else { return Ok(None) };
        if metadata.flags.contains(BufferFlags::ERROR) || bytes.is_empty() {
            tracing::trace!("the driver marked a picture as damaged");
            return Ok(None);
        }
        let captured_at = captured_at(metadata);
        match self.converter.convert(self.mode.pixels, bytes, self.stride, self.mode.resolution) {
            Ok(image) => Ok(Some(RawFrame { image, captured_at })),
            Err(error) => {
                tracing::trace!(%error, "a damaged picture was left out");
                Ok(None)
            }
        }
    }
}

/// `POLLIN` of Linux, on all its processors.
const POLLIN: i16 = 1;

impl Grabber for V4l {
    fn grab(&mut self) -> Result<Option<RawFrame>, DeviceError> {
        match self.next() {
            Ok(picture) => Ok(picture),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(10));
                Ok(None)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            // Whatever the reason, the stream is broken; opening again tells more.
            Err(error) => {
                tracing::debug!(%error, "the camera stopped");
                Err(DeviceError::Lost(KIND))
            }
        }
    }
}

impl Drop for V4l {
    fn drop(&mut self) {
        // The crate panics if stopping fails, and then again while it unwinds, which would end the program. A
        // stream that cannot be stopped is left to the system instead.
        if let Some(mut stream) = self.stream.take()
            && let Err(error) = stream.stop()
            && error.raw_os_error() != Some(errno::ENODEV)
        {
            tracing::debug!(%error, "the camera could not be stopped");
            std::mem::forget(stream);
        }
    }
}

/// When the picture was taken: the driver's stamp if it is of the clock that [`Instant`] shows and makes sense.
fn captured_at(metadata: &Metadata) -> Instant {
    let now = Instant::now();
    let monotonic = metadata.flags.contains(BufferFlags::TIMESTAMP_MONOTONIC);
    let stamp = Duration::new(
        metadata.timestamp.sec.try_into().unwrap_or(0),
        u32::try_from(metadata.timestamp.usec).unwrap_or(0).min(999_999) * 1000,
    );
    let age = monotonic_clock().and_then(|clock| clock.checked_sub(stamp));
    match age.filter(|age| monotonic && *age < MAX_AGE) {
        Some(age) => now.checked_sub(age).unwrap_or(now),
        None => now,
    }
}

/// The clock of the drivers' stamps.
fn monotonic_clock() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type the call fills in.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (result == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Numbers of errors on Linux.
mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ENXIO: i32 = 6;
    pub const EACCES: i32 = 13;
    pub const EBUSY: i32 = 16;
    pub const ENODEV: i32 = 19;
}

fn device_error(error: &io::Error) -> DeviceError {
    match error.raw_os_error() {
        Some(errno::ENOENT | errno::ENODEV | errno::ENXIO) => DeviceError::NotFound(KIND),
        Some(errno::EACCES | errno::EPERM) => DeviceError::Denied(KIND),
        Some(errno::EBUSY) => DeviceError::Busy(KIND),
        _ => unusable(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_become_sentences() {
        let error = |number| device_error(&io::Error::from_raw_os_error(number));
        assert_eq!(error(16), DeviceError::Busy(KIND));
        assert_eq!(error(13), DeviceError::Denied(KIND));
        assert_eq!(error(19), DeviceError::NotFound(KIND));
        assert!(matches!(error(22), DeviceError::Unusable { .. }));
        let missing = open(Path::new("/dev/video-none"), String::new(), PictureRequest::default());
        assert_eq!(missing.err(), Some(DeviceError::NotFound(KIND)));
    }

    #[test]
    fn stamps_that_make_no_sense_are_not_believed() {
        let clock = monotonic_clock().unwrap();
        let stamped =
            |time: Duration, flags| Metadata { timestamp: time.into(), flags, ..Metadata::default() };
        let before = Instant::now();
        let old = Duration::from_millis(300);
        let taken = captured_at(&stamped(clock - old, BufferFlags::TIMESTAMP_MONOTONIC));
        assert!(taken <= before - old + Duration::from_millis(1));
        for (time, flags) in [
            (clock - old, BufferFlags::empty()),
            (Duration::ZERO, BufferFlags::TIMESTAMP_MONOTONIC),
            (clock + Duration::from_secs(5), BufferFlags::TIMESTAMP_MONOTONIC),
        ] {
            assert!(captured_at(&stamped(time, flags)) >= before);
        }
    }
}
