//! How often a keyframe is asked for: at once, then again only when the answer would have been here.

use std::time::{Duration, Instant};

/// A keyframe costs as much as a second of video: it is never asked for more often than this.
const MIN_INTERVAL: Duration = Duration::from_millis(300);
/// A request may be lost: it is repeated at the latest after this.
const MAX_INTERVAL: Duration = Duration::from_millis(500);
/// What the sender needs to encode and pace a keyframe out, besides the round trip.
const ANSWER_TIME: Duration = Duration::from_millis(150);

/// Turns "I need a keyframe" into picture loss indications (RFC 4585, section 6.3.1). Used by the receiving thread
/// for what it asks, and fit for the sending side too: there it keeps a peer from forcing keyframes.
#[derive(Clone, Debug)]
pub struct KeyframeThrottle {
    interval: Duration,
    last: Option<Instant>,
}

impl Default for KeyframeThrottle {
    fn default() -> Self {
        Self { interval: MIN_INTERVAL, last: None }
    }
}

impl KeyframeThrottle {
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.interval = (round_trip + ANSWER_TIME).clamp(MIN_INTERVAL, MAX_INTERVAL);
    }

    /// Whether to send a request now. Call it whenever `needed` may have changed, and at [`Self::deadline`].
    pub fn poll(&mut self, now: Instant, needed: bool) -> bool {
        let due = needed && self.last.is_none_or(|last| now >= last + self.interval);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// When a request that is still needed may be repeated.
    pub fn deadline(&self) -> Option<Instant> {
        self.last.map(|last| last + self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    #[test]
    fn the_first_request_goes_at_once_and_the_rest_at_intervals() {
        let mut throttle = KeyframeThrottle::default();
        let sent: Vec<u64> = (0..1000).step_by(10).filter(|ms| throttle.poll(at(*ms), true)).collect();
        assert_eq!(sent, [0, 300, 600, 900]);
        assert!(!throttle.poll(at(5_000), false));
        assert!(throttle.poll(at(5_010), true));
    }

    #[test]
    fn a_long_round_trip_is_given_time_but_not_for_ever() {
        let mut throttle = KeyframeThrottle::default();
        throttle.set_round_trip(Duration::from_millis(250));
        assert!(throttle.poll(at(0), true) && !throttle.poll(at(399), true) && throttle.poll(at(400), true));
        throttle.set_round_trip(Duration::from_secs(3));
        assert!(!throttle.poll(at(899), true) && throttle.poll(at(900), true));
    }
}
