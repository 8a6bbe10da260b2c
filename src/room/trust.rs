//! Four words by which two people know that nobody is between them. Each side works them out from the call itself; the
//! people read them to each other.
//!
//! Whoever changes a code on its way, to put himself in the middle, has a connection of his own to each side, and
//! with it other fingerprints: the words differ. He could search for keys whose words are the same, were the words
//! made of the fingerprints alone: 32 bits are soon searched. So each side throws in a random number, and
//! the host is bound to its own before it sees the guest's (commit, then reveal): a man in the middle has one guess
//! in 2^32 (as in ZRTP, RFC 6189, section 4.4.1.1, and in Bluetooth's numeric comparison).
//!
//! ```text
//!   host (made the invite)                             guest (took it)
//!   nonce_h: 32 random bytes                           nonce_g: 32 random bytes
//!     {"type":"trust-commit","commitment":C}   ---->
//!                                              <----   {"type":"trust-nonce","nonce":nonce_g,"proof":P_g}
//!     {"type":"trust-reveal","nonce":nonce_h,
//!      "proof":P_h}                            ---->   SHA-256(nonce_h) = C, or else: refused
//! ```
//!
//! All values are 32 bytes, as 64 lower-case hexadecimal digits. With `|` for "followed by":
//!
//! ```text
//!   C       = SHA-256(nonce_h)
//!   T       = nonce_h | nonce_g | fingerprint_h | fingerprint_g          (SHA-256 of the DTLS certificates)
//!   words   = HKDF-SHA256(ikm T, salt "twocan", info "twocan 1 words"), 4 bytes, one word each
//!   key     = HKDF-SHA256(ikm T, salt "twocan", info "twocan 1 same people"), 32 bytes
//!   P_g     = HMAC-SHA256(key of the connection before, "guest" | C | nonce_g | fingerprint_h | fingerprint_g)
//!   P_h     = HMAC-SHA256(key of the connection before, "host"  | C | nonce_g | fingerprint_h | fingerprint_g)
//! ```
//!
//! `proof` is there only when a call goes on over a fresh connection: who knows the key has been at an end of the
//! connection before, so the words that were compared there hold for this one. It may be left out, and a
//! wrong one counts as none: the words have to be compared again then.
//!
//! A message that comes twice changes nothing and is answered again: the first ones may get lost with the channel's
//! handshake, so they are repeated ([`Trust::poll`]). Anything else out of order, a second commitment, a second
//! number, garbage: refused for good, and the words could not be compared.
//!
//! A core: randomness comes in as an argument. The engine calls it on its own task.

mod words;

pub use words::Words;

use super::message::Message;
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;

const SALT: &[u8] = b"twocan";
const WORDS_INFO: &[u8] = b"twocan 1 words";
const KEY_INFO: &[u8] = b"twocan 1 same people";

/// A random number, a fingerprint or a hash.
pub type Bytes = [u8; 32];

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Made the invite.
    Host,
    /// Took it.
    Guest,
}

/// How far the comparison is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// The words are being worked out.
    #[default]
    Waiting,
    /// The other side does not answer. The words may still come.
    Unanswered,
    /// The words. `continued`: the same two people as on the connection before.
    Ready { words: Words, continued: bool },
    /// What came from the other side cannot be right.
    Refused,
}

impl Comparison {
    /// The word for it in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unanswered => "unanswered",
            Self::Ready { continued: false, .. } => "ready",
            Self::Ready { continued: true, .. } => "same people",
            Self::Refused => "refused",
        }
    }
}

/// Known to the two ends of one connection only.
#[derive(Clone)]
pub struct Key(Bytes);

/// One side of the exchange.
///
/// ```text
///   host    Committed  --nonce-->  Done
///   guest   Listening  --commit-->  Answered  --reveal-->  Done
///   any     --anything else but a repetition-->  Refused
/// ```
pub struct Trust {
    role: Role,
    /// The host's, then the guest's.
    fingerprints: [Bytes; 2],
    nonce: Bytes,
    earlier: Option<Key>,
    state: State,
    reminders: u32,
}

enum State {
    Committed,
    Listening,
    Answered { commitment: Bytes },
    Done { commitment: Bytes, theirs: Bytes, words: Words, key: Key, continued: bool },
    Refused,
}

impl Trust {
    /// So many calls of [`Self::poll`] without an answer mean that none will come: the other side is of an older
    /// version.
    pub const REMINDERS: u32 = 20;

    /// `nonce`: 32 random bytes, never used before. `earlier`: of the connection that this one takes the place of.
    pub fn new(role: Role, own: Bytes, theirs: Bytes, nonce: Bytes, earlier: Option<Key>) -> Self {
        let (fingerprints, state) = match role {
            Role::Host => ([own, theirs], State::Committed),
            Role::Guest => ([theirs, own], State::Listening),
        };
        Self { role, fingerprints, nonce, earlier, state, reminders: 0 }
    }

    /// What to send now, at the start and once a second: whatever has had no answer.
    pub fn poll(&mut self) -> Option<Message> {
        if matches!(self.state, State::Done { .. } | State::Refused) {
            return None;
        }
        self.reminders = (self.reminders + 1).min(Self::REMINDERS);
        if self.reminders == Self::REMINDERS {
            return None;
        }
        match &self.state {
            State::Committed => Some(Message::TrustCommit { commitment: to_hex(&hash(&self.nonce)) }),
            State::Answered { commitment } => Some(self.answer(commitment)),
            State::Listening | State::Done { .. } | State::Refused => None,
        }
    }

    /// Takes one message of the exchange, and gives the answer to it. Other messages are none of its business.
    pub fn handle(&mut self, message: &Message) -> Option<Message> {
        let taken = match message {
            Message::TrustCommit { commitment } => {
                from_hex(commitment).and_then(|commitment| self.take_commitment(commitment))
            }
            Message::TrustNonce { nonce, proof } => {
                from_hex(nonce).and_then(|nonce| self.take_nonce(nonce, proof))
            }
            Message::TrustReveal { nonce, proof } => {
                from_hex(nonce).and_then(|nonce| self.take_reveal(nonce, proof))
            }
            _ => return None,
        };
        taken.unwrap_or_else(|| {
            self.state = State::Refused;
            None
        })
    }

    pub fn comparison(&self) -> Comparison {
        match &self.state {
            State::Done { words, continued, .. } => {
                Comparison::Ready { words: *words, continued: *continued }
            }
            State::Refused => Comparison::Refused,
            State::Committed | State::Listening | State::Answered { .. } => {
                if self.reminders == Self::REMINDERS { Comparison::Unanswered } else { Comparison::Waiting }
            }
        }
    }

    /// For the connection that takes the place of this one.
    pub fn key(&self) -> Option<Key> {
        match &self.state {
            State::Done { key, .. } => Some(key.clone()),
            State::Committed | State::Listening | State::Answered { .. } | State::Refused => None,
        }
    }

    /// The outer `None`: refused. So with the others.
    fn take_commitment(&mut self, theirs: Bytes) -> Option<Option<Message>> {
        match (self.role, &self.state) {
            (Role::Guest, State::Listening) => {
                self.state = State::Answered { commitment: theirs };
                Some(Some(self.answer(&theirs)))
            }
            (Role::Guest, State::Answered { commitment }) if *commitment == theirs => {
                Some(Some(self.answer(&theirs)))
            }
            (Role::Guest, State::Done { commitment, .. }) if *commitment == theirs => Some(None),
            (Role::Host | Role::Guest, _) => None,
        }
    }

    fn take_nonce(&mut self, theirs: Bytes, proof: &str) -> Option<Option<Message>> {
        match (self.role, &self.state) {
            // A mirror would give us our own number.
            (Role::Host, State::Committed) if theirs != self.nonce => {
                let commitment = hash(&self.nonce);
                self.finish(commitment, theirs, proof);
                Some(Some(self.reveal(&commitment, &theirs)))
            }
            (Role::Host, State::Done { commitment, theirs: before, .. }) if *before == theirs => {
                Some(Some(self.reveal(commitment, before)))
            }
            (Role::Host | Role::Guest, _) => None,
        }
    }

    fn take_reveal(&mut self, theirs: Bytes, proof: &str) -> Option<Option<Message>> {
        match (self.role, &self.state) {
            (Role::Guest, State::Answered { commitment }) if *commitment == hash(&theirs) => {
                self.finish(*commitment, theirs, proof);
                Some(None)
            }
            (Role::Guest, State::Done { theirs: before, .. }) if *before == theirs => Some(None),
            (Role::Host | Role::Guest, _) => None,
        }
    }

    fn finish(&mut self, commitment: Bytes, theirs: Bytes, proof: &str) {
        let (nonces, label) = match self.role {
            Role::Host => ([self.nonce, theirs], "guest"),
            Role::Guest => ([theirs, self.nonce], "host"),
        };
        let secret = [nonces, self.fingerprints].concat().concat();
        let (mut words, mut key) = ([0; Words::COUNT], [0; 32]);
        expand(&secret, WORDS_INFO, &mut words);
        expand(&secret, KEY_INFO, &mut key);
        let proven = || {
            let earlier = self.earlier.as_ref()?;
            let signed = self.signed(label, &commitment, &nonces[1]);
            hmac::verify(&earlier.mac(), &signed, &from_hex(proof)?).ok()
        };
        let continued = proven().is_some();
        self.state = State::Done { commitment, theirs, words: Words(words), key: Key(key), continued };
    }

    fn answer(&self, commitment: &Bytes) -> Message {
        let proof = self.proof("guest", commitment, &self.nonce);
        Message::TrustNonce { nonce: to_hex(&self.nonce), proof }
    }

    fn reveal(&self, commitment: &Bytes, theirs: &Bytes) -> Message {
        Message::TrustReveal { nonce: to_hex(&self.nonce), proof: self.proof("host", commitment, theirs) }
    }

    fn proof(&self, label: &str, commitment: &Bytes, nonce_g: &Bytes) -> String {
        let Some(earlier) = &self.earlier else { return String::new() };
        let tag = hmac::sign(&earlier.mac(), &self.signed(label, commitment, nonce_g));
        to_hex(tag.as_ref())
    }

    fn signed(&self, label: &str, commitment: &Bytes, nonce_g: &Bytes) -> Vec<u8> {
        let [host, guest] = &self.fingerprints;
        [label.as_bytes(), commitment, nonce_g, host, guest].concat()
    }
}

impl Key {
    fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

fn hash(nonce: &Bytes) -> Bytes {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, nonce).as_ref());
    hash
}

fn expand(secret: &[u8], info: &[u8], into: &mut [u8]) {
    let key = Salt::new(HKDF_SHA256, SALT).extract(secret);
    key.expand(&[info], Length(into.len()))
        .and_then(|output| output.fill(into))
        .expect("HKDF gives 32 bytes: its limit is 8160");
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly 64 lower-case digits: one number has one spelling.
fn from_hex(text: &str) -> Option<Bytes> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2).take(33);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests;
