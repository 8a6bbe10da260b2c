//! The receiving side: the real assembly, NACK, jitter buffer and clocks; a model of the feedback, and a decoder that notices
//! every frame it could not have decoded.

use crate::figures::Figures;
use crate::link::Way;
use crate::sender::{VIDEO, Wire};
use crate::{Micros, at};
use std::collections::BTreeMap;
use std::time::Duration;
use twocan::frame::RtpPacket;
use twocan::rtp::{
    AccessUnit, FreezeDetector, KeyframeThrottle, NackTracker, PlayoutClock, SequenceUnwrapper,
    UndecodableVoice, VOICE_BLOCK, VideoAssembler, VoiceDecoder, VoicePlayout,
};

/// Transport feedback goes this often, as in the application.
const FEEDBACK: Micros = 25_000;
/// What the ring and the sound card hold.
const DEVICE_DELAY: Duration = Duration::from_millis(20);
/// Arrival times are told on the receiver's clock.
const CLOCK_OFFSET: Duration = Duration::from_secs(777);

pub enum Feedback {
    /// Transport sequence number of the first, and the arrivals from there on.
    Transport(u16, Vec<Option<Duration>>),
    /// What a receiver report tells.
    RoundTrip(Duration),
    Nack(Vec<u16>),
    KeyframeRequest,
}

/// Gives silence, and counts nothing: the jitter buffer does.
struct Silent;

impl VoiceDecoder for Silent {
    fn decode(&mut self, _: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(960, pcm)
    }
    fn recover(&mut self, _: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(samples, pcm)
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        pcm.resize(pcm.len() + samples, 0.0);
        Ok(())
    }
}

pub struct Receiver {
    assembler: VideoAssembler,
    throttle: KeyframeThrottle,
    clock: PlayoutClock,
    freezes: FreezeDetector,
    voice: VoicePlayout,
    /// The sender's clock is fast by this; here for the delay from capture alone.
    pub ppm: f64,
    round_trip: Micros,
    nack: NackTracker,
    /// Packets since the last feedback, and those before it that came late.
    transport: BTreeMap<i64, Micros>,
    transports: SequenceUnwrapper,
    next_transport: Option<i64>,
    next_feedback: Micros,
    next_report: Micros,
    next_pull: Micros,
    last_frame: u64,
    shown_at: Option<std::time::Instant>,
}

impl Receiver {
    pub fn new(round_trip_ms: u64, now: Micros) -> Self {
        let round_trip = Duration::from_millis(round_trip_ms);
        let mut assembler = VideoAssembler::new();
        assembler.set_patience(VideoAssembler::patience_for(round_trip));
        let mut throttle = KeyframeThrottle::default();
        throttle.set_round_trip(round_trip);
        let mut nack = NackTracker::default();
        nack.set_round_trip(round_trip);
        Self {
            assembler,
            throttle,
            clock: PlayoutClock::default(),
            freezes: FreezeDetector::default(),
            voice: VoicePlayout::new(),
            ppm: 0.0,
            round_trip: round_trip_ms * 1000,
            nack,
            transport: BTreeMap::new(),
            transports: SequenceUnwrapper::default(),
            next_transport: None,
            next_feedback: now,
            next_report: now + 1_000_000,
            next_pull: now,
            last_frame: 0,
            shown_at: None,
        }
    }

    pub fn voice(&self) -> &VoicePlayout {
        &self.voice
    }
    pub fn freezes(&self) -> &FreezeDetector {
        &self.freezes
    }

    pub fn held(&self) -> usize {
        self.transport.len()
    }

    pub fn tick(
        &mut self,
        now: Micros,
        arrived: impl Iterator<Item = Wire>,
        back: &mut dyn Way<Feedback>,
        figures: &mut Figures,
    ) {
        for wire in arrived {
            match wire {
                Wire::Media { transport, bytes, repeat, mut packet } => {
                    figures.received_bytes += bytes;
                    self.arrive(now, transport);
                    packet.arrived_at = at(now);
                    self.take(now, packet, repeat);
                }
                Wire::Padding { transport, bytes } => {
                    figures.received_bytes += bytes;
                    self.arrive(now, transport);
                }
                Wire::Report(report) => self.clock.handle_sender_report(&report),
            }
        }
        while let Some(unit) = self.assembler.poll(at(now)) {
            self.show(now, &unit, figures);
        }
        if self.throttle.poll(at(now), self.assembler.needs_keyframe()) {
            figures.keyframe_requests += 1;
            back.send(now, 60, Feedback::KeyframeRequest);
        }
        if now >= self.next_pull {
            self.next_pull += 10_000;
            let mut block = [0.0; VOICE_BLOCK];
            if let Some(time) = self.voice.pull(at(now), &mut Silent, &mut block) {
                self.clock.handle_sound(time, at(now) + DEVICE_DELAY);
            }
            self.voice.set_extra_delay(self.clock.wanted_audio_delay());
            if let Some(lag) = self.voice.lag() {
                figures.sound_lag_ms.add(lag.as_secs_f64() * 1e3);
            }
        }
        let wanted = self.nack.poll(at(now));
        if !wanted.is_empty() {
            back.send(now, 60 + 4 * wanted.len(), Feedback::Nack(wanted));
        }
        if now >= self.next_report {
            self.next_report += 1_000_000;
            back.send(now, 80, Feedback::RoundTrip(Duration::from_micros(self.round_trip)));
        }
        if now >= self.next_feedback {
            self.next_feedback += FEEDBACK;
            self.report(now, back);
        }
    }

    fn take(&mut self, now: Micros, packet: RtpPacket, repeat: bool) {
        if packet.ssrc != VIDEO {
            self.voice.handle_packet(&packet);
            return;
        }
        if self.nack.handle_packet(at(now), packet.sequence, repeat) {
            self.assembler.handle_packet(packet);
        }
    }

    fn arrive(&mut self, now: Micros, transport: u16) {
        let transport = self.transports.unwrap(transport);
        self.transport.insert(transport, now);
        let next = self.next_transport.get_or_insert(transport);
        *next = transport.min(*next);
    }

    fn report(&mut self, now: Micros, back: &mut dyn Way<Feedback>) {
        let (Some(base), Some((&newest, _))) = (self.next_transport, self.transport.last_key_value()) else {
            return;
        };
        if newest < base {
            return;
        }
        let arrival =
            |transport: i64| Some(CLOCK_OFFSET + Duration::from_micros(*self.transport.get(&transport)?));
        let all: Vec<_> = (base..=newest).map(arrival).collect();
        back.send(now, 64 + 2 * all.len(), Feedback::Transport(base as u16, all));
        self.next_transport = Some(newest + 1);
        // What comes late is reported once more with what came around it.
        self.transport = self.transport.split_off(&(newest - 100));
    }

    fn show(&mut self, now: Micros, unit: &AccessUnit, figures: &mut Figures) {
        let number = unit.data.last_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number));
        assert!(unit.keyframe || number == self.last_frame + 1, "frame {number} after {}", self.last_frame);
        self.last_frame = number;
        let due = self.clock.due(at(now), unit.timestamp, unit.last_arrival);
        // The screen shows pictures in order.
        let due = self.shown_at.map_or(due, |last| due.max(last));
        self.shown_at = Some(due);
        self.freezes.handle_frame(due);
        let captured = unit.timestamp as f64 / 0.09 / (1.0 + self.ppm * 1e-6);
        figures.picture_delay_ms.add((due - at(captured as Micros)).as_secs_f64() * 1e3);
        figures.playout_ms.add(self.clock.delay().as_secs_f64() * 1e3);
        if let Some(skew) = self.clock.skew_ms() {
            figures.skew_ms.add(skew.abs());
        }
        figures.frames_shown += 1;
        figures.keyframes += u64::from(unit.keyframe);
        figures.first_shown_at.get_or_insert(now);
    }
}
