//! Writes into each packet of a layered picture which section of the description it belongs to and which of its sizes it
//! is (RFC 8852, RFC 9143): such a description has no SSRCs. Only where these extensions were agreed on; everything else
//! passes as it is.

use super::queues;
use crate::net::media::RIDS;
use crate::net::monitor::Monitor;
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The extensions: a section's name, a stream's, and for a retransmission that of the stream it repairs.
pub(in crate::net) const NAMES_OF_STREAMS: [&str; 3] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
];
/// Sound is the first section of our offers, the picture the second.
const MID: &str = "1";

pub(super) struct Stamp {
    monitor: Arc<Monitor>,
    stamped: Vec<Stamped>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

struct Stamped {
    ssrc: u32,
    /// The number that an extension has here, and what it says.
    words: [(u8, &'static str); 2],
}

impl Stamp {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, stamped: Vec::new(), read: VecDeque::new(), write: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Stamp {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some(stamped) = self.stamped.iter().find(|stamped| stamped.ssrc == rtp.header.ssrc)
        {
            for (id, word) in stamped.words {
                if let Err(error) = rtp.header.set_extension(id, Bytes::from_static(word.as_bytes())) {
                    tracing::debug!(%error, "a packet does not say what it is of");
                }
            }
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), Error> {
        Ok(())
    }
}

impl Interceptor for Stamp {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let Some(layer) = self.monitor.layer_of(info.ssrc) else { return };
        let id = |uri: &str| {
            let agreed = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(agreed.id).ok().filter(|id| *id > 0)
        };
        let (Some(rid), [Some(mid), Some(stream), Some(repaired)]) =
            (RIDS.get(usize::from(layer)), NAMES_OF_STREAMS.map(id))
        else {
            return;
        };
        for (ssrc, name) in [(Some(info.ssrc), stream), (info.ssrc_rtx, repaired)] {
            let Some(ssrc) = ssrc else { continue };
            self.stamped.retain(|known| known.ssrc != ssrc);
            self.stamped.push(Stamped { ssrc, words: [(mid, MID), (name, rid)] });
        }
    }
    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.stamped.retain(|known| known.ssrc != info.ssrc && Some(known.ssrc) != info.ssrc_rtx);
    }
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::intercept::estimator;
    use crate::net::media_clock::MediaClock;
    use crate::net::monitor::Ssrcs;
    use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};
    use rtc::rtp::{Header, Packet as RtpPacket};
    use rtc::shared::TransportContext;

    /// What a packet of this stream says of itself: the extensions 4, 5 and 6.
    fn said(stamp: &mut Stamp, ssrc: u32) -> [Option<Bytes>; 3] {
        let header = Header { version: 2, ssrc, ..Header::default() };
        let rtp = RtpPacket { header, payload: vec![1; 10].into() };
        let message = AttributedPacket::new(Packet::Rtp(rtp));
        let packet = TaggedPacket { now: Instant::now(), transport: TransportContext::default(), message };
        stamp.handle_write(packet).unwrap();
        let Some(Packet::Rtp(rtp)) = stamp.poll_write().map(|packet| packet.message.packet) else { panic!() };
        [4, 5, 6].map(|id| rtp.header.get_extension(id))
    }

    #[test]
    fn each_packet_says_which_size_it_is_of_where_that_was_agreed_on() {
        let (events, _keep) = tokio::sync::mpsc::channel(8);
        let clock = MediaClock::new(Instant::now(), 0, 0);
        let monitor = Arc::new(Monitor::new(events, Ssrcs { audio: 1, video: 2 }, clock, estimator(None)));
        monitor.streams.add_layer(1, 10);
        let mut stamp = Stamp::new(monitor);
        let agreed: Vec<_> = NAMES_OF_STREAMS
            .into_iter()
            .zip(4..)
            .map(|(uri, id)| RTPHeaderExtension { uri: uri.into(), id })
            .collect();
        let mut bind = |ssrc, ssrc_rtx, count| {
            let rtp_header_extensions = agreed[..count].to_vec();
            stamp.bind_local_stream(&StreamInfo {
                ssrc,
                ssrc_rtx,
                rtp_header_extensions,
                ..StreamInfo::default()
            });
        };
        bind(1, None, 3);
        bind(2, Some(3), 3);
        bind(10, Some(11), 3);
        let word = |word: &'static str| Some(Bytes::from_static(word.as_bytes()));
        for (ssrc, expected) in [
            (1, [None, None, None]),
            (2, [word("1"), word("h"), None]),
            (3, [word("1"), None, word("h")]),
            (10, [word("1"), word("m"), None]),
            (11, [word("1"), None, word("m")]),
        ] {
            assert_eq!(said(&mut stamp, ssrc), expected, "{ssrc}");
        }
        // The other side takes only some of them: it goes by SSRCs.
        stamp.unbind_local_stream(&StreamInfo { ssrc: 2, ssrc_rtx: Some(3), ..StreamInfo::default() });
        let rtp_header_extensions = agreed[..1].to_vec();
        stamp.bind_local_stream(&StreamInfo { ssrc: 2, rtp_header_extensions, ..StreamInfo::default() });
        assert_eq!(said(&mut stamp, 2), [None, None, None]);
    }
}
