//! Sees everything that leaves and arrives, next to the wire, and tells the [`Monitor`]. Changes nothing.

use super::queues;
use crate::net::monitor::Monitor;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Tap {
    monitor: Arc<Monitor>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Tap {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, read: VecDeque::new(), write: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match &packet.message.packet {
            Packet::Rtp(rtp) => self.monitor.rtp_received(rtp.header.ssrc, rtp.payload.len()),
            Packet::Rtcp(rtcp) => {
                rtcp.iter().for_each(|rtcp| self.monitor.rtcp_received(rtcp.as_ref(), packet.now));
            }
            _ => {}
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match &packet.message.packet {
            Packet::Rtp(rtp) => self.monitor.rtp_sent(&rtp.header, rtp.payload.len(), packet.now),
            Packet::Rtcp(rtcp) => rtcp.iter().for_each(|rtcp| self.monitor.rtcp_sent(rtcp.as_ref())),
            _ => {}
        }
        self.write.push_back(packet);
        Ok(())
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.monitor.local_stream_bound(info.ssrc, info.ssrc_rtx);
    }
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
