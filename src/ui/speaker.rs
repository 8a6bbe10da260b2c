//! Who speaks, from how loud everybody is: for the frame around a tile, and for who is shown large.
//!
//! ```text
//!            loud for ATTACK                     quiet for PAUSE
//!   silent ------------------> speaking --------------------------> silent
//!
//!   the word goes to: whoever speaks while nobody else does, at once; whoever is clearly louder than the one who has
//!   it, for TAKE_OVER. Who fell silent stays large until somebody else speaks.
//! ```
//!
//! Levels are those of a meter (0.0 at -60 dB, 1.0 at 0 dB; they fall slowly) and come only when they change, so each
//! holds until the next. Time is an argument.

use super::people::Who;
use std::time::{Duration, Instant};

/// About -39 dB: a voice, not a fan.
const LOUD: f32 = 0.35;
/// About -45 dB: below it nothing is said. The gap between the two keeps a voice at the edge from flickering.
const QUIET: f32 = 0.25;
/// A cough or a door is over before.
const ATTACK: Duration = Duration::from_millis(250);
/// Between two words, or two sentences.
const PAUSE: Duration = Duration::from_millis(1200);
/// 6 dB: what it takes to be heard over somebody who still speaks.
const LOUDER: f32 = 0.1;
const TAKE_OVER: Duration = Duration::from_millis(1000);
/// Nobody gets the word for less.
const LEAST: Duration = Duration::from_millis(2000);
/// Loudness over this time is what voices are compared by.
const MEAN: Duration = Duration::from_millis(600);
/// While two speak, they are compared this often.
const COMPARE: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
struct Voice {
    who: Who,
    level: f32,
    mean: f32,
    /// Since when it is not quiet, and when it last was not.
    loud_since: Option<Instant>,
    heard: Option<Instant>,
    speaking: bool,
}

/// Everybody's voice. As many as there are people.
#[derive(Clone, Debug, Default)]
pub struct Speakers {
    voices: Vec<Voice>,
    /// Who has the word, and since when.
    word: Option<(Who, Instant)>,
    /// Who is louder than that, and since when.
    challenger: Option<(Who, Instant)>,
    updated: Option<Instant>,
}

impl Speakers {
    /// From now on this is how loud somebody is.
    pub fn set_level(&mut self, who: Who, level: f32, now: Instant) {
        self.advance(now);
        let level = if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 };
        match self.voices.iter_mut().find(|voice| voice.who == who) {
            Some(voice) => voice.level = level,
            None => self.voices.push(Voice {
                who,
                level,
                mean: 0.0,
                loud_since: None,
                heard: None,
                speaking: false,
            }),
        }
        self.advance(now);
    }

    /// Somebody has left.
    pub fn forget(&mut self, who: Who) {
        self.voices.retain(|voice| voice.who != who);
        self.word = self.word.filter(|word| word.0 != who);
        self.challenger = self.challenger.filter(|challenger| challenger.0 != who);
    }

    /// Takes the time that has passed into account.
    pub fn advance(&mut self, now: Instant) {
        let passed = self.updated.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.updated = Some(self.updated.map_or(now, |at| at.max(now)));
        let share = 1.0 - (-passed.as_secs_f32() / MEAN.as_secs_f32()).exp();
        for voice in &mut self.voices {
            voice.mean += (voice.level - voice.mean) * share;
            if voice.level > QUIET {
                voice.heard = Some(now);
                let is_loud = voice.level >= LOUD;
                let since = voice.loud_since.or(is_loud.then_some(now));
                voice.loud_since = since;
                voice.speaking |= since.is_some_and(|since| now.saturating_duration_since(since) >= ATTACK);
            } else {
                voice.loud_since = None;
                let silent_for = voice.heard.map(|heard| now.saturating_duration_since(heard));
                voice.speaking &= silent_for.is_some_and(|silence| silence < PAUSE);
            }
        }
        self.give_word(now);
    }

    fn give_word(&mut self, now: Instant) {
        let loudest = |except: Option<Who>| {
            let speaking = self.voices.iter().filter(|voice| voice.speaking && Some(voice.who) != except);
            speaking.max_by(|a, b| a.mean.total_cmp(&b.mean)).map(|voice| (voice.who, voice.mean))
        };
        let holder = self.word.and_then(|(who, since)| {
            let voice = self.voices.iter().find(|voice| voice.who == who && voice.speaking)?;
            Some((who, since, voice.mean))
        });
        let Some((holder, since, mean)) = holder else {
            self.challenger = None;
            if let Some((who, _)) = loudest(None) {
                self.word = Some((who, now));
            }
            return;
        };
        let challenger = loudest(Some(holder)).filter(|(_, loudness)| *loudness >= mean + LOUDER);
        self.challenger = challenger.map(|(who, _)| match self.challenger {
            Some((before, at)) if before == who => (who, at),
            _ => (who, now),
        });
        if let Some((who, at)) = self.challenger
            && now.saturating_duration_since(at) >= TAKE_OVER
            && now.saturating_duration_since(since) >= LEAST
        {
            self.word = Some((who, now));
            self.challenger = None;
        }
    }

    /// Who speaks now: one at a time.
    pub fn active(&self) -> Option<Who> {
        let (who, _) = self.word?;
        self.voices.iter().any(|voice| voice.who == who && voice.speaking).then_some(who)
    }

    /// Who had the word last among those who may: they stay large while nobody speaks.
    pub fn featured(&self, may: impl Fn(Who) -> bool) -> Option<Who> {
        match self.word {
            Some((who, _)) if may(who) => Some(who),
            _ => {
                let heard = self.voices.iter().filter(|voice| may(voice.who) && voice.heard.is_some());
                heard.max_by_key(|voice| voice.heard).map(|voice| voice.who)
            }
        }
    }

    /// When somebody was last heard.
    pub fn heard(&self, who: Who) -> Option<Instant> {
        self.voices.iter().find(|voice| voice.who == who)?.heard
    }

    /// When [`Self::advance`] may next change something, if no level changes before.
    pub fn deadline(&self) -> Option<Instant> {
        let updated = self.updated?;
        let voices = self.voices.iter().filter_map(|voice| match (voice.speaking, voice.level > QUIET) {
            (false, true) => voice.loud_since.map(|since| since + ATTACK),
            (true, false) => voice.heard.map(|heard| heard + PAUSE),
            (true, true) | (false, false) => None,
        });
        let two = self.voices.iter().filter(|voice| voice.speaking).count() > 1;
        voices.chain(two.then_some(updated + COMPARE)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PeerId;

    const ANN: Who = Who::Peer(PeerId(1));
    const BO: Who = Who::Peer(PeerId(2));

    /// Levels in steps of 100 ms, as the engine tells them, from `from` to `to`.
    struct Room {
        speakers: Speakers,
        start: Instant,
        now: u64,
        changes: Vec<(u64, Option<Who>)>,
    }

    impl Room {
        fn new() -> Self {
            Self { speakers: Speakers::default(), start: Instant::now(), now: 0, changes: Vec::new() }
        }

        fn at(&self) -> Instant {
            self.start + Duration::from_millis(self.now)
        }

        fn run(&mut self, until: u64, level: impl Fn(Who, u64) -> f32) {
            while self.now < until {
                for who in [ANN, BO, Who::Me] {
                    self.speakers.set_level(who, level(who, self.now), self.at());
                }
                let active = self.speakers.active();
                if self.changes.last().and_then(|change| change.1) != active {
                    self.changes.push((self.now, active));
                }
                self.now += 100;
            }
        }
    }

    /// Syllables and the gaps between them, at about -26 dB.
    fn speech(at: u64) -> f32 {
        if at % 700 < 500 { 0.55 } else { 0.2 }
    }

    #[test]
    fn a_frame_neither_flickers_nor_lags() {
        let mut room = Room::new();
        room.run(1000, |_, _| 0.1);
        assert!(room.changes.is_empty(), "a fan is nobody's voice");
        room.run(8000, |who, at| if who == ANN { speech(at) } else { 0.1 });
        let (begun, who) = room.changes[0];
        assert!(room.changes.len() == 1 && who == Some(ANN) && (1300..2000).contains(&begun), "{begun}");
        room.run(12_000, |_, _| 0.1);
        let (gone, nobody) = room.changes[1];
        assert!(nobody.is_none() && (9000..9600).contains(&gone), "{gone}");
        assert_eq!(room.speakers.featured(|_| true), Some(ANN), "she stays large");
        assert_eq!(room.changes.len(), 2);
    }

    #[test]
    fn a_cough_is_no_speech() {
        let mut room = Room::new();
        room.run(5000, |who, at| if who == BO && (2000..2200).contains(&at) { 0.9 } else { 0.0 });
        assert!(room.changes.is_empty() && room.speakers.featured(|_| true) == Some(BO));
    }

    #[test]
    fn people_take_turns() {
        let mut room = Room::new();
        let turn = |who, at: u64| {
            if (who == ANN) == (at / 4000).is_multiple_of(2) && who != Who::Me { speech(at) } else { 0.0 }
        };
        room.run(40_000, turn);
        let order: Vec<_> = room.changes.iter().filter_map(|change| change.1).collect();
        assert_eq!(order.len(), 10, "{:?}", room.changes);
        assert!(order.iter().enumerate().all(|(turn, who)| *who == if turn % 2 == 0 { ANN } else { BO }));
    }

    #[test]
    fn two_at_once_do_not_swap_places() {
        let mut room = Room::new();
        room.run(
            20_000,
            |who, at| if who == Who::Me { 0.0 } else { speech(at + u64::from(who == BO) * 300) },
        );
        assert_eq!(room.changes.len(), 1, "{:?}", room.changes);
        // Until one of them is clearly louder.
        room.run(26_000, |who, at| match who {
            Who::Me => 0.0,
            BO => 0.85,
            Who::Peer(_) => speech(at),
        });
        assert_eq!(room.changes.len(), 2, "{:?}", room.changes);
        let (at, who) = room.changes[1];
        assert!(who == Some(BO) && (21_000..23_000).contains(&at), "{at}");
    }

    #[test]
    fn who_leaves_has_no_word() {
        let mut room = Room::new();
        room.run(3000, |who, at| if who == ANN { speech(at) } else { 0.0 });
        room.speakers.forget(ANN);
        assert_eq!((room.speakers.active(), room.speakers.featured(|_| true)), (None, None));
        assert_eq!(room.speakers.heard(ANN), None);
    }

    #[test]
    fn one_may_be_left_out() {
        let mut room = Room::new();
        room.run(3000, |who, at| if who == BO { speech(at) } else { 0.0 });
        room.run(9000, |who, at| if who == Who::Me { speech(at) } else { 0.0 });
        assert_eq!(room.speakers.active(), Some(Who::Me));
        assert_eq!(room.speakers.featured(|who| who != Who::Me), Some(BO), "nobody looks at themselves");
    }

    /// Without a word from the engine, the deadlines alone bring the frame there and away.
    #[test]
    fn deadlines_are_kept() {
        let start = Instant::now();
        let mut speakers = Speakers::default();
        assert_eq!(speakers.deadline(), None);
        speakers.set_level(ANN, 0.6, start);
        assert_eq!(speakers.deadline(), Some(start + ATTACK));
        speakers.advance(start + ATTACK);
        assert_eq!((speakers.active(), speakers.deadline()), (Some(ANN), None));
        let quiet = start + Duration::from_secs(60);
        speakers.set_level(ANN, 0.0, quiet);
        let Some(at) = speakers.deadline() else { panic!() };
        assert!(at > quiet && at <= quiet + PAUSE);
        speakers.advance(at);
        assert_eq!((speakers.active(), speakers.deadline()), (None, None));
    }

    /// Time that goes backwards and levels that are no numbers do no harm.
    #[test]
    fn nonsense_is_harmless() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut speakers = Speakers::default();
        for (level, back) in [(f32::NAN, 0), (f32::INFINITY, 5), (-3.0, 2), (9.0, 9), (0.5, 1)] {
            speakers.set_level(ANN, level, start - Duration::from_secs(back));
        }
        speakers.advance(start + Duration::from_secs(1));
        assert!(speakers.voices.iter().all(|voice| voice.mean.is_finite()));
    }
}
