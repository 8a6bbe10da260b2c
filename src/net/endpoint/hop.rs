//! Ways through another member of the room, for two who find none between them: one has only IPv4 and the other only
//! IPv6, say, or both sit behind strict NATs. Whoever stands between them passes datagrams on from one of its lines to
//! another, as a TURN server would (RFC 8656); they are encrypted and signed between the two ends.
//!
//! ```text
//!   Ann   line to Cy sends to 240.0.0.1, which stands for Cy by way of Bo
//!          > TO Cy, datagram >     where Bo is heard
//!   Bo    from Ann's line
//!          > FROM Ann, datagram >  where Cy is heard
//!   Cy    from Bo's line: sorted as if 240.0.0.7, which stands for Ann by way of Bo, had sent it
//! ```
//!
//! What is passed on comes and goes at the port that all connections share: a connection that has moved to a socket of
//! its own (a new network's) passes nothing on.
//!
//! Such an address is a candidate like any other, the least preferred of all, and means something to one program only.
//! To ICE and everything above, it is a path.

use super::{DoorId, Line, LineHandle, PortId, Shared, State};
use crate::invite::stun;
use crate::room::roster::MemberId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Instant;
use webrtc::runtime::Transmit;

/// The first byte of a datagram that is to be passed on, and of one that was. Nothing else of a connection begins like
/// this (RFC 9443).
const TO: u8 = 0xf2;
const FROM: u8 = 0xf3;
/// That, and the member.
const HEAD: usize = 9;
/// Ways of one port: each other member by way of each. One more takes the place of one that nobody uses.
const MAX_HOPS: usize = 144;
/// The discard port: should such a datagram ever leave, nobody takes it.
const PORT: u16 = 9;
/// Bytes a second that are passed on for one member, and at once: a call with sound and picture to some others.
const RATE: f64 = 1_000_000.0;
const BURST: f64 = 250_000.0;

#[derive(Default)]
pub(super) struct Hops(Vec<Hop>);

struct Hop {
    address: SocketAddr,
    /// The line of whoever passes on.
    by: DoorId,
    to: MemberId,
}

impl Hops {
    fn at(&self, address: SocketAddr) -> Option<&Hop> {
        self.0.iter().find(|hop| hop.address == address)
    }

    fn to(&self, by: DoorId, to: MemberId) -> Option<&Hop> {
        self.0.iter().find(|hop| (hop.by, hop.to) == (by, to))
    }

    pub fn end(&mut self, by: DoorId) {
        self.0.retain(|hop| hop.by != by);
    }

    /// `like`: of which family the address has to be.
    fn add(&mut self, by: DoorId, to: MemberId, number: u64, like: IpAddr) -> Option<SocketAddr> {
        if let Some(known) = self.to(by, to) {
            return Some(known.address);
        }
        let address = SocketAddr::new(address(number, like), PORT);
        (self.0.len() < MAX_HOPS).then(|| self.0.push(Hop { address, by, to }))?;
        Some(address)
    }
}

/// Of class E (RFC 1112), or of the prefix that leads nowhere (RFC 6666).
fn address(number: u64, like: IpAddr) -> IpAddr {
    let low = number.to_be_bytes();
    match like {
        IpAddr::V4(_) => Ipv4Addr::new(240 | low[4] & 0x0f, low[5], low[6], low[7]).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(0x0100 << 112 | u128::from(number)).into(),
    }
}

/// Whether an address stands for somebody by way of somebody else.
pub(in crate::net) fn is_hop(address: SocketAddr) -> bool {
    let is_ours = match address.ip() {
        IpAddr::V4(ip) => ip.octets()[0] >= 240 && !ip.is_broadcast(),
        IpAddr::V6(ip) => ip.segments()[..4] == [0x0100, 0, 0, 0],
    };
    is_ours && address.port() == PORT
}

/// What a member may have passed on: a bucket that fills with time.
pub(super) struct Allowance {
    left: f64,
    at: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: BURST, at: Instant::now() }
    }
}

impl Allowance {
    fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left, self.at) = ((self.left + passed * RATE).min(BURST), now);
        let has_room = self.left >= bytes as f64;
        if has_room {
            self.left -= bytes as f64;
        }
        has_room
    }
}

fn framed(kind: u8, member: MemberId, datagram: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + datagram.len());
    frame.push(kind);
    frame.extend(member.0);
    frame.extend(datagram);
    frame
}

pub(super) fn is_framed(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| matches!(*first, TO | FROM))
}

impl State {
    /// Takes what is to be passed on, or was; gives whether it was of use to anybody.
    pub(super) fn hop(&mut self, now: Instant, port: PortId, from: SocketAddr, frame: &[u8]) -> bool {
        let Some((head, datagram)) = frame.split_at_checked(HEAD) else { return false };
        let (Some(&line), Ok(member)) = (self.remotes.get(&(port, from)), head[1..].try_into().map(MemberId))
        else {
            return false;
        };
        if is_framed(datagram) || datagram.is_empty() {
            return false;
        }
        match head[0] {
            TO => self.pass_on(now, line, member, datagram),
            _ => self.passed_on(now, port, line, member, datagram),
        }
    }

    fn pass_on(&mut self, now: Instant, of: DoorId, to: MemberId, datagram: &[u8]) -> bool {
        let Some((sender, line)) = self.lines.get_mut(&of).and_then(|line| Some((line.member?, line))) else {
            return false;
        };
        if !line.allowance.take(now, datagram.len()) {
            return true;
        }
        let is_receiver = |(id, line): &(&DoorId, &Line)| {
            **id != of && line.member == Some(to) && line.heard.is_some_and(|(_, at)| !is_hop(at))
        };
        // Of two connections with one member the newer one counts.
        let receiver = self.lines.iter().filter(is_receiver).max_by_key(|(id, _)| id.0);
        let Some((port, at)) = receiver.and_then(|(_, line)| line.heard) else { return false };
        self.send(port, at, &framed(FROM, sender, datagram));
        true
    }

    fn passed_on(&mut self, now: Instant, port: PortId, by: DoorId, of: MemberId, datagram: &[u8]) -> bool {
        let Some(from) = self.hops.to(by, of).map(|hop| hop.address) else { return false };
        let Some(line) = self.owner(now, port, from, datagram) else { return false };
        // Whoever is between is not beyond.
        if line == by {
            return false;
        }
        self.deliver(now, line, port, from, datagram.len(), datagram);
        true
    }

    fn make_room_for_a_hop(&mut self) {
        if self.hops.0.len() < MAX_HOPS {
            return;
        }
        let is_used = |hop: &Hop| self.remotes.keys().any(|(_, remote)| *remote == hop.address);
        if let Some(unused) = self.hops.0.iter().position(|hop| !is_used(hop)) {
            self.hops.0.remove(unused);
        }
    }

    /// Sends a datagram to such an address; gives whether it is one.
    pub(super) fn by_hop(&self, port: PortId, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some(Hop { by, to, .. }) = self.hops.at(to) else { return is_hop(to) };
        // Answers come in where the other one is heard: from elsewhere none would come back.
        // And two ways that each go over the other lead nowhere.
        if let Some((out, at)) = self.lines.get(by).and_then(|line| line.heard)
            && out == port
            && !is_hop(at)
        {
            self.send(out, at, &framed(TO, *to, datagram));
        }
        true
    }
}

impl Line {
    /// Where the other end sends from: it has chosen that path. Checks come from anywhere.
    pub(super) fn note_heard(&mut self, port: PortId, from: SocketAddr, datagram: &[u8]) {
        if self.heard != Some((port, from)) && !stun::is_stun(datagram) {
            self.heard = Some((port, from));
        }
    }
}

impl Shared {
    pub(super) fn send_by_hop(&self, port: PortId, transmit: &Transmit<'_>) {
        let state = self.state();
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            state.by_hop(port, transmit.destination, datagram);
        }
    }
}

impl LineHandle {
    /// Whoever is at the other end is this member of the room: others may be reached through us by it, and it by them.
    pub fn set_member(&self, member: MemberId) {
        if let Some(line) = self.endpoint.0.state().lines.get_mut(&self.id) {
            line.member = Some(member);
        }
    }

    /// An address that stands for `to` by way of whoever is at the other end of `by`. `None`: there is no such way.
    pub fn hop(&self, by: &Self, to: MemberId) -> Option<SocketAddr> {
        // A line of another port cannot be passed from or to.
        if !std::sync::Arc::ptr_eq(&self.endpoint.0, &by.endpoint.0) || self.id == by.id {
            return None;
        }
        let mut state = self.endpoint.0.state();
        let (_, heard) = state.lines.get(&by.id)?.heard.filter(|(_, at)| !is_hop(*at))?;
        state.next += 1;
        let number = state.next;
        state.make_room_for_a_hop();
        let address = state.hops.add(by.id, to, number, heard.ip());
        self.endpoint.0.has_others.store(true, Ordering::Relaxed);
        address
    }
}

#[cfg(test)]
mod tests;
