//! Asks for the video packets that are missing, when [`NackTracker`] says so, and drops what has come twice: a
//! repeated request's second answer, or the padding of a probe.

use super::queues;
use crate::net::monitor::Monitor;
use crate::rtp::NackTracker;
use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Streams that are followed; more are not asked for.
const MAX_STREAMS: usize = crate::net::streams::MAX_STREAMS;

pub(super) struct Nack {
    monitor: Arc<Monitor>,
    streams: Vec<(u32, NackTracker)>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Nack {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, streams: Vec::new(), read: VecDeque::new(), write: VecDeque::new() }
    }

    fn ask(&mut self, now: Instant) {
        let round_trip = self.monitor.round_trip();
        for (ssrc, tracker) in &mut self.streams {
            if let Some(round_trip) = round_trip {
                tracker.set_round_trip(round_trip);
            }
            let wanted = tracker.poll(now);
            if wanted.is_empty() {
                continue;
            }
            let nack = TransportLayerNack {
                sender_ssrc: self.monitor.ssrcs.video,
                media_ssrc: *ssrc,
                nacks: nack_pairs_from_sequence_numbers(&wanted),
            };
            self.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)])),
            });
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Nack {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some((_, tracker)) = self.streams.iter_mut().find(|(ssrc, _)| *ssrc == rtp.header.ssrc)
        {
            let repeat = packet.message.get(&Attribute::Retransmission).is_some();
            if !tracker.handle_packet(packet.now, rtp.header.sequence_number, repeat) {
                return Ok(());
            }
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.ask(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.streams.iter().filter_map(|(_, tracker)| tracker.deadline()).min()
    }
}

impl Interceptor for Nack {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let supported =
            info.rtcp_feedback.iter().any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty());
        let known = self.streams.iter().any(|(ssrc, _)| *ssrc == info.ssrc);
        if self.streams.len() >= MAX_STREAMS {
            // webrtc does not say which ones are over.
            let monitor = &self.monitor;
            self.streams
                .retain(|(ssrc, _)| monitor.remote_kind(*ssrc).is_some() || monitor.streams.knows(*ssrc));
        }
        if supported && !known && self.streams.len() < MAX_STREAMS {
            self.streams.push((info.ssrc, NackTracker::default()));
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|(ssrc, _)| *ssrc != info.ssrc);
    }
}
