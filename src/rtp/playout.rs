//! When a received picture is due on the screen: as soon as the path's jitter allows, and in step with the sound.
//!
//! The `vdec-*` thread of a peer owns it and asks for each decoded picture. Sender reports come from the network,
//! the position of the sound from the thread that plays it.
//!
//! ```text
//!  arrival of pictures -> shortest delay + 95th percentile of the jitter --+
//!  sender reports: RTP time <-> the sender's clock (RFC 3550, 6.4.1) ------+-> due
//!  what the speaker plays, and when --------------------------------------+
//! ```
//!
//! A picture may lead its sound by 35 ms: waiting for slow sound costs delay, and nobody sees less than
//! 45 ms (ITU-R BT.1359-1: detectable from 45 ms of lead and 125 ms of lag).

use super::unwrap::TimestampUnwrapper;
use crate::ports::SenderReport;
use crate::units::{Epoch, MediaKind};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const VIDEO_CLOCK_HZ: i64 = 90_000;
const AUDIO_CLOCK_HZ: i64 = 48_000;
/// Pictures the jitter is measured over: ten seconds of 30 fps.
const WINDOW: usize = 300;
const MAX_JITTER_US: i64 = 500_000;
/// Pictures that come so unevenly are shown as they come: screens show them at steps of 16 ms anyway. On a good path
/// the unevenness is that of their sizes. From twice this on all of it is evened out.
const UNSEEN_JITTER_US: i64 = 10_000;
/// A picture so far off the others' times is the start of another timeline.
const NEW_TIMELINE_US: i64 = 3_000_000;
/// How fast a smaller delay is taken up, for each picture. A larger one is taken at once.
const SHRINK_US: i64 = 500;
/// The picture is not held back for less than this, and the sound not for this lag.
const MAX_LEAD_US: i64 = 35_000;
const MAX_LAG_US: i64 = 20_000;
/// The most that either waits for the other; with more, the reports are not to be trusted.
const MAX_SYNC_US: i64 = 600_000;
/// Movement of the hold for sync, for each picture.
const SYNC_STEP_US: i64 = 2_000;
/// Sender reports of each stream that are kept. Their median counts: some senders take the moment of writing for
/// the moment of capture, which is late by what the encoder and the pacer took.
const REPORTS: usize = 5;
/// Weight of a new position of the sound.
const AUDIO_WEIGHT: f64 = 0.1;
/// A sound position older than this says nothing.
const AUDIO_STALE: Duration = Duration::from_secs(5);

/// The sender's clock against RTP time of one stream.
#[derive(Clone, Debug, Default)]
struct ClockMap {
    /// The sender's time in microseconds, RTP time.
    reports: VecDeque<(i64, u32)>,
}

impl ClockMap {
    fn add(&mut self, report: &SenderReport) {
        let seconds = (report.ntp >> 32) as i64;
        let micros = (((report.ntp & 0xffff_ffff) * 1_000_000) >> 32) as i64;
        self.reports.push_back((seconds * 1_000_000 + micros, report.rtp));
        if self.reports.len() > REPORTS {
            self.reports.pop_front();
        }
    }
    /// The sender's time of an RTP time, in microseconds.
    fn ntp_us(&self, timestamp: i64, clock_hz: i64) -> Option<i64> {
        let mut times: Vec<i64> = self
            .reports
            .iter()
            .map(|(ntp, rtp)| {
                let steps = timestamp - TimestampUnwrapper::near(timestamp, *rtp);
                ntp + micros_of(steps, clock_hz)
            })
            .collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

fn micros_of(steps: i64, clock_hz: i64) -> i64 {
    (i128::from(steps) * 1_000_000 / i128::from(clock_hz)) as i64
}

#[derive(Clone, Debug, Default)]
pub struct PlayoutClock {
    epoch: Epoch,
    /// Arrival minus RTP time of each of the last pictures, in microseconds.
    offsets: VecDeque<i64>,
    jitter_us: i64,
    hold_us: i64,
    video: ClockMap,
    audio: ClockMap,
    /// When the speaker plays, minus the sender's clock, in microseconds; and when that was heard of.
    sound: Option<(f64, Instant)>,
    audio_delay_us: i64,
    skew_us: Option<i64>,
}

impl PlayoutClock {
    pub fn handle_sender_report(&mut self, report: &SenderReport) {
        match report.kind {
            MediaKind::Audio => self.audio.add(report),
            MediaKind::Video => self.video.add(report),
        }
    }

    /// The sample with this RTP time (48 kHz, unwrapped, as [`VoicePlayout::pull`](super::VoicePlayout::pull) gives
    /// it) leaves the speaker at `heard_at`. Once for each block, or less often.
    pub fn handle_sound(&mut self, timestamp: i64, heard_at: Instant) {
        let Some(ntp) = self.audio.ntp_us(timestamp, AUDIO_CLOCK_HZ) else { return };
        let offset = (self.epoch.micros(heard_at) - ntp) as f64;
        let old = self.sound.filter(|(_, at)| heard_at.saturating_duration_since(*at) < AUDIO_STALE);
        let smooth = match old {
            Some((old, _)) if (offset - old).abs() < MAX_SYNC_US as f64 => {
                old + AUDIO_WEIGHT * (offset - old)
            }
            _ => offset,
        };
        self.sound = Some((smooth, heard_at));
    }

    /// When the picture is due. `arrived_at`: when its access unit was whole. `now`: it cannot be due earlier.
    pub fn due(&mut self, now: Instant, timestamp: i64, arrived_at: Instant) -> Instant {
        let time = micros_of(timestamp, VIDEO_CLOCK_HZ);
        let offset = self.epoch.micros(arrived_at) - time;
        if self.offsets.front().is_some_and(|first| (offset - first).abs() > NEW_TIMELINE_US) {
            self.offsets.clear();
            (self.jitter_us, self.hold_us) = (0, 0);
        }
        self.offsets.push_back(offset);
        if self.offsets.len() > WINDOW {
            self.offsets.pop_front();
        }
        let mut sorted: Vec<i64> = self.offsets.iter().copied().collect();
        sorted.sort_unstable();
        let (base, high) = (sorted[0], sorted[(sorted.len() - 1) * 95 / 100]);
        let spread = (high - base).min(MAX_JITTER_US);
        let jitter = ((spread - UNSEEN_JITTER_US) * 2).clamp(0, spread);
        self.jitter_us = jitter.max(self.jitter_us - SHRINK_US);

        let unheld = base + self.jitter_us;
        self.keep_in_step(now, timestamp, unheld + time);
        let due_us = unheld + time + self.hold_us;
        let now_us = self.epoch.micros(now);
        now + Duration::from_micros((due_us - now_us).clamp(0, MAX_JITTER_US + MAX_SYNC_US) as u64)
    }

    /// `due_us`: when the picture would be shown without a hold.
    fn keep_in_step(&mut self, now: Instant, timestamp: i64, due_us: i64) {
        let fresh = self.sound.filter(|(_, at)| now.saturating_duration_since(*at) < AUDIO_STALE);
        let ntp = self.video.ntp_us(timestamp, VIDEO_CLOCK_HZ);
        let Some(((sound, _), ntp)) = fresh.zip(ntp) else {
            self.skew_us = None;
            self.audio_delay_us = 0;
            self.hold_us = (self.hold_us - SYNC_STEP_US).max(0);
            return;
        };
        // Positive: the picture would come after its sound.
        let late = due_us - ntp - sound as i64;
        if late.abs() > MAX_SYNC_US {
            self.skew_us = Some(late + self.hold_us);
            return;
        }
        let wanted = (-late - MAX_LEAD_US).max(0);
        let step = if self.skew_us.is_none() { MAX_SYNC_US } else { SYNC_STEP_US };
        self.hold_us += (wanted - self.hold_us).clamp(-step, step);
        // The sound that is already held back shows in `sound`, so that the wish has to be kept up.
        self.audio_delay_us = (self.audio_delay_us + (late - MAX_LAG_US) / 16).clamp(0, MAX_SYNC_US);
        self.skew_us = Some(late + self.hold_us);
    }

    /// What is added to the fastest picture's way for jitter, and to wait for the sound.
    pub fn delay(&self) -> Duration {
        Duration::from_micros((self.jitter_us + self.hold_us).max(0) as u64)
    }

    /// By how much the sound should be held back because the pictures are slower: for
    /// [`VoicePlayout::set_extra_delay`](super::VoicePlayout::set_extra_delay).
    pub fn wanted_audio_delay(&self) -> Duration {
        Duration::from_micros(self.audio_delay_us.max(0) as u64)
    }

    /// Picture minus sound as both are presented, in milliseconds; `None` without reports of both.
    pub fn skew_ms(&self) -> Option<f64> {
        self.skew_us.map(|skew| skew as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::{at, at_us};

    fn report(kind: MediaKind, ms: u64, rtp: u32) -> SenderReport {
        let ntp = ((3_900_000_000u64 + ms / 1000) << 32) | (((ms % 1000) << 32) / 1000);
        SenderReport { kind, ntp, rtp, arrived_at: at(ms) }
    }

    /// Pictures at 30 fps from `first`, each arriving `delay_ms(n)` after its capture; the time each is held.
    fn holds(clock: &mut PlayoutClock, pictures: u64, delay_ms: impl Fn(u64) -> u64) -> Vec<u64> {
        (0..pictures)
            .map(|n| {
                let arrived = at_us(n * 33_333 + delay_ms(n) * 1000);
                let due = clock.due(arrived, n as i64 * 3_000 + i64::from(u32::MAX), arrived);
                (due - arrived).as_millis() as u64
            })
            .collect()
    }

    #[test]
    fn small_unevenness_costs_no_delay() {
        let mut clock = PlayoutClock::default();
        assert!(holds(&mut clock, 300, |n| 40 + n * 5 % 10).iter().all(|held| *held == 0));
        assert_eq!(clock.delay(), Duration::ZERO);
        holds(&mut clock, 300, |n| 40 + n * 5 % 25);
        assert!(clock.delay() >= Duration::from_millis(19), "{:?}", clock.delay());
    }

    #[test]
    fn without_jitter_nothing_is_added() {
        let mut clock = PlayoutClock::default();
        assert!(holds(&mut clock, 300, |_| 40).iter().all(|held| *held <= 1));
        // A keyframe now and then takes longer: that is no reason to hold the others back.
        assert!(holds(&mut clock, 300, |n| if n % 60 == 0 { 70 } else { 40 }).iter().all(|held| *held <= 1));
    }

    #[test]
    fn jitter_is_covered_and_forgotten() {
        let mut clock = PlayoutClock::default();
        holds(&mut clock, 600, |n| 40 + n * 7 % 31);
        assert!((25..=31).contains(&clock.delay().as_millis()), "{:?}", clock.delay());
        let mut due = Vec::new();
        for n in 600..900u64 {
            let arrived = at_us(n * 33_333 + (40 + n * 7 % 31) * 1000);
            due.push(clock.due(arrived, n as i64 * 3_000 + i64::from(u32::MAX), arrived));
        }
        let gaps: Vec<_> = due.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert!(gaps.iter().all(|gap| (29..=38).contains(gap)), "{gaps:?}");
        holds(&mut clock, 500, |_| 40);
        assert!(clock.delay() < Duration::from_millis(2));
    }

    /// Sound that is heard `sound_ms` after its capture, pictures that arrive `picture_ms` after theirs.
    fn sync(sound_ms: u64, picture_ms: u64) -> PlayoutClock {
        let mut clock = PlayoutClock::default();
        clock.handle_sender_report(&report(MediaKind::Video, 0, 90_000));
        clock.handle_sender_report(&report(MediaKind::Audio, 0, u32::MAX - 10));
        let mut extra = 0;
        for n in 0..900u64 {
            let ms = n * 33;
            let sample = i64::from(u32::MAX - 10) + ms as i64 * 48;
            clock.handle_sound(sample, at(ms + sound_ms + extra));
            let arrived = at(ms + picture_ms);
            clock.due(arrived, 90_000 + ms as i64 * 90, arrived);
            extra = clock.wanted_audio_delay().as_millis() as u64;
        }
        clock
    }

    #[test]
    fn pictures_wait_for_slow_sound_but_for_a_small_lead() {
        let clock = sync(150, 40);
        assert_eq!(clock.delay().as_millis(), 75);
        assert_eq!(clock.skew_ms().map(f64::round), Some(-35.0));
        let clock = sync(55, 40);
        assert_eq!((clock.delay().as_millis(), clock.skew_ms().map(f64::round)), (0, Some(-15.0)));
    }

    #[test]
    fn sound_is_asked_to_wait_for_slow_pictures() {
        let clock = sync(50, 200);
        assert!((120..=135).contains(&clock.wanted_audio_delay().as_millis()), "{clock:?}");
        assert!(clock.skew_ms().unwrap().abs() < 40.0);
    }

    #[test]
    fn senseless_reports_do_no_harm() {
        let mut clock = PlayoutClock::default();
        for (n, rtp) in [0, 7, u32::MAX, 1 << 31].into_iter().enumerate() {
            clock.handle_sender_report(&SenderReport {
                ntp: u64::MAX / (n as u64 + 1),
                ..report(MediaKind::Video, 0, rtp)
            });
            clock.handle_sender_report(&report(MediaKind::Audio, 0, rtp));
        }
        clock.handle_sound(i64::MAX / 4, at(0));
        clock.handle_sound(-5, at(0));
        assert!(holds(&mut clock, 100, |_| 40).iter().all(|held| *held <= 1));
    }
}
