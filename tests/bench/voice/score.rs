//! The measures: STOI and log-spectral distance, and what they need.

use std::f32::consts::PI;

/// Half the length of the low-pass filter, in samples of the slower rate.
const TAPS: f32 = 16.0;

/// Another sampling rate, by a windowed sinc: one filter for each place that a new sample can have between two old ones.
pub fn resample(signal: &[f32], from: u32, to: u32) -> Vec<f32> {
    let common =
        (1..=from.min(to)).rev().find(|n| from.is_multiple_of(*n) && to.is_multiple_of(*n)).unwrap_or(1);
    let (step, phases) = ((from / common) as usize, (to / common) as usize);
    let cutoff = f32::min(1.0, to as f32 / from as f32) * 0.95;
    let reach = (TAPS / cutoff).ceil() as usize;
    let weight = |x: f32| {
        let phase = PI * x * cutoff;
        let sinc = if phase.abs() < 1e-4 { 1.0 } else { phase.sin() / phase };
        sinc * cutoff * (0.5 + 0.5 * (PI * x / (reach + 1) as f32).cos())
    };
    let filters: Vec<Vec<f32>> = (0..phases)
        .map(|phase| {
            (0..=2 * reach).map(|k| weight(k as f32 - reach as f32 - phase as f32 / phases as f32)).collect()
        })
        .collect();
    let mut padded = vec![0.0; reach];
    padded.extend_from_slice(signal);
    padded.resize(signal.len() + 2 * reach + 1, 0.0);
    (0..signal.len() * phases / step)
        .map(|n| {
            let (whole, phase) = (n * step / phases, n * step % phases);
            padded[whole..].iter().zip(&filters[phase]).map(|(sample, weight)| sample * weight).sum()
        })
        .collect()
}

/// `heard`, moved to where it is most like `reference`: a codec delays by some milliseconds.
pub fn aligned(reference: &[f32], heard: &[f32]) -> Vec<f32> {
    const MAX_DELAY: usize = 960;
    const COMPARED: usize = 10 * 48_000;
    let likeness = |delay: usize| -> f32 {
        reference.iter().zip(&heard[delay..]).take(COMPARED).map(|(a, b)| a * b).sum()
    };
    let best = (0..MAX_DELAY).map(|delay| (delay, likeness(delay))).max_by(|a, b| a.1.total_cmp(&b.1));
    let mut moved = heard[best.map_or(0, |(delay, _)| delay)..].to_vec();
    moved.resize(reference.len(), 0.0);
    moved
}

/// Short-time objective intelligibility; both at 48 kHz and of the same length.
pub fn stoi(reference: &[f32], heard: &[f32]) -> f64 {
    const RATE: u32 = 10_000;
    const FRAME: usize = 256;
    const SPECTRUM: usize = 512;
    const BANDS: usize = 15;
    const LOWEST_HZ: f32 = 150.0;
    /// Frames that are compared together: 384 ms.
    const SEGMENT: usize = 30;
    /// Frames so much below the loudest are silence.
    const RANGE_DB: f32 = 40.0;
    // More distortion than -15 dB changes nothing.
    let clip = 1.0 + 10f64.powf(15.0 / 20.0);
    let (clean, noisy) = (resample(reference, 48_000, RATE), resample(heard, 48_000, RATE));
    let window: Vec<f32> =
        (1..=FRAME).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f32 / (FRAME + 1) as f32).cos()).collect();
    let frame = |signal: &[f32], at: usize| -> Vec<f32> {
        signal[at..at + FRAME].iter().zip(&window).map(|(sample, weight)| sample * weight).collect()
    };
    let places: Vec<usize> =
        (0..clean.len().min(noisy.len()).saturating_sub(FRAME)).step_by(FRAME / 2).collect();
    let loudness = |at: usize| 10.0 * frame(&clean, at).iter().map(|x| x * x).sum::<f32>().max(1e-12).log10();
    let loudest = places.iter().map(|at| loudness(*at)).fold(f32::MIN, f32::max);
    let spoken: Vec<usize> = places.into_iter().filter(|at| loudness(*at) > loudest - RANGE_DB).collect();
    let bands = |signal: &[f32]| -> Vec<[f64; BANDS]> {
        let bands_at = |at: &usize| {
            let mut padded = frame(signal, *at);
            padded.resize(SPECTRUM, 0.0);
            let power = power_spectrum(&padded);
            std::array::from_fn(|band| {
                let centre = LOWEST_HZ * 2f32.powf(band as f32 / 3.0);
                let bin = |hz: f32| (hz * SPECTRUM as f32 / RATE as f32).round() as usize;
                let (low, high) = (bin(centre * 2f32.powf(-1.0 / 6.0)), bin(centre * 2f32.powf(1.0 / 6.0)));
                f64::from(power[low..high].iter().sum::<f32>()).sqrt()
            })
        };
        spoken.iter().map(bands_at).collect()
    };
    let (clean, noisy) = (bands(&clean), bands(&noisy));
    let (mut sum, mut count) = (0.0, 0u32);
    for end in SEGMENT..=clean.len() {
        for band in 0..BANDS {
            let of = |frames: &[[f64; BANDS]]| -> Vec<f64> {
                frames[end - SEGMENT..end].iter().map(|bands| bands[band]).collect()
            };
            let (x, mut y) = (of(&clean), of(&noisy));
            let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
            let scale = norm(&x) / norm(&y).max(1e-12);
            y.iter_mut().zip(&x).for_each(|(y, x)| *y = (*y * scale).min(x * clip));
            sum += correlation(&x, &y);
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let (mut product, mut first, mut second) = (0.0, 1e-20, 1e-20);
    for (a, b) in x.iter().zip(y) {
        product += (a - mx) * (b - my);
        first += (a - mx).powi(2);
        second += (b - my).powi(2);
    }
    product / f64::sqrt(first * second)
}

/// Mean over the spoken frames of 32 ms, up to 8 kHz; both at 48 kHz and of the same length.
pub fn log_spectral_distance(reference: &[f32], heard: &[f32]) -> f64 {
    const FRAME: usize = 512;
    /// What lies so far below the loudest frame or its loudest bin is not heard.
    const RANGE_DB: f64 = 50.0;
    let (clean, noisy) = (resample(reference, 48_000, 16_000), resample(heard, 48_000, 16_000));
    let spectra = |signal: &[f32]| -> Vec<Vec<f32>> {
        let windowed = |frame: &[f32]| -> Vec<f32> {
            let weight = |n: usize| 0.5 - 0.5 * (2.0 * PI * n as f32 / FRAME as f32).cos();
            frame.iter().enumerate().map(|(n, sample)| sample * weight(n)).collect()
        };
        signal.windows(FRAME).step_by(FRAME / 2).map(|frame| power_spectrum(&windowed(frame))).collect()
    };
    let (clean, noisy) = (spectra(&clean), spectra(&noisy));
    let loudest = clean.iter().flatten().fold(0.0f32, |loudest, power| loudest.max(*power));
    let floor = loudest * 10f32.powf(-RANGE_DB as f32 / 10.0);
    let db = |power: f32| 10.0 * f64::from(power.max(floor)).log10();
    let distances: Vec<f64> = clean
        .iter()
        .zip(&noisy)
        .filter(|(clean, _)| clean.iter().any(|power| *power > floor * 10.0))
        .map(|(clean, noisy)| {
            let squares: f64 = clean.iter().zip(noisy).map(|(a, b)| (db(*a) - db(*b)).powi(2)).sum();
            (squares / clean.len() as f64).sqrt()
        })
        .collect();
    distances.iter().sum::<f64>() / distances.len().max(1) as f64
}

/// Of a power of two real samples: bins from 0 to the middle.
fn power_spectrum(signal: &[f32]) -> Vec<f32> {
    let mut values: Vec<(f32, f32)> = signal.iter().map(|x| (*x, 0.0)).collect();
    transform(&mut values);
    values[..=signal.len() / 2].iter().map(|(re, im)| re * re + im * im).collect()
}

/// The fast Fourier transform (J. Cooley, J. Tukey, 1965).
fn transform(values: &mut [(f32, f32)]) {
    let length = values.len();
    if length < 2 {
        return;
    }
    let mut even: Vec<_> = values.iter().copied().step_by(2).collect();
    let mut odd: Vec<_> = values.iter().copied().skip(1).step_by(2).collect();
    transform(&mut even);
    transform(&mut odd);
    for n in 0..length / 2 {
        let (sin, cos) = (-2.0 * PI * n as f32 / length as f32).sin_cos();
        let turned = (odd[n].0 * cos - odd[n].1 * sin, odd[n].0 * sin + odd[n].1 * cos);
        values[n] = (even[n].0 + turned.0, even[n].1 + turned.1);
        values[n + length / 2] = (even[n].0 - turned.0, even[n].1 - turned.1);
    }
}
