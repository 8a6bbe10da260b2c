//! The sending side: a model of the encoders, the real estimator and pacer, retransmission.

use crate::figures::Figures;
use crate::link::{Random, Way};
use crate::receiver::Feedback;
use crate::{Micros, at};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use twocan::frame::RtpPacket;
use twocan::ports::SenderReport;
use twocan::rate::{Admission, Departure, Estimator, History, Pacer, Priority};
use twocan::units::{Bitrate, MediaKind};

/// RTP, extension, SRTP, UDP and IP headers.
pub const OVERHEAD: usize = 12 + 8 + 10 + 28;
const PAYLOAD: usize = 1_100;
const FPS: u64 = 30;
/// A keyframe is so many times larger than the other frames.
const KEYFRAME_SIZE: f64 = 5.0;
/// Speech at 32 kbit/s.
const VOICE_BYTES: usize = 80;
/// Packets that can be sent again.
const HISTORY: usize = 1_000;
pub const VIDEO: u32 = 1;
pub const VOICE: u32 = 2;

/// What is under way on the link.
#[derive(Clone)]
pub enum Wire {
    Media { transport: u16, bytes: usize, repeat: bool, packet: RtpPacket },
    Padding { transport: u16, bytes: usize },
    Report(SenderReport),
}

pub struct Sender {
    pub estimator: Estimator,
    /// Packets, and whether they are repeats.
    pacer: Pacer<(RtpPacket, bool)>,
    random: Random,
    /// How fast its clock is.
    pub ppm: f64,
    /// Makes at most this much video, whatever is allowed.
    pub encoder_limit: Bitrate,
    pub voice_on: bool,
    pub video_on: bool,
    pub probing: bool,
    next_frame: u64,
    next_voice: u64,
    frame_number: u64,
    keyframe: bool,
    last_keyframe: Option<Micros>,
    /// Bits over budget that later frames make good.
    debt: f64,
    video_sequence: u16,
    voice_sequence: u16,
    history: VecDeque<RtpPacket>,
    resent: Vec<Option<(u16, Instant)>>,
    under_way: History,
    next_tick: Micros,
    next_report: Micros,
}

impl Sender {
    /// Starts at `now`.
    pub fn new(seed: u64, start: Bitrate, max: Bitrate, now: Micros) -> Self {
        Self {
            estimator: Estimator::new(start, Bitrate::from_kbps(50), max),
            pacer: Pacer::new(start),
            random: Random::new(seed),
            ppm: 0.0,
            encoder_limit: Bitrate::from_kbps(100_000),
            voice_on: true,
            video_on: true,
            probing: true,
            next_frame: (now * FPS).div_ceil(1_000_000),
            next_voice: now.div_ceil(20_000),
            frame_number: 0,
            keyframe: true,
            last_keyframe: None,
            debt: 0.0,
            video_sequence: 65_000,
            voice_sequence: 65_000,
            history: VecDeque::new(),
            resent: vec![None; HISTORY],
            under_way: History::default(),
            next_tick: now,
            next_report: now,
        }
    }

    /// What it holds: everything that could grow.
    pub fn held(&self) -> usize {
        self.under_way.in_flight() + self.pacer.wait().as_millis() as usize + self.history.len()
    }

    /// The sender's clock.
    fn own_time(&self, now: Micros) -> f64 {
        now as f64 * (1.0 + self.ppm * 1e-6)
    }

    pub fn tick(&mut self, now: Micros, link: &mut dyn Way<Wire>, figures: &mut Figures) {
        let own = self.own_time(now);
        if own >= (self.next_frame * 1_000_000 / FPS) as f64 {
            if self.video_on {
                self.encode(now, figures);
            }
            self.next_frame += 1;
        }
        if own >= (self.next_voice * 20_000) as f64 {
            if self.voice_on {
                self.speak(now);
            }
            self.next_voice += 1;
        }
        if now >= self.next_tick {
            self.next_tick = now + 50_000;
            let target = self.estimator.target(at(now));
            self.pacer.set_target(target);
            self.make_room(now);
            figures.target_bps.add(target.bps() as f64);
            if self.probing
                && let Some(probe) = self.estimator.poll_probe(at(now))
            {
                self.pacer.start_probe(at(now), probe);
            }
        }
        self.keyframe |= self.pacer.take_keyframe_wanted();
        while let Some(departure) = self.pacer.poll(at(now)) {
            let bytes = OVERHEAD
                + match &departure {
                    Departure::Packet((packet, _)) => packet.payload.len(),
                    Departure::Padding(size) => *size,
                };
            let transport = self.under_way.depart(at(now), bytes);
            let wire = match departure {
                Departure::Packet((packet, repeat)) => Wire::Media { transport, bytes, repeat, packet },
                Departure::Padding(_) => Wire::Padding { transport, bytes },
            };
            self.estimator.handle_sent(at(now));
            link.send(now, bytes, wire);
            figures.queue_ms.add(link.queue(now) as f64 / 1000.0);
        }
        if now >= self.next_report {
            self.next_report = now + 1_000_000;
            for (kind, hz) in [(MediaKind::Audio, 48_000.0), (MediaKind::Video, 90_000.0)] {
                let rtp = (own * hz / 1e6) as u64 as u32;
                let ntp = (3_900_000_000u64 << 32) + (own / 1e6 * 4_294_967_296.0) as u64;
                link.send(now, 80, Wire::Report(SenderReport { kind, ntp, rtp, arrived_at: at(now) }));
            }
        }
    }

    fn make_room(&mut self, now: Micros) {
        let window = self.estimator.window(at(now));
        self.pacer.set_room(window.map(|window| window.saturating_sub(self.under_way.in_flight())));
    }

    fn encode(&mut self, now: Micros, figures: &mut Figures) {
        if self.pacer.is_held(at(now)) {
            figures.frames_skipped += 1;
            return;
        }
        figures.frames_encoded += 1;
        let voice = ((VOICE_BYTES + OVERHEAD) * 8 * 50) as f64;
        let allowed =
            (self.estimator.target(at(now)).bps() as f64 - voice - self.pacer.repeated().bps() as f64)
                * PAYLOAD as f64
                / (PAYLOAD + OVERHEAD) as f64;
        let budget = allowed.clamp(20_000.0, self.encoder_limit.bps() as f64) / FPS as f64;
        let pause_over = self.last_keyframe.is_none_or(|last| now >= last + 300_000);
        let keyframe = self.keyframe && pause_over;
        let wanted = if keyframe { budget * KEYFRAME_SIZE } else { budget - self.debt / 10.0 };
        let bits = wanted.max(budget / 4.0) * (0.75 + 0.5 * self.random.share());
        self.debt = (self.debt + bits - budget).max(0.0);
        let size = (bits / 8.0) as usize + 20;
        match self.pacer.admit(size, keyframe) {
            Admission::Send => {}
            Admission::Drop { request_keyframe } => {
                self.keyframe |= request_keyframe;
                figures.frames_refused += 1;
                return;
            }
        }
        if keyframe {
            (self.keyframe, self.last_keyframe) = (false, Some(now));
        }
        self.frame_number += 1;
        let timestamp = (self.own_time(now) * 0.09) as u64 as u32;
        for (payload, marker) in fragments(size, keyframe, self.frame_number) {
            let packet = RtpPacket {
                payload_type: 102,
                marker,
                sequence: self.video_sequence,
                timestamp,
                ssrc: VIDEO,
                payload,
                arrived_at: at(now),
            };
            self.video_sequence = self.video_sequence.wrapping_add(1);
            self.history.push_back(packet.clone());
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
            self.pacer.push(at(now), Priority::Video, packet.payload.len() + OVERHEAD, (packet, false));
        }
    }

    /// One packet of speech: SILK wide band with a redundant copy of the packet before.
    fn speak(&mut self, now: Micros) {
        let mut payload = vec![0; VOICE_BYTES];
        payload[..2].copy_from_slice(&[9 << 3, 0xc0]);
        let packet = RtpPacket {
            payload_type: 111,
            marker: false,
            sequence: self.voice_sequence,
            timestamp: (self.next_voice * 960) as u32,
            ssrc: VOICE,
            payload: payload.into(),
            arrived_at: at(now),
        };
        self.voice_sequence = self.voice_sequence.wrapping_add(1);
        self.pacer.push(at(now), Priority::Audio, VOICE_BYTES + OVERHEAD, (packet, false));
    }

    pub fn handle_feedback(&mut self, now: Micros, feedback: Feedback, figures: &mut Figures) {
        match feedback {
            Feedback::Transport(base, arrivals) => {
                let fates = arrivals.into_iter().map(|arrival| arrival.map(Some));
                let feedback = self.under_way.handle_feedback(at(now), base, fates);
                self.estimator.handle_feedback(at(now), &feedback);
                self.pacer.set_target(self.estimator.target(at(now)));
                self.make_room(now);
            }
            Feedback::RoundTrip(round_trip) => self.estimator.handle_round_trip(round_trip),
            Feedback::Nack(sequences) => {
                for sequence in sequences {
                    let spacing = self.estimator.stats().round_trip + Duration::from_millis(5);
                    let resent = &mut self.resent[usize::from(sequence) % HISTORY];
                    if resent.is_some_and(|(same, then)| same == sequence && at(now) < then + spacing) {
                        continue;
                    }
                    let copies = if resent.is_some_and(|(same, _)| same == sequence)
                        || self.estimator.stats().stray_loss > 0.04
                    {
                        2
                    } else {
                        1
                    };
                    *resent = Some((sequence, at(now)));
                    let Some(packet) = self.history.iter().find(|packet| packet.sequence == sequence) else {
                        continue;
                    };
                    figures.retransmitted += copies as u64;
                    let bytes = packet.payload.len() + OVERHEAD;
                    for _ in 0..copies {
                        self.pacer.push(at(now), Priority::Retransmission, bytes, (packet.clone(), true));
                    }
                }
            }
            Feedback::KeyframeRequest => self.keyframe = true,
        }
    }
}

/// An access unit of this size in packets. The number of the frame is in the last eight bytes of its slice.
fn fragments(size: usize, keyframe: bool, number: u64) -> Vec<(Bytes, bool)> {
    let mut packets = Vec::new();
    if keyframe {
        packets.push((Bytes::from_static(&[24, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 9]), false));
    }
    let mut slice = vec![0x80; size.max(16)];
    let end = slice.len() - 8;
    slice[end..].copy_from_slice(&number.to_be_bytes());
    let header = if keyframe { 0x65 } else { 0x41 };
    if slice.len() <= PAYLOAD {
        slice.insert(0, header);
        packets.push((slice.into(), true));
        return packets;
    }
    let count = slice.len().div_ceil(PAYLOAD);
    for (n, piece) in slice.chunks(PAYLOAD).enumerate() {
        let (first, last) = (n == 0, n + 1 == count);
        let flags = u8::from(first) << 7 | u8::from(last) << 6;
        let mut payload = vec![header & 0xe0 | 28, flags | header & 0x1f];
        payload.extend_from_slice(piece);
        packets.push((payload.into(), last));
    }
    packets
}
