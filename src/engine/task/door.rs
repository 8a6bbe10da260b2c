//! The door of a call: guests who knock with our invite, the lobby, and the invite that goes on when a guest does not
//! come after all.

use super::{Made, NET_EVENTS, RemoteEnd, Task};
use crate::engine::Event;
use crate::invite::{self, BrowserGuest, Description, Guest, Kind};
use crate::net::{NetError, NetEvent, Peer};
use crate::room::call::{CallState, Happening};
use crate::room::message::Message;
use std::future::Future;
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
        let (net, keys) = (self.net.clone(), peer.connection.keys().clone());
        self.retire(peer);
        self.net_inbox = self.make_another(|events| Peer::offer_again(net, keys, events));
    }

    /// A guest with a browser has knocked. It gets a connection of its own, which takes the place of the one that waits
    /// and answers for the same invite.
    pub(super) fn let_in_browser(&mut self, guest: BrowserGuest) {
        let Some(peer) = self.peer.take_if(|_| self.call.state() == CallState::WaitingForReply) else {
            return;
        };
        let (net, keys, own) = (self.net.clone(), peer.connection.keys().clone(), peer.own.clone());
        self.retire(peer);
        self.net_inbox = self
            .make_another(|events| async move { Ok((Peer::welcome(net, keys, &guest, events).await?, own)) });
        self.happen(Happening::Knocked);
    }

    /// The same, for the fresh invite of a call that has no path.
    pub(super) fn let_in_browser_again(&mut self, guest: BrowserGuest) {
        let Some(mut fresh) = self.fresh.take() else { return };
        if let Some((connection, own)) = fresh.made.take() {
            let (net, keys) = (self.net.clone(), connection.keys().clone());
            fresh.inbox = self.make_another(|events| async move {
                let welcomed = Peer::welcome(net, keys, &guest, events).await;
                connection.close().await;
                Ok((welcomed?, own))
            });
            fresh.attempt = self.attempt;
        }
        self.fresh = Some(fresh);
        self.happen(Happening::ReplyAccepted);
    }

    /// Another connection takes the place of this one.
    fn retire(&mut self, peer: RemoteEnd) {
        self.tell_left();
        if let Some(older) = self.retired.replace(peer) {
            self.closing.spawn(older.let_go());
        }
    }

    /// Makes a connection beside the task; gives its events.
    fn make_another<F>(&mut self, make: impl FnOnce(mpsc::Sender<NetEvent>) -> F) -> mpsc::Receiver<NetEvent>
    where
        F: Future<Output = Result<(Peer, Description), NetError>> + Send + 'static,
    {
        self.attempt += 1;
        let (events, inbox) = mpsc::channel(NET_EVENTS);
        let (attempt, made, making) = (self.attempt, self.made.clone(), make(events));
        tokio::spawn(async move {
            let result = making.await;
            if let Err(mpsc::error::SendError(unwanted)) = made.send(Made { attempt, result }).await
                && let Ok((peer, _)) = unwanted.result
            {
                peer.close().await;
            }
        });
        inbox
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
