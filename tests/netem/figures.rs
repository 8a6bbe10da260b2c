//! What is measured of a call.

use crate::Micros;
use std::fmt;

/// Values that are asked for their percentiles.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((last * percent / 100.0).round() as usize).copied().unwrap_or(0.0)
    }
    pub fn max(&self) -> f64 {
        self.percentile(100.0)
    }
}

/// Since the last [`Call::take_figures`](crate::call::Call::take_figures).
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub seconds: f64,
    /// Bytes that arrived, headers included.
    pub received_bytes: usize,
    /// Wait of each packet in front of the bottleneck, ms.
    pub queue_ms: Samples,
    pub target_bps: Samples,
    pub frames_encoded: u64,
    /// Not made: the path was full.
    pub frames_skipped: u64,
    /// Refused by the pacer.
    pub frames_refused: u64,
    pub frames_shown: u64,
    pub keyframes: u64,
    pub keyframe_requests: u64,
    pub retransmitted: u64,
    pub freezes: u64,
    pub frozen_seconds: f64,
    /// From capture to the moment it is due on the screen, ms.
    pub picture_delay_ms: Samples,
    /// What the playout clock adds, ms.
    pub playout_ms: Samples,
    pub skew_ms: Samples,
    pub sound_lag_ms: Samples,
    pub concealed: f64,
    pub recovered: u64,
    pub first_shown_at: Option<Micros>,
}

impl Figures {
    pub fn received_bps(&self) -> f64 {
        self.received_bytes as f64 * 8.0 / self.seconds
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:5.0} s {:5.0} kbit/s | queue p95 {:4.0} max {:4.0} ms | frames {:5} of {:5} skipped {} refused {} PLI {} rtx {} | \
             freezes {} {:.2} s | picture p50 {:3.0} p95 {:3.0} (+{:.0}) ms skew p95 {:3.0} | \
             sound lag p50 {:3.0} p95 {:3.0} ms concealed {:.2} % fec {}",
            self.seconds,
            self.received_bps() / 1e3,
            self.queue_ms.percentile(95.0),
            self.queue_ms.max(),
            self.frames_shown,
            self.frames_encoded,
            self.frames_skipped,
            self.frames_refused,
            self.keyframe_requests,
            self.retransmitted,
            self.freezes,
            self.frozen_seconds,
            self.picture_delay_ms.percentile(50.0),
            self.picture_delay_ms.percentile(95.0),
            self.playout_ms.percentile(50.0),
            self.skew_ms.percentile(95.0),
            self.sound_lag_ms.percentile(50.0),
            self.sound_lag_ms.percentile(95.0),
            self.concealed * 100.0,
            self.recovered,
        )
    }
}
