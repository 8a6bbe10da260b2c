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
//! The same moves a call off a relay (TURN) once it can do without: while a relay of either side is in use, the check
//! is repeated now and then over the ways with fewer relays ([`better`]). What webrtc wraps for our own relay is
//! unwrapped for such a way, and what comes in there is wrapped as if the relay had sent it ([`envelope`]). Each side
//! moves what it sends by itself, so that for a while the two directions may differ.
//!
//! Pure: time comes in as an argument. `sockets` calls it for each datagram, on webrtc's driver task.

mod better;
mod envelope;

use super::demux::is_dtls_or_media;
use better::Better;
pub(super) use envelope::{Bound, Envelope};
use rtc::crypto::RTCCryptoProvider;
use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_BINDING, Message, is_stun_message};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
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
/// Checks that webrtc is about to answer.
const MAX_UNANSWERED: usize = 16;
/// Channels of our relays: webrtc binds one for each address of the other side that it sends to.
const MAX_CHANNELS: usize = 128;

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
    /// It belongs to the pair: hand it over at this socket, as if it came from this address, in such an envelope.
    OfThePair { label: SocketId, remote: SocketAddr, envelope: Option<Envelope> },
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
    /// Where webrtc sends to: the other side, or our relay.
    remote: SocketAddr,
    relay: Option<Relay>,
    way: Way,
    heard: Instant,
    /// The way's socket has lost its address: no point in waiting for it.
    lost: bool,
    /// Another way that answers, and since when.
    other: Option<(Way, Instant)>,
    better: Better,
    /// webrtc's newest check on the pair.
    check: Option<Vec<u8>>,
    asked: VecDeque<[u8; 12]>,
    /// Checks that came in where webrtc believes the pair, though it has moved: answered there, as ICE wants it.
    unanswered: VecDeque<[u8; 12]>,
}

/// The pair goes through our relay.
#[derive(Clone, Copy, Debug)]
struct Relay {
    /// The other side.
    peer: SocketAddr,
    /// How webrtc wraps what it sends there now.
    envelope: Envelope,
}

/// An address at which the other side may be.
#[derive(Clone, Copy, Debug)]
struct Remote {
    address: SocketAddr,
    /// At a relay of its.
    relayed: bool,
}

/// A channel of one of our relays.
#[derive(Clone, Copy, Debug)]
struct Channel {
    relay: Way,
    number: u16,
    peer: SocketAddr,
}

#[derive(Default)]
pub(super) struct Roam {
    keys: Option<(Keys, Arc<dyn RTCCryptoProvider>)>,
    relays: Arc<[SocketAddr]>,
    channels: VecDeque<Channel>,
    remotes: Vec<Remote>,
    pair: Option<Pair>,
    /// Where the next round begins.
    next: usize,
}

/// A check, and the ways it should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub check: Vec<u8>,
    pub ways: Vec<Way>,
    /// Our relay takes it like this.
    sealed: Option<(Way, Vec<u8>)>,
}

impl Round {
    /// As it leaves on this way.
    pub fn on(&self, way: Way) -> &[u8] {
        self.sealed.as_ref().filter(|(relay, _)| *relay == way).map_or(&self.check, |(_, sealed)| sealed)
    }
}

impl Roam {
    pub fn set_keys(&mut self, keys: Keys, crypto: Arc<dyn RTCCryptoProvider>) {
        self.keys = Some((keys, crypto));
    }

    /// Our relays, if the call may go on without them.
    pub fn set_relays(&mut self, relays: Arc<[SocketAddr]>) {
        self.relays = relays;
    }

    pub fn is_relay(&self, to: SocketAddr) -> bool {
        self.relays.contains(&to)
    }

    /// One more address at which the other side may be, or at which a relay takes datagrams for it.
    pub fn add_remote(&mut self, address: SocketAddr, relayed: bool) {
        let has_room = self.remotes.len() < MAX_REMOTES;
        match self.remotes.iter_mut().find(|remote| remote.address == address) {
            Some(remote) if relayed && !remote.relayed => remote.relayed = true,
            None if has_room => self.remotes.push(Remote { address, relayed }),
            Some(_) | None => return,
        }
        if let Some(pair) = &mut self.pair {
            pair.better.has_more();
        }
    }

    /// Where the other side itself may be.
    pub fn direct_remotes(&self) -> Vec<SocketAddr> {
        self.remotes.iter().filter(|remote| !remote.relayed).map(|remote| remote.address).collect()
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
        self.pair.as_ref().is_some_and(|pair| pair.way != pair.believed())
    }

    /// Whether webrtc means the pair in use when it sends to this address.
    pub fn is_pair(&self, to: SocketAddr) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.remote == to)
    }

    /// Whether our relay is in use. The stream to it may outlive the address of the socket that has it in name.
    pub fn uses_our_relay(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.relay.is_some() && pair.way == pair.believed())
    }

    /// Whether another way should be looked for, for there is none.
    pub fn is_searching(&self, now: Instant) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.is_searching(now))
    }

    /// Whether checks are due on other ways.
    pub fn is_asking(&self, now: Instant) -> bool {
        let wants = |pair: &Pair| self.relays_on(pair, pair.way) > 0 && pair.better.is_due(now);
        self.is_searching(now) || self.pair.as_ref().is_some_and(wants)
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

    /// A datagram that webrtc sends from this socket; if it takes another way, that and what of it goes there.
    pub fn outgoing(
        &mut self,
        now: Instant,
        label: SocketId,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Option<(Way, Range<usize>)> {
        let here = Way { socket: label, remote: to };
        self.note_channel(here, bytes);
        let (relay, payload) = match self.carried(here, bytes) {
            Some((relay, payload)) => (Some(relay), payload),
            None => (None, 0..bytes.len()),
        };
        let (peer, inner) = (relay.map(|relay| relay.peer), bytes.get(payload.clone())?);
        if is_dtls_or_media(inner) && !self.pair.as_ref().is_some_and(|pair| pair.is_believed(here, peer)) {
            self.add_remote(peer.unwrap_or(to), false);
            self.pair = Some(Pair::new(now, here, relay));
        }
        // From another socket of ours to the same address is the pair as well, but each has a relay of its own.
        let is_it = |pair: &&mut Pair| {
            pair.remote == to && pair.peer() == peer && (peer.is_none() || pair.label == label)
        };
        let pair = self.pair.as_mut().filter(is_it)?;
        pair.relay = relay;
        if pair.label == label && is_request(inner) {
            pair.check = Some(inner.to_vec());
            keep(&mut pair.asked, transaction(inner), MAX_ASKED);
        }
        if is_answer(inner) && take(&mut pair.unanswered, &transaction(inner)) {
            return None;
        }
        (pair.way != pair.believed_at(label)).then_some((pair.way, payload))
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
        let carried = self.carried(here, bytes);
        let Some(pair) = &mut self.pair else { return unchanged };
        let believed = here == pair.believed();
        let inner = match carried {
            _ if !self.relays.contains(&from) => bytes,
            Some((relay, payload)) if believed && pair.peer() == Some(relay.peer) => &bytes[payload],
            // The relay's own words, or what it has of somebody else.
            _ => return unchanged,
        };
        let of_the_pair = if believed && known { Arrival::AsItCame } else { pair.as_believed() };
        if here == pair.way {
            (pair.heard, pair.lost, pair.other) = (now, false, None);
            return of_the_pair;
        }
        if !is_stun_message(inner) {
            return unchanged;
        }
        let Some((keys, crypto)) = &self.keys else { return unchanged };
        let Some(sign) = keys.read(inner, &**crypto) else { return unchanged };
        let unused = match sign {
            Sign::Check => unchanged,
            // An answer to a check that was repeated; webrtc would not know what to do with it.
            Sign::Answer if pair.asked.contains(&transaction(inner)) && !believed => Arrival::Drop,
            Sign::Answer if pair.asked.contains(&transaction(inner)) => unchanged,
            Sign::Answer => return unchanged,
        };
        if believed && sign == Sign::Check {
            keep(&mut pair.unanswered, transaction(inner), MAX_UNANSWERED);
        }
        let is_worse = self.is_worse(here);
        let Some(pair) = &mut self.pair else { return unchanged };
        if !pair.is_searching(now) {
            match (is_worse, sign) {
                (Some(false), Sign::Check) => {
                    pair.better.hasten(now);
                    self.add_remote(from, false);
                }
                (Some(false), Sign::Answer) if pair.better.answered(now, here) => {
                    pair.move_to(now, here);
                    pair.better.moved(now);
                }
                _ => {}
            }
            return unused;
        }
        let since = match pair.other {
            Some((other, since)) if other == here => since,
            _ => now,
        };
        if pair.lost || now.saturating_duration_since(since) >= HOLD {
            pair.move_to(now, here);
            match is_worse {
                Some(true) => pair.better.fell(now),
                Some(false) | None => pair.better.moved(now),
            }
            if !believed {
                self.add_remote(from, false);
            }
            return of_the_pair;
        }
        pair.other = Some((here, since));
        unused
    }

    /// The newest check, and the ways it should be repeated on; nothing unless one is looked for.
    /// `sockets`: those that can send, and whether they are IPv6.
    pub fn round(&mut self, now: Instant, sockets: &[(SocketId, bool)]) -> Option<Round> {
        let pair = self.pair.as_ref().filter(|_| self.is_asking(now))?;
        let check = pair.check.clone()?;
        let (in_use, believed) = (pair.way, pair.believed());
        let present = self.relays_on(pair, in_use);
        let searching = pair.is_searching(now);
        let sealed = pair.relay.and_then(|relay| relay.envelope.seal(Bound::ToRelay, &check));
        let sealed = sealed.map(|sealed| (believed, sealed));
        if let Some(way) = pair.better.on_trial(now).filter(|_| !searching) {
            return Some(Round { check, ways: vec![way], sealed });
        }
        let all: Vec<Way> = self
            .remotes
            .iter()
            .filter(|remote| searching || usize::from(remote.relayed) < present)
            .flat_map(|remote| {
                sockets.iter().map(|(socket, v6)| (Way { socket: *socket, remote: remote.address }, *v6))
            })
            .filter(|(way, v6)| way.remote.is_ipv6() == *v6 && *way != in_use)
            .map(|(way, _)| way)
            .collect();
        let start = if all.is_empty() { 0 } else { self.next % all.len() };
        self.next = start + MAX_ROUND;
        let rest = all.iter().cycle().skip(start).take(all.len().min(MAX_ROUND)).copied();
        if !searching {
            let ways = rest.collect();
            self.pair.as_mut()?.better.went_out(now);
            return Some(Round { check, ways, sealed });
        }
        // The one in use first: it is the likeliest to come back, and should win.
        let first = [in_use, believed].into_iter().take(if in_use == believed { 1 } else { 2 });
        Some(Round { check, ways: first.chain(rest.filter(|way| *way != believed)).collect(), sealed })
    }

    /// Whether a way has more relays than the one in use; `None` if as many.
    fn is_worse(&self, way: Way) -> Option<bool> {
        let pair = self.pair.as_ref()?;
        let (there, present) = (self.relays_on(pair, way), self.relays_on(pair, pair.way));
        (there != present).then_some(there > present)
    }

    /// How many relays a way goes through, as far as is known.
    fn relays_on(&self, pair: &Pair, way: Way) -> usize {
        let ours = pair.peer().filter(|_| way == pair.believed());
        let far = ours.unwrap_or(way.remote);
        let is_theirs = self.remotes.iter().any(|remote| remote.address == far && remote.relayed);
        usize::from(ours.is_some()) + usize::from(is_theirs)
    }

    /// What a message to or from one of our relays carries.
    fn carried(&self, relay: Way, bytes: &[u8]) -> Option<(Relay, Range<usize>)> {
        if !self.is_relay(relay.remote) {
            return None;
        }
        let (envelope, payload) = envelope::open(bytes)?;
        let peer = match envelope {
            Envelope::Indication(peer) => peer,
            Envelope::Channel(number) => {
                let is_it = |channel: &&Channel| channel.relay == relay && channel.number == number;
                self.channels.iter().find(is_it)?.peer
            }
        };
        Some((Relay { peer, envelope }, payload))
    }

    fn note_channel(&mut self, relay: Way, bytes: &[u8]) {
        if !self.is_relay(relay.remote) {
            return;
        }
        if let Some((number, peer)) = envelope::channel(bytes) {
            self.channels.retain(|channel| (channel.relay, channel.number) != (relay, number));
            keep(&mut self.channels, Channel { relay, number, peer }, MAX_CHANNELS);
        }
    }
}

impl Pair {
    fn new(now: Instant, believed: Way, relay: Option<Relay>) -> Self {
        Self {
            label: believed.socket,
            remote: believed.remote,
            relay,
            way: believed,
            heard: now,
            lost: false,
            other: None,
            better: Better::new(now),
            check: None,
            asked: VecDeque::new(),
            unanswered: VecDeque::new(),
        }
    }

    /// The way that webrtc believes in.
    fn believed(&self) -> Way {
        self.believed_at(self.label)
    }

    fn believed_at(&self, socket: SocketId) -> Way {
        Way { socket, remote: self.remote }
    }

    /// The other side, if the pair goes through our relay.
    fn peer(&self) -> Option<SocketAddr> {
        self.relay.map(|relay| relay.peer)
    }

    fn is_believed(&self, way: Way, peer: Option<SocketAddr>) -> bool {
        self.believed() == way && self.peer() == peer
    }

    fn as_believed(&self) -> Arrival {
        let envelope = self.relay.map(|relay| relay.envelope);
        Arrival::OfThePair { label: self.label, remote: self.remote, envelope }
    }

    fn is_searching(&self, now: Instant) -> bool {
        self.lost || now.saturating_duration_since(self.heard) >= SILENT
    }

    fn move_to(&mut self, now: Instant, way: Way) {
        (self.way, self.heard, self.lost, self.other) = (way, now, false, None);
    }
}

/// Adds to a list that forgets its oldest.
fn keep<T>(list: &mut VecDeque<T>, new: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(new);
}

fn take(list: &mut VecDeque<[u8; 12]>, wanted: &[u8; 12]) -> bool {
    let place = list.iter().position(|transaction| transaction == wanted);
    place.is_some_and(|place| list.remove(place).is_some())
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

fn is_request(bytes: &[u8]) -> bool {
    is_stun_message(bytes) && bytes[..2] == [0, 1]
}

fn is_answer(bytes: &[u8]) -> bool {
    is_stun_message(bytes) && bytes[0] == 1
}

/// Of a STUN message.
fn transaction(bytes: &[u8]) -> [u8; 12] {
    std::array::from_fn(|index| bytes.get(8 + index).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests;
