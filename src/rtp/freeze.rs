//! Counts freezes as W3C webrtc-stats defines them (`freezeCount`, `totalFreezesDuration`): a picture stayed for at
//! least `max(3 * average, average + 150 ms)`, the average taken over the last 30 pictures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pictures the average is taken over.
const WINDOW: usize = 30;
const MIN_EXCESS: Duration = Duration::from_millis(150);

#[derive(Clone, Debug, Default)]
pub struct FreezeDetector {
    last: Option<Instant>,
    durations: VecDeque<Duration>,
    sum: Duration,
    count: u64,
    total: Duration,
}

impl FreezeDetector {
    /// A new picture went to the screen.
    pub fn handle_frame(&mut self, shown_at: Instant) {
        let Some(last) = self.last.replace(shown_at) else { return };
        let duration = shown_at.saturating_duration_since(last);
        if self.threshold().is_some_and(|threshold| duration >= threshold) {
            self.count += 1;
            self.total += duration;
        }
        self.durations.push_back(duration);
        self.sum += duration;
        if self.durations.len() > WINDOW {
            self.sum -= self.durations.pop_front().unwrap_or_default();
        }
    }

    /// The sender stopped its camera or was muted: the time until the next picture is not a freeze.
    pub fn pause(&mut self) {
        self.last = None;
    }

    fn threshold(&self) -> Option<Duration> {
        let average = self.sum.checked_div(self.durations.len() as u32)?;
        Some((average * 3).max(average + MIN_EXCESS))
    }

    /// Whether the picture on the screen has been there for too long by now.
    pub fn is_frozen(&self, now: Instant) -> bool {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        since.zip(self.threshold()).is_some_and(|(since, threshold)| since >= threshold)
    }
    pub fn count(&self) -> u64 {
        self.count
    }
    pub fn total_duration(&self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    #[test]
    fn a_freeze_begins_at_150_ms_over_the_average() {
        let mut detector = FreezeDetector::default();
        (0..60).for_each(|n| detector.handle_frame(at(n * 33)));
        let last = 59 * 33;
        assert!(!detector.is_frozen(at(last + 182)) && detector.is_frozen(at(last + 183)));
        detector.handle_frame(at(last + 182));
        assert_eq!(detector.count(), 0);
        detector.handle_frame(at(last + 182 + 400));
        assert_eq!((detector.count(), detector.total_duration()), (1, Duration::from_millis(400)));
    }

    #[test]
    fn slow_video_freezes_at_three_times_the_average() {
        let mut detector = FreezeDetector::default();
        (0..60).for_each(|n| detector.handle_frame(at(n * 200)));
        detector.handle_frame(at(59 * 200 + 599));
        assert_eq!(detector.count(), 0);
    }

    #[test]
    fn a_pause_is_not_a_freeze() {
        let mut detector = FreezeDetector::default();
        (0..60).for_each(|n| detector.handle_frame(at(n * 33)));
        detector.pause();
        detector.handle_frame(at(90_000));
        assert!(detector.count() == 0 && !detector.is_frozen(at(90_010)));
    }
}
