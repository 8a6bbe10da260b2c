//! The threads `vdec-*`, one for each peer: RTP packets to pictures on the screen.
//!
//! ```text
//!  inlet -> VideoAssembler -> decoder -> held until due (lip-sync) -> picture slot, y4m file
//!                 | needs a keyframe: KeyframeThrottle -> MediaEvent::NeedsKeyframe
//! ```
//! Copies of a picture: one, out of the decoder. The thread sleeps until a packet, a due picture or a deadline of
//! the assembler.

use super::glass::PictureAges;
use super::meter::RateMeter;
use super::sync::PeerSync;
use super::worker::Events;
use super::y4m::VideoFile;
use super::{MediaEvent, Picture};
use crate::codec::{self, CodecError, VideoDecoder};
use crate::frame::{FramePool, RawFrame, RtpPacket};
use crate::ports::PeerId;
use crate::rtp::{AccessUnit, FreezeDetector, KeyframeThrottle, VideoAssembler};
use crate::stats::InboundVideo;
use crate::units::{Resolution, VideoCodec};
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Packets between the network and this thread: half a second at 10 Mbit/s. One that finds no room is lost, and
/// asked for again by the network like any other.
pub(super) const PACKETS: usize = 512;
/// Decoded pictures that wait for their moment (1.4 MB each at 720p); with more the oldest is shown early.
const HELD: usize = 12;
/// Longest sleep.
const IDLE: Duration = Duration::from_secs(5);

/// What the thread shares with its owner.
pub(super) struct VideoIn {
    pub id: PeerId,
    pub packets: Receiver<RtpPacket>,
    /// Closed when the thread should end.
    pub ended: Receiver<()>,
    pub picture: Picture,
    pub sync: Arc<PeerSync>,
    pub file: Mutex<Option<VideoFile>>,
    state: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    stats: InboundVideo,
    freezes: FreezeDetector,
    ages: PictureAges,
    decoded: RateMeter,
    camera_stopped: bool,
    /// We have told the peer that nobody looks.
    hidden: bool,
}

impl VideoIn {
    pub fn new(
        id: PeerId,
        packets: Receiver<RtpPacket>,
        ended: Receiver<()>,
        sync: Arc<PeerSync>,
        file: Option<VideoFile>,
    ) -> Self {
        let (picture, file, state) = (Picture::default(), Mutex::new(file), Mutex::default());
        Self { id, packets, ended, picture, sync, file, state }
    }

    pub fn stats(&self, into: &mut InboundVideo) {
        let mut state = self.lock();
        let now = Instant::now();
        let fps = state.decoded.rate(now);
        let (ours, freezes) = (&state.stats, &state.freezes);
        into.frames_received = ours.frames_received;
        into.frames_decoded = ours.frames_decoded;
        into.frames_dropped = ours.frames_dropped;
        into.key_frames_decoded = ours.key_frames_decoded;
        into.frames_per_second = fps;
        into.frame_width = ours.frame_width;
        into.frame_height = ours.frame_height;
        into.freeze_count = freezes.count();
        into.total_freezes_duration = freezes.total_duration().as_secs_f64();
        into.jitter_buffer_delay = ours.jitter_buffer_delay;
        into.jitter_buffer_emitted_count = ours.jitter_buffer_emitted_count;
        into.total_decode_time = ours.total_decode_time;
        into.glass_to_glass = state.ages.stats();
        into.sync_offset_ms = self.sync.offset_ms();
    }

    /// The peer has switched its camera off or on: what follows is not a freeze, and the last picture goes.
    pub fn camera_stopped(&self, stopped: bool) {
        let mut state = self.lock();
        state.camera_stopped = stopped;
        state.freezes.pause();
        // As long as the state is locked no picture is put there.
        if stopped {
            self.picture.clear();
        }
    }

    /// Whether anybody looks at the pictures; while nobody does, the peer sends none.
    pub fn set_shown(&self, shown: bool) {
        let mut state = self.lock();
        state.hidden = !shown;
        state.freezes.pause();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until [`VideoIn::ended`] is closed.
pub(super) fn run(link: &VideoIn, events: &Events) {
    let mut receiving = Receiving::default();
    loop {
        let now = Instant::now();
        let wait = receiving.deadline().map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
        crossbeam_channel::select! {
            recv(link.packets) -> packet => {
                let Ok(packet) = packet else { return };
                receiving.assembler.handle_packet(packet);
                // They come in bursts: one wake-up takes all that is here.
                link.packets.try_iter().for_each(|packet| receiving.assembler.handle_packet(packet));
            }
            recv(link.ended) -> _ => return,
            default(wait) => {}
        }
        receiving.work(link, events);
    }
}

struct Held {
    due: Instant,
    first_arrival: Instant,
    frame: Arc<RawFrame>,
}

#[derive(Default)]
struct Receiving {
    assembler: VideoAssembler,
    throttle: KeyframeThrottle,
    decoder: Option<(VideoCodec, Box<dyn VideoDecoder>)>,
    pool: FramePool,
    held: VecDeque<Held>,
    /// Pictures that were decoded and not shown: a newer one was due as well.
    passed_over: u64,
}

impl Receiving {
    /// When there is something to do without a packet.
    fn deadline(&self) -> Option<Instant> {
        let repeat = self.assembler.needs_keyframe().then(|| self.throttle.deadline()).flatten();
        let due = self.held.front().map(|held| held.due);
        [self.assembler.deadline(), repeat, due].into_iter().flatten().min()
    }

    fn work(&mut self, link: &VideoIn, events: &Events) {
        if let Some(round_trip) = link.sync.round_trip() {
            self.assembler.set_round_trip(round_trip);
            self.throttle.set_round_trip(round_trip);
        }
        let mut now = Instant::now();
        while let Some(unit) = self.assembler.poll(now) {
            if let Err(error) = self.decode(link, &unit) {
                tracing::debug!(%error, peer = link.id.0, "a picture could not be decoded");
                self.assembler.decoder_failed();
            }
            now = Instant::now();
        }
        self.show(link, now);
        if self.throttle.poll(now, self.assembler.needs_keyframe()) {
            events.send(MediaEvent::NeedsKeyframe(link.id));
        }
        let counters = self.assembler.counters();
        let stats = &mut link.lock().stats;
        stats.frames_received = counters.frames + counters.frames_dropped;
        stats.frames_dropped = counters.frames_dropped + self.passed_over;
    }

    fn decode(&mut self, link: &VideoIn, unit: &AccessUnit) -> Result<(), CodecError> {
        let (_, decoder) = match &mut self.decoder {
            Some(decoder) if decoder.0 == unit.codec => decoder,
            other => other.insert((unit.codec, codec::video_decoder(unit.codec)?)),
        };
        let started = Instant::now();
        let decoded = decoder.decode(&unit.data, &self.pool);
        let finished = Instant::now();
        if let Err(CodecError::Fatal(_)) = decoded {
            self.decoder = None;
        }
        let Some(image) = decoded? else { return Ok(()) };
        let due = link.sync.due(unit, finished);
        let Resolution { width, height } = image.resolution();
        let mut state = link.lock();
        state.decoded.handle(finished);
        let stats = &mut state.stats;
        stats.frames_decoded += 1;
        stats.key_frames_decoded += u64::from(unit.keyframe);
        stats.total_decode_time += (finished - started).as_secs_f64();
        (stats.frame_width, stats.frame_height) = (width, height);
        drop(state);
        let frame = Arc::new(RawFrame { image, captured_at: due });
        self.held.push_back(Held { due, first_arrival: unit.first_arrival, frame });
        Ok(())
    }

    /// Shows the newest picture whose time has come.
    fn show(&mut self, link: &VideoIn, now: Instant) {
        let mut newest: Option<Held> = None;
        while self.held.front().is_some_and(|held| held.due <= now) || self.held.len() > HELD {
            self.passed_over += u64::from(newest.is_some());
            newest = self.held.pop_front();
        }
        let Some(newest) = newest else { return };
        let mut state = link.lock();
        state.stats.jitter_buffer_delay += now.saturating_duration_since(newest.first_arrival).as_secs_f64();
        state.stats.jitter_buffer_emitted_count += 1;
        state.ages.handle_shown(&newest.frame.image, SystemTime::now());
        if state.camera_stopped {
            return; // packets that were still under way
        }
        if !state.hidden {
            state.freezes.handle_frame(now);
        }
        link.picture.put(newest.frame.clone());
        drop(state);
        if let Some(file) = &*link.file.lock().unwrap_or_else(PoisonError::into_inner) {
            file.put(newest.frame);
        }
    }
}
