//! The door of a call: guests who knock with our invite, the lobby, and the invite that goes on when a guest does not
//! come after all.

use super::fresh::Fresh;
use super::link::{Carrier, From, Knocked, Link};
use super::{RemoteEnd, Task};
use crate::engine::Event;
use crate::invite::{self, BrowserGuest, Guest, Kind};
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
        self.replace(id, peer, From::Keys(Box::new(keys)));
    }

    /// A guest with a browser has knocked. It gets a connection of its own, which takes the place of the one that waits
    /// and answers for the same invite.
    pub(super) fn let_in_browser(&mut self, id: PeerId, guest: BrowserGuest) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let waits = link.call.state() == CallState::WaitingForReply;
        let Some(peer) = link.peer.take_if(|_| waits) else { return };
        let (keys, own) = (peer.connection.keys().clone(), peer.own.clone());
        let knocked = Knocked { keys, guest, own, instead_of: None };
        self.replace(id, peer, From::Browser(Box::new(knocked)));
        self.happen(id, Happening::Knocked);
    }

    /// The same, for the fresh invite of a call that has no path.
    pub(super) fn let_in_browser_again(&mut self, id: PeerId, guest: BrowserGuest) {
        let fresh = self.links.get_mut(&id).and_then(|link| link.fresh.take_if(|fresh| fresh.made.is_some()));
        let Some(Fresh { made: Some((connection, own)), unasked, .. }) = fresh else { return };
        let keys = connection.keys().clone();
        let knocked = Knocked { keys, guest, own, instead_of: Some(connection) };
        self.begin_fresh(id, From::Browser(Box::new(knocked)), unasked);
        self.happen(id, Happening::ReplyAccepted);
    }

    /// Another connection, which is made now, takes the place of this one. That stays until then.
    fn replace(&mut self, id: PeerId, peer: RemoteEnd, from: From) {
        self.tell_left(id);
        self.make(id, from);
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

    /// We are the guest. Whoever let us in without our reply knows no way to us but the one we came by: with the others
    /// a call can leave a relay, and finds us again when that way is gone.
    pub(super) fn tell_our_ways(&self, id: PeerId) {
        let peer = self.links.get(&id).and_then(|link| link.peer.as_ref());
        let Some(peer) = peer.filter(|peer| peer.own.kind == Kind::Reply) else { return };
        if peer.connection.keys().are_of_an_invite() {
            for candidate in invite::candidates(&peer.own) {
                peer.say(&Message::Candidate { candidate });
            }
        }
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
