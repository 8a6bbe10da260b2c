//! Holds what leaves until [`Pacer`] lets it go: sound at once, video spread out, retransmissions in between. Answers
//! requests for lost packets, and fills probes with repeats: [`Resender`] has them.
//! Control packets pass by: feedback is of use only while it is fresh.

use super::resend::Resender;
use super::resend_forwarded::ForwardedResender;
use super::{OVERHEAD, queues};
use crate::net::NetEvent;
use crate::net::monitor::Monitor;
use crate::rate::{Departure, Priority};
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether it is time for a probe is asked this often.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// Before the first report tells.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(50);
/// A request and its repetition may arrive together.
const SLACK: Duration = Duration::from_millis(5);

pub(super) struct Pacing {
    monitor: Arc<Monitor>,
    resender: Resender,
    forwarded: ForwardedResender,
    next_probe: Option<Instant>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Pacing {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        let resender = Resender::new(monitor.ssrcs.video);
        let forwarded = ForwardedResender::default();
        Self { monitor, resender, forwarded, next_probe: None, read: VecDeque::new(), write: VecDeque::new() }
    }

    fn release(&mut self, now: Instant) {
        let mut padding = 0;
        let mut pacer = self.monitor.pacer();
        while let Some(departure) = pacer.poll(now) {
            let mut packet = match departure {
                Departure::Packet(packet) => packet,
                Departure::Padding(size) => {
                    match self.resender.padding(size).or_else(|| self.forwarded.padding(size)) {
                        Some(packet) => {
                            padding += 1;
                            tagged(packet, now)
                        }
                        None => continue,
                    }
                }
            };
            if let Packet::Rtp(rtp) = &mut packet.message.packet {
                self.resender.handle_departure(rtp);
                self.forwarded.handle_departure(now, rtp);
            }
            // The estimator must not take our waiting for the path's.
            packet.now = now;
            self.write.push_back(packet);
        }
        let keyframe_wanted = pacer.take_keyframe_wanted();
        drop(pacer);
        if keyframe_wanted {
            self.monitor.tell(NetEvent::KeyframeWanted);
            self.monitor.streams.all_keyframes_wanted();
        }
        if padding > 0 {
            self.monitor.padding_sent(padding);
        }
    }

    fn can_pad(&self) -> bool {
        self.resender.can_pad() || self.forwarded.can_pad()
    }

    fn probe(&mut self, now: Instant) {
        if self.next_probe.is_none_or(|next| now < next) {
            return;
        }
        // Without anything to fill a probe with there is none, and nothing to wake up for.
        self.next_probe = self.can_pad().then_some(now + PROBE_INTERVAL);
        if self.next_probe.is_none() {
            return;
        }
        let probe = self.monitor.estimator().poll_probe(now);
        if let Some(probe) = probe {
            tracing::debug!(rate = %probe.rate, duration = ?probe.duration, "a probe");
            self.monitor.pacer().start_probe(now, probe);
        }
    }
}

fn tagged(packet: rtc::rtp::Packet, now: Instant) -> TaggedPacket {
    let message = AttributedPacket::new(Packet::Rtp(packet));
    TaggedPacket { now, transport: TransportContext::default(), message }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Pacing {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(all) = &packet.message.packet {
            let (now, round_trip) = (packet.now, self.monitor.round_trip());
            let spacing = round_trip.unwrap_or(ASSUMED_ROUND_TRIP) + SLACK;
            for nack in all.iter().filter_map(|rtcp| rtcp.as_any().downcast_ref::<TransportLayerNack>()) {
                let loss = self.monitor.estimator().stats().stray_loss;
                let own = self.resender.answer(nack, spacing, loss, now);
                for repeat in own.into_iter().chain(self.forwarded.answer(nack, spacing, now)) {
                    let size = repeat.marshal_size() + OVERHEAD;
                    self.monitor.pacer().push(now, Priority::Retransmission, size, tagged(repeat, now));
                }
            }
            // A report may have made room.
            self.release(now);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let Packet::Rtp(rtp) = &packet.message.packet else {
            self.write.push_back(packet);
            return Ok(());
        };
        let video = rtp.header.ssrc == self.monitor.ssrcs.video || self.forwarded.has(rtp.header.ssrc);
        let priority = if video { Priority::Video } else { Priority::Audio };
        let (now, size) = (packet.now, rtp.marshal_size() + OVERHEAD);
        self.monitor.pacer().push(now, priority, size, packet);
        if self.can_pad() {
            self.next_probe.get_or_insert(now);
        }
        self.release(now);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.probe(now);
        self.release(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let deadline = self.monitor.pacer().deadline();
        deadline.into_iter().chain(self.next_probe).min()
    }
}

impl Interceptor for Pacing {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.resender.bind(info);
        if info.ssrc != self.monitor.ssrcs.video && !self.resender.is_rtx(info.ssrc) {
            self.forwarded.bind(info);
        }
    }
    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.forwarded.unbind(info);
    }
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
