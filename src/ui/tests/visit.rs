//! *Join a server room*, from the form to the end.

use super::rig::{PERSON, Rig};
use crate::engine::server::{Goal, Place, PlaceKind};
use crate::engine::{Command, Event, Refusal};
use crate::invite::Kind;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::server::{Refused, Remedy};
use eframe::egui::Key;
use egui_kittest::kittest::Queryable as _;
use std::time::Duration;

const ADDRESS: &str = "janus:wss://rooms.example.org:8989/1234";

pub fn place(kind: PlaceKind) -> Place {
    let host = "rooms.example.org".to_owned();
    let (name, address) = match kind {
        PlaceKind::Room => ("1234".to_owned(), ADDRESS.to_owned()),
        PlaceKind::Publish | PlaceKind::Play => (host.clone(), format!("https://{host}")),
    };
    Place { kind, name, host, address }
}

fn fill(rig: &mut Rig, field: &str, text: &str) {
    rig.harness.get_by_label(field).focus();
    rig.settle();
    rig.harness.get_by_label(field).type_text(text);
    rig.settle();
}

/// The form with an address in it.
pub fn form(rig: &mut Rig, address: &str) {
    rig.key(Key::R);
    fill(rig, "Address", address);
}

pub fn connecting(rig: &mut Rig, kind: PlaceKind) {
    rig.say(Event::Server(Box::new(place(kind))));
    rig.enter(CallState::Connecting { own: Kind::Reply, since: rig.now() });
}

pub fn refused(rig: &mut Rig, sentence: &str, remedy: Option<Remedy>) {
    let sentence = sentence.to_owned();
    rig.say(Event::Refused(Refusal::Server(Refused { sentence, remedy })));
}

/// In, and nobody else yet.
pub fn inside(rig: &mut Rig, kind: PlaceKind) {
    connecting(rig, kind);
    rig.enter(CallState::InCall { since: rig.now() });
}

pub fn lost(rig: &mut Rig) {
    inside(rig, PlaceKind::Room);
    rig.wait(Duration::from_secs(754));
    rig.enter(CallState::Ended(EndReason::Server));
    refused(rig, "The room has ended on the server.", None);
}

#[test]
fn a_room_is_joined_and_joined_again() {
    let mut rig = Rig::new();
    form(&mut rig, ADDRESS);
    fill(&mut rig, "PIN", "4321");
    rig.click("Join the room");
    let asked = rig.commands();
    let goal = asked.iter().find_map(|command| match command {
        Command::Visit(goal) => Some(goal.as_ref()),
        _ => None,
    });
    let Some(Goal::Room { address, pin, token, create }) = goal else { panic!("{asked:?}") };
    assert_eq!(address.to_string(), ADDRESS);
    assert_eq!(
        (pin.as_ref().map(|pin| pin.0.as_str()), token.is_none(), *create),
        (Some("4321"), true, false)
    );

    connecting(&mut rig, PlaceKind::Room);
    assert!(rig.shows("Joining the room") && rig.shows(ADDRESS));
    rig.enter(CallState::Idle);
    refused(&mut rig, "The room's PIN is missing or wrong.", Some(Remedy::Pin));
    assert!(rig.shows("PIN is missing or wrong") && rig.harness.get_by_label("PIN").is_focused());

    inside(&mut rig, PlaceKind::Room);
    assert!(rig.shows("Room 1234") && rig.shows("Nobody else is here yet"));
    assert!(rig.shows("Encrypted up to the server") && !rig.shows("Compare words"));
    rig.wait(Duration::from_secs(5));
    rig.change(PERSON, |person| {
        (person.name, person.presence) = ("Eileen".into(), crate::engine::Presence::Here)
    });
    assert!(rig.shows("Eileen has joined.") && !rig.shows("Nobody else"));
    rig.key(Key::A);
    assert!(rig.shows("Whoever has this address") && rig.shows(ADDRESS));
    assert!(rig.commands().is_empty(), "no invite is made for a room of a server");
    rig.key(Key::Escape);
    let now = rig.now();
    let rescue = Rescue::Waiting { until: now + Duration::from_secs(60) };
    rig.enter(CallState::Reconnecting { since: now, started: now, rescue });
    assert!(rig.shows("The server is gone. Twocan tries to come back"));
    rig.enter(CallState::InCall { since: now });
    rig.click("Hang up");
    assert!(matches!(rig.commands()[..], [Command::HangUp]));
    rig.enter(CallState::Ended(EndReason::HungUp));
    assert!(rig.shows("You left the room"));
    rig.click("Join again");
    assert!(matches!(rig.commands()[..], [Command::Visit(_)]));
}

#[test]
fn what_is_no_address_is_said_and_nothing_asked() {
    let mut rig = Rig::new();
    form(&mut rig, "example.org");
    rig.click("Join the room");
    assert!(rig.shows("A room's address is written like janus:wss://host:8989/ROOM"));
    assert!(rig.commands().is_empty());
    rig.click("Cancel");
    assert!(rig.shows("Start a call"));
}

#[test]
fn a_page_of_the_web_is_sent_to_or_watched() {
    let mut rig = Rig::new();
    form(&mut rig, "https://rooms.example.org/live");
    rig.harness.get_by_label("Only watch and listen").click();
    rig.settle();
    rig.click("Watch");
    let asked = rig.commands();
    assert!(matches!(&asked[..], [Command::Visit(goal)] if matches!(**goal, Goal::Play { .. })), "{asked:?}");
    inside(&mut rig, PlaceKind::Play);
    assert!(rig.shows("Waiting for rooms.example.org") && !rig.shows("Mute microphone"));
    inside(&mut rig, PlaceKind::Publish);
    assert!(rig.shows("You are on the air at rooms.example.org") && rig.shows("Mute microphone"));
    assert!(!rig.shows("Add someone"));
    rig.enter(CallState::Ended(EndReason::HungUp));
    assert!(rig.shows("You are off the air"));
}

#[test]
fn who_loses_the_server_reads_why() {
    let mut rig = Rig::new();
    lost(&mut rig);
    assert!(
        rig.shows("The server is gone") && rig.shows("The room has ended on the server. It lasted 12:34.")
    );
    rig.click("Back");
    assert!(matches!(rig.commands()[..], [Command::Dismiss]));
}
