//! Who is heard, and who speaks. Of everybody's sound the loudest [`HEARD`] go on to the others; the loudest of these
//! for a while is the one the windows show.
//!
//! Loudness comes with the packets where it was negotiated (RFC 6464). Without it the size of the packets stands in:
//! our encoder, like browsers', has a variable rate and sends next to nothing in silence (DTX), so a larger packet
//! is a louder or livelier one. That tells speech from silence, not a loud voice from a soft one; the host could only
//! know by decoding, which is what a relay is there to spare.

use crate::ports::PeerId;
use std::time::{Duration, Instant};

/// Streams of sound that go on to everybody.
pub const HEARD: usize = 3;
/// The level of silence: -127 dBov (RFC 6464).
const SILENCE: f64 = -127.0;
/// Below this nobody speaks.
const QUIET: f64 = -55.0;
/// A voice must be so much louder (dB) than the quietest that is heard to take its place.
const LOUDER: f64 = 6.0;
/// Who has just begun to be heard is heard for at least this long.
const HELD: Duration = Duration::from_millis(1_000);
/// The loudest is shown as the speaker after so long; coughs are shorter.
const SPEAKS: Duration = Duration::from_millis(600);
/// A voice rises quickly and fades slowly: the pauses between words are no silence.
const RISE: f64 = 0.05;
const FADE: f64 = 0.8;
/// Opus packets of 20 ms: what silence needs at most, and a full voice at the least.
const SILENT_BYTES: f64 = 12.0;
const FULL_BYTES: f64 = 90.0;

struct Voice {
    id: PeerId,
    /// dBov, smoothed.
    level: f64,
    last: Instant,
    /// Among those that are heard since then.
    heard: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Speakers {
    voices: Vec<Voice>,
    leader: Option<(PeerId, Instant)>,
    speaker: Option<PeerId>,
}

/// How loud a packet is that does not say so, in dBov.
fn guessed(bytes: usize) -> f64 {
    let share = ((bytes as f64 - SILENT_BYTES) / (FULL_BYTES - SILENT_BYTES)).clamp(0.0, 1.0);
    if share > 0.0 { -60.0 + 40.0 * share } else { SILENCE }
}

impl Voice {
    /// It fades while nothing comes.
    fn level(&self, now: Instant) -> f64 {
        let silent = now.saturating_duration_since(self.last).as_secs_f64();
        SILENCE + (self.level - SILENCE) * (-(silent - 0.06).max(0.0) / FADE).exp()
    }
}

impl Speakers {
    /// A packet of sound. `level`: as RFC 6464 has it, 0 (loud) to 127.
    pub fn handle(&mut self, now: Instant, id: PeerId, level: Option<u8>, bytes: usize) {
        let loud = level.map_or_else(|| guessed(bytes), |level| -f64::from(level.min(127)));
        match self.voices.iter_mut().find(|voice| voice.id == id) {
            Some(voice) => {
                let before = voice.level(now);
                let passed = now.saturating_duration_since(voice.last).as_secs_f64().clamp(0.005, 0.06);
                let time = if loud > before { RISE } else { FADE };
                voice.level = loud + (before - loud) * (-passed / time).exp();
                voice.last = now;
            }
            None => self.voices.push(Voice { id, level: loud, last: now, heard: None }),
        }
        self.choose(now, id);
    }

    pub fn remove(&mut self, id: PeerId) {
        self.voices.retain(|voice| voice.id != id);
        self.leader = self.leader.filter(|(leader, _)| *leader != id);
        self.speaker = self.speaker.filter(|speaker| *speaker != id);
    }

    /// Whether `id`, of whom something has just come, is heard from now on, and who has to make room.
    fn choose(&mut self, now: Instant, id: PeerId) {
        let Some(own) = self.voices.iter().position(|voice| voice.id == id) else { return };
        if self.voices[own].heard.is_some() {
            return;
        }
        let heard = self.voices.iter().filter(|voice| voice.heard.is_some()).count();
        if heard < HEARD {
            self.voices[own].heard = Some(now);
            return;
        }
        let level = self.voices[own].level(now);
        let may_go = |voice: &&mut Voice| voice.heard.is_some_and(|since| now >= since + HELD);
        let quietest =
            self.voices.iter_mut().filter(may_go).min_by(|a, b| a.level(now).total_cmp(&b.level(now)));
        if let Some(quietest) = quietest
            && level > QUIET
            && level > quietest.level(now) + LOUDER
        {
            quietest.heard = None;
            self.voices[own].heard = Some(now);
        }
    }

    pub fn is_heard(&self, id: PeerId) -> bool {
        self.voices.iter().any(|voice| voice.id == id && voice.heard.is_some())
    }

    /// Who speaks; whoever spoke last while nobody does.
    pub fn speaker(&self) -> Option<PeerId> {
        self.speaker
    }

    /// Call it a few times a second: somebody has to lead for a while to be the speaker.
    pub fn handle_timeout(&mut self, now: Instant) {
        let level =
            |id: PeerId| self.voices.iter().find(|voice| voice.id == id).map(|voice| voice.level(now));
        let loudest = self.voices.iter().max_by(|a, b| a.level(now).total_cmp(&b.level(now)));
        let Some(loudest) = loudest.filter(|loudest| loudest.level(now) > QUIET) else {
            self.leader = None;
            return;
        };
        let speaks = self.speaker.and_then(level).is_some_and(|now_level| now_level > QUIET);
        let margin = if speaks { LOUDER / 2.0 } else { 0.0 };
        let leads = self.speaker.and_then(level).is_none_or(|own| loudest.level(now) > own + margin);
        if self.speaker == Some(loudest.id) || !leads {
            self.leader = None;
            return;
        }
        let since = self.leader.filter(|(leader, _)| *leader == loudest.id).map_or(now, |(_, since)| since);
        self.leader = Some((loudest.id, since));
        if self.speaker.is_none() || now >= since + SPEAKS {
            (self.speaker, self.leader) = (Some(loudest.id), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn heard(speakers: &Speakers, of: u64) -> Vec<u64> {
        (0..of).filter(|id| speakers.is_heard(PeerId(*id))).collect()
    }
    /// Everybody sends at these levels from one moment to another.
    fn run(speakers: &mut Speakers, levels: &[u8], from: u64, to: u64) -> usize {
        let mut changes = 0;
        for ms in (from..to).step_by(20) {
            for (id, level) in levels.iter().enumerate() {
                let before = heard(speakers, 8);
                speakers.handle(at(ms), PeerId(id as u64), Some(*level), 60);
                changes += usize::from(heard(speakers, 8) != before);
            }
            speakers.handle_timeout(at(ms));
        }
        changes
    }

    #[test]
    fn the_loudest_three_are_heard_and_one_of_them_speaks() {
        let mut speakers = Speakers::default();
        run(&mut speakers, &[60, 60, 60], 0, 100);
        assert_eq!(heard(&speakers, 8), [0, 1, 2], "while there are three, all");
        run(&mut speakers, &[70, 30, 70, 35, 25, 90], 2_000, 4_000);
        assert_eq!(heard(&speakers, 8), [1, 3, 4]);
        assert_eq!(speakers.speaker(), Some(PeerId(4)));
        let changes = run(&mut speakers, &[36, 34, 36, 35, 33, 90], 4_000, 14_000);
        assert_eq!((changes, speakers.speaker()), (0, Some(PeerId(4))), "nobody is much louder");
        run(&mut speakers, &[15, 34, 70, 35, 33, 90], 14_000, 14_400);
        assert_eq!(heard(&speakers, 8).len(), 3);
        assert!(speakers.is_heard(PeerId(0)), "within 0.4 s");
        assert_eq!(speakers.speaker(), Some(PeerId(4)), "that may have been a cough");
        run(&mut speakers, &[15, 34, 70, 35, 33, 90], 14_400, 15_200);
        assert_eq!(speakers.speaker(), Some(PeerId(0)));
        run(&mut speakers, &[80; 6], 16_000, 20_000);
        assert_eq!(speakers.speaker(), Some(PeerId(0)), "in silence, whoever spoke last");
        speakers.remove(PeerId(0));
        assert!(speakers.speaker().is_none() && !speakers.is_heard(PeerId(0)));
    }

    #[test]
    fn who_leaves_makes_room_and_who_stops_sending_fades() {
        let mut speakers = Speakers::default();
        run(&mut speakers, &[30, 30, 30, 30], 0, 2_000);
        assert_eq!(heard(&speakers, 8), [0, 1, 2]);
        speakers.remove(PeerId(1));
        speakers.handle(at(2_000), PeerId(3), Some(30), 60);
        assert_eq!(heard(&speakers, 8), [0, 2, 3]);
        for ms in (2_000..5_000).step_by(20) {
            speakers.handle(at(ms), PeerId(7), Some(45), 60);
        }
        assert!(speakers.is_heard(PeerId(7)));
    }

    #[test]
    fn without_levels_the_size_of_the_packets_tells_speech_from_silence() {
        let mut speakers = Speakers::default();
        for ms in (0..3_000).step_by(20) {
            for (id, bytes) in [3usize, 8, 80, 60, 100].into_iter().enumerate() {
                speakers.handle(at(ms), PeerId(id as u64), None, bytes);
            }
            speakers.handle_timeout(at(ms));
        }
        assert_eq!(heard(&speakers, 8), [2, 3, 4]);
    }
}
