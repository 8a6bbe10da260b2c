//! Redundant audio (RED, RFC 2198): a packet carries the ones before it once more, so that a loss costs nothing as
//! long as one of the next packets arrives. Laid out as libwebrtc `modules/audio_coding/codecs/red/
//! audio_encoder_copy_red.cc` sends it and `neteq/red_payload_splitter.cc` reads it.
//!
//! ```text
//! one copy each:  |1|  type (7) | timestamp offset (14) | length (10) |
//! then the newest |0|  type (7) |   and the payloads in the same order, oldest first
//! ```
//!
//! Which sequence number a copy had is not written down. Senders repeat packets that follow each other without a gap,
//! so the last copy is the packet before, the one in front of it the packet before that.

use crate::frame::RtpPacket;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// [`RtpPacket::payload_type`] of a packet in this form, whatever number was negotiated for it. Real ones have seven
/// bits, so it is never taken for another.
pub const RED: u8 = 0x80 | 63;
/// Packets that are sent again at most.
pub const MAX_DEPTH: usize = 2;
/// Blocks of a received packet that are looked at; libwebrtc takes as many. More is no sound.
const MAX_BLOCKS: usize = 32;
/// 14 bits: 341 ms at 48 kHz.
const MAX_OFFSET: u32 = (1 << 14) - 1;
/// 10 bits.
const MAX_LENGTH: usize = (1 << 10) - 1;
/// A packet with copies is no larger than this: with all headers it fits a path that takes 1280 bytes.
const MAX_PAYLOAD: usize = 1188;
const COPY_HEADER: usize = 4;
const MORE: u8 = 0x80;

/// The packets that may have to be sent again.
#[derive(Debug, Default)]
pub struct RedEncoder {
    history: VecDeque<(u32, Bytes)>,
}

impl RedEncoder {
    /// Puts up to `depth` of the packets before in front of this one, which goes out now. `None` if there is nothing to
    /// repeat: the packet then goes as it is, with the type `opus`.
    pub fn encode(&mut self, timestamp: u32, payload: &Bytes, opus: u8, depth: usize) -> Option<Bytes> {
        let packed = self.pack(timestamp, payload, opus, depth.min(MAX_DEPTH));
        self.history.push_front((timestamp, payload.clone()));
        self.history.truncate(MAX_DEPTH);
        packed
    }

    fn pack(&self, timestamp: u32, payload: &Bytes, opus: u8, depth: usize) -> Option<Bytes> {
        let mut size = 1 + payload.len();
        // From the newest back: one that cannot be said ends the row, or the ones before it would be miscounted.
        let fits = |&&(of, ref copy): &&(u32, Bytes)| {
            size += COPY_HEADER + copy.len();
            let offset = timestamp.wrapping_sub(of);
            (1..=MAX_OFFSET).contains(&offset) && copy.len() <= MAX_LENGTH && size <= MAX_PAYLOAD
        };
        let copies: Vec<_> = self.history.iter().take(depth).take_while(fits).collect();
        if copies.is_empty() {
            return None;
        }
        let size = 1 + payload.len() + copies.iter().map(|(_, copy)| COPY_HEADER + copy.len()).sum::<usize>();
        let mut packed = BytesMut::with_capacity(size);
        for (of, copy) in copies.iter().rev() {
            packed.put_u8(MORE | opus);
            packed.put_uint(u64::from(timestamp.wrapping_sub(*of)) << 10 | copy.len() as u64, 3);
        }
        packed.put_u8(opus);
        copies.iter().rev().for_each(|(_, copy)| packed.put_slice(copy));
        packed.put_slice(payload);
        Some(packed.freeze())
    }
}

/// What came is no packet of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedRed;

/// The packets in a packet: the new one, then the copies from the newest to the oldest. Copies that are empty or in
/// another format than the new packet are left out.
pub fn split(packet: &RtpPacket) -> Result<Vec<RtpPacket>, MalformedRed> {
    let bytes = &packet.payload;
    let mut headers = Vec::new();
    let mut at = 0;
    let newest = loop {
        let first = *bytes.get(at).ok_or(MalformedRed)?;
        if first & MORE == 0 {
            at += 1;
            break first;
        }
        let Some(&[one, two, three]) = bytes.get(at + 1..at + COPY_HEADER) else { return Err(MalformedRed) };
        if headers.len() == MAX_BLOCKS {
            return Err(MalformedRed);
        }
        let rest = u32::from_be_bytes([0, one, two, three]);
        headers.push((first & !MORE, rest >> 10, (rest & MAX_LENGTH as u32) as usize));
        at += COPY_HEADER;
    };
    let mut copies = Vec::with_capacity(headers.len() + 1);
    for (index, &(payload_type, offset, length)) in headers.iter().enumerate() {
        let end = at + length;
        if end > bytes.len() {
            return Err(MalformedRed);
        }
        if payload_type == newest && length > 0 && offset > 0 {
            copies.push(RtpPacket {
                payload_type,
                marker: false,
                sequence: packet.sequence.wrapping_sub((headers.len() - index) as u16),
                timestamp: packet.timestamp.wrapping_sub(offset),
                payload: bytes.slice(at..end),
                ..packet.clone()
            });
        }
        at = end;
    }
    if at == bytes.len() {
        return Err(MalformedRed);
    }
    copies.push(RtpPacket { payload_type: newest, payload: bytes.slice(at..), ..packet.clone() });
    copies.reverse();
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    const OPUS: u8 = 111;

    fn packet(sequence: u16, timestamp: u32, payload: Bytes) -> RtpPacket {
        RtpPacket {
            payload_type: RED,
            marker: true,
            sequence,
            timestamp,
            ssrc: 9,
            payload,
            arrived_at: at(5),
        }
    }
    fn sound(n: u8) -> Bytes {
        Bytes::from(vec![n; 10 + usize::from(n)])
    }
    fn told(packets: &[RtpPacket]) -> Vec<(u16, u32, &[u8])> {
        packets.iter().map(|p| (p.sequence, p.timestamp, &p.payload[..])).collect()
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        let mut encoder = RedEncoder::default();
        assert_eq!(encoder.encode(1_000, &Bytes::from_static(b"ab"), OPUS, 1), None, "nothing before it");
        let packed = encoder.encode(1_960, &Bytes::from_static(b"cde"), OPUS, 1).unwrap();
        // 960 << 10 | 2, behind the type with the flag "more".
        assert_eq!(&packed[..], [0x80 | 111, 0x0f, 0x00, 0x02, 111, b'a', b'b', b'c', b'd', b'e']);
    }

    #[test]
    fn what_goes_in_comes_out_with_its_numbers_over_both_wraps() {
        for depth in 1..=4 {
            let mut encoder = RedEncoder::default();
            for n in 0..6_u16 {
                let (sequence, timestamp) =
                    (65_533u16.wrapping_add(n), (u32::MAX - 2_000).wrapping_add(u32::from(n) * 960));
                let Some(packed) = encoder.encode(timestamp, &sound(n as u8), OPUS, depth) else {
                    assert_eq!(n, 0);
                    continue;
                };
                let packets = split(&packet(sequence, timestamp, packed)).unwrap();
                let expected: Vec<_> = (0..=n.min(depth.min(MAX_DEPTH) as u16))
                    .map(|k| {
                        let timestamp = timestamp.wrapping_sub(u32::from(k) * 960);
                        (sequence.wrapping_sub(k), timestamp, sound((n - k) as u8))
                    })
                    .collect();
                let expected: Vec<_> = expected.iter().map(|(s, t, p)| (*s, *t, &p[..])).collect();
                assert_eq!(told(&packets), expected);
                assert!(packets[0].marker && packets[1..].iter().all(|copy| !copy.marker));
                assert!(packets.iter().all(|p| (p.payload_type, p.ssrc, p.arrived_at) == (OPUS, 9, at(5))));
            }
        }
    }

    #[test]
    fn no_copies_are_sent_when_none_are_wanted_or_they_do_not_fit() {
        // Depth, samples since the last packet, sizes of the last and of this one; whether there is a copy.
        for (depth, gap, last, this, copied) in [
            (0, 960, 80, 80, false),
            (1, 960, 80, 80, true),
            (1, MAX_OFFSET, 80, 80, true),
            (1, MAX_OFFSET + 1, 80, 80, false),
            (1, 0, 80, 80, false),
            (1, 960, 1_024, 80, false),
            (1, 960, 1_023, 80, true),
            (1, 960, 600, 583, true),
            (1, 960, 600, 584, false),
        ] {
            let mut encoder = RedEncoder::default();
            encoder.encode(77, &Bytes::from(vec![1; last]), OPUS, depth);
            let packed = encoder.encode(77 + gap, &Bytes::from(vec![2; this]), OPUS, depth);
            assert_eq!(packed.is_some(), copied, "{depth} {gap} {last} {this}");
            assert!(packed.is_none_or(|packed| packed.len() <= MAX_PAYLOAD));
        }
    }

    #[test]
    fn a_pause_ends_the_row_of_copies() {
        let mut encoder = RedEncoder::default();
        encoder.encode(0, &sound(0), OPUS, 2);
        encoder.encode(40_000, &sound(1), OPUS, 2);
        let packed = encoder.encode(40_960, &sound(2), OPUS, 2).unwrap();
        let packets = split(&packet(2, 40_960, packed)).unwrap();
        assert_eq!(told(&packets), [(2, 40_960, &sound(2)[..]), (1, 40_000, &sound(1)[..])]);
    }

    #[test]
    fn malformed_packets_are_refused_and_foreign_blocks_left_out() {
        let header = |payload_type: u8, offset: u32, length: u32| {
            let [_, one, two, three] = (offset << 10 | length).to_be_bytes();
            [MORE | payload_type, one, two, three]
        };
        let bytes = |parts: &[&[u8]]| Bytes::from(parts.concat());
        for (name, payload) in [
            ("empty", bytes(&[])),
            ("only a header", bytes(&[&[OPUS]])),
            ("no last header", bytes(&[&header(OPUS, 960, 1)])),
            ("cut off in a header", bytes(&[&header(OPUS, 960, 1)[..3]])),
            ("longer than the packet", bytes(&[&header(OPUS, 960, 5), &[OPUS, 1, 2, 3, 4]])),
            ("nothing new", bytes(&[&header(OPUS, 960, 2), &[OPUS, 1, 2]])),
            ("too many", bytes(&[&header(OPUS, 960, 0).repeat(MAX_BLOCKS + 1), &[OPUS, 1]])),
        ] {
            assert_eq!(split(&packet(5, 10_000, payload)).map(|p| p.len()), Err(MalformedRed), "{name}");
        }
        for (name, block, copies) in [
            ("a copy", header(OPUS, 960, 2), 1),
            ("another format", header(13, 960, 2), 0),
            ("nothing in it", header(OPUS, 960, 0), 0),
            ("not older", header(OPUS, 0, 2), 0),
        ] {
            let payload = bytes(&[&block, &[OPUS, 1, 2, 3]]);
            assert_eq!(split(&packet(5, 10_000, payload)).map(|p| p.len()), Ok(1 + copies), "{name}");
        }
        // The empty one still takes its place in the row.
        let payload = bytes(&[&header(OPUS, 1_920, 1), &header(OPUS, 960, 0), &[OPUS, 7, 8]]);
        assert_eq!(
            told(&split(&packet(5, 10_000, payload)).unwrap()),
            [(5, 10_000, &[8][..]), (3, 8_080, &[7])]
        );
    }

    #[test]
    fn altered_bytes_do_no_harm() {
        let mut encoder = RedEncoder::default();
        let good =
            (0..3).fold(None, |_, n| encoder.encode(n * 960, &sound(n as u8), OPUS, 2)).expect("two copies");
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize % below
        };
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..=random(4) {
                match random(3) {
                    0 => bytes.truncate(random(bytes.len().max(1))),
                    1 => bytes.insert(random(bytes.len() + 1), random(256) as u8),
                    _ if bytes.is_empty() => {}
                    _ => {
                        let at = random(bytes.len());
                        bytes[at] = random(256) as u8;
                    }
                }
            }
            let size = bytes.len();
            if let Ok(packets) = split(&packet(1, 0, bytes.into())) {
                assert!((1..=MAX_BLOCKS + 1).contains(&packets.len()));
                assert!(packets.iter().map(|p| p.payload.len()).sum::<usize>() < size);
                assert!(packets.iter().all(|p| !p.payload.is_empty()));
            }
        }
    }
}
