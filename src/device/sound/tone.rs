//! The `tone` microphone: 440 Hz, on for 0.7 s of every second, so that nothing takes it for noise.

use super::paced::Generator;
use crate::codec::SAMPLE_RATE;
use crate::device::DeviceError;
use std::f64::consts::TAU;

pub(super) const HZ: f64 = 440.0;
const AMPLITUDE: f64 = 0.3;
const PERIOD: u64 = SAMPLE_RATE as u64;
const ON: u64 = PERIOD * 7 / 10;
/// The tone swells and fades for this long, so that it does not click.
const RAMP: u64 = SAMPLE_RATE as u64 / 100;

#[derive(Default)]
pub(super) struct Tone {
    position: u64,
}

impl Generator for Tone {
    fn fill(&mut self, block: &mut [f32]) -> Result<(), DeviceError> {
        for sample in block {
            // 440 periods fit exactly into a second, so the phase may start anew with each.
            let at = self.position % PERIOD;
            let edge = at.min(ON.saturating_sub(at)).min(RAMP) as f64 / RAMP as f64;
            *sample = (AMPLITUDE * edge * (TAU * HZ * at as f64 / PERIOD as f64).sin()) as f32;
            self.position += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The amplitude of one frequency.
    fn amplitude(samples: &[f32], hz: f64) -> f64 {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / f64::from(SAMPLE_RATE);
            real += f64::from(*sample) * angle.cos();
            imaginary += f64::from(*sample) * angle.sin();
        }
        2.0 * real.hypot(imaginary) / samples.len() as f64
    }

    #[test]
    fn it_is_a_clean_sine_that_beeps() {
        let mut tone = Tone::default();
        let mut samples = vec![0.0; 2 * SAMPLE_RATE as usize];
        samples.chunks_mut(480).for_each(|block| tone.fill(block).unwrap());
        let second = &samples[SAMPLE_RATE as usize..];
        let on = &second[4800..28_800];
        assert!((amplitude(on, HZ) - AMPLITUDE).abs() < 0.001);
        for harmonic in 2..6 {
            assert!(amplitude(on, HZ * f64::from(harmonic)) < 1e-4);
        }
        assert!(second[ON as usize..].iter().all(|sample| *sample == 0.0));
        let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.02, "a click of {steepest}");
    }
}
