//! Keeps a code valid while it is out: a word to each STUN server every 20 s from the very sockets the code names, so
//! that routers keep their mappings, and a look at what comes back. Tells whether the code leads here, and when this
//! computer has moved so that a new one is needed.
//!
//! [`Keeper`] decides and has no clock; [`run`] is its task, one for each connection that is not up yet.

use super::endpoint::{LineHandle, PortId};
use super::monitor::Monitor;
use super::{Link, NetConfig, NetEvent, address};
use crate::invite::stun;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Routers forget an unused UDP mapping after 30 s at the earliest (RFC 4787, section 4.3 wants two minutes).
const EVERY: Duration = Duration::from_secs(20);
/// A request or its answer was lost: asked again this soon.
const AGAIN: Duration = Duration::from_secs(2);
/// No answer for so long, with 20 requests on the way: the server is not there, or nothing gets out.
const SILENT: Duration = Duration::from_secs(45);
/// How often this computer's own addresses are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Sockets times servers.
const MAX_WAYS: usize = 32;
/// Answers under way.
const ANSWERS: usize = 32;

/// Whether the code that is out leads here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// No STUN server has been heard yet.
    #[default]
    Unknown,
    /// No STUN server is asked: the code is for this network, or names a relay.
    Local,
    /// A STUN server sees us where the code says.
    Public,
    /// No STUN server answers any more.
    Silent,
}

/// One socket and one server.
#[derive(Clone, Debug)]
struct Way {
    port: PortId,
    server: SocketAddr,
    asked: Option<Instant>,
    answered: Option<Instant>,
    /// Where the server saw us first: that is what the code says.
    seen: Option<SocketAddr>,
    open: Option<[u8; stun::TRANSACTION]>,
}

pub(super) struct Keeper {
    ways: Vec<Way>,
    since: Instant,
    moved: bool,
}

impl Keeper {
    pub fn new(now: Instant, ways: impl Iterator<Item = (PortId, SocketAddr)>) -> Self {
        let way = |(port, server)| Way { port, server, asked: None, answered: None, seen: None, open: None };
        Self { ways: ways.take(MAX_WAYS).map(way).collect(), since: now, moved: false }
    }

    /// The next request that is due: from this socket to this server.
    pub fn poll_request(&mut self, now: Instant, transaction: [u8; 12]) -> Option<(PortId, SocketAddr)> {
        let due = |way: &&mut Way| match (way.asked, way.open) {
            (None, _) => true,
            (Some(asked), Some(_)) => now.saturating_duration_since(asked) >= AGAIN,
            (Some(asked), None) => now.saturating_duration_since(asked) >= EVERY,
        };
        let way = self.ways.iter_mut().find(due)?;
        (way.asked, way.open) = (Some(now), Some(transaction));
        Some((way.port, way.server))
    }

    pub fn handle_answer(&mut self, now: Instant, transaction: [u8; 12], seen: SocketAddr) {
        let Some(way) = self.ways.iter_mut().find(|way| way.open == Some(transaction)) else { return };
        (way.open, way.answered) = (None, Some(now));
        let before = *way.seen.get_or_insert(seen);
        if before != seen {
            way.seen = Some(seen);
            self.moved = true;
        }
    }

    /// Whether a server sees us elsewhere than the code says; told once.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    pub fn reach(&self, now: Instant) -> Reach {
        if self.ways.is_empty() {
            return Reach::Local;
        }
        let heard = self.ways.iter().filter_map(|way| way.answered).max();
        match heard {
            Some(heard) if now.saturating_duration_since(heard) < SILENT => Reach::Public,
            None if now.saturating_duration_since(self.since) < AGAIN * 3 => Reach::Unknown,
            _ => Reach::Silent,
        }
    }
}

/// Runs until the connection is up or gone. `servers`: the STUN servers.
pub(super) async fn run(
    config: NetConfig,
    line: Arc<LineHandle>,
    servers: Vec<SocketAddr>,
    monitor: Arc<Monitor>,
) {
    let (sender, mut answers) = mpsc::channel(ANSWERS);
    line.keep(sender);
    let ports = config.endpoint.local_ports();
    let ways = ports.iter().enumerate().flat_map(|(id, port)| {
        let same_family = move |server: &&SocketAddr| server.is_ipv4() == port.is_ipv4();
        servers.iter().filter(same_family).map(move |server| (id, *server))
    });
    let mut keeper = Keeper::new(Instant::now(), ways);
    let (mut told, mut next_look) = (Reach::Unknown, Instant::now());
    let mut at_first: Option<BTreeSet<IpAddr>> = None;
    let mut link = monitor.link();
    loop {
        let now = Instant::now();
        loop {
            let transaction = super::keys::random();
            let Some((port, server)) = keeper.poll_request(now, transaction) else { break };
            line.ask(port, server, transaction);
        }
        if now >= next_look {
            next_look = now + LOOK;
            let config = config.clone();
            let present = tokio::task::spawn_blocking(move || address::present(&config)).await;
            // Without any address there is no new code to be made.
            if let Some(present) = present.ok().flatten().filter(|present| !present.is_empty()) {
                let present: BTreeSet<IpAddr> = present.into_iter().collect();
                let before = at_first.get_or_insert_with(|| present.clone());
                if *before != present {
                    *before = present;
                    monitor.tell(NetEvent::Moved);
                }
            }
        }
        if keeper.take_moved() {
            monitor.tell(NetEvent::Moved);
        }
        let reach = keeper.reach(now);
        if reach != told {
            told = reach;
            monitor.tell(NetEvent::Reach(reach));
        }
        tokio::select! {
            Some((transaction, seen)) = answers.recv() => {
                keeper.handle_answer(Instant::now(), transaction, seen);
            }
            () = tokio::time::sleep(AGAIN / 2) => {}
            // Once it is up the call keeps its path alive itself.
            _ = link.wait_for(|link| *link == Link::Connected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Runs a keeper over `seconds`, one step a second; `answer` is what the server says in each. Gives when requests
    /// went out, and the reach at the end.
    fn run(
        keeper: &mut Keeper,
        start: Instant,
        seconds: u64,
        answer: impl Fn(u64) -> Option<SocketAddr>,
    ) -> Vec<u64> {
        let mut asked = Vec::new();
        for second in 0..seconds {
            let (now, transaction) = (start + Duration::from_secs(second), [second as u8; 12]);
            if keeper.poll_request(now, transaction).is_some() {
                asked.push(second);
                if let Some(seen) = answer(second) {
                    keeper.handle_answer(now, transaction, seen);
                }
            }
        }
        asked
    }

    fn keeper(now: Instant) -> Keeper {
        Keeper::new(now, [(0, address("192.0.2.1:3478"))].into_iter())
    }

    #[test]
    fn a_mapping_is_kept_alive_for_an_hour() {
        let start = Instant::now();
        let mut keeper = keeper(start);
        let asked = run(&mut keeper, start, 3600, |_| Some(address("203.0.113.7:1000")));
        assert_eq!(asked.len(), 180);
        assert!(asked.windows(2).all(|two| two[1] - two[0] == 20));
        assert_eq!(keeper.reach(start + Duration::from_secs(3600)), Reach::Public);
        assert!(!keeper.take_moved());
    }

    #[test]
    fn what_is_lost_is_asked_again_and_silence_is_told() {
        let start = Instant::now();
        let mut keeper = keeper(start);
        assert_eq!(keeper.reach(start), Reach::Unknown);
        let asked = run(&mut keeper, start, 25, |second| (second != 20).then(|| address("203.0.113.7:1000")));
        assert_eq!(asked, [0, 20, 22]);
        let later = start + Duration::from_secs(25);
        run(&mut keeper, later, 100, |_| None);
        assert_eq!(keeper.reach(later + Duration::from_secs(100)), Reach::Silent);
        run(&mut keeper, later + Duration::from_secs(100), 5, |_| Some(address("203.0.113.7:1000")));
        assert_eq!(keeper.reach(later + Duration::from_secs(105)), Reach::Public);
        assert!(!keeper.take_moved());
    }

    #[test]
    fn another_address_is_told_once() {
        let start = Instant::now();
        let mut keeper = keeper(start);
        let port = |second: u64| if second < 30 { 1000 } else { 2000 };
        run(&mut keeper, start, 100, |second| Some(address(&format!("203.0.113.7:{}", port(second)))));
        assert!(keeper.take_moved() && !keeper.take_moved());
        // An answer to nothing that was asked says nothing.
        keeper.handle_answer(start, [0xff; 12], address("198.51.100.1:1"));
        assert!(!keeper.take_moved());
    }

    #[test]
    fn without_a_server_a_code_is_for_this_network() {
        let now = Instant::now();
        let mut keeper = Keeper::new(now, std::iter::empty());
        assert_eq!((keeper.poll_request(now, [0; 12]), keeper.reach(now)), (None, Reach::Local));
    }
}
