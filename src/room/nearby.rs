//! People with the app open in the same network: who is listed, who may ring, and what is said between two windows.
//!
//! Calling somebody nearby is two pastes done by machine. Each open lobby announces a name and a TCP port; whoever
//! presses *Call* sends its invite there as one line of JSON, the other window shows that it rings, and *Answer*
//! sends its reply back on the same connection:
//!
//! ```text
//!   caller  {"type":"ring","name":"Ann","invite":"2can..."}  >  callee: "Ann is calling", Answer / Decline
//!           <  {"type":"reply","reply":"2can..."}  or  {"type":"declined"}  or  {"type":"busy"}
//! ```
//!
//! Nothing here proves who Ann is: a name is what somebody typed. It is the words on the screen, once both are
//! connected, that do. So anybody in the network may write anything here, and everything is limited: the number of
//! people, the length of names and lines, the rings at a time, from one address and in all.
//!
//! Pure: time comes in as an argument. `net::nearby` calls it.

use super::message::clean_name;
use crate::units::Redacted;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// More people than this are not listed.
pub const MAX_PEOPLE: usize = 24;
/// A line with an invite or a reply of many candidates has some 1,500 bytes.
pub const MAX_LINE: usize = 4096;
/// It rings no longer.
pub const RINGING: Duration = Duration::from_secs(45);
/// From one address, and from all together, it rings no more often within [`WINDOW`].
const MAX_FROM_ONE: usize = 3;
const MAX_FROM_ALL: usize = 8;
const WINDOW: Duration = Duration::from_secs(60);
/// Hexadecimal digits that name a window for as long as it is open.
pub const ID_LENGTH: usize = 16;

/// What two windows say to each other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Word {
    Ring { name: String, invite: String },
    Reply { reply: String },
    Declined,
    Busy,
}

/// Without the codes, which must not reach a log.
impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring { .. } => "Ring",
            Self::Reply { .. } => "Reply",
            Self::Declined => "Declined",
            Self::Busy => "Busy",
        })
    }
}

impl Word {
    /// `None` if it is too long or not understood.
    pub fn read(line: &[u8]) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        let word = serde_json::from_slice(line).ok()?;
        Some(match word {
            Self::Ring { name, invite } => Self::Ring { name: shown_name(&name), invite },
            Self::Reply { .. } | Self::Declined | Self::Busy => word,
        })
    }

    pub fn write(&self) -> String {
        let mut line = serde_json::to_string(self).expect("strings always make JSON");
        line.push('\n');
        line
    }
}

/// A name that somebody in the network gave, as it may be shown.
pub fn shown_name(name: &str) -> String {
    let name = clean_name(name);
    if name.is_empty() { "Somebody".into() } else { name }
}

/// Somebody in the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub address: Redacted<SocketAddrV4>,
}

/// An announcement as it came.
#[derive(Clone, Debug)]
pub struct Announcement<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub addresses: &'a [Ipv4Addr],
    pub port: u16,
}

/// Who is listed, in the order in which they came.
#[derive(Debug)]
pub struct People {
    own_id: String,
    /// Our own addresses with the length of their network's prefix.
    networks: Vec<(Ipv4Addr, u8)>,
    listed: Vec<Person>,
}

impl People {
    pub fn new(own_id: String, networks: Vec<(Ipv4Addr, u8)>) -> Self {
        Self { own_id, networks, listed: Vec::new() }
    }

    pub fn listed(&self) -> &[Person] {
        &self.listed
    }

    /// Whether the list is another one now.
    pub fn found(&mut self, announcement: &Announcement<'_>) -> bool {
        let Announcement { id, name, addresses, port } = announcement;
        let is_id = id.len() == ID_LENGTH && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        // Whoever claims an address elsewhere would have us send our invite there.
        let near = addresses.iter().find(|address| is_near(&self.networks, **address));
        let (true, true, Some(address)) = (is_id && *id != self.own_id, *port != 0, near) else {
            return false;
        };
        let address = Redacted(SocketAddrV4::new(*address, *port));
        let person = Person { id: (*id).to_owned(), name: shown_name(name), address };
        match self.listed.iter().position(|listed| listed.id == *id) {
            Some(place) => std::mem::replace(&mut self.listed[place], person.clone()) != person,
            None if self.listed.len() == MAX_PEOPLE => false,
            None => {
                self.listed.push(person);
                true
            }
        }
    }

    /// Whether the list is another one now.
    pub fn lost(&mut self, id: &str) -> bool {
        let before = self.listed.len();
        self.listed.retain(|person| person.id != id);
        self.listed.len() < before
    }
}

/// Whether an address is in one of our networks.
pub fn is_near(networks: &[(Ipv4Addr, u8)], address: Ipv4Addr) -> bool {
    networks.iter().any(|(own, prefix)| {
        let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
        own.to_bits() & mask == address.to_bits() & mask
    })
}

/// Who may ring: one at a time, and nobody without end.
#[derive(Debug, Default)]
pub struct Gate {
    rings: bool,
    lately: VecDeque<(Ipv4Addr, Instant)>,
}

impl Gate {
    /// Whether it rings for this one. [`Self::over`] follows when it has stopped.
    pub fn ring(&mut self, now: Instant, from: Ipv4Addr) -> bool {
        self.lately.retain(|(_, at)| now.saturating_duration_since(*at) < WINDOW);
        let from_one = self.lately.iter().filter(|(address, _)| *address == from).count();
        if self.rings || from_one >= MAX_FROM_ONE || self.lately.len() >= MAX_FROM_ALL {
            return false;
        }
        self.lately.push_back((from, now));
        self.rings = true;
        true
    }

    pub fn over(&mut self) {
        self.rings = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: (Ipv4Addr, u8) = (Ipv4Addr::new(192, 168, 1, 7), 24);
    const ANN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);

    fn people() -> People {
        People::new("0".repeat(ID_LENGTH), vec![LAN])
    }

    fn found(people: &mut People, id: &str, name: &str, address: [u8; 4], port: u16) -> bool {
        people.found(&Announcement { id, name, addresses: &[address.into()], port })
    }

    #[test]
    fn people_come_change_their_names_and_go() {
        let mut people = people();
        let (ann, bo) = ("a".repeat(16), "b".repeat(16));
        assert!(found(&mut people, &ann, "Ann", [192, 168, 1, 20], 5000));
        assert!(!found(&mut people, &ann, "Ann", [192, 168, 1, 20], 5000), "no news");
        assert!(found(&mut people, &bo, "  ", [192, 168, 1, 21], 5000));
        assert!(found(&mut people, &ann, "Anna", [192, 168, 1, 20], 5000));
        let names: Vec<_> = people.listed().iter().map(|person| person.name.as_str()).collect();
        assert_eq!(names, ["Anna", "Somebody"]);
        assert!(people.lost(&ann) && !people.lost(&ann));
        assert_eq!(people.listed().len(), 1);
    }

    #[test]
    fn hostile_announcements_are_bounded() {
        let mut people = people();
        let id = |n: usize| format!("{n:016x}");
        for (id, address, port) in [
            (id(0), [192, 168, 1, 20], 5000),
            ("short".into(), [192, 168, 1, 20], 5000),
            ("g".repeat(16), [192, 168, 1, 20], 5000),
            ("a".repeat(5000), [192, 168, 1, 20], 5000),
            (id(1), [192, 168, 1, 20], 0),
            (id(1), [8, 8, 8, 8], 53),
            (id(1), [192, 168, 2, 1], 80),
        ] {
            assert!(!found(&mut people, &id, "Eve", address, port), "{id} {address:?} {port}");
        }
        assert!(!people.found(&Announcement { id: &id(1), name: "", addresses: &[], port: 1 }));
        for n in 1..1000 {
            found(&mut people, &id(n), &"\u{202e}x".repeat(500), [192, 168, 1, 20], 5000);
        }
        assert_eq!(people.listed().len(), MAX_PEOPLE);
        assert!(people.listed().iter().all(|person| person.name.chars().all(|c| c == 'x')));
    }

    #[test]
    fn one_rings_at_a_time_and_nobody_without_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let other = |n| Ipv4Addr::new(192, 168, 1, n);
        let mut gate = Gate::default();
        assert!(gate.ring(at(0), ANN));
        assert!(!gate.ring(at(1), other(1)), "it rings already");
        for second in [2, 3] {
            gate.over();
            assert!(gate.ring(at(second), ANN));
        }
        gate.over();
        assert!(!gate.ring(at(4), ANN), "that was often enough");
        for n in 1..=5 {
            assert!(gate.ring(at(5), other(n)));
            gate.over();
        }
        assert!(!gate.ring(at(6), other(9)), "and so was that, from many");
        assert!(gate.ring(at(70), ANN), "a minute later");
    }

    #[test]
    fn words_survive_the_line_and_what_is_none_is_ignored() {
        let ring = Word::Ring { name: "Ann".into(), invite: "2canX".into() };
        assert_eq!(ring.write(), "{\"type\":\"ring\",\"name\":\"Ann\",\"invite\":\"2canX\"}\n");
        for word in [ring, Word::Reply { reply: "2canY".into() }, Word::Declined, Word::Busy] {
            assert_eq!(Word::read(word.write().trim_end().as_bytes()), Some(word));
        }
        let newer = br#"{"type":"ring","name":"\u202e\n","invite":"2can","hat":1}"#;
        assert!(matches!(Word::read(newer), Some(Word::Ring { name, .. }) if name == "Somebody"));
        let long = format!("{{\"type\":\"reply\",\"reply\":\"{}\"}}", "x".repeat(MAX_LINE));
        for line in [&b""[..], b"{}", b"GET / HTTP/1.1", b"\xff\xfe", br#"{"type":"ring"}"#, long.as_bytes()]
        {
            assert_eq!(Word::read(line), None);
        }
    }

    #[test]
    fn a_network_is_known_by_its_prefix() {
        for (prefix, address, near) in [
            (24, [192, 168, 1, 99], true),
            (24, [192, 168, 2, 99], false),
            (16, [192, 168, 2, 99], true),
            (32, [192, 168, 1, 7], true),
            (32, [192, 168, 1, 8], false),
            (0, [8, 8, 8, 8], true),
            (200, [192, 168, 1, 8], false),
        ] {
            assert_eq!(is_near(&[(LAN.0, prefix)], address.into()), near, "{address:?}/{prefix}");
        }
    }
}
