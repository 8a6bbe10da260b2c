//! Our [`Estimator`] behind webrtc's trait: the feedback about each packet in, what may be sent out.

use crate::codec::opus::VOICE_RATE;
use crate::net::NetEvent;
use crate::net::monitor::Monitor;
use crate::rate::{Estimator, PacketReport};
use crate::units::Bitrate;
use rtc::interceptor::BandwidthEstimator;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection is taken to carry before anything is known of it.
pub(in crate::net) const START: Bitrate = Bitrate::from_kbps(1500);
/// Less than sound and a small picture need is not aimed at.
const MIN: Bitrate = Bitrate::from_kbps(100);
const MAX: Bitrate = Bitrate::from_kbps(8000);
/// Taken off the estimate before video gets the rest: Opus with its headers.
const AUDIO: Bitrate = Bitrate::from_kbps(60);
/// Share of a video packet that is payload.
const PAYLOAD_SHARE: f64 = 0.94;
/// The target falls by itself while reports stay away.
const UPDATE: Duration = Duration::from_millis(100);
/// A smaller change is not worth telling the encoder.
const NEWS: f64 = 0.03;

pub(in crate::net) fn estimator(max_video: Option<Bitrate>) -> Estimator {
    let max =
        max_video.map_or(MAX, |max| Bitrate::from_bps(max.scaled(1.0 / PAYLOAD_SHARE).bps() + AUDIO.bps()));
    Estimator::new(START, MIN, max)
}

pub(super) struct Estimate {
    monitor: Arc<Monitor>,
    target: Bitrate,
    told: Bitrate,
    next: Option<Instant>,
}

impl Estimate {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, target: START, told: Bitrate::default(), next: None }
    }

    fn update(&mut self, now: Instant) {
        self.target = self.monitor.estimator().target(now);
        let change = self.target.bps().abs_diff(self.told.bps());
        if change as f64 > self.told.bps() as f64 * NEWS {
            self.told = self.target;
            let copies = VOICE_RATE.bps() * self.monitor.voice_copies() as u64;
            let rest = Bitrate::from_bps(self.target.bps().saturating_sub(AUDIO.bps() + copies));
            let video = rest.scaled(PAYLOAD_SHARE);
            self.monitor.set_estimate(self.target, video);
            self.monitor.tell(NetEvent::VideoTarget(video));
        }
    }
}

impl BandwidthEstimator for Estimate {
    fn on_reports(&mut self, now: Instant, reports: &[rtc::interceptor::PacketReport]) {
        let reports: Vec<PacketReport> = reports
            .iter()
            // Received, but the receiver does not say when: of no use.
            .filter(|report| report.arrival.is_some() || !report.arrived)
            .map(|report| PacketReport {
                departure: report.departure,
                arrival: report.arrival,
                size: report.size,
            })
            .collect();
        self.monitor.estimator().handle_reports(now, &reports);
        self.update(now);
    }

    fn target_bitrate(&self) -> f64 {
        self.target.bps() as f64
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + UPDATE);
            self.update(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
