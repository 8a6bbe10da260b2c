//! The joints between the network and the media threads: the ends of their queues and what else crosses over.

use crate::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use crate::units::{MediaKind, VideoCodec};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A remote endpoint, for the time of one run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Where the encoders' output for one peer goes. A full video queue drops the frame and everything up to the next
/// keyframe; a full audio queue drops the packet.
pub struct Outlet {
    pub video: tokio::sync::mpsc::Sender<EncodedFrame>,
    pub audio: tokio::sync::mpsc::Sender<EncodedAudio>,
    pub agreed: AgreedVideo,
}

/// The codec of pictures to and from a peer. The network says it once, when it has read the peer's description; until
/// then it is the one that every Twocan has.
#[derive(Clone, Debug, Default)]
pub struct AgreedVideo(Arc<OnceLock<Option<VideoCodec>>>);

impl AgreedVideo {
    /// `None`: there is none that both sides have.
    pub fn set(&self, codec: Option<VideoCodec>) {
        if self.0.set(codec).is_err() && self.get() != codec {
            tracing::warn!(?codec, "another codec than was agreed on before");
        }
    }

    pub fn get(&self) -> Option<VideoCodec> {
        self.0.get().copied().unwrap_or(Some(VideoCodec::H264))
    }
}

/// Where the packets of one peer come in. Both queues are bounded; a packet that finds no room is lost.
#[derive(Clone)]
pub struct Inlet {
    pub video: crossbeam_channel::Sender<RtpPacket>,
    pub audio: crossbeam_channel::Sender<RtpPacket>,
}

/// A sender report: the sender's wall clock and the RTP time of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub kind: MediaKind,
    /// NTP time, 32.32 fixed point.
    pub ntp: u64,
    pub rtp: u32,
    pub arrived_at: Instant,
}
