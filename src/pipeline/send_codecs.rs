//! The thread `venc`: one encoder for each codec that somebody takes, and none for the others.
//!
//! Nearly everybody takes H.264; then this is one encoder for all, as if there were no other. With a guest who has VP8
//! only, each picture is encoded twice, one after the other. The second sees the time of both, so that it is the one to
//! give way where the machine cannot do it.

use super::camera::CameraLink;
use super::send_video::{Sending, VideoOut};
use super::simulcast::{Layers, LayersOut};
use crate::frame::EncodedFrame;
use crate::ports::PeerId;
use crate::units::{Bitrate, VideoCodec};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// The thread wakes up by itself only to see whether it should end.
const IDLE: Duration = Duration::from_secs(5);

/// Where encoded pictures go, sorted by what the peers take.
pub(super) struct VideoOuts {
    h264: VideoOut,
    vp8: VideoOut,
    /// Smaller pictures beside those, for hosts that forward.
    pub layers: LayersOut,
}

impl VideoOuts {
    pub fn new(max: Option<Bitrate>) -> Self {
        let vp8 = VideoOut::new(max).of(VideoCodec::Vp8);
        Self { h264: VideoOut::new(max), vp8, layers: LayersOut::default() }
    }

    fn all(&self) -> [&VideoOut; 2] {
        [&self.h264, &self.vp8]
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

    /// Whether the peer takes another codec than the usual one.
    pub fn is_apart(&self, id: PeerId) -> bool {
        self.vp8.has(id)
    }

    /// What makes the peer's pictures.
    pub fn of(&self, id: PeerId) -> &VideoOut {
        if self.is_apart(id) { &self.vp8 } else { &self.h264 }
    }

    pub fn request_keyframe(&self) {
        self.all().into_iter().for_each(VideoOut::request_keyframe);
    }
}

/// Runs until the encoder's slot is closed.
pub(super) fn run(camera: &CameraLink, outs: &VideoOuts) {
    let mut sendings: [Sending; 2] = Default::default();
    let mut layers = Layers::default();
    while !camera.encoder.is_closed() {
        let Some(frame) = camera.encoder.take(IDLE) else { continue };
        if camera.starts.swap(false, Ordering::Relaxed) {
            outs.request_keyframe();
        }
        let taken = Instant::now();
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
}
