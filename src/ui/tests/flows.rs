//! What a person does with the window, by the names a screen reader gives, and what the engine is then asked.

use super::people;
use super::rig::{PERSON, Rig, Setup, compact_code, four_words, own_code, page, plain, sealed_code};
use crate::device::{DeviceError, DeviceKind};
use crate::engine::{Command, Event, PageGuest, Refusal, Trouble};
use crate::invite::{InviteError, Kind};
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::diagnosis::{Diagnosis, Relay, Step};
use crate::room::nat::{Nat, Outlook};
use crate::room::trust::Comparison;
use crate::settings::{Guests, NoiseSuppression, Settings, Theme};
use crate::ui::clipboard::Purpose;
use crate::ui::icons;
use crate::ui::window::{Courier, StartAction, WindowOptions};
use crate::units::Resolution;
use eframe::egui::{self, Key, Modifiers, Role};
use egui_kittest::kittest::Queryable as _;
use std::time::Duration;

/// What the engine was asked, in short.
pub fn asked(rig: &mut Rig) -> Vec<String> {
    let word = |command: Command| match command {
        Command::Admit(id, admit) => format!("admit {} {admit}", id.0),
        Command::StartCall => "start".into(),
        Command::Visit(goal) => format!("visit {}", goal.place().address),
        Command::ServePage(_) => "page".into(),
        Command::JoinCall(text) => format!("join {}", text.0),
        Command::Paste(text) => format!("paste {}", text.0),
        Command::Passphrase(passphrase) => format!("passphrase {:?}", passphrase.map(|text| text.0)),
        Command::MuteMicrophone(on) => format!("mute {on}"),
        Command::StopCamera(on) => format!("stop camera {on}"),
        Command::Invite(on) => format!("invite {on}"),
        Command::Lock(on) => format!("lock {on}"),
        Command::MuteGuest(_) => "mute guest".into(),
        Command::Remove(_) => "remove".into(),
        Command::Topology(choice) => format!("topology {choice:?}"),
        Command::GuestWay(id, choice) => format!("way {} {choice:?}", id.0),
        Command::HangUp => "hang up".into(),
        Command::Dismiss => "dismiss".into(),
        Command::Apply(_) => "apply".into(),
        Command::ListDevices => "list".into(),
        Command::View(..) => "view".into(),
        Command::Nearby(on) => format!("nearby {on}"),
        Command::CallNearby(id) => format!("call {id}"),
        Command::AnswerRing(accept) => format!("answer {accept}"),
        Command::Hand(raised) => format!("hand {raised}"),
        Command::React(reaction) => format!("react {reaction:?}"),
        Command::Volume(id, volume) => format!("volume {} {volume:.2}", id.0),
        Command::Quit => "quit".into(),
    };
    rig.commands().into_iter().map(word).collect()
}

#[test]
fn start_a_call_and_paste_the_reply() {
    let mut rig = Rig::new();
    rig.click("Start a call");
    assert_eq!(asked(&mut rig), ["start"]);
    let code = rig.invite_out();
    assert_eq!(rig.clipboard.text(), code.text.0, "the invite is copied at once");
    assert!(rig.shows("It is in your clipboard.") && rig.shows("Send the invite in any chat"));
    rig.wait(Duration::from_secs(5));
    rig.clipboard.put("something else");
    rig.click("Copy");
    assert_eq!(rig.clipboard.text(), code.text.0);
    rig.clipboard.put("the reply");
    rig.click("Paste");
    assert_eq!(asked(&mut rig), ["paste the reply"]);
    let since = rig.now();
    rig.enter(CallState::Connecting { own: Kind::Invite, since });
    assert!(rig.shows("They are here"));
    rig.in_call("Ann", None);
    assert!(rig.shows("Hang up") && rig.shows("Picture of Ann"));
}

#[test]
fn a_passphrase_is_added_and_removed() {
    let mut rig = Rig::new();
    rig.enter(CallState::Gathering(Kind::Invite));
    rig.say(Event::Code(Box::new(compact_code(Kind::Invite))));
    rig.enter(CallState::WaitingForReply);
    asked(&mut rig);
    rig.click("Add a passphrase");
    rig.harness.get_by_label("A passphrase you both know").focus();
    rig.settle();
    rig.harness.get_by_label("A passphrase you both know").type_text("rosebud ");
    rig.settle();
    rig.click("Set");
    assert_eq!(asked(&mut rig), ["passphrase Some(\"rosebud\")"]);
    rig.say(Event::Code(Box::new(sealed_code(Kind::Invite))));
    assert!(rig.shows("Protected with a passphrase") && !rig.shows("Details"));
    assert_eq!(
        rig.clipboard.text(),
        sealed_code(Kind::Invite).text.0,
        "the plain one is out of the clipboard"
    );
    rig.click("Remove the passphrase");
    assert_eq!(asked(&mut rig), ["passphrase None"]);
    rig.say(Event::Code(Box::new(compact_code(Kind::Invite))));
    assert!(rig.shows("Add a passphrase") && rig.shows("Details"));
}

#[test]
fn a_code_with_a_passphrase_is_opened_with_it() {
    let mut rig = Rig::new();
    let code = sealed_code(Kind::Invite).text.0;
    rig.paste(&code);
    assert_eq!(asked(&mut rig), [format!("paste {code}")]);
    let Err(error) = crate::invite::read(&code) else { panic!() };
    rig.say(Event::Refused(Refusal::Invite(error)));
    assert!(rig.shows("This code needs a passphrase") && rig.shows("Join a call"));
    let hint = "The passphrase you were told";
    for (passphrase, other) in [("wrong", InviteError::WrongPassphrase), ("rosebud", InviteError::Empty)] {
        rig.harness.get_by_label(hint).focus();
        rig.settle();
        rig.harness.get_by_label(hint).type_text(passphrase);
        rig.settle();
        rig.click("Open");
        let expected = [format!("passphrase Some(\"{passphrase}\")"), format!("join {code}")];
        assert_eq!(asked(&mut rig), expected);
        rig.say(Event::Refused(Refusal::Invite(other)));
        assert_eq!(rig.shows("is not the one this code was made with"), passphrase == "wrong");
        if let Some(field) = rig.harness.query_by_label(hint) {
            field.focus();
            rig.settle();
            passphrase.chars().for_each(|_| rig.key(Key::Backspace));
        }
    }
    // It is of no use to the next code.
    assert!(rig.harness.query_by_label(hint).is_none());
}

#[test]
fn a_code_is_shown_as_qr_and_one_is_read_from_the_camera() {
    let mut rig = Rig::new();
    rig.click("Join a call");
    rig.click("Scan a code with the camera");
    assert!(rig.shows("Hold the QR code up to the camera"));
    let invite = compact_code(Kind::Invite).text.0;
    let preview = std::sync::Arc::clone(&rig.preview);
    rig.put(&preview, plain(Resolution::new(640, 480), (120, 128, 128)));
    rig.put(&preview, crate::ui::qr::picture(&invite, Resolution::new(640, 480)));
    // The search has a thread of its own.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let mut heard = Vec::new();
    while heard.is_empty() && std::time::Instant::now() < deadline {
        rig.settle();
        heard = asked(&mut rig);
    }
    assert_eq!(heard, [format!("join {invite}")]);
    assert!(!rig.shows("Stop scanning"), "it ends with what it found");

    rig.enter(CallState::Gathering(Kind::Invite));
    rig.say(Event::Code(Box::new(compact_code(Kind::Invite))));
    rig.enter(CallState::WaitingForReply);
    rig.click("Show as QR");
    assert!(rig.shows("Your code as a QR code"));
    // What the window shows is what a camera reads.
    let shown = rig.harness.render().unwrap();
    let mut seen = crate::frame::I420::black(Resolution::new(shown.width() & !1, shown.height() & !1));
    let width = seen.resolution().width;
    for (at, luma) in (0_u32..).zip(seen.planes_mut().0) {
        *luma = shown.get_pixel(at % width, at / width).0[1];
    }
    assert_eq!(crate::ui::qr::read(&seen), Some(invite));
    rig.key(Key::Escape);
    assert!(!rig.shows("Your code as a QR code") && rig.shows("Show as QR"));
}

#[test]
fn words_are_compared_and_remembered_for_the_call() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.click("Compare words");
    assert!(rig.shows("being worked out") && !rig.shows("They match"));
    let ready = four_words();
    let Event::Trust(_, Comparison::Ready { words, .. }) = ready else { panic!("{ready:?}") };
    rig.say(ready.clone());
    assert!(rig.shows(&format!("Words: {}", words.line())));
    rig.click("They match");
    assert!(rig.shows("Verified"));
    // A path that was away for a moment changes nothing.
    let (since, started) = (rig.now(), rig.now());
    let rescue = Rescue::Waiting { until: since };
    rig.enter(CallState::Reconnecting { since, started, rescue });
    rig.enter(CallState::InCall { since });
    assert!(rig.shows("Verified"));
    // A fresh connection: to the same person, it says.
    rig.say(Event::Trust(PERSON, Comparison::Waiting));
    assert!(!rig.shows("Verified"));
    rig.say(Event::Trust(PERSON, Comparison::Ready { words, continued: true }));
    assert!(rig.shows("Verified"));
    // And to one that cannot say so.
    rig.say(Event::Trust(PERSON, Comparison::Ready { words, continued: false }));
    assert!(!rig.shows("Verified") && rig.shows("Compare words"));
    asked(&mut rig);
    rig.click("They differ");
    assert!(rig.shows("Words differ") && rig.shows("Somebody may be between you"));
    rig.click("Hang up now");
    assert_eq!(asked(&mut rig), ["hang up"]);
}

#[test]
fn a_phone_is_invited_by_an_address_and_nothing_is_copied() {
    let mut rig = Rig::new();
    rig.clipboard.put("mine");
    rig.click("Invite a phone or browser nearby");
    assert_eq!(asked(&mut rig), ["page"]);
    rig.enter(CallState::Gathering(Kind::Invite));
    rig.say(Event::Page(Some(page(PageGuest::Awaited))));
    rig.invite_out();
    assert!(rig.shows("QR code of the page’s address") && rig.shows("https://192.168.1.7:8443"));
    assert_eq!(rig.clipboard.text(), "mine");
    assert!(rig.shows("Waiting for somebody to open the page."));
    rig.say(Event::Page(Some(page(PageGuest::Looking))));
    assert!(rig.shows("The page is open on another device."));
    rig.click("Cancel");
    assert_eq!(asked(&mut rig), ["hang up"]);
}

#[test]
fn the_next_call_has_words_of_its_own() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.say(four_words());
    rig.key(Key::W);
    rig.click("They match");
    rig.enter(CallState::Ended(EndReason::HungUp));
    rig.enter(CallState::Gathering(Kind::Invite));
    rig.in_call("Bo", None);
    assert!(!rig.shows("Verified") && !rig.shows("They match") && rig.shows("Compare words"));
    rig.say(Event::Trust(PERSON, Comparison::Refused));
    assert!(rig.shows("Not verified"));
}

#[test]
fn join_a_call_and_send_the_reply() {
    let mut rig = Rig::new();
    rig.click("Join a call");
    assert!(rig.shows("Copy the invite you were sent"));
    rig.clipboard.put("an invite");
    rig.click("Paste");
    assert_eq!(asked(&mut rig), ["join an invite"]);
    rig.enter(CallState::Gathering(Kind::Reply));
    let reply = own_code(Kind::Reply, 2);
    rig.say(Event::Code(Box::new(reply.clone())));
    let since = rig.now();
    rig.enter(CallState::Connecting { own: Kind::Reply, since });
    // Most often nobody needs the reply.
    assert!(rig.shows("Trying to reach them…") && !rig.shows("Send your reply back"));
    assert_ne!(rig.clipboard.text(), reply.text.0);
    rig.wait(crate::ui::screens::exchange::REPLY_AFTER);
    assert_eq!(rig.clipboard.text(), reply.text.0);
    assert!(rig.shows("Send your reply back and keep this window open"));
}

#[test]
fn a_wrong_paste_says_why_and_changes_nothing() {
    let mut rig = Rig::new();
    rig.invite_out();
    asked(&mut rig);
    rig.clipboard.put("no code");
    rig.click("Paste");
    let sentence = InviteError::InviteNotReply.to_string();
    rig.say(Event::Refused(Refusal::Invite(InviteError::InviteNotReply)));
    assert!(rig.shows(&sentence));
    assert!(rig.shows("Paste their reply") && rig.shows("Send this invite"));
    // The next try makes the sentence go.
    rig.click("Paste");
    assert!(!rig.shows(&sentence));
    assert_eq!(asked(&mut rig), ["paste no code", "paste no code"]);
}

#[test]
fn a_code_can_be_typed_and_pasted_by_key() {
    let mut rig = Rig::new();
    rig.click("Join a call");
    rig.paste("pasted anywhere");
    assert_eq!(asked(&mut rig), ["join pasted anywhere"]);
    let field = "Code of the other side";
    rig.harness.get_by_label(field).focus();
    rig.settle();
    rig.harness.get_by_label(field).type_text("typed");
    rig.settle();
    rig.click("Use");
    assert_eq!(asked(&mut rig), ["join typed"]);
    rig.harness.get_by_label(field).focus();
    rig.settle();
    rig.paste("into the field");
    assert_eq!(asked(&mut rig), ["join into the field"], "a pasted code needs no second press");
    rig.harness.get_by_label(field).focus();
    rig.settle();
    rig.harness.get_by_label(field).type_text("with enter");
    rig.settle();
    rig.key(Key::Enter);
    assert_eq!(asked(&mut rig).last().map(|text| text.contains("with enter")), Some(true));
}

#[test]
fn an_invite_in_the_clipboard_is_offered_when_the_window_comes_to_the_front() {
    let mut rig = Rig::new();
    rig.clipboard.take_reads();
    let invite = own_code(Kind::Invite, 9).text.0;
    rig.clipboard.put(&invite);
    rig.settle();
    assert!(rig.clipboard.take_reads().is_empty(), "nobody looks without a reason");
    rig.focus();
    assert_eq!(rig.clipboard.take_reads(), [Purpose::Look]);
    assert!(rig.shows("An invite is in your clipboard."));
    rig.click("Join this call");
    assert_eq!(asked(&mut rig), [format!("paste {invite}")]);
}

#[test]
fn what_is_of_no_use_is_not_offered() {
    let mut rig = Rig::new();
    for text in [own_code(Kind::Reply, 9).text.0.as_str(), "hello", "", &"x".repeat(100_000)] {
        rig.clipboard.put(text);
        rig.focus();
        assert!(!rig.shows("in your clipboard"), "{}", text.len());
    }
    let invite = own_code(Kind::Invite, 9).text.0;
    rig.clipboard.put(&invite);
    rig.focus();
    rig.click("Not this one");
    rig.focus();
    assert!(!rig.shows("in your clipboard"), "turned down once is turned down");
    // Our own invite is never offered, not even after it was given up.
    let own = rig.invite_out();
    rig.enter(CallState::Ended(EndReason::Cancelled));
    rig.enter(CallState::Idle);
    rig.clipboard.put(&own.text.0);
    rig.focus();
    assert!(!rig.shows("in your clipboard"));
}

#[test]
fn a_reply_in_the_clipboard_is_offered_to_whoever_waits_for_one() {
    let mut rig = Rig::new();
    rig.invite_out();
    asked(&mut rig);
    let reply = own_code(Kind::Reply, 7).text.0;
    rig.clipboard.put(&reply);
    rig.focus();
    assert!(rig.shows("A reply is in your clipboard."));
    rig.click("Connect");
    assert_eq!(asked(&mut rig), [format!("paste {reply}")]);
}

#[test]
fn mute_and_camera_by_button_and_key() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.click("Mute microphone");
    rig.key(Key::M);
    assert_eq!(asked(&mut rig), ["mute true", "mute true"], "the engine says what is so");
    rig.say(Event::Muted { microphone: true, camera: true });
    rig.click("Unmute microphone");
    rig.click("Turn camera on");
    rig.key(Key::V);
    assert_eq!(asked(&mut rig), ["mute false", "stop camera false", "stop camera false"]);
}

#[test]
fn who_talks_while_muted_is_told_and_can_unmute_there() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.say(Event::SpeaksWhileMuted);
    assert!(!rig.shows("You are muted."), "the microphone was open by then");
    rig.say(Event::Muted { microphone: true, camera: false });
    assert!(!rig.shows("You are muted."), "nobody has spoken");
    rig.say(Event::SpeaksWhileMuted);
    assert!(rig.shows("You are muted. Nobody hears you."));
    rig.click("Unmute");
    assert_eq!(asked(&mut rig), ["mute false"]);
    rig.say(Event::Muted { microphone: false, camera: false });
    assert!(!rig.shows("You are muted."), "it goes with its reason");
    rig.say(Event::Muted { microphone: true, camera: false });
    rig.say(Event::SpeaksWhileMuted);
    rig.key(Key::M);
    assert_eq!(asked(&mut rig), ["mute false"]);
    rig.wait(Duration::from_secs(9));
    assert!(!rig.shows("You are muted."), "it does not stay for ever");
}

#[test]
fn a_chosen_device_that_is_missing_is_named() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.say(Event::Missing { kind: DeviceKind::Speaker, name: "Headset".into() });
    rig.say(Event::Opened { kind: DeviceKind::Speaker, name: "Built-in".into(), picture: None });
    assert!(rig.shows("“Headset” is not connected. Another speaker is used until it is."));
}

#[test]
fn letters_are_letters_while_one_types() {
    let mut rig = Rig::new();
    rig.harness.get_by_label("Your name").focus();
    rig.settle();
    for key in [Key::S, Key::J, Key::M, Key::V] {
        rig.key(key);
    }
    assert!(asked(&mut rig).is_empty());
    rig.harness.get_by_label("Your name").type_text("x");
    rig.settle();
    assert_eq!(asked(&mut rig), ["apply"]);
    rig.key(Key::Escape);
    rig.key(Key::S);
    assert_eq!(asked(&mut rig), ["start"]);
}

#[test]
fn escape_leaves_a_field_before_it_leaves_the_screen() {
    let mut rig = Rig::new();
    rig.click("Join a call");
    rig.harness.get_by_label("Code of the other side").focus();
    rig.settle();
    rig.key(Key::Escape);
    assert!(rig.shows("Paste the invite you were sent"));
    rig.key(Key::Escape);
    assert!(rig.shows("Start a call"));
}

#[test]
fn escape_never_hangs_up() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.key(Key::D);
    assert!(rig.shows("Measuring"));
    for _ in 0..4 {
        rig.key(Key::Escape);
    }
    assert!(asked(&mut rig).is_empty());
    assert!(rig.shows("Hang up"));
    rig.click("Hang up");
    assert_eq!(asked(&mut rig), ["hang up"]);
}

#[test]
fn a_code_that_is_out_is_not_given_up_by_accident() {
    let mut rig = Rig::new();
    rig.key(Key::J);
    rig.key(Key::Escape);
    assert!(rig.shows("Start a call") && asked(&mut rig).is_empty(), "nothing was begun");
    rig.invite_out();
    rig.key(Key::Escape);
    assert!(rig.shows("Give up this call?"));
    rig.key(Key::Escape);
    assert!(!rig.shows("Give up this call?") && asked(&mut rig).is_empty());
    rig.click("Cancel");
    rig.click("Keep waiting");
    assert!(asked(&mut rig).is_empty());
    rig.click("Cancel");
    rig.click("Give up");
    assert_eq!(asked(&mut rig), ["hang up"]);
    rig.enter(CallState::Ended(EndReason::Cancelled));
    assert_eq!(asked(&mut rig), ["dismiss"]);
    assert!(rig.shows("Start a call"));
}

#[test]
fn the_end_says_why_and_leads_on() {
    for (reason, sentence) in [
        (EndReason::TheyHungUp, "They hung up"),
        (EndReason::HungUp, "You hung up"),
        (EndReason::Lost, "Connection lost"),
        (EndReason::NotConnected, "No connection"),
        (EndReason::NoCode, "No code could be made"),
    ] {
        let mut rig = Rig::new();
        rig.in_call("Ann", None);
        rig.wait(Duration::from_secs(61));
        rig.enter(CallState::Ended(reason));
        assert!(rig.shows(sentence) && rig.shows("You talked for 1:01."), "{sentence}");
        rig.click("Call again");
        rig.click("Back");
        assert_eq!(asked(&mut rig), ["start", "dismiss"]);
    }
}

#[test]
fn a_call_that_does_not_come_up_says_which_step_failed() {
    let why = Diagnosis { step: Step::BothSymmetric, relay: Relay::NotSet };
    let mut rig = Rig::new();
    rig.invite_out();
    rig.say(Event::Trouble(Trouble::Failed(why)));
    rig.enter(CallState::Ended(EndReason::NotConnected));
    assert!(rig.shows(&why.to_string()));
    rig.enter(CallState::Gathering(Kind::Reply));
    rig.say(Event::Code(Box::new(own_code(Kind::Reply, 2))));
    let since = rig.now();
    rig.enter(CallState::Connecting { own: Kind::Reply, since });
    assert!(!rig.shows(&why.to_string()), "that was another call");
    rig.say(Event::Trouble(Trouble::Stuck(why)));
    assert!(rig.shows(&crate::ui::wording::trouble(Trouble::Stuck(why))));
}

#[test]
fn the_lobby_has_a_line_about_the_network() {
    let mut rig = Rig::new();
    let outlook = Outlook { nat: Nat::UdpBlocked, has_network: true, ..Outlook::default() };
    rig.say(Event::Network(outlook));
    assert!(rig.shows(outlook.line().unwrap()));
    let unknown = Outlook { nat: Nat::NotAsked, ..outlook };
    rig.say(Event::Network(unknown));
    assert!(!rig.shows(outlook.line().unwrap()));
}

#[test]
fn details_hold_every_candidate_and_take_theirs() {
    let mut rig = Rig::with(Setup { size: (1180.0, 1400.0), ..Setup::default() });
    let code = rig.invite_out();
    rig.click("Details");
    rig.click("Copy JSON");
    assert_eq!(rig.clipboard.text(), code.full.0);
    for (index, candidate) in code.candidates.iter().enumerate() {
        rig.click(&format!("Copy candidate {}", index + 1));
        assert_eq!(rig.clipboard.text(), candidate.0);
    }
    asked(&mut rig);
    let field = "Add one of their candidates";
    rig.harness.get_by_role_and_label(Role::TextInput, field).focus();
    rig.settle();
    rig.harness
        .get_by_role_and_label(Role::TextInput, field)
        .type_text("candidate:1 1 udp 1 10.0.0.1 5 typ host");
    rig.settle();
    rig.click("Add");
    assert_eq!(asked(&mut rig), ["paste candidate:1 1 udp 1 10.0.0.1 5 typ host"]);
    rig.say(Event::CandidateAdded);
    assert!(rig.shows("1 candidate added."));
    rig.clipboard.put("candidate:2");
    rig.click("Paste one");
    assert_eq!(asked(&mut rig), ["paste candidate:2"]);
}

#[test]
fn settings_take_effect_and_are_remembered() {
    let folder = std::env::temp_dir().join(format!("twocan-ui-{}", std::process::id()));
    let path = folder.join("settings.json");
    let mut rig = Rig::with(Setup {
        size: (1180.0, 1400.0),
        settings_path: Some(path.clone()),
        settings: Settings { name: "Bo".into(), ..Settings::default() },
        ..Setup::default()
    });
    let pick = |rig: &mut Rig, picker: &str, choice: &str| {
        rig.harness.get_by_role_and_label(Role::ComboBox, picker).click();
        rig.settle();
        rig.harness.get_by_role_and_label(Role::MenuItemRadio, choice).click();
        rig.settle();
    };
    rig.click("Settings");
    pick(&mut rig, "An invite is for", "Many people");
    rig.scroll(-200.0);
    for switch in ["Mirror my picture", "Automatic gain"] {
        rig.harness.get_by_role_and_label(Role::Switch, switch).click();
        rig.settle();
    }
    for (picker, choice) in
        [("Size", "640 × 360"), ("Pictures a second", "15"), ("Noise suppression", "Low"), ("Theme", "Light")]
    {
        if picker == "Theme" {
            rig.scroll(-4000.0);
        }
        pick(&mut rig, picker, choice);
    }
    assert_eq!(rig.harness.ctx.theme(), egui::Theme::Light);
    assert_eq!(asked(&mut rig), ["apply"; 7]);
    drop(rig);
    let want = Settings {
        name: "Bo".into(),
        theme: Theme::Light,
        noise_suppression: NoiseSuppression::Low,
        automatic_gain: false,
        mirror_self: false,
        guests: Guests::Many,
        width: 640,
        height: 360,
        fps: 15,
        ..Settings::default()
    };
    assert_eq!(Settings::load(&path), want);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn servers_are_added_checked_and_removed() {
    let mut rig = Rig::with(Setup { size: (1180.0, 1400.0), ..Setup::default() });
    rig.click("Settings");
    rig.scroll(-4000.0);
    rig.click("Add a server");
    rig.scroll(-4000.0);
    rig.harness.get_by_label("Server").focus();
    rig.settle();
    rig.harness.get_by_label("Server").type_text("turn:example.org:99999");
    rig.settle();
    rig.scroll(-4000.0);
    rig.click("Save server");
    assert!(rig.shows("the port is a number from 1 to 65535") && asked(&mut rig).is_empty());
    rig.click("Discard");
    rig.click(&format!("Remove {}", crate::settings::IceServer::GOOGLE_STUN));
    assert_eq!(asked(&mut rig), ["apply"]);
    assert!(rig.shows("calls work in the same network only"));
    rig.click("Default servers");
    assert_eq!(asked(&mut rig), ["apply"]);
}

#[test]
fn a_device_is_picked_where_it_failed() {
    let mut rig = Rig::new();
    rig.say(Event::Failed { kind: DeviceKind::Camera, error: DeviceError::Busy(DeviceKind::Camera) });
    assert!(rig.shows("in use by another program"));
    rig.harness.get_by_role_and_label(Role::ComboBox, "Camera").click();
    rig.settle();
    rig.harness.get_by_role_and_label(Role::MenuItemRadio, "Test picture").click();
    rig.settle();
    let commands = rig.commands();
    let Some(Command::Apply(settings)) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(settings.camera, "pattern");
}

#[test]
fn a_device_that_fails_in_a_call_is_told() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    rig.say(Event::Failed { kind: DeviceKind::Camera, error: DeviceError::Lost(DeviceKind::Camera) });
    assert!(rig.shows("Plug it in again"));
    rig.say(Event::Opened { kind: DeviceKind::Camera, name: "Cam".into(), picture: None });
    assert!(rig.shows("The camera works again: Cam."));
    rig.wait(Duration::from_secs(20));
    assert!(!rig.shows("The camera works again"), "messages pass");
}

#[test]
fn keys_of_the_call() {
    let mut rig = Rig::new();
    rig.in_call("Ann", Some(plain(Resolution::new(640, 360), (120, 128, 128))));
    assert!(rig.shows("Your picture"));
    rig.key(Key::P);
    assert!(!rig.shows("Your picture") && rig.shows("Show your picture"));
    rig.click("Show your picture");
    rig.key(Key::F);
    assert!(rig.shows("Leave full screen"));
    rig.wait(Duration::from_secs(4));
    assert!(!rig.shows("Leave full screen"), "the controls rest");
    // With a GPU they fade, and are there until they are gone.
    rig.harness.ctx.all_styles_mut(|style| style.animation_time = 0.1);
    rig.key(Key::P);
    rig.wait(Duration::from_millis(3150));
    assert!(rig.shows("Leave full screen"), "half gone");
    rig.wait(Duration::from_millis(200));
    assert!(!rig.shows("Leave full screen"), "gone");
    rig.key(Key::P);
    rig.key(Key::Escape);
    assert!(rig.shows("Full screen") && rig.shows("Hang up"));
    rig.key(Key::Z);
    rig.key(Key::Questionmark);
    assert!(rig.shows("How a call comes about"));
    rig.key(Key::Escape);
    assert!(!rig.shows("How a call comes about"));
    rig.harness.key_press_modifiers(Modifiers::COMMAND, Key::Comma);
    rig.settle();
    assert!(rig.shows("ICE servers"));
    assert!(asked(&mut rig).is_empty());
}

#[test]
fn the_connection_and_the_others_switches_show() {
    let mut rig = Rig::new();
    rig.in_call("Ann", Some(people::astronaut()));
    rig.change(PERSON, |ann| (ann.microphone_muted, ann.camera_stopped) = (true, true));
    assert!(rig.shows("Ann is muted"));
    rig.say(Event::Stats(Box::default(), vec![(PERSON, crate::engine::Quality::Poor)]));
    assert!(rig.shows("Connection: poor"));
    let (since, started) = (rig.now(), rig.now());
    let rescue = Rescue::Waiting { until: rig.now() + Duration::from_secs(8) };
    rig.enter(CallState::Reconnecting { since, started, rescue });
    assert!(rig.shows("Reconnecting…") && rig.shows("Nothing comes from Ann."));
    rig.say(Event::Offline(true));
    assert!(rig.shows("This computer has no network."));
    assert!(rig.shows("Hang up") && !rig.shows("new invite"));
}

#[test]
fn a_call_without_a_path_is_taken_up_again_by_fresh_codes() {
    let mut rig = Rig::new();
    rig.in_call("Ann", Some(people::astronaut()));
    asked(&mut rig);
    let (since, started) = (rig.now(), rig.now());
    let enter = |rig: &mut Rig, rescue| rig.enter(CallState::Reconnecting { since, started, rescue });
    enter(&mut rig, Rescue::Gathering(Kind::Invite));
    rig.clipboard.put("what I was copying");
    let invite = own_code(Kind::Invite, 3);
    rig.say(Event::Code(Box::new(invite.clone())));
    enter(&mut rig, Rescue::WaitingForReply);
    assert!(rig.shows("Send this new invite to Ann") && rig.shows("Picture of Ann"));
    assert_eq!(rig.clipboard.text(), "what I was copying", "nobody asked for this code");
    rig.click("Copy");
    assert_eq!(rig.clipboard.text(), invite.text.0);
    rig.paste("the reply");
    assert_eq!(asked(&mut rig), ["paste the reply"]);
    rig.say(Event::Refused(Refusal::Invite(InviteError::InviteNotReply)));
    assert!(rig.shows(&InviteError::InviteNotReply.to_string()));
    enter(&mut rig, Rescue::Connecting { own: Kind::Invite, since });
    assert!(rig.shows("Both new codes are here."));
    // The path may come back at any time; then nothing of it is left.
    enter(&mut rig, Rescue::WaitingForReply);
    rig.enter(CallState::InCall { since: started });
    assert!(!rig.shows("new invite") && rig.shows("The connection is back."));
}

#[test]
fn whoever_joined_pastes_the_fresh_invite_and_sends_the_fresh_reply() {
    let mut rig = Rig::new();
    rig.in_call("Bo", None);
    asked(&mut rig);
    let (since, started) = (rig.now(), rig.now());
    let enter = |rig: &mut Rig, rescue| rig.enter(CallState::Reconnecting { since, started, rescue });
    enter(&mut rig, Rescue::WaitingForInvite);
    assert!(rig.shows("Bo sees a new invite now."));
    rig.clipboard.put("a fresh invite");
    rig.click("Paste");
    assert_eq!(asked(&mut rig), ["paste a fresh invite"]);
    enter(&mut rig, Rescue::Gathering(Kind::Reply));
    let reply = own_code(Kind::Reply, 4);
    rig.say(Event::Code(Box::new(reply.clone())));
    enter(&mut rig, Rescue::Connecting { own: Kind::Reply, since });
    assert!(rig.shows("Send your new reply back"));
    rig.click("Copy");
    assert_eq!(rig.clipboard.text(), reply.text.0);
    rig.click("Hang up");
    assert_eq!(asked(&mut rig), ["hang up"]);
}

#[test]
fn own_picture_is_dragged_into_another_corner() {
    let mut rig = Rig::new();
    rig.in_call("Ann", None);
    let before = rig.harness.get_by_label("Your picture").rect();
    rig.harness.drag_at(before.center());
    rig.settle();
    rig.harness.hover_at(egui::pos2(200.0, 200.0));
    rig.settle();
    rig.harness.drop_at(egui::pos2(200.0, 200.0));
    rig.settle();
    let after = rig.harness.get_by_label("Your picture").rect();
    assert!(after.left() < 20.0 && after.top() < 80.0, "{before} to {after}");
}

#[test]
fn a_window_with_a_courier_needs_no_clipboard() {
    let (out, codes) = crossbeam_channel::bounded(4);
    let (paste, inbox) = crossbeam_channel::bounded(4);
    let courier = Courier { out, inbox };
    let options =
        WindowOptions { start: StartAction::JoinCall, courier: Some(courier), ..WindowOptions::default() };
    let mut rig = Rig::with(Setup { options, ..Setup::default() });
    rig.clipboard.put("mine");
    paste.send("their invite".into()).unwrap();
    rig.settle();
    assert_eq!(asked(&mut rig), ["join their invite"]);
    rig.enter(CallState::Gathering(Kind::Reply));
    rig.say(Event::Code(Box::new(own_code(Kind::Reply, 3))));
    assert_eq!(codes.try_recv().unwrap(), own_code(Kind::Reply, 3).text.0);
    assert_eq!(rig.clipboard.text(), "mine", "the user's clipboard is left alone");
}

#[test]
fn an_engine_that_is_gone_is_told() {
    let mut rig = Rig::new();
    rig.say(Event::Gone);
    assert!(rig.shows("Twocan has to be restarted"));
}

/// kittest panics on a glyph that no font has.
#[test]
fn the_icon_font_has_every_icon() {
    let text: String = icons::ALL.iter().map(|icon| icon.0).collect();
    let mut harness = egui_kittest::Harness::builder().build_ui(move |ui| {
        crate::ui::theme::install(ui.ctx());
        let font = egui::FontId::new(20.0, egui::FontFamily::Name("icons".into()));
        if ui.ctx().cumulative_pass_nr() > 2 {
            ui.label(egui::RichText::new(&text).font(font));
        }
    });
    harness.run_steps(4);
}
