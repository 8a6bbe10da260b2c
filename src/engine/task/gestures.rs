//! Raised hands, reactions, and how loud somebody is played.

use super::Task;
use crate::engine::{Command, Event};
use crate::ports::PeerId;
use crate::room::message::Message;
use std::time::{Duration, Instant};

/// Reactions of one person that are shown in one [`WINDOW`]; what is beyond is dropped.
const REACTIONS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(2);

/// Counts the reactions of one person: a stranger may send thousands.
#[derive(Default)]
pub struct ReactionLimit {
    since: Option<Instant>,
    count: u32,
}

impl ReactionLimit {
    /// Whether one that comes now is shown.
    fn admit(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        if self.count == REACTIONS + 1 {
            tracing::info!("somebody sends more reactions than are shown");
        }
        self.count <= REACTIONS
    }
}

impl Task {
    pub(super) fn gesture(&mut self, command: &Command) {
        match command {
            Command::Hand(raised) => {
                self.hand_raised = *raised;
                self.say_to_all(&Message::Hand { raised: *raised });
            }
            Command::React(kind) => self.say_to_all(&Message::Reaction { kind: *kind }),
            Command::Volume(id, volume) => {
                if let Some(peer) = self.links.get(id).and_then(|link| link.peer.as_ref()) {
                    peer.media.set_volume(*volume);
                }
            }
            _ => {}
        }
    }

    /// Whoever comes later sees the hand too.
    pub(super) fn tell_hand(&self, id: PeerId) {
        if self.hand_raised {
            self.say(id, &Message::Hand { raised: true });
        }
    }

    pub(super) fn hear_gesture(&mut self, id: PeerId, gesture: &Message) {
        let Some(peer) = self.links.get_mut(&id).and_then(|link| link.peer.as_mut()) else { return };
        match gesture {
            Message::Hand { raised } => {
                peer.remote.hand_raised = *raised;
                self.tell_remote(id);
            }
            Message::Reaction { kind } if peer.reactions.admit(Instant::now()) => {
                self.face.tell(Event::Reaction(id, *kind));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_reactions_is_bounded() {
        let (mut limit, start) = (ReactionLimit::default(), Instant::now());
        let mut shown = 0;
        for ms in 0..10_000 {
            shown += u32::from(limit.admit(start + Duration::from_millis(ms)));
        }
        assert_eq!(shown, 5 * REACTIONS);
    }
}
