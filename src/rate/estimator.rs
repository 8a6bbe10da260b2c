//! How much the path to a peer takes: delay, loss and the receiver's own limit, whichever is lowest.
//!
//! ```text
//! reports -> queue, trend, surge -> Aimd +
//!         -> loss ----------------------+-> min -> target
//!         -> probes -> Aimd             |
//! REMB ---------------------------------+
//! silence of the reports ---------------+
//! ```
//!
//! The task that sends to the peer owns it and calls [`Estimator::handle_feedback`] with each feedback message,
//! [`Estimator::handle_sent`] for each packet, then reads [`Estimator::target`] and [`Estimator::window`].
//!
//! After Google congestion control: draft-ietf-rmcat-gcc-02 and libwebrtc
//! `modules/congestion_controller/goog_cc/`. The parts name their sources.

use super::aimd::{Aimd, Observation};
use super::delay::DelayDetector;
use super::path::{Loss, Queue, Rate};
use super::prober::{Prober, Situation};
use super::surge::Surge;
use super::window::Window;
use super::{Feedback, PacketReport, Probe, Usage};
use crate::units::{Bitrate, Epoch};
use std::time::{Duration, Instant};

/// Windows of the rate that arrives: short for a fall, long for the growth.
const SHORT_US: i64 = 200_000;
const LONG_US: i64 = 500_000;
/// The encoder is the limit under this share of the target, until it is over the second one.
const LIMITED_BELOW: f64 = 0.6;
const LIMITED_UNTIL: f64 = 0.75;
/// Loss above what the path always has: over the first the target falls, under the second it grows again.
const MUCH_LOSS: f64 = 0.10;
const LITTLE_LOSS: f64 = 0.02;
const LOSS_GROWTH: f64 = 1.15;
/// What arrives is taken as possible, whatever the loss.
const LOSS_FLOOR: f64 = 0.95;
/// Reports are missing when none came for the round trip and this; then the target is halved each [`HALVING`].
const SILENCE: Duration = Duration::from_millis(600);
const HALVING: Duration = Duration::from_millis(300);
/// After a silence, losses are those of the outage for so long.
const AFTER_SILENCE: Duration = Duration::from_millis(500);
/// Under this the path counts as quiet.
const QUIET_QUEUE_US: i64 = 20_000;

/// What the estimator knows, for statistics and the log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EstimatorStats {
    pub usage: Usage,
    pub delay_target: Bitrate,
    pub loss_target: Option<Bitrate>,
    pub acked: Option<Bitrate>,
    pub sent: Option<Bitrate>,
    /// How long packets wait on the path now.
    pub queue: Duration,
    /// Share of packets lost in the last full window.
    pub loss: f64,
    /// The same, if it is the path's own: what a full queue loses is lost again the more is repeated.
    pub stray_loss: f64,
    pub round_trip: Duration,
    pub application_limited: bool,
}

#[derive(Clone, Debug)]
pub struct Estimator {
    epoch: Epoch,
    first_arrival: Option<Duration>,
    min: f64,
    max: f64,
    delay: DelayDetector,
    acked: Rate,
    sent: Rate,
    queue: Queue,
    surge: Surge,
    window: Window,
    loss: Loss,
    aimd: Aimd,
    prober: Prober,
    loss_target: Option<f64>,
    remb: Option<f64>,
    round_trip: Duration,
    round_trip_given: bool,
    application_limited: bool,
    /// When the oldest packet left of which no report has come yet.
    unanswered_since: Option<Instant>,
    last_report: Option<Instant>,
    silence_over: Option<Instant>,
}

impl Estimator {
    pub fn new(start: Bitrate, min: Bitrate, max: Bitrate) -> Self {
        let (min, max) = (min.bps() as f64, max.max(min).bps() as f64);
        Self {
            epoch: Epoch::default(),
            first_arrival: None,
            min,
            max,
            delay: DelayDetector::default(),
            acked: Rate::default(),
            sent: Rate::default(),
            queue: Queue::default(),
            surge: Surge::default(),
            window: Window::default(),
            loss: Loss::default(),
            aimd: Aimd::new((start.bps() as f64).clamp(min, max), min, max),
            prober: Prober::default(),
            loss_target: None,
            remb: None,
            round_trip: Duration::from_millis(100),
            round_trip_given: false,
            application_limited: false,
            unanswered_since: None,
            last_report: None,
            silence_over: None,
        }
    }

    pub fn max(&self) -> Bitrate {
        Bitrate::from_bps(self.max as u64)
    }

    /// No target outside of these.
    pub fn set_limits(&mut self, min: Bitrate, max: Bitrate) {
        (self.min, self.max) = (min.bps() as f64, max.max(min).bps() as f64);
        self.aimd.set_limits(self.min, self.max);
    }

    /// A packet left. Only used to notice that reports stay away.
    pub fn handle_sent(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
    }

    /// The round trip as receiver reports give it (RFC 3550, section 6.4.1). Without it, it is guessed from the
    /// reports.
    pub fn handle_round_trip(&mut self, round_trip: Duration) {
        (self.round_trip, self.round_trip_given) = (round_trip, true);
    }

    /// The receiver allows no more (draft-alvestrand-rmcat-remb-03). Holds until the next one.
    pub fn handle_remb(&mut self, limit: Bitrate) {
        self.remb = Some(limit.bps() as f64);
    }

    /// Share lost, from a receiver report. Only steers when there are no packet reports.
    pub fn handle_receiver_report(&mut self, now: Instant, fraction_lost: f64) {
        let reported = self.last_report.is_some_and(|last| now < last + Duration::from_secs(2));
        if reported || !fraction_lost.is_finite() {
            return;
        }
        self.unanswered_since = None;
        let target = self.aimd.target();
        if fraction_lost > MUCH_LOSS {
            self.aimd.set_target(target * (1.0 - 0.5 * fraction_lost.min(1.0)));
        } else if fraction_lost < LITTLE_LOSS {
            self.aimd.set_target(target * 1.08);
        }
    }

    /// One feedback message.
    pub fn handle_feedback(&mut self, now: Instant, feedback: &Feedback) {
        if let Some(oldest) = feedback.oldest_arrived {
            self.window.handle_delay(now, now.saturating_duration_since(oldest));
        }
        self.handle_reports(now, &feedback.reports);
    }

    /// Bytes that may be under way; `None` until reports come.
    pub fn window(&self, now: Instant) -> Option<usize> {
        let target = self.target(now).bps() as f64;
        self.window.bytes(target, self.loss.share(), self.aimd.is_competing())
    }

    /// The fates of packets, in the order of sending.
    fn handle_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        let Some(last) = reports.last() else { return };
        let silent = self.silence(now);
        if silent > SILENCE {
            self.silence_over = Some(now);
        }
        self.unanswered_since = None;
        self.last_report = Some(now);
        let mut usage = None;
        for report in reports {
            usage = self.handle_report(report).or(usage);
        }
        if reports.iter().any(|report| report.arrival.is_some()) && !self.round_trip_given {
            let guess = now.saturating_duration_since(last.departure);
            self.round_trip = (self.round_trip * 7 + guess) / 8;
        }
        if self.silence_over.is_some_and(|over| now < over + AFTER_SILENCE) {
            self.loss.forget_window();
        }
        self.judge(now, usage.unwrap_or(self.delay.usage()), last.departure);
    }

    /// The verdict, if there is a new one; overuse wins.
    fn handle_report(&mut self, report: &PacketReport) -> Option<Usage> {
        let send = self.epoch.micros(report.departure);
        self.sent.add(send, report.size);
        self.loss.add(send, report.arrival.is_none());
        let arrival = report.arrival.map(|arrival| {
            let first = *self.first_arrival.get_or_insert(arrival);
            match arrival.checked_sub(first) {
                Some(since) => since.as_micros() as i64,
                None => -((first - arrival).as_micros() as i64),
            }
        });
        if let Some(found) = self.prober.handle_report((send, arrival, report.size))
            && self.queue.delay_us() < 2 * QUIET_QUEUE_US
        {
            self.aimd.handle_probe(found);
        }
        let arrival = arrival?;
        self.acked.add(arrival, report.size);
        self.queue.add(send, arrival);
        self.surge.add(send, arrival, report.size);
        (self.delay.handle(send, arrival) && self.delay.usage() == Usage::Over).then_some(Usage::Over)
    }

    fn judge(&mut self, now: Instant, usage: Usage, newest: Instant) {
        // Delays that rise and fall back are the path's jitter (Wi-Fi, mobile networks). To go down for each wave
        // would end at nothing.
        let jitter = usage == Usage::Over && self.queue.is_swinging();
        let usage = if jitter { Usage::Normal } else { usage };
        let newest = self.epoch.micros(newest);
        let excess = self.loss.take(newest);
        let before = self.aimd.target();
        let sent = self.sent.over(LONG_US);
        if let Some(sent) = sent {
            let border = if self.application_limited { LIMITED_UNTIL } else { LIMITED_BELOW };
            self.application_limited = sent < border * self.limits().min(self.aimd.output());
        }
        let seen = Observation {
            usage,
            acked_short: self.acked.over(SHORT_US),
            acked: self.acked.over(LONG_US),
            sent,
            queue_us: self.queue.delay_us(),
            round_trip: self.round_trip,
            lost: excess.is_some_and(|excess| excess > LITTLE_LOSS),
            application_limited: self.application_limited,
        };
        match self.surge.take() {
            Some(rate) => self.aimd.handle_surge(now, rate, seen.queue_us),
            None => self.aimd.update(now, &seen),
        }
        if self.aimd.target() < before {
            self.prober.handle_fall(before);
        }
        if self.aimd.is_competing() {
            // It goes by loss itself.
            self.loss_target = None;
        } else if let Some(excess) = excess {
            self.judge_loss(excess, &seen);
        }
    }

    fn judge_loss(&mut self, excess: f64, seen: &Observation) {
        let target = self.aimd.output().min(self.limits());
        if excess > MUCH_LOSS {
            let floor = LOSS_FLOOR * seen.acked.unwrap_or(0.0);
            self.loss_target = Some((target * (1.0 - 0.5 * excess)).max(floor).min(target));
        } else if excess < LITTLE_LOSS {
            let grown = self.loss_target.map(|limit| limit * LOSS_GROWTH);
            self.loss_target = grown.filter(|limit| *limit < self.aimd.target());
        }
    }

    fn limits(&self) -> f64 {
        let infinite = f64::INFINITY;
        self.loss_target.unwrap_or(infinite).min(self.remb.unwrap_or(infinite)).min(self.max)
    }

    /// How long reports have been missing; zero while they come.
    pub fn silence(&self, now: Instant) -> Duration {
        let since =
            self.unanswered_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        // A peer that never reports is judged by its receiver reports.
        if self.last_report.is_none() { Duration::ZERO } else { since.saturating_sub(self.round_trip) }
    }

    /// What may be sent now, all streams and their headers together.
    pub fn target(&self, now: Instant) -> Bitrate {
        let target = self.aimd.output().min(self.limits());
        let silent = self.silence(now).saturating_sub(SILENCE);
        let halvings = silent.as_secs_f64() / HALVING.as_secs_f64();
        Bitrate::from_bps((target * 0.5f64.powf(halvings.min(30.0))).clamp(self.min, self.max) as u64)
    }

    /// A probe to start now, for [`Pacer::start_probe`](super::Pacer::start_probe). Call it every 100 ms or so once
    /// connected; only when the sender can make padding.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let now_us = self.epoch.micros(now);
        let quiet = self.queue.delay_us() < QUIET_QUEUE_US
            && self.delay.usage() != Usage::Over
            && self.silence(now) < SILENCE
            && self.last_report.is_some();
        let situation = Situation {
            target: self.aimd.output(),
            max: self.max.min(self.limits()),
            quiet,
            last_decrease: self.aimd.last_decrease(),
            application_limited: self.application_limited,
        };
        self.prober.poll(now, now_us, &situation)
    }

    pub fn stats(&self) -> EstimatorStats {
        let rate = |bps: f64| Bitrate::from_bps(bps as u64);
        EstimatorStats {
            usage: self.delay.usage(),
            delay_target: rate(self.aimd.output()),
            loss_target: self.loss_target.map(rate),
            acked: self.acked.over(LONG_US).map(rate),
            sent: self.sent.over(LONG_US).map(rate),
            queue: Duration::from_micros(self.queue.delay_us().max(0) as u64),
            loss: self.loss.share(),
            stray_loss: if self.aimd.has_standing_queue() { 0.0 } else { self.loss.share() },
            round_trip: self.round_trip,
            application_limited: self.application_limited,
        }
    }
}

#[cfg(test)]
mod tests;
