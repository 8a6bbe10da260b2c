//! A camera on a thread of its own, which can be given up: whoever asks for pictures never waits on a driver.
//!
//! ```text
//! camera thread: open > grab > convert ──> mailbox (the newest picture wins) ──> next_frame, on any thread
//!                                                                 └─ watchdog: no picture for 2 s = lost
//! ```
//! Dropping the source tells the thread to stop and waits a moment for it. A thread that hangs inside a driver is
//! left behind; it closes its device whenever the driver lets it go.

use crate::device::limit::OPEN_LIMIT;
use crate::device::{DeviceError, DeviceKind, VideoSource};
use crate::frame::RawFrame;
use crate::units::Resolution;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A camera that runs and gives nothing for this long is lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);
/// The first picture may take longer: some cameras measure the light first.
const FIRST_PICTURE_LIMIT: Duration = Duration::from_secs(4);
/// How long closing waits for the thread, so that the device can be opened again at once.
const CLOSE_LIMIT: Duration = Duration::from_millis(400);

/// A device on the camera thread.
pub(super) trait Grabber {
    /// Waits for the next picture, about a tenth of a second at most where the driver allows it. `None`: none yet,
    /// or a damaged one.
    fn grab(&mut self) -> Result<Option<RawFrame>, DeviceError>;
}

/// What opening a device gives.
pub(super) struct Opened {
    pub grabber: Box<dyn Grabber>,
    pub name: String,
    /// What the device says it gives.
    pub format: Option<(Resolution, f64)>,
}

pub(super) struct CameraThread {
    mailbox: Arc<Mailbox>,
    name: String,
    format: Option<(Resolution, f64)>,
    /// Whether silence means that it is lost; a pipe may be silent for as long as it likes.
    watched: bool,
    started: Instant,
}

impl CameraThread {
    /// Opens a device and waits until it is open.
    pub fn open(
        open: impl FnOnce() -> Result<Opened, DeviceError> + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let mut source = Self::start("camera", true, open)?;
        source.wait_open()?;
        Ok(source)
    }

    /// Opens a pipe, which may take for ever: does not wait, and does not expect pictures at any time.
    pub fn open_later(
        name: &str,
        open: impl FnOnce() -> Result<Opened, DeviceError> + Send + 'static,
    ) -> Result<Self, DeviceError> {
        Self::start(name, false, open)
    }

    fn start(
        name: &str,
        watched: bool,
        open: impl FnOnce() -> Result<Opened, DeviceError> + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let mailbox = Arc::new(Mailbox::default());
        let thread_mailbox = mailbox.clone();
        std::thread::Builder::new()
            .name("cam-device".into())
            .spawn(move || {
                // Some driver libraries panic; that is one more way for a camera to be lost.
                let run = catch_unwind(AssertUnwindSafe(|| run(&thread_mailbox, open)));
                let error = run.unwrap_or(Some(DeviceError::Lost(DeviceKind::Camera)));
                thread_mailbox.end(error.unwrap_or(DeviceError::Lost(DeviceKind::Camera)));
            })
            .map_err(|error| unusable(&error.to_string()))?;
        Ok(Self { mailbox, name: name.into(), format: None, watched, started: Instant::now() })
    }

    fn wait_open(&mut self) -> Result<(), DeviceError> {
        let state = self.mailbox.lock();
        let waiting = |state: &mut State| state.opened.is_none() && state.ended.is_none();
        let (mut state, _) = self
            .mailbox
            .changed
            .wait_timeout_while(state, OPEN_LIMIT, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match (state.opened.take(), &state.ended) {
            (Some((name, format)), _) => {
                (self.name, self.format) = (name, format);
                self.started = Instant::now();
                Ok(())
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(DeviceError::Lost(DeviceKind::Camera)),
        }
    }
}

impl VideoSource for CameraThread {
    fn next_frame(&mut self, timeout: Duration) -> Result<Option<Arc<RawFrame>>, DeviceError> {
        let state = self.mailbox.lock();
        let limit = watchdog(self.started, state.newest_at);
        let timeout =
            if self.watched { timeout.min(limit.saturating_duration_since(Instant::now())) } else { timeout };
        let waiting = |state: &mut State| state.newest.is_none() && state.ended.is_none();
        let (mut state, _) = self
            .mailbox
            .changed
            .wait_timeout_while(state, timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = state.newest.take() {
            return Ok(Some(picture));
        }
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        if self.watched && Instant::now() >= watchdog(self.started, state.newest_at) {
            return Err(DeviceError::Lost(DeviceKind::Camera));
        }
        Ok(None)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> Option<(Resolution, f64)> {
        self.format
    }
}

impl Drop for CameraThread {
    fn drop(&mut self) {
        self.mailbox.stop.store(true, Ordering::Relaxed);
        let state = self.mailbox.lock();
        let limit = if self.watched { CLOSE_LIMIT } else { Duration::ZERO };
        drop(self.mailbox.changed.wait_timeout_while(state, limit, |state| state.ended.is_none()));
    }
}

/// When the next picture must have come.
fn watchdog(started: Instant, newest_at: Option<Instant>) -> Instant {
    newest_at.map_or(started + FIRST_PICTURE_LIMIT, |newest| newest + SILENCE_LIMIT)
}

/// The camera thread. The device is closed when this returns.
fn run(mailbox: &Mailbox, open: impl FnOnce() -> Result<Opened, DeviceError>) -> Option<DeviceError> {
    let Opened { mut grabber, name, format } = match open() {
        Ok(opened) => opened,
        Err(error) => return Some(error),
    };
    mailbox.lock().opened = Some((name, format));
    mailbox.changed.notify_all();
    while !mailbox.stop.load(Ordering::Relaxed) {
        match grabber.grab() {
            Ok(Some(picture)) => mailbox.put(picture),
            Ok(None) => {}
            Err(error) => return Some(error),
        }
    }
    None
}

#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    opened: Option<(String, Option<(Resolution, f64)>)>,
    newest: Option<Arc<RawFrame>>,
    newest_at: Option<Instant>,
    /// Why there will be no more pictures.
    ended: Option<DeviceError>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, picture: RawFrame) {
        let mut state = self.lock();
        state.newest = Some(Arc::new(picture));
        state.newest_at = Some(Instant::now());
        drop(state);
        self.changed.notify_all();
    }

    fn end(&self, error: DeviceError) {
        self.lock().ended = Some(error);
        self.changed.notify_all();
    }
}

pub(super) fn unusable(detail: &str) -> DeviceError {
    DeviceError::Unusable { kind: DeviceKind::Camera, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::I420;
    use std::sync::mpsc;

    /// Gives what the test sends.
    struct Scripted(mpsc::Receiver<Result<Option<u8>, DeviceError>>);

    impl Grabber for Scripted {
        fn grab(&mut self) -> Result<Option<RawFrame>, DeviceError> {
            let lost = DeviceError::Lost(DeviceKind::Camera);
            let mut image = I420::black(Resolution::new(2, 2));
            let Some(luma) = self.0.recv().unwrap_or(Err(lost))? else { return Ok(None) };
            assert!(luma != 66, "the driver library panics");
            image.planes_mut().0.fill(luma);
            Ok(Some(RawFrame { image, captured_at: Instant::now() }))
        }
    }

    fn open() -> (mpsc::Sender<Result<Option<u8>, DeviceError>>, CameraThread) {
        let (script, receiver) = mpsc::channel();
        let opened = move || {
            let format = Some((Resolution::new(2, 2), 30.0));
            Ok(Opened { grabber: Box::new(Scripted(receiver)), name: "Scripted".into(), format })
        };
        (script, CameraThread::open(opened).unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn pictures_arrive_and_an_unplugged_camera_is_lost_at_once() {
        let (script, mut source) = open();
        assert_eq!((source.name(), source.format().unwrap().1), ("Scripted", 30.0));
        script.send(Ok(None)).unwrap();
        script.send(Ok(Some(7))).unwrap();
        assert_eq!(source.next_frame(LONG).unwrap().unwrap().image.y()[0], 7);
        drop(script);
        assert_eq!(source.next_frame(LONG).err(), Some(DeviceError::Lost(DeviceKind::Camera)));
        assert_eq!(source.next_frame(LONG).err(), Some(DeviceError::Lost(DeviceKind::Camera)));
    }

    #[test]
    fn a_panic_in_a_driver_is_a_lost_camera() {
        let (script, mut source) = open();
        script.send(Ok(Some(66))).unwrap();
        assert_eq!(source.next_frame(LONG).err(), Some(DeviceError::Lost(DeviceKind::Camera)));
    }

    #[test]
    fn a_frozen_camera_is_lost_and_given_up() {
        let (_script, mut source) = open();
        source.started -= FIRST_PICTURE_LIMIT;
        assert_eq!(source.next_frame(LONG).err(), Some(DeviceError::Lost(DeviceKind::Camera)));
        let now = Instant::now();
        assert_eq!(watchdog(now, None), now + FIRST_PICTURE_LIMIT);
        assert_eq!(watchdog(now - LONG, Some(now)), now + SILENCE_LIMIT);
        // The thread hangs for as long as the script lives; dropping the source does not wait for it.
    }

    #[test]
    fn a_camera_that_does_not_open_says_why() {
        let busy = DeviceError::Busy(DeviceKind::Camera);
        let error = busy.clone();
        assert_eq!(CameraThread::open(move || Err(error)).err(), Some(busy));
    }

    #[test]
    fn silence_of_a_pipe_is_no_fault() {
        let (hold, held) = mpsc::channel::<()>();
        let open = move || {
            let _ = held.recv();
            Err(DeviceError::Ended)
        };
        let mut source = CameraThread::open_later("pipe", open).unwrap();
        source.started -= LONG;
        assert!(matches!(source.next_frame(Duration::ZERO), Ok(None)));
        drop(hold);
        assert_eq!(source.next_frame(LONG).err(), Some(DeviceError::Ended));
    }
}
