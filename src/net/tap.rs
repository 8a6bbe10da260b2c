//! Counts what passes between webrtc and the network while a call comes up: the [`Traffic`] that tells, if it does
//! not, which step failed. The runtime's sockets call it for each datagram, on webrtc's driver task; it only looks at
//! a few bytes, and at nothing any more once media flows.

use super::stun::{attributes, u16_at};
use crate::room::diagnosis::Traffic;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
/// What a relay carries for us (RFC 8656, 11): the datagram is an attribute of it.
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
const DATA: u16 = 0x0013;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    Check,
    /// An answer to a check.
    Answer,
    Handshake,
    Media,
}

#[derive(Debug, Default)]
pub(super) struct Tap {
    checks: [AtomicU32; 2],
    answers_in: AtomicU32,
    handshake: [AtomicU32; 2],
    media: AtomicBool,
}

const IN: usize = 0;
const OUT: usize = 1;

impl Tap {
    pub fn incoming(&self, datagram: &[u8]) {
        self.count(IN, datagram);
    }

    pub fn outgoing(&self, datagram: &[u8]) {
        self.count(OUT, datagram);
    }

    pub fn traffic(&self) -> Traffic {
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        Traffic {
            checks_out: count(&self.checks[OUT]),
            checks_in: count(&self.checks[IN]),
            answers_in: count(&self.answers_in),
            handshake_in: count(&self.handshake[IN]),
            handshake_out: count(&self.handshake[OUT]),
        }
    }

    fn count(&self, direction: usize, datagram: &[u8]) {
        if self.media.load(Ordering::Relaxed) {
            return;
        }
        let counter = match passing(datagram) {
            Some(Passing::Check) => &self.checks[direction],
            Some(Passing::Answer) if direction == IN => &self.answers_in,
            Some(Passing::Handshake) => &self.handshake[direction],
            Some(Passing::Media) => return self.media.store(true, Ordering::Relaxed),
            Some(Passing::Answer) | None => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn passing(datagram: &[u8]) -> Option<Passing> {
    match *datagram.first()? {
        // ChannelData of a relay (RFC 8656, 12.4).
        0x40..=0x4F => carried(datagram.get(4..)?),
        0..=3 => match u16_at(datagram, 0)? {
            SEND_INDICATION | DATA_INDICATION => {
                carried(attributes(datagram.get(HEADER..)?).find(|(kind, _)| *kind == DATA)?.1)
            }
            _ => carried(datagram),
        },
        _ => carried(datagram),
    }
}

/// A datagram as the other side made it; first bytes as in RFC 7983.
fn carried(datagram: &[u8]) -> Option<Passing> {
    // A server is asked without a name, and its answer to that is not signed.
    let has =
        |wanted: u16| attributes(datagram.get(HEADER..).unwrap_or_default()).any(|(kind, _)| kind == wanted);
    match *datagram.first()? {
        0..=3 => match u16_at(datagram, 0)? {
            BINDING_REQUEST if has(USERNAME) => Some(Passing::Check),
            BINDING_SUCCESS if has(MESSAGE_INTEGRITY) => Some(Passing::Answer),
            _ => None,
        },
        20..=63 => Some(Passing::Handshake),
        128..=191 => Some(Passing::Media),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = [&kind.to_be_bytes()[..], &[0; 18]].concat();
        for (kind, value) in attributes {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn channel_data(inner: &[u8]) -> Vec<u8> {
        [&[0x40, 0, 0, inner.len() as u8], inner].concat()
    }

    #[test]
    fn each_datagram_is_known_also_inside_a_relays() {
        let check = message(BINDING_REQUEST, &[(USERNAME, b"a:b"), (MESSAGE_INTEGRITY, &[0; 20])]);
        let answer = message(BINDING_SUCCESS, &[(0x20, &[0; 8]), (MESSAGE_INTEGRITY, &[0; 20])]);
        let (dtls, rtp) = (vec![22, 254, 253], vec![0x80, 96, 0, 1]);
        for (bytes, expected) in [
            (check, Some(Passing::Check)),
            (answer, Some(Passing::Answer)),
            (dtls, Some(Passing::Handshake)),
            (rtp, Some(Passing::Media)),
            // Asked of a server, and its answer.
            (message(BINDING_REQUEST, &[]), None),
            (message(BINDING_SUCCESS, &[(0x20, &[0; 8])]), None),
            // An allocation.
            (message(0x0003, &[(USERNAME, b"lab")]), None),
            (vec![], None),
            (vec![0], None),
            (vec![0x40], None),
        ] {
            assert_eq!(passing(&bytes), expected, "{bytes:?}");
            assert_eq!(passing(&channel_data(&bytes)), expected, "{bytes:?}");
            for indication in [SEND_INDICATION, DATA_INDICATION] {
                assert_eq!(passing(&message(indication, &[(DATA, &bytes)])), expected, "{bytes:?}");
            }
        }
        assert_eq!(passing(&channel_data(&channel_data(&[0x80, 96]))), None, "one wrapping is enough");
    }

    #[test]
    fn what_is_counted_ends_with_the_first_media() {
        let tap = Tap::default();
        let check = message(BINDING_REQUEST, &[(USERNAME, b"a:b")]);
        tap.outgoing(&check);
        tap.outgoing(&check);
        tap.incoming(&check);
        tap.incoming(&[22, 254, 253]);
        let before = tap.traffic();
        assert_eq!(before, Traffic { checks_out: 2, checks_in: 1, handshake_in: 1, ..Traffic::default() });
        tap.incoming(&[0x80, 96]);
        tap.incoming(&check);
        assert_eq!(tap.traffic(), before);
    }
}
