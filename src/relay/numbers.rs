//! The order of one incoming stream, and which of its packets came before: repairs and probes come twice.

use crate::rtp::SequenceUnwrapper;

/// Numbers in which a packet that comes twice is noticed; a multiple of 64.
const SEEN: i64 = 1024;
/// The places of a sender's next stream are behind all of the one before it.
const APART: i64 = 1 << 17;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    ssrc: Option<u32>,
    /// Where the places of this stream begin.
    base: i64,
    unwrapper: SequenceUnwrapper,
    seen: [u64; (SEEN / 64) as usize],
}

impl Numbers {
    /// Whether this stream takes the place of another one: the sender's connection was made anew.
    pub fn is_another(&self, ssrc: u32) -> bool {
        self.ssrc.is_some_and(|known| known != ssrc)
    }

    /// The packet's place on a line without end; `None`: it came before, or is too old to tell.
    pub fn handle(&mut self, ssrc: u32, sequence: u16) -> Option<i64> {
        if self.is_another(ssrc) {
            let base = self.base + self.unwrapper.highest().unwrap_or(0) + APART;
            *self = Self { base, ..Self::default() };
        }
        self.ssrc = Some(ssrc);
        let bit = |index: i64| {
            let bit = index.rem_euclid(SEEN);
            ((bit / 64) as usize, 1u64 << (bit % 64))
        };
        let before = self.unwrapper.highest();
        let index = self.unwrapper.unwrap(sequence);
        let (word, mask) = bit(index);
        match before {
            Some(highest) if index > highest => {
                for passed in (highest + 1).max(index - SEEN)..=index {
                    let (word, mask) = bit(passed);
                    self.seen[word] &= !mask;
                }
            }
            Some(highest) if index <= highest - SEEN || self.seen[word] & mask != 0 => return None,
            _ => {}
        }
        self.seen[word] |= mask;
        Some(self.base + index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_noticed_across_the_wrap_and_after_jumps() {
        let mut numbers = Numbers::default();
        for (sequence, expected) in [
            (65_530, true),
            (65_530, false),
            (3, true),
            (65_535, true),
            (3, false),
            (65_535, false),
            (1_020, true),
            (3, false),
            (1_019, true),
            (1_019, false),
            (65_000, false),
            (20_000, true),
            (19_999, true),
            (1_020, false),
        ] {
            assert_eq!(numbers.handle(7, sequence).is_some(), expected, "{sequence}");
        }
    }
    #[test]
    fn another_stream_begins_anew_behind_the_last_one() {
        let mut numbers = Numbers::default();
        let mut highest = i64::MIN;
        for (ssrc, sequences) in [(7, 39_000..40_000u16), (8, 5..900), (7, 60_000..60_009)] {
            assert_eq!(numbers.is_another(ssrc), highest > i64::MIN);
            for sequence in sequences {
                let place = numbers.handle(ssrc, sequence).expect("each is new");
                assert!(place > highest, "{ssrc} {sequence}");
                highest = place;
            }
        }
    }
}
