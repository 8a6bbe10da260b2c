//! Notices that another device should be in use: the user made another one the system's default, the chosen one that
//! was missing is back, or it has gone and a sound server has moved the stream to another one without a word.
//!
//! A thread of its own asks the system once a second, for as long as the device is open; the media thread only reads
//! a flag and then opens anew. So it works the same with PulseAudio, which keeps a stream on its device when the
//! default changes (cpal names the device), and with systems that would move it by themselves.

use super::host::{self, Wanted};
use crate::device::DeviceKind;
use cpal::DeviceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

const ROUND: Duration = Duration::from_secs(1);

/// Dropping it ends the thread, without waiting for it: it may hang in a driver.
pub(super) struct Follow {
    outdated: Arc<AtomicBool>,
    _alive: Option<SyncSender<()>>,
}

impl Follow {
    /// `opened`: what runs now.
    pub fn start(kind: DeviceKind, wanted: &Wanted, opened: Option<DeviceId>) -> Self {
        let outdated = Arc::new(AtomicBool::new(false));
        let none = Self { outdated: outdated.clone(), _alive: None };
        let wanted = wanted.clone();
        let (alive, end) = sync_channel::<()>(0);
        let flag = outdated.clone();
        let spawned = std::thread::Builder::new().name("sound-follow".into()).spawn(move || {
            let mut look = Look::new(kind, wanted, opened);
            while end.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                if look.is_outdated() {
                    flag.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        match spawned {
            Ok(_) => Self { outdated, _alive: Some(alive) },
            Err(_) => none,
        }
    }

    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }
}

struct Look {
    kind: DeviceKind,
    wanted: Wanted,
    opened: Option<DeviceId>,
    /// Kept while it answers: to connect to a sound server costs more than to ask it.
    host: Option<cpal::Host>,
    /// What was plugged in when the devices were last listed.
    plugged: Option<String>,
}

impl Look {
    fn new(kind: DeviceKind, wanted: Wanted, opened: Option<DeviceId>) -> Self {
        Self { kind, wanted, opened, host: None, plugged: None }
    }

    fn is_outdated(&mut self) -> bool {
        if self.host.is_none() {
            self.host = host::host().ok();
        }
        let Some(host) = &self.host else { return false };
        if let Wanted::Named(name) = &self.wanted {
            // Elsewhere the stream of a device that goes breaks, and is opened anew.
            let gone = host::moves_streams(host) && !host::is_there(host, self.kind, name);
            if gone {
                tracing::info!(kind = %self.kind, name, "the chosen device is gone");
            }
            return gone;
        }
        let Some(default) = host::default_id(host, self.kind) else {
            // The server is gone, or there is no device at all: the stream itself tells.
            self.host = None;
            return false;
        };
        if self.opened.as_ref().is_some_and(|opened| *opened != default) {
            tracing::info!(kind = %self.kind, "the system has another default device");
            return true;
        }
        let Wanted::StandIn(missing) = &self.wanted else { return false };
        // To list the devices of bare ALSA takes seconds: only when something was plugged in.
        let plugged = host::plugged(host);
        if plugged.is_some() && plugged == self.plugged {
            return false;
        }
        self.plugged = plugged;
        let back = host::is_there(host, self.kind, missing);
        if back {
            tracing::info!(kind = %self.kind, name = missing, "the chosen device is back");
        }
        back
    }
}
