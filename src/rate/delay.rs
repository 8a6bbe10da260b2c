//! Sees a queue build up from how the gaps between packets change on their way (draft-ietf-rmcat-gcc-02, section 5;
//! libwebrtc `modules/congestion_controller/goog_cc/inter_arrival_delta.cc` and `trendline_estimator.cc`).

use std::collections::VecDeque;

/// Packets sent within this belong to one group: they are one burst of the pacer.
const GROUP_US: i64 = 5_000;
/// A burst that arrives bunched (Wi-Fi) is one group for at most this long.
const MAX_BUNCH_US: i64 = 100_000;
/// Groups the trend is taken over.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
/// The slope is a small number; it grows with the count of groups up to this, times the gain.
const MAX_GROUPS: f64 = 60.0;
const GAIN: f64 = 4.0;
/// Overuse must last this long.
const OVERUSE_MS: f64 = 10.0;
/// The threshold, in the unit of the scaled slope: where it starts, and between what it moves.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows, per millisecond: slowly up, so that a queue is not got used to.
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
/// Spikes further above the threshold than this do not move it.
const MAX_ADAPT: f64 = 15.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    #[default]
    Normal,
    /// The queue on the path grows.
    Over,
    /// The queue on the path shrinks.
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_send: i64,
    send: i64,
    first_arrival: i64,
    arrival: i64,
}

/// Times in microseconds, departures and arrivals each on a clock of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct DelayDetector {
    current: Option<Group>,
    previous: Option<Group>,
    groups: u32,
    first_arrival: Option<i64>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    /// Arrival and smoothed delay, both ms.
    history: VecDeque<(f64, f64)>,
    trend: f64,
    threshold: Option<f64>,
    threshold_at_ms: Option<f64>,
    over_for_ms: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl DelayDetector {
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// One packet, in the order of sending. True if a group ended with it and the verdict is new.
    pub fn handle(&mut self, send: i64, arrival: i64) -> bool {
        let group = Group { first_send: send, send, first_arrival: arrival, arrival };
        let Some(current) = &mut self.current else {
            self.current = Some(group);
            return false;
        };
        if send < current.first_send {
            return false;
        }
        let bunched = {
            let (arrived, sent) = (arrival - current.arrival, send - current.send);
            sent == 0
                || arrived < sent && arrived <= GROUP_US && arrival - current.first_arrival < MAX_BUNCH_US
        };
        if bunched || send - current.first_send <= GROUP_US {
            current.send = current.send.max(send);
            current.arrival = current.arrival.max(arrival);
            return false;
        }
        let done = *current;
        let before = self.previous.replace(done);
        self.current = Some(group);
        let Some(before) = before else { return false };
        let (sent, arrived) = (done.send - before.send, done.arrival - before.arrival);
        if arrived < 0 {
            return false;
        }
        self.add(sent as f64 / 1000.0, arrived as f64 / 1000.0, done.arrival);
        true
    }

    fn add(&mut self, sent_ms: f64, arrived_ms: f64, arrival: i64) {
        self.groups = (self.groups + 1).min(1000);
        let now_ms = (arrival - *self.first_arrival.get_or_insert(arrival)) as f64 / 1000.0;
        self.accumulated_ms += arrived_ms - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.history.push_back((now_ms, self.smoothed_ms));
        if self.history.len() > WINDOW {
            self.history.pop_front();
        }
        let trend = if self.history.len() == WINDOW { slope(&self.history) } else { None };
        let trend = trend.unwrap_or(self.trend);
        self.judge(trend, sent_ms, now_ms);
        self.trend = trend;
    }

    fn judge(&mut self, trend: f64, sent_ms: f64, now_ms: f64) {
        if self.groups < 2 {
            return;
        }
        let scaled = f64::from(self.groups).min(MAX_GROUPS) * trend * GAIN;
        let threshold = self.threshold.unwrap_or(THRESHOLD);
        if scaled > threshold {
            let over = self.over_for_ms.map_or(sent_ms / 2.0, |over| over + sent_ms);
            self.over_for_ms = Some(over);
            self.over_count += 1;
            if over > OVERUSE_MS && self.over_count > 1 && trend >= self.trend {
                (self.over_for_ms, self.over_count) = (Some(0.0), 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_for_ms, self.over_count) = (None, 0);
            self.usage = if scaled < -threshold { Usage::Under } else { Usage::Normal };
        }
        let since = (now_ms - self.threshold_at_ms.unwrap_or(now_ms)).clamp(0.0, 100.0);
        self.threshold_at_ms = Some(now_ms);
        if scaled.abs() <= threshold + MAX_ADAPT {
            let follow = if scaled.abs() < threshold { FOLLOW_DOWN } else { FOLLOW_UP };
            let moved = threshold + follow * (scaled.abs() - threshold) * since;
            self.threshold = Some(moved.clamp(THRESHOLD_RANGE.0, THRESHOLD_RANGE.1));
        }
    }
}

/// Least squares through the points; `None` if they are all above each other.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let over: f64 = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends every 10 ms; the delay of packet `n` is `delay_us(n)`. The verdicts.
    fn run(packets: i64, delay_us: impl Fn(i64) -> i64) -> Vec<Usage> {
        let mut detector = DelayDetector::default();
        (0..packets)
            .map(|n| {
                detector.handle(n * 10_000, 1_000_000_000 + n * 10_000 + delay_us(n));
                detector.usage()
            })
            .collect()
    }

    #[test]
    fn a_steady_path_with_some_jitter_and_drift_is_normal() {
        // 200 ppm of drift, +-3 ms of jitter.
        let usage = run(5_000, |n| n * 2 + (n * 7919 % 6_000));
        assert!(usage.iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn a_growing_queue_is_seen_within_half_a_second_and_a_draining_one_too() {
        let usage = run(400, |n| if n < 100 { 0 } else { (n - 100).min(100) * 2_000 });
        let seen = usage.iter().position(|usage| *usage == Usage::Over).unwrap();
        assert!((100..150).contains(&seen), "{seen}");
        let usage = run(400, |n| 300_000 - (n - 100).clamp(0, 100) * 2_000);
        assert!(usage[100..200].contains(&Usage::Under));
        assert_eq!(usage[399], Usage::Normal);
    }

    #[test]
    fn times_out_of_order_and_far_jumps_are_taken() {
        let mut detector = DelayDetector::default();
        for n in [5, 3, 9, 1_000_000_000_000, 2, -5, i64::from(u32::MAX)] {
            detector.handle(n, n.rotate_left(3) >> 8);
        }
    }
}
