//! Calls through servers: a room of Janus, or a page of WHIP or WHEP. One task beside the one of calls between people:
//! it carries what the cores in `server` want to say, makes the connections they ask for, and joins these with the
//! same media threads.
//!
//! ```text
//!   face < ServerEvent < room | stream > Ends (connections, media)  > net::Peer > the server's media ports
//!                            |  core   > WebSocket | HTTP           >             the server
//! ```

mod ends;
mod room;
mod stream;

use super::EngineSetup;
use crate::pipeline::{Media, MediaEvent};
use crate::room::message::clean_name;
use crate::server::{RoomAddress, WebAddress};
use crate::stats::{ProcessStats, Stats};
use crate::units::Redacted;
use crossbeam_channel::TryRecvError;
use ends::Ends;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Events under way to the face; statistics are left out when half is full.
const EVENTS: usize = 1024;
/// Words of the media threads under way; what finds no room is a level or comes again.
const MEDIA_EVENTS: usize = 256;
/// The pace of looking after connections.
const TICK: Duration = Duration::from_millis(100);
/// What is left open when the task ends has so long.
const END: Duration = Duration::from_secs(1);

/// What is wanted of which server.
#[derive(Clone, Debug)]
pub enum Goal {
    Room {
        address: RoomAddress,
        pin: Option<Redacted<String>>,
        token: Option<Redacted<String>>,
        /// Make the room if there is none.
        create: bool,
    },
    /// Send to this page (WHIP).
    Publish { address: WebAddress, token: Option<Redacted<String>> },
    /// Receive from this page (WHEP).
    Play { address: WebAddress, token: Option<Redacted<String>> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Connecting,
    /// In the room; or the stream goes through.
    Connected,
    /// The server is gone; it is tried again.
    Reconnecting,
}

impl ServerState {
    const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
        }
    }
}

/// How it ended; the sentences are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEnd {
    Left,
    /// We were never in.
    Refused(String),
    /// We were in, and cannot be any longer.
    Lost(String),
}

/// What the task tells its face.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    State(ServerState),
    /// Somebody of this name sends; empty if they have none.
    Came(String),
    Went(String),
    /// The first picture of somebody is decoded.
    FirstPicture(String),
    /// A whole sentence.
    Note(String),
    Device(MediaEvent),
    /// Once a second.
    Stats(Box<Stats>),
    /// Nothing comes after this.
    Ended(ServerEnd),
}

/// A face's end of the task. Dropping it leaves the server.
pub struct ServerCall {
    leave: mpsc::Sender<()>,
    events: crossbeam_channel::Receiver<ServerEvent>,
}

impl ServerCall {
    /// Starts the media threads and the task, on a runtime of its own.
    pub fn start(setup: EngineSetup, goal: Goal) -> Self {
        let (leave, inbox) = mpsc::channel(1);
        let (outbox, events) = crossbeam_channel::bounded(EVENTS);
        let spawned = std::thread::Builder::new().name("server".into()).spawn(move || {
            let EngineSetup { settings, media, net, wake } = setup;
            let face = Face { outbox, wake: wake.map(Arc::from) };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "no runtime"),
            };
            let name = clean_name(&settings.name);
            runtime.block_on(async move {
                let (media_events, from_media) = mpsc::channel(MEDIA_EVENTS);
                let ends = Ends::new(net, Media::start(media, media_events), from_media);
                let started = Instant::now();
                let frame = Frame { face, ends, inbox, is_leaving: false, started, state: None };
                match goal {
                    Goal::Room { address, pin, token, create } => {
                        room::run(frame, &address, name, pin, token, create).await;
                    }
                    Goal::Publish { address, token } => {
                        stream::run(frame, address, token, crate::net::Way::Send).await;
                    }
                    Goal::Play { address, token } => {
                        stream::run(frame, address, token, crate::net::Way::Receive).await;
                    }
                }
            });
            runtime.shutdown_timeout(END);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the server");
        }
        Self { leave, events }
    }

    /// Leaves, with a word to the server; [`ServerEvent::Ended`] follows.
    pub fn leave(&self) {
        // One that is on its way already is enough.
        let _ = self.leave.try_send(());
    }

    /// The next event, if there is one now; or that none will ever come, since the task is gone.
    pub fn poll_event(&self) -> Result<ServerEvent, TryRecvError> {
        self.events.try_recv()
    }
}

struct Face {
    outbox: crossbeam_channel::Sender<ServerEvent>,
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Face {
    fn tell(&self, event: ServerEvent) {
        if matches!(event, ServerEvent::Stats(_)) && self.outbox.len() > EVENTS / 2 {
            return;
        }
        if self.outbox.try_send(event).is_ok()
            && let Some(wake) = &self.wake
        {
            wake();
        }
    }
}

/// What both kinds of tasks have in common.
struct Frame {
    face: Face,
    ends: Ends,
    inbox: mpsc::Receiver<()>,
    is_leaving: bool,
    started: Instant,
    state: Option<ServerState>,
}

impl Frame {
    fn enter(&mut self, state: ServerState) {
        if self.state.replace(state) != Some(state) {
            tracing::info!(state = state.word(), "server");
            self.face.tell(ServerEvent::State(state));
        }
    }

    /// Why it ended, if not by our wish.
    fn end(&self, sentence: String) -> ServerEnd {
        match self.state {
            None | Some(ServerState::Connecting) => ServerEnd::Refused(sentence),
            Some(ServerState::Connected | ServerState::Reconnecting) => ServerEnd::Lost(sentence),
        }
    }

    async fn tell_stats(&mut self) {
        let stats = Stats {
            seconds: self.started.elapsed().as_secs_f64(),
            state: self.state.unwrap_or(ServerState::Connecting).word().into(),
            peers: self.ends.stats().await,
            process: ProcessStats::now(),
        };
        self.face.tell(ServerEvent::Stats(Box::new(stats)));
    }

    async fn finish(self, end: ServerEnd) {
        self.ends.close().await;
        self.face.tell(ServerEvent::Ended(end));
    }
}

/// For `select!`: we are to leave, or the face is gone; once.
async fn told_to_leave(inbox: &mut mpsc::Receiver<()>, is_leaving: &mut bool) {
    if *is_leaving {
        return std::future::pending().await;
    }
    inbox.recv().await;
    *is_leaving = true;
}

/// For `select!`.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
