//! What the window knows of the engine: a pure reducer from [`Event`] to [`Model`]. It decides nothing about looks and
//! touches nothing; what has to be done outside comes back as [`Effect`]s, which `app` carries out.

use crate::device::{DeviceError, DeviceKind, DeviceList};
use crate::engine::{
    Event, NearbyPerson, OwnCode, PageLink, PictureHandle, Quality, Refusal, RemotePeer, Trouble,
};
use crate::invite::{InviteError, Kind};
use crate::net::Reach;
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::nat::Outlook;
use crate::room::trust::Comparison;
use crate::stats::{PeerStats, Stats};
use crate::units::{Bitrate, Resolution};
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
    pub code: Option<OwnCode>,
    /// Since when it is out, and whether it leads here.
    pub code_since: Option<Instant>,
    pub reach: Reach,
    /// The page for phones, while it is served: the invite goes there, and nobody copies it.
    pub page: Option<PageLink>,
    /// Why the last pasted text was not taken: a sentence.
    pub refusal: Option<String>,
    /// That was because it needs a passphrase, or another one.
    pub locked: bool,
    /// Candidates that were pasted one by one and taken.
    pub candidates_added: u32,
    /// Who the other side is, as the engine names them.
    pub person: Option<PeerId>,
    pub remote: RemotePeer,
    pub words: WordsModel,
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
    pub remote_level: f32,
    pub quality: Quality,
    pub stats: Option<Box<Stats>>,
    pub rates: Rates,
    /// How long the last call was; `None` if it never came up.
    pub lasted: Option<Duration>,
    /// The engine has ended.
    pub gone: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            call: CallState::Idle,
            code: None,
            code_since: None,
            reach: Reach::default(),
            page: None,
            refusal: None,
            locked: false,
            candidates_added: 0,
            person: None,
            remote: RemotePeer::default(),
            words: WordsModel::default(),
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
            remote_level: 0.0,
            quality: Quality::default(),
            stats: None,
            rates: Rates::default(),
            lasted: None,
            gone: false,
        }
    }
}

/// What the window has to do about an event.
#[derive(Debug)]
pub enum Effect {
    /// Our code came up for the first time in this call: copy it.
    CopyCode,
    /// From here on the peer's pictures come from there.
    RemotePicture(Option<PictureHandle>),
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
    /// Nobody has to be told that he himself went back: straight to the lobby.
    Dismiss,
    /// Keep the screen awake, or let it sleep again.
    StayAwake(bool),
}

/// What the two people found when they compared the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Match,
    Differ,
}

/// The four words of the call, and what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordsModel {
    pub comparison: Comparison,
    /// Outlasts a fresh connection between the same two people.
    verdict: Option<Verdict>,
}

impl WordsModel {
    fn take(&mut self, comparison: Comparison) {
        self.comparison = comparison;
        match comparison {
            // A fresh connection: whether it is to the same person is still to be seen.
            Comparison::Waiting | Comparison::Ready { continued: true, .. } => {}
            Comparison::Unanswered | Comparison::Refused | Comparison::Ready { continued: false, .. } => {
                self.verdict = None;
            }
        }
    }

    /// Only words that are there can have been compared.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.filter(|_| matches!(self.comparison, Comparison::Ready { .. }))
    }

    pub fn judge(&mut self, verdict: Option<Verdict>) {
        self.verdict = verdict;
    }
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
        if self.remote.name.is_empty() { "Guest" } else { &self.remote.name }
    }

    /// Whether the two sides have no video codec in common.
    pub fn is_sound_only(&self) -> bool {
        self.stats.as_ref().is_some_and(|stats| stats.peers.iter().any(PeerStats::is_sound_only))
    }

    /// Takes one event; `now` is for how long a call was.
    pub fn reduce(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Call(state) => self.enter(state, now),
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
                    (false, ..) => Vec::new(),
                }
            }
            Event::Refused(refusal) => {
                self.refusal = Some(refusal.to_string());
                self.locked = matches!(
                    refusal,
                    Refusal::Invite(InviteError::NeedsPassphrase(_) | InviteError::WrongPassphrase)
                );
                if self.locked { vec![Effect::AskPassphrase] } else { Vec::new() }
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
            Event::Moved => vec![Effect::Toast(
                Tone::Trouble,
                "Your address has changed. Send the new invite: the old one may not lead here any more."
                    .into(),
            )],
            Event::Remote(person, remote) => {
                self.person = Some(person);
                self.know(remote)
            }
            Event::Left(person) => {
                self.person.take_if(|known| *known == person);
                Vec::new()
            }
            Event::Trust(_, comparison) => {
                self.words.take(comparison);
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
            Event::Picture(_, picture) => vec![Effect::RemotePicture(picture)],
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
                self.remote_level = people.first().map_or(0.0, |(_, level)| *level);
                Vec::new()
            }
            Event::Stats(stats, people) => {
                self.rates = Rates::between(self.stats.as_deref(), &stats);
                self.stats = Some(stats);
                self.quality = people.first().map_or(Quality::Unknown, |(_, quality)| *quality);
                Vec::new()
            }
            Event::FirstPicture(_) | Event::Invite(_) | Event::Room(_) => Vec::new(),
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
                effects.push(Effect::RemotePicture(None));
                effects.push(Effect::ClearField);
                effects.push(Effect::NewCall);
            }
            CallState::Connecting { .. } => effects.push(Effect::ClearField),
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
                self.remote = RemotePeer::default();
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
                self.remote_level = 0.0;
                effects.push(Effect::RemotePicture(None));
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
        self.code = None;
        self.reach = Reach::default();
        self.candidates_added = 0;
        self.remote = RemotePeer::default();
        self.words = WordsModel::default();
        self.offline = false;
        self.trouble = None;
        self.remote_level = 0.0;
        self.quality = Quality::Unknown;
        self.stats = None;
        self.rates = Rates::default();
        self.lasted = None;
    }

    fn know(&mut self, remote: RemotePeer) -> Vec<Effect> {
        let newcomer = self.remote.name.is_empty() && !remote.name.is_empty();
        self.remote = remote;
        if newcomer && self.call.in_call() {
            vec![Effect::Toast(Tone::Plain, format!("You are in a call with {}.", self.remote.name))]
        } else {
            Vec::new()
        }
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

/// What the cumulative counters of two reports a second apart come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub video_in: Bitrate,
    pub audio_in: Bitrate,
    pub video_out: Bitrate,
    pub audio_out: Bitrate,
    /// Share of the other side's video packets that were lost, 0.0 to 1.0.
    pub video_loss_in: f64,
    pub audio_loss_in: f64,
    /// Mean time a picture waited for its turn, in milliseconds.
    pub video_hold_ms: f64,
    pub audio_hold_ms: f64,
}

impl Rates {
    pub fn between(before: Option<&Stats>, now: &Stats) -> Self {
        let nothing = PeerStats::default();
        let zero = Stats::default();
        let before = before.filter(|before| before.seconds < now.seconds).unwrap_or(&zero);
        let seconds = now.seconds - before.seconds;
        let (Some(new), old) = (now.peers.first(), before.peers.first().unwrap_or(&nothing)) else {
            return Self::default();
        };
        if seconds <= 0.0 {
            return Self::default();
        }
        let rate =
            |new: u64, old: u64| Bitrate::from_bps((new.saturating_sub(old) as f64 * 8.0 / seconds) as u64);
        let loss = |received: (u64, u64), lost: (i64, i64)| {
            let lost = (lost.0 - lost.1).max(0) as f64;
            let all = received.0.saturating_sub(received.1) as f64 + lost;
            if all > 0.0 { lost / all } else { 0.0 }
        };
        let hold = |delay: (f64, f64), count: (u64, u64)| {
            let count = count.0.saturating_sub(count.1) as f64;
            if count > 0.0 { ((delay.0 - delay.1) * 1000.0 / count).max(0.0) } else { 0.0 }
        };
        let (video, old_video) = (&new.inbound.video, &old.inbound.video);
        let (audio, old_audio) = (&new.inbound.audio, &old.inbound.audio);
        Self {
            video_in: rate(video.bytes_received, old_video.bytes_received),
            audio_in: rate(audio.bytes_received, old_audio.bytes_received),
            video_out: rate(new.outbound.video.bytes_sent, old.outbound.video.bytes_sent),
            audio_out: rate(new.outbound.audio.bytes_sent, old.outbound.audio.bytes_sent),
            video_loss_in: loss(
                (video.packets_received, old_video.packets_received),
                (video.packets_lost, old_video.packets_lost),
            ),
            audio_loss_in: loss(
                (audio.packets_received, old_audio.packets_received),
                (audio.packets_lost, old_audio.packets_lost),
            ),
            video_hold_ms: hold(
                (video.jitter_buffer_delay, old_video.jitter_buffer_delay),
                (video.jitter_buffer_emitted_count, old_video.jitter_buffer_emitted_count),
            ),
            audio_hold_ms: hold(
                (audio.jitter_buffer_delay, old_audio.jitter_buffer_delay),
                (audio.jitter_buffer_emitted_count, old_audio.jitter_buffer_emitted_count),
            ),
        }
    }
}
