//! What was forwarded lately to one receiver in one stream, and can be sent again: a receiver's loss is repaired from
//! here, never by the sender. Bounded by time, bytes and packets; the payloads are those of the other receivers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Nobody asks for what is older: it would come too late to be shown.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Payload that is kept alive at most: 1.5 s at 2.5 Mbit/s.
const MAX_BYTES: usize = 480 * 1024;
/// Packets at most, however small.
const MAX_PACKETS: usize = 1024;

struct Kept<T> {
    sequence: u16,
    packet: T,
    size: usize,
    sent: Instant,
    repeated: Option<Instant>,
}

/// `T`: a packet, cheap to clone.
pub struct History<T> {
    kept: VecDeque<Kept<T>>,
    bytes: usize,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0 }
    }
}

impl<T> History<T> {
    /// A packet leaves for the first time; `size`: of its payload.
    pub fn record(&mut self, now: Instant, sequence: u16, size: usize, packet: T) {
        // Overtaken packets stand where they belong: requests are answered by a search.
        let mut place = self.kept.len();
        while place > 0 && is_after(self.kept[place - 1].sequence, sequence) {
            place -= 1;
        }
        if place > 0 && self.kept[place - 1].sequence == sequence {
            return;
        }
        self.kept.insert(place, Kept { sequence, packet, size, sent: now, repeated: None });
        self.bytes += size;
        while self.kept.front().is_some_and(|oldest| {
            self.bytes > MAX_BYTES
                || self.kept.len() > MAX_PACKETS
                || now.saturating_duration_since(oldest.sent) > MAX_AGE
        }) {
            self.bytes -= self.kept.pop_front().map_or(0, |oldest| oldest.size);
        }
    }

    /// The packet with this number, and whether it was asked for before; `None` if it is gone, or was sent again within
    /// `spacing`: that copy cannot have arrived yet.
    pub fn answer(&mut self, now: Instant, sequence: u16, spacing: Duration) -> Option<(&T, bool)> {
        let before = |kept: &Kept<T>| is_after(sequence, kept.sequence);
        let place = self.kept.partition_point(before);
        let kept = self.kept.get_mut(place).filter(|kept| kept.sequence == sequence)?;
        if kept.repeated.is_some_and(|last| now.saturating_duration_since(last) < spacing) {
            return None;
        }
        let again = kept.repeated.replace(now).is_some();
        Some((&kept.packet, again))
    }

    /// The packet that is so many before the newest, and its number.
    pub fn newest(&self, back: usize) -> Option<(u16, &T)> {
        let place = self.kept.len().checked_sub(back + 1)?;
        self.kept.get(place).map(|kept| (kept.sequence, &kept.packet))
    }

    /// Packets and bytes of payload that are kept.
    pub fn size(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }
}

/// Whether `a` comes after `b`, by the shorter way round.
fn is_after(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    const SPACING: Duration = Duration::from_millis(50);

    #[test]
    fn a_lost_packet_is_sent_again_once_in_a_round_trip() {
        let mut history = History::default();
        for n in [65_534u16, 65_535, 1, 0, 2] {
            history.record(at(0), n, 100, n);
        }
        history.record(at(1), 1, 100, 9);
        for n in [65_534, 65_535, 0, 1, 2] {
            assert_eq!(history.answer(at(10), n, SPACING), Some((&n, false)));
        }
        assert_eq!(history.answer(at(40), 0, SPACING), None);
        assert_eq!(history.answer(at(60), 0, SPACING), Some((&0, true)));
        assert_eq!(history.answer(at(60), 3, SPACING), None);
        assert_eq!(history.answer(at(60), 65_533, SPACING), None);
    }

    #[test]
    fn what_is_kept_is_bounded_by_time_bytes_and_number() {
        let mut history = History::default();
        for n in 0..5_000u16 {
            history.record(at(0), n, 10, n);
        }
        assert_eq!(history.size(), (MAX_PACKETS, MAX_PACKETS * 10));
        for n in 5_000..6_000u16 {
            history.record(at(1), n, 1_200, n);
        }
        assert!(history.size().1 <= MAX_BYTES);
        history.record(at(2_500), 6_000, 10, 6_000);
        assert_eq!(history.size(), (1, 10));
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (seed >> 40) as u16;
            history.record(at(2_600), n, 100, n);
            history.answer(at(2_600), n.wrapping_add(3), SPACING);
        }
        assert!(history.size().0 <= MAX_PACKETS, "a hostile order");
    }
}
