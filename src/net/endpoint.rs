//! The UDP port of this program: one number on every address of the machine, shared by all connections. So there is
//! one NAT mapping to keep alive, one port to open in a router, and a guest can knock at it with nothing but an
//! invite.
//!
//! ```text
//!   port (a socket for each address) > reader task > sort > line > webrtc's driver
//!     check        > the line it is signed for, or a knock (`invite::Doorbell`)
//!     its answer   > the line, or the keeper, that asked
//!     all the rest > the line that last sent to where it comes from
//! ```
//!
//! Where UDP does not get through, the same addresses and numbers are tried over TCP ([`stream`]); where nothing does,
//! another member of the room may pass datagrams on ([`hop`]).
//!
//! A *line* is one connection's share of the port. What belongs to no line is forgotten where it is read: a
//! connection never sees it, and no memory is taken. webrtc binds a socket of its own for each address besides
//! ([`line`](super::line)): it serves TURN, whose allocations belong to a port, and lends webrtc its name.

pub(super) mod hop;
mod reports;
pub(super) mod stream;

use super::sockets::send_now;
use super::{NetEvent, keys};
use crate::invite::{Admits, Caller, DoorId, Doorbell, Secret, stun};
use crate::room::roster::MemberId;
use hop::{Allowance, Hops};
use reports::Reports;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use stream::Streams;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

/// Addresses that have a socket; those that are gone for good count as well.
const MAX_PORTS: usize = 32;
/// Where the packets of a line go and come from: candidates of the other side, and addresses it moved to.
const MAX_REMOTES: usize = 128;
/// Requests whose answers are waited for. More than any connection sends in the seconds an answer may take.
const MAX_ASKED: usize = 1024;
/// Datagrams read with one call, where the system can.
const BATCH: usize = 32;
/// The largest datagram, and what the system may join into one.
const BUFFER: usize = 64 * 1024;
/// So many datagrams in a row that belong to nobody are a flood. As long as it lasts, reading rests between two
/// batches: the price of a flood is in waking up. What comes in meanwhile waits in the system's buffer.
const FLOOD: usize = 64;
const REST: Duration = Duration::from_millis(3);
/// While a code is out and nobody has come yet, it rests longer and reads no more than this at once: about what the
/// system's buffer holds. The rest of the flood is thrown away by the system, at no cost of ours. A third of all
/// knocks is heard still, and a guest knocks every 50 ms at first.
const LONG_REST: Duration = Duration::from_millis(40);
const BATCHES: usize = 8;
/// A socket that cannot be read, since its address is away, is tried again after this.
const AGAIN: Duration = Duration::from_millis(200);

/// The place of a port's socket in the list.
pub(super) type PortId = usize;

/// A handle; its clones are the same port. The last one closes it.
#[derive(Clone)]
pub struct Endpoint(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Counts the changes that make what a line remembers of [`LineHandle::sends_to`] void.
    epoch: AtomicU64,
    /// Whether there has ever been a stream or a hop: most calls need not look for one.
    has_others: AtomicBool,
}

struct State {
    /// Which all sockets have if they can get it.
    number: u16,
    ports: Vec<Port>,
    lines: HashMap<DoorId, Line>,
    remotes: HashMap<(PortId, SocketAddr), DoorId>,
    asked: Asked,
    doorbell: Doorbell,
    streams: Streams,
    hops: Hops,
    next: u64,
}

struct Port {
    local: SocketAddr,
    io: Arc<dyn AsyncUdpSocket>,
    reader: JoinHandle<()>,
    /// Takes streams; another program may have the number for TCP.
    listener: Option<JoinHandle<()>>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.reader.abort();
        self.listener.iter().for_each(JoinHandle::abort);
    }
}

struct Line {
    inboxes: Vec<(PortId, mpsc::Sender<Datagram>)>,
    events: mpsc::Sender<NetEvent>,
    /// In the order they came.
    remotes: VecDeque<(PortId, SocketAddr)>,
    /// For the answers of the other side, once it is known.
    their_key: Option<ring::hmac::Key>,
    knock: Option<Knock>,
    /// Gets what STUN servers say to what it asked.
    keeper: Option<mpsc::Sender<([u8; stun::TRANSACTION], SocketAddr)>>,
    /// Who is at the other end, if it may be reached through us.
    member: Option<MemberId>,
    /// Where media and handshakes of the other end come in from.
    heard: Option<(PortId, SocketAddr)>,
    allowance: Allowance,
    reports: Reports,
}

/// The newest check of the guest that came first, handed on when it is let in.
struct Knock {
    /// The guest's user name, or what a browser calls us.
    name: String,
    port: PortId,
    datagram: Datagram,
}

/// One or several datagrams of the same length, from one address.
#[derive(Clone)]
pub(super) struct Datagram {
    pub from: SocketAddr,
    pub bytes: Box<[u8]>,
    pub stride: usize,
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Line(DoorId),
    Keeper(DoorId),
}

/// Whose answer it is; the oldest are forgotten.
#[derive(Default)]
struct Asked {
    by: HashMap<[u8; stun::TRANSACTION], Asker>,
    order: VecDeque<[u8; stun::TRANSACTION]>,
}

impl Asked {
    fn add(&mut self, transaction: [u8; stun::TRANSACTION], asker: Asker) {
        if self.by.insert(transaction, asker).is_none() {
            self.order.push_back(transaction);
        }
        if self.order.len() > MAX_ASKED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by.remove(&oldest);
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        let state = State {
            number: 0,
            ports: Vec::new(),
            lines: HashMap::new(),
            remotes: HashMap::new(),
            asked: Asked::default(),
            doorbell: Doorbell::new(u64::from_ne_bytes(keys::random())),
            streams: Streams::default(),
            hops: Hops::default(),
            next: 0,
        };
        let (epoch, has_others) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Shared { state: Mutex::new(state), epoch, has_others }))
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// Opens the port on these addresses, in a tokio runtime. An address that is refused is left out.
    pub(super) fn open(&self, addresses: impl Iterator<Item = IpAddr>) {
        let mut state = self.0.state();
        for address in addresses {
            if state.ports.len() < MAX_PORTS
                && !state.ports.iter().any(|port| port.local.ip() == address)
                && let Err(error) = state.bind(&self.0, address)
            {
                tracing::info!(%error, "the shared port has no socket on an address");
            }
        }
    }

    /// The sockets of the port: the address and UDP port number of each. Empty before the first connection is made
    /// or [`Endpoint::open`]ed.
    pub fn local_ports(&self) -> Vec<SocketAddr> {
        self.0.state().ports.iter().map(|port| port.local).collect()
    }

    pub(super) fn port(&self, address: IpAddr) -> Option<(PortId, Arc<dyn AsyncUdpSocket>)> {
        let state = self.0.state();
        let (id, port) = state.ports.iter().enumerate().find(|(_, port)| port.local.ip() == address)?;
        Some((id, port.io.clone()))
    }

    /// A share of the port for a connection that goes by this user name and password. `admits`: whom it lets in before
    /// the other side is known.
    pub(super) fn line(
        &self,
        ufrag: &str,
        password: &str,
        admits: Admits,
        events: mpsc::Sender<NetEvent>,
    ) -> LineHandle {
        let mut state = self.0.state();
        state.next += 1;
        let id = DoorId(state.next);
        let has_invite = admits == Admits::Guests;
        state.doorbell.add(id, ufrag, password, admits);
        let line = Line {
            inboxes: Vec::new(),
            events,
            remotes: VecDeque::new(),
            their_key: None,
            knock: None,
            keeper: None,
            member: None,
            heard: None,
            allowance: Allowance::default(),
            reports: Reports::default(),
        };
        state.lines.insert(id, line);
        LineHandle { endpoint: self.clone(), id, has_invite, taken: OnceLock::new() }
    }
}

impl State {
    fn bind(&mut self, shared: &Arc<Shared>, address: IpAddr) -> io::Result<()> {
        let bind = |number| std::net::UdpSocket::bind(SocketAddr::new(address, number));
        // Another program may have the number on this address.
        let socket = bind(self.number).or_else(|_| bind(0))?;
        let io = TokioRuntime.wrap_udp_socket(socket)?;
        let local = io.local_addr()?;
        if self.number == 0 {
            self.number = local.port();
        }
        let id = self.ports.len();
        let reader = tokio::spawn(read(Arc::downgrade(shared), id, io.clone()));
        let listener = std::net::TcpListener::bind(local).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(tokio::spawn(stream::listen(Arc::downgrade(shared), id, listener)))
        });
        self.ports.push(Port { local, io, reader, listener: listener.ok() });
        Ok(())
    }

    /// Sorts what came in with one read, from one address; gives whether any of it belongs to somebody.
    fn sort(&mut self, now: Instant, port: PortId, from: SocketAddr, stride: usize, bytes: &[u8]) -> bool {
        let mut run: Option<(DoorId, usize)> = None;
        let (mut end, mut of_use) = (0, false);
        for datagram in bytes.chunks(stride.max(1)) {
            let line = match hop::is_framed(datagram) {
                true => {
                    of_use |= self.hop(now, port, from, datagram);
                    None
                }
                false => self.owner(now, port, from, datagram),
            };
            of_use |= line.is_some();
            if let Some((id, start)) = run
                && line != Some(id)
            {
                self.deliver(now, id, port, from, stride, &bytes[start..end]);
                run = None;
            }
            if let (Some(id), None) = (line, run) {
                run = Some((id, end));
            }
            end += datagram.len();
        }
        if let Some((id, start)) = run {
            self.deliver(now, id, port, from, stride, &bytes[start..end]);
        }
        of_use
    }

    fn owner(&mut self, now: Instant, port: PortId, from: SocketAddr, datagram: &[u8]) -> Option<DoorId> {
        if !stun::is_stun(datagram) {
            return self.remotes.get(&(port, from)).copied();
        }
        if stun::is_request(datagram) {
            return match self.doorbell.ring(now, from.ip(), datagram) {
                Caller::Expected(id) => Some(id),
                Caller::Guest(id, guest) => {
                    self.knock(port, from, id, guest.ufrag(), NetEvent::Knock(guest), datagram);
                    None
                }
                Caller::Browser(id, guest) => {
                    let name = guest.name().to_owned();
                    self.knock(port, from, id, name, NetEvent::BrowserKnock(guest), datagram);
                    None
                }
                Caller::TurnedAway(answer) => {
                    self.send(port, from, &answer);
                    None
                }
                Caller::Stranger => None,
            };
        }
        match self.asked.by.get(&stun::transaction(datagram)) {
            Some(Asker::Line(id)) => {
                let line = self.lines.get(id)?;
                let key = line.their_key.as_ref();
                // A refusal is no sign of life of the connection: it ends here.
                let Some(turned) = key.and_then(|key| stun::refusal(datagram, key)) else { return Some(*id) };
                let _ = line.events.try_send(NetEvent::TurnedAway(turned));
                None
            }
            Some(Asker::Keeper(id)) => {
                let keeper = self.lines.get(id)?.keeper.as_ref()?;
                let _ = keeper.try_send((stun::transaction(datagram), stun::seen_at(datagram)?));
                None
            }
            // An indication.
            None => self.remotes.get(&(port, from)).copied(),
        }
    }

    /// A guest with a valid invite, before anybody is let in: the first is reported, others hear that they are late.
    fn knock(
        &mut self,
        port: PortId,
        from: SocketAddr,
        id: DoorId,
        name: String,
        word: NetEvent,
        bytes: &[u8],
    ) {
        // Browsers ring on until their connection is there: whoever is being let in elsewhere does not come twice.
        let is_theirs = |line: &Line| line.knock.as_ref().is_some_and(|knock| knock.name == name);
        if self.lines.iter().any(|(other, line)| *other != id && is_theirs(line)) {
            return;
        }
        let Some(line) = self.lines.get_mut(&id) else { return };
        let is_first = match &line.knock {
            Some(knock) if knock.name != name => {
                if let Some(answer) = self.doorbell.busy(id, bytes) {
                    self.send(port, from, &answer);
                }
                return;
            }
            knock => knock.is_none(),
        };
        // Without room for the word of it the guest has not come yet; it rings again.
        if is_first && line.events.try_send(word).is_err() {
            return;
        }
        line.knock =
            Some(Knock { name, port, datagram: Datagram { from, bytes: bytes.into(), stride: bytes.len() } });
    }

    fn send(&self, port: PortId, destination: SocketAddr, contents: &[u8]) {
        if self.by_hop(port, destination, contents) || self.streams.send(port, destination, contents) {
            return;
        }
        if let Some(port) = self.ports.get(port) {
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
            let _ = send_now(&*port.io, &transmit);
        }
    }

    /// Whether there is no connection whose other side is known: nothing that comes in is urgent.
    fn expects_nobody(&self) -> bool {
        self.lines.values().all(|line| line.their_key.is_none())
    }

    fn forget(&mut self, id: DoorId) {
        self.hops.end(id);
        if let Some(line) = self.lines.remove(&id) {
            for remote in line.remotes {
                if self.remotes.get(&remote) == Some(&id) {
                    self.remotes.remove(&remote);
                    self.streams.end(&remote);
                }
            }
        }
    }
}

/// Reads one socket as long as its port is open.
async fn read(shared: Weak<Shared>, port: PortId, io: Arc<dyn AsyncUdpSocket>) {
    // Pages that nothing is written to take no memory.
    let mut buffers = vec![vec![0; BUFFER]; BATCH];
    let (mut strangers, mut batches) = (0, 0);
    loop {
        let mut metas = [RecvMeta::default(); BATCH];
        let received = std::future::poll_fn(|context| {
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            io.poll_recv(context, &mut slices, &mut metas)
        })
        .await;
        let Some(shared) = shared.upgrade() else { return };
        match received {
            Ok(count) => {
                let now = Instant::now();
                let expects_nobody = {
                    let mut state = shared.state();
                    for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
                        let bytes = &buffer[..meta.len.min(BUFFER)];
                        let of_use = state.sort(now, port, meta.addr, meta.stride, bytes);
                        strangers = if of_use { 0 } else { strangers + 1 };
                    }
                    state.expects_nobody()
                };
                batches += 1;
                let is_empty = count < BATCH;
                let rest = match expects_nobody {
                    _ if strangers < FLOOD => None,
                    true => (is_empty || batches >= BATCHES).then_some(LONG_REST),
                    false => is_empty.then_some(REST),
                };
                if let Some(rest) = rest {
                    batches = 0;
                    tokio::time::sleep(rest).await;
                }
            }
            Err(error) if super::sockets::is_passing(&error) => {}
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A connection's end of its line; dropping it hangs up.
pub(super) struct LineHandle {
    endpoint: Endpoint,
    id: DoorId,
    has_invite: bool,
    /// The door of the invite through which the other side came, if that was made with another line.
    taken: OnceLock<DoorId>,
}

impl Drop for LineHandle {
    fn drop(&mut self) {
        self.endpoint.0.state().forget(self.id);
        self.endpoint.0.epoch.fetch_add(1, Ordering::Relaxed);
        self.shut();
    }
}

impl std::fmt::Debug for LineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.id.0)
    }
}

impl LineHandle {
    pub fn port(&self, address: IpAddr) -> Option<(PortId, Arc<dyn AsyncUdpSocket>)> {
        self.endpoint.port(address)
    }

    /// Nobody is let in from now on. Whoever comes with an invite that is over should hear so, and not wait.
    pub fn shut(&self) {
        let mut state = self.endpoint.0.state();
        if let Some(taken) = self.taken.get() {
            state.doorbell.set(*taken, Admits::Nobody(stun::Turned::Withdrawn));
        }
        if self.has_invite {
            state.doorbell.withdraw(self.id);
        } else {
            state.doorbell.remove(self.id);
        }
    }

    /// Whether the invite of this line is for many guests: one who comes late is not told so, and tries again.
    pub fn admit_many(&self, many: bool) {
        self.endpoint.0.state().doorbell.set_many(self.id, many);
    }

    /// What comes in on this socket of the port goes there.
    pub fn attach(&self, port: PortId, inbox: mpsc::Sender<Datagram>) {
        if let Some(line) = self.endpoint.0.state().lines.get_mut(&self.id) {
            line.inboxes.retain(|(at, _)| *at != port);
            line.inboxes.push((port, inbox));
        }
    }

    /// Browsers may knock too.
    pub fn admit_browsers(&self, secret: Secret) {
        self.endpoint.0.state().doorbell.admit_browsers(self.id, secret);
    }

    /// The door of the invite that goes by this is no longer that of the line it was made with: the guest of this name,
    /// who knocked there, is at this one. Others hear so; unless the invite is for many, or out again for the next.
    pub fn take_door(&self, guest: &str, ufrag: &str, password: &str) {
        let mut state = self.endpoint.0.state();
        let line = state.doorbell.of_one(ufrag).and_then(|id| state.lines.get(&id));
        if line.and_then(|line| line.knock.as_ref()).is_none_or(|knock| knock.name != guest) {
            return;
        }
        state.next += 1;
        let id = *self.taken.get_or_init(|| DoorId(state.next));
        state.doorbell.add(id, ufrag, password, Admits::Nobody(stun::Turned::Busy));
    }

    /// The other side is known: only it is let in from now on, and what it knocked with is handed on.
    pub fn expect(&self, ufrag: &str, password: &str) {
        let mut state = self.endpoint.0.state();
        state.doorbell.set(self.id, Admits::Only(ufrag.to_owned()));
        let Some(line) = state.lines.get_mut(&self.id) else { return };
        line.their_key = Some(stun::key(password));
        if let Some(Knock { port, datagram, .. }) = line.knock.take().filter(|knock| knock.name == ufrag)
            && let Some((_, inbox)) = line.inboxes.iter().find(|(at, _)| *at == port)
        {
            let _ = inbox.try_send(datagram);
        }
    }

    /// As long as this is the same, [`Self::sends_to`] need not be told again.
    pub fn epoch(&self) -> u64 {
        self.endpoint.0.epoch.load(Ordering::Relaxed)
    }

    /// This line sends there: what comes back is its own.
    pub fn sends_to(&self, port: PortId, remote: SocketAddr) {
        let mut state = self.endpoint.0.state();
        let before = state.remotes.insert((port, remote), self.id);
        if before == Some(self.id) {
            return;
        }
        if before.is_some() {
            self.endpoint.0.epoch.fetch_add(1, Ordering::Relaxed);
        }
        let Some(line) = state.lines.get_mut(&self.id) else { return };
        line.remotes.push_back((port, remote));
        if line.remotes.len() > MAX_REMOTES
            && let Some(oldest) = line.remotes.pop_front()
            && state.remotes.get(&oldest) == Some(&self.id)
        {
            state.remotes.remove(&oldest);
        }
    }

    /// Sends by way of another member if the address is such a one, over TCP if there is a stream; gives whether
    /// nothing need go over UDP.
    pub fn by_others(&self, port: PortId, transmit: &Transmit<'_>) -> bool {
        if !self.endpoint.0.has_others.load(Ordering::Relaxed) {
            return false;
        }
        if hop::is_hop(transmit.destination) {
            self.endpoint.0.send_by_hop(port, transmit);
            return true;
        }
        let state = self.endpoint.0.state();
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let datagrams = transmit.contents.chunks(segment);
        // Each is handed over; whether the stream is proven is the same for all.
        datagrams.fold(false, |_, datagram| state.streams.send(port, transmit.destination, datagram))
    }

    /// The answer to this request is its own.
    pub fn asks(&self, request: &[u8]) {
        let transaction = stun::transaction(request);
        self.endpoint.0.state().asked.add(transaction, Asker::Line(self.id));
    }

    /// For the keeper of this line: where answers go.
    pub fn keep(&self, answers: mpsc::Sender<([u8; stun::TRANSACTION], SocketAddr)>) {
        if let Some(line) = self.endpoint.0.state().lines.get_mut(&self.id) {
            line.keeper = Some(answers);
        }
    }

    /// Asks a STUN server through one of the port's sockets.
    pub fn ask(&self, port: PortId, server: SocketAddr, transaction: [u8; stun::TRANSACTION]) {
        let mut state = self.endpoint.0.state();
        state.asked.add(transaction, Asker::Keeper(self.id));
        state.send(port, server, &stun::question(transaction));
    }
}
