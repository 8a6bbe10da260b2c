//! By which way everybody's sound and picture come to us, and whether ours go straight to them: what the host has ruled
//! (`topology`), as far as the links allow. Each change is made before the old way breaks: a stream is called off only
//! when the same comes another way, and called for again as soon as that way is in doubt.

use super::Task;
use super::link::Link;
use crate::ports::{PeerId, Route, SenderReport};
use crate::room::call::CallState;
use crate::room::message::Message;
use crate::room::roster::MemberId;
use crate::room::topology::{self, Way};
use crate::units::Resolution;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Nothing has come by the hub for so long from somebody who sends: it is got from them directly.
const STALLED: Duration = Duration::from_millis(1500);
/// And not tried by the hub again before this.
const MISTRUST: Duration = Duration::from_secs(10);

/// One link's part of it.
#[derive(Default)]
pub(super) struct Routing {
    /// How they are to come to us.
    way: Option<Way>,
    /// The hub's link whose forwarded streams are joined to their media, and which connection of it.
    joined: Option<(PeerId, u64)>,
    /// They know that they need not send here.
    spared: bool,
    /// They have said that we need not send here.
    pub held: bool,
    /// At which size they draw our picture, as they last said; `None` in it: not at all.
    pub their_view: Option<Option<Resolution>>,
    /// What they send us is a mix of these.
    pub mix: Vec<MemberId>,
    /// How much had come by the hub, and since when it is that.
    watched: Option<(u64, Instant)>,
    mistrust: Option<Instant>,
}

impl Routing {
    /// In whose picture they are.
    pub fn seen_in(&self) -> Option<MemberId> {
        match self.way {
            Some(Way::Mixed(hub)) => Some(hub),
            _ => None,
        }
    }

    /// By whom they come, if not directly.
    pub fn hub(&self) -> Option<MemberId> {
        match self.way? {
            Way::Direct => None,
            Way::Forwarded(hub) | Way::Mixed(hub) => Some(hub),
        }
    }
}

impl Link {
    /// Whether it stands and carries something at this moment.
    pub fn is_in_order(&self) -> bool {
        self.counts && self.peer.is_some() && matches!(self.call.state(), CallState::InCall { .. })
    }
}

impl Task {
    /// Those whose links are in order.
    pub(super) fn in_order(&self) -> BTreeMap<MemberId, PeerId> {
        let links = self.links.iter().filter(|(_, link)| link.is_in_order());
        links.filter_map(|(id, link)| Some((link.member?, *id))).collect()
    }

    /// Ten times a second in a call, and whenever a link or the ruling has changed.
    pub(super) fn tend_routes(&mut self) {
        let now = Instant::now();
        let in_order = self.in_order();
        for (member, id) in &in_order {
            self.tend_route(now, *member, *id, &in_order);
        }
    }

    fn tend_route(
        &mut self,
        now: Instant,
        member: MemberId,
        id: PeerId,
        in_order: &BTreeMap<MemberId, PeerId>,
    ) {
        let way = self.wanted_way(now, member, id, in_order);
        let Some(link) = self.links.get(&id) else { return };
        let Some(peer) = &link.peer else { return };
        let before = link.routes.way.unwrap_or(Way::Direct);
        let inlet = peer.media.inlet();
        let hub = match way {
            Way::Direct => None,
            Way::Forwarded(hub) | Way::Mixed(hub) => in_order.get(&hub).copied(),
        };
        let attempt = hub.and_then(|hub| self.links.get(&hub)).map(|hub| hub.attempt);
        let join = hub.zip(attempt).filter(|_| matches!(way, Way::Forwarded(_)));
        let route = Route(hub);
        let is_news = way != before || join.is_some() && join != link.routes.joined;
        if is_news {
            tracing::info!(link = id.0, ?way, "another way");
            if let Some((hub, _)) = join {
                self.join_forwarded(member, id, hub);
            }
            match way {
                Way::Mixed(_) => inlet.turn_to(route),
                Way::Direct | Way::Forwarded(_) => inlet.expect(route),
            }
        }
        let has_come = inlet.route() == route;
        // Who does not send cannot come another way.
        let spare = way != Way::Direct && has_come;
        let old_join = link.routes.joined.filter(|joined| has_come && Some(*joined) != join);
        let say = (spare != link.routes.spared && (spare || way == Way::Direct)).then_some(!spare);
        if let Some(wanted) = say {
            peer.say(&Message::Direct { wanted });
        }
        if let Some((hub, _)) = old_join {
            let hub = self.links.get(&hub).and_then(|hub| hub.peer.as_ref());
            hub.into_iter().for_each(|hub| hub.connection.connect_forwarded(&member.to_string(), None));
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        let routes = &mut link.routes;
        routes.way = Some(way);
        routes.joined = join.or(routes.joined.filter(|_| old_join.is_none()));
        routes.spared = say.map_or(routes.spared, |wanted| !wanted);
        if is_news {
            routes.watched = None;
            self.tell_view(id);
            self.tell_remote(id);
        }
    }

    /// What the ruling makes of it here and now.
    fn wanted_way(
        &mut self,
        now: Instant,
        member: MemberId,
        id: PeerId,
        in_order: &BTreeMap<MemberId, PeerId>,
    ) -> Way {
        let ruling = self.room.roster.ruling();
        let way = topology::way(ruling, self.room.me, member, |hub| in_order.contains_key(&hub));
        match way {
            Way::Direct => Way::Direct,
            Way::Mixed(hub) => {
                let hub_link = in_order.get(&hub).and_then(|hub| self.links.get(hub));
                // Until the hub says that they are in what it sends, they are not.
                if hub_link.is_some_and(|link| link.routes.mix.contains(&member)) { way } else { Way::Direct }
            }
            Way::Forwarded(hub) => {
                if self.is_stalled(now, id, in_order.get(&hub).copied()) {
                    Way::Direct
                } else {
                    way
                }
            }
        }
    }

    /// Whether somebody who sends does not come by the hub.
    fn is_stalled(&mut self, now: Instant, id: PeerId, hub: Option<PeerId>) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let Some(peer) = &link.peer else { return false };
        let routes = &mut link.routes;
        if routes.mistrust.is_some_and(|until| now < until) {
            return true;
        }
        routes.mistrust = None;
        let inlet = peer.media.inlet();
        let is_silent =
            peer.remote.microphone_muted && (peer.remote.camera_stopped || link.view == Some(None));
        if !routes.spared || is_silent || inlet.route() != Route(hub) {
            routes.watched = None;
            return false;
        }
        let taken = inlet.taken();
        match routes.watched {
            Some((before, since)) if before == taken => {
                let stalled = now.saturating_duration_since(since) >= STALLED;
                if stalled {
                    tracing::info!(link = id.0, "nothing comes by the hub");
                    routes.mistrust = Some(now + MISTRUST);
                }
                stalled
            }
            _ => {
                routes.watched = Some((taken, now));
                false
            }
        }
    }

    /// What the hub forwards of this member goes to its media threads, beside what comes from itself.
    fn join_forwarded(&self, member: MemberId, id: PeerId, hub: PeerId) {
        let inlet = self.links.get(&id).and_then(|link| link.peer.as_ref()).map(|peer| peer.media.inlet());
        let hub_end = self.links.get(&hub).and_then(|link| link.peer.as_ref());
        if let (Some(inlet), Some(hub_end)) = (inlet, hub_end) {
            hub_end.connection.connect_forwarded(&member.to_string(), Some(inlet.by(Route(Some(hub)))));
        }
    }

    /// They say whether they want our sound and picture over this link.
    pub(super) fn hear_direct(&mut self, id: PeerId, wanted: bool) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.counts) else { return };
        let Some(peer) = &link.peer else { return };
        link.routes.held = !wanted;
        peer.connection.hold(!wanted);
        // What was hidden begins with a keyframe when it is seen again.
        peer.media.peer_view(None);
        if wanted {
            self.hear_view(id, None);
        }
    }

    /// At which size they draw our picture, or have it drawn by those it is passed on to.
    pub(super) fn hear_view(&mut self, id: PeerId, drawn: Option<Option<Resolution>>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.routes.their_view = drawn.or(link.routes.their_view);
        let Some(peer) = link.peer.as_ref().filter(|_| !link.routes.held) else { return };
        peer.media.peer_view(link.routes.their_view.unwrap_or(Some(ANY_SIZE)));
    }

    /// The link that somebody's packets come by, if it is not their own.
    pub(super) fn hub_of(&self, id: PeerId) -> Option<PeerId> {
        let hub = self.links.get(&id)?.routes.hub()?;
        self.links.iter().find(|(_, link)| link.counts && link.member == Some(hub)).map(|(id, _)| *id)
    }

    /// Somebody's picture cannot be decoded: whoever sends it is asked for a keyframe.
    pub(super) fn ask_for_keyframe(&mut self, media: PeerId) {
        let is = |link: &&Link| link.peer.as_ref().is_some_and(|peer| peer.id == media);
        let Some(link) = self.links.values().find(is) else { return };
        let Some(peer) = &link.peer else { return };
        match (peer.media.inlet().route().0, link.member) {
            (Some(hub), Some(member)) => self.keyframes.push((hub, member)),
            _ => peer.connection.request_keyframe(),
        }
    }

    /// The clock of a stream that the hub forwards.
    pub(super) fn hear_forwarded_report(&self, hub: PeerId, name: &str, report: SenderReport) {
        let Ok(member) = name.parse::<MemberId>() else { return };
        let link = self.links.values().find(|link| link.counts && link.member == Some(member));
        let peer = link.and_then(|link| link.peer.as_ref());
        if let Some(peer) = peer.filter(|peer| peer.media.inlet().route() == Route(Some(hub))) {
            peer.media.sender_report(report);
        }
    }

    pub(super) async fn ask_hubs_for_keyframes(&mut self) {
        for (hub, member) in std::mem::take(&mut self.keyframes) {
            if let Some(peer) = self.links.get(&hub).and_then(|link| link.peer.as_ref()) {
                peer.connection.request_forwarded_keyframe(&member.to_string()).await;
            }
        }
    }
}

/// Whoever has not said how large a picture is drawn gets it as it is.
const ANY_SIZE: Resolution = Resolution::new(8192, 8192);
