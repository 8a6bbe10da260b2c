//! TURN over TCP and TLS. webrtc speaks TURN over UDP only, so it is told of a server at an address that does not
//! exist, and what it sends there takes a stream instead:
//!
//! ```text
//!   webrtc's driver > StreamSocket > one of the addresses below? > queue > stream > TURN server
//!                   < StreamSocket <                      inbox  <       <
//!                                  \ anything else: the socket beneath
//! ```
//!
//! No local port is opened for it, so nobody else can use the stream. One stream for each server and connection: an
//! allocation belongs to a stream (RFC 8656, 3), so the socket that asks first has the server, and the others are
//! told that there is nothing for them; which socket it is does not matter to a stream.
//!
//! A stream that ends is made again, with back-off, when there is something to send. The server has forgotten the
//! allocation by then: a call that ran over it needs fresh codes, as after any other loss of its only path.

mod dial;
mod frame;

use super::sockets::hand_over;
pub(super) use dial::{Stream, Trouble, dial};
use frame::Transaction;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Messages on their way to or from a stream: a third of a second of video. More are dropped, as a network would.
const QUEUE: usize = 128;
/// Written at once.
const BURST: usize = 32;
/// Before a stream is made again: doubled after each that ends at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Requests that were sent lately: a stream loses nothing, so a repetition is not sent (RFC 8489, 6.2.2).
const SENT: usize = 64;

/// A TURN server that is reached over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamServer {
    /// For the certificate, and for people.
    pub host: String,
    pub addresses: Vec<SocketAddr>,
    pub tls: bool,
    /// Addresses of this machine to start from; empty: any.
    pub bind: Vec<IpAddr>,
}

/// Where webrtc believes a server to be. The blocks are for documentation and for discarding (RFC 5737, RFC 6666):
/// what would get out by mistake reaches nobody. `v6`: the sockets that are to use it are of IPv6.
pub(super) fn pretended(index: u8, v6: bool) -> SocketAddr {
    let ip = if v6 {
        IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, u16::from(index) + 1))
    } else {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, index.saturating_add(1)))
    };
    SocketAddr::new(ip, 3478)
}

/// The servers of one connection that are reached over streams. Dropping it closes them, once what is queued is sent.
#[derive(Default)]
pub(super) struct Streams {
    lines: OnceLock<Arc<[Line]>>,
}

/// The way to one server.
struct Line {
    at: SocketAddr,
    server: StreamServer,
    /// The socket that has it and the way to its stream, from the first message on.
    owner: Mutex<Option<(SocketAddr, Outbox)>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

type Outbox = mpsc::Sender<Box<[u8]>>;
type Inbox = mpsc::Sender<(SocketAddr, Box<[u8]>)>;

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streams")
    }
}

impl Streams {
    /// Before the connection is built; a second time does nothing.
    pub fn open(&self, servers: Vec<(SocketAddr, StreamServer)>) {
        let line = |(at, server)| Line { at, server, owner: Mutex::default(), trouble: Arc::default() };
        let _ = self.lines.set(servers.into_iter().map(line).collect());
    }

    /// A socket that takes the streams for what goes to these servers.
    pub fn wrap(&self, beneath: Arc<dyn AsyncUdpSocket>) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let Some(lines) = self.lines.get().filter(|lines| !lines.is_empty()) else { return Ok(beneath) };
        let local = beneath.local_addr()?;
        let (sender, inbox) = mpsc::channel(QUEUE);
        let inbox = Mutex::new(inbox);
        Ok(Arc::new(StreamSocket { beneath, local, lines: lines.clone(), sender, inbox }))
    }

    /// The first server that is not reached, and why.
    pub fn trouble(&self) -> Option<(String, Trouble)> {
        self.lines.get()?.iter().find_map(|line| {
            let trouble = *line.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            Some((line.server.host.clone(), trouble?))
        })
    }
}

struct StreamSocket {
    beneath: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    lines: Arc<[Line]>,
    sender: Inbox,
    inbox: Mutex<mpsc::Receiver<(SocketAddr, Box<[u8]>)>>,
}

impl std::fmt::Debug for StreamSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamSocket")
    }
}

impl AsyncUdpSocket for StreamSocket {
    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let Some(line) = self.lines.iter().find(|line| line.at == transmit.destination) else {
            return self.beneath.poll_send(context, transmit);
        };
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        transmit.contents.chunks(segment).for_each(|datagram| self.send(line, datagram));
        Poll::Ready(Ok(transmit.contents.len()))
    }

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
        if let Poll::Ready(Some((from, message))) = inbox.poll_recv(context) {
            return Poll::Ready(Ok(hand_over(from, &message, usize::MAX, buffer, first)));
        }
        drop(inbox);
        self.beneath.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.beneath.local_addr()
    }
    fn max_gso_segments(&self) -> usize {
        self.beneath.max_gso_segments()
    }
    fn max_gro_segments(&self) -> usize {
        self.beneath.max_gro_segments()
    }
}

impl StreamSocket {
    fn send(&self, line: &Line, datagram: &[u8]) {
        let mut owner = line.owner.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, out) = owner.get_or_insert_with(|| {
            let (out, queue) = mpsc::channel(QUEUE);
            let ends = Ends { at: line.at, queue, inbox: self.sender.clone() };
            tokio::spawn(run(line.server.clone(), line.trouble.clone(), ends));
            (self.local, out)
        });
        if *owner == self.local {
            // No room: as good as lost on the way.
            let _ = out.try_send(datagram.into());
        } else if let Some(refusal) = frame::refusal(datagram) {
            let _ = self.sender.try_send((line.at, refusal.into()));
        }
    }
}

/// The socket's side of a stream.
struct Ends {
    at: SocketAddr,
    queue: mpsc::Receiver<Box<[u8]>>,
    inbox: Inbox,
}

impl Ends {
    /// Nobody needs to wait for an answer that will not come.
    fn refuse(&self, message: &[u8]) {
        if let Some(refusal) = frame::refusal(message) {
            let _ = self.inbox.try_send((self.at, refusal.into()));
        }
    }
}

/// Keeps up the stream to one server while somebody can use it.
async fn run(server: StreamServer, told: Arc<Mutex<Option<Trouble>>>, mut ends: Ends) {
    let tell = |trouble| *told.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    let mut pause = FIRST_PAUSE;
    while let Some(first) = ends.queue.recv().await {
        let begun = tokio::time::Instant::now();
        let trouble = match dial(&server).await {
            Ok(stream) => {
                tell(None);
                match pump(stream, first, &mut ends).await {
                    Some(trouble) => trouble,
                    None => return,
                }
            }
            Err(trouble) => {
                tell(Some(trouble));
                ends.refuse(&first);
                while let Ok(message) = ends.queue.try_recv() {
                    ends.refuse(&message);
                }
                trouble
            }
        };
        tell(Some(trouble));
        tracing::info!(%trouble, tls = server.tls, "no stream to a TURN server");
        let lasted = begun.elapsed() > LONGEST_PAUSE;
        let until = tokio::time::Instant::now() + pause;
        pause = if lasted { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                message = ends.queue.recv() => match message {
                    None => return,
                    Some(message) => ends.refuse(&message),
                },
            }
        }
    }
}

/// Carries messages both ways until the stream ends; `None`: nobody wants it any more.
async fn pump(stream: Box<dyn Stream>, first: Box<[u8]>, ends: &mut Ends) -> Option<Trouble> {
    let (read, mut write) = tokio::io::split(stream);
    let Ends { at, queue, inbox } = ends;
    let outward = async {
        let mut sent = Sent::default();
        let mut bytes = Vec::with_capacity(BURST * 1300);
        let mut messages = vec![first];
        loop {
            bytes.clear();
            for message in messages.drain(..) {
                if sent.is_new(&message) && !frame::write(&message, &mut bytes) {
                    tracing::debug!(bytes = message.len(), "something else than TURN for a TURN server");
                }
            }
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                return Some(Trouble::Ended);
            }
            if queue.recv_many(&mut messages, BURST).await == 0 {
                // A stream that ends without a farewell looks like an attack to TLS.
                let _ = write.shutdown().await;
                return None;
            }
        }
    };
    tokio::select! {
        outcome = outward => outcome,
        () = inward(read, inbox, *at) => Some(Trouble::Ended),
    }
}

/// Until the stream ends or what comes is no TURN.
async fn inward(read: impl tokio::io::AsyncRead + Unpin, inbox: &Inbox, at: SocketAddr) {
    let mut read = BufReader::with_capacity(16 * 1024, read);
    let mut head = [0; frame::HEAD];
    while read.read_exact(&mut head).await.is_ok() {
        let Some(length) = frame::length(head) else {
            return tracing::info!("a TURN server sends something else than TURN");
        };
        let mut message = vec![0; length.padded];
        message[..head.len()].copy_from_slice(&head);
        if read.read_exact(&mut message[head.len()..]).await.is_err() {
            return;
        }
        message.truncate(length.message);
        let _ = inbox.try_send((at, message.into()));
    }
}

/// The requests sent on one stream.
#[derive(Default)]
struct Sent(VecDeque<Transaction>);

impl Sent {
    fn is_new(&mut self, message: &[u8]) -> bool {
        let Some(transaction) = frame::request(message) else { return true };
        if self.0.contains(&transaction) {
            return false;
        }
        if self.0.len() == SENT {
            self.0.pop_front();
        }
        self.0.push_back(transaction);
        true
    }
}

#[cfg(test)]
mod tests;
