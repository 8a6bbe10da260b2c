//! How old a picture is when it is shown, told by the clock in it ([`barcode`]). A camera's pictures carry none; tests
//! and benchmarks send some that do. The thread `vdec-*` calls it with each picture that it hands to the screen.

use crate::device::camera::barcode;
use crate::frame::I420;
use crate::stats::GlassToGlass;
use std::collections::VecDeque;
use std::time::SystemTime;

/// Ages that are kept: those of a minute's pictures at 30 a second.
const KEPT: usize = 1_800;
/// An older picture carries no clock, but something that looks like one.
const OLDEST_MS: i32 = 10_000;
/// The clocks of two machines may be off by this, and the picture seem to come before it was taken.
const AHEAD_MS: i32 = 100;

/// The ages of the last minute's pictures.
#[derive(Default)]
pub(super) struct PictureAges {
    ages_ms: VecDeque<u32>,
}

impl PictureAges {
    pub fn handle_shown(&mut self, picture: &I420, now: SystemTime) {
        let Some(taken) = barcode::read(picture.y(), picture.resolution()) else { return };
        let age = barcode::elapsed_ms(taken, barcode::clock(now));
        if !(-AHEAD_MS..=OLDEST_MS).contains(&age) {
            return;
        }
        if self.ages_ms.len() == KEPT {
            self.ages_ms.pop_front();
        }
        self.ages_ms.push_back(age.max(0) as u32);
    }

    /// `None` if no picture carried a clock.
    pub fn stats(&self) -> Option<GlassToGlass> {
        let mut sorted: Vec<u32> = self.ages_ms.iter().copied().collect();
        sorted.sort_unstable();
        let at =
            |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
        Some(GlassToGlass { p50: *at(50)?, p95: *at(95)?, count: sorted.len() as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Resolution;
    use std::time::{Duration, UNIX_EPOCH};

    const SIZE: Resolution = Resolution::new(640, 360);

    fn time(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms)
    }

    fn picture(taken: SystemTime) -> I420 {
        let mut picture = I420::black(SIZE);
        barcode::draw(&mut picture, barcode::clock(taken));
        picture
    }

    #[test]
    fn the_ages_of_the_last_minute_count() {
        let mut ages = PictureAges::default();
        assert_eq!(ages.stats(), None);
        // A minute of pictures of 500 ms is forgotten over one of 0 to 99 ms.
        (0..1_800).for_each(|n| ages.handle_shown(&picture(time(n)), time(n + 500)));
        assert_eq!(ages.stats(), Some(GlassToGlass { p50: 500, p95: 500, count: 1_800 }));
        (0..1_800).for_each(|n| ages.handle_shown(&picture(time(n)), time(n + n % 100)));
        assert_eq!(ages.stats(), Some(GlassToGlass { p50: 50, p95: 95, count: 1_800 }));
    }

    #[test]
    fn what_is_no_clock_is_left_out() {
        let mut ages = PictureAges::default();
        ages.handle_shown(&I420::black(SIZE), time(0));
        ages.handle_shown(&I420::black(Resolution::new(2, 2)), time(0));
        ages.handle_shown(&picture(time(0)), time(10_001));
        ages.handle_shown(&picture(time(101)), time(0));
        assert_eq!(ages.stats(), None);
        ages.handle_shown(&picture(time(100)), time(0));
        assert_eq!(ages.stats(), Some(GlassToGlass { p50: 0, p95: 0, count: 1 }));
    }
}
