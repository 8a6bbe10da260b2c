//! The soft end of one microphone's sound where another one takes over.

/// What happens to the next blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fade {
    /// They pass.
    #[default]
    Open,
    /// The next one goes down to nothing.
    Closing,
    /// Nothing is heard.
    Closed,
}

impl Fade {
    pub fn apply(&mut self, block: &mut [f32]) {
        match self {
            Self::Open => {}
            Self::Closing => {
                let length = block.len() as f32;
                block.iter_mut().enumerate().for_each(|(n, sample)| *sample *= 1.0 - (n + 1) as f32 / length);
                *self = Self::Closed;
            }
            Self::Closed => block.fill(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::BLOCK;

    #[test]
    fn the_last_block_goes_down_without_a_step() {
        let tone = |n: usize| 0.9 * (std::f32::consts::TAU * 440.0 * n as f32 / 48_000.0).sin();
        let mut fade = Fade::default();
        let mut sound = Vec::new();
        for n in 0..4 {
            let mut block: Vec<f32> = (n * BLOCK..(n + 1) * BLOCK).map(tone).collect();
            if n == 2 {
                fade = Fade::Closing;
            }
            fade.apply(&mut block);
            sound.extend(block);
        }
        assert_eq!(sound[BLOCK], tone(BLOCK));
        assert!(sound[3 * BLOCK - 1..].iter().all(|sample| *sample == 0.0));
        let steepest = sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.2 * tone(1), "a step of {steepest}");
    }
}
