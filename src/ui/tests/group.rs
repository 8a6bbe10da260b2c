//! A call of more than two: tiles, list, gestures, and what the engine is told of who is drawn.

use super::flows::asked;
use super::people;
use super::rig::{Rig, Setup, own_code, plain};
use crate::choice::{GuestChoice, TopologyChoice};
use crate::engine::{Command, Event, Hub, Presence, Quality, RoomState};
use crate::invite::Kind;
use crate::ports::PeerId;
use crate::room::message::Reaction;
use crate::units::Resolution;
use eframe::egui::{Key, Role};
use egui_kittest::kittest::Queryable as _;
use std::time::Duration;

const ANN: PeerId = PeerId(1);
const BO: PeerId = PeerId(2);
const CY: PeerId = PeerId(3);

/// Three others, all with pictures.
fn group() -> Rig {
    let mut rig = Rig::new();
    rig.group(&["Ann", "Bo", "Cy"]);
    for id in [ANN, BO, CY] {
        rig.put_of(id, plain(Resolution::new(640, 360), (120, 100, 150)));
    }
    rig.wait(Duration::from_secs(2));
    rig
}

/// Where somebody's tile is.
fn tile(rig: &Rig, name: &str) -> eframe::egui::Rect {
    rig.harness.get_by_role_and_label(Role::Image, &format!("Picture of {name}")).rect()
}

#[test]
fn the_third_person_makes_tiles_of_a_call_and_the_last_but_one_to_leave_ends_them() {
    let mut rig = Rig::new();
    rig.group(&["Ann"]);
    let whole = tile(&rig, "Ann");
    assert_eq!(whole.size(), eframe::egui::vec2(1180.0, 720.0), "a call of two has a picture, not a tile");
    assert!(!rig.shows("List of people") && !rig.shows("Raise your hand"));
    rig.person(BO, "Bo");
    let (ann, bo, me) =
        (tile(&rig, "Ann"), tile(&rig, "Bo"), rig.harness.get_by_label("Your picture").rect());
    assert!(ann.size() == bo.size() && ann.size() == me.size() && ann.width() < 600.0);
    assert!(rig.shows("3 people") && rig.shows("Bo has joined.") && rig.shows("List of people"));
    rig.leave(ANN);
    assert!(rig.shows("Ann has left.") && !rig.shows("List of people"));
    assert_eq!(tile(&rig, "Bo"), whole);
}

#[test]
fn two_of_a_name_are_told_apart() {
    let mut rig = Rig::new();
    rig.group(&["Ann", "Ann"]);
    assert!(rig.shows("Picture of Ann (2)"));
    rig.leave(PeerId(1));
    rig.person(CY, "Bo");
    assert!(!rig.shows("Picture of Ann (2)") && rig.shows("Picture of Ann"));
}

#[test]
fn who_speaks_has_a_frame_and_is_large() {
    let mut rig = group();
    rig.levels(0.0, &[(BO, 0.6)]);
    assert!(!rig.shows("Bo, speaking"), "it may be a cough");
    rig.wait(Duration::from_millis(300));
    assert!(rig.shows("Bo, speaking"));
    rig.key(Key::G);
    assert!(tile(&rig, "Bo").width() > 2.0 * tile(&rig, "Ann").width());
    rig.levels(0.0, &[(BO, 0.0)]);
    rig.wait(Duration::from_secs(2));
    assert!(!rig.shows("Bo, speaking"));
    assert!(tile(&rig, "Bo").width() > 2.0 * tile(&rig, "Ann").width(), "large until another speaks");
    rig.levels(0.0, &[(CY, 0.6)]);
    rig.wait(Duration::from_millis(300));
    assert!(tile(&rig, "Cy").width() > 2.0 * tile(&rig, "Bo").width());
    rig.key(Key::G);
    assert_eq!(tile(&rig, "Cy").size(), tile(&rig, "Bo").size());
}

#[test]
fn somebody_is_pinned_and_unpinned() {
    let mut rig = group();
    rig.key(Key::L);
    rig.click("Ann");
    rig.click("Pin");
    assert!(tile(&rig, "Ann").width() > 2.0 * tile(&rig, "Bo").width() && rig.shows("Ann, pinned"));
    // Whoever speaks does not take the place.
    rig.levels(0.0, &[(BO, 0.7)]);
    rig.wait(Duration::from_millis(300));
    assert!(tile(&rig, "Ann").width() > 2.0 * tile(&rig, "Bo").width());
    rig.click("Unpin");
    assert_eq!(tile(&rig, "Ann").size(), tile(&rig, "Bo").size());
    rig.click("Pin");
    rig.leave(ANN);
    assert_eq!(tile(&rig, "Cy").size(), tile(&rig, "Bo").size(), "who has left is not pinned");
}

#[test]
fn our_own_tile_is_hidden_and_comes_back() {
    let mut rig = group();
    let before = tile(&rig, "Cy");
    rig.key(Key::P);
    assert!(rig.harness.query_by_label("Your picture").is_none());
    assert!(tile(&rig, "Cy") != before, "the last row is centred anew");
    rig.click("Show your picture");
    assert_eq!(tile(&rig, "Cy"), before);
}

#[test]
fn the_engine_is_told_at_which_size_each_is_drawn_and_who_is_not() {
    let mut rig = Rig::with(Setup { size: (640.0, 480.0), ..Setup::default() });
    let names: Vec<String> = (1..=12).map(|n| format!("P{n}")).collect();
    rig.group(&names.iter().map(String::as_str).collect::<Vec<_>>());
    rig.key(Key::G);
    for _ in 0..4 {
        rig.wait(Duration::from_secs(1));
    }
    let views = rig.views();
    let drawn: Vec<_> = views.iter().filter(|(_, size)| size.is_some()).collect();
    assert_eq!(views.len(), 12, "all were told something: {views:?}");
    assert!(!drawn.is_empty() && drawn.len() < 6, "{views:?}");
    let widths: Vec<u32> = views.values().flatten().map(|size| size.width).collect();
    assert!(widths.iter().max() > widths.iter().min(), "the large one is larger");
    // Whoever speaks while there is no place is given one.
    let hidden = *views.iter().find(|(_, size)| size.is_none()).unwrap().0;
    rig.levels(0.0, &[(hidden, 0.7)]);
    for _ in 0..4 {
        rig.wait(Duration::from_secs(1));
    }
    assert!(rig.views()[&hidden].is_some());
}

#[test]
fn hands_and_reactions_go_out_and_come_in() {
    let mut rig = group();
    rig.commands();
    rig.click("Raise your hand");
    assert_eq!(asked(&mut rig), ["hand true"]);
    assert!(rig.shows("You, hand raised"));
    rig.key(Key::H);
    assert_eq!(asked(&mut rig), ["hand false"]);
    rig.change(BO, |bo| bo.hand_raised = true);
    assert!(rig.shows("Bo, hand raised"));
    rig.click("React");
    rig.click("Heart");
    assert_eq!(asked(&mut rig), ["react Heart"]);
    rig.key(Key::R);
    rig.key(Key::Num1);
    assert_eq!(asked(&mut rig), ["react ThumbsUp"]);
    assert!(!rig.shows("Thumbs up"), "the choice is put away");
    rig.say(Event::Reaction(CY, Reaction::Laugh));
    rig.wait(Duration::from_secs(5));
}

#[test]
fn the_list_of_people_tells_and_turns_down() {
    let mut rig = group();
    rig.commands();
    rig.say(Event::Stats(Box::default(), vec![(BO, Quality::Poor)]));
    rig.click("List of people");
    assert!(rig.shows("4 people") && rig.shows("Tomás (you)") && rig.shows("Connection: poor"));
    rig.click("Bo");
    rig.click("Turn down to nothing");
    assert_eq!(asked(&mut rig), ["volume 2 0.00"]);
    assert!(rig.shows("Bo, turned down"));
    rig.click("Turn up again");
    assert_eq!(asked(&mut rig), ["volume 2 1.00"]);
    rig.key(Key::Escape);
    assert!(!rig.shows("Tomás (you)"));
    assert!(rig.commands().iter().all(|command| !matches!(command, Command::HangUp)));
}

#[test]
fn whoever_asks_is_let_in_from_within_the_call() {
    let mut rig = group();
    rig.commands();
    rig.change(PeerId(9), |one| (one.name, one.presence) = ("Di".into(), Presence::Asking));
    assert!(rig.shows("Di wants to join") && rig.shows("4 people"));
    assert!(rig.harness.query_by_label("Picture of Di").is_none(), "no tile before");
    rig.click("Let in");
    assert_eq!(asked(&mut rig), ["admit 9 true"]);
    rig.change(PeerId(9), |one| one.presence = Presence::Here);
    assert!(!rig.shows("wants to join") && rig.shows("5 people") && rig.shows("Di has joined."));
    rig.change(PeerId(9), |one| one.presence = Presence::Away);
    assert!(rig.shows("Di, reconnecting"));
}

#[test]
fn an_invite_is_shown_in_the_call_at_any_time() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.commands();
    rig.click("Add someone");
    assert_eq!(asked(&mut rig), ["invite true"]);
    let code = own_code(Kind::Invite, 4);
    rig.say(Event::Invite(Some(Box::new(code.clone()))));
    rig.click("Copy");
    assert_eq!(rig.clipboard.text(), code.text.0);
    rig.paste("their reply");
    assert_eq!(asked(&mut rig), ["paste their reply"]);
    rig.key(Key::Escape);
    assert!(!rig.shows("Copy"));
    rig.key(Key::A);
    assert!(rig.shows("Copy") && asked(&mut rig).is_empty(), "the same invite is still good");
    rig.click("Take the invite back");
    assert_eq!(asked(&mut rig), ["invite false"]);
    rig.say(Event::Invite(None));
    assert!(!rig.shows("Copy"));
}

#[test]
fn only_the_host_mutes_removes_and_locks() {
    let mut rig = group();
    rig.commands();
    rig.key(Key::L);
    rig.click("Bo");
    assert!(!rig.shows("Remove") && !rig.shows("Lock"));
    rig.say(Event::Room(RoomState { people: 4, we_are_host: true, ..RoomState::default() }));
    rig.click("Mute");
    rig.click("Remove");
    rig.click("Lock: nobody more comes in");
    assert_eq!(asked(&mut rig), ["mute guest", "remove", "lock true"]);
}

#[test]
fn the_list_says_in_what_way_the_call_is_connected_and_the_host_chooses() {
    let mut rig = group();
    rig.commands();
    let room = RoomState { people: 4, ..RoomState::default() };
    rig.say(Event::Room(room));
    rig.key(Key::L);
    let picker = "How this call is connected";
    assert!(rig.shows("Everybody sends to everybody.") && !rig.shows(picker));
    rig.say(Event::Room(RoomState { hub: Some(Hub::Person(BO)), ..room }));
    assert!(rig.shows("Bo passes everything on.") && !rig.shows("from now on"));
    rig.say(Event::Room(RoomState { hub: Some(Hub::We), we_are_host: true, ..room }));
    assert!(rig.shows("You pass everything on from now on."), "it costs this computer");
    rig.choose(picker, "Through one");
    assert_eq!(asked(&mut rig), ["topology Forward"]);
    rig.click("Cy");
    rig.choose("What Cy gets", "One picture");
    assert_eq!(asked(&mut rig), ["way 3 Mix"]);
    rig.change(CY, |cy| (cy.one_picture, cy.way) = (true, GuestChoice::Mix));
    assert!(rig.shows("gets one picture of everybody"));
    let direct = RoomState { we_are_host: true, topology: TopologyChoice::Mesh, ..room };
    rig.say(Event::Room(direct));
    assert!(!rig.shows("What Cy gets"), "there is nobody who could make one");
}

#[test]
fn a_picture_of_everybody_is_large_and_who_is_in_it_has_no_tile() {
    let mut rig = group();
    for id in [ANN, CY] {
        rig.change(id, |person| person.seen_in = Some(BO));
    }
    let room = RoomState { people: 4, hub: Some(Hub::Person(BO)), one_picture: true, ..RoomState::default() };
    rig.say(Event::Room(room));
    assert!(rig.shows("Bo sends you one picture of everybody from now on."));
    let me = rig.harness.get_by_label("Your picture").rect();
    assert!(tile(&rig, "Everybody, from Bo").width() > 2.0 * me.width());
    for name in ["Ann", "Bo", "Cy"] {
        let label = format!("Picture of {name}");
        assert!(rig.harness.query_by_role_and_label(Role::Image, &label).is_none(), "{name}");
    }
    assert!(rig.shows("4 people"));
    for _ in 0..3 {
        rig.wait(Duration::from_secs(1));
    }
    let views = rig.views();
    assert!(views[&BO].is_some() && views[&ANN].is_none() && views[&CY].is_none(), "{views:?}");
    rig.key(Key::L);
    assert!(rig.shows("seen in the one picture"));
    rig.click("Ann");
    assert!(rig.shows("Bo sends you one picture and one sound of everybody."));
    assert!(rig.harness.query_by_role_and_label(Role::Button, "Pin").is_none());
    rig.change(ANN, |ann| ann.seen_in = None);
    assert!(rig.shows("Picture of Ann"), "their own picture has come");
}

#[test]
fn a_call_of_two_has_no_keys_of_a_group() {
    let mut rig = Rig::new();
    rig.in_call("Ann", Some(people::astronaut()));
    rig.commands();
    for key in [Key::H, Key::R, Key::L, Key::G, Key::Num1] {
        rig.key(key);
    }
    assert!(rig.commands().is_empty());
    assert_eq!(tile(&rig, "Ann").size(), eframe::egui::vec2(1180.0, 720.0));
}
