//! Rooms on a timeline, second by second.

use super::{Choice, Chooser, GuestChoice, Means, Ruling, Wishes};
use crate::room::roster::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const STAY: u64 = 10;

fn id(number: u8) -> MemberId {
    MemberId([number; 8])
}

fn means(uplink: u32, load: u8) -> Means {
    Means { uplink, load, forwards: true, ..Means::default() }
}

/// A room, its host's chooser, and every ruling that was another than the one before.
struct Scene {
    chooser: Chooser,
    members: BTreeMap<MemberId, Means>,
    wishes: Wishes,
    host: MemberId,
    start: Instant,
    second: u64,
    ruling: Ruling,
    changes: Vec<(u64, Ruling)>,
}

impl Scene {
    /// So many members, of whom nothing is known; the first is the host.
    fn of(count: u8) -> Self {
        Self {
            chooser: Chooser::default(),
            members: (1..=count).map(|number| (id(number), means(0, 20))).collect(),
            wishes: Wishes::default(),
            host: id(1),
            start: crate::rtp::test_time::at(0),
            second: 0,
            ruling: Ruling::default(),
            changes: Vec::new(),
        }
    }

    fn with(uplinks: &[u32]) -> Self {
        let mut scene = Self::of(uplinks.len() as u8);
        for (number, uplink) in (1..).zip(uplinks) {
            scene.set(number, |means| means.uplink = *uplink);
        }
        scene
    }

    fn set(&mut self, number: u8, change: impl FnOnce(&mut Means)) -> &mut Self {
        if let Some(means) = self.members.get_mut(&id(number)) {
            change(means);
        }
        self
    }

    fn set_all(&mut self, numbers: std::ops::RangeInclusive<u8>, change: impl Fn(&mut Means)) {
        for number in numbers {
            self.set(number, &change);
        }
    }

    fn wish(&mut self, choice: Choice) -> &mut Self {
        self.wishes.room = choice;
        self
    }

    fn guest(&mut self, number: u8, choice: GuestChoice) -> &mut Self {
        self.wishes.guests.insert(id(number), choice);
        self
    }

    /// One look; another ruling than before is noted.
    fn look(&mut self) -> &Ruling {
        let now = self.start + Duration::from_secs(self.second);
        let ruling = self.chooser.update(now, self.host, &self.members, &self.wishes);
        if ruling != self.ruling {
            self.changes.push((self.second, ruling.clone()));
            self.ruling = ruling;
        }
        &self.ruling
    }

    fn run(&mut self, seconds: u64) -> &Ruling {
        for _ in 0..seconds {
            self.second += 1;
            self.look();
        }
        &self.ruling
    }

    fn hub(&self) -> Option<MemberId> {
        self.ruling.hub
    }
}

#[test]
fn few_people_are_a_mesh_and_a_crowd_has_a_hub() {
    for (count, is_mesh) in [(1, true), (2, true), (3, true), (4, true), (5, false), (6, false), (7, false)] {
        let ruling = Scene::of(count).run(60).clone();
        assert_eq!(ruling.hub.is_none(), is_mesh, "{count} of whom nothing is known");
        assert!(ruling.mixed.is_empty());
    }
    for (count, is_mesh) in [(5, true), (6, true), (7, false), (12, false)] {
        let ruling = Scene::with(&vec![9000; count]).run(60).clone();
        assert_eq!(ruling.hub.is_none(), is_mesh, "{count} with wide uplinks");
    }
}

#[test]
fn an_uplink_that_does_not_carry_a_mesh_makes_a_hub_of_one_that_does() {
    let mut scene = Scene::with(&[630, 500, 4000]);
    assert_eq!(scene.run(7).hub, None, "it may be a moment");
    assert_eq!(scene.run(5).hub, Some(id(3)), "its uplink is the widest by far");
    let mut narrow = Scene::with(&[500, 500, 600]);
    assert_eq!(narrow.run(60).hub, None, "nobody could be a hub");
    let mut full = Scene::with(&[3000, 3000, 3000]);
    full.set(2, |means| means.load = 95);
    assert!(full.run(20).hub.is_some_and(|hub| hub != id(2)), "a processor does not carry it");
}

#[test]
fn the_best_placed_is_the_hub() {
    let hub = |scene: &mut Scene| scene.wish(Choice::Forward).run(1).hub;
    assert_eq!(hub(&mut Scene::of(3)), Some(id(1)), "all alike: the host itself");
    assert_eq!(hub(&mut Scene::with(&[500, 500, 3000])), Some(id(3)), "uplink first");
    assert_eq!(hub(&mut Scene::with(&[3000, 3000, 3300])), Some(id(1)), "as good as each other");
    assert_eq!(
        hub(Scene::with(&[2000, 2000, 2000]).set(1, |means| means.load = 80)),
        Some(id(2)),
        "then load"
    );
    assert_eq!(
        hub(Scene::with(&[500, 500, 3000]).set(3, |means| means.load = 92)),
        Some(id(1)),
        "it is full"
    );
    assert_eq!(hub(Scene::with(&[500, 500, 3000]).set(3, |means| means.forwards = false)), Some(id(1)));
    assert_eq!(hub(Scene::with(&[500, 500, 3000]).set(3, |means| means.wants_mix = true)), Some(id(1)));
    let mut nobody = Scene::of(3);
    nobody.set_all(1..=3, |means| means.forwards = false);
    assert_eq!(hub(&mut nobody), None, "only browsers");
    assert_eq!(hub(&mut Scene::with(&[4000, 4000, u32::MAX])), Some(id(1)), "a boast is worth nothing");
}

#[test]
fn a_hub_does_not_hop_and_is_replaced_when_it_leaves() {
    let mut scene = Scene::with(&[1000, 2000, 1000, 1000, 1000, 1000, 1000]);
    assert_eq!(scene.run(5).hub, Some(id(2)));
    for (number, uplink) in [(3, 2600), (4, 3500), (2, 1900)] {
        scene.set(number, |means| means.uplink = uplink).run(60);
        assert_eq!(scene.hub(), Some(id(2)));
    }
    scene.set(4, |means| means.uplink = 8000).run(15);
    assert_eq!(scene.hub(), Some(id(2)), "for a moment");
    assert_eq!(scene.run(10).hub, Some(id(4)), "clearly better");
    scene.members.remove(&id(4));
    assert_eq!(scene.look().hub, Some(id(3)), "at once");
    scene.set(3, |means| means.forwards = false);
    assert!(scene.look().hub.is_some_and(|hub| hub != id(3)), "and again, however soon");
}

#[test]
fn a_hub_whose_processor_is_full_hands_over() {
    let mut scene = Scene::of(5);
    scene.wish(Choice::Forward).run(30);
    scene.set(1, |means| means.load = 95).run(7);
    assert_eq!(scene.hub(), Some(id(1)));
    scene.run(3);
    assert_eq!(scene.hub(), Some(id(2)));
    scene.set_all(1..=5, |means| means.load = 95);
    scene.run(60);
    assert_eq!(scene.hub(), Some(id(2)), "nobody could do it better");
}

#[test]
fn going_back_to_a_mesh_takes_time_and_more_each_time_it_fails() {
    let mut scene = Scene::with(&[3000, 3000, 3000]);
    let mut waits = Vec::new();
    for _ in 0..4 {
        scene.set(2, |means| means.uplink = 300).run(30);
        assert_eq!(scene.hub(), Some(id(1)));
        let from = scene.second;
        scene.set(2, |means| means.uplink = 3000);
        while scene.run(1).hub.is_some() {}
        waits.push(scene.second - from);
    }
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0] * 3 / 2), "{waits:?}");
    scene.run(400);
    scene.set(2, |means| means.uplink = 300).run(30);
    let from = scene.second;
    scene.set(2, |means| means.uplink = 3000);
    while scene.run(1).hub.is_some() {}
    assert!(scene.second - from <= 25, "that mesh had lasted");
}

#[test]
fn who_wants_one_picture_gets_it_as_far_as_the_hub_can() {
    let mut scene = Scene::of(4);
    scene.set(3, |means| means.wants_mix = true);
    assert_eq!(scene.look(), &Ruling { hub: Some(id(1)), mixed: [id(3)].into() });
    scene.set(3, |means| means.wants_mix = false).run(15);
    assert!(scene.ruling.mixed.is_empty());
    assert_eq!(scene.run(30).hub, None, "nobody needs a hub any more");

    let mut busy = Scene::of(8);
    busy.set_all(2..=8, |means| means.wants_mix = true);
    busy.set_all(1..=8, |means| means.load = 50);
    let first = busy.look().mixed.len();
    assert!((1..7).contains(&first), "{first}");
    assert_eq!(busy.hub(), Some(id(1)));
    busy.set_all(1..=8, |means| means.load = 78);
    assert_eq!(busy.run(60).mixed.len(), first, "no more");
    busy.set_all(1..=8, |means| means.load = 97);
    assert!(busy.run(20).mixed.len() < first, "too many");
    busy.set_all(1..=8, |means| means.load = 10);
    let left = busy.ruling.mixed.len();
    assert_eq!(busy.run(60).mixed.len(), left, "it has proved too much");
    assert_eq!(busy.run(120).mixed.len(), 7);
}

#[test]
fn the_host_has_its_way_at_once() {
    let mut scene = Scene::of(4);
    assert_eq!(scene.run(5).hub, None);
    assert_eq!(scene.wish(Choice::Forward).look(), &Ruling { hub: Some(id(1)), mixed: BTreeSet::new() });
    assert_eq!(scene.guest(3, GuestChoice::Mix).look().mixed, [id(3)].into());
    assert_eq!(scene.wish(Choice::Mix).look().mixed, [id(2), id(3), id(4)].into());
    assert_eq!(scene.guest(4, GuestChoice::Forward).look().mixed, [id(2), id(3)].into());
    assert_eq!(scene.wish(Choice::Mesh).look(), &Ruling::default());
    assert_eq!(scene.wish(Choice::Automatic).look().mixed, [id(3)].into(), "one picture takes a hub");
    scene.set(2, |means| means.wants_mix = true).guest(2, GuestChoice::Forward);
    assert_eq!(scene.look().mixed, [id(3)].into(), "the host decides");
    assert_eq!(
        scene.guest(1, GuestChoice::Mix).look().hub,
        Some(id(2)),
        "whom the host wants to have one picture"
    );
    let mut two = Scene::of(2);
    assert_eq!(two.wish(Choice::Mix).run(60), &Ruling::default(), "a call of two stays what it is");
}

#[test]
fn a_new_host_goes_on_where_the_old_one_was() {
    let mut scene = Scene::with(&[3000, 3000, 3000, 3000, 3000, 3000, 3000]);
    let before = Ruling { hub: Some(id(5)), mixed: BTreeSet::new() };
    scene.chooser.follow(&before);
    scene.host = id(2);
    scene.ruling = before.clone();
    assert_eq!(scene.run(60), &before);
    scene.chooser.follow(&Ruling { hub: Some(id(1)), mixed: BTreeSet::new() });
    scene.members.remove(&id(1));
    assert_eq!(scene.look().hub, Some(id(2)), "the old host was the hub: a new one at once");
}

/// A generator of numbers, so that a room that fails can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn means(&mut self) -> Means {
        const UPLINKS: [u32; 8] = [0, 0, 200, 600, 1200, 3000, 9000, u32::MAX];
        Means {
            uplink: UPLINKS[self.below(8) as usize],
            load: self.below(110) as u8,
            wants_mix: self.below(8) == 0,
            forwards: self.below(5) != 0,
        }
    }

    fn choice(&mut self) -> Choice {
        [Choice::Automatic, Choice::Mesh, Choice::Forward, Choice::Mix][self.below(4) as usize]
    }

    fn guest(&mut self) -> GuestChoice {
        [GuestChoice::Automatic, GuestChoice::Forward, GuestChoice::Mix][self.below(3) as usize]
    }
}

/// What must hold for every ruling.
fn check(scene: &Scene, at: &str) {
    let Ruling { hub, mixed } = &scene.ruling;
    let forwards = |id: &MemberId| scene.members.get(id).is_some_and(|means| means.forwards);
    assert!(hub.as_ref().is_none_or(forwards), "{at}: the hub is not there, or cannot forward");
    assert!(hub.is_some() || mixed.is_empty(), "{at}: nobody mixes");
    assert!(mixed.iter().all(|id| scene.members.contains_key(id) && Some(*id) != *hub), "{at}: {mixed:?}");
    assert!(scene.members.len() >= 3 || hub.is_none(), "{at}: a call of two has a hub");
    let choice = scene.wishes.room;
    assert!(choice != Choice::Mesh || hub.is_none(), "{at}: a mesh was asked for");
}

/// Members and their means jump about, people change their minds: every ruling can be carried out, and none but an urgent
/// one follows another within the least stay.
#[test]
fn whatever_members_say_the_rulings_hold_and_stay() {
    for seed in 1..=150_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let count = 2 + dice.below(11) as u8;
        let mut scene = Scene::of(count);
        let mut last = None;
        for step in 0..400_u64 {
            let at = format!("seed {seed}, second {step}");
            let (wishes, before) = (scene.wishes.clone(), scene.ruling.clone());
            for number in 1..=12 {
                match dice.below(40) {
                    0 => drop(scene.members.remove(&id(number))),
                    1 | 2 => drop(scene.members.insert(id(number), dice.means())),
                    _ => {}
                }
            }
            let own = dice.means();
            scene.members.entry(id(1)).or_insert(own);
            if dice.below(60) == 0 {
                let choice = dice.choice();
                scene.wish(choice);
            }
            if dice.below(60) == 0 {
                let (number, choice) = (1 + dice.below(12) as u8, dice.guest());
                scene.guest(number, choice);
            }
            scene.run(1);
            check(&scene, &at);
            let forwards = |id: MemberId| scene.members.get(&id).is_some_and(|means| means.forwards);
            let is_urgent = scene.wishes != wishes
                || before.hub.is_some_and(|hub| !forwards(hub))
                || scene.members.len() < 3;
            let mut pruned = before;
            pruned.mixed.retain(|id| scene.members.contains_key(id));
            if scene.ruling != pruned {
                let is_soon = last.is_some_and(|last| step < last + STAY);
                assert!(is_urgent || !is_soon, "{at}: {pruned:?} was given up for {:?}", scene.ruling);
                last = Some(step);
            }
            if scene.wishes != wishes {
                let mixed = |id: &MemberId| scene.ruling.mixed.contains(id);
                for (id, choice) in
                    scene.wishes.guests.iter().filter(|(id, _)| scene.members.contains_key(id))
                {
                    let is_hub = scene.hub().is_none() || scene.hub() == Some(*id);
                    assert!(is_hub || *choice != GuestChoice::Mix || mixed(id), "{at}: {id} was to be mixed");
                    assert!(*choice != GuestChoice::Forward || !mixed(id), "{at}: {id} was not to be mixed");
                }
            }
        }
    }
}

/// Where nothing changes, the ruling settles: within ten minutes, for good.
#[test]
fn a_room_that_stays_as_it_is_settles() {
    for seed in 1..=400_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut scene = Scene::of(2 + dice.below(11) as u8);
        for number in 1..=12 {
            let means = dice.means();
            scene.set(number, |old| *old = means);
        }
        if dice.below(2) == 0 {
            let choice = dice.choice();
            scene.wish(choice);
        }
        scene.run(3600);
        let late: Vec<_> = scene.changes.iter().filter(|(second, _)| *second > 600).collect();
        assert!(late.is_empty(), "seed {seed}: {late:?}");
        assert!(scene.changes.len() <= 8, "seed {seed}: {:?}", scene.changes);
    }
}

/// A hub whose processor the mix itself fills: the number it mixes for does not swing for ever.
#[test]
fn a_mix_that_is_too_much_is_not_tried_over_and_over() {
    let mut scene = Scene::of(8);
    scene.set_all(2..=8, |means| (means.wants_mix, means.forwards) = (true, false));
    for _ in 0..3600 {
        let mixed = scene.ruling.mixed.len() as u8;
        let load = if mixed == 0 { 40 } else { 60 + mixed * 8 };
        scene.set(1, |means| means.load = load).run(1);
    }
    assert!(scene.changes.len() < 40, "{} changes in an hour", scene.changes.len());
    assert!(!scene.ruling.mixed.is_empty());
}
