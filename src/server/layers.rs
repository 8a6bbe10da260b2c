//! Which layer of a member's simulcast we ask the server for. Janus estimates no receiver's bandwidth, so we judge by
//! what arrives: down at once when much is lost, up after a quiet while, and more patiently each time that fails.

use std::time::{Duration, Instant};

/// 0 is the smallest.
const LARGEST: u8 = 2;
/// What repairs keep up with.
const MUCH_LOST: f64 = 0.08;
const LITTLE_LOST: f64 = 0.02;
/// The first quiet while, and the longest.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_PATIENCE: Duration = Duration::from_secs(160);
/// What was asked for takes effect at the next keyframe; the loss until then says nothing new.
const SETTLES: Duration = Duration::from_secs(3);

/// The layer of one member.
#[derive(Clone, Debug)]
pub struct Layers {
    layer: u8,
    changed: Instant,
    quiet_since: Instant,
    patience: Duration,
}

impl Layers {
    /// Janus starts with the largest.
    pub fn new(now: Instant) -> Self {
        Self { layer: LARGEST, changed: now, quiet_since: now, patience: PATIENCE }
    }

    /// Once a second: the share of packets that were lost in it. Gives the layer to ask for, if that is another.
    pub fn handle_loss(&mut self, now: Instant, lost: f64) -> Option<u8> {
        if now.saturating_duration_since(self.changed) < SETTLES {
            return None;
        }
        if lost > LITTLE_LOST {
            self.quiet_since = now;
        }
        if lost > MUCH_LOST && self.layer > 0 {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
            return Some(self.change(now, self.layer - 1));
        }
        let is_quiet = now.saturating_duration_since(self.quiet_since) >= self.patience;
        (is_quiet && self.layer < LARGEST).then(|| self.change(now, self.layer + 1))
    }

    fn change(&mut self, now: Instant, layer: u8) -> u8 {
        (self.layer, self.changed, self.quiet_since) = (layer, now, now);
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    #[test]
    fn losses_lead_down_and_quiet_leads_up_ever_more_slowly() {
        let start = at(0);
        let mut layers = Layers::new(start);
        let mut run = |seconds: std::ops::Range<u64>, lost: f64| -> Vec<(u64, u8)> {
            let at = |second| start + Duration::from_secs(second);
            let step = |second| Some((second, layers.handle_loss(at(second), lost)?));
            seconds.filter_map(step).collect()
        };
        assert_eq!(run(0..20, 0.0), []);
        assert_eq!(run(20..40, 0.2), [(20, 1), (23, 0)]);
        assert_eq!(run(40..110, 0.0), [(79, 1)]);
        assert_eq!(run(110..200, 0.0), [(119, 2)]);
        assert_eq!(run(200..201, 0.09), [(200, 1)]);
        assert_eq!(run(201..281, 0.0), [(280, 2)]);
    }
}
