use super::*;
use crate::rtp::test_time::at;

/// Cuts pictures into packets as an RFC 6184 sender does.
struct Sender {
    sequence: u16,
    packets: Vec<RtpPacket>,
}

impl Sender {
    fn new(sequence: u16) -> Self {
        Self { sequence, packets: Vec::new() }
    }
    fn push(&mut self, ms: u64, marker: bool, payload: &[u8]) {
        let timestamp = (ms as u32).wrapping_mul(90);
        let payload = Bytes::copy_from_slice(payload);
        let packet = RtpPacket {
            payload_type: 102,
            marker,
            sequence: self.sequence,
            timestamp,
            ssrc: 7,
            payload,
            arrived_at: at(ms),
        };
        self.packets.push(packet);
        self.sequence = self.sequence.wrapping_add(1);
    }
    /// SPS and PPS in one packet, the IDR slice in three.
    fn keyframe(&mut self, ms: u64) {
        self.push(ms, false, &[24, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 9]);
        self.push(ms, false, &[0x7c, 0x85, 0x88, ms as u8]);
        self.push(ms, false, &[0x7c, 0x05, 0x11]);
        self.push(ms, true, &[0x7c, 0x45, 0x22]);
    }
    /// Two slices.
    fn delta(&mut self, ms: u64) {
        self.push(ms, false, &[0x41, 0x9a, ms as u8]);
        self.push(ms, true, &[0x41, 0x1a, ms as u8]);
    }
    /// A keyframe at 0, then pictures at 30, 60 ...
    fn stream(sequence: u16, pictures: u64) -> Vec<RtpPacket> {
        let mut sender = Self::new(sequence);
        sender.keyframe(0);
        (1..pictures).for_each(|n| sender.delta(n * 30));
        sender.packets
    }
}

fn drain(assembler: &mut VideoAssembler, now: Instant) -> Vec<AccessUnit> {
    std::iter::from_fn(|| assembler.poll(now)).collect()
}

/// Feeds all at their arrival times; timestamps (in ms) of what came out.
fn play(assembler: &mut VideoAssembler, packets: impl IntoIterator<Item = RtpPacket>) -> Vec<i64> {
    let mut out = Vec::new();
    for packet in packets {
        let now = packet.arrived_at;
        assembler.handle_packet(packet);
        out.extend(drain(assembler, now).iter().map(|unit| unit.timestamp / 90));
    }
    out
}

#[test]
fn a_stream_comes_out_whole_and_at_once() {
    let mut assembler = VideoAssembler::new();
    let mut sender = Sender::new(65_533);
    sender.keyframe(0);
    sender.delta(30);
    let mut units = Vec::new();
    for packet in sender.packets {
        let now = packet.arrived_at;
        assembler.handle_packet(packet);
        units.extend(drain(&mut assembler, now));
    }
    let key: &[u8] = &[0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 9, 0, 0, 0, 1, 0x65, 0x88, 0, 0x11, 0x22];
    assert_eq!((&units[0].data[..], units[0].keyframe, units[0].timestamp), (key, true, 0));
    let delta: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 30, 0, 0, 0, 1, 0x41, 0x1a, 30];
    assert_eq!((&units[1].data[..], units[1].keyframe, units[1].timestamp), (delta, false, 2700));
    assert_eq!((units[1].first_arrival, units[1].last_arrival), (at(30), at(30)));
    assert!(!assembler.needs_keyframe() && assembler.deadline().is_none());
}

#[test]
fn reordering_and_duplicates_change_nothing() {
    let expected: Vec<i64> = (0..40).map(|n| n * 30).collect();
    for stride in [2, 3, 5] {
        let mut packets = Sender::stream(65_500, 40);
        for group in packets.chunks_mut(stride) {
            group.reverse();
        }
        let twice: Vec<_> = packets.iter().flat_map(|p| [p.clone(), p.clone()]).collect();
        let mut assembler = VideoAssembler::new();
        assert_eq!(play(&mut assembler, twice), expected, "groups of {stride}");
        assert_eq!(assembler.counters().frames_dropped, 0);
    }
}

#[test]
fn a_retransmission_within_the_patience_costs_nothing() {
    let mut packets = Sender::stream(10, 10);
    let mut late = packets.remove(9);
    late.arrived_at = at(90 + 100);
    let before: Vec<_> = packets.iter().filter(|p| p.arrived_at <= at(180)).cloned().collect();
    let mut assembler = VideoAssembler::new();
    assert_eq!(play(&mut assembler, before), [0, 30, 60]);
    assert!(!assembler.needs_keyframe());
    assert_eq!(play(&mut assembler, [late]), [90, 120, 150, 180]);
}

#[test]
fn a_loss_drops_everything_up_to_the_next_keyframe() {
    let mut sender = Sender::new(0);
    sender.keyframe(0);
    (1..20).for_each(|n| sender.delta(n * 30));
    sender.keyframe(600);
    sender.delta(630);
    let mut packets = sender.packets;
    packets.remove(7);
    let mut assembler = VideoAssembler::new();
    let (early, rest): (Vec<_>, Vec<_>) = packets.into_iter().partition(|p| p.arrived_at < at(210));
    assert_eq!(play(&mut assembler, early), [0, 30]);
    // The hole showed at 90 ms: nothing is given up before 240 ms.
    assert_eq!(assembler.deadline(), Some(at(240)));
    assert!(assembler.poll(at(239)).is_none() && !assembler.needs_keyframe());
    assert!(assembler.poll(at(240)).is_none() && assembler.needs_keyframe());
    assert_eq!(play(&mut assembler, rest), [600, 630]);
    assert!(!assembler.needs_keyframe());
    assert_eq!(assembler.counters().frames_dropped, 18);
}

#[test]
fn a_whole_keyframe_behind_a_hole_ends_the_waiting() {
    let mut sender = Sender::new(0);
    sender.keyframe(0);
    sender.delta(30);
    sender.keyframe(60);
    sender.packets.remove(4);
    let mut assembler = VideoAssembler::new();
    sender
        .packets
        .iter_mut()
        .filter(|packet| packet.arrived_at == at(60))
        .for_each(|p| p.arrived_at = at(40));
    assert_eq!(play(&mut assembler, sender.packets), [0]);
    assert_eq!(assembler.deadline(), Some(at(50)));
    assert_eq!(
        drain(&mut assembler, at(50)).iter().map(|unit| unit.timestamp / 90).collect::<Vec<_>>(),
        [60]
    );
}

#[test]
fn a_keyframe_whose_parameter_sets_are_lost_is_not_trusted() {
    let mut sender = Sender::new(0);
    sender.keyframe(0);
    sender.delta(30);
    sender.packets.remove(0);
    let mut assembler = VideoAssembler::new();
    assert_eq!(play(&mut assembler, sender.packets), Vec::<i64>::new());
    assert!(assembler.poll(at(400)).is_none());
    assert!(assembler.needs_keyframe());
}

#[test]
fn parameter_sets_in_a_packet_of_their_own_are_kept_for_later_keyframes() {
    let mut sender = Sender::new(0);
    sender.push(0, false, &[0x67, 1, 2]);
    sender.push(0, false, &[0x68, 3]);
    sender.push(0, true, &[0x65, 0x88]);
    sender.push(30, true, &[0x65, 0x88, 1]);
    let mut assembler = VideoAssembler::new();
    let mut units = Vec::new();
    for packet in sender.packets {
        assembler.handle_packet(packet);
        units.extend(drain(&mut assembler, at(30)));
    }
    assert_eq!(units.len(), 2);
    assert!(units[1].keyframe && units[1].data.starts_with(&[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3]));
}

#[test]
fn padding_packets_and_missing_marks_are_stepped_over() {
    let mut sender = Sender::new(0);
    sender.keyframe(0);
    sender.push(0, false, &[]);
    sender.push(0, false, &[]);
    sender.delta(30);
    sender.packets.last_mut().unwrap().marker = false;
    sender.delta(60);
    let mut assembler = VideoAssembler::new();
    assert_eq!(play(&mut assembler, sender.packets), [0, 30, 60]);
}

#[test]
fn the_decoder_can_ask_for_a_new_start() {
    let mut sender = Sender::new(0);
    sender.keyframe(0);
    sender.delta(30);
    let mut assembler = VideoAssembler::new();
    play(&mut assembler, std::mem::take(&mut sender.packets));
    assembler.decoder_failed();
    sender.delta(60);
    sender.keyframe(90);
    sender.delta(120);
    assert_eq!(play(&mut assembler, sender.packets), [90, 120]);
}

#[test]
fn another_ssrc_or_a_restarted_sequence_starts_anew() {
    let mut assembler = VideoAssembler::new();
    play(&mut assembler, Sender::stream(30_000, 300));
    let mut other = Sender::stream(5, 3);
    other.iter_mut().for_each(|packet| packet.ssrc = 8);
    assert_eq!(play(&mut assembler, other).len(), 3);

    let mut assembler = VideoAssembler::new();
    play(&mut assembler, Sender::stream(30_000, 300));
    let mut sender = Sender::new(20_000);
    (0..100).for_each(|n| sender.delta(10_000 + n * 30));
    sender.keyframe(13_000);
    sender.delta(13_030);
    assert_eq!(play(&mut assembler, sender.packets), [13_000, 13_030]);
}

#[test]
fn memory_is_bounded_without_any_keyframe_and_with_a_hole_for_ever() {
    let mut assembler = VideoAssembler::new();
    assembler.set_patience(Duration::from_secs(3600));
    let mut packets = Sender::stream(0, 20_000);
    packets.remove(4);
    packets.iter_mut().for_each(|packet| packet.arrived_at = at(0));
    for packet in packets {
        assembler.handle_packet(packet);
        assembler.poll(at(0));
        assert!(assembler.packets.len() <= MAX_PACKETS);
    }
    let big = Bytes::from(vec![0x41; 60_000]);
    for sequence in 0..500u16 {
        let packet = RtpPacket {
            payload_type: 102,
            marker: false,
            sequence: sequence * 2,
            timestamp: 0,
            ssrc: 9,
            payload: big.clone(),
            arrived_at: at(1),
        };
        assembler.handle_packet(packet);
        assembler.poll(at(1));
        assert!(assembler.bytes <= MAX_BYTES);
    }
}

/// Damages `stream(sequence)` in every way there is, again and again; of what another stream brings afterwards, which
/// begins at 2 s with a keyframe and has one at 9 s, all `pictures` must come out.
pub(super) fn survive_hostile(
    stream: impl Fn(u16) -> Vec<RtpPacket>,
    after: impl Fn(u16) -> Vec<RtpPacket>,
    pictures: usize,
) {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..300 {
        let mut assembler = VideoAssembler::new();
        let mut packets = stream(random() as u16);
        for packet in &mut packets {
            match random() % 9 {
                0 => {
                    let mut bytes = packet.payload.to_vec();
                    let place = random() as usize % bytes.len();
                    bytes[place] ^= random() as u8;
                    packet.payload = bytes.into();
                }
                1 => packet.payload = packet.payload.slice(..random() as usize % packet.payload.len()),
                2 => packet.timestamp ^= random() as u32,
                3 => packet.sequence ^= random() as u16,
                4 => packet.marker ^= true,
                5 => packet.payload_type = random() as u8,
                _ => {}
            }
        }
        play(&mut assembler, packets);
        let mut whole = after(random() as u16);
        whole.iter_mut().for_each(|packet| packet.ssrc = 77);
        assert_eq!(play(&mut assembler, whole).len(), pictures);
    }
}

#[test]
fn hostile_packets_never_panic_and_never_stop_the_stream() {
    let after = |sequence| {
        let mut sender = Sender::new(sequence);
        sender.keyframe(2_000);
        (1..200).for_each(|n| sender.delta(2_000 + n * 30));
        sender.keyframe(9_000);
        sender.delta(9_030);
        sender.packets
    };
    survive_hostile(|sequence| Sender::stream(sequence, 30), after, 202);
}
