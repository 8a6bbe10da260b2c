//! How large and how many pictures we send: the highest rung that the bit rate, the content, the processor and the
//! place where the picture is shown allow. A core: the encoder's thread hands it every picture and what it cost.
//!
//! ```text
//!  bits per pixel < LEAST, pictures left out, encoding too slow: a rung down (after SETTLE)
//!  bits per pixel >= ENOUGH and time to spare for PATIENCE:      a rung up, but not above what is drawn
//! ```
//! Sizes come first; at rates at which even the second smallest size starves, fewer pictures a second are better
//! than smaller ones. Every change of size costs a keyframe, so going up waits, and longer after the content or the
//! processor had forced us down.

use crate::stats::PeerStats;
use crate::units::{Bitrate, Resolution};
use std::time::{Duration, Instant};

/// Shares of the camera's sides: 1280x720, 960x540, 640x360, 480x270, 320x180.
const SIZES: [(u32, u32); 5] = [(1, 1), (3, 4), (1, 2), (3, 8), (1, 4)];
/// No picture has a shorter side below this.
const SMALLEST_SIDE: u32 = 90;
/// Shares of the camera's pictures that are sent on the lowest rungs: 20 and 15 of 30 a second.
const FEWER: f64 = 2.0 / 3.0;
const FEWEST: f64 = 0.5;
/// A camera that gives no more than this is not thinned out.
const LEAST_FPS: f64 = 15.0;
/// Below this OpenH264 must leave out pictures of ordinary scenes (measured: 720p30 needs about 0.8 Mbit/s).
const LEAST_BITS_PER_PIXEL: f64 = 0.03;
/// With this much on the larger size it looks better than the smaller one.
const ENOUGH_BITS_PER_PIXEL: f64 = 0.045;
/// A picture is large enough for its place if it is smaller by no more than this: nobody sees the difference.
const DRAWN_TOLERANCE: f64 = 0.95;
/// After a change nothing is decided for this long: the keyframe upsets every measure. After any keyframe, skipped
/// pictures do not count for this long: they pay for the keyframe.
const SETTLE: Duration = Duration::from_secs(1);
/// A rung up must have been possible for this long.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same after skipped pictures or a slow processor had forced us down.
const PENALTY: Duration = Duration::from_secs(15);
/// More skipped pictures than this share, and they are too large for the bit rate.
const SKIPPED: f64 = 0.25;
/// Share of the time between two pictures that scaling and encoding may take, and must not exceed to go up.
const BUSY: f64 = 0.6;
const RELAXED: f64 = 0.4;
/// Weight of a new picture in the averages: about the last second counts.
const WEIGHT: f64 = 0.06;

/// Why the pictures are smaller than the camera's: `qualityLimitationReason` of W3C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limitation {
    #[default]
    None,
    Cpu,
    Bandwidth,
}

impl Limitation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cpu => PeerStats::LIMITED_BY_CPU,
            Self::Bandwidth => "bandwidth",
        }
    }
}

/// What came of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coded {
    Keyframe,
    Delta,
    /// Left out by the rate control.
    Skipped,
}

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rung {
    size: Resolution,
    /// Of the camera's pictures.
    share: f64,
}

/// The choice of the sent size and rate.
pub struct Ladder {
    source: Resolution,
    fps: f64,
    target: Bitrate,
    /// The first is the highest.
    rungs: Vec<Rung>,
    rung: usize,
    /// The highest rung that is of use where the picture is drawn.
    top: usize,
    limitation: Limitation,
    /// Averages: seconds of work for a picture, share of pictures the encoder skipped.
    work: Option<f64>,
    skipped: f64,
    settled_at: Option<Instant>,
    skips_count_from: Option<Instant>,
    up_possible_since: Option<Instant>,
    patience: Duration,
}

impl Ladder {
    /// `drawn`: the pixels our picture is drawn on; `None` if that is not known.
    pub fn new(source: Resolution, fps: f64, target: Bitrate, drawn: Option<Resolution>) -> Self {
        let mut ladder = Self {
            source,
            fps: fps.max(1.0),
            target,
            rungs: rungs(source),
            rung: 0,
            top: 0,
            limitation: Limitation::None,
            work: None,
            skipped: 0.0,
            settled_at: None,
            skips_count_from: None,
            up_possible_since: None,
            patience: PATIENCE,
        };
        ladder.set_drawn(drawn);
        ladder.rung = ladder.top;
        while ladder.is_starved(ladder.rung) && ladder.has_lower() {
            ladder.rung += 1;
            ladder.limitation = Limitation::Bandwidth;
        }
        ladder
    }

    pub fn source(&self) -> Resolution {
        self.source
    }
    pub fn set_target(&mut self, target: Bitrate) {
        self.target = target;
    }
    /// The rate at which pictures come.
    pub fn set_fps(&mut self, fps: f64) {
        self.fps = fps.max(1.0);
    }
    /// The pixels that our picture is drawn on: more of them would be sent for nothing.
    pub fn set_drawn(&mut self, drawn: Option<Resolution>) {
        self.top = drawn.map_or(0, |drawn| self.rung_for(drawn));
    }
    pub fn limitation(&self) -> Limitation {
        self.limitation
    }
    /// How many of the camera's pictures are to be sent, 0.0 to 1.0.
    pub fn share(&self) -> f64 {
        let share = self.rungs[self.rung].share;
        share.max((LEAST_FPS / self.fps).min(1.0))
    }
    /// The size to send.
    pub fn resolution(&self) -> Resolution {
        self.size(self.rung)
    }

    /// After each picture: what scaling and encoding it took, and what came of it.
    pub fn handle_frame(&mut self, now: Instant, work: Duration, coded: Coded) {
        let work = work.as_secs_f64();
        self.work = Some(self.work.map_or(work, |average| average + WEIGHT * (work - average)));
        if coded == Coded::Keyframe {
            self.skips_count_from = Some(now + SETTLE);
        } else if self.skips_count_from.is_none_or(|from| now >= from) {
            self.skipped += WEIGHT * (f64::from(u8::from(coded == Coded::Skipped)) - self.skipped);
        }
        let settled_at = *self.settled_at.get_or_insert(now + SETTLE);
        if now < settled_at {
            return;
        }
        let busy = self.work.unwrap_or(0.0) * self.fps * self.share();
        let too_slow = busy > BUSY;
        let too_many_skipped = self.skipped > SKIPPED;
        if (too_slow || too_many_skipped || self.is_starved(self.rung)) && self.has_lower() {
            self.limitation = if too_slow { Limitation::Cpu } else { Limitation::Bandwidth };
            self.patience = if too_slow || too_many_skipped { PENALTY } else { PATIENCE };
            self.move_to(self.rung + 1, now);
            return;
        }
        if self.rung < self.top {
            self.patience = SETTLE;
            self.move_to(self.top, now);
            return;
        }
        let up_possible =
            self.rung > self.top && { self.has_enough(self.rung - 1) && self.skipped < SKIPPED / 4.0 };
        if !up_possible {
            self.up_possible_since = None;
        } else if now.duration_since(*self.up_possible_since.get_or_insert(now)) >= self.patience {
            // Held down by the place alone: it has grown, and all the way up is known to be open.
            let higher = if self.limitation == Limitation::None { self.top } else { self.rung - 1 };
            let higher = (higher..self.rung).find(|rung| self.has_enough(*rung)).unwrap_or(self.rung - 1);
            self.patience = PATIENCE;
            self.move_to(higher, now);
            if self.rung == self.top {
                self.limitation = Limitation::None;
            }
        }
    }

    fn move_to(&mut self, rung: usize, now: Instant) {
        let (old, new) = (self.size(self.rung).area() as f64, self.size(rung).area() as f64);
        tracing::debug!(from = %self.size(self.rung), to = %self.size(rung), reason = self.limitation.as_str(),
            target = %self.target, work = self.work, skipped = self.skipped, "another picture size");
        self.rung = rung;
        self.work = self.work.map(|work| work * new / old);
        self.skipped = 0.0;
        self.settled_at = Some(now + SETTLE);
        self.skips_count_from = self.settled_at;
        self.up_possible_since = None;
    }

    fn size(&self, rung: usize) -> Resolution {
        self.rungs[rung].size
    }

    /// The lowest rung with all pictures whose size is enough for this place.
    fn rung_for(&self, drawn: Resolution) -> usize {
        let share = |side: u32, of: u32| f64::from(side) / f64::from(of.max(1));
        // The picture keeps its shape, so the tighter side decides; but a window may cut the other one off.
        let wanted = share(drawn.width, self.source.width).max(share(drawn.height, self.source.height));
        let enough = |rung: &Rung| {
            rung.share == 1.0 && share(rung.size.width, self.source.width) >= wanted * DRAWN_TOLERANCE
        };
        self.rungs.iter().rposition(enough).unwrap_or(0)
    }

    fn has_lower(&self) -> bool {
        self.rung + 1 < self.rungs.len()
    }

    /// Pixels a second.
    fn pixel_rate(&self, rung: usize) -> f64 {
        let Rung { size, share } = self.rungs[rung];
        size.area() as f64 * self.fps * share.max((LEAST_FPS / self.fps).min(1.0))
    }

    fn bits_per_pixel(&self, rung: usize) -> f64 {
        self.target.bps() as f64 / self.pixel_rate(rung)
    }

    /// Whether there is bit rate and time for a higher rung.
    fn has_enough(&self, rung: usize) -> bool {
        let work =
            self.work.unwrap_or(0.0) * self.size(rung).area() as f64 / self.size(self.rung).area() as f64;
        let fps = self.fps * self.rungs[rung].share;
        self.bits_per_pixel(rung) >= ENOUGH_BITS_PER_PIXEL && work * fps < RELAXED
    }

    fn is_starved(&self, rung: usize) -> bool {
        self.bits_per_pixel(rung) < LEAST_BITS_PER_PIXEL
    }
}

fn rungs(source: Resolution) -> Vec<Rung> {
    let mut sizes: Vec<Resolution> = Vec::new();
    for (numerator, denominator) in SIZES {
        let side = |side: u32| ((side * numerator / denominator) & !1).max(16);
        let size = Resolution::new(side(source.width), side(source.height));
        if sizes.is_empty() || size.width.min(size.height) >= SMALLEST_SIDE {
            sizes.push(size);
        }
    }
    let rung = |share: f64| move |size: &Resolution| Rung { size: *size, share };
    let (last, larger) = match sizes.split_last() {
        Some((last, larger)) if !larger.is_empty() => (*last, larger),
        _ => (sizes[0], &sizes[..]),
    };
    let mut rungs: Vec<Rung> = larger.iter().map(rung(1.0)).collect();
    rungs.extend(larger.last().map(rung(FEWER)));
    if Some(&last) != larger.last() {
        rungs.push(Rung { size: last, share: FEWER });
    }
    rungs.push(Rung { size: last, share: FEWEST });
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Timeline {
        ladder: Ladder,
        now: Instant,
        changes: u32,
    }

    impl Timeline {
        fn new(kbps: u64) -> Self {
            let ladder = Ladder::new(Resolution::HD, 30.0, Bitrate::from_kbps(kbps), None);
            Self { ladder, now: Instant::now(), changes: 0 }
        }
        /// Pictures for so many seconds, each of which took `work_ms` at 720p; every nth is skipped.
        fn run(&mut self, seconds: u32, work_ms: f64, skip_every: u32) -> u32 {
            for number in 0..seconds * 30 {
                self.now += 33 * MS;
                let size = self.ladder.resolution();
                let share = size.area() as f64 / Resolution::HD.area() as f64;
                let work = Duration::from_secs_f64(work_ms * share / 1000.0);
                let skipped = skip_every > 0 && number % skip_every == 0;
                let coded = if skipped { Coded::Skipped } else { Coded::Delta };
                self.ladder.handle_frame(self.now, work, coded);
                self.changes += u32::from(size != self.ladder.resolution());
            }
            self.ladder.resolution().height
        }
        fn target(&mut self, kbps: u64) {
            self.ladder.set_target(Bitrate::from_kbps(kbps));
        }
    }

    #[test]
    fn the_first_size_fits_the_bit_rate() {
        for (kbps, height) in [(2500, 720), (900, 720), (500, 540), (300, 360), (150, 270), (30, 180)] {
            assert_eq!(Timeline::new(kbps).ladder.resolution().height, height, "{kbps} kbit/s");
        }
    }

    #[test]
    fn at_the_lowest_rates_there_are_fewer_pictures() {
        for (kbps, height, fps) in [(150, 270, 30.0), (100, 270, 20.0), (50, 180, 20.0), (30, 180, 15.0)] {
            let ladder = Timeline::new(kbps).ladder;
            assert_eq!((ladder.resolution().height, ladder.share() * 30.0), (height, fps), "{kbps} kbit/s");
        }
        let mut slow = Ladder::new(Resolution::HD, 15.0, Bitrate::from_kbps(20), None);
        assert_eq!(slow.share(), 1.0);
        slow.set_fps(20.0);
        assert_eq!(slow.share(), 0.75);
    }

    #[test]
    fn no_more_is_sent_than_is_drawn() {
        let mut line = Timeline::new(2500);
        let drawn = |width, height| Some(Resolution::new(width, height));
        for (place, height) in [
            (drawn(640, 360), 360),
            (drawn(641, 300), 360),
            (drawn(1280, 400), 720),
            (drawn(700, 400), 540),
            (drawn(60, 40), 270),
            (drawn(3840, 2160), 720),
            (drawn(0, 0), 270),
            (None, 720),
        ] {
            line.ladder.set_drawn(place);
            assert_eq!(line.run(12, 5.0, 0), height, "{place:?}");
            assert_eq!(line.ladder.limitation(), Limitation::None);
            assert_eq!(line.ladder.share(), 1.0);
        }
        line.target(250);
        line.ladder.set_drawn(drawn(960, 540));
        assert_eq!((line.run(5, 5.0, 0), line.ladder.limitation()), (360, Limitation::Bandwidth));
        let small = Ladder::new(Resolution::HD, 30.0, Bitrate::from_kbps(2500), drawn(320, 180));
        assert_eq!(small.resolution().height, 270);
    }

    #[test]
    fn it_goes_down_at_once_and_up_with_patience() {
        let mut line = Timeline::new(2500);
        assert_eq!((line.run(5, 5.0, 0), line.changes), (720, 0));
        line.target(250);
        assert_eq!(line.run(4, 5.0, 0), 360);
        assert_eq!(line.ladder.limitation(), Limitation::Bandwidth);
        line.target(2500);
        assert_eq!(line.run(2, 5.0, 0), 360, "not yet");
        assert_eq!(line.run(10, 5.0, 0), 720);
        assert_eq!((line.ladder.limitation(), line.changes), (Limitation::None, 4));
    }

    #[test]
    fn a_rate_between_two_rungs_does_not_swing() {
        let mut line = Timeline::new(2500);
        for kbps in [860, 780, 900, 800, 1000, 790].repeat(5) {
            line.target(kbps);
            line.run(2, 5.0, 0);
        }
        assert!(line.changes <= 1, "{} changes", line.changes);
    }

    #[test]
    fn a_slow_processor_is_relieved() {
        let mut line = Timeline::new(2500);
        assert_eq!(line.run(5, 30.0, 0), 540);
        assert_eq!(line.ladder.limitation(), Limitation::Cpu);
        let changes = line.changes;
        assert_eq!((line.run(60, 30.0, 0), line.changes), (540, changes), "it does not try again and again");
        assert_eq!(line.run(20, 8.0, 0), 720);
    }

    #[test]
    fn pictures_that_are_left_out_are_too_large() {
        let mut line = Timeline::new(1000);
        assert_eq!(line.run(2, 5.0, 2), 540);
        assert_eq!(line.ladder.limitation(), Limitation::Bandwidth);
        assert_eq!(line.run(10, 5.0, 0), 540, "the content may come back");
    }

    #[test]
    fn pictures_that_pay_for_a_keyframe_are_not_counted() {
        let mut line = Timeline::new(1000);
        for _ in 0..5 {
            line.now += 33 * MS;
            line.ladder.handle_frame(line.now, 5 * MS, Coded::Keyframe);
            for number in 0..60 {
                line.now += 33 * MS;
                let coded = if number < 15 { Coded::Skipped } else { Coded::Delta };
                line.ladder.handle_frame(line.now, 5 * MS, coded);
            }
        }
        assert_eq!(line.ladder.resolution(), Resolution::HD);
    }

    #[test]
    fn small_and_upright_cameras_have_fewer_rungs() {
        let mut ladder = Ladder::new(Resolution::new(160, 120), 30.0, Bitrate::from_kbps(3), None);
        assert_eq!(ladder.resolution(), Resolution::new(120, 90));
        ladder = Ladder::new(Resolution::new(720, 1280), 30.0, Bitrate::from_kbps(300), None);
        assert_eq!(ladder.resolution(), Resolution::new(360, 640));
        ladder = Ladder::new(Resolution::new(5, 3), 30.0, Bitrate::from_kbps(300), None);
        assert_eq!(ladder.resolution(), Resolution::new(16, 16));
    }
}
