//! Our bandwidth estimator behind webrtc's trait: the feedback about each packet in, what may be sent out.

use crate::net::NetEvent;
use crate::net::monitor::Monitor;
use crate::units::Bitrate;
use rtc::interceptor::{BandwidthEstimator, PacketReport};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection is taken to carry before anything is known of it.
pub(in crate::net) const START: Bitrate = Bitrate::from_kbps(1000);
const MIN_BPS: f64 = 100_000.0;
const MAX_BPS: f64 = 8_000_000.0;
/// Taken off the estimate before video gets the rest: Opus with its headers.
const AUDIO_BPS: f64 = 60_000.0;
/// Share of a video packet that is payload.
const PAYLOAD_SHARE: f64 = 0.94;
const WINDOW: Duration = Duration::from_millis(250);
/// A smaller change is not worth reconfiguring the encoder.
const NEWS: f64 = 0.03;

pub(super) struct Estimate {
    monitor: Arc<Monitor>,
    max: f64,
    target: f64,
    told: f64,
    window_start: Option<Instant>,
    arrived: f64,
    lost: f64,
    bytes: usize,
    /// Transit time above the smallest seen, seconds.
    queueing: f64,
    origin: Option<(Instant, Duration)>,
    smallest: f64,
}

impl Estimate {
    pub fn new(monitor: Arc<Monitor>, max_bitrate: Option<Bitrate>) -> Self {
        let max = max_bitrate.map_or(MAX_BPS, |max| max.bps() as f64 / PAYLOAD_SHARE + AUDIO_BPS);
        Self {
            monitor,
            max,
            target: (START.bps() as f64).min(max),
            told: 0.0,
            window_start: None,
            arrived: 0.0,
            lost: 0.0,
            bytes: 0,
            queueing: 0.0,
            origin: None,
            smallest: f64::MAX,
        }
    }

    fn tell(&mut self) {
        if (self.target - self.told).abs() > self.told * NEWS {
            self.told = self.target;
            let video = Bitrate::from_bps(((self.target - AUDIO_BPS) * PAYLOAD_SHARE) as u64);
            self.monitor.set_estimate(Bitrate::from_bps(self.target as u64), video);
            self.monitor.tell(NetEvent::VideoTarget(video));
        }
    }
}

impl BandwidthEstimator for Estimate {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        for report in reports {
            if !report.arrived {
                self.lost += 1.0;
                continue;
            }
            self.arrived += 1.0;
            self.bytes += report.size;
            if let Some(arrival) = report.arrival {
                let (departure, first) = *self.origin.get_or_insert((report.departure, arrival));
                let transit = arrival.as_secs_f64()
                    - first.as_secs_f64()
                    - report.departure.saturating_duration_since(departure).as_secs_f64();
                self.smallest = self.smallest.min(transit);
                self.queueing = transit - self.smallest;
            }
        }
        let start = *self.window_start.get_or_insert(now);
        let passed = now.saturating_duration_since(start);
        if passed >= WINDOW {
            let rate = self.bytes as f64 * 8.0 / passed.as_secs_f64();
            let loss = self.lost / (self.arrived + self.lost).max(1.0);
            let target = if loss > 0.1 {
                self.target * (1.0 - 0.5 * loss)
            } else if self.queueing > 0.1 {
                (rate * 0.85).min(self.target)
            } else if rate > self.target * 0.5 {
                self.target * 1.05
            } else {
                self.target
            };
            self.target = target.clamp(MIN_BPS.min(self.max), self.max);
            (self.arrived, self.lost, self.bytes, self.window_start) = (0.0, 0.0, 0, Some(now));
            self.tell();
        }
    }

    fn target_bitrate(&self) -> f64 {
        self.target
    }
}
