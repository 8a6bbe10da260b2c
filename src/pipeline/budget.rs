//! The last word on what the encoder sends. OpenH264 runs with its own leaving-out of pictures switched off: that
//! stutters where coarser pictures would do. What it sends too much is kept account of here, and only when that is
//! more than a receiver's queue takes, pictures are left out until it is paid; the [`Ladder`](super::ladder::Ladder)
//! sees it and takes a smaller size. A core: the encoder's thread asks before each picture.

use crate::units::Bitrate;
use std::time::{Duration, Instant};

/// How much may be owed: what the encoder needs to find its way after a change of content.
const CREDIT: Duration = Duration::from_millis(500);
/// Of a keyframe no more counts: the encoder makes room for it by itself, and the pacer spreads it out.
const KEYFRAME: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// Bits that were sent ahead of the target.
    owed: f64,
    paid_at: Option<Instant>,
}

impl Budget {
    /// Whether a picture may be made now.
    pub fn allows(&mut self, now: Instant, target: Bitrate) -> bool {
        let passed = self.paid_at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let rate = target.bps() as f64;
        // Owed is in bits: when the target falls, what was sent before is not held against it.
        self.owed = (self.owed - passed.as_secs_f64() * rate).clamp(0.0, 2.0 * CREDIT.as_secs_f64() * rate);
        self.owed <= CREDIT.as_secs_f64() * rate
    }

    /// A picture of so many bytes was made.
    pub fn spend(&mut self, bytes: usize, keyframe: bool, target: Bitrate) {
        let bits = bytes as f64 * 8.0;
        self.owed += if keyframe { bits.min(KEYFRAME.as_secs_f64() * target.bps() as f64) } else { bits };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds of pictures of this share of what the target has room for; how many were made.
    fn made(share: f64) -> usize {
        let (start, target) = (Instant::now(), Bitrate::from_kbps(600));
        let mut budget = Budget::default();
        (0..300u32)
            .filter(|number| {
                let allowed = budget.allows(start + Duration::from_secs(1) * *number / 30, target);
                if allowed {
                    let bytes = 600_000.0 / 8.0 / 30.0 * share * if *number == 0 { 8.0 } else { 1.0 };
                    budget.spend(bytes as usize, *number == 0, target);
                }
                allowed
            })
            .count()
    }

    #[test]
    fn an_encoder_that_keeps_its_rate_is_left_alone() {
        assert_eq!((made(0.5), made(1.0)), (300, 300));
    }

    #[test]
    fn one_that_does_not_is_held_to_it() {
        let count = made(2.0);
        assert!((155..=165).contains(&count), "{count}");
    }

    #[test]
    fn a_target_that_falls_does_not_stop_the_pictures_for_long() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let high = Bitrate::from_kbps(4000);
        budget.allows(start, high);
        budget.spend(250_000, false, high);
        let low = Bitrate::from_kbps(200);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let back = (0..100).map(|n| n * 33).find(|ms| budget.allows(at(*ms), low));
        assert!(back.is_some_and(|ms| ms <= 530), "{back:?}");
    }
}
