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
            .wait_timeout_while(state, timeout, |state| state.taken == state.number)
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

    /// How many pictures were replaced before anybody fetched them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
