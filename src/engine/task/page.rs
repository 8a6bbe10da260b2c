//! *Invite a phone*: an invite that nobody has to paste. The page in the guest's browser fetches it from us and brings
//! its answer back ([`PageServer`]); from there on it is a call like any other.

use super::Task;
use crate::engine::{Event, PageGuest, PageLink};
use crate::net::{PageEvent, PageServer};
use crate::room::call::CallState;
use crate::settings::Settings;
use crate::units::Redacted;
use tokio::sync::mpsc;

/// What a browser is told whose answer leads nowhere.
const NOT_TAKEN: &str = "The answer was not taken. Load this page again, then try once more.";

/// The page while it is served: until the call is up, or the invite is given up.
pub(super) struct Page {
    server: PageServer,
    events: mpsc::Receiver<PageEvent>,
    guest: PageGuest,
}

impl Task {
    /// Starts a call whose invite goes to whoever opens the page.
    pub(super) async fn serve_page(&mut self, port: Option<u16>) {
        if !self.links.is_empty() {
            return;
        }
        let (events, inbox) = mpsc::channel(PageServer::EVENTS);
        let settings = Settings::path();
        let folder = settings.as_deref().and_then(std::path::Path::parent);
        match PageServer::start(&self.net, port, folder, events).await {
            Ok(server) => {
                self.page = Some(Page { server, events: inbox, guest: PageGuest::Awaited });
                self.start();
                self.tell_page();
            }
            Err(error) => {
                tracing::info!(%error, "no page");
                self.face.tell(Event::Refused(error.into()));
                self.face.tell(Event::Page(None));
            }
        }
    }

    pub(super) fn drop_page(&mut self) {
        if self.page.take().is_some() {
            self.face.tell(Event::Page(None));
        }
    }

    pub(super) async fn handle_page(&mut self, event: PageEvent) {
        match event {
            PageEvent::Opened => self.guest_has_come(PageGuest::Looking),
            PageEvent::InviteWanted(give) => {
                let link = self.waiting_invite().and_then(|id| self.links.get(&id));
                // Dropped while there is none: the browser is told so.
                if let Some(peer) = link.and_then(|link| link.peer.as_ref()) {
                    let _ = give.send(Redacted(peer.own.to_json()));
                    self.guest_has_come(PageGuest::Joining);
                }
            }
            PageEvent::Reply { text, taken } => {
                let is_out = self.state() == CallState::WaitingForReply;
                if is_out {
                    self.paste(&text.0).await;
                }
                let is_taken = is_out && self.state() != CallState::WaitingForReply;
                let _ = taken.send(if is_taken { Ok(()) } else { Err(NOT_TAKEN.into()) });
            }
        }
    }

    fn guest_has_come(&mut self, guest: PageGuest) {
        if let Some(page) = &mut self.page
            && guest > page.guest
        {
            page.guest = guest;
            self.tell_page();
        }
    }

    /// The guest was refused or did not come after all; the page is there for the next one.
    pub(super) fn guest_has_gone(&mut self) {
        if let Some(page) = &mut self.page {
            page.guest = PageGuest::Awaited;
            self.tell_page();
        }
    }

    fn tell_page(&self) {
        if let Some(page) = &self.page {
            let link = PageLink { links: page.server.links().to_vec(), guest: page.guest };
            self.face.tell(Event::Page(Some(link)));
        }
    }
}

/// For the task's `select!`: what the page asks.
pub(super) async fn next_of(page: &mut Option<Page>) -> Option<PageEvent> {
    page.as_mut()?.events.recv().await
}
