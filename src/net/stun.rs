//! As much of STUN (RFC 8489) as it takes to ask a server "what address do you see?", also from elsewhere (RFC 5780).
//! [`nat`](super::nat) asks. Pure: no socket, no clock.
#![deny(clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC_COOKIE: u32 = 0x2112_A442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const OTHER_ADDRESS: u16 = 0x802C;
const HEADER: usize = 20;

/// Tells the answer to one request from that to another.
pub type TransactionId = [u8; 12];

/// The request, as it goes out in a datagram.
pub fn binding_request(id: TransactionId) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    message[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    message[8..].copy_from_slice(&id);
    message
}

/// From where the server is to answer (RFC 5780, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    OtherPort,
    OtherAddressAndPort,
}

/// The request for an answer from elsewhere.
pub fn binding_request_from(id: TransactionId, from: From) -> Vec<u8> {
    let mut message = binding_request(id).to_vec();
    let flags: u32 = match from {
        From::OtherPort => 2,
        From::OtherAddressAndPort => 6,
    };
    message.extend(CHANGE_REQUEST.to_be_bytes());
    message.extend(4_u16.to_be_bytes());
    message.extend(flags.to_be_bytes());
    message[3] = (message.len() - HEADER) as u8;
    message
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address it sees.
    pub mapped: SocketAddr,
    /// Its other address and port, if it has one (RFC 5780, 7.4).
    pub other: Option<SocketAddr>,
}

/// The answer to `id`; `None` if the datagram is anything else.
pub fn read_answer(datagram: &[u8], id: TransactionId) -> Option<Answer> {
    let (header, body) = datagram.split_at_checked(HEADER)?;
    let length = usize::from(u16_at(header, 2)?);
    let is_answer = u16_at(header, 0)? == BINDING_SUCCESS
        && header[4..8] == MAGIC_COOKIE.to_be_bytes()
        && header[8..] == id;
    if !is_answer || length != body.len() {
        return None;
    }
    let (mut masked, mut plain, mut other) = (None, None, None);
    for (kind, value) in attributes(body) {
        match kind {
            XOR_MAPPED_ADDRESS => masked = masked.or(unmasked_address(value, id)),
            // From servers older than RFC 5389; routers may have rewritten it.
            MAPPED_ADDRESS => plain = plain.or(address(value)),
            OTHER_ADDRESS => other = other.or(address(value)),
            _ => {}
        }
    }
    Some(Answer { mapped: masked.or(plain)?, other })
}

/// Kind and value of each attribute, as far as they are whole.
pub fn attributes(body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (attribute, behind) = rest.split_at_checked(4)?;
        let length = usize::from(u16_at(attribute, 2)?);
        let value = behind.get(..length)?;
        rest = behind.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16_at(attribute, 0)?, value))
    })
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn address(value: &[u8]) -> Option<SocketAddr> {
    let port = u16_at(value, 2)?;
    let ip = match (value.get(1)?, value.get(4..)?) {
        (1, ip) => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        (2, ip) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// An address that an attribute holds in its masked form.
pub fn unmasked_address(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    address(value).map(|address| unmasked(address, id))
}

/// An address as an attribute holds it in its masked form.
pub fn masked(address: SocketAddr, id: TransactionId) -> Vec<u8> {
    let masked = unmasked(address, id);
    let mut value = vec![0, if masked.is_ipv4() { 1 } else { 2 }];
    value.extend(masked.port().to_be_bytes());
    match masked.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    value
}

/// Undoes, and does, the exclusive-or with cookie and id, which keeps routers from rewriting the address.
fn unmasked(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) ^ MAGIC_COOKIE).into()),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id);
            IpAddr::V6((u128::from(ip) ^ u128::from_be_bytes(mask)).into())
        }
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// RFC 5769, sections 2.2 and 2.3: the responses of the test vectors, without what follows the address.
    const ID: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn response(family: u8, masked: &[u8]) -> Vec<u8> {
        let mut message = binding_request(ID).to_vec();
        message[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        message.extend([0x80, 0x22, 0, 5, b't', b'e', b's', b't', b' ', 0, 0, 0]);
        message.extend([0, 0x20, 0, 4 + masked.len() as u8, 0, family, 0xa1, 0x47]);
        message.extend(masked);
        message[3] = (message.len() - HEADER) as u8;
        message
    }

    fn seen(datagram: &[u8]) -> Option<SocketAddr> {
        read_answer(datagram, ID).map(|answer| answer.mapped)
    }

    /// What a server answers to `request` that came from `source` (IPv4).
    pub fn answer(request: &[u8], source: SocketAddr) -> Vec<u8> {
        let IpAddr::V4(ip) = source.ip() else { panic!("IPv4 only") };
        let mut message = request[..HEADER].to_vec();
        message[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        message[3] = 12;
        message.extend([0, 1, 0, 8, 0, 1]);
        message.extend(source.port().to_be_bytes());
        message.extend(ip.octets());
        message
    }

    #[test]
    fn the_test_vectors_of_rfc_5769_are_read() {
        let v4 = response(1, &[0xe1, 0x12, 0xa6, 0x43]);
        assert_eq!(seen(&v4), Some("192.0.2.1:32853".parse().unwrap()));
        let masked =
            [0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9];
        let v6 = response(2, &masked);
        assert_eq!(seen(&v6), Some("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let whole = response(1, &[0xe1, 0x12, 0xa6, 0x43]);
        for end in 0..whole.len() {
            assert_eq!(seen(&whole[..end]), None, "{end}");
        }
        assert_eq!(read_answer(&whole, [0; 12]), None, "the answer to another request");
        assert_eq!(seen(&binding_request(ID)), None, "a request");
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _ = read_answer(&damaged, ID);
            }
        }
    }

    #[test]
    fn an_old_servers_answer_is_read() {
        let source = "198.51.100.7:4242".parse().unwrap();
        assert_eq!(seen(&answer(&binding_request(ID), source)), Some(source));
    }

    #[test]
    fn the_other_address_of_a_server_is_read() {
        let mut whole = answer(&binding_request(ID), "198.51.100.7:4242".parse().unwrap());
        whole.extend([0x80, 0x2c, 0, 8, 0, 1, 0x0d, 0x97, 203, 0, 113, 9]);
        whole[3] += 12;
        let other = read_answer(&whole, ID).and_then(|answer| answer.other);
        assert_eq!(other, Some("203.0.113.9:3479".parse().unwrap()));
    }

    #[test]
    fn a_request_says_from_where_the_answer_is_wanted() {
        for (from, flags) in [(From::OtherPort, 2), (From::OtherAddressAndPort, 6)] {
            let request = binding_request_from(ID, from);
            let found: Vec<_> = attributes(&request[HEADER..]).collect();
            assert_eq!(found, [(CHANGE_REQUEST, &[0, 0, 0, flags][..])]);
            assert_eq!(usize::from(request[3]), request.len() - HEADER);
        }
    }
}
