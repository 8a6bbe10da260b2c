//! A call that has no path goes on over a second connection, made with fresh codes ([`Rescue`]). It is kept apart from
//! the first until it is up; then it takes its place, with the name, the timer and the switches of the call.
//!
//! [`Rescue`]: crate::room::call::Rescue

use super::{RemoteEnd, Task};
use crate::engine::{Event, Refusal};
use crate::invite::{self, Description, Kind};
use crate::net::{Link, NetEvent, Peer};
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
    pub(super) fn make_fresh(&mut self, invite: Option<Description>) {
        self.drop_fresh();
        let unasked = invite.is_none();
        let inbox = self.begin(invite);
        let attempt = self.attempt;
        self.fresh = Some(Fresh { attempt, inbox, made: None, unasked, target: None, until: None });
    }

    pub(super) fn drop_fresh(&mut self) {
        let Some(fresh) = self.fresh.take() else { return };
        // One that is still being made is not wanted any more.
        self.attempt += 1;
        if let Some((peer, _)) = fresh.made {
            self.closing.spawn(peer.close());
        }
    }

    /// Takes a pasted invite in a call that has no path.
    pub(super) fn join_again(&mut self, text: &str) {
        let own = self.fresh.as_ref().and_then(|fresh| fresh.made.as_ref()).map(|(_, own)| own);
        match invite::expect(text, Kind::Invite, own) {
            Ok(invite) => {
                let before = self.call.state();
                self.happen(Happening::Join);
                if self.call.state() == before {
                    self.face.tell(Event::Refused(Refusal::NotNow));
                } else {
                    self.make_fresh(Some(invite));
                }
            }
            Err(error) => self.face.tell(Event::Refused(error.into())),
        }
    }

    /// The fresh connection comes up: it takes the place of the first, with all that is known of the other side.
    pub(super) async fn handle_fresh(&mut self, event: NetEvent) {
        match event {
            NetEvent::Link(Link::Connected) | NetEvent::ControlOpen => {}
            NetEvent::Knock(guest) => return self.let_in_again(guest).await,
            NetEvent::BrowserKnock(guest) => return self.let_in_browser_again(*guest),
            NetEvent::VideoTarget(target) => {
                if let Some(fresh) = &mut self.fresh {
                    fresh.target = Some(target);
                }
                return;
            }
            _ => return,
        }
        let Some(Fresh { attempt, inbox, made: Some((connection, own)), target, .. }) = self.fresh.take()
        else {
            return;
        };
        let mut peer = RemoteEnd::new(PeerId(attempt), connection, own, &self.media);
        self.face.tell(Event::Picture(self.person, Some(peer.picture())));
        if let Some(old) = self.peer.take() {
            peer.trust = old.trust.successor();
            peer.remote = old.remote.clone();
            peer.media.camera_stopped(peer.remote.camera_stopped);
            peer.seen = old.seen;
            self.closing.spawn(old.let_go());
        }
        if let Some(target) = target {
            peer.media.set_video_target(target);
        }
        tracing::info!("the call goes on over a fresh connection");
        self.peer = Some(peer);
        // Whether it is the same person is still to be seen.
        self.tell_trust(Comparison::Waiting);
        self.net_inbox = inbox;
        self.last_stats = PeerStats::default();
        self.handle_net(event).await;
    }
}

/// What it says while it is being made waits for it.
pub(super) fn is_made(fresh: &Option<Fresh>) -> bool {
    fresh.as_ref().is_some_and(|fresh| fresh.made.is_some())
}

/// For the task's `select!`: pending events of the fresh connection.
pub(super) async fn next_of(fresh: &mut Option<Fresh>) -> Option<NetEvent> {
    fresh.as_mut()?.inbox.recv().await
}
