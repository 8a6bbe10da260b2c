//! Small measures: pictures a second, loudness.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts events over the last second.
#[derive(Default)]
pub(super) struct RateMeter {
    times: VecDeque<Instant>,
}

impl RateMeter {
    const WINDOW: Duration = Duration::from_secs(1);
    /// No camera gives more pictures a second.
    const LIMIT: usize = 240;

    pub fn handle(&mut self, at: Instant) {
        self.times.push_back(at);
        self.expire(at);
    }

    /// How many there were in the second before `now`.
    pub fn rate(&mut self, now: Instant) -> f64 {
        self.expire(now);
        self.times.len() as f64
    }

    /// The mean rate of what is in the window, good after a few events already; 0 before two.
    pub fn mean(&self) -> f64 {
        match (self.times.front(), self.times.back()) {
            (Some(first), Some(last)) if last > first => {
                (self.times.len() - 1) as f64 / last.duration_since(*first).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.times.len() > Self::LIMIT
            || self.times.front().is_some_and(|at| now.saturating_duration_since(*at) >= Self::WINDOW)
        {
            self.times.pop_front();
        }
    }
}

/// Root mean square of sound, 0.0 to 1.0: what W3C calls `audioLevel`.
pub(super) fn rms(pcm: &[f32]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    (pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len() as f32).sqrt().min(1.0)
}

/// A sound's root mean square as a meter shows it: 0.0 at -60 dB and below, 1.0 at 0 dB.
pub(super) fn loudness(rms: f32) -> f32 {
    if rms <= 0.001 { 0.0 } else { (1.0 + rms.log10() / 3.0).clamp(0.0, 1.0) }
}

/// How full the meter is: rises at once and falls within half a second.
#[derive(Default)]
pub(super) struct Level {
    shown: f32,
}

impl Level {
    /// Per block of 10 ms.
    const FALL: f32 = 0.02;

    pub fn handle(&mut self, pcm: &[f32]) -> f32 {
        self.shown = loudness(rms(pcm)).max(self.shown - Self::FALL);
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_second() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        assert_eq!((meter.rate(start), meter.mean()), (0.0, 0.0));
        for n in 0..90 {
            meter.handle(start + Duration::from_secs(1) * n / 30);
        }
        let last = start + Duration::from_secs(1) * 89 / 30;
        assert_eq!(meter.rate(last), 30.0);
        assert!((meter.mean() - 30.0).abs() < 0.1);
        assert_eq!(meter.rate(last + Duration::from_millis(1500)), 0.0);
    }

    #[test]
    fn loudness_follows_decibels() {
        for (rms, shown) in [(1.0, 1.0), (0.1, 0.667), (0.01, 0.333), (0.001, 0.0), (0.0, 0.0)] {
            assert!((loudness(rms) - shown).abs() < 0.001, "{rms}");
        }
        let mut level = Level::default();
        assert!(level.handle(&[0.5; 480]) > 0.89);
        assert!(level.handle(&[0.0; 480]) > 0.85, "it falls slowly");
        assert_eq!((0..60).map(|_| level.handle(&[0.0; 480])).last(), Some(0.0));
    }
}
