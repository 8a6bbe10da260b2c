//! What the window itself remembers between two paints, and what a screen asks for.
//!
//! A screen reads the [`Model`](super::model::Model), changes the [`View`] and pushes [`Act`]s; only `app` talks to
//! engine, clipboard and file.

use super::clipboard::{Copied, Purpose};
use super::model::{Model, Verdict};
use super::people::Who;
use super::video::{self, Fill, VideoPainter};
use super::visit::VisitForm;
use crate::choice::{GuestChoice, TopologyChoice};
use crate::invite::Kind;
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::room::message::Reaction;
use crate::server::Remedy;
use crate::settings::{IceServer, Settings};
use crate::units::Redacted;
use eframe::egui::{self, Pos2, Rect, Vec2};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Which screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    Lobby,
    /// Invite and reply; also while the invite to join with has not been pasted yet.
    Exchange,
    /// A call through a server, before it is up.
    Visit,
    Call,
    Ended,
    /// The engine is gone.
    Broken,
}

/// What lies over the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    #[default]
    None,
    Settings,
    Help,
    /// Our code as a QR code.
    Qr,
    /// "Do you really want to give up this code?"
    ConfirmCancel,
}

/// A code that was found in the clipboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub kind: Kind,
    pub text: Redacted<String>,
}

/// Where our own picture lies in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Corner {
    /// The corner of `area` that is nearest to `at`.
    pub fn nearest(area: Rect, at: Pos2) -> Self {
        match (at.x < area.center().x, at.y < area.center().y) {
            (true, true) => Self::TopLeft,
            (false, true) => Self::TopRight,
            (true, false) => Self::BottomLeft,
            (false, false) => Self::BottomRight,
        }
    }

    /// A rectangle of this size in this corner of `area`.
    pub fn place(self, area: Rect, size: Vec2) -> Rect {
        let x = match self {
            Self::TopLeft | Self::BottomLeft => area.left(),
            Self::TopRight | Self::BottomRight => area.right() - size.x,
        };
        let y = match self {
            Self::TopLeft | Self::TopRight => area.top(),
            Self::BottomLeft | Self::BottomRight => area.bottom() - size.y,
        };
        Rect::from_min_size(egui::pos2(x, y), size)
    }
}

/// An ICE server as it stands in the fields of the settings.
#[derive(Clone, Debug, Default)]
pub struct ServerDraft {
    /// Which one is edited; `None`: a new one.
    pub index: Option<usize>,
    pub url: String,
    pub user: String,
    pub password: String,
    pub error: Option<String>,
}

impl ServerDraft {
    pub fn of(index: usize, server: &IceServer) -> Self {
        Self {
            index: Some(index),
            url: server.url.clone(),
            user: server.user.clone(),
            password: server.password.clone(),
            error: None,
        }
    }
}

pub struct View {
    /// *Join a call* was pressed and no invite is pasted yet.
    pub joining: bool,
    /// *Join a server room* was pressed; what stands in its form, and what the server asked for besides.
    pub visiting: bool,
    pub visit: VisitForm,
    pub visit_wants: Option<Remedy>,
    /// The field for the other side's code, and the one for a single candidate.
    pub field: String,
    pub candidate: String,
    /// What was submitted last: it is submitted again with its passphrase.
    pub submitted: Redacted<String>,
    /// The fields for a passphrase: of our code, while one is being added, and of theirs.
    pub sealing: Option<String>,
    pub unlock: String,
    /// The camera looks for a QR code.
    pub scanning: bool,
    /// The details panel of the exchange.
    pub details: bool,
    pub overlay: Overlay,
    pub statistics: bool,
    /// The card with the four words.
    pub words: bool,
    /// Whose words, in a group.
    pub words_of: Option<PeerId>,
    pub fullscreen: bool,
    /// Chosen by hand; `None`: what suits the picture.
    pub fill: Option<Fill>,
    pub corner: Corner,
    pub own_hidden: bool,
    /// Points that the whole picture of somebody takes, what is cut off included; `None`: it is not drawn. Who is not
    /// in it has no picture yet.
    pub drawn: HashMap<PeerId, Option<Vec2>>,
    /// In a group: whoever has the word is large, unless somebody is pinned.
    pub speaker_view: bool,
    pub pinned: Option<Who>,
    /// The list of people, and whose line is open.
    pub people: bool,
    pub selected: Option<Who>,
    /// The reactions to choose from.
    pub reacting: bool,
    /// The card with an invite to the running call.
    pub adding: bool,
    /// How loud somebody is played; who is not in it, as they come.
    pub volumes: HashMap<PeerId, f32>,
    /// While our own picture is dragged: from the pointer to its corner.
    pub drag: Option<Vec2>,
    /// What was copied last in this call, and when: the button says so for a moment.
    pub copied: Option<(Copied, Instant)>,
    pub offer: Option<Offer>,
    /// Our reply went into the clipboard.
    pub reply_offered: bool,
    /// Codes that were offered and turned down, or are our own: not offered again. The newest is last.
    declined: Vec<Redacted<String>>,
    /// The pointer's or keyboard's last sign of life, for fading controls.
    pub stirred: Instant,
    pub server: Option<ServerDraft>,
    /// A text field had the focus at the end of the last pass.
    pub typing: bool,
    /// When the window opened; the phase of the waiting dots.
    pub started: Instant,
}

impl View {
    /// How long a button says "Copied".
    pub const COPIED: Duration = Duration::from_secs(4);
    /// Codes that are remembered as of no interest.
    const DECLINED: usize = 8;
    /// In full screen the controls go away after this long.
    pub const REST: Duration = Duration::from_secs(3);
    /// And this long it takes them.
    pub const FADE: Duration = Duration::from_millis(300);

    pub fn new(now: Instant) -> Self {
        Self {
            joining: false,
            visiting: false,
            visit: VisitForm::default(),
            visit_wants: None,
            drawn: HashMap::new(),
            speaker_view: false,
            pinned: None,
            people: false,
            selected: None,
            reacting: false,
            adding: false,
            volumes: HashMap::new(),
            field: String::new(),
            candidate: String::new(),
            submitted: Redacted::default(),
            sealing: None,
            unlock: String::new(),
            scanning: false,
            details: false,
            overlay: Overlay::None,
            statistics: false,
            words: false,
            words_of: None,
            fullscreen: false,
            fill: None,
            corner: Corner::BottomRight,
            own_hidden: false,
            drag: None,
            copied: None,
            offer: None,
            reply_offered: false,
            declined: Vec::new(),
            stirred: now,
            server: None,
            typing: false,
            started: now,
        }
    }

    pub fn screen(&self, model: &Model) -> Screen {
        if model.gone {
            return Screen::Broken;
        }
        match model.call {
            CallState::Idle if self.visiting => Screen::Visit,
            CallState::Connecting { .. } if model.server.is_some() => Screen::Visit,
            CallState::Idle if self.joining => Screen::Exchange,
            CallState::Idle | CallState::Ended(crate::room::call::EndReason::Cancelled) => Screen::Lobby,
            CallState::Gathering(_)
            | CallState::WaitingForReply
            | CallState::Connecting { .. }
            | CallState::Lobby { .. } => Screen::Exchange,
            CallState::InCall { .. } | CallState::Reconnecting { .. } => Screen::Call,
            CallState::Ended(_) => Screen::Ended,
        }
    }

    /// Forgets what belongs to one call only.
    pub fn new_call(&mut self) {
        self.copied = None;
        self.reply_offered = false;
        self.details = false;
        self.candidate.clear();
        self.words = false;
        self.words_of = None;
        self.sealing = None;
        self.fill = None;
        self.speaker_view = false;
        self.pinned = None;
        self.people = false;
        self.selected = None;
        self.reacting = false;
        self.adding = false;
        self.volumes.clear();
    }

    /// Somebody has left: nothing of theirs is kept.
    pub fn forget(&mut self, id: PeerId) {
        let who = Some(Who::Peer(id));
        self.pinned = self.pinned.filter(|_| self.pinned != who);
        self.selected = self.selected.filter(|_| self.selected != who);
        self.words &= self.words_of != Some(id);
        self.words_of = self.words_of.filter(|of| *of != id);
        self.volumes.remove(&id);
        self.drawn.remove(&id);
    }

    /// The words shared with one of several.
    pub fn open_words(&mut self, id: PeerId) {
        (self.words, self.words_of, self.statistics) = (true, Some(id), false);
    }

    pub fn volume(&self, id: PeerId) -> f32 {
        self.volumes.get(&id).copied().unwrap_or(1.0)
    }

    pub fn is_speaker_view(&self) -> bool {
        self.speaker_view || self.pinned.is_some()
    }

    pub fn toggle_speaker_view(&mut self) {
        self.speaker_view = !self.is_speaker_view();
        self.pinned = None;
        self.fill = None;
    }

    pub fn open_people(&mut self) {
        self.people = true;
    }

    pub fn toggle_people(&mut self) {
        self.people = !self.people;
    }

    /// The two cards lie in the same place.
    pub fn toggle_statistics(&mut self) {
        self.statistics = !self.statistics;
        self.words = false;
    }

    pub fn toggle_words(&mut self) {
        self.words = !self.words;
        self.words_of = None;
        self.statistics = false;
    }

    /// Nothing that was pasted, typed or being scanned is of use any more.
    pub fn clear_field(&mut self) {
        self.field.clear();
        self.unlock.clear();
        self.submitted = Redacted::default();
        self.scanning = false;
        self.offer = None;
    }

    /// This text in the clipboard is never offered.
    pub fn decline(&mut self, text: String) {
        if self.declined.len() == Self::DECLINED {
            self.declined.remove(0);
        }
        self.declined.push(Redacted(text));
    }

    pub fn is_declined(&self, text: &str) -> bool {
        self.declined.iter().any(|declined| declined.0.trim() == text.trim())
    }

    /// Is this what was copied last?
    pub fn copied_before(&self, what: Copied) -> bool {
        self.copied.is_some_and(|(copied, _)| copied == what)
    }

    /// This is another text by now.
    pub fn forget_copied(&mut self, what: Copied) {
        self.copied = self.copied.filter(|(copied, _)| *copied != what);
    }

    /// Was this copied just now?
    pub fn just_copied(&self, what: Copied, now: Instant) -> bool {
        self.copied
            .is_some_and(|(copied, at)| copied == what && now.saturating_duration_since(at) < Self::COPIED)
    }
}

/// What a screen or a key asks for.
#[derive(Clone, Debug)]
pub enum Act {
    StartCall,
    InvitePhone,
    OpenJoin,
    OpenVisit,
    /// Joins what stands in the form.
    Visit,
    /// Call somebody nearby, by the id.
    CallNearby(String),
    /// Answer or decline who rings.
    AnswerRing(bool),
    /// Read the clipboard.
    Read(Purpose),
    /// A pasted or typed code.
    Submit(String),
    Copy(Copied),
    /// What our code is sealed with.
    SetPassphrase(Option<String>),
    /// What the code that was submitted last is opened with.
    Unlock(String),
    /// Look for a QR code in the camera's picture, or no longer.
    Scan(bool),
    TakeOffer,
    DropOffer,
    /// Gives up the exchange; asks first when a code is already out.
    Cancel,
    CancelForSure,
    /// Lets in who waits in the lobby, or not.
    Admit(PeerId, bool),
    HangUp,
    /// From "ended" to the lobby.
    Back,
    ToggleMicrophone,
    ToggleCamera,
    ToggleFullscreen,
    RaiseHand(bool),
    React(Reaction),
    /// How loud somebody is played.
    SetVolume(PeerId, f32),
    /// Shows an invite to the running call.
    AddSomeone,
    /// Takes that invite back.
    Withdraw,
    /// As the host: nobody more comes in, or they may again.
    Lock(bool),
    MuteGuest(PeerId),
    Remove(PeerId),
    /// As the host: in what way the call is connected, and what one person gets.
    Topology(TopologyChoice),
    GuestWay(PeerId, GuestChoice),
    /// The two people have compared the words; `None`: once more.
    Judge(Option<Verdict>),
    /// New settings: saved and applied at once.
    Change(Box<Settings>),
    ListDevices,
    Close,
}

/// What a screen works with.
pub struct Scene<'a> {
    pub model: &'a Model,
    pub view: &'a mut View,
    pub settings: &'a Settings,
    pub acts: &'a mut Vec<Act>,
    pub painter: &'a VideoPainter,
    pub own: &'a video::View,
    pub remotes: &'a [(PeerId, video::View)],
    pub now: Instant,
}

impl<'a> Scene<'a> {
    /// Somebody's pictures.
    pub fn remote(&self, id: PeerId) -> Option<&'a video::View> {
        self.remotes.iter().find(|(of, _)| *of == id).map(|(_, view)| view)
    }

    /// Those of the other side, in a call of two.
    pub fn theirs(&self) -> Option<&'a video::View> {
        let known = self.model.people.first().and_then(|person| self.remote(person.id));
        known.or(self.remotes.first().map(|(_, view)| view))
    }

    pub fn act(&mut self, act: Act) {
        self.acts.push(act);
    }

    /// Changes a copy of the settings and asks to take it.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.clone();
        change(&mut settings);
        if settings != *self.settings {
            self.act(Act::Change(Box::new(settings)));
        }
    }

    /// Our name, or a word in its place.
    pub fn own_name(&self) -> &str {
        if self.settings.name.is_empty() { "You" } else { &self.settings.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dragged_picture_snaps_to_the_nearest_corner() {
        let area = Rect::from_min_size(egui::pos2(0.0, 0.0), egui::vec2(800.0, 600.0));
        for (at, corner, min) in [
            ((10.0, 10.0), Corner::TopLeft, (0.0, 0.0)),
            ((700.0, 100.0), Corner::TopRight, (640.0, 0.0)),
            ((399.0, 301.0), Corner::BottomLeft, (0.0, 510.0)),
            ((900.0, 900.0), Corner::BottomRight, (640.0, 510.0)),
        ] {
            assert_eq!(Corner::nearest(area, at.into()), corner);
            assert_eq!(corner.place(area, egui::vec2(160.0, 90.0)).min, Pos2::from(min));
        }
    }
}
