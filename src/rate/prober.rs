//! Finds out quickly that a path takes more: short bursts at a higher rate, judged by how fast they arrive
//! (libwebrtc `modules/congestion_controller/goog_cc/probe_controller.cc` and `probe_bitrate_estimator.cc`).

use super::Probe;
use crate::units::Bitrate;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The first probes of a call, as multiples of the start rate.
const FIRST: [f64; 2] = [3.0, 6.0];
/// A probe that found nearly all of its rate is followed by one at twice what was found.
const GO_ON_SHARE: f64 = 0.9;
const STEP: f64 = 2.0;
/// Length of a probe: as many bytes as tell something, and not shorter than this.
const MIN_BYTES: f64 = 7_000.0;
const MIN_DURATION: Duration = Duration::from_millis(20);
const MAX_DURATION: Duration = Duration::from_millis(120);
/// Packets of one probe that are looked at.
const MAX_PACKETS: usize = 512;
const MIN_PACKETS: usize = 5;
/// A probe that lost more than this share says nothing.
const MAX_LOST: f64 = 0.2;
/// A probe that arrived slower than it was sent has seen the path's limit: a little below that is taken.
const SATURATED: f64 = 0.9;
const UTILIZATION: f64 = 0.95;
/// Arriving this much faster than sent is a path that bunches packets.
const MAX_BUNCHING: f64 = 2.0;
/// After a fall the way back is probed after so long, and after each failure twice as late.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);
const MAX_RECOVERY_PAUSE: Duration = Duration::from_secs(16);
/// A fall is worth probing if so much of the rate is gone.
const FALLEN: f64 = 0.7;
const MOST: f64 = 0.6;
/// While the encoder uses little of the target, the target is checked and raised this often.
const IDLE_PAUSE: Duration = Duration::from_secs(10);
/// The answer to a probe is waited for so long.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Packets of the probe may leave this much after its end: the pacer sends in bursts.
const SLACK_US: i64 = 6_000;

/// Bytes of one packet, when it left, and when it arrived if it did, in microseconds.
type Sent = (i64, Option<i64>, usize);

#[derive(Clone, Debug)]
struct Active {
    probe: Probe,
    from: i64,
    until: i64,
    give_up_at: Instant,
    packets: Vec<Sent>,
}

#[derive(Clone, Debug)]
pub(super) struct Prober {
    waiting: VecDeque<f64>,
    active: Option<Active>,
    started: bool,
    /// The target before it fell, and when it may be probed for.
    lost: Option<f64>,
    pause: Duration,
    last: Option<Instant>,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            active: None,
            started: false,
            lost: None,
            pause: RECOVERY_PAUSE,
            last: None,
        }
    }
}

/// What a probe is decided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub target: f64,
    pub max: f64,
    /// No queue, no overuse, feedback comes.
    pub quiet: bool,
    pub last_decrease: Option<Instant>,
    pub application_limited: bool,
}

impl Prober {
    /// The target fell from `before`.
    pub fn handle_fall(&mut self, before: f64) {
        self.lost = Some(self.lost.map_or(before, |lost| lost.max(before)));
        self.waiting.clear();
    }

    /// `now_us`: the same moment on the line of the reports' departures.
    pub fn poll(&mut self, now: Instant, now_us: i64, situation: &Situation) -> Option<Probe> {
        if self.active.as_ref().is_some_and(|active| now >= active.give_up_at) {
            self.active = None;
            self.fail();
        }
        if self.active.is_some() {
            return None;
        }
        if !self.started {
            self.started = true;
            self.waiting.extend(FIRST.map(|factor| factor * situation.target));
        }
        if self.waiting.is_empty() && situation.quiet && situation.target < 0.95 * situation.max {
            let recovery = self.recovery(now, situation);
            self.waiting.extend(recovery);
        }
        let rate = self.waiting.pop_front()?.min(situation.max);
        if rate < 1.2 * situation.target {
            self.waiting.clear();
            return None;
        }
        let duration = Duration::from_secs_f64(MIN_BYTES * 8.0 / rate).clamp(MIN_DURATION, MAX_DURATION);
        let probe = Probe { rate: Bitrate::from_bps(rate as u64), duration };
        self.last = Some(now);
        self.active = Some(Active {
            probe,
            from: now_us,
            until: now_us + duration.as_micros() as i64 + SLACK_US,
            give_up_at: now + duration + ANSWER_TIME,
            packets: Vec::new(),
        });
        Some(probe)
    }

    fn recovery(&mut self, now: Instant, situation: &Situation) -> Option<f64> {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |t| now.saturating_duration_since(t));
        let fallen = self.lost.is_some_and(|lost| situation.target < FALLEN * lost);
        if !fallen && self.lost.take().is_some() {
            self.pause = RECOVERY_PAUSE;
        }
        let rested = since(situation.last_decrease).min(since(self.last));
        // A first probe may fail because a machine was busy: the path has shown no limit yet.
        let unknown = situation.last_decrease.is_none() && !situation.application_limited;
        if (fallen || unknown) && rested >= self.pause
            || situation.application_limited && rested >= IDLE_PAUSE
        {
            // What took the room may be gone as suddenly as it came. The first try is for most of what was lost.
            let lost = self.lost.filter(|_| self.pause == RECOVERY_PAUSE).unwrap_or(0.0);
            return Some((STEP * situation.target).max(MOST * lost));
        }
        None
    }

    fn fail(&mut self) {
        self.waiting.clear();
        self.pause = (self.pause * 2).min(MAX_RECOVERY_PAUSE);
    }

    /// One report; the rate that the path showed, once a probe is over.
    pub fn handle_report(&mut self, packet: Sent) -> Option<f64> {
        let active = self.active.as_mut()?;
        if packet.0 < active.from {
            return None;
        }
        if packet.0 <= active.until {
            if active.packets.len() < MAX_PACKETS {
                active.packets.push(packet);
            }
            return None;
        }
        let active = self.active.take()?;
        let Some(found) = judge(&active.packets) else {
            self.fail();
            return None;
        };
        if found >= GO_ON_SHARE * active.probe.rate.bps() as f64 {
            self.pause = RECOVERY_PAUSE;
            if self.waiting.is_empty() {
                self.waiting.push_back(STEP * found);
            }
        } else {
            self.fail();
        }
        Some(found)
    }
}

/// The lower of the two rates at which the packets left and arrived.
fn judge(packets: &[Sent]) -> Option<f64> {
    let arrived: Vec<(i64, i64, usize)> = packets.iter().filter_map(|p| Some((p.0, p.1?, p.2))).collect();
    if arrived.len() < MIN_PACKETS || (packets.len() - arrived.len()) as f64 > MAX_LOST * packets.len() as f64
    {
        return None;
    }
    let first = arrived.iter().min_by_key(|packet| packet.1)?;
    let last = arrived.iter().max_by_key(|packet| packet.1)?;
    let sent_last = arrived.iter().max_by_key(|packet| packet.0)?;
    let sent_first = arrived.iter().map(|packet| packet.0).min()?;
    let bytes: usize = arrived.iter().map(|packet| packet.2).sum();
    let (left_us, came_us) = (sent_last.0 - sent_first, last.1 - first.1);
    if left_us <= 0 || came_us <= 0 {
        return None;
    }
    let sent = (bytes - sent_last.2) as f64 * 8e6 / left_us as f64;
    let received = (bytes - first.2) as f64 * 8e6 / came_us as f64;
    if received > MAX_BUNCHING * sent {
        return None;
    }
    Some(if received < SATURATED * sent { UTILIZATION * received } else { sent.min(received) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at_us;

    fn quiet(target: f64) -> Situation {
        Situation { target, max: 5e6, quiet: true, last_decrease: None, application_limited: false }
    }

    /// Sends a probe over a path of `capacity`; what was found.
    fn answer(prober: &mut Prober, now_us: i64, probe: Probe, capacity: f64) -> Option<f64> {
        let mut free = 0;
        let mut found = None;
        let step = (8e9 / probe.rate.bps() as f64) as i64;
        for n in 0..=(probe.duration.as_micros() as i64 / step + 8) {
            let left = now_us + n * step;
            free = (left + 20_000).max(free) + (8e9 / capacity) as i64;
            found = found.or(prober.handle_report((left, Some(free), 1000)));
        }
        found
    }

    #[test]
    fn the_first_probes_find_a_fast_path_and_go_on() {
        let mut prober = Prober::default();
        let mut now = 0i64;
        let mut target = 3e5;
        let mut rates = Vec::new();
        for _ in 0..20 {
            now += 300_000;
            if let Some(probe) = prober.poll(at_us(now as u64), now, &quiet(target)) {
                rates.push(probe.rate.kbps());
                target = answer(&mut prober, now, probe, 4e6).unwrap_or(target).max(target);
            }
        }
        assert_eq!(rates[0], 900);
        assert!((3.4e6..4e6).contains(&target), "{target} {rates:?}");
        assert!(rates.len() < 7, "{rates:?}");
    }

    #[test]
    fn after_a_fall_the_way_back_is_tried_with_patience() {
        let mut prober = Prober { started: true, ..Prober::default() };
        prober.handle_fall(2e6);
        let situation = Situation { last_decrease: Some(at_us(0)), ..quiet(5e5) };
        let mut tried = Vec::new();
        for now in (0..40_000_000i64).step_by(100_000) {
            if let Some(probe) = prober.poll(at_us(now as u64), now, &situation) {
                tried.push(now / 1_000_000);
                answer(&mut prober, now, probe, 5e5);
            }
        }
        assert_eq!(tried, [1, 3, 7, 15, 31]);
    }

    #[test]
    fn without_an_answer_nothing_is_found_and_nothing_hangs() {
        let mut prober = Prober::default();
        assert!(prober.poll(at_us(0), 0, &quiet(3e5)).is_some());
        assert!(prober.poll(at_us(500_000), 500_000, &quiet(3e5)).is_none());
        assert!(prober.poll(at_us(1_500_000), 1_500_000, &quiet(3e5)).is_none());
        assert!(prober.active.is_none());
        // The path has shown no limit yet: tried again, each time later.
        assert!(prober.poll(at_us(2_100_000), 2_100_000, &quiet(3e5)).is_some());
        assert!(prober.poll(at_us(5_000_000), 5_000_000, &quiet(3e5)).is_none());
        assert_eq!(judge(&[(0, Some(0), 9); 9]), None);
    }
}
