//! A member of a room of Janus' VideoRoom plugin: a core. It is handed the server's messages, descriptions of the
//! connections that it asks for and the time, and is drained of [`Output`]s.
//!
//! ```text
//!   Dialing > Opening (session > handle > join, make the room if there is none) > In > Leaving > Done
//!      ^                                                                           |
//!      +------ Away: the server is gone; dialled again with back-off ---- Interrupted
//!
//!   in the room:  OfferWanted > publish > Answer      the connection that sends, on the handle that joined
//!                 Member ... Offer > answer ... Gone  the one that receives from all, on a handle of its own: described
//!                                                     anew whenever somebody comes
//! ```
//!
//! Janus forgets a session when its WebSocket is closed (unless it is set up to keep it), so after an interruption
//! everything is made anew.

mod refusal;
mod requests;
mod subscription;
#[cfg(test)]
mod tests;
mod wire;

pub use refusal::Refusal;
pub use wire::Id;

use super::{AWAY_LIMIT, MAX_FEEDS};
use crate::units::{Bitrate, Redacted};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use subscription::{Request, Subscription};
use wire::{Frame, Incoming, Room, ServerError};

/// Janus ends a session that says nothing for 60 s.
const KEEPALIVE: Duration = Duration::from_secs(25);
/// A server that has said nothing to a request by then is gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Requests without an answer; a session with more is broken.
const MAX_PENDING: usize = 512;
/// Before the server is dialled again: doubled after each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that the server hung up is made again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// The server has so long to hear the farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// Senders in a room that we make: the 50 of a large call, and some.
const PUBLISHERS: u32 = 64;
/// What a sender may send in a room that we make, if the user has set no limit.
const ROOM_BITRATE: Bitrate = Bitrate::from_kbps(2500);

/// How a room is joined.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub name: String,
    pub pin: Option<Redacted<String>>,
    /// Of the server's token or secret, whichever it asks for.
    pub token: Option<Redacted<String>>,
    /// The room is made if there is none.
    pub create: bool,
    pub max_bitrate: Option<Bitrate>,
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Output {
    /// Connect to the server; then [`Janus::handle_opened`] or [`Janus::handle_closed`].
    Dial,
    Send(Redacted<String>),
    /// Close what was dialled.
    HangUp,
    Tell(Happening),
}

/// What has happened in the room.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    Joined,
    /// A connection that sends is wanted: its offer goes to [`Janus::publish`].
    OfferWanted,
    /// To that offer.
    Answer(Redacted<String>),
    /// Somebody sends what can be played, or something else than before; an offer follows.
    Member {
        id: Id,
        name: String,
        /// There are pictures that can be shown.
        has_picture: bool,
    },
    /// The server's description of what it sends us: the answer goes to [`Janus::answer`].
    Offer {
        sdp: Redacted<String>,
        /// Which section, by its `mid`, is whose. The others are nobody's.
        sections: Vec<(String, Id)>,
        /// It is of a new connection, which takes the place of the one before.
        is_new: bool,
    },
    /// The connection that receives is gone; another one follows.
    Unsubscribed,
    Gone(Id),
    /// Much of what this member sends gets lost on the way to us.
    Slow(Id),
    Note(Note),
    /// The server is gone, and with it all connections. It is dialled again.
    Interrupted,
    /// We have left.
    Left,
    Ended(Refusal),
}

/// What people should know. `Display` is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    #[error("{name} sends pictures that Twocan cannot show ({codec}); only H.264 can be shown.")]
    Unplayable { name: String, codec: String },
    #[error("The room has more people than can be shown; the first {} are.", MAX_FEEDS)]
    Crowd,
    #[error(
        "This room takes no H.264 pictures, so you are heard but not seen. Ask whoever runs the server to add h264 to \
         the room's videocodec."
    )]
    NoPictures,
}

/// Whose handle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Joins, sends, and hears what happens in the room.
    Own,
    /// Receives from all others.
    Subscriber,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Session,
    Attach(Role),
    Join,
    Create,
    Publish,
    /// To receive from somebody, or no longer.
    Subscribe,
    Start,
    Keepalive,
    Farewell,
    /// Nothing depends on its answer.
    Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Opening,
    In,
    Away { until: Instant },
    Leaving { until: Instant },
    Done,
}

/// One membership, across interruptions.
pub struct Janus {
    room: Id,
    wishes: Wishes,
    phase: Phase,
    frame: Frame,
    own: Option<u64>,
    me: Option<Id>,
    /// Who we were before the last interruption.
    former: Option<Id>,
    /// For rooms that want to know whose subscriptions they are.
    private_id: Option<u64>,
    /// When the connection that sends is made again.
    publish_at: Option<Instant>,
    subscription: Subscription,
    pending: HashMap<String, (Step, Instant)>,
    transactions: u64,
    keepalive_at: Option<Instant>,
    /// Whether we have been in the room at all, and since when the server is away.
    was_in: bool,
    away_since: Option<Instant>,
    pause: Duration,
    outputs: VecDeque<Output>,
}

impl Janus {
    pub fn new(room: Id, wishes: Wishes) -> Self {
        let frame = Frame { token: wishes.token.clone(), ..Frame::default() };
        Self {
            room,
            wishes,
            phase: Phase::Dialing,
            frame,
            own: None,
            me: None,
            former: None,
            private_id: None,
            publish_at: None,
            subscription: Subscription::default(),
            pending: HashMap::new(),
            transactions: 0,
            keepalive_at: None,
            was_in: false,
            away_since: None,
            pause: FIRST_PAUSE,
            outputs: VecDeque::from([Output::Dial]),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Dialing | Phase::Done => None,
            Phase::Away { until } | Phase::Leaving { until } => Some(until),
            Phase::Opening | Phase::In => {
                let answer = self.pending.values().map(|(_, until)| *until).min();
                [answer, self.keepalive_at, self.publish_at, self.subscription.deadline()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    pub fn handle_deadline(&mut self, now: Instant) {
        match self.phase {
            Phase::Away { until } if now >= until => {
                self.phase = Phase::Dialing;
                self.outputs.push_back(Output::Dial);
            }
            Phase::Leaving { until } if now >= until => self.finish(Happening::Left),
            Phase::Opening | Phase::In => self.look_after(now),
            Phase::Dialing | Phase::Away { .. } | Phase::Leaving { .. } | Phase::Done => {}
        }
    }

    fn look_after(&mut self, now: Instant) {
        let late = self.pending.iter().find(|(_, (_, until))| now >= *until);
        if let Some((transaction, (step, _))) = late.map(|(name, pending)| (name.clone(), *pending)) {
            self.pending.remove(&transaction);
            match step {
                Step::Attach(Role::Subscriber) | Step::Subscribe | Step::Start => self.unsubscribe(now),
                Step::Wish => {}
                Step::Session
                | Step::Attach(Role::Own)
                | Step::Join
                | Step::Create
                | Step::Publish
                | Step::Keepalive
                | Step::Farewell => return self.lose(now, Refusal::Silent),
            }
        }
        if self.keepalive_at.is_some_and(|at| now >= at) {
            self.keepalive_at = Some(now + KEEPALIVE);
            let request = |frame: &Frame, transaction: &str| frame.request("keepalive", transaction);
            self.ask(now, Step::Keepalive, None, request);
        }
        if self.publish_at.is_some_and(|at| now >= at) {
            self.publish_at = None;
            self.tell(Happening::OfferWanted);
        }
        self.ask_for_feeds(now);
    }

    /// What is to be received has changed, or the server is done with the last request.
    fn ask_for_feeds(&mut self, now: Instant) {
        if self.phase != Phase::In {
            return;
        }
        match self.subscription.poll(now) {
            None => {}
            Some(Request::Attach) => self.attach(now, Role::Subscriber),
            Some(Request::Join { handle, add }) => self.subscribe(now, handle, &add),
            Some(Request::Update { handle, add, remove }) => self.update(now, handle, &add, &remove),
        }
    }

    /// The connection to the server stands.
    pub fn handle_opened(&mut self, now: Instant) {
        if self.phase == Phase::Dialing {
            self.phase = Phase::Opening;
            let request = |frame: &Frame, transaction: &str| frame.request("create", transaction);
            self.ask(now, Step::Session, None, request);
        }
    }

    /// It is gone, or could not be made; `why` is a whole sentence.
    pub fn handle_closed(&mut self, now: Instant, why: &str) {
        match self.phase {
            Phase::Dialing | Phase::Opening | Phase::In => self.lose(now, Refusal::Lost(why.into())),
            Phase::Leaving { .. } => self.finish(Happening::Left),
            Phase::Away { .. } | Phase::Done => {}
        }
    }

    /// A message of the server.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        if !matches!(self.phase, Phase::Opening | Phase::In | Phase::Leaving { .. }) {
            return;
        }
        let Some(incoming) = Incoming::parse(text) else {
            tracing::debug!(bytes = text.len(), "a message that is not one of Janus");
            if self.frame.session.is_none() {
                self.lose(now, Refusal::NotJanus);
            }
            return;
        };
        self.handle(now, incoming);
        self.ask_for_feeds(now);
    }

    fn handle(&mut self, now: Instant, incoming: Incoming) {
        match incoming {
            Incoming::Made { transaction, id } => self.handle_made(now, &transaction, id),
            Incoming::Ack { transaction } => {
                let is_over = |step: &Step| matches!(step, Step::Keepalive | Step::Farewell);
                if self.pending.get(&transaction).is_some_and(|(step, _)| is_over(step)) {
                    self.take(&transaction);
                }
                if matches!(self.phase, Phase::Leaving { .. }) && self.pending.is_empty() {
                    self.finish(Happening::Left);
                }
            }
            Incoming::Room { transaction, sender, room, offer, answer } => {
                let step = self.take(&transaction);
                match sender.and_then(|sender| self.role(sender)) {
                    Some(Role::Own) => self.handle_room(now, *room, answer),
                    Some(Role::Subscriber) => self.handle_subscription(step, *room, offer),
                    None => {}
                }
            }
            Incoming::Error { transaction, error } => {
                if let Some(step) = self.take(&transaction) {
                    self.handle_error(now, step, error);
                }
            }
            Incoming::HangUp { sender, reason } => {
                tracing::info!(reason, "the server hung up a connection");
                match self.role(sender) {
                    Some(Role::Own) => self.renew_own(now),
                    Some(Role::Subscriber) => self.unsubscribe(now),
                    None => {}
                }
            }
            Incoming::SlowLink { sender, mid, uplink: false } => {
                let is_ours = self.role(sender) == Some(Role::Subscriber);
                if let Some(id) = self.subscription.whose(&mid).filter(|_| is_ours) {
                    self.tell(Happening::Slow(id));
                }
            }
            Incoming::Detached { sender } => match self.role(sender) {
                Some(Role::Own) => self.lose(now, Refusal::Ended),
                Some(Role::Subscriber) => self.unsubscribe(now),
                None => {}
            },
            Incoming::TimedOut => self.lose(now, Refusal::Silent),
            Incoming::SlowLink { uplink: true, .. } | Incoming::Other => {}
        }
    }

    fn handle_made(&mut self, now: Instant, transaction: &str, id: u64) {
        match self.take(transaction) {
            Some(Step::Session) => {
                self.frame.session = Some(id);
                self.keepalive_at = Some(now + KEEPALIVE);
                self.attach(now, Role::Own);
            }
            Some(Step::Attach(Role::Own)) => {
                self.own = Some(id);
                self.join(now);
            }
            // Unless it was given up meanwhile.
            Some(Step::Attach(Role::Subscriber)) if !self.subscription.attached(id) => self.detach(now, id),
            _ => {}
        }
    }

    /// What is said to us as a member of the room.
    fn handle_room(&mut self, now: Instant, room: Room, answer: Option<Redacted<String>>) {
        match room.videoroom.as_str() {
            "joined" => {
                self.phase = Phase::In;
                (self.was_in, self.away_since, self.pause) = (true, None, FIRST_PAUSE);
                self.former = std::mem::replace(&mut self.me, room.id);
                self.private_id = room.private_id;
                self.tell(Happening::Joined);
                self.tell(Happening::OfferWanted);
                self.handle_publishers(room.publishers);
            }
            "created" => self.join(now),
            "destroyed" => self.finish(Happening::Ended(Refusal::Ended)),
            "event" => {
                if let Some(answer) = answer {
                    self.tell(Happening::Answer(answer));
                }
                if room.reason == "kicked" {
                    return self.finish(Happening::Ended(Refusal::Removed));
                }
                for gone in [room.unpublished, room.leaving].into_iter().flatten() {
                    self.forget(&gone);
                }
                self.handle_publishers(room.publishers);
            }
            _ => {}
        }
    }

    /// What is said to the handle that receives.
    fn handle_subscription(&mut self, step: Option<Step>, room: Room, offer: Option<Redacted<String>>) {
        match (room.videoroom.as_str(), offer) {
            ("attached" | "updated", Some(sdp)) => {
                let (sections, is_new) = self.subscription.offered(room.streams);
                self.tell(Happening::Offer { sdp, sections, is_new });
            }
            // "updating": an offer follows; that it does not is noticed by nobody, so nothing waits for it.
            ("updated" | "updating", None) => self.subscription.unchanged(),
            _ if step == Some(Step::Start) => self.subscription.started(),
            _ => {}
        }
    }

    fn handle_publishers(&mut self, publishers: Vec<wire::Publisher>) {
        for publisher in publishers {
            let (id, name) = (publisher.id.clone(), publisher.display.clone());
            // Who we were before an interruption may still be there: a ghost that the server has not missed yet.
            if self.me.as_ref() == Some(&id) || self.former.as_ref() == Some(&id) {
                continue;
            }
            let was_there = self.subscription.plays(&id).is_some();
            let change = self.subscription.insert(publisher);
            if let Some(note) = change.note {
                self.tell(Happening::Note(note));
            }
            match self.subscription.plays(&id) {
                Some(has_picture) if change.is_news => {
                    self.tell(Happening::Member { id, name, has_picture });
                }
                None if was_there => self.tell(Happening::Gone(id)),
                Some(_) | None => {}
            }
        }
    }

    fn handle_error(&mut self, now: Instant, step: Step, error: ServerError) {
        const NO_SESSION: u32 = 458;
        const NO_ROOM: u32 = 426;
        const ROOM_EXISTS: u32 = 427;
        const NO_FEED: u32 = 428;
        const MISSING: u32 = 429;
        const UNAUTHORISED: u32 = 433;
        tracing::info!(?step, code = error.code, "the server refuses");
        match (step, error.code) {
            (_, NO_SESSION) => self.lose(now, Refusal::Silent),
            (Step::Join, NO_ROOM) if self.wishes.create => self.create(now),
            (Step::Join, MISSING) if error.reason.contains("(pin)") => {
                self.finish(Happening::Ended(Refusal::Pin));
            }
            (Step::Create, ROOM_EXISTS) => self.join(now),
            (Step::Create, UNAUTHORISED) => self.finish(Happening::Ended(Refusal::MayNotCreate)),
            (Step::Subscribe, NO_FEED) => {
                if let Some(id) = self.subscription.unknown() {
                    self.forget(&id);
                }
            }
            (Step::Subscribe | Step::Attach(Role::Subscriber) | Step::Start, _) => self.unsubscribe(now),
            (Step::Wish | Step::Keepalive, _) => {}
            (Step::Farewell, _) => self.finish(Happening::Left),
            (Step::Session | Step::Attach(Role::Own) | Step::Join | Step::Create | Step::Publish, _) => {
                self.finish(Happening::Ended(Refusal::of(error)));
            }
        }
    }

    // What becomes of it.

    fn take(&mut self, transaction: &str) -> Option<Step> {
        self.pending.remove(transaction).map(|(step, _)| step)
    }

    fn role(&self, handle: u64) -> Option<Role> {
        if self.own == Some(handle) {
            return Some(Role::Own);
        }
        (self.subscription.handle() == Some(handle)).then_some(Role::Subscriber)
    }

    fn forget(&mut self, id: &Id) {
        if self.subscription.remove(id) {
            self.tell(Happening::Gone(id.clone()));
        }
    }

    /// The connection that receives is of no use any more.
    fn unsubscribe(&mut self, now: Instant) {
        self.renew(now);
        self.tell(Happening::Unsubscribed);
    }

    /// The server is gone. If we were in the room, it is dialled again.
    fn lose(&mut self, now: Instant, why: Refusal) {
        self.outputs.push_back(Output::HangUp);
        if !self.was_in {
            let why = match why {
                Refusal::Lost(why) => Refusal::Unreachable(why),
                why => why,
            };
            return self.finish(Happening::Ended(why));
        }
        let since = *self.away_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= AWAY_LIMIT {
            let why = match why {
                Refusal::Lost(why) => why,
                why => why.to_string(),
            };
            return self.finish(Happening::Ended(Refusal::Lost(why)));
        }
        if self.phase == Phase::In {
            self.tell(Happening::Interrupted);
        }
        self.phase = Phase::Away { until: now + self.pause };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.pending.clear();
        self.subscription = Subscription::default();
        (self.frame.session, self.own, self.keepalive_at, self.publish_at) = (None, None, None, None);
    }

    fn finish(&mut self, last: Happening) {
        if self.phase != Phase::Done {
            self.phase = Phase::Done;
            self.outputs.push_back(Output::HangUp);
            self.tell(last);
        }
    }

    fn tell(&mut self, happening: Happening) {
        self.outputs.push_back(Output::Tell(happening));
    }
}
