//! What is under way: numbers each departing packet, and makes reports of the receiver's feedback about the numbers
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01; libwebrtc
//! `modules/congestion_controller/rtp/transport_feedback_adapter.cc`).
//!
//! Repeats and padding are numbered too: the path does not know them from first transmissions. A packet that a
//! report leaves out counts as lost only when one that left some time after it has arrived: it may be overtaken.

use super::PacketReport;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// No longer waited for after this: its report was lost, or the path is gone.
const KEEP: Duration = Duration::from_secs(3);
/// Packets remembered at most: more than [`KEEP`] at 20 Mbit/s.
const MAX_PACKETS: usize = 8192;
/// A packet is given so long to be overtaken.
const REORDER: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    UnderWay,
    /// A report left it out.
    Missing,
    /// Said to be lost; it may still turn up.
    Lost,
    /// Arrived, or nobody will ever say.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    departure: Instant,
    size: usize,
    fate: Fate,
}

impl Sent {
    fn in_flight(&self) -> usize {
        // What others have overtaken is in no queue.
        if self.fate == Fate::UnderWay { self.size } else { 0 }
    }
}

/// What one feedback message was worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Packets whose fate is now known, in the order of sending.
    pub reports: Vec<PacketReport>,
    /// When the oldest packet left that this message is the first to say has arrived.
    pub oldest_arrived: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    packets: VecDeque<Sent>,
    /// Number of the first of them, unwrapped.
    first: u64,
    /// All before this one are settled.
    settled: u64,
    in_flight: usize,
}

impl History {
    /// A packet of so many bytes leaves; the number it carries.
    pub fn depart(&mut self, now: Instant, size: usize) -> u16 {
        self.forget(now);
        let number = self.next();
        self.packets.push_back(Sent { departure: now, size, fate: Fate::UnderWay });
        self.in_flight += size;
        number as u16
    }

    /// Bytes that left and of which nothing has been said.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// One message: the fates of packets from number `base` on. `None`: did not arrive; `Some(None)`: arrived, but not
    /// said when.
    pub fn handle_feedback(
        &mut self,
        now: Instant,
        base: u16,
        fates: impl IntoIterator<Item = Option<Option<Duration>>>,
    ) -> Feedback {
        self.forget(now);
        let mut feedback = Feedback::default();
        let mut reports: Vec<(u64, PacketReport)> = Vec::new();
        let mut newest: Option<u64> = None;
        let base = self.unwrap(base);
        for (this, fate) in (base..).zip(fates) {
            let Some(packet) = this.checked_sub(self.first).and_then(|n| self.packets.get_mut(n as usize))
            else {
                continue;
            };
            match (fate, packet.fate) {
                (None, Fate::UnderWay) => {
                    self.in_flight -= packet.size;
                    packet.fate = Fate::Missing;
                }
                (Some(arrival), Fate::UnderWay | Fate::Missing | Fate::Lost) => {
                    self.in_flight -= packet.in_flight();
                    if packet.fate != Fate::Lost {
                        feedback.oldest_arrived.get_or_insert(packet.departure);
                    }
                    packet.fate = Fate::Done;
                    newest = newest.max(Some(this));
                    if let Some(arrival) = arrival {
                        let (departure, size) = (packet.departure, packet.size);
                        reports.push((this, PacketReport { departure, arrival: Some(arrival), size }));
                    }
                }
                _ => {}
            }
        }
        if let Some(newest) = newest {
            self.settle(base, newest, &mut reports);
        }
        reports.sort_by_key(|(number, _)| *number);
        feedback.reports = reports.into_iter().map(|(_, report)| report).collect();
        feedback
    }

    /// `newest` has arrived: what left well before it and did not is lost.
    fn settle(&mut self, base: u64, newest: u64, reports: &mut Vec<(u64, PacketReport)>) {
        let until = self.packets[(newest - self.first) as usize].departure;
        let mut settled = true;
        for number in self.settled.max(self.first)..newest {
            let packet = &mut self.packets[(number - self.first) as usize];
            let before = packet.in_flight();
            match packet.fate {
                // Its feedback was lost: the receiver has gone on and will not repeat it.
                Fate::UnderWay if number < base => packet.fate = Fate::Done,
                Fate::Missing if packet.departure + REORDER <= until => {
                    packet.fate = Fate::Lost;
                    let report =
                        PacketReport { departure: packet.departure, arrival: None, size: packet.size };
                    reports.push((number, report));
                }
                Fate::UnderWay | Fate::Missing => settled = false,
                Fate::Lost | Fate::Done => {}
            }
            self.in_flight -= before - packet.in_flight();
            if settled {
                self.settled = number + 1;
            }
        }
    }

    fn next(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    /// The newest number sent that ends in these bits; not in the history if none does.
    fn unwrap(&self, number: u16) -> u64 {
        let next = self.next();
        let back = u64::from((next as u16).wrapping_sub(number));
        // Numbers of before the first packet: nowhere.
        next.checked_sub(back).unwrap_or(u64::MAX / 2)
    }

    fn forget(&mut self, now: Instant) {
        while self
            .packets
            .front()
            .is_some_and(|oldest| self.packets.len() >= MAX_PACKETS || now > oldest.departure + KEEP)
        {
            if let Some(oldest) = self.packets.pop_front() {
                self.in_flight -= oldest.in_flight();
                self.first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn arrived(ms: u64) -> Option<Option<Duration>> {
        Some(Some(Duration::from_millis(ms)))
    }
    fn sent(count: u64) -> History {
        let mut history = History::default();
        (0..count).for_each(|n| assert_eq!(history.depart(at(n * 10), 100), n as u16));
        history
    }
    fn fates(feedback: &Feedback) -> Vec<bool> {
        feedback.reports.iter().map(|report| report.arrival.is_some()).collect()
    }

    #[test]
    fn what_arrived_is_reported_once_with_its_departure() {
        let mut history = sent(3);
        assert_eq!(history.in_flight(), 300);
        let first = history.handle_feedback(at(50), 0, [arrived(7), arrived(8)]);
        assert_eq!(first.oldest_arrived, Some(at(0)));
        let report = PacketReport { departure: at(10), arrival: Some(Duration::from_millis(8)), size: 100 };
        assert_eq!((first.reports.len(), first.reports[1]), (2, report));
        assert_eq!(history.in_flight(), 100);
        assert_eq!(history.handle_feedback(at(60), 0, [arrived(7), arrived(8)]), Feedback::default());
        // Arrived at a time that is not told: gone from the path, and of no other use.
        assert_eq!(history.handle_feedback(at(60), 2, [Some(None)]).reports, []);
        assert_eq!(history.in_flight(), 0);
    }

    #[test]
    fn overtaken_is_not_lost() {
        let mut history = sent(12);
        let early = history.handle_feedback(at(50), 0, [arrived(1), None, arrived(2), arrived(3)]);
        assert_eq!(fates(&early), [true, true, true], "30 ms after it: it may come");
        let late = history.handle_feedback(at(70), 1, [arrived(4), arrived(2), arrived(3), None, arrived(5)]);
        assert_eq!(fates(&late), [true, true]);
        let lost = history.handle_feedback(at(120), 6, [None, arrived(6), arrived(7), arrived(8)]);
        assert_eq!(fates(&lost), [false, true, true, true], "the fourth is lost, the sixth not yet");
        assert_eq!(lost.reports[0].departure, at(40));
        let back = history.handle_feedback(at(130), 4, [arrived(9)]);
        assert_eq!(fates(&back), [true], "even then it may turn up");
    }

    #[test]
    fn a_lost_message_does_not_hold_bytes_for_ever() {
        let mut history = sent(10);
        let feedback = history.handle_feedback(at(100), 8, [arrived(1), arrived(2)]);
        assert_eq!((feedback.reports.len(), history.in_flight()), (2, 0));
        let mut history = sent(10);
        history.depart(at(20_000), 50);
        assert_eq!((history.in_flight(), history.packets.len()), (50, 1));
    }

    #[test]
    fn numbers_wrap_and_senseless_ones_are_taken() {
        let mut history = History::default();
        for n in 0..200_000u64 {
            let number = history.depart(at(n), 1);
            assert_eq!(number, n as u16);
            if n % 50 == 49 {
                let feedback = history.handle_feedback(at(n + 1), number.wrapping_sub(49), [arrived(n); 50]);
                assert_eq!((feedback.reports.len(), history.in_flight()), (50, 0));
            }
        }
        assert!(history.packets.len() <= MAX_PACKETS);
        let mut seed = 7u64;
        for n in 200_000..230_000u64 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            history.depart(at(n), seed as usize % 2000);
            let fates = (0..seed >> 58).map(|bit| (seed >> bit & 1 == 1).then_some(None));
            history.handle_feedback(at(n), (seed >> 32) as u16, fates);
        }
        let mut empty = History::default();
        assert_eq!(empty.handle_feedback(at(0), 9, [arrived(1), None]), Feedback::default());
    }
}
