//! The sockets of one connection, and the translation that lets it move (see [`roam`](super::roam)).
//!
//! ```text
//!   webrtc's driver > Socket (one for each address at the start) > Roam > the socket of the way in use
//!                   < Socket                            < inbox  < Roam < that socket, read by a task of its own
//! ```
//!
//! A socket for an address that came later is made only when it is needed. A socket that fails does not end the
//! connection: webrtc's driver would stop with its last one.

use super::roam::{Arrival, Bound, Roam, SocketId};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

/// Datagrams on their way from one socket to another; a third of a second of video. More are dropped, as the network
/// would.
const INBOX: usize = 128;
/// Sockets for addresses that came after the start.
const MAX_LATE: usize = 8;
/// Checks over all ways go out no more often: each may have an answer, and the other side does the same.
const ROUND: Duration = Duration::from_millis(150);
/// The largest datagram, and what the system may join into one.
const BUFFER: usize = 64 * 1024;

/// All sockets of one connection.
pub(super) struct Sockets {
    inner: Mutex<Inner>,
    /// The way in use has come to life again, or has changed.
    pub stirred: Notify,
}

#[derive(Default)]
struct Inner {
    roam: Roam,
    ends: Vec<End>,
    /// Until then the way was silent for so long that somebody was told.
    told_silent: bool,
    /// When checks went out over all ways; not more often than `ROUND`, whatever stirs.
    last_round: Option<Instant>,
    waiting: Vec<Waker>,
}

/// One socket. Its place in the list is its id.
struct End {
    local: SocketAddr,
    /// webrtc's own; a late one is kept by its task.
    io: Weak<dyn AsyncUdpSocket>,
    /// For webrtc's own: datagrams that came in elsewhere.
    inbox: Option<mpsc::Sender<Datagram>>,
    /// For a late one: reads it.
    task: Option<JoinHandle<()>>,
    /// It has lost its address, or the system refuses to read from it.
    gone: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Datagram {
    from: SocketAddr,
    bytes: Box<[u8]>,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sockets")
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self { inner: Mutex::default(), stirred: Notify::new() }
    }
}

impl Sockets {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn with_roam<T>(&self, act: impl FnOnce(&mut Roam) -> T) -> T {
        act(&mut self.inner().roam)
    }

    /// Takes a socket that webrtc has bound.
    pub fn wrap(self: &Arc<Self>, io: Arc<dyn AsyncUdpSocket>) -> io::Result<Socket> {
        let local = io.local_addr()?;
        let (inbox, elsewhere) = mpsc::channel(INBOX);
        let mut inner = self.inner();
        let id = inner.ends.len();
        let io_of_end = Arc::downgrade(&io);
        inner.ends.push(End { local, io: io_of_end, inbox: Some(inbox), task: None, gone: false });
        drop(inner);
        let reported = AtomicBool::new(false);
        Ok(Socket { id, io, all: self.clone(), elsewhere: Mutex::new(elsewhere), reported })
    }

    /// Whether the way in use has been silent for `limit`; `None` before there is one. Remembered, so that the first
    /// datagram after that stirs at once.
    pub fn is_silent(&self, now: Instant, limit: Duration) -> Option<bool> {
        let mut inner = self.inner();
        let silent = inner.roam.silence(now).map(|silence| silence >= limit);
        inner.told_silent = silent == Some(true);
        silent
    }

    /// Whether the way in use begins at a socket of this connection alone.
    pub fn is_on_its_own(&self) -> bool {
        let inner = self.inner();
        let end = inner.roam.way().and_then(|way| inner.ends.get(way.socket));
        end.is_some_and(|end| end.task.is_some())
    }

    /// Where the way in use begins and ends, if it is not the one webrtc knows.
    pub fn moved_to(&self) -> Option<(SocketAddr, SocketAddr)> {
        let inner = self.inner();
        let way = inner.roam.way()?;
        let end = inner.ends.get(way.socket)?;
        inner.roam.has_moved().then_some((end.local, way.remote))
    }

    /// Looks after the sockets: `addresses` are those this machine has now. While a way is looked for, each address
    /// gets a socket, and the last check goes out again over all of them.
    pub fn tend(self: &Arc<Self>, now: Instant, addresses: &[IpAddr]) {
        let mut inner = self.inner();
        let Inner { roam, ends, waiting, last_round, .. } = &mut *inner;
        for end in ends.iter_mut() {
            let has_address = addresses.contains(&end.local.ip());
            // A socket outlives its address and works again when that comes back; a late one is made again.
            end.gone = !has_address || (end.gone && end.task.is_some());
            if end.gone
                && let Some(task) = end.task.take()
            {
                task.abort();
            }
        }
        if let Some(end) = roam.way().and_then(|way| ends.get(way.socket))
            && end.gone
            && !roam.uses_our_relay()
        {
            roam.lose();
        }
        waiting.drain(..).for_each(Waker::wake);
        if !roam.is_asking(now) {
            return;
        }
        let lacking = if roam.is_searching(now) { addresses } else { &[] };
        for address in lacking {
            let has_socket = ends.iter().any(|end| !end.gone && end.local.ip() == *address);
            if !has_socket && ends.iter().filter(|end| end.task.is_some()).count() < MAX_LATE {
                match self.late(ends.len(), *address) {
                    Ok(end) => ends.push(end),
                    Err(error) => tracing::debug!(%error, "no socket for a new address"),
                }
            }
        }
        let usable: Vec<_> = ends
            .iter()
            .enumerate()
            .filter(|(_, end)| !end.gone)
            .map(|(id, end)| (id, end.local.is_ipv6()))
            .collect();
        if last_round.is_some_and(|last| now.saturating_duration_since(last) < ROUND) {
            return;
        }
        *last_round = Some(now);
        let Some(round) = roam.round(now, &usable) else { return };
        let out: Vec<_> =
            round.ways.iter().filter_map(|way| Some((ends.get(way.socket)?.io.upgrade()?, *way))).collect();
        drop(inner);
        for (io, way) in out {
            let (destination, contents) = (way.remote, round.on(way));
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
            // What finds no room or no route is repeated in the next round.
            let _ = send_now(&*io, &transmit);
        }
    }

    fn late(self: &Arc<Self>, id: SocketId, address: IpAddr) -> io::Result<End> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(address, 0))?;
        let io = TokioRuntime.wrap_udp_socket(socket)?;
        let local = io.local_addr()?;
        let weak = Arc::downgrade(&io);
        let task = tokio::spawn(read(Arc::downgrade(self), id, io));
        tracing::info!("a socket for a new address of this computer");
        Ok(End { local, io: weak, inbox: None, task: Some(task), gone: false })
    }

    /// Sorts a datagram; what belongs to another socket of webrtc's is carried there.
    fn sort(&self, socket: SocketId, known: bool, meta: &mut RecvMeta, bytes: &[u8]) -> bool {
        let mut inner = self.inner();
        let stride = meta.stride.clamp(1, bytes.len().max(1));
        let first = &bytes[..stride.min(bytes.len())];
        let before = inner.roam.way();
        let now = Instant::now();
        let arrival = inner.roam.incoming(now, socket, known, meta.addr, first);
        let moved = inner.roam.way() != before && before.is_some();
        if moved {
            tracing::info!("the call has moved to another path");
        }
        let alive = inner.roam.silence(now) == Some(Duration::ZERO);
        if moved || (inner.told_silent && alive) {
            self.stirred.notify_one();
        }
        match arrival {
            Arrival::AsItCame => true,
            Arrival::Drop => false,
            Arrival::OfThePair { label, remote, envelope: None } if known && label == socket => {
                meta.addr = remote;
                true
            }
            Arrival::OfThePair { label, remote, envelope } => {
                if let Some(inbox) = inner.ends.get(label).and_then(|end| end.inbox.as_ref()) {
                    for bytes in bytes.chunks(stride) {
                        let bytes = match envelope {
                            Some(envelope) => {
                                envelope.seal(Bound::FromRelay, bytes).map(Vec::into_boxed_slice)
                            }
                            None => Some(bytes.into()),
                        };
                        if let Some(bytes) = bytes {
                            let _ = inbox.try_send(Datagram { from: remote, bytes });
                        }
                    }
                }
                false
            }
        }
    }
}

/// Reads a late socket until it fails or nobody wants it.
async fn read(all: Weak<Sockets>, id: SocketId, io: Arc<dyn AsyncUdpSocket>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut meta = [RecvMeta::default()];
        let received = std::future::poll_fn(|context| {
            io.poll_recv(context, &mut [IoSliceMut::new(&mut buffer)], &mut meta)
        })
        .await;
        let Some(all) = all.upgrade() else { return };
        match received {
            Ok(_) => {
                let length = meta[0].len.min(buffer.len());
                all.sort(id, false, &mut meta[0], &buffer[..length]);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::debug!(%error, "a late socket has failed");
                if let Some(end) = all.inner().ends.get_mut(id) {
                    end.gone = true;
                }
                return;
            }
        }
    }
}

/// A word about one datagram, not about the socket (as webrtc's driver has it).
pub(super) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionRefused | E::ConnectionReset | E::Interrupted | E::WouldBlock | E::TimedOut
    )
}

/// Sends if there is room, and waits for none. A task that has much to send would be told now and then that there is
/// none, to give others a turn (tokio's cooperative scheduling); nobody asks again here, so that is switched off.
pub(super) fn send_now(socket: &dyn AsyncUdpSocket, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
    let send = std::future::poll_fn(|context| socket.poll_send(context, transmit));
    pin!(tokio::task::unconstrained(send)).poll(&mut Context::from_waker(Waker::noop()))
}

/// Gives webrtc what came from elsewhere than its own socket, as one read: one datagram, or several of `stride` bytes.
pub(super) fn hand_over(
    from: SocketAddr,
    bytes: &[u8],
    stride: usize,
    buffer: &mut [u8],
    meta: &mut RecvMeta,
) -> usize {
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    *meta = RecvMeta::default();
    (meta.addr, meta.len, meta.stride) = (from, length, stride.min(length).max(1));
    1
}

/// One of webrtc's sockets.
#[derive(Debug)]
pub(super) struct Socket {
    id: SocketId,
    io: Arc<dyn AsyncUdpSocket>,
    all: Arc<Sockets>,
    elsewhere: Mutex<mpsc::Receiver<Datagram>>,
    /// That it cannot be read or written is said once.
    reported: AtomicBool,
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Datagram of {} bytes", self.bytes.len())
    }
}

impl Socket {
    fn report(&self, error: &io::Error) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::info!(%error, "a socket fails; it is tried again");
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if let Poll::Ready(Some(datagram)) = elsewhere.poll_recv(context) {
            return Poll::Ready(Ok(hand_over(datagram.from, &datagram.bytes, usize::MAX, buffer, meta)));
        }
        drop(elsewhere);
        loop {
            let received =
                self.io.poll_recv(context, std::slice::from_mut(buffer), std::slice::from_mut(meta));
            match received {
                Poll::Ready(Ok(1..)) => {
                    let length = meta.len.min(buffer.len());
                    if self.all.sort(self.id, true, meta, &buffer[..length]) {
                        return Poll::Ready(Ok(1));
                    }
                }
                Poll::Ready(Err(error)) if !is_passing(&error) => {
                    self.report(&error);
                    // Asked again when the sockets are looked after.
                    let mut inner = self.all.inner();
                    inner.waiting.push(context.waker().clone());
                    return Poll::Pending;
                }
                other => return other,
            }
        }
    }

    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let mut inner = self.all.inner();
        let of_the_pair = inner.roam.is_pair(transmit.destination);
        // What goes to a relay may be for the other side or for the relay itself: each datagram is looked at.
        let whole = transmit.contents.len().max(1);
        let segment = match transmit.segment_size {
            Some(segment) if inner.roam.is_relay(transmit.destination) => segment.max(1),
            _ => whole,
        };
        let datagrams = || transmit.contents.chunks(segment).enumerate();
        let mut moved = Vec::new();
        for (place, datagram) in datagrams() {
            if let Some((way, payload)) = inner.roam.outgoing(now, self.id, transmit.destination, datagram) {
                let io = match inner.ends.get(way.socket) {
                    Some(end) if way.socket != self.id => end.io.upgrade(),
                    _ => None,
                };
                moved.push((place, io, way.remote, &datagram[payload]));
            }
        }
        drop(inner);
        let mut sent = if moved.is_empty() {
            self.io.poll_send(context, transmit)
        } else {
            let segment_size = transmit.segment_size.filter(|_| segment == whole);
            let mut send = |io: &Arc<dyn AsyncUdpSocket>, destination, contents| {
                io.poll_send(context, &Transmit { destination, contents, segment_size, ..*transmit })
            };
            let mut sent = Poll::Ready(Ok(transmit.contents.len()));
            for (place, datagram) in datagrams() {
                let one = match moved.iter().find(|(moved, ..)| *moved == place) {
                    Some((_, io, remote, payload)) => {
                        send(io.as_ref().unwrap_or(&self.io), *remote, *payload)
                    }
                    None => send(&self.io, transmit.destination, datagram),
                };
                if !matches!(one, Poll::Ready(Ok(_))) {
                    sent = one;
                }
            }
            sent
        };
        // No route, no address: as good as lost on the way, and webrtc need not know.
        if let Poll::Ready(Err(error)) = &sent
            && of_the_pair
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.report(error);
            sent = Poll::Ready(Ok(transmit.contents.len()));
        }
        sent
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }
    fn max_gso_segments(&self) -> usize {
        self.io.max_gso_segments()
    }
    fn max_gro_segments(&self) -> usize {
        self.io.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than tokio lets a task do in one turn.
    const MANY: u8 = 250;

    #[tokio::test]
    async fn a_burst_is_sent_whole() {
        let bound = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (socket, receiver) = (TokioRuntime.wrap_udp_socket(bound()).unwrap(), bound());
        let destination = receiver.local_addr().unwrap();
        let transmit = Transmit { destination, ecn: None, contents: &[1], segment_size: None, src_ip: None };
        // A new socket is not ready at once.
        std::future::poll_fn(|context| socket.poll_send(context, &transmit)).await.unwrap();
        for n in 1..MANY {
            assert!(matches!(send_now(&*socket, &transmit), Poll::Ready(Ok(1))), "{n}");
        }
        receiver.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2];
        let received = std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).count();
        assert_eq!(received, usize::from(MANY));
    }
}
