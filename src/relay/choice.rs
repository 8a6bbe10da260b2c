//! Which version of a picture a receiver gets: what there is, what its tile needs, what its share of the bandwidth
//! carries; and when the answer may change.
//!
//! A version is a layer, whole or without the pictures that no other refers to. Versions are ordered by their rate.
//! Falling is quick and rising slow, and slower each time it did not last (as in libwebrtc's and Jitsi's
//! `BandwidthAllocator`): each change costs a keyframe.

use crate::units::{Bitrate, Resolution};
use std::time::{Duration, Instant};

/// A tile may be drawn so much larger than the picture before a larger one is worth its bits.
const ENLARGED: f64 = 1.34;
/// A better version must fit with this to spare.
const MARGIN: f64 = 1.2;
/// The version that is being sent may go over its share by this, as its rate moves up and down.
const LENIENCE: f64 = 0.92;
/// How long there must be room for a better version. Doubled each time it had to be given up soon.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_PATIENCE: Duration = Duration::from_secs(30);
/// A better version that is given up sooner was a mistake; one that lasts this long shows that there is room.
const SOON: Duration = Duration::from_secs(8);
/// A tile that shrank may grow again at once: its large picture is sent on for so long.
const SHRUNK: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub layer: u8,
    /// Without the pictures that no other refers to.
    pub thin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub version: Version,
    pub rate: Bitrate,
    pub size: Resolution,
}

/// How many of the offers, which are in order of their rate, a tile of this size has a use for.
pub(super) fn useful(offers: &[Offer], drawn: Resolution) -> usize {
    let covers = |offer: &&Offer| {
        let enough = |drawn: u32, side: u32| f64::from(drawn) <= f64::from(side) * ENLARGED;
        // The picture keeps its shape, so one side decides; the other is cut off or left empty.
        enough(drawn.width, offer.size.width) || enough(drawn.height, offer.size.height)
    };
    let smallest = offers.iter().filter(covers).map(|offer| offer.size.area()).min();
    smallest.map_or(offers.len(), |area| {
        offers.iter().rposition(|offer| offer.size.area() <= area).map_or(0, |last| last + 1)
    })
}

/// One tile that wants a share; the most important come first.
pub(super) struct Claim<'a> {
    /// In order of their rate; only those that are of use.
    pub offers: &'a [Offer],
    pub current: Option<Version>,
}

/// What a tile gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// In its offers; `None`: there is nothing for it.
    pub place: Option<usize>,
    /// With more bandwidth it would have got more.
    pub squeezed: bool,
}

/// Divides a receiver's bandwidth.
///
/// First everybody gets the cheapest version, in order of importance; then each, in the same order, the best that is
/// left for it.
pub(super) fn divide(budget: Bitrate, claims: &[Claim<'_>]) -> Vec<Share> {
    let mut left = budget.bps() as f64;
    let cost = |claim: &Claim<'_>, place: usize| {
        let rate = claim.offers[place].rate;
        let now = claim.current.and_then(|now| claim.offers.iter().find(|offer| offer.version == now));
        let factor = if now.is_some_and(|now| rate <= now.rate) { LENIENCE } else { MARGIN };
        rate.bps() as f64 * factor
    };
    let mut shares: Vec<Option<usize>> = vec![None; claims.len()];
    for (share, claim) in shares.iter_mut().zip(claims) {
        if !claim.offers.is_empty() && cost(claim, 0) <= left {
            left -= cost(claim, 0);
            *share = Some(0);
        }
    }
    let mut result = Vec::with_capacity(claims.len());
    for (share, claim) in shares.iter().zip(claims) {
        let Some(first) = *share else {
            result.push(Share { place: None, squeezed: !claim.offers.is_empty() });
            continue;
        };
        let paid = cost(claim, first);
        let best =
            (0..claim.offers.len()).rev().find(|place| cost(claim, *place) <= left + paid).unwrap_or(first);
        left -= cost(claim, best) - paid;
        result.push(Share { place: Some(best), squeezed: best + 1 < claim.offers.len() });
    }
    result
}

/// When a tile's version may change.
#[derive(Clone, Debug)]
pub(super) struct Steady {
    patience: Duration,
    /// Since when another version would be right.
    since: Option<Instant>,
    risen: Option<Instant>,
    /// Somebody has asked for a change, by a larger tile or by speaking.
    hurry: bool,
}

impl Default for Steady {
    fn default() -> Self {
        Self { patience: PATIENCE, since: None, risen: None, hurry: true }
    }
}

impl Steady {
    pub fn hurry(&mut self) {
        self.hurry = true;
    }

    /// The version to have from now on, where `right` would be right now. `squeezed`: it is not better for want of
    /// bandwidth. Rates decide which one is better.
    pub fn settle(
        &mut self,
        now: Instant,
        current: Option<(Version, Bitrate)>,
        right: Option<(Version, Bitrate)>,
        squeezed: bool,
    ) -> Option<Version> {
        if let Some(risen) = self.risen
            && now >= risen + SOON
        {
            (self.patience, self.risen) = (PATIENCE, None);
        }
        let (Some((had, old)), Some((version, new))) = (current, right) else {
            self.since = None;
            self.hurry = false;
            return right.map(|(version, _)| version);
        };
        if had == version {
            self.since = None;
            self.hurry = false;
            return Some(had);
        }
        let since = *self.since.get_or_insert(now);
        let rises = new > old;
        let wait = match (rises, squeezed) {
            (true, _) if self.hurry => Duration::ZERO,
            (true, _) => self.patience,
            (false, true) => Duration::ZERO,
            (false, false) => SHRUNK,
        };
        if now < since + wait {
            return Some(had);
        }
        if rises {
            self.risen = Some(now);
        } else if squeezed && self.risen.take().is_some() {
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
        }
        (self.since, self.hurry) = (None, false);
        Some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    const SMALL: Version = Version { layer: 1, thin: false };
    const THIN: Version = Version { layer: 0, thin: true };
    const LARGE: Version = Version { layer: 0, thin: false };

    fn offers() -> Vec<Offer> {
        let offer = |version, kbps, size| Offer { version, rate: Bitrate::from_kbps(kbps), size };
        vec![
            offer(SMALL, 150, Resolution::new(320, 180)),
            offer(THIN, 800, Resolution::HD),
            offer(LARGE, 1_200, Resolution::HD),
        ]
    }
    fn share(budget: u64, current: &[Option<Version>]) -> Vec<Option<usize>> {
        let offers = offers();
        let claims: Vec<_> = current.iter().map(|now| Claim { offers: &offers, current: *now }).collect();
        divide(Bitrate::from_kbps(budget), &claims).into_iter().map(|share| share.place).collect()
    }

    #[test]
    fn a_small_tile_has_no_use_for_a_large_picture() {
        for (width, height, expected) in
            [(320, 180, 1), (420, 236, 1), (500, 500, 3), (640, 360, 3), (4_000, 4_000, 3), (300, 700, 1)]
        {
            assert_eq!(useful(&offers(), Resolution::new(width, height)), expected, "{width}x{height}");
        }
        assert_eq!(useful(&[], Resolution::HD), 0);
    }

    #[test]
    fn the_important_come_first_but_not_before_everybody_has_something() {
        assert_eq!(share(100, &[None; 3]), [None, None, None]);
        assert_eq!(share(200, &[None; 3]), [Some(0), None, None]);
        assert_eq!(share(600, &[None; 3]), [Some(0); 3]);
        assert_eq!(share(1_400, &[None; 3]), [Some(1), Some(0), Some(0)]);
        assert_eq!(share(2_000, &[None; 3]), [Some(2), Some(0), Some(0)]);
        assert_eq!(share(5_000, &[None; 3]), [Some(2); 3]);
        let more = divide(Bitrate::from_kbps(2_000), &[Claim { offers: &offers(), current: None }]);
        assert_eq!(more, [Share { place: Some(2), squeezed: false }]);
    }

    #[test]
    fn what_is_sent_is_kept_on_the_border() {
        assert_eq!(share(1_150, &[Some(LARGE)]), [Some(2)]);
        assert_eq!(share(1_150, &[Some(THIN)]), [Some(1)]);
        assert_eq!(share(1_050, &[Some(LARGE)]), [Some(1)]);
        assert_eq!(share(1_500, &[Some(THIN)]), [Some(2)]);
    }

    #[test]
    fn falling_is_quick_and_rising_slower_each_time_it_did_not_last() {
        let rate = |version| {
            let offer = offers().into_iter().find(|offer| offer.version == version);
            offer.map(|offer| (version, offer.rate))
        };
        let (mut steady, mut current) = (Steady::default(), None);
        let mut risen = Vec::new();
        for ms in (0..120_000).step_by(100) {
            // There is room for the large one until it is sent for 2 s.
            let failing = risen.last().is_some_and(|last| ms > last + 2_000 && current == Some(LARGE));
            let right = if failing { SMALL } else { LARGE };
            let now = steady.settle(at(ms), current.and_then(rate), rate(right), failing);
            if now == Some(LARGE) && current != now {
                risen.push(ms);
            }
            current = now;
        }
        let waits: Vec<_> = risen.windows(2).map(|pair| (pair[1] - pair[0] - 2_100) / 1_000).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(steady.settle(at(130_000), rate(LARGE), None, false), None, "hidden");
    }

    #[test]
    fn a_larger_tile_is_filled_at_once_and_a_smaller_one_later() {
        let (small, large) = ((SMALL, Bitrate::from_kbps(150)), (LARGE, Bitrate::from_kbps(1_200)));
        let mut steady = Steady::default();
        assert_eq!(steady.settle(at(0), None, Some(small), false), Some(SMALL));
        assert_eq!(steady.settle(at(100), Some(small), Some(large), false), Some(SMALL));
        steady.hurry();
        assert_eq!(steady.settle(at(200), Some(small), Some(large), false), Some(LARGE));
        assert_eq!(steady.settle(at(300), Some(large), Some(small), false), Some(LARGE));
        assert_eq!(steady.settle(at(2_300), Some(large), Some(small), false), Some(SMALL));
    }
}
