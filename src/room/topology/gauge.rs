//! Our own means, from what the engine measures once a second: what our links carry upwards, how busy the processor is.
//! A core.
//!
//! Each link has an estimate of what it carries (`rate`). Where links share one uplink they share what it carries, so
//! their sum tells of it; a link that sends nothing tells nothing. With fewer links in use the sum is smaller without the
//! uplink being so: then it falls slowly.

use crate::ports::PeerId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a link must have sent before its estimate counts: until then it is where every estimate starts.
const WARM: Duration = Duration::from_secs(5);
/// Bytes in a second: less is nothing. A microphone that hears nothing sends a packet now and then.
const SENDS: u64 = 50;
/// Links that are kept account of: more than a room has.
const MAX_LINKS: usize = 32;
/// Time constants of the uplink: when it rises, when as many links say that it has fallen, when fewer do.
const RISES: Duration = Duration::from_secs(2);
const FALLS: Duration = Duration::from_secs(8);
const FADES: Duration = Duration::from_secs(120);
/// And of the load.
const LOAD: Duration = Duration::from_secs(4);
/// Percent that a processor is said to be busy at least while pictures are made smaller for its sake, whatever the
/// program's own share of it: one core may be all that an encoder can use.
const TOO_SLOW: f64 = 75.0;
/// Percent by which the uplink, and points by which the load must have moved to be told.
const UPLINK_STEP: u32 = 10;
const LOAD_STEP: u8 = 5;

/// A link, as far as it tells of the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRate {
    pub id: PeerId,
    /// What it carries, as estimated.
    pub kbps: u32,
    /// Sent so far.
    pub bytes: u64,
}

/// The processor, as far as this program is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processor {
    /// Used so far, of all cores.
    pub seconds: f64,
    pub cores: usize,
    /// Our pictures are smaller than they might be, because encoding them takes too long.
    pub is_too_slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    /// Since when it sends.
    since: Option<Instant>,
}

/// The measures, smoothed.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    at: Option<Instant>,
    seconds: f64,
    links: BTreeMap<PeerId, Known>,
    uplink: Option<f64>,
    /// How many links had told so.
    told_by: usize,
    load: Option<f64>,
    told: (u32, u8),
}

impl Gauge {
    pub fn update(&mut self, now: Instant, links: &[LinkRate], processor: Processor) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let measured = self.measure(now, links);
        if let Some((kbps, count)) = measured {
            self.move_uplink(passed, kbps, count);
        }
        if !passed.is_zero() {
            let used = (processor.seconds - self.seconds).max(0.0) / processor.cores.max(1) as f64;
            let percent = (100.0 * used / passed.as_secs_f64()).min(100.0);
            let percent = if processor.is_too_slow { percent.max(TOO_SLOW) } else { percent };
            let load = self.load.get_or_insert(percent);
            *load += (percent - *load) * share(passed, LOAD);
        }
        self.at = Some(now);
        self.seconds = processor.seconds;
        self.round();
    }

    /// What our links carry upwards in all, in kbit/s; 0: unknown.
    pub fn uplink(&self) -> u32 {
        self.told.0
    }

    /// Percent of the processor in use.
    pub fn load(&self) -> u8 {
        self.told.1
    }

    /// Whether this link has sent for so long that its estimate tells something.
    pub fn is_measured(&self, id: PeerId) -> bool {
        let since = self.links.get(&id).and_then(|known| known.since);
        let passed = since.zip(self.at).map(|(since, at)| at.saturating_duration_since(since));
        passed.is_some_and(|passed| passed >= WARM)
    }

    /// The sum over the links that send, and their number; `None` if none has sent for long enough.
    fn measure(&mut self, now: Instant, links: &[LinkRate]) -> Option<(f64, usize)> {
        self.links.retain(|id, _| links.iter().any(|link| link.id == *id));
        let (mut sum, mut count) = (0.0, 0);
        for link in links.iter().take(MAX_LINKS) {
            let known = self.links.entry(link.id).or_insert(Known { bytes: link.bytes, since: None });
            let sends = link.bytes >= known.bytes.saturating_add(SENDS);
            known.bytes = link.bytes;
            known.since = if sends { known.since.or(Some(now)) } else { None };
            let is_warm = known.since.is_some_and(|since| now.saturating_duration_since(since) >= WARM);
            if is_warm {
                (sum, count) = (sum + f64::from(link.kbps), count + 1);
            }
        }
        (count > 0).then_some((sum, count))
    }

    fn move_uplink(&mut self, passed: Duration, kbps: f64, count: usize) {
        let uplink = self.uplink.get_or_insert(kbps);
        let constant = match kbps >= *uplink {
            true => RISES,
            false if count >= self.told_by => FALLS,
            false => FADES,
        };
        if constant != FADES {
            self.told_by = count;
        }
        *uplink += (kbps - *uplink) * share(passed, constant);
    }

    /// Small moves are not worth a word to everybody.
    fn round(&mut self) {
        if let Some(uplink) = self.uplink {
            // Known, and nothing, is not unknown.
            let uplink = (uplink.round() as u32).max(1);
            if uplink.abs_diff(self.told.0) * 100 / UPLINK_STEP >= self.told.0.max(1) {
                self.told.0 = uplink;
            }
        }
        if let Some(load) = self.load {
            let load = load.round() as u8;
            if load.abs_diff(self.told.1) >= LOAD_STEP {
                self.told.1 = load;
            }
        }
    }
}

/// The weight of what was measured over this time in an average with this time constant.
fn share(passed: Duration, constant: Duration) -> f64 {
    1.0 - (-passed.as_secs_f64() / constant.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second after the other: what each link carries and whether it sends; the uplink and the load at their end.
    struct Clock {
        gauge: Gauge,
        now: Instant,
        bytes: u64,
        seconds: f64,
    }

    impl Clock {
        fn new() -> Self {
            Self { gauge: Gauge::default(), now: crate::rtp::test_time::at(0), bytes: 0, seconds: 0.0 }
        }

        fn run(
            &mut self,
            seconds: u32,
            links: &[(u64, u32, bool)],
            load: f64,
            is_too_slow: bool,
        ) -> (u32, u8) {
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                self.bytes += 50_000;
                self.seconds += 4.0 * load / 100.0;
                let rates: Vec<_> = links
                    .iter()
                    .map(|(id, kbps, sends)| LinkRate {
                        id: PeerId(*id),
                        kbps: *kbps,
                        bytes: if *sends { self.bytes } else { 7 },
                    })
                    .collect();
                let processor = Processor { seconds: self.seconds, cores: 4, is_too_slow };
                self.gauge.update(self.now, &rates, processor);
            }
            (self.gauge.uplink(), self.gauge.load())
        }
    }

    #[test]
    fn links_that_send_add_up_and_the_others_say_nothing() {
        let mut clock = Clock::new();
        assert_eq!(clock.run(5, &[(1, 600, true), (2, 600, true)], 10.0, false).0, 0, "not measured yet");
        let (uplink, _) = clock.run(20, &[(1, 900, true), (2, 1100, true), (3, 5000, false)], 10.0, false);
        assert!((1900..=2100).contains(&uplink), "{uplink}");
    }

    /// What moves to a hub: one link is left that sends, and what the others told is not forgotten at once.
    #[test]
    fn fewer_links_do_not_make_an_uplink_narrow() {
        let mut clock = Clock::new();
        let three = |kbps| [(1, kbps, true), (2, kbps, true), (3, kbps, true)];
        clock.run(30, &three(2000), 10.0, false);
        let (uplink, _) = clock.run(20, &[(1, 2500, true), (2, 2000, false), (3, 2000, false)], 10.0, false);
        assert!(uplink > 4800, "{uplink}");
        clock.run(5, &three(200), 10.0, false);
        let (uplink, _) = clock.run(30, &three(200), 10.0, false);
        assert!((550..800).contains(&uplink), "as many links say that it has fallen: {uplink}");
    }

    #[test]
    fn the_load_is_of_all_cores_and_a_slow_encoder_counts() {
        let mut clock = Clock::new();
        assert!((25..=35).contains(&clock.run(30, &[], 30.0, false).1));
        assert!((70..=75).contains(&clock.run(30, &[], 30.0, true).1));
        assert!((90..=100).contains(&clock.run(30, &[], 250.0, false).1));
    }

    #[test]
    fn small_moves_are_not_told() {
        let mut clock = Clock::new();
        let before = clock.run(60, &[(1, 2000, true)], 30.0, false);
        for kbps in [1900, 2100, 1950, 2050] {
            assert_eq!(clock.run(10, &[(1, kbps, true)], 32.0, false), before, "{kbps}");
        }
        assert_ne!(clock.run(10, &[(1, 2600, true)], 32.0, false), before);
    }
}
