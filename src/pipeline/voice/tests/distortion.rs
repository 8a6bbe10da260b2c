//! How far one recording of a voice is from another, sample by sample and by ear.

use super::room::RATE;
use std::f32::consts::TAU;

/// 20 ms, half overlapping.
const FRAME: usize = RATE / 50;
const BANDS: usize = 24;
/// Frames of the reference that are quieter than the loudest by more than this are pauses.
const ACTIVE_DB: f32 = 35.0;

#[derive(Clone, Copy, Debug)]
pub struct Distortion {
    /// Mean over the frames with speech of signal to error, each within -10 and 35 dB (segmental SNR; Deller,
    /// Hansen, Proakis, "Discrete-Time Processing of Speech Signals", 9.2).
    pub segmental_snr_db: f32,
    /// Mean over these frames of the root mean square difference of the spectra in decibels (log-spectral distance).
    pub log_spectral_db: f32,
    /// Share of these frames in which more than 10 dB of the voice are missing.
    pub lost: f32,
}

impl std::fmt::Display for Distortion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { segmental_snr_db, log_spectral_db, lost } = self;
        write!(
            f,
            "segmental SNR {segmental_snr_db:.1} dB, log-spectral distance {log_spectral_db:.1} dB, {:.0} % of the \
             frames lost",
            lost * 100.0
        )
    }
}

pub fn measure(reference: &[f32], sound: &[f32]) -> Distortion {
    let frames = || (0..reference.len().min(sound.len()) - FRAME).step_by(FRAME / 2);
    let power = |pcm: &[f32]| pcm.iter().map(|x| x * x).sum::<f32>() / FRAME as f32 + 1e-10;
    let db = |ratio: f32| 10.0 * ratio.log10();
    let loudest = frames().map(|at| power(&reference[at..at + FRAME])).fold(0.0, f32::max);
    let (mut snr, mut distance, mut lost, mut count) = (0.0, 0.0, 0.0, 0.0f32);
    for at in frames() {
        let (clean, dirty) = (&reference[at..at + FRAME], &sound[at..at + FRAME]);
        if db(loudest / power(clean)) > ACTIVE_DB {
            continue;
        }
        let error: Vec<f32> = clean.iter().zip(dirty).map(|(a, b)| a - b).collect();
        snr += db(power(clean) / power(&error)).clamp(-10.0, 35.0);
        let squares = bands(clean).into_iter().zip(bands(dirty)).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        distance += (squares / BANDS as f32).sqrt();
        lost += f32::from(db(power(clean) / power(dirty)) > 10.0);
        count += 1.0;
    }
    assert!(count > 100.0, "there is too little speech");
    Distortion { segmental_snr_db: snr / count, log_spectral_db: distance / count, lost: lost / count }
}

/// Decibels at 24 frequencies from 100 Hz to 8 kHz, evenly spaced to the ear; what is 60 dB under full scale in a
/// band counts as silence.
fn bands(frame: &[f32]) -> [f32; BANDS] {
    std::array::from_fn(|band| {
        let hz = 100.0 * 80f32.powf(band as f32 / (BANDS - 1) as f32);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in frame.iter().enumerate() {
            let window = 0.5 - 0.5 * (TAU * n as f32 / FRAME as f32).cos();
            let (sin, cos) = (TAU * hz * n as f32 / RATE as f32).sin_cos();
            (re, im) = (re + window * sample * cos, im + window * sample * sin);
        }
        10.0 * ((re * re + im * im) / (FRAME * FRAME) as f32).max(1e-7).log10()
    })
}
