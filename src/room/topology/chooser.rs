//! The host's choice of a topology: who is the hub, if anybody, and who gets one picture of everybody. A core: the
//! engine's task asks about once a second, and whenever somebody has come or gone or the host has chosen otherwise.
//!
//! ```text
//!            more than MESH_MOST, or somebody is to be mixed; or for STRAIN: an uplink or a processor does not carry it
//!   no hub ------------------------------------------------------------------------------------------------> hub
//!          <------------------------------------------------------------------------------------------------
//!            every uplink and processor would carry it easily, for `patience`
//!
//!   hub -> another: at once when it is gone; its processor full for STRAIN and another's is not; another's uplink
//!                   carries BETTER times as much, for BETTER_FOR
//! ```
//!
//! Nothing changes more than once in STAY, unless the hub is gone or a person asks. A mesh that fails soon after it was
//! gone back to is tried later and later.

use super::{Choice, GuestChoice, Means, Ruling, Wishes};
use crate::room::roster::MemberId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A room of fewer has nothing to pass on.
const LEAST: usize = 3;
/// A mesh of so many is tried while nobody's uplink is known.
const UNKNOWN_MOST: usize = 4;
/// In a larger one tiles are small, and a hub that sends small layers saves everybody more than it costs.
const MESH_MOST: usize = 6;
/// kbit/s of a picture that is of use: 640x360 with 20 to 30 pictures a second, at the least that the encoder needs for
/// ordinary scenes (`pipeline::ladder`).
const PICTURE: u32 = 250;
/// kbit/s of a voice with its packets' heads.
const SOUND: u32 = 60;
/// kbit/s of the small layer that a hub sends where the larger does not fit (`pipeline::simulcast`).
const SMALL: u32 = 150;
/// Voices that a hub forwards to each.
const VOICES: u32 = 3;
/// The uplink of whom nothing is known, in kbit/s, where one has to be taken for something.
const ASSUMED: u32 = 1000;
/// So much more is clearly more: to go back to a mesh, and to be placed better than the host.
const MARGIN: (u32, u32) = (3, 2);
/// Percent of a processor that nothing more may be asked of.
const FULL: u8 = 90;
/// Percent up to which a processor has something to spare.
const FREE: u8 = 70;
/// Percent that the mix is made to end at: what the first listener costs (all pictures decoded, one composed, encoded),
/// and each further one (its sound, at times an encoder of its own).
const MIX_UP_TO: u8 = 80;
const MIX_FIRST: u8 = 25;
const MIX_EACH: u8 = 5;
/// A hub that mixing was too much for is not asked to mix for more for so long.
const MIX_REST: Duration = Duration::from_secs(120);
/// Another hub's uplink must carry so many times as much.
const BETTER: u32 = 2;
const BETTER_FOR: Duration = Duration::from_secs(20);
/// The least time between two changes: each costs everybody a keyframe or two.
const STAY: Duration = Duration::from_secs(10);
/// A measure out of bounds for less is a moment's.
const STRAIN: Duration = Duration::from_secs(8);
/// How long a mesh must have been possible before it is gone back to: at first, and at most.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_PATIENCE: Duration = Duration::from_secs(960);
/// A mesh that lasts for less has failed.
const LASTED: Duration = Duration::from_secs(300);

/// Since when something is so.
#[derive(Clone, Copy, Debug, Default)]
struct Since(Option<Instant>);

impl Since {
    fn note(&mut self, now: Instant, is_so: bool) {
        self.0 = is_so.then(|| self.0.unwrap_or(now));
    }

    fn lasts(self, now: Instant, long: Duration) -> bool {
        self.0.is_some_and(|since| now.saturating_duration_since(since) >= long)
    }
}

/// The ruling, and what tells when it is time for another.
#[derive(Clone, Debug)]
pub struct Chooser {
    ruling: Ruling,
    wishes: Wishes,
    changed_at: Option<Instant>,
    /// A mesh does not carry the room, or would carry it easily.
    strained: Since,
    relaxed: Since,
    /// The hub's processor is full; another would be a better hub.
    full: Since,
    better: Since,
    patience: Duration,
    /// When a mesh was gone back to.
    meshed_at: Option<Instant>,
    /// Until then nobody more is mixed.
    mixes_from: Option<Instant>,
}

impl Default for Chooser {
    fn default() -> Self {
        Self {
            ruling: Ruling::default(),
            wishes: Wishes::default(),
            changed_at: None,
            strained: Since::default(),
            relaxed: Since::default(),
            full: Since::default(),
            better: Since::default(),
            patience: PATIENCE,
            meshed_at: None,
            mixes_from: None,
        }
    }
}

impl Chooser {
    /// While another is the host: what it has ruled stands if we become the host.
    pub fn follow(&mut self, ruling: &Ruling) {
        if self.ruling != *ruling {
            *self = Self { ruling: ruling.clone(), ..Self::default() };
        }
    }

    /// As the host, for these members with what they say of themselves; we are `me`, one of them.
    pub fn update(
        &mut self,
        now: Instant,
        me: MemberId,
        members: &BTreeMap<MemberId, Means>,
        wishes: &Wishes,
    ) -> Ruling {
        let room = Room { me, members, wishes };
        let is_asked = self.wishes != *wishes;
        if is_asked {
            self.wishes = wishes.clone();
        }
        let is_hub_gone = self.ruling.hub.is_some_and(|hub| !room.forwards(hub));
        self.ruling.mixed.retain(|id| members.contains_key(id));
        self.observe(now, &room);
        let stays = self.changed_at.is_some_and(|at| now < at + STAY);
        if is_asked || is_hub_gone || members.len() < LEAST || !stays {
            let hub = self.hub(now, &room);
            let mixed = hub.map_or_else(BTreeSet::new, |hub| self.mixed(now, &room, hub));
            self.take(now, Ruling { hub, mixed });
        }
        self.ruling.clone()
    }

    fn observe(&mut self, now: Instant, room: &Room) {
        let hub = self.ruling.hub.filter(|hub| room.forwards(*hub));
        self.strained.note(now, hub.is_none() && room.is_strained());
        self.relaxed.note(now, hub.is_some() && room.is_relaxed());
        self.full.note(now, hub.is_some_and(|hub| room.load(hub) >= FULL));
        self.better.note(now, hub.is_some_and(|hub| room.better(hub).is_some()));
    }

    fn take(&mut self, now: Instant, next: Ruling) {
        if next == self.ruling {
            return;
        }
        match (self.ruling.hub, next.hub) {
            (Some(_), None) => self.meshed_at = Some(now),
            (None, Some(_)) => {
                let failed = self.meshed_at.is_some_and(|at| now.saturating_duration_since(at) < LASTED);
                self.patience = if failed { (self.patience * 2).min(MOST_PATIENCE) } else { PATIENCE };
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if self.ruling.hub != next.hub {
            let never = Since::default();
            (self.strained, self.relaxed, self.better) = (never, never, never);
        }
        self.full = Since::default();
        self.changed_at = Some(now);
        self.ruling = next;
    }

    fn wants_hub(&self, now: Instant, room: &Room) -> bool {
        let count = room.members.len();
        match room.wishes.room {
            _ if count < LEAST => false,
            Choice::Mesh => false,
            Choice::Forward | Choice::Mix => true,
            Choice::Automatic if count > MESH_MOST || room.wants_mix() => true,
            Choice::Automatic if self.ruling.hub.is_none() => self.strained.lasts(now, STRAIN),
            Choice::Automatic => !self.relaxed.lasts(now, self.patience),
        }
    }

    fn hub(&self, now: Instant, room: &Room) -> Option<MemberId> {
        if !self.wants_hub(now, room) {
            return None;
        }
        let Some(hub) = self.ruling.hub.filter(|hub| room.may_stay(*hub)) else { return room.elect() };
        if self.full.lasts(now, STRAIN)
            && let Some(other) = room.best(|id| id != hub && room.suits(id) && room.load(id) <= FREE)
        {
            return Some(other);
        }
        if self.better.lasts(now, BETTER_FOR)
            && let Some(better) = room.better(hub)
        {
            return Some(better);
        }
        Some(hub)
    }

    /// For whom the hub mixes. What the host asks for is done; what members wish, as far as the hub's processor goes.
    fn mixed(&mut self, now: Instant, room: &Room, hub: MemberId) -> BTreeSet<MemberId> {
        let others = || room.members.keys().copied().filter(|id| *id != hub);
        let mut mixed: BTreeSet<_> = others().filter(|id| room.is_asked_to_mix(*id)).collect();
        let is_same = self.ruling.hub == Some(hub);
        let (mut kept, new): (Vec<_>, Vec<_>) = others()
            .filter(|id| !mixed.contains(id) && room.wishes_mix(*id))
            .partition(|id| is_same && self.ruling.mixed.contains(id));
        if is_same && self.full.lasts(now, STRAIN) {
            self.mixes_from = Some(now + MIX_REST);
            kept.truncate(kept.len() / 2);
        }
        let free = MIX_UP_TO.saturating_sub(room.load(hub));
        let more = match mixed.is_empty() && kept.is_empty() {
            true => free.checked_sub(MIX_FIRST).map_or(0, |left| 1 + left / MIX_EACH),
            false => free / MIX_EACH,
        };
        let rests = is_same && self.mixes_from.is_some_and(|from| now < from);
        let more = if rests { 0 } else { usize::from(more) };
        mixed.extend(kept.into_iter().chain(new.into_iter().take(more)));
        mixed
    }
}

/// What is to be decided about.
struct Room<'a> {
    me: MemberId,
    members: &'a BTreeMap<MemberId, Means>,
    wishes: &'a Wishes,
}

impl Room<'_> {
    fn forwards(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|means| means.forwards)
    }

    fn load(&self, id: MemberId) -> u8 {
        self.members.get(&id).map_or(0, |means| means.load)
    }

    fn guest(&self, id: MemberId) -> GuestChoice {
        self.wishes.guests.get(&id).copied().unwrap_or_default()
    }

    fn is_asked_to_mix(&self, id: MemberId) -> bool {
        match self.guest(id) {
            GuestChoice::Mix => true,
            GuestChoice::Forward => false,
            GuestChoice::Automatic => self.wishes.room == Choice::Mix,
        }
    }

    /// It wishes so itself, and the host leaves it to it.
    fn wishes_mix(&self, id: MemberId) -> bool {
        let wishes = self.members.get(&id).is_some_and(|means| means.wants_mix);
        wishes && self.guest(id) == GuestChoice::Automatic
    }

    /// Somebody is to get one picture, which takes a hub.
    fn wants_mix(&self) -> bool {
        self.members.keys().any(|id| self.wishes_mix(*id) || self.guest(*id) == GuestChoice::Mix)
    }

    /// A hub decodes and sends more than anybody: not one that would rather do less.
    fn suits(&self, id: MemberId) -> bool {
        self.forwards(id) && !self.wishes_mix(id) && self.guest(id) != GuestChoice::Mix
    }

    /// What everybody in a mesh has to send, in kbit/s.
    fn mesh_needs(&self) -> u32 {
        self.others() * (PICTURE + SOUND)
    }

    /// What a hub has to send at the least: to each the small pictures and the loudest voices of all others.
    fn hub_needs(&self) -> u32 {
        self.others() * (self.others() * SMALL + VOICES * SOUND)
    }

    /// What its uplink is worth to a hub, in kbit/s: enough is as good as more, and nobody becomes the hub by a boast.
    fn worth(&self, means: &Means) -> u32 {
        let uplink = if means.uplink == 0 { ASSUMED } else { means.uplink };
        uplink.min(self.hub_needs())
    }

    fn others(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// A mesh does not carry this room, and a hub would.
    fn is_strained(&self) -> bool {
        let means = || self.members.values();
        let is_unknown = self.members.len() > UNKNOWN_MOST && means().any(|means| means.uplink == 0);
        let is_narrow = means().any(|means| means.uplink != 0 && means.uplink < self.mesh_needs());
        let helps = || means().any(|means| means.forwards && means.uplink >= self.hub_needs());
        is_unknown || means().any(|means| means.load >= FULL) || is_narrow && helps()
    }

    /// A mesh would carry this room easily.
    fn is_relaxed(&self) -> bool {
        let needed = self.mesh_needs() / MARGIN.1 * MARGIN.0;
        let carries = |means: &Means| match means.uplink {
            0 => self.members.len() <= UNKNOWN_MOST,
            uplink => uplink >= needed,
        };
        let is_easy = |means: &Means| carries(means) && means.load <= FREE;
        self.members.len() <= MESH_MOST && !self.wants_mix() && self.members.values().all(is_easy)
    }

    /// The best-placed of these: uplink first, then processor; but the host itself if nobody is clearly better placed.
    fn best(&self, is_able: impl Fn(MemberId) -> bool) -> Option<MemberId> {
        let rank =
            |(id, means): &(&MemberId, &Means)| (Reverse(class(self.worth(means))), means.load / 25, **id);
        let able = self.members.iter().filter(|(id, _)| is_able(**id));
        let (best, means) = able.min_by_key(rank)?;
        let own = self.members.get(&self.me).filter(|_| is_able(self.me));
        let is_clear = |own: &Means| {
            let carries = self.worth(means) * MARGIN.1 >= self.worth(own) * MARGIN.0;
            carries || means.load <= FREE && own.load > FREE
        };
        Some(if own.is_some_and(|own| !is_clear(own)) { self.me } else { *best })
    }

    /// A hub where there is none. Nobody's full processor is made fuller, unless a person has asked for a hub.
    fn elect(&self) -> Option<MemberId> {
        let is_free = |id| self.load(id) < FULL;
        let free = || {
            let suits = self.best(|id| self.suits(id) && is_free(id));
            suits.or_else(|| self.best(|id| self.forwards(id) && is_free(id)))
        };
        let any = || self.best(|id| self.suits(id)).or_else(|| self.best(|id| self.forwards(id)));
        free().or_else(|| if self.is_asked_for() { any() } else { None })
    }

    /// The host asks for a hub, or for something that takes one.
    fn is_asked_for(&self) -> bool {
        match self.wishes.room {
            Choice::Forward | Choice::Mix => true,
            Choice::Automatic => self.members.keys().any(|id| self.guest(*id) == GuestChoice::Mix),
            Choice::Mesh => false,
        }
    }

    /// The hub is still one, and nobody wants it to be something else that could be.
    fn may_stay(&self, hub: MemberId) -> bool {
        let is_free = |id| self.suits(id) && self.load(id) < FULL;
        self.forwards(hub) && (self.suits(hub) || self.best(is_free).is_none())
    }

    /// A clearly better hub than this one.
    fn better(&self, hub: MemberId) -> Option<MemberId> {
        let uplink = self.members.get(&hub)?.uplink;
        let is_better = |id: MemberId| {
            let carries = self.members.get(&id).is_some_and(|means| self.worth(means) / BETTER >= uplink);
            id != hub && carries && self.suits(id) && self.load(id) <= FREE
        };
        (uplink != 0).then(|| self.best(is_better))?
    }
}

/// Uplinks that differ by less than a half are as good as each other.
fn class(uplink: u32) -> usize {
    let steps = std::iter::successors(Some(100_u64), |step| Some(step * 3 / 2));
    steps.take_while(|step| *step <= u64::from(uplink)).count()
}
