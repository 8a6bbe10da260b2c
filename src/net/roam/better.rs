//! When a call that goes over a relay looks for a way with fewer of them, and when one is good enough to take. Pure.
//!
//! ```text
//!   rounds over all better ways after 1, 2, 4 ... 30 s > an answer: on trial, asked in every round > proof: move
//!                                                        < no answer for a while: the rounds go on
//! ```
//!
//! A way that failed after it was taken is not taken again so soon: nothing is worse than a call that goes back and
//! forth.

use super::Way;
use std::time::{Duration, Instant};

/// Until the first round, and twice as long after each.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// After each fall back to a relay, doubled with each, and no longer than this.
const AFTER_FALL: Duration = Duration::from_secs(30);
const LONGEST_AFTER_FALL: Duration = Duration::from_secs(600);
/// A way has to answer for so long without a gap ...
const PROOF: Duration = Duration::from_millis(800);
/// ... as long as this: three rounds of its checks.
const GAP: Duration = Duration::from_millis(600);
/// However often the other side asks on a better way, a round more than the schedule says follows only so often.
const HASTE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Better {
    due: Instant,
    gap: Duration,
    /// No round sooner than this after the last, since a way has failed.
    floor: Duration,
    falls: u32,
    hastened: Option<Instant>,
    /// The other side has told of more ways.
    more: bool,
    trial: Option<Trial>,
}

/// A way that has answered.
#[derive(Clone, Copy, Debug)]
struct Trial {
    way: Way,
    since: Instant,
    last: Instant,
}

impl Better {
    pub fn new(now: Instant) -> Self {
        Self {
            due: now + FIRST,
            gap: FIRST,
            floor: Duration::ZERO,
            falls: 0,
            hastened: None,
            more: false,
            trial: None,
        }
    }

    /// Whether checks should go out.
    pub fn is_due(&self, now: Instant) -> bool {
        self.on_trial(now).is_some() || (self.more && self.falls == 0) || now >= self.due
    }

    /// The way that has to prove itself: only there.
    pub fn on_trial(&self, now: Instant) -> Option<Way> {
        let lives = |trial: &Trial| now.saturating_duration_since(trial.last) <= GAP;
        self.trial.filter(lives).map(|trial| trial.way)
    }

    /// A round over all better ways has gone out.
    pub fn went_out(&mut self, now: Instant) {
        self.more = false;
        self.due = now + self.gap.max(self.floor);
        self.gap = (self.gap * 2).min(LONGEST);
    }

    pub fn has_more(&mut self) {
        self.more = true;
    }

    /// The other side asks on a better way: its router may be open for us now (RFC 8445, 7.3.1.4).
    pub fn hasten(&mut self, now: Instant) {
        let lately = |before: Instant| now.saturating_duration_since(before) < HASTE;
        if self.falls == 0 && !self.hastened.is_some_and(lately) {
            (self.hastened, self.due) = (Some(now), now);
        }
    }

    /// A better way has answered; gives whether it has proved itself.
    pub fn answered(&mut self, now: Instant, way: Way) -> bool {
        match (self.on_trial(now), &mut self.trial) {
            (Some(on_trial), Some(trial)) if on_trial == way => {
                trial.last = now;
                now.saturating_duration_since(trial.since) >= PROOF
            }
            // One at a time.
            (Some(_), _) => false,
            (None, trial) => {
                *trial = Some(Trial { way, since: now, last: now });
                false
            }
        }
    }

    /// The call has moved to a way that is no worse. There may be a better one still.
    pub fn moved(&mut self, now: Instant) {
        self.trial = None;
        self.due = now + FIRST.max(self.floor);
    }

    /// The better way was none: the call is back at a relay.
    pub fn fell(&mut self, now: Instant) {
        self.trial = None;
        self.floor = (AFTER_FALL * 2_u32.saturating_pow(self.falls)).min(LONGEST_AFTER_FALL);
        self.falls += 1;
        self.due = now + self.floor;
    }
}
