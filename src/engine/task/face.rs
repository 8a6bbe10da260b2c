//! The way from the engine's task to its face.

use crate::engine::{Engine, Event};
use std::sync::Arc;

/// The way to the face.
#[derive(Clone)]
pub(super) struct Face {
    pub outbox: crossbeam_channel::Sender<Event>,
    pub wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Face {
    pub fn tell(&self, event: Event) {
        let dispensable = matches!(event, Event::Levels { .. } | Event::Stats(..));
        if dispensable && self.outbox.len() > Engine::EVENTS / 2 {
            return;
        }
        if self.outbox.try_send(event).is_ok()
            && let Some(wake) = &self.wake
        {
            wake();
        }
    }
}
