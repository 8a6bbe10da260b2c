//! Which of the machine's addresses a call uses, best first. A laptop with a VPN, containers and temporary IPv6
//! addresses has dozens; each costs a socket, a candidate in the code and checks with every address of the other side.
//!
//! ```text
//!   1  the address that the default route starts from
//!   2  other networks: Wi-Fi beside the cable
//!   3  tunnels: the other side may be in the same VPN
//!   4  bridges to containers and virtual machines, where hardly anybody waits
//! ```
//!
//! Of each IPv6 network one address is enough: the one the system would start from, else a temporary one (RFC 8981).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of each family.
const MAX_V4: usize = 4;
const MAX_V6: usize = 3;

/// How interfaces of containers and virtual machines begin: Docker, Podman, LXC, libvirt, Kubernetes, VMware,
/// VirtualBox, Hyper-V, Parallels, Apple's virtualisation.
const BRIDGES: &[&str] = &[
    "docker",
    "br-",
    "veth",
    "podman",
    "cni",
    "lxc",
    "lxd",
    "virbr",
    "vnet",
    "cali",
    "flannel",
    "kube",
    "vmnet",
    "vmware",
    "vboxnet",
    "virtualbox",
    "vethernet",
    "bridge",
    "waydroid",
    "incus",
];
/// And those of tunnels, where the system does not say that they are.
const TUNNELS: &[&str] =
    &["tun", "tap", "wg", "ppp", "utun", "ipsec", "tailscale", "zt", "nordlynx", "proton"];

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub interface: String,
    pub ip: IpAddr,
    pub prefix: u8,
    /// Point to point: a tunnel or a modem.
    pub is_p2p: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Default,
    Lan,
    Tunnel,
    Bridge,
}

/// What the system has now; `None` if it does not say.
pub(super) fn addresses() -> Option<Vec<Address>> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let address = |interface: if_addrs::Interface| Address {
        ip: interface.ip(),
        prefix: match &interface.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        },
        is_p2p: interface.is_p2p,
        interface: interface.name,
    };
    Some(interfaces.into_iter().map(address).collect())
}

/// What [`addresses`] says, or has said at most this long ago: in a group each connection asks again and again.
pub(super) fn addresses_lately(age: Duration) -> Option<Vec<Address>> {
    static LAST: Mutex<Option<(Instant, Vec<Address>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref().is_none_or(|(at, _)| at.elapsed() > age) {
        *last = addresses().map(|addresses| (Instant::now(), addresses));
    }
    last.as_ref().map(|(_, addresses)| addresses.clone())
}

/// The addresses that packets to the world start from. Nothing is sent for it.
pub(super) fn default_routes() -> [Option<IpAddr>; 2] {
    let from = |local: IpAddr, far: IpAddr| {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).ok()?;
        socket.connect(SocketAddr::new(far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Blocks for documentation (RFC 5737, RFC 3849): no network has a better way to them than to any stranger.
    let far_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    [
        from(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        from(Ipv6Addr::UNSPECIFIED.into(), far_v6.into()),
    ]
}

/// Those that another machine can reach, best first, IPv4 before IPv6: at most [`MAX_V4`] and [`MAX_V6`].
pub(super) fn best(addresses: &[Address], defaults: &[Option<IpAddr>]) -> Vec<IpAddr> {
    let mut ranked: Vec<(&Address, Class)> = addresses
        .iter()
        .filter(|address| is_reachable(&address.ip))
        .map(|address| (address, class(address, defaults)))
        .collect();
    ranked.sort_by_key(|(address, class)| (*class, is_permanent(&address.ip)));
    let mut chosen: Vec<&Address> = Vec::new();
    for (address, _) in ranked {
        let same = |other: &&Address| {
            other.ip == address.ip
                || (other.interface == address.interface
                    && network(other) == network(address)
                    && other.ip.is_ipv6())
        };
        let limit = if address.ip.is_ipv4() { MAX_V4 } else { MAX_V6 };
        let of_family = chosen.iter().filter(|other| other.ip.is_ipv4() == address.ip.is_ipv4()).count();
        if of_family < limit && !chosen.iter().any(same) {
            chosen.push(address);
        }
    }
    let mut best: Vec<IpAddr> = chosen.into_iter().map(|address| address.ip).collect();
    best.sort_by_key(IpAddr::is_ipv6);
    best
}

/// The addresses at which the neighbours in the same network reach this machine, with the length of their prefix.
pub(super) fn neighbourhoods(addresses: &[Address]) -> Vec<(Ipv4Addr, u8)> {
    let is_lan = |address: &&Address| class(address, &[]) == Class::Lan;
    let v4 = |address: &Address| match address.ip {
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Some((ip, address.prefix)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    addresses.iter().filter(is_lan).filter_map(v4).take(MAX_V4).collect()
}

fn class(address: &Address, defaults: &[Option<IpAddr>]) -> Class {
    let name = address.interface.to_ascii_lowercase();
    let is_one_of = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
    match () {
        () if defaults.contains(&Some(address.ip)) => Class::Default,
        () if is_one_of(BRIDGES) => Class::Bridge,
        () if address.is_p2p || is_one_of(TUNNELS) => Class::Tunnel,
        () => Class::Lan,
    }
}

/// The 64 bits that machines of one IPv6 network share.
fn network(address: &Address) -> Option<[u16; 4]> {
    match address.ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => v6.segments().first_chunk().copied(),
    }
}

/// An address with the hardware's number in it (RFC 4291, appendix A) says whose machine this is, for years.
fn is_permanent(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.octets()[11..13] == [0xff, 0xfe])
}

/// Whether another machine could reach this address. A link-local one lacks its zone in a candidate.
pub(super) fn is_reachable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: &str, ip: &str) -> Address {
        let ip: IpAddr = ip.parse().unwrap();
        let prefix = if ip.is_ipv4() { 24 } else { 64 };
        Address { interface: interface.into(), ip, prefix, is_p2p: interface.starts_with("p2p") }
    }

    fn best_of(rows: &[(&str, &str)], default: &str) -> Vec<String> {
        let addresses: Vec<_> = rows.iter().map(|(interface, ip)| address(interface, ip)).collect();
        let defaults: Vec<_> = default.split(' ').map(|ip| ip.parse().ok()).collect();
        best(&addresses, &defaults).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_route_comes_first_and_bridges_last() {
        let laptop = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("br-1f2e", "172.18.0.1"),
            ("virbr0", "192.168.122.1"),
            ("tun0", "10.8.0.2"),
            ("wlan0", "192.168.1.7"),
            ("eth0", "192.168.2.7"),
            ("eth0", "fe80::1"),
            ("eth0", "169.254.3.4"),
        ];
        assert_eq!(best_of(&laptop, "192.168.2.7"), ["192.168.2.7", "192.168.1.7", "10.8.0.2", "172.17.0.1"]);
        // The VPN takes everything.
        assert_eq!(best_of(&laptop, "10.8.0.2"), ["10.8.0.2", "192.168.1.7", "192.168.2.7", "172.17.0.1"]);
        // No way out at all: a call in the same network works.
        assert_eq!(best_of(&laptop, ""), ["192.168.1.7", "192.168.2.7", "10.8.0.2", "172.17.0.1"]);
        let windows =
            [("vEthernet (WSL)", "172.20.0.1"), ("Ethernet", "10.0.0.2"), ("p2p modem", "100.64.0.9")];
        assert_eq!(best_of(&windows, ""), ["10.0.0.2", "100.64.0.9", "172.20.0.1"]);
        assert_eq!(best_of(&[("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "fe80::2")], ""), [""; 0]);
    }

    #[test]
    fn one_address_of_each_ipv6_network_is_enough() {
        let mut rows = vec![
            ("eth0", "2001:db8:1::200:5eff:fe00:5301"),
            ("eth0", "2001:db8:1::aaaa"),
            ("eth0", "2001:db8:1::bbbb"),
            ("eth0", "fd00:1::aaaa"),
            ("eth0", "10.0.0.2"),
            ("wlan0", "2001:db8:2::cccc"),
            ("docker0", "fd00:2::1"),
        ];
        let best = ["10.0.0.2", "2001:db8:1::bbbb", "fd00:1::aaaa", "2001:db8:2::cccc"];
        assert_eq!(best_of(&rows, "2001:db8:1::bbbb"), best);
        rows.remove(2);
        assert_eq!(best_of(&rows, "")[1], "2001:db8:1::aaaa", "not the one with the hardware's number");
    }

    #[test]
    fn a_machine_with_a_hundred_interfaces_has_a_short_list() {
        let many: Vec<_> = (0..100)
            .flat_map(|n| [format!("10.{n}.0.1"), format!("2001:db8:{n:x}::1")])
            .map(|ip| address("eth0", &ip))
            .collect();
        assert_eq!(best(&many, &[]).len(), MAX_V4 + MAX_V6);
    }

    #[test]
    fn neighbours_are_in_private_networks() {
        let rows = [
            ("eth0", "203.0.113.7"),
            ("eth0", "192.168.1.7"),
            ("tun0", "10.8.0.2"),
            ("docker0", "172.17.0.1"),
            ("eth0", "fd00::1"),
        ];
        let addresses = rows.map(|(interface, ip)| address(interface, ip));
        assert_eq!(neighbourhoods(&addresses), [(Ipv4Addr::new(192, 168, 1, 7), 24)]);
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
}
