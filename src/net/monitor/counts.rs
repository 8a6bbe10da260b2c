//! What has gone out and come in on one connection, by kind.

use crate::units::MediaKind;

#[derive(Default)]
pub struct Kinds<T> {
    pub audio: T,
    pub video: T,
}

impl<T> Kinds<T> {
    pub fn of(&mut self, kind: MediaKind) -> &mut T {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }
}

#[derive(Default)]
pub struct Sent {
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    pub retransmitted: u64,
    /// Those among the retransmitted that nobody has asked for.
    pub padding: u64,
    pub nacks: u64,
    pub plis: u64,
    pub fraction_lost: f64,
}

#[derive(Default)]
pub struct Received {
    pub ssrc: Option<u32>,
    pub rtx: Option<u32>,
    pub clock_rate: u32,
    pub packets: u64,
    pub bytes: u64,
    pub lost: i64,
    pub jitter: f64,
    pub nacks: u64,
    pub plis: u64,
}
