//! Why no call came up: from what each side told in its code and what was seen on the way, to the step that failed
//! and what would help. A core; the engine collects the [`Facts`], both faces show the [`Diagnosis`].

use super::nat::{Mapping, Nat};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a code says of the ways to its maker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// How the router's outside is seen.
    pub reflexive: Vec<IpAddr>,
    pub relayed: bool,
    pub mapping: Mapping,
}

impl Ways {
    /// From the candidates of a code: address and kind as in `typ`.
    pub fn of<'a>(candidates: impl IntoIterator<Item = (SocketAddr, &'a str)>) -> Self {
        let (mut hosts, mut outside, mut relayed) = (0, Vec::new(), false);
        for (address, kind) in candidates {
            match kind {
                "host" if address.is_ipv4() => hosts += 1,
                "srflx" if !outside.contains(&address) => outside.push(address),
                "relay" => relayed = true,
                _ => {}
            }
        }
        let mut reflexive: Vec<IpAddr> = outside.iter().map(SocketAddr::ip).collect();
        reflexive.sort();
        reflexive.dedup();
        // Two servers saw one socket at two ports. Codes do not say which socket; one for each address is ordinary.
        let is_hard = reflexive.iter().any(|ip| {
            hosts > 0 && ip.is_ipv4() && outside.iter().filter(|seen| seen.ip() == *ip).count() > hosts
        });
        let mapping = if is_hard { Mapping::EndpointDependent } else { Mapping::Unknown };
        Self { reflexive, relayed, mapping }
    }
}

/// The relay (TURN server) of this side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relay {
    #[default]
    NotSet,
    /// It gave us an address.
    Works,
    /// It did not take the user name or the password (RFC 8489: 401; some say 403).
    Refused,
    /// Its certificate is not one that this computer trusts.
    Untrusted,
    NoAnswer,
}

/// What went out and came in before the call was given up; counted where the datagrams pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub checks_out: u32,
    /// Checks of the other side that reached us.
    pub checks_in: u32,
    /// Answers of the other side to our checks.
    pub answers_in: u32,
    /// Packets of the secure handshake.
    pub handshake_in: u32,
    pub handshake_out: u32,
}

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub own: Ways,
    pub theirs: Ways,
    pub nat: Nat,
    pub relay: Relay,
    /// STUN or TURN servers are set.
    pub has_servers: bool,
    pub traffic: Traffic,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Checks went both ways; DTLS did not finish.
    Handshake,
    /// Their checks come in, ours stay without an answer.
    OneWay,
    RelayRefused,
    RelayUntrusted,
    RelaySilent,
    /// Not even a relay helped.
    RelayUnreached,
    UdpBlocked,
    /// No server on the internet answers.
    NoInternet,
    /// No STUN server answered, so our code names no address outside this network.
    NoStunAnswer,
    /// No STUN server is set.
    NoStunServer,
    /// Their code names no address outside their network.
    TheyHaveNoOutside,
    /// Both are seen from outside as one address.
    SameRouter,
    BothSymmetric,
    OursSymmetric,
    TheirsSymmetric,
    /// Nothing is wrong here; nothing ever came from them.
    TheyNeverTried,
}

/// Which step failed and what would help: `Display` says both, in whole sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    pub step: Step,
    /// Whether the advice has to begin with getting a relay.
    pub relay: Relay,
}

/// Why it failed, after both codes were there for as long as a connection may take.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let traffic = facts.traffic;
    let step = if traffic.handshake_in > 0 || traffic.answers_in > 0 {
        Step::Handshake
    } else if let Some(step) = broken_relay(facts) {
        step
    } else if traffic.checks_in > 0 {
        Step::OneWay
    } else {
        without_a_word(facts).unwrap_or(match facts.relay {
            Relay::Works => Step::RelayUnreached,
            Relay::NotSet | Relay::Refused | Relay::Untrusted | Relay::NoAnswer => Step::TheyNeverTried,
        })
    };
    Diagnosis { step, relay: facts.relay }
}

/// What can be told before anybody tried: this call will hardly come up as things are.
pub fn forecast(facts: &Facts) -> Option<Diagnosis> {
    if facts.own.relayed {
        return None;
    }
    let step = broken_relay(facts).or_else(|| without_a_word(facts))?;
    let is_certain = match step {
        Step::UdpBlocked
        | Step::NoInternet
        | Step::NoStunAnswer
        | Step::TheyHaveNoOutside
        | Step::BothSymmetric
        | Step::RelayRefused
        | Step::RelayUntrusted
        | Step::RelaySilent => true,
        Step::Handshake
        | Step::OneWay
        | Step::RelayUnreached
        | Step::NoStunServer
        | Step::SameRouter
        | Step::OursSymmetric
        | Step::TheirsSymmetric
        | Step::TheyNeverTried => false,
    };
    is_certain.then_some(Diagnosis { step, relay: facts.relay })
}

fn broken_relay(facts: &Facts) -> Option<Step> {
    match facts.relay {
        Relay::Refused => Some(Step::RelayRefused),
        Relay::Untrusted => Some(Step::RelayUntrusted),
        // Where nothing answers, the relay is not to blame.
        Relay::NoAnswer if !matches!(facts.nat, Nat::NoAnswer | Nat::UdpBlocked) => Some(Step::RelaySilent),
        Relay::NoAnswer | Relay::NotSet | Relay::Works => None,
    }
}

/// Nothing of the other side has arrived, so what is known of both networks has to tell.
fn without_a_word(facts: &Facts) -> Option<Step> {
    let Facts { own, theirs, nat, relay, has_servers, .. } = facts;
    // A relay has an address that works from outside.
    let they_have_outside = !theirs.reflexive.is_empty() || theirs.relayed;
    if *relay == Relay::Works {
        return (!they_have_outside).then_some(Step::TheyHaveNoOutside);
    }
    let hard = |ways: &Ways| ways.mapping == Mapping::EndpointDependent;
    let ours_hard = nat.is_hard() || hard(own);
    let is_same_router = own.reflexive.iter().any(|ip| theirs.reflexive.contains(ip));
    match nat {
        Nat::UdpBlocked => return Some(Step::UdpBlocked),
        Nat::NoAnswer => return Some(Step::NoInternet),
        Nat::NotAsked | Nat::Public | Nat::Translated(_) => {}
    }
    let has_outside = !own.reflexive.is_empty() || *nat == Nat::Public;
    match () {
        () if !has_outside && *has_servers => Some(Step::NoStunAnswer),
        () if !has_outside && !theirs.reflexive.is_empty() => Some(Step::NoStunServer),
        () if theirs.relayed => None,
        () if is_same_router => Some(Step::SameRouter),
        () if has_outside && !they_have_outside => Some(Step::TheyHaveNoOutside),
        () if ours_hard && hard(theirs) => Some(Step::BothSymmetric),
        () if ours_hard => Some(Step::OursSymmetric),
        () if hard(theirs) => Some(Step::TheirsSymmetric),
        () => None,
    }
}

impl Diagnosis {
    /// Which step failed.
    pub const fn what(self) -> &'static str {
        match self.step {
            Step::Handshake => {
                "A path was found, but the secure handshake on it did not finish. A network in between may let only small \
                 packets through."
            }
            Step::OneWay => {
                "Only one direction works: the other side's packets arrive here, but ours are not answered."
            }
            Step::RelayRefused => "The relay (TURN server) did not take your user name and password.",
            Step::RelayUntrusted => {
                "The certificate of the relay (TURN server) is not one that this computer trusts."
            }
            Step::RelaySilent => "The relay (TURN server) does not answer, or has no room.",
            Step::RelayUnreached => "Nothing from the other side reached your relay (TURN server).",
            Step::UdpBlocked => "This network blocks UDP, which calls need.",
            Step::NoInternet => "Nothing on the internet answers this computer.",
            Step::NoStunAnswer => {
                "The STUN server gave no answer, so your code names no address that works from outside your network."
            }
            Step::NoStunServer => {
                "No STUN server is set, so your code names no address that works from outside your network."
            }
            Step::TheyHaveNoOutside => {
                "The other side's code names no address outside their network: it blocks UDP, or their STUN server \
                 gave no answer."
            }
            Step::SameRouter => {
                "Both of you are behind the same router, and it does not let you reach each other."
            }
            Step::BothSymmetric => {
                "Both networks are strict (symmetric NAT): neither can be reached at the address in its code."
            }
            Step::OursSymmetric => {
                "Your network is strict (symmetric NAT), and the other side's lets no unknown address in."
            }
            Step::TheirsSymmetric => {
                "The other side's network is strict (symmetric NAT), and yours lets no unknown address in."
            }
            Step::TheyNeverTried => {
                "Nothing came from the other side. Twocan may be closed there, or the reply is an old one, or their \
                 network lets nothing out."
            }
        }
    }

    /// What would help.
    pub const fn advice(self) -> &'static str {
        match self.step {
            Step::Handshake => {
                "Try again; if it stays so, one side should use another network or leave its VPN."
            }
            Step::OneWay => match self.relay {
                Relay::Works => "Try again, or let the other side add a relay too.",
                Relay::NotSet | Relay::Refused | Relay::Untrusted | Relay::NoAnswer => {
                    "Add a relay (TURN server) in the settings of either side, or use another network."
                }
            },
            Step::RelayRefused => "Correct them in the settings, then make a new code.",
            Step::RelayUntrusted => {
                "Check its name in the settings: the certificate has to be for that name, and from an authority that \
                 this computer knows."
            }
            Step::RelaySilent => {
                "Check its address in the settings, and whether this network lets it through."
            }
            Step::RelayUnreached => {
                "The other side may have closed Twocan, or its network blocks UDP: then it needs a relay over TCP or TLS."
            }
            Step::UdpBlocked => {
                "Add a relay (TURN server) over TCP or TLS on port 443 in the settings, or use another network, a \
                 phone's for example."
            }
            Step::NoInternet => "Check the connection of this computer, then make a new code.",
            Step::NoStunAnswer => {
                "Check the STUN server in the settings and try again, or add a relay (TURN server)."
            }
            Step::NoStunServer => "Add one in the settings, then make a new code.",
            Step::TheyHaveNoOutside => {
                "`twocan doctor` on the other side says which. There, a relay (TURN server) over TCP or TLS helps, or \
                 another network."
            }
            Step::SameRouter => {
                "A guest Wi-Fi keeps its devices apart: join the same ordinary network, or add a relay (TURN server)."
            }
            Step::BothSymmetric | Step::OursSymmetric | Step::TheirsSymmetric => {
                "Add a relay (TURN server) in the settings of either side, or use another network."
            }
            Step::TheyNeverTried => "Ask them to keep the window open, then exchange new codes.",
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what(), self.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Nat::{NoAnswer, NotAsked, Public, Translated, UdpBlocked};

    /// What is different from [`facts`].
    type Change = fn(&mut Facts);

    const EASY: Nat = Translated(Mapping::EndpointIndependent);
    const HARD: Nat = Translated(Mapping::EndpointDependent);

    fn ways(outside: Option<u8>, mapping: Mapping) -> Ways {
        let reflexive = outside.into_iter().map(|n| IpAddr::from([203, 0, 113, n])).collect();
        Ways { reflexive, relayed: false, mapping }
    }

    /// Both behind ordinary routers, with a STUN server each.
    fn facts() -> Facts {
        Facts {
            own: ways(Some(1), Mapping::Unknown),
            theirs: ways(Some(2), Mapping::Unknown),
            nat: EASY,
            relay: Relay::NotSet,
            has_servers: true,
            traffic: Traffic { checks_out: 100, ..Traffic::default() },
        }
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = facts();
        change(&mut facts);
        facts
    }

    fn strict() -> Ways {
        ways(Some(2), Mapping::EndpointDependent)
    }

    #[test]
    fn a_code_gives_a_strict_router_away() {
        let ways = |list: &[(&str, &str)]| {
            let read: Vec<_> =
                list.iter().map(|(at, kind)| (at.parse().unwrap(), kind.to_string())).collect();
            Ways::of(read.iter().map(|(at, kind)| (*at, kind.as_str())))
        };
        let (host, other_host) = (("192.168.1.2:9000", "host"), ("192.168.1.3:9001", "host"));
        let (seen, again) = (("203.0.113.7:5000", "srflx"), ("203.0.113.7:6000", "srflx"));
        let strict = Mapping::EndpointDependent;
        for (list, reflexive, mapping) in [
            (&[host][..], 0, Mapping::Unknown),
            (&[host, seen], 1, Mapping::Unknown),
            (&[host, seen, seen], 1, Mapping::Unknown),
            (&[host, seen, again], 1, strict),
            // Two ways to the same router.
            (&[host, other_host, seen, again], 1, Mapping::Unknown),
            (&[host, seen, ("203.0.113.8:5000", "srflx")], 2, Mapping::Unknown),
            // Local addresses are hidden: nothing can be said.
            (&[seen, again], 1, Mapping::Unknown),
        ] {
            let ways = ways(list);
            assert_eq!((ways.reflexive.len(), ways.mapping), (reflexive, mapping), "{list:?}");
        }
        assert!(ways(&[host, ("198.51.100.3:3478", "relay")]).relayed);
    }

    #[test]
    fn each_step_is_told_apart() {
        let rows = [
            (facts(), Step::TheyNeverTried),
            (with(|f| f.traffic.handshake_in = 1), Step::Handshake),
            (with(|f| f.traffic.answers_in = 1), Step::Handshake),
            (with(|f| f.traffic.checks_in = 1), Step::OneWay),
            (with(|f| f.relay = Relay::Refused), Step::RelayRefused),
            (with(|f| f.relay = Relay::Untrusted), Step::RelayUntrusted),
            (with(|f| f.relay = Relay::NoAnswer), Step::RelaySilent),
            (with(|f| f.relay = Relay::Works), Step::RelayUnreached),
            (with(|f| f.nat = UdpBlocked), Step::UdpBlocked),
            (with(|f| f.nat = NoAnswer), Step::NoInternet),
            (with(|f| (f.nat, f.theirs.relayed) = (NoAnswer, true)), Step::NoInternet),
            (with(|f| f.own.reflexive.clear()), Step::NoStunAnswer),
            (
                with(|f| (f.own.reflexive, f.nat, f.has_servers) = (vec![], NotAsked, false)),
                Step::NoStunServer,
            ),
            (with(|f| f.theirs.reflexive.clear()), Step::TheyHaveNoOutside),
            (with(|f| (f.theirs.reflexive, f.relay) = (vec![], Relay::Works)), Step::TheyHaveNoOutside),
            (with(|f| f.theirs.reflexive = f.own.reflexive.clone()), Step::SameRouter),
            (with(|f| (f.nat, f.theirs) = (HARD, strict())), Step::BothSymmetric),
            (
                with(|f| (f.own, f.theirs) = (ways(Some(1), Mapping::EndpointDependent), strict())),
                Step::BothSymmetric,
            ),
            (with(|f| f.nat = HARD), Step::OursSymmetric),
            (with(|f| f.theirs = strict()), Step::TheirsSymmetric),
        ];
        for (facts, step) in rows {
            assert_eq!(diagnose(&facts).step, step, "{facts:?}");
        }
    }

    #[test]
    fn what_was_seen_counts_for_more_than_what_is_supposed() {
        let table: [(Change, Step); 4] = [
            (|f| (f.nat, f.traffic.answers_in) = (HARD, 3), Step::Handshake),
            (|f| (f.nat, f.traffic.checks_in) = (HARD, 3), Step::OneWay),
            (|f| (f.relay, f.traffic.checks_in) = (Relay::Refused, 3), Step::RelayRefused),
            // Nobody can say that of a relay if nothing answers.
            (|f| (f.relay, f.nat) = (Relay::NoAnswer, UdpBlocked), Step::UdpBlocked),
        ];
        for (change, step) in table {
            assert_eq!(diagnose(&with(change)).step, step);
        }
    }

    #[test]
    fn two_computers_without_servers_in_one_network_are_not_told_to_get_one() {
        let alone = with(|f| {
            (f.own.reflexive, f.theirs.reflexive, f.nat, f.has_servers) = (vec![], vec![], NotAsked, false);
        });
        assert_eq!(diagnose(&alone).step, Step::TheyNeverTried);
        let public = with(|f| (f.own.reflexive, f.nat) = (vec![], Public));
        assert_eq!(diagnose(&public).step, Step::TheyNeverTried);
    }

    #[test]
    fn only_what_is_nearly_certain_is_told_before_anybody_tried() {
        let nothing = || Traffic::default();
        for (change, step) in [
            ((|f| f.nat = UdpBlocked) as Change, Some(Step::UdpBlocked)),
            (|f| f.nat = NoAnswer, Some(Step::NoInternet)),
            (|f| (f.nat, f.theirs) = (HARD, strict()), Some(Step::BothSymmetric)),
            (|f| f.relay = Relay::Refused, Some(Step::RelayRefused)),
            // Theirs may let everybody in.
            (|f| f.nat = HARD, None),
            (|f| f.theirs = strict(), None),
            (|_| (), None),
            // Their relay is out of our reach too.
            (|f| (f.nat, f.theirs.relayed) = (UdpBlocked, true), Some(Step::UdpBlocked)),
            (|f| (f.nat, f.theirs.relayed) = (HARD, true), None),
            (|f| (f.nat, f.own.relayed) = (UdpBlocked, true), None),
        ] {
            let mut facts = with(change);
            facts.traffic = nothing();
            assert_eq!(forecast(&facts).map(|diagnosis| diagnosis.step), step, "{facts:?}");
        }
    }

    #[test]
    fn every_diagnosis_is_whole_sentences() {
        for relay in [Relay::NotSet, Relay::Works, Relay::Refused, Relay::Untrusted, Relay::NoAnswer] {
            for nat in [NotAsked, NoAnswer, UdpBlocked, Public, EASY, HARD] {
                for seen in 0..4_u32 {
                    let traffic =
                        Traffic { checks_in: seen & 1, answers_in: seen >> 1, ..Traffic::default() };
                    let text = diagnose(&Facts { nat, relay, traffic, ..facts() }).to_string();
                    assert!(text.ends_with('.') && !text.contains("  "), "{text}");
                }
            }
        }
    }
}
