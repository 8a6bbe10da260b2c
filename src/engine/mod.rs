//! The one task that owns the state of the call: [`Command`] in, [`Event`] out. The window and the terminal are
//! two faces of it.

mod peer;
pub mod server;
mod task;

use crate::choice::{GuestChoice, TopologyChoice};
use crate::device::{DeviceError, DeviceKind, DeviceList};
use crate::invite::{self, InviteError, Kind};
use crate::net::{NetConfig, NetError, Reach};
use crate::pipeline::{MediaSetup, Picture};
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::room::diagnosis::Diagnosis;
use crate::room::message::Reaction;
use crate::room::nat::Outlook;
use crate::room::trust::Comparison;
use crate::server::Refused;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::units::{Redacted, Resolution};
use server::{Goal, Place};
use std::time::Duration;
use tokio::sync::mpsc;

/// What a face asks of the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make an invite.
    StartCall,
    /// Make an invite and hand it, with the page for browsers, to whoever opens an address in this network. `None`: the
    /// usual port, or any.
    ServePage(Option<u16>),
    /// Take the other side's invite and make a reply. The text is as it was pasted.
    JoinCall(Redacted<String>),
    /// A call through a server: [`Event::Server`], then the states of a call follow.
    Visit(Box<Goal>),
    /// A pasted text, whatever it is: reply, ICE candidate, or an invite while idle.
    Paste(Redacted<String>),
    /// What the codes of this call are sealed and opened with; `None`: nothing.
    Passphrase(Option<Redacted<String>>),
    MuteMicrophone(bool),
    StopCamera(bool),
    /// Lets in this person, who waits in the lobby, or sends them away.
    Admit(PeerId, bool),
    /// An invite for one more (or for many, as the settings say) while we are in a call; `false`: no longer. The answer
    /// is [`Event::Invite`].
    Invite(bool),
    /// As the host: nobody more comes in, or they may again.
    Lock(bool),
    /// As the host: asks this person to be silent. They may unmute.
    MuteGuest(PeerId),
    /// As the host: puts this person out. They do not come back with the invites that are out.
    Remove(PeerId),
    /// As the host: in what way this call is connected.
    Topology(TopologyChoice),
    /// As the host: what this person gets.
    GuestWay(PeerId, GuestChoice),
    /// Ends the call or the exchange of codes.
    HangUp,
    /// From "ended" back to the lobby.
    Dismiss,
    /// New settings: devices, name, servers. What has changed takes effect at once.
    Apply(Box<Settings>),
    /// List the devices again; the answer is [`Event::Devices`].
    ListDevices,
    /// Whether the lobby is open and we may be seen by people nearby, as the settings say.
    Nearby(bool),
    /// Call somebody of [`Event::Nearby`], by the id.
    CallNearby(String),
    /// Answer or decline who rings.
    AnswerRing(bool),
    /// On how many pixels this person's picture is drawn; `None`: nobody can see it.
    View(PeerId, Option<Resolution>),
    /// Raises our hand, or lowers it.
    Hand(bool),
    /// Shows everybody a reaction.
    React(Reaction),
    /// How loud somebody is played: 0.0 not at all, 1.0 as they come, at most 2.0.
    Volume(PeerId, f32),
    /// Ends the engine, with a bye to the other side.
    Quit,
}

/// Our own code, for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCode {
    pub kind: Kind,
    /// What is copied: one line.
    pub text: Redacted<String>,
    /// Base64 of `{"type","sdp"}`.
    pub full: Redacted<String>,
    /// `candidate:...` lines, one for each way to reach us.
    pub candidates: Vec<Redacted<String>>,
}

impl OwnCode {
    /// Whether it takes a passphrase to read it.
    pub fn is_sealed(&self) -> bool {
        invite::is_sealed(&self.text.0)
    }
}

/// Somebody with the app open in the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearbyPerson {
    pub id: String,
    /// As they call themselves.
    pub name: String,
}

/// Somebody else in the call, or about to come in, as the faces show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePeer {
    /// Empty until they said their name.
    pub name: String,
    pub microphone_muted: bool,
    pub camera_stopped: bool,
    pub hand_raised: bool,
    pub presence: Presence,
    /// They have no picture of their own: they are in this person's.
    pub seen_in: Option<PeerId>,
    /// They get one picture and one sound of everybody.
    pub one_picture: bool,
    /// What they are to get, as we chose it as the host.
    pub way: GuestChoice,
}

/// The room around a call, whether of two or of more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomState {
    /// With us, and with those whose connection still comes up.
    pub people: usize,
    pub we_are_host: bool,
    /// Who may lock the room, mute and remove, if it is somebody who is connected to us.
    pub host: Option<PeerId>,
    pub locked: bool,
    /// Through whom all sound and pictures go; `None`: everybody sends to everybody.
    pub hub: Option<Hub>,
    /// We get one picture and one sound of everybody.
    pub one_picture: bool,
    /// In what way the call is to be connected, as we chose it as the host.
    pub topology: TopologyChoice,
}

/// Who passes everything on, or makes one picture of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    We,
    Person(PeerId),
    /// Somebody we are not connected to yet.
    Unknown,
}

/// How far in somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// The connection to them comes up.
    #[default]
    Joining,
    /// They wait until we let them in ([`Command::Admit`]).
    Asking,
    Here,
    /// Nothing comes through from them now; they may come back.
    Away,
}

/// How good the connection is, for the bars in the call's corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    #[default]
    Unknown,
    Good,
    Fair,
    Poor,
}

/// Why a pasted text was not taken. `Display` is a whole sentence; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("There is nothing to paste into now. Start or join a call first.")]
    NotNow,
    #[error("This code is for joining a call. Hang up first, then join.")]
    AlreadyInCall,
    #[error("Nobody more can come in: the call is full, or its host has locked it.")]
    NoRoom,
    #[error("This reply was not needed: the call it belongs to is up already.")]
    AlreadyConnected,
    /// The server did not let us in, or the call with it is over: said after the [`Event::Call`] of that.
    #[error("{0}")]
    Server(Refused),
}

/// Why a call does not come up, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody has tried yet, but as things are it will hardly come up.
    Expected(Diagnosis),
    /// The other side has begun and nothing comes of it; we go on trying.
    Stuck(Diagnosis),
    /// It is given up; [`Event::Call`] follows.
    Failed(Diagnosis),
}

/// The page for phones and browsers, while it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageLink {
    /// Where it is: one for each address of this computer, the likeliest first. Whoever has one can join.
    pub links: Vec<Redacted<String>>,
    pub guest: PageGuest,
}

/// How far whoever opened the page has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageGuest {
    /// Nobody yet.
    #[default]
    Awaited,
    /// The page is open on some device.
    Looking,
    /// They have pressed *Join*.
    Joining,
}

/// What the engine tells its face.
#[derive(Clone, Debug)]
pub enum Event {
    Call(CallState),
    /// The call that begins goes through this server.
    Server(Box<Place>),
    /// What a person should know: a whole sentence.
    Note(String),
    /// Our code is ready (and again if it grew, and a fresh one while a call has no path).
    Code(Box<OwnCode>),
    Refused(Refusal),
    /// The page for phones is served, or its guest has come further; `None`: no longer.
    Page(Option<PageLink>),
    /// A pasted candidate was taken.
    CandidateAdded,
    /// Somebody has come, or something about them has changed. The first word about a person may be this or any of
    /// those below; all of them name the same person by the same id.
    Remote(PeerId, RemotePeer),
    /// Somebody shows a reaction.
    Reaction(PeerId, Reaction),
    /// They are gone. Nothing more comes of them, unless they come back under the same id.
    Left(PeerId),
    /// Our invite while we are in a call; `None`: there is none now.
    Invite(Option<Box<OwnCode>>),
    /// The room as it is now: said when there is news.
    Room(RoomState),
    /// The host has muted our microphone. Whoever wants to speak unmutes it.
    MutedBy(PeerId),
    /// How far the four words are that we share with this person.
    Trust(PeerId, Comparison),
    /// Everybody nearby; only while [`Command::Nearby`] is on.
    Nearby(Vec<NearbyPerson>),
    /// Somebody of this name rings from nearby, or no longer.
    Ring(Option<String>),
    /// The call is set up with somebody of this name nearby, and needs no codes from us; `None`: no longer.
    With(Option<String>),
    /// Why nobody nearby answered: a sentence.
    NoAnswer(String),
    /// Whether the code that is out leads here.
    Reach(Reach),
    /// This computer's address has changed: the code that comes next takes the place of the one that is out.
    Moved,
    /// This computer has no network, or has one again: said in a call.
    Offline(bool),
    /// What kind of network this is; again when it has changed.
    Network(Outlook),
    /// Why the call does not come up.
    Trouble(Trouble),
    /// This person's pictures come here from now on; `None`: they are gone.
    Picture(PeerId, Option<PictureHandle>),
    Devices(Box<DeviceList>),
    /// A device runs.
    Opened {
        kind: DeviceKind,
        name: String,
        picture: Option<(Resolution, f64)>,
    },
    /// The chosen device of this name is not there; the system's stands in until it is, and opens next.
    Missing {
        kind: DeviceKind,
        name: String,
    },
    /// A device does not run; it is tried again as long as it is wanted.
    Failed {
        kind: DeviceKind,
        error: DeviceError,
    },
    /// Own microphone and camera switches, as they are now.
    Muted {
        microphone: bool,
        camera: bool,
    },
    /// Somebody speaks while the microphone is muted; said once in a while.
    SpeaksWhileMuted,
    /// Loudness, 0.0 to 1.0: of our microphone, and of everybody who is connected.
    Levels {
        microphone: f32,
        people: Vec<(PeerId, f32)>,
    },
    /// Once a second in a call; the people are those of [`Stats::peers`], in their order.
    Stats(Box<Stats>, Vec<(PeerId, Quality)>),
    /// The first picture of this person is decoded.
    FirstPicture(PeerId),
    /// The engine has ended; nothing comes after this.
    Gone,
}

/// A person's pictures.
#[derive(Clone)]
pub struct PictureHandle(pub Picture);

impl std::fmt::Debug for PictureHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Picture")
    }
}

/// What the engine starts with. The command line wins over the settings.
pub struct EngineSetup {
    pub settings: Settings,
    pub media: MediaSetup,
    pub net: NetConfig,
    /// Called after each event; must not block. The window passes its `request_repaint`.
    pub wake: Option<Wake>,
}

/// Tells the face that there is an event to fetch.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// A face's end of the engine. Dropping it ends the engine.
pub struct Engine {
    commands: mpsc::Sender<Command>,
    events: crossbeam_channel::Receiver<Event>,
    preview: Picture,
}

impl Engine {
    /// Commands under way: a person cannot type more; beyond it `send` drops, which is logged.
    pub const COMMANDS: usize = 64;
    /// Events under way. The face drains them at each repaint; levels are left out when half is full.
    pub const EVENTS: usize = 1024;

    /// Starts the media threads and the engine's own runtime. Returns at once: devices open in their threads.
    pub fn start(setup: EngineSetup) -> Self {
        let (commands, inbox) = mpsc::channel(Self::COMMANDS);
        let (outbox, events) = crossbeam_channel::bounded(Self::EVENTS);
        let preview = task::spawn(setup, inbox, outbox);
        Self { commands, events, preview }
    }

    /// Never blocks.
    pub fn send(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            tracing::warn!(%error, "a command was dropped");
        }
    }

    /// The next event, if there is one now.
    pub fn poll_event(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The next event; `None` at the deadline.
    pub fn wait_event(&self, timeout: Duration) -> Option<Event> {
        self.events.recv_timeout(timeout).ok()
    }

    /// Our own camera's pictures.
    pub fn preview(&self) -> Picture {
        self.preview.clone()
    }
}

#[cfg(test)]
impl Engine {
    /// An engine that is not there: what is sent to it and what it says are in a test's hands.
    pub fn fake() -> (Self, mpsc::Receiver<Command>, crossbeam_channel::Sender<Event>) {
        let (commands, heard) = mpsc::channel(Self::COMMANDS);
        let (said, events) = crossbeam_channel::bounded(Self::EVENTS);
        (Self { commands, events, preview: Picture::default() }, heard, said)
    }
}
