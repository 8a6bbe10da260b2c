//! When a peer's pictures are due. Its picture and sound threads and the engine share it.

use crate::ports::SenderReport;
use crate::rtp::AccessUnit;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct PeerSync {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    round_trip: Option<Duration>,
    offset_ms: f64,
}

impl PeerSync {
    pub fn sender_report(&self, _report: SenderReport) {}
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.lock().round_trip = Some(round_trip);
    }
    pub fn round_trip(&self) -> Option<Duration> {
        self.lock().round_trip
    }
    pub fn due(&self, _unit: &AccessUnit, decoded_at: Instant) -> Instant {
        decoded_at
    }
    pub fn offset_ms(&self) -> f64 {
        self.lock().offset_ms
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
