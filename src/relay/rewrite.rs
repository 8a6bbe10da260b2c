//! Numbers and times of one forwarded stream. What is cut together from several layers, with pictures left out and
//! pauses, has to look to its receiver like one stream of one encoder: sequence numbers without a hole that is not a
//! loss, times that never go back.
//!
//! A stream is made of *runs*: packets of one layer, from a keyframe to the next switch. A packet that comes in order
//! gets the next number. One that was overtaken, or lost and repaired, has its number kept for it, in the current run
//! and the one before; one that was left out has none. Numbers that nothing was sent after go back when their run ends:
//! they would be a hole before the keyframe that comes next. (The problem is that of RFC 7667, 3.7; Jitsi's
//! `SimulcastController` and `Av1DDRtpTracker` solve it with a fixed difference for each run, which leaves a hole for
//! each picture left out.)

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets of a run that are remembered: two seconds at 2.5 Mbit/s.
const WINDOW: usize = 512;
/// More missing packets than this at once are no loss: the sender has begun anew, or plays tricks.
const MAX_GAP: i64 = 256;
/// Times of another layer that are further from what the clock says were made by another clock.
const MAX_DRIFT: Duration = Duration::from_secs(2);

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Forward {
        sequence: u16,
        timestamp: u32,
        /// None of its run with a higher number was forwarded.
        in_order: bool,
    },
    LeftOut,
    /// Its run has come to an end that only a keyframe mends.
    Broken,
}

pub(super) struct Rewriter {
    next: u16,
    clock_rate: u32,
    current: Option<Run>,
    previous: Option<Run>,
    /// Time of the newest packet of a run, and when it came.
    newest: Option<(u32, Instant)>,
}

struct Run {
    layer: u8,
    /// What is added to its times.
    shift: u32,
    /// Place in the source of the first entry of `given`.
    first: i64,
    given: VecDeque<Given>,
    /// The time of the newest packet, if that was left out.
    left_out: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Sent(u16),
    /// For a packet that has not come yet.
    Kept(u16),
    LeftOut,
}

impl Run {
    fn end(&self) -> i64 {
        self.first + self.given.len() as i64
    }
    /// Where a packet that was overtaken belongs.
    fn late(&mut self, index: i64, timestamp: u32) -> Place {
        let place = usize::try_from(index - self.first).ok();
        match place.and_then(|place| self.given.get_mut(place)) {
            Some(given @ &mut (Given::Sent(sequence) | Given::Kept(sequence))) => {
                *given = Given::Sent(sequence);
                Place::Forward { sequence, timestamp: timestamp.wrapping_add(self.shift), in_order: false }
            }
            Some(Given::LeftOut) | None => Place::LeftOut,
        }
    }
    /// Takes back what nothing was sent after. Gives how many numbers that were.
    fn trim(&mut self) -> u16 {
        let mut numbers = 0;
        while let Some(given @ (Given::Kept(_) | Given::LeftOut)) = self.given.back() {
            numbers += u16::from(matches!(given, Given::Kept(_)));
            self.given.pop_back();
        }
        numbers
    }
}

impl Rewriter {
    pub fn new(clock_rate: u32, first: u16) -> Self {
        Self { next: first, clock_rate, current: None, previous: None, newest: None }
    }

    /// A new run begins with the packet at `index` of this layer. `shift`: from its clock to that of the stream, if that
    /// is known.
    pub fn start(&mut self, now: Instant, layer: u8, index: i64, timestamp: u32, shift: Option<u32>) {
        self.stop();
        let shift = self.shift(now, timestamp, shift);
        let given = VecDeque::new();
        self.current = Some(Run { layer, shift, first: index, given, left_out: None });
    }

    /// Ends the run. What was overtaken in it is still forwarded.
    pub fn stop(&mut self) {
        if let Some(mut run) = self.current.take() {
            self.next = self.next.wrapping_sub(run.trim());
            self.previous = Some(run);
        }
    }

    /// Times go on after the newest one, by what the clocks say.
    fn shift(&self, now: Instant, timestamp: u32, shift: Option<u32>) -> u32 {
        let Some((newest, at)) = self.newest else { return shift.unwrap_or(0) };
        let rate = f64::from(self.clock_rate);
        let elapsed = (now.saturating_duration_since(at).as_secs_f64() * rate) as i64;
        let by_clock = || newest.wrapping_add(elapsed.max(1) as u32).wrapping_sub(timestamp);
        let Some(shift) = shift else { return by_clock() };
        let ahead = i64::from(timestamp.wrapping_add(shift).wrapping_sub(newest) as i32);
        match ahead {
            _ if (ahead - elapsed).abs() as f64 > MAX_DRIFT.as_secs_f64() * rate => by_clock(),
            // The picture was taken with the newest one, or before: a moment later is the nearest that is right.
            ..=0 => newest.wrapping_add(1).wrapping_sub(timestamp),
            _ => shift,
        }
    }

    /// What is added to the times of this layer now.
    pub fn shift_of(&self, layer: u8) -> Option<u32> {
        self.current.as_ref().filter(|run| run.layer == layer).map(|run| run.shift)
    }

    /// Where the packet at `index` of a layer goes. `leave_out`: only asked for if it comes in order.
    pub fn place(
        &mut self,
        now: Instant,
        layer: u8,
        index: i64,
        timestamp: u32,
        leave_out: impl FnOnce() -> bool,
    ) -> Place {
        if let Some(run) = self.current.as_mut().filter(|run| run.layer == layer && index >= run.first) {
            let missing = index - run.end();
            if missing < 0 {
                return run.late(index, timestamp);
            }
            if missing > MAX_GAP {
                return Place::Broken;
            }
            let leave_out = leave_out();
            // What is missing between two packets of a picture that is left out belongs to it.
            let hole_counts = !(leave_out && run.left_out == Some(timestamp));
            run.left_out = leave_out.then_some(timestamp);
            let mut give = |given: fn(u16) -> Given| {
                let given = given(self.next);
                self.next = self.next.wrapping_add(u16::from(given != Given::LeftOut));
                run.given.push_back(given);
                given
            };
            for _ in 0..missing {
                give(if hole_counts { Given::Kept } else { |_| Given::LeftOut });
            }
            let given = give(if leave_out { |_| Given::LeftOut } else { Given::Sent });
            let surplus = run.given.len().saturating_sub(WINDOW);
            run.given.drain(..surplus);
            run.first += surplus as i64;
            // What is left out counts too: a number may have been kept for a part of its picture.
            let timestamp = timestamp.wrapping_add(run.shift);
            if self.newest.is_none_or(|(newest, _)| timestamp.wrapping_sub(newest) as i32 >= 0) {
                self.newest = Some((timestamp, now));
            }
            let Given::Sent(sequence) = given else { return Place::LeftOut };
            return Place::Forward { sequence, timestamp, in_order: true };
        }
        let previous = self.previous.as_mut().filter(|run| run.layer == layer);
        previous.map_or(Place::LeftOut, |run| run.late(index, timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn forward(sequence: u16, timestamp: u32, in_order: bool) -> Place {
        Place::Forward { sequence, timestamp, in_order }
    }

    #[test]
    fn numbers_go_on_without_a_hole_through_switches_pauses_and_what_is_left_out() {
        let mut rewriter = Rewriter::new(90_000, 65_534);
        rewriter.start(at(0), 0, 100, 7_000, None);
        let mut place = |ms, layer, index, timestamp, leave_out| {
            rewriter.place(at(ms), layer, index, timestamp, || leave_out)
        };
        assert_eq!(place(0, 0, 100, 7_000, false), forward(65_534, 7_000, true));
        assert_eq!(place(33, 0, 101, 10_000, true), Place::LeftOut);
        assert_eq!(place(66, 0, 102, 13_000, false), forward(65_535, 13_000, true));
        // 103 was overtaken: its number is kept.
        assert_eq!(place(100, 0, 104, 16_000, false), forward(1, 16_000, true));
        assert_eq!(place(100, 0, 103, 16_000, false), forward(0, 16_000, false));
        assert_eq!(place(101, 0, 99, 4_000, false), Place::LeftOut, "from before the run");
        assert_eq!(place(101, 0, 101, 10_000, false), Place::LeftOut, "what was left out stays out");
        rewriter.start(at(133), 1, 50, 19_000, Some(0));
        let mut place = |ms, layer, index, timestamp, leave_out| {
            rewriter.place(at(ms), layer, index, timestamp, || leave_out)
        };
        assert_eq!(place(133, 1, 50, 19_000, false), forward(2, 19_000, true));
        assert_eq!(place(140, 0, 103, 16_000, false), forward(0, 16_000, false), "of the run before");
        assert_eq!(place(140, 0, 105, 19_000, false), Place::LeftOut, "beyond its end");
        assert_eq!(place(140, 1, 50 + MAX_GAP + 2, 22_000, false), Place::Broken);
        rewriter.stop();
        assert_eq!(rewriter.place(at(200), 1, 51, 22_000, || false), Place::LeftOut);
        rewriter.start(at(9_133), 1, 400, 829_000, Some(0));
        assert_eq!(rewriter.place(at(9_133), 1, 400, 829_000, || false), forward(3, 829_000, true));
    }

    #[test]
    fn a_hole_within_a_picture_that_is_left_out_is_none() {
        let mut rewriter = Rewriter::new(90_000, 0);
        rewriter.start(at(0), 0, 0, 0, None);
        for (index, timestamp, leave_out, expected) in [
            (0, 0, false, Some(0)),
            (1, 3_000, true, None),
            (3, 3_000, true, None),
            (2, 3_000, true, None),
            (5, 6_000, false, Some(2)),
            (4, 6_000, false, Some(1)),
        ] {
            let place = rewriter.place(at(index as u64), 0, index, timestamp, || leave_out);
            let sequence = if let Place::Forward { sequence, .. } = place { Some(sequence) } else { None };
            assert_eq!(sequence, expected, "{index}");
        }
    }

    #[test]
    fn numbers_that_nothing_was_sent_after_go_back_at_a_switch() {
        let mut rewriter = Rewriter::new(90_000, 65_534);
        rewriter.start(at(0), 0, 0, 0, None);
        let mut place =
            |layer, index, timestamp, leave_out| rewriter.place(at(0), layer, index, timestamp, || leave_out);
        assert_eq!(place(0, 0, 0, false), forward(65_534, 0, true));
        // 1 and 4 come late and are sent; 2 and 5 never come; 3 and 6 are left out.
        assert_eq!(place(0, 3, 6_000, true), Place::LeftOut);
        assert_eq!(place(0, 1, 3_000, false), forward(65_535, 3_000, false));
        assert_eq!(place(0, 6, 12_000, true), Place::LeftOut);
        assert_eq!(place(0, 4, 9_000, false), forward(1, 9_000, false));
        rewriter.start(at(33), 1, 50, 15_000, Some(0));
        let mut place = |layer, index, timestamp| rewriter.place(at(33), layer, index, timestamp, || false);
        assert_eq!(place(1, 50, 15_000), forward(2, 15_000, true), "the number of 5 was given back");
        assert_eq!(place(0, 5, 9_000), Place::LeftOut);
        assert_eq!(place(0, 2, 3_000), forward(0, 3_000, false), "before something that was sent");
    }

    #[test]
    fn times_never_go_back_whatever_clock_a_layer_has() {
        for (timestamp, shift, expected) in [
            // The same clock: exact, and a moment later for a picture taken no later than the newest.
            (12_000, Some(0), 12_000),
            (9_000, Some(0), 9_001),
            (6_000, Some(0), 9_001),
            // Another clock whose difference is known, and one whose is not: 33 ms have passed.
            (500_000, Some(0u32.wrapping_sub(488_000)), 12_000),
            (500_000, None, 9_000 + 2_970),
            (3_000_000_000, Some(0), 9_000 + 2_970),
        ] {
            let mut rewriter = Rewriter::new(90_000, 0);
            rewriter.start(at(0), 0, 0, 9_000, Some(0));
            rewriter.place(at(0), 0, 0, 9_000, || false);
            rewriter.start(at(33), 1, 0, timestamp, shift);
            assert_eq!(rewriter.place(at(33), 1, 0, timestamp, || false), forward(1, expected, true));
        }
    }
}
