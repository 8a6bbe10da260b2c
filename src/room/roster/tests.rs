//! Rooms of 2 to 12 members over a simulated control plane that loses, doubles, delays and reorders, with members that
//! crash, leave, come back and are put out: whatever happens, those who remain end up with one roster, one host and a
//! link between any two.

use super::*;
use crate::room::topology::{Choice, GuestChoice};
use crate::rtp::test_time::at;

fn id(n: u8) -> MemberId {
    // Not in the order of joining.
    MemberId([n.wrapping_mul(151) ^ 0x5a, 0, 0, 0, 0, 0, 0, n])
}

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug)]
enum Wire {
    Report(Report),
    Pass(Pass),
}

#[derive(Clone, Debug)]
enum What {
    /// Over the link of this number.
    Arrive {
        to: usize,
        from: usize,
        link: u32,
        wire: Wire,
    },
    /// The engine of `of` has made its code.
    Made {
        of: usize,
        to: usize,
        serial: u32,
    },
    /// One end of a link comes up, or is given up.
    Up {
        of: usize,
        with: usize,
        link: u32,
    },
    Down {
        of: usize,
        with: usize,
        link: u32,
    },
}

struct Sim {
    now: u64,
    dice: Dice,
    trouble: bool,
    people: Vec<Option<Roster>>,
    /// What each engine has under way with whom: the serial of the invite, and whether it answers.
    efforts: BTreeMap<(usize, usize), (u32, bool)>,
    /// Links as each end has them.
    links: BTreeMap<(usize, usize), u32>,
    queue: BTreeMap<(u64, u64), What>,
    serial: u32,
    events: u64,
}

impl Sim {
    fn new(seed: u64) -> Self {
        Self {
            now: 0,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            trouble: true,
            people: Vec::new(),
            efforts: BTreeMap::new(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            serial: 0,
            events: 0,
        }
    }

    fn after(&mut self, ms: u64, what: What) {
        self.events += 1;
        self.queue.insert((self.now + ms, self.events), what);
    }

    fn index(&self, who: MemberId) -> usize {
        usize::from(who.0[7])
    }

    /// Somebody comes by an invite of `host`, or founds the room.
    fn join(&mut self, who: usize, host: Option<usize>) {
        let name = ["Ann", "Bo", "Cy"][who % 3];
        let roster = Roster::new(id(who as u8), name, host.is_none());
        if self.people.len() <= who {
            self.people.resize_with(who + 1, || None);
        }
        self.people[who] = Some(roster);
        if let Some(host) = host {
            self.serial += 1;
            let link = self.serial;
            for (of, with) in [(who, host), (host, who)] {
                let ms = self.dice.below(400);
                self.after(ms, What::Up { of, with, link });
            }
        }
    }

    fn crash(&mut self, who: usize) {
        self.people[who] = None;
        self.efforts.retain(|(of, _), _| *of != who);
        let ends: Vec<_> = self.links.iter().filter(|((of, with), _)| *of == who || *with == who).collect();
        let ends: Vec<_> = ends.into_iter().map(|(pair, link)| (*pair, *link)).collect();
        for ((of, with), link) in ends {
            if of == who {
                self.links.remove(&(of, with));
            } else {
                let ms = self.dice.below(12_000);
                self.after(ms, What::Down { of, with, link });
            }
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        for (of, with) in [(a, b), (b, a)] {
            if let Some(link) = self.links.get(&(of, with)).copied() {
                let ms = self.dice.below(12_000);
                self.after(ms, What::Down { of, with, link });
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, wire: Wire) {
        let Some(link) = self.links.get(&(from, to)).copied() else { return };
        let copies = match self.trouble {
            true if self.dice.chance(15) => 0,
            true if self.dice.chance(10) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let ms = if self.trouble && self.dice.chance(10) { 3_000 } else { 60 };
            let ms = 1 + self.dice.below(ms);
            self.after(ms, What::Arrive { to, from, link, wire: wire.clone() });
        }
    }

    fn settle(&mut self, who: usize) {
        while let Some(output) = self.people[who].as_mut().and_then(Roster::poll_output) {
            match output {
                Output::Report(to, report) => self.send(who, self.index(to), Wire::Report(report)),
                Output::Pass(to, pass) => self.send(who, self.index(to), Wire::Pass(pass)),
                Output::Offer(to) => {
                    let to = self.index(to);
                    self.serial += 1;
                    let serial = self.serial;
                    self.efforts.insert((who, to), (serial, false));
                    let ms = 20 + self.dice.below(2_000);
                    self.after(ms, What::Made { of: who, to, serial });
                }
                Output::Answer(to, payload) => {
                    let to = self.index(to);
                    let serial = payload.parse().unwrap();
                    self.efforts.insert((who, to), (serial, true));
                    let ms = 20 + self.dice.below(2_000);
                    self.after(ms, What::Made { of: who, to, serial });
                }
                Output::Accept(to, payload) => {
                    let to = self.index(to);
                    let serial: u32 = payload.parse().unwrap();
                    let is_ours = self.efforts.get(&(who, to)) == Some(&(serial, false));
                    // A path is not always found.
                    if is_ours && !(self.trouble && self.dice.chance(20)) {
                        for (of, with) in [(who, to), (to, who)] {
                            let ms = 10 + self.dice.below(600);
                            self.after(ms, What::Up { of, with, link: serial });
                        }
                    }
                }
                Output::Drop(to) => {
                    let to = self.index(to);
                    self.efforts.remove(&(who, to));
                    if let Some(link) = self.links.remove(&(who, to)) {
                        let ms = self.dice.below(12_000);
                        self.after(ms, What::Down { of: to, with: who, link });
                    }
                }
                Output::Removed => self.crash(who),
                Output::Changed => {}
            }
        }
    }

    fn happen(&mut self, what: What) {
        let now = at(self.now);
        match what {
            What::Arrive { to, from, link, wire } => {
                let is_open = self.links.get(&(to, from)) == Some(&link);
                let Some(roster) = self.people[to].as_mut().filter(|_| is_open) else { return };
                let _ = match wire {
                    Wire::Report(report) => roster.handle_report(now, id(from as u8), report),
                    Wire::Pass(pass) => roster.handle_pass(now, id(from as u8), pass),
                };
                self.settle(to);
            }
            What::Made { of, to, serial } => {
                if self.efforts.get(&(of, to)).is_some_and(|effort| effort.0 == serial) {
                    let roster = self.people[of].as_mut().unwrap();
                    roster.made(id(to as u8), serial.to_string());
                    self.settle(of);
                }
            }
            What::Up { of, with, link } => {
                let is_invited = self.efforts.get(&(of, with)).is_none_or(|effort| effort.0 == link);
                let is_new = !self.links.contains_key(&(of, with));
                let name = ["Ann", "Bo", "Cy"][with % 3];
                let Some(roster) = self.people[of].as_mut().filter(|_| is_invited && is_new) else { return };
                if roster.handle_link(now, id(with as u8), name).is_ok() {
                    self.efforts.remove(&(of, with));
                    self.links.insert((of, with), link);
                    // An end that never sees the other come up gives up on it.
                    if !self.links.contains_key(&(with, of)) {
                        self.after(15_000, What::Down { of, with, link: u32::MAX - link });
                    }
                }
                self.settle(of);
            }
            What::Down { of, with, link } => {
                let (half_open, link) =
                    if link > u32::MAX / 2 { (true, u32::MAX - link) } else { (false, link) };
                let is_ours = self.links.get(&(of, with)) == Some(&link);
                let is_whole = self.links.get(&(with, of)) == Some(&link);
                if !is_ours || half_open && is_whole {
                    return;
                }
                self.links.remove(&(of, with));
                if let Some(roster) = &mut self.people[of] {
                    roster.handle_unlink(now, id(with as u8));
                    self.settle(of);
                }
                if is_whole {
                    let ms = self.dice.below(12_000);
                    self.after(ms, What::Down { of: with, with: of, link });
                }
            }
        }
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let timer = self
                .people
                .iter()
                .enumerate()
                .filter_map(|(who, roster)| Some((roster.as_ref()?.deadline()?, who)))
                .min();
            let timer = timer.map(|(due, who)| ((due - at(0)).as_millis() as u64, who));
            let event = self.queue.keys().next().copied();
            match (event, timer) {
                (Some(key), timer) if key.0 <= end && timer.is_none_or(|(due, _)| key.0 <= due) => {
                    self.now = self.now.max(key.0);
                    let what = self.queue.remove(&key).unwrap();
                    self.happen(what);
                }
                (_, Some((due, who))) if due <= end => {
                    self.now = self.now.max(due);
                    self.people[who].as_mut().unwrap().handle_time(at(self.now + 1));
                    self.settle(who);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.people.len()).filter(|who| self.people[*who].is_some()).collect()
    }

    /// Those who are connected to `first`, over any number of links.
    fn connected_to(&self, first: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([first]);
        loop {
            let more: Vec<usize> = self
                .links
                .keys()
                .filter(|(of, with)| found.contains(of) && !found.contains(with))
                .map(|(_, with)| *with)
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    fn check(&self, seed: u64) {
        for who in self.alive() {
            let room = self.connected_to(who);
            let roster = self.people[who].as_ref().unwrap();
            let expected: Vec<MemberId> = {
                let mut ids: Vec<_> = room.iter().map(|one| id(*one as u8)).collect();
                ids.sort();
                ids
            };
            let members: Vec<_> = roster.members().into_keys().collect();
            assert_eq!(members, expected, "seed {seed}: the roster of {who}");
            for other in &room {
                assert!(
                    *other == who || self.links.contains_key(&(who, *other)),
                    "seed {seed}: {who} {other}"
                );
                let theirs = self.people[*other].as_ref().unwrap();
                assert_eq!(theirs.host(), roster.host(), "seed {seed}: the host of {who} and {other}");
                assert_eq!(theirs.is_locked(), roster.is_locked(), "seed {seed}: the lock");
                assert_eq!(theirs.ruling(), roster.ruling(), "seed {seed}: the ruling");
                for one in &members {
                    assert_eq!(theirs.shown_name(*one), roster.shown_name(*one), "seed {seed}: a name");
                }
            }
            assert!(members.contains(&roster.host()), "seed {seed}: the host is there");
        }
    }
}

/// How many rooms, each of one seed, if `TWOCAN_ROOMS` does not say.
const RUNS: u64 = 200;

#[test]
fn every_run_ends_with_one_roster_and_a_full_mesh() {
    let mut largest = 0;
    let runs = std::env::var("TWOCAN_ROOMS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    for seed in 1..=runs {
        let mut sim = Sim::new(seed);
        let people = 2 + (seed % 11) as usize;
        sim.join(0, None);
        for who in 1..people {
            let alive = sim.alive();
            let host = alive[sim.dice.below(alive.len() as u64) as usize];
            sim.join(who, Some(host));
            let wait = sim.dice.below(4_000);
            sim.run_until(sim.now + wait);
            for _ in 0..sim.dice.below(2) {
                let alive = sim.alive();
                let one = alive[sim.dice.below(alive.len() as u64) as usize];
                let other = alive[sim.dice.below(alive.len() as u64) as usize];
                match sim.dice.below(10) {
                    0 | 1 if alive.len() > 2 => sim.crash(one),
                    2..=4 if one != other => sim.cut(one, other),
                    5 => {
                        let now = at(sim.now);
                        if let Some(roster) = &mut sim.people[one] {
                            let locked = !roster.is_locked();
                            let _ = roster.lock(now, locked);
                        }
                        sim.settle(one);
                    }
                    8 => {
                        let now = at(sim.now);
                        let mixed = BTreeSet::from([id(other as u8)]);
                        if let Some(roster) = &mut sim.people[one] {
                            let _ = roster.rule(
                                now,
                                Ruling { hub: Some(id(one as u8)), mixed },
                                &Wishes::default(),
                            );
                        }
                        sim.settle(one);
                    }
                    6 if one != other && alive.len() > 3 => {
                        let now = at(sim.now);
                        if let Some(roster) = &mut sim.people[one] {
                            let _ = roster.remove(now, id(other as u8));
                        }
                        sim.settle(one);
                    }
                    7 if one != other && alive.len() > 2 => {
                        sim.crash(one);
                        sim.run_until(sim.now + 30_000);
                        if sim.people[other].is_some() {
                            sim.join(one, Some(other));
                        }
                    }
                    _ => {}
                }
            }
        }
        sim.trouble = false;
        sim.run_until(sim.now + 90_000);
        largest = largest.max(sim.connected_to(*sim.alive().first().unwrap()).len());
        sim.check(seed);
    }
    assert!(largest >= 10, "{largest}");
}

fn entry(n: u8) -> Entry {
    Entry { id: id(n), name: format!("N{n}"), order: n.into() }
}

fn report(number: u64, host: u8, members: &[u8]) -> Report {
    Report {
        number,
        order: 1,
        host: id(host),
        locked: false,
        removed: vec![],
        ruling: Ruling::default(),
        wishes: Wishes::default(),
        means: Means::default(),
        members: members.iter().map(|n| entry(*n)).collect(),
    }
}

fn outputs(roster: &mut Roster) -> Vec<Output> {
    std::iter::from_fn(|| roster.poll_output()).filter(|output| *output != Output::Changed).collect()
}

/// We are 0, founder, linked to 1, 2 and 3, which know each other.
fn room() -> Roster {
    let mut roster = Roster::new(id(0), "Me", true);
    for n in 1..=3 {
        roster.handle_link(at(0), id(n), &format!("N{n}")).unwrap();
    }
    for n in 1..=3 {
        roster.handle_report(at(0), id(n), report(1, 0, &[0, 1, 2, 3])).unwrap();
    }
    outputs(&mut roster);
    roster
}

fn pass(to: u8, from: u8) -> Pass {
    Pass { to: id(to), from: id(from), attempt: 1, payload: "code".into() }
}

#[test]
fn what_is_forged_unknown_oversized_or_too_much_is_refused() {
    let mut roster = room();
    let now = at(1_000);
    assert_eq!(roster.handle_pass(now, id(1), pass(2, 3)), Err(Refused::Forged));
    assert_eq!(roster.handle_pass(now, id(1), pass(0, 0)), Err(Refused::Forged));
    assert_eq!(roster.handle_pass(now, id(1), pass(9, 1)), Err(Refused::Unknown));
    assert_eq!(roster.handle_pass(now, id(1), pass(0, 9)), Err(Refused::Unknown));
    assert_eq!(roster.handle_pass(now, id(9), pass(0, 1)), Err(Refused::NoNeighbour));
    assert_eq!(roster.handle_pass(now, id(1), pass(0, 2)), Err(Refused::Stale), "that link stands");
    let large = Pass { payload: "x".repeat(MAX_PAYLOAD + 1), ..pass(2, 1) };
    assert_eq!(roster.handle_pass(now, id(1), large), Err(Refused::TooLarge));
    let many: Vec<u8> = (0..=MAX_MEMBERS as u8).collect();
    assert_eq!(roster.handle_report(now, id(1), report(2, 0, &many)), Err(Refused::TooLarge));
    assert_eq!(roster.handle_report(now, id(1), report(1, 0, &[])), Err(Refused::Stale));
    assert_eq!(roster.handle_report(now, id(9), report(1, 0, &[])), Err(Refused::NoNeighbour));
    assert_eq!(roster.handle_link(now, id(0), "Me"), Err(Refused::Taken));
    assert_eq!(outputs(&mut roster), []);
    let taken = (0..1_000).filter(|_| roster.handle_pass(now, id(3), pass(2, 3)).is_ok()).count();
    assert_eq!(taken, PASSES as usize);
    assert!(roster.handle_pass(now, id(2), pass(3, 2)).is_ok(), "the others are not hindered");
    // Invented members cost no more than a full room.
    for round in 0..100_u8 {
        let invented: Vec<u8> = (0..10).map(|n| 20 + n + round).collect();
        roster.handle_report(now, id(1), report(10 + u64::from(round), 0, &invented)).unwrap();
        assert!(roster.members().len() <= MAX_MEMBERS && roster.introductions.len() < MAX_MEMBERS);
    }
}

#[test]
fn nobody_makes_himself_the_host_of_a_room_of_three() {
    let mut roster = room();
    assert!(roster.is_host());
    let ruling = Ruling { hub: Some(id(1)), ..Ruling::default() };
    let wishes = Wishes { room: Choice::Mix, guests: (0..50).map(|n| (id(n), GuestChoice::Mix)).collect() };
    let told = Report { order: 0, ruling, wishes, ..report(2, 1, &[0, 1, 2, 3]) };
    let coup = Report { locked: true, removed: vec![id(0), id(2)], ..told.clone() };
    roster.handle_report(at(10), id(1), coup).unwrap();
    assert!(
        roster.ruling().is_mesh() && roster.is_host() && !roster.is_locked() && !roster.is_removed(id(2))
    );
    assert!(roster.wishes().are_none());
    assert!(outputs(&mut roster).is_empty());
    // When most follow somebody else, so do we.
    roster.handle_report(at(20), id(2), report(2, 1, &[0, 1, 3])).unwrap();
    roster.handle_report(at(20), id(3), report(2, 1, &[0, 1, 2])).unwrap();
    assert_eq!(roster.host(), id(1));
    assert_eq!(roster.lock(at(30), true), Err(Refused::NotHost));
    assert_eq!(roster.rule(at(30), Ruling::default(), &Wishes::default()), Err(Refused::NotHost));
    assert_eq!(roster.remove(at(30), id(2)), Err(Refused::NotHost));
    // What it wishes is known to whoever is the host next.
    roster.handle_report(at(40), id(1), Report { number: 3, order: 1, ..told }).unwrap();
    assert_eq!((roster.wishes().room, roster.wishes().guests.len()), (Choice::Mix, MAX_MEMBERS));
}

#[test]
fn whoever_is_put_out_hears_it_and_does_not_come_back() {
    let mut roster = room();
    roster.remove(at(100), id(2)).unwrap();
    let done = outputs(&mut roster);
    let told = |output: &Output| matches!(output, Output::Report(to, report) if *to == id(2) && report.removed == [id(2)]);
    let place = done.iter().position(told).expect("a last word");
    assert!(done[place..].contains(&Output::Drop(id(2))), "{done:?}");
    assert_eq!(roster.handle_link(at(200), id(2), "N2"), Err(Refused::PutOut));
    assert!(!roster.members().contains_key(&id(2)), "though the others may name it still");
}

#[test]
fn a_full_room_takes_nobody_and_a_locked_one_has_no_room() {
    let mut roster = Roster::new(id(0), "Me", true);
    for n in 1..MAX_MEMBERS as u8 {
        assert!(roster.has_room());
        roster.handle_link(at(0), id(n), "").unwrap();
    }
    assert!(!roster.has_room());
    assert_eq!(roster.handle_link(at(0), id(99), ""), Err(Refused::Full));
    let mut roster = room();
    roster.lock(at(0), true).unwrap();
    assert!(!roster.has_room());
}

#[test]
fn people_of_the_same_name_are_told_apart() {
    let mut roster = Roster::new(id(0), "Ann", true);
    for n in [1, 2] {
        roster.handle_link(at(0), id(n), "Ann").unwrap();
    }
    let shown: Vec<_> = (0..3).map(|n| roster.shown_name(id(n)).unwrap()).collect();
    assert_eq!(shown, ["Ann", "Ann (2)", "Ann (3)"]);
    roster.rename(at(0), "Bo");
    assert_eq!(roster.shown_name(id(2)).unwrap(), "Ann (2)");
}

#[test]
fn an_id_is_sixteen_digits() {
    assert_eq!(id(7).to_string().parse(), Ok(id(7)));
    for text in ["", "0", "00112233445566778", "001122334455667g", "+011223344556677", "００112233445566"] {
        assert!(text.parse::<MemberId>().is_err(), "{text}");
    }
}

#[test]
fn who_stands_between_two_is_linked_to_both_and_able_to() {
    let now = at(0);
    let mut roster = Roster::new(id(0), "Ann", true);
    let said = |number, forwards, members: &[u8]| Report {
        number,
        order: 1,
        host: id(0),
        locked: false,
        removed: Vec::new(),
        ruling: Ruling::default(),
        wishes: Wishes::default(),
        means: Means { forwards, ..Means::default() },
        members: members.iter().map(|n| Entry { id: id(*n), name: String::new(), order: 2 }).collect(),
    };
    for n in [1, 2, 3] {
        roster.handle_link(now, id(n), "").unwrap();
    }
    assert_eq!(roster.between(id(4)), [], "nobody has said anything");
    for (n, forwards, members) in [(1, true, &[0, 4][..]), (2, false, &[0, 4]), (3, true, &[0])] {
        roster.handle_report(now, id(n), said(1, forwards, members)).unwrap();
    }
    assert_eq!(roster.between(id(4)), [id(1)]);
    assert_eq!(roster.between(id(1)), [], "not themselves");
    roster.handle_unlink(now, id(1));
    assert_eq!(roster.between(id(4)), []);
}
