use super::*;
use crate::rtp::test_time::at;

/// Cuts frames into packets as an RFC 7741 sender does, with a picture id of two bytes.
struct Sender {
    sequence: u16,
    packets: Vec<RtpPacket>,
}

impl Sender {
    fn new(sequence: u16) -> Self {
        Self { sequence, packets: Vec::new() }
    }
    /// In `pieces` packets.
    fn frame(&mut self, ms: u64, keyframe: bool, pieces: u16) {
        for piece in 0..pieces {
            let start = if piece == 0 { 0x10 } else { 0 };
            let first_byte = if keyframe { 0x10 } else { 0x11 };
            let id = (ms as u16) | 0x8000;
            let payload = [&[0x80 | start, 0x80][..], &id.to_be_bytes(), &[first_byte, piece as u8]].concat();
            self.packets.push(RtpPacket {
                payload_type: vp8::VP8,
                marker: piece == pieces - 1,
                sequence: self.sequence,
                timestamp: (ms as u32).wrapping_mul(90),
                ssrc: 7,
                payload: payload.into(),
                arrived_at: at(ms),
            });
            self.sequence = self.sequence.wrapping_add(1);
        }
    }
    /// A keyframe at 0, then pictures at 30, 60 ...
    fn stream(sequence: u16, pictures: u64) -> Vec<RtpPacket> {
        let mut sender = Self::new(sequence);
        sender.frame(0, true, 3);
        (1..pictures).for_each(|n| sender.frame(n * 30, false, 2));
        sender.packets
    }
}

/// Feeds all at their arrival times; what came out.
fn play(assembler: &mut VideoAssembler, packets: impl IntoIterator<Item = RtpPacket>) -> Vec<AccessUnit> {
    let mut out = Vec::new();
    for packet in packets {
        let now = packet.arrived_at;
        assembler.handle_packet(packet);
        out.extend(std::iter::from_fn(|| assembler.poll(now)));
    }
    out
}

fn times(units: &[AccessUnit]) -> Vec<i64> {
    units.iter().map(|unit| unit.timestamp / 90).collect()
}

#[test]
fn a_stream_comes_out_whole_and_at_once() {
    let mut assembler = VideoAssembler::new();
    let units = play(&mut assembler, Sender::stream(65_533, 4));
    assert_eq!(times(&units), [0, 30, 60, 90]);
    let first = (&units[0].data[..], units[0].keyframe, units[0].codec);
    assert_eq!(first, (&[0x10, 0, 0x10, 1, 0x10, 2][..], true, VideoCodec::Vp8));
    assert_eq!((&units[1].data[..], units[1].keyframe), (&[0x11, 0, 0x11, 1][..], false));
    assert!(!assembler.needs_keyframe());
}

#[test]
fn a_late_packet_is_waited_for() {
    let mut packets = Sender::stream(0, 6);
    let mut late = packets.remove(5);
    late.arrived_at = at(110);
    packets.insert(9, late);
    assert_eq!(times(&play(&mut VideoAssembler::new(), packets)), [0, 30, 60, 90, 120, 150]);
}

#[test]
fn behind_a_loss_only_a_keyframe_is_of_use() {
    for lost in [3, 4] {
        let mut sender = Sender::new(100);
        sender.packets = Sender::stream(100, 20);
        sender.sequence = 100 + sender.packets.len() as u16;
        sender.frame(600, true, 3);
        sender.frame(630, false, 2);
        let mut packets = sender.packets;
        packets.remove(lost);
        let mut assembler = VideoAssembler::new();
        let asked_at_last = packets.iter().position(|packet| packet.timestamp == 500 * 90).unwrap_or(30);
        let units = play(&mut assembler, packets.drain(..asked_at_last));
        assert_eq!(times(&units), [0], "lost packet {lost}");
        assert!(assembler.needs_keyframe());
        assert_eq!(times(&play(&mut assembler, packets)), [600, 630]);
    }
}

#[test]
fn nothing_is_given_out_before_the_first_keyframe() {
    let mut sender = Sender::new(9);
    (0..10).for_each(|n| sender.frame(n * 30, false, 2));
    // The first packet of this one is missing: what is left does not look like a keyframe.
    sender.frame(300, true, 3);
    sender.packets.remove(20);
    sender.frame(330, true, 1);
    let mut assembler = VideoAssembler::new();
    assert_eq!(times(&play(&mut assembler, sender.packets)), [330]);
}

#[test]
fn a_sender_may_change_its_format() {
    let mut assembler = VideoAssembler::new();
    assert_eq!(play(&mut assembler, Sender::stream(0, 3)).len(), 3);
    // The same stream goes on as H.264, and comes back.
    let h264 = |sequence, payload: &'static [u8]| RtpPacket {
        payload_type: 102,
        marker: true,
        sequence,
        timestamp: 90 * 90,
        ssrc: 7,
        payload: Bytes::from_static(payload),
        arrived_at: at(90),
    };
    let key: &[u8] = &[24, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 9, 0, 2, 0x65, 0x88];
    let units = play(&mut assembler, [h264(7, key)]);
    assert_eq!(units.iter().map(|unit| unit.codec).collect::<Vec<_>>(), [VideoCodec::H264]);
    let mut sender = Sender::new(8);
    sender.frame(120, false, 2);
    sender.frame(150, true, 2);
    assert_eq!(times(&play(&mut assembler, sender.packets)), [150]);
}

#[test]
fn hostile_packets_never_panic_and_never_stop_the_stream() {
    let after = |sequence| {
        let mut sender = Sender::new(sequence);
        sender.frame(2_000, true, 3);
        (1..200).for_each(|n| sender.frame(2_000 + n * 30, false, 2));
        sender.frame(9_000, true, 3);
        sender.packets
    };
    super::tests::survive_hostile(|sequence| Sender::stream(sequence, 30), after, 201);
}
