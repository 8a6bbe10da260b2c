//! Takes out of the other side's requests what was sent again so recently that it cannot have arrived yet. A
//! receiver that asks every 25 ms over a path of 100 ms would otherwise get everything four times.

use super::queues;
use crate::net::monitor::Monitor;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Before the first report tells.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(50);
/// A request and its repetition may arrive together.
const SLACK: Duration = Duration::from_millis(5);
/// Sequence numbers that are remembered; a power of two.
const REMEMBERED: usize = 1024;

pub(super) struct ResendFilter {
    monitor: Arc<Monitor>,
    history: History,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl ResendFilter {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        Self { monitor, history: History::default(), read: VecDeque::new(), write: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for ResendFilter {
    queues!();

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(all) = &mut packet.message.packet {
            let spacing = self.monitor.round_trip().unwrap_or(ASSUMED_ROUND_TRIP) + SLACK;
            for rtcp in all {
                let Some(nack) = rtcp.as_any().downcast_ref::<TransportLayerNack>() else { continue };
                if nack.media_ssrc != self.monitor.ssrcs.video {
                    continue;
                }
                let wanted = nack.nacks.iter().flat_map(|pair| pair.packet_list());
                let due: Vec<u16> =
                    wanted.filter(|sequence| self.history.is_due(*sequence, spacing, packet.now)).collect();
                *rtcp = Box::new(TransportLayerNack {
                    nacks: nack_pairs_from_sequence_numbers(&due),
                    sender_ssrc: nack.sender_ssrc,
                    media_ssrc: nack.media_ssrc,
                });
            }
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }
}

impl Interceptor for ResendFilter {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// When each packet was last sent again.
struct History(Vec<Option<(u16, Instant)>>);

impl Default for History {
    fn default() -> Self {
        Self(vec![None; REMEMBERED])
    }
}

impl History {
    /// Whether the packet may be sent again now; if so, that is remembered.
    fn is_due(&mut self, sequence: u16, spacing: Duration, now: Instant) -> bool {
        let last = &mut self.0[usize::from(sequence) % REMEMBERED];
        if let Some((same, at)) = last
            && *same == sequence
            && now.saturating_duration_since(*at) < spacing
        {
            return false;
        }
        *last = Some((sequence, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_sent_again_once_in_a_round_trip() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let spacing = Duration::from_millis(100);
        let mut history = History::default();
        let sent: Vec<_> = (0..12).filter(|n| history.is_due(7, spacing, at(n * 25))).collect();
        assert_eq!(sent, [0, 4, 8]);
        assert!(history.is_due(8, spacing, at(275)), "others are not held up");
        assert!(history.is_due(7 + REMEMBERED as u16, spacing, at(276)), "nor those in the same place");
    }
}
