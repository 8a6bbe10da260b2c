//! The shared port over TCP, for whoever sits behind a firewall that lets no UDP through. The same addresses, the same
//! number: no code has to name it, and to everything above it is the same path.
//!
//! ```text
//!   line > to an address that has a stream > queue > frames (RFC 4571) > TCP > the other side's listener
//!   sort < as if a datagram had come from there   <
//! ```
//!
//! Whoever has heard nothing over UDP for a while dials the addresses the other side told ([`run`]). Until a STUN
//! message of this call has come over a stream it proves nothing: what is sent goes over UDP as well, and it ends soon.
//! So ICE, which checks what this carries, decides as ever who is at the other end; strangers get a few short-lived
//! streams at most. RFC 6544 would have candidates of its own, which must be dialled by webrtc.

use super::{Endpoint, LineHandle, PortId, Shared};
use crate::invite::stun;
use crate::net::Link;
use crate::net::sockets::Sockets;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, tcp};
use tokio::sync::{mpsc, watch};

/// Streams of the whole port, and those among them that have proved nothing, of everybody and of one address.
const MAX_STREAMS: usize = 32;
const MAX_UNPROVEN: usize = 16;
const MAX_OF_ONE: usize = 4;
/// What one that has proved nothing may take.
const TRIAL: Duration = Duration::from_secs(5);
const TRIAL_FRAMES: usize = 64;
/// One that has brought nothing for so long is dead, though nobody has said so: ICE alone sends twice a second. As long
/// as it is there no other one takes its place, and UDP is not tried either.
const SILENCE: Duration = Duration::from_secs(5);
/// The longest frame that is read: more than any datagram of a call.
const MAX_FRAME: usize = 2048;
/// Datagrams on their way into a stream: a third of a second of video. More are dropped, as a network would.
const QUEUE: usize = 128;
/// Written at once.
const BURST: usize = 32;
/// UDP has been tried for so long when the first stream is dialled, and between two rounds, doubled.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(4);
/// Streams dialled in one round.
const MAX_DIALS: usize = 8;
/// After an error of the listener (too many open files, say).
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Streams(HashMap<(PortId, SocketAddr), Stream>);

struct Stream {
    queue: mpsc::Sender<Box<[u8]>>,
    is_proven: bool,
    /// Tells it from an earlier one between the same addresses.
    number: u64,
}

impl Streams {
    /// Takes a datagram for this address if there is a stream to it; gives whether it need not go over UDP.
    pub fn send(&self, port: PortId, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some(stream) = self.0.get(&(port, to)) else { return false };
        // No room: as good as lost on the way.
        let _ = stream.queue.try_send(datagram.into());
        stream.is_proven
    }

    pub fn end(&mut self, at: &(PortId, SocketAddr)) {
        self.0.remove(at);
    }

    fn has_room(&self, from: IpAddr) -> bool {
        let unproven = || self.0.iter().filter(|(_, stream)| !stream.is_proven);
        let of_one = unproven().filter(|((_, remote), _)| remote.ip() == from).count();
        self.0.len() < MAX_STREAMS && unproven().count() < MAX_UNPROVEN && of_one < MAX_OF_ONE
    }
}

/// Takes streams at the address of one of the port's sockets as long as the port is open.
pub(super) async fn listen(shared: Weak<Shared>, port: PortId, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let accepted = listener.accept().await;
        let Some(shared) = shared.upgrade() else { return };
        match accepted {
            Ok((stream, from)) => {
                if !shared.state().lines.is_empty() {
                    shared.carry(port, from, stream);
                }
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

impl Shared {
    /// Puts a stream beside the socket of this port, if there is room for it.
    fn carry(self: &Arc<Self>, port: PortId, remote: SocketAddr, stream: TcpStream) {
        let mut state = self.state();
        if !state.streams.has_room(remote.ip()) || state.streams.0.contains_key(&(port, remote)) {
            return;
        }
        // What is small should not wait for more.
        let _ = stream.set_nodelay(true);
        let (queue, waiting) = mpsc::channel(QUEUE);
        state.next += 1;
        let number = state.next;
        state.streams.0.insert((port, remote), Stream { queue, is_proven: false, number });
        self.has_others.store(true, Ordering::Relaxed);
        tokio::spawn(run_stream(Arc::downgrade(self), (port, remote), number, stream, waiting));
    }

    /// A frame has come in; gives whether the stream is proven by now.
    fn framed(&self, (port, remote): (PortId, SocketAddr), number: u64, frame: &[u8]) -> bool {
        let mut state = self.state();
        let of_use = state.sort(Instant::now(), port, remote, frame.len(), frame);
        let knocks = |knock: &super::Knock| knock.port == port && knock.datagram.from == remote;
        let knocked = || state.lines.values().any(|line| line.knock.as_ref().is_some_and(knocks));
        // Requests are signed, and answers name what only the other side was asked. Anybody can send an indication.
        let is_signed = || stun::is_request(frame) || state.asked.by.contains_key(&stun::transaction(frame));
        let proves = stun::is_stun(frame) && is_signed() && (of_use || knocked());
        match state.streams.0.get_mut(&(port, remote)).filter(|stream| stream.number == number) {
            Some(stream) => {
                if proves && !std::mem::replace(&mut stream.is_proven, true) {
                    tracing::info!("a path over TCP works");
                }
                stream.is_proven
            }
            None => false,
        }
    }
}

async fn run_stream(
    shared: Weak<Shared>,
    at: (PortId, SocketAddr),
    number: u64,
    stream: TcpStream,
    queue: mpsc::Receiver<Box<[u8]>>,
) {
    // Both live until it is forgotten: whoever is hung up on and comes back finds room.
    let (mut read, mut write) = stream.into_split();
    tokio::select! {
        () = inward(&shared, at, number, &mut read) => {}
        () = outward(&mut write, queue) => {}
    }
    if let Some(shared) = shared.upgrade() {
        let mut state = shared.state();
        if state.streams.0.get(&at).is_some_and(|stream| stream.number == number) {
            state.streams.end(&at);
        }
    }
}

/// Until the stream ends or is silent, what comes is no frame, or it has proved nothing in time.
async fn inward(shared: &Weak<Shared>, at: (PortId, SocketAddr), number: u64, read: &mut tcp::OwnedReadHalf) {
    let mut read = BufReader::with_capacity(16 * 1024, read);
    let mut frame = [0; MAX_FRAME];
    let trial = tokio::time::Instant::now() + TRIAL;
    let (mut is_proven, mut frames) = (false, 0);
    loop {
        let next = async {
            let length = usize::from(read.read_u16().await.ok()?);
            let frame = frame.get_mut(..length).filter(|frame| !frame.is_empty())?;
            read.read_exact(frame).await.ok()?;
            Some(length)
        };
        let end = if is_proven { tokio::time::Instant::now() + SILENCE } else { trial };
        let length = tokio::time::timeout_at(end, next).await;
        let (Ok(Some(length)), Some(shared)) = (length, shared.upgrade()) else { return };
        frames += 1;
        is_proven = shared.framed(at, number, &frame[..length]);
        if !is_proven && frames >= TRIAL_FRAMES {
            return;
        }
    }
}

/// Until the stream breaks or nobody can send into it any more.
async fn outward(write: &mut tcp::OwnedWriteHalf, mut queue: mpsc::Receiver<Box<[u8]>>) {
    let (mut datagrams, mut bytes) = (Vec::new(), Vec::new());
    while queue.recv_many(&mut datagrams, BURST).await > 0 {
        bytes.clear();
        for datagram in datagrams.drain(..) {
            if let Ok(length) = u16::try_from(datagram.len()) {
                bytes.extend(length.to_be_bytes());
                bytes.extend(datagram);
            }
        }
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Dials the other side while UDP does not reach it: before the call is up, and again if it went over a stream.
pub(in crate::net) async fn run(
    line: Weak<LineHandle>,
    sockets: Arc<Sockets>,
    mut link: watch::Receiver<Link>,
) {
    let (mut since, mut gap, mut was_up) = (None, PATIENCE, false);
    loop {
        tokio::time::sleep(STEP).await;
        let Some(line) = line.upgrade() else { return };
        let remotes = sockets.with_roam(|roam| roam.direct_remotes());
        if *link.borrow_and_update() == Link::Connected {
            (since, gap, was_up) = (None, PATIENCE, true);
            if !line.has_stream(&remotes) {
                return;
            }
            continue;
        }
        let now = Instant::now();
        let begun = *since.get_or_insert(now);
        // A stream that has broken was the only path: no need to wait.
        let due = was_up || now.saturating_duration_since(begun) >= gap;
        if !due || remotes.is_empty() {
            if remotes.is_empty() {
                since = None;
            }
            continue;
        }
        (since, gap, was_up) = (Some(now), (gap * 2).min(LONGEST), false);
        line.endpoint.dial(&remotes);
    }
}

impl LineHandle {
    fn has_stream(&self, remotes: &[SocketAddr]) -> bool {
        let state = self.endpoint.0.state();
        remotes.iter().any(|remote| state.streams.0.keys().any(|(_, other)| other == remote))
    }
}

impl Endpoint {
    fn dial(&self, remotes: &[SocketAddr]) {
        let state = self.0.state();
        let pairs = remotes.iter().flat_map(|remote| {
            let ports = state.ports.iter().enumerate();
            ports
                .filter(move |(_, port)| port.local.is_ipv4() == remote.is_ipv4())
                .map(move |(id, port)| (id, port.local.ip(), *remote))
        });
        for (port, from, remote) in
            pairs.filter(|(port, _, remote)| !state.streams.0.contains_key(&(*port, *remote))).take(MAX_DIALS)
        {
            let shared = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                let connected = tokio::time::timeout(CONNECT, connect(from, remote)).await;
                if let (Ok(Ok(stream)), Some(shared)) = (connected, shared.upgrade()) {
                    shared.carry(port, remote, stream);
                }
            });
        }
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

#[cfg(test)]
mod tests;
