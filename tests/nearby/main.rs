//! Two engines in one network: one is called from the list of people nearby, and both are in a call without a code.
//! The test runs itself again in a network namespace of its own, so that nobody is announced anywhere else. Skipped,
//! loudly, where it cannot be made.

#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::skip;
use twocan::choice::{CameraChoice, MicrophoneChoice, SpeakerChoice};
use twocan::device::PictureRequest;
use twocan::engine::{Command as Ask, Engine, EngineSetup, Event};
use twocan::net::NetConfig;
use twocan::pipeline::MediaSetup;
use twocan::room::call::{CallState, EndReason};
use twocan::settings::Settings;
use twocan::units::Resolution;

const PATIENCE: Duration = Duration::from_secs(40);
const INSIDE: &str = "TWOCAN_TEST_IN_NAMESPACE";
const NETWORK: &str = "
set -e
ip netns add $lab
ip -n $lab link set lo up
ip -n $lab link add eth0 type veth peer name far
ip -n $lab addr add 192.168.77.2/24 dev eth0
ip -n $lab link set eth0 up
ip -n $lab link set far up
ip -n $lab route add default dev eth0
ip -n $lab route add 224.0.0.0/4 dev eth0
";

struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).stderr(Stdio::null()).status();
    }
}

/// Runs this test in a network of its own; `true`: it is running there now.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace = Namespace(format!("twocan-near-{}", std::process::id()));
    let made =
        Command::new("sh").args(["-c", NETWORK]).env("lab", &namespace.0).stderr(Stdio::null()).status();
    if !made.is_ok_and(|made| made.success()) {
        skip("the test of people nearby needs root and `ip`");
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let mut again = Command::new("ip");
    again.args(["netns", "exec", &namespace.0]).arg(own).args(["--exact", test, "--nocapture"]);
    assert!(again.env(INSIDE, "1").status().unwrap().success(), "in the namespace");
    false
}

struct Person(Engine);

impl Person {
    fn new(name: &str) -> Self {
        let media = MediaSetup {
            camera: CameraChoice::None,
            microphone: MicrophoneChoice::None,
            speaker: SpeakerChoice::None,
            picture: PictureRequest { resolution: Resolution::new(320, 180), fps: 30 },
            ..MediaSetup::default()
        };
        let settings = Settings { name: name.into(), ..Settings::default() };
        let engine = Engine::start(EngineSetup { settings, media, net: NetConfig::default(), wake: None });
        engine.send(Ask::Nearby(true));
        Self(engine)
    }

    fn hears<T>(&self, what: &str, wanted: impl Fn(Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let Some(event) = self.0.wait_event(left) else { break };
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        panic!("{what}: not within {PATIENCE:?}");
    }

    fn enters(&self, wanted: fn(CallState) -> bool) {
        self.hears("the state", |event| match event {
            Event::Call(state) if wanted(state) => Some(()),
            _ => None,
        });
    }

    /// The id of somebody who is nearby.
    fn finds(&self, name: &str) -> String {
        self.hears(name, |event| match event {
            Event::Nearby(people) => people.into_iter().find(|person| person.name == name).map(|it| it.id),
            _ => None,
        })
    }

    fn rung_by(&self, name: &str) {
        self.hears("it rings", |event| match event {
            Event::Ring(Some(caller)) => {
                assert_eq!(caller, name);
                Some(())
            }
            _ => None,
        });
    }
}

fn in_call(state: CallState) -> bool {
    matches!(state, CallState::InCall { .. })
}

#[test]
fn a_click_and_an_answer_make_a_call() {
    if !is_inside("a_click_and_an_answer_make_a_call") {
        return;
    }
    let (ann, bo) = (Person::new("Ann"), Person::new("Bo"));
    let id = ann.finds("Bo");
    ann.0.send(Ask::CallNearby(id.clone()));
    bo.rung_by("Ann");
    bo.0.send(Ask::AnswerRing(false));
    let sentence = ann.hears("the refusal", |event| match event {
        Event::NoAnswer(sentence) => Some(sentence),
        _ => None,
    });
    assert_eq!(sentence, "Bo does not answer now.");
    ann.enters(|state| state == CallState::Ended(EndReason::Cancelled));

    ann.0.send(Ask::CallNearby(id));
    bo.rung_by("Ann");
    let started = Instant::now();
    bo.0.send(Ask::AnswerRing(true));
    for person in [&ann, &bo] {
        // The lobby closes with the call.
        person.0.send(Ask::Nearby(false));
        person.enters(in_call);
    }
    eprintln!("from the answer to the call: {:?}", started.elapsed());
    for (person, other) in [(&ann, "Bo"), (&bo, "Ann")] {
        person.hears("their name", |event| match event {
            Event::Remote(_, remote) if remote.name == other => Some(()),
            _ => None,
        });
    }
    ann.0.send(Ask::HangUp);
    bo.enters(|state| state == CallState::Ended(EndReason::TheyHungUp));
}
