//! Asks a relay (TURN server) for an address, as a call would, and gives it back at once: does it answer, and does it
//! take the user name and the password (RFC 8656, 7; long-term credentials of RFC 8489, 9.2)? For `twocan doctor`, and
//! for a call whose code came out without a relayed address.

use super::nat::{EXAMINE_LIMIT, resolve, transaction};
use super::stun::{attributes, u16_at};
use super::turn_stream::{Stream, StreamServer, Trouble, dial};
use super::{ServerUrl, Transport};
use crate::room::diagnosis::Relay;
use crate::settings::IceServer;
use rtc::stun::attributes::{
    ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, AttrType,
};
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    CLASS_REQUEST, METHOD_ALLOCATE, METHOD_REFRESH, Message, MessageType, Method, Setter, TransactionId,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

/// A request goes out again after this, over UDP.
const REPEAT: Duration = Duration::from_millis(400);
/// How long a server may take for one answer.
const ANSWER: Duration = Duration::from_millis(1600);
const HEADER: usize = 20;
const ALLOCATE_SUCCESS: u16 = 0x0103;
const ALLOCATE_ERROR: u16 = 0x0113;
const ERROR_CODE: u16 = 0x0009;
const UDP_PROTOCOL: u8 = 17;
/// RFC 8489, 14.8: without or with wrong credentials, forbidden, wrong for this allocation.
const REFUSALS: [u16; 3] = [401, 403, 441];
/// RFC 8489, 9.2.5: the nonce was a moment too old.
const STALE_NONCE: u16 = 438;

/// What a relay says to a request with our credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    pub relay: Relay,
    /// The error that it named.
    pub code: Option<u16>,
}

/// One answer to an Allocate request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Granted,
    Refused { code: u16, realm: String, nonce: Vec<u8> },
}

/// Takes at most [`EXAMINE_LIMIT`](super::nat::EXAMINE_LIMIT).
pub async fn try_relay(server: &IceServer) -> Tried {
    let silent = Tried { relay: Relay::NoAnswer, ..Tried::default() };
    timeout(EXAMINE_LIMIT, try_slowly(server)).await.unwrap_or(silent)
}

async fn try_slowly(server: &IceServer) -> Tried {
    let silent = Tried { relay: Relay::NoAnswer, ..Tried::default() };
    let Ok(place) = ServerUrl::parse(&server.url) else { return silent };
    let addresses = resolve(&place).await;
    let mut line = match Line::open(place, addresses).await {
        Ok(line) => line,
        Err(relay) => return Tried { relay, code: None },
    };
    let Some(first) = line.ask(&allocate(None)).await else { return silent };
    let mut answer = first;
    // Asked without credentials first, for realm and nonce; a nonce may be stale once more.
    for _ in 0..2 {
        let Answer::Refused { code: 401 | STALE_NONCE, realm, nonce } = &answer else { break };
        let login = Login { server, realm: realm.clone(), nonce: nonce.clone() };
        let Some(next) = line.ask(&allocate(Some(&login))).await else { return silent };
        if next == Answer::Granted {
            line.send(&give_back(&login)).await;
        }
        let is_final = !matches!(next, Answer::Refused { code: STALE_NONCE, .. });
        answer = next;
        if is_final {
            break;
        }
    }
    match answer {
        Answer::Granted => Tried { relay: Relay::Works, ..Tried::default() },
        Answer::Refused { code, .. } => {
            let relay = if REFUSALS.contains(&code) { Relay::Refused } else { Relay::NoAnswer };
            Tried { relay, code: Some(code), ..Tried::default() }
        }
    }
}

/// Who we are to the server.
struct Login<'a> {
    server: &'a IceServer,
    realm: String,
    nonce: Vec<u8>,
}

fn request(method: Method, attributes: &[(AttrType, &[u8])], login: Option<&Login<'_>>) -> Vec<u8> {
    let mut message = Message::new();
    message.transaction_id = TransactionId(transaction());
    message.set_type(MessageType { method, class: CLASS_REQUEST });
    message.write_header();
    for (kind, value) in attributes {
        message.add(*kind, value);
    }
    if let Some(login) = login {
        message.add(ATTR_USERNAME, login.server.user.as_bytes());
        message.add(ATTR_REALM, login.realm.as_bytes());
        message.add(ATTR_NONCE, &login.nonce);
        let (user, password) = (login.server.user.clone(), login.server.password.clone());
        if let Ok(crypto) = rtc::crypto::default_provider() {
            let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
                user,
                login.realm.clone(),
                password,
                crypto.crypto(),
            );
            // Unsigned, it is refused, which is an answer as well.
            let _ = integrity.and_then(|integrity| integrity.add_to(&mut message));
        }
    }
    message.raw
}

fn allocate(login: Option<&Login<'_>>) -> Vec<u8> {
    request(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[UDP_PROTOCOL, 0, 0, 0])], login)
}

fn give_back(login: &Login<'_>) -> Vec<u8> {
    request(METHOD_REFRESH, &[(ATTR_LIFETIME, &[0; 4])], Some(login))
}

/// The answer to an Allocate request with this id.
fn read(datagram: &[u8], id: &[u8]) -> Option<Answer> {
    let (header, body) = datagram.split_at_checked(HEADER)?;
    if &header[8..] != id {
        return None;
    }
    match u16_at(header, 0)? {
        ALLOCATE_SUCCESS => Some(Answer::Granted),
        ALLOCATE_ERROR => {
            let value =
                |wanted: u16| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
            let error = value(ERROR_CODE)?;
            let code = u16::from(*error.get(2)? & 7) * 100 + u16::from(*error.get(3)?);
            let realm = String::from_utf8_lossy(value(ATTR_REALM.0).unwrap_or_default()).into_owned();
            Some(Answer::Refused { code, realm, nonce: value(ATTR_NONCE.0).unwrap_or_default().to_vec() })
        }
        _ => None,
    }
}

/// The way to the server.
enum Line {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>),
}

impl Line {
    async fn open(server: ServerUrl, addresses: Vec<SocketAddr>) -> Result<Self, Relay> {
        if server.transport == Transport::Udp {
            let to = *addresses.first().ok_or(Relay::NoAnswer)?;
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).await.map_err(|_| Relay::NoAnswer)?;
            socket.connect(to).await.map_err(|_| Relay::NoAnswer)?;
            return Ok(Self::Udp(socket));
        }
        let tls = server.transport == Transport::Tls;
        match dial(&StreamServer { host: server.host, addresses, tls, bind: Vec::new() }).await {
            Ok(stream) => Ok(Self::Stream(stream)),
            Err(Trouble::Certificate) => Err(Relay::Untrusted),
            Err(_) => Err(Relay::NoAnswer),
        }
    }

    async fn send(&mut self, request: &[u8]) {
        match self {
            // A datagram that finds no way is repeated; a connection that broke gives no answer.
            Self::Udp(socket) => drop(socket.send(request).await),
            Self::Stream(stream) => drop(stream.write_all(request).await),
        }
    }

    /// Sends a request until its answer comes, or the time is up.
    async fn ask(&mut self, request: &[u8]) -> Option<Answer> {
        let id = request.get(8..HEADER)?;
        let deadline = Instant::now() + ANSWER;
        let mut repeat_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= deadline {
                return None;
            }
            if now >= repeat_at {
                self.send(request).await;
                // A stream repeats by itself.
                repeat_at = if matches!(self, Self::Udp(_)) { now + REPEAT } else { deadline };
            }
            match timeout_at(repeat_at.min(deadline), self.receive()).await {
                Ok(Some(datagram)) => {
                    if let Some(answer) = read(&datagram, id) {
                        return Some(answer);
                    }
                }
                // Nobody listens there.
                Ok(None) => return None,
                Err(_) => {}
            }
        }
    }

    async fn receive(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut datagram = vec![0; 1500];
                let length = socket.recv(&mut datagram).await.ok()?;
                datagram.truncate(length);
                Some(datagram)
            }
            Self::Stream(stream) => {
                let mut message = vec![0; HEADER];
                stream.read_exact(&mut message).await.ok()?;
                let length = usize::from(u16_at(&message, 2)?);
                message.resize(HEADER + length, 0);
                stream.read_exact(&mut message[HEADER..]).await.ok()?;
                Some(message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay that knows one user by the length of its name, and otherwise says no with this code.
    async fn relay(refusal: u8) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("turn:{}?transport=udp", socket.local_addr().unwrap());
        tokio::spawn(async move {
            let mut request = [0; 600];
            while let Ok((length, source)) = socket.recv_from(&mut request).await {
                let request = &request[..length];
                let user = attributes(&request[HEADER..]).find(|(kind, _)| *kind == ATTR_USERNAME.0);
                let granted = user.is_some_and(|(_, name)| name == b"lab");
                let mut reply = request[..HEADER].to_vec();
                if granted {
                    reply[..2].copy_from_slice(&ALLOCATE_SUCCESS.to_be_bytes());
                    reply[3] = 0;
                } else {
                    let code = if user.is_some() { refusal } else { 1 };
                    reply[..2].copy_from_slice(&ALLOCATE_ERROR.to_be_bytes());
                    reply[3] = 24;
                    reply.extend([0, 9, 0, 4, 0, 0, 4, code, 0, 0x14, 0, 3, b'l', b'a', b'b', 0]);
                    reply.extend([0, 0x15, 0, 4, b'o', b'n', b'c', b'e']);
                }
                socket.send_to(&reply, source).await.unwrap();
            }
        });
        url
    }

    async fn tried(url: &str, user: &str) -> Tried {
        let (user, password) = (user.to_owned(), "secret".to_owned());
        try_relay(&IceServer { url: url.into(), user, password }).await
    }

    #[tokio::test]
    async fn a_relay_is_asked_with_the_credentials() {
        let (strict, full) = (relay(1).await, relay(86).await);
        let tried_with = |relay, code| Tried { relay, code };
        assert_eq!(tried(&strict, "lab").await, tried_with(Relay::Works, None));
        assert_eq!(tried(&strict, "eve").await, tried_with(Relay::Refused, Some(401)));
        // 486: it gives this user no more addresses. No matter of the password.
        assert_eq!(tried(&full, "eve").await, tried_with(Relay::NoAnswer, Some(486)));
    }

    #[tokio::test]
    async fn a_relay_that_is_not_there_is_given_up() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = silent.local_addr().unwrap();
        for url in [format!("turn:{at}"), format!("turn:{at}?transport=tcp"), format!("turns:{at}")] {
            assert_eq!(tried(&url, "lab").await.relay, Relay::NoAnswer, "{url}");
        }
    }

    #[test]
    fn damaged_answers_are_no_answers() {
        let mut whole = vec![1, 0x13, 0, 8];
        whole.extend([0; 16]);
        whole.extend([0, 9, 0, 4, 0, 0, 4, 1]);
        let id = [0; 12];
        assert!(matches!(read(&whole, &id), Some(Answer::Refused { code: 401, .. })));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end], &id), None, "{end}");
        }
        assert_eq!(read(&whole, &[1; 12]), None);
    }
}
