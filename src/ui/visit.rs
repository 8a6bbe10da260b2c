//! A call through a server, as the window sees it: what stands in the form for it, and the words that differ from those
//! of a call between people.

use crate::engine::server::{Goal, Place, PlaceKind};
use crate::room::call::{CallState, EndReason};
use crate::server::{AddressError, RoomAddress, WebAddress};
use crate::settings::Settings;
use crate::units::Redacted;

/// The form of *Join a server room*.
#[derive(Clone, Debug, Default)]
pub struct VisitForm {
    pub address: String,
    pub pin: String,
    pub token: String,
    /// Make the room if there is none.
    pub create: bool,
    /// Play what an address of the web sends, instead of sending there. `None`: as the address sounds.
    pub watch: Option<bool>,
    /// Why the address cannot be used.
    pub error: Option<AddressError>,
}

impl VisitForm {
    /// What the address is one of; `None` while that cannot be told.
    pub fn kind(&self) -> Option<PlaceKind> {
        let address = self.address.trim().to_ascii_lowercase();
        let starts = |with: &[&str]| with.iter().any(|with| address.starts_with(with));
        if starts(&["janus:", "ws:", "wss:"]) {
            Some(PlaceKind::Room)
        } else if starts(&["http:", "https:"]) {
            let watch = self.watch.unwrap_or(address.contains("whep"));
            Some(if watch { PlaceKind::Play } else { PlaceKind::Publish })
        } else {
            None
        }
    }

    pub fn goal(&self) -> Result<Goal, AddressError> {
        let secret = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| Redacted(text.to_owned()))
        };
        let token = secret(&self.token);
        let web = || self.address.parse::<WebAddress>();
        Ok(match self.kind() {
            Some(PlaceKind::Publish) => Goal::Publish { address: web()?, token },
            Some(PlaceKind::Play) => Goal::Play { address: web()?, token },
            Some(PlaceKind::Room) | None => {
                let address: RoomAddress = self.address.parse()?;
                Goal::Room { address, pin: secret(&self.pin), token, create: self.create }
            }
        })
    }

    /// As it is when the form opens: with the address of last time.
    pub fn open(&mut self, settings: &Settings) {
        if self.address.is_empty() {
            self.address.clone_from(&settings.server_address);
        }
        self.error = None;
    }
}

/// What the button says that begins it.
pub fn verb(kind: Option<PlaceKind>) -> &'static str {
    match kind {
        Some(PlaceKind::Publish) => "Go on the air",
        Some(PlaceKind::Play) => "Watch",
        Some(PlaceKind::Room) | None => "Join the room",
    }
}

/// Headline while it comes up.
pub fn coming(kind: PlaceKind) -> &'static str {
    match kind {
        PlaceKind::Room => "Joining the room…",
        PlaceKind::Publish | PlaceKind::Play => "Connecting to the server…",
    }
}

/// The place in a few words.
pub fn name(place: &Place) -> String {
    match place.kind {
        PlaceKind::Room => format!("Room {}", place.name),
        PlaceKind::Publish => format!("On the air at {}", place.host),
        PlaceKind::Play => format!("Watching {}", place.host),
    }
}

/// What the window's title says after the program's name.
pub fn title(place: &Place, call: CallState) -> String {
    let name = name(place);
    match call {
        CallState::Connecting { .. } => "Connecting to a server".into(),
        CallState::Reconnecting { .. } => format!("{name} – reconnecting"),
        CallState::Ended(_) => "Call ended".into(),
        _ => name,
    }
}

/// In place of pictures while nobody else is there: what it is, and what happens next.
pub fn alone(place: &Place) -> (String, &'static str) {
    match place.kind {
        PlaceKind::Room => {
            ("Nobody else is here yet".into(), "You see and hear everybody who comes into this room.")
        }
        PlaceKind::Publish => (
            format!("You are on the air at {}", place.host),
            "The server has your picture and your sound. Whoever it lets watch sees and hears you.",
        ),
        PlaceKind::Play => {
            (format!("Waiting for {}", place.host), "The picture shows as soon as somebody sends.")
        }
    }
}

pub fn reconnecting(offline: bool) -> &'static str {
    match offline {
        true => "This computer has no network. Twocan goes on when it has one again.",
        false => "The server is gone. Twocan tries to come back for a minute.",
    }
}

/// How private it is, beside the lock.
pub const ENCRYPTED: &str = "Encrypted up to the server, which could see and hear this call";

/// Headline and advice of a call that is over. `why`: what the server, or the way to it, said.
pub fn ended(place: &Place, reason: EndReason, why: Option<&str>) -> (&'static str, String) {
    let left = match place.kind {
        PlaceKind::Room => ("You left the room", "The others are still in it."),
        PlaceKind::Publish => ("You are off the air", "The server has nothing of you any more."),
        PlaceKind::Play => ("You stopped watching", "The connection to the server is closed."),
    };
    match reason {
        EndReason::HungUp => (left.0, left.1.into()),
        _ => ("The server is gone", why.unwrap_or("Nothing comes from it any more.").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(address: &str) -> VisitForm {
        VisitForm { address: address.into(), ..VisitForm::default() }
    }

    #[test]
    fn the_address_says_what_it_is() {
        for (address, kind) in [
            (" janus:wss://host:8989/7 ", Some(PlaceKind::Room)),
            ("wss://host/7", Some(PlaceKind::Room)),
            ("https://host/whip/ann", Some(PlaceKind::Publish)),
            ("HTTPS://host/WHEP/ann", Some(PlaceKind::Play)),
            ("https://host/live", Some(PlaceKind::Publish)),
            ("", None),
            ("host", None),
        ] {
            assert_eq!(form(address).kind(), kind, "{address}");
        }
        let watch = VisitForm { watch: Some(true), ..form("https://host/live") };
        assert_eq!(watch.kind(), Some(PlaceKind::Play));
    }

    #[test]
    fn secrets_that_are_empty_are_none() {
        let with = VisitForm { pin: " 12 ".into(), token: " ".into(), create: true, ..form("ws://h/7") };
        let Ok(Goal::Room { pin, token, create, address }) = with.goal() else { panic!() };
        assert_eq!((pin.map(|pin| pin.0), token.is_none(), create), (Some("12".into()), true, true));
        assert_eq!(address.to_string(), "janus:ws://h:8188/7");
        assert_eq!(form("host").goal().err(), Some(AddressError::Room));
        assert_eq!(form("https://a:b@host/whip").goal().err(), Some(AddressError::Credentials));
    }

    #[test]
    fn the_address_of_last_time_stands_in_an_empty_form_only() {
        let settings = Settings { server_address: "ws://old/1".into(), ..Settings::default() };
        let (mut empty, mut filled) = (form(""), form("ws://new/2"));
        empty.open(&settings);
        filled.open(&settings);
        assert_eq!((empty.address.as_str(), filled.address.as_str()), ("ws://old/1", "ws://new/2"));
    }
}
