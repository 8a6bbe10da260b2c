//! Whether a sender has begun its numbers anew: then all that comes is older than what was given out, and stays so.

/// The run of packets that came too late, if each follows the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Restart {
    last: u16,
    run: u32,
}

impl Restart {
    /// A packet is older than what was given out; gives whether it makes a run of so many.
    pub fn late(&mut self, sequence: u16, enough: u32) -> bool {
        self.run = if sequence == self.last.wrapping_add(1) { self.run + 1 } else { 1 };
        self.last = sequence;
        self.run >= enough
    }

    /// A packet is in time.
    pub fn in_time(&mut self) {
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_is_a_restart() {
        let mut restart = Restart::default();
        let mut late = |sequence| restart.late(sequence, 3);
        assert_eq!([65_535, 0, 7, 8, 10, 11].map(&mut late), [false; 6]);
        assert!(late(12));
        restart.in_time();
        let mut late = |sequence| restart.late(sequence, 3);
        assert_eq!([13, 14, 15].map(&mut late), [false, false, true]);
    }
}
