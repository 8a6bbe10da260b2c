//! The runtime webrtc's driver runs on: tokio, with some corrections.
//!
//! * **A sleep that can be cut short.** The driver looks at what it has to send before it handles its events, and
//!   not after. Handshakes that begin with an event (DTLS when ICE is connected, SCTP when DTLS is) would wait for
//!   the next tick, 200 ms each. Waking it early is harmless: every part of it compares its deadlines with the time.
//! * **One datagram at a time until the control channel is open.** The driver reads up to 64 before it handles
//!   the events that come of them. The first messages on a channel that both sides agreed on beforehand arrive in
//!   the same moment as the end of the SCTP handshake; read together with it, they find no channel yet and are
//!   lost, on a channel that promises to lose nothing.
//! * **Patience** of a guest who calls and is not heard yet: the driver's ticks send its checks, and become rarer (see
//!   [`backoff`](super::backoff)).
//! * **One port for all connections**: see [`endpoint`](super::endpoint) and [`line`](super::line).
//! * **Sockets that can move** to another network: see [`sockets`](super::sockets).
//! * **Packets that leave together leave in one system call**: see [`batch`](super::batch).
//! * **TURN over TCP and TLS**: see [`turn_stream`](super::turn_stream).

use super::backoff;
use super::batch::Batch;
use super::demux::is_dtls_or_media;
use super::endpoint::LineHandle;
use super::interfaces::default_routes;
use super::line::LineSocket;
use super::sockets::Sockets;
use super::tap::Tap;
use super::turn_stream::Streams;
use crate::invite::stun;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug)]
pub(super) struct DriverRuntime {
    /// This connection's share of the port.
    pub line: Arc<LineHandle>,
    relays: Arc<[SocketAddr]>,
    /// The other side was not heard yet, and since when we call.
    calling: Arc<AtomicBool>,
    since: Instant,
    /// What webrtc calls a socket, and what it is.
    names: Mutex<Vec<(SocketAddr, SocketAddr)>>,
    batches: Mutex<Vec<Weak<Batch>>>,
    nudge: Arc<Notify>,
    settled: Arc<AtomicBool>,
    remote: Arc<Mutex<Option<SocketAddr>>>,
    pub sockets: Arc<Sockets>,
    pub streams: Streams,
    pub tap: Arc<Tap>,
    /// webrtc's driver has ended: nothing comes of this connection any more.
    pub ended: Arc<Notify>,
}

/// Multicast DNS has a socket of its own, which belongs to no path (RFC 6762).
const MDNS_PORT: u16 = 5353;

impl DriverRuntime {
    /// `relays`: the addresses of the TURN servers; `calling`: a guest, who becomes patient while nobody answers.
    pub fn new(line: LineHandle, relays: Arc<[SocketAddr]>, calling: bool) -> Self {
        Self {
            calling: Arc::new(AtomicBool::new(calling)),
            since: Instant::now(),
            line: Arc::new(line),
            relays,
            names: Mutex::default(),
            batches: Mutex::default(),
            nudge: Arc::default(),
            settled: Arc::default(),
            remote: Arc::default(),
            sockets: Arc::default(),
            streams: Streams::default(),
            tap: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// What webrtc calls each socket, and the address it really has.
    pub fn names(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing more is to be sent for the moment.
    fn flush(&self) {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().filter_map(Weak::upgrade).for_each(|batch| batch.flush());
    }

    fn has_batch(&self, batch: &Arc<Batch>) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.retain(|batch| batch.strong_count() > 0);
        batches.push(Arc::downgrade(batch));
    }

    /// Ends the driver's sleep, or its next one if it does not sleep now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// What [`Self::nudge`] does, for somebody who does not keep this.
    pub fn nudger(&self) -> Arc<Notify> {
        self.nudge.clone()
    }

    /// The control channel is open: datagrams are read in bursts from now on.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// The port of the socket that the router can lead to: that of the default route, IPv4.
    pub fn port_behind_router(&self) -> Option<u16> {
        let route = default_routes()[0];
        let names = self.names();
        names.iter().find(|(_, local)| Some(local.ip()) == route).map(|(_, local)| local.port())
    }

    /// Where the last packet that was no connectivity check came from. webrtc's statistics do not know every
    /// address a packet can come from.
    pub fn remote(&self) -> Option<SocketAddr> {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for DriverRuntime {
    /// The driver has sent all it has.
    fn sleep(&self, duration: Duration) -> Pending<'static, ()> {
        self.flush();
        let nudge = self.nudge.clone();
        let calling = self.calling.load(Ordering::Relaxed);
        let duration = if calling { duration.max(backoff::gap(self.since.elapsed())) } else { duration };
        Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                () = nudge.notified() => {}
            }
        })
    }

    /// The driver is all that webrtc spawns. An error ends it, and it tells nobody.
    fn spawn(&self, future: Pending<'static, ()>) -> Box<dyn JoinHandle> {
        let ended = self.ended.clone();
        TokioRuntime.spawn(Box::pin(async move {
            future.await;
            ended.notify_one();
        }))
    }

    // The rest is tokio's.

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let own = TokioRuntime.wrap_udp_socket(socket)?;
        let name = own.local_addr()?;
        if name.port() == MDNS_PORT {
            return Ok(own);
        }
        let (io, local): (Arc<dyn AsyncUdpSocket>, _) =
            match LineSocket::new(&self.line, own.clone(), &self.relays)? {
                Some(socket) => {
                    let local = socket.local_addr()?;
                    self.has_batch(&socket.batch);
                    (Arc::new(socket), local)
                }
                None => (own, name),
            };
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push((name, local));
        let inner = Arc::new(self.sockets.wrap(self.streams.wrap(io)?)?);
        let (settled, remote, tap) = (self.settled.clone(), self.remote.clone(), self.tap.clone());
        let calling = self.calling.clone();
        Ok(Arc::new(Socket { inner, settled, remote, tap, calling, pause: AtomicBool::new(false) }))
    }
    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }
    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Pending<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }
    fn resolve_host<'a>(&'a self, host: &'a str) -> Pending<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }
    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

#[derive(Debug)]
struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    settled: Arc<AtomicBool>,
    remote: Arc<Mutex<Option<SocketAddr>>>,
    tap: Arc<Tap>,
    calling: Arc<AtomicBool>,
    /// A datagram was handed over; the driver must come round before it gets the next.
    pause: AtomicBool,
}

impl AsyncUdpSocket for Socket {
    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.pause.swap(false, Ordering::Relaxed) {
            // Whoever really waits is asked again at once.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = self.inner.poll_recv(context, buffers, meta);
        if received.is_ready() && !self.settled.load(Ordering::Relaxed) {
            self.pause.store(true, Ordering::Relaxed);
        }
        if matches!(received, Poll::Ready(Ok(1..))) {
            let first = buffers[0].get(..meta[0].len).unwrap_or_default();
            self.tap.incoming(first);
            // The answers of STUN servers are no sign of the other side.
            if !stun::is_stun(first) || stun::is_request(first) {
                self.calling.store(false, Ordering::Relaxed);
            }
        }
        if matches!(received, Poll::Ready(Ok(1..))) && is_dtls_or_media(&buffers[0]) {
            *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta[0].addr);
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
    fn poll_send(&self, context: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let sent = self.inner.poll_send(context, transmit);
        if matches!(sent, Poll::Ready(Ok(_))) {
            self.tap.outgoing(transmit.contents);
        }
        sent
    }
    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }
    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
