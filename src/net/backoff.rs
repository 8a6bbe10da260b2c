//! How often a guest knocks. At first the other side is probably there; later it may take an hour until it pastes the
//! reply, and then it should not wait long either.

use std::time::Duration;

/// The pace of the first two seconds; webrtc itself checks as often.
pub(super) const FIRST: Duration = Duration::from_millis(50);
/// For two minutes: long enough for whoever is at the other end to look at the window.
const SOON: Duration = Duration::from_secs(1);
const SOON_LASTS: Duration = Duration::from_secs(120);
/// With the half second that a connection takes, a late paste leads to a call within two seconds.
const LATER: Duration = Duration::from_millis(1500);
/// The gap is this part of the time that has passed.
const SHARE: u32 = 20;

/// The time between two rounds of checks, so long after the first.
pub(super) fn gap(passed: Duration) -> Duration {
    if passed >= SOON_LASTS { LATER } else { (passed / SHARE).clamp(FIRST, SOON) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knocks_become_rarer_and_never_end() {
        for (passed, expected) in [(0, 50), (1000, 50), (2000, 100), (10_000, 500), (20_000, 1000)] {
            assert_eq!(gap(Duration::from_millis(passed)), Duration::from_millis(expected), "{passed}");
        }
        assert_eq!(gap(Duration::from_secs(119)), SOON);
        assert_eq!(gap(Duration::from_secs(120)), LATER);
        assert_eq!(gap(Duration::from_secs(36_000)), LATER);
    }

    /// webrtc gives a pair up after 65,534 checks.
    #[test]
    fn a_day_of_knocks_is_within_what_webrtc_counts() {
        let (mut passed, mut knocks) = (Duration::ZERO, 0);
        while passed < Duration::from_secs(86_400) {
            passed += gap(passed);
            knocks += 1;
        }
        assert!(knocks < 60_000, "{knocks}");
        let first_minute = {
            let (mut passed, mut knocks) = (Duration::ZERO, 0);
            while passed < Duration::from_secs(60) {
                passed += gap(passed);
                knocks += 1;
            }
            knocks
        };
        assert!((100..160).contains(&first_minute), "{first_minute}");
    }
}
