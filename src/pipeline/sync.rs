//! When a peer's pictures are due: the playout clock, shared by the threads that show the pictures (`vdec-*`) and
//! play the sound (`mix`), and the engine, which hands over what the network reports.

use crate::ports::SenderReport;
use crate::rtp::{AccessUnit, PlayoutClock};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct PeerSync {
    clock: Mutex<PlayoutClock>,
    /// Microseconds; 0: not known.
    round_trip: AtomicU64,
}

impl PeerSync {
    pub fn sender_report(&self, report: &SenderReport) {
        self.lock().handle_sender_report(report);
    }

    pub fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip.store(round_trip.as_micros().max(1) as u64, Ordering::Relaxed);
    }

    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// When a picture that is decoded now goes to the screen.
    pub fn due(&self, unit: &AccessUnit, now: Instant) -> Instant {
        self.lock().due(now, unit.timestamp, unit.last_arrival)
    }

    /// The sample with this RTP time leaves the speaker at `heard_at`. Gives how much longer the sound should
    /// wait for the pictures.
    pub fn handle_sound(&self, timestamp: i64, heard_at: Instant) -> Duration {
        let mut clock = self.lock();
        clock.handle_sound(timestamp, heard_at);
        clock.wanted_audio_delay()
    }

    /// Picture minus sound as both are presented; 0 while it is not known.
    pub fn offset_ms(&self) -> f64 {
        self.lock().skew_ms().unwrap_or(0.0)
    }

    fn lock(&self) -> MutexGuard<'_, PlayoutClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
