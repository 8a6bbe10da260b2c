//! Which packets of a video stream are missing, and when each is to be asked for again (RFC 4585, section 6.2.1;
//! libwebrtc `modules/video_coding/nack_requester.cc`).
//!
//! The interceptor that sees the stream arrive owns one for each stream: it calls [`NackTracker::handle_packet`] with
//! each packet, repairs included, then [`NackTracker::poll`] at [`NackTracker::deadline`]. A gap is asked for at once,
//! unless the path has been seen to swap packets: then they get as long as the swapped ones took. It is asked for
//! again each round trip, a limited number of times. Whoever assembles the frames gives up by himself and asks for a
//! keyframe.

use super::SequenceUnwrapper;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A packet is asked for so many times at most, and not after this: by then the picture has been given up.
const MAX_TIMES: u32 = 10;
const MAX_AGE: Duration = Duration::from_secs(1);
/// More missing packets than this are not repaired one by one: a keyframe costs less.
const MAX_MISSING: usize = 250;
/// A gap after so long a silence is an outage, and what was sent in it is history.
const OUTAGE: Duration = Duration::from_millis(400);
/// Before anything is known of the path. A round trip is never taken for shorter than the second.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);
const MIN_ROUND_TRIP: Duration = Duration::from_millis(10);
/// Added to the round trip before asking again: timers and pacers.
const SLACK: Duration = Duration::from_millis(10);
/// What falls due within this goes into one message.
const BATCH: Duration = Duration::from_millis(5);
/// Swapped packets: how many are remembered, for how long, and what they count at most.
const SWAPS: usize = 32;
const SWAP_MEMORY: Duration = Duration::from_secs(20);
const MAX_WAIT: Duration = Duration::from_millis(50);
/// Packets behind the newest that are known by number, to see duplicates; a multiple of 64.
const REMEMBERED: i64 = 1024;

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    due: Instant,
    times: u32,
}

#[derive(Clone, Debug)]
pub struct NackTracker {
    sequences: SequenceUnwrapper,
    highest: Option<i64>,
    last_arrival: Option<Instant>,
    missing: BTreeMap<i64, Missing>,
    received: [u64; REMEMBERED as usize / 64],
    /// When a swapped packet came, and how late.
    swaps: VecDeque<(Instant, Duration)>,
    round_trip: Duration,
}

impl Default for NackTracker {
    fn default() -> Self {
        Self {
            sequences: SequenceUnwrapper::default(),
            highest: None,
            last_arrival: None,
            missing: BTreeMap::new(),
            received: [0; REMEMBERED as usize / 64],
            swaps: VecDeque::new(),
            round_trip: ASSUMED_ROUND_TRIP,
        }
    }
}

impl NackTracker {
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.max(MIN_ROUND_TRIP);
    }

    /// A packet of the stream arrived; `repeat`: as a retransmission. False if it was there already.
    pub fn handle_packet(&mut self, now: Instant, sequence: u16, repeat: bool) -> bool {
        let sequence = self.sequences.unwrap(sequence);
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return self.mark(sequence);
        };
        if sequence <= highest {
            if let Some(missing) = self.missing.remove(&sequence)
                && !repeat
            {
                self.swapped(now, now.saturating_duration_since(missing.since));
            }
            // Too old to know: whoever assembles the frames will.
            return sequence <= highest - REMEMBERED || self.mark(sequence);
        }
        let silent = self.last_arrival.is_some_and(|last| now > last + OUTAGE);
        self.last_arrival = Some(now);
        self.highest = Some(sequence);
        for passed in (highest + 1).max(sequence - REMEMBERED + 1)..sequence {
            self.clear(passed);
        }
        self.mark(sequence);
        let gap = highest + 1..sequence;
        if silent || gap.end - gap.start > MAX_MISSING as i64 {
            self.missing.clear();
            return true;
        }
        let due = now + self.wait(now);
        self.missing.extend(gap.map(|sequence| (sequence, Missing { since: now, due, times: 0 })));
        if self.missing.len() > MAX_MISSING {
            self.missing.clear();
        }
        true
    }

    fn swapped(&mut self, now: Instant, late: Duration) {
        if late > MAX_WAIT {
            return;
        }
        self.swaps.push_back((now, late));
        if self.swaps.len() > SWAPS {
            self.swaps.pop_front();
        }
    }

    /// How long a missing packet may just have been overtaken.
    fn wait(&self, now: Instant) -> Duration {
        let recent = self.swaps.iter().filter(|(at, _)| now < *at + SWAP_MEMORY);
        recent.map(|(_, late)| *late).max().unwrap_or_default()
    }

    /// Sequence numbers to ask for now, in order.
    pub fn poll(&mut self, now: Instant) -> Vec<u16> {
        self.missing.retain(|_, missing| missing.times < MAX_TIMES && now < missing.since + MAX_AGE);
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let again = now + self.round_trip + SLACK;
        let due = self.missing.iter_mut().filter(|(_, missing)| missing.due <= now + BATCH);
        due.map(|(sequence, missing)| {
            (missing.due, missing.times) = (again, missing.times + 1);
            *sequence as u16
        })
        .collect()
    }

    /// When to call [`Self::poll`]; `None` while nothing is missing.
    pub fn deadline(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.due).min()
    }

    fn bit(sequence: i64) -> (usize, u64) {
        let place = sequence.rem_euclid(REMEMBERED);
        (place as usize / 64, 1 << (place % 64))
    }
    /// False if it was marked.
    fn mark(&mut self, sequence: i64) -> bool {
        let (word, bit) = Self::bit(sequence);
        let new = self.received[word] & bit == 0;
        self.received[word] |= bit;
        new
    }
    fn clear(&mut self, sequence: i64) {
        let (word, bit) = Self::bit(sequence);
        self.received[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    /// Feeds packets 5 ms apart; `skip` never arrive. What is asked for, and when.
    fn run(tracker: &mut NackTracker, from: u16, to: u16, skip: &[u16]) -> Vec<(u64, Vec<u16>)> {
        let mut asked = Vec::new();
        for sequence in from..to {
            let ms = u64::from(sequence) * 5;
            if !skip.contains(&sequence) {
                tracker.handle_packet(at(ms), sequence, false);
            }
            let wanted = tracker.poll(at(ms));
            if !wanted.is_empty() {
                asked.push((ms, wanted));
            }
        }
        asked
    }

    #[test]
    fn a_gap_is_asked_for_at_once_and_again_each_round_trip_up_to_a_limit() {
        let mut tracker = NackTracker::default();
        tracker.set_round_trip(Duration::from_millis(40));
        let asked = run(&mut tracker, 0, 400, &[10, 11]);
        assert_eq!(asked[0], (60, vec![10, 11]));
        assert_eq!(asked[1], (110, vec![10, 11]));
        assert_eq!(asked.len(), MAX_TIMES as usize);
        assert_eq!(tracker.deadline(), None);
    }

    #[test]
    fn what_arrives_is_not_asked_for_again_and_known_the_second_time() {
        let mut tracker = NackTracker::default();
        assert_eq!(run(&mut tracker, 0, 12, &[10]), [(55, vec![10])]);
        assert!(tracker.handle_packet(at(70), 10, true));
        assert_eq!((tracker.deadline(), tracker.handle_packet(at(71), 10, true)), (None, false));
        assert!(!tracker.handle_packet(at(71), 3, true), "padding repeats what was there");
        // The place of a packet of long ago is free again.
        run(&mut tracker, 12, 3_000, &[2_000]);
        assert!(tracker.handle_packet(at(15_001), 2_000, true));
    }

    #[test]
    fn a_path_that_swaps_packets_gets_time_for_it() {
        let mut tracker = NackTracker::default();
        let mut asked = 0;
        for n in 0..200u16 {
            let now = at(u64::from(n) * 5);
            // Each tenth comes 20 ms late.
            if n % 10 != 5 {
                tracker.handle_packet(now, n, false);
            }
            if n % 10 == 9 {
                tracker.handle_packet(now, n - 4, false);
            }
            asked += tracker.poll(now).len();
        }
        assert_eq!(asked, 1, "only before it was known");
        // A real loss is still found, a little later.
        let asked = run(&mut tracker, 200, 300, &[250]);
        assert_eq!(asked[0].1, [250]);
        assert!((1_260..=1_275).contains(&asked[0].0), "{asked:?}");
    }

    #[test]
    fn an_outage_is_not_repaired_packet_by_packet() {
        let mut tracker = NackTracker::default();
        run(&mut tracker, 0, 10, &[]);
        tracker.handle_packet(at(2_000), 60, false);
        assert_eq!(tracker.deadline(), None);
        tracker.handle_packet(at(2_005), 400, false);
        assert_eq!(tracker.deadline(), None);
        tracker.handle_packet(at(2_010), 402, false);
        assert_eq!(tracker.poll(at(2_010)), [401]);
    }

    #[test]
    fn numbers_wrap_and_senseless_ones_are_taken() {
        let mut tracker = NackTracker::default();
        for n in 65_500..65_600u32 {
            if n != 65_540 {
                assert!(tracker.handle_packet(at(u64::from(n)), n as u16, false));
            }
        }
        assert_eq!(tracker.poll(at(70_000 - 4_400)), [4]);
        let mut seed = 3u64;
        for n in 0..20_000u64 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            tracker.handle_packet(at(70_000 + n), (seed >> 40) as u16, seed >> 63 == 1);
            assert!(tracker.poll(at(70_000 + n)).len() <= MAX_MISSING);
        }
    }
}
