//! How much may be under way at once: what bounds the queue when a path suddenly takes less, before anybody can have
//! measured it (libwebrtc `modules/congestion_controller/goog_cc/congestion_window_pushback_controller.cc` and
//! `goog_cc_network_control.cc`, `UpdateCongestionWindowSize`).
//!
//! The window is what the target sends in the time that a report takes to come back, and a little more. While it is
//! full, video stays in the pacer and the encoder pauses; sound always leaves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What may wait on the path beyond what its length holds.
const QUEUE: Duration = Duration::from_millis(20);
/// Where packets are lost at random, reports are too: so much more for each share of loss, at most.
const LOSS_QUEUE: Duration = Duration::from_secs(1);
const MAX_LOSS: f64 = 0.1;
/// The same beside somebody else's queue, which comes and goes.
const FOREIGN_QUEUE: Duration = Duration::from_millis(250);
/// Two packets: less would stop everything.
const MIN_BYTES: f64 = 2_500.0;
/// The time of the reports is the mean of the quickest of so many steps of this length, so that jitter is in it, and
/// our own queue is not taken for the path's length at once.
const STEP: Duration = Duration::from_millis(500);
const STEPS: usize = 6;

#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Newest last.
    steps: VecDeque<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    start: Instant,
    sum: Duration,
    count: u32,
}

impl Window {
    /// A report came, so long after the oldest packet left that it tells of.
    pub fn handle_delay(&mut self, now: Instant, delay: Duration) {
        match self.steps.back_mut() {
            Some(step) if now < step.start + STEP => {
                step.sum += delay;
                step.count += 1;
            }
            _ => self.steps.push_back(Step { start: now, sum: delay, count: 1 }),
        }
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
    }

    /// Bytes that may be under way at this target and share of loss, beside somebody else's queue or not; `None` before
    /// the first report.
    pub fn bytes(&self, target_bps: f64, loss: f64, foreign: bool) -> Option<usize> {
        let queue =
            if foreign { FOREIGN_QUEUE } else { QUEUE + LOSS_QUEUE.mul_f64(loss.clamp(0.0, MAX_LOSS)) };
        let delay = self.steps.iter().map(|step| step.sum / step.count).min()?;
        Some((target_bps / 8.0 * (delay + queue).as_secs_f64()).max(MIN_BYTES) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    #[test]
    fn the_window_is_the_target_times_the_shortest_time_of_late() {
        let ms = Duration::from_millis;
        let mut window = Window::default();
        assert_eq!(window.bytes(1e6, 0.0, false), None);
        (0..20).for_each(|n| window.handle_delay(at(n * 50), ms(45 + n % 2 * 20)));
        assert_eq!(window.bytes(1e6, 0.0, false), Some(9_375));
        assert_eq!(window.bytes(1e4, 0.0, false), Some(2_500));
        // A queue of our own for two seconds does not open it; a longer path does, in time.
        (20..60).for_each(|n| window.handle_delay(at(n * 50), ms(455)));
        assert_eq!(window.bytes(1e6, 0.0, false), Some(9_375));
        (60..100).for_each(|n| window.handle_delay(at(n * 50), ms(155)));
        assert_eq!(window.bytes(1e6, 0.0, false), Some(21_875));
    }
}
