//! The pasted string: what two people hand each other, as text and as what it carries. A core.
//!
//! ```text
//!   Description --encode--> one line --(any messenger)--> read --> Pasted --expect--> Description
//!        |  ^                                              ^
//!  distil v  | expand   (template)                         |
//!      Essence --- compact::encode, compact::find ---------+
//! ```
//!
//! There are two forms: the compact code (`compact`), of some 130 letters and digits, and the full one, base64 of the
//! JSON that browsers and other programs speak. Both carry the same. A compact code may be encrypted with a
//! passphrase (`sealed`); it is opened ([`unseal`]) before anything else is done with it.
//!
//! Decides whether a pasted text is an invite, a reply or a single ICE candidate, and if it is of no use, why. The
//! engine calls it on its own task, the window and the terminal for what they show. The text comes from a stranger:
//! it is limited in size before anything else happens and never makes a function here panic.
#![deny(clippy::disallowed_methods)]

mod browser;
mod candidate;
mod compact;
mod doorbell;
mod error;
mod foreign;
mod sdp;
mod sealed;
mod secret;
pub mod stun;
mod template;
mod text;
mod vp8;

#[cfg(test)]
pub use browser::tests as tests_of_browsers;
#[cfg(test)]
mod compact_tests;
#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests;

pub use browser::BrowserGuest;
pub use candidate::{Candidate, CandidateKind, Protocol};
pub use doorbell::{Admits, Caller, DoorId, Doorbell};
pub use error::InviteError;
pub use sealed::{SALT, Sealed, is_sealed, passphrase, seal, unseal};
pub use secret::{Guest, Identity, Secret};
pub use template::{Maker, canonical, knocked, mark, secret};
pub use vp8::PAYLOAD_TYPES as VP8_PAYLOAD_TYPES;

use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A longer text is refused without a look at it: a session description with dozens of candidates has 20 kB.
pub const MAX_TEXT: usize = 256 * 1024;

/// Which half of the exchange a description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An SDP offer: whoever gets it joins the call.
    Invite,
    /// An SDP answer: goes back to whoever made the invite.
    Reply,
}

impl Kind {
    /// The `type` of the JSON form.
    const fn sdp_type(self) -> &'static str {
        match self {
            Self::Invite => "offer",
            Self::Reply => "answer",
        }
    }
}

/// A session description: kind and SDP text with all ICE candidates inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub kind: Kind,
    pub sdp: Redacted<String>,
}

impl Description {
    /// The JSON form, `{"type":"offer","sdp":"v=0..."}`, on one line: what a browser's
    /// `new RTCSessionDescription` takes.
    pub fn to_json(&self) -> String {
        #[derive(serde::Serialize)]
        struct Json<'a> {
            r#type: &'a str,
            sdp: &'a str,
        }
        serde_json::to_string(&Json { r#type: self.kind.sdp_type(), sdp: &self.sdp.0 })
            .expect("two strings always make JSON")
    }

    /// Whether both were made by the same peer connection: same certificate, same ICE credentials.
    pub fn is_from_same_peer(&self, other: &Self) -> bool {
        match (sdp::identity(&self.sdp.0), sdp::identity(&other.sdp.0)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }
}

/// What a pasted text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pasted {
    Description(Description),
    /// A single ICE candidate, as a `candidate:...` line.
    Candidate(Redacted<String>),
}

/// The code: one line. Compact if the description is one between two Twocans, else the full form.
pub fn encode(description: &Description) -> String {
    let compact = template::distil(description).and_then(|essence| compact::encode(&essence));
    compact.unwrap_or_else(|| encode_full(description))
}

/// The full form: one line of base64 of `{"type","sdp"}`.
pub fn encode_full(description: &Description) -> String {
    STANDARD.encode(description.to_json())
}

/// Takes a code in any shape it comes in: compact, base64 or base64url of the JSON, the JSON itself, bare SDP, a single ICE
/// candidate; wrapped, quoted, fenced, inside a sentence, with characters in it that nobody sees.
pub fn read(text: &str) -> Result<Pasted, InviteError> {
    if text.len() > MAX_TEXT {
        return Err(InviteError::TooLarge);
    }
    let tidy = text::tidy(text);
    if tidy.is_empty() {
        return Err(InviteError::Empty);
    }
    let compact = match compact::find(&tidy) {
        Some(Ok(compact::Found::Ours(essence))) if !essence.candidates.is_empty() => {
            return Ok(Pasted::Description(template::expand(&essence)));
        }
        Some(Ok(compact::Found::Browser(browser))) if !browser.candidates.is_empty() => {
            let description = foreign::expand(&browser);
            sdp::check(&description.sdp.0, Some(description.kind))?;
            return Ok(Pasted::Description(description));
        }
        Some(Ok(_)) => return Err(InviteError::NoCandidates),
        Some(Err(error)) => Some(error),
        None => None,
    };
    let content = text::unwrap(&tidy).map_err(|error| match (error, compact) {
        // It only looks like the beginning of a compact code, or it is one with a fault.
        (InviteError::NotACode | InviteError::CutOff, Some(compact)) => compact,
        (error, _) => error,
    })?;
    match content {
        text::Content::Candidate(line) => {
            Candidate::parse(&line).ok_or(InviteError::BadCandidate)?;
            Ok(Pasted::Candidate(Redacted(line)))
        }
        text::Content::Sdp { kind, sdp } => {
            let sdp = sdp::normalised(&sdp)?;
            let reply = Description { kind: Kind::Reply, sdp: Redacted(sdp) };
            if kind != Some(Kind::Invite) && template::is_sealed(&reply) {
                return Ok(Pasted::Description(reply));
            }
            let kind = sdp::check(&reply.sdp.0, kind)?;
            Ok(Pasted::Description(Description { kind, ..reply }))
        }
    }
}

/// Takes a code where only one kind is of use. `own` is what we handed out ourselves, to know it again, and to open the
/// reply to it.
pub fn expect(text: &str, kind: Kind, own: Option<&Description>) -> Result<Description, InviteError> {
    let description = match read(text)? {
        Pasted::Description(description) => description,
        Pasted::Candidate(_) => return Err(InviteError::OnlyCandidate),
    };
    match own {
        Some(own) if own.is_from_same_peer(&description) => Err(InviteError::OwnCode(own.kind)),
        _ if description.kind == kind && template::is_sealed(&description) => {
            let opened = own.and_then(secret).and_then(|secret| template::open(&description, secret));
            opened.ok_or(InviteError::OtherInvite)
        }
        _ if description.kind == kind => Ok(description),
        _ if kind == Kind::Invite => Err(InviteError::ReplyNotInvite),
        _ => Err(InviteError::InviteNotReply),
    }
}

/// SHA-256 of the DTLS certificate that a description names; `None` unless it is exactly one.
pub fn fingerprint(sdp: &str) -> Option<[u8; 32]> {
    sdp::fingerprint(sdp)
}

/// The ICE candidates of a description, each once, as `candidate:...` lines.
pub fn candidates(description: &Description) -> Vec<String> {
    sdp::candidates(&description.sdp.0)
}
