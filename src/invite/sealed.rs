//! A code with a passphrase: the content of a compact code, encrypted. Whoever reads the chat that it went through
//! cannot join, nor put himself between the two people, without the passphrase, which goes another way.
//!
//! ```text
//!  bytes   0       bits 7..5 version (0), 4..3 kind (3), 2..0 and all of byte 1: the nonce of the whitening
//!          2..18   salt, random                                      \
//!          18      counter                                            |
//!          19..    ChaCha20-Poly1305 of the content                   | whitened
//!          ..      its tag, 16 bytes, up to the checksum              |
//!          last 4  CRC-32 of everything before it                    /
//!
//!  key      Argon2id(passphrase in UTF-8, salt), 19 MiB, 2 passes, 1 lane, 32 bytes
//!  nonce    11 zeros, then the counter: every key is used for one content only
//!  content  bytes 0 and 2.. of the compact code, not whitened; bits 2..0 of byte 0 are zero
//!  added    byte 0, with bits 2..0 zero, is authenticated too
//! ```
//!
//! The checksum is over the encrypted bytes, so a damaged code is told from a wrong passphrase. The counter makes
//! another try cheap when no whitening gives letters and digits only: a longer code has more of them.
//!
//! Argon2's cost is the least that OWASP's Password Storage Cheat Sheet recommends; it takes some 30 ms here. The
//! salt comes in as an argument.

use super::InviteError;
use super::compact;
use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::borrow::Cow;
use std::fmt;

/// Bytes of a passphrase that count; nobody types more.
pub const MAX_PASSPHRASE: usize = 1024;
pub const SALT: usize = 16;
const COUNTER: usize = 1;
const TAG: usize = 16;
/// By how much a sealed code is longer than the same one without a passphrase.
pub(super) const MORE: usize = SALT + COUNTER + 1 + TAG;
/// KiB, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// A code whose content cannot be seen: its bytes without whitening and checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub(super) Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What two people agreed on, without the spaces around it that nobody sees; `None` if nothing is left.
pub fn passphrase(text: &str) -> Option<&str> {
    let text = text.trim();
    let end = (0..=text.len().min(MAX_PASSPHRASE)).rev().find(|end| text.is_char_boundary(*end))?;
    Some(&text[..end]).filter(|text| !text.is_empty())
}

/// The compact code `code` with a passphrase; `None` if it is none, but the full form of a code for another program.
pub fn seal(code: &str, passphrase: &str, salt: [u8; SALT]) -> Option<String> {
    let content = compact::content(code)?;
    let (head, body) = content.split_first_chunk::<{ compact::HEAD }>()?;
    let content = [&[head[0] & !compact::NONCE_BITS], body].concat();
    let key = key(passphrase, &salt)?;
    let head = compact::SEALED;
    (0..=u8::MAX).find_map(|counter| {
        let mut sealed = content.clone();
        key.seal_in_place_append_tag(nonce(counter), Aad::from([head]), &mut sealed).ok()?;
        compact::pack(head, &[&salt, &[counter][..], &sealed].concat())
    })
}

/// Whether a code of ours has a passphrase.
pub fn is_sealed(code: &str) -> bool {
    compact::content(code).is_some_and(|content| content[0] & !compact::NONCE_BITS == compact::SEALED)
}

/// The same text with a code in it that needs no passphrase; as it is if there is no sealed code in it.
pub fn unseal<'a>(text: &'a str, passphrase: Option<&str>) -> Result<Cow<'a, str>, InviteError> {
    match (super::read(text), passphrase) {
        (Err(InviteError::NeedsPassphrase(sealed)), Some(passphrase)) => {
            open(&sealed, passphrase).map(Cow::Owned)
        }
        (Err(error @ InviteError::NeedsPassphrase(_)), None) => Err(error),
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// The compact code that was sealed.
fn open(sealed: &Sealed, passphrase: &str) -> Result<String, InviteError> {
    let parts = || {
        let (head, rest) = sealed.0.split_first_chunk::<{ compact::HEAD }>()?;
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (counter, rest) = rest.split_first()?;
        Some((head[0] & !compact::NONCE_BITS, salt, *counter, rest.to_vec()))
    };
    let (head, salt, counter, mut bytes) = parts().ok_or(InviteError::Damaged)?;
    let key = key(passphrase, salt).ok_or(InviteError::WrongPassphrase)?;
    let content = key.open_in_place(nonce(counter), Aad::from([head]), &mut bytes);
    let content = content.map_err(|_| InviteError::WrongPassphrase)?;
    let (inner, body) = content.split_first().ok_or(InviteError::Damaged)?;
    // One in the other is nothing that we make.
    if *inner == compact::SEALED {
        return Err(InviteError::Damaged);
    }
    compact::pack(*inner, body).ok_or(InviteError::Damaged)
}

/// `None` if there is no memory for it.
fn key(passphrase: &str, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, Some(32)).ok()?;
    let mut key = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut key).ok()?;
    UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new)
}

fn nonce(counter: u8) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 1] = counter;
    Nonce::assume_unique_for_key(nonce)
}
