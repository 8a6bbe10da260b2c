//! The receiving side: the real assembly, jitter buffer and clocks; a model of NACK, and a decoder that notices
//! every frame it could not have decoded.

use crate::figures::Figures;
use crate::link::Link;
use crate::sender::{VIDEO, Wire};
use crate::{Micros, at};
use std::collections::BTreeMap;
use std::time::Duration;
use twocan::frame::RtpPacket;
use twocan::rtp::{
    AccessUnit, FreezeDetector, KeyframeThrottle, PlayoutClock, SequenceUnwrapper, UndecodableVoice,
    VOICE_BLOCK, VideoAssembler, VoiceDecoder, VoicePlayout,
};

/// Transport feedback goes this often, as in libwebrtc at these rates.
const FEEDBACK: Micros = 50_000;
/// Missing packets are looked for this often and asked for so many times.
const NACK_INTERVAL: Micros = 20_000;
const NACK_LIMIT: u32 = 10;
const NACK_MOST: usize = 100;
/// What the ring and the sound card hold.
const DEVICE_DELAY: Duration = Duration::from_millis(20);
/// Arrival times are told on the receiver's clock.
const CLOCK_OFFSET: Duration = Duration::from_secs(777);

pub enum Feedback {
    /// Transport sequence number and arrival of each packet.
    Transport(Vec<(u64, Option<Duration>)>),
    Nack(Vec<u16>),
    KeyframeRequest,
}

#[derive(Default)]
struct Missing {
    since: Micros,
    asked: Option<Micros>,
    times: u32,
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
    sequences: SequenceUnwrapper,
    missing: BTreeMap<i64, Missing>,
    transport: BTreeMap<u64, Micros>,
    next_transport: u64,
    next_feedback: Micros,
    next_nack: Micros,
    next_pull: Micros,
    last_frame: u64,
    shown_at: Option<std::time::Instant>,
}

impl Receiver {
    pub fn new(round_trip_ms: u64) -> Self {
        let round_trip = Duration::from_millis(round_trip_ms);
        let mut assembler = VideoAssembler::new();
        assembler.set_patience(VideoAssembler::patience_for(round_trip));
        let mut throttle = KeyframeThrottle::default();
        throttle.set_round_trip(round_trip);
        Self {
            assembler,
            throttle,
            clock: PlayoutClock::default(),
            freezes: FreezeDetector::default(),
            voice: VoicePlayout::new(),
            ppm: 0.0,
            round_trip: round_trip_ms * 1000,
            sequences: SequenceUnwrapper::default(),
            missing: BTreeMap::new(),
            transport: BTreeMap::new(),
            next_transport: 1,
            next_feedback: 0,
            next_nack: 0,
            next_pull: 0,
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

    pub fn tick(
        &mut self,
        now: Micros,
        link: &mut Link<Wire>,
        back: &mut Link<Feedback>,
        figures: &mut Figures,
    ) {
        while let Some(wire) = link.receive(now) {
            match wire {
                Wire::Media { transport, bytes, mut packet } => {
                    figures.received_bytes += bytes;
                    self.transport.insert(transport, now);
                    packet.arrived_at = at(now);
                    self.take(now, packet);
                }
                Wire::Padding { transport, bytes } => {
                    figures.received_bytes += bytes;
                    self.transport.insert(transport, now);
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
        if now >= self.next_nack {
            self.next_nack += NACK_INTERVAL;
            self.ask_again(now, back);
        }
        if now >= self.next_feedback {
            self.next_feedback += FEEDBACK;
            self.report(now, back);
        }
    }

    fn take(&mut self, now: Micros, packet: RtpPacket) {
        if packet.ssrc != VIDEO {
            self.voice.handle_packet(&packet);
            return;
        }
        let before = self.sequences.highest();
        let sequence = self.sequences.unwrap(packet.sequence);
        if let Some(before) = before {
            let hole = (before + 1).max(sequence - 500)..sequence;
            self.missing.extend(hole.map(|s| (s, Missing { since: now, ..Missing::default() })));
        }
        self.missing.remove(&sequence);
        self.assembler.handle_packet(packet);
    }

    fn ask_again(&mut self, now: Micros, back: &mut Link<Feedback>) {
        let pause = self.round_trip + NACK_INTERVAL;
        self.missing.retain(|_, missing| missing.times < NACK_LIMIT && now < missing.since + 600_000);
        // A hole this large is an outage: a keyframe mends it, not the repetition of everything.
        if self.missing.len() > NACK_MOST {
            self.missing.clear();
        }
        let mut wanted = Vec::new();
        for (sequence, missing) in &mut self.missing {
            // What is only overtaken gets a moment to arrive.
            let due = missing.asked.map_or(missing.since + NACK_INTERVAL / 2, |asked| asked + pause);
            if now >= due {
                (missing.asked, missing.times) = (Some(now), missing.times + 1);
                wanted.push(*sequence as u16);
            }
        }
        if !wanted.is_empty() {
            back.send(now, 60 + 4 * wanted.len(), Feedback::Nack(wanted));
        }
    }

    fn report(&mut self, now: Micros, back: &mut Link<Feedback>) {
        let Some((&newest, _)) = self.transport.last_key_value() else { return };
        if newest < self.next_transport {
            self.transport.clear();
            return;
        }
        let arrival =
            |transport: &u64| Some(CLOCK_OFFSET + Duration::from_micros(*self.transport.get(transport)?));
        let all = (self.next_transport..=newest).map(|transport| (transport, arrival(&transport))).collect();
        back.send(now, 200, Feedback::Transport(all));
        self.next_transport = newest + 1;
        self.transport.clear();
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
