//! What a code's random bytes stand for: ICE credentials and the numbers of the streams, by HKDF.
//!
//! Both sides work them out, so no code need carry them.
//!
//! ```text
//!   host    user name, password, SSRCs = HKDF(secret)
//!   guest   user name                  = "g" base64(1 | fingerprint | nonce)
//!           password, SSRCs            = HKDF(secret, salt: 1 | fingerprint | nonce)
//!   host for a browser: see `browser`
//! ```
//!
//! The guest's user name stands in each of its connectivity checks (RFC 8445, section 7.2.2). So whoever made the
//! invite learns from the first check who knocks, and needs no reply (see [`Doorbell`](super::Doorbell)).

use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::fmt;

/// 128 random bits; RFC 8445, section 5.3 wants no fewer behind the ICE password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; Self::LENGTH]);

impl Secret {
    pub const LENGTH: usize = 16;

    /// What whoever made the invite goes by.
    pub fn host(&self) -> Identity {
        let bytes = self.derive::<40>(b"twocan", b"twocan 1 invite");
        let (ufrag, rest) = bytes.split_at(6);
        let (password, rest) = rest.split_at(18);
        // Base64 of a multiple of three bytes has no padding, and `+` and `/` are ice-chars.
        Identity::new(STANDARD.encode(ufrag), password, rest)
    }

    /// What somebody who took the invite goes by.
    pub fn guest(&self, guest: &Guest) -> Identity {
        let salt = guest.to_bytes();
        let password = self.derive::<18>(&salt, b"twocan 1 guest password");
        let streams = self.derive::<16>(&salt, b"twocan 1 guest streams");
        Identity::new(guest.ufrag(), &password, &streams)
    }

    /// What whoever made the invite goes by for the browser that calls it so ([`browser`](super::browser)).
    pub fn called(&self, name: &str) -> Identity {
        let password = self.derive::<18>(name.as_bytes(), Self::CALLED);
        let streams = self.derive::<16>(name.as_bytes(), b"twocan 1 browser streams");
        Identity::new(name.to_owned(), &password, &streams)
    }

    /// The password of [`Self::called`], without taking any memory.
    pub(super) fn password_of(&self, name: &str) -> [u8; 24] {
        let mut password = [0; 24];
        let bytes = self.derive::<18>(name.as_bytes(), Self::CALLED);
        STANDARD.encode_slice(bytes, &mut password).expect("18 bytes have 24 digits");
        password
    }

    const CALLED: &[u8] = b"twocan 1 browser password";

    fn derive<const N: usize>(&self, salt: &[u8], info: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        Salt::new(HKDF_SHA256, salt)
            .extract(&self.0)
            .expand(&[info], Length(N))
            .and_then(|okm| okm.fill(&mut bytes))
            .expect("HKDF gives as many bytes: its limit is 8160");
        bytes
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

/// What a guest puts into the game: the key it will be known by, and a number that tells two of its tries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// SHA-256 of its DTLS certificate.
    pub fingerprint: [u8; 32],
    pub nonce: [u8; Self::NONCE],
}

impl Guest {
    pub const NONCE: usize = 8;
    const VERSION: u8 = 1;
    const LENGTH: usize = 1 + 32 + Self::NONCE;
    /// Marks the user name of a guest of ours; a browser's begins with something else.
    const MARK: char = 'g';

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [Self::VERSION; Self::LENGTH];
        bytes[1..33].copy_from_slice(&self.fingerprint);
        bytes[33..].copy_from_slice(&self.nonce);
        bytes
    }

    /// The ICE user name: 56 ice-chars (RFC 8839, section 5.4 allows 256).
    pub fn ufrag(&self) -> String {
        format!("{}{}", Self::MARK, STANDARD_NO_PAD.encode(self.to_bytes()))
    }

    /// Takes a user name apart; `None` if no guest of ours made it.
    pub fn from_ufrag(ufrag: &str) -> Option<Self> {
        let mut bytes = [0; Self::LENGTH + 2];
        let length = STANDARD_NO_PAD.decode_slice(ufrag.strip_prefix(Self::MARK)?, &mut bytes).ok()?;
        if length != Self::LENGTH || bytes[0] != Self::VERSION {
            return None;
        }
        let (mut fingerprint, mut nonce) = ([0; 32], [0; Self::NONCE]);
        fingerprint.copy_from_slice(&bytes[1..33]);
        nonce.copy_from_slice(&bytes[33..Self::LENGTH]);
        Some(Self { fingerprint, nonce })
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

impl Identity {
    fn new(ufrag: String, password: &[u8], streams: &[u8]) -> Self {
        let number = |at: usize| {
            streams[at * 4..at * 4 + 4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        // Three different numbers, none of them 0: the low two bits tell them apart.
        let ssrc = |index: u32| (number(index as usize) & !3) | (index + 1);
        Self {
            ufrag,
            password: Redacted(STANDARD.encode(password)),
            session: u64::from(number(3)),
            audio: ssrc(0),
            video: ssrc(1),
            retransmission: ssrc(2),
        }
    }
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

    const GUEST: Guest = Guest { fingerprint: [0xfb; 32], nonce: *b"8 bytes!" };

    #[test]
    fn the_same_secret_always_gives_the_same_identity() {
        let secret = Secret([7; 16]);
        let host = secret.host();
        assert_eq!(host, secret.host());
        assert_ne!(host.password, Secret([8; 16]).host().password);
        // Golden: codes that are out must stay understood.
        assert_eq!((host.ufrag.as_str(), host.audio), ("UP56USHB", 2_430_757_797));
    }

    #[test]
    fn a_guest_is_known_by_its_user_name_and_bound_to_it() {
        let (secret, ufrag) = (Secret([7; 16]), GUEST.ufrag());
        assert!(ufrag.len() == 56 && ufrag.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b)));
        assert_eq!(Guest::from_ufrag(&ufrag), Some(GUEST));
        let guest = secret.guest(&GUEST);
        assert_eq!(guest.ufrag, ufrag);
        for other in [Guest { nonce: *b"8 bytes?", ..GUEST }, Guest { fingerprint: [0xfa; 32], ..GUEST }] {
            assert_ne!(secret.guest(&other).password, guest.password);
        }
        assert_ne!(Secret([8; 16]).guest(&GUEST).password, guest.password);
        // Golden: others' programs work it out too.
        assert_eq!((guest.password.0.as_str(), guest.audio), ("u3jCQ7z7jHa00Za4oSi9Ce2A", 3_983_044_373));
    }

    #[test]
    fn no_other_user_name_is_taken_for_a_guests() {
        let ufrag = GUEST.ufrag();
        let newer = format!("g{}", STANDARD_NO_PAD.encode([2; Guest::LENGTH]));
        let (shorter, longer, other) = (&ufrag[..55], format!("{ufrag}A"), ufrag.replacen('g', "b", 1));
        // The last letter holds two bits that belong to nothing.
        let loose = format!("{}{}", shorter, "F");
        for name in [
            "",
            "g",
            "gAAAA",
            "UP56USHB",
            "g\u{e9}",
            &newer,
            shorter,
            &longer,
            &other,
            &loose,
            &"g".repeat(500),
        ] {
            assert_eq!(Guest::from_ufrag(name), None, "{name}");
        }
    }

    #[test]
    fn streams_have_numbers_of_their_own() {
        for n in 0..=255 {
            for id in [Secret([n; 16]).host(), Secret([n; 16]).guest(&GUEST)] {
                assert!(
                    id.audio != id.video && id.video != id.retransmission && id.audio != id.retransmission
                );
                assert!(id.audio != 0 && id.ufrag.len() >= 8 && id.password.0.len() == 24);
            }
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
