//! One direction of a network path.

use crate::Micros;
use std::collections::BTreeMap;

/// xorshift64*: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// 0.0 up to 1.0.
    pub fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Loss {
    Uniform(f64),
    /// Gilbert-Elliott: this share of all packets, in bursts of this mean length.
    Bursts(f64, f64),
}

#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub delay_ms: u64,
    /// Added at random, 0 up to this; packets stay in order but for `reordered`.
    pub jitter_ms: u64,
    pub loss: Loss,
    /// Share of packets that are overtaken, by up to 30 ms.
    pub reordered: f64,
    pub bps: f64,
    /// What the queue in front of the bottleneck holds; more is dropped.
    pub queue_ms: u64,
    pub outage: bool,
}

impl Conditions {
    /// 100 Mbit/s and nothing bad.
    pub fn clean(delay_ms: u64) -> Self {
        let loss = Loss::Uniform(0.0);
        Self { delay_ms, jitter_ms: 0, loss, reordered: 0.0, bps: 1e8, queue_ms: 300, outage: false }
    }
}

/// Where somebody sends into: a link, or his share of one.
pub trait Way<T> {
    fn send(&mut self, now: Micros, bytes: usize, packet: T);
    /// How long a packet that is sent now waits in the queue.
    fn queue(&self, now: Micros) -> Micros;
}

/// One of those who share a link. `extra`: the way to the link is so much longer.
pub struct Lane<'a, T> {
    pub link: &'a mut Link<T>,
    pub extra: Micros,
}

impl<T> Way<T> for Lane<'_, T> {
    fn send(&mut self, now: Micros, bytes: usize, packet: T) {
        self.link.send_later(now, self.extra, bytes, packet);
    }
    fn queue(&self, now: Micros) -> Micros {
        self.link.queue(now)
    }
}

pub struct Link<T> {
    pub conditions: Conditions,
    random: Random,
    in_burst: bool,
    /// When the bottleneck has sent what is in its queue.
    free_at: Micros,
    last_arrival: Micros,
    under_way: BTreeMap<(Micros, u64), T>,
    count: u64,
}

impl<T> Link<T> {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: Random::new(seed),
            in_burst: false,
            free_at: 0,
            last_arrival: 0,
            under_way: BTreeMap::new(),
            count: 0,
        }
    }

    /// How long a packet that is sent now waits in the queue.
    pub fn queue(&self, now: Micros) -> Micros {
        self.free_at.saturating_sub(now)
    }

    pub fn send(&mut self, now: Micros, bytes: usize, packet: T) {
        self.send_later(now, 0, bytes, packet);
    }

    /// `extra` is added behind the bottleneck.
    fn send_later(&mut self, now: Micros, extra: Micros, bytes: usize, packet: T) {
        let conditions = self.conditions;
        if self.lost() || conditions.outage || self.queue(now) > conditions.queue_ms * 1000 {
            return;
        }
        self.free_at = self.free_at.max(now) + (bytes as f64 * 8e6 / conditions.bps) as Micros;
        let jitter = (self.random.share() * conditions.jitter_ms as f64 * 1000.0) as Micros;
        let mut arrival = (self.free_at + conditions.delay_ms * 1000 + jitter).max(self.last_arrival);
        if self.random.share() < conditions.reordered {
            arrival += 5_000 + (self.random.share() * 25_000.0) as Micros;
        } else {
            self.last_arrival = arrival;
        }
        self.count += 1;
        self.under_way.insert((arrival + extra, self.count), packet);
    }

    fn lost(&mut self) -> bool {
        match self.conditions.loss {
            Loss::Uniform(share) => self.random.share() < share,
            Loss::Bursts(share, length) => {
                let leave = 1.0 / length;
                let enter = leave * share / (1.0 - share);
                let chance = if self.in_burst { 1.0 - leave } else { enter };
                self.in_burst = self.random.share() < chance;
                self.in_burst
            }
        }
    }

    pub fn receive(&mut self, now: Micros) -> Option<T> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}

#[test]
fn the_link_does_what_its_conditions_say() {
    let bursts = Conditions { loss: Loss::Bursts(0.05, 4.0), ..Conditions::clean(20) };
    let mut link = Link::new(bursts, 1);
    (0..100_000u64).for_each(|n| link.send(n * 1000, 100, n));
    let got: Vec<u64> = std::iter::from_fn(|| link.receive(u64::MAX)).collect();
    let lost = 1.0 - got.len() as f64 / 1e5;
    let holes = got.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    let mean = lost * 1e5 / holes as f64;
    assert!((0.045..0.055).contains(&lost) && (3.5..4.5).contains(&mean), "{lost} {mean}");

    let narrow = Conditions { bps: 1e6, queue_ms: 100, ..Conditions::clean(20) };
    let mut link = Link::new(narrow, 1);
    // Twice what it takes, for ten seconds: half arrives, and the queue stays at its limit.
    (0..2_000u64).for_each(|n| link.send(n * 5_000, 1_250, n));
    assert!((95_000..=110_000).contains(&link.queue(1_999 * 5_000)));
    let got = std::iter::from_fn(|| link.receive(u64::MAX)).count();
    assert!((1_000..=1_020).contains(&got), "{got}");
}
