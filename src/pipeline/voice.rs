//! What is done to our voice before it is encoded: the echo of the speaker is taken out, then noise; the gain is
//! set and rumble cut off. Sonora does it (a port of WebRTC's audio processing).
//!
//! Owned by the thread `aenc`, which hands it what the speaker really played and what the microphone heard.

use crate::codec::{BLOCK, SAMPLE_RATE};
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

/// What the user may switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceSettings {
    pub noise_suppression: bool,
    pub automatic_gain: bool,
}

pub struct VoiceProcessor {
    processing: AudioProcessing,
    settings: VoiceSettings,
    scratch: [f32; BLOCK],
}

impl VoiceProcessor {
    pub fn new(settings: VoiceSettings) -> Self {
        let stream = || StreamConfig::new(SAMPLE_RATE, 1);
        let processing = AudioProcessing::builder()
            .config(config(settings))
            .capture_config(stream())
            .render_config(stream())
            .build();
        Self { processing, settings, scratch: [0.0; BLOCK] }
    }

    pub fn apply(&mut self, settings: VoiceSettings) {
        if self.settings != settings {
            self.settings = settings;
            self.processing.apply_config(config(settings));
        }
    }

    /// 10 ms that the speaker plays, in order.
    pub fn handle_played(&mut self, block: &[f32; BLOCK]) {
        if let Err(error) = self.processing.process_render_f32(&[block], &mut [&mut self.scratch]) {
            tracing::debug!(?error, "the echo canceller refused a block of the speaker");
        }
    }

    /// 10 ms that the microphone heard; `voice` is what is left of it.
    pub fn process(&mut self, heard: &[f32; BLOCK], voice: &mut [f32; BLOCK]) {
        // The delay of the speaker is found from the sound itself.
        let delay = self.processing.set_stream_delay_ms(0);
        let result = self.processing.process_capture_f32(&[heard], &mut [voice]);
        if let Err(error) = delay.and(result) {
            tracing::debug!(?error, "the voice was not processed");
            voice.copy_from_slice(heard);
        }
    }
}

fn config(settings: VoiceSettings) -> Config {
    Config {
        // Nothing above 16 kHz carries speech, but a tone or music should pass unharmed.
        pipeline: Pipeline {
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: Some(EchoCanceller::default()),
        noise_suppression: settings
            .noise_suppression
            .then(|| NoiseSuppression { level: NoiseSuppressionLevel::High, ..NoiseSuppression::default() }),
        gain_controller2: settings.automatic_gain.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS_PER_SECOND: usize = SAMPLE_RATE as usize / BLOCK;

    struct Noise(u32);

    impl Noise {
        /// White, -1.0 to 1.0.
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    /// Something with the rhythm and the spectrum of speech: voiced syllables of changing pitch and vowel, hisses
    /// between them, pauses.
    fn speech(seconds: usize, pitch: f32, seed: u32) -> Vec<f32> {
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
    fn echo(played: &[f32]) -> Vec<f32> {
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

    fn run(settings: VoiceSettings, played: &[f32], heard: &[f32]) -> Vec<f32> {
        let mut processor = VoiceProcessor::new(settings);
        let mut sent = Vec::new();
        let (played, heard) = (played.as_chunks::<BLOCK>().0, heard.as_chunks::<BLOCK>().0);
        for (played, heard) in played.iter().zip(heard) {
            let mut block = [0.0; BLOCK];
            processor.handle_played(played);
            processor.process(heard, &mut block);
            sent.extend_from_slice(&block);
        }
        sent
    }

    fn decibels(pcm: &[f32]) -> f32 {
        10.0 * (pcm.iter().map(|x| x * x).sum::<f32>() / pcm.len() as f32).max(1e-12).log10()
    }

    const ALL_ON: VoiceSettings = VoiceSettings { noise_suppression: true, automatic_gain: true };
    const ALL_OFF: VoiceSettings = VoiceSettings { noise_suppression: false, automatic_gain: false };

    #[test]
    fn the_echo_of_the_speaker_is_gone_after_three_seconds() {
        let played = speech(10, 120.0, 1);
        let heard = echo(&played);
        for settings in [ALL_OFF, ALL_ON] {
            let sent = run(settings, &played, &heard);
            let after = 3 * BLOCKS_PER_SECOND * BLOCK;
            let less = decibels(&heard[after..]) - decibels(&sent[after..]);
            assert!(less >= 20.0, "{settings:?}: the echo is {less:.1} dB less");
        }
    }

    #[test]
    fn who_speaks_here_is_heard() {
        let voice = speech(8, 190.0, 2);
        let silence = vec![0.0; voice.len()];
        let sent = run(ALL_OFF, &silence, &voice);
        let after = 2 * BLOCKS_PER_SECOND * BLOCK;
        let change = decibels(&sent[after..]) - decibels(&voice[after..]);
        assert!(change.abs() < 2.0, "the voice comes out {change:.1} dB louder");
        let change = decibels(&run(ALL_ON, &silence, &voice)[after..]) - decibels(&voice[after..]);
        assert!((-6.0..20.0).contains(&change), "with everything on {change:.1} dB louder");
    }

    #[test]
    fn a_voice_gets_through_while_the_other_side_speaks() {
        let (played, voice) = (speech(12, 120.0, 1), speech(12, 190.0, 7));
        let start = 6 * BLOCKS_PER_SECOND * BLOCK;
        let mut heard = echo(&played);
        heard[start..].iter_mut().zip(&voice[start..]).for_each(|(sum, sample)| *sum += sample);
        let sent = run(ALL_OFF, &played, &heard);
        let change = decibels(&sent[start..]) - decibels(&voice[start..]);
        assert!(change > -12.0, "the voice comes out {change:.1} dB louder");
    }

    #[test]
    fn noise_is_suppressed_only_if_wanted() {
        let mut noise = Noise(5);
        let hiss: Vec<f32> = (0..6 * SAMPLE_RATE as usize).map(|_| 0.01 * noise.next()).collect();
        let silence = vec![0.0; hiss.len()];
        let after = 3 * BLOCKS_PER_SECOND * BLOCK;
        let less = |settings| decibels(&hiss[after..]) - decibels(&run(settings, &silence, &hiss)[after..]);
        let suppressed = less(VoiceSettings { noise_suppression: true, automatic_gain: false });
        assert!(suppressed > 8.0 && less(ALL_OFF) < 3.0, "{suppressed:.1} dB, {:.1} dB", less(ALL_OFF));
    }

    #[test]
    fn settings_change_while_it_runs() {
        let mut processor = VoiceProcessor::new(ALL_OFF);
        let mut voice = [0.0; BLOCK];
        for settings in [ALL_ON, ALL_OFF, ALL_ON] {
            processor.apply(settings);
            processor.handle_played(&[0.1; BLOCK]);
            processor.process(&[0.1; BLOCK], &mut voice);
            assert!(voice.iter().all(|sample| sample.is_finite()));
        }
    }
}
