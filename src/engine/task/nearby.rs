//! Calls to and from people in the same network: the two codes of an ordinary call, carried by machine.
//!
//! ```text
//!   caller   CallNearby > invite made > rings > reply comes > accepted as if it had been pasted
//!   callee   Ring > AnswerRing(true) > joined as if the invite had been pasted > reply made > goes back
//! ```

use super::Task;
use crate::engine::{Event, NearbyPerson};
use crate::invite::{self, Description, Kind};
use crate::net::nearby::{self, Change, Nearby, NearbyConfig, NearbyEvent, Outcome, Ring};
use crate::room::call::{CallState, Happening};
use crate::room::nearby::Person;
use crate::units::Redacted;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the task knows of the network it is in.
#[derive(Default)]
pub(super) struct Neighbours {
    /// The lobby is open, and we may be seen.
    wanted: bool,
    open: Option<Nearby>,
    people: Vec<Person>,
    ring: Option<Ring>,
    with: With,
}

/// The call that is being set up with somebody nearby.
#[derive(Default)]
enum With {
    #[default]
    Nobody,
    /// Our invite is being made.
    Calling(Person),
    /// It rings at the other side.
    Ringing(String, Ringing),
    /// Our reply is being made, and goes in here.
    Answering(oneshot::Sender<Redacted<String>>),
    /// Our reply is out.
    Answered,
}

/// Ends when it is dropped.
struct Ringing(JoinHandle<Outcome>);

impl Drop for Ringing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Something for [`Task::handle_nearby`].
pub(super) enum Heard {
    Change(Change),
    Outcome(Outcome),
}

/// For the task's `select!`.
pub(super) async fn next_of(neighbours: &mut Neighbours) -> Heard {
    let Neighbours { open, with, .. } = neighbours;
    let change = async {
        match open {
            Some(nearby) => nearby.next().await,
            None => std::future::pending().await,
        }
    };
    let outcome = async {
        match with {
            With::Ringing(_, Ringing(outcome)) => outcome.await.unwrap_or(Outcome::NoAnswer),
            With::Nobody | With::Calling(_) | With::Answering(_) | With::Answered => {
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        change = change => Heard::Change(change),
        outcome = outcome => Heard::Outcome(outcome),
    }
}

impl Task {
    /// The lobby is open and may be seen from nearby, or no longer.
    pub(super) fn show_nearby(&mut self, wanted: bool) {
        self.neighbours.wanted = wanted;
        self.settle_nearby();
    }

    /// Our name is another one.
    pub(super) fn announce_again(&mut self) {
        if self.neighbours.open.take().is_some() {
            self.settle_nearby();
        }
    }

    fn settle_nearby(&mut self) {
        let Neighbours { wanted, open, with, ring, .. } = &mut self.neighbours;
        let idle = matches!(with, With::Nobody) && ring.is_none();
        match (*wanted, open.is_some()) {
            (true, false) => {
                let config = NearbyConfig::here(&crate::room::message::clean_name(&self.settings.name));
                match config.map(Nearby::start) {
                    Some(Ok(nearby)) => *open = Some(nearby),
                    Some(Err(error)) => tracing::info!(error, "nobody nearby can be found"),
                    None => tracing::debug!("there is no network in which somebody could be near"),
                }
            }
            (false, true) if idle => {
                *open = None;
                self.neighbours.people.clear();
                self.tell_people();
            }
            _ => {}
        }
    }

    fn tell_people(&self) {
        let person = |person: &Person| NearbyPerson { id: person.id.clone(), name: person.name.clone() };
        self.face.tell(Event::Nearby(self.neighbours.people.iter().map(person).collect()));
    }

    pub(super) async fn handle_nearby(&mut self, heard: Heard) {
        match heard {
            Heard::Change(Change::People(people)) => {
                self.neighbours.people = people;
                self.tell_people();
            }
            Heard::Change(Change::Event(NearbyEvent::Ring(ring))) => {
                let free = matches!(self.state(), CallState::Idle | CallState::Ended(_));
                if !free || self.neighbours.ring.is_some() || !self.neighbours.wanted {
                    return ring.say_busy();
                }
                if invite::expect(&ring.invite.0, Kind::Invite, None).is_err() {
                    tracing::debug!("somebody nearby rang with something else than an invite");
                    return;
                }
                self.face.tell(Event::Ring(Some(ring.name.clone())));
                self.neighbours.ring = Some(ring);
            }
            Heard::Change(Change::Event(NearbyEvent::RingOver(id))) => {
                if self.neighbours.ring.take_if(|ring| ring.id == id).is_some() {
                    self.face.tell(Event::Ring(None));
                    self.settle_nearby();
                }
            }
            Heard::Outcome(outcome) => self.handle_outcome(outcome).await,
        }
    }

    async fn handle_outcome(&mut self, outcome: Outcome) {
        let With::Ringing(name, _) = &self.neighbours.with else { return };
        let sentence = match outcome {
            Outcome::Reply(Redacted(reply)) => {
                self.neighbours.with = With::Answered;
                // Without it, too, they may have come in by now.
                if self.state() == CallState::WaitingForReply {
                    self.paste(&reply).await;
                } else if let Some(id) = self.lead() {
                    self.add_reply(id, &reply).await;
                }
                return;
            }
            Outcome::Declined => format!("{name} does not answer now."),
            Outcome::Busy => format!("{name} is busy. Try again in a moment."),
            Outcome::NoAnswer => format!("{name} cannot be reached any more."),
        };
        self.face.tell(Event::NoAnswer(sentence));
        self.end_all(Happening::HangUp);
    }

    pub(super) fn call_nearby(&mut self, id: &str) {
        let Some(person) = self.neighbours.people.iter().find(|person| person.id == id).cloned() else {
            return;
        };
        if !matches!(self.state(), CallState::Idle | CallState::Ended(_)) {
            return;
        }
        self.face.tell(Event::With(Some(person.name.clone())));
        self.neighbours.with = With::Calling(person);
        self.start();
    }

    pub(super) fn answer_ring(&mut self, accept: bool) {
        let Some(ring) = self.neighbours.ring.take() else { return };
        self.face.tell(Event::Ring(None));
        if !accept || !matches!(self.state(), CallState::Idle | CallState::Ended(_)) {
            // Dropped, it declines.
            return self.settle_nearby();
        }
        self.face.tell(Event::With(Some(ring.name.clone())));
        let invite = ring.invite.clone();
        self.neighbours.with = With::Answering(ring.accept());
        self.join(&invite.0);
    }

    /// Our code is made: the one that somebody nearby waits for, or is to get.
    pub(super) fn nearby_code(&mut self, own: &Description) {
        let code = Redacted(invite::encode(own));
        let with = &mut self.neighbours.with;
        *with = match (std::mem::take(with), own.kind) {
            (With::Calling(person), Kind::Invite) => {
                let name = crate::room::message::clean_name(&self.settings.name);
                let shown = person.name.clone();
                With::Ringing(shown, Ringing(tokio::spawn(nearby::ring(person, name, code))))
            }
            (With::Answering(reply), Kind::Reply) => {
                let _ = reply.send(code);
                With::Answered
            }
            (with, _) => with,
        };
    }

    /// The state of the call is another one.
    pub(super) fn nearby_state(&mut self, state: CallState) {
        let over = match state {
            CallState::Idle | CallState::Ended(_) | CallState::InCall { .. } => true,
            CallState::Gathering(_)
            | CallState::WaitingForReply
            | CallState::Connecting { .. }
            | CallState::Lobby { .. }
            | CallState::Reconnecting { .. } => false,
        };
        // Whoever was called, or has answered, need not ask to be let in.
        if matches!(
            (state, &self.neighbours.with),
            (CallState::Lobby { own: Kind::Invite, .. }, With::Ringing(..) | With::Answered)
        ) {
            if let Some(id) = self.lead() {
                self.answer_the_door(id, true);
            }
            return;
        }
        if over && !matches!(self.neighbours.with, With::Nobody) {
            self.neighbours.with = With::Nobody;
            self.face.tell(Event::With(None));
        }
        self.settle_nearby();
    }
}
