//! Whole rooms on a timeline: senders with layers, a path to the host that loses, delays and doubles, receivers that
//! look at every number they get.

use super::*;
use crate::rtp::Glance;
use crate::rtp::test_time::at_us;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const HOST_STEP: u64 = 1_000;
const PICTURE: u64 = 33_333;
const LARGE: View = View::Drawn(Resolution::HD);
const SMALL: View = View::Drawn(Resolution::new(240, 136));

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What the path does to the packets: shares of a thousand, and microseconds.
#[derive(Clone, Copy, Default)]
struct Path {
    lost: u64,
    doubled: u64,
    jitter: u64,
}

/// One layer's encoder: eight packets a picture for the main one.
struct Encoder {
    layer: u8,
    sequence: u16,
    clock: u32,
    packets: u16,
    bytes: usize,
    pictures: u32,
    keyframe: bool,
    on: bool,
}

impl Encoder {
    /// The packets of the picture taken at `us`; every second one is disposable.
    fn encode(&mut self, us: u64) -> Vec<RtpPacket> {
        let keyframe = std::mem::take(&mut self.keyframe);
        self.pictures = if keyframe { 0 } else { self.pictures + 1 };
        let disposable = self.pictures % 2 == 1;
        let nri = if disposable { 0 } else { 0x60 };
        let timestamp = self.clock.wrapping_add((us * 9 / 100) as u32);
        let count = self.packets * if keyframe { 4 } else { 1 } + u16::from(keyframe);
        (0..count)
            .map(|n| {
                let mut payload = match (keyframe, n) {
                    (true, 0) => vec![0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80],
                    (true, _) => vec![nri | 28, 5 | if n == 1 { 0x80 } else { 0 }, 0x88],
                    (false, _) => vec![nri | 28, 1 | if n == 0 { 0x80 } else { 0 }, 0x9a],
                };
                let parameters = keyframe && n == 0;
                if !parameters {
                    payload.resize(self.bytes, 0xab);
                }
                let sequence = self.sequence;
                self.sequence = self.sequence.wrapping_add(1);
                RtpPacket {
                    payload_type: 125,
                    marker: n + 1 == count,
                    sequence,
                    timestamp,
                    ssrc: u32::from(self.layer),
                    payload: Bytes::from(payload),
                    arrived_at: at_us(us),
                }
            })
            .collect()
    }
}

/// What a receiver got, by the number it came with.
#[derive(Default)]
struct Received {
    packets: BTreeMap<i64, RtpPacket>,
    numbers: crate::rtp::SequenceUnwrapper,
    order: Vec<i64>,
    bytes: u64,
    reports: Vec<(u64, u32)>,
}

struct World {
    relay: Relay,
    now: u64,
    encoders: Vec<Encoder>,
    /// Microseconds, then an order: layer and packet on the way to the host.
    way: BTreeMap<(u64, u64), RtpPacket>,
    path: Path,
    random: Random,
    count: u64,
    /// What reached the host, by layer and number.
    arrived: BTreeSet<(u32, u16)>,
    received: BTreeMap<PeerId, Received>,
    keyframes_asked: u64,
}

const SENDER: PeerId = PeerId(0);

impl World {
    fn new(receivers: u64, path: Path, clocks: [u32; 2], seed: u64) -> Self {
        let mut relay = Relay::default();
        assert!((0..=receivers).all(|id| relay.add_member(at_us(0), PeerId(id))));
        let encoding = |kbps, size| Encoding { rate: Bitrate::from_kbps(kbps), size: Some(size) };
        let small = encoding(150, Resolution::new(320, 180));
        relay.set_encodings(SENDER, &[encoding(2_000, Resolution::HD), small]);
        let encoder = |layer: u8, sequence, packets, bytes| Encoder {
            layer,
            sequence,
            clock: clocks[usize::from(layer)],
            packets,
            bytes,
            pictures: 0,
            keyframe: true,
            on: layer == 0,
        };
        Self {
            relay,
            now: 0,
            encoders: vec![encoder(0, 65_000, 7, 1_100), encoder(1, 200, 1, 600)],
            way: BTreeMap::new(),
            path,
            random: Random(seed),
            count: 0,
            arrived: BTreeSet::new(),
            received: BTreeMap::new(),
            keyframes_asked: 0,
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms * 1_000;
        while self.now < end {
            self.now += HOST_STEP;
            if self.now / PICTURE != (self.now - HOST_STEP) / PICTURE {
                self.take_picture();
            }
            let mut out = Vec::new();
            while let Some(entry) = self.way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let ((us, _), packet) = entry.remove_entry();
                self.arrived.insert((packet.ssrc, packet.sequence));
                let source = Source::Video { layer: packet.ssrc as u8 };
                self.relay.handle_packet(at_us(us), SENDER, source, &packet, &mut |out_of| out.push(out_of));
            }
            self.relay.handle_timeout(at_us(self.now), &mut |forward| out.push(forward));
            while let Some(request) = self.relay.poll_request() {
                match request {
                    Request::Keyframe { sender: SENDER, layer } => {
                        self.keyframes_asked += 1;
                        self.encoders[usize::from(layer)].keyframe = true;
                    }
                    Request::Layer { sender: SENDER, layer, wanted } => {
                        let encoder = &mut self.encoders[usize::from(layer)];
                        encoder.keyframe |= wanted.is_some() && !encoder.on;
                        encoder.on = wanted.is_some();
                    }
                    other => panic!("{other:?}"),
                }
            }
            out.into_iter().for_each(|forward| self.receive(forward));
        }
    }

    fn take_picture(&mut self) {
        let Self { encoders, random, path, way, count, now, .. } = self;
        for encoder in encoders.iter_mut().filter(|encoder| encoder.on) {
            for (n, packet) in encoder.encode(*now).into_iter().enumerate() {
                let copies = match random.below(1_000) {
                    x if x < path.lost => 0,
                    x if x < path.lost + path.doubled => 2,
                    _ => 1,
                };
                for _ in 0..copies {
                    *count += 1;
                    let at = *now + 10_000 + n as u64 * 200 + random.below(path.jitter + 1);
                    way.insert((at, *count), packet.clone());
                }
            }
        }
    }

    fn receive(&mut self, forward: Forward) {
        assert_eq!(forward.sender, SENDER);
        let received = self.received.entry(forward.receiver).or_default();
        match forward.item {
            Item::Packet(packet) => {
                let number = received.numbers.unwrap(packet.sequence);
                received.bytes += packet.payload.len() as u64;
                received.order.push(number);
                assert!(received.packets.insert(number, packet).is_none(), "number {number} was used twice");
            }
            Item::Report { ntp, rtp } => received.reports.push((ntp, rtp)),
        }
    }

    /// Everything a receiver may rely on. Gives the number of runs.
    fn check(&self, receiver: u64) -> u64 {
        let received = &self.received[&PeerId(receiver)];
        // The source's numbers follow from what was sent: the payload does not matter here.
        let mut runs = 0;
        let mut before: Option<(i64, &RtpPacket)> = None;
        for (number, packet) in &received.packets {
            let begins = before.is_none_or(|(_, before)| before.ssrc != packet.ssrc);
            if begins {
                runs += 1;
                assert!(Glance::of(&packet.payload).parameters, "run {runs} begins without a keyframe");
            }
            if let Some((last, earlier)) = before {
                let later = packet.timestamp.wrapping_sub(earlier.timestamp) as i32;
                assert!(later >= 0, "time goes back by {later} at {number}");
                assert!(!begins || later > 0, "two layers in one picture");
                assert!(!begins || *number == last + 1, "a hole before run {runs}");
            }
            before = Some((*number, packet));
        }
        runs
    }

    /// Holes in the numbers that a receiver got, from the first to the last.
    fn holes(&self, receiver: u64) -> i64 {
        let packets = &self.received[&PeerId(receiver)].packets;
        let ends = packets.first_key_value().zip(packets.last_key_value());
        ends.map_or(0, |((first, _), (last, _))| last - first + 1 - packets.len() as i64)
    }
}

/// Switches a receiver up and down until the layer has changed so many times.
fn switch(world: &mut World, receiver: PeerId, times: u64) {
    let budget = |kbps| Bitrate::from_kbps(kbps);
    let mut large = true;
    world.relay.set_view(at_us(world.now), receiver, SENDER, LARGE);
    world.relay.set_budget(at_us(world.now), receiver, budget(6_000));
    world.run(500);
    let mut tries = 0;
    while world.relay.seen(receiver, SENDER).0 < times {
        tries += 1;
        assert!(tries < times * 3, "it does not switch: {:?}", world.relay.seen(receiver, SENDER));
        large = !large;
        let now = at_us(world.now);
        world.relay.set_budget(now, receiver, budget(if large { 6_000 } else { 400 }));
        if large {
            // A tile that grows is filled at once.
            world.relay.set_view(now, receiver, SENDER, SMALL);
            world.relay.set_view(now, receiver, SENDER, LARGE);
        }
        let pause = 300 + world.random.below(900);
        world.run(pause);
    }
}

#[test]
fn two_hundred_switches_over_a_perfect_path_leave_no_hole_and_no_piece_of_a_picture() {
    let mut world = World::new(1, Path::default(), [77, 77], 1);
    switch(&mut world, PeerId(1), 200);
    assert!(world.check(1) >= 200);
    assert_eq!(world.holes(1), 0);
    let packets = &world.received[&PeerId(1)].packets;
    let mut pairs = packets.values().zip(packets.values().skip(1));
    assert!(pairs.all(|(a, b)| a.marker == (a.timestamp != b.timestamp)), "a picture without its end");
}

#[test]
fn two_hundred_switches_with_loss_reordering_and_copies_keep_numbers_times_and_keyframes_right() {
    for (seed, clocks) in [(11, [77, 77]), (12, [5, 3_000_000_000]), (13, [u32::MAX - 90_000, 12])] {
        println!("seed {seed}");
        let path = Path { lost: 20, doubled: 20, jitter: 12_000 };
        let mut world = World::new(1, path, clocks, seed);
        switch(&mut world, PeerId(1), 200);
        assert!(world.check(1) >= 190);
        // A hole is a packet that never came to the host.
        let (packets, holes) = (world.received[&PeerId(1)].packets.len() as i64, world.holes(1));
        assert!(holes < packets / 25, "{holes} holes in {packets} packets at 2 % loss");
        let received = &world.received[&PeerId(1)];
        let overtaken = received.order.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(overtaken > 1_000, "{overtaken} packets were overtaken");
    }
}

#[test]
fn a_lossy_path_leaves_exactly_the_holes_of_what_did_not_come() {
    let path = Path { lost: 30, doubled: 10, jitter: 8_000 };
    let mut world = World::new(1, path, [0, 0], 5);
    world.relay.set_budget(at_us(0), PeerId(1), Bitrate::from_kbps(9_000));
    world.relay.set_view(at_us(0), PeerId(1), SENDER, LARGE);
    world.run(20_000);
    assert_eq!(world.check(1), 1);
    let received = &world.received[&PeerId(1)].packets;
    let (first, last) = (received.first_key_value().unwrap(), received.last_key_value().unwrap());
    assert_eq!(world.relay.seen(PeerId(1), SENDER), (1, Some(0)));
    let source = world.arrived.iter().filter(|(layer, _)| *layer == 0).count() as i64;
    // Everything that came from the first keyframe on was forwarded; the rest has its hole.
    assert!(received.len() as i64 >= source - 300, "{} of {source}", received.len());
    assert_eq!(world.holes(1), last.0 - first.0 + 1 - received.len() as i64);
    assert!(world.holes(1) > 50);
}

#[test]
fn a_squeezed_receiver_gets_less_and_the_others_do_not_notice() {
    let (mut alone, mut beside) = (0, 0);
    for squeezed in [false, true] {
        let mut world = World::new(3, Path { jitter: 3_000, ..Path::default() }, [0, 0], 9);
        for receiver in 1..=3 {
            world.relay.set_view(at_us(0), PeerId(receiver), SENDER, LARGE);
            world.relay.set_budget(at_us(0), PeerId(receiver), Bitrate::from_kbps(5_000));
        }
        world.run(5_000);
        if squeezed {
            world.relay.set_budget(at_us(world.now), PeerId(2), Bitrate::from_kbps(300));
        }
        let before: Vec<_> = (1..=3).map(|n| world.received[&PeerId(n)].bytes).collect();
        world.run(10_000);
        let rates: Vec<_> = (1..=3)
            .map(|n| (world.received[&PeerId(n)].bytes - before[n as usize - 1]) * 8 / 10_000)
            .collect();
        println!("kbit/s: {rates:?}");
        assert_eq!(rates[0], rates[2]);
        if squeezed {
            beside = rates[0];
            assert!((50..=300).contains(&rates[1]), "{rates:?}");
            assert_eq!(world.relay.seen(PeerId(2), SENDER).1, Some(1));
        } else {
            alone = rates[0];
        }
        for receiver in 1..=3 {
            world.check(receiver);
        }
    }
    // A keyframe for the squeezed one is not theirs: it is of the small layer.
    assert!(beside + 10 >= alone && alone > 1_500, "{alone} alone, {beside} beside a squeezed one");
}

#[test]
fn without_a_small_layer_the_pictures_that_can_be_left_out_are() {
    let mut world = World::new(1, Path::default(), [0, 0], 3);
    world.relay.set_encodings(SENDER, &[Encoding::default()]);
    world.relay.set_view(at_us(0), PeerId(1), SENDER, LARGE);
    world.relay.set_budget(at_us(0), PeerId(1), Bitrate::from_kbps(5_000));
    world.run(3_000);
    world.relay.set_budget(at_us(world.now), PeerId(1), Bitrate::from_kbps(1_300));
    world.run(500);
    let before = world.received[&PeerId(1)].packets.len();
    world.run(3_000);
    assert_eq!((world.check(1), world.holes(1)), (1, 0));
    let packets: Vec<_> = world.received[&PeerId(1)].packets.values().skip(before).collect();
    assert!(packets.iter().all(|packet| !Glance::of(&packet.payload).disposable));
    assert!(packets.len() > 250 && packets.len() < 400, "{}", packets.len());
    assert!(world.keyframes_asked <= 1, "that needs none");
}

#[test]
fn a_hidden_tile_costs_nothing_and_comes_back_with_a_keyframe() {
    let mut world = World::new(2, Path::default(), [0, 0], 4);
    for receiver in [1, 2] {
        world.relay.set_budget(at_us(0), PeerId(receiver), Bitrate::from_kbps(5_000));
        world.relay.set_view(at_us(0), PeerId(receiver), SENDER, LARGE);
    }
    world.run(1_000);
    world.relay.set_view(at_us(world.now), PeerId(1), SENDER, View::Hidden);
    world.run(100);
    let before = world.received[&PeerId(1)].packets.len();
    world.run(2_000);
    assert_eq!(world.received[&PeerId(1)].packets.len(), before);
    assert!(world.encoders[0].on, "the other one still looks");
    world.relay.set_view(at_us(world.now), PeerId(2), SENDER, View::Hidden);
    world.run(200);
    assert!(world.encoders.iter().all(|encoder| !encoder.on), "nobody looks, nothing is made");
    world.relay.set_view(at_us(world.now), PeerId(1), SENDER, LARGE);
    world.run(1_000);
    assert!(world.received[&PeerId(1)].packets.len() > before + 100);
    assert_eq!((world.check(1), world.holes(1)), (1, 0));
    assert_eq!(world.relay.seen(PeerId(1), SENDER).0, 2);
}

#[test]
fn keyframes_are_asked_for_but_not_by_everybody() {
    let mut world = World::new(20, Path::default(), [0, 0], 6);
    for receiver in 1..=20 {
        world.relay.set_budget(at_us(0), PeerId(receiver), Bitrate::from_kbps(5_000));
        world.relay.set_view(at_us(0), PeerId(receiver), SENDER, LARGE);
    }
    world.run(2_000);
    assert!(world.keyframes_asked <= 3, "{} for twenty who come", world.keyframes_asked);
    let before = world.keyframes_asked;
    for _ in 0..100 {
        for receiver in 1..=20 {
            world.relay.handle_keyframe_request(at_us(world.now), PeerId(receiver), SENDER);
        }
        world.run(10);
    }
    let asked = world.keyframes_asked - before;
    assert!((3..=4).contains(&asked), "{asked} in a second of shouting");
}

#[test]
fn a_sender_that_cannot_make_the_small_layer_is_not_waited_for() {
    let mut world = World::new(1, Path::default(), [0, 0], 8);
    world.relay.set_view(at_us(0), PeerId(1), SENDER, SMALL);
    world.relay.set_budget(at_us(0), PeerId(1), Bitrate::from_kbps(5_000));
    for _ in 0..60 {
        world.encoders[1].on = false;
        world.run(100);
    }
    assert_eq!(world.relay.seen(PeerId(1), SENDER).1, Some(0));
}

#[test]
fn a_sender_whose_way_fails_for_a_while_comes_back() {
    for failing in [1_000, 4_000, 20_000] {
        let mut world = World::new(1, Path::default(), [0, 0], 8);
        world.relay.set_view(at_us(0), PeerId(1), SENDER, LARGE);
        world.relay.set_budget(at_us(0), PeerId(1), Bitrate::from_kbps(5_000));
        world.run(2_000);
        world.path.lost = 1_000;
        world.run(failing);
        world.path.lost = 0;
        world.run(3_000);
        let before = world.received[&PeerId(1)].packets.len();
        world.run(1_000);
        let came = world.received[&PeerId(1)].packets.len() - before;
        assert!(came > 150, "{came} packets in a second, after {failing} ms without any");
    }
}

#[test]
fn sender_reports_are_moved_to_the_stream_that_is_sent() {
    let mut world = World::new(1, Path::default(), [0, 1_000_000], 2);
    for (layer, rtp) in [(0, 90_000u32), (1, 1_090_000)] {
        let source = Source::Video { layer };
        world.relay.handle_report(SENDER, source, (5 << 32, rtp), &mut |_| {});
    }
    world.relay.set_budget(at_us(0), PeerId(1), Bitrate::from_kbps(5_000));
    world.relay.set_view(at_us(0), PeerId(1), SENDER, SMALL);
    world.run(1_000);
    let first = world.received[&PeerId(1)].packets.values().next().unwrap().timestamp;
    assert!(first < 90_000, "the small layer's clock became the main one's: {first}");
    let mut out = Vec::new();
    world.relay.handle_report(SENDER, Source::Video { layer: 1 }, (6 << 32, 1_180_000), &mut |x| out.push(x));
    let [Forward { item: Item::Report { ntp, rtp }, kind: MediaKind::Video, .. }] = out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((ntp, rtp), (6 << 32, 180_000));
}

fn sound(sequence: u16, payload: &'static [u8]) -> RtpPacket {
    RtpPacket {
        payload_type: 111,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 960,
        ssrc: 1,
        payload: Bytes::from_static(payload),
        arrived_at: at_us(0),
    }
}

#[test]
fn the_loudest_three_go_on_without_a_hole_and_nobody_hears_themselves() {
    let mut relay = Relay::default();
    (0..6).for_each(|id| assert!(relay.add_member(at_us(0), PeerId(id))));
    let mut got: BTreeMap<(PeerId, PeerId), Vec<RtpPacket>> = BTreeMap::new();
    for n in 0..1_000u16 {
        let now = at_us(u64::from(n) * 20_000);
        for id in 0..6u64 {
            // Two of the six talk at a time, in turn; one packet in fifty is lost.
            let talks = (u64::from(n) / 150 + id).is_multiple_of(3);
            if (u64::from(n) + id).is_multiple_of(50) {
                continue;
            }
            let level = Some(if talks { 25 } else { 80 });
            relay.handle_packet(
                now,
                PeerId(id),
                Source::Audio { level },
                &sound(n, &[1; 60]),
                &mut |forward| {
                    let Item::Packet(packet) = forward.item else { panic!("a report of nothing") };
                    got.entry((forward.receiver, forward.sender)).or_default().push(packet);
                },
            );
        }
        relay.handle_timeout(now, &mut |_| panic!("no pictures here"));
    }
    assert!(got.keys().all(|(receiver, sender)| receiver != sender));
    let total: usize = got.values().map(Vec::len).sum();
    assert!(total <= 3 * 5 * 1_000, "{total}");
    for packets in got.values() {
        let mut lost = 0;
        for pair in packets.windows(2) {
            let (step, time) = (
                pair[1].sequence.wrapping_sub(pair[0].sequence),
                pair[1].timestamp.wrapping_sub(pair[0].timestamp) / 960,
            );
            assert!(time > 0 && (1..=2).contains(&step) && u32::from(step) <= time);
            lost += usize::from(step - 1);
            assert!(step == 1 || time == 2, "a hole that is no loss");
            assert!(pair[1].marker == (time > u32::from(step)), "{step} {time}");
        }
        assert!(lost < 20);
    }
}

#[test]
fn copies_of_what_was_not_sent_are_left_out() {
    use crate::rtp::red::RED;
    let mut relay = Relay::default();
    (0..2).for_each(|id| assert!(relay.add_member(at_us(0), PeerId(id))));
    let with_copy: &[u8] = &[0x80 | 111, (960 >> 6) as u8, (960 << 2 & 0xff) as u8, 2, 111, 9, 9, 7, 7, 7];
    let mut sizes = Vec::new();
    for n in 0..4 {
        let packet = RtpPacket { payload_type: RED, ..sound(n, with_copy) };
        relay.handle_packet(
            at_us(u64::from(n)),
            PeerId(0),
            Source::Audio { level: None },
            &packet,
            &mut |out| {
                let Item::Packet(packet) = out.item else { return };
                sizes.push((packet.payload_type, packet.payload.len(), packet.marker));
            },
        );
    }
    assert_eq!(sizes, [(111, 3, true), (111, 3, false), (RED, 10, false), (RED, 10, false)]);
}

#[test]
fn a_sender_whose_connection_was_made_anew_is_heard_at_once() {
    let mut relay = Relay::default();
    (0..2).for_each(|id| assert!(relay.add_member(at_us(0), PeerId(id))));
    let mut got = Vec::new();
    let streams = [(1, 40_000u16), (2, 9)];
    for (n, (ssrc, first)) in streams.into_iter().flat_map(|stream| [stream; 50]).enumerate() {
        let packet = RtpPacket { ssrc, ..sound(first + n as u16 % 50, &[1; 60]) };
        let source = Source::Audio { level: Some(20) };
        relay.handle_packet(at_us(n as u64 * 20_000), PeerId(0), source, &packet, &mut |out| {
            let Item::Packet(packet) = out.item else { return };
            got.push((packet.sequence, packet.timestamp));
        });
    }
    assert_eq!(got.len(), 100);
    for pair in got.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
        assert_eq!(pair[1].1.wrapping_sub(pair[0].1), 960, "20 ms by either clock");
    }
}

#[test]
fn whoever_does_not_listen_for_a_while_is_told_what_holds_then() {
    let mut relay = Relay::default();
    let all = || (0..MAX_MEMBERS as u64).map(PeerId);
    for id in all() {
        assert!(relay.add_member(at_us(0), id));
        relay.set_encodings(id, &[Encoding::default(); MAX_LAYERS]);
        relay.set_budget(at_us(0), id, Bitrate::from_kbps(50_000));
    }
    let mut told = BTreeMap::new();
    for n in 1..=101u64 {
        let now = at_us(n * 200_000);
        for sender in all() {
            let receiver = PeerId((sender.0 + 1) % MAX_MEMBERS as u64);
            relay.set_view(now, receiver, sender, if n % 2 == 0 || n > 100 { View::Hidden } else { LARGE });
        }
        relay.handle_timeout(now, &mut |_| {});
        assert!(relay.requests.len() <= MAX_REQUESTS);
        if n < 100 {
            continue;
        }
        while let Some(request) = relay.poll_request() {
            if let Request::Layer { sender, layer, wanted } = request {
                told.insert((sender, layer), wanted.is_some());
            }
        }
    }
    for member in &relay.members {
        for layer in 0..MAX_LAYERS as u8 {
            let knows = told.get(&(member.id, layer)).copied().unwrap_or_default();
            assert!(!knows, "nobody looks at {:?}, and layer {layer} is still wanted", member.id);
        }
    }
    assert!(!told.is_empty());
}

#[test]
fn hostile_packets_never_panic_and_nothing_grows() {
    let mut random = Random(99);
    let mut relay = Relay::default();
    let members = (0..100).filter(|id| relay.add_member(at_us(0), PeerId(*id))).count();
    assert_eq!(members, MAX_MEMBERS);
    for id in 0..8 {
        for other in 0..8 {
            relay.set_view(at_us(0), PeerId(id), PeerId(other), LARGE);
        }
        relay.set_budget(at_us(0), PeerId(id), Bitrate::from_bps(u64::MAX));
    }
    let mut emitted = 0u64;
    for n in 0..60_000u64 {
        let length = random.below(12) as usize;
        let payload: Vec<u8> = (0..length)
            .map(|_| [0x67, 0x65, 0x7c, 0x78, 0x41, 0x85, 0, 0xff, 0x80, 63, 4][random.below(11) as usize])
            .collect();
        let packet = RtpPacket {
            payload_type: random.below(256) as u8,
            marker: random.below(3) == 0,
            sequence: if random.below(4) == 0 { random.below(65_536) as u16 } else { n as u16 },
            timestamp: if random.below(4) == 0 { random.below(1 << 32) as u32 } else { n as u32 * 3_000 },
            ssrc: random.below(5) as u32,
            payload: payload.into(),
            arrived_at: at_us(0),
        };
        let now = at_us(n * 500);
        let source = match random.below(3) {
            0 => Source::Audio { level: (random.below(2) == 0).then_some(random.below(256) as u8) },
            _ => Source::Video { layer: random.below(256) as u8 % 5 },
        };
        relay.handle_packet(now, PeerId(random.below(10)), source, &packet, &mut |_| emitted += 1);
        let report = (random.below(u64::MAX >> 1), random.below(1 << 32) as u32);
        relay.handle_report(PeerId(random.below(10)), source, report, &mut |_| {});
        relay.handle_keyframe_request(now, PeerId(random.below(10)), PeerId(random.below(10)));
        if random.below(500) == 0 {
            relay.set_budget(now, PeerId(random.below(10)), Bitrate::from_kbps(random.below(9_000)));
            let id = PeerId(random.below(10));
            relay.remove_member(id);
            relay.add_member(now, id);
        }
        relay.handle_timeout(now, &mut |_| emitted += 1);
    }
    assert!(emitted > 0 && relay.requests.len() <= MAX_REQUESTS);
}
