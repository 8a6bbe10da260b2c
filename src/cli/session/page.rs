//! `twocan page`: what the terminal says about the page for phones and browsers.

use super::{Output, Phase, Session};
use crate::cli::Exit;
use crate::engine::{Command, PageGuest, PageLink};
use crate::room::call::CallState;
use std::time::Instant;

/// How far `twocan page` has come.
#[derive(Debug, Default)]
pub(super) struct Page {
    is_wanted: bool,
    told: Option<PageGuest>,
}

impl Page {
    /// The invite goes to a browser and not to stdout.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

impl Session {
    pub(super) fn serve_page(&mut self, port: Option<u16>) {
        self.page.is_wanted = true;
        self.phase = Phase::Running(CallState::Idle);
        self.send(Command::ServePage(port));
    }

    pub(super) fn handle_page(&mut self, now: Instant, link: Option<PageLink>) {
        let Some(link) = link else {
            // It was never served: the engine has said why.
            if self.page.told.is_none() && self.phase == Phase::Running(CallState::Idle) {
                self.leave(now, Exit::NotConnected);
            }
            return;
        };
        if self.page.told.is_none() {
            for link in &link.links {
                self.outputs.push_back(Output::Print(link.clone()));
            }
            self.say(
                "Open this address on a phone or another computer in the same network. Its browser will warn that it \
                 does not know this computer: go on to the page. Whoever has the address can join.",
            );
        }
        let before = self.page.told.replace(link.guest);
        match link.guest {
            PageGuest::Awaited => {}
            _ if before >= Some(link.guest) => {}
            PageGuest::Looking => self.say("Somebody has opened the page."),
            PageGuest::Joining => self.say("Somebody joins ..."),
        }
    }
}
