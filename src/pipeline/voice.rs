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
