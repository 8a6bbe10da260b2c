//! The little of STUN (RFC 8489) that decides whether a datagram is a connectivity check of somebody who has our
//! invite, and the answer to those who come in vain. Nothing here allocates before a check has proved its origin.

use ring::hmac;
use std::net::{IpAddr, SocketAddr};

pub const TRANSACTION: usize = 12;
const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
const SHA1: usize = 20;
/// A check has six.
const MAX_ATTRIBUTES: usize = 16;
/// What the checksum of FINGERPRINT is mixed with, section 14.7.
const FINGERPRINT_MIX: u32 = 0x5354_554e;

/// The key of a short-term credential, section 9.1.1.
pub fn key(password: &str) -> hmac::Key {
    key_of(password.as_bytes())
}

pub fn key_of(password: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password)
}

/// Why somebody with a valid invite is not let in. The codes follow SIP's (RFC 3261, section 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Somebody else has come in.
    Busy,
    /// The invite was taken back.
    Withdrawn,
}

impl Turned {
    const fn code(self) -> (u8, u8) {
        match self {
            Self::Busy => (4, 86),
            Self::Withdrawn => (6, 3),
        }
    }
}

/// Whether this is STUN at all.
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && bytes[0] < 4 && bytes[4..8] == COOKIE
}

/// Whether it asks for an answer: request, not indication, success or error.
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[0] & 0x01 == 0 && bytes[1] & 0x10 == 0
}

/// Of a STUN message.
pub fn transaction(bytes: &[u8]) -> [u8; TRANSACTION] {
    std::array::from_fn(|at| bytes.get(8 + at).copied().unwrap_or_default())
}

/// "Where do you see me?", for a STUN server.
pub fn question(transaction: [u8; TRANSACTION]) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[..2].copy_from_slice(&BINDING_REQUEST);
    message[4..8].copy_from_slice(&COOKIE);
    message[8..].copy_from_slice(&transaction);
    message
}

/// Its answer (XOR-MAPPED-ADDRESS, section 14.2).
pub fn seen_at(bytes: &[u8]) -> Option<SocketAddr> {
    if !is_stun(bytes) || bytes[..2] != BINDING_SUCCESS {
        return None;
    }
    let (_, _, value) = attributes(bytes)?.find(|(kind, ..)| *kind == XOR_MAPPED_ADDRESS)?;
    let (head, ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2] ^ COOKIE[0], head[3] ^ COOKIE[1]]);
    // The cookie and the transaction follow each other in the header.
    let mask = &bytes[4..HEADER];
    let ip = match (head[1], ip.len()) {
        (1, 4) => IpAddr::from(std::array::from_fn::<u8, 4, _>(|at| ip[at] ^ mask[at])),
        (2, 16) => IpAddr::from(std::array::from_fn::<u8, 16, _>(|at| ip[at] ^ mask[at])),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A connectivity check (RFC 8445, section 7.2.2), not yet proved.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    bytes: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins.
    integrity: usize,
    /// The user name of whoever gets it, and of whoever sent it.
    pub to: &'a str,
    pub from: &'a str,
}

impl<'a> Check<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if !is_stun(bytes) || bytes[..2] != BINDING_REQUEST {
            return None;
        }
        let mut user = None;
        for (kind, at, value) in attributes(bytes)? {
            match kind {
                USERNAME => user = Some(value),
                MESSAGE_INTEGRITY if value.len() == SHA1 => {
                    let (to, from) = std::str::from_utf8(user?).ok()?.split_once(':')?;
                    return Some(Self { bytes, integrity: at, to, from });
                }
                _ => {}
            }
        }
        None
    }

    pub fn is_signed_with(&self, key: &hmac::Key) -> bool {
        is_signed_at(self.bytes, self.integrity, key)
    }

    /// What whoever sent it is told.
    pub fn refuse(&self, key: &hmac::Key, turned: Turned) -> Vec<u8> {
        let (class, number) = turned.code();
        let mut answer = Vec::with_capacity(HEADER + 8 + 24 + 8);
        answer.extend_from_slice(&BINDING_ERROR);
        answer.extend_from_slice(&[0, 0]);
        answer.extend_from_slice(&self.bytes[4..HEADER]);
        push(&mut answer, ERROR_CODE, &[0, 0, class, number]);
        let mac = mac(&answer, answer.len(), key);
        push(&mut answer, MESSAGE_INTEGRITY, mac.as_ref());
        // The checksum is over a length that counts itself.
        let length = (answer.len() - HEADER + 8) as u16;
        answer[2..4].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32fast::hash(&answer) ^ FINGERPRINT_MIX;
        push(&mut answer, FINGERPRINT, &checksum.to_be_bytes());
        answer
    }
}

/// An answer to one of our checks that says we are not let in; `key` is made of the other side's password.
pub fn refusal(bytes: &[u8], key: &hmac::Key) -> Option<Turned> {
    if !is_stun(bytes) || bytes[..2] != BINDING_ERROR {
        return None;
    }
    let mut turned = None;
    for (kind, at, value) in attributes(bytes)? {
        match (kind, value) {
            (ERROR_CODE, [_, _, class, number, ..]) => {
                let all = [Turned::Busy, Turned::Withdrawn];
                turned = all.into_iter().find(|turned| turned.code() == (*class & 7, *number));
            }
            (MESSAGE_INTEGRITY, value) if value.len() == SHA1 => {
                return turned.filter(|_| is_signed_at(bytes, at, key));
            }
            _ => {}
        }
    }
    None
}

/// Kind, place and value of each attribute; `None` if the length does not fit.
fn attributes(bytes: &[u8]) -> Option<impl Iterator<Item = (u16, usize, &[u8])>> {
    if usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + HEADER != bytes.len() {
        return None;
    }
    let mut at = HEADER;
    let next = move || {
        let head = bytes.get(at..at + 4)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = bytes.get(at + 4..at + 4 + length)?;
        let start = at;
        at += 4 + length.next_multiple_of(4);
        Some((u16::from_be_bytes([head[0], head[1]]), start, value))
    };
    Some(std::iter::from_fn(next).take(MAX_ATTRIBUTES))
}

/// Section 14.5: over everything before it, with a length in the header that ends with it.
fn mac(bytes: &[u8], integrity: usize, key: &hmac::Key) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    feed(&mut context, bytes, integrity);
    context.sign()
}

fn feed(context: &mut hmac::Context, bytes: &[u8], integrity: usize) {
    let length = (integrity + 4 + SHA1 - HEADER) as u16;
    context.update(&bytes[..2]);
    context.update(&length.to_be_bytes());
    context.update(&bytes[4..integrity]);
}

fn is_signed_at(bytes: &[u8], integrity: usize, key: &hmac::Key) -> bool {
    let told = &bytes[integrity + 4..integrity + 4 + SHA1];
    let right = mac(bytes, integrity, key);
    // Without a hint in how long it takes.
    let differs = right.as_ref().iter().zip(told).fold(0, |differs, (a, b)| differs | (a ^ b));
    differs == 0
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    let length = (message.len() - HEADER) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A check as a guest sends it.
    pub fn check(to: &str, from: &str, password: &str) -> Vec<u8> {
        let mut bytes = [&BINDING_REQUEST[..], &[0, 0], &COOKIE, b"transaction!"].concat();
        let mut user = format!("{to}:{from}").into_bytes();
        let length = user.len();
        user.resize(length.next_multiple_of(4), 0);
        push(&mut bytes, USERNAME, &user);
        // The length leaves the padding out.
        bytes[HEADER + 2..HEADER + 4].copy_from_slice(&(length as u16).to_be_bytes());
        push(&mut bytes, 0x802a, &7_u64.to_be_bytes());
        let mac = mac(&bytes, bytes.len(), &key(password));
        push(&mut bytes, MESSAGE_INTEGRITY, mac.as_ref());
        let length = (bytes.len() - HEADER + 8) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32fast::hash(&bytes) ^ FINGERPRINT_MIX;
        push(&mut bytes, FINGERPRINT, &checksum.to_be_bytes());
        bytes
    }

    /// RFC 5769, section 2.1: password `VOkJxbRl1RmTxUk/WvJxBt`.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_sample_of_the_standard_is_read_and_proved() {
        let check = Check::read(SAMPLE).unwrap();
        assert_eq!((check.to, check.from), ("evtj", "h6vY"));
        assert!(check.is_signed_with(&key("VOkJxbRl1RmTxUk/WvJxBt")));
        assert!(!check.is_signed_with(&key("VOkJxbRl1RmTxUk/WvJxBu")));
    }

    /// RFC 5769, section 2.2, without what comes behind the address.
    #[test]
    fn where_a_server_sees_us_is_read() {
        let answer = b"\x01\x01\x00\x0c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
        assert_eq!(seen_at(answer), Some("192.0.2.1:32853".parse().unwrap()));
        let v6 = b"\x01\x01\x00\x18\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        assert_eq!(seen_at(v6), Some("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()));
        for end in 0..answer.len() {
            assert_eq!(seen_at(&answer[..end]), None);
        }
        assert_eq!(seen_at(&question(*b"transaction!")), None);
    }

    #[test]
    fn whoever_is_turned_away_knows_by_whom_and_why() {
        let request = check("host", "guest", "password");
        let check = Check::read(&request).unwrap();
        for turned in [Turned::Busy, Turned::Withdrawn] {
            let answer = check.refuse(&key("password"), turned);
            assert!(answer.len() < request.len(), "no more goes out than came in");
            assert_eq!(transaction(&answer), transaction(&request));
            assert_eq!(refusal(&answer, &key("password")), Some(turned));
            assert_eq!(refusal(&answer, &key("another")), None);
            for at in 0..answer.len() - 8 {
                let mut altered = answer.clone();
                altered[at] ^= 0x20;
                assert_eq!(refusal(&altered, &key("password")), None, "byte {at}");
            }
        }
    }

    #[test]
    fn what_is_no_check_is_none() {
        let whole = check("host", "guest", "password");
        for end in 0..whole.len() {
            assert!(Check::read(&whole[..end]).is_none(), "{end} bytes");
        }
        let nameless = check("hostguest", "", "password");
        assert!(Check::read(&nameless).is_some_and(|check| check.from.is_empty()));
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        for (at, byte) in [(0, 1), (1, 0x11), (3, 0), (4, 0), (21, 7), (24, 0xff), (22, 0xff)] {
            assert!(Check::read(&with(at, byte)).is_none(), "byte {at}");
        }
    }
}
