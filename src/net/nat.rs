//! Finds out what kind of network this computer is in: asks STUN servers from one socket what address they see
//! (RFC 8489), and those with a second address to answer from elsewhere (RFC 5780). [`room::nat`](crate::room::nat)
//! judges the answers. The engine asks when it starts and when the addresses of this computer change, `twocan doctor`
//! when it runs. All of it is bounded in time and keeps nobody waiting.

use super::stun::{Answer, From, TransactionId, binding_request, binding_request_from, read_answer};
use super::{NetConfig, ServerUrl, Transport, address};
use crate::room::nat::{Elsewhere, Observations, Outlook, Seen, filtering, judge};
use crate::settings::IceServer;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Google runs the same service at these too; one place alone cannot tell the kind of a NAT.
const GOOGLE_OTHERS: [&str; 2] = ["stun:stun1.l.google.com:19302", "stun:stun.l.google.com:19305"];
/// Server addresses asked, of each family; two tell, the others make up for those that do not answer.
const MAX_ASKED: usize = 6;
/// How long name servers may take.
const RESOLVE: Duration = Duration::from_millis(1200);
/// How long servers may take to answer.
const ANSWER: Duration = Duration::from_millis(1500);
/// Once two have answered, the others get so long.
const LATE: Duration = Duration::from_millis(300);
/// Requests are repeated at this pace: datagrams get lost.
const REPEAT: Duration = Duration::from_millis(300);
/// How long an answer from elsewhere may take: it often does not come.
const ELSEWHERE: Duration = Duration::from_millis(1000);
/// All of the above one after the other, with a little to spare.
pub const EXAMINE_LIMIT: Duration = Duration::from_secs(6);
/// How often the addresses of this computer are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// A network that has just come up is not ready at once.
const SETTLE: Duration = Duration::from_secs(1);
/// The port that networks which let nearly nothing out still let out.
const HTTPS_PORT: u16 = 443;
const MAX_DATAGRAM: usize = 1500;

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub outlook: Outlook,
    /// The addresses that a code could carry.
    pub local_addresses: Vec<IpAddr>,
    /// Those by which servers see this computer.
    pub public_addresses: Vec<IpAddr>,
    /// The STUN servers that are set, and whether they answered.
    pub stun_servers: Vec<(String, bool)>,
}

/// Whether the URL is that of a relay.
pub fn is_turn(url: &str) -> bool {
    url.trim_start().to_ascii_lowercase().starts_with("turn")
}

/// The addresses of a server; empty if its name is not found in time.
pub(super) async fn resolve(server: &ServerUrl) -> Vec<SocketAddr> {
    let found = timeout(RESOLVE, tokio::net::lookup_host((server.host.as_str(), server.port))).await;
    found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default()
}

/// One address of a server, and what it answered.
#[derive(Clone, Debug)]
struct Question {
    /// Which of the servers that were set; several have the same if one has several addresses.
    url: String,
    to: SocketAddr,
    id: TransactionId,
    answer: Option<Answer>,
}

impl Question {
    fn new(url: &str, to: SocketAddr) -> Self {
        Self { url: url.into(), to, id: transaction(), answer: None }
    }
}

/// Takes at most [`EXAMINE_LIMIT`].
pub async fn examine(config: &NetConfig) -> Report {
    let local_addresses = present(config).await;
    let mut outlook = Outlook {
        has_relay: config.ice_servers.iter().any(|server| is_turn(&server.url)),
        has_network: !local_addresses.is_empty(),
        ..Outlook::default()
    };
    let (mut v4, mut v6) = questions(&config.ice_servers).await;
    let asked = !config.ice_servers.is_empty();
    let from = |any: IpAddr| {
        let named = config.bind.iter().find(|ip| ip.is_ipv6() == any.is_ipv6());
        named.copied().unwrap_or(any)
    };
    let (v4_from, v6_from) = (from(Ipv4Addr::UNSPECIFIED.into()), from(Ipv6Addr::UNSPECIFIED.into()));
    let (v4_port, v6_port) = tokio::join!(ask(&mut v4, v4_from), ask(&mut v6, v6_from));
    outlook.ipv6 = v6.iter().any(|question| question.answer.is_some());
    // What IPv4 does is the harder part; IPv6 alone has no translation as a rule.
    let is_v4 = v4.iter().any(|question| question.answer.is_some()) || !outlook.ipv6;
    let (decisive, local_port, source) =
        if is_v4 { (&v4, v4_port, v4_from) } else { (&v6, v6_port, v6_from) };
    if let Some((server, other)) = second_address(decisive) {
        outlook.filtering = filtering(elsewhere(source, server, other).await);
    }
    let is_silent = decisive.iter().all(|question| question.answer.is_none());
    outlook.nat = judge(&Observations {
        asked,
        answers: seen(decisive),
        local_addresses: local_addresses.clone(),
        local_port: local_port.unwrap_or_default(),
        tcp_answers: asked && is_silent && answers_over_tcp(&config.ice_servers).await,
    });
    let all = || v4.iter().chain(&v6);
    let mut public_addresses: Vec<IpAddr> =
        all().filter_map(|question| Some(question.answer?.mapped.ip())).collect();
    public_addresses.sort();
    public_addresses.dedup();
    let stun_servers = config.ice_servers.iter().filter(|server| !is_turn(&server.url)).map(|server| {
        let answers = all().any(|question| question.url == server.url && question.answer.is_some());
        (server.url.clone(), answers)
    });
    Report { outlook, local_addresses, public_addresses, stun_servers: stun_servers.collect() }
}

/// Examines the network now, and again whenever the addresses of this computer have changed, until nobody listens.
pub async fn follow(config: NetConfig, outlooks: mpsc::Sender<Outlook>) {
    let mut known: Option<Vec<IpAddr>> = None;
    loop {
        let mut addresses = present(&config).await;
        addresses.sort();
        if known.as_ref() != Some(&addresses) {
            if known.is_some() {
                tokio::time::sleep(SETTLE).await;
            }
            known = Some(addresses);
            let report = examine(&config).await;
            tracing::info!(nat = report.outlook.nat.word(), ipv6 = report.outlook.ipv6, "the network");
            if outlooks.send(report.outlook).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = outlooks.closed() => return,
        }
    }
}

/// The system's answer can take a few milliseconds.
async fn present(config: &NetConfig) -> Vec<IpAddr> {
    let config = config.clone();
    let found = tokio::task::spawn_blocking(move || address::present(&config)).await;
    found.ok().flatten().unwrap_or_default()
}

/// Whom to ask, over IPv4 and over IPv6.
async fn questions(servers: &[IceServer]) -> (Vec<Question>, Vec<Question>) {
    let mut places: Vec<(&str, ServerUrl)> = Vec::new();
    for server in servers {
        places.extend(ServerUrl::parse(&server.url).map(|place| (server.url.as_str(), place)));
    }
    if servers.iter().any(|server| server.url == IceServer::GOOGLE_STUN) {
        let others = GOOGLE_OTHERS.iter().filter_map(|url| ServerUrl::parse(url).ok());
        places.extend(others.map(|place| (IceServer::GOOGLE_STUN, place)));
    }
    places.retain(|(_, place)| place.transport == Transport::Udp);
    let mut lookups = tokio::task::JoinSet::new();
    for (at, (url, place)) in places.into_iter().enumerate() {
        let url = url.to_owned();
        lookups.spawn(async move { (at, url, resolve(&place).await) });
    }
    let mut found = lookups.join_all().await;
    found.sort_by_key(|(at, ..)| *at);
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (_, url, addresses) in &found {
        for to in addresses {
            let list: &mut Vec<Question> = if to.is_ipv4() { &mut v4 } else { &mut v6 };
            if list.len() < MAX_ASKED && list.iter().all(|question| question.to != *to) {
                list.push(Question::new(url, *to));
            }
        }
    }
    (v4, v6)
}

/// Asks all from one socket until each has answered or the time is up; servers that have a second address are asked
/// there as well. Gives the socket's port.
async fn ask(questions: &mut Vec<Question>, from: IpAddr) -> Option<u16> {
    if questions.is_empty() {
        return None;
    }
    let socket = UdpSocket::bind((from, 0)).await.ok()?;
    let port = socket.local_addr().ok()?.port();
    let mut deadline = Instant::now() + ANSWER;
    let mut datagram = [0; MAX_DATAGRAM];
    while Instant::now() < deadline {
        for question in questions.iter().filter(|question| question.answer.is_none()) {
            // No way to this one (no IPv6, say): it counts as no answer.
            let _ = socket.send_to(&binding_request(question.id), question.to).await;
        }
        let repeat_at = (Instant::now() + REPEAT).min(deadline);
        while let Ok(received) = timeout_at(repeat_at.min(deadline), socket.recv_from(&mut datagram)).await {
            let Ok((length, source)) = received else { continue };
            let Some(question) = questions.iter_mut().find(|q| q.to == source && q.answer.is_none()) else {
                continue;
            };
            question.answer = read_answer(&datagram[..length], question.id);
            let (url, other) = (question.url.clone(), question.answer.and_then(|answer| answer.other));
            if let Some(other) = other.filter(|other| other.is_ipv4() == source.is_ipv4())
                && questions.len() < MAX_ASKED
                && questions.iter().all(|question| question.to != other)
            {
                let question = Question::new(&url, other);
                let _ = socket.send_to(&binding_request(question.id), question.to).await;
                questions.push(question);
            }
            let answered = questions.iter().filter(|question| question.answer.is_some()).count();
            if answered == questions.len() {
                return Some(port);
            }
            if answered >= 2 {
                deadline = deadline.min(Instant::now() + LATE);
            }
        }
    }
    Some(port)
}

fn seen(questions: &[Question]) -> Vec<Seen> {
    let answered = questions.iter().filter_map(|question| {
        question.answer.map(|answer| Seen { by: question.to, as_address: answer.mapped })
    });
    answered.collect()
}

/// A server that can answer from another address: where it was asked, and that address.
fn second_address(questions: &[Question]) -> Option<(SocketAddr, SocketAddr)> {
    questions.iter().find_map(|question| {
        let other = question.answer?.other?;
        (other.ip() != question.to.ip() && other.port() != question.to.port()).then_some((question.to, other))
    })
}

/// Asks a server to answer from elsewhere (RFC 5780, 4.4). From a socket that has sent nothing to that address.
async fn elsewhere(from: IpAddr, server: SocketAddr, other: SocketAddr) -> Elsewhere {
    let Ok(socket) = UdpSocket::bind((from, 0)).await else { return Elsewhere::default() };
    let (there, beside) = (transaction(), transaction());
    let requests = [
        binding_request(transaction()).to_vec(),
        binding_request_from(there, From::OtherAddressAndPort),
        binding_request_from(beside, From::OtherPort),
    ];
    let mut found = Elsewhere { other_address: Some(false), other_port: Some(false) };
    let deadline = Instant::now() + ELSEWHERE;
    let mut datagram = [0; MAX_DATAGRAM];
    while Instant::now() < deadline {
        for request in &requests {
            let _ = socket.send_to(request, server).await;
        }
        let repeat_at = (Instant::now() + REPEAT).min(deadline);
        while let Ok(received) = timeout_at(repeat_at, socket.recv_from(&mut datagram)).await {
            let Ok((length, source)) = received else { continue };
            let answers = |id| read_answer(&datagram[..length], id).is_some();
            if source == other && answers(there) {
                found.other_address = Some(true);
            }
            if source == SocketAddr::new(server.ip(), other.port()) && answers(beside) {
                found.other_port = Some(true);
            }
            if found.other_address == Some(true) {
                return found;
            }
        }
    }
    found
}

/// Whether anything there takes a TCP connection: then it is UDP that is blocked, not the internet that is gone.
async fn answers_over_tcp(servers: &[IceServer]) -> bool {
    let mut tries = tokio::task::JoinSet::new();
    for place in servers.iter().filter_map(|server| ServerUrl::parse(&server.url).ok()).take(MAX_ASKED) {
        tries.spawn(async move {
            let addresses = resolve(&place).await;
            let Some(first) = addresses.first() else { return false };
            let ports = [place.port, HTTPS_PORT].map(|port| SocketAddr::new(first.ip(), port));
            let connect = |to| timeout(ANSWER, TcpStream::connect(to));
            let (own, https) = tokio::join!(connect(ports[0]), connect(ports[1]));
            matches!(own, Ok(Ok(_))) || matches!(https, Ok(Ok(_)))
        });
    }
    while let Some(answers) = tries.join_next().await {
        if answers.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// From the operating system's source of randomness.
pub(super) fn transaction() -> TransactionId {
    let mut id = TransactionId::default();
    SystemRandom::new().fill(&mut id).expect("the operating system gives random numbers");
    id
}

#[cfg(test)]
mod tests {
    use super::super::stun::tests::answer;
    use super::*;
    use crate::room::nat::{Mapping, Nat};

    /// A STUN server on this machine that sees whoever asks behind the port `shift` higher.
    async fn server(shift: u16) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("stun:{}", socket.local_addr().unwrap());
        tokio::spawn(async move {
            let mut request = [0; 100];
            while let Ok((length, mut source)) = socket.recv_from(&mut request).await {
                let reply = source;
                source.set_port(source.port().wrapping_add(shift));
                socket.send_to(&answer(&request[..length], source), reply).await.unwrap();
            }
        });
        url
    }

    async fn examined(urls: &[String]) -> Report {
        let ice_servers = urls.iter().map(|url| IceServer::stun(url)).collect();
        let bind = vec!["127.0.0.1".parse().unwrap()];
        examine(&NetConfig { ice_servers, bind, ..NetConfig::default() }).await
    }

    #[tokio::test]
    async fn the_kind_of_nat_shows_in_what_the_servers_see() {
        let (true_1, true_2, odd, odder) =
            (server(0).await, server(0).await, server(1).await, server(2).await);
        let rows = [
            (vec![true_1.clone(), true_2], Nat::Public),
            (vec![odd.clone(), server(1).await], Nat::Translated(Mapping::EndpointIndependent)),
            (vec![odd.clone(), odder], Nat::Translated(Mapping::EndpointDependent)),
            (vec![odd], Nat::Translated(Mapping::Unknown)),
            (vec![], Nat::NotAsked),
        ];
        for (urls, nat) in rows {
            let report = examined(&urls).await;
            assert_eq!(report.outlook.nat, nat, "{report:?}");
            assert!(report.stun_servers.iter().all(|(_, answers)| *answers), "{report:?}");
        }
        assert_eq!(examined(&[true_1]).await.public_addresses, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }

    #[tokio::test]
    async fn silence_is_told_from_blocked_udp() {
        // A port that nothing answers on, and one that takes TCP connections.
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deaf = UdpSocket::bind(listener.local_addr().unwrap()).await;
        let url = |address: SocketAddr| format!("stun:{address}");
        let report = examined(&[url(silent.local_addr().unwrap())]).await;
        assert_eq!((report.outlook.nat, report.stun_servers[0].1), (Nat::NoAnswer, false));
        if deaf.is_ok() {
            let report = examined(&[url(listener.local_addr().unwrap())]).await;
            assert_eq!(report.outlook.nat, Nat::UdpBlocked);
        }
    }
}
