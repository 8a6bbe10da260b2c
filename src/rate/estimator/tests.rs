use super::*;
use crate::rtp::test_time::at_us;

/// A sender at 100 packets a second on a link of one queue; feedback every 100 ms. Everything in microseconds.
struct Loop {
    estimator: Estimator,
    now: u64,
    capacity: f64,
    /// Share of the target that the encoder makes.
    use_of_target: f64,
    lost_one_in: u64,
    free_at: u64,
    sent: u64,
    waiting: Vec<PacketReport>,
    queue_us: u64,
    /// Delay that swings up to this with a time constant of 50 ms, as radio links do. Order is kept.
    swing_us: f64,
    swing: f64,
    random: u64,
    last_arrival: u64,
}

impl Loop {
    fn new(start_kbps: u64, capacity: f64) -> Self {
        let kbps = Bitrate::from_kbps;
        Self {
            estimator: Estimator::new(kbps(start_kbps), kbps(50), kbps(5000)),
            now: 0,
            capacity,
            use_of_target: 1.0,
            lost_one_in: u64::MAX,
            free_at: 0,
            sent: 0,
            waiting: Vec::new(),
            queue_us: 0,
            swing_us: 0.0,
            swing: 0.5,
            random: 88_172_645_463_325_252,
            last_arrival: 0,
        }
    }
    /// The share of the swing that the next packet meets.
    fn swing(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let step = (self.random % 1000) as f64 / 1000.0 - 0.5;
        self.swing = (0.5 + (self.swing - 0.5) * (-10.0f64 / 50.0).exp() + step * 0.9).clamp(0.0, 1.0);
        self.swing
    }
    fn target(&self) -> f64 {
        self.estimator.target(at_us(self.now)).bps() as f64
    }
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 100 {
            self.now += 10_000;
            let now = at_us(self.now);
            self.estimator.handle_sent(now);
            let size = (self.target() * self.use_of_target / 800.0) as usize;
            self.sent += 1;
            self.free_at = self.free_at.max(self.now) + (size as f64 * 8e6 / self.capacity) as u64;
            self.queue_us = self.free_at - self.now;
            let swing = (self.swing() * self.swing_us) as u64;
            self.last_arrival = self.last_arrival.max(self.free_at + 20_000 + swing);
            let arrival = Duration::from_micros(9_000_000_000 + self.last_arrival);
            let lost = self.sent.is_multiple_of(self.lost_one_in);
            self.waiting.push(PacketReport { departure: now, arrival: (!lost).then_some(arrival), size });
            if self.sent.is_multiple_of(10) {
                let here = |report: &PacketReport| {
                    report.arrival.is_none_or(|a| a.as_micros() as u64 <= 9_000_000_000 + self.now - 20_000)
                };
                let (ready, waiting) = self.waiting.drain(..).partition::<Vec<_>, _>(here);
                self.waiting = waiting;
                self.estimator.handle_reports(now, &ready);
            }
        }
    }
}

#[test]
fn a_wide_path_is_used_up_to_the_limit() {
    let mut test = Loop::new(300, 2e7);
    test.run(20);
    assert_eq!(test.target(), 5e6);
}

#[test]
fn a_narrow_path_is_found_and_kept_without_a_queue() {
    let mut test = Loop::new(300, 1e6);
    test.run(10);
    let (mut sum, mut worst) = (0.0, 0);
    for _ in 0..30 {
        test.run(1);
        sum += test.target();
        worst = worst.max(test.queue_us);
    }
    assert!((0.85e6..1.05e6).contains(&(sum / 30.0)), "{}", sum / 30.0);
    assert!(worst < 120_000, "{worst}");
}

#[test]
fn a_delay_that_swings_is_no_queue() {
    let mut test = Loop::new(1000, 2e7);
    test.swing_us = 60_000.0;
    test.run(30);
    assert!(test.target() > 2e6, "{}", test.target());
    // And a queue is still one.
    test.capacity = 1e6;
    test.run(5);
    let mut worst = 0;
    for _ in 0..20 {
        test.run(1);
        worst = worst.max(test.queue_us);
    }
    assert!(worst < 150_000 && test.target() < 1.1e6, "{worst} {}", test.target());
}

#[test]
fn random_loss_of_five_percent_does_not_lower_the_target() {
    let mut test = Loop::new(300, 2e7);
    test.lost_one_in = 20;
    test.run(20);
    assert!(test.target() >= 4e6, "{}", test.target());
    assert!((test.estimator.stats().loss - 0.05).abs() < 0.02);
}

#[test]
fn heavy_loss_lowers_it_but_not_below_what_arrives() {
    let mut test = Loop::new(1000, 2e7);
    test.use_of_target = 0.9;
    test.run(3);
    let before = test.target();
    test.lost_one_in = 3;
    test.run(3);
    assert!(test.target() < 0.9 * before, "{} {before}", test.target());
    assert!(test.target() > 0.2 * before);
}

#[test]
fn an_idle_encoder_keeps_its_target() {
    let mut test = Loop::new(1000, 2e7);
    test.run(2);
    let before = test.target();
    test.use_of_target = 0.1;
    test.run(20);
    assert!((0.9 * before..1.3 * before).contains(&test.target()), "{} {before}", test.target());
    assert!(test.estimator.stats().application_limited);
}

#[test]
fn remb_and_limits_hold() {
    let mut test = Loop::new(1000, 2e7);
    test.estimator.handle_remb(Bitrate::from_kbps(400));
    test.run(5);
    assert_eq!(test.target(), 4e5);
    test.estimator.handle_remb(Bitrate::from_kbps(9000));
    test.estimator.set_limits(Bitrate::from_kbps(100), Bitrate::from_kbps(700));
    test.run(1);
    assert!(test.target() <= 7e5);
}

#[test]
fn silence_lowers_the_target_and_its_end_restores_it() {
    let mut test = Loop::new(1000, 2e7);
    test.run(3);
    let before = test.target();
    let now = |ms: u64| at_us(test.now + ms * 1000);
    test.estimator.handle_sent(now(0));
    assert!(test.estimator.target(now(3_000)) < Bitrate::from_bps(before as u64 / 16));
    test.now += 5_000_000;
    test.waiting.clear();
    test.run(1);
    assert!(test.target() >= 0.8 * before, "{} {before}", test.target());
}

#[test]
fn receiver_reports_alone_steer_too() {
    let kbps = Bitrate::from_kbps;
    let mut estimator = Estimator::new(kbps(1000), kbps(50), kbps(5000));
    (0..20).for_each(|n| estimator.handle_receiver_report(at_us(n * 1_000_000), 0.3));
    assert!(estimator.target(at_us(20_000_000)) < kbps(100));
    (20..80).for_each(|n| estimator.handle_receiver_report(at_us(n * 1_000_000), 0.0));
    assert_eq!(estimator.target(at_us(80_000_000)), kbps(5000));
}

#[test]
fn senseless_reports_are_taken() {
    let kbps = Bitrate::from_kbps;
    let mut estimator = Estimator::new(kbps(300), kbps(50), kbps(5000));
    let mut seed = 99u64;
    for n in 0..3_000u64 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let arrival = (!seed.is_multiple_of(3)).then(|| Duration::from_micros(seed >> (seed % 50)));
        let report = PacketReport { departure: at_us(seed >> 40), arrival, size: seed as usize % 70_000 };
        estimator.handle_reports(at_us(n * 10_000), &[report]);
        estimator.poll_probe(at_us(n * 10_000));
        let target = estimator.target(at_us(n * 10_000));
        assert!((kbps(50)..=kbps(5000)).contains(&target));
    }
}
