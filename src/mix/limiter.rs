//! Keeps a mix within full scale without bending it: where several voices are too loud together, all of it is turned down
//! for a moment, rather than its peaks cut off.
//!
//! What stays within full scale passes to the bit. The gain is found for each millisecond, looks one millisecond ahead
//! within a block, moves along straight lines, stays down for [`HOLD`] and comes back within a fifth of a second. Only
//! in the first millisecond of a block, where nobody could look ahead, may a peak be cut off.

use crate::rtp::VOICE_BLOCK;

/// A millisecond.
const STEP: usize = VOICE_BLOCK / STEPS;
const STEPS: usize = 10;
/// No sample is larger afterwards.
const CEILING: f32 = 1.0;
/// Steps for which the gain stays where it is: the longest wave of a voice (50 Hz) comes by within them.
const HOLD: u32 = 20;
/// What the gain gains with each step afterwards.
const RELEASE: f32 = 0.005;

/// One for each mix.
#[derive(Clone, Debug)]
pub struct Limiter {
    gain: f32,
    /// Steps since the gain was last needed.
    rested: u32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, rested: 0 }
    }
}

impl Limiter {
    pub fn apply(&mut self, block: &mut [f32; VOICE_BLOCK]) {
        let mut bearable = [1.0_f32; STEPS];
        for (gain, step) in bearable.iter_mut().zip(block.chunks_exact(STEP)) {
            let peak = step.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            *gain = if peak > CEILING { CEILING / peak } else { 1.0 };
        }
        if self.gain >= 1.0 && bearable.iter().all(|gain| *gain >= 1.0) {
            return;
        }
        for (index, step) in block.chunks_exact_mut(STEP).enumerate() {
            let next = bearable.get(index + 1).copied().unwrap_or(1.0);
            let target = self.target(bearable[index].min(next));
            let slope = (target - self.gain) / STEP as f32;
            for (n, sample) in step.iter_mut().enumerate() {
                let gain = self.gain + slope * (n + 1) as f32;
                *sample = (*sample * gain).clamp(-CEILING, CEILING);
            }
            self.gain = target;
        }
    }

    /// The gain at the end of a step in which `bearable` is the highest.
    fn target(&mut self, bearable: f32) -> f32 {
        if bearable <= self.gain {
            self.rested = 0;
            return bearable;
        }
        self.rested += 1;
        if self.rested <= HOLD { self.gain } else { (self.gain + RELEASE).min(bearable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, amplitude: f32, n: usize) -> f32 {
        amplitude * (std::f32::consts::TAU * hz * n as f32 / 48_000.0).sin()
    }

    fn limited(blocks: usize, sound: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut limiter = Limiter::default();
        (0..blocks)
            .flat_map(|number| {
                let mut block = std::array::from_fn(|n| sound(number * VOICE_BLOCK + n));
                limiter.apply(&mut block);
                block
            })
            .collect()
    }

    /// What is left of `sound` when the two tones are taken out of it, as a share of the whole.
    fn distortion(sound: &[f32], tones: [f32; 2]) -> f32 {
        let mut rest: Vec<f64> = sound.iter().map(|sample| f64::from(*sample)).collect();
        let energy = |sound: &[f64]| sound.iter().map(|sample| sample * sample).sum::<f64>();
        let whole = energy(&rest);
        for hz in tones {
            for phase in [0.0, std::f64::consts::FRAC_PI_2] {
                let wave =
                    |n: usize| (std::f64::consts::TAU * f64::from(hz) * n as f64 / 48_000.0 + phase).sin();
                let share = rest.iter().enumerate().map(|(n, sample)| sample * wave(n)).sum::<f64>() * 2.0
                    / rest.len() as f64;
                rest.iter_mut().enumerate().for_each(|(n, sample)| *sample -= share * wave(n));
            }
        }
        (energy(&rest) / whole).sqrt() as f32
    }

    #[test]
    fn what_fits_passes_to_the_bit() {
        let sound = |n| tone(440.0, 0.5, n) + tone(150.0, 0.499, n);
        let out = limited(20, sound);
        assert!(out.iter().enumerate().all(|(n, sample)| sample.to_bits() == sound(n).to_bits()));
        let full = limited(20, |n| if n % 2 == 0 { 1.0 } else { -1.0 });
        assert!(full.iter().all(|sample| sample.abs() == 1.0));
    }

    #[test]
    fn two_loud_voices_are_turned_down_and_not_bent() {
        let out = limited(200, |n| tone(500.0, 0.9, n) + tone(200.0, 0.9, n));
        assert!(out.iter().all(|sample| sample.abs() <= 1.0));
        let settled = &out[48_000..];
        let bent = distortion(settled, [500.0, 200.0]);
        assert!(bent < 0.01, "{bent}");
        // Cut off instead: over 10 %.
        let cut: Vec<_> =
            (48_000..96_000).map(|n| (tone(500.0, 0.9, n) + tone(200.0, 0.9, n)).clamp(-1.0, 1.0)).collect();
        assert!(distortion(&cut, [500.0, 200.0]) > 0.1);
    }

    #[test]
    fn it_comes_back_to_the_bit_and_without_a_step() {
        let loudness = |n: usize| if (9_600..19_200).contains(&n) { 1.8 } else { 0.6 };
        let out = limited(100, |n| tone(300.0, loudness(n), n));
        let back = 19_200 + 48 * 20 + 48 * 200;
        assert!((back..48_000).all(|n| out[n].to_bits() == tone(300.0, 0.6, n).to_bits()));
        let steepest = |sound: &[f32]| sound.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        let loud: Vec<_> = (0..48_000).map(|n| tone(300.0, loudness(n), n)).collect();
        assert!(steepest(&out) <= steepest(&loud), "{}", steepest(&out));
    }

    #[test]
    fn nonsense_stays_within_full_scale() {
        let out = limited(4, |n| if n % 7 == 0 { 400.0 } else { -0.2 });
        assert!(out.iter().all(|sample| sample.abs() <= 1.0));
    }
}
