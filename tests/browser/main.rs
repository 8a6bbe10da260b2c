//! A call with a real browser: headless Chromium with its fake camera and microphone on one side, the program on the
//! other, nothing between them but two pasted codes. Once the browser makes the invite, once the program.
//!
//! Both must decode 25 pictures a second of H.264 and hear the other. The pictures are small, because the two
//! encoders and decoders share what cores the machine has.
//!
//! `vp8` does it with a browser that has no H.264. `page` does the same with the page for people without the app, pressed
//! and read as a person would, `knock` what needs no reply, a browser at the app's door, and `room` calls of more than two.

#[path = "../support/chromium.rs"]
mod chromium;
mod devtools;
mod knock;
mod page;
mod room;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod vp8;

use chromium::{browser_options, find_browser};
use serde_json::Value;
use server::Server;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, wait_for};

/// Time for a browser to start, or for a code, on a machine that does other work too.
const PATIENCE: Duration = Duration::from_secs(60);
/// The rate is counted over a window of at least this length, anywhere in the call.
const WINDOW_S: f64 = 6.0;
const MIN_FPS: f64 = 25.0;

fn start_browser(browser: &PathBuf, page: &str, scratch: &Scratch) -> Running {
    let mut command = Command::new(browser);
    browser_options(&mut command)
        .arg(format!("--user-data-dir={}", scratch.join("profile").display()))
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(scratch.join("browser.log")).expect("the folder is ours"));
    Running::start(&mut command)
}

fn start_twocan(verb: &str, more: &[&str], scratch: &Scratch) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    command
        .arg(verb)
        .args(more)
        .args(["--camera", "pattern", "--microphone", "tone", "--size", "640x360"])
        .args(["--bind", "127.0.0.1", "--no-stun", "--stats", "-", "--seconds", "120", "--speaker"])
        .arg(scratch.join("heard.wav"))
        .env("TWOCAN_CONFIG", scratch.join("settings.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(scratch.join("twocan.log")).expect("the folder is ours"));
    Running::start(&mut command)
}

/// The best rate over any stretch of at least [`WINDOW_S`].
fn best_rate(counts: &[(f64, f64)]) -> f64 {
    let rates = counts.iter().enumerate().flat_map(|(at, first)| {
        let later = counts[at..].iter().find(|later| later.0 - first.0 >= WINDOW_S);
        later.map(|later| (later.1 - first.1) / (later.0 - first.0))
    });
    rates.fold(0.0, f64::max)
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or(0.0)
}

fn counts(reports: &[Value], seconds: &str, frames: &str) -> Vec<(f64, f64)> {
    let count = |report| (number(report, seconds), number(report, frames));
    reports.iter().map(count).filter(|&(_, frames)| frames > 0.0).collect()
}

/// Waits until both sides have shown the rate, then compares everything else, then hangs up in the browser.
fn check_call(mut twocan: Running, lines: &Lines, server: &Server, scratch: &Scratch) {
    let mut stats: Vec<Value> = Vec::new();
    wait_for("call with 25 pictures a second both ways", Duration::from_secs(90), || {
        stats
            .extend(lines.waiting().map(|line| serde_json::from_str(&line).expect("one JSON object a line")));
        let reports = server.reports();
        assert_eq!(server.errors(), Vec::<String>::new(), "errors in the page");
        let here = best_rate(&counts(&stats, "/seconds", "/peers/0/inbound/video/framesDecoded"));
        let there = best_rate(&counts(&reports, "/seconds", "/framesDecoded"));
        if twocan.has_ended() {
            panic!("the call ended early; it had {here:.1} and {there:.1} pictures a second");
        }
        (here >= MIN_FPS && there >= MIN_FPS).then_some(())
    });

    let (ours, page) = (stats.last().expect("there was a rate"), server.reports());
    let theirs = page.last().expect("there was a rate");
    assert_eq!(ours["state"], "connected");
    assert_eq!(ours["peers"][0]["name"], "Browser");
    assert_eq!(ours["peers"][0]["inbound"]["video"]["codec"], "H264");
    assert_eq!(ours["peers"][0]["inbound"]["audio"]["codec"], "opus");
    assert_eq!(theirs["state"], "connected");
    assert_eq!((&theirs["codecIn"], &theirs["codecOut"]), (&"video/H264".into(), &"video/H264".into()));
    assert_eq!(theirs["size"], "640x360");

    let change = page.iter().map(|report| number(report, "/pictureChange")).fold(0.0, f64::max);
    assert!(change > 1.0, "the picture in the browser does not move");
    // Energy is the sum of squares of the level times the seconds.
    let loudness = (number(theirs, "/audioEnergy") / number(theirs, "/audioSeconds").max(1.0)).sqrt();
    assert!(loudness > 0.005, "the browser hears nothing: level {loudness}");

    server.ask_to_leave();
    let status = twocan.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "the call did not end normally");
    let seconds = seconds_with_sound(&scratch.join("heard.wav"));
    assert!(
        seconds >= 4,
        "Chromium beeps all the time, but only {seconds} seconds of the recording have sound"
    );
}

/// How many whole seconds of a recording are not silent.
fn seconds_with_sound(path: &PathBuf) -> usize {
    const AUDIBLE: f32 = 0.02;
    let mut reader = hound::WavReader::open(path).expect("the recording is a WAV file");
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().map_while(Result::ok).collect(),
        hound::SampleFormat::Int => {
            let full = (1_i64 << (spec.bits_per_sample - 1)) as f32;
            reader.samples::<i32>().map_while(Result::ok).map(|sample| sample as f32 / full).collect()
        }
    };
    let second = spec.sample_rate as usize * usize::from(spec.channels);
    samples.chunks(second).filter(|second| second.iter().any(|sample| sample.abs() > AUDIBLE)).count()
}

/// On a failure the two programs' own words are worth more than ours.
fn with_logs(scratch: &Scratch, test: impl FnOnce()) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
    if let Err(panic) = outcome {
        for name in ["twocan.log", "browser.log"] {
            let log = fs::read_to_string(scratch.join(name)).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- {name}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_browser_invites_and_twocan_answers() {
    let _alone = alone();
    let Some(browser) = find_browser() else { return };
    let scratch = Scratch::new("browser-invites");
    with_logs(&scratch, || {
        let server = Server::start();
        let _browser = start_browser(&browser, &server.page("offer"), &scratch);
        let invite = wait_for("invite from the browser", PATIENCE, || server.take_code());
        let mut twocan = start_twocan("answer", &["--format", "full"], &scratch);
        let lines = twocan.lines();
        twocan.type_line(&invite);
        server.give_code(lines.next(PATIENCE));
        check_call(twocan, &lines, &server, &scratch);
    });
}

#[test]
fn twocan_invites_and_a_browser_answers() {
    let _alone = alone();
    let Some(browser) = find_browser() else { return };
    let scratch = Scratch::new("browser-answers");
    with_logs(&scratch, || {
        let server = Server::start();
        let mut twocan = start_twocan("call", &["--format", "full"], &scratch);
        let lines = twocan.lines();
        server.give_code(lines.next(PATIENCE));
        let _browser = start_browser(&browser, &server.page("answer"), &scratch);
        let reply = wait_for("reply from the browser", PATIENCE, || server.take_code());
        twocan.type_line(&reply);
        check_call(twocan, &lines, &server, &scratch);
    });
}

#[test]
fn the_rate_is_that_of_the_best_stretch() {
    let steady: Vec<_> = (0..20).map(|second| (f64::from(second), f64::from(second) * 30.0)).collect();
    assert_eq!(best_rate(&steady), 30.0);
    assert_eq!(best_rate(&steady[..6]), 0.0, "too short to say");
    let stuck: Vec<_> = (0..20).map(|second| (f64::from(second), 30.0)).collect();
    assert_eq!(best_rate(&stuck), 0.0);
}
