//! The compact code: `2can` and some 126 letters and digits.
//!
//! ```text
//!  bytes   0       bits 7..5 version (0), 4..3 kind, 2..0 and all of byte 1: the nonce
//!          2..34   SHA-256 of the DTLS certificate   \
//!          ..      16 of secret (kind 0: invite)      |
//!                  or 8 of nonce (kind 2: reply)      | whitened by the nonce of byte 1
//!          ..      candidates, up to the checksum     |
//!          last 4  CRC-32 of everything before it    /
//!
//!  candidate   bits 7..6 host, srflx, relay; 5..4 IPv4, IPv6, UUID.local; 3 TCP; 2..0 zero
//!              4 or 16 bytes of address, 2 of port
//! ```
//!
//! The bytes are written as base64url. Nonces are tried until no `-` and no `_` is among the digits: a chat's
//! markdown eats underscores, and a double click selects only up to a dash. The checksum makes an altered code
//! known and tells where a code ends that runs on into the next words. It covers the version, so a code from a
//! newer Twocan is told from a damaged one: whatever the version, the first two bytes and the checksum keep their
//! places, as they do for a kind that is not known. Kind 1 was a reply with a secret of its own, before any release.
//!
//! A reply is of no use without the invite it answers: password and streams follow from the invite's secret
//! ([`secret`](super::secret)).

use super::InviteError;
use super::candidate::{Candidate, CandidateKind, Protocol};
use super::foreign::{self, Browser};
use super::sealed::{self, Sealed};
use super::secret::{Guest, Secret};
use super::template::{Essence, Maker};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const PREFIX: &str = "2can";
const VERSION: u8 = 0;
pub(super) const HEAD: usize = 2;
/// Of byte 0: they belong to the nonce.
pub(super) const NONCE_BITS: u8 = 0b111;
/// Byte 0 of a code with a passphrase (`sealed`): version 0, kind 3.
pub(super) const SEALED: u8 = 3 << 3;
/// Of an invite; a reply has less.
const FIXED: usize = HEAD + 32 + Secret::LENGTH;
const CHECKSUM: usize = 4;
/// A code without candidates leads nowhere: the shortest is a reply with one of IPv4.
const LEAST: usize = HEAD + 32 + Guest::NONCE + 7 + CHECKSUM;
const INVITE: u8 = 0;
const REPLY: u8 = 2;
/// As many as a description may have.
const MAX_CANDIDATES: usize = 48;
const MOST: usize = FIXED + MAX_CANDIDATES * 19 + sealed::MORE + CHECKSUM;
const NONCES: u16 = 1 << 11;
/// Places in a text where a code might begin that are looked at.
const MAX_STARTS: usize = 64;

/// Whose code it is.
pub enum Found {
    Ours(Essence),
    Browser(Browser),
}

/// The code; `None` if a candidate has no compact form.
pub fn encode(essence: &Essence) -> Option<String> {
    encode_version(essence, VERSION)
}

/// As [`encode`], for the version that is given.
pub(super) fn encode_version(essence: &Essence, version: u8) -> Option<String> {
    let mut body = Vec::with_capacity(FIXED + 64);
    body.extend_from_slice(&essence.fingerprint);
    let kind = match &essence.maker {
        Maker::Host(secret) => {
            body.extend_from_slice(&secret.0);
            INVITE
        }
        Maker::Guest { nonce, .. } => {
            body.extend_from_slice(nonce);
            REPLY
        }
    };
    if essence.candidates.len() > MAX_CANDIDATES {
        return None;
    }
    for candidate in &essence.candidates {
        write_candidate(&mut body, candidate)?;
    }
    pack(version << 5 | kind << 3, &body)
}

/// A code of these bytes: `head` is the first of them, its nonce bits are free. `None`: no nonce is of use.
pub(super) fn pack(head: u8, body: &[u8]) -> Option<String> {
    // Which nonce comes first does not matter, only that the same code always looks the same.
    (0..NONCES).find_map(|nonce| {
        let head = [head & !NONCE_BITS | (nonce >> 8) as u8, nonce as u8];
        let mut bytes = [&head[..], body].concat();
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        whiten(&mut bytes);
        let digits = URL_SAFE_NO_PAD.encode(&bytes);
        let clean = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        clean.then(|| format!("{PREFIX}{digits}"))
    })
}

/// The bytes of a code that [`pack`] made, without whitening and checksum.
pub(super) fn content(code: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(code.strip_prefix(PREFIX)?).ok()?;
    whiten(&mut bytes);
    let (content, _) = bytes.split_last_chunk::<CHECKSUM>()?;
    (content.len() > HEAD).then(|| content.to_vec())
}

/// The first code in a text, whatever stands round it and however it is broken up. `None`: there is none.
pub fn find(text: &str) -> Option<Result<Found, InviteError>> {
    let plain = find_in(text);
    if matches!(plain, Some(Ok(_))) {
        return plain;
    }
    // What HTML, quoted-printable and URLs put between the digits is made of letters and digits itself.
    let stripped = without_escapes(text);
    if stripped == text { plain } else { find_in(&stripped).filter(Result::is_ok).or(plain) }
}

fn find_in(text: &str) -> Option<Result<Found, InviteError>> {
    // Every letter and digit, and whether something else stands before it.
    let mut digits: Vec<(u8, bool)> = Vec::with_capacity(text.len());
    let mut broken = true;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            digits.push((byte, broken));
        }
        broken = !byte.is_ascii_alphanumeric();
    }
    let is_start = |at: &usize| {
        let prefix = digits[*at..].iter().take(PREFIX.len()).map(|(byte, _)| byte.to_ascii_lowercase());
        digits[*at].1 && prefix.eq(PREFIX.bytes())
    };
    let mut reason = None;
    for start in (0..digits.len()).filter(is_start).take(MAX_STARTS) {
        match decode_from(&digits[start + PREFIX.len()..]) {
            Ok(found) => return Some(Ok(found)),
            // Text that only begins like a code must not hide the code behind it.
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    reason.map(Err)
}

/// `digits` starts behind the prefix and runs to the end of the text; the code ends at one of the breaks.
fn decode_from(digits: &[(u8, bool)]) -> Result<Found, InviteError> {
    let longest = MOST.div_ceil(3) * 4;
    let ends =
        (1..=digits.len().min(longest)).filter(|end| digits.get(*end).is_none_or(|(_, broken)| *broken));
    let mut long_enough = false;
    for end in ends {
        if end * 3 / 4 < LEAST {
            continue;
        }
        long_enough = true;
        let code: Vec<u8> = digits[..end].iter().map(|(byte, _)| *byte).collect();
        if let Some(read) = URL_SAFE_NO_PAD.decode(&code).ok().and_then(decode) {
            return read;
        }
    }
    Err(if long_enough { InviteError::Damaged } else { InviteError::CutOff })
}

/// `None`: the checksum does not fit.
fn decode(mut bytes: Vec<u8>) -> Option<Result<Found, InviteError>> {
    whiten(&mut bytes);
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return None;
    }
    if content[0] >> 5 == foreign::VERSION {
        let kind = foreign::kind(content[0] >> 3 & 0b11);
        let browser = kind.and_then(|kind| foreign::decode(kind, &content[HEAD..]));
        return Some(browser.map(Found::Browser).ok_or(InviteError::NewerVersion));
    }
    if content[0] >> 5 != VERSION {
        return Some(Err(InviteError::NewerVersion));
    }
    if content[0] & !NONCE_BITS == SEALED {
        return Some(Err(InviteError::NeedsPassphrase(Sealed(content.to_vec()))));
    }
    let mut rest = &content[HEAD..];
    let fingerprint = *take::<32>(&mut rest)?;
    let maker = match content[0] >> 3 & 0b11 {
        INVITE => Maker::Host(Secret(*take::<{ Secret::LENGTH }>(&mut rest)?)),
        REPLY => Maker::Guest { nonce: *take::<{ Guest::NONCE }>(&mut rest)?, secret: None },
        _ => return Some(Err(InviteError::NewerVersion)),
    };
    let mut candidates = Vec::new();
    while !rest.is_empty() {
        let Some(candidate) = read_candidate(&mut rest) else { return Some(Err(InviteError::NewerVersion)) };
        candidates.push(candidate);
    }
    Some(Ok(Found::Ours(Essence { maker, fingerprint, candidates })))
}

pub(super) fn write_candidate(into: &mut Vec<u8>, candidate: &Candidate) -> Option<()> {
    let kind = match candidate.kind {
        CandidateKind::Host => 0,
        CandidateKind::ServerReflexive | CandidateKind::PeerReflexive => 1,
        CandidateKind::Relay => 2,
    };
    let protocol = match candidate.protocol {
        Protocol::Udp => 0,
        Protocol::Tcp => 1,
    };
    let (family, address) = match candidate.address.parse() {
        Ok(IpAddr::V4(v4)) => (0, v4.octets().to_vec()),
        Ok(IpAddr::V6(v6)) => (1, v6.octets().to_vec()),
        Err(_) => (2, uuid(candidate.address.strip_suffix(".local")?)?.to_vec()),
    };
    into.push(kind << 6 | family << 4 | protocol << 3);
    into.extend_from_slice(&address);
    into.extend_from_slice(&candidate.port.to_be_bytes());
    Some(())
}

pub(super) fn read_candidate(from: &mut &[u8]) -> Option<Candidate> {
    let [head] = *take::<1>(from)?;
    let kind = match head >> 6 {
        0 => CandidateKind::Host,
        1 => CandidateKind::ServerReflexive,
        2 => CandidateKind::Relay,
        _ => return None,
    };
    let address = match head >> 4 & 0b11 {
        0 => Ipv4Addr::from(*take::<4>(from)?).to_string(),
        1 => Ipv6Addr::from(*take::<16>(from)?).to_string(),
        2 => {
            let hex = take::<16>(from)?.map(|byte| format!("{byte:02x}")).concat();
            let part = |range| &hex[range];
            format!("{}-{}-{}-{}-{}.local", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
        }
        _ => return None,
    };
    if head & 0b111 != 0 {
        return None;
    }
    let protocol = if head >> 3 & 1 == 1 { Protocol::Tcp } else { Protocol::Udp };
    let port = u16::from_be_bytes(*take::<2>(from)?);
    Some(Candidate { kind, address, port, protocol, component: 1 })
}

/// A browser's name for an address it hides (RFC 9299 has none shorter), in lower case as browsers write it.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        });
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    well_formed.then(|| u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes))?
}

pub(super) fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(head)
}

/// Adds what the nonce gives to everything behind it, or takes it away again. No secrecy is meant (`SplitMix64`).
fn whiten(bytes: &mut [u8]) {
    let Some((head, rest)) = bytes.split_first_chunk_mut::<HEAD>() else { return };
    let nonce = u64::from(head[0] & 0b111) << 8 | u64::from(head[1]);
    for (index, chunk) in (1..).zip(rest.chunks_mut(8)) {
        let mut mixed = (nonce + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(index));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let stream = (mixed ^ mixed >> 31).to_be_bytes();
        chunk.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
}

/// The text without HTML tags and entities, quoted-printable and percent escapes.
fn without_escapes(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&', '=', '%']) {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        let bytes = escape.as_bytes();
        let until = |end: char| {
            let near = escape.char_indices().take(LONGEST).find(|(_, c)| *c == end);
            near.map(|(at, c)| at + c.len_utf8())
        };
        let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        let is_upper = |byte: Option<&u8>| is_hex(byte) && !byte.is_some_and(u8::is_ascii_lowercase);
        let length = match bytes[0] {
            b'<' => until('>'),
            b'&' => until(';'),
            b'=' => (is_upper(bytes.get(1)) && is_upper(bytes.get(2))).then_some(3),
            _ => (is_hex(bytes.get(1)) && is_hex(bytes.get(2))).then_some(3),
        };
        rest = &escape[length.unwrap_or(1)..];
        if length.is_none()
            || bytes[0] == b'<' && escape[1..].to_ascii_lowercase().starts_with(['/', 'p', 'd'])
        {
            clean.push(' ');
        }
    }
    clean.push_str(rest);
    clean
}
