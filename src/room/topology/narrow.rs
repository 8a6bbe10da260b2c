//! Whose downlink is too narrow for everybody's picture, as far as we see it from our own link to them. A core.
//!
//! In a mesh a guest with a narrow downlink gets little from everybody, and each of them sees its own link to that guest
//! carry little. If all our links carry little it is our own uplink, and says nothing of the guests.

use crate::ports::PeerId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A link that carries less, in kbit/s, has no picture of use to spare for each of several.
const NARROW: u32 = 150;
/// From here on it has.
const WIDE: u32 = 300;
/// Another link of ours carries so many times as much: it is not our uplink.
const OTHERS: u32 = 3;
/// A measure out of bounds for less is a moment's.
const LASTING: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, Default)]
struct Guest {
    is_narrow: bool,
    /// Since when the measure says otherwise.
    since: Option<Instant>,
}

/// The guests we are linked to.
#[derive(Clone, Debug, Default)]
pub struct Narrow(BTreeMap<PeerId, Guest>);

impl Narrow {
    /// What each link that sends carries, in kbit/s; links that send nothing are `None` and stay what they were.
    pub fn update(&mut self, now: Instant, links: &[(PeerId, Option<u32>)]) {
        self.0.retain(|id, _| links.iter().any(|(link, _)| link == id));
        let widest = links.iter().filter_map(|(_, kbps)| *kbps).max().unwrap_or(0);
        for (id, kbps) in links.iter().filter_map(|(id, kbps)| Some((*id, (*kbps)?))) {
            let guest = self.0.entry(id).or_default();
            let is_other = match guest.is_narrow {
                false => kbps < NARROW && widest >= NARROW.max(kbps * OTHERS),
                true => kbps >= WIDE,
            };
            guest.since = is_other.then(|| guest.since.unwrap_or(now));
            if guest.since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING) {
                *guest = Guest { is_narrow: !guest.is_narrow, since: None };
            }
        }
    }

    pub fn contains(&self, id: PeerId) -> bool {
        self.0.get(&id).is_some_and(|guest| guest.is_narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guest_that_gets_little_is_narrow_and_all_of_them_are_not() {
        let (mut narrow, start) = (Narrow::default(), crate::rtp::test_time::at(0));
        let mut at = 0;
        let mut run = |seconds: u64, kbps: [Option<u32>; 3]| {
            let links: Vec<_> = (0..).map(PeerId).zip(kbps).collect();
            for _ in 0..seconds {
                at += 1;
                narrow.update(start + Duration::from_secs(at), &links);
            }
            [0, 1, 2].map(|id| narrow.contains(PeerId(id)))
        };
        assert_eq!(run(20, [Some(90), Some(100), Some(120)]), [false; 3], "our own uplink");
        assert_eq!(run(5, [Some(90), Some(900), Some(800)]), [false; 3], "for a moment");
        assert_eq!(run(10, [Some(90), Some(900), Some(800)]), [true, false, false]);
        assert_eq!(run(30, [None, Some(900), Some(800)]), [true, false, false], "nothing is known of it now");
        assert_eq!(run(30, [Some(200), Some(900), Some(800)]), [true, false, false]);
        assert_eq!(run(10, [Some(320), Some(900), Some(800)]), [false; 3]);
    }
}
