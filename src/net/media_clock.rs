//! When things were captured, in the terms of RTP: the times of packets and of sender reports.

use super::media::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::units::MediaKind;
use rtc::shared::time::SystemInstant;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Capture time to RTP time and wall clock, for both streams. The sender reports are made from it, so that the
/// receiver lines up sound and picture by when they were captured, not by when their packets were written.
pub(super) struct MediaClock {
    start: Instant,
    wall: SystemInstant,
    audio_base: u32,
    video_base: u32,
    /// Seconds after `start` at which sample 0 of the sound was captured, smoothed; `None` before the first packet.
    audio_anchor: Mutex<Option<f64>>,
}

impl MediaClock {
    /// A sound card's capture times jump about by a block; this part of each new one counts.
    const ANCHOR_GAIN: f64 = 1.0 / 32.0;
    /// A larger step is no jitter: another device, or a machine that slept.
    const ANCHOR_RESET: f64 = 0.1;
    /// A longer round trip is a damaged report.
    const MAX_ROUND_TRIP: f64 = 60.0;

    pub fn new(now: Instant, audio_base: u32, video_base: u32) -> Self {
        let wall = SystemInstant::now(now);
        Self { start: now, wall, audio_base, video_base, audio_anchor: Mutex::new(None) }
    }

    fn seconds(&self, at: Instant) -> f64 {
        match at.checked_duration_since(self.start) {
            Some(after) => after.as_secs_f64(),
            None => -(self.start - at).as_secs_f64(),
        }
    }

    pub fn video_time(&self, captured_at: Instant) -> u32 {
        self.video_base.wrapping_add(ticks(self.seconds(captured_at), VIDEO_CLOCK))
    }

    pub fn audio_time(&self, position: u64, captured_at: Instant) -> u32 {
        let measured = self.seconds(captured_at) - position as f64 / f64::from(AUDIO_CLOCK);
        let mut anchor = self.audio_anchor.lock().unwrap_or_else(PoisonError::into_inner);
        *anchor = Some(match *anchor {
            Some(old) if (measured - old).abs() < Self::ANCHOR_RESET => {
                old + (measured - old) * Self::ANCHOR_GAIN
            }
            _ => measured,
        });
        self.audio_base.wrapping_add(position as u32)
    }

    /// RTP time of what is captured at `now`; `None` while there is no sound to say it of.
    pub fn rtp_at(&self, kind: MediaKind, now: Instant) -> Option<u32> {
        match kind {
            MediaKind::Video => Some(self.video_time(now)),
            MediaKind::Audio => {
                let anchor = (*self.audio_anchor.lock().unwrap_or_else(PoisonError::into_inner))?;
                Some(self.audio_base.wrapping_add(ticks(self.seconds(now) - anchor, AUDIO_CLOCK)))
            }
        }
    }

    /// Our wall clock, which never steps.
    pub fn ntp(&self, now: Instant) -> u64 {
        self.wall.ntp(now.max(self.start))
    }

    /// From a reception report (RFC 3550, 6.4.1): now - LSR - DLSR, all in 1/65536 s.
    pub fn round_trip(&self, last_sender_report: u32, delay: u32, now: Instant) -> Option<Duration> {
        if last_sender_report == 0 {
            return None;
        }
        let middle = (self.ntp(now) >> 16) as u32;
        let ticks = middle.wrapping_sub(last_sender_report).wrapping_sub(delay) as i32;
        let seconds = f64::from(ticks.max(0)) / 65_536.0;
        (seconds < Self::MAX_ROUND_TRIP).then(|| Duration::from_secs_f64(seconds))
    }
}

fn ticks(seconds: f64, rate: u32) -> u32 {
    (seconds * f64::from(rate)).round() as i64 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn rtp_times_follow_the_capture_times() {
        let start = Instant::now();
        let clock = MediaClock::new(at(start, 1000), 7, u32::MAX);
        assert_eq!(clock.video_time(at(start, 1000)), u32::MAX);
        assert_eq!(clock.video_time(at(start, 1100)), 8_999, "it wraps");
        assert_eq!(clock.video_time(start), u32::MAX - 90_000, "captured before the connection was made");
        assert_eq!(clock.audio_time(960, at(start, 1020)), 967);
    }

    #[test]
    fn reports_line_up_sound_and_picture_by_capture_time() {
        let start = Instant::now();
        let clock = MediaClock::new(start, 0, 0);
        assert_eq!(clock.rtp_at(MediaKind::Audio, at(start, 1)), None);
        // The sound's sample 0 was captured at 40 ms; its packets report that with a jitter of 5 ms.
        for packet in 0..200_u64 {
            let jitter = if packet % 2 == 0 { 0 } else { 5 };
            clock.audio_time(packet * 960, at(start, 40 + packet * 20 + jitter));
        }
        let now = at(start, 5_000);
        assert_eq!(clock.rtp_at(MediaKind::Video, now), Some(450_000));
        let expected = 48 * (5_000 - 40);
        let error = i64::from(clock.rtp_at(MediaKind::Audio, now).unwrap()) - expected;
        assert!(error.abs() < 48 * 6, "{error} samples off");
    }

    #[test]
    fn a_jump_of_the_sound_is_followed_at_once() {
        let start = Instant::now();
        let clock = MediaClock::new(start, 0, 0);
        clock.audio_time(0, start);
        clock.audio_time(960, at(start, 3_020));
        assert_eq!(clock.rtp_at(MediaKind::Audio, at(start, 3_020)), Some(960));
    }

    #[test]
    fn the_round_trip_comes_from_the_receivers_report() {
        let start = Instant::now();
        let clock = MediaClock::new(start, 0, 0);
        let report = (clock.ntp(at(start, 1_000)) >> 16) as u32;
        let held = 65_536 / 2;
        let round_trip = clock.round_trip(report, held, at(start, 1_550)).unwrap();
        assert!((round_trip.as_secs_f64() - 0.05).abs() < 0.001, "{round_trip:?}");
        assert_eq!(clock.round_trip(0, 0, start), None, "no report of ours has arrived yet");
        assert_eq!(
            clock.round_trip(report, u32::MAX, at(start, 1_550)).map(|rtt| rtt.as_millis() < 600),
            Some(true)
        );
    }
}
