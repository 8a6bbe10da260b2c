//! No click where sound begins, breaks off, ends or goes over to another device: the step that there would be is
//! taken up at first and given back within some milliseconds.
//!
//! ```text
//!   ~~~~\            /~~~~       what is there, and silence between
//!        \__________/            what is played: each seam is bridged
//! ```
//! For the callback of a speaker, which does not know what comes next, and for the first sound of a microphone.

/// Milliseconds over which a seam is spread.
const SEAM_MS: usize = 8;

/// Follows a stream of samples that may have holes.
#[derive(Debug)]
pub(super) struct Seam {
    /// Whether there was sound for the last sample, and what was played.
    present: bool,
    last: f32,
    /// The step at the last seam, and how many samples of bridging are left of `length`.
    step: f32,
    left: usize,
    length: usize,
}

impl Seam {
    pub fn new(rate: u32) -> Self {
        let length = (SEAM_MS * rate as usize / 1000).max(1);
        Self { present: false, last: 0.0, step: 0.0, left: 0, length }
    }

    /// What to play for the next sample; `None`: there is none, or nothing more should sound.
    pub fn next(&mut self, sample: Option<f32>) -> f32 {
        let target = sample.unwrap_or(0.0);
        if sample.is_some() != self.present {
            self.present = sample.is_some();
            (self.step, self.left) = (self.last - target, self.length);
        }
        self.left = self.left.saturating_sub(1);
        self.last = target + self.step * self.left as f32 / self.length as f32;
        self.last
    }

    /// Nothing sounds any more.
    pub fn is_silent(&self) -> bool {
        !self.present && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    /// A loud tone of 440 Hz at 48 kHz.
    fn tone(n: usize) -> f32 {
        0.9 * (TAU * 440.0 * n as f32 / 48_000.0).sin()
    }

    /// The largest step between two samples: what is heard as a click.
    fn steepest(sound: &[f32]) -> f32 {
        sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_that_breaks_off_and_comes_back_does_not_click() {
        let mut seam = Seam::new(48_000);
        // Holes at all phases of the tone, from two samples to 20 ms.
        let there = |n: usize| n % 3001 > [1, 60, 960][n / 3001 % 3];
        let sound: Vec<f32> = (0..48_000).map(|n| seam.next(there(n).then(|| tone(n)))).collect();
        let whole: Vec<f32> = (0..48_000).map(tone).collect();
        let bare: Vec<f32> = (0..48_000).map(|n| if there(n) { tone(n) } else { 0.0 }).collect();
        let (with, without, tone) = (steepest(&sound), steepest(&bare), steepest(&whole));
        println!("steepest step: {with:.3} bridged, {without:.3} bare, {tone:.3} of the tone itself");
        assert!(without > 10.0 * tone, "the test has holes that would click");
        assert!(with < 1.2 * tone, "{with:.3}");
    }

    #[test]
    fn both_ends_of_a_stream_are_soft() {
        let mut seam = Seam::new(48_000);
        // Begins and ends at a crest.
        let crest = 27;
        let mut sound = vec![0.0];
        sound.extend((0..4800).map(|n| seam.next(Some(tone(crest + n)))));
        while !seam.is_silent() {
            sound.push(seam.next(None));
        }
        assert_eq!(sound.len(), 4801 + 48 * SEAM_MS);
        assert_eq!(sound.last(), Some(&0.0));
        let whole: Vec<f32> = (0..4800).map(tone).collect();
        assert!(steepest(&sound) < 1.2 * steepest(&whole), "{}", steepest(&sound));
        assert!((sound[2000] - tone(crest + 1999)).abs() < 1e-6, "between the ends nothing changes");
    }
}
