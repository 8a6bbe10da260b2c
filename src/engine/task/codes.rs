//! Codes that people hand over: a call begins with one, and they come in as pasted text.

use super::Task;
use super::link::{Carrier, From};
use crate::engine::peer::accept;
use crate::engine::{Event, Refusal};
use crate::invite::{self, Kind, Pasted};
use crate::ports::PeerId;
use crate::room::call::{CallState, Happening, Rescue};
use crate::settings::Guests;
use std::time::Instant;

impl Task {
    pub(super) fn start(&mut self) {
        if !self.links.is_empty() {
            return;
        }
        self.found(true);
        self.started = Instant::now();
        self.reopen(self.settings.guests);
        let id = self.new_link(Carrier::People);
        self.happen(id, Happening::Start);
        self.make(id, From::Nothing);
    }

    pub(super) fn join(&mut self, text: &str) {
        let lead = self.lead();
        let usable = match self.state() {
            CallState::Reconnecting { .. } => return self.join_again(text),
            CallState::Idle | CallState::Ended(_) => {
                invite::expect(text, Kind::Invite, None).map_err(Refusal::from)
            }
            CallState::WaitingForReply => {
                // The person may have changed their mind: their own invite is void once they join another.
                let link = lead.and_then(|id| self.links.get(&id));
                let own = link.and_then(|link| link.peer.as_ref()).map(|peer| &peer.own);
                invite::expect(text, Kind::Invite, own).map_err(Refusal::from)
            }
            CallState::Gathering(_)
            | CallState::Connecting { .. }
            | CallState::Lobby { .. }
            | CallState::InCall { .. } => Err(Refusal::AlreadyInCall),
        };
        match usable {
            Ok(invite) => {
                if self.state() == CallState::WaitingForReply {
                    let passphrase = self.passphrase.clone();
                    self.end_all(Happening::HangUp);
                    self.passphrase = passphrase;
                }
                self.found(false);
                self.started = Instant::now();
                let id = self.new_link(Carrier::People);
                self.happen(id, Happening::Join);
                self.make(id, From::Invite(invite));
            }
            Err(refusal) => self.face.tell(Event::Refused(refusal)),
        }
    }

    pub(super) async fn paste(&mut self, text: &str) {
        if let Err(refusal) = self.take(text).await {
            self.face.tell(Event::Refused(refusal));
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), Refusal> {
        let (pasted, state) = (invite::read(text)?, self.state());
        let pasted = match pasted {
            Pasted::Description(description) => description,
            Pasted::Candidate(line) => return self.take_candidate(&line.0).await,
        };
        if matches!(state, CallState::Idle | CallState::Ended(_)) {
            self.join(text);
            return Ok(());
        }
        if let CallState::Reconnecting { rescue, .. } = state {
            let ours = self.lead().and_then(|id| {
                let (connection, own) = self.links.get(&id)?.fresh.as_ref()?.made.as_ref()?;
                Some((id, connection, own))
            });
            if let (Kind::Reply, Rescue::WaitingForReply, Some((id, connection, own))) =
                (pasted.kind, rescue, ours)
            {
                accept(connection, own, text).await?;
                self.happen(id, Happening::ReplyAccepted);
            } else {
                self.join(text);
            }
            return Ok(());
        }
        // The guest may have come by now without it.
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let is_waiting = self.links.get(&id).is_some_and(|link| link.is_open_invite());
            if !is_waiting && self.add_reply(id, text).await {
                return match self.links.get(&id).map(|link| link.call.state()) {
                    Some(state) if state.in_call() => Err(Refusal::AlreadyConnected),
                    Some(CallState::Connecting { .. }) => {
                        self.face.tell(Event::CandidateAdded);
                        Ok(())
                    }
                    _ => Ok(()),
                };
            }
        }
        let Some(id) = self.waiting_invite() else {
            let is_early = matches!(state, CallState::Gathering(_));
            return Err(if is_early { Refusal::NotNow } else { Refusal::AlreadyInCall });
        };
        if let Some(peer) = self.links.get(&id).and_then(|link| link.peer.as_ref()) {
            if state.in_call() && pasted.kind == Kind::Invite {
                return Err(Refusal::AlreadyInCall);
            }
            accept(&peer.connection, &peer.own, text).await?;
            self.happen(id, Happening::ReplyAccepted);
        }
        Ok(())
    }

    /// An invite of ours that waits for a guest.
    pub(super) fn waiting_invite(&self) -> Option<PeerId> {
        let waits = |(id, link): (&PeerId, &super::link::Link)| {
            (link.is_open_invite() && link.call.state() == CallState::WaitingForReply).then_some(*id)
        };
        self.links.iter().find_map(waits)
    }

    async fn take_candidate(&mut self, line: &str) -> Result<(), Refusal> {
        // In a call it is for whoever is about to come in.
        let coming = |(id, link): (&PeerId, &super::link::Link)| {
            (link.carrier == Carrier::People && !link.call.state().in_call()).then_some(*id)
        };
        let id = self.links.iter().find_map(coming).or_else(|| self.lead());
        let link = id.and_then(|id| self.links.get(&id));
        let Some((link, peer)) = link.and_then(|link| Some((link, link.peer.as_ref()?))) else {
            return Err(Refusal::NotNow);
        };
        let fresh = link.fresh.as_ref().and_then(|fresh| fresh.made.as_ref());
        let connection = fresh.map_or(&peer.connection, |(connection, _)| connection);
        connection.add_candidate(line).await?;
        self.face.tell(Event::CandidateAdded);
        Ok(())
    }

    /// *Add someone*: an invite for the call that runs, or no longer.
    pub(super) fn invite(&mut self, wanted: bool) {
        if !self.state().in_call() {
            return;
        }
        if !wanted {
            self.reopen(Guests::One);
            self.shut_invites();
        } else if !self.roster_has_room() {
            self.face.tell(Event::Refused(Refusal::NoRoom));
        } else if !self.links.values().any(|link| link.is_open_invite()) {
            self.reopen(self.settings.guests);
            self.open_door(From::Nothing);
        }
        self.tell_invite();
    }
}
