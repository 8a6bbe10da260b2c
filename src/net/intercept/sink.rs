//! Where received packets leave webrtc: straight from its driver into the inlet of the media threads, with the
//! time they arrived. A task that polls webrtc's remote track would add a wake-up per packet and a queue that
//! drops on its own.

use super::queues;
use crate::frame::RtpPacket;
use crate::net::monitor::Monitor;
use crate::net::streams::MAX_STREAMS;
use crate::rtp::red::RED;
use crate::rtp::vp8::VP8;
use crate::units::MediaKind;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Sink {
    monitor: Arc<Monitor>,
    streams: Vec<Stream>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

struct Stream {
    ssrc: u32,
    payload_type: u8,
    /// The same for the media threads.
    told: u8,
    kind: MediaKind,
    /// One of the two that every connection has; the others are of other members, or smaller layers.
    own: bool,
}

impl Sink {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, streams: Vec::new(), read: VecDeque::new(), write: VecDeque::new() }
    }

    /// Whose packet it is, and the payload type for the media threads.
    fn stream(&self, packet: &rtc::rtp::Packet) -> Option<(&Stream, u8)> {
        let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
        let stream = self.streams.iter().find(|stream| stream.ssrc == ssrc)?;
        match stream.kind {
            MediaKind::Audio if self.monitor.red() == Some(payload_type) => Some((stream, RED)),
            _ => (payload_type == stream.payload_type).then_some((stream, stream.told)),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Sink {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let Packet::Rtp(rtp) = packet.message.packet else {
            self.read.push_back(packet);
            return Ok(());
        };
        let Some((&Stream { kind, own, .. }, payload_type)) = self.stream(&rtp) else { return Ok(()) };
        let received = RtpPacket {
            payload_type,
            marker: rtp.header.marker,
            sequence: rtp.header.sequence_number,
            timestamp: rtp.header.timestamp,
            ssrc: rtp.header.ssrc,
            payload: rtp.payload,
            arrived_at: packet.now,
        };
        if !self.monitor.is_admitted() {
            return Ok(());
        }
        if !own {
            self.monitor.streams.handle_other(received);
            return Ok(());
        }
        // A relay reads H.264 only.
        if payload_type != VP8 {
            self.monitor.streams.handle_own(kind, None, &received);
        }
        self.monitor.with_inlet(|inlet| {
            // No room or nobody there: lost, as on the way.
            if !inlet.put(kind, received) {
                tracing::trace!(?kind, "a received packet found no room");
            }
        });
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }
}

impl Interceptor for Sink {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let is = |mime_type: &str| info.mime_type.eq_ignore_ascii_case(mime_type);
        let (kind, told) = match () {
            () if is(MIME_TYPE_OPUS) => (MediaKind::Audio, info.payload_type),
            () if is(MIME_TYPE_H264) => (MediaKind::Video, info.payload_type),
            () if is(MIME_TYPE_VP8) => (MediaKind::Video, VP8),
            () => return,
        };
        // Each new exchange of descriptions binds everything again.
        if self.streams.iter().any(|stream| stream.ssrc == info.ssrc) {
            return;
        }
        if self.streams.len() >= MAX_STREAMS {
            // webrtc does not say which ones are over: a section that somebody else gets has a new number.
            self.streams.retain(|stream| stream.own || self.monitor.streams.knows(stream.ssrc));
        }
        if self.streams.len() >= MAX_STREAMS {
            tracing::debug!(?kind, "one stream too many is not played");
            return;
        }
        let own = !self.monitor.streams.knows(info.ssrc);
        if own && self.streams.iter().any(|stream| stream.own && stream.kind == kind) {
            tracing::debug!(?kind, "a second stream of this kind is not played");
            return;
        }
        let &StreamInfo { ssrc, payload_type, .. } = info;
        self.streams.push(Stream { ssrc, payload_type, told, kind, own });
        if own {
            self.monitor.remote_stream_bound(kind, info.ssrc, info.ssrc_rtx, info.clock_rate);
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|stream| stream.ssrc != info.ssrc);
    }
}
