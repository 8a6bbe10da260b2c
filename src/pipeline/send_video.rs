//! The thread `venc`: takes the newest picture of the camera, scales and encodes it once, and hands it to every
//! peer. While nobody wants pictures it sleeps.

use super::camera::CameraLink;
use super::ladder::{Coded, Ladder, Limitation};
use super::meter::RateMeter;
use crate::codec::h264::H264Encoder;
use crate::codec::scale::Scaler;
use crate::codec::{CodecError, VideoEncoder};
use crate::frame::{EncodedFrame, FramePool, RawFrame};
use crate::ports::PeerId;
use crate::rtp::KeyframeThrottle;
use crate::stats::OutboundVideo;
use crate::units::{Bitrate, Resolution};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// What a peer gets until its network has said what it can take.
const START_RATE: Bitrate = Bitrate::from_kbps(1000);
/// What is asked for if the user has set no limit.
const DEFAULT_MAX: Bitrate = Bitrate::from_kbps(2500);
/// The thread wakes up by itself only to see whether it should end.
const IDLE: Duration = Duration::from_secs(5);
/// Measured rates that differ by less are the same camera.
const FPS_STEP: f64 = 2.0;

/// Where encoded pictures go, and what the peers ask for in return.
pub(super) struct VideoOut {
    max: Bitrate,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outlets: Vec<VideoOutlet>,
    totals: Totals,
    sent_rate: RateMeter,
    /// A peer needs a keyframe.
    keyframe: bool,
}

struct VideoOutlet {
    id: PeerId,
    sender: Sender<EncodedFrame>,
    target: Option<Bitrate>,
    /// A frame found no room: nothing is sent until the next keyframe.
    broken: bool,
    throttle: KeyframeThrottle,
    sent: u64,
    /// The totals when this peer came.
    before: Totals,
}

/// Cumulative, for the one encoder.
#[derive(Clone, Default)]
struct Totals {
    encoded: u64,
    keyframes: u64,
    seconds: f64,
    resolution: Option<Resolution>,
    target: Bitrate,
    limitation: Limitation,
}

impl VideoOut {
    pub fn new(max: Option<Bitrate>) -> Self {
        Self { max: max.unwrap_or(DEFAULT_MAX), state: Mutex::default() }
    }

    pub fn add(&self, id: PeerId, sender: Sender<EncodedFrame>, target: Option<Bitrate>) {
        let mut state = self.lock();
        state.keyframe = true;
        let before = state.totals.clone();
        state.outlets.push(VideoOutlet {
            id,
            sender,
            target,
            broken: false,
            throttle: KeyframeThrottle::default(),
            sent: 0,
            before,
        });
    }

    pub fn remove(&self, id: PeerId) {
        self.lock().outlets.retain(|outlet| outlet.id != id);
    }

    pub fn request_keyframe(&self) {
        self.lock().keyframe = true;
    }

    pub fn set_target(&self, id: PeerId, target: Bitrate) {
        if let Some(outlet) = self.lock().outlets.iter_mut().find(|outlet| outlet.id == id) {
            outlet.target = Some(target);
        }
    }

    pub fn stats(&self, id: PeerId, into: &mut OutboundVideo) {
        let mut state = self.lock();
        let fps = state.sent_rate.rate(Instant::now());
        let Some(outlet) = state.outlets.iter().find(|outlet| outlet.id == id) else { return };
        let (now, before) = (&state.totals, &outlet.before);
        into.codec = "H264".into();
        into.frames_encoded = now.encoded - before.encoded;
        into.key_frames_encoded = now.keyframes - before.keyframes;
        into.total_encode_time = now.seconds - before.seconds;
        into.frames_sent = outlet.sent;
        into.frames_per_second = fps;
        into.frame_width = now.resolution.map_or(0, |resolution| resolution.width);
        into.frame_height = now.resolution.map_or(0, |resolution| resolution.height);
        into.target_bitrate = now.target.bps();
        into.quality_limitation_reason = now.limitation.as_str().into();
    }

    /// One encoder serves all, so the slowest peer sets the rate.
    fn target(&self) -> Bitrate {
        let state = self.lock();
        let slowest = state.outlets.iter().map(|outlet| outlet.target.unwrap_or(START_RATE)).min();
        slowest.unwrap_or(START_RATE).min(self.max)
    }

    /// Whether the picture taken at `now` must be a keyframe.
    fn take_keyframe_request(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let mut wanted = std::mem::take(&mut state.keyframe);
        for outlet in &mut state.outlets {
            let has_room = outlet.sender.capacity() > 0;
            wanted |= outlet.throttle.poll(now, outlet.broken && has_room);
        }
        wanted
    }

    /// A frame waits because the path is full: another one would only wait behind it, and is not made.
    fn is_behind(&self) -> bool {
        let waiting = |sender: &Sender<EncodedFrame>| sender.max_capacity() - sender.capacity();
        self.lock().outlets.iter().any(|outlet| !outlet.broken && waiting(&outlet.sender) > 0)
    }

    fn hand_out(&self, frame: &EncodedFrame) {
        let mut state = self.lock();
        state.outlets.retain_mut(|outlet| {
            if outlet.sender.is_closed() {
                return false;
            }
            if outlet.broken && !frame.keyframe {
                return true;
            }
            match outlet.sender.try_send(frame.clone()) {
                Ok(()) => {
                    outlet.broken = false;
                    outlet.sent += 1;
                    true
                }
                Err(TrySendError::Full(_)) => {
                    tracing::debug!(peer = outlet.id.0, "the network is behind: pictures are left out");
                    outlet.broken = true;
                    true
                }
                Err(TrySendError::Closed(_)) => false,
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the encoder's slot is closed.
pub(super) fn run(camera: &CameraLink, out: &VideoOut) {
    let mut sender = Sending::default();
    while !camera.encoder.is_closed() {
        let Some(frame) = camera.encoder.take(IDLE) else { continue };
        if camera.starts.swap(false, std::sync::atomic::Ordering::Relaxed) {
            out.request_keyframe();
        }
        sender.encode(&frame, out);
    }
}

/// The encoder and what feeds it.
#[derive(Default)]
struct Sending {
    pool: FramePool,
    scaler: Scaler,
    ladder: Option<Ladder>,
    encoder: Option<H264Encoder>,
    fps: f64,
    camera_rate: RateMeter,
}

impl Sending {
    fn encode(&mut self, frame: &RawFrame, out: &VideoOut) {
        let started = Instant::now();
        let target = out.target();
        let source = frame.image.resolution();
        self.measure(frame);
        if out.is_behind() {
            return;
        }
        let ladder = match &mut self.ladder {
            Some(ladder) if ladder.source() == source => ladder,
            ladder => ladder.insert(Ladder::new(source, self.fps, target)),
        };
        ladder.set_target(target);
        ladder.set_fps(self.fps);
        let fps = self.fps.round() as u32;
        let encoder = self.encoder.get_or_insert_with(|| H264Encoder::new(target, fps));
        encoder.set_target(target);
        encoder.set_fps(fps);

        let size = ladder.resolution();
        let keyframe = out.take_keyframe_request(started);
        // No copy where the sizes agree: the encoder reads the camera's picture.
        let result = if size == source {
            encoder.encode(frame, keyframe)
        } else {
            let image = self.scaler.scale(&frame.image, size, &self.pool);
            encoder.encode(&RawFrame { image, captured_at: frame.captured_at }, keyframe)
        };
        let finished = Instant::now();
        let work = finished - started;
        let encoded = match result {
            Ok(encoded) => encoded,
            Err(CodecError::NeedsKeyframe) => None,
            Err(CodecError::Fatal(error)) => {
                tracing::error!(error, "the encoder failed; the next picture gets a new one");
                self.encoder = None;
                out.request_keyframe();
                None
            }
        };
        let coded = match &encoded {
            Some(frame) if frame.keyframe => Coded::Keyframe,
            Some(_) => Coded::Delta,
            None => Coded::Skipped,
        };
        ladder.handle_frame(finished, work, coded);
        let mut state = out.lock();
        let totals = &mut state.totals;
        totals.seconds += work.as_secs_f64();
        totals.target = target;
        totals.limitation = ladder.limitation();
        if let Some(encoded) = &encoded {
            totals.encoded += 1;
            totals.keyframes += u64::from(encoded.keyframe);
            totals.resolution = Some(encoded.resolution);
            state.sent_rate.handle(finished);
        }
        drop(state);
        if let Some(encoded) = encoded {
            out.hand_out(&encoded);
        }
    }

    /// The camera's rate, from the times at which its pictures were taken.
    fn measure(&mut self, frame: &RawFrame) {
        const FIRST_GUESS: f64 = 30.0;
        self.camera_rate.handle(frame.captured_at);
        if self.fps == 0.0 {
            self.fps = FIRST_GUESS;
        }
        let measured = self.camera_rate.mean();
        if measured >= 1.0 && (measured - self.fps).abs() > FPS_STEP {
            self.fps = measured.min(60.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::I420;

    fn frame(start: Instant, number: u32) -> RawFrame {
        let mut image = I420::black(Resolution::new(320, 180));
        image.planes_mut().0.fill((number * 5) as u8);
        RawFrame { image, captured_at: start + Duration::from_secs(1) * number / 30 }
    }

    fn received(frames: &mut tokio::sync::mpsc::Receiver<EncodedFrame>) -> Vec<bool> {
        std::iter::from_fn(|| frames.try_recv().ok()).map(|frame| frame.keyframe).collect()
    }

    #[test]
    fn a_new_peer_and_one_that_lost_frames_start_with_a_keyframe() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (first, mut first_frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), first, None);
        (0..10).for_each(|n| sending.encode(&frame(start, n), &out));
        let got = received(&mut first_frames);
        assert!(got[0] && !got[1..].contains(&true) && got.len() > 5, "{got:?}");

        let (second, mut second_frames) = tokio::sync::mpsc::channel(2);
        out.add(PeerId(2), second, None);
        (10..20).for_each(|n| sending.encode(&frame(start, n), &out));
        assert!(received(&mut first_frames)[0], "a new peer needs a keyframe, all get it");
        assert_eq!(received(&mut second_frames), [true, false], "then the queue was full");
        (20..30).for_each(|n| sending.encode(&frame(start, n), &out));
        assert!(received(&mut second_frames)[0], "it goes on with a keyframe");

        out.remove(PeerId(1));
        drop(second_frames);
        (30..32).for_each(|n| sending.encode(&frame(start, n), &out));
        assert!(out.lock().outlets.is_empty(), "a peer that is gone is forgotten");
    }

    #[test]
    fn the_slowest_peer_and_the_user_set_the_rate() {
        let out = VideoOut::new(Some(Bitrate::from_kbps(900)));
        assert_eq!(out.target(), Bitrate::from_kbps(900));
        let (sender, _frames) = tokio::sync::mpsc::channel(1);
        out.add(PeerId(1), sender.clone(), None);
        out.add(PeerId(2), sender, None);
        out.set_target(PeerId(1), Bitrate::from_kbps(400));
        out.set_target(PeerId(2), Bitrate::from_kbps(4000));
        assert_eq!(out.target(), Bitrate::from_kbps(400));
        out.remove(PeerId(1));
        assert_eq!(out.target(), Bitrate::from_kbps(900));
    }

    #[test]
    fn statistics_count_from_the_moment_a_peer_came() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (sender, _frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), sender.clone(), None);
        (0..6).for_each(|n| sending.encode(&frame(start, n), &out));
        out.add(PeerId(2), sender, None);
        (6..10).for_each(|n| sending.encode(&frame(start, n), &out));
        let mut stats = OutboundVideo::default();
        out.stats(PeerId(2), &mut stats);
        assert_eq!((stats.frames_encoded, stats.frames_sent, stats.key_frames_encoded), (4, 4, 1));
        assert_eq!((stats.frame_width, stats.frame_height), (320, 180));
        assert_eq!(stats.quality_limitation_reason, "none");
        assert!(stats.total_encode_time > 0.0 && stats.codec == "H264");
    }
}
