//! Packets of sound and pictures, in any order and with any content: what reads them never panics, and time goes on.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};
use twocan::frame::RtpPacket;
use twocan::ports::PeerId;
use twocan::relay::{Relay, Source, View};
use twocan::rtp::{
    NackTracker, UndecodableVoice, VOICE_BLOCK, VideoAssembler, VoiceDecoder, VoicePlayout, red, vp8,
};
use twocan::units::Resolution;

/// Silence, as long as any packet may be.
struct Decoder;

impl VoiceDecoder for Decoder {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        let samples = packet.first().map_or(0, |first| usize::from(first % 13) * VOICE_BLOCK);
        pcm.resize(pcm.len() + samples, 0.0);
        (samples > 0).then_some(()).ok_or(UndecodableVoice)
    }
    fn recover(&mut self, _: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(samples, pcm)
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        pcm.resize(pcm.len() + samples, 0.0);
        Ok(())
    }
}

// For each packet: what it is, how its number and its time stand to those before, how long its payload is.
fuzz_target!(|bytes: &[u8]| {
    let mut now = Instant::now();
    let (mut assembler, mut voice, mut nack) = (VideoAssembler::new(), VoicePlayout::new(), NackTracker::default());
    let mut relay = Relay::default();
    (0..3).for_each(|id| assert!(relay.add_member(now, PeerId(id))));
    relay.set_view(now, PeerId(1), PeerId(0), View::Drawn(Resolution::HD));
    let (mut sequence, mut timestamp, mut rest) = (0u16, 0u32, bytes);
    while let Some((&[what, step, ticks, after, length], tail)) = rest.split_first_chunk() {
        let (payload, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(u64::from(after));
        // Most of them come in order; the highest values jump.
        sequence = match step {
            0..250 => sequence.wrapping_add(u16::from(step % 3)),
            250..254 => sequence.wrapping_sub(u16::from(step - 249)),
            _ => sequence.wrapping_add(30_000),
        };
        timestamp = match ticks {
            0..128 => timestamp,
            128..254 => timestamp.wrapping_add(960 * u32::from(ticks - 127)),
            _ => timestamp.wrapping_add(1 << 30),
        };
        let packet = RtpPacket {
            payload_type: [102, vp8::VP8, red::RED, 111][usize::from(what % 4)],
            marker: what & 4 != 0,
            sequence,
            timestamp,
            ssrc: u32::from(what >> 7),
            payload: payload.to_vec().into(),
            arrived_at: now,
        };
        let source = match what % 4 {
            0 | 1 => Source::Video { layer: what >> 3 & 3 },
            _ => Source::Audio { level: (what & 8 != 0).then_some(what) },
        };
        relay.handle_packet(now, PeerId(0), source, &packet, &mut |_| {});
        relay.handle_timeout(now, &mut |_| {});
        if nack.handle_packet(now, sequence, what & 16 != 0) {
            nack.poll(now);
        }
        match source {
            Source::Video { .. } => {
                assembler.handle_packet(packet);
                while assembler.poll(now).is_some() {}
            }
            Source::Audio { .. } => {
                for packet in red::split(&packet).unwrap_or_else(|_| vec![packet]) {
                    voice.handle_packet(&packet);
                }
                voice.pull(now, &mut Decoder, &mut [0.0; VOICE_BLOCK]);
            }
        }
    }
});
