//! One direction of a call: a sender, a link, a receiver, and the way back for its feedback.

use crate::Micros;
use crate::figures::Figures;
use crate::link::{Conditions, Link};
use crate::receiver::{Feedback, Receiver};
use crate::sender::{Sender, Wire};
use std::time::Duration;
use twocan::rtp::VoiceCounters;
use twocan::units::Bitrate;

const TICK: Micros = 1_000;
/// The feedback takes a good link of the same length, with the same loss.
fn way_back(conditions: Conditions) -> Conditions {
    Conditions { bps: 1e8, queue_ms: 1000, reordered: 0.0, ..conditions }
}

pub struct Call {
    pub sender: Sender,
    receiver: Receiver,
    link: Link<Wire>,
    back: Link<Feedback>,
    now: Micros,
    figures: Figures,
    /// Counters at the last [`Call::take_figures`].
    voice: VoiceCounters,
    freezes: (u64, Duration),
}

impl Call {
    pub fn new(conditions: Conditions, start_kbps: u64, max_kbps: u64) -> Self {
        let seed = 20_261_122;
        println!("seed {seed}, {conditions:?}");
        Self {
            sender: Sender::new(seed, Bitrate::from_kbps(start_kbps), Bitrate::from_kbps(max_kbps)),
            receiver: Receiver::new(2 * conditions.delay_ms + conditions.jitter_ms),
            link: Link::new(conditions, seed + 1),
            back: Link::new(way_back(conditions), seed + 2),
            now: 0,
            figures: Figures::default(),
            voice: VoiceCounters::default(),
            freezes: (0, Duration::ZERO),
        }
    }

    pub fn set(&mut self, change: impl FnOnce(&mut Conditions)) -> &mut Self {
        change(&mut self.link.conditions);
        self.back.conditions = way_back(self.link.conditions);
        self
    }
    pub fn set_drift(&mut self, ppm: f64) -> &mut Self {
        (self.sender.ppm, self.receiver.ppm) = (ppm, ppm);
        self
    }
    pub fn now_seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }
    pub fn queue_ms(&self) -> f64 {
        self.link.queue(self.now) as f64 / 1e3
    }

    pub fn run(&mut self, seconds: f64) -> &mut Self {
        let end = self.now + (seconds * 1e6) as Micros;
        while self.now < end {
            self.now += TICK;
            self.sender.tick(self.now, &mut self.link, &mut self.figures);
            self.receiver.tick(self.now, &mut self.link, &mut self.back, &mut self.figures);
            while let Some(feedback) = self.back.receive(self.now) {
                self.sender.handle_feedback(self.now, feedback, &mut self.figures);
            }
        }
        self.figures.seconds += seconds;
        self
    }

    /// What was measured since the last time; starts anew.
    pub fn take_figures(&mut self) -> Figures {
        let mut figures = std::mem::take(&mut self.figures);
        let voice = self.receiver.voice().counters();
        let total = voice.total_samples_received - self.voice.total_samples_received;
        let concealed = voice.concealed_samples - self.voice.concealed_samples;
        figures.concealed = concealed as f64 / total.max(1) as f64;
        figures.recovered = voice.packets_recovered - self.voice.packets_recovered;
        self.voice = voice;
        let freezes = self.receiver.freezes();
        figures.freezes = freezes.count() - self.freezes.0;
        figures.frozen_seconds = (freezes.total_duration() - self.freezes.1).as_secs_f64();
        self.freezes = (freezes.count(), freezes.total_duration());
        figures
    }
}
