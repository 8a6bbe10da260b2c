//! Where forwarded packets come in: everything that the relay has left in the [`Outbox`](crate::net::outbox) leaves in one
//! round of the driver, as if a track had written it.

use crate::frame::RtpPacket;
use crate::net::media::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::net::monitor::Monitor;
use crate::net::peer::row::Row;
use crate::relay::{Forward, Item};
use crate::rtp::red;
use crate::units::MediaKind;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp::Header;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Forwarding {
    monitor: Arc<Monitor>,
    taken: VecDeque<(u64, Forward)>,
    /// By SSRC: as many as there are streams.
    rows: HashMap<u32, Row>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Forwarding {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        let (taken, read, write) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { monitor, taken, rows: HashMap::new(), read, write }
    }

    fn take(&mut self) {
        self.monitor.streams.outbox.take(&mut self.taken);
        if self.taken.is_empty() {
            return;
        }
        let now = Instant::now();
        let open = self.monitor.may_forward();
        for (relay, Forward { sender, kind, item, .. }) in self.taken.drain(..) {
            let outgoing = self.monitor.streams.outgoing(sender, kind).filter(|_| open);
            let Some((ssrc, tenancy)) = outgoing else { continue };
            let clock_rate = if kind == MediaKind::Audio { AUDIO_CLOCK } else { VIDEO_CLOCK };
            let (row, source) =
                (self.rows.entry(ssrc).or_insert_with(|| Row::new(clock_rate)), (relay, tenancy));
            let packet = match item {
                Item::Packet(packet) => {
                    let placed = row.place(now, source, packet.sequence, packet.timestamp);
                    let Some((sequence, timestamp)) = placed else { continue };
                    let packet = RtpPacket { sequence, timestamp, ..packet };
                    rtp(&self.monitor, kind, ssrc, packet)
                }
                Item::Report { ntp, rtp } => {
                    let Some(rtp) = row.time(source, rtp) else { continue };
                    let report = SenderReport { ssrc, ntp_time: ntp, rtp_time: rtp, ..Default::default() };
                    Some(Packet::Rtcp(vec![Box::new(report)]))
                }
            };
            self.write.extend(packet.map(|packet| TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(packet),
            }));
        }
    }
}

/// The packet as this connection has negotiated it; `None`: it has no way to say it.
fn rtp(monitor: &Monitor, kind: MediaKind, ssrc: u32, packet: RtpPacket) -> Option<Packet> {
    let (payload_type, payload) = match packet.payload_type {
        red::RED if monitor.red().is_none() => {
            // Without its copies: the other side does not take them.
            let newest = red::split(&packet).ok().and_then(|split| split.into_iter().next())?;
            (monitor.payload_type(kind), newest.payload)
        }
        red::RED => (monitor.red(), packet.payload),
        _ => (monitor.payload_type(kind), packet.payload),
    };
    let header = Header {
        version: 2,
        marker: packet.marker,
        payload_type: payload_type?,
        sequence_number: packet.sequence,
        timestamp: packet.timestamp,
        ssrc,
        ..Header::default()
    };
    Some(Packet::Rtp(rtc::rtp::Packet { header, payload }))
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Forwarding {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.read.push_back(packet);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }
    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        if self.write.is_empty() {
            self.take();
        }
        self.write.pop_front()
    }
}

impl Interceptor for Forwarding {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
