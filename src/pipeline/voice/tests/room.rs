//! A simulated room: something like speech, its echo from a loudspeaker, and two devices whose clocks run apart.
//! All of it on virtual time and seeded.

use crate::codec::{BLOCK, SAMPLE_RATE};
use crate::pipeline::send_audio::{PLAYED_BLOCKS, Played};
use crate::pipeline::voice::{EchoStats, VoiceProcessor, VoiceSettings};
use std::f64::consts::PI;

pub const RATE: usize = SAMPLE_RATE as usize;

pub struct Noise(pub u32);

impl Noise {
    /// White, -1.0 to 1.0.
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Something with the rhythm and the spectrum of speech: voiced syllables of changing pitch and vowel, hisses
/// between them, pauses.
pub fn speech(seconds: usize, pitch: f32, seed: u32) -> Vec<f32> {
    let mut noise = Noise(seed);
    let (mut phase, mut low, mut band) = (0.0_f32, 0.0_f32, 0.0_f32);
    let (mut syllable, mut left, mut length) = ((0.0, 0.0, 0.0), 0_usize, 1_usize);
    (0..seconds * SAMPLE_RATE as usize)
        .map(|_| {
            if left == 0 {
                length = SAMPLE_RATE as usize / 8 + (noise.next().abs() * 6000.0) as usize;
                left = length;
                // Voiced, hissed or a pause; pitch; formant.
                let kind = noise.next();
                let voiced = if kind > -0.4 {
                    1.0
                } else if kind > -0.7 {
                    0.0
                } else {
                    -1.0
                };
                syllable = (voiced, pitch * (1.0 + 0.25 * noise.next()), 500.0 + 400.0 * noise.next());
            }
            left -= 1;
            let swell = (std::f32::consts::PI * left as f32 / length as f32).sin();
            phase = (phase + syllable.1 / SAMPLE_RATE as f32).fract();
            let source = if syllable.0 > 0.5 {
                1.0 - 2.0 * phase + 0.05 * noise.next()
            } else if syllable.0 > -0.5 {
                0.4 * noise.next()
            } else {
                0.0
            };
            // A resonance at the formant.
            let f = 2.0 * (std::f32::consts::PI * syllable.2 / SAMPLE_RATE as f32).sin();
            low += f * band;
            band += f * (source - low - 0.25 * band);
            0.12 * swell * (band + 0.2 * source)
        })
        .collect()
}

/// What the microphone hears of the speaker: 60 ms later, half as loud, with 100 ms of reverberation.
pub fn echo(played: &[f32]) -> Vec<f32> {
    let mut noise = Noise(99);
    let rate = SAMPLE_RATE as usize;
    let taps: Vec<(usize, f32)> = std::iter::once((rate * 60 / 1000, 0.5))
        .chain((1..60).map(|n| {
            let delay = rate * 60 / 1000 + n * 79;
            (delay, 0.25 * noise.next() * (-(n as f32) / 15.0).exp())
        }))
        .collect();
    (0..played.len())
        .map(|at| {
            let echo: f32 = taps
                .iter()
                .filter_map(|(delay, gain)| at.checked_sub(*delay).map(|from| gain * played[from]))
                .sum();
            echo + 0.0005 * noise.next()
        })
        .collect()
}

/// How the sound gets from the speaker to the microphone.
pub struct Room {
    /// Seconds from the block that was told as played to the microphone, at this time of the test.
    pub delay: fn(f64) -> f64,
    /// How much faster the microphone's clock runs, in millionths.
    pub drift_ppm: f64,
    /// Whether the speaker plays at this time; while it stands still nothing is told and nothing sounds.
    pub plays: fn(f64) -> bool,
}

impl Room {
    pub const PLAIN: Self = Self { delay: |_| 0.06, drift_ppm: 0.0, plays: |_| true };
}

/// What the microphone heard, and what was sent of it.
pub struct Outcome {
    pub heard: Vec<f32>,
    pub sent: Vec<f32>,
    pub stats: EchoStats,
}

/// Plays `far` in the room, where `near` is said besides, and lets the processor hear it as the thread `aenc` does.
pub fn play(settings: VoiceSettings, room: &Room, far: &[f32], near: &[f32]) -> Outcome {
    let (told, played) = crossbeam_channel::bounded(PLAYED_BLOCKS);
    let mut processor = VoiceProcessor::new(settings);
    // What stood still is played later, as a queue does.
    let mut air = Vec::with_capacity(far.len());
    let mut blocks = far.as_chunks::<BLOCK>().0.iter();
    let mut tellings: Vec<(f64, Played)> = Vec::new();
    for n in 0..far.len() / BLOCK {
        let start = (n * BLOCK) as f64 / RATE as f64;
        if (room.plays)(start) {
            let block = blocks.next().unwrap();
            air.extend_from_slice(block);
            tellings.push((start + 0.01, *block));
        } else {
            air.extend_from_slice(&[0.0; BLOCK]);
        }
    }
    let wet = reverberated(&air);
    let mut tellings = tellings.into_iter().peekable();
    let mut noise = Noise(31);
    let clock = RATE as f64 * (1.0 + room.drift_ppm * 1e-6);
    let (mut heard, mut sent) = (Vec::new(), Vec::new());
    for n in 0..near.len() / BLOCK {
        let ends = ((n + 1) * BLOCK) as f64 / clock;
        while let Some((_, block)) = tellings.next_if(|(at, _)| *at <= ends) {
            let _ = told.try_send(block);
        }
        let mut block = [0.0; BLOCK];
        for (offset, sample) in block.iter_mut().enumerate() {
            let at = (n * BLOCK + offset) as f64 / clock;
            let echo = between(&wet, (at - (room.delay)(at)) * RATE as f64);
            *sample = echo + near[n * BLOCK + offset] + 0.0005 * noise.next();
        }
        let mut voice = [0.0; BLOCK];
        processor.hear(&block, &played, &mut voice);
        heard.extend_from_slice(&block);
        sent.extend_from_slice(&voice);
    }
    Outcome { heard, sent, stats: processor.echo() }
}

/// Half as loud, with 100 ms of reverberation.
fn reverberated(air: &[f32]) -> Vec<f32> {
    let mut noise = Noise(99);
    let taps: Vec<(usize, f32)> = std::iter::once((0, 0.5))
        .chain((1..60).map(|n| (n * 79, 0.25 * noise.next() * (-(n as f32) / 15.0).exp())))
        .collect();
    let at = |at: usize| {
        taps.iter().filter_map(|(delay, gain)| at.checked_sub(*delay).map(|from| gain * air[from])).sum()
    };
    (0..air.len()).map(at).collect()
}

/// The sound between two samples: a windowed sinc over sixteen of them.
fn between(sound: &[f32], place: f64) -> f32 {
    let (whole, part) = (place.floor() as i64, place - place.floor());
    (-7..=8)
        .map(|n: i64| {
            let Some(sample) = usize::try_from(whole + n).ok().and_then(|at| sound.get(at)) else {
                return 0.0;
            };
            let x = n as f64 - part;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) };
            let window = 0.5 + 0.5 * (PI * x / 8.5).cos();
            f64::from(*sample) * sinc * window
        })
        .sum::<f64>() as f32
}

pub fn decibels(pcm: &[f32]) -> f32 {
    10.0 * (pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len() as f32).max(1e-12).log10()
}
