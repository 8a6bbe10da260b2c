//! Who is in the room, and who has to be linked to whom yet. A core: the engine tells it of links and of what comes
//! over them, carries out its [`Output`]s, and asks it for names and for the host.
//!
//! A room is a graph of links that is to become complete. Each member tells its neighbours who its own neighbours are
//! ([`Report`]); whoever is named there and not linked yet is introduced: the member with the smaller id makes an
//! invite, which a common neighbour passes on ([`Pass`]), and the reply comes back the same way. Nobody else is asked,
//! so there is no glare and no leader to lose. A report is only believed about its sender's own links and only over
//! a link to the sender: whoever is gone is forgotten when the last of its links is.
//!
//! ```text
//!   Ann ---- Bo       Cy is linked to Bo, by an invite of Bo's. Bo reports Cy to Ann and Ann to Cy.
//!     .      |        Ann < Cy: Ann's invite goes to Bo, who passes it to Cy; Cy's reply comes back through Bo.
//!      . . . Cy
//! ```
//!
//! The *host* is whom most members follow: at first who founded the room, later whoever of those present came first.
//! One member cannot make itself the host of a room of three. What the host rules (locked, removed) is taken from the
//! host's own link only.
//!
//! A neighbour that passes codes on could put its own in their place, as any messenger could: the four words of the
//! new link show it. It cannot end a link that stands.

mod id;
#[cfg(test)]
mod tests;
mod wire;

pub use id::MemberId;
pub use wire::{Entry, Pass, Report};

use super::topology::{Means, Ruling, Wishes};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// People in a room, with us. More would not fit into a mesh's upload.
pub const MAX_MEMBERS: usize = 12;
/// A code that is passed on; compact ones have some 150 characters, a full one with many candidates a few thousand.
pub const MAX_PAYLOAD: usize = 8 * 1024;
/// Members that may not come back; the oldest are forgotten.
const MAX_REMOVED: usize = 32;
/// Reports follow each other no faster, so that a change that touches many is told once.
const SETTLE: Duration = Duration::from_millis(50);
/// And no slower: one may have been lost with a link's handshake.
const AGAIN: Duration = Duration::from_secs(5);
/// An introduction that has not come to a link by then is begun anew, through another neighbour if there is one.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// The other side of an introduction waits a little longer: the one that makes invites begins anew.
const ANSWER: Duration = Duration::from_secs(14);
/// Whoever has left is not introduced again at once: the others may not have heard of it yet.
const HOLD: Duration = Duration::from_secs(2);
/// Whoever let us in tells at once when we came. If it is gone before that, we came just now.
const UNTOLD: Duration = Duration::from_secs(15);
/// Codes that one neighbour may have us take or pass on in one go, and how fast it gets more.
const PASSES: f64 = 4.0 * MAX_MEMBERS as f64;
const PASSES_PER_SECOND: f64 = 2.0;

/// What the engine has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell this neighbour.
    Report(MemberId, Report),
    /// Hand this to that neighbour.
    Pass(MemberId, Pass),
    /// Make an invite for this member and give it to [`Roster::made`].
    Offer(MemberId),
    /// Take this member's invite, and give the reply to [`Roster::made`].
    Answer(MemberId, String),
    /// Take this member's reply.
    Accept(MemberId, String),
    /// End the link or the introduction to this member.
    Drop(MemberId),
    /// The host has put us out.
    Removed,
    /// Members, names, host or lock may be others.
    Changed,
}

/// Why something a member sent is not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it calls itself by an id that is taken")]
    Taken,
    #[error("the host has put it out")]
    PutOut,
    #[error("the room is full")]
    Full,
    #[error("it is not linked to us")]
    NoNeighbour,
    #[error("it says that it comes from somebody else")]
    Forged,
    #[error("it is about somebody who is not in the room")]
    Unknown,
    #[error("it is too large")]
    TooLarge,
    #[error("there are too many")]
    Flood,
    #[error("it comes too late, or twice")]
    Stale,
    #[error("only the host may do that")]
    NotHost,
}

/// A member that we are linked to.
#[derive(Clone, Debug)]
struct Neighbour {
    name: String,
    order: u32,
    report: Option<Report>,
    /// Passes left, as of then.
    passes: (f64, Instant),
}

/// An introduction under way.
#[derive(Clone, Copy, Debug)]
struct Introduction {
    attempt: u32,
    since: Instant,
    /// Who passed us the invite, if we are the one that answers.
    through: Option<MemberId>,
}

/// Somebody in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    pub name: &'a str,
    pub order: u32,
}

/// One member's view of the room.
pub struct Roster {
    me: MemberId,
    name: String,
    /// `None` until it is known from whoever let us in.
    order: Option<u32>,
    /// Until then we wait to be told.
    untold: Option<Instant>,
    host: MemberId,
    locked: bool,
    removed: VecDeque<MemberId>,
    ruling: Ruling,
    wishes: Wishes,
    means: Means,
    neighbours: BTreeMap<MemberId, Neighbour>,
    introductions: BTreeMap<MemberId, Introduction>,
    /// Who has left, and until when nobody is asked about them.
    left: BTreeMap<MemberId, Instant>,
    attempts: u32,
    reports: u64,
    /// When the next report is due.
    report_at: Option<Instant>,
    reported_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Roster {
    /// `founder`: we make the first invite; else somebody lets us in.
    pub fn new(me: MemberId, name: &str, founder: bool) -> Self {
        Self {
            me,
            name: name.into(),
            order: founder.then_some(0),
            untold: None,
            host: me,
            locked: false,
            removed: VecDeque::new(),
            ruling: Ruling::default(),
            wishes: Wishes::default(),
            means: Means::default(),
            neighbours: BTreeMap::new(),
            introductions: BTreeMap::new(),
            left: BTreeMap::new(),
            attempts: 0,
            reports: 0,
            report_at: None,
            reported_at: None,
            outputs: VecDeque::new(),
        }
    }

    pub fn me(&self) -> MemberId {
        self.me
    }
    pub fn host(&self) -> MemberId {
        self.host
    }
    pub fn is_host(&self) -> bool {
        self.host == self.me && self.order.is_some()
    }
    pub fn is_locked(&self) -> bool {
        self.locked
    }
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }
    pub fn is_linked(&self, id: MemberId) -> bool {
        self.neighbours.contains_key(&id)
    }

    /// Whether one more may be let in.
    pub fn has_room(&self) -> bool {
        !self.locked && self.members().len() < MAX_MEMBERS
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_time`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let introductions =
            self.introductions.iter().map(|(id, introduction)| introduction.since + self.patience(*id));
        introductions.chain(self.left.values().copied()).chain(self.report_at).chain(self.untold).min()
    }

    /// Everybody, ourselves included, as far as it is known.
    pub fn members(&self) -> BTreeMap<MemberId, Member<'_>> {
        let mut members = BTreeMap::new();
        members.insert(self.me, Member { name: &self.name, order: self.order.unwrap_or(u32::MAX) });
        for (id, neighbour) in &self.neighbours {
            members.insert(*id, Member { name: &neighbour.name, order: neighbour.order });
        }
        let reported = self.neighbours.values().filter_map(|neighbour| neighbour.report.as_ref());
        for entry in reported.flat_map(|report| &report.members) {
            let is_known = members.contains_key(&entry.id);
            let is_out = self.is_removed(entry.id) || self.left.contains_key(&entry.id);
            if !is_known && !is_out && members.len() < MAX_MEMBERS {
                members.insert(entry.id, Member { name: &entry.name, order: entry.order });
            }
        }
        members
    }

    /// The name as it is shown: of several people with the same, all but the first to come have a number.
    pub fn shown_name(&self, id: MemberId) -> Option<String> {
        let members = self.members();
        let member = members.get(&id)?;
        let earlier = members.iter().filter(|(other_id, other)| {
            other.name == member.name && (other.order, **other_id) < (member.order, id)
        });
        Some(match earlier.count() {
            0 => member.name.to_owned(),
            _ if member.name.is_empty() => String::new(),
            count => format!("{} ({})", member.name, count + 1),
        })
    }

    pub fn rename(&mut self, now: Instant, name: &str) {
        self.name = name.into();
        self.changed(now);
    }

    /// Locks the room, or opens it again.
    pub fn lock(&mut self, now: Instant, locked: bool) -> Result<(), Refused> {
        if !self.is_host() {
            return Err(Refused::NotHost);
        }
        self.locked = locked;
        self.changed(now);
        Ok(())
    }

    /// Rules in what way sound and picture go, and says what we wish for that.
    pub fn rule(&mut self, now: Instant, ruling: Ruling, wishes: &Wishes) -> Result<(), Refused> {
        if !self.is_host() {
            return Err(Refused::NotHost);
        }
        if self.ruling != ruling || self.wishes != *wishes {
            (self.ruling, self.wishes) = (ruling, wishes.clone());
            self.changed(now);
        }
        Ok(())
    }

    /// What the host has ruled.
    pub fn ruling(&self) -> &Ruling {
        &self.ruling
    }
    pub fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// What we are able to; told with the next report.
    pub fn set_means(&mut self, means: Means) {
        self.means = means;
    }

    /// What everybody who is linked to us has said of themselves, and we.
    pub fn means(&self) -> BTreeMap<MemberId, Means> {
        let said = |(id, one): (&MemberId, &Neighbour)| Some((*id, one.report.as_ref()?.means));
        self.neighbours.iter().filter_map(said).chain([(self.me, self.means)]).collect()
    }

    /// Who says that they are linked to this member, and can pass on what the two of us send to each other.
    pub fn between(&self, member: MemberId) -> Vec<MemberId> {
        let is_linked = |report: &Report| report.members.iter().any(|entry| entry.id == member);
        let stands =
            |one: &Neighbour| one.report.as_ref().is_some_and(|said| said.means.forwards && is_linked(said));
        self.neighbours.iter().filter(|(id, one)| **id != member && stands(one)).map(|(id, _)| *id).collect()
    }

    /// Puts somebody out. The others hear of it, and so does the one who is put out: their link ends a moment later.
    pub fn remove(&mut self, now: Instant, id: MemberId) -> Result<(), Refused> {
        if !self.is_host() {
            return Err(Refused::NotHost);
        }
        if id == self.me || !self.members().contains_key(&id) {
            return Err(Refused::Unknown);
        }
        self.bar(id);
        // The last word to them, before the link is dropped.
        self.report(now);
        self.put_out(id);
        self.changed(now);
        Ok(())
    }

    /// A link stands, and whoever is at its other end may come in.
    pub fn handle_link(&mut self, now: Instant, id: MemberId, name: &str) -> Result<(), Refused> {
        if id == self.me {
            return Err(Refused::Taken);
        }
        if self.is_removed(id) {
            return Err(Refused::PutOut);
        }
        if let Some(neighbour) = self.neighbours.get_mut(&id) {
            neighbour.name = name.into();
            self.changed(now);
            return Ok(());
        }
        let members = self.members();
        if members.len() >= MAX_MEMBERS && !members.contains_key(&id) {
            return Err(Refused::Full);
        }
        let last = members.values().map(|member| member.order).filter(|order| *order != u32::MAX).max();
        let order = members.get(&id).map_or(last.unwrap_or(0).saturating_add(1), |member| member.order);
        if self.order.is_none() {
            self.untold.get_or_insert(now + UNTOLD);
        }
        self.left.remove(&id);
        self.introductions.remove(&id);
        let neighbour = Neighbour { name: name.into(), order, report: None, passes: (PASSES, now) };
        self.neighbours.insert(id, neighbour);
        self.changed(now);
        Ok(())
    }

    /// A link is gone, by a good-bye or for good; or an introduction came to nothing.
    pub fn handle_unlink(&mut self, now: Instant, id: MemberId) {
        if self.neighbours.remove(&id).is_some() {
            if self.left.len() < MAX_MEMBERS {
                self.left.insert(id, now + HOLD);
            }
            self.introductions.remove(&id);
            self.changed(now);
        }
    }

    pub fn handle_report(&mut self, now: Instant, from: MemberId, report: Report) -> Result<(), Refused> {
        let neighbour = self.neighbours.get_mut(&from).ok_or(Refused::NoNeighbour)?;
        if report.members.len() > MAX_MEMBERS || report.removed.len() > MAX_REMOVED {
            return Err(Refused::TooLarge);
        }
        if neighbour.report.as_ref().is_some_and(|old| old.number >= report.number) {
            return Err(Refused::Stale);
        }
        neighbour.order = report.order;
        // What members are able to changes all the time, and is looked at when somebody rules.
        let same =
            |old: &Report| Report { number: report.number, means: report.means, ..old.clone() } == report;
        let is_news = !neighbour.report.as_ref().is_some_and(same);
        neighbour.report = Some(report.clone());
        if self.order.is_none() {
            let ours = report.members.iter().find(|entry| entry.id == self.me).map(|entry| entry.order);
            let last = report.members.iter().map(|entry| entry.order).chain([report.order]).max();
            self.order = Some(ours.unwrap_or(last.unwrap_or(0).saturating_add(1)));
            self.host = report.host;
            self.untold = None;
        }
        self.elect();
        if from == self.host {
            self.locked = report.locked;
            (self.ruling, self.wishes) = (report.ruling.limited(), report.wishes.limited());
            for id in report.removed {
                if !self.is_removed(id) {
                    self.bar(id);
                    if id == self.me {
                        self.outputs.push_back(Output::Removed);
                    } else {
                        self.put_out(id);
                    }
                }
            }
        }
        if is_news {
            self.changed(now);
        }
        Ok(())
    }

    /// A code comes over the link to `from`: for us, or to be passed on.
    pub fn handle_pass(&mut self, now: Instant, from: MemberId, pass: Pass) -> Result<(), Refused> {
        let neighbour = self.neighbours.get_mut(&from).ok_or(Refused::NoNeighbour)?;
        let (left, at) = neighbour.passes;
        let passed = now.saturating_duration_since(at).as_secs_f64();
        let left = (left + passed * PASSES_PER_SECOND).min(PASSES);
        neighbour.passes = ((left - 1.0).max(0.0), now);
        if left < 1.0 {
            return Err(Refused::Flood);
        }
        if pass.payload.len() > MAX_PAYLOAD {
            return Err(Refused::TooLarge);
        }
        if pass.to != self.me {
            if pass.from != from {
                return Err(Refused::Forged);
            }
            if !self.neighbours.contains_key(&pass.to) {
                return Err(Refused::Unknown);
            }
            self.outputs.push_back(Output::Pass(pass.to, pass));
            return Ok(());
        }
        let Pass { from: maker, attempt, payload, .. } = pass;
        if maker == self.me || self.is_removed(maker) {
            return Err(Refused::Forged);
        }
        let reported = self.neighbours.get(&from).and_then(|neighbour| neighbour.report.as_ref());
        if !reported.is_some_and(|report| report.members.iter().any(|entry| entry.id == maker)) {
            return Err(Refused::Unknown);
        }
        if self.neighbours.contains_key(&maker) {
            return Err(Refused::Stale);
        }
        let known = self.introductions.get(&maker).map(|introduction| introduction.attempt);
        if maker < self.me {
            if known.is_some_and(|known| known >= attempt) {
                return Err(Refused::Stale);
            }
            if known.is_none() && self.members().len() > MAX_MEMBERS {
                return Err(Refused::Full);
            }
            if known.is_some() {
                self.outputs.push_back(Output::Drop(maker));
            }
            let introduction = Introduction { attempt, since: now, through: Some(from) };
            self.introductions.insert(maker, introduction);
            self.outputs.push_back(Output::Answer(maker, payload));
        } else {
            if known != Some(attempt) {
                return Err(Refused::Stale);
            }
            self.outputs.push_back(Output::Accept(maker, payload));
        }
        Ok(())
    }

    /// Our code for this member is made: it goes there through a neighbour that is linked to both of us.
    pub fn made(&mut self, to: MemberId, payload: String) {
        let Some(Introduction { attempt, through, .. }) = self.introductions.get(&to).copied() else {
            return;
        };
        let knows = |neighbour: &Neighbour| {
            let report = neighbour.report.as_ref();
            report.is_some_and(|report| report.members.iter().any(|entry| entry.id == to))
        };
        let through = through.filter(|id| self.neighbours.contains_key(id)).or_else(|| {
            let able: Vec<_> = self.neighbours.iter().filter(|(_, neighbour)| knows(neighbour)).collect();
            able.get(attempt as usize % able.len().max(1)).map(|(id, _)| **id)
        });
        if let Some(through) = through {
            self.outputs.push_back(Output::Pass(through, Pass { to, from: self.me, attempt, payload }));
        }
    }

    /// What is due by now.
    pub fn handle_time(&mut self, now: Instant) {
        self.left.retain(|_, until| *until > now);
        if self.untold.take_if(|until| *until <= now).is_some() && self.order.is_none() {
            self.order = Some(1);
            self.changed(now);
        }
        let late = self.introductions.iter().filter(|(id, one)| one.since + self.patience(**id) <= now);
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.introductions.remove(&id);
            self.outputs.push_back(Output::Drop(id));
        }
        self.elect();
        self.introduce(now);
        if self.report_at.is_some_and(|at| at <= now) {
            self.report(now);
        }
    }

    fn patience(&self, id: MemberId) -> Duration {
        if self.me < id { INTRODUCTION } else { ANSWER }
    }

    /// Begins with whoever is in the room and not linked to us, and gives up on whoever is gone.
    fn introduce(&mut self, now: Instant) {
        let members: BTreeSet<MemberId> = self.members().into_keys().collect();
        let gone: Vec<_> = self.introductions.keys().filter(|id| !members.contains(id)).copied().collect();
        for id in gone {
            self.introductions.remove(&id);
            self.outputs.push_back(Output::Drop(id));
        }
        // Before we know when we came we are not quite in.
        if self.order.is_none() {
            return;
        }
        for id in members.into_iter().filter(|id| self.me < *id) {
            if !self.neighbours.contains_key(&id) && !self.introductions.contains_key(&id) {
                self.attempts += 1;
                let introduction = Introduction { attempt: self.attempts, since: now, through: None };
                self.introductions.insert(id, introduction);
                self.outputs.push_back(Output::Offer(id));
            }
        }
    }

    /// The host is whom most follow; of several, and if nobody is followed who is there, who came first.
    fn elect(&mut self) {
        let Some(order) = self.order else { return };
        let members = self.members();
        let theirs = self.neighbours.values().filter_map(|neighbour| neighbour.report.as_ref());
        let votes: Vec<_> = theirs
            .map(|report| report.host)
            .chain([self.host])
            .filter(|id| members.contains_key(id))
            .collect();
        let candidates: BTreeSet<MemberId> = if votes.is_empty() {
            members.keys().copied().collect()
        } else {
            votes.iter().copied().collect()
        };
        let rank = |id: &MemberId| {
            let came = if *id == self.me { order } else { members.get(id).map_or(u32::MAX, |m| m.order) };
            (std::cmp::Reverse(votes.iter().filter(|vote| *vote == id).count()), came, *id)
        };
        let host = candidates.into_iter().min_by_key(rank).unwrap_or(self.me);
        drop(members);
        if host != self.host {
            self.host = host;
            self.outputs.push_back(Output::Changed);
            self.report_at = self.reported_at.map(|at| at + SETTLE).or(self.report_at);
        }
    }

    fn bar(&mut self, id: MemberId) {
        self.removed.push_back(id);
        if self.removed.len() > MAX_REMOVED {
            self.removed.pop_front();
        }
    }

    fn put_out(&mut self, id: MemberId) {
        let is_known = self.neighbours.remove(&id).is_some() | self.introductions.remove(&id).is_some();
        if is_known {
            self.outputs.push_back(Output::Drop(id));
        }
    }

    fn changed(&mut self, now: Instant) {
        self.elect();
        self.outputs.push_back(Output::Changed);
        self.introduce(now);
        let soon = now + SETTLE;
        self.report_at = Some(self.report_at.map_or(soon, |at| at.min(soon)));
    }

    fn report(&mut self, now: Instant) {
        self.report_at = (!self.neighbours.is_empty()).then_some(now + AGAIN);
        self.reported_at = Some(now);
        let Some(order) = self.order else { return };
        self.reports += 1;
        let entry =
            |(id, one): (&MemberId, &Neighbour)| Entry { id: *id, name: one.name.clone(), order: one.order };
        let report = Report {
            number: self.reports,
            order,
            host: self.host,
            locked: self.locked,
            removed: self.removed.iter().copied().collect(),
            ruling: self.ruling.clone(),
            wishes: self.wishes.clone(),
            means: self.means,
            members: self.neighbours.iter().map(entry).collect(),
        };
        let to: Vec<_> = self.neighbours.keys().copied().collect();
        self.outputs.extend(to.into_iter().map(|id| Output::Report(id, report.clone())));
    }
}
