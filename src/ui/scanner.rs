//! Looks for a QR code in the camera's pictures, while the person wants that: a thread of its own, which looks at the
//! newest picture a few times a second and ends with the first code it finds. What it finds goes the way of a paste.

use super::qr;
use super::repaint::Waker;
use crate::pipeline::Picture;
use crate::units::Redacted;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The window's end. Dropping it ends the thread.
pub struct Scanner {
    found: Receiver<Redacted<String>>,
    /// Only its end counts.
    _stop: Sender<()>,
}

impl Scanner {
    /// Five looks a second: fast enough for a hand, and a small part of one core.
    const PERIOD: Duration = Duration::from_millis(200);

    /// `None`: there is no thread to be had.
    pub fn start(camera: Picture, waker: Waker) -> Option<Self> {
        let (tell, found) = crossbeam_channel::bounded(1);
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let look = move || {
            let mut seen = None;
            while stopped.recv_timeout(Self::PERIOD) == Err(RecvTimeoutError::Timeout) {
                let Some((frame, number)) = camera.newest().filter(|(_, number)| seen != Some(*number))
                else {
                    continue;
                };
                seen = Some(number);
                // Whatever the camera sees must not end the search.
                let read = catch_unwind(AssertUnwindSafe(|| qr::read(&frame.image)));
                if let Ok(Some(text)) = read {
                    let _ = tell.try_send(Redacted(text));
                    waker.wake();
                    return;
                }
            }
        };
        match std::thread::Builder::new().name("qr".into()).spawn(look) {
            Ok(_) => Some(Self { found, _stop: stop }),
            Err(error) => {
                tracing::warn!(%error, "no thread to look for a QR code");
                None
            }
        }
    }

    /// What was found.
    pub fn poll(&self) -> Option<Redacted<String>> {
        self.found.try_recv().ok()
    }
}
