//! Which peers share an encoder for our own picture. One encoder serves all as long as their ways have room for about as
//! much; whoever's has much less gets pictures from a second one, so that the others' do not become coarser for it.
//! Never more than those two: each costs the processor as much as the first. A core: the thread `venc` asks about once
//! a second.

use crate::ports::PeerId;
use crate::units::Bitrate;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A way with less than this share of the best one's room is narrow.
const NARROW: f64 = 0.5;
/// And with more than this it is so no longer.
const WIDE: f64 = 0.75;
/// How long it must be so: a call that has just come up becomes wider by itself.
const NARROW_FOR: Duration = Duration::from_secs(4);
/// A change costs a keyframe; a way that has just become wide may not stay so.
const WIDE_FOR: Duration = Duration::from_secs(12);

/// Somebody who looks at our picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    pub id: PeerId,
    pub target: Bitrate,
    /// Has its pictures from the second encoder.
    pub narrow: bool,
}

#[derive(Debug, Default)]
pub struct Lanes {
    /// Since when somebody is in the wrong lane.
    since: BTreeMap<PeerId, Instant>,
}

impl Lanes {
    /// Who is to change to the other encoder.
    pub fn sort(&mut self, now: Instant, viewers: &[Viewer]) -> Vec<PeerId> {
        let best = viewers.iter().map(|viewer| viewer.target).max().unwrap_or_default();
        self.since.retain(|id, _| viewers.iter().any(|viewer| viewer.id == *id));
        let mut moved = Vec::new();
        for viewer in viewers {
            let (is_wrong, patience) = match viewer.narrow {
                false => (viewer.target < best.scaled(NARROW), NARROW_FOR),
                true => (viewer.target > best.scaled(WIDE), WIDE_FOR),
            };
            if !is_wrong {
                self.since.remove(&viewer.id);
            } else if now.saturating_duration_since(*self.since.entry(viewer.id).or_insert(now)) >= patience {
                self.since.remove(&viewer.id);
                moved.push(viewer.id);
            }
        }
        // The last ones of a lane have no reason to be apart.
        let stay =
            |narrow| viewers.iter().any(|viewer| (viewer.narrow ^ moved.contains(&viewer.id)) == narrow);
        if !stay(false) {
            moved.retain(|id| viewers.iter().any(|viewer| viewer.id == *id && viewer.narrow));
            moved.extend(viewers.iter().filter(|viewer| viewer.narrow).map(|viewer| viewer.id));
            moved.sort_unstable();
            moved.dedup();
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    struct Room(Lanes, Vec<Viewer>);

    impl Room {
        fn new(kbps: &[u64]) -> Self {
            let viewer = |(n, kbps): (usize, &u64)| Viewer {
                id: PeerId(n as u64),
                target: Bitrate::from_kbps(*kbps),
                narrow: false,
            };
            Self(Lanes::default(), kbps.iter().enumerate().map(viewer).collect())
        }
        fn set(&mut self, n: usize, kbps: u64) {
            self.1[n].target = Bitrate::from_kbps(kbps);
        }
        /// Asks once a second; gives who is narrow at the end.
        fn run(&mut self, from: u64, to: u64) -> Vec<u64> {
            for second in from..to {
                for id in self.0.sort(at(second * 1000), &self.1) {
                    let viewer = self.1.iter_mut().find(|viewer| viewer.id == id).unwrap();
                    viewer.narrow = !viewer.narrow;
                }
            }
            self.1.iter().filter(|viewer| viewer.narrow).map(|viewer| viewer.id.0).collect()
        }
    }

    #[test]
    fn one_narrow_way_is_served_apart_and_comes_back() {
        let mut room = Room::new(&[2500, 2000, 300]);
        assert!(room.run(0, 4).is_empty(), "a call that has just come up is waited for");
        assert_eq!(room.run(4, 6), [2]);
        room.set(2, 2400);
        assert_eq!(room.run(6, 17), [2]);
        assert!(room.run(17, 20).is_empty());
    }

    #[test]
    fn alike_ways_share_one_encoder() {
        assert!(Room::new(&[300]).run(0, 60).is_empty());
        assert!(Room::new(&[300, 310, 500]).run(0, 60).is_empty());
        let mut room = Room::new(&[2500, 1200, 300]);
        assert_eq!(room.run(0, 10), [1, 2]);
        // The one with the wide way leaves.
        room.1.remove(0);
        assert_eq!(room.run(10, 12), [] as [u64; 0], "nobody is left to be spared");
        assert_eq!(room.run(12, 20), [2], "and then it is between those two");
    }

    #[test]
    fn a_target_that_swings_changes_nothing() {
        let mut room = Room::new(&[2000, 900]);
        for second in 0..60 {
            room.set(1, if second % 3 == 0 { 1100 } else { 900 });
            assert!(room.run(second, second + 1).is_empty());
        }
    }
}
