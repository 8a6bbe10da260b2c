//! Repairs forwarded pictures from what this connection sent of them lately ([`History`]): the sender is not asked.
//! The same rules as for our own picture (`resend`), for as many streams as there are. Probes are filled from them where
//! there is no picture of our own.

use super::resend::repeat;
use crate::relay::{History, MAX_MEMBERS};
use rtc::interceptor::StreamInfo;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_H264;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp::{Header, Packet};
use std::time::{Duration, Instant};

/// Packets asked for in one message that are looked at.
const MAX_ASKED: usize = 512;
/// Padding repeats one of so many newest packets of a stream, in turn.
const PADDING_FROM: usize = 32;

/// What of a packet is kept: its payload is shared with the other receivers.
#[derive(Clone)]
struct Sent {
    payload: bytes::Bytes,
    timestamp: u32,
    payload_type: u8,
    marker: bool,
}

impl Sent {
    /// As it was sent.
    fn packet(&self, ssrc: u32, sequence_number: u16) -> Packet {
        let header = Header {
            version: 2,
            marker: self.marker,
            payload_type: self.payload_type,
            sequence_number,
            timestamp: self.timestamp,
            ssrc,
            ..Header::default()
        };
        Packet { header, payload: self.payload.clone() }
    }
}

struct Stream {
    ssrc: u32,
    /// SSRC, payload type and next number of its retransmissions.
    rtx: Option<(u32, u8, u16)>,
    history: History<Sent>,
}

#[derive(Default)]
pub(super) struct ForwardedResender {
    streams: Vec<Stream>,
    /// The stream that has sent last and can be repeated.
    newest: Option<u32>,
    /// The packet after the one that was repeated last as padding, counted back from the newest.
    padded: usize,
}

impl ForwardedResender {
    pub fn bind(&mut self, info: &StreamInfo) {
        let is_video = info.mime_type.eq_ignore_ascii_case(MIME_TYPE_H264);
        // Retransmissions are bound as streams of their own, too.
        let known = |stream: &Stream| {
            stream.ssrc == info.ssrc || stream.rtx.is_some_and(|(ssrc, ..)| ssrc == info.ssrc)
        };
        if !is_video || self.streams.iter().any(known) || self.streams.len() >= MAX_MEMBERS {
            return;
        }
        let rtx =
            info.ssrc_rtx.zip(info.payload_type_rtx).map(|(ssrc, payload_type)| (ssrc, payload_type, 0));
        self.streams.push(Stream { ssrc: info.ssrc, rtx, history: History::default() });
    }

    pub fn unbind(&mut self, info: &StreamInfo) {
        self.streams.retain(|stream| stream.ssrc != info.ssrc);
        self.newest.take_if(|newest| *newest == info.ssrc);
    }

    /// Whether it is a stream of pictures, not of retransmissions.
    pub fn has(&self, ssrc: u32) -> bool {
        self.streams.iter().any(|stream| stream.ssrc == ssrc)
    }

    /// A packet leaves; a retransmission gets its number.
    pub fn handle_departure(&mut self, now: Instant, packet: &mut Packet) {
        let header = &mut packet.header;
        for stream in &mut self.streams {
            if stream.ssrc == header.ssrc {
                let (timestamp, payload_type, marker) =
                    (header.timestamp, header.payload_type, header.marker);
                let sent = Sent { payload: packet.payload.clone(), timestamp, payload_type, marker };
                stream.history.record(now, header.sequence_number, packet.payload.len(), sent);
                if stream.rtx.is_some() {
                    self.newest = Some(stream.ssrc);
                }
                return;
            }
            if let Some((ssrc, _, next)) = &mut stream.rtx
                && *ssrc == header.ssrc
            {
                header.sequence_number = *next;
                *next = next.wrapping_add(1);
                return;
            }
        }
    }

    /// The packets to send for a request.
    pub fn answer(&mut self, nack: &TransportLayerNack, spacing: Duration, now: Instant) -> Vec<Packet> {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == nack.media_ssrc) else {
            return Vec::new();
        };
        let asked = nack.nacks.iter().flat_map(|pair| pair.packet_list()).take(MAX_ASKED);
        let mut repeats = Vec::new();
        for sequence_number in asked {
            let Some((sent, again)) = stream.history.answer(now, sequence_number, spacing) else { continue };
            let original = sent.packet(stream.ssrc, sequence_number);
            match stream.rtx {
                Some((ssrc, payload_type, _)) => {
                    let copy = repeat(&original, (ssrc, payload_type));
                    // The third try comes too late: the second one is made twice.
                    repeats.extend(again.then(|| copy.clone()));
                    repeats.push(copy);
                }
                None => repeats.push(original),
            }
        }
        repeats
    }

    pub fn can_pad(&self) -> bool {
        self.newest.is_some()
    }

    /// A packet of about this size that the receiver does not need, but one it may have missed.
    pub fn padding(&mut self, size: usize) -> Option<Packet> {
        let stream = self.streams.iter().find(|stream| Some(stream.ssrc) == self.newest)?;
        let (ssrc, payload_type, _) = stream.rtx?;
        let (start, mut largest) = (self.padded, None);
        for step in 0..PADDING_FROM {
            let back = (start + step) % PADDING_FROM;
            let Some((sequence, sent)) = stream.history.newest(back) else { continue };
            if largest.is_none_or(|(_, largest): (u16, &Sent)| largest.payload.len() < sent.payload.len()) {
                largest = Some((sequence, sent));
                self.padded = back + 1;
            }
            if sent.payload.len() * 2 >= size {
                break;
            }
        }
        largest.map(|(sequence, sent)| repeat(&sent.packet(stream.ssrc, sequence), (ssrc, payload_type)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

    #[test]
    fn each_stream_is_repaired_from_its_own_past() {
        let mut resender = ForwardedResender::default();
        for ssrc in [10, 20] {
            let info = StreamInfo {
                ssrc,
                ssrc_rtx: Some(ssrc + 1),
                payload_type_rtx: Some(107),
                mime_type: "video/H264".into(),
                ..StreamInfo::default()
            };
            resender.bind(&info);
            resender.bind(&StreamInfo {
                ssrc: ssrc + 1,
                mime_type: "video/H264".into(),
                ..StreamInfo::default()
            });
        }
        resender.bind(&StreamInfo { ssrc: 30, mime_type: "audio/opus".into(), ..StreamInfo::default() });
        assert!(resender.has(10) && !resender.has(11) && resender.has(20) && !resender.has(30));
        let (now, spacing) = (Instant::now(), Duration::from_millis(50));
        for (ssrc, sequence_number) in [(10, 1), (10, 2), (20, 2), (30, 2)] {
            let header = Header { version: 2, ssrc, sequence_number, ..Header::default() };
            resender.handle_departure(now, &mut Packet { header, payload: vec![ssrc as u8; 5].into() });
        }
        let ask = |resender: &mut ForwardedResender, media_ssrc, at: u64| {
            let nacks = nack_pairs_from_sequence_numbers(&[1, 2]);
            let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks };
            resender.answer(&nack, spacing, now + Duration::from_millis(at))
        };
        let mut repeats = ask(&mut resender, 20, 0);
        assert_eq!(
            (repeats.len(), repeats[0].header.ssrc, &repeats[0].payload[..3]),
            (1, 21, &[0, 2, 20][..])
        );
        resender.handle_departure(now, &mut repeats[0]);
        assert_eq!(repeats[0].header.sequence_number, 0);
        assert_eq!([10, 10, 20, 30].map(|ssrc| ask(&mut resender, ssrc, 10).len()), [2, 0, 0, 0]);
        assert_eq!(ask(&mut resender, 20, 60).len(), 2);
        resender.unbind(&StreamInfo { ssrc: 10, ..StreamInfo::default() });
        assert!(ask(&mut resender, 10, 100).is_empty());
    }

    #[test]
    fn probes_are_filled_from_the_stream_that_is_alive() {
        let mut resender = ForwardedResender::default();
        let info = |ssrc, ssrc_rtx: Option<u32>| StreamInfo {
            ssrc,
            ssrc_rtx,
            payload_type_rtx: ssrc_rtx.map(|_| 107),
            mime_type: "video/H264".into(),
            ..StreamInfo::default()
        };
        resender.bind(&info(10, Some(11)));
        resender.bind(&info(20, None));
        let send = |resender: &mut ForwardedResender, ssrc, sequence_number, size| {
            let header = Header { version: 2, ssrc, sequence_number, ..Header::default() };
            resender.handle_departure(Instant::now(), &mut Packet { header, payload: vec![7; size].into() });
        };
        send(&mut resender, 20, 1, 900);
        assert!(
            !resender.can_pad() && resender.padding(1000).is_none(),
            "without RTX it would look like a fault"
        );
        for sequence in 65_530..=65_535 {
            send(&mut resender, 10, sequence, 900);
        }
        send(&mut resender, 10, 0, 10);
        let sizes: Vec<usize> = (0..8).map(|_| resender.padding(1000).unwrap().payload.len()).collect();
        assert_eq!(sizes, [902; 8], "the small one says little");
        let numbers: Vec<u8> = (0..3).map(|_| resender.padding(1000).unwrap().payload[1]).collect();
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2], "in turn: {numbers:?}");
        resender.unbind(&info(10, Some(11)));
        assert!(!resender.can_pad());
    }
}
