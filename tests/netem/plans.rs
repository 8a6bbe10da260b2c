//! The plans: what a link does, and what a call must reach on it.

use crate::call::Call;
use crate::figures::Figures;
use crate::link::{Conditions, Loss};

fn print(name: &str, figures: &Figures) {
    println!("{name:<28} {figures}");
}

#[test]
fn a_clean_link_adds_next_to_no_delay() {
    let mut call = Call::new(Conditions::clean(1), 1000, 2500);
    call.run(5.0).take_figures();
    let figures = call.run(60.0).take_figures();
    print("clean, 1 ms", &figures);
    assert_eq!((figures.freezes, figures.keyframe_requests, figures.retransmitted), (0, 0, 0));
    assert!(figures.frames_encoded.abs_diff(figures.frames_shown) <= 2);
    assert!(figures.concealed == 0.0);
    assert!(figures.received_bps() > 0.85 * 2.5e6, "{}", figures.received_bps());
    assert!(figures.playout_ms.percentile(50.0) <= 25.0);
    assert!(figures.skew_ms.percentile(95.0) <= 40.0);
    assert!(figures.sound_lag_ms.percentile(95.0) <= 40.0);
}

#[test]
fn a_cap_of_1500_kbit_is_used_without_a_queue() {
    for probing in [true, false] {
        let mut call =
            Call::new(Conditions { bps: 1.5e6, queue_ms: 300, ..Conditions::clean(30) }, 300, 2500);
        call.sender().probing = probing;
        let start = call.run(10.0).take_figures();
        print("1.5 Mbit/s, first 10 s", &start);
        let figures = call.run(50.0).take_figures();
        print("1.5 Mbit/s", &figures);
        assert!(figures.received_bps() >= 0.85 * 1.5e6);
        assert!(figures.queue_ms.percentile(95.0) <= 100.0);
        assert!(start.queue_ms.max() <= 300.0);
        assert_eq!(figures.freezes, 0);
    }
}

#[test]
fn one_megabit_with_a_shallow_queue() {
    let mut call = Call::new(Conditions { bps: 1e6, queue_ms: 200, ..Conditions::clean(20) }, 300, 2500);
    print("1 Mbit/s, first 10 s", &call.run(10.0).take_figures());
    let figures = call.run(50.0).take_figures();
    print("1 Mbit/s", &figures);
    assert!(figures.received_bps() >= 0.85e6);
    assert!(figures.queue_ms.percentile(95.0) <= 100.0);
    assert_eq!(figures.freezes, 0);
}

#[test]
fn the_rate_follows_steps_down_and_up() {
    for (probing, queue_ms, delay) in
        [(true, 300, 20), (false, 300, 20), (true, 2000, 20), (true, 2000, 30), (true, 2000, 50)]
    {
        println!("queue of {queue_ms} ms, {delay} ms each way");
        let mut call = Call::new(Conditions { bps: 2.5e6, queue_ms, ..Conditions::clean(delay) }, 1000, 3500);
        call.sender().probing = probing;
        call.run(20.0);
        print("2.5 Mbit/s", &call.take_figures());
        call.set(|link| link.bps = 0.5e6);
        let start = call.now_seconds();
        // The last moment over 100 ms before a whole second below it.
        let mut over_until = start;
        while call.now_seconds() < start + 20.0 {
            call.run(0.01);
            if call.queue_ms() > 100.0 && call.now_seconds() < over_until + 1.0 {
                over_until = call.now_seconds();
            }
        }
        let down = over_until - start;
        let figures = call.take_figures();
        print(&format!("> 0.5: queue back in {down:.2} s"), &figures);
        // Four times the path's rate for as long as nobody can know of it (a round trip and a half interval of
        // reports) is a queue of 210 ms at 20 ms each way, 290 at 30, 450 at 50.
        let worst = [(20, 450.0), (30, 560.0), (50, 750.0)].into_iter().find(|(ms, _)| *ms == delay);
        assert!(down <= 1.0, "{down}");
        assert!(
            worst.is_some_and(|(_, worst)| figures.queue_ms.max() <= worst),
            "{}",
            figures.queue_ms.max()
        );
        assert!(figures.received_bps() >= 0.8 * 0.5e6);
        call.set(|link| link.bps = 2.5e6);
        let start = call.now_seconds();
        let mut up = None;
        while call.now_seconds() < start + 20.0 {
            let figures = call.run(0.5).take_figures();
            if up.is_none() && figures.received_bps() >= 0.8 * 2.5e6 {
                up = Some(call.now_seconds() - start);
            }
        }
        println!("> 2.5: 80 % after {up:?} s (probing {probing})");
        // Without padding to probe with, the way up is the slower ramp of the target alone.
        let limit = if probing { 8.0 } else { 9.0 };
        assert!(up.is_some_and(|up| up <= limit), "{up:?}");
    }
}

#[test]
fn losses_of_video_are_repaired() {
    let links = [
        ("2 %, 40 ms", Loss::Uniform(0.02), 0.3),
        ("5 %, 20 ms", Loss::Uniform(0.05), 0.3),
        ("5 % in bursts of 4, 40 ms", Loss::Bursts(0.05, 4.0), 2.0),
        ("10 %, 40 ms", Loss::Uniform(0.10), 3.0),
    ];
    for (name, loss, frozen_a_minute) in links {
        let delay = if name.contains("20 ms") { 20 } else { 40 };
        let mut call = Call::new(Conditions { loss, ..Conditions::clean(delay) }, 1000, 2500);
        call.run(5.0).take_figures();
        let figures = call.run(120.0).take_figures();
        print(name, &figures);
        assert!(figures.frozen_seconds / 2.0 <= frozen_a_minute, "{name}");
        assert!(figures.frames_shown as f64 >= 0.97 * figures.frames_encoded as f64, "{name}");
        assert!(figures.received_bps() > 1.5e6, "{name}");
    }
}

#[test]
fn losses_of_sound_are_recovered() {
    for (share, concealed) in [(0.05, 0.01), (0.10, 0.025), (0.20, 0.07)] {
        let mut call =
            Call::new(Conditions { loss: Loss::Uniform(share), ..Conditions::clean(40) }, 500, 1000);
        let figures = call.run(120.0).take_figures();
        print(&format!("sound, {:.0} % loss", share * 100.0), &figures);
        assert!(figures.concealed <= concealed, "{share}: {}", figures.concealed);
    }
}

#[test]
fn jitter_and_reordering_are_no_loss() {
    let conditions = Conditions { jitter_ms: 30, reordered: 0.05, ..Conditions::clean(40) };
    let mut call = Call::new(conditions, 1000, 2500);
    call.run(10.0).take_figures();
    let figures = call.run(120.0).take_figures();
    print("30 ms jitter, 5 % reordered", &figures);
    assert_eq!((figures.freezes, figures.keyframe_requests), (0, 0));
    assert!(figures.retransmitted <= 150, "asked for what was only overtaken");
    assert!(figures.frames_encoded.abs_diff(figures.frames_shown) <= 2);
    assert!(figures.concealed <= 0.01);
    assert!(figures.received_bps() > 0.8 * 2.5e6);
    assert!(figures.skew_ms.percentile(95.0) <= 40.0);
}

#[test]
fn an_hour_of_drift_neither_runs_dry_nor_grows() {
    for ppm in [-200.0, 200.0] {
        let mut call = Call::new(Conditions { jitter_ms: 5, ..Conditions::clean(20) }, 300, 300);
        call.set_drift(ppm);
        call.run(60.0).take_figures();
        let early = call.run(60.0).take_figures();
        call.run(3_420.0).take_figures();
        let late = call.run(60.0).take_figures();
        print(&format!("{ppm} ppm, minute 2"), &early);
        print(&format!("{ppm} ppm, minute 60"), &late);
        assert!(late.concealed <= 0.001);
        let median = |figures: &Figures| figures.sound_lag_ms.percentile(50.0);
        assert!((median(&late) - median(&early)).abs() <= 20.0);
        assert!(
            (late.picture_delay_ms.percentile(50.0) - early.picture_delay_ms.percentile(50.0)).abs() < 20.0
        );
        assert!(late.skew_ms.percentile(95.0) <= 40.0);
    }
}

#[test]
fn after_an_outage_everything_is_back_at_once() {
    for seconds in [3.0, 10.0] {
        let mut call = Call::new(Conditions { bps: 2e6, ..Conditions::clean(30) }, 500, 2500);
        let before = call.run(20.0).take_figures();
        call.set(|link| link.outage = true).run(seconds).take_figures();
        let back = call.set(|link| link.outage = false).now_seconds();
        let first = call.run(5.0).take_figures();
        let picture = first.first_shown_at.map(|at| at as f64 / 1e6 - back);
        let after = call.run(5.0).take_figures();
        print("before the outage", &before);
        print(&format!("{seconds} s outage, picture {picture:?}"), &first);
        print("five seconds after", &after);
        assert!(picture.is_some_and(|time| time <= 0.5), "{picture:?}");
        assert!(first.received_bps() >= 0.7 * before.received_bps());
        assert!(after.received_bps() >= 0.75 * before.received_bps());
    }
}

#[test]
fn an_idle_encoder_keeps_its_room() {
    let mut call = Call::new(Conditions { bps: 2e6, ..Conditions::clean(30) }, 300, 2500);
    print("busy", &call.run(20.0).take_figures());
    let limit = std::mem::replace(&mut call.sender().encoder_limit, twocan::units::Bitrate::from_kbps(150));
    let idle = call.run(60.0).take_figures();
    print("idle", &idle);
    assert!(idle.target_bps.percentile(0.0) > 1e6, "{}", idle.target_bps.percentile(0.0));
    call.sender().encoder_limit = limit;
    let busy = call.run(20.0).take_figures();
    print("busy again", &busy);
    assert!(busy.queue_ms.max() < 300.0);
    assert_eq!(busy.freezes, 0);
}

#[test]
fn an_hour_of_everything_leaves_nothing_behind() {
    let mut call = Call::new(Conditions { jitter_ms: 5, queue_ms: 500, ..Conditions::clean(25) }, 600, 2500);
    let mut minutes = Vec::new();
    for minute in 0..60usize {
        let (bps, loss) = [(4e6, 0.0), (1e6, 0.01), (0.5e6, 0.0), (2.5e6, 0.03), (1.5e6, 0.0)][minute % 5];
        call.set(|link| {
            (link.bps, link.loss) = (bps, Loss::Uniform(loss));
            link.reordered = if minute % 3 == 0 { 0.02 } else { 0.0 };
        });
        call.run(50.0);
        let outage = if minute % 4 == 3 { 2.0 } else { 0.0 };
        call.set(|link| link.outage = true).run(outage);
        call.set(|link| link.outage = false).run(10.0 - outage);
        let figures = call.take_figures();
        let held = call.held();
        if minute % 10 == 4 || minute == 59 {
            print(&format!("minute {minute}, holds {held}"), &figures);
        }
        let delay = figures.picture_delay_ms.percentile(50.0);
        assert!(figures.frames_shown >= 1_500, "minute {minute}: {}", figures.frames_shown);
        minutes.push([held as f64, delay, figures.sound_lag_ms.percentile(50.0)]);
    }
    for measure in 0..3 {
        let worst = |part: &[[f64; 3]]| part.iter().map(|minute| minute[measure]).fold(0.0, f64::max);
        let (early, late) = (worst(&minutes[..20]), worst(&minutes[40..]));
        assert!(late <= 1.3 * early + 20.0, "{early} {late}");
    }
}
