//! What the engine knows of the network around it, and what it makes of that when a call does not come up. The answers
//! of servers come from tasks of their own; nothing here waits for them.

use super::Task;
use super::link::Carrier;
use crate::engine::{Event, Trouble};
use crate::invite::{Description, Kind};
use crate::net::{NetConfig, nat, relay, ways};
use crate::ports::PeerId;
use crate::room::call::{Call, CallState, Happening};
use crate::room::diagnosis::{Diagnosis, Facts, Relay, diagnose, forecast};
use crate::room::nat::Outlook;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Whoever answered looks this often whether the other side has begun.
const LOOK: Duration = Duration::from_secs(1);
/// Words of the tasks that ask under way; there are few.
const WORDS: usize = 4;

/// What a task has found out.
#[derive(Debug)]
pub(super) enum Word {
    Outlook(Outlook),
    Relay(Relay),
}

/// What is known so far.
pub(super) struct Network {
    outlook: Option<Outlook>,
    relay: Relay,
    words: mpsc::Sender<Word>,
    inbox: mpsc::Receiver<Word>,
    follower: Option<tokio::task::JoinHandle<()>>,
    /// For whoever answered: when to look again.
    pub look_at: Option<Instant>,
    /// Their first check came in by then: they have pasted our reply.
    begun: Option<Instant>,
    told: Option<Trouble>,
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

impl Network {
    pub fn new() -> Self {
        let (words, inbox) = mpsc::channel(WORDS);
        let (outlook, relay) = (None, Relay::NotSet);
        Self { outlook, relay, words, inbox, follower: None, look_at: None, begun: None, told: None }
    }

    /// Begins to find out what network this is; again with other servers.
    pub fn follow(&mut self, config: &NetConfig) {
        if let Some(follower) = self.follower.take() {
            follower.abort();
        }
        let (outlooks, mut found) = mpsc::channel(1);
        let (config, words) = (config.clone(), self.words.clone());
        self.follower = Some(tokio::spawn(async move {
            let pass_on = async {
                while let Some(outlook) = found.recv().await {
                    if words.send(Word::Outlook(outlook)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::join!(nat::follow(config, outlooks), pass_on);
        }));
    }

    /// For the task's `select!`.
    pub async fn next(&mut self) -> Option<Word> {
        self.inbox.recv().await
    }

    /// Our code is made. One without a relayed address, though a relay is set: what does that say?
    pub fn own_code(&mut self, config: &NetConfig, own: &Description) {
        let server = config.ice_servers.iter().find(|server| nat::is_turn(&server.url)).cloned();
        self.relay = match (server, ways(own).relayed) {
            (_, true) => Relay::Works,
            (None, false) => Relay::NotSet,
            (Some(server), false) => {
                let words = self.words.clone();
                tokio::spawn(async move {
                    let tried = relay::try_relay(&server).await;
                    // One that answers now was too slow for the code.
                    let relay = if tried.relay == Relay::Works { Relay::NoAnswer } else { tried.relay };
                    // Nobody wants to know any more.
                    let _ = words.send(Word::Relay(relay)).await;
                });
                Relay::NoAnswer
            }
        };
    }

    /// The call is in another state.
    pub fn entered(&mut self, now: Instant, state: CallState) {
        let waits = matches!(state, CallState::Connecting { own: Kind::Reply, .. });
        (self.begun, self.told) = (None, None);
        self.look_at = waits.then(|| now + LOOK);
    }
}

impl Task {
    pub(super) fn handle_word(&mut self, word: Word) {
        match word {
            Word::Outlook(outlook) => {
                self.network.outlook = Some(outlook);
                self.face.tell(Event::Network(outlook));
            }
            Word::Relay(relay) => self.network.relay = relay,
        }
    }

    async fn facts(&self, id: PeerId) -> Option<Facts> {
        let peer = self.links.get(&id)?.peer.as_ref()?;
        let (theirs, traffic) = peer.connection.seen().await;
        Some(Facts {
            own: ways(&peer.own),
            theirs,
            nat: self.network.outlook.unwrap_or_default().nat,
            relay: self.network.relay,
            has_servers: !self.net.ice_servers.is_empty(),
            traffic,
        })
    }

    /// A deadline of the call has come. Before a call is given up it is told why.
    pub(super) async fn time_out(&mut self, id: PeerId) {
        let Some(link) = self.links.get(&id) else { return };
        if link.carrier == Carrier::People
            && matches!(link.call.state(), CallState::Connecting { own: Kind::Invite, .. })
            && let Some(facts) = self.facts(id).await
        {
            let diagnosis = diagnose(&facts);
            tracing::info!(step = ?diagnosis.step, traffic = ?facts.traffic, nat = facts.nat.word(), "no connection");
            self.face.tell(Event::Trouble(Trouble::Failed(diagnosis)));
        }
        self.happen(id, Happening::TimeOut);
    }

    /// Whoever answered never gives up; but when the other side has begun and nothing comes of it, that is told, and
    /// what can be foreseen is told at once.
    pub(super) async fn look_at_connecting(&mut self) {
        let now = Instant::now();
        self.network.look_at = Some(now + LOOK);
        let Some(id) = self.lead() else { return };
        let Some(facts) = self.facts(id).await else { return };
        if facts.traffic.checks_in > 0 {
            self.network.begun.get_or_insert(now);
        }
        let is_over = self.network.begun.is_some_and(|begun| now >= begun + Call::CONNECT_LIMIT - LOOK);
        let trouble = if is_over {
            Some(Trouble::Stuck(diagnose(&facts)))
        } else if self.network.begun.is_none() && self.network.outlook.is_some() {
            forecast(&facts).map(Trouble::Expected)
        } else {
            None
        };
        if let Some(trouble) = trouble
            && self.network.told.is_none_or(|told| told.is_followed_by(trouble))
        {
            self.network.told = Some(trouble);
            self.face.tell(Event::Trouble(trouble));
        }
    }
}

impl Trouble {
    pub const fn diagnosis(self) -> Diagnosis {
        match self {
            Self::Expected(diagnosis) | Self::Stuck(diagnosis) | Self::Failed(diagnosis) => diagnosis,
        }
    }

    /// Whether the later one is news.
    fn is_followed_by(self, later: Self) -> bool {
        match (self, later) {
            (Self::Expected(before), Self::Expected(now)) => before.step != now.step,
            (Self::Expected(_), _) => true,
            (Self::Stuck(_) | Self::Failed(_), _) => false,
        }
    }
}
