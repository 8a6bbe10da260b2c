//! From the outlet of the encoders to webrtc's tracks: two tasks that make RTP packets of what they are handed.
//!
//! Sound repeats its last packets within the next ones while the receiver reports losses ([`Monitor::voice_copies`]).
//!
//! Video is admitted frame by frame, before it has sequence numbers: a frame that would wait too long in the pacer
//! is left out whole, and so is everything up to the next keyframe; before it comes to that, pictures that no other
//! is predicted from are left out alone. Dropped later, it would be a gap that the other side asks for again.

use super::monitor::Monitor;
use crate::frame::{EncodedAudio, EncodedFrame};
use crate::rate::Admission;
use crate::rtp::red::RedEncoder;
use crate::units::{MediaKind, VideoCodec};
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::packetizer::Payloader;
use rtc::rtp::{Header, Packet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// Encoded frames on their way; a third of a second at 25 frames a second.
pub(super) const VIDEO_QUEUE: usize = 8;
/// Opus packets on their way: 320 ms.
pub(super) const AUDIO_QUEUE: usize = 16;
/// Payload of a packet: with all headers and IPv6 it still fits a path that takes 1280 bytes.
const MAX_PAYLOAD: usize = 1188;
/// While the path has no room the next frame is left in the queue, from which the encoder sees that it must pause; but
/// not for longer than half a second.
const HELD_STEP: Duration = Duration::from_millis(5);
const MAX_HELD: u32 = 100;
/// A keyframe that was asked for takes a moment to come.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Disposable frames are left out while the video in front of them needs longer than this to get out.
const LONG_WAIT: Duration = Duration::from_millis(120);

/// Sequence numbers and headers of one stream.
struct Stream {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    sequence: u16,
}

impl Stream {
    async fn write(&mut self, payload_type: u8, timestamp: u32, marker: bool, payload: bytes::Bytes) {
        let header = Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Header::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        // Waits for room in webrtc's queue. The only error is that the connection is gone.
        if let Err(error) = self.track.write_rtp(Packet { header, payload }).await {
            tracing::debug!(%error, "a packet was not sent");
        }
    }
}

pub(super) async fn audio(
    mut packets: Receiver<EncodedAudio>,
    track: Arc<TrackLocalStaticRTP>,
    monitor: Arc<Monitor>,
) {
    let ssrc = monitor.ssrcs.audio;
    let mut stream = Stream { track, ssrc, sequence: ssrc as u16 };
    let mut expected = None;
    let mut copies = RedEncoder::default();
    while let Some(packet) = packets.recv().await {
        // Kept up even before the other side is there: the clock has settled when it comes.
        let timestamp = monitor.clock.audio_time(packet.position, packet.captured_at);
        if !monitor.may_send_sound(Instant::now()) {
            continue;
        }
        let Some(opus) = monitor.payload_type(MediaKind::Audio) else { continue };
        // The marker says that sound begins after a silence that was not sent (RFC 7587, RFC 3551).
        let marker = expected.is_some_and(|expected| packet.position > expected);
        let repeated = copies.encode(timestamp, &packet.data, opus, monitor.voice_copies());
        let (payload_type, payload) = match (monitor.red(), repeated) {
            (Some(red), Some(repeated)) => (red, repeated),
            _ => (opus, packet.data),
        };
        stream.write(payload_type, timestamp, marker, payload).await;
        expected = Some(packet.position + crate::net::media::AUDIO_CLOCK as u64 / 50);
    }
}

/// `ssrc`: of our picture, or of a smaller layer of it.
pub(super) async fn video(
    mut frames: Receiver<EncodedFrame>,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    monitor: Arc<Monitor>,
) {
    let mut stream = Stream { track, ssrc, sequence: ssrc as u16 };
    let mut gate = Gate::default();
    let (mut h264, mut vp8) = (H264Payloader::default(), Vp8Payloader::default());
    while let Some(frame) = frames.recv().await {
        let open = monitor.may_send_pictures();
        let Some(payload_type) = monitor.payload_type(MediaKind::Video).filter(|_| open) else {
            gate = Gate::default();
            continue;
        };
        let admit = || monitor.pacer().admit(frame.data.len(), frame.keyframe);
        let mut held = 0;
        while held < MAX_HELD && monitor.pacer().is_held(Instant::now()) {
            held += 1;
            tokio::time::sleep(HELD_STEP).await;
        }
        let long_wait = frame.disposable && monitor.pacer().wait() > LONG_WAIT;
        match gate.decide(frame.keyframe, long_wait, Instant::now(), admit) {
            Verdict::Send => {}
            Verdict::Drop => continue,
            Verdict::DropAndAsk => {
                monitor.keyframe_needed(ssrc);
                continue;
            }
        }
        let payloader: &mut dyn Payloader = match frame.codec {
            VideoCodec::H264 => &mut h264,
            VideoCodec::Vp8 => &mut vp8,
        };
        let payloads = match payloader.payload(MAX_PAYLOAD, &frame.data) {
            Ok(payloads) => payloads,
            Err(error) => {
                tracing::warn!(%error, "a frame could not be packetized");
                continue;
            }
        };
        let timestamp = monitor.clock.video_time(frame.captured_at);
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.into_iter().enumerate() {
            stream.write(payload_type, timestamp, index == last, payload).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Send,
    Drop,
    /// Drop, and tell the encoder that a keyframe is needed.
    DropAndAsk,
}

/// Which frames go out: from a keyframe on, as long as the pacer admits them.
#[derive(Default)]
struct Gate {
    open: bool,
    asked: Option<Instant>,
}

impl Gate {
    /// `passed_over`: the frame is not worth its place in the queue, and nothing refers to it.
    fn decide(
        &mut self,
        keyframe: bool,
        passed_over: bool,
        now: Instant,
        admit: impl FnOnce() -> Admission,
    ) -> Verdict {
        if self.open && passed_over {
            return Verdict::Drop;
        }
        if self.open || keyframe {
            self.open = admit() == Admission::Send;
            if self.open {
                self.asked = None;
                return Verdict::Send;
            }
        }
        if self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASK_AGAIN) {
            return Verdict::Drop;
        }
        self.asked = Some(now);
        Verdict::DropAndAsk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_starts_with_a_keyframe_and_stops_up_to_the_next_when_the_pacer_is_full() {
        let start = Instant::now();
        let full = Admission::Drop { request_keyframe: true };
        let mut gate = Gate::default();
        let timeline = [
            (0, false, Admission::Send, Verdict::DropAndAsk),
            (33, false, Admission::Send, Verdict::Drop),
            (66, true, Admission::Send, Verdict::Send),
            (100, false, Admission::Send, Verdict::Send),
            (133, false, full, Verdict::DropAndAsk),
            (166, true, full, Verdict::Drop),
            (200, false, Admission::Send, Verdict::Drop),
            (700, false, Admission::Send, Verdict::DropAndAsk),
            (733, true, Admission::Send, Verdict::Send),
            (766, false, Admission::Send, Verdict::Send),
        ];
        for (ms, keyframe, admission, verdict) in timeline {
            let now = start + Duration::from_millis(ms);
            assert_eq!(gate.decide(keyframe, false, now, || admission), verdict, "at {ms} ms");
        }
    }

    #[test]
    fn a_disposable_frame_is_left_out_alone() {
        let (now, send) = (Instant::now(), || Admission::Send);
        let mut gate = Gate::default();
        assert_eq!(gate.decide(true, false, now, send), Verdict::Send);
        assert_eq!(gate.decide(false, true, now, || panic!("not asked for")), Verdict::Drop);
        assert_eq!(gate.decide(false, false, now, send), Verdict::Send);
    }
}
