//! How many bits a second a layer has had lately.

use crate::units::Bitrate;
use std::time::{Duration, Instant};

const BUCKETS: u64 = 10;
const BUCKET: Duration = Duration::from_millis(100);

/// Bytes of the last second, in ten buckets; a second without any reads zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    start: Option<Instant>,
    /// The bucket that is being filled, counted from `start`.
    newest: u64,
    bytes: [u64; BUCKETS as usize],
}

impl Meter {
    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        self.bytes[(self.newest % BUCKETS) as usize] += bytes as u64;
    }

    pub fn rate(&mut self, now: Instant) -> Bitrate {
        let Some(start) = self.start else { return Bitrate::default() };
        self.advance(now);
        // A layer that has just begun is not thought small because its second is not over.
        let span = now.saturating_duration_since(start).clamp(BUCKET * 3, BUCKET * BUCKETS as u32);
        Bitrate::from_bps((self.bytes.iter().sum::<u64>() as f64 * 8.0 / span.as_secs_f64()) as u64)
    }

    fn advance(&mut self, now: Instant) {
        let start = *self.start.get_or_insert(now);
        let bucket = (now.saturating_duration_since(start).as_millis() / BUCKET.as_millis()) as u64;
        if bucket >= self.newest + 2 * BUCKETS {
            *self = Self { start: Some(now), ..Self::default() };
            return;
        }
        while self.newest < bucket {
            self.newest += 1;
            self.bytes[(self.newest % BUCKETS) as usize] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let mut meter = Meter::default();
        assert_eq!(meter.rate(at(0)), Bitrate::default());
        for ms in (0..3_000).step_by(10) {
            meter.add(at(ms), 1_250);
        }
        let rate = meter.rate(at(3_000)).kbps();
        assert!((900..=1_000).contains(&rate), "{rate}");
        assert_eq!(meter.rate(at(4_200)).kbps(), 0);
        for ms in (20_000..20_300).step_by(10) {
            meter.add(at(ms), 1_250);
        }
        let rate = meter.rate(at(20_300)).kbps();
        assert!((900..=1_100).contains(&rate), "{rate} just after it began");
    }
}
