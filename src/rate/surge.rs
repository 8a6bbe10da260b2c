//! Sees at once that a path takes much less than before: packets arrive much slower than they left, and each later
//! than the one before. The trend over twenty groups ([`super::delay`]) needs a quarter of a second for it, in which
//! a fast sender fills a slow path for a second.

use std::collections::VecDeque;

/// Packets this much older than the newest do not count, and no more than so many.
const WINDOW_US: i64 = 150_000;
const MAX_PACKETS: usize = 256;
/// At least so many must have come later and later.
const MIN_PACKETS: usize = 4;
/// So much later than the fastest of them.
const RISE_US: i64 = 40_000;
/// Delays that differ by less are the same.
const NOISE_US: i64 = 1_000;
/// A single step is somebody's pause (a radio's, a busy machine's), not a queue: no step makes up more than this.
const MAX_STEP: f64 = 0.5;
/// Arrived slower than sent by this.
const SLOWER: f64 = 0.7;

#[derive(Clone, Copy, Debug)]
struct Packet {
    send: i64,
    arrival: i64,
    size: usize,
}

impl Packet {
    fn delay(&self) -> i64 {
        self.arrival - self.send
    }
}

/// A delay as long as in the last so many seconds is the path's own swinging (Wi-Fi, mobile networks).
const CEILING_SECONDS: usize = 5;

#[derive(Clone, Debug, Default)]
pub(super) struct Surge {
    packets: VecDeque<Packet>,
    /// Second, longest delay of the packets that left `packets` in it.
    ceiling: VecDeque<(i64, i64)>,
}

impl Surge {
    /// A packet that arrived; times in microseconds, each on a clock of its own.
    pub fn add(&mut self, send: i64, arrival: i64, size: usize) {
        if self.packets.back().is_some_and(|last| send < last.send || arrival < last.arrival) {
            return;
        }
        self.packets.push_back(Packet { send, arrival, size });
        while self.packets.len() > MAX_PACKETS
            || self.packets.front().is_some_and(|old| old.arrival < arrival - WINDOW_US)
        {
            if let Some(old) = self.packets.pop_front() {
                self.remember(old);
            }
        }
    }

    fn remember(&mut self, old: Packet) {
        let second = old.arrival.div_euclid(1_000_000);
        match self.ceiling.back_mut() {
            Some((last, longest)) if *last >= second => *longest = (*longest).max(old.delay()),
            _ => self.ceiling.push_back((second, old.delay())),
        }
        while self.ceiling.len() > CEILING_SECONDS {
            self.ceiling.pop_front();
        }
    }

    /// Bits per second that arrive, if a surge is seen; then it starts anew.
    pub fn take(&mut self) -> Option<f64> {
        let rate = self.look()?;
        self.packets.clear();
        Some(rate)
    }

    fn look(&self) -> Option<f64> {
        let newest = self.packets.back()?;
        let shortest = self.packets.iter().map(Packet::delay).min()?;
        let start = self.packets.iter().rposition(|packet| packet.delay() <= shortest + NOISE_US)?;
        let fastest = self.packets.get(start)?;
        let rise = newest.delay() - fastest.delay();
        let rising = self.packets.len() - start;
        if rise < RISE_US || rising <= MIN_PACKETS {
            return None;
        }
        // As long before: not since the rise began, and not only just.
        if self.ceiling.iter().any(|(_, longest)| newest.delay() < longest + RISE_US / 2) {
            return None;
        }
        let rising = || self.packets.range(start..);
        let steps = rising().zip(rising().skip(1)).map(|(before, after)| after.delay() - before.delay());
        if steps.max()? as f64 > MAX_STEP * rise as f64 || rising().any(|p| p.delay() > newest.delay()) {
            return None;
        }
        let bits = rising().skip(1).map(|packet| packet.size).sum::<usize>() as f64 * 8e6;
        let (left, came) = (newest.send - fastest.send, newest.arrival - fastest.arrival);
        // Sent at once is a burst that the path spreads out, whatever its rate.
        let slower = left > came / 10 && (left as f64) < SLOWER * came as f64;
        slower.then(|| bits / came as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 Mbit/s, one packet of 1000 bytes each 4 ms, over a path that takes `bps` from packet 50 on.
    fn run(bps: f64, jitter: impl Fn(i64) -> i64) -> Option<(i64, f64)> {
        let mut surge = Surge::default();
        let mut free = 0;
        for n in 0..200i64 {
            let send = n * 4_000;
            let rate = if n < 50 { 1e7 } else { bps };
            free = send.max(free) + (8e9 / rate) as i64;
            surge.add(send, 5_000_000 + free + jitter(n), 1000);
            if let Some(rate) = surge.take() {
                return Some((n, rate));
            }
        }
        None
    }

    #[test]
    fn a_sudden_queue_is_seen_within_a_few_packets_with_the_rate_of_the_path() {
        let (packet, rate) = run(5e5, |_| 0).unwrap();
        assert!((53..58).contains(&packet), "{packet}");
        assert!((4.5e5..5.1e5).contains(&rate), "{rate}");
    }

    #[test]
    fn jitter_pauses_and_slow_growth_are_none() {
        assert_eq!(run(1e7, |n| n * 7919 % 30_000), None);
        // A radio that pauses for 90 ms and then delivers all it holds.
        assert_eq!(run(1e7, |n| if (60..83).contains(&n) { (83 - n) * 4_000 } else { 0 }), None);
        assert_eq!(run(1.7e6, |_| 0), None);
    }

    #[test]
    fn senseless_times_are_taken() {
        let mut surge = Surge::default();
        for n in [5, 3, i64::MAX / 4, 9, -4, i64::MIN / 4, 12] {
            surge.add(n, n.rotate_left(5) >> 8, 70_000);
            surge.take();
        }
    }
}
