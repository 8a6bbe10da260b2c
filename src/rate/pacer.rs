//! When each packet leaves: sound at once, the rest spread out so that a keyframe does not fill the path's queue.
//!
//! The sending task owns it: before it cuts a frame into packets it asks [`Pacer::admit`], then pushes the packets,
//! and calls [`Pacer::poll`] until it gives nothing, again at [`Pacer::deadline`]. [`Pacer::set_room`] tells how much the
//! path may still be given before the next report; without room only sound leaves. Rules of libwebrtc's
//! `modules/pacing/pacing_controller.cc`: a leaky bucket at 2.5 times the target, audio first and never held back
//! though its bytes are paid for, retransmissions before new pictures, padding only for probes.
//!
//! Frames are refused as a whole *before* they get sequence numbers: a packet that was numbered and then thrown
//! away looks like a loss to the receiver and is asked for again.

use super::Probe;
use crate::units::Bitrate;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Video leaves this much faster than the target, so that a frame is out before the next one comes.
const PACE: f64 = 2.5;
/// A frame is refused while older ones need longer than this, and so are those after it up to the next keyframe.
const MAX_WAIT: Duration = Duration::from_millis(250);
/// Packets older than this are thrown away: the target has collapsed under a full queue.
const MAX_AGE: Duration = Duration::from_millis(600);
/// A repeated packet that waited longer comes too late to be of use.
const MAX_REPEAT_AGE: Duration = Duration::from_millis(250);
/// Repeats take at most this share of the target: on a path that loses because it is full, more of them make it
/// fuller. What is not used is saved up for [`REPEAT_SAVED`].
const REPEAT_SHARE: f64 = 0.4;
const REPEAT_SAVED: Duration = Duration::from_millis(500);
/// What may leave in one go: timers are not exact, and one wake-up for each packet costs CPU.
const BURST: Duration = Duration::from_millis(5);
/// Packets of one kind held at most. Audio and retransmissions beyond it are dropped, the oldest first.
const MAX_PACKETS: usize = 4096;
/// Without room one packet leaves this often all the same, so that there is something to report.
const KEEP_ALIVE: Duration = Duration::from_millis(250);
/// A picture may wait so long for room before the next one is not made: a report was lost, perhaps.
const HELD_AFTER: Duration = Duration::from_millis(30);
/// Size of a padding packet.
const PADDING: usize = 1000;
/// The pace never falls under this: a picture must get out at some time.
const MIN_PACE: Bitrate = Bitrate::from_kbps(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Audio,
    Retransmission,
    Video,
}

/// What to do with a frame that was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Cut it into packets and push them.
    Send,
    /// Drop it: it follows a dropped one, or the queue is too long.
    Drop {
        /// The first frame of a row that is dropped: the encoder must make a keyframe.
        request_keyframe: bool,
    },
}

/// What leaves now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure<T> {
    Packet(T),
    /// A probe has nothing else to send: a packet of padding or a repeated one, about this many bytes.
    Padding(usize),
}

struct Queued<T> {
    packet: T,
    size: usize,
    since: Instant,
}

pub struct Pacer<T> {
    target: Bitrate,
    queues: [VecDeque<Queued<T>>; 3],
    /// Bytes of video that wait.
    video_bytes: usize,
    /// Bytes of keyframes among them: a keyframe may be larger than the queue limit, and must get out all the same.
    keyframe_bytes: usize,
    /// Sending is paid for up to this moment.
    paid_until: Option<Instant>,
    /// Up to the next keyframe every frame is dropped.
    dropping: bool,
    keyframe_wanted: bool,
    probe: Option<(Probe, Instant)>,
    /// Bytes that may leave before the next report; `None`: as many as there are.
    room: Option<usize>,
    last_departure: Option<Instant>,
    dropped: u64,
    /// Bytes that may still be repeated, as of a moment.
    repeat_credit: f64,
    credited_at: Option<Instant>,
    /// Repeated bytes a second, smoothed.
    repeated: f64,
}

impl<T> Pacer<T> {
    pub fn new(target: Bitrate) -> Self {
        Self {
            target,
            queues: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            video_bytes: 0,
            keyframe_bytes: 0,
            paid_until: None,
            dropping: false,
            keyframe_wanted: false,
            probe: None,
            room: None,
            last_departure: None,
            dropped: 0,
            repeat_credit: 0.0,
            credited_at: None,
            repeated: 0.0,
        }
    }

    pub fn set_target(&mut self, target: Bitrate) {
        self.target = target;
    }

    /// Bytes that the path may be given before the next report.
    pub fn set_room(&mut self, room: Option<usize>) {
        self.room = room;
    }

    /// A picture has been waiting for room on the path: another one is better not made.
    pub fn is_held(&self, now: Instant) -> bool {
        let oldest = self.queues[Priority::Video as usize].front();
        self.is_full() && oldest.is_some_and(|oldest| now >= oldest.since + HELD_AFTER)
    }

    /// A probe may fill what it likes: that is what it is for.
    fn is_full(&self) -> bool {
        self.room == Some(0) && self.probe.is_none()
    }

    /// Packets that were thrown away, ever.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How long the video that waits needs to get out.
    pub fn wait(&self) -> Duration {
        self.time_for(self.video_bytes)
    }

    /// Whether a frame of this size may be cut into packets now. Ask once for each encoded frame.
    pub fn admit(&mut self, size: usize, keyframe: bool) -> Admission {
        if keyframe {
            // Bounded all the same: a second keyframe waits for the first to be nearly out.
            if self.keyframe_bytes > 0 && self.time_for(self.video_bytes) > MAX_WAIT {
                return self.refuse();
            }
            self.dropping = false;
            self.keyframe_bytes += size;
            return Admission::Send;
        }
        if self.dropping || self.time_for(self.video_bytes.saturating_sub(self.keyframe_bytes)) > MAX_WAIT {
            return self.refuse();
        }
        Admission::Send
    }

    fn refuse(&mut self) -> Admission {
        let request_keyframe = !self.dropping;
        self.dropping = true;
        Admission::Drop { request_keyframe }
    }

    /// Takes a packet of an admitted frame, of sound, or a retransmission. `size`: bytes on the wire.
    pub fn push(&mut self, now: Instant, priority: Priority, size: usize, packet: T) {
        let queue = &mut self.queues[priority as usize];
        queue.push_back(Queued { packet, size, since: now });
        if priority == Priority::Video {
            self.video_bytes += size;
        }
        if self.queues[priority as usize].len() > MAX_PACKETS {
            match priority {
                Priority::Video => self.drop_video(),
                Priority::Audio | Priority::Retransmission => {
                    self.queues[priority as usize].pop_front();
                    self.dropped += 1;
                }
            }
        }
    }

    /// True once after packets that were already numbered had to be thrown away: ask the encoder for a keyframe.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Sends at the probe's rate for its time, padding included.
    pub fn start_probe(&mut self, now: Instant, probe: Probe) {
        self.probe = Some((probe, now + probe.duration));
        self.paid_until = Some(self.paid_until.map_or(now, |until| until.min(now)));
    }

    /// What leaves now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<Departure<T>> {
        if self.probe.is_some_and(|(_, end)| now >= end) {
            self.probe = None;
        }
        if self.queues[Priority::Video as usize].front().is_some_and(|oldest| now > oldest.since + MAX_AGE) {
            self.drop_video();
        }
        self.credit(now);
        let repeats = &mut self.queues[Priority::Retransmission as usize];
        while repeats.front().is_some_and(|oldest| now > oldest.since + MAX_REPEAT_AGE) {
            repeats.pop_front();
            self.dropped += 1;
        }
        if let Some(sound) = self.queues[Priority::Audio as usize].pop_front() {
            self.pay(now, sound.size);
            return Some(Departure::Packet(sound.packet));
        }
        if self.paid_until.is_some_and(|until| until > now + BURST) {
            return None;
        }
        if self.is_full() && self.last_departure.is_some_and(|last| now < last + KEEP_ALIVE) {
            return None;
        }
        if self.repeat_credit > 0.0
            && let Some(repeat) = self.queues[Priority::Retransmission as usize].pop_front()
        {
            self.repeat_credit -= repeat.size as f64;
            self.repeated += repeat.size as f64 / REPEAT_SAVED.as_secs_f64();
            self.pay(now, repeat.size);
            return Some(Departure::Packet(repeat.packet));
        }
        if let Some(video) = self.queues[Priority::Video as usize].pop_front() {
            self.video_bytes -= video.size;
            // First in, first out: what is left of keyframes is at most what is left.
            self.keyframe_bytes = self.keyframe_bytes.saturating_sub(video.size).min(self.video_bytes);
            self.pay(now, video.size);
            return Some(Departure::Packet(video.packet));
        }
        if self.probe.is_some() {
            self.pay(now, PADDING);
            return Some(Departure::Padding(PADDING));
        }
        None
    }

    /// When [`Self::poll`] next has something; `None` if nothing waits.
    pub fn deadline(&self) -> Option<Instant> {
        let sound = self.queues[Priority::Audio as usize].front().map(|packet| packet.since);
        let first = |priority: Priority| self.queues[priority as usize].front().map(|packet| packet.since);
        let rest = first(Priority::Video).or_else(|| self.probe.map(|(probe, end)| end - probe.duration));
        let repeat = first(Priority::Retransmission).map(|since| {
            let short = Duration::from_secs_f64((1.0 - self.repeat_credit).max(0.0) / self.repeat_rate());
            self.credited_at.map_or(since, |at| since.max(at + short).min(since + MAX_REPEAT_AGE * 2))
        });
        let kept = self.last_departure.filter(|_| self.is_full()).map(|last| last + KEEP_ALIVE);
        let paid = |since: Instant| since.max(self.paid_until.unwrap_or(since)).max(kept.unwrap_or(since));
        sound.into_iter().chain(rest.map(paid)).chain(repeat.map(paid)).min()
    }

    /// What is being repeated now: the encoder gets the target less this.
    pub fn repeated(&self) -> Bitrate {
        Bitrate::from_bps((self.repeated * 8.0) as u64)
    }

    /// Bytes a second.
    fn repeat_rate(&self) -> f64 {
        self.target.max(MIN_PACE).bps() as f64 / 8.0 * REPEAT_SHARE
    }

    fn credit(&mut self, now: Instant) {
        let saved = REPEAT_SAVED.as_secs_f64();
        let passed = self.credited_at.map_or(saved, |at| now.saturating_duration_since(at).as_secs_f64());
        self.credited_at = Some(now);
        let credit = self.repeat_credit + passed * self.repeat_rate();
        self.repeat_credit = credit.min(saved * self.repeat_rate());
        self.repeated *= (-passed / saved).exp();
    }

    fn rate(&self) -> Bitrate {
        let pace = self.target.scaled(PACE).max(MIN_PACE);
        self.probe.map_or(pace, |(probe, _)| probe.rate)
    }

    fn time_for(&self, bytes: usize) -> Duration {
        // Without room, what waits leaves as fast as reports come back.
        let pace = if self.is_full() { 1.0 } else { PACE };
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.target.scaled(pace).max(MIN_PACE).bps() as f64)
    }

    fn pay(&mut self, now: Instant, size: usize) {
        let from = self.paid_until.map_or(now, |until| until.max(now));
        self.paid_until = Some(from + Duration::from_secs_f64(size as f64 * 8.0 / self.rate().bps() as f64));
        self.room = self.room.map(|room| room.saturating_sub(size));
        self.last_departure = Some(now);
    }

    fn drop_video(&mut self) {
        let video = &mut self.queues[Priority::Video as usize];
        self.dropped += video.len() as u64;
        video.clear();
        (self.video_bytes, self.keyframe_bytes) = (0, 0);
        (self.dropping, self.keyframe_wanted) = (true, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at_us;

    fn at(ms: u64) -> Instant {
        at_us(ms * 1000)
    }

    fn departures(pacer: &mut Pacer<u32>, from_ms: u64, to_ms: u64) -> Vec<(u64, Departure<u32>)> {
        (from_ms..to_ms)
            .flat_map(|ms| {
                std::iter::from_fn(|| pacer.poll(at(ms))).map(move |out| (ms, out)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn sound_goes_first_and_at_once_then_repeats_then_video() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(1000));
        for n in 0..10 {
            pacer.push(at(0), Priority::Video, 1250, n);
        }
        pacer.push(at(0), Priority::Retransmission, 1250, 100);
        pacer.push(at(0), Priority::Audio, 100, 200);
        let out = departures(&mut pacer, 0, 60);
        let order: Vec<_> = out.iter().map(|(_, out)| out.clone()).collect();
        let expected = [200, 100, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(order, expected.map(Departure::Packet));
        // 13 850 bytes at 2.5 Mbit/s take 44 ms, less the 5 ms burst.
        let end = out.last().unwrap().0;
        assert!((32..=42).contains(&end), "{end}");
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn sound_is_never_held_back() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(100));
        (0..100).for_each(|n| pacer.push(at(0), Priority::Video, 1200, n));
        departures(&mut pacer, 0, 20);
        pacer.push(at(20), Priority::Audio, 100, 777);
        assert_eq!(pacer.deadline(), Some(at(20)));
        assert_eq!(pacer.poll(at(20)), Some(Departure::Packet(777)));
    }

    #[test]
    fn without_room_only_sound_leaves_and_a_sign_of_life() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(1000));
        (0..10).for_each(|n| pacer.push(at(0), Priority::Video, 1000, n));
        pacer.set_room(Some(2_500));
        assert_eq!(departures(&mut pacer, 0, 100).len(), 3, "room for a part of a packet is room");
        assert!(pacer.is_held(at(100)) && !pacer.is_held(at(20)));
        pacer.push(at(100), Priority::Audio, 100, 77);
        assert_eq!(departures(&mut pacer, 100, 340), [(100, Departure::Packet(77))]);
        assert_eq!(pacer.deadline(), Some(at(350)));
        assert_eq!(departures(&mut pacer, 340, 400), [(350, Departure::Packet(3))]);
        pacer.set_room(Some(100_000));
        assert!(!pacer.is_held(at(400)));
        assert_eq!(departures(&mut pacer, 400, 500).len(), 6);
    }

    #[test]
    fn the_deadline_is_when_something_leaves() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(400));
        (0..50).for_each(|n| pacer.push(at(0), Priority::Video, 1250, n));
        let (mut now, mut sent) = (at(0), 0);
        while let Some(deadline) = pacer.deadline() {
            assert!(deadline >= now || sent == 0);
            now = now.max(deadline);
            let before = sent;
            while pacer.poll(now).is_some() {
                sent += 1;
            }
            assert!(sent > before, "a wake-up for nothing");
        }
        assert_eq!(sent, 50);
        assert!((now - at(0)).as_millis() >= 480);
    }

    #[test]
    fn repeats_are_limited_and_do_not_wait_for_ever() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(800));
        (0..500).for_each(|n| pacer.push(at(0), Priority::Retransmission, 1000, n));
        let sent = departures(&mut pacer, 0, 250).len();
        // 40 000 bytes a second, half a second saved up.
        assert!((28..=32).contains(&sent), "{sent}");
        assert!(pacer.repeated() > Bitrate::from_kbps(300));
        departures(&mut pacer, 250, 1_000);
        assert_eq!((pacer.dropped(), pacer.deadline()), (500 - sent as u64, None));
        departures(&mut pacer, 1_000, 4_000);
        assert!(pacer.repeated() < Bitrate::from_kbps(2));
    }

    #[test]
    fn a_full_queue_drops_to_the_next_keyframe_and_asks_once() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(400));
        let mut frame = 0;
        let mut admit = |pacer: &mut Pacer<u32>, keyframe| {
            let admission = pacer.admit(8_000, keyframe);
            if admission == Admission::Send {
                (0..8).for_each(|_| pacer.push(at(0), Priority::Video, 1000, frame));
                frame += 1;
            }
            admission
        };
        // 250 ms at 1 Mbit/s are 31 250 bytes: the fourth frame goes over it.
        let first: Vec<_> = (0..6).map(|_| admit(&mut pacer, false)).collect();
        let refused = |request_keyframe| Admission::Drop { request_keyframe };
        let send = Admission::Send;
        assert_eq!(first, [send, send, send, send, refused(true), refused(false)]);
        departures(&mut pacer, 0, 200);
        assert_eq!(admit(&mut pacer, false), refused(false));
        assert_eq!(admit(&mut pacer, true), send);
        assert_eq!(admit(&mut pacer, false), send);
    }

    #[test]
    fn a_keyframe_larger_than_the_limit_gets_out_and_is_not_asked_for_again() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(500));
        assert_eq!(pacer.admit(60_000, true), Admission::Send);
        (0..60).for_each(|n| pacer.push(at(0), Priority::Video, 1000, n));
        let mut sent = 0;
        for frame in 1..30u64 {
            assert_eq!(pacer.admit(2_000, false), Admission::Send, "frame {frame}");
            (0..2).for_each(|n| pacer.push(at(frame * 33), Priority::Video, 1000, n));
            sent += departures(&mut pacer, (frame - 1) * 33, frame * 33).len();
        }
        assert!(sent >= 60);
        assert!(pacer.wait() < Duration::from_millis(50));
    }

    #[test]
    fn what_is_too_old_is_thrown_away_after_a_collapse() {
        let mut pacer = Pacer::new(Bitrate::from_kbps(5000));
        assert_eq!(pacer.admit(200_000, true), Admission::Send);
        (0..200).for_each(|n| pacer.push(at(0), Priority::Video, 1000, n));
        pacer.set_target(Bitrate::from_kbps(50));
        departures(&mut pacer, 0, 700);
        assert!(pacer.take_keyframe_wanted() && !pacer.take_keyframe_wanted());
        assert_eq!((pacer.wait(), pacer.deadline()), (Duration::ZERO, None));
        assert!(matches!(pacer.admit(1000, false), Admission::Drop { request_keyframe: false }));
        assert_eq!(pacer.admit(1000, true), Admission::Send);
    }

    #[test]
    fn a_probe_is_filled_with_padding_at_its_rate() {
        let mut pacer = Pacer::<u32>::new(Bitrate::from_kbps(300));
        let probe = Probe { rate: Bitrate::from_kbps(4000), duration: Duration::from_millis(20) };
        pacer.start_probe(at(0), probe);
        let out = departures(&mut pacer, 0, 100);
        assert!(out.iter().all(|(_, out)| matches!(out, Departure::Padding(_))));
        // 20 ms at 4 Mbit/s: ten packets, and the burst.
        assert!((10..=13).contains(&out.len()), "{}", out.len());
        assert!(out.last().unwrap().0 < 20);
    }
}
