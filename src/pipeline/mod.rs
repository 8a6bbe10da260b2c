//! The media threads: capture, encode, decode, play. Each owns its device, codec and core; between them travel
//! only values, over bounded queues.
//!
//! [`Media`] is what the engine holds: one camera, one microphone, one speaker for the whole program, shared by
//! the lobby's preview and all peers; [`Media::open_peer`] adds the two decoding ends for one peer.

pub mod budget;
mod camera;
mod fade;
mod glass;
pub mod ladder;
mod lanes;
mod media;
mod meter;
mod mix;
mod mixing;
mod mute;
mod muted;
mod outlet;
mod pairing;
mod receive_audio;
mod receive_video;
mod send_audio;
mod send_codecs;
mod send_video;
pub mod simulcast;
pub mod slot;
mod stand_in;
mod sync;
pub mod voice;
mod worker;
pub mod y4m;

pub use media::{Media, Openers, PeerMedia};
pub use mixing::{MixMember, MixPlan};
pub use simulcast::{Division, layers};

use crate::device::{CameraChoice, DeviceError, DeviceKind, MicrophoneChoice, PictureRequest, SpeakerChoice};
use crate::ports::PeerId;
use crate::settings::NoiseSuppression;
use crate::units::{Bitrate, Resolution};
use slot::FrameSlot;
use std::path::PathBuf;
use std::sync::Arc;

/// What the media threads are started with.
#[derive(Clone, Debug, Default)]
pub struct MediaSetup {
    pub camera: CameraChoice,
    pub microphone: MicrophoneChoice,
    pub speaker: SpeakerChoice,
    pub picture: PictureRequest,
    pub max_bitrate: Option<Bitrate>,
    /// Received video is written here too (`--video-out`), as y4m.
    pub video_out: Option<PathBuf>,
    pub noise_suppression: NoiseSuppression,
    pub automatic_gain: bool,
}

/// What the media threads tell the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaEvent {
    /// A device runs: its name, and for a camera what it gives.
    Opened { kind: DeviceKind, name: String, picture: Option<(Resolution, f64)> },
    /// The chosen device of this name is not there; the system's stands in until it is. What opens next is that one.
    Missing { kind: DeviceKind, name: String },
    /// A device does not run (any more). The thread goes on trying to open it, about once a second.
    Failed { kind: DeviceKind, error: DeviceError },
    /// A file source has come to its end, or a thread has died; the call goes on without it.
    Stopped { kind: DeviceKind, error: DeviceError },
    /// Loudness of our microphone after processing, 0.0 to 1.0, about ten times a second, only while it changes.
    MicrophoneLevel(f32),
    /// Somebody speaks while the microphone is muted; said once in a while.
    SpeaksWhileMuted,
    /// The decoder of this peer needs a keyframe; already throttled.
    NeedsKeyframe(PeerId),
}

/// The picture to look at, for the window: the newest one.
pub type Picture = Arc<FrameSlot>;
