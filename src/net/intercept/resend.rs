//! What was sent lately and can be sent again: because the other side asks for it (RFC 4585), or because a probe
//! needs bytes (libwebrtc `modules/rtp_rtcp/source/rtp_packet_history.cc`). Both go out as RFC 4588 retransmissions
//! where that was negotiated.
//!
//! What is asked for a second time, and everything while the path itself loses much, goes out twice: the third try
//! comes too late.
//! A packet that was sent again so recently that it cannot have arrived yet is not sent: a receiver that asks every
//! 25 ms over a path of 100 ms would otherwise get everything four times.

use rtc::interceptor::StreamInfo;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp::{Header, Packet};
use std::time::{Duration, Instant};

/// Packets that are kept: about two seconds of video; a power of two.
const KEPT: usize = 1024;
/// Share of packets lost by the path itself, not by a full queue, from which on every repeat is sent twice.
const MUCH_LOSS: f64 = 0.04;
/// Padding repeats one of so many newest packets, in turn.
const PADDING_FROM: u16 = 32;
/// Packets asked for in one message that are looked at.
const MAX_ASKED: usize = 512;

struct Kept {
    packet: Packet,
    resent: Option<Instant>,
}

/// The video stream's past.
pub(super) struct Resender {
    ssrc: u32,
    kept: Vec<Option<Kept>>,
    newest: Option<u16>,
    /// SSRC and payload type of retransmissions; `None`: they repeat the packet as it was.
    rtx: Option<(u32, u8)>,
    rtx_sequence: u16,
    padded: u16,
}

impl Resender {
    pub fn new(ssrc: u32) -> Self {
        let kept = std::iter::repeat_with(|| None).take(KEPT).collect();
        Self { ssrc, kept, newest: None, rtx: None, rtx_sequence: ssrc as u16, padded: 0 }
    }

    pub fn bind(&mut self, info: &StreamInfo) {
        if info.ssrc == self.ssrc {
            self.rtx = info.ssrc_rtx.zip(info.payload_type_rtx);
        }
    }

    /// Whether these are our own picture's retransmissions.
    pub fn is_rtx(&self, ssrc: u32) -> bool {
        self.rtx.is_some_and(|(rtx, _)| rtx == ssrc)
    }

    /// A packet leaves. A retransmission gets its number only now: the pacer may have thrown others away.
    pub fn handle_departure(&mut self, packet: &mut Packet) {
        if packet.header.ssrc == self.ssrc {
            // A repeat without RTX is known already.
            let sequence = packet.header.sequence_number;
            if self.find(sequence).is_none() {
                let place = usize::from(sequence) % KEPT;
                self.kept[place] = Some(Kept { packet: packet.clone(), resent: None });
                self.newest = Some(sequence);
            }
        } else if self.rtx.is_some_and(|(ssrc, _)| ssrc == packet.header.ssrc) {
            packet.header.sequence_number = self.rtx_sequence;
            self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        }
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Kept> {
        let kept = self.kept[usize::from(sequence) % KEPT].as_mut()?;
        (kept.packet.header.sequence_number == sequence).then_some(kept)
    }

    /// The packets to send for a request.
    pub fn answer(
        &mut self,
        nack: &TransportLayerNack,
        spacing: Duration,
        loss: f64,
        now: Instant,
    ) -> Vec<Packet> {
        if nack.media_ssrc != self.ssrc {
            return Vec::new();
        }
        let asked = nack.nacks.iter().flat_map(|pair| pair.packet_list()).take(MAX_ASKED);
        let mut repeats = Vec::new();
        for sequence in asked {
            if let Some((repeat, again)) = self.repeat_if_due(sequence, spacing, now) {
                // Without RTX the copy would count as received twice.
                if self.rtx.is_some() && (again || loss > MUCH_LOSS) {
                    repeats.push(repeat.clone());
                }
                repeats.push(repeat);
            }
        }
        repeats
    }

    /// The packet, and whether it has been repeated before.
    fn repeat_if_due(&mut self, sequence: u16, spacing: Duration, now: Instant) -> Option<(Packet, bool)> {
        let rtx = self.rtx;
        let kept = self.find(sequence)?;
        if kept.resent.is_some_and(|last| now.saturating_duration_since(last) < spacing) {
            return None;
        }
        let again = kept.resent.replace(now).is_some();
        Some((rtx.map_or_else(|| kept.packet.clone(), |rtx| repeat(&kept.packet, rtx)), again))
    }

    /// A packet of about this size that the receiver does not need, but one it may have missed; `None` before there
    /// is one, or without RTX: then a second copy would look like a fault of the path.
    pub fn padding(&mut self, size: usize) -> Option<Packet> {
        let (rtx, newest) = (self.rtx?, self.newest?);
        let start = self.padded;
        let mut largest: Option<&Packet> = None;
        for step in 0..PADDING_FROM {
            let back = start.wrapping_add(step) % PADDING_FROM;
            let sequence = newest.wrapping_sub(back);
            let kept = self.kept[usize::from(sequence) % KEPT].as_ref().map(|kept| &kept.packet);
            let Some(packet) = kept.filter(|packet| packet.header.sequence_number == sequence) else {
                continue;
            };
            if largest.is_none_or(|largest| largest.payload.len() < packet.payload.len()) {
                largest = Some(packet);
                self.padded = back.wrapping_add(1);
            }
            if packet.payload.len() * 2 >= size {
                break;
            }
        }
        largest.map(|packet| repeat(packet, rtx))
    }

    pub fn can_pad(&self) -> bool {
        self.rtx.is_some() && self.newest.is_some()
    }
}

/// RFC 4588, section 4: the original number in front of the payload. The sequence number comes at departure.
pub(super) fn repeat(original: &Packet, (ssrc, payload_type): (u32, u8)) -> Packet {
    let mut payload = Vec::with_capacity(2 + original.payload.len());
    payload.extend_from_slice(&original.header.sequence_number.to_be_bytes());
    payload.extend_from_slice(&original.payload);
    let header = Header {
        version: 2,
        marker: original.header.marker,
        payload_type,
        timestamp: original.header.timestamp,
        ssrc,
        ..Header::default()
    };
    Packet { header, payload: payload.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

    fn resender(rtx: bool) -> Resender {
        let mut resender = Resender::new(7);
        let rtx = rtx.then_some(());
        let info = StreamInfo {
            ssrc: 7,
            ssrc_rtx: rtx.map(|()| 8),
            payload_type_rtx: rtx.map(|()| 107),
            ..StreamInfo::default()
        };
        resender.bind(&info);
        resender
    }
    fn send(resender: &mut Resender, sequences: std::ops::Range<u16>, size: usize) {
        for sequence_number in sequences {
            let header = Header { version: 2, ssrc: 7, sequence_number, timestamp: 99, ..Header::default() };
            resender.handle_departure(&mut Packet { header, payload: vec![5; size].into() });
        }
    }
    fn ask(sequences: &[u16]) -> TransportLayerNack {
        let nacks = nack_pairs_from_sequence_numbers(sequences);
        TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks }
    }
    const SPACING: Duration = Duration::from_millis(100);

    #[test]
    fn a_packet_is_sent_again_once_in_a_round_trip() {
        let start = Instant::now();
        let mut resender = resender(true);
        send(&mut resender, 0..10, 50);
        let mut sent = |n: u64| {
            resender.answer(&ask(&[3, 4]), SPACING, 0.0, start + Duration::from_millis(n * 25)).len()
        };
        let sent: Vec<_> = (0..9).map(&mut sent).collect();
        assert_eq!(sent, [2, 0, 0, 0, 4, 0, 0, 0, 4]);
        assert_eq!(
            resender.answer(&ask(&[8, 200, 65_000]), SPACING, 0.05, start).len(),
            2,
            "others are not held up"
        );
    }

    #[test]
    fn repeats_say_what_they_repeat_and_are_numbered_as_they_leave() {
        let mut resender = resender(true);
        send(&mut resender, 0..10, 50);
        let mut repeats = resender.answer(&ask(&[3, 4]), SPACING, 0.0, Instant::now());
        assert_eq!((&repeats[1].payload[..3], repeats[1].payload.len()), (&[0, 4, 5][..], 52));
        let mut number = |packet: &mut Packet| {
            resender.handle_departure(packet);
            packet.header.sequence_number
        };
        // The first was thrown away by the pacer.
        assert_eq!((number(&mut repeats[1].clone()), number(&mut repeats[0])), (7, 8));
        let header = &repeats[1].header;
        assert_eq!((header.version, header.ssrc, header.payload_type, header.timestamp), (2, 8, 107, 99));
    }

    #[test]
    fn without_rtx_the_packet_itself_is_repeated_and_there_is_no_padding() {
        let mut resender = resender(false);
        send(&mut resender, 0..10, 50);
        assert_eq!(resender.answer(&ask(&[3]), SPACING, 0.0, Instant::now())[0].header.sequence_number, 3);
        assert!(!resender.can_pad() && resender.padding(1000).is_none());
    }

    #[test]
    fn padding_takes_large_packets_in_turn() {
        let mut resender = resender(true);
        assert!(resender.padding(1000).is_none());
        send(&mut resender, 65_530..65_535, 900);
        send(&mut resender, 65_535..65_535, 10);
        let mut all = Vec::new();
        for _ in 0..5 {
            let padding = resender.padding(1000).unwrap();
            assert_eq!(padding.payload.len(), 902);
            all.push(u16::from_be_bytes([padding.payload[0], padding.payload[1]]));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5, "{all:?}");
        send(&mut resender, 0..3, 10);
        assert_eq!(resender.padding(1000).unwrap().payload.len(), 902);
    }
}
