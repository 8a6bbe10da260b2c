//! Which addresses a connection listens on, and the ICE servers in the form webrtc can use at once.
//!
//! Host names are resolved here, with a limit in time: webrtc would resolve them inside its driver loop, where a
//! name server that does not answer stops everything, gathering of the host candidates included.

use super::interfaces::{self, Address, is_reachable};
use super::server::{ServerUrl, Transport};
use super::turn_stream::{self, StreamServer};
use super::{NetConfig, NetError};
use crate::settings::IceServer;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use webrtc::peer_connection::RTCIceServer;

/// Addresses that the command line names.
const MAX_BIND: usize = 16;
/// How long name servers may take; the rest of the gathering time is for the ICE servers.
const RESOLVE_TIMEOUT: Duration = Duration::from_millis(1200);
/// More servers are not asked: each costs a request from every address of this machine.
const MAX_SERVERS: usize = 8;
/// Addresses of one server that a stream is tried to.
const MAX_STREAM_ADDRESSES: usize = 4;

/// The sockets to open, best address first; the port is always free to choose.
pub(super) fn listen_on(config: &NetConfig) -> Result<Vec<SocketAddr>, NetError> {
    let mut addresses = config.bind.clone();
    if addresses.is_empty() {
        let all = interfaces::addresses().unwrap_or_default();
        addresses = interfaces::best(&all, &interfaces::default_routes());
    }
    addresses.dedup();
    addresses.truncate(MAX_BIND);
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
    Some(of_use(config, interfaces::addresses()?))
}

/// The same, as it was at most this long ago.
pub(super) fn present_lately(config: &NetConfig, age: Duration) -> Option<Vec<IpAddr>> {
    Some(of_use(config, interfaces::addresses_lately(age)?))
}

fn of_use(config: &NetConfig, addresses: Vec<Address>) -> Vec<IpAddr> {
    let wanted = |address: &IpAddr| {
        let named = |bind: &IpAddr| {
            bind == address
                || (bind.is_unspecified() && bind.is_ipv4() == address.is_ipv4() && is_reachable(address))
        };
        if config.bind.is_empty() { is_reachable(address) } else { config.bind.iter().any(named) }
    };
    addresses.into_iter().map(|address| address.ip).filter(wanted).collect()
}

/// The servers of a connection, with their names resolved.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Servers {
    /// As webrtc takes them.
    pub ice: Vec<RTCIceServer>,
    /// Those among them that are reached over a stream, and the addresses they have in `ice`.
    pub streams: Vec<(SocketAddr, StreamServer)>,
}

/// The servers with their names resolved. Over UDP one address of each family. Servers that cannot be used are left
/// out with a warning, unless nothing would be left of what `relay_only` needs. `v6`: there is no socket of IPv4.
pub(super) async fn ice_servers(config: &NetConfig, v6: bool) -> Result<Servers, NetError> {
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
    if config.relay_only {
        usable.retain(|(_, url)| url.is_turn);
    }
    usable.truncate(MAX_SERVERS);
    if config.relay_only && usable.is_empty() {
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
    let mut servers = Servers::default();
    let deadline = tokio::time::Instant::now() + RESOLVE_TIMEOUT;
    while let Ok(Some(found)) = tokio::time::timeout_at(deadline, lookups.join_next()).await {
        let Ok((index, mut addresses)) = found else { continue };
        let (server, url) = &usable[index];
        if addresses.is_empty() {
            tracing::warn!(url = server.url, "the name of an ICE server was not found");
            continue;
        }
        let urls = match url.transport {
            Transport::Udp => {
                let v4 = addresses.iter().find(|address| address.is_ipv4());
                let v6 = addresses.iter().find(|address| address.is_ipv6());
                v4.into_iter().chain(v6).map(|address| written(url.is_turn, *address)).collect()
            }
            Transport::Tcp | Transport::Tls => {
                let at = turn_stream::pretended(index as u8, v6);
                addresses.truncate(MAX_STREAM_ADDRESSES);
                let bind = config.bind.iter().copied().filter(|bind| !bind.is_unspecified()).collect();
                let tls = url.transport == Transport::Tls;
                let stream = StreamServer { host: url.host.clone(), addresses, tls, bind };
                servers.streams.push((at, stream));
                vec![written(true, at)]
            }
        };
        let (username, credential) = (server.user.clone(), server.password.clone());
        servers.ice.push(RTCIceServer { urls, username, credential });
    }
    Ok(servers)
}

fn written(is_turn: bool, address: SocketAddr) -> String {
    if is_turn { format!("turn:{address}?transport=udp") } else { format!("stun:{address}") }
}

fn check(server: &IceServer) -> Result<ServerUrl, &'static str> {
    let url = ServerUrl::parse(&server.url)?;
    if url.is_turn && (server.user.is_empty() || server.password.is_empty()) {
        return Err("a TURN server needs a user name and a password");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_relay_only_call_without_a_relay_is_refused_and_says_why() {
        let config = |url: &str| NetConfig {
            ice_servers: vec![IceServer::stun(url)],
            relay_only: true,
            ..NetConfig::default()
        };
        assert_eq!(ice_servers(&config("stun:127.0.0.1"), false).await, Err(NetError::NoRelay));
        let refused = ice_servers(&config("turns:127.0.0.1"), false).await;
        assert!(matches!(refused, Err(NetError::IceServer(..))), "without a password");
    }

    #[tokio::test]
    async fn addresses_need_no_name_server() {
        let turn = |url: &str| IceServer { url: url.into(), user: "lab".into(), password: "labpass".into() };
        let mut ice_servers =
            vec![IceServer::stun("stun:127.0.0.1:3478"), turn("turn:[::1]:99"), turn("turns:127.0.0.1:443")];
        ice_servers.extend((0..99).map(|_| turn("turn:127.0.0.2:1?transport=tcp")));
        let config = NetConfig { ice_servers, ..NetConfig::default() };
        let servers = super::ice_servers(&config, false).await.unwrap();
        let mut urls: Vec<_> = servers.ice.iter().flat_map(|server| server.urls.clone()).collect();
        urls.sort();
        assert_eq!(urls.len(), MAX_SERVERS);
        assert_eq!(urls[0], "stun:127.0.0.1:3478");
        assert_eq!(urls[1..3], ["turn:192.0.2.3:3478?transport=udp", "turn:192.0.2.4:3478?transport=udp"]);
        assert_eq!(urls[MAX_SERVERS - 1], "turn:[::1]:99?transport=udp");
        let (_, tls) = servers.streams.iter().find(|(_, stream)| stream.tls).unwrap();
        assert_eq!(
            (tls.host.as_str(), &tls.addresses[..]),
            ("127.0.0.1", &["127.0.0.1:443".parse().unwrap()][..])
        );
        let servers = super::ice_servers(&config, true).await.unwrap();
        assert!(servers.streams.iter().all(|(at, _)| at.is_ipv6()));
        let turn =
            RTCIceServer { urls: vec!["turn:[::1]:99?transport=udp".into()], ..RTCIceServer::default() };
        let relay: SocketAddr = "[::1]:99".parse().unwrap();
        let stun = RTCIceServer { urls: vec!["stun:127.0.0.1:3478".into()], ..RTCIceServer::default() };
        assert_eq!(*relays(&[stun, turn]), [relay]);
    }
}
