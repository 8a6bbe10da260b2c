//! In what way the room is connected: once a second, what we can carry, for the host; and if we are the host, the ruling
//! ([`Chooser`]), again whenever somebody has come or gone. What the ruling means for our streams is up to others.

use super::Task;
use super::link::Link;
use crate::choice::{GuestChoice, TopologyChoice};
use crate::engine::Hub;
use crate::ports::PeerId;
use crate::room::roster::MemberId;
use crate::room::topology::{Chooser, Gauge, LinkRate, Means, Narrow, Processor, Wishes};
use crate::stats::{PeerStats, ProcessStats};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Instant;

/// What the task keeps of it.
pub(super) struct Choosing {
    wishes: Wishes,
    chooser: Chooser,
    gauge: Gauge,
    narrow: Narrow,
    cores: usize,
}

impl Choosing {
    /// Of a new room.
    pub fn new(room: TopologyChoice) -> Self {
        Self {
            wishes: Wishes { room, guests: BTreeMap::new() },
            chooser: Chooser::default(),
            gauge: Gauge::default(),
            narrow: Narrow::default(),
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    /// Ours, as far as they are measured.
    pub fn means(&self, wants_mix: bool) -> Means {
        Means { uplink: self.gauge.uplink(), load: self.gauge.load(), wants_mix, forwards: true }
    }

    /// What the host wishes, if that is us.
    pub fn room(&self) -> TopologyChoice {
        self.wishes.room
    }

    pub fn guest(&self, member: MemberId) -> GuestChoice {
        self.wishes.guests.get(&member).copied().unwrap_or_default()
    }
}

impl Task {
    /// Once a second, after the statistics.
    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        let links = || self.links.iter().filter(|(_, link)| link.is_in_order());
        let rates: Vec<LinkRate> = links().map(|(id, link)| rate(*id, &link.last_stats)).collect();
        let is_too_slow = links().any(|(_, link)| {
            link.last_stats.outbound.video.quality_limitation_reason == PeerStats::LIMITED_BY_CPU
        });
        let seconds = ProcessStats::now().cpu_seconds;
        let Choosing { gauge, narrow, cores, .. } = &mut self.choosing;
        gauge.update(now, &rates, Processor { seconds, cores: *cores, is_too_slow });
        let measured = |rate: &LinkRate| (rate.id, gauge.is_measured(rate.id).then_some(rate.kbps));
        narrow.update(now, &rates.iter().map(measured).collect::<Vec<_>>());
        self.room.roster.set_means(self.choosing.means(self.settings.one_picture));
        self.rule();
        self.settle_room();
    }

    /// As the host: how the room is connected from now on.
    pub(super) fn rule(&mut self) {
        let now = Instant::now();
        if !self.room.roster.is_host() {
            self.choosing.wishes.clone_from(self.room.roster.wishes());
            return self.choosing.chooser.follow(self.room.roster.ruling());
        }
        let members = self.means_of_all();
        let Choosing { chooser, wishes, .. } = &mut self.choosing;
        let ruling = chooser.update(now, self.room.me, &members, wishes);
        if ruling != *self.room.roster.ruling() {
            tracing::info!(?ruling, "the room is connected in another way");
        }
        if let Err(refused) = self.room.roster.rule(now, ruling, wishes) {
            tracing::info!(%refused, "nothing is ruled");
        }
    }

    /// Of everybody we are linked to, and of ourselves.
    fn means_of_all(&self) -> BTreeMap<MemberId, Means> {
        let told = self.room.roster.means();
        let means = |member| told.get(&member).copied().unwrap_or_default();
        let of = |(id, link): (&PeerId, &Link)| {
            let member = link.member.filter(|_| link.counts)?;
            let means = means(member);
            let wants_mix = means.wants_mix || self.choosing.narrow.contains(*id);
            // Whoever we do not hear cannot be the hub, but is still in the room.
            Some((member, Means { wants_mix, forwards: means.forwards && link.is_in_order(), ..means }))
        };
        let mut all: BTreeMap<_, _> = self.links.iter().filter_map(of).collect();
        all.insert(self.room.me, means(self.room.me));
        all
    }

    /// As the host, for everybody.
    pub(super) fn choose_topology(&mut self, choice: TopologyChoice) {
        self.choosing.wishes.room = choice;
        self.rule();
        self.settle_room();
        self.tell_room();
    }

    /// As the host, for one guest.
    pub(super) fn choose_for(&mut self, id: PeerId, choice: GuestChoice) {
        let Some(member) = self.member_of(id).filter(|_| self.room.roster.is_host()) else { return };
        match choice {
            GuestChoice::Automatic => drop(self.choosing.wishes.guests.remove(&member)),
            GuestChoice::Forward | GuestChoice::Mix => {
                self.choosing.wishes.guests.insert(member, choice);
            }
        }
        self.rule();
        self.settle_room();
        self.tell_remote(id);
    }

    /// Through whom everything goes, as the faces know people.
    pub(super) fn hub_as_shown(&self) -> Option<Hub> {
        let hub = self.room.roster.ruling().hub?;
        let is_it = |(_, link): &(&PeerId, &Link)| link.counts && link.member == Some(hub);
        let person = || self.links.iter().find(is_it).map(|(id, _)| *id);
        Some(if hub == self.room.me { Hub::We } else { person().map_or(Hub::Unknown, Hub::Person) })
    }
}

fn rate(id: PeerId, stats: &PeerStats) -> LinkRate {
    let kbps = stats.candidate_pair.available_outgoing_bitrate / 1000;
    let bytes = stats.outbound.video.bytes_sent + stats.outbound.audio.bytes_sent;
    LinkRate { id, kbps: u32::try_from(kbps).unwrap_or(u32::MAX), bytes }
}
