//! What each step of the cores costs, in processor time of one thread: `cargo bench --bench cores`; a name as argument
//! runs only what contains it. A second of a 2 Mbit/s call has about 250 video and 50 voice packets each way, 20
//! reports and 100 pulls.

mod allocated;
mod timer;

use bytes::Bytes;
use std::hint::black_box;
use std::time::{Duration, Instant};
use timer::bench;
use twocan::frame::{I420, RtpPacket};
use twocan::invite;
use twocan::mix::{Arrangement, Compositor, Limiter, Member, SoundMixer, Tile, places};
use twocan::ports::{PeerId, SenderReport};
use twocan::rate::{Departure, Estimator, Feedback, Pacer, PacketReport, Priority};
use twocan::relay::{Encoding, History, Item, Relay, Source, View};
use twocan::rtp::{
    KeyframeThrottle, PlayoutClock, UndecodableVoice, VOICE_BLOCK, VideoAssembler, VoiceDecoder, VoicePlayout,
};
use twocan::units::{Bitrate, MediaKind, Resolution};

const MS: Duration = Duration::from_millis(1);
const PAYLOAD: usize = 1_100;
const REPEATS: u32 = 20_000;

/// The next number of a fixed sequence that looks random (Numerical Recipes' linear congruential generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Feedback every 50 ms for 13 packets on a path with jitter and 2 % loss.
fn estimator() {
    let (start, mut random) = (Instant::now(), Random(1));
    let mut estimator =
        Estimator::new(Bitrate::from_kbps(1_000), Bitrate::from_kbps(50), Bitrate::from_kbps(2_500));
    let mut now = start;
    bench("estimator: a report of 13 packets", REPEATS, || {
        let reports: Vec<PacketReport> = (0..13)
            .map(|n| {
                let departure = now + n * 4 * MS;
                let jitter = Duration::from_micros(random.below(5_000));
                let arrival = (random.below(50) > 0).then(|| departure - start + 40 * MS + jitter);
                PacketReport { departure, arrival, size: PAYLOAD }
            })
            .collect();
        now += 50 * MS;
        estimator.handle_sent(now);
        let oldest_arrived =
            reports.iter().find(|report| report.arrival.is_some()).map(|report| report.departure);
        estimator.handle_feedback(now + 90 * MS, &Feedback { reports, oldest_arrived });
        black_box(estimator.target(now + 90 * MS));
        black_box(estimator.poll_probe(now + 90 * MS));
    });
}

/// A picture of eight packets each 33 ms and a voice packet, at 2 Mbit/s.
fn pacer() {
    let mut now = Instant::now();
    let mut pacer = Pacer::new(Bitrate::from_kbps(2_200));
    let mut left = 0u32;
    bench("pacer: a picture of 8 packets, and a voice packet", REPEATS, || {
        black_box(pacer.admit(8 * PAYLOAD, false));
        (0..8).for_each(|n| pacer.push(now, Priority::Video, PAYLOAD, n));
        pacer.push(now, Priority::Audio, 80, 8);
        let next = now + 33 * MS;
        while now < next {
            while let Some(departure) = pacer.poll(now) {
                left += u32::from(matches!(departure, Departure::Packet(_)));
            }
            now = pacer.deadline().unwrap_or(next).clamp(now + MS / 4, next);
        }
    });
    black_box(left);
}

fn packet(sequence: u16, timestamp: u32, payload: &Bytes, marker: bool, arrived_at: Instant) -> RtpPacket {
    RtpPacket {
        payload_type: 102,
        marker,
        sequence,
        timestamp,
        ssrc: 1,
        payload: payload.clone(),
        arrived_at,
    }
}

/// Single slices, which the assembler has to put together as any other picture: FU-A of eight packets (RFC 6184, 5.8).
fn assembler(name: &str, loss_of_100: u64) {
    let (mut random, mut now, mut sequence, mut picture) = (Random(2), Instant::now(), 0u16, 0u32);
    let mut assembler = VideoAssembler::new();
    let part = |keyframe: bool, n: usize| {
        let kind = if keyframe { 5 } else { 1 };
        let header = [0x7c, kind | if n == 0 { 0x80 } else { 0 } | if n == 7 { 0x40 } else { 0 }];
        Bytes::from([&header[..], &[0xab; PAYLOAD]].concat())
    };
    let sets = [0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80];
    let sets = Bytes::copy_from_slice(&sets);
    let parts = [false, true].map(|keyframe| (0..8).map(|n| part(keyframe, n)).collect::<Vec<_>>());
    bench(name, REPEATS, || {
        let keyframe = picture == 0 || assembler.needs_keyframe();
        let timestamp = picture.wrapping_mul(3_000);
        let mut hand_over = |payload: &Bytes, marker| {
            if keyframe || random.below(100) >= loss_of_100 {
                assembler.handle_packet(packet(sequence, timestamp, payload, marker, now));
            }
            sequence = sequence.wrapping_add(1);
        };
        if keyframe {
            hand_over(&sets, false);
        }
        for (n, payload) in parts[usize::from(keyframe)].iter().enumerate() {
            hand_over(payload, n == 7);
        }
        now += 33 * MS;
        picture += 1;
        while let Some(unit) = assembler.poll(now) {
            black_box(unit);
        }
    });
}

/// Stands in for Opus, whose cost `media` tells.
struct Silence;

impl VoiceDecoder for Silence {
    fn decode(&mut self, _: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(960, pcm)
    }
    fn recover(&mut self, _: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(samples, pcm)
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        pcm.extend((0..samples).map(|n| (n as f32 * 0.03).sin() * 0.2));
        Ok(())
    }
}

fn voice(name: &str, jitter_ms: u64, loss_of_100: u64) {
    let (mut random, start, mut voice) = (Random(3), Instant::now(), VoicePlayout::new());
    let (mut decoder, mut block, mut pulls) = (Silence, [0.0; VOICE_BLOCK], 0u32);
    // An Opus packet of 20 ms, SILK only.
    let payload = Bytes::from([&[0x48u8][..], &[0x22; 60]].concat());
    bench(name, REPEATS, || {
        let now = start + pulls * 10 * MS;
        if pulls.is_multiple_of(2) && random.below(100) >= loss_of_100 {
            let arrived_at = now + Duration::from_micros(random.below(jitter_ms * 1_000 + 1));
            let number = pulls / 2;
            voice.handle_packet(&packet(number as u16, number * 960, &payload, false, arrived_at));
        }
        black_box(voice.pull(now, &mut decoder, &mut block));
        pulls += 1;
    });
}

fn playout() {
    let (start, mut clock, mut picture) = (Instant::now(), PlayoutClock::default(), 0i64);
    for (kind, rtp) in [(MediaKind::Audio, 0), (MediaKind::Video, 0)] {
        clock.handle_sender_report(&SenderReport { kind, ntp: 3_900_000_000 << 32, rtp, arrived_at: start });
    }
    bench("playout clock: a picture and its sound", REPEATS, || {
        let now = start + Duration::from_micros(picture as u64 * 33_333);
        clock.handle_sound(picture * 1_600, now + 60 * MS);
        black_box(clock.due(now, picture * 3_000, now));
        picture += 1;
    });
    let mut throttle = KeyframeThrottle::default();
    let mut asked = 0u32;
    bench("keyframe throttle", REPEATS, || {
        asked += 1;
        black_box(throttle.poll(start + asked * 33 * MS, asked.is_multiple_of(3)));
    });
}

fn codes() {
    let candidates: String = (0..12)
        .map(|n| format!("a=candidate:{n} 1 udp {} 192.168.1.{n} 5000 typ host\r\n", 2_130_706_431 - n))
        .collect();
    let sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=fingerprint:sha-256 {}\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=setup:actpass\r\na=mid:0\r\n{candidates}\
         m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=rtpmap:102 H264/90000\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n",
        ["AB"; 32].join(":")
    );
    let Ok(invite::Pasted::Description(description)) = invite::read(&sdp) else {
        panic!("the description is not read");
    };
    bench("invite: a code from a description", 2_000, || {
        black_box(invite::encode(&description));
    });
    let code = invite::encode(&description);
    let quoted = format!("Hi! Take this:\n> {}\n> {}\nBye", &code[..code.len() / 2], &code[code.len() / 2..]);
    for (name, text) in [("a code", &code), ("a code, quoted and broken", &quoted), ("bare SDP", &sdp)] {
        bench(&format!("invite: {name} read"), 2_000, || {
            black_box(invite::read(text).is_ok());
        });
    }
}

/// A picture of eight packets from one member to all the others: order, keyframes, choice, numbers, and the record for
/// repairs of each receiver. What one packet costs on its way to one receiver is this by 8 and by the receivers.
fn relay(receivers: u64) {
    let (start, mut relay, mut picture) = (Instant::now(), Relay::default(), 0u32);
    let mut histories: Vec<History<(Bytes, u32)>> = (0..=receivers).map(|_| History::default()).collect();
    for id in 0..=receivers {
        assert!(relay.add_member(start, PeerId(id)));
    }
    relay.set_encodings(PeerId(0), &[Encoding::default()]);
    for id in 1..=receivers {
        relay.set_view(start, PeerId(id), PeerId(0), View::Drawn(Resolution::HD));
        relay.set_budget(start, PeerId(id), Bitrate::from_kbps(9_000));
    }
    let part = |keyframe: bool, n: usize| {
        let kind = if keyframe { 5 } else { 1 };
        let header = [0x7c, kind | if n == 0 { 0x80 } else { 0 } | if n == 7 { 0x40 } else { 0 }];
        Bytes::from([&header[..], &[0xab; PAYLOAD]].concat())
    };
    let parts = [false, true].map(|keyframe| (0..8).map(|n| part(keyframe, n)).collect::<Vec<_>>());
    let sets = Bytes::from_static(&[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80]);
    let (mut forwarded, mut sequence) = (0u64, 0u16);
    let before = allocated::now();
    bench(&format!("relay: a picture of 8 packets to {receivers} receivers"), REPEATS, || {
        let now = start + picture * 33 * MS;
        relay.handle_timeout(now, &mut |_| ());
        let keyframe = picture.is_multiple_of(300) || picture == 4;
        let payloads = keyframe.then_some(&sets).into_iter().chain(&parts[usize::from(keyframe)]);
        for payload in payloads {
            let marker = payload.len() > 100 && payload[1] & 0x40 != 0;
            let packet = packet(sequence, picture.wrapping_mul(3_000), payload, marker, now);
            sequence = sequence.wrapping_add(1);
            relay.handle_packet(now, PeerId(0), Source::Video { layer: 0 }, &packet, &mut |forward| {
                let Item::Packet(packet) = forward.item else { return };
                forwarded += 1;
                let sent = (packet.payload.clone(), packet.timestamp);
                let history = &mut histories[forward.receiver.0 as usize];
                history.record(now, packet.sequence, packet.payload.len(), sent);
            });
        }
        picture += 1;
    });
    if forwarded > 0 {
        let memory = allocated::now().saturating_sub(before) / receivers as usize;
        println!(
            "{forwarded} packets forwarded; each receiver grew by {memory} bytes, payloads once for all"
        );
    }
}

/// What a host does for six guests each 10 ms, and for each picture.
fn mix() {
    let (mut random, mut mixer) = (Random(4), SoundMixer::new(Some(5)));
    let voices: Vec<[f32; VOICE_BLOCK]> =
        (0..7).map(|_| std::array::from_fn(|_| random.below(2_000) as f32 / 4_000.0 - 0.25)).collect();
    let mut limiters = vec![Limiter::default(); 7];
    let mut out = [0.0; VOICE_BLOCK];
    bench("mix: 10 ms of 7 voices for 7 listeners", REPEATS, || {
        voices.iter().zip(0..).for_each(|(voice, id)| mixer.put(Member::Guest(PeerId(id)), voice));
        mixer.mix();
        for (limiter, id) in limiters.iter_mut().zip(0..) {
            mixer.hear(Some(Member::Guest(PeerId(id))), &mut out);
            limiter.apply(&mut out);
            black_box(&out);
        }
    });
    let sources: Vec<I420> = (0..6)
        .map(|n| {
            let mut image = I420::black(Resolution::new(640, 360));
            image.planes_mut().0.iter_mut().for_each(|pixel| *pixel = random.below(200) as u8 + n);
            image
        })
        .collect();
    let now = Instant::now();
    for (what, arrangement, changed) in [
        ("6 of 640x360 in a grid", Arrangement::Grid, 6),
        ("6 of 640x360, one large", Arrangement::Speaker, 6),
        ("6 of 640x360 in a grid, one new", Arrangement::Grid, 1),
        ("nothing new", Arrangement::Grid, 0),
    ] {
        let mut compositor = Compositor::new(Resolution::HD, now);
        let (found, mut number) = (places(Resolution::HD, 6, arrangement), 0);
        bench(&format!("compose: {what}"), 200, || {
            number += 1;
            let tile = |n: usize| Tile {
                member: Member::Guest(PeerId(n as u64)),
                place: found[n],
                picture: Some((&sources[n], if n < changed { number } else { 0 })),
                name: "Guest with a name",
                muted: n.is_multiple_of(2),
                speaking: n == 1,
            };
            let tiles: [Tile; 6] = std::array::from_fn(tile);
            black_box(compositor.compose(now, &tiles));
        });
    }
}

fn main() {
    relay(1);
    relay(8);
    relay(31);
    mix();
    estimator();
    pacer();
    assembler("assembler: a picture of 8 packets", 0);
    assembler("assembler: the same with 2 % loss", 2);
    voice("voice: a pull", 0, 0);
    voice("voice: a pull with 30 ms jitter and 5 % loss", 30, 5);
    playout();
    codes();
}
