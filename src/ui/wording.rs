//! Sentences and numbers as people read them.

use crate::choice::{GuestChoice, TopologyChoice};
use crate::engine::{Hub, Quality, RoomState, Trouble};
use crate::invite::Kind;
use crate::net::Reach;
use crate::room::call::{CallState, EndReason};
use std::time::Duration;

/// For who talks into a muted microphone; its button and M unmute.
pub const MUTED: &str = "You are muted. Nobody hears you.";

/// `4:05`, `1:02:09`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How long a code has been out, and whether it leads here.
pub fn code_health(age: Duration, reach: Reach) -> String {
    let ready = match age.as_secs() / 60 {
        0 => "Ready.".to_owned(),
        minutes @ 1..60 => format!("Ready for {minutes} min."),
        minutes => format!("Ready for {} h {} min.", minutes / 60, minutes % 60),
    };
    let reach = match reach {
        Reach::Unknown => "It stays valid while this window is open.",
        Reach::Local => "Valid in this network while this window is open.",
        Reach::Public => "Reachable. It stays valid while this window is open.",
        Reach::Silent => "The STUN server does not answer: it may not work from other networks.",
    };
    format!("{ready} {reach}")
}

/// Above an invite that takes the place of one that may have been sent.
pub const MOVED: &str =
    "Your address has changed: an invite you sent before may not lead here any more. Send this new one.";

/// What the window's title says after the program's name.
pub fn title(call: CallState, name: &str) -> String {
    match call {
        CallState::Idle => String::new(),
        CallState::Gathering(Kind::Invite) => "Making an invite".into(),
        CallState::Gathering(Kind::Reply) => "Making a reply".into(),
        CallState::WaitingForReply => "Waiting for the reply".into(),
        CallState::Connecting { own: Kind::Invite, .. } => "Connecting".into(),
        CallState::Connecting { own: Kind::Reply, .. } => "Waiting for the other side".into(),
        CallState::Lobby { own: Kind::Invite, .. } => format!("{name} wants to join"),
        CallState::Lobby { own: Kind::Reply, .. } => "Waiting to be let in".into(),
        CallState::InCall { .. } => format!("In a call with {name}"),
        CallState::Reconnecting { .. } => format!("Reconnecting to {name}"),
        CallState::Ended(_) => "Call ended".into(),
    }
}

/// Headline and advice of a call that is over; `trouble`: why it did not come up, if that is known.
pub fn ended(reason: EndReason, name: &str, trouble: Option<Trouble>) -> (&'static str, String) {
    match reason {
        EndReason::HungUp => ("You hung up", "The call is over and the connection is closed.".into()),
        EndReason::TheyHungUp => (
            "They hung up",
            format!("{name} ended the call. To talk again, make a new invite; the old codes are used up."),
        ),
        EndReason::Cancelled => ("Cancelled", "The codes of this try do not work any more.".into()),
        EndReason::NotConnected if trouble.is_some() => {
            ("No connection", trouble.map(|trouble| trouble.diagnosis().to_string()).unwrap_or_default())
        }
        EndReason::NotConnected => (
            "No connection",
            "Both codes are right, but no path was found between the two networks. Try again, or add a TURN server \
             in the settings of either side."
                .into(),
        ),
        EndReason::Lost => (
            "Connection lost",
            "Nothing came through for ten minutes. Check the network of this computer, then make a new invite.".into(),
        ),
        EndReason::NoCode => (
            "No code could be made",
            "This computer could not open a network connection. Check the network, then try again.".into(),
        ),
        EndReason::Busy => (
            "They are already in a call",
            "Somebody else has come in with the same invite. Ask for a new invite, or try again later.".into(),
        ),
        EndReason::Withdrawn => (
            "This invite is over",
            "It was taken back, or its call has ended. Ask for a new one.".into(),
        ),
        EndReason::Removed => (
            "You were removed from the call",
            "Its host has ended it for you. The others may still be in it.".into(),
        ),
        EndReason::Refused => (
            "They did not let you in",
            "Ask them in the chat where you got the invite, then join again.".into(),
        ),
    }
}

/// How many are in the call, ourselves included.
pub fn people(count: usize) -> String {
    format!("{count} {}", if count == 1 { "person" } else { "people" })
}

/// The others in the call in a few words, by the name of the first and, if there are no more, the second.
pub fn company(names: &[&str]) -> String {
    match names {
        [] => "Guest".into(),
        [one] => (*one).into(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} others", rest.len()),
    }
}

/// In what way the call is connected; `hub`: the name of whoever passes everything on, if it is somebody else.
pub fn way(room: &RoomState, hub: Option<&str>) -> String {
    let hub_name = hub.unwrap_or("Somebody");
    match room.hub {
        None => "Everybody sends to everybody".into(),
        Some(Hub::We) => "You pass everything on".into(),
        Some(Hub::Person(_) | Hub::Unknown) if room.one_picture => {
            format!("{hub_name} sends you one picture of everybody")
        }
        Some(Hub::Person(_) | Hub::Unknown) => format!("{hub_name} passes everything on"),
    }
}

/// In the order in which they are offered.
pub const TOPOLOGIES: [TopologyChoice; 4] =
    [TopologyChoice::Automatic, TopologyChoice::Mesh, TopologyChoice::Forward, TopologyChoice::Mix];

/// What a host can choose for a call, and what that means.
pub fn topology(choice: TopologyChoice) -> (&'static str, &'static str) {
    match choice {
        TopologyChoice::Automatic => ("Automatic", "Whatever suits this call"),
        TopologyChoice::Mesh => ("Direct", "Everybody sends to everybody"),
        TopologyChoice::Forward => ("Through one", "One passes everything on"),
        TopologyChoice::Mix => ("One picture", "Of everybody, made by one"),
    }
}

/// The same for one person.
pub fn guest_way(choice: GuestChoice) -> (&'static str, &'static str) {
    match choice {
        GuestChoice::Automatic => ("Automatic", "What suits them and the call"),
        GuestChoice::Forward => ("All pictures", "Everybody’s picture by itself"),
        GuestChoice::Mix => ("One picture", "Spares computer and network"),
    }
}

pub fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Unknown => "Connection: measuring",
        Quality::Good => "Connection: good",
        Quality::Fair => "Connection: fair. Picture quality may change.",
        Quality::Poor => "Connection: poor. Picture and sound may break up.",
    }
}

/// Why our reply has led to nothing so far.
pub fn trouble(trouble: Trouble) -> String {
    match trouble {
        Trouble::Expected(why) => format!("This call may not come up. {why}"),
        Trouble::Stuck(why) => format!("Your reply was pasted, but no connection comes up. {why}"),
        Trouble::Failed(why) => why.to_string(),
    }
}

/// What goes on while a call has no path, and on whose side, as far as one can tell.
pub fn reconnecting(name: &str, offline: bool) -> String {
    if offline {
        "This computer has no network. The call goes on when it has one again.".into()
    } else {
        format!("Nothing comes from {name}. Looking for another path.")
    }
}

/// Start and end of a code, for the eye.
pub fn short_code(code: &str) -> String {
    const ENDS: usize = 12;
    let characters: Vec<char> = code.chars().collect();
    if characters.len() <= 2 * ENDS + 1 {
        return code.into();
    }
    let head: String = characters[..ENDS].iter().collect();
    let tail: String = characters[characters.len() - ENDS..].iter().collect();
    format!("{head}…{tail}")
}

/// `2148` as `2,148`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The letter in place of a picture.
pub fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map_or_else(|| "?".into(), |c| c.to_uppercase().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        for (seconds, text) in [(0, "0:00"), (65, "1:05"), (600, "10:00"), (3729, "1:02:09")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn long_codes_are_shortened_and_short_ones_are_whole() {
        assert_eq!(short_code("abc"), "abc");
        let code = format!("{}{}{}", "a".repeat(12), "x".repeat(2000), "z".repeat(12));
        assert_eq!(short_code(&code), format!("{}…{}", "a".repeat(12), "z".repeat(12)));
        assert_eq!(short_code(&"ж".repeat(99)).chars().count(), 25);
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
    }

    #[test]
    fn a_company_is_named_by_its_first() {
        for (names, text) in [
            (&[] as &[&str], "Guest"),
            (&["Ann"], "Ann"),
            (&["Ann", "Bo"], "Ann and Bo"),
            (&["Ann", "Bo", "Cy", "Di"], "Ann and 3 others"),
        ] {
            assert_eq!(company(names), text);
        }
        assert_eq!((people(1), people(4)), ("1 person".into(), "4 people".into()));
    }

    #[test]
    fn the_way_of_a_call_is_told_in_plain_words() {
        let room = |hub, one_picture| RoomState { hub, one_picture, ..RoomState::default() };
        let bo = Some(Hub::Person(crate::ports::PeerId(2)));
        for (room, name, words) in [
            (room(None, false), None, "Everybody sends to everybody"),
            (room(Some(Hub::We), false), None, "You pass everything on"),
            (room(bo, false), Some("Bo"), "Bo passes everything on"),
            (room(bo, true), Some("Bo"), "Bo sends you one picture of everybody"),
            (room(Some(Hub::Unknown), false), None, "Somebody passes everything on"),
        ] {
            assert_eq!(way(&room, name), words);
        }
    }

    #[test]
    fn every_name_has_an_initial() {
        for (name, letter) in
            [("ann", "A"), ("  жан", "Ж"), ("安", "安"), ("", "?"), ("(!)", "?"), ("ß", "SS")]
        {
            assert_eq!(initial(name), letter);
        }
    }

    #[test]
    fn reconnecting_says_whose_network_is_gone() {
        assert!(reconnecting("Ann", true).starts_with("This computer has no network."));
        assert!(reconnecting("Ann", false).starts_with("Nothing comes from Ann."));
    }
}
