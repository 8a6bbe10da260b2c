//! The delay-based target: up while the path is quiet, down to what arrives when a queue grows
//! (draft-ietf-rmcat-gcc-02, section 5.5; libwebrtc `modules/remote_bitrate_estimator/aimd_rate_control.cc` and
//! `modules/congestion_controller/goog_cc/link_capacity_estimator.cc`).
//!
//! Three things differ from there. The ramp is faster once the path has been quiet for a while, because its queue is
//! measured and not only its growth. After an overuse the target stays lower the longer the queue is, until it is
//! drained. And a queue that stays however little we send is somebody else's (a download's): giving way to it would
//! leave us nothing, so then we go by loss alone, as TCP does (RFC 5681), until the queue has been gone for a while.

use super::delay::Usage;
use std::time::{Duration, Instant};

/// A decrease goes to this share of what arrives.
const BETA: f64 = 0.85;
/// Growth a second: at first after an overuse, when the path has been quiet, and before the first overuse.
const CAREFUL: f64 = 1.08;
const CONFIDENT: f64 = 1.35;
const STARTING: f64 = 1.5;
/// Quiet for so long means confident.
const QUIET: Duration = Duration::from_millis(1500);
/// The target never grows beyond what arrives times this.
const MAX_OVER_ACKED: f64 = 1.5;
const OVER_ACKED_BPS: f64 = 10_000.0;
/// With more queue than this the target does not grow.
const HOLD_QUEUE_US: i64 = 50_000;
/// The queue counts as drained under this.
const DRAINED_US: i64 = 25_000;
/// A queue that stands this high for [`STANDING`] is brought down though it does not grow.
const STANDING_US: i64 = 80_000;
const STANDING: Duration = Duration::from_millis(400);
/// Draining aims at an empty queue in this time, but keeps this share of the target and ends after a while: a
/// queue that does not drain is somebody else's.
const DRAIN_US: f64 = 700_000.0;
const MIN_DRAIN: f64 = 0.25;
const MAX_DRAIN: Duration = Duration::from_secs(3);

/// A queue that stands for so long is somebody else's; it is gone when it was drained for so long.
const FOREIGN_AFTER: Duration = Duration::from_secs(2);
const FOREIGN_OVER: Duration = Duration::from_secs(1);
/// Beside somebody else: growth a second as a factor and in bit/s, how far beyond what arrives, and the rest between
/// two decreases.
const COMPETING: f64 = 1.08;
const COMPETING_STEP: f64 = 25_000.0;
const COMPETING_OVER_ACKED: f64 = 1.2;
const COMPETING_PAUSE: Duration = Duration::from_millis(400);

/// What came of the last reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub usage: Usage,
    /// Bits per second that arrived over 200 ms and over 500 ms; `None` at the very start.
    pub acked_short: Option<f64>,
    pub acked: Option<f64>,
    pub sent: Option<f64>,
    pub queue_us: i64,
    pub round_trip: Duration,
    /// In the last second more was lost than this path always loses.
    pub lost: bool,
    /// The encoder gives much less than it may.
    pub application_limited: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Aimd {
    target: f64,
    min: f64,
    max: f64,
    capacity: Capacity,
    last_update: Option<Instant>,
    last_decrease: Option<Instant>,
    draining_since: Option<Instant>,
    standing_since: Option<Instant>,
    /// The queue has been long, or drained, since then.
    long_since: Option<Instant>,
    drained_since: Option<Instant>,
    foreign: bool,
    queue_us: i64,
}

impl Aimd {
    pub fn new(start: f64, min: f64, max: f64) -> Self {
        Self {
            target: start,
            min,
            max,
            capacity: Capacity::default(),
            last_update: None,
            last_decrease: None,
            draining_since: None,
            standing_since: None,
            long_since: None,
            drained_since: None,
            foreign: false,
            queue_us: 0,
        }
    }

    pub fn target(&self) -> f64 {
        self.target
    }
    pub fn set_target(&mut self, target: f64) {
        self.target = target.clamp(self.min, self.max);
    }
    pub fn set_limits(&mut self, min: f64, max: f64) {
        (self.min, self.max) = (min, max.max(min));
        self.set_target(self.target);
    }
    /// The queue on the path is somebody else's.
    pub fn is_competing(&self) -> bool {
        self.foreign
    }
    /// What is lost now is what finds no room in a queue.
    pub fn has_standing_queue(&self) -> bool {
        self.foreign || self.queue_us >= STANDING_US
    }
    pub fn last_decrease(&self) -> Option<Instant> {
        self.last_decrease
    }
    /// A probe has shown that the path takes more than was thought.
    pub fn handle_probe(&mut self, rate: f64) {
        if rate > self.target && self.draining_since.is_none() {
            self.capacity = Capacity::default();
            self.set_target(rate);
        }
    }

    /// The path suddenly takes no more than `rate`: no need to see it twice.
    pub fn handle_surge(&mut self, now: Instant, rate: f64, queue_us: i64) {
        self.queue_us = queue_us;
        self.last_update = Some(now);
        if self.foreign {
            return;
        }
        if BETA * rate < self.target {
            self.capacity.add(rate);
            self.lower(now, BETA * rate);
        }
    }

    /// What may be sent now: the target, or less while a queue of our making drains.
    pub fn output(&self) -> f64 {
        if self.draining_since.is_none() {
            return self.target;
        }
        let share = 1.0 - (self.queue_us - DRAINED_US).max(0) as f64 / DRAIN_US;
        (self.target * share.max(MIN_DRAIN)).max(self.min)
    }

    pub fn update(&mut self, now: Instant, seen: &Observation) {
        self.queue_us = seen.queue_us;
        let since = self.last_update.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_update = Some(now);
        self.look_whose(now);
        if self.foreign {
            return self.compete(now, since.min(Duration::from_secs(1)), seen);
        }
        let over_time = self.draining_since.is_some_and(|start| now >= start + MAX_DRAIN);
        if seen.queue_us < DRAINED_US || over_time {
            self.draining_since = None;
        }
        if seen.queue_us < STANDING_US {
            self.standing_since = None;
        } else {
            self.standing_since.get_or_insert(now);
        }
        let standing = self.standing_since.is_some_and(|start| now >= start + STANDING)
            && self.draining_since.is_none()
            && self.capacity.upper().is_none_or(|upper| self.target > upper / 2.0);
        match seen.usage {
            Usage::Over => self.decrease(now, seen),
            _ if standing => {
                self.standing_since = None;
                self.decrease(now, seen);
            }
            Usage::Normal if self.draining_since.is_none() && seen.queue_us < HOLD_QUEUE_US => {
                self.increase(now, since.min(Duration::from_secs(1)), seen);
            }
            Usage::Normal | Usage::Under => {}
        }
    }

    fn look_whose(&mut self, now: Instant) {
        let since = |kept: Option<Instant>, holds: bool| holds.then(|| kept.unwrap_or(now));
        self.long_since = since(self.long_since, self.queue_us >= STANDING_US);
        self.drained_since = since(self.drained_since, self.queue_us < DRAINED_US);
        if self.long_since.is_some_and(|long| now >= long + FOREIGN_AFTER) {
            self.foreign = true;
            (self.draining_since, self.standing_since) = (None, None);
        }
        if self.drained_since.is_some_and(|drained| now >= drained + FOREIGN_OVER) {
            self.foreign = false;
        }
    }

    /// Up until something is lost.
    fn compete(&mut self, now: Instant, since: Duration, seen: &Observation) {
        let rested = self.last_decrease.is_none_or(|last| now >= last + seen.round_trip + COMPETING_PAUSE);
        if seen.lost {
            if rested {
                self.set_target(BETA * self.target);
                self.last_decrease = Some(now);
            }
        } else if !seen.application_limited {
            let cap = seen.acked.map_or(f64::INFINITY, |acked| COMPETING_OVER_ACKED * acked + OVER_ACKED_BPS);
            let seconds = since.as_secs_f64();
            let grown = self.target * COMPETING.powf(seconds) + COMPETING_STEP * seconds;
            self.set_target(grown.min(cap).max(self.target));
        }
    }

    fn decrease(&mut self, now: Instant, seen: &Observation) {
        let Some(acked) = seen.acked_short.zip(seen.acked).map(|(short, long)| short.min(long)) else {
            // Nothing is known of what arrives: half, once a round trip.
            if self.may_decrease_again(now, seen) {
                self.lower(now, self.target / 2.0);
            }
            return;
        };
        // All we send arrives and nothing queues: the gaps came from the encoder's silence, not from the path.
        let all_arrives = seen.sent.is_some_and(|sent| acked >= 0.95 * sent);
        if seen.queue_us < DRAINED_US && (all_arrives || seen.application_limited || acked >= self.target) {
            return;
        }
        if !self.may_decrease_again(now, seen) && acked >= self.target / 2.0 {
            return;
        }
        self.capacity.add(acked);
        let lower = (BETA * acked).min(0.95 * self.target);
        self.lower(now, lower);
    }

    fn may_decrease_again(&self, now: Instant, seen: &Observation) -> bool {
        let pause = seen.round_trip.clamp(Duration::from_millis(10), Duration::from_millis(200))
            + Duration::from_millis(100);
        self.last_decrease.is_none_or(|last| now >= last + pause)
    }

    fn lower(&mut self, now: Instant, target: f64) {
        self.set_target(target.min(self.target));
        self.last_decrease = Some(now);
        self.draining_since = Some(now);
    }

    fn increase(&mut self, now: Instant, since: Duration, seen: &Observation) {
        if seen.application_limited {
            return;
        }
        let seconds = since.as_secs_f64();
        if seen.acked.zip(self.capacity.upper()).is_some_and(|(acked, upper)| acked > upper) {
            self.capacity = Capacity::default();
        }
        let quiet = self.last_decrease.map(|last| now.saturating_duration_since(last));
        let grown = if self.capacity.upper().is_some() {
            // About one packet each response time.
            let response = seen.round_trip.as_secs_f64() + 0.1;
            self.target + (1200.0 * 8.0 / response).max(4_000.0) * seconds
        } else {
            let growth: f64 = match quiet {
                None => STARTING,
                Some(quiet) if quiet >= QUIET => CONFIDENT,
                Some(_) => CAREFUL,
            };
            self.target * growth.powf(seconds)
        };
        let cap = seen.acked.map_or(f64::INFINITY, |acked| MAX_OVER_ACKED * acked + OVER_ACKED_BPS);
        self.set_target(grown.min(cap).max(self.target));
    }
}

/// What the path took when its queue began to grow: mean and spread in kbit/s.
#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    mean: Option<f64>,
    spread: f64,
}

impl Capacity {
    fn add(&mut self, bps: f64) {
        const NEW: f64 = 0.05;
        let kbps = bps / 1000.0;
        if self.mean.is_some() && self.lower().is_some_and(|lower| bps < lower) {
            *self = Self::default();
        }
        let mean = self.mean.map_or(kbps, |mean| (1.0 - NEW) * mean + NEW * kbps);
        let error = (mean - kbps).powi(2) / mean.max(1.0);
        self.spread = ((1.0 - NEW) * self.spread + NEW * error).clamp(0.4, 2.5);
        self.mean = Some(mean);
    }
    /// Three standard deviations off the mean, in bit/s.
    fn upper(&self) -> Option<f64> {
        self.mean.map(|mean| (mean + 3.0 * (self.spread * mean).sqrt()) * 1000.0)
    }
    fn lower(&self) -> Option<f64> {
        self.mean.map(|mean| (mean - 3.0 * (self.spread * mean).sqrt()).max(0.0) * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn seen(usage: Usage, bps: f64, queue_ms: i64) -> Observation {
        Observation {
            usage,
            acked_short: Some(bps),
            acked: Some(bps),
            sent: Some(bps * if usage == Usage::Over { 1.2 } else { 1.0 }),
            queue_us: queue_ms * 1000,
            round_trip: Duration::from_millis(50),
            lost: false,
            application_limited: false,
        }
    }
    fn aimd() -> Aimd {
        Aimd::new(1e6, 5e4, 5e6)
    }

    #[test]
    fn overuse_goes_below_what_arrives_and_drains_before_growing() {
        let mut aimd = aimd();
        aimd.update(at(0), &seen(Usage::Over, 8e5, 200));
        assert_eq!(aimd.target(), 0.85 * 8e5);
        assert_eq!(aimd.output(), aimd.target() * 0.75);
        aimd.update(at(100), &seen(Usage::Normal, 6e5, 100));
        assert_eq!(aimd.target(), 0.85 * 8e5);
        aimd.update(at(200), &seen(Usage::Normal, 6e5, 10));
        aimd.update(at(300), &seen(Usage::Normal, 6e5, 10));
        assert!(aimd.target() > 0.85 * 8e5 && aimd.output() == aimd.target());
    }

    #[test]
    fn near_the_known_capacity_it_creeps_and_beyond_it_runs() {
        let mut aimd = aimd();
        aimd.update(at(0), &seen(Usage::Over, 1e6, 60));
        let mut last = aimd.target();
        for n in 1..=20 {
            aimd.update(at(n * 100), &seen(Usage::Normal, aimd.target(), 0));
            assert!(aimd.target() - last < 8_000.0);
            last = aimd.target();
        }
        for n in 21..=80 {
            aimd.update(at(n * 100), &seen(Usage::Normal, aimd.target(), 0));
        }
        assert!(aimd.target() > 2.0 * last, "{}", aimd.target());
    }

    #[test]
    fn an_idle_encoder_neither_raises_nor_lowers_the_target() {
        let mut aimd = aimd();
        for n in 0..100 {
            let usage = if n % 10 == 5 { Usage::Over } else { Usage::Normal };
            let idle = Observation { application_limited: true, sent: Some(1e5), ..seen(usage, 1e5, 0) };
            aimd.update(at(n * 100), &idle);
        }
        assert_eq!(aimd.target(), 1e6);
    }

    #[test]
    fn what_arrives_bounds_the_growth_and_the_limits_hold() {
        let mut aimd = aimd();
        (0..100).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Normal, 1e6, 0)));
        assert_eq!(aimd.target(), 1.51e6);
        (100..900).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Normal, aimd.target(), 0)));
        assert_eq!(aimd.target(), 5e6);
        (900..1200).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Over, 1e3, 900)));
        assert_eq!((aimd.target(), aimd.output()), (5e4, 5e4));
    }

    #[test]
    fn beside_somebody_elses_queue_loss_decides() {
        let mut aimd = aimd();
        (0..25).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Over, 3e5, 200)));
        assert!(aimd.is_competing());
        let low = aimd.target();
        let up = |aimd: &mut Aimd, from: u64| {
            for n in from..from + 60 {
                let bps = aimd.target();
                aimd.update(at(n * 100), &seen(Usage::Over, bps, 200));
            }
        };
        up(&mut aimd, 25);
        assert!((1.7 * low..3.0 * low).contains(&aimd.output()), "{} {low}", aimd.output());
        let before = aimd.target();
        aimd.update(at(9_000), &Observation { lost: true, ..seen(Usage::Normal, before, 200) });
        aimd.update(at(9_100), &Observation { lost: true, ..seen(Usage::Normal, before, 200) });
        assert_eq!(aimd.target(), BETA * before);
        (92..104).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Normal, before, 0)));
        assert!(!aimd.is_competing());
    }

    #[test]
    fn a_standing_queue_is_brought_down() {
        let mut aimd = aimd();
        (0..6).for_each(|n| aimd.update(at(n * 100), &seen(Usage::Normal, 1e6, 120)));
        assert_eq!(aimd.target(), 8.5e5);
    }
}
