//! Absolute deadlines for the sources that no device paces: patterns, tones and files.
//!
//! The nth deadline lies n intervals after the start, so a late wake-up shifts nothing that follows and the rate
//! does not drift. After a long stall the clock starts anew instead of rushing through all that was missed.

use std::time::{Duration, Instant};

pub(super) struct Pace {
    start: Instant,
    /// Deadlines in `den` seconds.
    num: u64,
    den: u64,
    next: u64,
    /// Who is later than this gets a new start.
    tolerance: Duration,
}

impl Pace {
    /// The first deadline is `start`; `num / den` of them fall into a second.
    pub fn new(start: Instant, num: u64, den: u64, tolerance: Duration) -> Self {
        Self { start, num: num.max(1), den, next: 0, tolerance }
    }

    /// If the next deadline has come: the deadline, and the one after it becomes the next. Else how long it is
    /// till then.
    pub fn take(&mut self, now: Instant) -> Result<Instant, Duration> {
        let due = self.due();
        if due > now {
            return Err(due - now);
        }
        if now - due > self.tolerance {
            (self.start, self.next) = (now, 0);
        }
        let due = self.due();
        self.next += 1;
        Ok(due)
    }

    /// Waits for the next deadline, but at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<Instant> {
        match self.take(Instant::now()) {
            Ok(due) => Some(due),
            Err(wait) => {
                std::thread::sleep(wait.min(timeout));
                self.take(Instant::now()).ok()
            }
        }
    }

    fn due(&self) -> Instant {
        let nanos = u128::from(self.next) * u128::from(self.den) * 1_000_000_000 / u128::from(self.num);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn late_wake_ups_do_not_add_up() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30_000, 1001, 100 * MS);
        for n in 0..30_000u64 {
            let due = start + Duration::from_nanos(n * 1_001_000_000_000 / 30_000);
            assert_eq!(pace.take(due + 20 * MS), Ok(due));
        }
        let wait = pace.take(start + Duration::from_secs(1000)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn after_a_stall_the_clock_starts_anew() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100, 1, 50 * MS);
        assert_eq!(pace.take(start), Ok(start));
        let late = start + 500 * MS;
        assert_eq!(pace.take(late), Ok(late));
        assert_eq!(pace.take(late), Err(10 * MS));
    }
}
