//! Where received packets leave webrtc: straight from its driver into the inlet of the media threads, with the
//! time they arrived. A task that polls webrtc's remote track would add a wake-up per packet and a queue that
//! drops on its own.

use super::queues;
use crate::frame::RtpPacket;
use crate::net::monitor::Monitor;
use crate::rtp::red::RED;
use crate::units::MediaKind;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Sink {
    monitor: Arc<Monitor>,
    /// SSRC, payload type and kind of what we play: one stream of each kind.
    streams: Vec<(u32, u8, MediaKind)>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Sink {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, streams: Vec::new(), read: VecDeque::new(), write: VecDeque::new() }
    }

    /// Whose packet it is, and the payload type for the media threads.
    fn kind(&self, packet: &rtc::rtp::Packet) -> Option<(MediaKind, u8)> {
        let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
        let (_, main, kind) = *self.streams.iter().find(|(known, ..)| *known == ssrc)?;
        match kind {
            MediaKind::Audio if self.monitor.red() == Some(payload_type) => Some((kind, RED)),
            _ => (payload_type == main).then_some((kind, payload_type)),
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
        let Some((kind, payload_type)) = self.kind(&rtp) else { return Ok(()) };
        let received = RtpPacket {
            payload_type,
            marker: rtp.header.marker,
            sequence: rtp.header.sequence_number,
            timestamp: rtp.header.timestamp,
            ssrc: rtp.header.ssrc,
            payload: rtp.payload,
            arrived_at: packet.now,
        };
        self.monitor.with_inlet(|inlet| {
            let queue = match kind {
                MediaKind::Audio => &inlet.audio,
                MediaKind::Video => &inlet.video,
            };
            // No room or nobody there: lost, as on the way.
            if queue.try_send(received).is_err() {
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
        let kind = if info.mime_type.eq_ignore_ascii_case(MIME_TYPE_OPUS) {
            MediaKind::Audio
        } else if info.mime_type.eq_ignore_ascii_case(MIME_TYPE_H264) {
            MediaKind::Video
        } else {
            return;
        };
        if self.streams.iter().any(|(.., known)| *known == kind) {
            tracing::debug!(?kind, "a second stream of this kind is not played");
            return;
        }
        self.streams.push((info.ssrc, info.payload_type, kind));
        self.monitor.remote_stream_bound(kind, info.ssrc, info.ssrc_rtx, info.clock_rate);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|(ssrc, ..)| *ssrc != info.ssrc);
    }
}
