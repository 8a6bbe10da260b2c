//! Finds people with the app open in the same network, and carries a ring between two windows (see
//! [`room::nearby`](crate::room::nearby) for what is said and for the limits).
//!
//! ```text
//!   mDNS (its own thread) > "people" thread > list > engine
//!   TCP, LAN addresses only > one task for each caller > Ring > engine > Answer / Decline > the same task
//! ```
//!
//! Announced are a name, a random number that lives as long as the lobby is open, and a TCP port; no account, no
//! code, nothing that outlives the lobby. That is less than what most computers announce of themselves anyway (their
//! host name, printers and music), and only in networks with private addresses, never over a tunnel: hence it is on
//! unless it is switched off. Somebody in a café who does not want it turns *Show me to people nearby* off, and the
//! command line never announces anybody. A mere announcement makes no invite and opens no way into a call: the other
//! side rings, and a person says yes.

use super::interfaces;
use crate::room::nearby::{Announcement, Gate, ID_LENGTH, MAX_LINE, People, Person, RINGING, Word, is_near};
use crate::units::Redacted;
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// The port belongs to a TCP service, and so does the name (RFC 6763, 7).
const SERVICE: &str = "_twocan._tcp.local.";
const MDNS_PORT: u16 = 5353;
/// Callers that are listened to at a time.
const MAX_CALLERS: usize = 8;
/// A caller says what it wants at once.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// A reply takes as long as gathering does, after the answer.
const REPLY: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Rings and their ends under way to the engine; there is one ring at a time.
const EVENTS: usize = 16;

/// What the engine hears; the list of people is watched instead.
#[derive(Debug)]
pub enum NearbyEvent {
    /// Somebody rings.
    Ring(Ring),
    /// That ring is over: they gave up, or nobody answered.
    RingOver(u64),
}

/// Somebody who waits for an answer. Dropping it declines.
#[derive(Debug)]
pub struct Ring {
    pub id: u64,
    pub name: String,
    pub invite: Redacted<String>,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Answer {
    /// The reply comes as soon as it is made.
    Accepted(oneshot::Receiver<Redacted<String>>),
    Busy,
}

impl Ring {
    /// The other side hears nothing yet; it waits for the reply that goes in here.
    pub fn accept(self) -> oneshot::Sender<Redacted<String>> {
        let (reply, made) = oneshot::channel();
        let _ = self.answer.send(Answer::Accepted(made));
        reply
    }

    pub fn say_busy(self) {
        let _ = self.answer.send(Answer::Busy);
    }
}

/// What came of ringing somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Reply(Redacted<String>),
    Declined,
    Busy,
    /// Nobody answered, or there was no way to ask.
    NoAnswer,
}

/// In which networks, and under which name.
#[derive(Clone, Debug)]
pub struct NearbyConfig {
    pub name: String,
    /// Own addresses with the length of their network's prefix.
    networks: Vec<(Ipv4Addr, u8)>,
    mdns_port: u16,
}

impl NearbyConfig {
    /// All private networks of this machine that are no tunnels and no bridges; `None` if there are none.
    pub fn here(name: &str) -> Option<Self> {
        let networks = interfaces::neighbourhoods(&interfaces::addresses()?);
        (!networks.is_empty()).then(|| Self { name: name.into(), networks, mdns_port: MDNS_PORT })
    }
}

/// An open lobby in the network. Dropping it takes the announcement back.
pub struct Nearby {
    daemon: ServiceDaemon,
    fullname: String,
    people: watch::Receiver<Vec<Person>>,
    events: mpsc::Receiver<NearbyEvent>,
    /// Ends the listeners and the callers with it.
    _tasks: JoinSet<()>,
}

impl Drop for Nearby {
    fn drop(&mut self) {
        // Both are messages to the daemon's thread, in this order.
        let _ = self.daemon.unregister(&self.fullname);
        let _ = self.daemon.shutdown();
    }
}

impl Nearby {
    /// On a tokio runtime. The error is for the log: without people nearby there are still codes.
    pub fn start(config: NearbyConfig) -> Result<Self, String> {
        let (listeners, port) = listen(&config.networks).map_err(|error| error.to_string())?;
        let id = new_id();
        let networks: Arc<[_]> = config.networks.clone().into();
        let (daemon, fullname, found) = announce(&config, &id, port).map_err(|error| error.to_string())?;
        let (list, people) = watch::channel(Vec::new());
        let known = People::new(id, config.networks);
        std::thread::Builder::new()
            .name("people".into())
            .spawn(move || watch_people(&found, known, &list))
            .map_err(|error| error.to_string())?;
        let (out, events) = mpsc::channel(EVENTS);
        let desk = Arc::new(Desk {
            networks,
            gate: Mutex::default(),
            seats: Arc::new(Semaphore::new(MAX_CALLERS)),
            next: Mutex::new(0),
            events: out,
        });
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(serve(listener, desk.clone()));
        }
        Ok(Self { daemon, fullname, people, events, _tasks: tasks })
    }

    /// The next change; for the engine's `select!`.
    pub async fn next(&mut self) -> Change {
        tokio::select! {
            Ok(()) = self.people.changed() => Change::People(self.people.borrow_and_update().clone()),
            Some(event) = self.events.recv() => Change::Event(event),
            else => std::future::pending().await,
        }
    }
}

/// Something new from the network.
#[derive(Debug)]
pub enum Change {
    People(Vec<Person>),
    Event(NearbyEvent),
}

/// Rings somebody with an invite, and waits for the outcome. Dropping the future ends the ringing.
pub async fn ring(person: Person, name: String, invite: Redacted<String>) -> Outcome {
    let asked = async {
        let to = SocketAddr::V4(person.address.0);
        let mut stream = tokio::time::timeout(CONNECT, TcpStream::connect(to)).await.ok()?.ok()?;
        stream.write_all(Word::Ring { name, invite: invite.0 }.write().as_bytes()).await.ok()?;
        read_word(&mut stream).await
    };
    match tokio::time::timeout(RINGING + REPLY, asked).await.ok().flatten() {
        Some(Word::Reply { reply }) => Outcome::Reply(Redacted(reply)),
        Some(Word::Declined) => Outcome::Declined,
        Some(Word::Busy) => Outcome::Busy,
        Some(Word::Ring { .. }) | None => Outcome::NoAnswer,
    }
}

fn new_id() -> String {
    let mut bytes = [0; ID_LENGTH / 2];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One port on every address of these networks.
fn listen(networks: &[(Ipv4Addr, u8)]) -> std::io::Result<(Vec<TcpListener>, u16)> {
    let mut listeners = Vec::new();
    let mut port = 0;
    for (address, _) in networks {
        let bound = std::net::TcpListener::bind(SocketAddrV4::new(*address, port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.port(), TcpListener::from_std(listener)?))
        });
        match bound {
            Ok((chosen, listener)) => {
                port = chosen;
                listeners.push(listener);
            }
            Err(error) if listeners.is_empty() => return Err(error),
            Err(error) => tracing::debug!(%error, "one network less in which to be found"),
        }
    }
    Ok((listeners, port))
}

type Found = mdns_sd::Receiver<ServiceEvent>;

fn announce(
    config: &NearbyConfig,
    id: &str,
    port: u16,
) -> Result<(ServiceDaemon, String, Found), mdns_sd::Error> {
    let daemon = ServiceDaemon::new_with_port(config.mdns_port)?;
    daemon.disable_interface(IfKind::All)?;
    let addresses: Vec<IpAddr> = config.networks.iter().map(|(address, _)| IpAddr::V4(*address)).collect();
    daemon.enable_interface(addresses.clone())?;
    let host = format!("twocan-{id}.local.");
    let properties = [("v", "1"), ("name", config.name.as_str())];
    let info = ServiceInfo::new(SERVICE, id, &host, &addresses[..], port, &properties[..])?;
    let fullname = info.get_fullname().to_owned();
    daemon.register(info)?;
    let found = daemon.browse(SERVICE)?;
    Ok((daemon, fullname, found))
}

/// On a thread of its own, until the daemon ends.
fn watch_people(found: &Found, mut people: People, list: &watch::Sender<Vec<Person>>) {
    while let Ok(event) = found.recv() {
        let is_new = match event {
            ServiceEvent::ServiceResolved(service) => {
                let addresses: Vec<Ipv4Addr> = service
                    .addresses
                    .iter()
                    .filter_map(|address| match address.to_ip_addr() {
                        IpAddr::V4(v4) => Some(v4),
                        IpAddr::V6(_) => None,
                    })
                    .collect();
                people.found(&Announcement {
                    id: instance(&service.fullname),
                    name: service.txt_properties.get_property_val_str("name").unwrap_or_default(),
                    addresses: &addresses,
                    port: service.port,
                })
            }
            ServiceEvent::ServiceRemoved(_, fullname) => people.lost(instance(&fullname)),
            _ => false,
        };
        if is_new && list.send(people.listed().to_vec()).is_err() {
            return;
        }
    }
}

/// The instance of a service's full name.
fn instance(fullname: &str) -> &str {
    fullname.split('.').next().unwrap_or_default()
}

/// What the callers share.
struct Desk {
    networks: Arc<[(Ipv4Addr, u8)]>,
    gate: Mutex<Gate>,
    seats: Arc<Semaphore>,
    next: Mutex<u64>,
    events: mpsc::Sender<NearbyEvent>,
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut callers = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while callers.try_join_next().is_some() {}
        match accepted {
            Ok((stream, SocketAddr::V4(from))) if is_near(&desk.networks, *from.ip()) => {
                // No seat: the connection ends, which costs nothing more.
                if let Ok(seat) = desk.seats.clone().try_acquire_owned() {
                    let desk = desk.clone();
                    callers.spawn(async move {
                        desk.attend(stream, *from.ip()).await;
                        drop(seat);
                    });
                }
            }
            Ok(_) => {}
            // Too many files, say: not without a pause.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Desk {
    async fn attend(&self, mut stream: TcpStream, from: Ipv4Addr) {
        let word = tokio::time::timeout(FIRST_WORD, read_word(&mut stream)).await.ok().flatten();
        let Some(Word::Ring { name, invite }) = word else { return };
        let answer = match Bell::ring(self, from) {
            Some(bell) => bell.wait(name, Redacted(invite), &mut stream).await,
            None => Some(Word::Busy),
        };
        if let Some(word) = answer {
            let _ = stream.write_all(word.write().as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }
}

/// It rings as long as this lives.
struct Bell<'a> {
    desk: &'a Desk,
    id: u64,
}

impl<'a> Bell<'a> {
    fn ring(desk: &'a Desk, from: Ipv4Addr) -> Option<Self> {
        let rings = desk.gate.lock().unwrap_or_else(PoisonError::into_inner).ring(Instant::now(), from);
        let mut next = desk.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        rings.then(|| Self { desk, id: *next })
    }

    /// `None`: the caller has gone.
    async fn wait(&self, name: String, invite: Redacted<String>, stream: &mut TcpStream) -> Option<Word> {
        let (answer, answered) = oneshot::channel();
        let ring = Ring { id: self.id, name, invite, answer };
        self.desk.events.send(NearbyEvent::Ring(ring)).await.ok()?;
        let reply = async {
            match tokio::time::timeout(RINGING, answered).await {
                Ok(Ok(Answer::Accepted(made))) => match tokio::time::timeout(REPLY, made).await {
                    Ok(Ok(Redacted(reply))) => Word::Reply { reply },
                    _ => Word::Declined,
                },
                Ok(Ok(Answer::Busy)) => Word::Busy,
                Ok(Err(_)) | Err(_) => Word::Declined,
            }
        };
        tokio::select! {
            word = reply => Some(word),
            // Whoever waits says nothing; what comes is the end.
            _ = stream.read_u8() => None,
        }
    }
}

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        self.desk.gate.lock().unwrap_or_else(PoisonError::into_inner).over();
        let _ = self.desk.events.try_send(NearbyEvent::RingOver(self.id));
    }
}

async fn read_word(stream: &mut TcpStream) -> Option<Word> {
    let mut line = Vec::new();
    let mut limited = BufReader::new((&mut *stream).take(MAX_LINE as u64 + 1));
    limited.read_until(b'\n', &mut line).await.ok()?;
    Word::read(line.trim_ascii_end())
}

#[cfg(test)]
mod tests;
