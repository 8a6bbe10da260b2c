//! Voice by Opus: mono, 48 kHz, packets of 20 ms, with in-band redundancy for lost packets.

mod raw;

use super::{AudioDecoder, AudioEncoder, CodecError, PACKET, SAMPLE_RATE};
use crate::units::Bitrate;
use bytes::Bytes;
use opus::{Channels, Decoder};
use raw::RawEncoder;

/// Wide-band speech beyond doubt, at a hundredth of the picture's cost.
pub const VOICE_RATE: Bitrate = Bitrate::from_kbps(32);
/// The best trade of quality for work (1.3 % of a core).
const COMPLEXITY: i32 = 9;
/// Without any redundancy at first the first loss would be heard.
const FIRST_EXPECTED_LOSS: f32 = 0.05;
/// Packets of this size or less tell only that nobody speaks.
const SILENT_PACKET: usize = 2;
/// RFC 6716: no packet lasts longer than 120 ms.
const LONGEST_PACKET: usize = 5760;
/// RFC 6716: the largest packet of one frame, with room for the rest of the header.
const LARGEST_PACKET: usize = 1300;

pub struct OpusEncoder {
    encoder: RawEncoder,
    buffer: Box<[u8; LARGEST_PACKET]>,
    /// The last packet told that nobody speaks.
    silent: bool,
}

impl OpusEncoder {
    pub fn new() -> Result<Self, CodecError> {
        let mut encoder = RawEncoder::new()?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_inband_fec(true)?;
        encoder.set_dtx(true)?;
        let mut encoder = Self { encoder, buffer: Box::new([0; LARGEST_PACKET]), silent: false };
        encoder.set_target(VOICE_RATE);
        encoder.set_expected_loss(FIRST_EXPECTED_LOSS);
        Ok(encoder)
    }

    /// Another one that goes on exactly where this one is.
    pub fn copy(&self) -> Result<Self, CodecError> {
        Ok(Self { encoder: self.encoder.copy()?, buffer: self.buffer.clone(), silent: self.silent })
    }
}

impl AudioEncoder for OpusEncoder {
    fn encode(&mut self, pcm: &[f32]) -> Result<Option<Bytes>, CodecError> {
        if pcm.len() != PACKET {
            return Err(CodecError::Fatal(format!("{} samples are not one packet", pcm.len())));
        }
        let length = self.encoder.encode(pcm, &mut self.buffer[..])?;
        // The first packet of a silence goes out, so that the receiver takes what follows for silence, not for loss.
        let silent = length <= SILENT_PACKET;
        let left_out = silent && self.silent;
        self.silent = silent;
        Ok((!left_out).then(|| Bytes::copy_from_slice(&self.buffer[..length])))
    }

    fn set_target(&mut self, target: Bitrate) {
        if let Err(error) = self.encoder.set_bitrate(target) {
            tracing::warn!(%error, %target, "the voice encoder refused a bit rate");
        }
    }

    fn set_expected_loss(&mut self, share: f32) {
        // Less redundancy than for 2 % is none at all.
        let percent = (share.clamp(0.0, 0.4) * 100.0).round().max(2.0) as i32;
        if let Err(error) = self.encoder.set_packet_loss(percent) {
            tracing::warn!(%error, percent, "the voice encoder refused an expected loss");
        }
    }
}

pub struct OpusDecoder {
    decoder: Decoder,
}

impl OpusDecoder {
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self { decoder: Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(fatal)? })
    }

    /// Appends what the decoder makes of `packet`: at most `samples`.
    fn append(
        &mut self,
        packet: &[u8],
        samples: usize,
        fec: bool,
        pcm: &mut Vec<f32>,
    ) -> Result<(), CodecError> {
        let start = pcm.len();
        pcm.resize(start + samples, 0.0);
        let decoded = self.decoder.decode_float(packet, &mut pcm[start..], fec);
        pcm.truncate(start + decoded.as_ref().copied().unwrap_or(0));
        decoded.map(|_| ()).map_err(fatal)
    }
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), CodecError> {
        if packet.is_empty() {
            return Err(CodecError::Fatal("a packet without content".into()));
        }
        self.append(packet, LONGEST_PACKET, false, pcm)
    }

    fn recover(&mut self, next: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), CodecError> {
        self.append(next, whole_steps(samples), true, pcm)
    }

    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), CodecError> {
        self.append(&[], whole_steps(samples), false, pcm)
    }
}

/// Opus makes up sound in steps of 2.5 ms.
fn whole_steps(samples: usize) -> usize {
    const STEP: usize = SAMPLE_RATE as usize / 400;
    samples.div_ceil(STEP).clamp(1, LONGEST_PACKET / STEP) * STEP
}

fn fatal(error: opus::Error) -> CodecError {
    CodecError::Fatal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like a voice: a gliding tone with overtones, swelling and fading.
    fn voice(samples: usize) -> Vec<f32> {
        let mut phase = 0.0_f32;
        (0..samples)
            .map(|n| {
                let time = n as f32 / SAMPLE_RATE as f32;
                phase += (150.0 + 60.0 * (time * 5.0).sin()) / SAMPLE_RATE as f32;
                let overtones: f32 =
                    (1..12).map(|k| (phase * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
                overtones * 0.2 * (0.6 + 0.4 * (time * 9.0).sin())
            })
            .collect()
    }

    fn energy(pcm: &[f32]) -> f32 {
        pcm.iter().map(|x| x * x).sum::<f32>()
    }

    /// How near `got` is to `wanted`: signal over error in dB.
    fn quality(wanted: &[f32], got: &[f32]) -> f32 {
        let errors: Vec<_> = wanted.iter().zip(got).map(|(a, b)| a - b).collect();
        10.0 * (energy(wanted) / energy(&errors).max(1e-9)).log10()
    }

    #[test]
    fn a_lost_packet_is_recovered_better_than_made_up() {
        let pcm = voice(PACKET * 200);
        let mut encoder = OpusEncoder::new().unwrap();
        encoder.set_expected_loss(0.2);
        let packets: Vec<_> =
            pcm.chunks(PACKET).map(|pcm| encoder.encode(pcm).unwrap().expect("somebody speaks")).collect();
        let play = |lost: &dyn Fn(usize) -> bool, redundancy: bool| {
            let (mut decoder, mut out) = (OpusDecoder::new().unwrap(), Vec::new());
            for (index, packet) in packets.iter().enumerate() {
                match packets.get(index + 1) {
                    Some(next) if lost(index) && redundancy => decoder.recover(next, PACKET, &mut out),
                    _ if lost(index) => decoder.conceal(PACKET, &mut out),
                    _ => decoder.decode(packet, &mut out),
                }
                .unwrap();
                assert_eq!(out.len(), PACKET * (index + 1));
            }
            out
        };
        let whole = play(&|_| false, true);
        let share = energy(&whole) / energy(&pcm);
        assert!((0.5..2.0).contains(&share), "the voice came out {share} times as loud");
        let recovered = quality(&whole, &play(&|index| index % 10 == 5, true));
        let made_up = quality(&whole, &play(&|index| index % 10 == 5, false));
        assert!(recovered > made_up + 3.0, "recovered {recovered:.1} dB, made up {made_up:.1} dB");
    }

    #[test]
    fn a_copy_goes_on_where_the_original_is() {
        let pcm = voice(PACKET * 40);
        let mut original = OpusEncoder::new().unwrap();
        pcm[..PACKET * 20].chunks(PACKET).for_each(|pcm| drop(original.encode(pcm).unwrap()));
        let mut copy = original.copy().unwrap();
        for pcm in pcm[PACKET * 20..].chunks(PACKET) {
            assert_eq!(copy.encode(pcm).unwrap(), original.encode(pcm).unwrap());
        }
        drop(original);
        assert!(copy.encode(&pcm[..PACKET]).unwrap().is_some(), "and lives by itself");
    }

    #[test]
    fn silence_is_not_sent() {
        let mut encoder = OpusEncoder::new().unwrap();
        let sent = (0..100).filter(|_| encoder.encode(&[0.0; PACKET]).unwrap().is_some()).count();
        assert!(sent < 30, "{sent} of 100 packets of silence were sent");
    }

    #[test]
    fn wrong_lengths_and_damaged_packets_are_errors() {
        let mut encoder = OpusEncoder::new().unwrap();
        assert!(encoder.encode(&[0.0; PACKET - 1]).is_err());
        let mut decoder = OpusDecoder::new().unwrap();
        let mut pcm = Vec::new();
        assert!(decoder.decode(&[], &mut pcm).is_err());
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for length in 1..2000 {
            let packet: Vec<u8> = (0..length)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random as u8
                })
                .collect();
            pcm.clear();
            let _ = decoder.decode(&packet, &mut pcm);
            let _ = decoder.recover(&packet, PACKET, &mut pcm);
            assert!(pcm.len() <= LONGEST_PACKET + PACKET);
        }
        pcm.clear();
        decoder.conceal(1, &mut pcm).unwrap();
        assert_eq!(pcm.len(), 120);
    }
}
