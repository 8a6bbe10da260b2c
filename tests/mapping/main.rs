//! A port of a real router daemon (miniupnpd: Debian's miniupnpd-nftables) lets the other side in: two real programs, a
//! router that passes nothing on by itself between them, in network namespaces. Skipped, loudly, where they cannot be made.
//!
//! ```text
//!   a 192.168.77.2 --- 192.168.77.1  router (NAT, IGD, NAT-PMP, PCP)  11.22.33.1 --- b 11.22.33.2
//! ```
//!
//! The router drops every UDP packet from a that answers nothing, so a cannot open the way: only b can, through the
//! mapping. The outside is called 11.22.33.0/24, which nobody outside of the namespaces sees: miniupnpd refuses to map
//! an address that is not public.

#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, find_program, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);
const WAYS: &str = "
set -e
for place in a r b; do
    ip netns add $lab-$place
    ip -n $lab-$place link set lo up
    ip netns exec $lab-$place sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'
done
ip -n $lab-a link add eth0 type veth peer name lan netns $lab-r
ip -n $lab-b link add eth0 type veth peer name wan netns $lab-r
ip -n $lab-a addr add 192.168.77.2/24 dev eth0
ip -n $lab-r addr add 192.168.77.1/24 dev lan
ip -n $lab-r addr add 11.22.33.1/24 dev wan
ip -n $lab-b addr add 11.22.33.2/24 dev eth0
ip -n $lab-a link set eth0 up
ip -n $lab-r link set lan up
ip -n $lab-r link set wan up
ip -n $lab-b link set eth0 up
ip -n $lab-a route add default via 192.168.77.1
ip netns exec $lab-r sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
ip netns exec $lab-r nft -f - <<END
table inet lab {
    chain upnp_forward { }
    chain upnp_pre { }
    chain upnp_post { }
    chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; jump upnp_forward; }
    chain input { type filter hook input priority 0; policy drop; iifname { lo, lan } accept; ct state established,related accept; }
    chain pre { type nat hook prerouting priority -100; jump upnp_pre; }
    chain post { type nat hook postrouting priority 100; jump upnp_post; oifname wan masquerade fully-random; }
}
END
";

struct Lab {
    name: String,
    _router: Option<Running>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self._router = None;
        for place in ["a", "r", "b"] {
            let namespace = format!("{}-{place}", self.name);
            let _ = Command::new("ip").args(["netns", "del", &namespace]).stderr(Stdio::null()).status();
        }
    }
}

impl Lab {
    /// `ways`: what the router speaks.
    fn new(scratch: &Scratch, program: &Path, ways: &str) -> Option<Self> {
        let mut lab = Self { name: format!("twocan-map-{}", std::process::id()), _router: None };
        let made = Command::new("sh").args(["-c", WAYS]).env("lab", &lab.name).stderr(Stdio::null()).status();
        if !made.is_ok_and(|made| made.success()) {
            return None;
        }
        let settings = scratch.join("miniupnpd.conf");
        let text = format!(
            "ext_ifname=wan\next_ip=11.22.33.1\nlistening_ip=lan\nhttp_port=0\n{ways}\nsecure_mode=yes\n\
             uuid=5c7d6e1a-0000-4000-8000-000000000001\nupnp_table_name=lab\nupnp_nat_table_name=lab\n\
             upnp_forward_chain=upnp_forward\nupnp_nat_chain=upnp_pre\nupnp_nat_postrouting_chain=upnp_post\n\
             allow 1024-65535 192.168.77.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = lab.command("r", program.to_str()?);
        let pid = scratch.join("miniupnpd.pid");
        command.arg("-d").arg("-f").arg(&settings).arg("-P").arg(&pid);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        lab._router = Some(Running::start(&mut command));
        // It listens for NAT-PMP and PCP, or for UPnP's search.
        wait_for("the router", PATIENCE, || {
            let sockets = lab.command("r", "cat").arg("/proc/net/udp").output().unwrap().stdout;
            let sockets = String::from_utf8(sockets).unwrap();
            (sockets.contains(":14E7 ") || sockets.contains(":076C ")).then_some(())
        });
        Some(lab)
    }

    fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.name), program]);
        command
    }

    fn person(&self, place: &str, arguments: &[&str]) -> (Running, Lines) {
        let mut command = self.command(place, env!("CARGO_BIN_EXE_twocan"));
        command
            .args(arguments)
            .args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none", "--size", "160x90"])
            .args(["--no-stun", "--stats", "-", "--seconds", "4"])
            .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        let lines = running.lines();
        (running, lines)
    }

    /// The router speaks NAT-PMP but not its successor, which has the same port and another first byte.
    fn forget_pcp(&self) {
        let rule =
            ["insert", "rule", "inet", "lab", "input", "udp", "dport", "5351", "@th,64,8", "2", "drop"];
        assert!(self.command("r", "nft").args(rule).status().unwrap().success());
    }

    fn mappings(&self) -> usize {
        let list = ["list", "chain", "inet", "lab", "upnp_pre"];
        let rules = self.command("r", "nft").args(list).output().unwrap();
        String::from_utf8_lossy(&rules.stdout).matches("dnat").count()
    }
}

fn call_through_a_mapping(ways: &str, pcp: bool) {
    let _one = alone();
    let scratch = Scratch::new("mapping");
    let Some(program) = find_program(&["miniupnpd", "/usr/sbin/miniupnpd"]) else {
        return skip("the port mapping tests need miniupnpd (Debian: miniupnpd-nftables)");
    };
    let Some(lab) = Lab::new(&scratch, &program, ways) else {
        return skip("the port mapping tests need root, `ip` and `nft`");
    };
    if !pcp {
        lab.forget_pcp();
    }
    assert_eq!(lab.mappings(), 0);
    let (mut ann, ann_says) = lab.person("a", &["call"]);
    let invite = ann_says.next(PATIENCE);
    assert_eq!(lab.mappings(), 1, "while the code is out");
    let (_bo, bo_says) = lab.person("b", &["answer", &invite]);
    ann.type_line(&bo_says.next(PATIENCE));
    wait_for("pictures through the mapping", PATIENCE, || {
        let stats: Value = serde_json::from_str(&bo_says.next(PATIENCE)).unwrap();
        let peer = stats["peers"].get(0)?;
        let remote = peer["candidatePair"]["remote"].as_str()?;
        (peer["inbound"]["video"]["framesDecoded"].as_u64()? > 10)
            .then(|| assert!(remote.starts_with("srflx 11.22.33.1:"), "{remote}"))
    });
    assert!(ann.wait(PATIENCE).success());
    wait_for("the mapping to be removed", PATIENCE, || (lab.mappings() == 0).then_some(()));
}

#[test]
fn a_port_by_pcp_lets_the_other_side_in() {
    call_through_a_mapping("enable_natpmp=yes\nenable_upnp=no", true);
}

#[test]
fn a_port_by_nat_pmp_alone_lets_the_other_side_in() {
    call_through_a_mapping("enable_natpmp=yes\nenable_upnp=no", false);
}

#[test]
fn a_port_by_upnp_lets_the_other_side_in() {
    call_through_a_mapping("enable_natpmp=no\nenable_upnp=yes", true);
}

#[test]
fn no_port_is_asked_for_when_that_is_switched_off() {
    let _one = alone();
    let scratch = Scratch::new("mapping-off");
    let Some(program) = find_program(&["miniupnpd", "/usr/sbin/miniupnpd"]) else {
        return skip("the port mapping tests need miniupnpd (Debian: miniupnpd-nftables)");
    };
    let Some(lab) = Lab::new(&scratch, &program, "enable_natpmp=yes\nenable_upnp=yes") else {
        return skip("the port mapping tests need root, `ip` and `nft`");
    };
    let (_ann, ann_says) = lab.person("a", &["call", "--no-port-mapping"]);
    ann_says.next(PATIENCE);
    assert_eq!(lab.mappings(), 0);
}
