//! Small jobs that may wait for disk or D-Bus, and therefore do not run on the window's thread.

use crate::settings::Settings;
use crossbeam_channel::{Receiver, Sender};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// Writes the settings, newest last. Dropping it waits until they are written.
pub struct Saver {
    inbox: Option<Sender<Settings>>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// A key press each; when the disk is that far behind, the next change brings what was left out.
    const WAITING: usize = 256;

    /// `None`: there is no home to keep settings in.
    pub fn start(path: Option<PathBuf>) -> Self {
        let (inbox, settings) = crossbeam_channel::bounded(Self::WAITING);
        let thread = path.and_then(|path| {
            std::thread::Builder::new().name("settings".into()).spawn(move || keep(&settings, &path)).ok()
        });
        Self { inbox: Some(inbox), thread }
    }

    pub fn save(&self, settings: &Settings) {
        if let Some(inbox) = &self.inbox {
            let _ = inbox.try_send(settings.clone());
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(settings: &Receiver<Settings>, path: &std::path::Path) {
    for first in settings {
        let newest = settings.try_iter().last().unwrap_or(first);
        if let Err(error) = newest.save(path) {
            tracing::warn!(%error, "the settings could not be written");
        }
    }
}

/// Keeps screen and computer awake while a call is on.
#[derive(Default)]
pub struct Awake {
    inbox: Option<Sender<bool>>,
}

impl Awake {
    /// On and off of calls; a person is slower than this.
    const WAITING: usize = 8;

    pub fn set(&mut self, awake: bool) {
        if self.inbox.is_none() && awake {
            let (inbox, wishes) = crossbeam_channel::bounded(Self::WAITING);
            let spawned = std::thread::Builder::new().name("awake".into()).spawn(move || hold(&wishes));
            self.inbox = spawned.is_ok().then_some(inbox);
        }
        if let Some(inbox) = &self.inbox {
            let _ = inbox.try_send(awake);
        }
    }
}

fn hold(wishes: &Receiver<bool>) {
    // The guard is dropped when the call ends, and with the thread when the program does.
    let mut guard = None;
    for awake in wishes {
        guard = awake.then(request).flatten();
        tracing::debug!(held = guard.is_some(), "screen kept awake");
    }
    drop(guard);
}

fn request() -> Option<keepawake::KeepAwake> {
    keepawake::Builder::default()
        .display(true)
        .idle(true)
        .reason("Video call")
        .app_name("Twocan")
        .app_reverse_domain(super::APP_ID)
        .create()
        .inspect_err(|error| tracing::info!(%error, "the screen may go dark in a call"))
        .ok()
}
