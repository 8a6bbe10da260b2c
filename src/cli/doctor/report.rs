//! The doctor's findings, in plain words and as JSON.

use super::network::{Nat, Network, Server};
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
        lines.extend(
            self.network.turn_servers.iter().map(|server| format!("TURN        {}", answers(server))),
        );
        lines.push(format!("NAT         {}", nat(self.network.nat)));
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

const fn nat(nat: Nat) -> &'static str {
    match nat {
        Nat::None => "none: this computer has a public address",
        Nat::Easy => "easy: the same outer address for everybody",
        Nat::Hard => "hard (symmetric): another outer address for everybody",
        Nat::Unknown => "unknown: one server alone cannot tell",
        Nat::Unreachable => "unknown: no STUN server answered over UDP",
        Nat::NotAsked => "unknown: no STUN server is set",
    }
}

/// What will and what will not connect.
fn outlook(network: &Network) -> Vec<&'static str> {
    let has_turn = network.turn_servers.iter().any(|server| server.answers);
    if network.local_addresses.is_empty() {
        return vec!["Nothing will connect: there is no network."];
    }
    let mut lines =
        vec!["Calls within your own network will connect, unless it keeps its devices apart (guest Wi-Fi)."];
    lines.push(match network.nat {
        Nat::None => "Calls over the internet will connect with nearly everybody.",
        Nat::Easy => {
            "Calls over the internet will connect with most people; not with somebody behind a hard NAT (some mobile \
             networks and offices)."
        }
        Nat::Hard => {
            "Calls over the internet will connect only with people who have a public address or IPv6; not with most \
             homes."
        }
        Nat::Unknown => "Calls over the internet will probably connect; not if both sides are behind a hard NAT.",
        Nat::Unreachable => {
            "Calls over the internet will probably not connect: UDP is blocked, or there is no internet here."
        }
        Nat::NotAsked => {
            "Calls over the internet will connect only with people who can be reached from outside: set a STUN server."
        }
    });
    if network.ipv6 {
        lines.push("IPv6 works: calls with others who have it will connect directly.");
    }
    match (has_turn, network.nat) {
        (true, _) => lines.push("A TURN server answers: what does not connect directly will go through it."),
        (false, Nat::None) => {}
        (false, _) => {
            lines.push("A TURN server of your own (--ice-server turn:...) would let all of these connect.")
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_its_words_and_json() {
        let server = |answers| Server { url: "stun:example.org:3478".into(), answers };
        for kind in [Nat::None, Nat::Easy, Nat::Hard, Nat::Unknown, Nat::Unreachable, Nat::NotAsked] {
            let network = Network {
                local_addresses: vec!["192.168.1.2".parse().unwrap()],
                stun_servers: vec![server(true)],
                turn_servers: vec![server(false)],
                nat: kind,
                ..Network::default()
            };
            let gpu = Gpu { name: "llvmpipe".into(), backend: "vulkan".into(), is_software: true };
            let camera = Device::Works { name: "Cam".into(), detail: "gives pictures of 1280x720".into() };
            let findings = Findings { camera, gpu: vec![gpu], network, ..Findings::default() };
            let words = findings.in_words().join("\n");
            for part in
                ["ok: “Cam” gives", "llvmpipe", "does not answer", "NO ANSWER", "192.168.1.2", "will "]
            {
                assert!(words.contains(part), "{part}: {words}");
            }
            let json: serde_json::Value = serde_json::from_str(&findings.to_json()).unwrap();
            assert_eq!(json["camera"]["state"], "works");
            assert_eq!(json["speaker"]["state"], "hangs");
            assert!(json["connects"].as_array().is_some_and(|lines| lines.len() >= 2), "{json}");
        }
    }

    #[test]
    fn without_a_network_nothing_is_promised() {
        assert_eq!(outlook(&Network::default()), ["Nothing will connect: there is no network."]);
    }
}
