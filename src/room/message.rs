//! Messages of the control channel (data channel 0, label `twocan`): one JSON object each, told apart by `type`.
//!
//! Unknown messages and fields are ignored, so that versions may differ; sizes are limited, because the other side
//! is a stranger until the people have seen each other.

use serde::{Deserialize, Serialize};

/// A picture is not drawn larger than this.
const MAX_DRAWN: u32 = 8192;
/// Characters of a name that are kept.
pub const MAX_NAME: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Message {
    /// First message of each side.
    #[serde(rename_all = "camelCase")]
    Hello {
        #[serde(default)]
        name: String,
        #[serde(default)]
        microphone_muted: bool,
        #[serde(default)]
        camera_stopped: bool,
        /// The receiver has to wait until a person lets it in ([`Self::Admit`], [`Self::Refuse`]); until then no sound
        /// and no picture is sent by either side.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waiting: bool,
    },
    /// The receiver may come in.
    Admit,
    /// It may not.
    Refuse,
    /// The sender's switches have changed.
    #[serde(rename_all = "camelCase")]
    Mute { microphone_muted: bool, camera_stopped: bool },
    /// On how many pixels the sender of this draws the picture of whoever gets it, and whether anybody can see it:
    /// the window may be covered or put away.
    View {
        #[serde(default)]
        width: u32,
        #[serde(default)]
        height: u32,
        shown: bool,
    },
    /// The exchange behind the four words (`trust`); 64 hexadecimal digits each.
    TrustCommit { commitment: String },
    TrustNonce {
        nonce: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        proof: String,
    },
    TrustReveal {
        nonce: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        proof: String,
    },
    /// An ICE candidate that came up after the code was made.
    Candidate { candidate: String },
    /// The sender leaves.
    Bye,
}

impl Message {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has no map with keys that are not text")
    }

    /// `None` for anything that is not a message of this version.
    pub fn from_json(text: &str) -> Option<Self> {
        let mut message = serde_json::from_str(text).ok()?;
        match &mut message {
            Self::Hello { name, .. } => *name = clean_name(name),
            Self::View { width, height, .. } => {
                (*width, *height) = ((*width).min(MAX_DRAWN), (*height).min(MAX_DRAWN));
            }
            Self::Mute { .. }
            | Self::TrustCommit { .. }
            | Self::TrustNonce { .. }
            | Self::TrustReveal { .. }
            | Self::Candidate { .. }
            | Self::Admit
            | Self::Refuse
            | Self::Bye => {}
        }
        Some(message)
    }
}

/// A name as it may be shown: one line, no control or direction characters, of limited length.
pub fn clean_name(name: &str) -> String {
    let shown = name.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    });
    let shown: String = shown.take(MAX_NAME).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_channel() {
        let hello = Message::Hello {
            name: "Ann".into(),
            microphone_muted: true,
            camera_stopped: false,
            waiting: true,
        };
        let mute = Message::Mute { microphone_muted: false, camera_stopped: true };
        let view = Message::View { width: 1280, height: 720, shown: true };
        assert_eq!(view.to_json(), r#"{"type":"view","width":1280,"height":720,"shown":true}"#);
        for message in [hello, mute, view, Message::Admit, Message::Refuse, Message::Bye] {
            assert_eq!(Message::from_json(&message.to_json()), Some(message));
        }
    }

    #[test]
    fn other_versions_are_understood_or_ignored() {
        let newer = r#"{"type":"hello","name":"Bo","hat":{"colour":"red"}}"#;
        let hello = Message::Hello {
            name: "Bo".into(),
            microphone_muted: false,
            camera_stopped: false,
            waiting: false,
        };
        assert_eq!(Message::from_json(newer), Some(hello));
        for text in ["", "{}", "[]", "null", r#"{"type":"dance"}"#, r#"{"type":"mute"}"#, "\u{0}"] {
            assert_eq!(Message::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn the_exchange_behind_the_words_has_its_messages() {
        let nonce = "5a".repeat(32);
        let without = format!(r#"{{"type":"trust-nonce","nonce":"{nonce}"}}"#);
        let message = Message::TrustNonce { nonce: nonce.clone(), proof: String::new() };
        assert_eq!((message.to_json(), Message::from_json(&without)), (without, Some(message)));
        let with = format!(r#"{{"type":"trust-reveal","nonce":"{nonce}","proof":"{nonce}"}}"#);
        let message = Message::TrustReveal { nonce: nonce.clone(), proof: nonce };
        assert_eq!((message.to_json(), Message::from_json(&with)), (with, Some(message)));
    }

    #[test]
    fn a_view_is_limited() {
        let view = |text| Message::from_json(text);
        let huge = r#"{"type":"view","width":4294967295,"height":9000,"shown":true,"depth":3}"#;
        assert_eq!(view(huge), Some(Message::View { width: 8192, height: 8192, shown: true }));
        let hidden = Some(Message::View { width: 0, height: 0, shown: false });
        assert_eq!(view(r#"{"type":"view","shown":false}"#), hidden);
        for text in [r#"{"type":"view","width":-1,"height":2,"shown":true}"#, r#"{"type":"view"}"#] {
            assert_eq!(view(text), None);
        }
    }

    #[test]
    fn a_strangers_name_cannot_spoil_the_window() {
        assert_eq!(clean_name("  Ann\n\n\u{202e}evil  "), "Ann evil");
        assert_eq!(clean_name(&"x".repeat(5000)).len(), MAX_NAME);
    }
}
