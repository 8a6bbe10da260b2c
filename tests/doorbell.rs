//! Strangers at the port of an invite: 20,000 datagrams a second of every kind, while a guest comes in.

use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc::stun::textattrs::Username;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use twocan::invite::{self, Description, Guest, Secret};
use twocan::net::{Link, NetConfig, NetEvent, Peer};

const A_SECOND: u64 = 20_000;

fn loopback() -> NetConfig {
    NetConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..NetConfig::default() }
}

fn check(to: &str, from: &str, password: &str) -> Vec<u8> {
    let crypto = rtc::crypto::default_provider().unwrap();
    let mut message = Message::new();
    message
        .build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(Username::new(ATTR_USERNAME, format!("{to}:{from}"))),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                password.to_owned(),
                crypto.crypto(),
            )),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    message.raw
}

/// What strangers send, from the stupid to those who have seen the invite.
fn kinds(invite: &Description) -> Vec<(&'static str, Vec<u8>)> {
    let host = invite::secret(invite).unwrap().host();
    let stranger = Guest { fingerprint: [9; 32], nonce: [9; 8] }.ufrag();
    let other = Secret([1; 16]).host();
    let browser = format!("b{}{}", host.ufrag, "A".repeat(102));
    let called = invite::secret(invite).unwrap().called(&browser);
    vec![
        ("junk", vec![0x5a; 120]),
        ("what looks like media", [&[0x80][..], &[7; 1100]].concat()),
        ("checks for somebody else", check(&other.ufrag, &stranger, &other.password.0)),
        ("checks with a wrong signature", check(&host.ufrag, &stranger, &other.password.0)),
        ("checks in a browser's name with a wrong signature", check(&browser, "abcd", &other.password.0)),
        ("checks in a browser's name that says nothing", check(&browser, "abcd", &called.password.0)),
        ("checks by a browser", check(&host.ufrag, "abcd", &host.password.0)),
        ("checks by another guest", check(&host.ufrag, &stranger, &host.password.0)),
    ]
}

/// Sends until it is dropped.
struct Flood {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn new(to: SocketAddr, datagrams: Vec<Vec<u8>>) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (over, sent) = (over.clone(), sent.clone());
            move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let start = Instant::now();
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    let due = (start.elapsed().as_secs_f64() * A_SECOND as f64) as u64;
                    while count < due {
                        let _ = socket.send_to(&datagrams[count as usize % datagrams.len()], to);
                        count += 1;
                    }
                    sent.store(count, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        Self { over, sent, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_comes_in_through_a_flood_of_strangers() {
    let config = loopback();
    let (told, mut events) = mpsc::channel(1024);
    let (host, invite) = Peer::offer(config.clone(), told).await.unwrap();
    let port = config.endpoint.local_ports()[0];
    // All but those who have the invite and could be first.
    let datagrams = kinds(&invite).into_iter().take(7).map(|(_, datagram)| datagram).collect();
    let flood = Flood::new(port, datagrams);
    let (told_guest, mut guest_events) = mpsc::channel(1024);
    // From another address than the flood's, as from the outside: limits are for each source.
    let other = NetConfig { bind: vec!["127.0.0.2".parse().unwrap()], ..NetConfig::default() };
    let (_guest, _) = Peer::answer(other, &invite, told_guest).await.unwrap();
    let patience = Duration::from_secs(30);
    let knock = tokio::time::timeout(patience, async {
        loop {
            if let Some(NetEvent::Knock(guest)) = events.recv().await {
                return guest;
            }
        }
    });
    let knock = knock.await.expect("the guest is heard");
    host.accept(&invite::knocked(&knock, invite::secret(&invite).unwrap())).await.unwrap();
    for events in [&mut events, &mut guest_events] {
        let connected = async { while events.recv().await != Some(NetEvent::Link(Link::Connected)) {} };
        tokio::time::timeout(patience, connected).await.expect("the call comes up");
    }
    assert!(flood.sent.load(Ordering::Relaxed) > 0);
}

/// Processor time of the threads with this name, and pages this process holds.
#[cfg(target_os = "linux")]
fn used(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let named =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    let nanos = named.filter_map(|task| {
        std::fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "measures for a minute: the figure of the results"]
fn what_a_flood_costs() {
    const SECONDS: u64 = 8;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("host")
        .enable_all()
        .build()
        .unwrap();
    let config = loopback();
    let (told, mut events) = mpsc::channel(1024);
    let (_host, invite) =
        runtime.block_on(runtime.spawn(Peer::offer(config.clone(), told))).unwrap().unwrap();
    let port = config.endpoint.local_ports()[0];
    let mut all = kinds(&invite);
    // Somebody has come, so that the last kind is turned away and answered.
    let first = Guest { fingerprint: [8; 32], nonce: [8; 8] }.ufrag();
    let host = invite::secret(&invite).unwrap().host();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&check(&host.ufrag, &first, &host.password.0), port).unwrap();
    runtime.block_on(async { while !matches!(events.recv().await, Some(NetEvent::Knock(_))) {} });
    all.push(("nothing", Vec::new()));
    for (kind, datagram) in all {
        let datagrams = if datagram.is_empty() { None } else { Some(vec![datagram]) };
        let (memory, before) = (resident(), used("host"));
        let flood = datagrams.map(|datagrams| Flood::new(port, datagrams));
        std::thread::sleep(Duration::from_secs(SECONDS));
        let sent = flood.as_ref().map_or(0, |flood| flood.sent.load(Ordering::Relaxed));
        drop(flood);
        let share = (used("host") - before).as_secs_f64() / SECONDS as f64 * 100.0;
        let grown = resident().saturating_sub(memory) / 1024;
        println!("{kind}: {} a second, {share:.2} % of a core, {grown} KiB more", sent / SECONDS);
    }
}
