//! What a code's 16 random bytes stand for: ICE credentials and the numbers of the streams, by HKDF.
//!
//! Both sides work them out from the secret, so the code need not carry them.

use super::Kind;
use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::fmt;

/// 128 random bits; RFC 8445, section 5.3 wants no fewer behind the ICE password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; Self::LENGTH]);

impl Secret {
    pub const LENGTH: usize = 16;

    /// What whoever made a code of this kind goes by.
    pub fn identity(&self, kind: Kind) -> Identity {
        let label: &[u8] = match kind {
            Kind::Invite => b"twocan 1 invite",
            Kind::Reply => b"twocan 1 reply",
        };
        let mut bytes = [0; 40];
        let key = Salt::new(HKDF_SHA256, b"twocan").extract(&self.0);
        key.expand(&[label], Length(bytes.len()))
            .and_then(|okm| okm.fill(&mut bytes))
            .expect("HKDF gives 40 bytes: its limit is 8160");
        let (ufrag, rest) = bytes.split_at(6);
        let (password, rest) = rest.split_at(18);
        // Base64 of a multiple of three bytes has no padding, and `+` and `/` are ice-chars.
        let ice = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let number = |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        // Three different numbers, none of them 0: the low two bits tell them apart.
        let ssrc = |index: u32| (number(index as usize * 4) & !3) | (index + 1);
        Identity {
            ufrag: ice(ufrag),
            password: Redacted(ice(password)),
            session: u64::from(number(12)),
            audio: ssrc(0),
            video: ssrc(1),
            retransmission: ssrc(2),
        }
    }

    pub(super) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
    pub(super) fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What follows from a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub ufrag: String,
    pub password: Redacted<String>,
    /// Of the `o=` line.
    pub session: u64,
    /// SSRCs.
    pub audio: u32,
    pub video: u32,
    pub retransmission: u32,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_always_gives_the_same_identity() {
        let secret = Secret([7; 16]);
        let invite = secret.identity(Kind::Invite);
        assert_eq!(invite, secret.identity(Kind::Invite));
        assert_ne!(invite.ufrag, secret.identity(Kind::Reply).ufrag);
        assert_ne!(invite.password, Secret([8; 16]).identity(Kind::Invite).password);
        // Golden: codes that are out must stay understood.
        assert_eq!((invite.ufrag.as_str(), invite.audio), ("UP56USHB", 2_430_757_797));
    }

    #[test]
    fn streams_have_numbers_of_their_own() {
        for n in 0..=255 {
            let id = Secret([n; 16]).identity(Kind::Reply);
            assert!(id.audio != id.video && id.video != id.retransmission && id.audio != id.retransmission);
            assert!(id.audio != 0 && id.ufrag.len() == 8 && id.password.0.len() == 24);
        }
    }

    #[test]
    fn a_secret_survives_as_text_and_is_not_printed() {
        let secret = Secret(*b"0123456789abcdef");
        assert_eq!(Secret::from_text(&secret.to_text()), Some(secret));
        for text in ["", "AAAA", "not base64!", &"A".repeat(40)] {
            assert_eq!(Secret::from_text(text), None);
        }
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }
}
