//! An ICE server as people write it: `stun:host:port`, `turn:host:port?transport=tcp`, `turns:host` (RFC 7064, RFC 7065).
//! The settings screen, the command line and the connection read it with the same words.

use std::net::Ipv6Addr;

/// RFC 8489 and RFC 8656: the same for STUN and TURN.
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// The longest name DNS has.
const MAX_HOST: usize = 253;

/// How a server is reached. What a TURN server relays is UDP in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// An ICE server's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    pub is_turn: bool,
    pub transport: Transport,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

impl ServerUrl {
    /// The error ends a sentence: “The server ... cannot be used: ”.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            url.trim().split_once(':').ok_or("it is written like stun:host:port or turn:host:port")?;
        let (is_turn, secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (false, false),
            "turn" => (true, false),
            "turns" => (true, true),
            // What a NAT does to a TCP connection says nothing about the UDP ports that a call uses.
            "stuns" => {
                return Err("STUN over TLS cannot tell the address that a call needs; write stun: instead");
            }
            _ => return Err("it starts with stun:, turn: or turns:"),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = match (query.to_ascii_lowercase().as_str(), is_turn, secure) {
            ("" | "transport=udp", _, false) => Transport::Udp,
            ("transport=tcp", true, false) => Transport::Tcp,
            ("" | "transport=tcp" | "transport=tls", true, true) | ("transport=tls", true, false) => {
                Transport::Tls
            }
            ("transport=udp", true, true) => {
                return Err("TURN over DTLS is not supported; use ?transport=tcp, which is TLS");
            }
            ("transport=tcp" | "transport=tls", false, _) => {
                return Err(
                    "STUN over TCP cannot tell the address that a call needs; leave out “?transport”",
                );
            }
            _ => return Err("after the “?” only transport=udp, tcp or tls is understood"),
        };
        let (host, port) = split_port(place)?;
        let port = match port {
            None if transport == Transport::Tls => TLS_PORT,
            None => PORT,
            Some(port) => match port.parse() {
                Ok(port @ 1..) => port,
                Ok(0) | Err(_) => return Err("the port is a number from 1 to 65535"),
            },
        };
        Ok(Self { is_turn, transport, host: host.into(), port })
    }
}

fn split_port(place: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the IPv6 address has no closing bracket")?;
        host.parse::<Ipv6Addr>().map_err(|_| "in the brackets stands no IPv6 address")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("behind the brackets only a port can stand"),
        };
    }
    if place.parse::<Ipv6Addr>().is_ok() {
        return Ok((place, None));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    match () {
        () if host.is_empty() => Err("the name of the server is missing"),
        () if host.len() > MAX_HOST => Err("no server has so long a name"),
        () if !host.chars().all(plain) => Err("its name has only letters, digits, dots and dashes"),
        () => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_taken_apart() {
        use Transport::{Tcp, Tls, Udp};
        for (url, is_turn, transport, host, port) in [
            ("stun:stun.l.google.com:19302", false, Udp, "stun.l.google.com", 19302),
            ("stun:example.org", false, Udp, "example.org", 3478),
            (" STUN:[2001:db8::1]:99 ", false, Udp, "2001:db8::1", 99),
            ("stun:2001:db8::1", false, Udp, "2001:db8::1", 3478),
            ("stun:10.0.0.1:1?transport=udp", false, Udp, "10.0.0.1", 1),
            ("turn:relay.example:443?transport=udp", true, Udp, "relay.example", 443),
            ("turn:relay.example?transport=TCP", true, Tcp, "relay.example", 3478),
            ("turn:relay.example:443?transport=tls", true, Tls, "relay.example", 443),
            ("turns:relay.example", true, Tls, "relay.example", 5349),
            ("TURNS:[::1]:443?transport=tcp", true, Tls, "::1", 443),
        ] {
            let expected = ServerUrl { is_turn, transport, host: host.into(), port };
            assert_eq!(ServerUrl::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_with_a_reason() {
        let long = format!("stun:{}", "x".repeat(5000));
        for url in [
            "",
            "stun",
            "stun:",
            "stun::3478",
            "http://example.org",
            "stuns:example.org",
            "stun:h?transport=tcp",
            "turns:h?transport=udp",
            "turn:h?x=1",
            "stun:a b",
            "stun:a:b:c",
            "stun:h:0",
            "stun:h:65536",
            "stun:h:port",
            "stun:[::1",
            "stun:[host]:1",
            "stun:[::1]x",
            "stun:/etc",
            "\u{0}:\u{0}",
            &long,
        ] {
            assert!(ServerUrl::parse(url).is_err(), "{url}");
        }
    }
}
