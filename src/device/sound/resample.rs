//! Changes the sampling rate of mono sound, in whatever portions it comes.
//!
//! Used on the media threads, between the rings and the 48 kHz of the program; never in a device callback.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use std::collections::VecDeque;

/// Samples of input that are worked on at a time: 5 ms at 48 kHz. Small, for the delay.
const CHUNK: usize = 240;

pub(super) struct Resampler {
    /// `None` where nothing has to be changed.
    fft: Option<Fft<f32>>,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Input for each sample of output.
    ratio: f64,
}

impl Resampler {
    /// `None` if the rates make no sense.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        let plausible = 4_000..=768_000;
        if !plausible.contains(&from_hz) || !plausible.contains(&to_hz) {
            return None;
        }
        let fft = match from_hz == to_hz {
            true => None,
            false => {
                let (from, to, window) = (from_hz as usize, to_hz as usize, WindowFunction::BlackmanHarris2);
                Some(Fft::new_custom(from, to, CHUNK, 1, 1, window, FixedSync::Both).ok()?)
            }
        };
        let output = vec![0.0; fft.as_ref().map_or(0, |fft| fft.output_frames_max())];
        Some(Self { fft, input: Vec::new(), output, ratio: f64::from(from_hz) / f64::from(to_hz) })
    }

    /// Takes samples of the old rate and appends what there is of the new one.
    pub fn push(&mut self, samples: impl Iterator<Item = f32>, to: &mut VecDeque<f32>) {
        let Some(fft) = &mut self.fft else { return to.extend(samples) };
        self.input.extend(samples);
        let needed = fft.input_frames_next();
        let mut used = 0;
        while self.input.len() - used >= needed {
            let frames = self.output.len();
            let input = SequentialSlice::new(&self.input[used..used + needed], 1, needed);
            let output = SequentialSlice::new_mut(&mut self.output, 1, frames);
            if let (Ok(input), Ok(mut output)) = (input, output)
                && let Ok((_, written)) = fft.process_into_buffer(&input, &mut output, None)
            {
                to.extend(&self.output[..written]);
            }
            used += needed;
        }
        self.input.drain(..used);
    }

    /// How many samples of the old rate it takes until `missing` more of the new one are there, about.
    pub fn input_for(&self, missing: usize) -> usize {
        let chunk = self.fft.as_ref().map_or(1, |fft| fft.input_frames_next());
        let wanted = (missing as f64 * self.ratio).ceil() as usize;
        (wanted.div_ceil(chunk) * chunk).saturating_sub(self.input.len()).max(1)
    }

    /// How much sound of the old rate is in it that has not come out yet, in samples of the old rate.
    pub fn held(&self) -> f64 {
        let delay = self.fft.as_ref().map_or(0, |fft| fft.output_delay());
        self.input.len() as f64 + delay as f64 * self.ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn sine(hz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let samples = (f64::from(rate) * seconds) as usize;
        (0..samples).map(|n| (TAU * hz * n as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_loudness() {
        for (from, to) in
            [(44_100, 48_000), (16_000, 48_000), (48_000, 44_100), (48_000, 48_000), (96_000, 48_000)]
        {
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut out = VecDeque::new();
            for portion in sine(440.0, from, 1.0).chunks(331) {
                resampler.push(portion.iter().copied(), &mut out);
            }
            let length = out.len() as f64 / f64::from(to);
            assert!((0.97..=1.0).contains(&length), "{from} to {to}: {length} s");
            let delay = resampler.fft.as_ref().map_or(0, |fft| fft.output_delay());
            let expected = sine(440.0, to, 1.0);
            let worst = out
                .iter()
                .skip(delay + 2000)
                .zip(&expected[2000..])
                .map(|(out, expected)| (out - expected).abs())
                .fold(0.0, f32::max);
            assert!(worst < 0.01, "{from} to {to}: off by {worst}");
        }
    }

    #[test]
    fn odd_rates_work_and_senseless_ones_are_refused() {
        assert!(Resampler::new(11_025, 48_000).is_some() && Resampler::new(47_999, 48_000).is_some());
        assert!(Resampler::new(0, 48_000).is_none() && Resampler::new(48_000, u32::MAX).is_none());
    }
}
