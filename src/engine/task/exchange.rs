//! New descriptions while a call goes on: what is sent over a link has changed, at the hub of a room and at those who
//! send it smaller layers. They go over the control channel; one exchange at a time for each link.

use super::Task;
use super::link::Link;
use crate::invite::Kind;
use crate::ports::PeerId;
use crate::room::message::Message;
use std::time::{Duration, Instant};

/// An answer that has not come by then does not.
const PATIENCE: Duration = Duration::from_secs(5);
/// Descriptions that the other side may send in one go, and how fast it gets more: each costs some work.
const BURST: f64 = 16.0;
const PER_SECOND: f64 = 2.0;

/// One link's part of it.
pub(super) struct Exchange {
    /// There is something new to say.
    pub needed: bool,
    /// Ours is with the other side since then.
    under_way: Option<Instant>,
    /// Theirs, which came before we heard that they are the hub.
    early: Option<String>,
    /// Offers left to the other side, as of then.
    left: (f64, Instant),
}

impl Exchange {
    pub fn new(now: Instant) -> Self {
        Self { needed: false, under_way: None, early: None, left: (BURST, now) }
    }

    fn admits(&mut self, now: Instant) -> bool {
        let (left, at) = self.left;
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * PER_SECOND).min(BURST);
        self.left = ((left - 1.0).max(0.0), now);
        left >= 1.0
    }
}

impl Task {
    /// Says what is new on each link, unless the last word is still with the other side.
    pub(super) async fn describe_news(&mut self) {
        let now = Instant::now();
        for (id, link) in &mut self.links {
            let exchange = &mut link.exchange;
            if exchange.under_way.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE) {
                (exchange.under_way, exchange.needed) = (None, true);
            }
            let Some(peer) = &link.peer else { continue };
            if !exchange.needed || exchange.under_way.is_some() || !peer.control_open {
                continue;
            }
            exchange.needed = false;
            match peer.connection.describe().await {
                Ok(sdp) => {
                    exchange.under_way = Some(now);
                    peer.say(&Message::Offer { sdp });
                }
                Err(error) => tracing::warn!(link = id.0, %error, "what is sent could not be described"),
            }
        }
    }

    /// The other side says what it sends from now on.
    pub(super) async fn hear_offer(&mut self, id: PeerId, sdp: &str) {
        let hub = self.room.roster.ruling().hub;
        let Some(link) = self.links.get_mut(&id).filter(|link| link.counts) else { return };
        // Only a hub adds streams of others, and only what goes to one has layers. Who it is we may hear a little later.
        if hub.is_none() || hub != Some(self.room.me) && hub != link.member {
            link.exchange.early = Some(sdp.to_owned());
            return;
        }
        if !link.exchange.admits(Instant::now()) {
            if !std::mem::replace(&mut link.warned, true) {
                tracing::warn!(link = id.0, "descriptions come too fast: some are not taken");
            }
            return;
        }
        let Some(peer) = &link.peer else { return };
        let wins = peer.own.kind == Kind::Invite;
        match peer.connection.answer_description(sdp, wins).await {
            Ok(Some(sdp)) => {
                peer.say(&Message::Answer { sdp });
                // Ours was withdrawn for it.
                link.exchange.needed |= link.exchange.under_way.take().is_some();
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(link = id.0, %error, "a description is of no use"),
        }
    }

    /// What came before the ruling that makes sense of it.
    pub(super) async fn take_early_offers(&mut self) {
        let Some(hub) = self.room.roster.ruling().hub else { return };
        let is_its = |link: &Link| link.member == Some(hub) || hub == self.room.me;
        let early: Vec<_> = (self.links.iter_mut().filter(|(_, link)| is_its(link)))
            .filter_map(|(id, link)| Some((*id, link.exchange.early.take()?)))
            .collect();
        for (id, sdp) in early {
            self.hear_offer(id, &sdp).await;
        }
    }

    pub(super) async fn hear_answer(&mut self, id: PeerId, sdp: &str) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(peer) = &link.peer else { return };
        if link.exchange.under_way.take().is_none() {
            return;
        }
        if let Err(error) = peer.connection.settle(sdp).await {
            tracing::warn!(link = id.0, %error, "the answer to a description is of no use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_descriptions_is_cut_to_the_rate() {
        let start = Instant::now();
        let mut exchange = Exchange::new(start);
        assert_eq!((0..1000).filter(|_| exchange.admits(start)).count(), BURST as usize);
        let later = start + Duration::from_millis(1001);
        assert_eq!((0..1000).filter(|_| exchange.admits(later)).count(), PER_SECOND as usize);
    }
}
