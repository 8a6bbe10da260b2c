//! The door of a call: guests who knock with our invite, the lobby, and the invite that goes on when a guest does not
//! come after all.

use super::{Made, NET_EVENTS, Task};
use crate::engine::Event;
use crate::invite::{self, Guest, Kind};
use crate::net::{NetError, Peer};
use crate::room::call::{CallState, Happening};
use crate::room::message::Message;
use tokio::sync::mpsc;

impl Task {
    /// A guest has knocked at the invite of this connection: it is taken as if its reply had been pasted.
    pub(super) async fn let_in(&mut self, guest: Guest) {
        let Some(peer) = self.peer.as_ref().filter(|_| self.call.state() == CallState::WaitingForReply)
        else {
            return;
        };
        match admit(&peer.connection, &peer.own, &guest).await {
            Ok(()) => self.happen(Happening::Knocked),
            Err(error) => tracing::info!(%error, "a guest who knocked could not be let in"),
        }
    }

    /// The same, for the fresh invite of a call that has no path.
    pub(super) async fn let_in_again(&mut self, guest: Guest) {
        let Some((connection, own)) = self.fresh.as_ref().and_then(|fresh| fresh.made.as_ref()) else {
            return;
        };
        match admit(connection, own, &guest).await {
            Ok(()) => self.happen(Happening::ReplyAccepted),
            Err(error) => tracing::info!(%error, "a guest who knocked could not be let in"),
        }
    }

    /// Makes the connection anew for the invite that is out: same secret, same certificate, same port. The old one stays
    /// until then, so that nobody finds the door shut.
    pub(super) fn offer_again(&mut self) {
        let Some(peer) = self.peer.take() else { return };
        let keys = peer.connection.keys().clone();
        self.tell_left();
        if let Some(older) = self.retired.replace(peer) {
            self.closing.spawn(older.let_go());
        }
        self.attempt += 1;
        let (events, inbox) = mpsc::channel(NET_EVENTS);
        self.net_inbox = inbox;
        let (attempt, net, made) = (self.attempt, self.net.clone(), self.made.clone());
        tokio::spawn(async move {
            let result = Peer::offer_again(net, keys, events).await;
            if let Err(mpsc::error::SendError(unwanted)) = made.send(Made { attempt, result }).await
                && let Ok((peer, _)) = unwanted.result
            {
                peer.close().await;
            }
        });
    }

    /// Nothing passes before it is known that it may: a guest is asked to wait by the first word of the other side, who
    /// may have to let it in by hand.
    pub(super) fn shut_the_door(&self) {
        let Some(peer) = &self.peer else { return };
        match peer.own.kind {
            Kind::Invite => peer.connection.admit(!self.call.keeps_waiting()),
            Kind::Reply => peer.connection.admit(!peer.connection.keys().are_of_an_invite()),
        }
    }

    /// We are the guest.
    pub(super) fn hear_whether_we_wait(&mut self, waiting: bool) {
        let Some(peer) = self.peer.as_ref().filter(|peer| peer.own.kind == Kind::Reply) else { return };
        peer.connection.admit(!waiting);
        self.happen(if waiting { Happening::Asked } else { Happening::Admitted });
    }

    /// We are the guest. Whoever let us in without our reply knows no way to us but the one we came by: with the others
    /// a call can leave a relay, and finds us again when that way is gone.
    pub(super) fn tell_our_ways(&self) {
        let Some(peer) = self.peer.as_ref().filter(|peer| peer.own.kind == Kind::Reply) else { return };
        if peer.connection.keys().are_of_an_invite() {
            for candidate in invite::candidates(&peer.own) {
                self.say(&Message::Candidate { candidate });
            }
        }
    }

    /// Somebody waits for our word.
    pub(super) fn answer_the_door(&mut self, admit: bool) {
        if !matches!(self.call.state(), CallState::Lobby { own: Kind::Invite, .. }) {
            return;
        }
        self.say(if admit { &Message::Admit } else { &Message::Refuse });
        if admit && let Some(peer) = &self.peer {
            peer.connection.admit(true);
        }
        self.happen(if admit { Happening::Admitted } else { Happening::Refused });
    }

    /// This computer is elsewhere than the invite says: it is offered from there, with the same secret.
    pub(super) fn move_the_invite(&mut self) {
        if self.call.state() == CallState::WaitingForReply {
            self.face.tell(Event::Moved);
            self.offer_again();
        }
    }

    /// Takes a reply that is pasted though its guest has come already: it may know more ways.
    pub(super) async fn add_reply(&mut self, text: &str) -> bool {
        let Some(peer) = &self.peer else { return false };
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
