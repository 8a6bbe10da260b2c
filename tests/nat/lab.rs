//! Two computers, each behind a router of some kind, and an internet between them, as network namespaces: nothing of
//! it touches the machine's own network, and all of it goes with the test.
//!
//! ```text
//!   a 10.98.1.2 --- ra 10.98.10.2 ---\                /--- 10.98.20.2 rb --- 10.98.2.2 b
//!                                     net 10.98.10.1
//!                                         10.98.20.1   (STUN at both)
//! ```

#[path = "../support/namespaces.rs"]
mod namespaces;

use namespaces::Namespaces;
use std::io::Write;
use std::process::{Command, Stdio};

/// What a router does, in the terms of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No translation: everything passes.
    Open,
    /// One outer port for one inner; lets in whatever comes from an address that was sent to.
    Restricted,
    /// One outer port for one inner; lets in answers only. Most homes.
    PortRestricted,
    /// Another outer port for each partner; lets in answers only. Some mobile networks and offices.
    Symmetric,
    /// Only TCP goes out.
    UdpBlocked,
}

pub const STUN: [&str; 2] = ["10.98.10.1:3478", "10.98.20.1:3478"];

pub struct Lab(Namespaces);

impl Lab {
    /// `None` where it cannot be made: not Linux's root, or no `ip` or no `nft`.
    pub fn new(test: &str) -> Option<Self> {
        if !Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        let lab = Namespaces::new(test, &["a", "ra", "net", "rb", "b"])?;
        for (computer, router, net) in [("a", "ra", 1), ("b", "rb", 2)] {
            lab.join(
                computer,
                "eth",
                &format!("10.98.{net}.2/24"),
                router,
                "lan",
                &format!("10.98.{net}.1/24"),
            );
            let (outside, inside) = (format!("10.98.{net}0.1/24"), format!("10.98.{net}0.2/24"));
            lab.join("net", &format!("to{router}"), &outside, router, "wan", &inside);
            lab.ip(computer, &format!("route add default via 10.98.{net}.1"));
            lab.ip(router, &format!("route add default via 10.98.{net}0.1"));
            // For a router that does not translate.
            lab.ip("net", &format!("route add 10.98.{net}.0/24 via 10.98.{net}0.2"));
        }
        for place in ["ra", "net", "rb"] {
            lab.write(place, "net/ipv4/ip_forward", "1");
        }
        Some(Self(lab))
    }

    /// Makes a router of this kind; its memory of earlier connections is gone with the old rules' ports.
    pub fn route(&self, router: &str, kind: Kind) {
        let inside = if router == "ra" { "10.98.1.2" } else { "10.98.2.2" };
        let (translate, forward, inward) = match kind {
            Kind::Open => ("accept", "accept", "iifname \"wan\" accept"),
            Kind::Restricted | Kind::PortRestricted => ("masquerade", "accept", ""),
            Kind::Symmetric => ("masquerade fully-random", "accept", ""),
            Kind::UdpBlocked => ("masquerade", "meta l4proto tcp accept", ""),
        };
        // Ports that have sent, each with the addresses it has sent to.
        let known = match kind {
            Kind::Restricted => format!(
                "set known {{ type inet_service . ipv4_addr; flags dynamic,timeout; timeout 300s; }}\n\
                 chain pre {{ type nat hook prerouting priority dstnat;\n\
                 iifname \"wan\" udp dport . ip saddr @known dnat to {inside}\n }}\n\
                 chain learn {{ type filter hook forward priority -10;\n\
                 oifname \"wan\" meta l4proto udp update @known {{ udp sport . ip daddr }}\n }}\n"
            ),
            Kind::Open | Kind::PortRestricted | Kind::Symmetric | Kind::UdpBlocked => String::new(),
        };
        // The way in drops what nobody asked for before it is remembered, as home routers do: otherwise the other
        // side's first packet would take the port that our own mapping needs.
        let rules = format!(
            "table ip lab\ndelete table ip lab\ntable ip lab {{\n{known}\
             chain post {{ type nat hook postrouting priority srcnat; oifname \"wan\" {translate}\n }}\n\
             chain forward {{ type filter hook forward priority filter; policy drop;\n\
             ct state established,related accept\n ct status dnat accept\n {inward}\n\
             iifname \"lan\" oifname \"wan\" {forward}\n }}\n\
             chain in {{ type filter hook input priority filter; policy drop;\n\
             iifname {{ \"lo\", \"lan\" }} accept\n ct state established,related accept\n }}\n}}\n"
        );
        let mut nft = self.command(router, "nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft");
    }

    /// The provider gives a router another address; what it knew of earlier connections is gone with the old one.
    pub fn renumber(&self, router: &str) {
        let net = if router == "ra" { 1 } else { 2 };
        self.0.ip(router, &format!("addr del 10.98.{net}0.2/24 dev wan"));
        self.0.ip(router, &format!("addr add 10.98.{net}0.7/24 dev wan"));
        self.0.ip(router, &format!("route add default via 10.98.{net}0.1"));
    }

    /// A program in one of the places.
    pub fn command(&self, place: &str, program: &str) -> Command {
        self.0.command(place, program)
    }
}
