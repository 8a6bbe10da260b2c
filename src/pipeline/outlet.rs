//! One peer's end of the encoded sound. Its stream may come from one encoder and later from another (our microphone, a
//! mix): here the positions of both become one row, so that the peer sees one stream that goes on.

use crate::codec::{PACKET, SAMPLE_RATE};
use crate::frame::EncodedAudio;
use crate::ports::PeerId;
use std::time::Instant;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

pub(super) struct AudioOutlet {
    pub id: PeerId,
    sender: Sender<EncodedAudio>,
    /// What share of the packets the peer misses.
    pub loss: f32,
    positions: Positions,
}

impl AudioOutlet {
    pub fn new(id: PeerId, sender: Sender<EncodedAudio>) -> Self {
        Self { id, sender, loss: 0.0, positions: Positions::default() }
    }

    /// What comes next is from another source.
    pub fn change_source(&mut self) {
        self.positions.joined = false;
    }

    /// A full queue drops the packet: the jitter buffer over there makes up for it. `false`: nobody takes it any more.
    pub fn hand_out(&mut self, packet: &EncodedAudio) -> bool {
        let mut packet = packet.clone();
        packet.position = self.positions.place(packet.position, packet.captured_at);
        !matches!(self.sender.try_send(packet), Err(TrySendError::Closed(_)))
    }
}

/// Turns the positions of the sources into those of the stream.
#[derive(Default)]
struct Positions {
    /// Stream minus source.
    offset: u64,
    /// The offset is that of the present source.
    joined: bool,
    /// The last packet of the stream.
    last: Option<(u64, Instant)>,
}

impl Positions {
    fn place(&mut self, position: u64, captured_at: Instant) -> u64 {
        if !std::mem::replace(&mut self.joined, true) {
            self.offset = match self.last {
                Some((last, at)) => {
                    // In whole packets, at least one: no two packets have the same time.
                    let since = captured_at.saturating_duration_since(at).as_secs_f64();
                    let packets = (since * f64::from(SAMPLE_RATE) / PACKET as f64).round().max(1.0);
                    (last + packets as u64 * PACKET as u64).wrapping_sub(position)
                }
                None => 0,
            };
        }
        let placed = position.wrapping_add(self.offset);
        self.last = Some((placed, captured_at));
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_stream_goes_on_over_changes_of_its_source() {
        let (start, packet) = (Instant::now(), PACKET as u64);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        assert_eq!(positions.place(5_000, at(0)), 5_000);
        assert_eq!(positions.place(5_000 + packet, at(20)), 5_000 + packet);
        positions.joined = false;
        assert_eq!(positions.place(77, at(40)), 5_000 + 2 * packet, "right after it");
        assert_eq!(positions.place(77 + packet, at(60)), 5_000 + 3 * packet);
        positions.joined = false;
        assert_eq!(positions.place(90_000, at(55)), 5_000 + 4 * packet, "its clock is a little behind");
        positions.joined = false;
        assert_eq!(positions.place(10, at(1055)), 5_000 + 54 * packet, "after a second of nothing");
        assert_eq!(positions.place(10 + 9 * packet, at(1235)), 5_000 + 63 * packet, "silence stays a gap");
    }
}
