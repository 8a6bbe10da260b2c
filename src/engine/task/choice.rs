//! In what way sound and picture are to go through the room, if we are its host.

use super::Task;
use crate::room::topology::{Choice, Ruling};
use std::time::Instant;

impl Task {
    pub(super) fn choose(&mut self, choice: Choice) {
        self.room.choice = choice;
        self.rule();
    }

    pub(super) fn rule(&mut self) {
        let roster = &mut self.room.roster;
        if !roster.is_host() {
            return;
        }
        let me = roster.me();
        let ruling = match self.room.choice {
            Choice::Automatic | Choice::Mesh => Ruling::default(),
            Choice::Forward => Ruling { hub: Some(me), ..Ruling::default() },
            Choice::Mix => {
                let mixed = roster.members().into_keys().filter(|id| *id != me).collect();
                Ruling { hub: Some(me), mixed }
            }
        };
        if let Err(refused) = roster.rule(Instant::now(), ruling) {
            tracing::info!(%refused, "nothing is ruled");
        }
    }
}
