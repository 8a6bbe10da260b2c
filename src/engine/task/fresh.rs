//! A call that has no path goes on over a second connection, made with fresh codes ([`Rescue`]). It is kept apart from
//! the first until it is up; then it takes its place, with the name, the timer and the switches of the call.
//!
//! [`Rescue`]: crate::room::call::Rescue

use super::link::{From, Link};
use super::{RemoteEnd, Task};
use crate::engine::{Event, Refusal};
use crate::invite::{self, Description, Kind};
use crate::net::{self, NetEvent, Peer};
use crate::ports::PeerId;
use crate::room::call::Happening;
use crate::room::trust::Comparison;
use crate::stats::PeerStats;
use crate::units::Bitrate;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// When the old path comes back while a fresh connection is about to come up, that is given so long: the other side
/// may have it already, and both must end up on the same one.
const FRESH_MAY_WIN: Duration = Duration::from_secs(5);

/// A second connection to the same person, by fresh codes, while the first has no path.
pub(super) struct Fresh {
    pub attempt: u64,
    pub inbox: mpsc::Receiver<NetEvent>,
    /// Until it is made: nothing.
    pub made: Option<(Peer, Description)>,
    /// Ours, which nobody pressed a button for.
    pub unasked: bool,
    /// What its encoder may use; said before it is connected.
    target: Option<Bitrate>,
    /// The first connection is back: this one is let go then.
    pub until: Option<Instant>,
}

impl Fresh {
    pub fn stay_a_while(&mut self, now: Instant) {
        self.until = Some(now + FRESH_MAY_WIN);
    }
}

impl Task {
    /// Makes a second one for a call that has no path.
    pub(super) fn make_fresh(&mut self, id: PeerId, invite: Option<Description>) {
        self.drop_fresh(id);
        let unasked = invite.is_none();
        self.begin_fresh(id, invite.map_or(From::Nothing, From::Invite), unasked);
    }

    pub(super) fn begin_fresh(&mut self, id: PeerId, from: From, unasked: bool) {
        let Some(first) = self.links.get(&id).map(|link| link.attempt) else { return };
        let inbox = self.begin(id, from);
        let Some(link) = self.links.get_mut(&id) else { return };
        let attempt = std::mem::replace(&mut link.attempt, first);
        link.fresh = Some(Fresh { attempt, inbox, made: None, unasked, target: None, until: None });
    }

    pub(super) fn drop_fresh(&mut self, id: PeerId) {
        // One that is still being made finds nobody who wants it.
        let Some(fresh) = self.links.get_mut(&id).and_then(|link| link.fresh.take()) else { return };
        if let Some((peer, _)) = fresh.made {
            self.closing.spawn(peer.close());
        }
    }

    /// Those whose time is over.
    pub(super) fn drop_old_fresh(&mut self) {
        let now = Instant::now();
        let is_over =
            |link: &Link| link.fresh.as_ref().and_then(|fresh| fresh.until).is_some_and(|until| until <= now);
        let over: Vec<_> = self.links.iter().filter(|(_, link)| is_over(link)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.drop_fresh(id));
    }

    /// Takes a pasted invite in a call that has no path.
    pub(super) fn join_again(&mut self, text: &str) {
        let Some(id) = self.lead() else { return };
        let Some(link) = self.links.get(&id) else { return };
        let own = link.fresh.as_ref().and_then(|fresh| fresh.made.as_ref()).map(|(_, own)| own);
        match invite::expect(text, Kind::Invite, own) {
            Ok(invite) => {
                let before = link.call.state();
                self.happen(id, Happening::Join);
                if self.links.get(&id).is_some_and(|link| link.call.state() == before) {
                    self.face.tell(Event::Refused(Refusal::NotNow));
                } else {
                    self.make_fresh(id, Some(invite));
                }
            }
            Err(error) => self.face.tell(Event::Refused(error.into())),
        }
    }

    /// The fresh connection comes up: it takes the place of the first, with all that is known of the other side.
    pub(super) async fn handle_fresh(&mut self, id: PeerId, event: NetEvent) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match event {
            NetEvent::Link(net::Link::Connected) | NetEvent::ControlOpen => {}
            NetEvent::Knock(guest) => return self.let_in_again(id, guest).await,
            NetEvent::BrowserKnock(guest) => return self.let_in_browser_again(id, *guest),
            NetEvent::VideoTarget(target) => {
                if let Some(fresh) = &mut link.fresh {
                    fresh.target = Some(target);
                }
                return;
            }
            _ => return,
        }
        let Some(Fresh { attempt, inbox, made: Some((connection, own)), target, .. }) = link.fresh.take()
        else {
            return;
        };
        let mut peer = RemoteEnd::new(PeerId(attempt), connection, own, &self.media);
        self.face.tell(Event::Picture(id, Some(peer.picture())));
        if let Some(old) = link.peer.take() {
            peer.trust = old.trust.successor();
            peer.remote = old.remote.clone();
            peer.media.camera_stopped(peer.remote.camera_stopped);
            (peer.seen, peer.pictured) = (old.seen, true);
            self.closing.spawn(old.let_go());
        }
        if let Some(target) = target {
            peer.media.set_video_target(target);
        }
        if let Some(member) = link.member.filter(|_| link.counts) {
            peer.connection.set_member(member);
        }
        tracing::info!("the call goes on over a fresh connection");
        (link.peer, link.inbox, link.attempt) = (Some(peer), inbox, attempt);
        link.last_stats = PeerStats::default();
        link.forget_streams();
        // Whether it is the same person is still to be seen.
        self.tell_trust(id, Comparison::Waiting);
        self.handle_net(id, event).await;
    }
}
