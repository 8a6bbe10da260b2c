//! Speech through a lossy path, scored by objective measures: `cargo bench --bench voice [-- --json FILE]`.
//!
//! Speech of espeak-ng goes through the real encoder, the real redundancy and the real jitter buffer and decoder; in
//! between stands a seeded path in virtual time. Three senders are compared on each path:
//!
//! | sender    | against loss                                                                                    |
//! | --------- | ----------------------------------------------------------------------------------------------- |
//! | `plain`   | nothing: the receiver conceals                                                                  |
//! | `fec`     | Opus in-band redundancy, by what the receiver reports                                           |
//! | `fec+red` | that, and copies of the last packets (RFC 2198), by what the receiver reports                   |
//!
//! STOI, 0 to 1: how much of it is understood (C. Taal, R. Hendriks, R. Heusdens, J. Jensen, "An algorithm for
//! intelligibility prediction of time-frequency weighted noisy speech", IEEE TASLP 19(7), 2011). LSD, in dB, less is
//! better: the log-spectral distance (A. Gray, J. Markel, "Distance measures for speech processing", IEEE TASSP 24(5),
//! 1976). PESQ, 1 to 4.6: wide band (ITU-T P.862.2), if the Python of `TWOCAN_PYTHON` (or `python3`) has the package
//! `pesq`. One JSON line a row; figures are over everything but the first seconds, in which reports come in.

#[path = "voice/score.rs"]
mod score;

use bytes::Bytes;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use twocan::codec::opus::{OpusDecoder, OpusEncoder, VOICE_RATE};
use twocan::codec::{AudioDecoder, AudioEncoder, BLOCK, PACKET, SAMPLE_RATE};
use twocan::frame::RtpPacket;
use twocan::rtp::red::{RED, RedEncoder};
use twocan::rtp::{UndecodableVoice, VoiceDecoder, VoicePlayout, VoiceProtection};
use twocan::units::Bitrate;

const TEXT: &str = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
    It's easy to tell the depth of a well. These days a chicken leg is a rare dish. Rice is often served in round \
    bowls. The juice of lemons makes fine punch. The box was thrown beside the parked truck. The hogs were fed chopped \
    corn and garbage. Four hours of steady work faced us. A large size in stockings is hard to sell.";
const VOICES: [&str; 2] = ["en-us", "en-gb+f3"];
/// Reports are on their way, and the protection is being built up.
const WARM_UP: usize = 4 * SAMPLE_RATE as usize;
const OPUS: u8 = 111;
/// The path: this delay, and up to so much more.
const DELAY_MS: u64 = 40;
const JITTER_MS: u64 = 5;
const ESTIMATE: Bitrate = Bitrate::from_kbps(1_000);

#[derive(Clone, Copy, PartialEq)]
enum Sender {
    Plain,
    Fec,
    Red,
}

/// Share of lost packets, and how many in a row on average.
#[derive(Clone, Copy)]
struct Link {
    name: &'static str,
    loss: f64,
    burst: f64,
}

const PATHS: [Link; 5] = [
    Link { name: "no loss", loss: 0.0, burst: 1.0 },
    Link { name: "5 % random", loss: 0.05, burst: 1.0 },
    Link { name: "10 % random", loss: 0.10, burst: 1.0 },
    Link { name: "20 % random", loss: 0.20, burst: 1.0 },
    Link { name: "10 % in bursts of 4", loss: 0.10, burst: 4.0 },
];

fn main() {
    let json = std::env::args().skip_while(|argument| argument != "--json").nth(1).map(PathBuf::from);
    let Some(speech) = speech() else {
        eprintln!("This benchmark needs espeak-ng, which is not installed.");
        return;
    };
    let mut rows = Vec::new();
    for path in PATHS {
        for (name, sender) in [("plain", Sender::Plain), ("fec", Sender::Fec), ("fec+red", Sender::Red)] {
            let row = row(&speech, path, name, sender);
            println!("{row}");
            rows.push(row.to_string());
        }
    }
    if let Some(file) = json {
        std::fs::write(&file, rows.join("\n") + "\n").expect("the file can be written");
    }
}

fn row(speech: &[f32], path: Link, name: &str, sender: Sender) -> serde_json::Value {
    let call = call(speech, path, sender);
    let reference = &speech[WARM_UP..];
    let aligned = score::aligned(reference, &call.heard[WARM_UP..]);
    let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
    serde_json::json!({
        "bench": "voice",
        "link": path.name,
        "sender": name,
        "lostPercent": round(call.lost * 100.0, 1),
        "stoi": round(score::stoi(reference, &aligned), 3),
        "logSpectralDistanceDb": round(score::log_spectral_distance(reference, &aligned), 2),
        "pesq": pesq(reference, &call.played[WARM_UP..]).map(|score| round(score, 2)),
        "concealedPercent": round(call.concealed * 100.0, 2),
        "kbps": round(call.kbps, 1),
        "playoutDelayMs": round(call.delay_ms, 0),
        "largestStepOverSource": round(call.step, 2),
    })
}

struct Call {
    /// On the speaker's timeline, and put back on the source's.
    played: Vec<f32>,
    heard: Vec<f32>,
    lost: f64,
    concealed: f64,
    kbps: f64,
    delay_ms: f64,
    /// Largest jump from one sample to the next, over that of the source.
    step: f64,
}

fn call(speech: &[f32], path: Link, sender: Sender) -> Call {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (packets, lost, bytes) = sent(speech, path, sender, &mut random, at);
    let mut arriving = packets.iter().peekable();
    let (mut voice, mut decoder) = (VoicePlayout::new(), Decoder(OpusDecoder::new().expect("a decoder")));
    let (mut played, mut heard) = (Vec::new(), vec![0.0; speech.len()]);
    let (mut block, mut cursor) = ([0.0; BLOCK], 0);
    let (mut before, mut lag, mut pulls) = (None, 0.0, 0.0);
    for tick in 0..(speech.len() / BLOCK) as u64 + 20 {
        let now = at(tick * 10 + 3);
        while let Some(packet) = arriving.next_if(|packet| packet.arrived_at <= now) {
            voice.handle_packet(packet);
        }
        let time = voice.pull(now, &mut decoder, &mut block);
        cursor = time.map_or(cursor, |time| time.max(0) as usize);
        for (place, sample) in heard.iter_mut().skip(cursor).zip(block) {
            *place = sample;
        }
        cursor += BLOCK;
        played.extend_from_slice(&block);
        if played.len() >= WARM_UP && before.is_none() {
            before = Some(voice.counters());
        }
        if let Some(now) = voice.lag() {
            (lag, pulls) = (lag + now.as_secs_f64() * 1e3, pulls + 1.0);
        }
    }
    let (after, before) = (voice.counters(), before.expect("longer than the warm-up"));
    let total = after.total_samples_received - before.total_samples_received;
    let step = |signal: &[f32]| signal.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    played.resize(played.len().max(speech.len()), 0.0);
    Call {
        step: f64::from(step(&played) / step(speech)),
        played,
        heard,
        lost,
        concealed: (after.concealed_samples - before.concealed_samples) as f64 / total as f64,
        kbps: bytes as f64 * 8.0 / (speech.len() as f64 / f64::from(SAMPLE_RATE)) / 1e3,
        delay_ms: lag / f64::max(pulls, 1.0),
    }
}

/// What arrives, by arrival; the share that is lost; and the bytes that were sent, without headers.
fn sent(
    speech: &[f32],
    path: Link,
    sender: Sender,
    random: &mut Random,
    at: impl Fn(u64) -> Instant,
) -> (Vec<RtpPacket>, f64, usize) {
    let mut encoder = Encoder::new(sender);
    let (mut copies, mut protection) = (RedEncoder::default(), VoiceProtection::default());
    let (mut packets, mut sequence, mut bytes) = (Vec::new(), 0u16, 0);
    let (mut losing, mut lost_now, mut lost_all) = (false, 0u32, 0u32);
    for (n, pcm) in speech.chunks_exact(PACKET).enumerate() {
        // A report a second, as receivers send them.
        if n % 50 == 49 {
            protection.handle_report(f64::from(lost_now) / 50.0, n as u32);
            lost_now = 0;
            encoder.set_expected_loss(protection.loss());
        }
        let Some(opus) = encoder.encode(pcm) else { continue };
        let timestamp = (n * PACKET) as u32;
        let depth = if sender == Sender::Red { protection.depth(ESTIMATE, VOICE_RATE) } else { 0 };
        let (payload_type, payload) = match copies.encode(timestamp, &opus, OPUS, depth) {
            Some(payload) => (RED, payload),
            None => (OPUS, opus),
        };
        bytes += payload.len();
        sequence = sequence.wrapping_add(1);
        let leave = 1.0 / path.burst;
        let enter = path.loss / (1.0 - path.loss) * leave;
        losing = if path.burst == 1.0 {
            random.share() < path.loss
        } else {
            random.share() < if losing { 1.0 - leave } else { enter }
        };
        let delay = DELAY_MS + random.next() % (JITTER_MS + 1);
        if losing {
            (lost_now, lost_all) = (lost_now + 1, lost_all + 1);
            continue;
        }
        let arrived_at = at((n as u64 + 1) * 20 + delay);
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
    packets.sort_by_key(|packet| packet.arrived_at);
    let total = packets.len() + lost_all as usize;
    (packets, f64::from(lost_all) / total as f64, bytes)
}

/// Ours, or the same without redundancy.
enum Encoder {
    Ours(OpusEncoder),
    Plain(opus::Encoder),
}

impl Encoder {
    fn new(sender: Sender) -> Self {
        if sender != Sender::Plain {
            return Self::Ours(OpusEncoder::new().expect("an encoder"));
        }
        let mut plain = opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Voip)
            .expect("an encoder");
        plain.set_complexity(9).expect("a complexity");
        plain.set_bitrate(opus::Bitrate::Bits(VOICE_RATE.bps() as i32)).expect("a rate");
        Self::Plain(plain)
    }
    fn set_expected_loss(&mut self, loss: f64) {
        if let Self::Ours(encoder) = self {
            encoder.set_expected_loss(loss as f32);
        }
    }
    fn encode(&mut self, pcm: &[f32]) -> Option<Bytes> {
        match self {
            Self::Ours(encoder) => encoder.encode(pcm).expect("a packet"),
            Self::Plain(encoder) => {
                let mut buffer = [0; 1300];
                let length = encoder.encode_float(pcm, &mut buffer).expect("a packet");
                Some(Bytes::copy_from_slice(&buffer[..length]))
            }
        }
    }
}

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
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Two people in turn, 48 kHz, at the level of a good microphone.
fn speech() -> Option<Vec<f32>> {
    let mut all = Vec::new();
    for voice in VOICES {
        let file = scratch("speech.wav");
        let status =
            Command::new("espeak-ng").args(["-v", voice, "-w"]).arg(&file).arg(TEXT).status().ok()?;
        let mut reader = hound::WavReader::open(&file).ok().filter(|_| status.success())?;
        let rate = reader.spec().sample_rate;
        let samples: Vec<f32> = reader.samples::<i16>().flatten().map(|s| f32::from(s) / 32_768.0).collect();
        all.extend(score::resample(&samples, rate, SAMPLE_RATE));
    }
    let loudest = all.iter().fold(0.0f32, |loudest, sample| loudest.max(sample.abs()));
    all.iter_mut().for_each(|sample| *sample *= 0.5 / loudest);
    Some(all)
}

fn pesq(reference: &[f32], heard: &[f32]) -> Option<f64> {
    const SCRIPT: &str = "import sys, numpy as np, pesq\n\
        a, b = (np.fromfile(f, '<i2') for f in sys.argv[1:3])\n\
        n = 8 * 16000\n\
        s = [pesq.pesq(16000, a[i:i+n], b[i:i+n], 'wb') for i in range(0, min(len(a), len(b)) - n + 1, n)]\n\
        print(sum(s) / len(s))\n";
    let write = |name: &str, signal: &[f32]| -> PathBuf {
        let file = scratch(name);
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file).expect("a file"));
        for sample in score::resample(signal, SAMPLE_RATE, 16_000) {
            out.write_all(&((sample * 32_767.0) as i16).to_le_bytes()).expect("room for the file");
        }
        file
    };
    let python = std::env::var_os("TWOCAN_PYTHON").unwrap_or_else(|| "python3".into());
    let files: [PathBuf; 2] = [write("reference.raw", reference), write("heard.raw", heard)];
    let output = Command::new(python).args(["-c", SCRIPT]).args(&files).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn scratch(name: &str) -> PathBuf {
    Path::new(&std::env::temp_dir()).join(format!("twocan-voice-{}-{name}", std::process::id()))
}
