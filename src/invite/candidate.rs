//! One ICE candidate: a way to reach a peer, as the `candidate:` line of RFC 8839, section 5.1.

use std::fmt;

/// What kind of way it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of the machine itself.
    Host,
    /// The machine's address as a STUN server sees it.
    ServerReflexive,
    /// An address that only showed during the checks.
    PeerReflexive,
    /// A TURN server passes everything on.
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Udp,
    Tcp,
}

/// The parts of a candidate that people can make something of. `Display`: `host 192.168.1.2:5000 udp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub kind: CandidateKind,
    /// An IP address or a `.local` name.
    pub address: String,
    pub port: u16,
    pub protocol: Protocol,
    /// 1 is RTP; 2 (RTCP) is of no use to us, who send both over one port.
    pub component: u16,
}

/// No valid line is longer: names have at most 253 characters.
const MAX_LINE: usize = 1024;

impl Candidate {
    /// Reads a line with or without `a=` in front; `None` if it is not a whole candidate.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        let mut parts = line.strip_prefix("candidate:").filter(|_| line.len() <= MAX_LINE)?.split(' ');
        parts.next().filter(|foundation| !foundation.is_empty())?;
        let component = parts.next()?.parse().ok()?;
        let protocol = match parts.next()? {
            udp if udp.eq_ignore_ascii_case("udp") => Protocol::Udp,
            tcp if tcp.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
            _ => return None,
        };
        parts.next()?.parse::<u32>().ok()?;
        let address = parts.next().filter(|address| is_address(address))?.to_owned();
        let port = parts.next()?.parse().ok()?;
        parts.next().filter(|word| *word == "typ")?;
        let kind = match parts.next()? {
            "host" => CandidateKind::Host,
            "srflx" => CandidateKind::ServerReflexive,
            "prflx" => CandidateKind::PeerReflexive,
            "relay" => CandidateKind::Relay,
            _ => return None,
        };
        Some(Self { kind, address, port, protocol, component })
    }
}

fn is_address(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.parse::<std::net::IpAddr>().is_ok()
        || (!text.is_empty() && text.len() <= 253 && text.chars().all(is_name))
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.contains(':') {
            write!(f, "{} [{}]:{} {}", self.kind, self.address, self.port, self.protocol)
        } else {
            write!(f, "{} {}:{} {}", self.kind, self.address, self.port, self.protocol)
        }
    }
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds_are_read() {
        let rows = [
            ("candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host", "host 192.168.1.2:5000 udp"),
            (
                "a=candidate:842163049 1 UDP 1677729535 203.0.113.7 61234 typ srflx raddr 10.0.0.1 rport 5000 generation 0",
                "srflx 203.0.113.7:61234 udp",
            ),
            (
                "candidate:2 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active",
                "host [2001:db8::1]:9 tcp",
            ),
            (
                "candidate:3 1 udp 2113937151 0f4c2f5a-1111-4222-8333-444455556666.local 50000 typ host network-cost 999",
                "host 0f4c2f5a-1111-4222-8333-444455556666.local:50000 udp",
            ),
            (
                "candidate:4 1 udp 16777215 198.51.100.3 3478 typ relay raddr 0.0.0.0 rport 0",
                "relay 198.51.100.3:3478 udp",
            ),
        ];
        for (line, shown) in rows {
            assert_eq!(Candidate::parse(line).map(|c| c.to_string()).as_deref(), Some(shown), "{line}");
        }
    }

    #[test]
    fn lines_that_lack_something_are_refused() {
        let whole = "candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host";
        for end in 0..whole.len() {
            assert_eq!(Candidate::parse(&whole[..end]), None, "{}", &whole[..end]);
        }
        for line in [
            "candidate:1 1 udp 2130706431 192.168.1.2 99999 typ host",
            "candidate:1 1 sctp 2130706431 192.168.1.2 5000 typ host",
            "candidate:1 1 udp x 192.168.1.2 5000 typ host",
            "candidate:1 1 udp 1 <script> 5000 typ host",
            "candidate: 1 udp 1 192.168.1.2 5000 typ host",
        ] {
            assert_eq!(Candidate::parse(line), None, "{line}");
        }
    }

    #[test]
    fn damaged_lines_are_refused_or_read_again() {
        let whole =
            b"candidate:842163049 1 udp 1677729535 203.0.113.7 61234 typ srflx raddr 10.0.0.1 rport 5000";
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        for _ in 0..40_000 {
            let mut bytes = whole.to_vec();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = below(256) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b" .:-_%0aZ\xc3\xa9\r\n"[below(13)]),
                }
            }
            let line = String::from_utf8_lossy(&bytes);
            if let Some(candidate) = Candidate::parse(&line) {
                let Candidate { kind, address, port, protocol, component } = &candidate;
                let again = format!("candidate:1 {component} {protocol} 1 {address} {port} typ {kind}");
                assert_eq!(Candidate::parse(&again), Some(candidate), "{line}");
            }
        }
    }
}
