//! A call on a network that fails: two real programs in network namespaces of their own. Skipped, loudly, where they
//! cannot be made (they take root and `ip`). How long the picture was away is printed, not asserted.

#![cfg(target_os = "linux")]

mod lab;
#[path = "../support/mod.rs"]
mod support;

use lab::Lab;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Lines, Running, Scratch, alone, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);

/// Pictures that were on their way when the network went are shown by then.
const IN_FLIGHT: Duration = Duration::from_millis(500);

/// One program in a call.
struct Person {
    running: Running,
    lines: Lines,
    video: PathBuf,
}

impl Person {
    fn new(lab: &Lab, place: &str, scratch: &Scratch, arguments: &[&str]) -> Self {
        let video = scratch.join(&format!("{place}.y4m"));
        let mut command = lab.command(place, env!("CARGO_BIN_EXE_twocan"));
        command.args(arguments).args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none"]);
        command.args(["--size", "160x90", "--fps", "30", "--no-stun", "--stats", "-", "--video-out"]);
        command
            .arg(&video)
            .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        let lines = running.lines();
        Self { running, lines, video }
    }

    /// Bytes of pictures so far.
    fn seen(&self) -> u64 {
        std::fs::metadata(&self.video).map_or(0, |file| file.len())
    }

    /// Waits for a picture that was not there yet; how long after `since` it came.
    fn sees_more(&self, since: Instant) -> Duration {
        let before = self.seen();
        let end = Instant::now() + PATIENCE;
        while self.seen() <= before {
            assert!(Instant::now() < end, "no picture within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        since.elapsed()
    }

    /// Waits for statistics that are as wanted; older ones are passed over.
    fn stats(&self, what: &str, is: impl Fn(&Value) -> bool) {
        wait_for(what, PATIENCE, || {
            let stats: Value = serde_json::from_str(&self.lines.next(PATIENCE)).unwrap();
            is(&stats).then_some(())
        });
    }

    fn is(&self, state: &str) {
        self.stats(state, |stats| stats["state"] == state);
    }
}

fn in_call(lab: &Lab, scratch: &Scratch) -> (Person, Person) {
    let mut ann = Person::new(lab, "a", scratch, &["call"]);
    let invite = ann.lines.next(PATIENCE);
    let bo = Person::new(lab, "b", scratch, &["answer", &invite]);
    ann.running.type_line(&bo.lines.next(PATIENCE));
    for person in [&ann, &bo] {
        person.is("connected");
        person.sees_more(Instant::now());
    }
    (ann, bo)
}

const NO_LAB: &str = "the tests on a failing network need root and `ip netns`";

#[test]
fn ten_seconds_of_nothing_are_survived() {
    let _alone = alone();
    let Some(lab) = Lab::new("outage") else { return skip(NO_LAB) };
    let scratch = Scratch::new("outage");
    let (ann, bo) = in_call(&lab, &scratch);
    lab.forward(false);
    let cut = Instant::now();
    ann.is("reconnecting");
    bo.is("reconnecting");
    std::thread::sleep(Duration::from_secs(10).saturating_sub(cut.elapsed()));
    lab.forward(true);
    let back = Instant::now();
    println!("outage of 10 s: picture back after {:?} and {:?}", ann.sees_more(back), bo.sees_more(back));
    ann.is("connected");
    bo.is("connected");
}

#[test]
fn the_call_follows_a_computer_into_another_network() {
    let _alone = alone();
    let Some(lab) = Lab::new("move") else { return skip(NO_LAB) };
    let scratch = Scratch::new("move");
    let (ann, bo) = in_call(&lab, &scratch);
    let uses = |person: &Person, end: &str, address: &str| {
        person.stats(address, |stats| {
            stats["peers"][0]["candidatePair"][end].as_str().is_some_and(|pair| pair.contains(address))
        });
    };
    // From one network straight into the next, then away from both for a while and back to the first.
    let moved = Instant::now();
    lab.leave("a", "wifi", 1);
    lab.join("a", "cable", 3);
    std::thread::sleep(IN_FLIGHT);
    println!("another network: picture back after {:?} and {:?}", ann.sees_more(moved), bo.sees_more(moved));
    uses(&ann, "local", "10.99.3.2");
    uses(&bo, "remote", "10.99.3.2");
    lab.leave("a", "cable", 3);
    bo.is("reconnecting");
    lab.up("a", "wifi");
    lab.join("a", "wifi", 1);
    let back = Instant::now();
    println!(
        "no network, then one: picture back after {:?} and {:?}",
        ann.sees_more(back),
        bo.sees_more(back)
    );
    uses(&bo, "remote", "10.99.1.2");
    ann.is("connected");
    bo.is("connected");
}
