//! Calls to and from people in the same network, as a person does them with the window.

use super::flows::asked;
use super::rig::{Rig, Setup};
use crate::engine::{Event, NearbyPerson};
use crate::invite::Kind;
use crate::room::call::{CallState, EndReason};
use crate::settings::Settings;

fn people(names: &[&str]) -> Event {
    let person = |name: &&str| NearbyPerson { id: format!("id of {name}"), name: (*name).into() };
    Event::Nearby(names.iter().map(person).collect())
}

#[test]
fn somebody_nearby_is_called_without_a_code() {
    let mut rig = Rig::new();
    assert!(!rig.shows("Nearby"));
    rig.say(people(&["Ann", "Bo"]));
    assert!(rig.shows("Nearby"));
    rig.clipboard.put("what I had copied");
    rig.click("Call Bo");
    assert_eq!(asked(&mut rig), ["call id of Bo"]);
    rig.say(Event::With(Some("Bo".into())));
    rig.invite_out();
    assert!(rig.shows("Calling Bo") && !rig.shows("Paste their reply"));
    assert_eq!(rig.clipboard.text(), "what I had copied");
    rig.click("Give up");
    assert_eq!(asked(&mut rig), ["hang up"], "no code is out that could be lost");
    rig.say(Event::NoAnswer("Bo does not answer now.".into()));
    rig.enter(CallState::Ended(EndReason::Cancelled));
    rig.say(Event::With(None));
    assert!(rig.shows("Bo does not answer now.") && rig.shows("Nearby"));
}

#[test]
fn a_ring_is_answered_or_declined() {
    let mut rig = Rig::new();
    rig.say(Event::Ring(Some("Ann".into())));
    assert!(rig.shows("Ann is calling"));
    rig.click("Decline");
    assert_eq!(asked(&mut rig), ["answer false"]);
    rig.say(Event::Ring(None));
    assert!(!rig.shows("Ann is calling"));
    rig.say(Event::Ring(Some("Ann".into())));
    rig.click("Answer");
    assert_eq!(asked(&mut rig), ["answer true"]);
    rig.say(Event::Ring(None));
    rig.say(Event::With(Some("Ann".into())));
    rig.enter(CallState::Gathering(Kind::Reply));
    assert!(rig.shows("Answering Ann"));
    rig.say(Event::With(None));
    rig.in_call("Ann", None);
    assert!(rig.shows("Hang up"));
}

#[test]
fn a_crowd_leaves_room_for_the_rest() {
    let mut rig = Rig::new();
    rig.say(people(&["A", "B", "C", "D", "E", "F"]));
    assert!(rig.shows("And 2 more") && rig.shows("Start a call"));
}

#[test]
fn only_an_open_lobby_is_seen_and_only_if_the_settings_say_so() {
    let mut rig = Rig::new();
    assert!(rig.is_seen_nearby());
    rig.enter(CallState::Gathering(Kind::Invite));
    assert!(!rig.is_seen_nearby());
    rig.enter(CallState::Ended(EndReason::Cancelled));
    asked(&mut rig);
    assert!(rig.is_seen_nearby());
    let settings = Settings { nearby: false, ..Settings::default() };
    assert!(!Rig::with(Setup { settings, ..Setup::default() }).is_seen_nearby());
}
