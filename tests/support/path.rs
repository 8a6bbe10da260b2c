//! A path between two programs on this machine that a test can cut and move: two forwarding sockets, whose addresses
//! are put into the codes in place of the real ones. One program has IPv4 and the other IPv6, so there is no other
//! path, whatever they tell each other of their addresses.
//!
//! ```text
//!   Ann <-IPv4-> as Bo (Ann's code of Bo says so)  |path|  as Ann (Bo's code of Ann says so) <-IPv6-> Bo
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use twocan::invite::{self, Description, Pasted};

/// How often a forwarder looks whether the test is over.
const STEP: Duration = Duration::from_millis(20);
/// The first byte of a datagram with DTLS application data: words on the control channel, and acknowledgements.
const WORDS: u8 = 23;
/// The only address of side 0, and of side 1.
pub const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

pub struct Path {
    cut: Arc<AtomicBool>,
    /// The datagram with words of side 0 that gets lost, counted from here; 0: none.
    lose: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    sides: [Arc<Side>; 2],
}

/// What one of the two sees in place of the other.
struct Side {
    socket: Mutex<Arc<UdpSocket>>,
    /// The real address of the one who sees it.
    real: Mutex<Option<SocketAddr>>,
}

impl Side {
    fn new(side: usize) -> Arc<Self> {
        Arc::new(Self { socket: Mutex::new(Arc::new(bound(side))), real: Mutex::new(None) })
    }
    fn socket(&self) -> Arc<UdpSocket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn bound(side: usize) -> UdpSocket {
    let socket = UdpSocket::bind((ADDRESSES[side], 0)).unwrap();
    socket.set_read_timeout(Some(STEP)).unwrap();
    socket
}

impl Path {
    pub fn new() -> Self {
        let path = Self {
            cut: Arc::default(),
            lose: Arc::default(),
            over: Arc::default(),
            sides: [Side::new(0), Side::new(1)],
        };
        for (side, other) in [(0, 1), (1, 0)] {
            let (from, to) = (path.sides[side].clone(), path.sides[other].clone());
            let (cut, lose, over) = (path.cut.clone(), path.lose.clone(), path.over.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while !over.load(Ordering::Relaxed) {
                    let Ok((length, _)) = from.socket().recv_from(&mut buffer) else { continue };
                    let one_less = |left: usize| left.checked_sub(1);
                    if side == 0
                        && buffer[0] == WORDS
                        && lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1)
                    {
                        continue;
                    }
                    let target = *to.real.lock().unwrap_or_else(PoisonError::into_inner);
                    if let (false, Some(target)) = (cut.load(Ordering::Relaxed), target) {
                        let _ = to.socket().send_to(&buffer[..length], target);
                    }
                }
            });
        }
        path
    }

    /// Nothing passes from now on, or again.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// One datagram with words of side 0 gets lost: 1 is the next.
    pub fn lose_word(&self, number: usize) {
        self.lose.store(number, Ordering::Relaxed);
    }

    /// The code of side `from` (0 or 1) as the other side gets it.
    pub fn through(&self, from: usize, code: &str) -> String {
        let Ok(Pasted::Description(description)) = invite::read(code) else { panic!("no code: {code}") };
        let here = self.sides[1 - from].socket().local_addr().unwrap();
        let sdp = description.sdp.0.lines().map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            if !line.starts_with("a=candidate:") {
                return format!("{line}\r\n");
            }
            let real = SocketAddr::new(words[4].parse().unwrap(), words[5].parse().unwrap());
            *self.sides[from].real.lock().unwrap() = Some(real);
            let (ip, port) = (here.ip().to_string(), here.port().to_string());
            (words[4], words[5]) = (&ip, &port);
            format!("{}\r\n", words.join(" "))
        });
        let sdp = sdp.collect::<String>();
        invite::encode(&Description { kind: description.kind, sdp: twocan::units::Redacted(sdp) })
    }

    /// What side `seen` is seen as gets another address, as when it changes its network: what the other side sends to
    /// the old one is lost.
    pub fn move_side(&self, seen: usize) {
        *self.sides[1 - seen].socket.lock().unwrap() = Arc::new(bound(1 - seen));
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
