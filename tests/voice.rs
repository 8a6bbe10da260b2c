//! A voice through the real encoder, a path in virtual time, the real jitter buffer and the real decoder: silence that
//! is not sent, comfort noise, and joins without clicks. No device, no network.

use bytes::Bytes;
use std::f32::consts::TAU;
use std::time::{Duration, Instant};
use twocan::codec::opus::{OpusDecoder, OpusEncoder};
use twocan::codec::{AudioDecoder, AudioEncoder, BLOCK, PACKET};
use twocan::frame::RtpPacket;
use twocan::rtp::red::{RED, RedEncoder};
use twocan::rtp::{UndecodableVoice, VoiceCounters, VoiceDecoder, VoicePlayout};

const SECOND: usize = 48_000;

struct Decoder(OpusDecoder);

impl VoiceDecoder for Decoder {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.0.decode(packet, pcm).map_err(|_| UndecodableVoice)
    }
    fn recover(&mut self, next: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.0.recover(next, samples, pcm).map_err(|_| UndecodableVoice)
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.0.conceal(samples, pcm).map_err(|_| UndecodableVoice)
    }
}

struct Random(u64);

impl Random {
    fn share(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / 16_777_216.0
    }
}

/// Syllables of a gliding tone with overtones.
fn voice(samples: usize) -> Vec<f32> {
    let mut phase = 0.0;
    (0..samples)
        .map(|n| {
            let time = n as f32 / SECOND as f32;
            phase = (phase + (140.0 + 30.0 * (TAU * 0.7 * time).sin()) / SECOND as f32).fract();
            let overtones: f32 = (1..12).map(|k| (TAU * phase * k as f32).sin() / k as f32).sum();
            overtones * 0.2 * (TAU * 1.5 * time).sin().max(0.0).sqrt()
        })
        .collect()
}

/// What is sent of `pcm`: its place in packets of 20 ms, and the packet.
fn encoded(pcm: &[f32], expected_loss: f32) -> Vec<(usize, Bytes)> {
    let mut encoder = OpusEncoder::new().unwrap();
    encoder.set_expected_loss(expected_loss);
    let packets = pcm.chunks_exact(PACKET).enumerate();
    packets.filter_map(|(n, pcm)| Some((n, encoder.encode(pcm).unwrap()?))).collect()
}

/// What is heard of `sent` if the packets are lost of which `lost` says so.
fn heard(
    sent: &[(usize, Bytes)],
    depth: usize,
    mut lost: impl FnMut(usize) -> bool,
) -> (Vec<f32>, VoiceCounters) {
    let start = Instant::now();
    let at = |ms: usize| start + Duration::from_millis(ms as u64);
    let mut copies = RedEncoder::default();
    let mut packets = Vec::new();
    for (sequence, (n, opus)) in sent.iter().enumerate() {
        let timestamp = (n * PACKET) as u32;
        let (payload_type, payload) = match copies.encode(timestamp, opus, 111, depth) {
            Some(payload) => (RED, payload),
            None => (111, opus.clone()),
        };
        let (sequence, arrived_at) = (sequence as u16, at(n * 20 + 40));
        if !lost(*n) {
            packets.push(RtpPacket {
                payload_type,
                marker: false,
                sequence,
                timestamp,
                ssrc: 1,
                payload,
                arrived_at,
            });
        }
    }
    let (mut playout, mut decoder) = (VoicePlayout::new(), Decoder(OpusDecoder::new().unwrap()));
    let (mut block, mut played) = ([0.0; BLOCK], Vec::new());
    let mut arriving = packets.iter().peekable();
    for tick in 0..(sent.last().unwrap().0 * 2) {
        let now = at(tick * 10 + 3);
        while let Some(packet) = arriving.next_if(|packet| packet.arrived_at <= now) {
            playout.handle_packet(packet);
        }
        playout.pull(now, &mut decoder, &mut block);
        played.extend_from_slice(&block);
    }
    (played, playout.counters())
}

fn level_db(signal: &[f32]) -> f32 {
    10.0 * (signal.iter().map(|x| x * x).sum::<f32>() / signal.len() as f32).max(1e-12).log10()
}
fn largest_step(signal: &[f32]) -> f32 {
    signal.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn silence_is_hardly_sent_and_heard_as_the_rooms_noise() {
    // A room at -60 dBFS; somebody speaks for 4 s, is silent for 8 s, and speaks again.
    let mut random = Random(7);
    let mut pcm = voice(16 * SECOND);
    pcm[4 * SECOND..12 * SECOND].fill(0.0);
    pcm.iter_mut().for_each(|sample| *sample += (random.share() - 0.5) * 0.001 * 12f32.sqrt());
    let sent = encoded(&pcm, 0.1);
    let in_silence = sent.iter().filter(|(n, _)| (250..600).contains(n)).count();
    let (played, counters) = heard(&sent, 0, |_| false);
    let noise = level_db(&played[6 * SECOND..11 * SECOND]);
    println!(
        "{in_silence} of 350 packets of silence sent; the noise of -60.0 dBFS is heard at {noise:.1} dBFS; {} samples \
         concealed",
        counters.concealed_samples
    );
    assert!(in_silence < 60);
    assert_eq!(
        (counters.concealed_samples, counters.concealment_events, counters.packets_discarded),
        (0, 0, 0)
    );
    assert!((-75.0..-50.0).contains(&noise));
    let dead = played[6 * SECOND..11 * SECOND].chunks(BLOCK).filter(|b| b.iter().all(|x| *x == 0.0)).count();
    assert_eq!(dead, 0, "comfort noise has no holes");
    // The voice is back where it belongs, not swallowed by the silence before it.
    let (before, after) =
        (level_db(&played[SECOND..3 * SECOND]), level_db(&played[13 * SECOND..15 * SECOND]));
    assert!((before - after).abs() < 3.0, "{before} {after}");
}

#[test]
fn losses_make_no_clicks_and_do_not_turn_the_voice_down() {
    let pcm = voice(40 * SECOND);
    let sent = encoded(&pcm, 0.2);
    let (clean, _) = heard(&sent, 0, |_| false);
    let (step, level) = (largest_step(&clean), level_db(&clean));
    // Share of losses, the mean length of their runs (0: each for itself), copies.
    for (share, burst, depth) in [
        (0.05, 0.0, 0),
        (0.1, 0.0, 1),
        (0.2, 0.0, 0),
        (0.2, 0.0, 2),
        (0.1, 4.0, 0),
        (0.1, 4.0, 2),
        (0.02, 40.0, 0),
    ] {
        let run = if burst == 0.0 { 1.0 / (1.0 - share) } else { burst };
        let (mut random, mut losing) = (Random(11), false);
        let enter = share / (1.0 - share) / run;
        let (played, counters) = heard(&sent, depth, |_| {
            losing = random.share() < if losing { 1.0 - 1.0 / run } else { enter };
            losing
        });
        let (ratio, change) = (largest_step(&played) / step, level_db(&played) - level);
        println!(
            "{:.0} % lost, bursts of {burst}, {depth} copies: largest step {ratio:.2} of the clean one, level {change:+.2} \
             dB, {:.2} % concealed",
            share * 100.0,
            counters.concealed_samples as f32 / counters.total_samples_received as f32 * 100.0
        );
        assert!(ratio < 1.5);
        assert!((-2.0..1.0).contains(&change));
    }
}
