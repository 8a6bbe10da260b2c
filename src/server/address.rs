//! Where a server is, as people write it: `janus:ws://host:8188/ROOM`, `https://host/whip/NAME`.

use super::janus::Id;
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Longer ones are no addresses.
const MAX_ADDRESS: usize = 2048;
/// Where Janus listens if its settings do not say otherwise.
const JANUS_PORT: u16 = 8188;
const JANUS_TLS_PORT: u16 = 8989;

/// Why an address cannot be used. `Display` is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("A room's address is written like janus:wss://host:8989/ROOM, or janus:ws://host:8188/ROOM.")]
    Room,
    #[error("This address names no room: its last part is the room, like janus:ws://host:8188/1234.")]
    NoRoom,
    #[error("An address of WHIP or WHEP starts with https:// or http://.")]
    Web,
    #[error("A name and a password do not belong into this address. A token is given apart from it.")]
    Credentials,
}

/// Where TCP, and TLS over it, lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub secure: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

/// A room on a Janus server that is reached over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomAddress {
    url: Url,
    port: u16,
    pub room: Id,
}

impl RoomAddress {
    pub fn target(&self) -> Target {
        target(&self.url, self.port)
    }

    /// What the WebSocket's handshake asks for.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}

/// As others can join by it.
impl fmt::Display for RoomAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "janus:{}/{}", self.url.as_str().trim_end_matches('/'), self.room)
    }
}

impl FromStr for RoomAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let rest = text.strip_prefix("janus:").unwrap_or(text);
        let mut url = parse(rest).ok_or(AddressError::Room)?;
        let default = match url.scheme() {
            "ws" => JANUS_PORT,
            "wss" => JANUS_TLS_PORT,
            _ => return Err(AddressError::Room),
        };
        if has_credentials(&url) {
            return Err(AddressError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Room);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        let (folder, room) = path.rsplit_once('/').ok_or(AddressError::NoRoom)?;
        let room = Id::named(room).ok_or(AddressError::NoRoom)?;
        url.set_path(folder);
        // The usual port of the web is left out by the parser even where it was written down.
        let port = match url.port() {
            Some(port) => port,
            None if names_port(rest) => url.port_or_known_default().unwrap_or(default),
            None => {
                url.set_port(Some(default)).map_err(|()| AddressError::Room)?;
                default
            }
        };
        Ok(Self { url, port, room })
    }
}

/// A page of the web that speaks WHIP or WHEP.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(Url);

impl WebAddress {
    pub fn target(&self) -> Target {
        target(&self.0, self.0.port_or_known_default().unwrap_or(0))
    }

    /// What the request line asks for.
    pub fn path(&self) -> String {
        self.0[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
    }

    /// What the `Host` field says.
    pub fn authority(&self) -> &str {
        &self.0[url::Position::BeforeHost..url::Position::BeforePath]
    }

    /// Where a reference in an answer from here leads (RFC 3986, 5).
    pub fn join(&self, reference: &str) -> Option<Self> {
        if reference.len() > MAX_ADDRESS {
            return None;
        }
        Self::of(self.0.join(reference).ok()?).ok()
    }

    /// Whether whatever may be told there may be told here: a token is nobody else's business.
    pub fn is_as_trusted_as(&self, other: &Self) -> bool {
        let (here, there) = (self.target(), other.target());
        here.host == there.host && (here.secure || !there.secure)
    }

    fn of(url: Url) -> Result<Self, AddressError> {
        match url.scheme() {
            _ if has_credentials(&url) => Err(AddressError::Credentials),
            "http" | "https" if url.has_host() => Ok(Self(url)),
            _ => Err(AddressError::Web),
        }
    }
}

impl FromStr for WebAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::of(parse(text.trim()).ok_or(AddressError::Web)?)
    }
}

/// Without the query, where some servers want secrets.
impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[..url::Position::AfterHost])
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(text: &str) -> Option<Url> {
    (text.len() <= MAX_ADDRESS).then(|| Url::parse(text).ok())?.filter(Url::has_host)
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn names_port(text: &str) -> bool {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    after_host.contains(':')
}

fn target(url: &Url, port: u16) -> Target {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Target { secure: matches!(url.scheme(), "wss" | "https"), host: host.into(), port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_taken_apart() {
        for (text, url, secure, host, port, room) in [
            ("janus:ws://localhost:8188/1234", "ws://localhost:8188/", false, "localhost", 8188, "1234"),
            ("ws://10.0.0.7/1", "ws://10.0.0.7:8188/", false, "10.0.0.7", 8188, "1"),
            ("janus:ws://[::1]:80/1", "ws://[::1]/", false, "::1", 80, "1"),
            ("janus:wss://a.example/r", "wss://a.example:8989/", true, "a.example", 8989, "r"),
            ("janus:wss://a.example:443/janus/r/", "wss://a.example/janus", true, "a.example", 443, "r"),
        ] {
            let address: RoomAddress = text.parse().unwrap();
            assert_eq!(address.url(), url, "{text}");
            assert_eq!(address.target(), Target { secure, host: host.into(), port }, "{text}");
            assert_eq!(address.room.to_string(), room, "{text}");
        }
        assert_eq!("ws://h/77".parse::<RoomAddress>().unwrap().room, Id::Number(77));
        assert_eq!("ws://h/x77".parse::<RoomAddress>().unwrap().room, Id::Text("x77".into()));
    }

    #[test]
    fn what_is_no_room_is_refused_with_a_sentence() {
        let long = format!("janus:ws://h/{}", "x".repeat(5000));
        for (text, error) in [
            ("", AddressError::Room),
            ("janus:", AddressError::Room),
            ("janus:http://h/1", AddressError::Room),
            ("janus:ws://h/1?a=b", AddressError::Room),
            ("janus:ws://h", AddressError::NoRoom),
            ("janus:ws://h/", AddressError::NoRoom),
            ("janus:ws://ann:secret@h/1", AddressError::Credentials),
            (&long, AddressError::Room),
        ] {
            assert_eq!(text.parse::<RoomAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn references_lead_where_the_web_says() {
        let base: WebAddress = "https://a.example:8443/whip/cam?key=s3cret".parse().unwrap();
        assert_eq!(base.path(), "/whip/cam?key=s3cret");
        assert_eq!(base.authority(), "a.example:8443");
        assert!(!format!("{base} {base:?}").contains("s3cret"));
        for (reference, path) in
            [("/s/1", "/s/1"), ("1", "/whip/1"), ("https://b.example/x?y", "/x?y"), ("?z", "/whip/cam?z")]
        {
            assert_eq!(base.join(reference).unwrap().path(), path, "{reference}");
        }
        for reference in ["ftp://h/x", "https://ann:pw@h/", "https://"] {
            assert_eq!(base.join(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_token_stays_with_its_server() {
        let base: WebAddress = "https://a.example/whip".parse().unwrap();
        let join = |reference: &str| base.join(reference).unwrap();
        assert!(join("/elsewhere").is_as_trusted_as(&base));
        assert!(join("https://a.example:8443/x").is_as_trusted_as(&base));
        assert!(!join("https://b.example/x").is_as_trusted_as(&base));
        assert!(!join("http://a.example/x").is_as_trusted_as(&base));
    }
}
