//! How long voice packets should wait before they are played: long enough for nearly all that come late.
//!
//! After libwebrtc `modules/audio_coding/neteq/`: `packet_arrival_history.cc`, `underrun_optimizer.cc`,
//! `reorder_optimizer.cc`, `histogram.cc`. A packet's delay is measured against the fastest one of the last two
//! seconds, so that the sender's clock may drift.

use std::collections::VecDeque;

/// The fastest packet is looked for in this time.
const WINDOW_US: i64 = 2_000_000;
const MAX_ENTRIES: usize = 1000;
/// Width and count of the steps in which delays are counted: up to 500 ms.
const STEP_US: i64 = 5_000;
const STEPS: usize = 100;
/// The longest delay of each half second counts; so many of them are covered.
const PERIOD_US: i64 = 500_000;
const COVERED: f64 = 0.95;
/// Forgetting: half a second loses 1.7 % of its weight for each that follows.
const FORGET: f64 = 0.983;
/// Overtaken packets are rare and costly to wait for: each is remembered longer, and 1 % of them is worth 20 ms.
const FORGET_ORDER: f64 = 0.9993;
const COST_OF_ALL_US: f64 = 2_000_000.0;
/// A block is put together when its first sample is due: its last one must be here as well.
const BLOCK_US: i64 = 10_000;
/// Before the first half second is over.
const START_US: i64 = 40_000;
pub(super) const MIN_US: i64 = 20_000;
pub(super) const MAX_US: i64 = 500_000;

/// Shares of delays, forgetting the old ones.
#[derive(Clone, Debug)]
struct Histogram {
    shares: [f64; STEPS],
    forget: f64,
    count: u32,
}

impl Histogram {
    fn new(forget: f64) -> Self {
        Self { shares: [0.0; STEPS], forget, count: 0 }
    }
    fn add(&mut self, step: usize) {
        // At first each value counts much: the start says nothing yet.
        self.count = self.count.saturating_add(1);
        let forget = self.forget.min(1.0 - 2.0 / f64::from(self.count + 1));
        self.shares.iter_mut().for_each(|share| *share *= forget);
        self.shares[step.min(STEPS - 1)] += 1.0 - forget;
    }
    /// The step under which the share `covered` lies.
    fn quantile(&self, covered: f64) -> usize {
        let mut left = 1.0 - covered;
        // From above: the shares add up to 1.
        for step in (0..STEPS).rev() {
            left -= self.shares[step];
            if left < 0.0 {
                return step;
            }
        }
        0
    }
}

#[derive(Clone, Debug)]
pub(super) struct TargetDelay {
    /// Arrival, and arrival minus RTP time, in microseconds.
    arrivals: VecDeque<(i64, i64)>,
    period: Option<(i64, i64)>,
    late: Histogram,
    order: Histogram,
    target_us: i64,
}

impl Default for TargetDelay {
    fn default() -> Self {
        Self {
            arrivals: VecDeque::new(),
            period: None,
            late: Histogram::new(FORGET),
            order: Histogram::new(FORGET_ORDER),
            target_us: START_US,
        }
    }
}

impl TargetDelay {
    /// A packet came: when, the time of its first sample, and whether a later one was here before.
    pub fn handle_arrival(&mut self, arrival_us: i64, time_us: i64, overtaken: bool) {
        let offset = arrival_us - time_us;
        self.arrivals.push_back((arrival_us, offset));
        let old = |entry: &(i64, i64)| entry.0 < arrival_us - WINDOW_US;
        while self.arrivals.len() > MAX_ENTRIES || self.arrivals.front().is_some_and(old) {
            self.arrivals.pop_front();
        }
        let delay = offset - self.fastest().unwrap_or(offset);
        let step = (delay / STEP_US) as usize;
        let mut changed = false;
        if !overtaken {
            let (since, longest) = *self.period.get_or_insert((arrival_us, delay));
            self.period = Some((since, longest.max(delay)));
            if arrival_us - since >= PERIOD_US {
                self.late.add((longest.max(delay) / STEP_US) as usize);
                self.period = None;
                changed = true;
            }
        }
        self.order.add(if overtaken { step } else { 0 });
        if changed || overtaken {
            self.choose();
        }
    }

    /// Arrival minus RTP time of the fastest packet lately.
    pub fn fastest(&self) -> Option<i64> {
        self.arrivals.iter().map(|entry| entry.1).min()
    }

    /// The sender's timeline has changed: the arrivals say nothing of the new one.
    pub fn start_timeline(&mut self) {
        self.arrivals.clear();
        self.period = None;
    }

    fn choose(&mut self) {
        let length = |step: usize| (step as i64 + 1) * STEP_US + BLOCK_US;
        let base = if self.late.count == 0 { self.target_us } else { length(self.late.quantile(COVERED)) };
        let mut missed = 1.0;
        let mut best = (f64::INFINITY, base);
        for step in 0..STEPS {
            missed -= self.order.shares[step];
            let cost = (length(step) - base).max(0) as f64 + COST_OF_ALL_US * f64::max(missed, 0.0);
            if cost < best.0 - 1.0 {
                best = (cost, length(step));
            }
        }
        self.target_us = base.max(best.1).clamp(MIN_US, MAX_US);
    }

    pub fn target_us(&self) -> i64 {
        self.target_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms packets; the delay of each in ms. The target in ms at the end.
    fn target(target: &mut TargetDelay, packets: i64, delay_ms: impl Fn(i64) -> i64) -> i64 {
        let mut order: Vec<(i64, i64)> =
            (0..packets).map(|n| (n * 20_000 + delay_ms(n) * 1000, n * 20_000)).collect();
        order.sort_unstable();
        let mut highest = i64::MIN;
        for (arrival, time) in order {
            target.handle_arrival(arrival, time, time < highest);
            highest = highest.max(time);
        }
        target.target_us() / 1000
    }

    #[test]
    fn a_steady_path_needs_the_least() {
        assert_eq!(target(&mut TargetDelay::default(), 500, |_| 50), 20);
        // A clock that is 200 ppm fast.
        assert_eq!(target(&mut TargetDelay::default(), 5_000, |n| 200 - n * 4 / 1000), 20);
    }

    #[test]
    fn jitter_is_covered() {
        let found = target(&mut TargetDelay::default(), 1_000, |n| n * 17 % 31);
        assert!((40..=50).contains(&found), "{found}");
    }

    #[test]
    fn one_spike_is_forgotten_and_frequent_ones_are_covered() {
        let mut delay = TargetDelay::default();
        assert_eq!(target(&mut delay, 3_000, |n| if n == 1_500 { 200 } else { 10 }), 20);
        let found = target(&mut TargetDelay::default(), 3_000, |n| (130 - n % 100 * 20).max(10));
        assert!(found >= 110, "{found}");
    }

    #[test]
    fn packets_that_are_overtaken_often_are_waited_for() {
        // Every tenth packet comes 60 ms late, after the two that follow it.
        let found = target(&mut TargetDelay::default(), 3_000, |n| if n % 10 == 0 { 60 } else { 0 });
        assert!((60..=80).contains(&found), "{found}");
        let found = target(&mut TargetDelay::default(), 3_000, |n| if n % 500 == 0 { 60 } else { 0 });
        assert_eq!(found, 20);
    }
}
