//! This computer gets another address while an invite is out: what the window says, and what it offers.

use super::flows::asked;
use super::rig::{Rig, own_code};
use crate::engine::Event;
use crate::invite::Kind;
use crate::room::call::CallState;
use std::time::Duration;

const SENTENCE: &str = "Your address has changed";

#[test]
fn the_new_invite_is_offered_until_it_is_copied() {
    let mut rig = Rig::new();
    let old = rig.invite_out();
    assert!(rig.shows("It is in your clipboard.") && !rig.shows(SENTENCE));
    rig.say(Event::Moved);
    let new = own_code(Kind::Invite, 2);
    rig.say(Event::Code(Box::new(new.clone())));
    assert_eq!(rig.clipboard.text(), old.text.0, "nobody has asked for another text there");
    assert!(!rig.shows("It is in your clipboard."), "that is the old one");
    rig.wait(Duration::from_secs(600));
    assert!(rig.shows(SENTENCE), "it is no message that passes by");
    rig.click("Copy");
    assert_eq!(rig.clipboard.text(), new.text.0);
    assert!(rig.shows("It is in your clipboard.") && !rig.shows(SENTENCE));
    // And once more.
    rig.say(Event::Moved);
    rig.say(Event::Code(Box::new(own_code(Kind::Invite, 3))));
    assert!(rig.shows(SENTENCE));
    let since = rig.now();
    rig.enter(CallState::Connecting { own: Kind::Invite, since });
    assert!(!rig.shows(SENTENCE), "somebody has found the way");
    asked(&mut rig);
}

#[test]
fn in_a_call_it_is_said_over_the_pictures_and_where_the_invite_is() {
    let mut rig = Rig::new();
    rig.group(&["Ann", "Ben"]);
    rig.say(Event::Invite(Some(Box::new(own_code(Kind::Invite, 1)))));
    rig.say(Event::Moved);
    rig.say(Event::Invite(Some(Box::new(own_code(Kind::Invite, 2)))));
    assert!(rig.shows("Send the new invite to whoever is still to come"));
    rig.wait(Duration::from_secs(60));
    assert!(!rig.shows(SENTENCE));
    rig.click("Add someone");
    assert!(rig.shows(SENTENCE));
    rig.say(Event::Invite(None));
    rig.say(Event::Invite(Some(Box::new(own_code(Kind::Invite, 3)))));
    assert!(!rig.shows(SENTENCE), "this one was never given away");
}
