//! The door of a call: guests who knock with our invite, the lobby, and the invite that goes on when a guest does not
//! come after all.

use super::Task;
use super::link::{Carrier, From, Link};
use crate::engine::Event;
use crate::invite::{self, Guest, Kind};
use crate::net::{NetError, Peer};
use crate::ports::PeerId;
use crate::room::call::{CallState, Happening};
use crate::room::message::Message;

impl Task {
    /// A guest has knocked at the invite of this connection: it is taken as if its reply had been pasted.
    pub(super) async fn let_in(&mut self, id: PeerId, guest: Guest) {
        let waits = |link: &&Link| link.call.state() == CallState::WaitingForReply;
        let Some(peer) = self.links.get(&id).filter(waits).and_then(|link| link.peer.as_ref()) else {
            return;
        };
        match admit(&peer.connection, &peer.own, &guest).await {
            Ok(()) => self.happen(id, Happening::Knocked),
            Err(error) => tracing::info!(%error, "a guest who knocked could not be let in"),
        }
    }

    /// The same, for the fresh invite of a call that has no path.
    pub(super) async fn let_in_again(&mut self, id: PeerId, guest: Guest) {
        let fresh = self.links.get(&id).and_then(|link| link.fresh.as_ref());
        let Some((connection, own)) = fresh.and_then(|fresh| fresh.made.as_ref()) else { return };
        match admit(connection, own, &guest).await {
            Ok(()) => self.happen(id, Happening::ReplyAccepted),
            Err(error) => tracing::info!(%error, "a guest who knocked could not be let in"),
        }
    }

    /// Makes the connection anew for the invite that is out: same secret, same certificate, same port. The old one stays
    /// until then, so that nobody finds the door shut.
    pub(super) fn offer_again(&mut self, id: PeerId) {
        let is_out = |(other, link): (&PeerId, &Link)| *other != id && link.is_open_invite();
        let by_room = self.links.get(&id).is_some_and(|link| link.carrier != Carrier::People);
        if by_room || self.links.iter().any(is_out) {
            // The room goes on without, or the invite for many is out already.
            return self.happen(id, Happening::HangUp);
        }
        let Some(peer) = self.links.get_mut(&id).and_then(|link| link.peer.take()) else { return };
        let keys = peer.connection.keys().clone();
        self.tell_left(id);
        self.make(id, From::Keys(Box::new(keys)));
        let Some(link) = self.links.get_mut(&id) else { return };
        (link.member, link.welcome) = (None, false);
        if let Some(older) = link.retired.replace(peer) {
            self.closing.spawn(older.let_go());
        }
    }

    /// Nothing passes before it is known that it may: a guest is asked to wait by the first word of the other side, who
    /// may have to let it in by hand.
    pub(super) fn shut_the_door(&self, id: PeerId) {
        let Some(link) = self.links.get(&id) else { return };
        let Some(peer) = &link.peer else { return };
        match peer.own.kind {
            Kind::Invite => peer.connection.admit(!link.call.keeps_waiting()),
            Kind::Reply => peer.connection.admit(!peer.connection.keys().are_of_an_invite()),
        }
    }

    /// We are the guest.
    pub(super) fn hear_whether_we_wait(&mut self, id: PeerId, waiting: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(peer) = link.peer.as_ref().filter(|peer| peer.own.kind == Kind::Reply) else { return };
        peer.connection.admit(!waiting);
        link.welcome = !waiting;
        self.happen(id, if waiting { Happening::Asked } else { Happening::Admitted });
    }

    /// Somebody waits for our word.
    pub(super) fn answer_the_door(&mut self, id: PeerId, admit: bool) {
        let asks = |link: &&Link| matches!(link.call.state(), CallState::Lobby { own: Kind::Invite, .. });
        let Some(link) = self.links.get(&id).filter(asks) else { return };
        if let Some(peer) = &link.peer {
            peer.say(if admit { &Message::Admit } else { &Message::Refuse });
            if admit {
                peer.connection.admit(true);
            }
        }
        self.happen(id, if admit { Happening::Admitted } else { Happening::Refused });
    }

    /// This computer is elsewhere than the invite says: it is offered from there, with the same secret.
    pub(super) fn move_the_invite(&mut self, id: PeerId) {
        let Some(link) = self.links.get(&id).filter(|link| link.is_open_invite()) else { return };
        if link.call.state() == CallState::WaitingForReply {
            self.face.tell(Event::Moved);
            self.offer_again(id);
        }
    }

    /// Takes a reply that is pasted though its guest has come already: it may know more ways.
    pub(super) async fn add_reply(&mut self, id: PeerId, text: &str) -> bool {
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer.as_ref()) else { return false };
        let Ok(reply) = invite::expect(text, Kind::Reply, Some(&peer.own)) else { return false };
        if !peer.connection.is_other_end(&reply).await {
            return false;
        }
        for candidate in invite::candidates(&reply) {
            if let Err(error) = peer.connection.add_candidate(&candidate).await {
                tracing::debug!(%error, "a candidate of a late reply was not taken");
            }
        }
        true
    }
}

async fn admit(connection: &Peer, own: &invite::Description, guest: &Guest) -> Result<(), NetError> {
    let secret = invite::secret(own);
    let secret = secret.ok_or_else(|| NetError::Internal("the invite has no secret".into()))?;
    connection.accept(&invite::knocked(guest, secret)).await
}
