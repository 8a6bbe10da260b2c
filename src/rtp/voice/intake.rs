//! What comes in: originals and copies, sorted into what waits to be played. Decides what is a duplicate, too late, a
//! sender that started anew, or too much.

use super::{SAMPLE_RATE, VoicePlayout, Waiting, opus, time_us};
use crate::frame::RtpPacket;
use crate::rtp::red::{self, RED};
use bytes::Bytes;

/// Sound that waits at most, in samples: one second. Beyond it the oldest is dropped.
const MAX_WAITING: usize = SAMPLE_RATE as usize;
/// Packets that wait at most; a second of the shortest Opus frames.
pub(super) const MAX_PACKETS: usize = 400;
/// Packets in sequence that are all older than what was played: the sender has started anew.
const RESTART_RUN: u32 = 25;
/// Packets of which it is remembered that they came, so that their copies are known: more than copies reach back.
const REMEMBERED: usize = 64;
/// RTP time and arrivals that part by more than this within a moment are another timeline.
const NEW_TIMELINE_US: i64 = 5_000_000;

impl VoicePlayout {
    /// Takes a packet from the network: Opus, or with the payload type [`RED`] Opus with copies of earlier packets.
    pub fn handle_packet(&mut self, packet: &RtpPacket) {
        if packet.payload_type != RED {
            return self.handle_original(packet);
        }
        let Ok(packets) = red::split(packet) else {
            self.counters.packets_discarded += 1;
            return;
        };
        let mut packets = packets.iter();
        packets.next().into_iter().for_each(|original| self.handle_original(original));
        packets.for_each(|copy| self.handle_copy(copy));
    }

    fn handle_original(&mut self, packet: &RtpPacket) {
        if self.ssrc != Some(packet.ssrc) {
            self.start_anew();
            self.ssrc = Some(packet.ssrc);
        }
        let Some(samples) = opus::samples(&packet.payload) else {
            self.counters.packets_discarded += 1;
            return;
        };
        let highest = self.sequences.highest();
        let mut sequence = self.sequences.unwrap(packet.sequence);
        let mut timestamp = self.timestamps.unwrap(packet.timestamp);
        if self.is_known(sequence, timestamp) {
            // Twice on the way, or its copy was faster.
            return;
        }
        let arrived_us = self.epoch.micros(packet.arrived_at);
        let offset = arrived_us - time_us(timestamp);
        if self.target.fastest().is_some_and(|fastest| (offset - fastest).abs() > NEW_TIMELINE_US) {
            self.target.start_timeline();
        }
        self.target.handle_arrival(arrived_us, time_us(timestamp), highest.is_some_and(|h| sequence < h));
        if opus::has_redundancy(&packet.payload) {
            self.expect_recovery(arrived_us, sequence - 1, timestamp - samples as i64);
        }
        if self.played.is_some_and(|played| sequence <= played) {
            self.counters.packets_discarded += 1;
            if !self.restart.late(packet.sequence, RESTART_RUN) {
                return;
            }
            self.start_anew();
            sequence = self.sequences.unwrap(packet.sequence);
            timestamp = self.timestamps.unwrap(packet.timestamp);
            self.target.handle_arrival(arrived_us, time_us(timestamp), false);
        }
        self.restart.in_time();
        self.keep(sequence, timestamp, samples, arrived_us, &packet.payload);
    }

    /// A packet that came once more within a later one.
    fn handle_copy(&mut self, packet: &RtpPacket) {
        let Some(samples) = opus::samples(&packet.payload) else { return };
        self.counters.fec_packets_received += 1;
        let sequence = self.sequences.unwrap(packet.sequence);
        let timestamp = self.timestamps.unwrap(packet.timestamp);
        // From before the first packet: nobody waits for it.
        let early = self.known.iter().all(|(known, _)| sequence < *known);
        if early || self.is_known(sequence, timestamp) {
            self.counters.fec_packets_discarded += 1;
            return;
        }
        let arrived_us = self.epoch.micros(packet.arrived_at);
        // Needed: it is worth waiting for such ones, as for packets that were overtaken.
        self.target.handle_arrival(arrived_us, time_us(timestamp), true);
        if self.played.is_some_and(|played| sequence <= played) {
            self.counters.fec_packets_discarded += 1;
            self.remember(sequence, timestamp);
        } else {
            self.keep(sequence, timestamp, samples, arrived_us, &packet.payload);
        }
    }

    fn keep(&mut self, sequence: i64, timestamp: i64, samples: usize, arrived_us: i64, payload: &Bytes) {
        self.remember(sequence, timestamp);
        self.waiting.insert(sequence, Waiting { timestamp, samples, payload: payload.clone(), arrived_us });
        self.drop_excess();
    }

    /// The packet that just came can stand in for the one before, should that be lost: worth waiting for, too.
    fn expect_recovery(&mut self, arrived_us: i64, sequence: i64, timestamp: i64) {
        let missed = self.known.iter().all(|(known, _)| *known != sequence)
            && self.known.iter().any(|(known, _)| *known < sequence);
        if missed {
            self.target.handle_arrival(arrived_us, time_us(timestamp), true);
        }
    }

    fn is_known(&self, sequence: i64, timestamp: i64) -> bool {
        self.known.contains(&(sequence, timestamp))
    }

    fn remember(&mut self, sequence: i64, timestamp: i64) {
        self.known.push_back((sequence, timestamp));
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
    }

    fn drop_excess(&mut self) {
        let mut total: usize = self.waiting.values().map(|packet| packet.samples).sum();
        while total > MAX_WAITING || self.waiting.len() > MAX_PACKETS {
            let Some((sequence, packet)) = self.waiting.pop_first() else { return };
            total -= packet.samples;
            self.played = Some(sequence);
            self.counters.packets_discarded += 1;
        }
    }
}
