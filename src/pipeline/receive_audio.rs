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
}

impl VoiceIn {
    pub fn new(packets: Receiver<RtpPacket>, sync: Arc<PeerSync>) -> Self {
        Self { packets, sync, state: Mutex::default() }
    }

    /// As a meter shows it.
    pub fn level(&self) -> f32 {
        self.lock().shown
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
        let State { playout, decoder, level, shown, rms: linear } = &mut *state;
        self.packets.try_iter().for_each(|packet| playout.handle_packet(&packet));
        if let Some(timestamp) = playout.pull(now, decoder, block) {
            playout.set_extra_delay(self.sync.handle_sound(timestamp, heard_at));
        }
        *shown = level.handle(block);
        *linear = rms(block);
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
