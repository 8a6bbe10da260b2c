//! One peer's voice on its way to the speaker: RTP packets to ten milliseconds of sound.
//!
//! The thread `mix` pulls; the owner reads level and statistics. All of it takes microseconds, so both may wait
//! for the other's lock.

use super::meter::{Level, rms};
use super::sync::PeerSync;
use crate::codec::opus::OpusDecoder;
use crate::codec::{AudioDecoder, BLOCK, CodecError};
use crate::frame::RtpPacket;
use crate::rtp::{UndecodableVoice, VoiceDecoder, VoicePlayout};
use crate::stats::InboundAudio;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Packets between the network and the thread: two seconds. One that finds no room is lost, which the jitter
/// buffer makes up for.
pub(super) const PACKETS: usize = 100;

pub(super) struct VoiceIn {
    packets: Receiver<RtpPacket>,
    sync: Arc<PeerSync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    playout: VoicePlayout,
    decoder: Decoder,
    level: Level,
    shown: f32,
    /// As W3C has it: linear.
    rms: f32,
    volume: Volume,
}

/// How loud somebody is played. A step is spread over a block, so that nothing clicks.
struct Volume {
    wanted: f32,
    applied: f32,
}

impl Default for Volume {
    fn default() -> Self {
        Self { wanted: 1.0, applied: 1.0 }
    }
}

impl Volume {
    /// 6 dB more: beyond, only the noise is louder.
    const MOST: f32 = 2.0;

    fn set(&mut self, volume: f32) {
        self.wanted = if volume.is_finite() { volume.clamp(0.0, Self::MOST) } else { 1.0 };
    }

    fn apply(&mut self, block: &mut [f32; BLOCK]) {
        let step = (self.wanted - self.applied) / BLOCK as f32;
        if step == 0.0 && self.wanted == 1.0 {
            return;
        }
        for (index, sample) in block.iter_mut().enumerate() {
            *sample *= self.applied + step * (index + 1) as f32;
        }
        self.applied = self.wanted;
    }
}

impl VoiceIn {
    pub fn new(packets: Receiver<RtpPacket>, sync: Arc<PeerSync>) -> Self {
        Self { packets, sync, state: Mutex::default() }
    }

    /// As a meter shows it.
    pub fn level(&self) -> f32 {
        self.lock().shown
    }

    /// 0.0: not heard, 1.0: as it comes. Level and statistics stay those of the voice.
    pub fn set_volume(&self, volume: f32) {
        self.lock().volume.set(volume);
    }

    pub fn stats(&self, into: &mut InboundAudio) {
        let state = self.lock();
        let counters = state.playout.counters();
        into.codec = "opus".into();
        into.audio_level = f64::from(state.rms);
        into.packets_discarded = counters.packets_discarded;
        into.fec_packets_received = counters.fec_packets_received;
        into.fec_packets_discarded = counters.fec_packets_discarded;
        into.jitter_buffer_delay = counters.jitter_buffer_delay;
        into.jitter_buffer_target_delay = counters.jitter_buffer_target_delay;
        into.jitter_buffer_emitted_count = counters.jitter_buffer_emitted_count;
        into.concealed_samples = counters.concealed_samples;
        into.silent_concealed_samples = counters.silent_concealed_samples;
        into.concealment_events = counters.concealment_events;
        into.inserted_samples_for_deceleration = counters.inserted_samples_for_deceleration;
        into.removed_samples_for_acceleration = counters.removed_samples_for_acceleration;
        into.total_samples_received = counters.total_samples_received;
    }

    /// The ten milliseconds that will be heard at `heard_at`.
    pub fn pull(&self, now: Instant, heard_at: Instant, block: &mut [f32; BLOCK]) {
        let mut state = self.lock();
        let State { playout, decoder, level, shown, rms: linear, volume } = &mut *state;
        self.packets.try_iter().for_each(|packet| playout.handle_packet(&packet));
        if let Some(timestamp) = playout.pull(now, decoder, block) {
            playout.set_extra_delay(self.sync.handle_sound(timestamp, heard_at));
        }
        *shown = level.handle(block);
        *linear = rms(block);
        volume.apply(block);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The jitter buffer's view of the Opus decoder, which is made when the first packet comes.
#[derive(Default)]
struct Decoder(Option<OpusDecoder>);

impl Decoder {
    fn with(
        &mut self,
        use_it: impl FnOnce(&mut OpusDecoder) -> Result<(), CodecError>,
    ) -> Result<(), UndecodableVoice> {
        let result = match &mut self.0 {
            Some(decoder) => use_it(decoder),
            none => OpusDecoder::new().and_then(|decoder| use_it(none.insert(decoder))),
        };
        result.map_err(|error| {
            tracing::debug!(%error, "a voice packet could not be decoded");
            UndecodableVoice
        })
    }
}

impl VoiceDecoder for Decoder {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.with(|decoder| decoder.decode(packet, pcm))
    }
    fn recover(&mut self, next: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.with(|decoder| decoder.recover(next, samples, pcm))
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.with(|decoder| decoder.conceal(samples, pcm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_volume_does_not_click() {
        let mut volume = Volume::default();
        let mut untouched = [1.0; BLOCK];
        volume.apply(&mut untouched);
        assert_eq!(untouched, [1.0; BLOCK]);
        volume.set(0.0);
        let mut falling = [1.0; BLOCK];
        volume.apply(&mut falling);
        assert!(falling.windows(2).all(|pair| pair[1] < pair[0] && pair[0] - pair[1] < 0.01));
        let mut silent = [1.0; BLOCK];
        volume.apply(&mut silent);
        assert!(silent.iter().all(|sample| sample.abs() < 1e-6));
        for (wish, given) in [(9.0, Volume::MOST), (-1.0, 0.0), (f32::NAN, 1.0)] {
            volume.set(wish);
            assert_eq!(volume.wanted, given);
        }
    }
}
