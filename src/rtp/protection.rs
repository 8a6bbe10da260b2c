//! How well our own voice is protected against loss: from the receiver's reports to the loss that the encoder prepares
//! for (in-band redundancy) and to the number of packets that each packet repeats (RED).
//!
//! The connection's monitor owns one for each peer and feeds it with every report (about one a second, 50 packets).
//! One report says little: of 50 packets, 5 % lost is anything between none and six. So losses are smoothed over
//! packets; they count at once and are forgotten slowly, since missing protection is heard and too much of it costs
//! only a few kilobits. Reports about no packets, while nobody speaks, say nothing.

use super::red::MAX_DEPTH;
use crate::units::Bitrate;

/// Packets after which a report has moved the smoothed loss by 63 %, upwards and downwards: 1 and 8 seconds.
const RISE: f64 = 50.0;
const FALL: f64 = 400.0;
/// From this loss on packets are repeated once, twice; and below that no longer.
const START: [f64; MAX_DEPTH] = [0.05, 0.12];
const STOP: [f64; MAX_DEPTH] = [0.025, 0.08];
/// Repeating takes no more of what the path carries than this share.
const MAX_SHARE: f64 = 0.25;
/// More packets than this between two reports are a restart or a damaged report.
const MAX_PACKETS: u32 = 3_000;

#[derive(Clone, Debug, Default)]
pub struct VoiceProtection {
    loss: f64,
    depth: usize,
    highest: Option<u32>,
}

impl VoiceProtection {
    /// The share of lost packets since the report before, and the highest sequence number that has arrived, with its
    /// wraps (RFC 3550, section 6.4.1).
    pub fn handle_report(&mut self, fraction: f64, highest_sequence: u32) {
        let packets = self.highest.map(|before| highest_sequence.wrapping_sub(before));
        self.highest = Some(highest_sequence);
        // The first report covers an unknown number; none or an absurd one teaches nothing.
        let Some(packets @ 1..=MAX_PACKETS) = packets else { return };
        if !(0.0..=1.0).contains(&fraction) {
            return;
        }
        let memory = if fraction > self.loss { RISE } else { FALL };
        self.loss += (fraction - self.loss) * (1.0 - (-f64::from(packets) / memory).exp());
        for (depth, (start, stop)) in START.iter().zip(STOP).enumerate() {
            if self.depth == depth && self.loss >= *start {
                self.depth += 1;
            } else if self.depth == depth + 1 && self.loss < stop {
                self.depth = depth;
            }
        }
    }

    /// What the encoder should be ready for.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// How many packets each packet should repeat on a path that carries `estimate`, if a packet's content takes `voice`.
    pub fn depth(&self, estimate: Bitrate, voice: Bitrate) -> usize {
        let affordable = estimate.scaled(MAX_SHARE).bps() / voice.bps().max(1);
        self.depth.min(affordable as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: Bitrate = Bitrate::from_kbps(32);
    const PLENTY: Bitrate = Bitrate::from_kbps(1_000);

    /// Reports of 50 packets each; the depth after each.
    fn depths(protection: &mut VoiceProtection, reports: usize, fraction: f64) -> Vec<usize> {
        let depth = |_| {
            let next = protection.highest.map_or(1_000, |highest| highest.wrapping_add(50));
            protection.handle_report(fraction, next);
            protection.depth(PLENTY, VOICE)
        };
        (0..reports).map(depth).collect()
    }

    #[test]
    fn copies_come_within_seconds_and_go_after_many() {
        let mut protection = VoiceProtection::default();
        assert_eq!(depths(&mut protection, 30, 0.02), vec![0; 30], "in-band redundancy is enough");
        let rising = depths(&mut protection, 4, 0.2);
        assert!(rising[0] >= 1 && rising[2] == 2, "{rising:?}");
        assert!((0.15..=0.2).contains(&protection.loss()));
        let falling = depths(&mut protection, 60, 0.0);
        let until = |depth: usize| falling.iter().take_while(|now| **now >= depth).count();
        assert!((4..12).contains(&until(2)), "{falling:?}");
        assert!((12..25).contains(&until(1)), "{falling:?}");
        assert!(protection.loss() < 0.001);
    }

    #[test]
    fn a_loss_near_the_limit_does_not_make_it_flap() {
        let mut protection = VoiceProtection::default();
        depths(&mut protection, 10, 0.06);
        let mut depths: Vec<_> =
            (0..60).flat_map(|n| depths(&mut protection, 1, if n % 2 == 0 { 0.06 } else { 0.03 })).collect();
        depths.dedup();
        assert_eq!(depths, [1]);
    }

    #[test]
    fn reports_about_nothing_change_nothing() {
        let mut protection = VoiceProtection::default();
        depths(&mut protection, 10, 0.2);
        let before = protection.loss();
        for _ in 0..100 {
            protection.handle_report(0.0, protection.highest.unwrap());
        }
        // A sender that starts anew.
        protection.handle_report(0.0, 17);
        assert_eq!((protection.loss(), protection.depth(PLENTY, VOICE)), (before, 2));
        for absurd in [f64::NAN, -1.0, 2.0] {
            protection.handle_report(absurd, protection.highest.unwrap() + 50);
        }
        assert_eq!(protection.loss(), before);
    }

    #[test]
    fn a_narrow_path_is_not_filled_with_copies() {
        let mut protection = VoiceProtection::default();
        depths(&mut protection, 10, 0.3);
        for (kbps, depth) in [(0, 0), (100, 0), (128, 1), (255, 1), (256, 2), (8_000, 2)] {
            assert_eq!(protection.depth(Bitrate::from_kbps(kbps), VOICE), depth, "{kbps} kbit/s");
        }
    }
}
