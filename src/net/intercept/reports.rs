//! Sender reports from capture time. webrtc's own pair the wall clock with the time a packet was written, which is
//! later than its capture by the encoder's time: the receiver would play the picture that much too early.

use super::queues;
use crate::net::monitor::Monitor;
use crate::units::MediaKind;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first reports come quickly, so that the other side has sound and picture in sync from the start.
const EARLY_INTERVAL: Duration = Duration::from_millis(200);
const EARLY_REPORTS: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct SenderReports {
    monitor: Arc<Monitor>,
    streams: Vec<Stream>,
    next: Option<Instant>,
    rounds: u32,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

struct Stream {
    ssrc: u32,
    kind: MediaKind,
    packets: u32,
    octets: u32,
}

impl SenderReports {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        let ssrcs = monitor.ssrcs;
        let stream = |ssrc, kind| Stream { ssrc, kind, packets: 0, octets: 0 };
        let streams = vec![stream(ssrcs.audio, MediaKind::Audio), stream(ssrcs.video, MediaKind::Video)];
        Self { monitor, streams, next: None, rounds: 0, read: VecDeque::new(), write: VecDeque::new() }
    }

    fn report(&mut self, now: Instant) {
        for stream in self.streams.iter().filter(|stream| stream.packets > 0) {
            let Some(rtp_time) = self.monitor.clock.rtp_at(stream.kind, now) else { continue };
            let report = SenderReport {
                ssrc: stream.ssrc,
                ntp_time: self.monitor.clock.ntp(now),
                rtp_time,
                packet_count: stream.packets,
                octet_count: stream.octets,
                ..Default::default()
            };
            self.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)])),
            });
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for SenderReports {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == rtp.header.ssrc)
        {
            stream.packets = stream.packets.wrapping_add(1);
            stream.octets = stream.octets.wrapping_add(rtp.payload.len() as u32);
            if self.next.is_none() {
                self.next = Some(packet.now);
            }
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next.is_some_and(|next| next <= now) {
            self.report(now);
            self.rounds = self.rounds.saturating_add(1);
            self.next = Some(now + if self.rounds < EARLY_REPORTS { EARLY_INTERVAL } else { INTERVAL });
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next
    }
}

impl Interceptor for SenderReports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
