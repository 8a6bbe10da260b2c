//! The sum of all voices, less the listener's own.
//!
//! Each voice becomes integers in steps of 2^-40, all of them are added up once, and every listener's mix is that total
//! less its own voice. Integers make the subtraction exact: whoever listens hears the others to the bit as if only they
//! had been added up, in whatever order they joined. 64 voices, each eight times full scale, stay below 2^50 of the 2^63
//! there are. Who hears a single voice gets its samples as they are.
//!
//! A voice that says nothing is left out, so that those who only listen share one mix, and one encoder. Of those who
//! speak the loudest few are heard: more voices at once carry no word. What comes in or goes is faded over one block.

use super::Member;
use crate::rtp::VOICE_BLOCK;

/// Most voices; more are not taken.
const MAX_VOICES: usize = 64;
/// Steps of the fixed point.
const ONE: f64 = (1_u64 << 40) as f64;
/// Times full scale. What a decoder gives beyond it is damage.
const MAX_SAMPLE: f32 = 8.0;
/// Root mean square above which a voice is let in, and below which it is silence: -54 and -60 dB of full scale.
const OPEN: f32 = 0.002;
const CLOSE: f32 = 0.001;
/// Blocks of silence after which a voice is left out: pauses between words are shorter.
const HOLD: u32 = 40;
/// How much of a new block's loudness goes into a voice's: rising within 30 ms, falling within half a second.
const RISE: f32 = 0.3;
const FALL: f32 = 0.02;
/// Who is heard stays so unless another one is louder by this: 6 dB.
const INCUMBENT: f32 = 2.0;

type Block = [f32; VOICE_BLOCK];

/// What a listener's mix consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// All that is said: the same for everyone who says nothing.
    All,
    /// All but its own voice, which is part of the total.
    AllButOwn,
}

struct Voice {
    member: Member,
    /// As it is heard: finite, faded.
    block: Block,
    /// The same in fixed point.
    fixed: Box<[i64; VOICE_BLOCK]>,
    /// Its block came since the last mix.
    fresh: bool,
    /// Root mean square, smoothed.
    level: f32,
    /// Blocks of silence; at [`HOLD`] the voice is left out.
    silent: u32,
    /// The last block ended with it in full.
    open: bool,
    /// It is part of the total.
    heard: bool,
    /// The last sample of the last block, to fade from if nothing more comes.
    last: f32,
}

/// Mixes ten milliseconds at a time: [`Self::put`] each voice, [`Self::mix`], then [`Self::hear`] for each listener.
pub struct SoundMixer {
    voices: Vec<Voice>,
    total: Box<[i64; VOICE_BLOCK]>,
    /// Voices heard at once; `None`: all of them, silent or not.
    loudest: Option<usize>,
}

impl SoundMixer {
    /// `loudest`: so many of those who speak are heard at once; `None`: everything is, always.
    pub fn new(loudest: Option<usize>) -> Self {
        Self { voices: Vec::new(), total: Box::new([0; VOICE_BLOCK]), loudest }
    }

    /// The next ten milliseconds of a member's voice. Who puts nothing before the next [`Self::mix`] fades out.
    pub fn put(&mut self, member: Member, block: &Block) {
        let index = match self.voices.iter().position(|voice| voice.member == member) {
            Some(index) => index,
            None if self.voices.len() < MAX_VOICES => {
                self.voices.push(Voice::new(member));
                self.voices.len() - 1
            }
            None => return,
        };
        self.voices[index].put(block);
    }

    /// Adds up what was put.
    pub fn mix(&mut self) {
        // Who has nothing to fade out any more is forgotten.
        self.voices.retain(|voice| voice.fresh || voice.open);
        let chosen = self.chosen();
        self.total.fill(0);
        for (voice, chosen) in self.voices.iter_mut().zip(chosen) {
            voice.fade(chosen);
            if voice.heard {
                self.total.iter_mut().zip(&*voice.fixed).for_each(|(sum, sample)| *sum += sample);
            }
        }
    }

    /// What this listener's mix is made of now.
    pub fn hearing(&self, listener: Member) -> Hearing {
        let own = self.voices.iter().any(|voice| voice.member == listener && voice.heard);
        if own { Hearing::AllButOwn } else { Hearing::All }
    }

    /// The mix for `listener`; `None`: all there is. It may exceed full scale: see [`Limiter`](super::Limiter).
    pub fn hear(&self, listener: Option<Member>, mix: &mut Block) {
        let is_own = |voice: &&Voice| Some(voice.member) == listener;
        let heard = || self.voices.iter().filter(|voice| voice.heard);
        let own = heard().find(is_own);
        let mut others = heard().filter(|voice| !is_own(voice));
        match (others.next(), others.next(), own) {
            (None, ..) => mix.fill(0.0),
            (Some(lone), None, _) => *mix = lone.block,
            (.., Some(own)) => {
                let pairs = self.total.iter().zip(&*own.fixed);
                mix.iter_mut().zip(pairs).for_each(|(sample, (total, own))| *sample = to_float(total - own));
            }
            (.., None) => {
                mix.iter_mut().zip(&*self.total).for_each(|(sample, total)| *sample = to_float(*total));
            }
        }
    }

    /// Who is known, and how loud: root mean square, smoothed.
    pub fn levels(&self) -> impl Iterator<Item = (Member, f32)> {
        self.voices.iter().map(|voice| (voice.member, voice.level))
    }

    /// For each voice whether it is heard from this block on.
    fn chosen(&self) -> Vec<bool> {
        let Some(loudest) = self.loudest else {
            return self.voices.iter().map(|voice| voice.fresh).collect();
        };
        let mut ranked: Vec<(usize, f32)> = (self.voices.iter().enumerate())
            .filter(|(_, voice)| voice.fresh && voice.silent < HOLD)
            .map(|(index, voice)| (index, voice.level * if voice.open { INCUMBENT } else { 1.0 }))
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(loudest);
        (0..self.voices.len()).map(|index| ranked.iter().any(|(chosen, _)| *chosen == index)).collect()
    }
}

impl Voice {
    fn new(member: Member) -> Self {
        Self {
            member,
            block: [0.0; VOICE_BLOCK],
            fixed: Box::new([0; VOICE_BLOCK]),
            fresh: false,
            level: 0.0,
            silent: HOLD,
            open: false,
            heard: false,
            last: 0.0,
        }
    }

    fn put(&mut self, block: &Block) {
        let sound =
            |sample: f32| if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 };
        self.block = block.map(sound);
        self.fresh = true;
        let power: f32 = self.block.iter().map(|sample| sample * sample).sum();
        let rms = (power / VOICE_BLOCK as f32).sqrt();
        self.level += (rms - self.level) * if rms > self.level { RISE } else { FALL };
        if rms > OPEN {
            self.silent = 0;
        } else if rms < CLOSE {
            self.silent = (self.silent + 1).min(HOLD);
        }
    }

    /// Turns the block into what is added up, fading it in or out if `wanted` is not what was.
    fn fade(&mut self, wanted: bool) {
        if !self.fresh {
            // Nothing more comes: what is left is to get from the last sample to zero.
            self.block = [self.last; VOICE_BLOCK];
        }
        let rising = |n: usize| (n + 1) as f32 / VOICE_BLOCK as f32;
        match (self.open, wanted) {
            (true, true) | (false, false) => {}
            (false, true) => scale(&mut self.block, rising),
            (true, false) => scale(&mut self.block, |n| 1.0 - rising(n)),
        }
        self.heard = self.open || wanted;
        if self.heard {
            self.fixed.iter_mut().zip(&self.block).for_each(|(fixed, sample)| *fixed = to_fixed(*sample));
        }
        (self.open, self.fresh) = (wanted, false);
        self.last = self.block[VOICE_BLOCK - 1];
    }
}

fn scale(block: &mut Block, gain: impl Fn(usize) -> f32) {
    block.iter_mut().enumerate().for_each(|(n, sample)| *sample *= gain(n));
}

/// Exact for all that is a multiple of 2^-40: every sample louder than 2^-16, and all of 24 bits.
fn to_fixed(sample: f32) -> i64 {
    (f64::from(sample) * ONE) as i64
}

/// Rounded once, at the end.
fn to_float(fixed: i64) -> f32 {
    (fixed as f64 / ONE) as f32
}

#[cfg(test)]
mod tests;
