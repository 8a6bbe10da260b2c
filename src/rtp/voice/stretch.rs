//! Makes speech shorter or longer by one or more periods of the voice, so that its pitch stays: waveform
//! similarity overlap-add (W. Verhelst, M. Roelands, "An overlap-add technique based on waveform similarity", ICASSP
//! 1993; lag range and thresholds as in libwebrtc `modules/audio_coding/neteq/time_stretch.cc`). 48 kHz mono.

/// Periods that are looked for: 2.5 to 15 ms.
const MIN_LAG: usize = 120;
pub(super) const MAX_LAG: usize = 720;
/// Length of what is compared, and the longest cross-fade: 10 ms.
const COMPARED: usize = 480;
/// The coarse search runs on every eighth sample.
const COARSE: usize = 8;
/// Speech that is more like itself than this can be cut without being heard.
pub(super) const ALIKE: f32 = 0.85;
/// Good enough when there is far too much sound waiting.
pub(super) const ROUGHLY_ALIKE: f32 = 0.4;
/// Under this power (-60 dBFS) nothing is heard in any case.
const SILENCE: f32 = 1e-6;

/// Sound needed after the place where it is shortened.
pub(super) const NEEDED_TO_SHORTEN: usize = MAX_LAG + COMPARED;
/// Sound needed before and after the place where it is lengthened.
pub(super) const NEEDED_BEFORE: usize = MAX_LAG;
pub(super) const NEEDED_AFTER: usize = COMPARED;

/// Takes out one lag at `at`. How many samples went; `None` if the sound is not alike enough or too short.
pub(super) fn shorten(signal: &mut Vec<f32>, at: usize, threshold: f32) -> Option<usize> {
    if signal.len() < at + NEEDED_TO_SHORTEN {
        return None;
    }
    let lag = find_lag(signal, threshold, |lag| (at, at + lag))?;
    let fade = lag.min(COMPARED);
    for n in 0..fade {
        signal[at + n] = cross_fade(signal[at + n], signal[at + lag + n], n, fade);
    }
    signal.drain(at + fade..at + fade + lag);
    Some(lag)
}

/// Repeats one lag at `at`. How many samples were added.
pub(super) fn lengthen(signal: &mut Vec<f32>, at: usize, threshold: f32) -> Option<usize> {
    if at < NEEDED_BEFORE || signal.len() < at + NEEDED_AFTER {
        return None;
    }
    let lag = find_lag(signal, threshold, |lag| (at - lag, at))?;
    let fade = lag.min(COMPARED);
    let tail = signal[at - lag + fade..].to_vec();
    for n in 0..fade {
        signal[at + n] = cross_fade(signal[at + n], signal[at - lag + n], n, fade);
    }
    signal.truncate(at + fade);
    signal.extend_from_slice(&tail);
    Some(lag)
}

fn cross_fade(from: f32, to: f32, n: usize, length: usize) -> f32 {
    let share = (n as f32 + 0.5) / length as f32;
    from + (to - from) * share
}

/// The lag at which the two places that `places` gives sound most alike.
fn find_lag(signal: &[f32], threshold: f32, places: impl Fn(usize) -> (usize, usize)) -> Option<usize> {
    let likeness = |lag: usize, step: usize| {
        let (one, other) = places(lag);
        alike(&signal[one..one + COMPARED], &signal[other..other + COMPARED], step)
    };
    let (one, other) = places(MAX_LAG);
    let power =
        |from: usize| signal[from..from + COMPARED].iter().map(|x| x * x).sum::<f32>() / COMPARED as f32;
    if power(one).max(power(other)) < SILENCE {
        return Some(MAX_LAG);
    }
    let best = |lags: &mut dyn Iterator<Item = usize>, step: usize| {
        lags.map(|lag| (lag, likeness(lag, step))).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (coarse, _) = best(&mut (MIN_LAG..=MAX_LAG).step_by(COARSE), COARSE / 2)?;
    let mut near = coarse.saturating_sub(COARSE).max(MIN_LAG)..=(coarse + COARSE).min(MAX_LAG);
    let (lag, likeness) = best(&mut near, 1)?;
    (likeness > threshold).then_some(lag)
}

/// Normalized correlation, -1 to 1.
fn alike(one: &[f32], other: &[f32], step: usize) -> f32 {
    let (mut product, mut first, mut second) = (0.0f32, 1e-9f32, 1e-9f32);
    for (a, b) in one.iter().zip(other).step_by(step) {
        product += a * b;
        first += a * a;
        second += b * b;
    }
    product / (first * second).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    /// A voice-like sound: 140 Hz with overtones.
    fn voice(samples: usize) -> Vec<f32> {
        let tone = |n: usize, hz: f32| (TAU * hz * n as f32 / 48_000.0).sin();
        (0..samples).map(|n| 0.3 * tone(n, 140.0) + 0.15 * tone(n, 280.0) + 0.1 * tone(n, 700.0)).collect()
    }
    fn rising_zeros(signal: &[f32]) -> usize {
        signal.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count()
    }
    fn largest_step(signal: &[f32]) -> f32 {
        signal.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn both_ways_keep_pitch_and_smoothness() {
        let original = voice(9_600);
        let step = largest_step(&original);
        type Change = fn(&mut Vec<f32>, usize, f32) -> Option<usize>;
        for (change, sign) in [(shorten as Change, -1i64), (lengthen as Change, 1)] {
            let mut signal = original.clone();
            let lag = change(&mut signal, 4_800, ALIKE).unwrap();
            assert_eq!(signal.len() as i64, 9_600 + sign * lag as i64);
            assert!(largest_step(&signal) < step * 1.1);
            let hz = |signal: &[f32]| rising_zeros(signal) as f32 * 48_000.0 / signal.len() as f32;
            assert!((hz(&signal) / hz(&original) - 1.0).abs() < 0.03);
            assert_eq!(&signal[..4_800], &original[..4_800]);
            assert_eq!(signal.last(), original.last());
        }
    }

    #[test]
    fn noise_is_left_alone_unless_there_is_need_and_silence_is_cut_at_once() {
        let mut seed = 1u32;
        let noise: Vec<f32> = std::iter::from_fn(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((seed >> 8) as f32 / 16_777_216.0 - 0.5)
        })
        .take(4_800)
        .collect();
        assert_eq!(shorten(&mut noise.clone(), 1_000, ALIKE), None);
        assert_eq!(lengthen(&mut noise.clone(), 1_000, ALIKE), None);
        assert_eq!(shorten(&mut vec![0.0; 4_800], 1_000, ALIKE), Some(MAX_LAG));
        assert_eq!(lengthen(&mut vec![0.0; 4_800], 1_000, ALIKE), Some(MAX_LAG));
    }

    #[test]
    fn too_little_sound_is_left_alone() {
        let mut signal = voice(2_000);
        assert_eq!(shorten(&mut signal, 2_000 - NEEDED_TO_SHORTEN + 1, ALIKE), None);
        assert_eq!(lengthen(&mut signal, NEEDED_BEFORE - 1, ALIKE), None);
        assert_eq!(lengthen(&mut signal, 2_000 - NEEDED_AFTER + 1, ALIKE), None);
        assert!(shorten(&mut signal, 2_000 - NEEDED_TO_SHORTEN, ALIKE).is_some());
    }
}
