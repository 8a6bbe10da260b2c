//! Somebody in the room, as the relay sees them: the layers they send, the others' seats in front of them, and what
//! their own link carries.

use super::choice::Offer;
use super::choice::Version;
use super::layer::Layer;
use super::numbers::Numbers;
use super::rewrite::{Place, Rewriter};
use super::tile::{Tile, VIDEO_CLOCK};
use super::{Encoding, Forward, Item, MAX_LAYERS, Wanted};
use crate::frame::RtpPacket;
use crate::ports::PeerId;
use crate::rtp::red;
use crate::units::{Bitrate, MediaKind, Resolution};
use std::time::{Duration, Instant};

const AUDIO_CLOCK: u32 = 48_000;
/// What is thought of a picture before its parameters came.
const USUAL_SIZE: Resolution = Resolution::new(640, 360);
/// Pictures that can be left out are worth leaving out if they are at least this share of a layer.
const WORTHWHILE: f64 = 0.1;
/// A layer that was asked for and does not come is not counted on after this, and asked for again after that.
const WAKING: Duration = Duration::from_secs(3);
const FORGIVEN: Duration = Duration::from_secs(30);
/// Clocks of two layers that differ by less are one: reports are rounded.
const SAME_CLOCK: i64 = VIDEO_CLOCK as i64 / 100;

pub(super) struct Member {
    pub id: PeerId,
    pub layers: Vec<Layer>,
    pub encodings: Vec<Encoding>,
    pub told: [Told; MAX_LAYERS],
    pub seats: Vec<Seat>,
    /// For all streams that are forwarded to this member.
    pub budget: Bitrate,
    sound: Numbers,
}

/// What the sender was told of a layer.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub wanted: Option<Wanted>,
    pub since: Option<Instant>,
    /// Something of it has come since it was asked for; and where it failed, nothing else came then either.
    pub came: bool,
    /// It does not come.
    pub failed: Option<Instant>,
}

/// Where one receiver sits before one sender.
pub(super) struct Seat {
    pub receiver: PeerId,
    pub tile: Tile,
    sound: Rewriter,
    hears: bool,
    /// So many packets of sound go without copies: those would repeat what was not sent.
    plain: usize,
}

impl Seat {
    pub fn new(receiver: PeerId, first: u16) -> Self {
        let sound = Rewriter::new(AUDIO_CLOCK, first);
        Self { receiver, tile: Tile::new(first), sound, hears: false, plain: 0 }
    }
}

impl Member {
    pub fn new(id: PeerId, budget: Bitrate) -> Self {
        Self {
            id,
            layers: std::iter::repeat_with(Layer::default).take(MAX_LAYERS).collect(),
            encodings: vec![Encoding::default()],
            told: [Told::default(); MAX_LAYERS],
            seats: Vec::new(),
            budget,
            sound: Numbers::default(),
        }
    }

    pub fn seat(&mut self, receiver: PeerId) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.receiver == receiver)
    }

    pub fn handle_video(
        &mut self,
        now: Instant,
        layer: u8,
        packet: &RtpPacket,
        emit: &mut dyn FnMut(Forward),
    ) {
        let Some(arrival) =
            self.layers.get_mut(usize::from(layer)).and_then(|layer| layer.handle(now, packet))
        else {
            return;
        };
        let (sender, layers) = (self.id, &self.layers);
        for seat in &mut self.seats {
            let receiver = seat.receiver;
            let mut emit = |packet| {
                emit(Forward { receiver, sender, kind: MediaKind::Video, item: Item::Packet(packet) });
            };
            seat.tile.handle(now, layer, &arrival, &mut emit);
            seat.tile.switch(now, layers, |layer| shift(layers, layer), &mut emit);
        }
    }

    /// What could not be done when the last packet came.
    pub fn switch(&mut self, now: Instant, emit: &mut dyn FnMut(Forward)) {
        self.layers.iter_mut().for_each(|layer| layer.tidy(now));
        let (sender, layers) = (self.id, &self.layers);
        for seat in &mut self.seats {
            let receiver = seat.receiver;
            let mut emit = |packet| {
                emit(Forward { receiver, sender, kind: MediaKind::Video, item: Item::Packet(packet) });
            };
            seat.tile.switch(now, layers, |layer| shift(layers, layer), &mut emit);
        }
    }

    pub fn handle_audio(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        heard: bool,
        emit: &mut dyn FnMut(Forward),
    ) {
        let Some(index) = self.sound.handle(packet.ssrc, packet.sequence) else { return };
        let sender = self.id;
        for seat in &mut self.seats {
            if seat.hears && !heard {
                seat.sound.stop();
            }
            let mut begins = heard && !seat.hears;
            seat.hears = heard;
            let timestamp = packet.timestamp;
            let mut place = Place::Broken;
            for _ in 0..2 {
                if begins {
                    seat.sound.start(now, 0, index, timestamp, Some(0));
                    seat.plain = red::MAX_DEPTH;
                }
                place = seat.sound.place(now, 0, index, timestamp, || false);
                // Sound needs no keyframe to go on from.
                begins = place == Place::Broken;
                if !begins {
                    break;
                }
            }
            let Place::Forward { sequence, timestamp, in_order } = place else { continue };
            let mut packet = RtpPacket { sequence, timestamp, ..packet.clone() };
            if seat.plain > 0 && in_order {
                // The marker says that sound begins after a silence (RFC 3551).
                packet.marker |= seat.plain == red::MAX_DEPTH;
                seat.plain -= 1;
                packet = without_copies(packet);
            }
            let item = Item::Packet(packet);
            emit(Forward { receiver: seat.receiver, sender, kind: MediaKind::Audio, item });
        }
    }

    /// The sender's wall clock and the time of the same moment in the stream that each receiver gets.
    pub fn handle_report(
        &mut self,
        kind: MediaKind,
        layer: u8,
        (ntp, rtp): (u64, u32),
        emit: &mut dyn FnMut(Forward),
    ) {
        if kind == MediaKind::Video {
            let Some(known) = self.layers.get_mut(usize::from(layer)) else { return };
            known.set_report(ntp, rtp);
        }
        let sender = self.id;
        for seat in &self.seats {
            let shift = match kind {
                MediaKind::Audio => seat.sound.shift_of(0),
                MediaKind::Video => seat.tile.shift().filter(|_| seat.tile.layer() == Some(layer)),
            };
            let Some(shift) = shift else { continue };
            let item = Item::Report { ntp, rtp: rtp.wrapping_add(shift) };
            emit(Forward { receiver: seat.receiver, sender, kind, item });
        }
    }

    /// What can be had of this sender's picture, in order of its rate.
    pub fn offers(&mut self, now: Instant) -> Vec<Offer> {
        let any_awake = self.layers.iter().any(|layer| layer.is_awake(now));
        for (layer, told) in self.layers.iter().zip(&mut self.told) {
            let awake = layer.is_awake(now);
            told.came |= awake && told.since.is_some();
            // Where it was the way that failed, it is back as soon as anything comes.
            let is_back = awake || (told.came && any_awake);
            told.failed.take_if(|at| is_back || now >= *at + FORGIVEN);
            let is_overdue = !awake && told.since.is_some_and(|since| now > since + WAKING);
            if is_overdue && told.failed.is_none() {
                (told.failed, told.came) = (Some(now), told.came && !any_awake);
            }
        }
        // Where nothing comes at all it is the way that fails: whoever is told that nobody looks would not come back.
        let nothing_comes = self.told.iter().take(self.encodings.len()).all(|told| told.failed.is_some());
        let mut offers = Vec::with_capacity(2 * MAX_LAYERS);
        for (number, encoding) in self.encodings.iter().enumerate().take(MAX_LAYERS) {
            if self.told[number].failed.is_some() && !nothing_comes {
                continue;
            }
            let layer = &mut self.layers[number];
            let awake = layer.is_awake(now);
            let (all, base) = layer.rates(now);
            let number = number as u8;
            let size = layer.size().or(encoding.size).unwrap_or(USUAL_SIZE);
            let rate = if awake && all > Bitrate::default() { all } else { encoding.rate };
            offers.push(Offer { version: Version { layer: number, thin: false }, rate, size });
            if awake && base.bps() as f64 <= all.bps() as f64 * (1.0 - WORTHWHILE) {
                offers.push(Offer { version: Version { layer: number, thin: true }, rate: base, size });
            }
        }
        offers.sort_by_key(|offer| offer.rate);
        offers
    }
}

/// From the clock of a layer to that of the main one, which is the clock of what goes out.
fn shift(layers: &[Layer], layer: u8) -> Option<u32> {
    let reports = layers[0].report().zip(layers.get(usize::from(layer))?.report());
    let Some(((main_ntp, main), (ntp, rtp))) = reports else { return Some(0) };
    let seconds = ntp.wrapping_sub(main_ntp) as i64 as f64 / (1u64 << 32) as f64;
    let then = main.wrapping_add((seconds * f64::from(VIDEO_CLOCK)).round() as i64 as u32);
    let shift = then.wrapping_sub(rtp);
    Some(if i64::from(shift as i32).abs() < SAME_CLOCK { 0 } else { shift })
}

/// The newest of the packets in it.
pub(super) fn without_copies(packet: RtpPacket) -> RtpPacket {
    if packet.payload_type != red::RED {
        return packet;
    }
    let newest = red::split(&packet).ok().and_then(|split| split.into_iter().next());
    newest.map(|newest| RtpPacket { marker: packet.marker, ..newest }).unwrap_or(packet)
}
