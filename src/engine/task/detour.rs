//! Two members who find no path between them are linked through a third who is linked to both; so is a link whose path
//! is gone, until it is found again.

use super::Task;
use super::link::{Carrier, Link};
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::room::roster::MemberId;
use std::time::{Duration, Instant};

/// So long a path between the two themselves is looked for alone.
const ALONE: Duration = Duration::from_millis(1500);

impl Link {
    /// Who is, or is to be, at the other end.
    fn other_end(&self) -> Option<MemberId> {
        match self.carrier {
            Carrier::Room(member) => Some(member),
            Carrier::People => self.member.filter(|_| self.counts),
        }
    }

    /// Since when a path is looked for.
    fn searching_since(&self) -> Option<Instant> {
        match self.call.state() {
            CallState::Connecting { since, .. } | CallState::Reconnecting { since, .. } => Some(since),
            _ => None,
        }
    }
}

impl Task {
    /// Once a second.
    pub(super) async fn tend_detours(&mut self) {
        let now = Instant::now();
        let is_late = |link: &Link| link.searching_since().is_some_and(|since| now >= since + ALONE);
        let late: Vec<PeerId> =
            self.links.iter().filter(|(_, link)| is_late(link)).map(|(id, _)| *id).collect();
        let in_order = self.in_order();
        for id in late {
            let Some(link) = self.links.get(&id) else { continue };
            let (Some(member), Some(peer)) = (link.other_end(), &link.peer) else { continue };
            let between = self.room.roster.between(member);
            for via in between.into_iter().filter_map(|by| in_order.get(&by).copied()) {
                let Some(between) = self.links.get(&via) else { continue };
                let Some(through) = &between.peer else { continue };
                // A connection between that was made anew is another way.
                let detour = (link.attempt, between.attempt);
                if link.detours.contains(&detour) {
                    continue;
                }
                match peer.connection.reach_by(&through.connection, member).await {
                    Ok(true) => tracing::info!(link = id.0, through = via.0, "a way through another member"),
                    Ok(false) => continue,
                    Err(error) => tracing::info!(link = id.0, %error, "no way through another member"),
                }
                self.took_detour(id, detour);
                break;
            }
        }
    }

    fn took_detour(&mut self, id: PeerId, detour: (u64, u64)) {
        if let Some(link) = self.links.get_mut(&id) {
            link.detours.retain(|(attempt, _)| *attempt == link.attempt);
            link.detours.push(detour);
        }
    }
}
