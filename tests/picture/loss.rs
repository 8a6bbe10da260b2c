//! A lossy path with requests for what is missing, and what the real assembly, decoder and playout clock make of it.
//! The requests follow the rules of libwebrtc's `nack_requester.cc`: at once, then once in a round trip.

use crate::scene::{Content, Scene, psnr};
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};
use twocan::codec::h264::{H264Decoder, H264Encoder};
use twocan::codec::{VideoDecoder, VideoEncoder};
use twocan::frame::{FramePool, I420, RawFrame, RtpPacket};
use twocan::rtp::{FreezeDetector, KeyframeThrottle, PlayoutClock, VideoAssembler};
use twocan::units::{Bitrate, Resolution};

const FPS: u64 = 30;
const SIZE: Resolution = Resolution::new(320, 180);
/// With the payload below three packets to a picture, as 1.2 Mbit/s have.
const RATE: Bitrate = Bitrate::from_kbps(600);
const PAYLOAD: usize = 800;
/// What the pacer lets out in a millisecond: 2.5 times the rate.
const PACE_BYTES: f64 = 600_000.0 / 8.0 * 2.5 / 1000.0;
/// Added to the round trip before a packet is asked for again.
const SLACK_MS: u64 = 10;
const MAX_ASKED: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub round_trip_ms: u64,
    pub loss: f64,
    /// Mean length of a burst of losses.
    pub burst: f64,
    /// How many times a packet is sent for one request, a few milliseconds apart.
    pub copies: u64,
    pub layers: u32,
}

impl Default for Path {
    fn default() -> Self {
        Self { round_trip_ms: 80, loss: 0.1, burst: 1.0, copies: 1, layers: 2 }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub sent: usize,
    pub shown: usize,
    pub freezes: u64,
    pub frozen: f64,
    pub keyframe_requests: usize,
    pub worst_psnr: f64,
    pub delays: Vec<f64>,
    pub packets: u64,
    pub repeats: u64,
    pub passed: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut delays = self.delays.clone();
        delays.sort_unstable_by(f64::total_cmp);
        let delay = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        write!(
            f,
            "{} of {} shown, {} freezes {:.2} s, PLI {}, holes passed {}, delay p50 {:.0} p95 {:.0} ms, repeats {:.1} %, \
             worst {:.1} dB",
            self.shown,
            self.sent,
            self.freezes,
            self.frozen,
            self.keyframe_requests,
            self.passed,
            delay(0.5),
            delay(0.95),
            self.repeats as f64 * 100.0 / self.packets.max(1) as f64,
            self.worst_psnr
        )
    }
}

struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Gilbert-Elliott.
struct Losses {
    random: Random,
    bad: bool,
}

impl Losses {
    fn next(&mut self, path: &Path) -> bool {
        let leave = 1.0 / path.burst;
        let enter = leave * path.loss / (1.0 - path.loss);
        let chance = if self.bad { 1.0 - leave } else { enter };
        self.bad = self.random.share() < chance;
        self.bad
    }
}

/// One direction of a call.
pub struct Run {
    path: Path,
    /// After the first second all packets of the upper layer are lost, and nothing is sent again.
    pub lose_disposable: bool,
}

#[derive(Clone, Copy)]
struct Missing {
    due: u64,
    times: u32,
}

impl Run {
    pub fn new(path: Path) -> Self {
        Self { path, lose_disposable: false }
    }

    pub fn seconds(&self, seconds: u64) -> Figures {
        let path = self.path;
        let one_way = path.round_trip_ms / 2;
        let start = Instant::now() + Duration::from_secs(60);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut forth = Losses { random: Random(0x2545_f491_4f6c_dd1d), bad: false };
        let mut back = Losses { random: Random(0x9e37_79b9_7f4a_7c15), bad: false };
        let (mut scene, pool) = (Scene::new(Content::Walk, SIZE), FramePool::default());
        let mut encoder = H264Encoder::with_layers(RATE, FPS as u32, path.layers);
        let mut payloader = H264Payloader::default();
        let mut decoder = H264Decoder::new().unwrap();
        let (mut assembler, mut throttle) = (VideoAssembler::new(), KeyframeThrottle::default());
        let (mut clock, mut freezes) = (PlayoutClock::default(), FreezeDetector::default());
        let round_trip = Duration::from_millis(path.round_trip_ms);
        assembler.set_round_trip(round_trip);
        throttle.set_round_trip(round_trip);

        let mut figures = Figures { worst_psnr: f64::INFINITY, ..Figures::default() };
        let (mut sequence, mut picture, mut credit) = (65_000u16, 0u64, 0.0);
        let mut originals: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut history: BTreeMap<u16, RtpPacket> = BTreeMap::new();
        let mut repeated: HashMap<u16, u64> = HashMap::new();
        let mut pacer: VecDeque<(RtpPacket, bool)> = VecDeque::new();
        let mut repeats: Vec<(u64, u16)> = Vec::new();
        let mut under_way: Vec<(u64, RtpPacket)> = Vec::new();
        let mut requests: Vec<(u64, Option<u16>)> = Vec::new();
        let (mut highest, mut missing): (Option<u16>, BTreeMap<u16, Missing>) = (None, BTreeMap::new());
        let mut keyframe_wanted = false;
        let mut last_keyframe = 0;
        let mut last_due = start;

        for ms in 0..seconds * 1000 {
            // The sender.
            for (_, asked) in requests.extract_if(.., |(arrives, _)| *arrives <= ms) {
                match asked {
                    None => keyframe_wanted = true,
                    Some(asked) => {
                        let last = repeated.get(&asked).copied();
                        if last.is_none_or(|last| ms >= last + path.round_trip_ms) {
                            repeated.insert(asked, ms);
                            repeats.extend((0..path.copies).map(|copy| (ms + copy * 12, asked)));
                        }
                    }
                }
            }
            if ms * FPS >= picture * 1000 {
                picture += 1;
                let keyframe = keyframe_wanted && ms >= last_keyframe + 300;
                let frame = RawFrame { captured_at: at(ms), ..scene.next(FPS as u32) };
                if let Some(encoded) = encoder.encode(&frame, keyframe).unwrap() {
                    if encoded.keyframe {
                        (keyframe_wanted, last_keyframe) = (false, ms);
                    }
                    figures.sent += 1;
                    let timestamp = (ms * 90) as u32;
                    originals.insert(timestamp, frame.image.y().to_vec());
                    let payloads = payloader.payload(PAYLOAD, &encoded.data).unwrap();
                    let last = payloads.len() - 1;
                    for (index, payload) in payloads.into_iter().enumerate() {
                        let packet = RtpPacket {
                            payload_type: 125,
                            marker: index == last,
                            sequence,
                            timestamp,
                            ssrc: 7,
                            payload,
                            arrived_at: at(ms),
                        };
                        history.insert(sequence, packet.clone());
                        history.remove(&sequence.wrapping_sub(1000));
                        pacer.push_back((packet, encoded.disposable));
                        sequence = sequence.wrapping_add(1);
                    }
                }
            }
            for (_, again) in repeats.extract_if(.., |(due, _)| *due <= ms) {
                figures.repeats += 1;
                if let Some(packet) = history.get(&again)
                    && !forth.next(&path)
                {
                    under_way.push((ms + one_way, packet.clone()));
                }
            }
            credit = f64::min(credit + PACE_BYTES, 5.0 * PACE_BYTES);
            while credit > 0.0
                && let Some((packet, disposable)) = pacer.pop_front()
            {
                credit -= packet.payload.len() as f64;
                figures.packets += 1;
                let cut = disposable && self.lose_disposable && ms > 1000;
                if !forth.next(&path) && !cut {
                    under_way.push((ms + one_way, packet));
                }
            }

            // The receiver.
            for (_, packet) in under_way.extract_if(.., |(arrives, _)| *arrives <= ms) {
                let ahead = highest.map_or(1, |highest| packet.sequence.wrapping_sub(highest) as i16);
                if ahead > 0 {
                    let gap = highest.map_or(0..0, |_| 1..ahead);
                    for step in gap {
                        let lost = packet.sequence.wrapping_sub(step as u16);
                        missing.insert(lost, Missing { due: ms, times: 0 });
                    }
                    highest = Some(packet.sequence);
                }
                missing.remove(&packet.sequence);
                assembler.handle_packet(RtpPacket { arrived_at: at(ms), ..packet });
            }
            if !self.lose_disposable {
                missing.retain(|_, missing| missing.times < MAX_ASKED);
                for (sequence, missing) in missing.iter_mut().filter(|(_, missing)| missing.due <= ms) {
                    (missing.due, missing.times) = (ms + path.round_trip_ms + SLACK_MS, missing.times + 1);
                    if !back.next(&path) {
                        requests.push((ms + one_way, Some(*sequence)));
                    }
                }
            }
            while let Some(unit) = assembler.poll(at(ms)) {
                match decoder.decode(&unit.data, &pool) {
                    Ok(Some(decoded)) => {
                        let mut original = I420::black(SIZE);
                        original.planes_mut().0.copy_from_slice(&originals[&(unit.timestamp as u32)]);
                        figures.worst_psnr = figures.worst_psnr.min(psnr(&original, &decoded));
                        let due = clock.due(at(ms), unit.timestamp, unit.last_arrival).max(last_due);
                        last_due = due;
                        freezes.handle_frame(due);
                        let captured = unit.timestamp as f64 / 90.0;
                        figures.delays.push((due - start).as_secs_f64() * 1000.0 - captured);
                        figures.shown += 1;
                    }
                    Ok(None) => panic!("a whole unit without a picture"),
                    Err(_) => assembler.decoder_failed(),
                }
            }
            if throttle.poll(at(ms), assembler.needs_keyframe()) {
                figures.keyframe_requests += 1;
                if !back.next(&path) {
                    requests.push((ms + one_way, None));
                }
            }
        }
        figures.freezes = freezes.count();
        figures.frozen = freezes.total_duration().as_secs_f64();
        figures.passed = assembler.counters().holes_passed;
        figures
    }
}

#[test]
fn what_a_lossy_path_does_to_the_picture() {
    let round_trip_ms = 80;
    for (loss, burst) in [(0.05, 1.0), (0.05, 4.0), (0.1, 1.0)] {
        for (layers, copies) in [(1, 1), (2, 1), (2, 2)] {
            let path = Path { round_trip_ms, loss, burst, copies, layers };
            let figures = Run::new(path).seconds(20);
            println!(
                "RTT {round_trip_ms} ms, loss {:.0} % bursts {burst}, {layers} layers, {copies} copies: {figures}",
                loss * 100.0
            );
            assert!(figures.worst_psnr > 28.0, "damage was shown: {figures}");
        }
    }
}
