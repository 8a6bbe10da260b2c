//! Who shares a path: calls in both directions and TCP flows, each with its way back. Most plans have one call.

use crate::Micros;
use crate::figures::Figures;
use crate::link::{Conditions, Lane, Link};
use crate::receiver::{Feedback, Receiver};
use crate::sender::{Sender, Wire};
use crate::tcp::{Segment, Tcp};
use std::time::Duration;
use twocan::rtp::VoiceCounters;
use twocan::units::Bitrate;

const TICK: Micros = 1_000;
const SEED: u64 = 20_261_122;

/// What is under way on a link, and whose.
pub enum Packet {
    Media(usize, Wire),
    Feedback(usize, Feedback),
    Tcp(usize, Segment),
}

/// Puts the owner's number on what he sends.
struct Marked<'a, F> {
    lane: Lane<'a, Packet>,
    mark: F,
}

impl<T, F: Fn(T) -> Packet> crate::link::Way<T> for Marked<'_, F> {
    fn send(&mut self, now: Micros, bytes: usize, packet: T) {
        let packet = (self.mark)(packet);
        crate::link::Way::<Packet>::send(&mut self.lane, now, bytes, packet);
    }
    fn queue(&self, now: Micros) -> Micros {
        self.lane.link.queue(now)
    }
}

/// The feedback takes a good link of the same length, with the same loss.
fn way_back(conditions: Conditions) -> Conditions {
    Conditions { bps: 1e8, queue_ms: 1000, reordered: 0.0, ..conditions }
}

struct Flow {
    sender: Sender,
    receiver: Receiver,
    /// Over link 0 or 1; the feedback takes the other one.
    direction: usize,
    extra: Micros,
    from: Micros,
    figures: Figures,
    /// Counters at the last [`Call::take_figures`].
    voice: VoiceCounters,
    freezes: (u64, Duration),
    arrived: Vec<Wire>,
    answers: Vec<Feedback>,
}

pub struct Call {
    flows: Vec<Flow>,
    tcp: Vec<Tcp>,
    links: [Link<Packet>; 2],
    now: Micros,
}

impl Call {
    /// One call, from left to right.
    pub fn new(conditions: Conditions, start_kbps: u64, max_kbps: u64) -> Self {
        println!("seed {SEED}, {conditions:?}");
        let links = [Link::new(conditions, SEED + 1), Link::new(way_back(conditions), SEED + 2)];
        let mut call = Self { flows: Vec::new(), tcp: Vec::new(), links, now: 0 };
        call.add(0, 0, start_kbps, max_kbps);
        call
    }

    /// Another call, from now on; its number.
    pub fn add(&mut self, direction: usize, extra_ms: u64, start_kbps: u64, max_kbps: u64) -> usize {
        let conditions = self.links[0].conditions;
        let number = self.flows.len();
        self.flows.push(Flow {
            sender: Sender::new(
                SEED + 10 * number as u64,
                Bitrate::from_kbps(start_kbps),
                Bitrate::from_kbps(max_kbps),
                self.now,
            ),
            receiver: Receiver::new(2 * (conditions.delay_ms + extra_ms) + conditions.jitter_ms, self.now),
            direction,
            extra: extra_ms * 1000,
            from: self.now,
            figures: Figures::default(),
            voice: VoiceCounters::default(),
            freezes: (0, Duration::ZERO),
            arrived: Vec::new(),
            answers: Vec::new(),
        });
        number
    }
    /// A TCP flow from left to right, from now on; `bytes`: how many it has to send.
    pub fn add_tcp(&mut self, bytes: u64) -> usize {
        self.tcp.push(Tcp::new(bytes));
        self.tcp.len() - 1
    }
    pub fn tcp(&mut self, number: usize) -> &mut Tcp {
        &mut self.tcp[number]
    }
    pub fn sender(&mut self) -> &mut Sender {
        self.sender_of(0)
    }
    pub fn sender_of(&mut self, number: usize) -> &mut Sender {
        &mut self.flows[number].sender
    }

    pub fn set(&mut self, change: impl FnOnce(&mut Conditions)) -> &mut Self {
        change(&mut self.links[0].conditions);
        self.links[1].conditions = way_back(self.links[0].conditions);
        self
    }
    /// One direction alone; [`Self::set`] sets both.
    pub fn set_direction(&mut self, direction: usize, change: impl FnOnce(&mut Conditions)) -> &mut Self {
        change(&mut self.links[direction].conditions);
        self
    }
    pub fn set_drift(&mut self, ppm: f64) -> &mut Self {
        let flow = &mut self.flows[0];
        (flow.sender.ppm, flow.receiver.ppm) = (ppm, ppm);
        self
    }
    pub fn now_seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }
    pub fn queue_ms(&self) -> f64 {
        self.links[0].queue(self.now) as f64 / 1e3
    }

    /// What the first call's two sides hold: everything that could grow.
    pub fn held(&self) -> usize {
        self.flows.iter().map(|flow| flow.sender.held() + flow.receiver.held()).sum()
    }

    pub fn run(&mut self, seconds: f64) -> &mut Self {
        let end = self.now + (seconds * 1e6) as Micros;
        while self.now < end {
            self.now += TICK;
            self.tick();
        }
        self.flows.iter_mut().for_each(|flow| flow.figures.seconds += seconds);
        self
    }

    fn tick(&mut self) {
        let now = self.now;
        for link in &mut self.links {
            while let Some(packet) = link.receive(now) {
                match packet {
                    Packet::Media(number, wire) => self.flows[number].arrived.push(wire),
                    Packet::Feedback(number, feedback) => self.flows[number].answers.push(feedback),
                    Packet::Tcp(number, segment) => self.tcp[number].handle(now, segment),
                }
            }
        }
        let [left, right] = &mut self.links;
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let (out, back) =
                if flow.direction == 0 { (&mut *left, &mut *right) } else { (&mut *right, &mut *left) };
            let mut out = Marked {
                lane: Lane { link: out, extra: flow.extra },
                mark: |wire| Packet::Media(number, wire),
            };
            let mut back = Marked {
                lane: Lane { link: back, extra: flow.extra },
                mark: |feedback| Packet::Feedback(number, feedback),
            };
            if now > flow.from {
                flow.sender.tick(now, &mut out, &mut flow.figures);
            }
            flow.receiver.tick(now, flow.arrived.drain(..), &mut back, &mut flow.figures);
            for feedback in flow.answers.drain(..) {
                flow.sender.handle_feedback(now, feedback, &mut flow.figures);
            }
        }
        for (number, tcp) in self.tcp.iter_mut().enumerate() {
            tcp.tick(now, |bytes, segment| left.send(now, bytes, Packet::Tcp(number, segment)));
            tcp.answer(|bytes, segment| right.send(now, bytes, Packet::Tcp(number, segment)));
        }
    }

    /// What was measured of the first call since the last time; starts anew.
    pub fn take_figures(&mut self) -> Figures {
        self.take_figures_of(0)
    }

    pub fn take_figures_of(&mut self, number: usize) -> Figures {
        let flow = &mut self.flows[number];
        let mut figures = std::mem::take(&mut flow.figures);
        let voice = flow.receiver.voice().counters();
        let total = voice.total_samples_received - flow.voice.total_samples_received;
        let concealed = voice.concealed_samples - flow.voice.concealed_samples;
        figures.concealed = concealed as f64 / total.max(1) as f64;
        figures.recovered = voice.packets_recovered - flow.voice.packets_recovered;
        flow.voice = voice;
        let freezes = flow.receiver.freezes();
        figures.freezes = freezes.count() - flow.freezes.0;
        figures.frozen_seconds = (freezes.total_duration() - flow.freezes.1).as_secs_f64();
        flow.freezes = (freezes.count(), freezes.total_duration());
        figures
    }
}
