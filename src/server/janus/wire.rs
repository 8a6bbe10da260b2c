//! The JSON of Janus and its room plugin: what comes in, taken apart; what goes out, put together.
//!
//! Written after Janus 1.1.2 (`transports/janus_websockets.c`, `plugins/janus_videoroom.c`) and its documentation.
//! Fields that are not needed are not read; a message that is not as expected is nobody's.

use crate::server::MAX_FEEDS;
use crate::units::Redacted;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// Room and feed identifiers; longer ones are not taken.
const MAX_ID: usize = 128;
/// Streams of one member that are looked at.
const MAX_STREAMS: usize = 16;
/// Members in one message that are looked at.
const MAX_LISTED: usize = 256;
/// Sections of a subscription: two for each member, and those that are empty.
const MAX_SECTIONS: usize = 4 * MAX_FEEDS;
/// What a server says of an error, as much as fits a sentence.
const MAX_REASON: usize = 160;
pub const PLUGIN: &str = "janus.plugin.videoroom";

/// The name of a room, or of a member in it: a number, unless the server is set up for strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    /// As it stands in an address.
    pub fn named(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match text.parse() {
            Ok(number) => Some(Self::Number(number)),
            Err(_) if text.is_empty() || text.len() > MAX_ID || !text.chars().all(plain) => None,
            Err(_) => Some(Self::Text(text.into())),
        }
    }

    fn is_sane(&self) -> bool {
        matches!(self, Self::Number(_)) || matches!(self, Self::Text(text) if text.len() <= MAX_ID)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// One stream that a member sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Stream {
    #[serde(rename = "type")]
    pub kind: String,
    pub mid: String,
    pub codec: String,
    pub simulcast: bool,
    pub disabled: bool,
}

/// One section of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subscribed {
    pub mid: String,
    /// Somebody stands in it: this member, with what they call so.
    pub active: bool,
    pub feed_id: Option<Id>,
    pub feed_mid: String,
}

/// A member who sends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Publisher {
    pub id: Id,
    #[serde(default)]
    pub display: String,
    #[serde(default)]
    pub streams: Vec<Stream>,
}

/// A session description that came with a message.
#[derive(Clone, Debug, Deserialize)]
struct Jsep {
    #[serde(rename = "type")]
    kind: String,
    sdp: String,
}

#[derive(Deserialize)]
struct Envelope {
    janus: String,
    #[serde(default)]
    transaction: String,
    #[serde(default)]
    session_id: Option<u64>,
    #[serde(default)]
    sender: Option<u64>,
    #[serde(default)]
    data: Option<Made>,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default)]
    plugindata: Option<FromPlugin>,
    #[serde(default)]
    jsep: Option<Jsep>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    uplink: bool,
    #[serde(default)]
    mid: String,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct FromPlugin {
    #[serde(default)]
    data: Room,
}

/// What the room plugin says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Room {
    /// `joined`, `attached`, `event`, `created`, `destroyed`, `talking` ...
    pub videoroom: String,
    pub id: Option<Id>,
    pub private_id: Option<u64>,
    pub publishers: Vec<Publisher>,
    pub streams: Vec<Subscribed>,
    pub unpublished: Option<Id>,
    pub leaving: Option<Id>,
    pub reason: String,
    error_code: Option<u32>,
    error: String,
}

/// Why the server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub code: u32,
    /// The server's own words, fit to be shown.
    pub reason: String,
}

/// One message from the server.
#[derive(Debug)]
pub enum Incoming {
    /// A session or a handle was made, and this is its number.
    Made {
        transaction: String,
        id: u64,
    },
    /// The plugin says something: as the answer to a request, or by itself.
    Room {
        transaction: String,
        sender: Option<u64>,
        room: Box<Room>,
        offer: Option<Redacted<String>>,
        answer: Option<Redacted<String>>,
    },
    /// Heard; what comes of it follows, or nothing does.
    Ack {
        transaction: String,
    },
    Error {
        transaction: String,
        error: ServerError,
    },
    /// The connection of this handle is gone.
    HangUp {
        sender: u64,
        reason: String,
    },
    /// Packets get lost in this section of this handle's connection; `uplink`: those that we send.
    SlowLink {
        sender: u64,
        mid: String,
        uplink: bool,
    },
    /// The handle is gone.
    Detached {
        sender: u64,
    },
    /// The session is gone.
    TimedOut,
    /// Nothing that matters here.
    Other,
}

impl Incoming {
    /// `None`: not a message of Janus.
    pub fn parse(text: &str) -> Option<Self> {
        let Envelope {
            janus,
            transaction,
            session_id,
            sender,
            data,
            error,
            plugindata,
            jsep,
            reason,
            uplink,
            mid,
        } = serde_json::from_str(text).ok()?;
        let handle = sender.unwrap_or_default();
        Some(match janus.as_str() {
            "error" => {
                let Fault { code, reason } = error?;
                Self::Error { transaction, error: ServerError { code, reason: shown(&reason) } }
            }
            "success" | "event" => match (plugindata, data) {
                (Some(FromPlugin { data: room }), _) => match room.error_code {
                    Some(code) => {
                        let error = ServerError { code, reason: shown(&room.error) };
                        Self::Error { transaction, error }
                    }
                    None => {
                        let of = |kind: &str| {
                            let jsep = jsep.as_ref().filter(|jsep| jsep.kind == kind);
                            jsep.map(|jsep| Redacted(jsep.sdp.clone()))
                        };
                        let (offer, answer) = (of("offer"), of("answer"));
                        Self::Room { transaction, sender, room: Box::new(room.limited()), offer, answer }
                    }
                },
                (None, Some(Made { id })) => Self::Made { transaction, id },
                (None, None) => Self::Ack { transaction },
            },
            "ack" => Self::Ack { transaction },
            "hangup" => Self::HangUp { sender: handle, reason: shown(&reason) },
            "slowlink" => Self::SlowLink { sender: handle, mid, uplink },
            "detached" => Self::Detached { sender: handle },
            "timeout" if session_id.is_some() => Self::TimedOut,
            _ => Self::Other,
        })
    }
}

impl Room {
    /// Without what is beyond a sane number or length.
    fn limited(mut self) -> Self {
        self.publishers.truncate(MAX_LISTED);
        self.publishers.retain(|publisher| publisher.id.is_sane());
        for publisher in &mut self.publishers {
            publisher.display = crate::room::message::clean_name(&publisher.display);
            publisher.streams.truncate(MAX_STREAMS);
            publisher.streams.retain(|stream| stream.mid.len() <= MAX_ID);
        }
        self.streams.truncate(MAX_SECTIONS);
        self.streams.retain(|stream| stream.mid.len() <= MAX_ID && stream.feed_mid.len() <= MAX_ID);
        self.streams.retain(|stream| stream.feed_id.as_ref().is_none_or(Id::is_sane));
        self.reason = shown(&self.reason);
        self
    }
}

/// The server's words as they may stand in a sentence.
fn shown(words: &str) -> String {
    let plain: String =
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect();
    plain.trim().trim_end_matches('.').to_owned()
}

/// What every request carries.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub session: Option<u64>,
    pub handle: Option<u64>,
    pub token: Option<Redacted<String>>,
}

impl Frame {
    pub fn request(&self, kind: &str, transaction: &str) -> Map<String, Value> {
        let mut request = Map::new();
        request.insert("janus".into(), kind.into());
        request.insert("transaction".into(), transaction.into());
        let numbers = [("session_id", self.session), ("handle_id", self.handle)];
        for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
            request.insert(name.into(), number.into());
        }
        // A server is set up for one of the two, and passes over the other.
        if let Some(Redacted(token)) = &self.token {
            request.insert("token".into(), token.clone().into());
            request.insert("apisecret".into(), token.clone().into());
        }
        request
    }

    pub fn message(&self, transaction: &str, body: Value, jsep: Option<(&str, &str)>) -> Map<String, Value> {
        let mut request = self.request("message", transaction);
        request.insert("body".into(), body);
        if let Some((kind, sdp)) = jsep {
            request.insert("jsep".into(), json!({"type": kind, "sdp": sdp, "trickle": false}));
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_named_by_numbers_or_words() {
        assert_eq!(Id::named("1234"), Some(Id::Number(1234)));
        assert_eq!(Id::named("my-room_2.x"), Some(Id::Text("my-room_2.x".into())));
        let long = "x".repeat(500);
        for text in ["", "a b", "a/b", "a%20b", "ä", &long] {
            assert_eq!(Id::named(text), None, "{text}");
        }
        let both: Vec<Id> = serde_json::from_str(r#"[7,"seven"]"#).unwrap();
        assert_eq!(both, [Id::Number(7), Id::Text("seven".into())]);
    }

    #[test]
    fn what_a_server_sends_is_limited() {
        let words = format!("no\n{}", "x".repeat(9000));
        let error = json!({"janus":"error","error":{"code":403,"reason":words}}).to_string();
        let Some(Incoming::Error { error, .. }) = Incoming::parse(&error) else { panic!() };
        assert!(error.reason.len() <= MAX_REASON && !error.reason.contains('\n'));
        let many: Vec<_> = (0..5000).map(|id| json!({"id":id,"display":"\u{202e}evil\n"})).collect();
        let event = json!({"janus":"event","plugindata":{"data":{"videoroom":"event","publishers":many}}});
        let Some(Incoming::Room { room, .. }) = Incoming::parse(&event.to_string()) else { panic!() };
        assert_eq!((room.publishers.len(), room.publishers[0].display.as_str()), (MAX_LISTED, "evil"));
    }

    /// Whatever a server sends: no panic.
    #[test]
    fn damaged_messages_are_nobodys() {
        for text in ["", "{}", "[]", "null", "{\"janus\":7}", "{\"janus\":\"error\"}", "\u{0}", "[[[[[["] {
            assert!(Incoming::parse(text).is_none(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(Incoming::parse(&deep).is_none());
        for text in [
            r#"{"janus":"event"}"#,
            r#"{"janus":"success","data":{"id":1}}"#,
            r#"{"janus":"timeout"}"#,
            r#"{"janus":"new"}"#,
        ] {
            assert!(Incoming::parse(text).is_some(), "{text}");
        }
    }
}
