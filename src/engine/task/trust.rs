//! The four words of a connection: the exchange ([`Trust`]) is begun when the control channel opens, and goes over it.

use super::{RemoteEnd, Task};
use crate::engine::Event;
use crate::invite::Kind;
use crate::ports::PeerId;
use crate::room::message::Message;
use crate::room::trust::{Comparison, Key, Role, Trust};
use ring::rand::{SecureRandom, SystemRandom};

/// What a remote endpoint has of the exchange.
#[derive(Default)]
pub struct TrustEnd {
    exchange: Option<Trust>,
    /// Of the connection that this one took the place of.
    earlier: Option<Key>,
    told: Option<Comparison>,
}

impl TrustEnd {
    /// For the connection that goes on with the call.
    pub fn successor(&self) -> Self {
        Self { exchange: None, earlier: self.exchange.as_ref().and_then(Trust::key), told: None }
    }
}

impl Task {
    pub(super) async fn begin_trust(&mut self, id: PeerId) {
        let peer = self.links.get_mut(&id).and_then(|link| link.peer.as_mut());
        let Some(RemoteEnd { connection, own, trust, .. }) = peer else { return };
        if trust.exchange.is_some() {
            return;
        }
        let Some((ours, theirs)) = connection.fingerprints().await else {
            return self.tell_trust(id, Comparison::Refused);
        };
        let role = match own.kind {
            Kind::Invite => Role::Host,
            Kind::Reply => Role::Guest,
        };
        let mut nonce = [0; 32];
        SystemRandom::new().fill(&mut nonce).expect("the operating system gives random numbers");
        trust.exchange = Some(Trust::new(role, ours, theirs, nonce, trust.earlier.take()));
        self.remind_trust(id);
    }

    pub(super) fn handle_trust(&mut self, id: PeerId, message: &Message) {
        self.with_trust(id, |trust| trust.handle(message));
    }

    /// Once a second: says again what has had no answer.
    pub(super) fn remind_trust(&mut self, id: PeerId) {
        self.with_trust(id, Trust::poll);
    }

    fn with_trust(&mut self, id: PeerId, step: impl FnOnce(&mut Trust) -> Option<Message>) {
        let Some(peer) = self.links.get_mut(&id).and_then(|link| link.peer.as_mut()) else { return };
        let Some(exchange) = &mut peer.trust.exchange else { return };
        let answer = step(exchange);
        let comparison = exchange.comparison();
        if let Some(answer) = answer {
            peer.say(&answer);
        }
        self.tell_trust(id, comparison);
    }

    pub(super) fn tell_trust(&mut self, id: PeerId, comparison: Comparison) {
        let Some(peer) = self.links.get_mut(&id).and_then(|link| link.peer.as_mut()) else { return };
        if peer.trust.told.replace(comparison) != Some(comparison) {
            tracing::debug!(state = comparison.word(), "words");
            self.face.tell(Event::Trust(id, comparison));
        }
    }
}
