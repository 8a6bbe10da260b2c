//! Which layer of a member's simulcast we ask the server for: none larger than it is drawn, and what the path carries.
//! Janus estimates no receiver's bandwidth, so we judge by what arrives: down at once when much is lost, up after a quiet
//! while, and more patiently each time that fails.

use crate::units::Resolution;
use std::time::{Duration, Instant};

/// 0 is the smallest.
const LARGEST: u8 = 2;
/// The longest side, in pixels of the screen, up to which layers 0 and 1 are enough. Those of a Twocan, and of a browser
/// that sends 640 wide, are 160 and 320 wide; a larger camera's may be larger, and none is smaller.
const ENOUGH: [u32; 2] = [200, 400];
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
    /// What the path carries.
    layer: u8,
    /// What is of use.
    largest: u8,
    changed: Instant,
    quiet_since: Instant,
    patience: Duration,
}

impl Layers {
    /// Janus starts with the largest.
    pub fn new(now: Instant) -> Self {
        Self { layer: LARGEST, largest: LARGEST, changed: now, quiet_since: now, patience: PATIENCE }
    }

    /// The server starts with the largest again.
    pub fn begin_again(&mut self, now: Instant) {
        *self = Self { largest: self.largest, ..Self::new(now) };
    }

    /// What to ask for.
    pub fn asked(&self) -> u8 {
        self.layer.min(self.largest)
    }

    /// How large the member is drawn. Gives the layer to ask for, if that is another.
    pub fn handle_drawn(&mut self, now: Instant, drawn: Resolution) -> Option<u8> {
        let (before, side) = (self.asked(), drawn.width.max(drawn.height));
        self.largest =
            ENOUGH.iter().zip(0..).find(|(enough, _)| side <= **enough).map_or(LARGEST, |(_, layer)| layer);
        (self.asked() != before).then(|| {
            (self.changed, self.quiet_since) = (now, now);
            self.asked()
        })
    }

    /// Once a second: the share of packets that were lost in it. Gives the layer to ask for, if that is another.
    pub fn handle_loss(&mut self, now: Instant, lost: f64) -> Option<u8> {
        if now.saturating_duration_since(self.changed) < SETTLES {
            return None;
        }
        if lost > LITTLE_LOST {
            self.quiet_since = now;
        }
        if lost > MUCH_LOST && self.asked() > 0 {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
            return Some(self.change(now, self.asked() - 1));
        }
        let is_quiet = now.saturating_duration_since(self.quiet_since) >= self.patience;
        (is_quiet && self.layer < self.largest).then(|| self.change(now, self.layer + 1))
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

    #[test]
    fn nothing_larger_is_asked_for_than_is_drawn() {
        let start = at(0);
        let at = |second| start + Duration::from_secs(second);
        let mut layers = Layers::new(start);
        let drawn = |width, height| Resolution::new(width, height);
        assert_eq!(layers.handle_drawn(at(1), drawn(1280, 720)), None);
        assert_eq!(layers.handle_drawn(at(2), drawn(180, 101)), Some(0));
        assert_eq!(layers.handle_drawn(at(3), drawn(100, 180)), None);
        assert_eq!(layers.handle_drawn(at(4), drawn(225, 400)), Some(1));
        // The path carries less than that: one below what was asked for, and back to it, but no further.
        assert_eq!(layers.handle_loss(at(10), 0.3), Some(0));
        assert_eq!(
            (11..200).filter_map(|second| layers.handle_loss(at(second), 0.0)).collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(layers.handle_drawn(at(201), drawn(640, 360)), None);
        assert_eq!(
            (202..300).filter_map(|second| layers.handle_loss(at(second), 0.0)).collect::<Vec<_>>(),
            [2]
        );
    }
}
