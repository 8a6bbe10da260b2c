//! What the callbacks of a sound device tell about it, and whether it is still alive.
//!
//! The callbacks only count and mark ([`Health`], atomics); the media thread draws the conclusions ([`Watch`]).

use crate::device::{DeviceError, DeviceKind, priority};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A device that runs and does not call for this long is lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);
/// At the start it may take longer: a Bluetooth headset changes its profile, and a sound server first plays the
/// silence it prepared (2 s with a null sink).
const START_LIMIT: Duration = Duration::from_secs(3);
/// More errors than this within a second are a device that does not recover.
const MAX_ERRORS_PER_SECOND: u32 = 5;

const FINE: u8 = 0;
const GONE: u8 = 1;
const DENIED: u8 = 2;

/// Written by the callbacks without ever waiting.
#[derive(Default)]
pub(super) struct Health {
    calls: AtomicU32,
    errors: AtomicU32,
    state: AtomicU8,
    /// Samples per channel of the largest call.
    largest_call: AtomicU32,
    /// Microseconds between the callback and the air.
    latency_us: AtomicU32,
    /// The thread of the callbacks, as [`priority::this_thread`] numbers it; 0 before the first.
    thread: AtomicU32,
}

impl Health {
    pub fn called(&self, frames: usize, latency: Duration) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            self.thread.store(priority::this_thread(), Ordering::Relaxed);
        }
        self.largest_call.fetch_max(frames as u32, Ordering::Relaxed);
        self.latency_us.store(latency.as_micros().min(u128::from(u32::MAX)) as u32, Ordering::Relaxed);
    }

    pub fn failed(&self, kind: cpal::ErrorKind) {
        use cpal::ErrorKind;
        match kind {
            // A gap in the sound, or news: the stream goes on.
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            ErrorKind::StreamInvalidated | ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => {
                self.state.store(GONE, Ordering::Relaxed);
            }
            ErrorKind::PermissionDenied => self.state.store(DENIED, Ordering::Relaxed),
            _ => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn largest_call(&self) -> usize {
        self.largest_call.load(Ordering::Relaxed) as usize
    }

    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed).into())
    }
}

pub(super) struct Watch {
    kind: DeviceKind,
    calls: u32,
    /// By when the device must have called.
    silent_until: Instant,
    errors: u32,
    errors_since: Instant,
    /// The thread of the callbacks has been given its priority.
    raised: bool,
}

impl Watch {
    pub fn new(kind: DeviceKind, now: Instant) -> Self {
        Self { kind, calls: 0, silent_until: now + START_LIMIT, errors: 0, errors_since: now, raised: false }
    }

    /// Whether the device still works.
    pub fn check(&mut self, health: &Health, now: Instant) -> Result<(), DeviceError> {
        match health.state.load(Ordering::Relaxed) {
            GONE => return Err(DeviceError::Lost(self.kind)),
            DENIED => return Err(DeviceError::Denied(self.kind)),
            _ => debug_assert_eq!(health.state.load(Ordering::Relaxed), FINE),
        }
        let calls = health.calls.load(Ordering::Relaxed);
        if calls != self.calls {
            self.calls = calls;
            let thread = health.thread.load(Ordering::Relaxed);
            if !self.raised && thread != 0 {
                self.raised = true;
                priority::raise_thread(thread);
            }
            self.silent_until = self.silent_until.max(now + SILENCE_LIMIT);
        }
        let errors = health.errors.load(Ordering::Relaxed);
        let storm = errors.wrapping_sub(self.errors) > MAX_ERRORS_PER_SECOND;
        if storm || now >= self.silent_until {
            return Err(DeviceError::Lost(self.kind));
        }
        if now.saturating_duration_since(self.errors_since) >= Duration::from_secs(1) {
            (self.errors, self.errors_since) = (errors, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::ErrorKind;

    const LOST: Result<(), DeviceError> = Err(DeviceError::Lost(DeviceKind::Microphone));

    fn start() -> (Health, Watch, impl Fn(u64) -> Instant) {
        let now = Instant::now();
        let at = move |ms| now + Duration::from_millis(ms);
        (Health::default(), Watch::new(DeviceKind::Microphone, now), at)
    }

    #[test]
    fn a_device_that_falls_silent_is_lost() {
        let (health, mut watch, at) = start();
        health.called(480, Duration::ZERO);
        assert_eq!(watch.check(&health, at(0)), Ok(()));
        assert_eq!(watch.check(&health, at(2900)), Ok(()));
        health.called(480, Duration::ZERO);
        assert_eq!(watch.check(&health, at(2950)), Ok(()));
        assert_eq!(watch.check(&health, at(3900)), Ok(()));
        assert_eq!(watch.check(&health, at(3950)), LOST);
    }

    #[test]
    fn a_device_that_never_calls_is_lost() {
        let (health, mut watch, at) = start();
        assert_eq!(watch.check(&health, at(3000)), LOST);
    }

    #[test]
    fn gaps_are_survived_and_storms_are_not() {
        let (health, mut watch, at) = start();
        for ms in 0..100 {
            health.called(480, Duration::ZERO);
            health.failed(ErrorKind::Xrun);
            // Four errors a second.
            if ms % 25 == 0 {
                health.failed(ErrorKind::BackendError);
            }
            assert_eq!(watch.check(&health, at(ms * 10)), Ok(()));
        }
        (0..6).for_each(|_| health.failed(ErrorKind::BackendError));
        assert_eq!(watch.check(&health, at(1000)), LOST);
    }

    #[test]
    fn a_device_that_says_it_is_gone_is_lost_at_once() {
        for (kind, expected) in [
            (ErrorKind::StreamInvalidated, LOST),
            (ErrorKind::DeviceNotAvailable, LOST),
            (ErrorKind::PermissionDenied, Err(DeviceError::Denied(DeviceKind::Microphone))),
        ] {
            let (health, mut watch, at) = start();
            health.failed(kind);
            assert_eq!(watch.check(&health, at(0)), expected);
        }
    }
}
