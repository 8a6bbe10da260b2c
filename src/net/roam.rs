//! Where the packets of a connection really go. webrtc chooses a pair of addresses once and never another; this is
//! how a call moves to another network under its feet, so that ICE, DTLS, SRTP and the control channel go on as if
//! nothing had happened.
//!
//! ```text
//!   webrtc:   label of our socket, address it knows  (the pair)
//!   network:  the socket that is used, the address that is reached  (the way)
//! ```
//!
//! As long as something comes in on the way nothing is touched. Once it is silent, or our address is gone, webrtc's
//! last connectivity check is repeated over every socket to every address the other side ever told. Whoever has an
//! authentic answer, or gets an authentic check from an address that is new, moves the way there. That is the idea of
//! Mobility with ICE (draft-wing-mmusic-ice-mobility) and of migration in QUIC (RFC 9000, 9.3), with ICE's own
//! checks as the proof: both carry a MESSAGE-INTEGRITY (RFC 8489, 14.5) that only the two ends of this call can make.
//!
//! Pure: time comes in as an argument. `sockets` calls it for each datagram, on webrtc's driver task.

use rtc::crypto::RTCCryptoProvider;
use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_BINDING, Message, is_stun_message};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both sides check every 500 ms and answer each other's checks: after this, four datagrams are missing.
pub(super) const SILENT: Duration = Duration::from_millis(1000);
/// Another way has to answer for this long while the one in use is silent: after an outage all come back at once.
const HOLD: Duration = Duration::from_millis(150);
/// Addresses of the other side that are tried.
const MAX_REMOTES: usize = 64;
/// Checks in one round; the next round goes on from there.
const MAX_ROUND: usize = 64;
/// Checks whose answers are waited for: 4 s of them, as long as webrtc waits.
const MAX_ASKED: usize = 16;

/// Names a socket of one connection for as long as that lives.
pub(super) type SocketId = usize;

/// The socket that is used and the address that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub socket: SocketId,
    pub remote: SocketAddr,
}

/// What to do with a datagram that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Hand it to webrtc as it came.
    AsItCame,
    /// It belongs to the pair: hand it over at this socket, as if it came from this address.
    OfThePair { label: SocketId, remote: SocketAddr },
    /// Of no use to webrtc.
    Drop,
}

/// The passwords of both ends, from the two descriptions.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub local_ufrag: String,
    pub local_pwd: String,
    pub remote_ufrag: String,
    pub remote_pwd: String,
}

/// What webrtc believes is used, and what is.
#[derive(Clone, Debug)]
struct Pair {
    label: SocketId,
    remote: SocketAddr,
    way: Way,
    heard: Instant,
    /// The way's socket has lost its address: no point in waiting for it.
    lost: bool,
    /// Another way that answers, and since when.
    other: Option<(Way, Instant)>,
    /// webrtc's newest check on the pair.
    check: Option<Vec<u8>>,
    asked: VecDeque<[u8; 12]>,
}

#[derive(Default)]
pub(super) struct Roam {
    keys: Option<(Keys, Arc<dyn RTCCryptoProvider>)>,
    remotes: Vec<SocketAddr>,
    pair: Option<Pair>,
    /// Where the next round begins.
    next: usize,
}

impl Roam {
    pub fn set_keys(&mut self, keys: Keys, crypto: Arc<dyn RTCCryptoProvider>) {
        self.keys = Some((keys, crypto));
    }

    /// One more address at which the other side may be.
    pub fn add_remote(&mut self, remote: SocketAddr) {
        if self.remotes.len() < MAX_REMOTES && !self.remotes.contains(&remote) {
            self.remotes.push(remote);
        }
    }

    /// How long nothing has come in on the way in use; `None` before there is one.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        self.pair.as_ref().map(|pair| now.saturating_duration_since(pair.heard))
    }

    pub fn way(&self) -> Option<Way> {
        self.pair.as_ref().map(|pair| pair.way)
    }

    /// Whether the way is another than the pair webrtc knows.
    pub fn has_moved(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.way != Way { socket: pair.label, remote: pair.remote })
    }

    /// Whether webrtc means the pair in use when it sends to this address.
    pub fn is_pair(&self, to: SocketAddr) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.remote == to)
    }

    /// Whether another way should be looked for.
    pub fn is_searching(&self, now: Instant) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.is_searching(now))
    }

    /// The address of the way's socket is gone.
    pub fn lose(&mut self) {
        if let Some(pair) = &mut self.pair {
            pair.lost = true;
        }
    }

    /// The computer has slept: what was heard is old, though no time has passed.
    pub fn doubt(&mut self, now: Instant) {
        if let Some(pair) = &mut self.pair
            && let Some(before) = now.checked_sub(SILENT)
        {
            pair.heard = pair.heard.min(before);
        }
    }

    /// A datagram that webrtc sends from this socket; gives the way it takes if that is another.
    pub fn outgoing(&mut self, now: Instant, label: SocketId, to: SocketAddr, bytes: &[u8]) -> Option<Way> {
        if is_media(bytes) && self.pair.as_ref().is_none_or(|pair| (pair.label, pair.remote) != (label, to)) {
            self.add_remote(to);
            self.pair = Some(Pair::new(now, label, to));
        }
        let pair = self.pair.as_mut().filter(|pair| pair.remote == to)?;
        if pair.label == label && is_request(bytes) {
            pair.check = Some(bytes.to_vec());
            if pair.asked.len() == MAX_ASKED {
                pair.asked.pop_front();
            }
            pair.asked.push_back(transaction(bytes));
        }
        (pair.way != Way { socket: pair.label, remote: to }).then_some(pair.way)
    }

    /// A datagram that came in at this socket, which webrtc may not know.
    pub fn incoming(
        &mut self,
        now: Instant,
        socket: SocketId,
        known: bool,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Arrival {
        let unchanged = if known { Arrival::AsItCame } else { Arrival::Drop };
        let here = Way { socket, remote: from };
        let Some(pair) = &mut self.pair else { return unchanged };
        let of_the_pair = Arrival::OfThePair { label: pair.label, remote: pair.remote };
        if here == pair.way {
            (pair.heard, pair.lost, pair.other) = (now, false, None);
            return if known && here == (Way { socket: pair.label, remote: pair.remote }) {
                Arrival::AsItCame
            } else {
                of_the_pair
            };
        }
        if !pair.is_searching(now) || !is_stun_message(bytes) {
            return unchanged;
        }
        let Some((keys, crypto)) = &self.keys else { return unchanged };
        let Some(sign) = keys.read(bytes, &**crypto) else { return unchanged };
        match sign {
            Sign::Check => {}
            // An answer to a check that was repeated; webrtc would not know what to do with it.
            Sign::Answer if pair.asked.contains(&transaction(bytes)) => {}
            Sign::Answer => return unchanged,
        }
        let since = match pair.other {
            Some((other, since)) if other == here => since,
            _ => now,
        };
        if pair.lost || now.saturating_duration_since(since) >= HOLD {
            (pair.way, pair.heard, pair.lost, pair.other) = (here, now, false, None);
            self.add_remote(from);
            return of_the_pair;
        }
        pair.other = Some((here, since));
        match sign {
            Sign::Check => unchanged,
            Sign::Answer => Arrival::Drop,
        }
    }

    /// The newest check, and the ways it should be repeated on; nothing unless a way is looked for.
    /// `sockets`: those that can send, and whether they are IPv6.
    pub fn round(&mut self, now: Instant, sockets: &[(SocketId, bool)]) -> Option<(Vec<u8>, Vec<Way>)> {
        let pair = self.pair.as_ref().filter(|pair| pair.is_searching(now))?;
        let check = pair.check.clone()?;
        let (in_use, label) = (pair.way, Way { socket: pair.label, remote: pair.remote });
        let all: Vec<Way> = self
            .remotes
            .iter()
            .flat_map(|remote| {
                sockets.iter().map(|(socket, v6)| (Way { socket: *socket, remote: *remote }, *v6))
            })
            .filter(|(way, v6)| way.remote.is_ipv6() == *v6 && *way != in_use)
            .map(|(way, _)| way)
            .collect();
        let start = if all.is_empty() { 0 } else { self.next % all.len() };
        self.next = start + MAX_ROUND;
        // The one in use first: it is the likeliest to come back, and should win.
        let first = [in_use, label].into_iter().take(if in_use == label { 1 } else { 2 });
        let rest = all.iter().cycle().skip(start).take(all.len().min(MAX_ROUND)).copied();
        Some((check, first.chain(rest.filter(|way| *way != label)).collect()))
    }
}

impl Pair {
    fn new(now: Instant, label: SocketId, remote: SocketAddr) -> Self {
        Self {
            label,
            remote,
            way: Way { socket: label, remote },
            heard: now,
            lost: false,
            other: None,
            check: None,
            asked: VecDeque::new(),
        }
    }

    fn is_searching(&self, now: Instant) -> bool {
        self.lost || now.saturating_duration_since(self.heard) >= SILENT
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Check,
    Answer,
}

impl Keys {
    /// What the other side of this call, and nobody else, has sent.
    fn read(&self, bytes: &[u8], crypto: &dyn RTCCryptoProvider) -> Option<Sign> {
        let mut message = Message { raw: bytes.to_vec(), ..Message::default() };
        message.decode().ok()?;
        if message.typ.method != METHOD_BINDING {
            return None;
        }
        let (sign, key) = match message.typ.class {
            CLASS_REQUEST => {
                let expected = format!("{}:{}", self.local_ufrag, self.remote_ufrag);
                let user = message.get(ATTR_USERNAME).ok()?;
                (user == expected.as_bytes()).then_some((Sign::Check, &self.local_pwd))?
            }
            CLASS_SUCCESS_RESPONSE => (Sign::Answer, &self.remote_pwd),
            _ => return None,
        };
        MessageIntegrity::check(&mut message, key.as_bytes(), crypto.crypto()).ok()?;
        Some(sign)
    }
}

/// DTLS or media (RFC 7983): webrtc sends these on the pair it has chosen, and only there.
fn is_media(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63 | 128..=191))
}

fn is_request(bytes: &[u8]) -> bool {
    is_stun_message(bytes) && bytes[..2] == [0, 1]
}

/// Of a STUN message.
fn transaction(bytes: &[u8]) -> [u8; 12] {
    std::array::from_fn(|index| bytes.get(8 + index).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests;
