//! The cases of RFC 8867, section 5, by number: flows on one path of 50 ms each way with a queue of 300 ms. Capacities
//! and times are those written here, after the RFC's; its jitter is left out, because it would hide the queue.

use crate::call::Call;
use crate::figures::Figures;
use crate::link::Conditions;

fn path(bps: f64) -> Conditions {
    Conditions { bps, queue_ms: 300, ..Conditions::clean(50) }
}
fn kbps(figures: &Figures) -> f64 {
    figures.received_bps() / 1e3
}
fn print(case: &str, figures: &Figures) {
    println!("RFC 8867 {case:<36} {figures}");
}

/// Runs through capacities in Mbit/s, each for so many seconds: the share used and the queue's 95th percentile.
fn vary(case: &str, call: &mut Call, flows: &[usize], steps: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    for (mbps, seconds) in steps {
        call.set(|link| link.bps = mbps * 1e6).run(*seconds);
        let all: Vec<Figures> = flows.iter().map(|flow| call.take_figures_of(*flow)).collect();
        all.iter().for_each(|figures| print(&format!("{case}, {mbps} Mbit/s"), figures));
        let used = all.iter().map(Figures::received_bps).sum::<f64>() / (mbps * 1e6);
        let queue = all.iter().map(|figures| figures.queue_ms.percentile(95.0)).fold(0.0, f64::max);
        found.push((used, queue));
    }
    found
}

#[test]
fn case_5_1_variable_capacity_with_one_flow() {
    let mut call = Call::new(path(1e6), 300, 1500);
    let found = vary("5.1", &mut call, &[0], &[(1.0, 40.0), (2.5, 20.0), (0.6, 20.0), (1.0, 20.0)]);
    for (step, (used, queue)) in found.iter().enumerate() {
        // The encoder makes 1.5 Mbit/s at most.
        let least = if step == 1 { 0.45 } else { 0.75 };
        assert!(*used >= least && *queue <= 150.0, "step {step}: {used} {queue}");
    }
}

#[test]
fn case_5_2_variable_capacity_with_several_flows() {
    let mut call = Call::new(path(4e6), 300, 1500);
    call.add(0, 0, 300, 1500);
    let steps = [(4.0, 25.0), (2.0, 25.0), (3.5, 25.0), (1.0, 25.0), (2.0, 25.0)];
    let found = vary("5.2", &mut call, &[0, 1], &steps);
    for (step, (used, queue)) in found.iter().enumerate() {
        let least = if steps[step].0 > 3.0 { 0.5 } else { 0.75 };
        assert!(*used >= least && *queue <= 200.0, "step {step}: {used} {queue}");
    }
}

#[test]
fn case_5_3_congested_feedback_link() {
    let mut call = Call::new(path(2e6), 300, 1500);
    call.set_direction(1, |link| (link.bps, link.queue_ms) = (2e6, 300));
    let back = call.add(1, 0, 300, 1500);
    for (forth_mbps, back_mbps, seconds) in
        [(2.0, 2.0, 20.0), (1.0, 2.0, 20.0), (1.0, 0.8, 20.0), (2.0, 0.8, 20.0)]
    {
        call.set_direction(0, |link| link.bps = forth_mbps * 1e6);
        call.set_direction(1, |link| link.bps = back_mbps * 1e6);
        call.run(seconds);
        for (flow, mbps) in [(0, forth_mbps), (back, back_mbps)] {
            let figures = call.take_figures_of(flow);
            print(&format!("5.3, {forth_mbps} forth, {back_mbps} back, flow {flow}"), &figures);
            // The start and each way up are in it.
            assert!(figures.received_bps() >= 0.55 * mbps * 1e6, "{}", kbps(&figures));
            assert!(figures.queue_ms.percentile(95.0) <= 200.0);
        }
    }
}

#[test]
fn case_5_4_competing_flows_of_the_same_kind() {
    let mut call = Call::new(path(3.5e6), 300, 2500);
    call.run(20.0);
    call.add(0, 0, 300, 2500);
    call.run(20.0);
    call.add(0, 0, 300, 2500);
    call.run(40.0);
    (0..3).for_each(|flow| drop(call.take_figures_of(flow)));
    call.run(40.0);
    let all: Vec<Figures> = (0..3).map(|flow| call.take_figures_of(flow)).collect();
    all.iter().for_each(|figures| print("5.4, three flows on 3.5 Mbit/s", figures));
    let total: f64 = all.iter().map(Figures::received_bps).sum();
    assert!(total >= 0.75 * 3.5e6, "{total}");
    for figures in &all {
        assert!(figures.received_bps() >= 0.4 * 3.5e6 / 3.0, "{}", kbps(figures));
        assert!(figures.queue_ms.percentile(95.0) <= 200.0);
    }
}

#[test]
fn case_5_5_round_trip_fairness() {
    let mut call = Call::new(Conditions { delay_ms: 10, ..path(4e6) }, 300, 1500);
    for extra in [15, 40, 90, 140] {
        call.run(5.0);
        call.add(0, extra, 300, 1500);
    }
    call.run(60.0);
    (0..5).for_each(|flow| drop(call.take_figures_of(flow)));
    call.run(120.0);
    let all: Vec<Figures> = (0..5).map(|flow| call.take_figures_of(flow)).collect();
    all.iter()
        .zip([10, 25, 50, 100, 150])
        .for_each(|(figures, delay)| print(&format!("5.5, {delay} ms"), figures));
    for figures in &all {
        assert!(figures.received_bps() >= 0.3 * 4e6 / 5.0, "{}", kbps(figures));
    }
}

#[test]
fn case_5_6_media_pause_and_resume() {
    let mut call = Call::new(path(3.5e6), 300, 1500);
    let others = [call.add(0, 0, 300, 1500), call.add(0, 0, 300, 1500)];
    call.run(40.0);
    (0..3).for_each(|flow| drop(call.take_figures_of(flow)));
    (call.sender().video_on, call.sender().voice_on) = (false, false);
    call.run(20.0).take_figures();
    for other in others {
        let figures = call.take_figures_of(other);
        print("5.6, another, during the pause", &figures);
        assert!(figures.received_bps() >= 1.1e6, "{}", kbps(&figures));
    }
    (call.sender().video_on, call.sender().voice_on) = (true, true);
    let first = call.run(5.0).take_figures();
    print("5.6, five seconds after it", &first);
    let after = call.run(35.0).take_figures();
    print("5.6, then", &after);
    assert!(after.received_bps() >= 0.6e6, "{}", kbps(&after));
    assert!(first.queue_ms.max() <= 320.0);
}

#[test]
fn case_5_7_a_long_tcp_flow() {
    let mut call = Call::new(path(2e6), 300, 1500);
    call.run(20.0).take_figures();
    let tcp = call.add_tcp(u64::MAX);
    call.run(20.0).take_figures();
    let before = call.tcp(tcp).delivered_bytes;
    let figures = call.run(80.0).take_figures();
    let other = (call.tcp(tcp).delivered_bytes - before) as f64 * 8.0 / 80.0;
    print("5.7, beside a long TCP flow", &figures);
    println!("  TCP {:.0} kbit/s of 2000", other / 1e3);
    assert!(figures.received_bps() >= 0.2 * 1e6, "{}", kbps(&figures));
    call.tcp(tcp).stop();
    let after = call.run(20.0).take_figures();
    print("5.7, when it has ended", &after);
    assert!(after.received_bps() >= 0.4 * 1.5e6, "{}", kbps(&after));
}

#[test]
fn case_5_8_short_tcp_flows() {
    let mut call = Call::new(path(2e6), 300, 1500);
    call.run(20.0).take_figures();
    // A page of a few hundred kilobytes each four seconds.
    let mut slowest = 0.0_f64;
    for page in 0..20u64 {
        let tcp = call.add_tcp(100_000 + page % 5 * 80_000);
        let start = call.now_seconds();
        let mut done = None;
        for _ in 0..40 {
            call.run(0.1);
            if done.is_none() && call.tcp(tcp).is_done() {
                done = Some(call.now_seconds() - start);
            }
        }
        slowest = slowest.max(done.unwrap_or(4.0));
    }
    let figures = call.take_figures();
    print("5.8, beside short TCP flows", &figures);
    println!("  the slowest page took {slowest:.1} s");
    // Each page empties us for two of its four seconds: the weakest of all cases.
    assert!(figures.received_bps() >= 0.12e6, "{}", kbps(&figures));
}

/// The issue's own: two calls and a TCP flow on 3 Mbit/s.
#[test]
fn two_calls_and_a_tcp_flow_share() {
    let mut call = Call::new(Conditions { bps: 3e6, queue_ms: 300, ..Conditions::clean(20) }, 600, 2500);
    let other = call.add(0, 0, 600, 2500);
    call.run(10.0);
    let tcp = call.add_tcp(u64::MAX);
    call.run(10.0);
    [0, other].into_iter().for_each(|flow| drop(call.take_figures_of(flow)));
    let before = call.tcp(tcp).delivered_bytes;
    call.run(60.0);
    let tcp = (call.tcp(tcp).delivered_bytes - before) as f64 * 8.0 / 60.0;
    let fair = 3e6 / 3.0;
    for flow in [0, other] {
        let figures = call.take_figures_of(flow);
        print("two calls and TCP on 3 Mbit/s", &figures);
        assert!(figures.received_bps() >= 0.2 * fair, "{}", kbps(&figures));
    }
    println!("  TCP {:.0} kbit/s", tcp / 1e3);
    assert!(tcp >= 0.2 * fair, "{tcp}");
}
