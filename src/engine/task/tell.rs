//! What the engine's task tells: the other side about us, the faces about the call.

use super::link::Carrier;
use super::{LEVEL_STEP, Task};
use crate::choice::GuestChoice;
use crate::engine::peer::quality;
use crate::engine::{Event, Presence, Quality};
use crate::invite::Kind;
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::room::message::{Message, clean_name};
use crate::stats::{PeerStats, ProcessStats, Stats};
use crate::units::Resolution;
use std::time::Duration;

impl Task {
    pub(super) fn hello(&self, id: PeerId) -> Message {
        Message::Hello {
            name: clean_name(&self.settings.name),
            microphone_muted: self.sends_no_sound(),
            camera_stopped: self.sends_no_picture(),
            waiting: self.links.get(&id).is_some_and(|link| link.call.keeps_waiting()),
            id: Some(self.room.me),
        }
    }

    pub(super) fn mute(&self) -> Message {
        Message::Mute { microphone_muted: self.sends_no_sound(), camera_stopped: self.sends_no_picture() }
    }

    pub(super) fn sends_no_sound(&self) -> bool {
        self.microphone_muted || !self.microphone_runs
    }

    pub(super) fn sends_no_picture(&self) -> bool {
        self.camera_stopped || !self.camera_runs
    }

    pub(super) fn say(&self, id: PeerId, message: &Message) {
        if let Some(peer) = self.links.get(&id).and_then(|link| link.peer.as_ref()) {
            peer.say(message);
        }
    }

    pub(super) fn say_to_all(&self, message: &Message) {
        self.links.values().filter_map(|link| link.peer.as_ref()).for_each(|peer| peer.say(message));
    }

    /// Tells the other side how its picture is shown, once the window has said so.
    pub(super) fn tell_view(&self, id: PeerId) {
        let Some(link) = self.links.get(&id) else { return };
        let (Some(drawn), Some(peer)) = (link.view, &link.peer) else { return };
        peer.media.set_shown(drawn.is_some());
        let view = |member, drawn: Option<Resolution>| {
            let Resolution { width, height } = drawn.unwrap_or(Resolution::new(0, 0));
            Message::View { member, width, height, shown: drawn.is_some() }
        };
        if let Some(hub) = self.hub_of(id) {
            return self.say(hub, &view(link.member, drawn));
        }
        // Those to whom we pass it on may draw it larger.
        let larger =
            |a: Resolution, b: Resolution| Resolution::new(a.width.max(b.width), a.height.max(b.height));
        peer.say(&view(None, drawn.into_iter().chain(self.passed_on(id)).reduce(larger)));
    }

    pub(super) fn mute_microphone(&mut self, muted: bool) {
        self.microphone_muted = muted;
        self.media.mute_microphone(muted);
        self.tell_switches();
    }

    pub(super) fn tell_switches(&self) {
        self.say_to_all(&self.mute());
        self.face.tell(Event::Muted { microphone: self.microphone_muted, camera: self.camera_stopped });
    }

    /// Who is at the other end of this link, if that is news.
    pub(super) fn tell_remote(&mut self, id: PeerId) {
        let hub = self.links.get(&id).and_then(|link| link.routes.seen_in());
        let seen_in = hub.and_then(|_| self.hub_of(id));
        let Some(link) = self.links.get_mut(&id) else { return };
        let presence = presence(link.call.state());
        let member = match link.carrier {
            Carrier::Room(member) => Some(member),
            Carrier::People => link.member.filter(|_| link.counts),
        };
        let mut remote = link.peer.as_ref().map(|peer| peer.remote.clone()).unwrap_or_default();
        remote.presence = presence;
        remote.seen_in = seen_in;
        if let Some(shown) = member.and_then(|member| self.room.roster.shown_name(member)) {
            remote.name = shown;
        }
        remote.one_picture = member.is_some_and(|member| self.room.roster.ruling().mixed.contains(&member));
        remote.way = member.map_or(GuestChoice::Automatic, |member| self.choosing.guest(member));
        let greeted = link.peer.as_ref().is_some_and(|peer| peer.greeted);
        let is_there = greeted || presence != Presence::Joining || link.carrier != Carrier::People;
        if !is_there || link.told.as_ref() == Some(&remote) {
            return;
        }
        link.told = Some(remote.clone());
        self.face.tell(Event::Remote(id, remote));
        if let Some(peer) = link.peer.as_mut().filter(|peer| !peer.pictured) {
            peer.pictured = true;
            self.face.tell(Event::Picture(id, Some(peer.picture())));
        }
    }

    /// Nobody is there any more.
    pub(super) fn tell_left(&mut self, id: PeerId) {
        let told = self.links.get_mut(&id).and_then(|link| link.told.take());
        if told.is_some() {
            self.face.tell(Event::Picture(id, None));
            self.face.tell(Event::Left(id));
        }
    }

    pub(super) fn tick(&mut self) {
        self.tell_levels();
        for (id, link) in &mut self.links {
            if let Some(peer) = &mut link.peer
                && !peer.seen
                && peer.media.picture().newest().is_some()
            {
                peer.seen = true;
                self.face.tell(Event::FirstPicture(*id));
            }
        }
    }

    pub(super) fn tell_levels(&mut self) {
        let moved = |new: f32, old: f32| (new - old).abs() >= LEVEL_STEP || (new == 0.0) != (old == 0.0);
        let mut news = moved(self.microphone_level, self.told_level);
        let mut people = Vec::with_capacity(self.links.len());
        for (id, link) in &self.links {
            let Some(peer) = link.peer.as_ref().filter(|_| link.told.is_some()) else { continue };
            let level = peer.media.level();
            news |= moved(level, link.told_level);
            people.push((*id, level));
        }
        if news {
            self.told_level = self.microphone_level;
            for (id, level) in &people {
                if let Some(link) = self.links.get_mut(id) {
                    link.told_level = *level;
                }
            }
            self.face.tell(Event::Levels { microphone: self.microphone_level, people });
        }
    }

    pub(super) async fn tell_stats(&mut self) {
        let (mut peers, mut people) = (Vec::new(), Vec::new());
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.remind_trust(id);
            let hello = self.hello(id);
            let Some(link) = self.links.get_mut(&id) else { continue };
            let state = link.call.state();
            if !state.in_call() && !matches!(state, CallState::Lobby { .. }) {
                continue;
            }
            let Some(peer) = &link.peer else { continue };
            // The first words of a data channel can get lost with its handshake: no hello heard, ours may be lost too.
            if !peer.greeted {
                peer.say(&hello);
            }
            let mut now = peer.stats().await;
            if let Some(told) = &link.told {
                now.name.clone_from(&told.name);
            }
            // How long a lost packet may take to come again.
            peer.media.set_round_trip(Duration::from_secs_f64(
                now.candidate_pair.current_round_trip_time.clamp(0.0, 10.0),
            ));
            let quality = if link.last_stats == PeerStats::default() {
                Quality::Unknown
            } else {
                quality(&link.last_stats, &now)
            };
            link.last_stats = now.clone();
            peers.push(now);
            people.push((id, quality));
        }
        // Whoever comes by the hub is seen as well as the hub is.
        let by_hub: Vec<_> = people.iter().map(|(id, _)| self.hub_of(*id)).collect();
        for (place, hub) in by_hub.into_iter().enumerate() {
            if let Some((_, quality)) = people.iter().find(|(id, _)| Some(*id) == hub).copied() {
                people[place].1 = quality;
            }
        }
        if peers.is_empty() {
            return;
        }
        self.tell_figures(peers, people);
    }

    /// The statistics of everybody, `people` saying whose is which.
    pub(super) fn tell_figures(&self, peers: Vec<PeerStats>, people: Vec<(PeerId, Quality)>) {
        let stats = Stats {
            seconds: self.started.elapsed().as_secs_f64(),
            state: self.state().word().into(),
            peers,
            process: ProcessStats::now(),
        };
        self.face.tell(Event::Stats(Box::new(stats), people));
    }
}

/// How far in whoever is at the other end is, by the state of the call with them.
fn presence(state: CallState) -> Presence {
    match state {
        CallState::Lobby { own: Kind::Invite, .. } => Presence::Asking,
        CallState::InCall { .. } | CallState::Lobby { own: Kind::Reply, .. } => Presence::Here,
        CallState::Reconnecting { .. } => Presence::Away,
        CallState::Idle
        | CallState::Gathering(_)
        | CallState::WaitingForReply
        | CallState::Connecting { .. }
        | CallState::Ended(_) => Presence::Joining,
    }
}
