//! Cameras, microphones and speakers, and the ones made of patterns, tones and files, behind three traits; and what
//! screens there are.
//!
//! A source is pulled by the media thread that owns it. No call here blocks longer than its time-out, whatever
//! the driver does: a device that hangs is given up and reported as [`DeviceError::Lost`].

pub mod camera;
mod choose;
mod limit;
mod pace;
pub mod priority;
mod screen;
mod sound;

pub use crate::choice::{CameraChoice, MicrophoneChoice, SpeakerChoice};
pub use screen::{NoDisplay, ScreenInfo, screens};

use crate::frame::RawFrame;
use crate::units::Resolution;
use limit::{LIST_LIMIT, within};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a device does not work. `Display` is a whole sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("No {0} was found. Plug one in and it will be used at once.")]
    NotFound(DeviceKind),
    #[error("The {0} is in use by another program. Close that program and it will be used at once.")]
    Busy(DeviceKind),
    #[error("Twocan may not use the {0}. Allow it in the privacy settings of the system.")]
    Denied(DeviceKind),
    #[error("The {0} was unplugged or stopped working. Plug it in again and it will be used at once.")]
    Lost(DeviceKind),
    #[error("The {kind} cannot be used: {detail}")]
    Unusable { kind: DeviceKind, detail: String },
    #[error("The file {0} cannot be used: {1}")]
    File(String, String),
    /// A file source came to its end.
    #[error("The file has come to its end.")]
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    Camera,
    Microphone,
    Speaker,
}

impl std::fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        })
    }
}

/// What is asked of a camera; it may give something near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureRequest {
    pub resolution: Resolution,
    pub fps: u32,
}

impl Default for PictureRequest {
    fn default() -> Self {
        Self { resolution: Resolution::HD, fps: 30 }
    }
}

/// A camera that runs. Dropping it gives the device back at once, even if the driver hangs.
pub trait VideoSource: Send {
    /// Waits at most `timeout` for the next picture; `None` if there was none in that time. After an error the
    /// source is of no more use.
    fn next_frame(&mut self, timeout: Duration) -> Result<Option<Arc<RawFrame>>, DeviceError>;
    /// The name shown to the user.
    fn name(&self) -> &str;
    /// The size and rate it says it gives, where that is known before the first picture.
    fn format(&self) -> Option<(Resolution, f64)> {
        None
    }
}

/// A microphone that runs: mono, 48 kHz.
pub trait AudioSource: Send {
    /// Fills `block` (10 ms, [`crate::codec::BLOCK`] samples), waiting at most `timeout`. Gives the capture time
    /// of its first sample, or `None` if there was not enough in that time.
    fn read(&mut self, block: &mut [f32], timeout: Duration) -> Result<Option<Instant>, DeviceError>;
    fn name(&self) -> &str;
    /// The same choice means another device now (the system's default changed, a missing one is back): open anew.
    fn is_outdated(&self) -> bool {
        false
    }
}

/// A speaker that runs: mono, 48 kHz.
pub trait AudioSink: Send {
    /// Hands over 10 ms of sound; what does not fit any more is dropped (the device has stalled).
    fn write(&mut self, block: &[f32]) -> Result<(), DeviceError>;
    /// How much sound is waiting between `write` and the air.
    fn queued(&self) -> Duration;
    /// Waits at most `timeout` until less than 20 ms is queued: the device sets the pace of playback.
    fn wait(&mut self, timeout: Duration) -> Result<(), DeviceError>;
    /// Takes 10 ms of what was really played, in order, for the echo canceller; `None` if there is none yet.
    fn played(&mut self, block: &mut [f32]) -> Option<()>;
    fn name(&self) -> &str;
    /// As with [`AudioSource::is_outdated`].
    fn is_outdated(&self) -> bool {
        false
    }
}

/// Opens a camera; waits at most a few seconds.
pub fn open_camera(
    choice: &CameraChoice,
    request: PictureRequest,
) -> Result<Box<dyn VideoSource>, DeviceError> {
    camera::open(choice, request)
}

/// Opens a microphone; waits at most a few seconds.
pub fn open_microphone(choice: &MicrophoneChoice) -> Result<Box<dyn AudioSource>, DeviceError> {
    sound::open_microphone(choice)
}

/// Opens a speaker; waits at most a few seconds.
pub fn open_speaker(choice: &SpeakerChoice) -> Result<Box<dyn AudioSink>, DeviceError> {
    sound::open_speaker(choice)
}

/// All devices of the machine; what cannot be listed is left out. May take seconds (bare ALSA): not for the thread
/// of the window.
pub fn list() -> DeviceList {
    let cameras = within(LIST_LIMIT, DeviceKind::Camera, || Ok(camera::list())).unwrap_or_default();
    let sound = within(LIST_LIMIT, DeviceKind::Microphone, || Ok(sound::list()));
    let (microphones, speakers) = sound.unwrap_or_default();
    DeviceList { cameras, microphones, speakers }
}

/// A device the user can choose.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// What the choice is remembered by, and what `--camera` and its kin take.
    pub name: String,
    /// A second line where two devices share a name: bus, card.
    pub detail: String,
}

/// All devices of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceList {
    pub cameras: Vec<DeviceInfo>,
    pub microphones: Vec<DeviceInfo>,
    pub speakers: Vec<DeviceInfo>,
}
