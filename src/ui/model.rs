//! What the window knows of the engine: a pure reducer from [`Event`] to [`Model`]. It decides nothing about looks and
//! touches nothing; what has to be done outside comes back as [`Effect`]s, which `app` carries out.

use super::people::{People, Who};
use super::rates::Rates;
pub use super::verdict::{Verdict, WordsModel};
use super::wording;
use crate::device::{DeviceError, DeviceKind, DeviceList};
use crate::engine::server::{Place, PlaceKind};
use crate::engine::{
    Event, Hub, NearbyPerson, OwnCode, PageLink, PictureHandle, Refusal, RemotePeer, RoomState, Trouble,
};
use crate::invite::{InviteError, Kind};
use crate::net::Reach;
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::nat::Outlook;
use crate::server::{Refused, Remedy};
use crate::stats::{PeerStats, Stats};
use crate::units::Resolution;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Where a device stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum DeviceStatus {
    /// Nothing was heard of it yet.
    #[default]
    Unknown,
    /// The command line wants none.
    Unwanted,
    Running {
        name: String,
        picture: Option<(Resolution, f64)>,
    },
    Failed(DeviceError),
}

impl DeviceStatus {
    pub fn error(&self) -> Option<&DeviceError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Unknown | Self::Unwanted | Self::Running { .. } => None,
        }
    }
}

/// Everything a screen can show.
#[derive(Clone, Debug)]
pub struct Model {
    pub call: CallState,
    /// The server that the call goes through.
    pub server: Option<Box<Place>>,
    pub code: Option<OwnCode>,
    /// The invite for one more, while we are in a call.
    pub invite: Option<Box<OwnCode>>,
    pub room: RoomState,
    /// Since when it is out, and whether it leads here.
    pub code_since: Option<Instant>,
    pub reach: Reach,
    /// This computer is elsewhere than an invite says that was given away: the one that is out now leads here.
    pub moved: bool,
    /// The page for phones, while it is served: the invite goes there, and nobody copies it.
    pub page: Option<PageLink>,
    /// Why the last pasted text was not taken: a sentence.
    pub refusal: Option<String>,
    /// That was because it needs a passphrase, or another one.
    pub locked: bool,
    /// Candidates that were pasted one by one and taken.
    pub candidates_added: u32,
    pub people: People,
    /// Who left last: the other side of a call that is over.
    parted: String,
    pub words: HashMap<PeerId, WordsModel>,
    pub nearby: Vec<NearbyPerson>,
    /// Who rings from nearby.
    pub ring: Option<String>,
    /// Who is called nearby, or is answered: codes go back and forth by themselves.
    pub with: Option<String>,
    /// This computer has no network.
    pub offline: bool,
    /// What kind of network this is, as far as it is known.
    pub network: Option<Outlook>,
    /// Why the call does not come up.
    pub trouble: Option<Trouble>,
    pub devices: DeviceList,
    pub camera: DeviceStatus,
    pub microphone: DeviceStatus,
    pub speaker: DeviceStatus,
    pub microphone_muted: bool,
    pub camera_stopped: bool,
    pub microphone_level: f32,
    pub stats: Option<Box<Stats>>,
    /// Whose numbers [`Self::stats`] has, in its order, and what they come to.
    pub measured: Vec<PeerId>,
    pub rates: Vec<Rates>,
    /// How long the last call was; `None` if it never came up.
    pub lasted: Option<Duration>,
    /// The engine has ended.
    pub gone: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            call: CallState::Idle,
            server: None,
            code: None,
            invite: None,
            room: RoomState::default(),
            code_since: None,
            reach: Reach::default(),
            moved: false,
            page: None,
            refusal: None,
            locked: false,
            candidates_added: 0,
            people: People::default(),
            parted: String::new(),
            words: HashMap::new(),
            nearby: Vec::new(),
            ring: None,
            with: None,
            offline: false,
            network: None,
            trouble: None,
            devices: DeviceList::default(),
            camera: DeviceStatus::default(),
            microphone: DeviceStatus::default(),
            speaker: DeviceStatus::default(),
            microphone_muted: false,
            camera_stopped: false,
            microphone_level: 0.0,
            stats: None,
            measured: Vec::new(),
            rates: Vec::new(),
            lasted: None,
            gone: false,
        }
    }
}

/// A server tells so soon who is in its room already.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What the window has to do about an event.
#[derive(Debug)]
pub enum Effect {
    /// Our code came up for the first time in this call: copy it.
    CopyCode,
    /// Our code is another one than was copied.
    CodeChanged,
    /// From here on somebody's pictures come from there.
    RemotePicture(PeerId, Option<PictureHandle>),
    /// Nobody's pictures come from anywhere any more.
    NoPictures,
    /// Nothing of somebody who is gone may be kept.
    Forget(PeerId),
    Toast(Tone, String),
    /// Something wants an answer, and the window may lie under others.
    Attention,
    /// You talk to nobody: say so, or no longer.
    MutedHint(bool),
    /// The text in the field was taken (or the call is over): empty it.
    ClearField,
    /// The code that was submitted needs a passphrase: there has to be a field for it.
    AskPassphrase,
    /// Nothing of an earlier call may show in the window.
    NewCall,
    /// The server wants to know this besides.
    Ask(Remedy),
    /// Nobody has to be told that he himself went back: straight to the lobby.
    Dismiss,
    /// Keep the screen awake, or let it sleep again.
    StayAwake(bool),
}

/// How a short message looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Plain,
    Trouble,
}

impl Model {
    /// At the start; these devices are not wanted.
    pub fn without(unwanted: &[DeviceKind]) -> Self {
        let mut model = Self::default();
        unwanted.iter().for_each(|kind| *model.device_mut(*kind) = DeviceStatus::Unwanted);
        model
    }

    pub fn device(&self, kind: DeviceKind) -> &DeviceStatus {
        match kind {
            DeviceKind::Camera => &self.camera,
            DeviceKind::Microphone => &self.microphone,
            DeviceKind::Speaker => &self.speaker,
        }
    }

    fn device_mut(&mut self, kind: DeviceKind) -> &mut DeviceStatus {
        match kind {
            DeviceKind::Camera => &mut self.camera,
            DeviceKind::Microphone => &mut self.microphone,
            DeviceKind::Speaker => &mut self.speaker,
        }
    }

    /// The other side's name, or a word in its place.
    pub fn remote_name(&self) -> &str {
        match self.people.first() {
            Some(person) => &person.name,
            None if self.parted.is_empty() => "Guest",
            None => &self.parted,
        }
    }

    /// The words shared with somebody; nobody in particular: with the other side of a call of two.
    pub fn words_with(&self, id: Option<PeerId>) -> WordsModel {
        let id = id.or(self.people.first().map(|person| person.id));
        let known = id.and_then(|id| self.words.get(&id));
        known.or(self.words.values().next()).copied().unwrap_or_default()
    }

    pub fn judge(&mut self, id: Option<PeerId>, verdict: Option<Verdict>) {
        let id = id.or(self.people.first().map(|person| person.id)).or(self.words.keys().next().copied());
        if let Some(words) = id.and_then(|id| self.words.get_mut(&id)) {
            words.judge(verdict);
        }
    }

    /// The code that is there to be given away: a fresh one for a call without a path comes before an invite to it.
    pub fn shown_code(&self) -> Option<&OwnCode> {
        self.code.as_ref().or(self.invite.as_deref())
    }

    /// Everybody else in the call, in a few words.
    pub fn company(&self) -> String {
        let names: Vec<&str> = self.people.present().map(|person| person.name.as_str()).collect();
        if names.is_empty() { self.remote_name().into() } else { wording::company(&names) }
    }

    /// Whether others can be told how to come into this call: where there is nobody but a server, there is no room.
    pub fn may_add(&self) -> bool {
        self.server.as_ref().is_none_or(|place| place.kind == PlaceKind::Room)
    }

    /// Whether the two sides have no video codec in common.
    pub fn is_sound_only(&self) -> bool {
        self.stats.as_ref().is_some_and(|stats| stats.peers.iter().any(PeerStats::is_sound_only))
    }

    /// Takes one event; `now` is for how long a call was.
    pub fn reduce(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Call(state) => self.enter(state, now),
            Event::Server(place) => {
                self.forget_call();
                self.server = Some(place);
                vec![Effect::NoPictures, Effect::ClearField, Effect::NewCall]
            }
            Event::Note(sentence) => vec![Effect::Toast(Tone::Plain, sentence)],
            Event::Page(page) => {
                self.page = page;
                Vec::new()
            }
            Event::Code(_) if self.page.is_some() => Vec::new(),
            Event::Code(code) => {
                // One with a passphrase takes the place of the one without.
                let first = self.code.as_ref().is_none_or(|old| old.is_sealed() != code.is_sealed());
                let changed = self.code.as_ref().is_some_and(|old| old.text != code.text);
                self.code = Some(*code);
                if first || changed {
                    self.code_since = Some(now);
                }
                let kind = self.code.as_ref().map(|code| code.kind);
                match (first, self.call.in_call(), kind) {
                    // It goes to the other side by itself.
                    (true, false, Some(Kind::Invite)) if self.with.is_some() => Vec::new(),
                    (true, false, Some(Kind::Invite)) => vec![Effect::CopyCode, Effect::ClearField],
                    // Nobody has asked for this one, or it may not be needed: the clipboard stays as it is.
                    (true, ..) => vec![Effect::ClearField],
                    (false, ..) if changed => vec![Effect::CodeChanged],
                    (false, ..) => Vec::new(),
                }
            }
            Event::Refused(refusal) => {
                self.refusal = Some(refusal.to_string());
                self.locked = matches!(
                    refusal,
                    Refusal::Invite(InviteError::NeedsPassphrase(_) | InviteError::WrongPassphrase)
                );
                match refusal {
                    Refusal::Server(Refused { remedy: Some(remedy), .. }) => vec![Effect::Ask(remedy)],
                    _ if self.locked => vec![Effect::AskPassphrase],
                    _ => Vec::new(),
                }
            }
            Event::CandidateAdded => {
                self.candidates_added += 1;
                self.refusal = None;
                vec![Effect::Toast(Tone::Good, "The candidate was added.".into())]
            }
            Event::Reach(reach) => {
                self.reach = reach;
                Vec::new()
            }
            Event::Moved => {
                self.moved = true;
                let mut effects = vec![Effect::Attention];
                // Where the invite is shown, it says so itself.
                if self.call.in_call() {
                    let sentence =
                        "Your address has changed. Send the new invite to whoever is still to come.";
                    effects.push(Effect::Toast(Tone::Trouble, sentence.into()));
                }
                effects
            }
            Event::Remote(id, remote) => self.know(id, remote, now),
            Event::Left(id) => self.part(id),
            Event::Reaction(id, reaction) => {
                self.people.react(Who::Peer(id), reaction, now);
                Vec::new()
            }
            Event::Trust(id, comparison) => {
                self.words.entry(id).or_default().take(comparison);
                Vec::new()
            }
            Event::Nearby(people) => {
                self.nearby = people;
                Vec::new()
            }
            Event::Ring(name) => {
                self.ring = name;
                if self.ring.is_some() { vec![Effect::Attention] } else { Vec::new() }
            }
            Event::With(name) => {
                self.with = name;
                Vec::new()
            }
            Event::NoAnswer(sentence) => vec![Effect::Toast(Tone::Plain, sentence)],
            Event::Offline(offline) => {
                self.offline = offline;
                Vec::new()
            }
            Event::Network(outlook) => {
                self.network = Some(outlook);
                Vec::new()
            }
            Event::Trouble(trouble) => {
                self.trouble = Some(trouble);
                Vec::new()
            }
            Event::Picture(id, picture) => vec![Effect::RemotePicture(id, picture)],
            Event::Devices(devices) => {
                self.devices = *devices;
                Vec::new()
            }
            Event::Opened { kind, name, picture } => self.device_runs(kind, name, picture),
            Event::Missing { kind, name } => vec![Effect::Toast(
                Tone::Plain,
                format!("“{name}” is not connected. Another {kind} is used until it is."),
            )],
            Event::Failed { kind, error } => self.device_failed(kind, error),
            Event::Muted { microphone, camera } => {
                self.microphone_muted = microphone;
                self.camera_stopped = camera;
                if microphone { Vec::new() } else { vec![Effect::MutedHint(false)] }
            }
            Event::SpeaksWhileMuted if self.microphone_muted && self.call.in_call() => {
                vec![Effect::MutedHint(true)]
            }
            Event::SpeaksWhileMuted => Vec::new(),
            Event::Levels { microphone, people } => {
                self.microphone_level = microphone;
                let own = if self.microphone_muted { 0.0 } else { microphone };
                self.people.speakers.set_level(Who::Me, own, now);
                for (id, level) in people {
                    self.people.set_level(id, level, now);
                }
                Vec::new()
            }
            Event::Stats(stats, qualities) => {
                let measured: Vec<PeerId> = qualities.iter().map(|(id, _)| *id).collect();
                self.rates = Rates::of_all(self.stats.as_deref(), &self.measured, &stats, &measured);
                (self.stats, self.measured) = (Some(stats), measured);
                for (id, quality) in qualities {
                    self.people.set_quality(id, quality);
                }
                Vec::new()
            }
            Event::FirstPicture(_) => Vec::new(),
            Event::Invite(code) => {
                let text = |code: &Option<Box<OwnCode>>| code.as_ref().map(|code| code.text.clone());
                let changed = self.invite.is_some() && text(&self.invite) != text(&code);
                self.moved &= code.is_some();
                self.invite = code;
                if changed { vec![Effect::CodeChanged] } else { Vec::new() }
            }
            Event::Room(room) => self.enter_room(room),
            Event::MutedBy(_) => {
                vec![Effect::Toast(Tone::Plain, "The host has muted your microphone.".into())]
            }
            Event::Gone => {
                self.gone = true;
                Vec::new()
            }
        }
    }

    fn enter(&mut self, state: CallState, now: Instant) -> Vec<Effect> {
        let before = std::mem::replace(&mut self.call, state);
        let mut effects = Vec::new();
        if before != state {
            self.refusal = None;
            self.locked = false;
        }
        match state {
            CallState::Idle => {
                self.forget_call();
                effects.push(Effect::ClearField);
            }
            CallState::Gathering(_) => {
                self.forget_call();
                effects.push(Effect::NoPictures);
                effects.push(Effect::ClearField);
                effects.push(Effect::NewCall);
            }
            CallState::Connecting { .. } => {
                self.moved = false;
                effects.push(Effect::ClearField);
            }
            CallState::InCall { .. } => {
                if !before.in_call() {
                    effects.push(Effect::ClearField);
                    effects.push(Effect::StayAwake(true));
                }
                // What is shown in a call is a fresh code, which is done with.
                self.code = None;
                if matches!(before, CallState::Reconnecting { .. }) {
                    effects.push(Effect::ClearField);
                    effects.push(Effect::Toast(Tone::Good, "The connection is back.".into()));
                }
            }
            CallState::WaitingForReply => {
                // Whoever was here is gone again.
                self.people.clear();
            }
            CallState::Lobby { .. } => effects.push(Effect::ClearField),
            CallState::Reconnecting { rescue, .. } => match rescue {
                Rescue::Gathering(_) => {
                    self.code = None;
                    effects.push(Effect::ClearField);
                }
                Rescue::Connecting { own: Kind::Invite, .. } => effects.push(Effect::ClearField),
                Rescue::Waiting { .. }
                | Rescue::WaitingForReply
                | Rescue::WaitingForInvite
                | Rescue::Connecting { own: Kind::Reply, .. } => {}
            },
            CallState::Ended(reason) => {
                self.lasted = match before {
                    CallState::InCall { since: started } | CallState::Reconnecting { started, .. } => {
                        Some(now.saturating_duration_since(started))
                    }
                    CallState::Idle
                    | CallState::Gathering(_)
                    | CallState::WaitingForReply
                    | CallState::Connecting { .. }
                    | CallState::Lobby { .. } => None,
                    CallState::Ended(_) => self.lasted,
                };
                self.code = None;
                effects.push(Effect::NoPictures);
                effects.push(Effect::ClearField);
                effects.push(Effect::StayAwake(false));
                if reason == EndReason::Cancelled {
                    effects.push(Effect::Dismiss);
                }
            }
        }
        effects
    }

    /// Nothing of an earlier call may show in the next one.
    fn forget_call(&mut self) {
        self.server = None;
        self.code = None;
        self.invite = None;
        self.room = RoomState::default();
        self.reach = Reach::default();
        self.moved = false;
        self.candidates_added = 0;
        self.people.clear();
        self.parted.clear();
        self.words.clear();
        self.offline = false;
        self.trouble = None;
        self.stats = None;
        self.measured.clear();
        self.rates.clear();
        self.lasted = None;
    }

    /// Said aloud: what costs this computer, and what looks different from now on.
    fn enter_room(&mut self, room: RoomState) -> Vec<Effect> {
        let before = std::mem::replace(&mut self.room, room);
        if !self.call.in_call() || !self.people.is_group() {
            return Vec::new();
        }
        let hub = match room.hub {
            Some(Hub::Person(id)) => self.people.find(id).map(|person| person.name.as_str()),
            Some(Hub::We | Hub::Unknown) | None => None,
        };
        let is_ours = |room: &RoomState| room.hub == Some(Hub::We);
        let is_news = is_ours(&room) && !is_ours(&before) || room.one_picture && !before.one_picture;
        if !is_news {
            return Vec::new();
        }
        vec![Effect::Toast(Tone::Plain, format!("{} from now on.", wording::way(&room, hub)))]
    }

    fn know(&mut self, id: PeerId, remote: RemotePeer, now: Instant) -> Vec<Effect> {
        let news = self.people.know(id, remote);
        let Some(person) = self.people.find(id).filter(|_| self.call.in_call()) else { return Vec::new() };
        let mut effects = Vec::new();
        // Whoever was in a server's room before us is no news.
        let arrives = matches!(self.call, CallState::InCall { since } if now < since + ARRIVAL);
        let came = news.came && !(self.server.is_some() && arrives);
        if came && (self.people.is_group() || self.server.is_some()) {
            effects.push(Effect::Toast(Tone::Plain, format!("{} has joined.", person.name)));
        } else if came {
            effects.push(Effect::Toast(Tone::Plain, format!("You are in a call with {}.", person.name)));
        }
        if news.raised_hand && person.is_in() {
            effects.push(Effect::Toast(Tone::Plain, format!("{} raises a hand.", person.name)));
        }
        if news.asks {
            effects.push(Effect::Attention);
        }
        effects
    }

    fn part(&mut self, id: PeerId) -> Vec<Effect> {
        let mut effects = vec![Effect::Forget(id)];
        self.words.remove(&id);
        let Some(person) = self.people.leave(id) else { return effects };
        self.parted = person.name.clone();
        // The end of a call of two has a screen of its own.
        let is_last = self.people.count() == 1 && self.server.is_none();
        if person.is_in() && self.call.in_call() && !is_last {
            effects.push(Effect::Toast(Tone::Plain, format!("{} has left.", person.name)));
        }
        effects
    }

    fn device_runs(
        &mut self,
        kind: DeviceKind,
        name: String,
        picture: Option<(Resolution, f64)>,
    ) -> Vec<Effect> {
        let was =
            std::mem::replace(self.device_mut(kind), DeviceStatus::Running { name: name.clone(), picture });
        match was {
            DeviceStatus::Failed(_) => {
                vec![Effect::Toast(Tone::Good, format!("The {kind} works again: {name}."))]
            }
            DeviceStatus::Unknown | DeviceStatus::Unwanted | DeviceStatus::Running { .. } => Vec::new(),
        }
    }

    fn device_failed(&mut self, kind: DeviceKind, error: DeviceError) -> Vec<Effect> {
        let sentence = error.to_string();
        let was = std::mem::replace(self.device_mut(kind), DeviceStatus::Failed(error));
        if kind == DeviceKind::Microphone {
            self.microphone_level = 0.0;
        }
        // The screens show the sentence in its place; only news in a call needs a message besides.
        let news = was.error().map(ToString::to_string).as_ref() != Some(&sentence);
        if news && self.call.in_call() { vec![Effect::Toast(Tone::Trouble, sentence)] } else { Vec::new() }
    }
}
