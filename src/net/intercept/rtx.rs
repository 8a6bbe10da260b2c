//! Turns retransmissions (RFC 4588) back into the packets they repeat, before the gaps are looked for.

use super::queues;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub(super) struct RtxUnwrap {
    /// SSRC of a retransmission stream: SSRC and payload type of what it repeats.
    originals: HashMap<u32, (u32, u8)>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtxUnwrap {
    queues!();

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some(&(ssrc, payload_type)) = self.originals.get(&rtp.header.ssrc)
        {
            // Only the original sequence number, or not even that: padding.
            if rtp.payload.len() <= 2 {
                return Ok(());
            }
            rtp.header.sequence_number = u16::from_be_bytes([rtp.payload[0], rtp.payload[1]]);
            rtp.header.ssrc = ssrc;
            rtp.header.payload_type = payload_type;
            rtp.payload = rtp.payload.slice(2..);
            packet.message.add(Attribute::Retransmission);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }
}

impl Interceptor for RtxUnwrap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.originals.insert(rtx, (info.ssrc, info.payload_type));
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.originals.remove(&rtx);
        }
    }
}
