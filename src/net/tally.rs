//! Counts one stream of another member that comes in: the part of its statistics that the connection knows. The
//! connection's own two are counted by the `Monitor`.

use super::media::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::stats::PeerStats;
use crate::units::MediaKind;

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Repaired ones among them.
    packets: u64,
    bytes: u64,
    lost: i64,
    /// What the receiver reports count now: from zero again after each new description.
    reported: i64,
    /// In ticks of the clock.
    jitter: u32,
    pub nacks: u64,
    pub plis: u64,
}

impl Tally {
    pub fn packet(&mut self, payload: usize) {
        self.packets += 1;
        self.bytes += payload as u64;
    }

    /// There is a new description.
    pub fn renewed(self) -> Self {
        Self { reported: 0, ..self }
    }

    /// A duplicate takes a loss back.
    pub fn report(&mut self, lost: i64, jitter: u32) {
        self.lost += lost - self.reported;
        (self.reported, self.jitter) = (lost, jitter);
    }

    /// Packets that came, and those that were lost.
    pub const fn loss(&self) -> (u64, i64) {
        (self.packets, self.lost)
    }

    pub fn fill(&self, kind: MediaKind, into: &mut PeerStats) {
        match kind {
            MediaKind::Audio => {
                let audio = &mut into.inbound.audio;
                (audio.packets_received, audio.bytes_received) = (self.packets, self.bytes);
                (audio.packets_lost, audio.jitter) =
                    (self.lost, f64::from(self.jitter) / f64::from(AUDIO_CLOCK));
            }
            MediaKind::Video => {
                let video = &mut into.inbound.video;
                (video.packets_received, video.bytes_received) = (self.packets, self.bytes);
                (video.packets_lost, video.jitter) =
                    (self.lost, f64::from(self.jitter) / f64::from(VIDEO_CLOCK));
                (video.nack_count, video.pli_count) = (self.nacks, self.plis);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_over_descriptions() {
        let mut tally = Tally::default();
        (0..5).for_each(|_| tally.packet(100));
        for reports in [[(0, 0), (3, 3), (2, 2), (7, 7)], [(1, 8), (4, 11), (4, 11), (5, 12)]] {
            for (reported, total) in reports {
                tally.report(reported, 90);
                assert_eq!(tally.loss(), (5, total), "{reported}");
            }
            tally = tally.renewed();
        }
        let mut stats = PeerStats::default();
        tally.fill(MediaKind::Video, &mut stats);
        assert_eq!((stats.inbound.video.bytes_received, stats.inbound.video.jitter), (500, 0.001));
    }
}
