//! One address of a connection, as webrtc's driver sees it: its own socket in name, the shared port in truth.
//!
//! webrtc insists on binding its sockets itself, so each connection has one for every address. What it sends goes out
//! through the socket of the shared [`endpoint`](super::endpoint) on that address instead; only what belongs to a TURN
//! server keeps to its own, since an allocation belongs to a port and two connections may have one each.

use super::batch::Batch;
use super::endpoint::{Datagram, LineHandle, PortId};
use super::sockets::hand_over;
use crate::invite::stun;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Reads of the port under way to webrtc: a second of video. More are dropped, as the network would.
const INBOX: usize = 512;
/// Destinations that the endpoint was told of lately.
const KNOWN: usize = 16;

#[derive(Debug)]
pub(super) struct LineSocket {
    line: Arc<LineHandle>,
    port: PortId,
    /// Where packets really come from.
    local: SocketAddr,
    shared: Arc<dyn AsyncUdpSocket>,
    /// What leaves through it.
    pub batch: Arc<Batch>,
    own: Arc<dyn AsyncUdpSocket>,
    inbox: Mutex<mpsc::Receiver<Datagram>>,
    known: Mutex<Known>,
    relays: Arc<[SocketAddr]>,
}

/// Destinations that the endpoint was told of, and at which [`epoch`](LineHandle::epoch).
#[derive(Debug, Default)]
struct Known {
    epoch: u64,
    told: VecDeque<SocketAddr>,
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datagram of {} bytes", self.bytes.len())
    }
}

impl LineSocket {
    /// `own` is what webrtc has bound. `None`: the port has no socket on that address.
    pub fn new(
        line: &Arc<LineHandle>,
        own: Arc<dyn AsyncUdpSocket>,
        relays: &Arc<[SocketAddr]>,
    ) -> io::Result<Option<Self>> {
        let Some((port, shared)) = line.port(own.local_addr()?.ip()) else { return Ok(None) };
        let local = shared.local_addr()?;
        let (sender, inbox) = mpsc::channel(INBOX);
        line.attach(port, sender);
        let (inbox, known) = (Mutex::new(inbox), Mutex::default());
        let (line, relays) = (line.clone(), relays.clone());
        let batch = Arc::new(Batch::new(shared.clone()));
        Ok(Some(Self { line, port, local, shared, batch, own, inbox, known, relays }))
    }

    /// Tells the endpoint what has to come back here.
    fn note(&self, to: SocketAddr, contents: &[u8]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.line.epoch();
        if known.epoch != epoch {
            *known = Known { epoch, told: VecDeque::new() };
        }
        if !known.told.contains(&to) {
            if known.told.len() == KNOWN {
                known.told.pop_front();
            }
            known.told.push_back(to);
            drop(known);
            self.line.sends_to(self.port, to);
        }
        if stun::is_stun(contents) && stun::is_request(contents) {
            self.line.asks(contents);
        }
    }
}

impl AsyncUdpSocket for LineSocket {
    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(first)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Poll::Ready(Some(datagram)) = inbox.poll_recv(context) {
            let Datagram { from, bytes, stride } = datagram;
            return Poll::Ready(Ok(hand_over(from, &bytes, stride, buffer, first)));
        }
        drop(inbox);
        if self.relays.is_empty() {
            // Nothing that comes in there can be for us: the system may throw it away.
            return Poll::Pending;
        }
        self.own.poll_recv(context, buffers, meta)
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.relays.contains(&transmit.destination) {
            return self.own.poll_send(context, transmit);
        }
        self.note(transmit.destination, transmit.contents);
        if self.line.by_others(self.port, transmit) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        Poll::Ready(self.batch.send(transmit))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
    fn max_gso_segments(&self) -> usize {
        self.shared.max_gso_segments()
    }
    fn max_gro_segments(&self) -> usize {
        self.shared.max_gro_segments()
    }
}
