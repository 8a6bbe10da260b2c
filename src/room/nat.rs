//! What kind of network this computer is in, told from what servers on the internet answered, and which calls will
//! need a relay. A core: [`net::nat`](crate::net) asks the questions, doctor, lobby and diagnosis use the result.
//!
//! The terms are those of RFC 4787: *mapping*, which outer address the router gives to one of our sockets, and
//! *filtering*, whose packets it lets in there. How they are found out is RFC 5780, 4.3 and 4.4, with two servers at
//! hand where one server has no second address.

use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// Which outer address one socket of ours gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mapping {
    /// The same for whomever it sends to: the address in a code is good for everybody.
    EndpointIndependent,
    /// Another for each partner ("symmetric"): the address in a code is good for nobody but the server.
    EndpointDependent,
    /// One answer alone cannot tell.
    #[default]
    Unknown,
}

/// Whose packets come in at that address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Everybody's.
    EndpointIndependent,
    /// Those from computers that something was sent to.
    AddressDependent,
    /// Those from the very addresses and ports that something was sent to.
    AddressAndPortDependent,
    /// No server could tell.
    #[default]
    Unknown,
}

/// What stands between this computer and the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// There is no server to ask.
    #[default]
    NotAsked,
    /// Nothing answered, neither over UDP nor over TCP.
    NoAnswer,
    /// Servers can be reached over TCP, and do not answer over UDP.
    UdpBlocked,
    /// This computer has the address by which it is seen.
    Public,
    /// A router translates addresses.
    Translated(Mapping),
}

/// An answer to the question "what address do you see?": who gave it, and the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub by: SocketAddr,
    pub as_address: SocketAddr,
}

/// Everything that was found out with one socket.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    pub asked: bool,
    pub answers: Vec<Seen>,
    /// The addresses of this computer, and the port of the socket.
    pub local_addresses: Vec<IpAddr>,
    pub local_port: u16,
    /// A server could be reached over TCP; only tried where nothing answers over UDP.
    pub tcp_answers: bool,
}

/// What came back when a server was asked to answer from elsewhere (RFC 5780, 4.4); `None`: it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// From an address that nothing was sent to.
    pub other_address: Option<bool>,
    /// From another port of the address that was asked.
    pub other_port: Option<bool>,
}

/// A network in short, for the lobby's line and for telling why a call failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    pub nat: Nat,
    pub filtering: Filtering,
    /// A server answered over IPv6.
    pub ipv6: bool,
    /// A relay (TURN server) is set.
    pub has_relay: bool,
    /// This computer has an address at all.
    pub has_network: bool,
}

/// What the answers say of the router. Two servers that see the same address are taken for all: a router that maps
/// by address and not by port, and servers that share an address, would be needed to deceive it.
pub fn judge(observations: &Observations) -> Nat {
    let Observations { asked, answers, local_addresses, local_port, tcp_answers } = observations;
    let Some(first) = answers.first() else {
        return match (asked, tcp_answers) {
            (false, _) => Nat::NotAsked,
            (true, true) => Nat::UdpBlocked,
            (true, false) => Nat::NoAnswer,
        };
    };
    if answers.iter().any(|answer| answer.as_address != first.as_address) {
        return Nat::Translated(Mapping::EndpointDependent);
    }
    if local_addresses.contains(&first.as_address.ip()) && first.as_address.port() == *local_port {
        return Nat::Public;
    }
    let is_seen_by_two = answers.iter().any(|answer| answer.by != first.by);
    Nat::Translated(if is_seen_by_two { Mapping::EndpointIndependent } else { Mapping::Unknown })
}

/// What the answers from elsewhere say.
pub fn filtering(elsewhere: Elsewhere) -> Filtering {
    match (elsewhere.other_address, elsewhere.other_port) {
        (Some(true), _) => Filtering::EndpointIndependent,
        (Some(false), Some(true)) => Filtering::AddressDependent,
        (Some(false), Some(false)) => Filtering::AddressAndPortDependent,
        (Some(false), None) | (None, _) => Filtering::Unknown,
    }
}

impl Nat {
    /// In the statistics and in `doctor --json`; scripts rely on these.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::NoAnswer => "unreachable",
            Self::UdpBlocked => "udp-blocked",
            Self::Public => "none",
            Self::Translated(Mapping::EndpointIndependent) => "easy",
            Self::Translated(Mapping::EndpointDependent) => "hard",
            Self::Translated(Mapping::Unknown) => "unknown",
        }
    }

    /// Each partner gets another address.
    pub fn is_hard(self) -> bool {
        self == Self::Translated(Mapping::EndpointDependent)
    }
}

impl Outlook {
    /// One quiet line for the lobby; `None`: nothing is known that would be of use to anybody.
    pub const fn line(self) -> Option<&'static str> {
        if !self.has_network {
            return Some("No network: connect this computer to one to call.");
        }
        Some(match (self.nat, self.has_relay) {
            (Nat::NotAsked, _) => return None,
            (Nat::NoAnswer, false) => "No answer from the internet: calls within this network work.",
            (Nat::NoAnswer, true) => "No answer from the internet: calls may still go through your relay.",
            (Nat::UdpBlocked, false) => {
                "This network blocks calls (UDP): calls beyond it need a relay over TCP or TLS."
            }
            (Nat::UdpBlocked, true) => {
                "This network blocks calls (UDP): calls beyond it go through your relay."
            }
            (Nat::Public, _) => "Your network: open to direct calls.",
            (Nat::Translated(Mapping::EndpointIndependent), _) => match self.filtering {
                Filtering::EndpointIndependent => "Your network: open to direct calls.",
                _ => "Your network: direct calls with most people.",
            },
            (Nat::Translated(Mapping::EndpointDependent), false) => {
                "Your network is strict: calls to most other networks will need a relay."
            }
            (Nat::Translated(Mapping::EndpointDependent), true) => {
                "Your network is strict: most calls will go through your relay."
            }
            (Nat::Translated(Mapping::Unknown), _) => "Your network reaches the internet.",
        })
    }

    /// Whether the line is news worth a colour.
    pub const fn is_trouble(self) -> bool {
        !self.has_network || matches!(self.nat, Nat::NoAnswer | Nat::UdpBlocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Nat; 7] = [
        Nat::NotAsked,
        Nat::NoAnswer,
        Nat::UdpBlocked,
        Nat::Public,
        Nat::Translated(Mapping::EndpointIndependent),
        Nat::Translated(Mapping::EndpointDependent),
        Nat::Translated(Mapping::Unknown),
    ];

    /// `by` the server with this last number, seen as the address with this one and this port.
    fn seen(by: u8, port: u16) -> Seen {
        Seen {
            by: SocketAddr::from(([198, 51, 100, by], 3478)),
            as_address: SocketAddr::from(([203, 0, 113, 7], port)),
        }
    }

    #[test]
    fn the_kind_shows_in_what_the_servers_see() {
        use Mapping as M;
        let own: IpAddr = "203.0.113.7".parse().unwrap();
        let rows: [(bool, Vec<Seen>, bool, bool, Nat); 9] = [
            (false, vec![], false, false, Nat::NotAsked),
            (true, vec![], false, false, Nat::NoAnswer),
            (true, vec![], false, true, Nat::UdpBlocked),
            (true, vec![seen(1, 5000)], true, false, Nat::Public),
            (true, vec![seen(1, 5000), seen(2, 5000)], true, false, Nat::Public),
            (true, vec![seen(1, 5000)], false, false, Nat::Translated(M::Unknown)),
            (true, vec![seen(1, 5000), seen(1, 5000)], false, false, Nat::Translated(M::Unknown)),
            (true, vec![seen(1, 5000), seen(2, 5000)], false, false, Nat::Translated(M::EndpointIndependent)),
            (
                true,
                vec![seen(1, 5000), seen(2, 5000), seen(3, 7000)],
                true,
                false,
                Nat::Translated(M::EndpointDependent),
            ),
        ];
        for (asked, answers, is_own, tcp_answers, nat) in rows {
            let local_addresses = if is_own { vec![own] } else { vec!["192.168.1.2".parse().unwrap()] };
            let observations =
                Observations { asked, answers, local_addresses, local_port: 5000, tcp_answers };
            assert_eq!(judge(&observations), nat, "{observations:?}");
        }
    }

    #[test]
    fn an_own_address_with_another_port_is_no_public_one() {
        let observations = Observations {
            asked: true,
            answers: vec![seen(1, 6000), seen(2, 6000)],
            local_addresses: vec!["203.0.113.7".parse().unwrap()],
            local_port: 5000,
            tcp_answers: false,
        };
        assert_eq!(judge(&observations), Nat::Translated(Mapping::EndpointIndependent));
    }

    #[test]
    fn what_comes_from_elsewhere_tells_the_filter() {
        use Filtering as F;
        let (yes, no) = (Some(true), Some(false));
        for (other_address, other_port, expected) in [
            (None, None, F::Unknown),
            (None, yes, F::Unknown),
            (no, None, F::Unknown),
            (yes, yes, F::EndpointIndependent),
            // The one packet may have been lost.
            (yes, no, F::EndpointIndependent),
            (no, yes, F::AddressDependent),
            (no, no, F::AddressAndPortDependent),
        ] {
            assert_eq!(filtering(Elsewhere { other_address, other_port }), expected);
        }
    }

    #[test]
    fn every_kind_has_its_word_and_a_line_that_fits() {
        let mut words: Vec<_> = ALL.iter().map(|nat| nat.word()).collect();
        words.dedup();
        assert_eq!(words.len(), ALL.len());
        for nat in ALL {
            for has_relay in [false, true] {
                let outlook = Outlook { nat, has_relay, has_network: true, ..Outlook::default() };
                let line = outlook.line();
                assert_eq!(line.is_none(), nat == Nat::NotAsked);
                assert!(line.is_none_or(|line| line.len() < 90 && line.ends_with('.')), "{line:?}");
            }
        }
        let offline = Outlook { nat: Nat::NotAsked, ..Outlook::default() };
        assert!(offline.line().is_some() && offline.is_trouble());
    }
}
