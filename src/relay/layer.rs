//! One layer of a sender's picture, as it comes in: its order, rate and size, and the newest keyframe as long as
//! somebody may begin with it.

use super::meter::Meter;
use super::numbers::Numbers;
use crate::frame::RtpPacket;
use crate::rtp::{Glance, KeyframeThrottle};
use crate::units::{Bitrate, Resolution};
use std::time::{Duration, Instant};

/// A keyframe is begun with only while it is young: what came after it is sent in one go.
const FRESH: Duration = Duration::from_millis(300);
/// Packets from the keyframe on that are kept for those who begin with it.
const MAX_KEPT: usize = 256;
/// A layer that has brought nothing for so long has ended, or sleeps.
const SILENT: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Layer {
    numbers: Numbers,
    all: Meter,
    /// Without the pictures that nobody refers to.
    base: Meter,
    last: Option<Instant>,
    size: Option<Resolution>,
    keyframe: Option<Keyframe>,
    asked: KeyframeThrottle,
    /// Wall clock (NTP, 32.32 fixed point) and RTP time of one moment, from the newest sender report.
    report: Option<(u64, u32)>,
}

/// A keyframe and what has followed it.
struct Keyframe {
    timestamp: u32,
    at: Instant,
    /// Where its parameter sets begin.
    entry: Option<i64>,
    /// A slice of it is there.
    picture: bool,
    /// By their place.
    packets: Vec<Arrival>,
}

/// A packet that came for the first time.
#[derive(Clone)]
pub(super) struct Arrival {
    pub index: i64,
    pub glance: Glance,
    pub packet: RtpPacket,
}

impl Layer {
    /// `None`: it came before, or is too old to tell.
    pub fn handle(&mut self, now: Instant, packet: &RtpPacket) -> Option<Arrival> {
        if self.numbers.is_another(packet.ssrc) {
            (self.keyframe, self.report) = (None, None);
        }
        let index = self.numbers.handle(packet.ssrc, packet.sequence)?;
        let glance = Glance::of(&packet.payload);
        let arrival = Arrival { index, glance, packet: packet.clone() };
        if glance.empty {
            return Some(arrival);
        }
        self.last = Some(now);
        self.all.add(now, packet.payload.len());
        if !glance.disposable {
            self.base.add(now, packet.payload.len());
        }
        self.size = glance.size.or(self.size);
        self.keep(now, &arrival);
        Some(arrival)
    }

    fn keep(&mut self, now: Instant, arrival: &Arrival) {
        let (timestamp, glance) = (arrival.packet.timestamp, arrival.glance);
        if glance.keyframe || glance.parameters {
            let is_newer = |kept: &Keyframe| timestamp.wrapping_sub(kept.timestamp) as i32 > 0;
            if self.keyframe.as_ref().is_none_or(is_newer) {
                let packets = Vec::new();
                self.keyframe = Some(Keyframe { timestamp, at: now, entry: None, picture: false, packets });
            }
        }
        let Some(keyframe) = &mut self.keyframe else { return };
        if keyframe.packets.len() >= MAX_KEPT || now > keyframe.at + FRESH {
            self.keyframe = None;
            return;
        }
        if keyframe.timestamp == timestamp {
            keyframe.picture |= glance.keyframe;
            if glance.parameters {
                keyframe.entry = Some(keyframe.entry.map_or(arrival.index, |entry| entry.min(arrival.index)));
            }
        }
        let place = keyframe.packets.partition_point(|kept| kept.index < arrival.index);
        keyframe.packets.insert(place, arrival.clone());
    }

    /// Lets go of a keyframe that nobody may begin with any more.
    pub fn tidy(&mut self, now: Instant) {
        self.keyframe.take_if(|keyframe| now > keyframe.at + FRESH);
    }

    /// What to send to somebody who begins with this layer now: a keyframe, from its parameter sets on.
    pub fn beginning(&self, now: Instant) -> Option<&[Arrival]> {
        let keyframe = self.keyframe.as_ref().filter(|kept| kept.picture && now <= kept.at + FRESH)?;
        let entry = keyframe.entry?;
        let first = keyframe.packets.partition_point(|kept| kept.index < entry);
        keyframe.packets.get(first..).filter(|packets| !packets.is_empty())
    }

    /// Whether to ask for a keyframe now, where one is needed.
    pub fn should_ask(&mut self, now: Instant) -> bool {
        self.asked.poll(now, true)
    }

    pub fn is_awake(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last + SILENT)
    }

    pub fn size(&self) -> Option<Resolution> {
        self.size
    }

    /// All of it, and without the pictures that can be left out.
    pub fn rates(&mut self, now: Instant) -> (Bitrate, Bitrate) {
        (self.all.rate(now), self.base.rate(now))
    }

    pub fn set_report(&mut self, ntp: u64, rtp: u32) {
        self.report = Some((ntp, rtp));
    }

    pub fn report(&self) -> Option<(u64, u32)> {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;
    use bytes::Bytes;

    fn packet(sequence: u16, timestamp: u32, payload: &'static [u8]) -> RtpPacket {
        RtpPacket {
            payload_type: 125,
            marker: false,
            sequence,
            timestamp,
            ssrc: 1,
            payload: Bytes::from_static(payload),
            arrived_at: at(0),
        }
    }
    const PARAMETERS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f];
    const KEY: &[u8] = &[0x7c, 0x05, 1];
    const DELTA: &[u8] = &[0x41, 0x9a];

    #[test]
    fn one_begins_with_the_parameters_of_a_young_keyframe_even_if_they_were_overtaken() {
        let mut layer = Layer::default();
        let places = |layer: &Layer, ms| {
            layer.beginning(at(ms)).map(|packets| packets.iter().map(|kept| kept.index).collect::<Vec<_>>())
        };
        layer.handle(at(0), &packet(9, 0, DELTA));
        layer.handle(at(10), &packet(11, 3_000, KEY));
        layer.handle(at(11), &packet(12, 3_000, KEY));
        assert_eq!(places(&layer, 11), None);
        layer.handle(at(12), &packet(10, 3_000, PARAMETERS));
        layer.handle(at(12), &packet(8, 0, DELTA));
        layer.handle(at(20), &packet(13, 6_000, DELTA));
        assert_eq!(places(&layer, 20), Some(vec![10, 11, 12, 13]));
        assert_eq!(places(&layer, 311), None);
        layer.tidy(at(311));
        assert!(layer.keyframe.is_none());
    }

    #[test]
    fn hostile_packets_keep_nothing_for_long() {
        let (mut layer, mut seed) = (Layer::default(), 3u64);
        for n in 0..50_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let payload = [KEY, PARAMETERS, DELTA, &[], &[0xff], &[0x78, 0]][(seed >> 33) as usize % 6];
            let sequence = if n.is_multiple_of(3) { (seed >> 48) as u16 } else { n as u16 };
            layer.handle(at(n / 100), &packet(sequence, (seed >> 20) as u32 % 5, payload));
            assert!(layer.keyframe.as_ref().is_none_or(|kept| kept.packets.len() <= MAX_KEPT));
        }
    }
}
