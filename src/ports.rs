//! The joints between the network and the media threads: the ends of their queues and what else crosses over.

use crate::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use crate::units::{MediaKind, VideoCodec};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
///
/// A peer's packets may come by two ways for a while, when they are to come by another one than before ([`Route`]). What
/// comes by the new one is not taken until its picture begins (or its sound has come alone for a while); from then on
/// the old one's packets are not.
#[derive(Clone)]
pub struct Inlet {
    video: crossbeam_channel::Sender<RtpPacket>,
    audio: crossbeam_channel::Sender<RtpPacket>,
    gate: Arc<Gate>,
    route: Route,
}

/// By which way a peer's packets come: over the connection to the peer itself (the default), or to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route(pub Option<PeerId>);

impl Route {
    pub const DIRECT: Self = Self(None);
}

#[derive(Default)]
struct Gate(Mutex<Gates>);

#[derive(Default)]
struct Gates {
    current: Route,
    expected: Route,
    /// Packets of sound that came by the expected way.
    sound: u32,
    taken: u64,
}

/// Half a second of sound and no picture: there is none.
const SOUND_ALONE: u32 = 25;

impl Inlet {
    pub fn new(
        video: crossbeam_channel::Sender<RtpPacket>,
        audio: crossbeam_channel::Sender<RtpPacket>,
    ) -> Self {
        Self { video, audio, gate: Arc::default(), route: Route::DIRECT }
    }

    /// The same, for what comes by this way.
    pub fn by(&self, route: Route) -> Self {
        Self { route, ..self.clone() }
    }

    /// From now on packets are to come by this way; the one in use is kept until they do.
    pub fn expect(&self, route: Route) {
        let mut gates = self.gates();
        (gates.expected, gates.sound) = (route, 0);
    }

    /// The same, at once.
    pub fn turn_to(&self, route: Route) {
        let mut gates = self.gates();
        (gates.current, gates.expected, gates.sound) = (route, route, 0);
    }

    /// The way in use.
    pub fn route(&self) -> Route {
        self.gates().current
    }

    /// Packets that were taken so far: somebody who sends nothing any more is noticed by it.
    pub fn taken(&self) -> u64 {
        self.gates().taken
    }

    /// `false`: there was no room.
    pub fn put(&self, kind: MediaKind, packet: RtpPacket) -> bool {
        if !self.passes(kind) {
            return true;
        }
        match kind {
            MediaKind::Audio => self.audio.try_send(packet).is_ok(),
            MediaKind::Video => self.video.try_send(packet).is_ok(),
        }
    }

    fn passes(&self, kind: MediaKind) -> bool {
        let mut gates = self.gates();
        if gates.current != self.route {
            if gates.expected != self.route {
                return false;
            }
            if kind == MediaKind::Audio && gates.sound < SOUND_ALONE {
                gates.sound += 1;
                return false;
            }
            gates.current = self.route;
        }
        gates.taken += 1;
        true
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gate.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32) -> RtpPacket {
        RtpPacket {
            payload_type: 0,
            marker: false,
            sequence: 0,
            timestamp: 0,
            ssrc,
            payload: bytes::Bytes::new(),
            arrived_at: Instant::now(),
        }
    }

    #[test]
    fn a_peers_packets_move_to_another_way_when_its_picture_comes_there() {
        let ((video, pictures), (audio, sounds)) =
            (crossbeam_channel::unbounded(), crossbeam_channel::unbounded());
        let direct = Inlet::new(video, audio);
        let hub = direct.by(Route(Some(PeerId(7))));
        let taken = |inlet: &Inlet, kind| {
            assert!(inlet.put(kind, packet(1)));
            pictures.try_iter().count() + sounds.try_iter().count() == 1
        };
        use MediaKind::{Audio, Video};
        assert!(taken(&direct, Video) && taken(&direct, Audio));
        assert!(!taken(&hub, Video), "nobody has said that it comes there");
        direct.expect(hub.route);
        assert!(!taken(&hub, Audio) && taken(&direct, Audio), "the old way until the new one has a picture");
        assert!(taken(&hub, Video) && taken(&hub, Audio));
        assert!(!taken(&direct, Video) && !taken(&direct, Audio) && direct.route() == hub.route);
        direct.expect(Route::DIRECT);
        assert!(taken(&hub, Video));
        let alone = (0..100).position(|_| taken(&direct, Audio));
        assert_eq!(alone, Some(SOUND_ALONE as usize), "whoever has no picture is heard there at last");
        assert!(!taken(&hub, Video) && direct.taken() == 7);
        direct.turn_to(hub.route);
        assert!(taken(&hub, Audio) && !taken(&direct, Video));
    }
}
