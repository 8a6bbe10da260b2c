//! The sound devices of the machine through cpal: listing, finding, and starting a stream within a time limit.

use super::health::Health;
use crate::codec::SAMPLE_RATE;
use crate::device::{DeviceError, DeviceInfo, DeviceKind, choose};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, ErrorKind, SampleFormat, StreamConfig, SupportedBufferSize};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long cpal may wait for a sound server to make a stream.
pub(super) const STREAM_LIMIT: Duration = Duration::from_secs(2);
/// How long closing waits for the driver, so that the device can be opened again at once.
const CLOSE_LIMIT: Duration = Duration::from_millis(400);

/// How a sound server names what a speaker plays, which it lists as a microphone.
const MONITOR: &str = ".monitor";

/// The sound system: PulseAudio, or PipeWire in its guise, before bare ALSA, which would only reach the same
/// devices with more delay.
#[cfg(target_os = "linux")]
pub(super) fn host() -> Result<cpal::Host, cpal::Error> {
    use std::sync::atomic::{AtomicBool, Ordering};
    /// Set once a sound server was there. From then on it is waited for: to take the card away under it while it
    /// restarts would keep it from coming back.
    static SERVER_SEEN: AtomicBool = AtomicBool::new(false);
    let server = cpal::HostId::PulseAudio;
    if !SERVER_SEEN.load(Ordering::Relaxed) && !cpal::available_hosts().contains(&server) {
        hush_alsa();
        return cpal::host_from_id(cpal::HostId::Alsa);
    }
    let host = cpal::host_from_id(server)?;
    SERVER_SEEN.store(true, Ordering::Relaxed);
    Ok(host)
}

/// libasound writes its complaints to stderr, eight lines for a machine without a sound card; the errors it returns
/// say the same. It is told so thread by thread.
#[cfg(target_os = "linux")]
fn hush_alsa() {
    thread_local! {
        static COMPLAINTS: Option<std::rc::Rc<std::cell::RefCell<alsa::Output>>> =
            alsa::Output::local_error_handler().ok();
    }
    COMPLAINTS.with(|_| ());
}

#[cfg(not(target_os = "linux"))]
pub(super) fn host() -> Result<cpal::Host, cpal::Error> {
    Ok(cpal::default_host())
}

/// All microphones and speakers, in this order. May take seconds.
pub(in crate::device) fn list() -> (Vec<DeviceInfo>, Vec<DeviceInfo>) {
    let host = match host() {
        Ok(host) => host,
        Err(error) => {
            tracing::warn!(%error, "the sound devices could not be listed");
            return Default::default();
        }
    };
    let names = |kind| choose::unique(found(&host, kind).into_iter().map(|(info, _)| info).collect());
    (names(DeviceKind::Microphone), names(DeviceKind::Speaker))
}

/// The devices of a kind, without what is no device to a user.
fn found(host: &cpal::Host, kind: DeviceKind) -> Vec<(DeviceInfo, cpal::Device)> {
    let info = |device: cpal::Device| {
        // To ask a device what it can do may mean to open it: only those that count are asked.
        let id = device.id().ok().filter(is_for_users)?;
        let fits = match kind {
            DeviceKind::Speaker => device.supports_output(),
            DeviceKind::Microphone | DeviceKind::Camera => device.supports_input(),
        };
        let name = device.description().map_or_else(|_| id.id().to_owned(), |text| text.name().to_owned());
        fits.then(|| (DeviceInfo { name, detail: id.id().to_owned() }, device))
    };
    host.devices().map_or_else(|_| Vec::new(), |devices| devices.filter_map(info).collect())
}

/// A sound server lists what each speaker plays as a microphone, and ALSA each card under a dozen names, once by
/// its own name and once by its number.
#[cfg(target_os = "linux")]
fn is_for_users(id: &cpal::DeviceId) -> bool {
    match id.host() {
        cpal::HostId::Alsa => {
            let card = id.id().strip_prefix("plughw:CARD=");
            card.is_some_and(|card| !card.starts_with(|first: char| first.is_ascii_digit()))
        }
        _ => !id.id().ends_with(MONITOR),
    }
}

#[cfg(not(target_os = "linux"))]
fn is_for_users(_: &cpal::DeviceId) -> bool {
    true
}

/// Which device is to be opened.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// The system's.
    Default,
    Named(String),
    /// The system's, in place of this one, which is missing.
    StandIn(String),
}

/// The device that is wanted, and its name.
pub(super) fn device(kind: DeviceKind, wanted: &Wanted) -> Result<(String, cpal::Device), DeviceError> {
    let host = host().map_err(|error| device_error(kind, &error))?;
    let Wanted::Named(wanted) = wanted else {
        let device = default_device(&host, kind).ok_or(DeviceError::NotFound(kind))?;
        let name = device.description().map_or_else(|_| "Default".into(), |text| text.name().to_owned());
        return Ok((name, device));
    };
    let (infos, mut devices): (Vec<_>, Vec<_>) = found(&host, kind).into_iter().unzip();
    let infos = choose::unique(infos);
    let place = choose::find(&infos, wanted).ok_or(DeviceError::NotFound(kind))?;
    Ok((infos[place].name.clone(), devices.swap_remove(place)))
}

/// Without a microphone, a sound server names what the speaker plays as the default: that is none.
fn default_device(host: &cpal::Host, kind: DeviceKind) -> Option<cpal::Device> {
    let device = match kind {
        DeviceKind::Speaker => host.default_output_device(),
        DeviceKind::Microphone | DeviceKind::Camera => host.default_input_device(),
    };
    device.filter(|device| device.id().map_or(true, |id| !id.id().ends_with(MONITOR)))
}

/// The system's device, to see whether it is still the same.
pub(super) fn default_id(host: &cpal::Host, kind: DeviceKind) -> Option<cpal::DeviceId> {
    default_device(host, kind)?.id().ok()
}

/// Whether a device goes by this name.
pub(super) fn is_there(host: &cpal::Host, kind: DeviceKind, name: &str) -> bool {
    let infos = choose::unique(found(host, kind).into_iter().map(|(info, _)| info).collect());
    choose::find(&infos, name).is_some()
}

/// Whether a stream whose device goes away plays on through another one, and nobody is told.
pub(super) fn moves_streams(host: &cpal::Host) -> bool {
    #[cfg(target_os = "linux")]
    if host.id() == cpal::HostId::PulseAudio {
        return true;
    }
    let _ = host;
    false
}

/// What is plugged in, as text to compare; `None` where to list the devices costs no more than to ask this.
pub(super) fn plugged(host: &cpal::Host) -> Option<String> {
    #[cfg(target_os = "linux")]
    if host.id() == cpal::HostId::Alsa {
        return std::fs::read_to_string("/proc/asound/cards").ok();
    }
    let _ = host;
    None
}

/// How a device is to be run: its own rate and channels, except where a server converts at no cost to us.
pub(super) fn config(
    kind: DeviceKind,
    device: &cpal::Device,
) -> Result<(StreamConfig, SampleFormat, SupportedBufferSize), cpal::Error> {
    let default = match kind {
        DeviceKind::Speaker => device.default_output_config()?,
        DeviceKind::Microphone | DeviceKind::Camera => device.default_input_config()?,
    };
    if served(device) {
        let config = StreamConfig { channels: 1, sample_rate: SAMPLE_RATE, buffer_size: BufferSize::Default };
        return Ok((config, SampleFormat::F32, *default.buffer_size()));
    }
    Ok((default.config(), default.sample_format(), *default.buffer_size()))
}

#[cfg(target_os = "linux")]
fn served(device: &cpal::Device) -> bool {
    device.id().is_ok_and(|id| id.host() == cpal::HostId::PulseAudio)
}

#[cfg(not(target_os = "linux"))]
fn served(_: &cpal::Device) -> bool {
    false
}

/// Buffer sizes to try, the best first: 10 ms, 20 ms, what some mixers insist on, and at last the device's own,
/// which may be seconds.
///
/// A microphone behind a sound server starts at 20 ms: the server keeps no more for us than one buffer, and with
/// 10 ms a busy machine loses a third of what is said.
pub(super) fn buffer_sizes(
    kind: DeviceKind,
    device: &cpal::Device,
    rate: u32,
    supported: &SupportedBufferSize,
) -> Vec<BufferSize> {
    let mut sizes = possible_sizes(rate, supported);
    if kind == DeviceKind::Microphone && served(device) {
        sizes.remove(0);
    }
    sizes
}

fn possible_sizes(rate: u32, supported: &SupportedBufferSize) -> Vec<BufferSize> {
    let clamp = |frames: u32| match *supported {
        SupportedBufferSize::Range { min, max } if min <= max => frames.clamp(min, max),
        _ => frames,
    };
    let mut sizes: Vec<_> =
        [rate / 100, rate / 50, 1024].map(|frames| BufferSize::Fixed(clamp(frames))).into();
    sizes.push(BufferSize::Default);
    sizes.dedup();
    sizes
}

/// Tries each size until one works.
pub(super) fn first_that_works<T>(
    sizes: Vec<BufferSize>,
    mut start: impl FnMut(BufferSize) -> Result<T, cpal::Error>,
) -> Result<T, cpal::Error> {
    let mut last = cpal::Error::new(ErrorKind::UnsupportedConfig);
    for size in sizes {
        match start(size) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput | ErrorKind::BackendError
                ) =>
            {
                tracing::debug!(?size, %error, "the sound device refused a buffer size");
                last = error;
            }
            result => return result,
        }
    }
    Err(last)
}

/// What the error callback of a stream does: it may come hundreds of times a second, on any thread.
pub(super) fn on_error(health: &Arc<Health>) -> impl FnMut(cpal::Error) + Send + 'static {
    let health = health.clone();
    move |error| health.failed(error.kind())
}

/// A running stream. Dropping it closes the device, but does not wait long for a driver that hangs.
pub(super) struct Running(Option<cpal::Stream>);

impl Running {
    pub fn new(stream: cpal::Stream) -> Self {
        Self(Some(stream))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(stream) = self.0.take() else { return };
        let (done, closed) = mpsc::sync_channel::<()>(1);
        let spawned = std::thread::Builder::new().name("sound-close".into()).spawn(move || {
            drop(stream);
            drop(done);
        });
        if spawned.is_ok() {
            let _ = closed.recv_timeout(CLOSE_LIMIT);
        }
    }
}

pub(super) fn device_error(kind: DeviceKind, error: &cpal::Error) -> DeviceError {
    match error.kind() {
        ErrorKind::DeviceBusy => DeviceError::Busy(kind),
        ErrorKind::DeviceNotAvailable => DeviceError::NotFound(kind),
        ErrorKind::PermissionDenied => DeviceError::Denied(kind),
        ErrorKind::StreamInvalidated => DeviceError::Lost(kind),
        ErrorKind::HostUnavailable => {
            DeviceError::Unusable { kind, detail: "the sound system is not running.".into() }
        }
        _ => DeviceError::Unusable { kind, detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BufferSize::{Default, Fixed};

    #[test]
    fn small_buffers_are_asked_for_first_within_what_is_possible() {
        let free = SupportedBufferSize::Unknown;
        assert_eq!(possible_sizes(48_000, &free), [Fixed(480), Fixed(960), Fixed(1024), Default]);
        assert_eq!(possible_sizes(44_100, &free)[..2], [Fixed(441), Fixed(882)]);
        let fixed = SupportedBufferSize::Range { min: 1024, max: 1024 };
        assert_eq!(possible_sizes(48_000, &fixed), [Fixed(1024), Default]);
        let senseless = SupportedBufferSize::Range { min: 9, max: 3 };
        assert_eq!(possible_sizes(48_000, &senseless)[0], Fixed(480));
    }

    #[test]
    fn only_a_refused_size_leads_to_the_next() {
        let sizes = || vec![Fixed(480), Fixed(960), Default];
        let refuse = |kind| cpal::Error::new(kind);
        let took = first_that_works(sizes(), |size| match size {
            Fixed(480) => Err(refuse(ErrorKind::UnsupportedConfig)),
            size => Ok(size),
        });
        assert_eq!(took, Ok(Fixed(960)));
        let mut tries = 0;
        let busy = first_that_works(sizes(), |_| {
            tries += 1;
            Err::<(), _>(refuse(ErrorKind::DeviceBusy))
        });
        assert_eq!((busy.map_err(|error| error.kind()), tries), (Err(ErrorKind::DeviceBusy), 1));
    }
}
