//! What the engine's task tells: the other side about us, the faces about the call.

use super::{LEVEL_STEP, Task};
use crate::engine::peer::quality;
use crate::engine::{Event, Presence, Quality};
use crate::invite::Kind;
use crate::room::call::CallState;
use crate::room::message::Message;
use crate::stats::{PeerStats, ProcessStats, Stats};
use crate::units::Resolution;
use std::time::Duration;

impl Task {
    pub(super) fn hello(&self) -> Message {
        Message::Hello {
            name: crate::room::message::clean_name(&self.settings.name),
            microphone_muted: self.sends_no_sound(),
            camera_stopped: self.sends_no_picture(),
            waiting: self.call.keeps_waiting(),
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

    pub(super) fn say(&self, message: &Message) {
        if let Some(peer) = &self.peer {
            peer.say(message);
        }
    }

    /// Tells the other side how its picture is shown, once the window has said so.
    pub(super) fn tell_view(&self) {
        let (Some(drawn), Some(peer)) = (self.view, &self.peer) else { return };
        peer.media.set_shown(drawn.is_some());
        let Resolution { width, height } = drawn.unwrap_or(Resolution::new(0, 0));
        peer.say(&Message::View { width, height, shown: drawn.is_some() });
    }

    pub(super) fn tell_switches(&self) {
        self.say(&self.mute());
        self.face.tell(Event::Muted { microphone: self.microphone_muted, camera: self.camera_stopped });
    }

    /// The other side is further in than before, or gone for a moment.
    pub(super) fn tell_presence(&mut self) {
        let presence = presence(self.call.state());
        if let Some(peer) = self.peer.as_mut().filter(|peer| peer.remote.presence != presence) {
            peer.remote.presence = presence;
            self.face.tell(Event::Remote(self.person, peer.remote.clone()));
        }
    }

    /// Nobody is there any more.
    pub(super) fn tell_left(&self) {
        self.face.tell(Event::Picture(self.person, None));
        self.face.tell(Event::Left(self.person));
    }

    pub(super) fn tick(&mut self) {
        self.tell_levels();
        if let Some(peer) = &mut self.peer
            && !peer.seen
            && peer.media.picture().newest().is_some()
        {
            peer.seen = true;
            self.face.tell(Event::FirstPicture(self.person));
        }
    }

    pub(super) fn tell_levels(&mut self) {
        let remote = self.peer.as_ref().map_or(0.0, |peer| peer.media.level());
        let levels = (self.microphone_level, remote);
        let moved = |new: f32, old: f32| (new - old).abs() >= LEVEL_STEP || (new == 0.0) != (old == 0.0);
        if moved(levels.0, self.told_levels.0) || moved(levels.1, self.told_levels.1) {
            self.told_levels = levels;
            self.face.tell(Event::Levels { microphone: levels.0, people: vec![(self.person, levels.1)] });
        }
    }

    pub(super) async fn tell_stats(&mut self) {
        self.remind_trust();
        let Some(peer) = &self.peer else { return };
        // The first words of a data channel can get lost with its handshake: no hello heard, ours may be lost too.
        if !peer.greeted {
            peer.say(&self.hello());
        }
        let now = peer.stats().await;
        // How long a lost packet may take to come again.
        peer.media.set_round_trip(Duration::from_secs_f64(
            now.candidate_pair.current_round_trip_time.clamp(0.0, 10.0),
        ));
        let quality = if self.last_stats == PeerStats::default() {
            Quality::Unknown
        } else {
            quality(&self.last_stats, &now)
        };
        self.last_stats = now.clone();
        let stats = Stats {
            seconds: self.attempt_started.elapsed().as_secs_f64(),
            state: self.call.state().word().into(),
            peers: vec![now],
            process: ProcessStats::now(),
        };
        self.face.tell(Event::Stats(Box::new(stats), vec![(self.person, quality)]));
    }
}

/// How far in whoever is at the other end is, by the state of the call with them.
pub(super) fn presence(state: CallState) -> Presence {
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
