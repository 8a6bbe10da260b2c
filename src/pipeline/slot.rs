//! The newest-wins mailbox between a thread that makes pictures and one that shows or encodes them.

use crate::frame::RawFrame;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Called after each new picture; must not block. The window passes its `request_repaint`.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Holds one picture: a new one takes the place of one that was not fetched.
#[derive(Default)]
pub struct FrameSlot {
    state: Mutex<State>,
    changed: Condvar,
    wake: Mutex<Option<Wake>>,
}

#[derive(Default)]
struct State {
    newest: Option<Arc<RawFrame>>,
    /// Number of the newest picture, from 1.
    number: u64,
    taken: u64,
    dropped: u64,
    closed: bool,
}

impl FrameSlot {
    pub fn on_new(&self, wake: Wake) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    pub fn put(&self, frame: Arc<RawFrame>) {
        let mut state = self.lock();
        if state.newest.replace(frame).is_some() && state.taken < state.number {
            state.dropped += 1;
        }
        state.number += 1;
        drop(state);
        self.changed.notify_all();
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }

    /// The newest picture and its number; it stays in the slot, so that a window can draw it again.
    pub fn newest(&self) -> Option<(Arc<RawFrame>, u64)> {
        let state = self.lock();
        state.newest.clone().map(|frame| (frame, state.number))
    }

    /// Takes the picture out, waiting at most `timeout` for a new one.
    pub fn take(&self, timeout: Duration) -> Option<Arc<RawFrame>> {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| state.taken == state.number && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.taken == state.number {
            return None;
        }
        state.taken = state.number;
        state.newest.take()
    }

    /// Forgets the picture: the source has stopped, a placeholder should show.
    pub fn clear(&self) {
        self.lock().newest = None;
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }

    /// Nobody waits here any more: whoever does wakes up.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many pictures were replaced before anybody fetched them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::I420;
    use crate::units::Resolution;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    fn frame(side: u32) -> Arc<RawFrame> {
        let image = I420::black(Resolution::new(side, side));
        Arc::new(RawFrame { image, captured_at: Instant::now() })
    }

    #[test]
    fn the_newest_picture_wins_and_is_taken_once() {
        let slot = FrameSlot::default();
        let woken = Arc::new(AtomicU32::new(0));
        let counter = woken.clone();
        slot.on_new(Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        slot.put(frame(2));
        slot.put(frame(4));
        assert_eq!((slot.dropped(), woken.load(Ordering::SeqCst)), (1, 2));
        assert_eq!(
            slot.newest().map(|(frame, number)| (frame.image.resolution().width, number)),
            Some((4, 2))
        );
        let taken = slot.take(Duration::ZERO).map(|frame| frame.image.resolution().width);
        assert_eq!(taken, Some(4));
        assert!(slot.take(Duration::ZERO).is_none());
        slot.put(frame(6));
        slot.clear();
        assert!(slot.newest().is_none() && slot.take(Duration::ZERO).is_none());
    }

    #[test]
    fn closing_wakes_who_waits() {
        let slot = Arc::new(FrameSlot::default());
        let waiting = slot.clone();
        let thread = std::thread::spawn(move || waiting.take(Duration::from_secs(60)).is_none());
        slot.close();
        assert!(thread.join().unwrap() && slot.is_closed());
    }
}
