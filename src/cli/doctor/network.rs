//! What the network lets through: the machine's own addresses, and how it looks from outside.
//!
//! One socket asks several STUN servers. If all see the same address, the router keeps one outer port for one inner
//! (RFC 4787: endpoint-independent mapping), and the address in a code is good for everybody. If they see different
//! ones, it is good for nobody but that server.

use super::super::args::is_turn;
use super::super::stun::{TransactionId, binding_request, mapped_address};
use crate::net::NetConfig;
use crate::settings::IceServer;
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// STUN (RFC 8489) where no port is named.
const DEFAULT_PORT: u16 = 3478;
/// Google runs the same service at these; one place alone cannot tell the kind of a NAT.
const GOOGLE_SECOND: &str = "stun1.l.google.com:19302";
/// Servers asked; two tell, the others make up for those that do not answer.
const MAX_SERVERS: usize = 6;
/// Requests are repeated at this pace: datagrams get lost.
const REPEAT: Duration = Duration::from_millis(300);

/// What the router does to our packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// The machine has the address by which it is seen.
    None,
    /// One outer port for one inner: a direct connection comes up with most networks.
    Easy,
    /// Another outer port for each partner ("symmetric"): a direct connection needs a partner without a NAT.
    Hard,
    /// Only one server answered.
    Unknown,
    /// No server answered.
    #[default]
    Unreachable,
    /// There is no server to ask.
    NotAsked,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub local_addresses: Vec<IpAddr>,
    pub stun_servers: Vec<Server>,
    pub turn_servers: Vec<Server>,
    pub public_addresses: Vec<IpAddr>,
    pub nat: Nat,
    /// A server answered over IPv6.
    pub ipv6: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    pub url: String,
    pub answers: bool,
}

/// One server address and what it answered.
#[derive(Clone, Debug)]
struct Question {
    url: String,
    to: SocketAddr,
    id: TransactionId,
    mapped: Option<SocketAddr>,
}

/// Takes until `deadline` if a server does not answer.
pub fn examine(net: &NetConfig, deadline: Instant) -> Network {
    let (turns, stuns): (Vec<&IceServer>, Vec<&IceServer>) =
        net.ice_servers.iter().partition(|server| is_turn(&server.url));
    let mut questions = Vec::new();
    for server in stuns.iter().chain(&turns) {
        ask_of(&mut questions, &server.url, place(&server.url));
    }
    if let Some(server) = stuns.iter().find(|server| server.url == IceServer::GOOGLE_STUN) {
        ask_of(&mut questions, &server.url, GOOGLE_SECOND.into());
    }
    let local_addresses = local_addresses(&net.bind);
    let bound = |v6: bool| net.bind.iter().find(|ip| ip.is_ipv6() == v6).copied();
    let (mut v4, mut v6): (Vec<Question>, Vec<Question>) =
        questions.into_iter().partition(|question| question.to.is_ipv4());
    let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    let v4_port = ask(&mut v4, bound(false).unwrap_or(any[0]), deadline);
    ask(&mut v6, bound(true).unwrap_or(any[1]), deadline);
    let answers = |url: &str| v4.iter().chain(&v6).any(|q| q.url == url && q.mapped.is_some());
    let servers = |list: &[&IceServer]| {
        list.iter().map(|s| Server { url: s.url.clone(), answers: answers(&s.url) }).collect::<Vec<_>>()
    };
    let mut public_addresses: Vec<IpAddr> =
        v4.iter().chain(&v6).filter_map(|q| Some(q.mapped?.ip())).collect();
    public_addresses.sort();
    public_addresses.dedup();
    Network {
        nat: if stuns.is_empty() && turns.is_empty() {
            Nat::NotAsked
        } else {
            nat(&v4, v4_port, &local_addresses)
        },
        stun_servers: servers(&stuns),
        turn_servers: servers(&turns),
        ipv6: v6.iter().any(|question| question.mapped.is_some()),
        public_addresses,
        local_addresses,
    }
}

/// What the answers over IPv4 say of the router.
fn nat(questions: &[Question], local_port: Option<u16>, local: &[IpAddr]) -> Nat {
    let mut seen: Vec<SocketAddr> = questions.iter().filter_map(|question| question.mapped).collect();
    let answers = seen.len();
    seen.sort();
    seen.dedup();
    match seen[..] {
        [] => Nat::Unreachable,
        [one] if local.contains(&one.ip()) && Some(one.port()) == local_port => Nat::None,
        [_] if answers == 1 => Nat::Unknown,
        [_] => Nat::Easy,
        _ => Nat::Hard,
    }
}

/// `host:port` of an ICE server's URL.
fn place(url: &str) -> String {
    let place = url.split_once(':').map_or(url, |(_, place)| place);
    let place = place.split('?').next().unwrap_or(place);
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { place.to_owned() } else { format!("{place}:{DEFAULT_PORT}") }
}

/// Adds a question for each address of the server. Looking up a name may take long: the whole probe is bounded.
fn ask_of(questions: &mut Vec<Question>, url: &str, place: String) {
    let Ok(addresses) = place.to_socket_addrs() else { return };
    for to in addresses {
        if questions.len() < MAX_SERVERS && questions.iter().all(|question| question.to != to) {
            questions.push(Question { url: url.to_owned(), to, id: random_id(), mapped: None });
        }
    }
}

/// The hash state of the standard library is random; that is all a transaction id needs to be.
fn random_id() -> TransactionId {
    let mut id = TransactionId::default();
    for part in id.chunks_mut(4) {
        part.copy_from_slice(&RandomState::new().hash_one(0).to_be_bytes()[..4]);
    }
    id
}

/// Asks all from one socket until each has answered or the time is up. Gives the socket's port.
fn ask(questions: &mut [Question], from: IpAddr, deadline: Instant) -> Option<u16> {
    if questions.is_empty() {
        return None;
    }
    let socket = UdpSocket::bind((from, 0)).ok()?;
    let port = socket.local_addr().ok()?.port();
    let mut datagram = [0; 1500];
    while questions.iter().any(|question| question.mapped.is_none()) {
        for question in questions.iter().filter(|question| question.mapped.is_none()) {
            // No way to this one (no IPv6, say): it counts as no answer.
            let _ = socket.send_to(&binding_request(question.id), question.to);
        }
        let repeat_at = Instant::now() + REPEAT;
        while let Some(wait) = repeat_at.min(deadline).checked_duration_since(Instant::now())
            && !wait.is_zero()
            && questions.iter().any(|question| question.mapped.is_none())
        {
            socket.set_read_timeout(Some(wait)).ok()?;
            let Ok((length, source)) = socket.recv_from(&mut datagram) else { continue };
            for question in questions.iter_mut().filter(|question| question.to == source) {
                question.mapped = question.mapped.or(mapped_address(&datagram[..length], question.id));
            }
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Some(port)
}

/// What a code could carry: the addresses named with `--bind`, else all but loopback and link-local.
fn local_addresses(bind: &[IpAddr]) -> Vec<IpAddr> {
    if !bind.is_empty() {
        return bind.to_vec();
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let is_usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    interfaces.iter().map(if_addrs::Interface::ip).filter(is_usable).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::stun::tests::answer;
    use super::*;

    /// A STUN server on this machine that sees whoever asks behind the port `shift` higher.
    fn server(shift: u16) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("stun:{}", socket.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut request = [0; 100];
            while let Ok((length, mut source)) = socket.recv_from(&mut request) {
                let reply = source;
                source.set_port(source.port().wrapping_add(shift));
                socket.send_to(&answer(&request[..length], source), reply).unwrap();
            }
        });
        url
    }

    fn examined(urls: &[String], bind: &str) -> Network {
        let ice_servers = urls.iter().map(|url| IceServer::stun(url)).collect();
        let net = NetConfig { ice_servers, bind: vec![bind.parse().unwrap()], ..NetConfig::default() };
        examine(&net, Instant::now() + Duration::from_secs(20))
    }

    #[test]
    fn the_kind_of_nat_shows_in_what_the_servers_see() {
        let (true_1, true_2, odd, odder) = (server(0), server(0), server(1), server(2));
        let rows = [
            (vec![true_1.clone(), true_2], Nat::None),
            (vec![odd.clone(), server(1)], Nat::Easy),
            (vec![odd.clone(), odder], Nat::Hard),
            (vec![odd], Nat::Unknown),
            (vec![], Nat::NotAsked),
        ];
        for (urls, nat) in rows {
            let network = examined(&urls, "127.0.0.1");
            assert_eq!(network.nat, nat, "{network:?}");
            assert!(network.stun_servers.iter().all(|server| server.answers), "{network:?}");
        }
        assert_eq!(examined(&[true_1], "127.0.0.1").public_addresses, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }

    #[test]
    fn a_server_that_is_silent_costs_only_the_time_given() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("stun:{}", silent.local_addr().unwrap());
        let net = NetConfig { ice_servers: vec![IceServer::stun(&url)], ..NetConfig::default() };
        let network = examine(&net, Instant::now());
        assert_eq!((network.nat, network.stun_servers[0].answers), (Nat::Unreachable, false));
    }

    #[test]
    fn the_place_of_a_server_is_read_from_its_url() {
        for (url, place_) in [
            ("stun:example.org", "example.org:3478"),
            ("stun:example.org:19302", "example.org:19302"),
            ("turn:example.org:3479?transport=udp", "example.org:3479"),
            ("turn:[2001:db8::1]?transport=tcp", "[2001:db8::1]:3478"),
        ] {
            assert_eq!(place(url), place_, "{url}");
        }
    }
}
