//! Notices that somebody speaks while the microphone is muted, so that the window can say so.
//!
//! Speech is what stands out of the steady noise. It has to last: a cough, a key or a door is no speech. Worked on
//! the thread `aenc`, on sound whose echo is taken out: the other side's voice is not ours.

use super::meter::rms;
use crate::codec::{BLOCK, SAMPLE_RATE};
use std::time::{Duration, Instant};

/// Over the noise by this, in decibels, begins speech; under this it ends.
const RISE_DB: f32 = 14.0;
const FALL_DB: f32 = 8.0;
/// What is quieter than this, in decibels of full scale, is not meant for anybody.
const QUIET_DB: f32 = -50.0;
/// The noise follows a quieter block by this share, and rises by this much a block (2 dB a second).
const NOISE_DOWN: f32 = 0.2;
const NOISE_UP_DB: f32 = 0.02;
/// So many blocks of speech, less those of silence between them, are somebody who wants to be heard: 0.5 s.
const ENOUGH: u32 = SAMPLE_RATE / BLOCK as u32 / 2;
/// Who was told and stays muted is not told again before this.
const PAUSE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct MutedTalk {
    /// Level of the noise in decibels; `None` before the first block.
    noise_db: Option<f32>,
    speaks: bool,
    /// Blocks of speech less blocks of silence since the microphone is muted.
    spoken: u32,
    told_at: Option<Instant>,
}

impl MutedTalk {
    /// 10 ms of our voice. `true`: somebody speaks into a muted microphone and has not been told lately.
    pub fn handle(&mut self, block: &[f32], muted: bool, now: Instant) -> bool {
        self.listen(block);
        if !muted {
            self.spoken = 0;
            return false;
        }
        self.spoken = if self.speaks { self.spoken + 1 } else { self.spoken.saturating_sub(1) };
        let lately = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if self.spoken < ENOUGH || lately {
            self.spoken = self.spoken.min(ENOUGH);
            return false;
        }
        self.spoken = 0;
        self.told_at = Some(now);
        true
    }

    fn listen(&mut self, block: &[f32]) {
        let level_db = 20.0 * rms(block).max(1e-5).log10();
        let noise_db = self.noise_db.get_or_insert(level_db);
        if level_db < *noise_db {
            *noise_db += NOISE_DOWN * (level_db - *noise_db);
        } else {
            *noise_db += NOISE_UP_DB.min(level_db - *noise_db);
        }
        let over_db = level_db - *noise_db;
        self.speaks = level_db > QUIET_DB && over_db > if self.speaks { FALL_DB } else { RISE_DB };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of sound at each of these levels, in decibels; gives the times at which there was something to tell,
    /// in tenths of a second.
    fn told(talk: &mut MutedTalk, start: Instant, from_s: u64, muted: bool, levels: &[f32]) -> Vec<u64> {
        let mut told = Vec::new();
        for (second, level_db) in levels.iter().enumerate() {
            let sample = 10f32.powf(level_db / 20.0);
            for n in 0..100 {
                let ms = (from_s + second as u64) * 1000 + n * 10;
                if talk.handle(&[sample; BLOCK], muted, start + Duration::from_millis(ms)) {
                    told.push(ms / 100);
                }
            }
        }
        told
    }

    #[test]
    fn who_speaks_while_muted_is_told_once_in_a_while() {
        let (mut talk, start) = (MutedTalk::default(), Instant::now());
        assert_eq!(told(&mut talk, start, 0, true, &[-65.0, -65.0, -25.0, -65.0]), [24]);
        // Goes on talking, with pauses: told again after half a minute and not before.
        let sentence = [-25.0, -65.0, -22.0, -65.0].repeat(10);
        assert_eq!(told(&mut talk, start, 4, true, &sentence).len(), 1);
    }

    #[test]
    fn speech_into_an_open_microphone_and_right_before_muting_is_no_news() {
        let (mut talk, start) = (MutedTalk::default(), Instant::now());
        assert_eq!(told(&mut talk, start, 0, false, &[-65.0, -25.0, -25.0]), [0u64; 0]);
        assert_eq!(told(&mut talk, start, 3, true, &[-65.0, -65.0]), [0u64; 0]);
    }

    #[test]
    fn noise_keys_and_whispers_from_elsewhere_are_no_speech() {
        let (mut talk, start) = (MutedTalk::default(), Instant::now());
        assert_eq!(told(&mut talk, start, 0, true, &[-30.0; 20]), [0u64; 0], "a fan");
        let mut talk = MutedTalk::default();
        assert_eq!(told(&mut talk, start, 0, true, &[-80.0, -55.0, -55.0, -55.0]), [0u64; 0], "a far voice");
        // Keys: 30 ms each, four a second.
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut talk = MutedTalk::default();
        for n in 0..2000u64 {
            let sample = if n % 25 < 3 { 0.1 } else { 0.0005 };
            assert!(!talk.handle(&[sample; BLOCK], true, at(n * 10)), "a key at block {n}");
        }
    }

    #[test]
    fn a_voice_over_a_fan_that_was_switched_on_is_heard() {
        let (mut talk, start) = (MutedTalk::default(), Instant::now());
        let mut levels = vec![-70.0; 2];
        levels.extend([-45.0; 30]);
        told(&mut talk, start, 0, false, &levels);
        assert_eq!(told(&mut talk, start, 32, true, &[-45.0, -45.0]), [0u64; 0], "the fan alone");
        assert_eq!(told(&mut talk, start, 34, true, &[-20.0]).len(), 1);
    }
}
