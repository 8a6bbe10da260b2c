//! Who may come in: what is done with a connectivity check that comes to the port of our invites, whoever sent it.
//!
//! ```text
//!   datagram > a check? > for one of our doors? > within the limits? > signed? > Caller
//!              no: nothing has been computed      no: no memory is touched   no: Stranger
//! ```
//!
//! Whoever has an invite can sign a check for it, and names itself in it ([`Guest`]). That is the doorbell: whoever
//! made the invite can let the guest in without a reply. Before the signature is proved nothing is allocated, and
//! the number of signatures that are computed is limited, for each source and for all. A core: the net layer asks
//! for each datagram that belongs to no connection it knows.

use super::browser::{self, BrowserGuest};
use super::secret::{Guest, Secret};
use super::stun::{self, Check, Turned};
use ring::hmac;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Names a door for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DoorId(pub u64);

/// Whom a door lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admits {
    /// Any guest with the invite.
    Guests,
    /// The one with this user name; others hear that we are busy.
    Only(String),
    Nobody(Turned),
}

/// Who has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody we know. Forget the datagram.
    Stranger,
    /// The other end of the connection behind this door.
    Expected(DoorId),
    /// Somebody new with a valid invite.
    Guest(DoorId, Guest),
    /// Somebody new with a valid invite and a browser.
    Browser(DoorId, Box<BrowserGuest>),
    /// Somebody with a valid invite who cannot come in: send this back.
    TurnedAway(Vec<u8>),
}

struct Door {
    id: DoorId,
    ufrag: String,
    key: hmac::Key,
    admits: Admits,
    /// Of the invite, if browsers may knock as well.
    secret: Option<Secret>,
    /// Its invite is for many: whoever comes while nobody is let in yet may ring again.
    many: bool,
}

/// Connections and invites at one time, and invites that were taken back.
const MAX_DOORS: usize = 32;
/// Signatures from one source: four addresses of ours are checked by four of theirs every 50 ms.
const OF_A_SOURCE: Limit = Limit { a_second: 320, at_once: 320 };
/// Signatures in all: under 1 % of a core.
const OF_ALL: Limit = Limit { a_second: 2_000, at_once: 1_000 };
/// Sources that are told apart. Two may share a place and its limit; the table never grows.
const SOURCES: usize = 256;

#[derive(Clone, Copy)]
struct Limit {
    a_second: u32,
    at_once: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Default)]
struct Spent {
    /// Tokens taken and not given back yet.
    taken: f64,
    at: Option<Instant>,
}

impl Spent {
    fn take(&mut self, now: Instant, limit: Limit) -> bool {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.taken = (self.taken - passed.as_secs_f64() * f64::from(limit.a_second)).max(0.0);
        let free = self.taken + 1.0 <= f64::from(limit.at_once);
        if free {
            self.taken += 1.0;
        }
        free
    }
}

pub struct Doorbell {
    doors: Vec<Door>,
    all: Spent,
    sources: Box<[Spent; SOURCES]>,
    /// So that nobody can choose addresses that share a place.
    seed: u64,
}

impl Doorbell {
    /// `seed` is random.
    pub fn new(seed: u64) -> Self {
        Self {
            doors: Vec::new(),
            all: Spent::default(),
            sources: Box::new([Spent::default(); SOURCES]),
            seed,
        }
    }

    /// A door for the user name and password of one of our descriptions.
    pub fn add(&mut self, id: DoorId, ufrag: &str, password: &str, admits: Admits) {
        if self.doors.len() >= MAX_DOORS {
            // The invites that were taken back go first.
            let oldest = self.doors.iter().position(|door| matches!(door.admits, Admits::Nobody(_)));
            self.doors.remove(oldest.unwrap_or(0));
        }
        // An invite that is out again is open again.
        // Those who have come in with it keep their doors.
        self.doors.retain(|door| door.ufrag != ufrag || matches!(door.admits, Admits::Only(_)));
        let (ufrag, key) = (ufrag.to_owned(), stun::key(password));
        self.doors.push(Door { id, ufrag, key, admits, secret: None, many: false });
    }

    /// Browsers may knock at this door too, which call it by names of their own (`browser`).
    pub fn admit_browsers(&mut self, id: DoorId, secret: Secret) {
        self.doors.iter_mut().filter(|door| door.id == id).for_each(|door| door.secret = Some(secret));
    }

    /// The door at which one guest may come in by the invite with this user name.
    pub fn of_one(&self, ufrag: &str) -> Option<DoorId> {
        let is_open = |door: &&Door| door.ufrag == ufrag && door.admits == Admits::Guests && !door.many;
        self.doors.iter().find(is_open).map(|door| door.id)
    }

    pub fn set(&mut self, id: DoorId, admits: Admits) {
        self.doors.iter_mut().filter(|door| door.id == id).for_each(|door| door.admits = admits.clone());
    }

    /// Whether the invite of this door is for many guests.
    pub fn set_many(&mut self, id: DoorId, many: bool) {
        self.doors.iter_mut().filter(|door| door.id == id).for_each(|door| door.many = many);
    }

    /// Nobody comes in here any more, and hears that the invite is over; unless this was the door of one guest and the
    /// invite has others.
    pub fn withdraw(&mut self, id: DoorId) {
        let Some(door) = self.doors.iter().find(|door| door.id == id) else { return };
        let others = self.doors.iter().any(|other| other.id != id && other.ufrag == door.ufrag);
        if others && matches!(door.admits, Admits::Only(_)) {
            self.remove(id);
        } else {
            self.set(id, Admits::Nobody(Turned::Withdrawn));
        }
    }

    pub fn remove(&mut self, id: DoorId) {
        self.doors.retain(|door| door.id != id);
    }

    /// Who sent this datagram.
    pub fn ring(&mut self, now: Instant, from: IpAddr, datagram: &[u8]) -> Caller {
        if self.doors.is_empty() {
            return Caller::Stranger;
        }
        let Some(check) = Check::read(datagram) else { return Caller::Stranger };
        // An invite for many has one door for each who has come in, and one for the next.
        let rank = |door: &Door| match &door.admits {
            Admits::Only(name) if name == check.from => 0,
            Admits::Guests => 1,
            Admits::Nobody(_) => 2,
            Admits::Only(_) => 3,
        };
        let doors = self.doors.iter().enumerate().filter(|(_, door)| door.ufrag == check.to);
        let Some((place, _)) = doors.min_by_key(|(_, door)| rank(door)) else {
            return self.ring_by_browser(now, from, &check);
        };
        enum Claim {
            Expected,
            Guest(Guest),
            Turned(Turned),
        }
        let claim = match (&self.doors[place].admits, Guest::from_ufrag(check.from)) {
            (Admits::Only(name), _) if name == check.from => Claim::Expected,
            (Admits::Guests, Some(guest)) => Claim::Guest(guest),
            (Admits::Only(_), Some(_)) if self.doors[place].many => return Caller::Stranger,
            (Admits::Only(_), Some(_)) => Claim::Turned(Turned::Busy),
            (Admits::Nobody(turned), Some(_)) => Claim::Turned(*turned),
            (Admits::Guests | Admits::Only(_) | Admits::Nobody(_), None) => return Caller::Stranger,
        };
        let source = self.place(from);
        let within = self.sources[source].take(now, OF_A_SOURCE)
            && (matches!(claim, Claim::Expected) || self.all.take(now, OF_ALL));
        let door = &self.doors[place];
        if !within || !check.is_signed_with(&door.key) {
            return Caller::Stranger;
        }
        match claim {
            Claim::Expected => Caller::Expected(door.id),
            Claim::Guest(guest) => Caller::Guest(door.id, guest),
            Claim::Turned(turned) => Caller::TurnedAway(check.refuse(&door.key, turned)),
        }
    }

    /// A browser hears nothing of it if it comes in vain: it would not tell its page.
    fn ring_by_browser(&mut self, now: Instant, from: IpAddr, check: &Check) -> Caller {
        let called = browser::door(check.to);
        let admits = |door: &&Door| door.admits == Admits::Guests && Some(door.ufrag.as_str()) == called;
        let door = self.doors.iter().find(admits).and_then(|door| Some((door.id, door.secret?)));
        let Some((id, secret)) = door else { return Caller::Stranger };
        let source = self.place(from);
        let within = self.sources[source].take(now, OF_A_SOURCE) && self.all.take(now, OF_ALL);
        if !within || !check.is_signed_with(&stun::key_of(&secret.password_of(check.to))) {
            return Caller::Stranger;
        }
        let guest = BrowserGuest::read(check.to, check.from);
        guest.map_or(Caller::Stranger, |guest| Caller::Browser(id, Box::new(guest)))
    }

    /// Tells a guest who has rung that somebody else came first; `datagram` is what it rang with.
    pub fn busy(&self, id: DoorId, datagram: &[u8]) -> Option<Vec<u8>> {
        let door = self.doors.iter().find(|door| door.id == id && !door.many)?;
        let check = Check::read(datagram)?;
        (check.to == door.ufrag).then(|| check.refuse(&door.key, Turned::Busy))
    }

    fn place(&self, from: IpAddr) -> usize {
        let bits = match from {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            // Whoever has one IPv6 address has 2^64 of them.
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
        };
        let mixed = (bits ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 56) as usize % SOURCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::Secret;
    use crate::invite::stun::tests::check;
    use crate::rtp::test_time::at;

    const SECRET: Secret = Secret([7; 16]);
    const GUEST: Guest = Guest { fingerprint: [3; 32], nonce: [4; 8] };
    const OTHER: Guest = Guest { fingerprint: [5; 32], nonce: [6; 8] };
    const DOOR: DoorId = DoorId(1);

    fn source(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn doorbell(admits: Admits) -> Doorbell {
        let (mut doorbell, host) = (Doorbell::new(99), SECRET.host());
        doorbell.add(DOOR, &host.ufrag, &host.password.0, admits);
        doorbell
    }

    /// With the host's password, as everyone with the invite can.
    fn knock(from: &str) -> Vec<u8> {
        let host = SECRET.host();
        check(&host.ufrag, from, &host.password.0)
    }

    #[test]
    fn each_door_lets_in_whom_it_should() {
        let (guest, other) = (GUEST.ufrag(), OTHER.ufrag());
        let only = Admits::Only(guest.clone());
        let busy = |caller: Caller| matches!(&caller, Caller::TurnedAway(answer) if stun::refusal(answer, &stun::key(&SECRET.host().password.0)) == Some(Turned::Busy));
        let rows = [
            (Admits::Guests, guest.as_str(), Caller::Guest(DOOR, GUEST)),
            (Admits::Guests, "browser", Caller::Stranger),
            (only.clone(), &guest, Caller::Expected(DOOR)),
            (only.clone(), "browser", Caller::Stranger),
            (Admits::Only("browser".into()), "browser", Caller::Expected(DOOR)),
        ];
        for (admits, from, expected) in rows {
            assert_eq!(
                doorbell(admits.clone()).ring(at(0), source(1), &knock(from)),
                expected,
                "{admits:?} {from}"
            );
        }
        assert!(busy(doorbell(only.clone()).ring(at(0), source(1), &knock(&other))));
        let withdrawn = doorbell(Admits::Nobody(Turned::Withdrawn)).ring(at(0), source(1), &knock(&guest));
        assert!(matches!(withdrawn, Caller::TurnedAway(_)));
        let closed = &mut doorbell(Admits::Guests);
        closed.remove(DOOR);
        assert_eq!(closed.ring(at(0), source(1), &knock(&guest)), Caller::Stranger);
    }

    #[test]
    fn an_invite_for_many_has_a_door_for_each() {
        let (mut bell, host) = (doorbell(Admits::Guests), SECRET.host());
        let ring = |bell: &mut Doorbell, guest: Guest| bell.ring(at(0), source(1), &knock(&guest.ufrag()));
        assert_eq!(ring(&mut bell, GUEST), Caller::Guest(DOOR, GUEST));
        bell.set_many(DOOR, true);
        bell.set(DOOR, Admits::Only(GUEST.ufrag()));
        assert_eq!(ring(&mut bell, OTHER), Caller::Stranger, "the next door is about to open");
        let next = DoorId(2);
        bell.add(next, &host.ufrag, &host.password.0, Admits::Guests);
        assert_eq!(ring(&mut bell, OTHER), Caller::Guest(next, OTHER));
        assert_eq!(ring(&mut bell, GUEST), Caller::Expected(DOOR));
        bell.withdraw(next);
        assert!(
            matches!(ring(&mut bell, OTHER), Caller::TurnedAway(_)),
            "the invite is over, though one is here"
        );
        assert_eq!(ring(&mut bell, GUEST), Caller::Expected(DOOR));
        bell.add(next, &host.ufrag, &host.password.0, Admits::Guests);
        bell.withdraw(DOOR);
        assert_eq!(ring(&mut bell, GUEST), Caller::Guest(next, GUEST), "who was here may come again");
    }

    #[test]
    fn an_altered_knock_is_a_strangers() {
        let whole = knock(&GUEST.ufrag());
        let mut doorbell = doorbell(Admits::Guests);
        // What comes behind the signature is only a checksum.
        for at_byte in 0..whole.len() - 8 {
            for bit in 0..8 {
                let mut altered = whole.clone();
                altered[at_byte] ^= 1 << bit;
                let now = at(at_byte as u64 * 1_000);
                // The first two bytes of FINGERPRINT's length and the cookie are part of what is read first.
                assert_eq!(
                    doorbell.ring(now, source(1), &altered),
                    Caller::Stranger,
                    "byte {at_byte} bit {bit}"
                );
            }
        }
        let wrong = check(&SECRET.host().ufrag, &GUEST.ufrag(), "not the password, which is longer");
        assert_eq!(doorbell.ring(at(0), source(1), &wrong), Caller::Stranger);
    }

    #[test]
    fn junk_of_every_kind_is_a_strangers() {
        let mut doorbell = doorbell(Admits::Guests);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let whole = knock(&GUEST.ufrag());
        for round in 0..200_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random() % 4 {
                let place = random() as usize % (bytes.len() - 8).max(1);
                match random() % 4 {
                    0 => bytes[place] = random() as u8,
                    1 => bytes.truncate(place),
                    2 => bytes.insert(place, random() as u8),
                    _ => drop(bytes.remove(place)),
                }
                if bytes.len() <= 8 {
                    break;
                }
            }
            let caller = doorbell.ring(at(round), source(random() as u8), &bytes);
            let untouched =
                bytes.len() == whole.len() && bytes[..bytes.len() - 8] == whole[..whole.len() - 8];
            assert!(caller == Caller::Stranger || untouched, "round {round}: {caller:?}");
        }
    }

    /// Signatures that are found good tell how many are computed.
    fn let_in(doorbell: &mut Doorbell, callers: impl Iterator<Item = (Instant, IpAddr)>) -> usize {
        let knock = knock(&GUEST.ufrag());
        callers.filter(|(now, from)| doorbell.ring(*now, *from, &knock) != Caller::Stranger).count()
    }

    /// A name that a page makes of an invite with this secret, and a check by it.
    fn knock_of_browser(secret: Secret) -> (String, Vec<u8>) {
        let offer = crate::invite::foreign::tests::offer();
        let host = crate::invite::knocked(&GUEST, SECRET);
        let (name, _) = browser::tests::page(&offer, secret, &host);
        let knock = check(&name, "Lufr", &secret.called(&name).password.0);
        (name, knock)
    }

    #[test]
    fn a_browser_with_the_invite_knocks_too() {
        let (name, whole) = knock_of_browser(SECRET);
        let bell = &mut doorbell(Admits::Guests);
        assert_eq!(bell.ring(at(0), source(1), &whole), Caller::Stranger, "nobody said that browsers may");
        bell.admit_browsers(DOOR, SECRET);
        let Caller::Browser(door, guest) = bell.ring(at(0), source(1), &whole) else {
            panic!("it is not let in");
        };
        assert_eq!((door, guest.name(), guest.ufrag()), (DOOR, name.as_str(), "Lufr"));
        assert_eq!(bell.busy(DOOR, &whole), None, "it could not tell that this is from us");
        // Every byte of name, sender and signature counts.
        for at_byte in 20..whole.len() - 8 {
            let mut altered = whole.clone();
            altered[at_byte] ^= 1;
            let caller = bell.ring(at(at_byte as u64 * 100), source(1), &altered);
            assert_eq!(caller, Caller::Stranger, "byte {at_byte}");
        }
        for wrong in [
            check(&name, "Lufr", &SECRET.host().password.0),
            check(&name, "other", &SECRET.called(&name).password.0),
            knock_of_browser(Secret([8; 16])).1,
        ] {
            assert_eq!(bell.ring(at(60_000), source(1), &wrong), Caller::Stranger);
        }
        // The connection that was made for it has that name for its own.
        let own = SECRET.called(&name);
        bell.add(DoorId(2), &own.ufrag, &own.password.0, Admits::Only("Lufr".into()));
        assert_eq!(bell.ring(at(70_000), source(1), &whole), Caller::Expected(DoorId(2)));
        bell.remove(DoorId(2));
        bell.set(DOOR, Admits::Nobody(Turned::Busy));
        assert_eq!(bell.ring(at(80_000), source(1), &whole), Caller::Stranger);
    }

    #[test]
    fn a_flood_of_browsers_is_cut_off_as_well() {
        let bell = &mut doorbell(Admits::Guests);
        bell.admit_browsers(DOOR, SECRET);
        let (_, knock) = knock_of_browser(SECRET);
        let heard = (0..20_000_u64)
            .filter(|n| {
                let from = IpAddr::from([10, 0, (n / 250) as u8, *n as u8]);
                bell.ring(at(n / 20), from, &knock) != Caller::Stranger
            })
            .count();
        assert!((2_000..=3_020).contains(&heard), "{heard}");
    }

    #[test]
    fn a_flood_is_cut_off_for_its_source_and_in_all() {
        let one = let_in(&mut doorbell(Admits::Guests), (0..20_000).map(|n| (at(n / 20), source(1))));
        assert!((320..=660).contains(&one), "{one}");
        let all = let_in(
            &mut doorbell(Admits::Guests),
            (0..20_000_u64).map(|n| (at(n / 20), IpAddr::from([10, 0, (n / 250) as u8, n as u8]))),
        );
        assert!((2_000..=3_020).contains(&all), "{all}");
        // Somebody else comes through while one floods, and the flooder does when it has stopped.
        let bell = &mut doorbell(Admits::Guests);
        let_in(bell, (0..20_000).map(|n| (at(n / 20), source(1))));
        assert_eq!(let_in(bell, [(at(1_000), source(2)), (at(3_000), source(1))].into_iter()), 2);
    }

    #[test]
    fn the_other_end_of_a_call_is_heard_through_a_flood_of_guests() {
        let bell = &mut doorbell(Admits::Only(GUEST.ufrag()));
        let other = knock(&OTHER.ufrag());
        for n in 0..10_000_u64 {
            bell.ring(at(0), IpAddr::from([10, 0, (n / 250) as u8, n as u8]), &other);
        }
        let free = (0..=255).find(|n| bell.sources[bell.place(source(*n))].taken < 100.0).unwrap();
        assert_eq!(bell.ring(at(0), source(free), &knock(&GUEST.ufrag())), Caller::Expected(DOOR));
    }

    #[test]
    fn the_table_of_doors_does_not_grow() {
        let mut bell = doorbell(Admits::Guests);
        for n in (2..200_u8).filter(|n| *n != SECRET.0[0]) {
            let host = Secret([n; 16]).host();
            bell.add(DoorId(n.into()), &host.ufrag, &host.password.0, Admits::Nobody(Turned::Withdrawn));
        }
        assert_eq!(bell.doors.len(), MAX_DOORS);
        assert_eq!(bell.ring(at(0), source(1), &knock(&GUEST.ufrag())), Caller::Guest(DOOR, GUEST));
    }
}
