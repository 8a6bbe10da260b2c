//! Holds what leaves until [`Pacer`] lets it go: sound at once, video spread out, retransmissions in between.
//! Control packets pass by: feedback is of use only while it is fresh.

use super::queues;
use crate::net::NetEvent;
use crate::net::monitor::Monitor;
use crate::rate::{Departure, Priority};
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// What SRTP, UDP and IP add to a packet.
const OVERHEAD: usize = 16 + 8 + 20;

pub(super) struct Pacing {
    monitor: Arc<Monitor>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Pacing {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, read: VecDeque::new(), write: VecDeque::new() }
    }

    fn release(&mut self, now: Instant) {
        let mut pacer = self.monitor.pacer();
        while let Some(departure) = pacer.poll(now) {
            // Padding is not sent: a probe is made of the pictures there are.
            if let Departure::Packet(mut packet) = departure {
                // The estimator must not take our waiting for the path's.
                packet.now = now;
                self.write.push_back(packet);
            }
        }
        if pacer.take_keyframe_wanted() {
            self.monitor.tell(NetEvent::KeyframeWanted);
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Pacing {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let Packet::Rtp(rtp) = &packet.message.packet else {
            self.write.push_back(packet);
            return Ok(());
        };
        let priority = if rtp.header.ssrc == self.monitor.ssrcs.audio {
            Priority::Audio
        } else if packet.message.get(&Attribute::Retransmission).is_some() {
            Priority::Retransmission
        } else {
            Priority::Video
        };
        let (now, size) = (packet.now, rtp.marshal_size() + OVERHEAD);
        self.monitor.pacer().push(now, priority, size, packet);
        self.release(now);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.release(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.monitor.pacer().deadline()
    }
}

impl Interceptor for Pacing {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
