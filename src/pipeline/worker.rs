//! What all media threads have in common: a name, a fence against panics, an end, and a wish that may change.

use super::MediaEvent;
use crate::device::{DeviceError, DeviceKind, priority};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// A thread that panics is started anew this often; a defect that strikes at once must not spin.
const RESTARTS: u32 = 3;
/// Between the panic and the new start.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Tells the engine; a full queue (the engine is stuck) drops the news rather than block a media thread.
#[derive(Clone)]
pub(super) struct Events(pub Sender<MediaEvent>);

impl Events {
    pub fn send(&self, event: MediaEvent) {
        if let Err(error) = self.0.try_send(event) {
            tracing::debug!(%error, "a media event was dropped");
        }
    }

    pub fn failed(&self, kind: DeviceKind, error: DeviceError) {
        tracing::warn!(?kind, %error, "a device does not run");
        self.send(MediaEvent::Failed { kind, error });
    }

    pub fn stopped(&self, kind: DeviceKind, error: DeviceError) {
        self.send(MediaEvent::Stopped { kind, error });
    }
}

/// A running media thread. Its owner tells it to end by other means (a [`Wish`], a closed slot) and then waits.
pub(super) struct Worker {
    name: String,
    /// Closed when the thread has ended.
    done: crossbeam_channel::Receiver<()>,
}

impl Worker {
    /// Runs `work` on a thread of this name until it returns. If it panics, the engine hears that `kind` failed,
    /// and `work` is called again; after [`RESTARTS`] that it stopped. Threads of sound come before others.
    pub fn start(
        name: String,
        kind: DeviceKind,
        events: Events,
        mut work: impl FnMut() + Send + 'static,
    ) -> Self {
        let (alive, done) = crossbeam_channel::bounded(0);
        let report = events.clone();
        let label = name.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let _alive = alive;
            if kind != DeviceKind::Camera {
                priority::raise();
            }
            for restarts in 0..=RESTARTS {
                if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() {
                    return;
                }
                let error =
                    DeviceError::Unusable { kind, detail: format!("the thread “{label}” failed") };
                tracing::error!(thread = label, restarts, "a media thread panicked");
                if restarts == RESTARTS {
                    events.stopped(kind, error);
                } else {
                    events.failed(kind, error);
                    std::thread::sleep(RESTART_PAUSE);
                }
            }
        });
        if let Err(error) = thread {
            report.stopped(kind, DeviceError::Unusable { kind, detail: error.to_string() });
        }
        Self { name, done }
    }

    /// Waits for the end until `deadline`; a thread that hangs in a driver is left behind.
    pub fn join(self, deadline: Instant) {
        if self.done.recv_deadline(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            tracing::warn!(thread = self.name, "a media thread did not end in time");
        }
    }
}

/// What a thread should do, changed by others at any time: the latest wish counts.
pub(super) struct Wish<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// `None`: the thread should end.
    value: Option<T>,
    version: u64,
}

impl<T: Clone> Wish<T> {
    pub fn new(value: T) -> Self {
        Self { state: Mutex::new(State { value: Some(value), version: 0 }), changed: Condvar::new() }
    }

    /// The wish and its version; `None` if the thread should end.
    pub fn current(&self) -> Option<(T, u64)> {
        let state = self.lock();
        state.value.clone().map(|value| (value, state.version))
    }

    /// Whether this version is no longer the current one.
    pub fn is_over(&self, version: u64) -> bool {
        self.lock().version != version
    }

    pub fn change(&self, change: impl FnOnce(&mut T)) {
        let mut state = self.lock();
        if let Some(value) = &mut state.value {
            change(value);
        }
        state.version += 1;
        self.changed.notify_all();
    }

    /// Asks the thread to end.
    pub fn end(&self) {
        let mut state = self.lock();
        state.value = None;
        state.version += 1;
        self.changed.notify_all();
    }

    /// Waits until this version is over, at most for `timeout`.
    pub fn wait(&self, version: u64, timeout: Option<Duration>) {
        let state = self.lock();
        let same = |state: &mut State<T>| state.version == version;
        match timeout {
            Some(timeout) => drop(self.changed.wait_timeout_while(state, timeout, same)),
            None => drop(self.changed.wait_while(state, same)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the engine about a device without repeating itself: the same failure is news only once.
pub(super) struct Reporter {
    kind: DeviceKind,
    events: Events,
    last: Option<DeviceError>,
    /// The chosen device that was told to be missing.
    missing: Option<String>,
}

impl Reporter {
    pub fn new(kind: DeviceKind, events: Events) -> Self {
        Self { kind, events, last: None, missing: None }
    }

    pub fn opened(&mut self, name: &str, picture: Option<(crate::units::Resolution, f64)>) {
        self.last = None;
        self.events.send(MediaEvent::Opened { kind: self.kind, name: name.into(), picture });
    }

    /// Another device stands in for the chosen one.
    pub fn missing(&mut self, name: &str) {
        if self.missing.as_deref() != Some(name) {
            self.missing = Some(name.into());
            self.events.send(MediaEvent::Missing { kind: self.kind, name: name.into() });
        }
    }

    /// The chosen device itself runs: when it goes again, that is news.
    pub fn found(&mut self) {
        self.missing = None;
    }

    pub fn failed(&mut self, error: DeviceError) {
        if self.last.as_ref() != Some(&error) {
            self.events.failed(self.kind, error.clone());
            self.last = Some(error);
        }
    }

    /// A file has come to its end.
    pub fn ended(&mut self) {
        self.events.stopped(self.kind, DeviceError::Ended);
    }

    /// The user chose anew: what failed before is news again.
    pub fn forget(&mut self) {
        (self.last, self.missing) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_panic_is_reported_and_the_thread_goes_on() {
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        let runs = Arc::new(AtomicU32::new(0));
        let counter = runs.clone();
        let worker = Worker::start("test".into(), DeviceKind::Camera, Events(sender), move || {
            assert!(counter.fetch_add(1, Ordering::SeqCst) > 0, "the first run fails");
        });
        worker.join(Instant::now() + Duration::from_secs(20));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert!(matches!(events.try_recv(), Ok(MediaEvent::Failed { kind: DeviceKind::Camera, .. })));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn a_wish_wakes_its_thread_and_ends_it() {
        let wish = Arc::new(Wish::new(1));
        let (value, version) = wish.current().unwrap();
        assert_eq!(value, 1);
        let other = wish.clone();
        let thread = std::thread::spawn(move || {
            other.wait(version, None);
            other.current().map(|(value, _)| value)
        });
        wish.change(|value| *value = 2);
        assert_eq!(thread.join().unwrap(), Some(2));
        assert!(wish.is_over(version));
        wish.end();
        assert!(wish.current().is_none());
        wish.change(|value| *value = 3);
        assert!(wish.current().is_none(), "an end is final");
    }

    #[test]
    fn the_same_failure_is_told_once() {
        let (sender, mut events) = tokio::sync::mpsc::channel(8);
        let mut reporter = Reporter::new(DeviceKind::Camera, Events(sender));
        let error = DeviceError::NotFound(DeviceKind::Camera);
        reporter.failed(error.clone());
        reporter.failed(error.clone());
        reporter.failed(DeviceError::Busy(DeviceKind::Camera));
        reporter.opened("Eye", None);
        reporter.failed(error);
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), 4);
    }
}
