//! What the reports say of the path itself: the rates in and out, the queue in it, and the loss.

use std::collections::VecDeque;

/// Rates are kept over this time at most.
const HISTORY_US: i64 = 1_000_000;
/// Entries of a rate at most: 1 s at 40 Mbit/s.
const MAX_ENTRIES: usize = 4096;
/// The shortest delay is remembered for so many seconds, so that clock drift and new routes are followed.
const BASE_SECONDS: usize = 20;
/// The queue is the shortest delay of so long: jitter is not a queue.
const QUEUE_WINDOW_US: i64 = 100_000;
/// A path swings if in half of the last slots of this length the delay rose by so much and fell back under that. A
/// queue of our making comes and goes more slowly.
const SLOT_US: i64 = 250_000;
const SLOTS: usize = 8;
const SWING_US: i64 = 25_000;
const LOW_US: i64 = 15_000;
/// While it does, a queue is one that leaves no delay under this share of the longest.
const FLOOR_SHARE: f64 = 0.35;
/// Loss is judged over at least so much.
const LOSS_WINDOW_US: i64 = 1_000_000;
const LOSS_PACKETS: u32 = 30;
/// Loss that was there in all but a quarter of so many windows does not come from our sending.
const INHERENT_WINDOWS: usize = 15;
/// More than this is never taken as a property of the path.
const MAX_INHERENT: f64 = 0.12;

/// Bytes at times in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    entries: VecDeque<(i64, usize)>,
    first: Option<i64>,
}

impl Rate {
    pub fn add(&mut self, at: i64, size: usize) {
        self.first.get_or_insert(at);
        // Nearly in order: a late one is moved to the end.
        let at = self.entries.back().map_or(at, |(last, _)| at.max(*last));
        self.entries.push_back((at, size));
        while self.entries.len() > MAX_ENTRIES
            || self.entries.front().is_some_and(|(t, _)| *t <= at - HISTORY_US)
        {
            self.entries.pop_front();
        }
    }

    /// Bits per second over the last `window` before the newest entry; `None` before there is so much.
    pub fn over(&self, window: i64) -> Option<f64> {
        let newest = self.entries.back()?.0;
        if newest - self.first? < window {
            return None;
        }
        let within = self.entries.iter().rev().take_while(|(at, _)| *at > newest - window);
        let bytes: usize = within.map(|(_, size)| size).sum();
        Some(bytes as f64 * 8e6 / window as f64)
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: i64,
    shortest: i64,
    longest: i64,
}

/// The one-way delay above the shortest one, in microseconds. The two clocks' offset falls out of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Second, shortest delay in it.
    base: VecDeque<(i64, i64)>,
    /// Shortest and longest delay, slot by slot.
    slots: VecDeque<Slot>,
    recent: VecDeque<(i64, i64)>,
}

impl Queue {
    pub fn add(&mut self, send: i64, arrival: i64) {
        let delay = arrival - send;
        let second = send.div_euclid(1_000_000);
        match self.base.back_mut() {
            Some((last, shortest)) if *last >= second => *shortest = (*shortest).min(delay),
            _ => self.base.push_back((second, delay)),
        }
        while self.base.len() > BASE_SECONDS {
            self.base.pop_front();
        }
        let number = arrival.div_euclid(SLOT_US);
        match self.slots.back_mut() {
            Some(slot) if slot.number >= number => {
                (slot.shortest, slot.longest) = (slot.shortest.min(delay), slot.longest.max(delay));
            }
            _ => self.slots.push_back(Slot { number, shortest: delay, longest: delay }),
        }
        while self.slots.len() > SLOTS {
            self.slots.pop_front();
        }
        self.recent.push_back((arrival, delay));
        while self.recent.len() > MAX_ENTRIES
            || self.recent.front().is_some_and(|(at, _)| *at < arrival - SLOT_US)
        {
            self.recent.pop_front();
        }
    }

    pub fn delay_us(&self) -> i64 {
        self.shortest_since(QUEUE_WINDOW_US)
    }

    /// Delays that rise and fall back, as on Wi-Fi and mobile networks: no queue of ours does so.
    pub fn is_swinging(&self) -> bool {
        let base = self.base_us();
        let swings =
            |slot: &&Slot| slot.longest - slot.shortest >= SWING_US && slot.shortest - base <= LOW_US;
        let longest = self.slots.iter().map(|slot| slot.longest - base).max().unwrap_or(0);
        let floor = self.shortest_since(SLOT_US) as f64;
        2 * self.slots.iter().filter(swings).count() >= SLOTS && floor < FLOOR_SHARE * longest as f64
    }

    fn shortest_since(&self, window: i64) -> i64 {
        let newest = self.recent.back().map_or(0, |(at, _)| *at);
        let recent = self.recent.iter().filter(|(at, _)| *at >= newest - window).map(|entry| entry.1);
        recent.min().map_or(0, |recent| recent - self.base_us())
    }

    fn base_us(&self) -> i64 {
        self.base.iter().map(|entry| entry.1).min().unwrap_or(0)
    }
}

/// Shares of lost packets, window by window.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    since: Option<i64>,
    sent: u32,
    lost: u32,
    share: f64,
    past: VecDeque<f64>,
}

impl Loss {
    pub fn add(&mut self, send: i64, lost: bool) {
        self.since.get_or_insert(send);
        self.sent += 1;
        self.lost += u32::from(lost);
    }

    /// The window so far does not count: the whole path was away.
    pub fn forget_window(&mut self) {
        (self.since, self.sent, self.lost) = (None, 0, 0);
    }

    /// Ends the window if it is long enough: the loss above what the path always loses.
    pub fn take(&mut self, newest_send: i64) -> Option<f64> {
        let since = self.since?;
        if newest_send - since < LOSS_WINDOW_US || self.sent < LOSS_PACKETS {
            return None;
        }
        self.share = f64::from(self.lost) / f64::from(self.sent);
        self.forget_window();
        let mut past: Vec<f64> = self.past.iter().copied().collect();
        past.sort_unstable_by(f64::total_cmp);
        let inherent = past.get(past.len() / 4).map_or(0.0, |share| share.min(MAX_INHERENT));
        self.past.push_back(self.share);
        if self.past.len() > INHERENT_WINDOWS {
            self.past.pop_front();
        }
        Some((self.share - inherent).max(0.0))
    }

    pub fn share(&self) -> f64 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_after_its_window_and_follows() {
        let mut rate = Rate::default();
        for n in 0..=20 {
            assert_eq!(rate.over(200_000).is_some(), n > 20);
            rate.add(n * 10_000, 1250);
        }
        assert_eq!(rate.over(200_000), Some(1e6));
        (21..=40).for_each(|n| rate.add(n * 10_000, 125));
        assert_eq!(rate.over(200_000), Some(1e5));
    }

    #[test]
    fn the_queue_is_what_lies_above_the_shortest_delay() {
        let mut queue = Queue::default();
        (0..100).for_each(|n| queue.add(n * 10_000, 77_000_000 + n * 10_000 + n % 3 * 9_000));
        assert_eq!(queue.delay_us(), 0);
        (100..200).for_each(|n| queue.add(n * 10_000, 77_000_000 + n * 10_000 + 120_000 + n % 3 * 9_000));
        assert_eq!(queue.delay_us(), 120_000);
        // A delay that stays for long is a longer route.
        (200..2_400).for_each(|n| queue.add(n * 10_000, 77_000_000 + n * 10_000 + 120_000));
        assert_eq!(queue.delay_us(), 0);
    }

    #[test]
    fn loss_that_never_leaves_belongs_to_the_path() {
        let mut loss = Loss::default();
        let mut window = |start: i64, one_in: i64| {
            (0..=100).for_each(|n| loss.add(start + n * 10_000, n % one_in == 1));
            loss.take(start + 1_000_000).unwrap()
        };
        assert!(window(0, 10) > 0.09);
        assert!(window(2_000_000, 10) < 0.01);
        assert!(window(4_000_000, 3) > 0.2);
    }
}
