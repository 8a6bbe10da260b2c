//! Who speaks: the one to show large. Asked about all levels each ten milliseconds or seldomer.
//!
//! Whoever has the floor keeps it through pauses and interjections: another one gets it only by being the louder one
//! over some time, and not right after the last change. In silence nothing changes.

use super::Member;
use std::time::{Duration, Instant};

/// Root mean square below which nobody speaks: -44 dB of full scale.
const SPEECH: f32 = 0.006;
/// Another one must be louder by this (3 dB) ...
const LOUDER: f32 = 1.4;
/// ... for this long ...
const PERSISTENCE: Duration = Duration::from_millis(500);
/// ... and the last change must be this long ago.
const STAY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Default)]
pub struct ActiveSpeaker {
    current: Option<Member>,
    changed_at: Option<Instant>,
    /// Who is louder than the current one, and since when.
    challenger: Option<(Member, Instant)>,
}

impl ActiveSpeaker {
    pub fn current(&self) -> Option<Member> {
        self.current
    }

    /// The levels of everybody there is: root mean squares, smoothed over some tens of milliseconds.
    pub fn handle(&mut self, now: Instant, levels: impl IntoIterator<Item = (Member, f32)>) {
        let (mut own, mut loudest) = (None, None::<(Member, f32)>);
        for (member, level) in levels {
            if Some(member) == self.current {
                own = Some(level);
            } else if level > SPEECH && loudest.is_none_or(|(_, best)| level > best) {
                loudest = Some((member, level));
            }
        }
        if own.is_none() {
            // Nobody had the floor, or who had it is gone: it is free for whoever speaks.
            (self.current, self.challenger) = (None, None);
            if let Some((member, _)) = loudest {
                (self.current, self.changed_at) = (Some(member), Some(now));
            }
            return;
        }
        let louder = loudest.filter(|(_, level)| *level > own.unwrap_or(0.0).max(SPEECH) * LOUDER);
        let Some((member, _)) = louder else {
            self.challenger = None;
            return;
        };
        let since = match self.challenger {
            Some((same, since)) if same == member => since,
            _ => now,
        };
        self.challenger = Some((member, since));
        let rested = self.changed_at.is_none_or(|at| now.saturating_duration_since(at) >= STAY);
        if rested && now.saturating_duration_since(since) >= PERSISTENCE {
            (self.current, self.changed_at, self.challenger) = (Some(member), Some(now), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PeerId;
    use crate::rtp::test_time::at;

    const ANN: Member = Member::Guest(PeerId(1));
    const BEN: Member = Member::Guest(PeerId(2));

    /// Runs with these levels from one time to another; gives who had the floor at the end.
    fn run(speaker: &mut ActiveSpeaker, ms: std::ops::Range<u64>, ann: f32, ben: f32) -> Option<Member> {
        ms.step_by(10).for_each(|ms| speaker.handle(at(ms), [(ANN, ann), (BEN, ben), (Member::Host, 0.0)]));
        speaker.current()
    }

    #[test]
    fn the_floor_goes_to_who_speaks_for_a_while() {
        let mut speaker = ActiveSpeaker::default();
        assert_eq!(run(&mut speaker, 0..1000, 0.001, 0.002), None, "noise is no speech");
        assert_eq!(run(&mut speaker, 1000..1010, 0.1, 0.0), Some(ANN), "the first one at once");
        assert_eq!(run(&mut speaker, 1010..2900, 0.0, 0.2), Some(ANN), "not so soon after a change");
        assert_eq!(run(&mut speaker, 2900..3100, 0.0, 0.2), Some(BEN));
        assert_eq!(run(&mut speaker, 3100..9000, 0.0, 0.0), Some(BEN), "silence changes nothing");
        assert_eq!(run(&mut speaker, 9000..9400, 0.2, 0.0), Some(BEN), "a cough");
        assert_eq!(run(&mut speaker, 9400..9600, 0.0, 0.1), Some(BEN));
        assert_eq!(run(&mut speaker, 9600..12_000, 0.12, 0.1), Some(BEN), "hardly louder");
        assert_eq!(run(&mut speaker, 12_000..12_600, 0.2, 0.1), Some(ANN));
    }

    #[test]
    fn who_goes_leaves_the_floor() {
        let mut speaker = ActiveSpeaker::default();
        run(&mut speaker, 0..100, 0.1, 0.0);
        speaker.handle(at(110), [(BEN, 0.0)]);
        assert_eq!(speaker.current(), None);
        speaker.handle(at(120), [(BEN, 0.1)]);
        assert_eq!(speaker.current(), Some(BEN));
    }
}
