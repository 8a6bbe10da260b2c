//! The relay of a room (SFU, RFC 7667, 3.7): what one member sends goes on to the others as it is, never decoded. A
//! core: no clock, thread, lock or socket; `now` is an argument.
//!
//! ```text
//!  sender's packets -> Layer (order, rate, newest keyframe) -> each receiver's Tile -> Rewriter -> Forward
//!                      Speakers (who is heard)              -> each receiver's sound -^
//!  receivers' estimates, tile sizes, speaker -> choice: divide the budget, settle -> which layer
//! ```
//!
//! How to drive it, from one task of the host:
//! * [`Relay::add_member`] for everybody who sends or receives, [`Relay::set_encodings`] for what a member can send,
//!   [`Relay::set_view`] whenever a receiver draws somebody in another size, or not at all,
//!   [`Relay::set_budget`] whenever its link's estimate changes: what of it is for forwarded streams.
//! * [`Relay::handle_packet`] for each packet; what it emits goes out on the receiver's link, in the stream that stands
//!   for the sender there. [`Relay::handle_report`] for sender reports, [`Relay::handle_keyframe_request`] for what
//!   receivers ask.
//! * [`Relay::handle_timeout`] at [`Relay::deadline`]; then [`Relay::poll_request`] until it is empty.
//!
//! Requests for lost packets never come here: each link answers them from its [`History`], next to its pacer.
//! Payloads are shared ([`bytes::Bytes`]): a packet costs a receiver no more than its header.
//!
//! Read before this: Signal's calling service (`call.rs`: a pure core, one sender's state for each receiver), str0m's
//! `examples/chat.rs` (keyframe requests go the way back), Jitsi's bridge (layers by tile size and bandwidth).
#![deny(clippy::disallowed_methods)]

mod choice;
mod history;
mod layer;
mod member;
mod meter;
mod numbers;
mod rewrite;
mod speakers;
#[cfg(test)]
mod tests;
mod tile;

pub use history::History;
pub use speakers::HEARD;
pub use tile::View;

use crate::frame::RtpPacket;
use crate::ports::PeerId;
use crate::units::{Bitrate, MediaKind, Resolution};
use choice::{Claim, Offer, Version, divide, useful};
use member::{Member, Seat, Told, without_copies};
use speakers::Speakers;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More do not get in: each costs every other one a seat.
pub const MAX_MEMBERS: usize = 32;
/// Layers of one sender: its picture, and two smaller ones.
pub const MAX_LAYERS: usize = 3;
/// Requests that wait to be polled; more are not made yet, and come later if they still hold.
const MAX_REQUESTS: usize = 256;
/// The bandwidth is divided anew this often.
const TICK: Duration = Duration::from_millis(100);
/// Before a link has said what it carries.
const FIRST_BUDGET: Bitrate = Bitrate::from_kbps(300);
/// Changes of what a sender is told that are smaller are none.
const NEWS: f64 = 0.1;
/// A budget that falls by more is divided at once.
const SLUMP: f64 = 0.95;
/// A layer made for the best receiver's share leaves it room to be chosen.
const FILL: f64 = 0.8;

/// One layer that a sender offers: the first is its picture as it is, those after it are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// What it will need, as long as it was not measured.
    pub rate: Bitrate,
    /// If the stream itself does not say.
    pub size: Option<Resolution>,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { rate: Bitrate::from_kbps(500), size: None }
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// With its level if that was negotiated: 0 (loud) to 127 (RFC 6464).
    Audio { level: Option<u8> },
    /// Of this layer, 0 being the main one.
    Video { layer: u8 },
}

/// Something to send to a receiver in the stream that stands for a sender.
#[derive(Clone, Debug)]
pub struct Forward {
    pub receiver: PeerId,
    pub sender: PeerId,
    pub kind: MediaKind,
    pub item: Item,
}

#[derive(Clone, Debug)]
pub enum Item {
    /// With numbers and times of the receiver's stream. SSRC and payload type are still the sender's.
    Packet(RtpPacket),
    /// For a sender report: the sender's wall clock (NTP, 32.32) and the stream's time of the same moment.
    Report { ntp: u64, rtp: u32 },
}

/// How a layer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Nobody draws it larger.
    pub size: Resolution,
    /// Nobody's link carries more of it.
    pub rate: Bitrate,
}

/// What senders are to be told, and what the room may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A keyframe of this layer is needed.
    Keyframe { sender: PeerId, layer: u8 },
    /// How a layer is wanted from now on; `None`: nobody wants it.
    Layer { sender: PeerId, layer: u8, wanted: Option<Wanted> },
    /// Who speaks now.
    Speaker(PeerId),
}

#[derive(Default)]
pub struct Relay {
    members: Vec<Member>,
    speakers: Speakers,
    speaker: Option<PeerId>,
    requests: VecDeque<Request>,
    next: Option<Instant>,
}

impl Relay {
    /// `false`: the room is full.
    pub fn add_member(&mut self, now: Instant, id: PeerId) -> bool {
        if self.members.iter().any(|member| member.id == id) {
            return true;
        }
        if self.members.len() >= MAX_MEMBERS {
            return false;
        }
        let mut new = Member::new(id, FIRST_BUDGET);
        for member in &mut self.members {
            member.seats.push(Seat::new(id, 1));
            new.seats.push(Seat::new(member.id, 1));
        }
        self.members.push(new);
        self.next.get_or_insert(now);
        true
    }

    pub fn remove_member(&mut self, id: PeerId) {
        self.members.retain(|member| member.id != id);
        self.members.iter_mut().for_each(|member| member.seats.retain(|seat| seat.receiver != id));
        self.speakers.remove(id);
        self.speaker = self.speaker.filter(|speaker| *speaker != id);
        if self.members.is_empty() {
            self.next = None;
        }
    }

    /// What a sender can send; nothing while its camera is off.
    pub fn set_encodings(&mut self, id: PeerId, encodings: &[Encoding]) {
        let Some(member) = self.member(id) else { return };
        member.encodings = encodings.iter().copied().take(MAX_LAYERS).collect();
        member.told = [Told::default(); MAX_LAYERS];
    }

    /// How `receiver` draws the picture of `sender`. Hidden at first.
    pub fn set_view(&mut self, now: Instant, receiver: PeerId, sender: PeerId, view: View) {
        let Some(seat) = self.member(sender).and_then(|member| member.seat(receiver)) else { return };
        let area = |view: View| if let View::Drawn(size) = view { size.area() } else { 0 };
        if area(view) > area(seat.tile.view) {
            seat.tile.steady.hurry();
        }
        seat.tile.view = view;
        self.next = self.next.map(|_| now);
    }

    /// What the link to `receiver` carries of forwarded streams, sound included.
    pub fn set_budget(&mut self, now: Instant, receiver: PeerId, budget: Bitrate) {
        let Some(member) = self.member(receiver) else { return };
        let slump = budget < member.budget.scaled(SLUMP);
        member.budget = budget;
        if slump {
            self.next = self.next.map(|_| now);
        }
    }

    /// A packet that a sender sent. `emit`: what goes on of it.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        sender: PeerId,
        source: Source,
        packet: &RtpPacket,
        emit: &mut dyn FnMut(Forward),
    ) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == sender) else { return };
        match source {
            Source::Video { layer } => member.handle_video(now, layer, packet, emit),
            Source::Audio { level } => {
                let bytes = match level {
                    None => without_copies(packet.clone()).payload.len(),
                    Some(_) => 0,
                };
                self.speakers.handle(now, sender, level, bytes);
                member.handle_audio(now, packet, self.speakers.is_heard(sender), emit);
            }
        }
    }

    /// A sender's report on one of its streams: NTP time (32.32) and RTP time of the same moment.
    pub fn handle_report(
        &mut self,
        sender: PeerId,
        source: Source,
        report: (u64, u32),
        emit: &mut dyn FnMut(Forward),
    ) {
        let (kind, layer) = match source {
            Source::Audio { .. } => (MediaKind::Audio, 0),
            Source::Video { layer } => (MediaKind::Video, layer),
        };
        if let Some(member) = self.member(sender) {
            member.handle_report(kind, layer, report, emit);
        }
    }

    /// `receiver` cannot decode what it gets of `sender`.
    pub fn handle_keyframe_request(&mut self, now: Instant, receiver: PeerId, sender: PeerId) {
        let Some(member) = self.member(sender) else { return };
        let Some(layer) = member.seat(receiver).and_then(|seat| seat.tile.layer()) else { return };
        if member.layers[usize::from(layer)].should_ask(now) {
            self.request(Request::Keyframe { sender, layer });
        }
    }

    /// Divides the bandwidth, changes layers, and finds out who speaks.
    pub fn handle_timeout(&mut self, now: Instant, emit: &mut dyn FnMut(Forward)) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + TICK);
        self.speakers.handle_timeout(now);
        let speaker = self.speakers.speaker();
        if let Some(speaker) = speaker.filter(|_| speaker != self.speaker) {
            self.speaker = Some(speaker);
            self.request(Request::Speaker(speaker));
            for seat in self.member(speaker).into_iter().flat_map(|member| &mut member.seats) {
                seat.tile.steady.hurry();
            }
        }
        let offers: Vec<Vec<Offer>> = self.members.iter_mut().map(|member| member.offers(now)).collect();
        let mut wanted = vec![[None; MAX_LAYERS]; self.members.len()];
        for receiver in 0..self.members.len() {
            self.divide(now, receiver, &offers, &mut wanted);
        }
        for (place, wanted) in wanted.into_iter().enumerate() {
            self.members[place].switch(now, emit);
            self.tell(now, place, wanted);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// How often the layer changed in the picture of `sender` for `receiver`, and which one it gets.
    pub fn seen(&mut self, receiver: PeerId, sender: PeerId) -> (u64, Option<u8>) {
        let seat = self.member(sender).and_then(|member| member.seat(receiver));
        seat.map_or((0, None), |seat| (seat.tile.switches, seat.tile.layer()))
    }

    fn member(&mut self, id: PeerId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    fn request(&mut self, request: Request) {
        if self.requests.len() < MAX_REQUESTS {
            self.requests.push_back(request);
        }
    }

    /// What one receiver gets of everybody.
    fn divide(
        &mut self,
        now: Instant,
        receiver: usize,
        offers: &[Vec<Offer>],
        wanted: &mut [[Option<Wanted>; MAX_LAYERS]],
    ) {
        let (id, budget) = (self.members[receiver].id, self.members[receiver].budget);
        let mut order: Vec<(usize, Resolution)> = Vec::with_capacity(self.members.len());
        for (place, member) in self.members.iter_mut().enumerate() {
            let Some(seat) = member.seat(id) else { continue };
            match seat.tile.view {
                View::Drawn(size) => order.push((place, size)),
                View::Hidden => seat.tile.wanted = None,
            }
        }
        let speaker = self.speaker;
        order.sort_by_key(|(place, size)| {
            let id = self.members[*place].id;
            (speaker != Some(id), std::cmp::Reverse(size.area()), id)
        });
        let claims: Vec<Claim<'_>> = order
            .iter()
            .map(|(place, size)| {
                let current = self.members[*place].seats.iter().find(|seat| seat.receiver == id);
                let current = current.and_then(|seat| seat.tile.wanted);
                Claim { offers: &offers[*place][..useful(&offers[*place], *size)], current }
            })
            .collect();
        let shares = divide(budget, &claims);
        let spent: u64 = shares
            .iter()
            .zip(&claims)
            .filter_map(|(share, claim)| Some(claim.offers[share.place?].rate.bps()))
            .sum();
        for (((place, size), claim), share) in order.iter().zip(&claims).zip(&shares) {
            let right = share.place.map(|place| claim.offers[place]);
            let known = |version: Version| offers[*place].iter().find(|offer| offer.version == version);
            let Some(seat) = self.members[*place].seat(id) else { continue };
            let tile = &mut seat.tile;
            let current = tile.wanted.and_then(known).map(|offer| (offer.version, offer.rate));
            let right = right.map(|offer| (offer.version, offer.rate));
            tile.wanted = tile.steady.settle(now, current, right, share.squeezed);
            // A layer is told what the best-placed receiver has for it, though that may have to do with less of it now.
            let layers = claim.offers.iter().map(|offer| offer.version.layer);
            let best = layers.min().filter(|_| share.squeezed);
            let chosen = tile.wanted.map(|version| version.layer);
            let left = budget.bps().saturating_sub(spent);
            let paid = right.map_or(0, |(_, rate)| rate.bps());
            for layer in [chosen, best].into_iter().flatten() {
                let wanted = wanted[*place][usize::from(layer)]
                    .get_or_insert(Wanted { size: Resolution::default(), rate: Bitrate::default() });
                wanted.size.width = wanted.size.width.max(size.width);
                wanted.size.height = wanted.size.height.max(size.height);
                wanted.rate = wanted.rate.max(Bitrate::from_bps(left + paid).scaled(FILL));
            }
        }
    }

    /// Tells a sender what is wanted of it, and asks for the keyframes that are waited for.
    fn tell(&mut self, now: Instant, place: usize, wanted: [Option<Wanted>; MAX_LAYERS]) {
        if self.requests.len() + MAX_LAYERS > MAX_REQUESTS {
            return;
        }
        let member = &mut self.members[place];
        let sender = member.id;
        let mut requests = Vec::new();
        for (layer, wanted) in wanted.into_iter().enumerate().take(member.encodings.len()) {
            let told = &mut member.told[layer];
            if told.since.is_none() && wanted.is_none() || !is_news(told.wanted, wanted) {
                continue;
            }
            if told.wanted.is_none() != wanted.is_none() {
                told.since = wanted.map(|_| now);
                told.came &= wanted.is_none();
            }
            told.wanted = wanted;
            requests.push(Request::Layer { sender, layer: layer as u8, wanted });
        }
        for layer in member.seats.iter().filter_map(|seat| seat.tile.waits_for()) {
            if member.layers[usize::from(layer)].should_ask(now) {
                requests.push(Request::Keyframe { sender, layer });
            }
        }
        requests.into_iter().for_each(|request| self.request(request));
    }
}

fn is_news(before: Option<Wanted>, now: Option<Wanted>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return before != now };
    let differ = |a: u64, b: u64| a.abs_diff(b) as f64 > a.max(b) as f64 * NEWS;
    differ(before.rate.bps(), now.rate.bps()) || differ(before.size.area(), now.size.area())
}
