//! One link of the room: the call with one other person, as it was when there was no room. Its [`Call`] has the rules;
//! what the whole room makes of it stands in `room`.

use super::exchange::Exchange;
use super::fresh::Fresh;
use super::routes::Routing;
use super::{NET_EVENTS, RemoteEnd, Task};
use crate::engine::{Event, RemotePeer};
use crate::invite::{BrowserGuest, Description, Kind};
use crate::net::{Endpoint, Keys, NetConfig, NetError, NetEvent, Peer};
use crate::ports::PeerId;
use crate::room::call::{Action, Call, CallState, Happening, Rescue};
use crate::room::roster::MemberId;
use crate::stats::PeerStats;
use crate::units::{Bitrate, Resolution};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::mpsc;

/// Who carries the codes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    People,
    /// The room, to and from this member.
    Room(MemberId),
}

pub(super) struct Link {
    pub carrier: Carrier,
    pub call: Call,
    pub peer: Option<RemoteEnd>,
    /// The connection that is made, or was last; events and results of an earlier one are void.
    pub attempt: u64,
    pub inbox: mpsc::Receiver<NetEvent>,
    pub fresh: Option<Fresh>,
    /// The connection whose place a new one for the same invite will take.
    pub retired: Option<RemoteEnd>,
    /// What the other side goes by, once it said so.
    pub member: Option<MemberId>,
    /// Whoever made the invite has said that we may come in.
    pub welcome: bool,
    /// It is one of the links of the roster.
    pub counts: bool,
    /// Nothing has come through for so long, while others are heard.
    pub lost_since: Option<Instant>,
    /// What the faces know of the person at the other end.
    pub told: Option<RemotePeer>,
    pub told_level: f32,
    pub last_stats: PeerStats,
    /// What the window last said of how it shows the picture.
    pub view: Option<Option<Resolution>>,
    /// Something it sent was refused, and that was logged.
    pub warned: bool,
    pub routes: Routing,
    pub exchange: Exchange,
    /// Smaller layers of our picture that this connection has, and whether they are made now.
    pub layers: BTreeMap<u8, bool>,
    /// How the other side, if it is the hub, can use each layer; `None`: not at all.
    pub wishes: BTreeMap<u8, Option<Bitrate>>,
    /// A hub has no use for a picture of ours of a higher rate.
    pub cap: Option<Bitrate>,
    /// Connections of others through which the other end was tried, by the attempt that did.
    pub detours: Vec<(u64, u64)>,
}

impl Link {
    /// Whether whoever is at the other end is in, as far as both sides have said.
    pub fn is_in(&self) -> bool {
        let admitted = self
            .peer
            .as_ref()
            .is_some_and(|peer| peer.greeted && (peer.own.kind == Kind::Invite || self.welcome));
        admitted && self.call.state().in_call()
    }

    /// An invite of ours that is out, or about to be.
    pub fn is_open_invite(&self) -> bool {
        let state = self.call.state();
        self.carrier == Carrier::People
            && matches!(state, CallState::WaitingForReply | CallState::Gathering(Kind::Invite))
    }
}

/// A peer connection that was made beside the task; `attempt` tells whether it is still wanted.
pub(super) struct Made {
    pub attempt: u64,
    pub result: Result<(Peer, Description), NetError>,
}

/// What a connection is made from.
pub(super) enum From {
    /// Nothing: a new invite.
    Nothing,
    /// The invite that went by these, once more.
    Keys(Box<Keys>),
    /// The other side's invite.
    Invite(Description),
    /// Our invite, at which a browser has knocked.
    Browser(Box<Knocked>),
}

/// A browser at our invite.
pub(super) struct Knocked {
    pub keys: Keys,
    pub guest: BrowserGuest,
    pub own: Description,
    /// The connection that kept the door until now: it ends when another does.
    pub instead_of: Option<Peer>,
}

impl Knocked {
    async fn welcome(
        self,
        net: NetConfig,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Peer, Description), NetError> {
        let Self { keys, guest, own, instead_of } = self;
        let welcomed = Peer::welcome(net, keys, &guest, events).await;
        if let Some(before) = instead_of {
            before.close().await;
        }
        Ok((welcomed?, own))
    }
}

impl Task {
    pub(super) fn new_link(&mut self, carrier: Carrier) -> PeerId {
        self.people += 1;
        let mut call = Call::default();
        call.set_asks(self.settings.ask_first && carrier == Carrier::People);
        let link = Link {
            carrier,
            call,
            peer: None,
            attempt: 0,
            inbox: mpsc::channel(1).1,
            fresh: None,
            retired: None,
            member: None,
            welcome: false,
            counts: false,
            lost_since: None,
            told: None,
            told_level: 0.0,
            last_stats: PeerStats::default(),
            view: None,
            warned: false,
            routes: Routing::default(),
            exchange: Exchange::new(Instant::now()),
            layers: BTreeMap::new(),
            wishes: BTreeMap::new(),
            cap: None,
            detours: Vec::new(),
        };
        self.links.insert(PeerId(self.people), link);
        PeerId(self.people)
    }

    /// The only way the state of a link changes.
    pub(super) fn happen(&mut self, id: PeerId, happening: Happening) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let before = link.call.state();
        let action = link.call.handle(Instant::now(), happening);
        let state = link.call.state();
        if state != before {
            tracing::info!(link = id.0, from = before.word(), to = state.word(), ?happening, "call");
        }
        let has_peer = link.peer.is_some();
        match action {
            // The fresh invite is nobody's command; an answer is made by whoever has the invite.
            Action::MakeOffer if has_peer && self.is_alone(id) => self.make_fresh(id, None),
            Action::MakeOffer if has_peer => return self.happen(id, Happening::CodeFailed),
            Action::Nothing | Action::MakeOffer | Action::MakeAnswer => {}
            Action::OfferAgain => self.offer_again(id),
            Action::Close => self.close(id),
        }
        if state != before {
            self.entered(id, before, state);
        }
    }

    fn close(&mut self, id: PeerId) {
        self.drop_fresh(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        let (retired, peer) = (link.retired.take(), link.peer.take());
        if let Some(retired) = retired {
            self.closing.spawn(retired.let_go());
        }
        if let Some(peer) = peer {
            peer.connection.withdraw();
            self.closing.spawn(peer.close());
        }
        self.tell_left(id);
    }

    /// Makes a peer connection beside the task: gathering takes up to two seconds, in which a person may cancel.
    pub(super) fn begin(&mut self, id: PeerId, from: From) -> mpsc::Receiver<NetEvent> {
        self.attempts += 1;
        let (events, inbox) = mpsc::channel(NET_EVENTS);
        let (attempt, mut net, made) = (self.attempts, self.net.clone(), self.made.clone());
        let Some(link) = self.links.get_mut(&id) else { return inbox };
        link.attempt = attempt;
        if matches!(from, From::Invite(_)) && link.peer.is_some() {
            // Two connections between the same two ports could not be told apart.
            net.endpoint = Endpoint::default();
        }
        tokio::spawn(async move {
            let result = match from {
                From::Nothing => Peer::offer(net, events).await,
                From::Keys(keys) => Peer::offer_again(net, *keys, events).await,
                From::Invite(invite) => Peer::answer(net, &invite, events).await,
                From::Browser(knocked) => knocked.welcome(net, events).await,
            };
            if let Err(mpsc::error::SendError(unwanted)) = made.send(Made { attempt, result }).await
                && let Ok((peer, _)) = unwanted.result
            {
                peer.close().await;
            }
        });
        inbox
    }

    /// Makes the first connection of a link.
    pub(super) fn make(&mut self, id: PeerId, from: From) {
        let inbox = self.begin(id, from);
        if let Some(link) = self.links.get_mut(&id) {
            link.inbox = inbox;
        }
    }

    pub(super) fn handle_made(&mut self, made: Made) {
        let owner = |(_, link): &(&PeerId, &mut Link)| {
            let fresh = link.fresh.as_ref().map(|fresh| fresh.attempt);
            link.attempt == made.attempt || fresh == Some(made.attempt)
        };
        let Some((id, link)) = self.links.iter_mut().find(owner) else {
            if let Ok((peer, _)) = made.result {
                self.closing.spawn(async move { peer.close().await });
            }
            return;
        };
        let id = *id;
        let state = link.call.state();
        let rescued = matches!(
            state,
            CallState::Reconnecting { rescue: Rescue::Connecting { own: Kind::Invite, .. }, .. }
        );
        // A browser has knocked at the invite that is out already.
        let is_out = rescued || matches!(state, CallState::Connecting { .. });
        let fresh = link.fresh.as_mut().filter(|fresh| fresh.attempt == made.attempt);
        match (made.result, fresh) {
            (Ok((connection, own)), Some(fresh)) => {
                fresh.made = Some((connection, own.clone()));
                if !is_out {
                    self.tell_code(id, &own);
                }
                self.happen(id, Happening::CodeReady);
            }
            (Ok((connection, own)), None) => {
                let peer = RemoteEnd::new(PeerId(made.attempt), connection, own.clone(), &self.media);
                link.peer = Some(peer);
                link.forget_streams();
                link.last_stats = PeerStats::default();
                if let Some(retired) = link.retired.take() {
                    self.closing.spawn(retired.let_go());
                }
                let is_by_people = link.carrier == Carrier::People;
                if self.lead() == Some(id) {
                    self.network.own_code(&self.net, &own);
                    self.nearby_code(&own);
                }
                if is_by_people && own.kind == Kind::Invite && !is_out {
                    self.invite_is_out(id);
                }
                if !is_out {
                    self.tell_code(id, &own);
                }
                self.shut_the_door(id);
                self.happen(id, Happening::CodeReady);
                self.tell_invite();
            }
            (Err(error), None) if link.retired.is_some() => {
                tracing::info!(%error, "the invite could not be offered again");
                link.peer = link.retired.take();
            }
            (Err(error), fresh) => {
                tracing::info!(%error, "no code");
                // Nobody asked for the invite of a call that has no path: it is tried again.
                let unasked = fresh.is_some_and(|fresh| fresh.unasked) || link.carrier != Carrier::People;
                link.fresh = None;
                if !unasked {
                    self.face.tell(Event::Refused(error.into()));
                }
                self.happen(id, Happening::CodeFailed);
            }
        }
    }
}

/// Which connection of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Fresh,
}

/// For the task's `select!`: what a connection says. Each has an inbox of its own, so that none can fill another's;
/// `turn` is who was heard last, and is asked last.
pub(super) async fn next_of(
    links: &mut BTreeMap<PeerId, Link>,
    turn: &mut PeerId,
) -> (PeerId, Which, NetEvent) {
    poll_fn(|context| {
        for is_later in [true, false] {
            for (id, link) in links.iter_mut().filter(|(id, _)| (**id > *turn) == is_later) {
                // What a connection says while it is being made waits for it.
                if link.peer.is_some()
                    && let Poll::Ready(Some(event)) = link.inbox.poll_recv(context)
                {
                    *turn = *id;
                    return Poll::Ready((*id, Which::First, event));
                }
                if let Some(fresh) = link.fresh.as_mut().filter(|fresh| fresh.made.is_some())
                    && let Poll::Ready(Some(event)) = fresh.inbox.poll_recv(context)
                {
                    *turn = *id;
                    return Poll::Ready((*id, Which::Fresh, event));
                }
            }
        }
        Poll::Pending
    })
    .await
}
