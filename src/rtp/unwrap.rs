//! RTP counts packets in 16 bits and time in 32 bits, and both run over. These give every value a place on a
//! line without end, by taking the step from the value before that is shortest (RFC 3550, appendix A.1).

/// The value nearest to `reference` whose low `bits` bits are `raw`.
fn nearest(reference: i64, raw: i64, bits: u32) -> i64 {
    let turn = 1i64 << bits;
    let step = (raw - reference).rem_euclid(turn);
    reference.wrapping_add(if step >= turn / 2 { step - turn } else { step })
}

/// Sequence numbers of one RTP stream. The first one is itself; numbers from before it may come out negative.
#[derive(Clone, Debug, Default)]
pub struct SequenceUnwrapper {
    highest: Option<i64>,
}

impl SequenceUnwrapper {
    pub fn unwrap(&mut self, sequence: u16) -> i64 {
        let raw = i64::from(sequence);
        let value = self.highest.map_or(raw, |highest| nearest(highest, raw, 16));
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        value
    }
    /// The highest value so far.
    pub fn highest(&self) -> Option<i64> {
        self.highest
    }
}

/// RTP timestamps of one stream. The low 32 bits of what comes out are the timestamp that went in.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    highest: Option<i64>,
}

impl TimestampUnwrapper {
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let raw = i64::from(timestamp);
        let value = self.highest.map_or(raw, |highest| nearest(highest, raw, 32));
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        value
    }
    /// Places a timestamp that is close to `reference` on its line, without a memory.
    pub fn near(reference: i64, timestamp: u32) -> i64 {
        nearest(reference, i64::from(timestamp), 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_on_over_the_wrap_and_take_reordering() {
        let mut unwrapper = SequenceUnwrapper::default();
        let given = [65_533, 65_535, 65_534, 1, 0, 65_532, 2].map(|s| unwrapper.unwrap(s));
        assert_eq!(given, [65_533, 65_535, 65_534, 65_537, 65_536, 65_532, 65_538]);
        assert_eq!(unwrapper.highest(), Some(65_538));
    }

    #[test]
    fn what_came_before_the_first_is_negative() {
        let mut unwrapper = SequenceUnwrapper::default();
        assert_eq!([0, 65_535, 1].map(|s| unwrapper.unwrap(s)), [0, -1, 1]);
    }

    #[test]
    fn timestamps_go_on_over_the_wrap() {
        let mut unwrapper = TimestampUnwrapper::default();
        let start = u32::MAX - 3_000;
        for frame in 0..10u32 {
            let timestamp = start.wrapping_add(frame * 3_000);
            let value = unwrapper.unwrap(timestamp);
            assert_eq!(value, i64::from(start) + i64::from(frame) * 3_000);
            assert_eq!(value as u32, timestamp);
            assert_eq!(TimestampUnwrapper::near(value - 90_000, timestamp), value);
        }
    }
}
