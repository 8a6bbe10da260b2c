//! What webrtc puts round a datagram that goes to the other side through our relay, and expects round one that comes
//! back (TURN, RFC 8656, 11 and 12). Pure.

use crate::net::stun::{attributes, masked, u16_at, unmasked_address};
use std::net::SocketAddr;
use std::ops::Range;

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const CHANNEL_BIND: u16 = 0x0009;
const SEND: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;

/// How a datagram is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Envelope {
    /// ChannelData of this number.
    Channel(u16),
    /// A Send or a Data indication, with the address of the other side.
    Indication(SocketAddr),
}

/// Which way a wrapped datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Bound {
    ToRelay,
    FromRelay,
}

/// What a message to or from a relay carries, and where in it; `None` if it is a word of the relay's own.
pub(super) fn open(message: &[u8]) -> Option<(Envelope, Range<usize>)> {
    if matches!(message.first(), Some(0x40..=0x4f)) {
        let end = CHANNEL_HEADER + usize::from(u16_at(message, 2)?);
        return (message.len() >= end)
            .then_some((Envelope::Channel(u16_at(message, 0)?), CHANNEL_HEADER..end));
    }
    let (kind, id, body) = stun(message)?;
    if kind != SEND && kind != DATA_INDICATION {
        return None;
    }
    let value = |wanted| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let peer = unmasked_address(value(XOR_PEER_ADDRESS)?, id)?;
    let data = value(DATA)?;
    let start = data.as_ptr() as usize - message.as_ptr() as usize;
    Some((Envelope::Indication(peer), start..start + data.len()))
}

/// The channel that a request asks for, and to whom it leads.
pub(super) fn channel(message: &[u8]) -> Option<(u16, SocketAddr)> {
    let (CHANNEL_BIND, id, body) = stun(message)? else { return None };
    let value = |wanted| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    Some((u16_at(value(CHANNEL_NUMBER)?, 0)?, unmasked_address(value(XOR_PEER_ADDRESS)?, id)?))
}

impl Envelope {
    /// The datagram in it. `None` if that is longer than a message can say.
    pub fn seal(self, bound: Bound, datagram: &[u8]) -> Option<Vec<u8>> {
        let length = u16::try_from(datagram.len()).ok()?;
        let mut message = Vec::with_capacity(datagram.len() + 64);
        match self {
            Self::Channel(number) => {
                message.extend(number.to_be_bytes());
                message.extend(length.to_be_bytes());
                message.extend(datagram);
            }
            Self::Indication(peer) => {
                let kind = if bound == Bound::ToRelay { SEND } else { DATA_INDICATION };
                // Nobody answers an indication, so its transaction tells nothing.
                let id = [0; 12];
                message.extend(kind.to_be_bytes());
                message.extend([0; 2]);
                message.extend(COOKIE);
                message.extend(id);
                for (kind, value) in [(XOR_PEER_ADDRESS, &masked(peer, id)[..]), (DATA, datagram)] {
                    message.extend(kind.to_be_bytes());
                    message.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
                    message.extend(value);
                    message.resize(message.len().next_multiple_of(4), 0);
                }
                let body = u16::try_from(message.len() - STUN_HEADER).ok()?;
                message[2..4].copy_from_slice(&body.to_be_bytes());
            }
        }
        Some(message)
    }
}

/// Type, transaction and attributes of a STUN message.
fn stun(message: &[u8]) -> Option<(u16, [u8; 12], &[u8])> {
    let (header, body) = message.split_at_checked(STUN_HEADER)?;
    let whole = header[4..8] == COOKIE && body.len() >= usize::from(u16_at(header, 2)?);
    whole.then_some(())?;
    Some((u16_at(header, 0)?, header[8..].try_into().ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened() {
        let peers = ["203.0.113.7:4000", "[2001:db8::7]:4000"].map(|peer| peer.parse().unwrap());
        let envelopes = peers.map(Envelope::Indication).into_iter().chain([Envelope::Channel(0x4001)]);
        for envelope in envelopes {
            for (bound, length) in
                [(Bound::ToRelay, 0), (Bound::FromRelay, 1), (Bound::ToRelay, 1203), (Bound::ToRelay, 64)]
            {
                let datagram: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let sealed = envelope.seal(bound, &datagram).unwrap();
                let (found, range) = open(&sealed).unwrap();
                assert_eq!((found, &sealed[range]), (envelope, &datagram[..]));
                for end in 0..sealed.len() {
                    if let Some((_, range)) = open(&sealed[..end]) {
                        assert!(range.end <= end);
                    }
                    assert_eq!(channel(&sealed[..end]), None);
                }
            }
            assert_eq!(envelope.seal(Bound::ToRelay, &[0; 70_000]), None);
        }
    }

    #[test]
    fn a_relays_own_words_carry_nothing() {
        let mut bind = vec![0, 9, 0, 20, 0x21, 0x12, 0xa4, 0x42];
        bind.extend([7; 12]);
        bind.extend([0, 0x0c, 0, 4, 0x40, 1, 0, 0]);
        bind.extend([0, 0x12, 0, 8]);
        bind.extend(masked("203.0.113.7:4000".parse().unwrap(), [7; 12]));
        assert_eq!(channel(&bind), Some((0x4001, "203.0.113.7:4000".parse().unwrap())));
        assert_eq!(open(&bind), None);
        for words in [&b""[..], &[0x40], &[0x40, 0, 0, 9, 1], &[0; 20], &[0x80; 40], &[22; 40]] {
            assert_eq!((open(words), channel(words)), (None, None));
        }
    }
}
