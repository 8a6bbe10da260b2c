//! The thread `venc`: one encoder for each codec that somebody takes, and none for the others.
//!
//! Nearly everybody takes H.264; then this is one encoder for all, as if there were no other. With a guest who has VP8
//! only, or whose way is much narrower than the others' ([`Lanes`]), each picture is encoded twice, one after the other.
//! The second sees the time of both, so that it is the one to give way where the machine cannot do it.

use super::camera::CameraLink;
use super::lanes::{Lanes, Viewer};
use super::mixing::Mixing;
use super::send_video::{Sending, VideoOut, VideoOutlet};
use super::simulcast::{Layers, LayersOut};
use crate::frame::EncodedFrame;
use crate::ports::PeerId;
use crate::units::{Bitrate, VideoCodec};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// The thread wakes up by itself only to see whether it should end.
const IDLE: Duration = Duration::from_secs(5);

/// How often it is looked who should share an encoder.
const SORT: Duration = Duration::from_secs(1);

/// Where encoded pictures go, sorted by what the peers take.
pub(super) struct VideoOuts {
    h264: VideoOut,
    /// For those whose ways have room for much less.
    narrow: VideoOut,
    vp8: VideoOut,
    /// Smaller pictures beside those, for hosts that forward.
    pub layers: LayersOut,
}

impl VideoOuts {
    pub fn new(max: Option<Bitrate>) -> Self {
        let vp8 = VideoOut::new(max).of(VideoCodec::Vp8);
        Self { h264: VideoOut::new(max), narrow: VideoOut::new(max), vp8, layers: LayersOut::default() }
    }

    fn all(&self) -> [&VideoOut; 3] {
        [&self.h264, &self.narrow, &self.vp8]
    }

    /// `codec`: what the peer takes; one that takes none gets nothing. Gives whether it does.
    pub fn add(
        &self,
        id: PeerId,
        codec: Option<VideoCodec>,
        sender: Sender<EncodedFrame>,
        target: Option<Bitrate>,
    ) -> bool {
        match codec {
            Some(VideoCodec::H264) => self.h264.add(id, sender, target),
            Some(VideoCodec::Vp8) => self.vp8.add(id, sender, target),
            None => tracing::info!(peer = id.0, "no video codec in common: no pictures are sent"),
        }
        codec.is_some()
    }

    /// What nearly everybody takes. The pictures of a mix are of this codec too.
    pub fn usual(&self) -> &VideoOut {
        &self.h264
    }

    /// A peer that takes that gets its pictures from elsewhere from now on.
    pub fn take_usual(&self, id: PeerId) -> Option<VideoOutlet> {
        self.h264.take(id).or_else(|| self.narrow.take(id))
    }

    /// Moves those to the other encoder whose ways have become narrow, or wide again.
    fn sort(&self, lanes: &mut Lanes, now: Instant) {
        let viewers = |out: &VideoOut, narrow| {
            let seen = out.seen_targets().into_iter();
            seen.map(move |(id, target)| Viewer { id, target, narrow }).collect::<Vec<_>>()
        };
        let all = [viewers(&self.h264, false), viewers(&self.narrow, true)].concat();
        for id in lanes.sort(now, &all) {
            let (from, to) =
                if self.narrow.has(id) { (&self.narrow, &self.h264) } else { (&self.h264, &self.narrow) };
            if let Some(outlet) = from.take(id) {
                tracing::info!(peer = id.0, "another encoder");
                to.put(outlet);
            }
        }
    }

    /// Whether the peer takes another codec than the usual one.
    pub fn is_apart(&self, id: PeerId) -> bool {
        self.vp8.has(id)
    }

    /// What makes the peer's pictures.
    pub fn of(&self, id: PeerId) -> &VideoOut {
        self.all().into_iter().find(|out| out.has(id)).unwrap_or(&self.h264)
    }

    pub fn request_keyframe(&self) {
        self.all().into_iter().for_each(VideoOut::request_keyframe);
    }
}

/// Runs until the encoder's slot is closed.
pub(super) fn run(camera: &CameraLink, outs: &VideoOuts, mixing: &Mixing) {
    let mut sendings: [Sending; 3] = Default::default();
    let (mut lanes, mut sort_at) = (Lanes::default(), Instant::now());
    let mut layers = Layers::default();
    while !camera.encoder.is_closed() {
        let Some(frame) = camera.encoder.take(IDLE) else { continue };
        if camera.starts.swap(false, Ordering::Relaxed) {
            outs.request_keyframe();
        }
        let taken = Instant::now();
        if taken >= sort_at {
            sort_at = taken + SORT;
            mixing.hold_still(|| outs.sort(&mut lanes, taken));
        }
        for (sending, out) in sendings.iter_mut().zip(outs.all()) {
            if out.is_wanted() {
                sending.encode(&frame, taken, out);
            } else {
                // Its memory goes.
                *sending = Sending::default();
            }
        }
        layers.encode(&frame, &outs.layers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::OutboundVideo;

    #[test]
    fn each_peer_is_known_where_its_codec_is_made() {
        let outs = VideoOuts::new(None);
        let (sender, _frames) = tokio::sync::mpsc::channel(1);
        for (id, codec) in [(1, Some(VideoCodec::H264)), (2, Some(VideoCodec::Vp8)), (3, None)] {
            outs.add(PeerId(id), codec, sender.clone(), None);
        }
        for (id, codec) in [(1, "H264"), (2, "VP8"), (3, "")] {
            let mut stats = OutboundVideo::default();
            outs.of(PeerId(id)).stats(PeerId(id), &mut stats);
            assert_eq!(stats.codec, codec);
        }
        assert!(outs.h264.is_wanted() && outs.vp8.is_wanted());
        assert!(outs.of(PeerId(2)).take(PeerId(2)).is_some());
        assert!(outs.h264.is_wanted() && !outs.vp8.is_wanted());
    }

    #[test]
    fn a_narrow_way_slows_nobody_else() {
        let (outs, mut lanes) = (VideoOuts::new(None), Lanes::default());
        let (sender, _frames) = tokio::sync::mpsc::channel(1);
        for (id, kbps) in [(1, 2000), (2, 300)] {
            outs.add(PeerId(id), Some(VideoCodec::H264), sender.clone(), Some(Bitrate::from_kbps(kbps)));
        }
        let start = Instant::now();
        assert_eq!(outs.of(PeerId(1)).rate(), Bitrate::from_kbps(300));
        (0..10).for_each(|second| outs.sort(&mut lanes, start + SORT * second));
        assert_eq!(outs.of(PeerId(1)).rate(), Bitrate::from_kbps(2000));
        assert_eq!(outs.of(PeerId(2)).rate(), Bitrate::from_kbps(300));
        assert!(outs.take_usual(PeerId(2)).is_some() && !outs.narrow.is_wanted());
    }
}
