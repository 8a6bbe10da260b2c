//! Which addresses a connection listens on, and the ICE servers in the form webrtc can use at once.
//!
//! Host names are resolved here, with a limit in time: webrtc would resolve them inside its driver loop, where a
//! name server that does not answer stops everything, gathering of the host candidates included.

use super::{NetConfig, NetError};
use crate::settings::IceServer;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use webrtc::peer_connection::RTCIceServer;

/// A machine with many virtual interfaces has dozens of addresses; each costs a socket, a candidate and checks
/// with every address of the other side.
const MAX_ADDRESSES: usize = 16;
/// How long name servers may take; the rest of the gathering time is for the ICE servers.
const RESOLVE_TIMEOUT: Duration = Duration::from_millis(1200);
const STUN_PORT: u16 = 3478;

/// The sockets to open; the port is always free to choose.
pub(super) fn listen_on(config: &NetConfig) -> Result<Vec<SocketAddr>, NetError> {
    let mut addresses = config.bind.clone();
    if addresses.is_empty() {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        addresses = interfaces.into_iter().map(|interface| interface.ip()).filter(is_reachable).collect();
        // IPv4 first: a machine may have many temporary IPv6 addresses.
        addresses.sort_by_key(|address| address.is_ipv6());
    }
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() {
        return Err(NetError::NoNetwork);
    }
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
}

/// The addresses that the shared port needs a socket on, for a connection that listens on these.
pub(super) fn of_port(config: &NetConfig, listen_on: &[SocketAddr]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = listen_on.iter().map(SocketAddr::ip).collect();
    if addresses.iter().any(IpAddr::is_unspecified) {
        addresses.extend(present(config).unwrap_or_default());
    }
    addresses.retain(|address| !address.is_unspecified());
    addresses
}

/// Where the TURN servers are.
pub(super) fn relays(servers: &[RTCIceServer]) -> Arc<[SocketAddr]> {
    of_scheme(servers, "turn:").collect()
}

/// Where the STUN servers are.
pub(super) fn stun_servers(servers: &[RTCIceServer]) -> Vec<SocketAddr> {
    of_scheme(servers, "stun:").collect()
}

fn of_scheme<'a>(servers: &'a [RTCIceServer], scheme: &'a str) -> impl Iterator<Item = SocketAddr> + 'a {
    let urls = servers.iter().flat_map(|server| &server.urls);
    let addresses = urls.filter_map(move |url| url.strip_prefix(scheme));
    addresses.filter_map(|address| address.split('?').next()?.parse().ok())
}

/// Those of the machine's addresses that a connection with this configuration may use now; `None` if the system does
/// not say.
pub(super) fn present(config: &NetConfig) -> Option<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let wanted = |address: &IpAddr| {
        let named = |bind: &IpAddr| {
            bind == address
                || (bind.is_unspecified() && bind.is_ipv4() == address.is_ipv4() && is_reachable(address))
        };
        if config.bind.is_empty() { is_reachable(address) } else { config.bind.iter().any(named) }
    };
    Some(interfaces.into_iter().map(|interface| interface.ip()).filter(wanted).collect())
}

/// Whether another machine could reach this address. A link-local one lacks its zone in a candidate.
fn is_reachable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Stun,
    Turn,
}

/// `stun:host:port` or `turn:host:port?transport=udp`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerUrl {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl ServerUrl {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.trim().split_once(':').ok_or("it starts with “stun:” or “turn:”")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "stun" => Scheme::Stun,
            "turn" => Scheme::Turn,
            "stuns" | "turns" => return Err("servers over TLS are not supported yet"),
            _ => return Err("it starts with “stun:” or “turn:”"),
        };
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !matches!(query.to_ascii_lowercase().as_str(), "" | "transport=udp") {
            return Err("only “?transport=udp” is supported yet");
        }
        let bracketed = address.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match address.rsplit_once(':') {
                // More than one colon without brackets: an IPv6 address without a port.
                Some((host, _)) if host.contains(':') => (address, None),
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() || host.len() > 253 || host.contains(char::is_whitespace) {
            return Err("the name of the server is missing");
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| "the port is not a number up to 65535")?,
            None => STUN_PORT,
        };
        Ok(Self { scheme, host: host.into(), port })
    }

    fn with_address(&self, address: SocketAddr) -> String {
        match self.scheme {
            Scheme::Stun => format!("stun:{address}"),
            Scheme::Turn => format!("turn:{address}?transport=udp"),
        }
    }
}

/// The servers with their names resolved: one address of each family. Servers that cannot be used are left out
/// with a warning, unless nothing would be left of what `relay_only` needs.
pub(super) async fn ice_servers(config: &NetConfig) -> Result<Vec<RTCIceServer>, NetError> {
    let mut usable = Vec::new();
    let mut first_error = None;
    for server in &config.ice_servers {
        match check(server) {
            Ok(url) => usable.push((server, url)),
            Err(reason) => {
                tracing::warn!(url = server.url, reason, "an ICE server is left out");
                first_error.get_or_insert(NetError::IceServer(server.url.clone(), reason));
            }
        }
    }
    if config.relay_only && !usable.iter().any(|(_, url)| url.scheme == Scheme::Turn) {
        return Err(first_error.unwrap_or(NetError::NoRelay));
    }
    let mut lookups = tokio::task::JoinSet::new();
    for (index, (_, url)) in usable.iter().enumerate() {
        let target = (url.host.clone(), url.port);
        lookups.spawn(async move {
            let found = tokio::net::lookup_host(target).await;
            (index, found.map(|addresses| addresses.collect::<Vec<_>>()).unwrap_or_default())
        });
    }
    let mut servers = Vec::new();
    let deadline = tokio::time::Instant::now() + RESOLVE_TIMEOUT;
    while let Ok(Some(found)) = tokio::time::timeout_at(deadline, lookups.join_next()).await {
        let Ok((index, addresses)) = found else { continue };
        let (server, url) = &usable[index];
        if addresses.is_empty() {
            tracing::warn!(url = server.url, "the name of an ICE server was not found");
        }
        let v4 = addresses.iter().find(|address| address.is_ipv4());
        let v6 = addresses.iter().find(|address| address.is_ipv6());
        let urls: Vec<_> = v4.into_iter().chain(v6).map(|address| url.with_address(*address)).collect();
        if !urls.is_empty() {
            let (username, credential) = (server.user.clone(), server.password.clone());
            servers.push(RTCIceServer { urls, username, credential });
        }
    }
    Ok(servers)
}

fn check(server: &IceServer) -> Result<ServerUrl, &'static str> {
    let url = ServerUrl::parse(&server.url)?;
    if url.scheme == Scheme::Turn && (server.user.is_empty() || server.password.is_empty()) {
        return Err("a TURN server needs a user name and a password");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_taken_apart() {
        let stun = |host: &str, port| Ok(ServerUrl { scheme: Scheme::Stun, host: host.into(), port });
        assert_eq!(ServerUrl::parse(IceServer::GOOGLE_STUN), stun("stun.l.google.com", 19302));
        assert_eq!(ServerUrl::parse("stun:example.org"), stun("example.org", 3478));
        assert_eq!(ServerUrl::parse("STUN:[2001:db8::1]:99"), stun("2001:db8::1", 99));
        assert_eq!(ServerUrl::parse("stun:2001:db8::1"), stun("2001:db8::1", 3478));
        let turn = ServerUrl::parse("turn:relay.example:443?transport=udp").unwrap();
        assert_eq!((turn.scheme, turn.port), (Scheme::Turn, 443));
        let bad =
            ["", "stun", "stun:", "http:x", "turns:x", "turn:x?transport=tcp", "stun:x:99999", "stun:a b"];
        for url in bad {
            assert!(ServerUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn addresses_nobody_could_reach_are_not_used() {
        for (address, reachable) in [
            ("192.168.1.7", true),
            ("2001:db8::7", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("169.254.3.4", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_reachable(&address.parse().unwrap()), reachable, "{address}");
        }
    }

    #[tokio::test]
    async fn a_relay_only_call_without_a_relay_is_refused_and_says_why() {
        let config = |url: &str| NetConfig {
            ice_servers: vec![IceServer::stun(url)],
            relay_only: true,
            ..NetConfig::default()
        };
        assert_eq!(ice_servers(&config("stun:127.0.0.1")).await, Err(NetError::NoRelay));
        assert!(matches!(ice_servers(&config("turns:127.0.0.1")).await, Err(NetError::IceServer(..))));
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        let config =
            NetConfig { ice_servers: vec![IceServer::stun("stun:127.0.0.1:3478")], ..NetConfig::default() };
        let servers = ice_servers(&config).await.unwrap();
        assert_eq!(servers[0].urls, ["stun:127.0.0.1:3478"]);
        let turn =
            RTCIceServer { urls: vec!["turn:[::1]:99?transport=udp".into()], ..RTCIceServer::default() };
        let relay: SocketAddr = "[::1]:99".parse().unwrap();
        assert_eq!(*relays(&[servers[0].clone(), turn]), [relay]);
    }
}
