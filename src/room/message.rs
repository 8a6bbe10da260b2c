//! Messages of the control channel (data channel 0, label `twocan`): one JSON object each, told apart by `type`.
//!
//! Unknown messages and fields are ignored, so that versions may differ; sizes are limited, because the other side
//! is a stranger until the people have seen each other.

use super::roster::{MAX_MEMBERS, MemberId, Pass, Report};
use serde::{Deserialize, Serialize};

/// A picture is not drawn larger than this.
const MAX_DRAWN: u32 = 8192;
/// Characters of a name that are kept.
pub const MAX_NAME: usize = 64;

/// What people show each other without a word. A kind that this version does not know is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    ThumbsUp,
    Heart,
    Laugh,
    Celebrate,
    Wave,
}

impl Reaction {
    pub const ALL: [Self; 5] = [Self::ThumbsUp, Self::Heart, Self::Laugh, Self::Celebrate, Self::Wave];
}

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
        /// What the sender goes by in the room; a program that knows of no rooms has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MemberId>,
    },
    /// The receiver may come in.
    Admit,
    /// It may not.
    Refuse,
    /// The sender's switches have changed.
    #[serde(rename_all = "camelCase")]
    Mute {
        microphone_muted: bool,
        camera_stopped: bool,
    },
    /// On how many pixels the sender of this draws the picture of whoever gets it, and whether anybody can see it:
    /// the window may be covered or put away.
    ///
    /// `member`: that is not the receiver but somebody whose picture the receiver passes on.
    View {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<MemberId>,
        #[serde(default)]
        width: u32,
        #[serde(default)]
        height: u32,
        shown: bool,
    },
    /// The exchange behind the four words (`trust`); 64 hexadecimal digits each.
    TrustCommit {
        commitment: String,
    },
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
    /// Who the sender is linked to (`roster`).
    Members(Report),
    /// A code on its way between two members, through a third.
    Pass(Pass),
    /// Whether the sender wants the receiver's sound and picture over this link. `false`: it gets them by the hub. Until
    /// it says so, it does.
    Direct {
        wanted: bool,
    },
    /// The sender's sound and picture are of these members from now on, and of itself; empty: of itself alone.
    Mix {
        members: Vec<MemberId>,
    },
    /// What is sent over this link from now on: an SDP offer. The receiver gives its answer.
    Offer {
        sdp: String,
    },
    Answer {
        sdp: String,
    },
    /// Whether the sender of this passes on the receiver's picture in this layer (0: as it is), and how it can use it.
    Layer {
        layer: u8,
        wanted: bool,
        #[serde(default)]
        width: u32,
        #[serde(default)]
        height: u32,
        #[serde(default)]
        kbps: u32,
    },
    /// The host asks the receiver to mute the microphone; who is muted so may unmute.
    Silence,
    /// The sender has raised a hand, or lowered it.
    Hand {
        raised: bool,
    },
    /// Shown for a moment; the receiver limits how many it takes.
    Reaction {
        kind: Reaction,
    },
    /// An ICE candidate that came up after the code was made.
    Candidate {
        candidate: String,
    },
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
            Self::View { width, height, .. } | Self::Layer { width, height, .. } => {
                (*width, *height) = ((*width).min(MAX_DRAWN), (*height).min(MAX_DRAWN));
            }
            Self::Members(report) => {
                report.ruling = std::mem::take(&mut report.ruling).limited();
                report.members.iter_mut().for_each(|entry| entry.name = clean_name(&entry.name));
            }
            Self::Mix { members } => members.truncate(MAX_MEMBERS),
            Self::Mute { .. }
            | Self::Direct { .. }
            | Self::Offer { .. }
            | Self::Answer { .. }
            | Self::Pass(_)
            | Self::Silence
            | Self::TrustCommit { .. }
            | Self::TrustNonce { .. }
            | Self::TrustReveal { .. }
            | Self::Candidate { .. }
            | Self::Hand { .. }
            | Self::Reaction { .. }
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
    use crate::room::roster::Entry;
    use crate::room::topology::{Choice, GuestChoice, Means, Ruling, Wishes};

    #[test]
    fn messages_survive_the_channel() {
        let hello = Message::Hello {
            name: "Ann".into(),
            microphone_muted: true,
            camera_stopped: false,
            waiting: true,
            id: Some(MemberId([0, 1, 2, 3, 4, 5, 0xfe, 0xff])),
        };
        let mute = Message::Mute { microphone_muted: false, camera_stopped: true };
        let view = Message::View { member: None, width: 1280, height: 720, shown: true };
        assert_eq!(view.to_json(), r#"{"type":"view","width":1280,"height":720,"shown":true}"#);
        let (one, other) = (MemberId([1; 8]), MemberId([2; 8]));
        let entry = Entry { id: other, name: "Bo".into(), order: 1 };
        let members = Report {
            number: 1,
            order: 0,
            host: one,
            locked: false,
            removed: vec![],
            ruling: Ruling { hub: Some(other), mixed: [one].into() },
            wishes: Wishes { room: Choice::Forward, guests: [(one, GuestChoice::Mix)].into() },
            means: Means { uplink: 1200, load: 7, wants_mix: false, forwards: true },
            members: vec![entry],
        };
        let (members, pass) =
            (Message::Members(members), Pass { to: one, from: other, attempt: 1, payload: "2can".into() });
        assert_eq!(
            members.to_json(),
            r#"{"type":"members","number":1,"order":0,"host":"0101010101010101","locked":false,"removed":[],"ruling":{"hub":"0202020202020202","mixed":["0101010101010101"]},"wishes":{"room":"forward","guests":{"0101010101010101":"mix"}},"means":{"uplink":1200,"load":7,"wantsMix":false,"forwards":true},"members":[{"id":"0202020202020202","name":"Bo","order":1}]}"#
        );
        let drawn = Message::View { member: Some(one), width: 1, height: 2, shown: true };
        assert_eq!(
            drawn.to_json(),
            r#"{"type":"view","member":"0101010101010101","width":1,"height":2,"shown":true}"#
        );
        let layer = Message::Layer { layer: 1, wanted: true, width: 320, height: 180, kbps: 150 };
        let (direct, mix) = (Message::Direct { wanted: false }, Message::Mix { members: vec![one] });
        let (offer, answer) = (Message::Offer { sdp: "v=0".into() }, Message::Answer { sdp: "v=0".into() });
        assert_eq!(direct.to_json(), r#"{"type":"direct","wanted":false}"#);
        assert_eq!(mix.to_json(), r#"{"type":"mix","members":["0101010101010101"]}"#);
        assert_eq!(offer.to_json(), r#"{"type":"offer","sdp":"v=0"}"#);
        let messages =
            [hello, mute, view, members, Message::Pass(pass), Message::Silence, drawn, layer, direct, mix]
                .into_iter()
                .chain([offer, answer]);
        for message in messages.into_iter().chain([Message::Admit, Message::Refuse, Message::Bye]) {
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
            id: None,
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
    fn gestures_have_their_words() {
        let hand = Message::Hand { raised: true };
        assert_eq!(hand.to_json(), r#"{"type":"hand","raised":true}"#);
        let thumb = Message::Reaction { kind: Reaction::ThumbsUp };
        assert_eq!(thumb.to_json(), r#"{"type":"reaction","kind":"thumbs-up"}"#);
        for kind in Reaction::ALL {
            let message = Message::Reaction { kind };
            assert_eq!(Message::from_json(&message.to_json()), Some(message));
        }
        assert_eq!(Message::from_json(r#"{"type":"reaction","kind":"moonwalk"}"#), None);
    }

    #[test]
    fn a_view_is_limited() {
        let view = |text| Message::from_json(text);
        let huge = r#"{"type":"view","width":4294967295,"height":9000,"shown":true,"depth":3}"#;
        assert_eq!(view(huge), Some(Message::View { member: None, width: 8192, height: 8192, shown: true }));
        let hidden = Some(Message::View { member: None, width: 0, height: 0, shown: false });
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

    /// Whatever a stranger sends: no panic, and what is taken keeps to the limits and survives the channel.
    #[test]
    fn damaged_messages_are_ignored_or_harmless() {
        const NOISE: &[u8] = b"{}[]\":,0-9ea\\\x00\xff";
        let nonce = "5a".repeat(32);
        let samples = [
            r#"{"type":"hello","name":"Ann Ж 安","microphoneMuted":true,"cameraStopped":false}"#.to_owned(),
            r#"{"type":"view","width":1280,"height":720,"shown":true}"#.to_owned(),
            r#"{"type":"reaction","kind":"heart"}"#.to_owned(),
            r#"{"type":"hand","raised":true}"#.to_owned(),
            format!(r#"{{"type":"trust-nonce","nonce":"{nonce}","proof":"{nonce}"}}"#),
            format!(r#"{{"type":"trust-commit","commitment":"{nonce}"}}"#),
            r#"{"type":"candidate","candidate":"candidate:1 1 udp 1 192.0.2.1 5000 typ host"}"#.to_owned(),
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        let mut taken = 0;
        for round in 0..40_000 {
            let mut bytes = samples[round % samples.len()].clone().into_bytes();
            for _ in 0..=below(3) {
                let at = below(bytes.len().max(1));
                match below(4) {
                    _ if bytes.is_empty() => {}
                    0 => bytes[at] = below(256) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, NOISE[below(NOISE.len())]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let Some(message) = Message::from_json(&text) else { continue };
            taken += 1;
            assert_eq!(Message::from_json(&message.to_json()), Some(message.clone()), "{text}");
            match message {
                Message::Hello { name, .. } => assert!(name.chars().count() <= MAX_NAME),
                Message::View { width, height, .. } => assert!(width.max(height) <= MAX_DRAWN),
                _ => {}
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
