//! One codec's part of the thread `venc` (`send_codecs`): takes the newest picture of the camera, scales and encodes it
//! once, and hands it to every peer who takes this codec. While nobody looks at the pictures it encodes none.

use super::budget::Budget;
use super::ladder::{Coded, Ladder, Limitation};
use super::meter::RateMeter;
use crate::codec::scale::Scaler;
use crate::codec::{self, CodecError, VideoEncoder};
use crate::frame::{EncodedFrame, FramePool, RawFrame};
use crate::ports::PeerId;
use crate::rtp::KeyframeThrottle;
use crate::stats::OutboundVideo;
use crate::units::{Bitrate, Resolution, VideoCodec};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// What a peer gets until its network has said what it can take.
const START_RATE: Bitrate = Bitrate::from_kbps(1000);
/// What is asked for if the user has set no limit.
const DEFAULT_MAX: Bitrate = Bitrate::from_kbps(2500);
/// Between two pictures of a stream at least, where one source takes over from another whose clock was ahead.
const LEAST_STEP: Duration = Duration::from_millis(1);
/// Measured rates that differ by less are the same camera.
const FPS_STEP: f64 = 2.0;

/// Where encoded pictures go, and what the peers ask for in return.
pub(super) struct VideoOut {
    codec: VideoCodec,
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
    /// Keeps peers from forcing one keyframe after the other.
    throttle: KeyframeThrottle,
}

pub(super) struct VideoOutlet {
    id: PeerId,
    sender: Sender<EncodedFrame>,
    target: Option<Bitrate>,
    /// The size at which the peer draws our picture, if it said so.
    drawn: Option<Resolution>,
    /// The peer said that nobody sees it.
    hidden: bool,
    /// A frame found no room: nothing is sent until the next keyframe.
    broken: bool,
    throttle: KeyframeThrottle,
    sent: u64,
    /// The totals when this peer came.
    before: Totals,
    /// What earlier encoders made for it.
    earlier: Totals,
    /// Of the last frame sent: the next one is later, from whatever source.
    last_at: Option<Instant>,
}

impl VideoOutlet {
    pub fn target(&self) -> Bitrate {
        self.target.unwrap_or(START_RATE)
    }

    /// All that was made for it: by this encoder, whose totals these are, and by earlier ones.
    fn all(&self, totals: &Totals) -> Totals {
        Totals {
            encoded: totals.encoded - self.before.encoded + self.earlier.encoded,
            keyframes: totals.keyframes - self.before.keyframes + self.earlier.keyframes,
            seconds: totals.seconds - self.before.seconds + self.earlier.seconds,
            ..totals.clone()
        }
    }
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
        Self { codec: VideoCodec::H264, max: max.unwrap_or(DEFAULT_MAX), state: Mutex::default() }
    }

    pub fn of(self, codec: VideoCodec) -> Self {
        Self { codec, ..self }
    }

    /// Whether there is a peer who takes these pictures.
    pub fn is_wanted(&self) -> bool {
        !self.lock().outlets.is_empty()
    }

    pub fn add(&self, id: PeerId, sender: Sender<EncodedFrame>, target: Option<Bitrate>) {
        let mut state = self.lock();
        state.keyframe = true;
        let before = state.totals.clone();
        state.outlets.push(VideoOutlet {
            id,
            sender,
            target,
            drawn: None,
            hidden: false,
            broken: false,
            throttle: KeyframeThrottle::default(),
            sent: 0,
            before,
            earlier: Totals::default(),
            last_at: None,
        });
    }

    /// The peer's pictures come from elsewhere from now on.
    pub fn take(&self, id: PeerId) -> Option<VideoOutlet> {
        let mut state = self.lock();
        let index = state.outlets.iter().position(|outlet| outlet.id == id)?;
        let mut outlet = state.outlets.remove(index);
        outlet.earlier = outlet.all(&state.totals);
        Some(outlet)
    }

    /// Takes over a peer from elsewhere, with a keyframe.
    pub fn put(&self, mut outlet: VideoOutlet) {
        let mut state = self.lock();
        state.keyframe = true;
        outlet.broken = true;
        outlet.before = state.totals.clone();
        state.outlets.push(outlet);
    }

    pub fn has(&self, id: PeerId) -> bool {
        self.lock().outlets.iter().any(|outlet| outlet.id == id)
    }

    /// Who takes pictures here, and what the way to each has room for.
    pub fn targets(&self) -> Vec<(PeerId, Bitrate)> {
        self.lock().outlets.iter().map(|outlet| (outlet.id, outlet.target())).collect()
    }

    /// The same of those who look at the pictures.
    pub fn seen_targets(&self) -> Vec<(PeerId, Bitrate)> {
        let state = self.lock();
        let seen = state.outlets.iter().filter(|outlet| !outlet.hidden);
        seen.map(|outlet| (outlet.id, outlet.target().min(self.max))).collect()
    }

    pub fn request_keyframe(&self) {
        self.lock().keyframe = true;
    }

    pub fn set_target(&self, id: PeerId, target: Bitrate) {
        if let Some(outlet) = self.lock().outlets.iter_mut().find(|outlet| outlet.id == id) {
            outlet.target = Some(target);
        }
    }

    /// At which size the peer draws our picture; `None`: not at all.
    pub fn set_view(&self, id: PeerId, drawn: Option<Resolution>) {
        if let Some(outlet) = self.lock().outlets.iter_mut().find(|outlet| outlet.id == id) {
            outlet.hidden = drawn.is_none();
            // What it has not seen it cannot decode from.
            outlet.broken |= outlet.hidden;
            outlet.drawn = drawn.or(outlet.drawn);
        }
    }

    /// The size at which our picture is wanted: that of the peer who draws it largest.
    fn wanted(&self) -> Wanted {
        let state = self.lock();
        if !state.outlets.is_empty() && state.outlets.iter().all(|outlet| outlet.hidden) {
            return Wanted::Nothing;
        }
        let mut seen = state.outlets.iter().filter(|outlet| !outlet.hidden).map(|outlet| outlet.drawn);
        let largest = seen.try_fold(Resolution::new(0, 0), |largest, drawn| {
            let drawn = drawn?;
            Some(Resolution::new(largest.width.max(drawn.width), largest.height.max(drawn.height)))
        });
        Wanted::Pictures(largest.filter(|largest| largest.area() > 0))
    }

    pub fn stats(&self, id: PeerId, into: &mut OutboundVideo) {
        let mut state = self.lock();
        let fps = state.sent_rate.rate(Instant::now());
        let Some(outlet) = state.outlets.iter().find(|outlet| outlet.id == id) else { return };
        let (now, all) = (&state.totals, outlet.all(&state.totals));
        into.codec = self.codec.name().into();
        into.frames_encoded = all.encoded;
        into.key_frames_encoded = all.keyframes;
        into.total_encode_time = all.seconds;
        into.frames_sent = outlet.sent;
        into.frames_per_second = fps;
        into.frame_width = now.resolution.map_or(0, |resolution| resolution.width);
        into.frame_height = now.resolution.map_or(0, |resolution| resolution.height);
        into.target_bitrate = now.target.bps();
        into.quality_limitation_reason = now.limitation.as_str().into();
    }

    /// One encoder serves all, so the slowest peer sets the rate.
    pub fn rate(&self) -> Bitrate {
        let state = self.lock();
        let seen = state.outlets.iter().filter(|outlet| !outlet.hidden);
        let slowest = seen.map(VideoOutlet::target).min();
        slowest.unwrap_or(START_RATE).min(self.max)
    }

    /// Whether the picture taken at `now` must be a keyframe.
    fn take_keyframe_request(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let mut wanted = state.keyframe;
        for outlet in &mut state.outlets {
            let has_room = outlet.sender.capacity() > 0;
            wanted |= outlet.throttle.poll(now, outlet.broken && !outlet.hidden && has_room);
        }
        let now_due = state.throttle.poll(now, wanted);
        // One that comes too soon is not forgotten.
        state.keyframe = wanted && !now_due;
        now_due
    }

    /// For each peer a frame waits because its path is full: another one would only wait behind it, and is not made. One
    /// that waits for a keyframe and has room for it is not behind, whatever the others are.
    fn is_behind(&self) -> bool {
        let waiting = |outlet: &VideoOutlet| outlet.sender.max_capacity() - outlet.sender.capacity();
        let state = self.lock();
        let takes = |outlet: &&VideoOutlet| {
            let stuck = outlet.broken && outlet.sender.capacity() == 0;
            !(outlet.hidden || stuck)
        };
        let mut live = state.outlets.iter().filter(takes).peekable();
        live.peek().is_some() && live.all(|outlet| !outlet.broken && waiting(outlet) > 0)
    }

    fn hand_out(&self, frame: &EncodedFrame) {
        let mut state = self.lock();
        state.outlets.retain_mut(|outlet| {
            if outlet.sender.is_closed() {
                return false;
            }
            if outlet.hidden || outlet.broken && !frame.keyframe {
                return true;
            }
            let mut frame = frame.clone();
            if let Some(last) = outlet.last_at.filter(|last| *last >= frame.captured_at) {
                frame.captured_at = last + LEAST_STEP;
            }
            let captured_at = frame.captured_at;
            match outlet.sender.try_send(frame) {
                Ok(()) => {
                    outlet.broken = false;
                    outlet.sent += 1;
                    outlet.last_at = Some(captured_at);
                    true
                }
                // It is not missed.
                Err(TrySendError::Full(frame)) if frame.disposable => true,
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

/// What the peers want to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// At this size, if all of them said one.
    Pictures(Option<Resolution>),
}

/// The encoder and what feeds it.
#[derive(Default)]
pub(super) struct Sending {
    pool: FramePool,
    scaler: Scaler,
    ladder: Option<Ladder>,
    encoder: Option<Box<dyn VideoEncoder>>,
    budget: Budget,
    fps: f64,
    camera_rate: RateMeter,
    /// When the next picture is due, while not all of the camera's are sent.
    next: Option<Instant>,
}

impl Sending {
    /// `taken`: when the thread took the picture; others may have had their turn with it since.
    pub fn encode(&mut self, frame: &RawFrame, taken: Instant, out: &VideoOut) {
        let started = Instant::now();
        let target = out.rate();
        let source = frame.image.resolution();
        self.measure(frame);
        if out.is_behind() {
            return;
        }
        let Wanted::Pictures(drawn) = out.wanted() else { return };
        let ladder = match &mut self.ladder {
            Some(ladder) if ladder.source() == source => ladder,
            ladder => ladder.insert(Ladder::new(source, self.fps, target, drawn)),
        };
        ladder.set_target(target);
        ladder.set_fps(self.fps);
        ladder.set_drawn(drawn);
        let fps = self.fps * ladder.share();
        if !is_due(&mut self.next, frame.captured_at, fps, self.fps) {
            return;
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => match codec::video_encoder(out.codec, target, fps.round() as u32) {
                Ok(encoder) => none.insert(encoder),
                Err(error) => {
                    tracing::error!(%error, "there is no encoder");
                    return;
                }
            },
        };
        encoder.set_target(target);
        encoder.set_fps(fps.round() as u32);
        if !self.budget.allows(frame.captured_at, target) {
            ladder.handle_frame(frame.captured_at, taken.elapsed(), Coded::Skipped);
            return;
        }

        let size = ladder.resolution();
        let keyframe = out.take_keyframe_request(frame.captured_at);
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
        if let Some(frame) = &encoded {
            self.budget.spend(frame.data.len(), frame.keyframe, target);
        }
        let coded = match &encoded {
            Some(frame) if frame.keyframe => Coded::Keyframe,
            Some(_) => Coded::Delta,
            None => Coded::Skipped,
        };
        ladder.handle_frame(frame.captured_at, finished - taken, coded);
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

/// Whether to send the picture taken at `at`, where `fps` of `camera` pictures a second are sent, evenly.
pub(super) fn is_due(next: &mut Option<Instant>, at: Instant, fps: f64, camera: f64) -> bool {
    if fps >= camera {
        *next = None;
        return true;
    }
    let interval = Duration::from_secs_f64(1.0 / fps);
    // The camera's pictures do not come to the microsecond.
    let slack = Duration::from_secs_f64(0.5 / camera);
    let due = next.filter(|next| *next <= at + interval * 2).unwrap_or(at);
    if at + slack < due {
        return false;
    }
    *next = Some(due.max(at.checked_sub(interval).unwrap_or(at)) + interval);
    true
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

    /// Encodes these frames for a peer that takes each at once; which of them were keyframes.
    fn encoded(
        numbers: std::ops::Range<u32>,
        start: Instant,
        sending: &mut Sending,
        out: &VideoOut,
        frames: &mut tokio::sync::mpsc::Receiver<EncodedFrame>,
    ) -> Vec<bool> {
        numbers
            .flat_map(|n| {
                sending.encode(&frame(start, n), Instant::now(), out);
                received(frames)
            })
            .collect()
    }

    #[test]
    fn a_new_peer_and_one_that_lost_frames_start_with_a_keyframe() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (first, mut first_frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), first, None);
        let got = encoded(0..10, start, &mut sending, &out, &mut first_frames);
        assert!(got[0] && !got[1..].contains(&true) && got.len() > 5, "{got:?}");

        let (second, mut second_frames) = tokio::sync::mpsc::channel(2);
        out.add(PeerId(2), second, None);
        let got = encoded(10..20, start, &mut sending, &out, &mut first_frames);
        assert!(got[0] && got.len() == 10, "a new peer needs a keyframe, all get it");
        assert_eq!(received(&mut second_frames), [true, false], "then the queue was full");
        encoded(20..30, start, &mut sending, &out, &mut first_frames);
        assert!(received(&mut second_frames)[0], "it goes on with a keyframe");

        drop(out.take(PeerId(1)));
        drop(second_frames);
        (30..32).for_each(|n| sending.encode(&frame(start, n), Instant::now(), &out));
        assert!(out.lock().outlets.is_empty(), "a peer that is gone is forgotten");
    }

    #[test]
    fn no_picture_is_made_that_would_only_wait() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (full, mut waiting) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), full, None);
        (0..10).for_each(|n| sending.encode(&frame(start, n), Instant::now(), &out));
        assert_eq!(received(&mut waiting), [true], "one waits, and nothing is made behind it");
        let (quick, mut quick_frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(2), quick, None);
        let got = encoded(10..20, start, &mut sending, &out, &mut quick_frames);
        assert_eq!(got.len(), 10, "a slow peer does not hold up the others");
    }

    #[test]
    fn the_slowest_peer_and_the_user_set_the_rate() {
        let out = VideoOut::new(Some(Bitrate::from_kbps(900)));
        assert_eq!(out.rate(), Bitrate::from_kbps(900));
        let (sender, _frames) = tokio::sync::mpsc::channel(1);
        out.add(PeerId(1), sender.clone(), None);
        out.add(PeerId(2), sender, None);
        out.set_target(PeerId(1), Bitrate::from_kbps(400));
        out.set_target(PeerId(2), Bitrate::from_kbps(4000));
        assert_eq!(out.rate(), Bitrate::from_kbps(400));
        drop(out.take(PeerId(1)));
        assert_eq!(out.rate(), Bitrate::from_kbps(900));
    }

    #[test]
    fn pictures_are_thinned_out_evenly() {
        let start = Instant::now();
        for (fps, expected) in [(30.0, 300), (20.0, 200), (15.0, 150)] {
            let mut next = None;
            let sent: Vec<u32> = (0..300u32)
                .filter(|n| {
                    let jitter = Duration::from_millis(u64::from(*n * 7 % 9));
                    is_due(&mut next, start + Duration::from_secs(1) * *n / 30 + jitter, fps, 30.0)
                })
                .collect();
            assert!(sent.len().abs_diff(expected) <= 2, "{} at {fps}", sent.len());
            assert!(sent.windows(2).all(|pair| pair[1] - pair[0] <= 3), "{sent:?}");
        }
    }

    #[test]
    fn nothing_is_encoded_for_peers_who_do_not_look() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (sender, mut frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), sender, None);
        assert_eq!(encoded(0..10, start, &mut sending, &out, &mut frames).len(), 10);
        out.set_view(PeerId(1), None);
        out.request_keyframe();
        (10..40).for_each(|n| sending.encode(&frame(start, n), Instant::now(), &out));
        assert!(received(&mut frames).is_empty());
        out.set_view(PeerId(1), Some(Resolution::new(320, 180)));
        let back = encoded(40..50, start, &mut sending, &out, &mut frames);
        assert!(back.len() == 10 && back[0] && !back[1..].contains(&true), "{back:?}");
    }

    #[test]
    fn one_that_is_behind_does_not_keep_another_from_its_keyframe() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (stuck, _never_read) = tokio::sync::mpsc::channel(100);
        let (sender, mut frames) = tokio::sync::mpsc::channel(1);
        out.add(PeerId(1), sender, None);
        out.add(PeerId(2), stuck, None);
        // The queue of one place is full after the first frame, and the second one is lost.
        sending.encode(&frame(start, 0), Instant::now(), &out);
        sending.encode(&frame(start, 1), Instant::now(), &out);
        out.lock().outlets[0].broken = true;
        assert_eq!(received(&mut frames), [true]);
        let got = encoded(20..40, start, &mut sending, &out, &mut frames);
        assert!(got.first() == Some(&true), "{got:?}");
    }

    #[test]
    fn who_draws_it_largest_sets_the_size() {
        let out = VideoOut::new(None);
        assert_eq!(out.wanted(), Wanted::Pictures(None));
        let (sender, _frames) = tokio::sync::mpsc::channel(1);
        out.add(PeerId(1), sender.clone(), None);
        out.add(PeerId(2), sender, None);
        out.set_view(PeerId(1), Some(Resolution::new(640, 200)));
        assert_eq!(out.wanted(), Wanted::Pictures(None), "one has not said");
        out.set_view(PeerId(2), Some(Resolution::new(320, 480)));
        assert_eq!(out.wanted(), Wanted::Pictures(Some(Resolution::new(640, 480))));
        out.set_view(PeerId(1), None);
        assert_eq!(out.wanted(), Wanted::Pictures(Some(Resolution::new(320, 480))));
        out.set_view(PeerId(2), None);
        assert_eq!(out.wanted(), Wanted::Nothing);
    }

    #[test]
    fn requests_for_keyframes_do_not_pile_up() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (sender, mut frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), sender, None);
        let keyframes = (0..60)
            .flat_map(|n| {
                out.request_keyframe();
                encoded(n..n + 1, start, &mut sending, &out, &mut frames)
            })
            .filter(|keyframe| *keyframe)
            .count();
        assert!((6..=7).contains(&keyframes), "{keyframes} in two seconds");
    }

    #[test]
    fn statistics_count_from_the_moment_a_peer_came() {
        let (out, mut sending, start) = (VideoOut::new(None), Sending::default(), Instant::now());
        let (sender, mut frames) = tokio::sync::mpsc::channel(100);
        out.add(PeerId(1), sender.clone(), None);
        encoded(0..6, start, &mut sending, &out, &mut frames);
        out.add(PeerId(2), sender, None);
        encoded(6..10, start, &mut sending, &out, &mut frames);
        let mut stats = OutboundVideo::default();
        out.stats(PeerId(2), &mut stats);
        assert_eq!((stats.frames_encoded, stats.frames_sent, stats.key_frames_encoded), (4, 4, 1));
        assert_eq!((stats.frame_width, stats.frame_height), (320, 180));
        assert_eq!(stats.quality_limitation_reason, "none");
        assert!(stats.total_encode_time > 0.0 && stats.codec == "H264");
    }
}
