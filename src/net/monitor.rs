//! What one connection knows about itself: counters, clocks, where packets and events go. The interceptors write
//! it from webrtc's driver task, the send tasks and `stats` read it; every lock is held for a few instructions.

mod counts;

use super::intercept;
use super::media_clock::MediaClock;
use super::streams::Streams;
use super::{Link, NetEvent};
use crate::codec::opus::VOICE_RATE;
use crate::ports::{Inlet, SenderReport};
use crate::rate::{Estimator, Pacer};
use crate::rtp::VoiceProtection;
use crate::stats::PeerStats;
use crate::units::{Bitrate, MediaKind};
use counts::{Kinds, Received, Sent};
use rtc::interceptor::TaggedPacket;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// No payload type: this kind is not negotiated. Real ones have seven bits.
const NO_PAYLOAD_TYPE: u8 = 0xff;

/// Our two streams: fixed when the connection is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ssrcs {
    pub audio: u32,
    pub video: u32,
}

pub(super) struct Monitor {
    pub ssrcs: Ssrcs,
    pub clock: MediaClock,
    link: watch::Sender<Link>,
    life: Mutex<Life>,
    events: mpsc::Sender<NetEvent>,
    audio_payload_type: AtomicU8,
    video_payload_type: AtomicU8,
    red_payload_type: AtomicU8,
    pacer: Mutex<Pacer<TaggedPacket>>,
    estimator: Mutex<Estimator>,
    /// Those of other members, and smaller layers.
    pub streams: Streams,
    inlet: Mutex<Option<Inlet>>,
    /// Whether sound and picture may pass, in either direction.
    admitted: AtomicBool,
    /// Our own sound and picture are not sent here: they go another way.
    held: AtomicBool,
    state: Mutex<State>,
}

/// What is known of the path.
struct Life {
    webrtc: Link,
    /// Whether nothing comes in on the way in use; `None` if webrtc alone knows: with relays only.
    silent: Option<bool>,
    interrupted: Option<Instant>,
}

/// So long after the last sign of life media may still be sent (RFC 7675, 5.1).
const CONSENT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    sent: Kinds<Sent>,
    received: Kinds<Received>,
    /// SSRC of our retransmissions.
    local_rtx: Option<u32>,
    round_trip: Option<Duration>,
    protection: VoiceProtection,
    estimate: Bitrate,
    video_target: Bitrate,
}

impl Monitor {
    pub fn new(
        events: mpsc::Sender<NetEvent>,
        ssrcs: Ssrcs,
        clock: MediaClock,
        estimator: Estimator,
    ) -> Self {
        Self {
            ssrcs,
            clock,
            link: watch::channel(Link::Connecting).0,
            life: Mutex::new(Life { webrtc: Link::Connecting, silent: None, interrupted: None }),
            events,
            audio_payload_type: AtomicU8::new(NO_PAYLOAD_TYPE),
            video_payload_type: AtomicU8::new(NO_PAYLOAD_TYPE),
            red_payload_type: AtomicU8::new(NO_PAYLOAD_TYPE),
            pacer: Mutex::new(Pacer::new(intercept::FIRST_PACE)),
            estimator: Mutex::new(estimator),
            streams: Streams::default(),
            inlet: Mutex::default(),
            admitted: AtomicBool::new(true),
            held: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what will be said again or has become old by the time there is room: never waits.
    pub fn tell(&self, event: NetEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("an event of the network was dropped: the engine is busy or gone");
        }
    }

    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub fn is_connected(&self) -> bool {
        *self.link.borrow() == Link::Connected
    }

    /// Sound goes on through an interruption: it is little, and the other side hears the path's return by it.
    pub fn may_send_sound(&self, now: Instant) -> bool {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let since = life.interrupted;
        let consents = since.is_some_and(|since| now.saturating_duration_since(since) < CONSENT);
        self.is_admitted() && !self.is_held() && (self.is_connected() || consents)
    }

    /// webrtc's own word on the link.
    pub fn set_link(&self, now: Instant, link: Link) {
        self.live(now, |life| life.webrtc = link);
    }

    /// Whether the way in use is silent, which is known sooner than webrtc does.
    pub fn set_silent(&self, now: Instant, silent: Option<bool>) {
        self.live(now, |life| life.silent = silent);
    }

    fn live(&self, now: Instant, change: impl FnOnce(&mut Life)) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut life);
        let link = match (life.webrtc, life.silent) {
            (Link::Connected | Link::Interrupted, Some(true)) => Link::Interrupted,
            (Link::Connected | Link::Interrupted, Some(false)) => Link::Connected,
            (link, _) => link,
        };
        life.interrupted = (link == Link::Interrupted).then(|| life.interrupted.unwrap_or(now));
        self.link.send_if_modified(|told| std::mem::replace(told, link) != link);
    }

    // The negotiated payload types: written once, when both descriptions are there.

    fn payload_type_cell(&self, kind: MediaKind) -> &AtomicU8 {
        match kind {
            MediaKind::Audio => &self.audio_payload_type,
            MediaKind::Video => &self.video_payload_type,
        }
    }
    pub fn set_payload_type(&self, kind: MediaKind, payload_type: Option<u8>) {
        self.payload_type_cell(kind).store(payload_type.unwrap_or(NO_PAYLOAD_TYPE), Ordering::Relaxed);
    }
    pub fn payload_type(&self, kind: MediaKind) -> Option<u8> {
        let payload_type = self.payload_type_cell(kind).load(Ordering::Relaxed);
        (payload_type != NO_PAYLOAD_TYPE).then_some(payload_type)
    }

    /// For sound with copies; `None` if the other side does not take them.
    pub fn set_red(&self, payload_type: Option<u8>) {
        self.red_payload_type.store(payload_type.unwrap_or(NO_PAYLOAD_TYPE), Ordering::Relaxed);
    }
    pub fn red(&self) -> Option<u8> {
        let payload_type = self.red_payload_type.load(Ordering::Relaxed);
        (payload_type != NO_PAYLOAD_TYPE).then_some(payload_type)
    }

    /// How many packets of sound each packet repeats now.
    pub fn voice_copies(&self) -> usize {
        let state = self.state();
        if self.red().is_some() { state.protection.depth(state.estimate, VOICE_RATE) } else { 0 }
    }

    /// What leaves, and when. The video task asks it about each frame; the rest happens in webrtc's driver.
    pub fn pacer(&self) -> MutexGuard<'_, Pacer<TaggedPacket>> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn estimator(&self) -> MutexGuard<'_, Estimator> {
        self.estimator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what was before.
    pub fn set_admitted(&self, admitted: bool) -> bool {
        self.admitted.swap(admitted, Ordering::Relaxed)
    }
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }
    pub fn may_forward(&self) -> bool {
        self.is_connected() && self.is_admitted()
    }
    pub fn may_send_pictures(&self) -> bool {
        self.may_forward() && !self.is_held()
    }
    pub fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }
    fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub fn set_inlet(&self, inlet: Inlet) {
        *self.inlet.lock().unwrap_or_else(PoisonError::into_inner) = Some(inlet);
    }
    pub fn with_inlet(&self, act: impl FnOnce(&Inlet)) {
        if !self.is_admitted() {
            return;
        }
        if let Some(inlet) = &*self.inlet.lock().unwrap_or_else(PoisonError::into_inner) {
            act(inlet);
        }
    }

    /// What may be sent altogether, and what of it is for the video encoder.
    pub fn set_estimate(&self, estimate: Bitrate, video: Bitrate) {
        let mut state = self.state();
        (state.estimate, state.video_target) = (estimate, video);
        drop(state);
        self.pacer().set_target(estimate);
    }

    // What the interceptors see.

    pub fn local_stream_bound(&self, ssrc: u32, rtx: Option<u32>) {
        if ssrc == self.ssrcs.video {
            self.state().local_rtx = rtx;
        }
    }

    pub fn remote_stream_bound(&self, kind: MediaKind, ssrc: u32, rtx: Option<u32>, clock_rate: u32) {
        let mut state = self.state();
        let received = state.received.of(kind);
        // A second stream of the same kind (a shared screen, say) has no place to go.
        if received.ssrc.is_none() {
            *received = Received { ssrc: Some(ssrc), rtx, clock_rate, ..Received::default() };
        }
    }

    /// Kind of the remote stream with this SSRC, if it is the one we play.
    pub fn remote_kind(&self, ssrc: u32) -> Option<MediaKind> {
        let state = self.state();
        let is = |received: &Received| received.ssrc == Some(ssrc);
        if is(&state.received.video) {
            Some(MediaKind::Video)
        } else {
            is(&state.received.audio).then_some(MediaKind::Audio)
        }
    }

    pub fn round_trip(&self) -> Option<Duration> {
        self.state().round_trip
    }

    pub fn remote_video(&self) -> Option<u32> {
        self.state().received.video.ssrc
    }

    fn local_kind(&self, ssrc: u32) -> Option<MediaKind> {
        if ssrc == self.ssrcs.video {
            Some(MediaKind::Video)
        } else {
            (ssrc == self.ssrcs.audio).then_some(MediaKind::Audio)
        }
    }

    pub fn rtp_sent(&self, header: &rtc::rtp::Header, payload: usize, now: Instant) {
        self.estimator().handle_sent(now);
        let mut state = self.state();
        let retransmission = state.local_rtx == Some(header.ssrc);
        let kind = if retransmission { Some(MediaKind::Video) } else { self.local_kind(header.ssrc) };
        let Some(kind) = kind else { return };
        let sent = state.sent.of(kind);
        sent.packets += 1;
        sent.bytes += payload as u64;
        sent.retransmitted += u64::from(retransmission);
        sent.frames += u64::from(header.marker && !retransmission);
    }

    /// So many packets of a probe go out as retransmissions that nobody has asked for.
    pub fn padding_sent(&self, packets: u64) {
        self.state().sent.of(MediaKind::Video).padding += packets;
    }

    pub fn rtp_received(&self, ssrc: u32, payload: usize) {
        let mut state = self.state();
        let Kinds { audio, video } = &mut state.received;
        for received in [video, audio] {
            if received.ssrc == Some(ssrc) || received.rtx == Some(ssrc) {
                received.packets += 1;
                received.bytes += payload as u64;
                return;
            }
        }
    }

    /// A control packet that goes out: our reports and requests about what we receive.
    pub fn rtcp_sent(&self, packet: &dyn rtcp::Packet) {
        let packet = packet.as_any();
        let mut state = self.state();
        let Kinds { audio, video } = &mut state.received;
        if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            for block in &report.reports {
                // 24 bits, signed: duplicates make it negative.
                let lost = i64::from((block.total_lost << 8) as i32 >> 8);
                self.streams.lost(block.ssrc, lost, block.jitter);
                for received in [&mut *video, &mut *audio] {
                    if received.ssrc == Some(block.ssrc) {
                        received.lost = lost;
                        received.jitter = f64::from(block.jitter) / f64::from(received.clock_rate.max(1));
                    }
                }
            }
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            video.nacks += u64::from(video.ssrc == Some(nack.media_ssrc));
            self.streams.tally(nack.media_ssrc, |tally| tally.nacks += 1);
        } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            video.plis += u64::from(video.ssrc == Some(pli.media_ssrc));
            self.streams.tally(pli.media_ssrc, |tally| tally.plis += 1);
        }
    }

    /// A control packet from the other side.
    pub fn rtcp_received(&self, packet: &dyn rtcp::Packet, now: Instant) {
        let packet = packet.as_any();
        if let Some(report) = packet.downcast_ref::<rtcp::sender_report::SenderReport>() {
            let (own, ntp, rtp) = (self.remote_kind(report.ssrc), report.ntp_time, report.rtp_time);
            let told = SenderReport { kind: own.unwrap_or(MediaKind::Video), ntp, rtp, arrived_at: now };
            let forwarded = self.streams.handle_report(own, report.ssrc, told);
            let event = own.map(|_| NetEvent::SenderReport(told)).or(forwarded);
            event.into_iter().for_each(|event| self.tell(event));
            self.reported(&report.reports, now);
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.reported(&report.reports, now);
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            if let Some(kind) = self.local_kind(nack.media_ssrc) {
                self.state().sent.of(kind).nacks += 1;
            }
        } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            self.keyframe_wanted(pli.media_ssrc);
        } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
            request.fir.iter().for_each(|entry| self.keyframe_wanted(entry.ssrc));
        }
    }

    fn keyframe_wanted(&self, ssrc: u32) {
        if ssrc == self.ssrcs.video {
            self.state().sent.video.plis += 1;
        }
        self.keyframe_needed(ssrc);
    }

    /// Which size of our own picture this stream is, 0 being the main one.
    pub fn layer_of(&self, ssrc: u32) -> Option<u8> {
        if ssrc == self.ssrcs.video { Some(0) } else { self.streams.layer_of(ssrc) }
    }

    /// One of our streams of pictures can only go on with a keyframe.
    pub fn keyframe_needed(&self, ssrc: u32) {
        let event = match ssrc == self.ssrcs.video {
            true => Some(NetEvent::KeyframeWanted),
            false => self.streams.keyframe_wanted(ssrc),
        };
        event.into_iter().for_each(|event| self.tell(event));
    }

    /// What the other side says about our streams.
    fn reported(&self, blocks: &[ReceptionReport], now: Instant) {
        for block in blocks {
            let Some(kind) = self.local_kind(block.ssrc) else { continue };
            let fraction = f64::from(block.fraction_lost) / 256.0;
            let mut state = self.state();
            state.sent.of(kind).fraction_lost = fraction;
            if let Some(round_trip) = self.clock.round_trip(block.last_sender_report, block.delay, now) {
                state.round_trip = Some(round_trip);
                drop(state);
                self.estimator().handle_round_trip(round_trip);
            } else {
                drop(state);
            }
            if kind == MediaKind::Video {
                self.estimator().handle_receiver_report(now, fraction);
            }
            if kind == MediaKind::Audio {
                let mut state = self.state();
                state.protection.handle_report(fraction, block.last_sequence_number);
                let loss = state.protection.loss() as f32;
                drop(state);
                self.tell(NetEvent::AudioLoss(loss));
            }
        }
    }

    pub fn fill(&self, into: &mut PeerStats) {
        let state = self.state();
        let (sent, received) = (&state.sent, &state.received);
        let video = &mut into.outbound.video;
        video.packets_sent = sent.video.packets;
        video.bytes_sent = sent.video.bytes;
        video.frames_sent = sent.video.frames;
        video.retransmitted_packets_sent = sent.video.retransmitted.saturating_sub(sent.video.padding);
        video.nack_count = sent.video.nacks;
        video.pli_count = sent.video.plis;
        video.fraction_lost = sent.video.fraction_lost;
        video.target_bitrate = state.video_target.bps();
        let audio = &mut into.outbound.audio;
        audio.packets_sent = sent.audio.packets;
        audio.bytes_sent = sent.audio.bytes;
        audio.fraction_lost = sent.audio.fraction_lost;
        let video = &mut into.inbound.video;
        video.packets_received = received.video.packets;
        video.bytes_received = received.video.bytes;
        video.packets_lost = received.video.lost;
        video.jitter = received.video.jitter;
        video.nack_count = received.video.nacks;
        video.pli_count = received.video.plis;
        let audio = &mut into.inbound.audio;
        audio.packets_received = received.audio.packets;
        audio.bytes_received = received.audio.bytes;
        audio.packets_lost = received.audio.lost;
        audio.jitter = received.audio.jitter;
        into.candidate_pair.available_outgoing_bitrate = state.estimate.bps();
        if let Some(round_trip) = state.round_trip {
            into.candidate_pair.current_round_trip_time = round_trip.as_secs_f64();
        }
    }
}
