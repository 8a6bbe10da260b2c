//! We are the hub of the room: what each member sends is passed on to the others ([`Sfu`]), and some get one picture and
//! one sound of everybody ([`MixPlan`]). Who that is the host rules (`topology`).
//!
//! When it is over, what is passed on is passed on for a little longer, until the others get it another way.

use super::Task;
use super::link::Link;
use crate::mix;
use crate::net::{Sfu, SfuEvent};
use crate::pipeline::{MixMember, MixPlan, layers};
use crate::ports::PeerId;
use crate::relay::{Encoding, HEARD, MAX_LAYERS, Request, View, Wanted};
use crate::room::message::Message;
use crate::room::roster::MemberId;
use crate::units::{Bitrate, Resolution};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Requests of the relay under way; what finds no room comes again.
const EVENTS: usize = 256;
/// How long we go on when we are the hub no more.
const LINGER: Duration = Duration::from_secs(3);
/// How large a picture is passed on to whoever has not said how it is drawn.
const DRAWN: Resolution = Resolution::new(1280, 720);
/// What one voice takes of a link.
const VOICE: Bitrate = Bitrate::from_kbps(48);
/// Our own picture gets no less of a link than this.
const LEAST_OWN: Bitrate = Bitrate::from_kbps(80);

pub(super) struct Hub {
    sfu: Sfu,
    events: mpsc::Receiver<SfuEvent>,
    guests: BTreeMap<PeerId, Guest>,
    plan: MixPlan,
    until: Option<Instant>,
}

/// Somebody whose streams go through us.
struct Guest {
    member: MemberId,
    attempt: u64,
    /// Whose streams go to them.
    forwarded: BTreeSet<PeerId>,
    /// Of what they know that our stream to them is a mix.
    mix: Vec<MemberId>,
    sends: Option<bool>,
    /// Nobody whose picture we pass on needs it larger.
    wanted: Option<Wanted>,
}

impl Hub {
    fn start() -> Self {
        let (told, events) = mpsc::channel(EVENTS);
        let (guests, plan) = (BTreeMap::new(), MixPlan::default());
        Self { sfu: Sfu::start(told), events, guests, plan, until: None }
    }
}

/// For the task's `select!`.
pub(super) async fn next_of(hub: &mut Option<Hub>) -> SfuEvent {
    match hub {
        Some(hub) => match hub.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl Task {
    /// Whenever a link or the ruling may have changed, and ten times a second.
    pub(super) async fn tend_hub(&mut self) {
        let now = Instant::now();
        let is_hub = self.room.roster.ruling().hub == Some(self.room.me);
        let guests = self.in_order();
        if is_hub && guests.len() >= 2 {
            let hub = self.hub.get_or_insert_with(|| {
                tracing::info!("what the others send goes through us");
                Hub::start()
            });
            hub.until = None;
        } else {
            let Some(hub) = &mut self.hub else { return };
            if now < *hub.until.get_or_insert(now + LINGER) && !guests.is_empty() {
                return;
            }
            return self.end_hub().await;
        }
        self.admit_guests(&guests).await;
        self.arrange_streams().await;
        self.arrange_mix();
    }

    async fn end_hub(&mut self) {
        let Some(hub) = self.hub.take() else { return };
        tracing::info!("nothing goes through us any more");
        self.media.mix_for(MixPlan::default());
        for (id, guest) in &hub.guests {
            let Some(link) = self.links.get_mut(id).filter(|link| link.attempt == guest.attempt) else {
                continue;
            };
            let Some(peer) = &link.peer else { continue };
            hub.sfu.leave(*id, &peer.connection).await;
            for sender in &guest.forwarded {
                peer.connection.remove_forwarded(*sender);
            }
            link.exchange.needed |= !guest.forwarded.is_empty();
            if !guest.mix.is_empty() {
                peer.say(&Message::Mix { members: Vec::new() });
            }
            self.tell_view(*id);
        }
    }

    /// Links that have come, gone, or have another connection.
    async fn admit_guests(&mut self, present: &BTreeMap<MemberId, PeerId>) {
        let Some(hub) = &mut self.hub else { return };
        let current = |id: &PeerId, attempt: u64| {
            let link = self.links.get(id).filter(|link| link.counts && link.attempt == attempt);
            link.and_then(|link| link.peer.as_ref())
        };
        let gone: Vec<_> =
            hub.guests.iter().filter(|(id, guest)| current(id, guest.attempt).is_none()).collect();
        let gone: Vec<_> = gone.into_iter().map(|(id, _)| *id).collect();
        for id in gone {
            hub.guests.remove(&id);
            hub.sfu.forget(id).await;
            for (other, guest) in &mut hub.guests {
                if guest.forwarded.remove(&id)
                    && let Some(peer) = current(other, guest.attempt)
                {
                    peer.connection.remove_forwarded(id);
                }
            }
        }
        for (member, id) in present {
            let Some(link) = self.links.get(id) else { continue };
            let Some(peer) = link.peer.as_ref().filter(|_| !hub.guests.contains_key(id)) else { continue };
            hub.sfu.join(*id, &peer.connection).await;
            let guest = Guest {
                member: *member,
                attempt: link.attempt,
                forwarded: BTreeSet::new(),
                mix: Vec::new(),
                sends: None,
                wanted: None,
            };
            hub.guests.insert(*id, guest);
        }
    }

    /// Who gets whose streams.
    async fn arrange_streams(&mut self) {
        let Some(hub) = &mut self.hub else { return };
        let (ruling, means) = (self.room.roster.ruling(), self.room.roster.means());
        let all: Vec<(PeerId, MemberId)> = hub.guests.iter().map(|(id, guest)| (*id, guest.member)).collect();
        for (id, guest) in &mut hub.guests {
            let Some(link) = self.links.get_mut(id) else { continue };
            let Some(peer) = &link.peer else { continue };
            let sends = !peer.remote.camera_stopped;
            if guest.sends.replace(sends) != Some(sends) {
                let layered = means.get(&guest.member).is_some_and(|means| means.forwards);
                hub.sfu.set_encodings(*id, encodings(sends, layered)).await;
            }
            let is_mixed = ruling.mixed.contains(&guest.member);
            let wanted = all.iter().filter(|(other, _)| other != id && !is_mixed);
            let wanted: BTreeMap<PeerId, MemberId> = wanted.copied().collect();
            let dropped: Vec<_> =
                guest.forwarded.iter().filter(|other| !wanted.contains_key(other)).copied().collect();
            let mut news = !dropped.is_empty();
            for other in dropped {
                guest.forwarded.remove(&other);
                peer.connection.remove_forwarded(other);
                hub.sfu.set_view(*id, other, View::Hidden).await;
            }
            for (other, member) in wanted {
                if !guest.forwarded.insert(other) {
                    continue;
                }
                match peer.connection.add_forwarded(other, &member.to_string()).await {
                    Ok(is_news) => news |= is_news,
                    Err(error) => tracing::info!(link = id.0, %error, "nothing is passed on to them"),
                }
                hub.sfu.set_view(*id, other, View::Drawn(DRAWN)).await;
            }
            link.exchange.needed |= news;
        }
    }

    /// Who gets one picture of everybody.
    fn arrange_mix(&mut self) {
        let we_are_silent = self.sends_no_sound();
        let Some(hub) = &mut self.hub else { return };
        let (roster, links) = (&self.room.roster, &self.links);
        let ruling = roster.ruling();
        let media = |id: &PeerId| links.get(id).and_then(|link| link.peer.as_ref()).map(|peer| peer.id);
        // Who does not take what a mix is made as goes on getting all the others from themselves.
        let takes = |id: &PeerId| {
            let peer = links.get(id).and_then(|link| link.peer.as_ref());
            peer.is_some_and(|peer| peer.connection.takes_forwarded())
        };
        let is_mixed = |id: &PeerId, guest: &Guest| ruling.mixed.contains(&guest.member) && takes(id);
        let listeners: Vec<_> = hub
            .guests
            .iter()
            .filter(|(id, guest)| is_mixed(id, guest))
            .filter_map(|(id, _)| media(id))
            .collect();
        let us = MixMember {
            member: mix::Member::Host,
            name: roster.shown_name(roster.me()).unwrap_or_default(),
            muted: we_are_silent,
        };
        let others = hub.guests.iter().filter_map(|(id, guest)| {
            let peer = links.get(id)?.peer.as_ref()?;
            Some(MixMember {
                member: mix::Member::Guest(peer.id),
                name: roster.shown_name(guest.member).unwrap_or_default(),
                muted: peer.remote.microphone_muted,
            })
        });
        let members =
            if listeners.is_empty() { Vec::new() } else { [us].into_iter().chain(others).collect() };
        let plan = MixPlan { listeners, members, ..MixPlan::default() };
        let is_news = plan != hub.plan;
        if is_news {
            self.media.mix_for(plan.clone());
            hub.plan = plan;
        }
        let everybody: Vec<MemberId> = hub.guests.values().map(|guest| guest.member).collect();
        let mut told = Vec::new();
        for (id, guest) in &mut hub.guests {
            let others = everybody.iter().filter(|member| **member != guest.member);
            let mix: Vec<_> = if is_mixed(id, guest) { others.copied().collect() } else { Vec::new() };
            if mix != guest.mix {
                guest.mix.clone_from(&mix);
                told.push((*id, mix));
            }
        }
        for (id, members) in told {
            self.say(id, &Message::Mix { members });
        }
        if is_news {
            self.links.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.tell_view(id));
        }
    }

    /// What the relay wants of those who send.
    pub(super) async fn hear_relay(&mut self, event: SfuEvent) {
        let Some(hub) = &mut self.hub else { return };
        match event {
            Request::Keyframe { sender, layer } => {
                if let Some(peer) = self.links.get(&sender).and_then(|link| link.peer.as_ref()) {
                    peer.connection.request_layer_keyframe(layer).await;
                }
            }
            Request::Layer { sender, layer, wanted } => {
                if layer == 0
                    && let Some(guest) = hub.guests.get_mut(&sender)
                {
                    guest.wanted = wanted;
                }
                let Resolution { width, height } = wanted.map_or(Resolution::new(0, 0), |wanted| wanted.size);
                let kbps = wanted.map_or(0, |wanted| u32::try_from(wanted.rate.bps() / 1000).unwrap_or(0));
                let wanted = wanted.is_some();
                self.say(sender, &Message::Layer { layer, wanted, width, height, kbps });
                self.tell_view(sender);
            }
            // Whoever draws the pictures hears for itself.
            Request::Speaker(_) => {}
        }
    }

    /// How somebody's picture is needed here beside our own window: for those it is passed on to, and in the mix.
    pub(super) fn passed_on(&self, id: PeerId) -> Option<Resolution> {
        let hub = self.hub.as_ref()?;
        let guest = hub.guests.get(&id)?;
        let media = self.links.get(&id)?.peer.as_ref()?.id;
        let mixed = (!hub.plan.listeners.is_empty())
            .then(|| self.media.mixed_size(mix::Member::Guest(media)).unwrap_or(DRAWN));
        let sizes = guest.wanted.map(|wanted| wanted.size).into_iter().chain(mixed);
        sizes.reduce(|a, b| Resolution::new(a.width.max(b.width), a.height.max(b.height)))
    }

    /// How a receiver draws somebody whose picture we pass on.
    pub(super) async fn hear_forwarded_view(
        &mut self,
        receiver: PeerId,
        of: MemberId,
        drawn: Option<Resolution>,
    ) {
        let Some(hub) = &self.hub else { return };
        let Some((sender, _)) = hub.guests.iter().find(|(_, guest)| guest.member == of) else { return };
        let view = drawn.map_or(View::Hidden, View::Drawn);
        let is_theirs = hub.guests.get(&receiver).is_some_and(|guest| guest.forwarded.contains(sender));
        if is_theirs {
            hub.sfu.set_view(receiver, *sender, view).await;
        }
    }

    /// What a link has room for: ours of it, and what is passed on.
    pub(super) async fn share_target(&mut self, id: PeerId, target: Bitrate) {
        let Some(link) = self.links.get(&id) else { return };
        let Some(peer) = &link.peer else { return };
        let forwarded =
            self.hub.as_ref().and_then(|hub| hub.guests.get(&id)).map_or(0, |g| g.forwarded.len());
        let own = match u64::try_from(forwarded).unwrap_or(0) {
            0 => target,
            others => Bitrate::from_bps(target.bps() / (others + 1)).max(LEAST_OWN),
        };
        let cap = link.cap.unwrap_or(Bitrate::MAX);
        peer.media.set_video_target(own.min(cap));
        if let Some(hub) = self.hub.as_ref().filter(|_| forwarded > 0) {
            let voices = VOICE.bps() * forwarded.min(HEARD) as u64;
            let rest = target.bps().saturating_sub(own.bps() + voices);
            hub.sfu.set_budget(id, Bitrate::from_bps(rest)).await;
        }
    }

    /// The hub says how it can use a layer of our picture. That we may hear before we hear who it is.
    pub(super) fn hear_layer(&mut self, id: PeerId, layer: u8, rate: Option<Bitrate>) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.counts) else { return };
        if usize::from(layer) < MAX_LAYERS {
            link.wishes.insert(layer, rate);
        }
    }

    /// Makes the layers that the hub wants, and none for anybody else.
    pub(super) async fn tend_layers(&mut self) {
        let hub = self.room.roster.ruling().hub;
        for (id, link) in &mut self.links {
            let Some(peer) = &mut link.peer else { continue };
            let is_hub = link.counts && hub.is_some() && link.member == hub;
            let wish = |layer: u8| link.wishes.get(&layer).copied().filter(|_| is_hub);
            link.cap = wish(0).flatten();
            for layer in 1..MAX_LAYERS as u8 {
                let wanted = wish(layer).flatten().is_some();
                if wanted && !link.layers.contains_key(&layer) {
                    match peer.connection.add_layer(layer).await {
                        Ok(frames) => {
                            peer.media.add_layer(layer, frames);
                            link.exchange.needed = true;
                        }
                        Err(error) => tracing::info!(link = id.0, %error, "a smaller layer is not made"),
                    }
                    link.layers.insert(layer, false);
                }
                if let Some(made) = link.layers.get_mut(&layer).filter(|made| **made != wanted) {
                    *made = wanted;
                    peer.media.want_layer(layer, wanted);
                }
            }
        }
    }
}

impl Link {
    /// Another connection knows nothing of what was agreed on the one before.
    pub fn forget_streams(&mut self) {
        (self.cap, self.routes) = (None, super::routes::Routing::default());
        self.layers.clear();
        self.wishes.clear();
        self.exchange = super::exchange::Exchange::new(Instant::now());
    }
}

/// What a member can send. `layered`: smaller ones as well as its picture as it is.
fn encodings(sends: bool, layered: bool) -> Vec<Encoding> {
    let main = sends.then(Encoding::default);
    let smaller = layers(DRAWN).filter(|_| sends && layered);
    main.into_iter().chain(smaller.map(|(_, rate, size)| Encoding { rate, size: Some(size) })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_can_send() {
        assert!(encodings(false, true).is_empty());
        assert_eq!(encodings(true, false), [Encoding::default()]);
        let all = encodings(true, true);
        assert!(all.len() == 3 && all.windows(2).all(|pair| pair[0].rate > pair[1].rate), "{all:?}");
    }
}
