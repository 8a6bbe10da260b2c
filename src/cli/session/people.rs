//! What the terminal says of the others in the call: who is there, who wants to come in, what their switches do.

use super::{Phase, Session};
use crate::engine::{Command, Presence, RemotePeer};
use crate::ports::PeerId;
use crate::room::call::CallState;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Everybody the engine has told of.
#[derive(Debug, Default)]
pub(super) struct People(BTreeMap<PeerId, Someone>);

/// What somebody said of themselves, and as much of it as is told.
#[derive(Debug)]
struct Someone {
    remote: RemotePeer,
    told: RemotePeer,
    asked_about: bool,
    /// Until then their devices are still opening, and no word is said of them.
    settles: Option<Instant>,
}

impl People {
    /// How long the other side's devices take to open.
    const SETTLE: Duration = Duration::from_secs(2);

    pub fn deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|someone| someone.settles).min()
    }

    /// Whoever has to be let in first.
    pub fn asks(&self) -> Option<PeerId> {
        let asks =
            |(id, someone): (&PeerId, &Someone)| (someone.remote.presence == Presence::Asking).then_some(*id);
        self.0.iter().find_map(asks)
    }

    pub fn name(&self, id: PeerId) -> Option<String> {
        self.0.get(&id).map(|someone| someone.remote.name.clone()).filter(|name| !name.is_empty())
    }

    fn are_named(&self) -> bool {
        self.0.values().any(|someone| !someone.told.name.is_empty())
    }
}

impl Session {
    /// “yes” or “no” to whoever wants to come in.
    pub(super) fn answers_the_door(&mut self, text: &str) -> bool {
        let admit = match text.trim().to_lowercase().as_str() {
            "yes" | "y" => true,
            "no" | "n" => false,
            _ => return false,
        };
        let Some(id) = self.people.asks() else { return false };
        self.send(Command::Admit(id, admit));
        true
    }

    pub(super) fn handle_remote(&mut self, now: Instant, id: PeerId, remote: RemotePeer) {
        let is_in_call = matches!(self.phase, Phase::Running(state) if state.in_call());
        let is_lobby = matches!(self.phase, Phase::Running(CallState::Lobby { .. }));
        let others_are_here = self.people.are_named();
        let someone = self.people.0.entry(id).or_insert_with(|| Someone {
            remote: RemotePeer::default(),
            told: RemotePeer::default(),
            asked_about: false,
            settles: Some(now + People::SETTLE),
        });
        let mut sentence = None;
        if is_in_call && remote.presence == Presence::Asking {
            if !remote.name.is_empty() && !std::mem::replace(&mut someone.asked_about, true) {
                let name = &remote.name;
                sentence = Some(format!(
                    "{name} wants to join. Type “yes” to let them in, “no” to send them away, and press Enter."
                ));
            }
        } else if remote.name != someone.told.name && remote.presence != Presence::Joining {
            sentence = Some(match () {
                () if is_lobby => format!("{} is there.", remote.name),
                () if !someone.told.name.is_empty() => {
                    format!("{} is called {} now.", someone.told.name, remote.name)
                }
                () if others_are_here => format!("{} has joined.", remote.name),
                () => format!("You are in a call with {}.", remote.name),
            });
            someone.told.name.clone_from(&remote.name);
        }
        someone.remote = remote;
        let is_settled = someone.settles.is_none();
        if let Some(sentence) = sentence {
            self.say(&sentence);
        }
        if is_settled {
            self.tell_switches(id);
        }
    }

    /// Said while somebody else is still here: the end of the call tells of the last.
    pub(super) fn handle_left(&mut self, id: PeerId) {
        let Some(gone) = self.people.0.remove(&id) else { return };
        if self.people.are_named() && !gone.told.name.is_empty() {
            self.say(&format!("{} has left.", gone.told.name));
        }
    }

    pub(super) fn settle_people(&mut self, now: Instant) {
        let due = |(id, someone): (&PeerId, &mut Someone)| {
            someone.settles.take_if(|settles| *settles <= now).map(|_| *id)
        };
        let due: Vec<_> = self.people.0.iter_mut().filter_map(due).collect();
        due.into_iter().for_each(|id| self.tell_switches(id));
    }

    /// Says what somebody's microphone and camera do, if that is news.
    fn tell_switches(&mut self, id: PeerId) {
        let Some(Someone { remote, told, .. }) = self.people.0.get_mut(&id) else { return };
        let name = if remote.name.is_empty() { "The other person" } else { &remote.name };
        let mut sentences = Vec::new();
        if remote.microphone_muted != told.microphone_muted {
            let what = if remote.microphone_muted { "is muted" } else { "can be heard again" };
            sentences.push(format!("{name} {what}."));
        }
        if remote.camera_stopped != told.camera_stopped {
            let what = if remote.camera_stopped { "sends no picture" } else { "sends a picture again" };
            sentences.push(format!("{name} {what}."));
        }
        (told.microphone_muted, told.camera_stopped) = (remote.microphone_muted, remote.camera_stopped);
        sentences.iter().for_each(|sentence| self.say(sentence));
    }
}
