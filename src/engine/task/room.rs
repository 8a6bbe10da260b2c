//! The room around the links: what all of them come to for the faces, who is introduced to whom ([`Roster`]), and the
//! invites that stand open for more guests.
//!
//! Introductions make links between each two members: a mesh. That is the room's topology as it is; a link is known by
//! its [`PeerId`], not by whose streams it carries.

use super::choice::Choosing;
use super::link::{Carrier, From, Link};
use super::{Task, random_id};
use crate::engine::peer::own_code;
use crate::engine::{Event, RoomState};
use crate::invite::{self, Kind};
use crate::net::Keys;
use crate::ports::PeerId;
use crate::room::call::{CallState, Happening};
use crate::room::message::{Message, clean_name};
use crate::room::roster::{MemberId, Output, Refused, Roster};
use crate::settings::Guests;
use std::time::{Duration, Instant};

/// A member that nothing comes from for so long, while others are heard, is gone; if others still hear it, it is
/// introduced anew.
const LOST: Duration = Duration::from_secs(10);

/// Invites for more than one guest.
#[derive(Default)]
pub(super) enum Door {
    #[default]
    Shut,
    /// Whenever a guest has come in, the invite is out again; with these keys, once it was made.
    Open(Option<Box<Keys>>),
}

/// What the task keeps of the room.
pub(super) struct Room {
    pub me: MemberId,
    pub roster: Roster,
    pub door: Door,
    told: RoomState,
    /// Our invite while we are in a call, as it was told.
    told_invite: Option<String>,
}

impl Room {
    pub fn new() -> Self {
        let me = random_id();
        let (roster, door) = (Roster::new(me, "", true), Door::Shut);
        Self { me, roster, door, told: RoomState::default(), told_invite: None }
    }
}

impl Task {
    /// A room of our own, or one that we are let into.
    pub(super) fn found(&mut self, founder: bool) {
        self.room.roster = Roster::new(self.room.me, &clean_name(&self.settings.name), founder);
        self.room.door = Door::Shut;
        self.choosing = Choosing::new(self.settings.topology);
        self.room.roster.set_means(self.choosing.means(self.settings.one_picture));
    }

    /// What the faces are told: the state of the link that counts most.
    pub(super) fn state(&self) -> CallState {
        let states = || self.links.values().map(|link| link.call.state());
        let started = |state: CallState| match state {
            CallState::InCall { since } | CallState::Reconnecting { started: since, .. } => Some(since),
            _ => None,
        };
        if states().any(|state| matches!(state, CallState::InCall { .. })) {
            let since = states().filter_map(started).chain(self.since).min();
            return since.map_or(self.rest, |since| CallState::InCall { since });
        }
        let lead = self.lead().and_then(|id| self.links.get(&id));
        lead.map_or(self.rest, |link| link.call.state())
    }

    /// The link that counts most while nobody is heard: one that was up, or whose codes are under way.
    pub(super) fn lead(&self) -> Option<PeerId> {
        let up = self.links.iter().find(|(_, link)| link.call.state().in_call());
        let by_people = || self.links.iter().find(|(_, link)| link.carrier == Carrier::People);
        up.or_else(by_people).map(|(id, _)| *id)
    }

    /// Whether nobody else is in the call: only people can help a path that is gone.
    pub(super) fn is_alone(&self, id: PeerId) -> bool {
        let is_heard = |link: &Link| matches!(link.call.state(), CallState::InCall { .. });
        self.lead() == Some(id) && !self.links.values().any(is_heard)
    }

    /// A link is in another state.
    pub(super) fn entered(&mut self, id: PeerId, before: CallState, state: CallState) {
        let was_lead = self.lead() == Some(id);
        if matches!(state, CallState::Idle | CallState::Ended(_)) {
            let gone = self.links.remove(&id);
            // An introduction that came to nothing is no end of a call.
            if before.in_call() || gone.as_ref().is_some_and(|link| link.carrier == Carrier::People) {
                self.rest = state;
            }
            if let Some(member) = gone.filter(|link| link.counts).and_then(|link| link.member) {
                self.room.roster.handle_unlink(Instant::now(), member);
            }
        }
        if was_lead || self.links.is_empty() {
            self.network.entered(Instant::now(), state);
        }
        self.tell_state();
        self.tell_remote(id);
        if was_lead {
            self.nearby_state(state);
        }
        if state.in_call() {
            self.drop_page();
        }
        if state == CallState::WaitingForReply
            && matches!(before, CallState::Connecting { .. } | CallState::Lobby { .. })
        {
            self.guest_has_gone();
        }
        self.meet(id);
        self.settle_room();
        self.keep_open();
        self.stirred = true;
        self.tell_invite();
        if self.links.is_empty() {
            self.passphrase = None;
            self.hand_raised = false;
            self.drop_page();
        }
    }

    pub(super) fn tell_state(&mut self) {
        let state = self.state();
        self.since = match state {
            CallState::InCall { since } | CallState::Reconnecting { started: since, .. } => Some(since),
            _ => None,
        };
        if state == self.told {
            return;
        }
        let before = std::mem::replace(&mut self.told, state);
        self.face.tell(Event::Call(state));
        // Everybody has gone, and an invite is out still.
        if state == CallState::WaitingForReply
            && before.in_call()
            && let Some(link) = self.waiting_invite().and_then(|id| self.links.get(&id))
            && let Some(peer) = &link.peer
        {
            self.room.told_invite = None;
            self.face.tell(Event::Code(Box::new(self.sealed_code(&peer.own))));
        }
    }

    /// All links, whoever is heard last: the last end is the one that is told.
    pub(super) fn end_all(&mut self, happening: Happening) {
        self.room.door = Door::Shut;
        let mut ids: Vec<_> =
            self.links.iter().map(|(id, link)| (link.call.state().in_call(), *id)).collect();
        ids.sort_by_key(|(in_call, id)| (*in_call, std::cmp::Reverse(*id)));
        for (_, id) in ids {
            self.happen(id, happening);
            // What has no such end is closed all the same.
            self.happen(id, Happening::HangUp);
        }
    }

    /// Whoever is at the other end of this link is in, as soon as both sides have said so.
    pub(super) fn meet(&mut self, id: PeerId) {
        let Some(link) = self.links.get(&id).filter(|link| link.is_in() && !link.counts) else { return };
        let Some(member) = link.member else { return };
        let now = Instant::now();
        let name = link.peer.as_ref().map(|peer| peer.remote.name.clone()).unwrap_or_default();
        let twin = |(other, link): (&PeerId, &Link)| {
            let is_twin = *other != id && link.member == Some(member) && link.counts;
            is_twin.then(|| (*other, matches!(link.call.state(), CallState::InCall { .. })))
        };
        let result = match self.links.iter().find_map(twin) {
            Some((_, true)) => Err(Refused::Taken),
            Some((older, false)) => {
                self.happen(older, Happening::HangUp);
                self.room.roster.handle_link(now, member, &name)
            }
            None => self.room.roster.handle_link(now, member, &name),
        };
        match result {
            Ok(()) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.counts = true;
                    link.peer.iter().for_each(|peer| peer.connection.set_member(member));
                }
                self.tell_remote(id);
            }
            Err(refused) => {
                tracing::info!(link = id.0, %refused, "a member is not taken into the room");
                self.happen(id, Happening::HangUp);
            }
        }
    }

    /// Carries out what the roster wants.
    pub(super) fn settle_room(&mut self) {
        while let Some(output) = self.room.roster.poll_output() {
            match output {
                Output::Report(to, report) => self.say_to(to, &Message::Members(report)),
                Output::Pass(to, pass) => self.say_to(to, &Message::Pass(pass)),
                Output::Offer(to) => {
                    let id = self.new_link(Carrier::Room(to));
                    self.happen(id, Happening::Start);
                    self.make(id, From::Nothing);
                    self.tell_remote(id);
                }
                Output::Answer(to, payload) => match invite::expect(&payload, Kind::Invite, None) {
                    Ok(invite) => {
                        let id = self.new_link(Carrier::Room(to));
                        self.happen(id, Happening::Join);
                        self.make(id, From::Invite(invite));
                        self.tell_remote(id);
                    }
                    Err(error) => tracing::info!(%error, "an introduction is of no use"),
                },
                Output::Accept(from, payload) => self.replies.push((from, payload)),
                Output::Drop(member) => {
                    if let Some(id) = self.link_of(member) {
                        self.happen(id, Happening::HangUp);
                    }
                }
                Output::Removed => self.end_all(Happening::Removed),
                Output::Changed => self.room_changed(),
            }
        }
    }

    /// Replies of introductions that came in: they are taken outside of what brought them.
    pub(super) async fn take_replies(&mut self) {
        for (member, payload) in std::mem::take(&mut self.replies) {
            let Some(id) = self.link_of(member) else { continue };
            let Some(link) = self.links.get(&id) else { continue };
            if link.call.state() != CallState::WaitingForReply {
                self.add_reply(id, &payload).await;
                continue;
            }
            let Some(peer) = &link.peer else { continue };
            match crate::engine::peer::accept(&peer.connection, &peer.own, &payload).await {
                Ok(()) => self.happen(id, Happening::ReplyAccepted),
                Err(error) => tracing::info!(%error, "the reply to an introduction is of no use"),
            }
        }
    }

    fn link_of(&self, member: MemberId) -> Option<PeerId> {
        let is = |(id, link): (&PeerId, &Link)| {
            let is_it = link.carrier == Carrier::Room(member) || link.counts && link.member == Some(member);
            is_it.then_some(*id)
        };
        self.links.iter().find_map(is)
    }

    fn say_to(&self, member: MemberId, message: &Message) {
        let link = self.links.values().find(|link| link.counts && link.member == Some(member));
        if let Some(peer) = link.and_then(|link| link.peer.as_ref()) {
            peer.say(message);
        }
    }

    /// What a member says about the room.
    pub(super) fn handle_room(&mut self, id: PeerId, message: Message) {
        let Some(link) = self.links.get(&id) else { return };
        // Who waits in the lobby, or knows of no rooms, has nothing to say here.
        let Some(member) = link.member.filter(|_| link.counts) else { return };
        let now = Instant::now();
        let taken = match message {
            Message::Members(report) => self.room.roster.handle_report(now, member, report),
            Message::Pass(pass) => self.room.roster.handle_pass(now, member, pass),
            Message::Silence if member == self.room.roster.host() => {
                self.mute_microphone(true);
                self.face.tell(Event::MutedBy(id));
                Ok(())
            }
            _ => Err(Refused::NotHost),
        };
        if let Err(refused) = taken
            && let Some(link) = self.links.get_mut(&id)
            && refused != Refused::Stale
            && !std::mem::replace(&mut link.warned, true)
        {
            tracing::warn!(link = id.0, %refused, "what a member sent about the room is not taken");
        }
        self.settle_room();
    }

    /// Names, host or lock may be others.
    fn room_changed(&mut self) {
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.tell_remote(id);
        }
        if !self.roster_has_room() && self.state().in_call() {
            self.shut_invites();
        }
        self.keep_open();
        self.rule();
        self.stirred = true;
        self.tell_room();
    }

    pub(super) fn tell_room(&mut self) {
        let roster = &self.room.roster;
        let host = self.links.iter().find(|(_, link)| link.counts && link.member == Some(roster.host()));
        let state = RoomState {
            people: roster.members().len(),
            we_are_host: roster.is_host(),
            host: host.map(|(id, _)| *id),
            locked: roster.is_locked(),
            hub: self.hub_as_shown(),
            one_picture: roster.ruling().mixed.contains(&roster.me()),
            topology: self.choosing.room(),
        };
        if state != self.room.told {
            self.room.told = state;
            self.face.tell(Event::Room(state));
        }
    }

    pub(super) fn roster_has_room(&self) -> bool {
        self.room.roster.has_room()
    }

    pub(super) fn lock(&mut self, locked: bool) {
        if let Err(refused) = self.room.roster.lock(Instant::now(), locked) {
            tracing::info!(%refused, "the room is not locked");
        }
        self.settle_room();
    }

    pub(super) fn member_of(&self, id: PeerId) -> Option<MemberId> {
        self.links.get(&id).filter(|link| link.counts)?.member
    }

    /// Asks somebody to be silent; they may unmute.
    pub(super) fn mute_guest(&mut self, id: PeerId) {
        if let Some(member) = self.member_of(id).filter(|_| self.room.roster.is_host()) {
            self.say_to(member, &Message::Silence);
        }
    }

    pub(super) fn remove_guest(&mut self, id: PeerId) {
        let Some(member) = self.member_of(id) else { return };
        if let Err(refused) = self.room.roster.remove(Instant::now(), member) {
            return tracing::info!(%refused, "nobody is put out");
        }
        // Whoever is put out knows the invites that are out: others take their place.
        let was_open = matches!(self.room.door, Door::Open(_));
        self.shut_invites();
        if was_open {
            self.room.door = Door::Open(None);
        }
        self.settle_room();
        self.keep_open();
    }

    /// How many may come in with the invites from now on.
    pub(super) fn reopen(&mut self, guests: Guests) {
        self.room.door = match guests {
            Guests::One => Door::Shut,
            Guests::Many => Door::Open(None),
        };
    }

    /// An invite of ours is out.
    pub(super) fn invite_is_out(&mut self, id: PeerId) {
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer.as_ref()) else { return };
        if let Door::Open(keys) = &mut self.room.door {
            peer.connection.admit_many(true);
            keys.get_or_insert_with(|| Box::new(peer.connection.keys().clone()));
        }
    }

    pub(super) fn open_door(&mut self, from: From) {
        let id = self.new_link(Carrier::People);
        self.happen(id, Happening::Start);
        self.make(id, from);
    }

    /// The invite for many is out again when its last guest has come.
    fn keep_open(&mut self) {
        let Door::Open(keys) = &self.room.door else { return };
        let is_open = self.links.values().any(Link::is_open_invite);
        if is_open || self.links.is_empty() || !self.room.roster.has_room() {
            return;
        }
        match keys {
            Some(keys) => self.open_door(From::Keys(keys.clone())),
            None => self.open_door(From::Nothing),
        }
    }

    pub(super) fn shut_invites(&mut self) {
        let open: Vec<_> =
            self.links.iter().filter(|(_, link)| link.is_open_invite()).map(|(id, _)| *id).collect();
        let door = std::mem::take(&mut self.room.door);
        open.into_iter().for_each(|id| self.happen(id, Happening::HangUp));
        self.room.door = door;
    }

    /// Our invite in a call, if there is one now.
    pub(super) fn tell_invite(&mut self) {
        let link = self.waiting_invite().and_then(|id| self.links.get(&id));
        let own = link.and_then(|link| link.peer.as_ref()).map(|peer| &peer.own);
        let code = own.filter(|_| self.told.in_call()).map(|own| self.sealed_code(own));
        let text = code.as_ref().map(|code| code.text.0.clone());
        if text != self.room.told_invite {
            self.room.told_invite = text;
            self.face.tell(Event::Invite(code.map(Box::new)));
        }
    }

    /// Once a second: members that nothing comes from are given up, if others are heard.
    pub(super) fn look_for_lost(&mut self) {
        let now = Instant::now();
        let is_heard = |link: &Link| matches!(link.call.state(), CallState::InCall { .. });
        let some_are_heard = self.links.values().any(is_heard);
        for link in self.links.values_mut() {
            let is_away = some_are_heard && matches!(link.call.state(), CallState::Reconnecting { .. });
            link.lost_since = if is_away { link.lost_since.or(Some(now)) } else { None };
        }
        let is_lost = |link: &Link| link.lost_since.is_some_and(|since| now >= since + LOST);
        let lost: Vec<_> = self.links.iter().filter(|(_, link)| is_lost(link)).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| self.happen(id, Happening::HangUp));
    }

    /// Our own code of a link that the room carries.
    pub(super) fn pass_code(&mut self, to: MemberId, own: &invite::Description) {
        self.room.roster.made(to, own_code(own).text.0);
        self.settle_room();
    }
}
