//! Who is in the call, as the window knows it: part of the model, changed by events only.
//!
//! People stand in the order in which they came. Two of one name are told apart by a number; who came first has none.

use super::speaker::Speakers;
use crate::engine::{Presence, Quality, RemotePeer};
use crate::ports::PeerId;
use crate::room::message::Reaction;
use std::time::{Duration, Instant};

/// Whose tile it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Peer(PeerId),
    Me,
}

/// Somebody else in the call.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: PeerId,
    pub remote: RemotePeer,
    pub quality: Quality,
    /// As the window shows it: a word where there is none, a number where there are two.
    pub name: String,
    /// The latest, and since when.
    reaction: Option<(Reaction, Instant)>,
    /// Which hand went up before: the lower number.
    hand: Option<u64>,
}

impl Person {
    /// They have a tile: they are in, even if nothing comes from them at the moment.
    pub fn is_in(&self) -> bool {
        matches!(self.remote.presence, Presence::Here | Presence::Away)
    }

    pub fn is_asking(&self) -> bool {
        self.remote.presence == Presence::Asking
    }
}

/// What is new about somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// They are in, and it is known who they are.
    pub came: bool,
    pub asks: bool,
    pub raised_hand: bool,
}

/// Everybody in the call.
#[derive(Clone, Debug, Default)]
pub struct People {
    list: Vec<Person>,
    pub speakers: Speakers,
    own_reaction: Option<(Reaction, Instant)>,
    own_hand: Option<u64>,
    /// Counts the hands that went up.
    hands: u64,
}

impl People {
    /// How long a reaction shows.
    pub const REACTION: Duration = Duration::from_secs(4);
    /// More than any call has; beyond it nobody is shown.
    const MOST: usize = 64;

    /// A new call: nobody is there.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn list(&self) -> &[Person] {
        &self.list
    }

    /// Those who are in; others are still coming or wait to be let in.
    pub fn present(&self) -> impl Iterator<Item = &Person> {
        self.list.iter().filter(|person| person.is_in())
    }

    /// Those with a tile of their own: others are seen in a picture of everybody.
    pub fn tiled(&self) -> impl Iterator<Item = &Person> {
        self.present().filter(|person| self.mixer_of(person).is_none())
    }

    /// In whose picture somebody is seen, and in no other way.
    pub fn mixer_of(&self, person: &Person) -> Option<&Person> {
        let mixer = self.find(person.remote.seen_in?)?;
        (mixer.is_in() && mixer.id != person.id).then_some(mixer)
    }

    /// Somebody's picture and sound are those of everybody.
    pub fn is_mixer(&self, id: PeerId) -> bool {
        self.present().any(|person| self.mixer_of(person).is_some_and(|mixer| mixer.id == id))
    }

    /// How many are in, ourselves included.
    pub fn count(&self) -> usize {
        self.present().count() + 1
    }

    /// A call of more than two has tiles, a list and gestures.
    pub fn is_group(&self) -> bool {
        self.count() > 2
    }

    /// Who waits to be let in, the first to come first.
    pub fn asking(&self) -> Option<&Person> {
        self.list.iter().find(|person| person.is_asking())
    }

    pub fn find(&self, id: PeerId) -> Option<&Person> {
        self.list.iter().find(|person| person.id == id)
    }

    /// The other side, in a call of two: who is in, or else whoever is coming.
    pub fn first(&self) -> Option<&Person> {
        self.present().next().or(self.list.first())
    }

    fn entry(&mut self, id: PeerId) -> Option<&mut Person> {
        let index = match self.list.iter().position(|person| person.id == id) {
            Some(index) => index,
            None if self.list.len() >= Self::MOST => return None,
            None => {
                self.list.push(Person {
                    id,
                    remote: RemotePeer::default(),
                    quality: Quality::Unknown,
                    name: String::new(),
                    reaction: None,
                    hand: None,
                });
                self.rename();
                self.list.len() - 1
            }
        };
        self.list.get_mut(index)
    }

    /// What somebody told about themselves.
    pub fn know(&mut self, id: PeerId, remote: RemotePeer) -> News {
        let next = self.hands + 1;
        let Some(person) = self.entry(id) else { return News::default() };
        let is_known = |person: &Person| person.is_in() && !person.remote.name.is_empty();
        let (was_known, was_asking) = (is_known(person), person.is_asking());
        let raised = remote.hand_raised && person.hand.is_none();
        if !remote.hand_raised {
            person.hand = None;
        } else if raised {
            person.hand = Some(next);
        }
        let muted = remote.microphone_muted;
        person.remote = remote;
        let came = !was_known && is_known(person);
        let asks = !was_asking && person.is_asking();
        self.hands += u64::from(raised);
        self.rename();
        if muted && let Some(at) = self.speakers.heard(Who::Peer(id)) {
            self.speakers.set_level(Who::Peer(id), 0.0, at);
        }
        News { came, asks, raised_hand: raised }
    }

    pub fn leave(&mut self, id: PeerId) -> Option<Person> {
        let index = self.list.iter().position(|person| person.id == id)?;
        self.speakers.forget(Who::Peer(id));
        let person = self.list.remove(index);
        self.rename();
        Some(person)
    }

    pub fn set_level(&mut self, id: PeerId, level: f32, now: Instant) {
        if self.find(id).is_some() {
            self.speakers.set_level(Who::Peer(id), level, now);
        }
    }

    pub fn set_quality(&mut self, id: PeerId, quality: Quality) {
        if let Some(person) = self.list.iter_mut().find(|person| person.id == id) {
            person.quality = quality;
        }
    }

    /// One of two of a name keeps it: who was there first.
    fn rename(&mut self) {
        let names: Vec<String> = self.list.iter().map(|person| plain_name(&person.remote.name)).collect();
        for (index, person) in self.list.iter_mut().enumerate() {
            let same = names[..index].iter().filter(|name| **name == names[index]).count();
            person.name =
                if same == 0 { names[index].clone() } else { format!("{} ({})", names[index], same + 1) };
        }
    }

    /// A reaction that somebody has sent.
    pub fn react(&mut self, who: Who, reaction: Reaction, now: Instant) {
        match who {
            Who::Me => self.own_reaction = Some((reaction, now)),
            Who::Peer(id) => {
                if let Some(person) = self.list.iter_mut().find(|person| person.id == id) {
                    person.reaction = Some((reaction, now));
                }
            }
        }
    }

    /// What is shown of it now, and for how much longer.
    pub fn reaction(&self, who: Who, now: Instant) -> Option<(Reaction, Duration)> {
        let (reaction, since) = match who {
            Who::Me => self.own_reaction,
            Who::Peer(id) => self.find(id).and_then(|person| person.reaction),
        }?;
        let left = Self::REACTION.checked_sub(now.saturating_duration_since(since))?;
        (!left.is_zero()).then_some((reaction, left))
    }

    pub fn raise_own_hand(&mut self, raised: bool) {
        self.hands += u64::from(raised);
        self.own_hand = raised.then_some(self.hands);
    }

    /// Whose hand it is in the order of raised hands, from 1; `None`: it is down.
    pub fn hand(&self, who: Who) -> Option<usize> {
        let mine = match who {
            Who::Me => self.own_hand,
            Who::Peer(id) => self.find(id).and_then(|person| person.hand),
        }?;
        let hands = self.list.iter().filter_map(|person| person.hand).chain(self.own_hand);
        Some(hands.filter(|hand| *hand <= mine).count())
    }

    /// Those of `all` who are shown where there is room for so many: who spoke last, in the order in which they stand.
    pub fn choose(&self, all: &[Who], room: usize) -> Vec<Who> {
        if all.len() <= room {
            return all.to_vec();
        }
        let mut by_voice: Vec<(usize, Who)> = all.iter().copied().enumerate().collect();
        // Stable: of those who were never heard, the first stay.
        by_voice.sort_by_key(|(_, who)| std::cmp::Reverse(self.speakers.heard(*who)));
        by_voice.truncate(room);
        by_voice.sort_by_key(|(place, _)| *place);
        by_voice.into_iter().map(|(_, who)| who).collect()
    }
}

/// A word in place of a name that was not told.
fn plain_name(name: &str) -> String {
    if name.is_empty() { "Guest".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str) -> RemotePeer {
        RemotePeer { name: name.into(), presence: Presence::Here, ..RemotePeer::default() }
    }

    fn names(people: &People) -> Vec<&str> {
        people.list().iter().map(|person| person.name.as_str()).collect()
    }

    #[test]
    fn people_of_one_name_are_told_apart() {
        let mut people = People::default();
        people.know(PeerId(7), remote(""));
        for (id, name) in [(3, "Ann"), (9, "Ann"), (4, "Bo"), (5, "Ann"), (6, "")] {
            assert_eq!(people.know(PeerId(id), remote(name)).came, !name.is_empty());
        }
        assert_eq!(names(&people), ["Guest", "Ann", "Ann (2)", "Bo", "Ann (3)", "Guest (2)"]);
        people.know(PeerId(7), remote("Cy"));
        assert_eq!(people.leave(PeerId(3)).map(|person| person.remote.name), Some("Ann".into()));
        assert_eq!(names(&people), ["Cy", "Ann", "Bo", "Ann (2)", "Guest"]);
        assert!(people.leave(PeerId(3)).is_none());
    }

    #[test]
    fn only_who_is_in_makes_a_group() {
        let mut people = People::default();
        people.know(PeerId(1), remote("Ann"));
        let at = |presence| RemotePeer { presence, ..remote("Bo") };
        for (presence, group, came) in [
            (Presence::Joining, false, false),
            (Presence::Asking, false, false),
            (Presence::Here, true, true),
            (Presence::Away, true, false),
            (Presence::Here, true, false),
        ] {
            let news = News { came, asks: presence == Presence::Asking, raised_hand: false };
            assert_eq!(
                (people.know(PeerId(2), at(presence)), people.is_group()),
                (news, group),
                "{presence:?}"
            );
            assert_eq!(people.asking().is_some(), presence == Presence::Asking);
        }
    }

    #[test]
    fn who_is_seen_in_a_mix_has_no_tile() {
        let mut people = People::default();
        let (ann, bo, cy) = (PeerId(1), PeerId(2), PeerId(3));
        let seen = |name, seen_in| RemotePeer { seen_in, ..remote(name) };
        people.know(ann, seen("Ann", Some(bo)));
        let tiled = |people: &People| people.tiled().map(|person| person.id).collect::<Vec<_>>();
        assert_eq!(tiled(&people), [ann], "whoever mixes is not there");
        people.know(bo, remote("Bo"));
        people.know(cy, seen("Cy", Some(bo)));
        assert_eq!((tiled(&people), people.count()), (vec![bo], 4));
        assert!(people.is_mixer(bo) && !people.is_mixer(ann));
        people.know(cy, seen("Cy", Some(cy)));
        people.know(ann, seen("Ann", None));
        assert_eq!(tiled(&people), [ann, bo, cy]);
        assert!(!people.is_mixer(bo));
    }

    #[test]
    fn hands_have_an_order() {
        let mut people = People::default();
        let (ann, bo) = (PeerId(1), PeerId(2));
        let hand = |raised| RemotePeer { hand_raised: raised, ..remote("x") };
        people.know(bo, hand(true));
        people.raise_own_hand(true);
        assert!(people.know(ann, hand(true)).raised_hand);
        assert!(!people.know(ann, hand(true)).raised_hand);
        let order = |people: &People| [Who::Peer(bo), Who::Me, Who::Peer(ann)].map(|who| people.hand(who));
        assert_eq!(order(&people), [Some(1), Some(2), Some(3)]);
        people.raise_own_hand(false);
        assert_eq!(order(&people), [Some(1), None, Some(2)]);
        people.know(bo, hand(false));
        people.raise_own_hand(true);
        assert_eq!(order(&people), [None, Some(2), Some(1)]);
    }

    #[test]
    fn a_reaction_goes_away_by_itself() {
        let (mut people, now) = (People::default(), Instant::now());
        let who = Who::Peer(PeerId(1));
        people.react(who, Reaction::Heart, now);
        assert_eq!(people.reaction(who, now), None, "nobody has come yet");
        people.know(PeerId(1), remote("Ann"));
        people.react(who, Reaction::Heart, now);
        let seen = |after| people.reaction(who, now + after).map(|(reaction, _)| reaction);
        assert_eq!(seen(Duration::ZERO), Some(Reaction::Heart));
        assert_eq!(seen(People::REACTION), None);
    }

    #[test]
    fn who_spoke_last_is_shown() {
        let (mut people, start) = (People::default(), Instant::now());
        let all: Vec<Who> = (1..=5).map(|id| Who::Peer(PeerId(id))).collect();
        all.iter().for_each(|who| {
            if let Who::Peer(id) = who {
                people.know(*id, remote("x"));
            }
        });
        assert_eq!(people.choose(&all, 9), all);
        assert_eq!(people.choose(&all, 2), all[..2]);
        people.speakers.set_level(all[3], 0.6, start);
        people.speakers.set_level(all[3], 0.0, start + Duration::from_secs(1));
        assert_eq!(people.choose(&all, 2), [all[0], all[3]]);
        people.speakers.set_level(all[4], 0.6, start + Duration::from_secs(2));
        assert_eq!(people.choose(&all, 2), [all[3], all[4]]);
    }

    #[test]
    fn a_flood_of_people_is_bounded() {
        let mut people = People::default();
        (0..1000).for_each(|id| {
            people.know(PeerId(id), remote("x"));
        });
        assert_eq!(people.list().len(), People::MOST);
    }
}
