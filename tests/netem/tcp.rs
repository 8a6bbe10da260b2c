//! A bulk TCP flow: CUBIC (RFC 9438) with selective acknowledgements and a timer, no more than competes for a queue.

use crate::Micros;
use std::collections::{BTreeSet, VecDeque};

const SEGMENT: usize = 1_500;
const ACKNOWLEDGEMENT: usize = 60;
/// Segments.
const FIRST_WINDOW: f64 = 10.0;
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// A segment is lost when one sent so much later has arrived.
const REORDER: u64 = 3;
const MIN_TIMEOUT: Micros = 300_000;

#[derive(Clone, Copy)]
pub enum Segment {
    Data { number: u64, sent: Micros },
    Acknowledged { number: u64, sent: Micros },
}

pub struct Tcp {
    /// Segments it still has to send for the first time.
    left: u64,
    next: u64,
    under_way: BTreeSet<u64>,
    lost: VecDeque<u64>,
    window: f64,
    slow_start_until: f64,
    largest: f64,
    epoch: Option<Micros>,
    round_trip: Micros,
    last_answer: Micros,
    /// Losses of what was sent before this are of the same event.
    recovery: u64,
    answers: Vec<Segment>,
    pub delivered_bytes: u64,
    running: bool,
}

impl Tcp {
    pub fn new(bytes: u64) -> Self {
        Self {
            left: bytes.div_ceil(SEGMENT as u64),
            next: 0,
            under_way: BTreeSet::new(),
            lost: VecDeque::new(),
            window: FIRST_WINDOW,
            slow_start_until: f64::INFINITY,
            largest: 0.0,
            epoch: None,
            round_trip: 200_000,
            last_answer: 0,
            recovery: 0,
            answers: Vec::new(),
            delivered_bytes: 0,
            running: true,
        }
    }

    pub fn stop(&mut self) {
        self.running = false;
    }
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.under_way.is_empty() && self.lost.is_empty()
    }

    pub fn handle(&mut self, now: Micros, segment: Segment) {
        match segment {
            Segment::Data { number, sent } => {
                self.delivered_bytes += SEGMENT as u64;
                self.answers.push(Segment::Acknowledged { number, sent });
            }
            Segment::Acknowledged { number, sent } => self.acknowledged(now, number, sent),
        }
    }

    fn acknowledged(&mut self, now: Micros, number: u64, sent: Micros) {
        if !self.under_way.remove(&number) {
            return;
        }
        self.last_answer = now;
        self.round_trip = (self.round_trip * 7 + (now - sent)) / 8;
        let keep = self.under_way.split_off(&number.saturating_sub(REORDER));
        let missing = std::mem::replace(&mut self.under_way, keep);
        if let Some(newest) = missing.last()
            && *newest >= self.recovery
        {
            self.recovery = self.next;
            self.largest = self.window;
            self.window = (self.window * BETA).max(2.0);
            self.slow_start_until = self.window;
            self.epoch = Some(now);
        }
        self.lost.extend(missing);
        if self.window < self.slow_start_until {
            self.window += 1.0;
        } else if let Some(epoch) = self.epoch {
            let (t, k) = ((now - epoch) as f64 / 1e6, (self.largest * (1.0 - BETA) / C).cbrt());
            let cubic = C * (t - k).powi(3) + self.largest;
            let round_trip = self.round_trip as f64 / 1e6;
            // As much as Reno would have by now.
            let reno = self.largest * BETA + 3.0 * (1.0 - BETA) / (1.0 + BETA) * t / round_trip;
            let wanted = cubic.max(reno);
            self.window += ((wanted - self.window) / self.window).clamp(0.0, 0.5);
        }
    }

    pub fn tick(&mut self, now: Micros, mut send: impl FnMut(usize, Segment)) {
        if !self.running {
            return;
        }
        if !self.under_way.is_empty() && now > self.last_answer + MIN_TIMEOUT.max(2 * self.round_trip) {
            self.lost.extend(std::mem::take(&mut self.under_way));
            (self.window, self.slow_start_until) = (2.0, (self.window / 2.0).max(2.0));
            (self.last_answer, self.recovery) = (now, self.next);
            (self.largest, self.epoch) = (self.slow_start_until, Some(now));
        }
        while (self.under_way.len() as f64) < self.window {
            // A repeated segment gets a new number: what was in it does not matter here.
            if self.lost.pop_front().is_none() {
                if self.left == 0 {
                    break;
                }
                self.left -= 1;
            }
            if self.under_way.is_empty() {
                self.last_answer = now;
            }
            self.under_way.insert(self.next);
            send(SEGMENT, Segment::Data { number: self.next, sent: now });
            self.next += 1;
        }
    }

    pub fn answer(&mut self, mut send: impl FnMut(usize, Segment)) {
        self.answers.drain(..).for_each(|answer| send(ACKNOWLEDGEMENT, answer));
    }
}

#[test]
fn alone_it_fills_the_path_and_keeps_its_queue_full() {
    use crate::link::{Conditions, Link};
    let conditions = Conditions { bps: 3e6, queue_ms: 200, ..Conditions::clean(20) };
    let (mut out, mut back) = (Link::new(conditions, 1), Link::new(Conditions::clean(20), 2));
    let mut tcp = Tcp::new(u64::MAX);
    let mut queue = 0;
    for now in (0..30_000_000).step_by(1_000) {
        while let Some(segment) = out.receive(now).or_else(|| back.receive(now)) {
            tcp.handle(now, segment);
        }
        tcp.tick(now, |bytes, segment| out.send(now, bytes, segment));
        tcp.answer(|bytes, segment| back.send(now, bytes, segment));
        queue += out.queue(now) / 30_000;
    }
    let rate = tcp.delivered_bytes as f64 * 8.0 / 30.0;
    println!("TCP alone on 3 Mbit/s: {:.0} kbit/s, mean queue {} ms", rate / 1e3, queue / 1000);
    assert!((2.7e6..3.0e6).contains(&rate) && queue > 60_000, "{rate} {queue}");
}
