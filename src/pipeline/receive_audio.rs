//! One peer's voice on its way to the speaker: RTP packets to ten milliseconds of sound. Belongs to the thread
//! `mix`; its owner reads level and statistics.

use super::meter::{Level, rms};
use crate::codec::AudioDecoder;
use crate::codec::BLOCK;
use crate::codec::opus::OpusDecoder;
use crate::frame::RtpPacket;
use crate::stats::InboundAudio;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Packets between the network and the thread: two seconds.
pub(super) const PACKETS: usize = 100;

pub(super) struct VoiceIn {
    pub packets: Receiver<RtpPacket>,
    pub sync: Arc<super::sync::PeerSync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fifo: Vec<f32>,
    decoder: Option<OpusDecoder>,
    level: Level,
    shown: f32,
    stats: InboundAudio,
}

impl VoiceIn {
    pub fn new(packets: Receiver<RtpPacket>, sync: Arc<super::sync::PeerSync>) -> Self {
        Self { packets, sync, state: Mutex::default() }
    }
    pub fn level(&self) -> f32 {
        self.lock().shown
    }
    pub fn stats(&self, into: &mut InboundAudio) {
        into.codec = "opus".into();
        into.audio_level = self.lock().stats.audio_level;
        into.total_samples_received = self.lock().stats.total_samples_received;
    }
    /// Ten milliseconds that will be heard at `heard_at`.
    pub fn pull(&self, _heard_at: Instant, block: &mut [f32; BLOCK]) {
        let mut state = self.lock();
        let state = &mut *state;
        for packet in self.packets.try_iter() {
            let decoder = match &mut state.decoder {
                Some(decoder) => decoder,
                none => match OpusDecoder::new() {
                    Ok(decoder) => none.insert(decoder),
                    Err(_) => return,
                },
            };
            let _ = decoder.decode(&packet.payload, &mut state.fifo);
        }
        if state.fifo.len() > 9600 {
            let cut = state.fifo.len() - 4800;
            state.fifo.drain(..cut);
        }
        block.fill(0.0);
        let n = state.fifo.len().min(BLOCK);
        block[..n].copy_from_slice(&state.fifo[..n]);
        state.fifo.drain(..n);
        state.shown = state.level.handle(block);
        state.stats.audio_level = f64::from(rms(block));
        state.stats.total_samples_received += BLOCK as u64;
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
