//! The joints between the network and the media threads: the ends of their queues and what else crosses over.

use crate::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use crate::units::MediaKind;
use std::time::Instant;

/// A remote endpoint, for the time of one run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Where the encoders' output for one peer goes. A full video queue drops the frame and everything up to the next
/// keyframe; a full audio queue drops the packet.
pub struct Outlet {
    pub video: tokio::sync::mpsc::Sender<EncodedFrame>,
    pub audio: tokio::sync::mpsc::Sender<EncodedAudio>,
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
