//! Calls through servers: a room of Janus, or a page of WHIP or WHEP. For the faces each is one more kind of call, with
//! the same commands and events; the engine's task drives it (`task::visit`) in place of its links.
//!
//! ```text
//!   Task::visit  the loop of all of them: commands, media threads, deadlines
//!       |
//!   Dialogue     Room | Stream: the core's words to and from the server   > WebSocket | HTTP > the server
//!       |
//!   Ends         connections, and the people in them with their media ends > net::Peer > the server's media ports
//! ```

mod ends;
mod room;
mod stream;

pub use ends::{EndEvent, Ends};
pub use room::Room;
pub use stream::Stream;

use super::Event;
use crate::ports::PeerId;
use crate::server::{Refused, RoomAddress, WebAddress};
use crate::units::{Redacted, Resolution};
use std::time::Instant;

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

/// What kind of call it is, for the faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    Room,
    Publish,
    Play,
}

/// Where a call is that goes through a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: PlaceKind,
    /// The room, or the server.
    pub name: String,
    pub host: String,
    /// As others find it.
    pub address: String,
}

impl Goal {
    pub fn place(&self) -> Place {
        match self {
            Self::Room { address, .. } => Place {
                kind: PlaceKind::Room,
                name: address.room.to_string(),
                host: address.target().host,
                address: address.to_string(),
            },
            Self::Publish { address, .. } => Place::of(PlaceKind::Publish, address),
            Self::Play { address, .. } => Place::of(PlaceKind::Play, address),
        }
    }
}

impl Place {
    fn of(kind: PlaceKind, address: &WebAddress) -> Self {
        let host = address.target().host;
        Self { kind, name: host.clone(), host, address: address.to_string() }
    }
}

/// Where we are with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Connecting,
    /// In the room; or the stream goes through.
    Connected,
    /// The server is gone; it is tried again.
    Reconnecting,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    /// We were never in.
    Refused(Refused),
    /// We were in, and cannot be any longer.
    Lost(Refused),
}

/// Somebody in the call, or the server itself, as faces and statistics call them.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: PeerId,
    pub name: String,
}

/// What both kinds of dialogues work with.
pub struct Stay {
    pub ends: Ends,
    pub standing: Standing,
    /// Since when it stands so.
    pub since: Instant,
    pub end: Option<End>,
    /// What the faces are to be told, after where we are.
    news: Vec<Event>,
    people: u64,
}

impl Stay {
    /// `people`: how many have had a number in this run.
    pub fn new(ends: Ends, people: u64) -> Self {
        let (standing, since) = (Standing::Connecting, Instant::now());
        Self { ends, standing, since, end: None, news: Vec::new(), people }
    }

    fn tell(&mut self, event: Event) {
        self.news.push(event);
    }

    /// What is to be told since the last time.
    pub fn take_news(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.news)
    }

    pub fn people(&self) -> u64 {
        self.people
    }

    fn person(&mut self, name: &str) -> Person {
        self.people += 1;
        Person { id: PeerId(self.people), name: name.into() }
    }

    fn enter(&mut self, standing: Standing) {
        if self.standing != standing {
            tracing::info!(?standing, "server");
            (self.standing, self.since) = (standing, Instant::now());
        }
    }

    /// It is over, and not by our wish.
    fn fail(&mut self, why: impl Into<Refused>) {
        self.end = Some(match self.standing {
            Standing::Connecting => End::Refused(why.into()),
            Standing::Connected | Standing::Reconnecting => End::Lost(why.into()),
        });
    }
}

/// The conversation with one server. Its shell asks it what there is to do, and hands it what happens.
pub(in crate::engine) trait Dialogue {
    /// What the server says, as it comes in.
    type Heard;

    /// Does all that is to be done now.
    async fn carry_out(&mut self, stay: &mut Stay);
    fn deadline(&self) -> Option<Instant>;
    fn handle_deadline(&mut self, now: Instant);
    /// The next word of the server; cancel-safe.
    async fn hear(&mut self) -> Self::Heard;
    fn handle_heard(&mut self, now: Instant, heard: Self::Heard);
    fn handle_end(&mut self, now: Instant, stay: &mut Stay, event: EndEvent);
    /// Once a second.
    fn look_after(&mut self, now: Instant, stay: &mut Stay);
    /// On how many pixels somebody's picture is drawn; `None`: nobody can see it.
    fn show(&mut self, now: Instant, stay: &mut Stay, id: PeerId, drawn: Option<Resolution>);
    fn leave(&mut self, now: Instant);
}
