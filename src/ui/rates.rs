//! What the counters of the statistics come to in a second, for the card with the details of a call.

use crate::ports::PeerId;
use crate::stats::{PeerStats, Stats};
use crate::units::Bitrate;

/// What the cumulative counters of two reports a second apart come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub video_in: Bitrate,
    pub audio_in: Bitrate,
    pub video_out: Bitrate,
    pub audio_out: Bitrate,
    /// Share of the other side's video packets that were lost, 0.0 to 1.0.
    pub video_loss_in: f64,
    pub audio_loss_in: f64,
    /// Mean time a picture waited for its turn, in milliseconds.
    pub video_hold_ms: f64,
    pub audio_hold_ms: f64,
}

impl Rates {
    /// Those of everybody in `stats`, whose people are `of`, since the report before and its people. Who is new counts
    /// from zero.
    pub fn of_all(before: Option<&Stats>, had: &[PeerId], stats: &Stats, of: &[PeerId]) -> Vec<Self> {
        let before = before.filter(|before| before.seconds < stats.seconds);
        let old = |index: usize| {
            let at = had.iter().position(|id| Some(id) == of.get(index))?;
            before.and_then(|before| before.peers.get(at))
        };
        let seconds = stats.seconds - before.map_or(0.0, |before| before.seconds);
        let rates = |(index, new)| Self::between(old(index).unwrap_or(&PeerStats::default()), new, seconds);
        stats.peers.iter().enumerate().map(rates).collect()
    }

    fn between(old: &PeerStats, new: &PeerStats, seconds: f64) -> Self {
        if seconds <= 0.0 {
            return Self::default();
        }
        let rate =
            |new: u64, old: u64| Bitrate::from_bps((new.saturating_sub(old) as f64 * 8.0 / seconds) as u64);
        let loss = |received: (u64, u64), lost: (i64, i64)| {
            let lost = (lost.0 - lost.1).max(0) as f64;
            let all = received.0.saturating_sub(received.1) as f64 + lost;
            if all > 0.0 { lost / all } else { 0.0 }
        };
        let hold = |delay: (f64, f64), count: (u64, u64)| {
            let count = count.0.saturating_sub(count.1) as f64;
            if count > 0.0 { ((delay.0 - delay.1) * 1000.0 / count).max(0.0) } else { 0.0 }
        };
        let (video, old_video) = (&new.inbound.video, &old.inbound.video);
        let (audio, old_audio) = (&new.inbound.audio, &old.inbound.audio);
        Self {
            video_in: rate(video.bytes_received, old_video.bytes_received),
            audio_in: rate(audio.bytes_received, old_audio.bytes_received),
            video_out: rate(new.outbound.video.bytes_sent, old.outbound.video.bytes_sent),
            audio_out: rate(new.outbound.audio.bytes_sent, old.outbound.audio.bytes_sent),
            video_loss_in: loss(
                (video.packets_received, old_video.packets_received),
                (video.packets_lost, old_video.packets_lost),
            ),
            audio_loss_in: loss(
                (audio.packets_received, old_audio.packets_received),
                (audio.packets_lost, old_audio.packets_lost),
            ),
            video_hold_ms: hold(
                (video.jitter_buffer_delay, old_video.jitter_buffer_delay),
                (video.jitter_buffer_emitted_count, old_video.jitter_buffer_emitted_count),
            ),
            audio_hold_ms: hold(
                (audio.jitter_buffer_delay, old_audio.jitter_buffer_delay),
                (audio.jitter_buffer_emitted_count, old_audio.jitter_buffer_emitted_count),
            ),
        }
    }
}
