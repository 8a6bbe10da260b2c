//! The doctor's findings, in plain words and as JSON.

use super::network::{Network, Relay, RelayState, Server};
use crate::room::nat::{Filtering, Mapping, Nat};
use serde::Serialize;
use std::net::IpAddr;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    pub camera: Device,
    pub microphone: Device,
    pub speaker: Device,
    pub gpu: Vec<Gpu>,
    pub encoder: Encoder,
    pub network: Network,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Device {
    Works {
        name: String,
        detail: String,
    },
    /// There is none.
    Missing {
        sentence: String,
    },
    Fails {
        sentence: String,
    },
    #[default]
    Hangs,
    NotWanted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    pub name: String,
    pub backend: String,
    pub is_software: bool,
}

/// Whether the H.264 encoder was built with its assembly code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoder {
    Fast,
    Slow,
    #[default]
    Unknown,
}

impl Findings {
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(flatten)]
            findings: &'a Findings,
            connects: Vec<&'static str>,
        }
        let json = Json { findings: self, connects: outlook(&self.network) };
        serde_json::to_string_pretty(&json).expect("text and numbers always make JSON")
    }

    pub fn in_words(&self) -> Vec<String> {
        let mut lines = vec![
            format!("Camera      {}", self.camera.in_words("camera")),
            format!("Microphone  {}", self.microphone.in_words("microphone")),
            format!("Speaker     {}", self.speaker.in_words("speaker")),
            format!("Graphics    {}", graphics(&self.gpu)),
            format!("Encoder     {}", self.encoder.in_words()),
            format!("Addresses   {}", addresses(&self.network)),
        ];
        lines.extend(
            self.network.stun_servers.iter().map(|server| format!("STUN        {}", answers(server))),
        );
        lines.extend(self.network.turn_servers.iter().map(|server| format!("TURN        {}", relay(server))));
        lines.push(format!("NAT         {}", nat(self.network.nat)));
        if let Some(words) = filter(self.network.filtering) {
            lines.push(format!("Filter      {words}"));
        }
        lines.push(format!(
            "IPv6        {}",
            if self.network.ipv6 { "ok" } else { "no server answers over it" }
        ));
        lines.push(String::new());
        lines.extend(outlook(&self.network).into_iter().map(str::to_owned));
        lines
    }
}

impl Device {
    fn in_words(&self, kind: &str) -> String {
        match self {
            Self::Works { name, detail } => format!("ok: “{name}” {detail}"),
            Self::Missing { sentence } => format!("none: {sentence}"),
            Self::Fails { sentence } => format!("FAILS: {sentence}"),
            Self::Hangs => {
                format!("FAILS: The {kind} does not answer. Unplug it, or start the computer again.")
            }
            Self::NotWanted => "not wanted".into(),
        }
    }
}

impl Encoder {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Fast => "ok: H.264 with assembly code",
            Self::Slow => {
                "SLOW: this program was built without nasm, so encoding takes twice the time. Install nasm and build again."
            }
            Self::Unknown => "H.264",
        }
    }
}

fn graphics(gpus: &[Gpu]) -> String {
    let Some(best) = gpus.first() else {
        return "no graphics card for the window was found; it draws with OpenGL if there is any".into();
    };
    if best.is_software {
        format!("slow: only software, “{}” ({})", best.name, best.backend)
    } else {
        format!("ok: “{}” ({})", best.name, best.backend)
    }
}

fn addresses(network: &Network) -> String {
    let list = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    match (network.local_addresses.is_empty(), network.public_addresses.is_empty()) {
        (true, _) => "NONE: this computer is not connected to a network".into(),
        (false, true) => list(&network.local_addresses),
        (false, false) => {
            format!("{}; from outside {}", list(&network.local_addresses), list(&network.public_addresses))
        }
    }
}

fn answers(server: &Server) -> String {
    format!("{}: {}", if server.answers { "ok" } else { "NO ANSWER" }, server.url)
}

fn relay(server: &Relay) -> String {
    let Relay { url, state, code, .. } = server;
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    match state {
        RelayState::Works => format!("ok: {url} took user name and password and gave an address"),
        RelayState::Refused => format!("REFUSED: {url} did not take user name and password{code}"),
        RelayState::Unwilling => format!("FAILS: {url} answers but gives no address{code}"),
        RelayState::Untrusted => {
            format!("FAILS: the certificate of {url} is not one that this computer trusts")
        }
        RelayState::NoAnswer => format!("NO ANSWER: {url}"),
    }
}

const fn nat(nat: Nat) -> &'static str {
    match nat {
        Nat::Public => "none: this computer has a public address",
        Nat::Translated(Mapping::EndpointIndependent) => "easy: the same outer address for everybody",
        Nat::Translated(Mapping::EndpointDependent) => {
            "strict (symmetric): another outer address for everybody"
        }
        Nat::Translated(Mapping::Unknown) => "there is one; one server alone cannot tell its kind",
        Nat::UdpBlocked => "unknown: UDP is blocked; servers can be reached over TCP only",
        Nat::NoAnswer => "unknown: no server answered, neither over UDP nor over TCP",
        Nat::NotAsked => "unknown: no STUN server is set",
    }
}

const fn filter(filtering: Filtering) -> Option<&'static str> {
    match filtering {
        Filtering::EndpointIndependent => {
            Some("open: lets in everybody's packets; one code is enough to call")
        }
        Filtering::AddressDependent => Some("lets in packets from computers that something was sent to"),
        Filtering::AddressAndPortDependent => {
            Some("lets in packets from the exact addresses that something was sent to")
        }
        Filtering::Unknown => None,
    }
}

/// What will and what will not connect.
fn outlook(network: &Network) -> Vec<&'static str> {
    if network.local_addresses.is_empty() {
        return vec!["Nothing will connect: there is no network."];
    }
    let mut lines =
        vec!["Calls within your own network will connect, unless it keeps its devices apart (guest Wi-Fi)."];
    lines.push(match network.nat {
        Nat::Public => "Calls over the internet will connect with nearly everybody.",
        Nat::Translated(Mapping::EndpointIndependent) => match network.filtering {
            Filtering::EndpointIndependent | Filtering::AddressDependent => {
                "Calls over the internet will connect with nearly everybody."
            }
            Filtering::AddressAndPortDependent | Filtering::Unknown => {
                "Calls over the internet will connect with most people; those behind a strict NAT (some mobile networks \
                 and offices) will need a relay."
            }
        },
        Nat::Translated(Mapping::EndpointDependent) => {
            "Calls over the internet will need a relay with most homes and offices; they will connect directly only \
             with people whose network lets unknown addresses in."
        }
        Nat::Translated(Mapping::Unknown) => {
            "Calls over the internet will probably connect; they will need a relay if both sides are behind a strict \
             NAT."
        }
        Nat::UdpBlocked => {
            "Calls beyond this network will need a relay over TCP or TLS, on port 443: UDP is blocked here."
        }
        Nat::NoAnswer => "Calls over the internet will not connect: nothing on the internet answers.",
        Nat::NotAsked => {
            "Calls over the internet will connect only with people who can be reached from outside: set a STUN server."
        }
    });
    if network.ipv6 {
        lines.push("IPv6 works: calls with others who have it will connect directly.");
    }
    let works = network.turn_servers.iter().any(|server| server.answers);
    let is_refused = network.turn_servers.iter().any(|server| server.state == RelayState::Refused);
    match (works, is_refused, network.nat) {
        (true, ..) => lines.push("A relay works: what does not connect directly will go through it."),
        (false, true, _) => {
            lines.push("The relay refuses your user name and password: nothing will go through it.");
        }
        (false, false, Nat::Public) => {}
        (false, false, _) if network.turn_servers.is_empty() => {
            lines.push("A relay (--ice-server turn:..., or in the settings) would let all of these connect.");
        }
        (false, false, _) => lines.push("The relay does not work: nothing will go through it."),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::network::Network;

    const KINDS: [(Nat, &str); 7] = [
        (Nat::NotAsked, "not-asked"),
        (Nat::NoAnswer, "unreachable"),
        (Nat::UdpBlocked, "udp-blocked"),
        (Nat::Public, "none"),
        (Nat::Translated(Mapping::EndpointIndependent), "easy"),
        (Nat::Translated(Mapping::EndpointDependent), "hard"),
        (Nat::Translated(Mapping::Unknown), "unknown"),
    ];

    fn network(nat: Nat, relay: Option<RelayState>) -> Network {
        let relay = relay.map(|state| Relay {
            url: "turn:example.org:3478".into(),
            answers: state == RelayState::Works,
            state,
            code: (state == RelayState::Refused).then_some(401),
        });
        Network {
            local_addresses: vec!["192.168.1.2".parse().unwrap()],
            stun_servers: vec![Server { url: "stun:example.org:3478".into(), answers: false }],
            turn_servers: relay.into_iter().collect(),
            nat,
            ..Network::default()
        }
    }

    #[test]
    fn every_finding_has_its_words_and_json() {
        for (kind, word) in KINDS {
            let network = network(kind, Some(RelayState::Refused));
            let gpu = Gpu { name: "llvmpipe".into(), backend: "vulkan".into(), is_software: true };
            let camera = Device::Works { name: "Cam".into(), detail: "gives pictures of 1280x720".into() };
            let findings = Findings { camera, gpu: vec![gpu], network, ..Findings::default() };
            let words = findings.in_words().join("\n");
            for part in [
                "ok: “Cam” gives",
                "llvmpipe",
                "does not answer",
                "NO ANSWER",
                "192.168.1.2",
                "will ",
                "(401)",
            ] {
                assert!(words.contains(part), "{part}: {words}");
            }
            let json: serde_json::Value = serde_json::from_str(&findings.to_json()).unwrap();
            assert_eq!(json["camera"]["state"], "works");
            assert_eq!(json["speaker"]["state"], "hangs");
            assert_eq!(json["network"]["nat"], word);
            assert!(json["connects"].as_array().is_some_and(|lines| lines.len() >= 2), "{json}");
        }
    }

    /// Scripts rely on these names.
    #[test]
    fn the_json_keeps_its_names() {
        let network = network(KINDS[4].0, Some(RelayState::Works));
        let json: serde_json::Value =
            serde_json::from_str(&Findings { network, ..Findings::default() }.to_json()).unwrap();
        let mut names: Vec<_> = json["network"].as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "filtering",
                "ipv6",
                "localAddresses",
                "mapping",
                "nat",
                "publicAddresses",
                "stunServers",
                "turnServers"
            ]
        );
        let relay = &json["network"]["turnServers"][0];
        assert_eq!((&relay["answers"], &relay["state"]), (&true.into(), &"works".into()));
        assert_eq!(json["network"]["filtering"], "unknown");
    }

    #[test]
    fn each_relay_changes_what_is_promised() {
        for (relay, part) in [
            (None, "would let all of these connect"),
            (Some(RelayState::Works), "A relay works"),
            (Some(RelayState::Refused), "refuses your user name"),
            (Some(RelayState::NoAnswer), "does not work"),
        ] {
            let lines = outlook(&network(KINDS[5].0, relay));
            assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:?}");
        }
        assert_eq!(outlook(&network(Nat::Public, None)).len(), 2);
    }

    #[test]
    fn without_a_network_nothing_is_promised() {
        assert_eq!(outlook(&Network::default()), ["Nothing will connect: there is no network."]);
    }
}
