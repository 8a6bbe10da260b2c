//! Keeps what was played in step with what was heard, for the echo canceller.
//!
//! Both come in blocks of 10 ms from threads of their own. On a busy machine one of them stands still for a while
//! and then brings many at once; handed on as they come, the canceller would see the echo jump to and fro by as
//! much and lose it each time. Here a block that was heard always finds the same number of played blocks before it.
//! A lasting change, drifting clocks or a speaker that was opened again, is taken over once a second.

/// Blocks heard between two looks at what has changed for good: one second.
const PERIOD: u32 = 100;

/// Counts of the thread `aenc`.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// Blocks played less blocks heard, as handed to the canceller.
    lead: i64,
    /// What the lead should be.
    target: i64,
    /// Blocks heard since the last look.
    heard: u32,
    /// Fewest blocks that stayed behind since then, and the largest lead there was.
    spare: usize,
    best: i64,
}

impl Pairing {
    /// How many of the `waiting` played blocks to hand on before the next block that was heard.
    pub fn take(&mut self, waiting: usize) -> usize {
        self.lead -= 1;
        let wanted = usize::try_from(self.target - self.lead).unwrap_or(0);
        let mut taken = wanted.min(waiting);
        if self.heard == 0 {
            (self.spare, self.best) = (usize::MAX, i64::MIN);
        }
        self.spare = self.spare.min(waiting - taken);
        self.best = self.best.max(self.lead + taken as i64);
        self.heard += 1;
        if self.heard == PERIOD {
            self.heard = 0;
            taken += self.spare;
            self.target = self.best + self.spare as i64;
        }
        self.lead += taken as i64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays and hears one block each step, but for the steps in which one of the two stands still; gives the lead at
    /// each block that was heard.
    fn leads(steps: usize, plays: impl Fn(usize) -> bool, hears: impl Fn(usize) -> bool) -> Vec<i64> {
        let mut pairing = Pairing::default();
        let (mut waiting, mut unheard, mut leads) = (0, 0, vec![]);
        // What stood still is made up for at once.
        let mut unplayed = 0;
        for step in 0..steps {
            unplayed += 1;
            if plays(step) {
                waiting += std::mem::take(&mut unplayed);
            }
            unheard += 1;
            if hears(step) {
                for _ in 0..std::mem::take(&mut unheard) {
                    waiting -= pairing.take(waiting);
                    leads.push(pairing.lead);
                }
            }
        }
        leads
    }

    #[test]
    fn in_step_nothing_waits() {
        assert!(leads(500, |_| true, |_| true)[100..].iter().all(|lead| *lead == 0));
    }

    #[test]
    fn a_microphone_thread_that_stumbles_keeps_the_distance() {
        let stumbles = |step: usize| step < 300 || step % 20 >= 15;
        assert!(leads(1000, |_| true, stumbles)[200..].iter().all(|lead| *lead == 0));
    }

    #[test]
    fn what_was_played_late_is_caught_up_with_at_once() {
        let leads = leads(1000, |step| !(400..410).contains(&step), |_| true);
        assert!(leads[100..400].iter().all(|lead| *lead == 0));
        assert!(leads[411..].iter().all(|lead| *lead == 0), "{:?}", &leads[395..420]);
    }

    #[test]
    fn a_lasting_change_is_taken_over_within_two_seconds() {
        let mut pairing = Pairing::default();
        for _ in 0..300 {
            pairing.take(1);
        }
        // The speaker was opened again: ten blocks more wait from now on.
        let mut waiting = 10;
        for _ in 0..200 {
            waiting += 1;
            waiting -= pairing.take(waiting);
        }
        assert_eq!(waiting, 0);
    }
}
