//! The passphrase of a call: with it codes that are pasted are opened, and ours are sealed.

use super::Task;
use super::link::Carrier;
use crate::engine::peer::own_code;
use crate::engine::{Event, OwnCode};
use crate::invite::{self, Description, InviteError};
use crate::ports::PeerId;
use crate::room::call::{CallState, Rescue};
use crate::units::Redacted;
use ring::rand::{SecureRandom, SystemRandom};

impl Task {
    /// A new one, or none any more: the code that is out is told again.
    pub(super) fn set_passphrase(&mut self, passphrase: Option<Redacted<String>>) {
        if passphrase == self.passphrase {
            return;
        }
        self.passphrase = passphrase;
        let Some(id) = self.lead() else { return };
        let Some(link) = self.links.get(&id) else { return };
        let first = link.peer.as_ref().map(|peer| &peer.own);
        let fresh = link.fresh.as_ref().and_then(|fresh| fresh.made.as_ref()).map(|(_, own)| own);
        let out = match self.state() {
            CallState::WaitingForReply | CallState::Connecting { .. } => first,
            CallState::Reconnecting {
                rescue: Rescue::WaitingForReply | Rescue::Connecting { .. }, ..
            } => fresh,
            CallState::Idle
            | CallState::Gathering(_)
            | CallState::Lobby { .. }
            | CallState::InCall { .. }
            | CallState::Reconnecting { .. }
            | CallState::Ended(_) => None,
        };
        if let Some(own) = out.cloned() {
            self.tell_code(id, &own);
        }
        self.tell_invite();
    }

    /// Our code is made, or sealed in another way: to the people, or to the room.
    pub(super) fn tell_code(&mut self, id: PeerId, own: &Description) {
        let Some(link) = self.links.get(&id) else { return };
        match link.carrier {
            Carrier::Room(member) => self.pass_code(member, own),
            // In a call it is told as that ([`Event::Invite`]), and a door that opens behind another is no news.
            Carrier::People if self.lead() == Some(id) => {
                self.face.tell(Event::Code(Box::new(self.sealed_code(own))));
            }
            Carrier::People => {}
        }
    }

    /// Our code as the faces show it.
    pub(super) fn sealed_code(&self, own: &Description) -> OwnCode {
        let code = own_code(own);
        let passphrase = self.passphrase.as_ref();
        let sealed = passphrase.and_then(|passphrase| sealed(&code, &passphrase.0));
        sealed.unwrap_or(code)
    }

    pub(super) fn open_and_join(&mut self, text: &Redacted<String>) {
        if let Some(text) = self.opened(text) {
            self.join(&text);
        }
    }

    pub(super) async fn open_and_paste(&mut self, text: &Redacted<String>) {
        if let Some(text) = self.opened(text) {
            self.paste(&text).await;
        }
    }

    /// A pasted text as it reads without a passphrase; `None`: it could not be opened, which was told.
    fn opened(&mut self, text: &Redacted<String>) -> Option<String> {
        let passphrase = self.passphrase.as_ref().map(|passphrase| passphrase.0.as_str());
        match invite::unseal(&text.0, passphrase) {
            Ok(opened) => Some(opened.into_owned()),
            Err(error) => {
                // What fits no invite must not seal the reply to the next one.
                if error == InviteError::WrongPassphrase && self.links.is_empty() {
                    self.passphrase = None;
                }
                self.face.tell(Event::Refused(error.into()));
                None
            }
        }
    }
}

/// What says the same without a passphrase is left out. `None`: a code for another program cannot be sealed.
fn sealed(code: &OwnCode, passphrase: &str) -> Option<OwnCode> {
    let mut salt = [0; invite::SALT];
    SystemRandom::new().fill(&mut salt).expect("the operating system gives random numbers");
    let text = Redacted(invite::seal(&code.text.0, passphrase, salt)?);
    Some(OwnCode { kind: code.kind, full: text.clone(), text, candidates: Vec::new() })
}
