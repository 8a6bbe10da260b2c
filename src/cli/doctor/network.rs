//! What the network lets through: asks [`net::nat`](crate::net::nat) and, for each relay that is set,
//! [`net::relay`](crate::net::relay), all at the same time.

use crate::net::NetConfig;
use crate::net::nat::{self, Report};
use crate::net::relay::{self, Tried};
use crate::room::diagnosis;
use crate::room::nat::{Filtering, Mapping, Nat};
use crate::settings::IceServer;
use serde::{Serialize, Serializer};
use std::net::IpAddr;
use std::time::Duration;

/// What all of it may take, with a little to spare.
pub const LIMIT: Duration = Duration::from_secs(nat::EXAMINE_LIMIT.as_secs() + 1);

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub local_addresses: Vec<IpAddr>,
    pub stun_servers: Vec<Server>,
    pub turn_servers: Vec<Relay>,
    pub public_addresses: Vec<IpAddr>,
    #[serde(serialize_with = "word")]
    pub nat: Nat,
    pub mapping: Mapping,
    pub filtering: Filtering,
    /// A server answered over IPv6.
    pub ipv6: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    pub url: String,
    pub answers: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    pub url: String,
    /// It can be used.
    pub answers: bool,
    pub state: RelayState,
    /// The error it named (RFC 8489, 14.8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayState {
    /// It took user name and password and gave an address.
    Works,
    Refused,
    /// Its certificate is not one that this computer trusts.
    Untrusted,
    /// It answers, but gives no address.
    Unwilling,
    NoAnswer,
}

fn word<S: Serializer>(nat: &Nat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(nat.word())
}

impl Network {
    fn of(report: Report, turn_servers: Vec<Relay>) -> Self {
        let Report { outlook, local_addresses, public_addresses, stun_servers } = report;
        let stun_servers = stun_servers.into_iter().map(|(url, answers)| Server { url, answers }).collect();
        let mapping = match outlook.nat {
            Nat::Public => Mapping::EndpointIndependent,
            Nat::Translated(mapping) => mapping,
            Nat::NotAsked | Nat::NoAnswer | Nat::UdpBlocked => Mapping::Unknown,
        };
        Self {
            local_addresses,
            stun_servers,
            turn_servers,
            public_addresses,
            nat: outlook.nat,
            mapping,
            filtering: outlook.filtering,
            ipv6: outlook.ipv6,
        }
    }
}

/// In a thread of its own; takes less than [`LIMIT`].
pub fn examine(config: &NetConfig) -> Network {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Network::default() };
    let network = runtime.block_on(async {
        let mut tries = tokio::task::JoinSet::new();
        let turns = config.ice_servers.iter().filter(|server| nat::is_turn(&server.url));
        for (at, server) in turns.cloned().enumerate() {
            tries.spawn(async move { (at, tried(&server).await) });
        }
        let (report, mut relays) = tokio::join!(nat::examine(config), tries.join_all());
        relays.sort_by_key(|(at, _)| *at);
        Network::of(report, relays.into_iter().map(|(_, relay)| relay).collect())
    });
    // A name server that does not answer keeps a thread; nobody waits for that.
    runtime.shutdown_background();
    network
}

async fn tried(server: &IceServer) -> Relay {
    let Tried { relay, code } = relay::try_relay(server).await;
    let state = match relay {
        diagnosis::Relay::Works => RelayState::Works,
        diagnosis::Relay::Refused => RelayState::Refused,
        diagnosis::Relay::Untrusted => RelayState::Untrusted,
        diagnosis::Relay::NoAnswer | diagnosis::Relay::NotSet if code.is_some() => RelayState::Unwilling,
        diagnosis::Relay::NoAnswer | diagnosis::Relay::NotSet => RelayState::NoAnswer,
    };
    let answers = state == RelayState::Works;
    Relay { url: server.url.clone(), answers, state, code }
}
