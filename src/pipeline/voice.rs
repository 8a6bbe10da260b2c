//! What is done to our voice before it is encoded: the echo of the speaker is taken out, then noise; the gain is
//! set and rumble cut off. Sonora does it (a port of WebRTC's audio processing).
//!
//! Owned by the thread `aenc`, which hands it what the speaker really played and what the microphone heard. Both run
//! on clocks of their own, and the way from one to the other changes: [`Pairing`] keeps the blocks in step, the
//! canceller finds the delay and its changes from the sound itself.

use super::pairing::Pairing;
use super::send_audio::Played;
use crate::codec::{BLOCK, SAMPLE_RATE};
use crate::settings::NoiseSuppression;
use crossbeam_channel::Receiver;
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate,
    NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

/// The canceller's estimate of the loss starts at -30 dB and rises with the first echo (`erl_estimator.rs`).
const NO_ECHO_YET_DB: f64 = -29.9;

/// What the user may switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceSettings {
    pub noise_suppression: NoiseSuppression,
    pub automatic_gain: bool,
}

pub struct VoiceProcessor {
    processing: AudioProcessing,
    pairing: Pairing,
    settings: VoiceSettings,
    scratch: [f32; BLOCK],
}

/// What the canceller says about the echo, in decibels, with the names of W3C. `None` until it has heard some.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EchoStats {
    /// How much quieter than what is played its echo reaches the microphone.
    pub return_loss: Option<f64>,
    /// How much more its filter takes off.
    pub return_loss_enhancement: Option<f64>,
}

impl VoiceProcessor {
    pub fn new(settings: VoiceSettings) -> Self {
        let stream = || StreamConfig::new(SAMPLE_RATE, 1);
        let processing = AudioProcessing::builder()
            .config(config(settings))
            .capture_config(stream())
            .render_config(stream())
            .build();
        Self { processing, pairing: Pairing::default(), settings, scratch: [0.0; BLOCK] }
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

    /// 10 ms that the microphone heard, after what was `played` before it; `voice` is what is left.
    pub fn hear(&mut self, heard: &[f32; BLOCK], played: &Receiver<Played>, voice: &mut [f32; BLOCK]) {
        for played in played.try_iter().take(self.pairing.take(played.len())) {
            self.handle_played(&played);
        }
        self.process(heard, voice);
    }

    pub fn echo(&self) -> EchoStats {
        let stats = self.processing.statistics();
        let known = |loss: &f64| loss.is_finite() && *loss > NO_ECHO_YET_DB;
        match stats.echo_return_loss.filter(known) {
            None => EchoStats::default(),
            return_loss => EchoStats {
                return_loss,
                return_loss_enhancement: stats.echo_return_loss_enhancement.filter(|gain| gain.is_finite()),
            },
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
        noise_suppression: suppression(settings.noise_suppression),
        gain_controller2: settings.automatic_gain.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

fn suppression(wanted: NoiseSuppression) -> Option<sonora::config::NoiseSuppression> {
    let level = match wanted {
        NoiseSuppression::Off => return None,
        NoiseSuppression::Low => NoiseSuppressionLevel::Low,
        NoiseSuppression::High => NoiseSuppressionLevel::High,
    };
    Some(sonora::config::NoiseSuppression { level, ..Default::default() })
}

#[cfg(test)]
mod tests;
