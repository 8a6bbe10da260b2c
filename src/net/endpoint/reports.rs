//! Reports of a receiver wait a moment while much is sent to it: webrtc's driver then reads them in the round in which it
//! sends, instead of one of their own. With 40 reports a second from each of eight receivers, that is a tenth of what
//! forwarding costs. None waits longer than [`SOON`] after the last packet, and a turn of the SFU's clock.

use super::{Datagram, DoorId, Line, LineHandle, PortId, State};
use crate::net::demux::is_rtcp;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// So long after something was sent, more is expected to be.
const SOON: Duration = Duration::from_millis(30);
/// More are not kept waiting.
const MAX_WAITING: usize = 16;

#[derive(Default)]
pub(super) struct Reports {
    waiting: VecDeque<(PortId, Datagram)>,
    /// Until then.
    wait: Option<Instant>,
}

impl Reports {
    /// Gives the datagram back if it must not wait.
    pub fn keep(&mut self, now: Instant, port: PortId, datagram: Datagram) -> Option<Datagram> {
        let may_wait = self.wait.is_some_and(|until| now < until) && self.waiting.len() < MAX_WAITING;
        let mut datagrams = datagram.bytes.chunks(datagram.stride.max(1));
        if !may_wait || !datagrams.all(is_rtcp) {
            return Some(datagram);
        }
        self.waiting.push_back((port, datagram));
        None
    }
}

impl State {
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        id: DoorId,
        port: PortId,
        from: SocketAddr,
        stride: usize,
        bytes: &[u8],
    ) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.note_heard(port, from, bytes);
        let datagram = Datagram { from, bytes: bytes.into(), stride };
        if let Some(datagram) = line.reports.keep(now, port, datagram) {
            line.hand_over_reports();
            line.hand_over(port, datagram);
        }
    }
}

impl Line {
    fn hand_over(&self, port: PortId, datagram: Datagram) -> bool {
        let inbox = self.inboxes.iter().find(|(at, _)| *at == port);
        // No room: lost, as on the network.
        inbox.is_some_and(|(_, inbox)| inbox.try_send(datagram).is_ok())
    }
}

impl Line {
    /// Gives whether the driver has something to read now.
    pub(super) fn hand_over_reports(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.reports.waiting);
        // Each is handed over, whatever becomes of the others.
        waiting.into_iter().fold(false, |is_any, (port, datagram)| self.hand_over(port, datagram) | is_any)
    }
}

impl LineHandle {
    /// Something is about to be sent. Gives whether the driver comes round by itself, to read the reports that waited.
    pub fn expect_reports(&self, now: Instant) -> bool {
        let mut state = self.endpoint.0.state();
        let Some(line) = state.lines.get_mut(&self.id) else { return false };
        line.reports.wait = Some(now + SOON);
        line.hand_over_reports()
    }

    /// Hands over what has waited for too long; gives whether any may still wait.
    pub fn take_late_reports(&self, now: Instant) -> bool {
        let mut state = self.endpoint.0.state();
        let Some(line) = state.lines.get_mut(&self.id) else { return false };
        let waits = line.reports.wait.is_some_and(|until| now < until);
        if !waits {
            line.reports.wait = None;
            line.hand_over_reports();
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::Admits;
    use crate::net::Endpoint;
    use tokio::sync::mpsc;

    const REPORT: &[u8] = &[0x8f, 205, 0, 1];
    const MEDIA: &[u8] = &[0x80, 96, 0, 1];

    #[test]
    fn reports_wait_for_what_is_sent_and_for_nothing_else() {
        let (endpoint, from) = (Endpoint::default(), SocketAddr::from(([127, 0, 0, 1], 7)));
        let (events, _) = mpsc::channel(1);
        let line = endpoint.line("ann", "password-of-22-letters", Admits::Only("bo".into()), events);
        let (inbox, mut read) = mpsc::channel(64);
        line.attach(0, inbox);
        let comes = |at, bytes: &[u8]| endpoint.0.state().deliver(at, line.id, 0, from, bytes.len(), bytes);
        let mut firsts =
            || std::iter::from_fn(|| read.try_recv().ok()).map(|one| one.bytes[1]).collect::<Vec<_>>();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        comes(at(0), REPORT);
        assert_eq!(firsts(), [205], "nothing is sent");
        assert!(!line.expect_reports(at(0)), "none has waited");
        comes(at(1), REPORT);
        comes(at(2), REPORT);
        assert!(firsts().is_empty());
        assert!(line.expect_reports(at(3)));
        assert_eq!(firsts(), [205, 205]);
        comes(at(4), REPORT);
        comes(at(5), MEDIA);
        assert_eq!(firsts(), [205, 96], "in their order");
        comes(at(40), REPORT);
        assert_eq!(firsts(), [205], "nothing was sent for a while");
        line.expect_reports(at(50));
        comes(at(51), REPORT);
        assert!(line.take_late_reports(at(52)), "more may be sent");
        assert!(firsts().is_empty());
        assert!(!line.take_late_reports(at(80)));
        assert_eq!(firsts(), [205], "nothing was sent, and nothing came");
        comes(at(81), REPORT);
        assert_eq!(firsts(), [205]);
        // Some systems give several datagrams of one length as one.
        line.expect_reports(at(90));
        let joined = [REPORT, MEDIA].concat();
        endpoint.0.state().deliver(at(91), line.id, 0, from, REPORT.len(), &joined);
        assert_eq!(firsts(), [205], "with something else");
        line.expect_reports(at(60));
        for _ in 0..=MAX_WAITING {
            comes(at(61), REPORT);
        }
        assert_eq!(firsts().len(), MAX_WAITING + 1, "one too many, and none waits");
    }
}
