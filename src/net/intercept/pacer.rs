//! Spreads video over time, so that a keyframe does not fill the queues of the path all at once; sound passes by.

use super::queues;
use crate::net::monitor::Monitor;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much faster than the estimate a burst may leave.
const PACING_FACTOR: f64 = 2.5;
/// Sent at once after a pause: a small picture need not wait.
const BURST: Duration = Duration::from_millis(5);
const START_BPS: f64 = 1_000_000.0;

pub(super) struct PacerInterceptor {
    monitor: Arc<Monitor>,
    bytes_per_second: f64,
    /// Bytes that may leave now; negative after a packet that was larger.
    credit: f64,
    refilled: Option<Instant>,
    queue: VecDeque<TaggedPacket>,
    queued_bytes: usize,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl PacerInterceptor {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self {
            monitor,
            bytes_per_second: START_BPS * PACING_FACTOR / 8.0,
            credit: 0.0,
            refilled: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn release(&mut self, now: Instant) {
        let passed = self.refilled.map_or(BURST, |then| now.saturating_duration_since(then));
        self.refilled = Some(now);
        let most = self.bytes_per_second * BURST.as_secs_f64();
        self.credit = (self.credit + passed.as_secs_f64() * self.bytes_per_second).min(most);
        while self.credit > 0.0 {
            let Some(mut packet) = self.queue.pop_front() else { break };
            let size = size_of(&packet);
            self.queued_bytes -= size;
            self.credit -= size as f64;
            // The estimator must not take our waiting for the path's.
            packet.now = now;
            self.write.push_back(packet);
        }
        let delay = self.queued_bytes as f64 / self.bytes_per_second;
        self.monitor.set_queued(Duration::from_secs_f64(delay));
    }
}

fn size_of(packet: &TaggedPacket) -> usize {
    match &packet.message.packet {
        Packet::Rtp(rtp) => rtp.marshal_size(),
        _ => 0,
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for PacerInterceptor {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let wanted = Attribute::TargetBitrateChanged { bits_per_second: 0.0 };
        if let Some(Attribute::TargetBitrateChanged { bits_per_second }) = packet.message.get(&wanted) {
            self.bytes_per_second = bits_per_second * PACING_FACTOR / 8.0;
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match &packet.message.packet {
            Packet::Rtp(rtp) if rtp.header.ssrc != self.monitor.ssrcs.audio => {
                let now = packet.now;
                self.queued_bytes += size_of(&packet);
                self.queue.push_back(packet);
                self.release(now);
            }
            _ => self.write.push_back(packet),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if !self.queue.is_empty() {
            self.release(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.queue.front()?;
        // A little over the debt, so that there is something to spend.
        let wait = (1.0 - self.credit).max(1.0) / self.bytes_per_second;
        Some(self.refilled? + Duration::from_secs_f64(wait))
    }
}

impl Interceptor for PacerInterceptor {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
