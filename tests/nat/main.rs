//! Calls through routers: real programs behind real NATs, in network namespaces of their own. Skipped, loudly, where
//! they cannot be made (they take root, `ip` and `nft`). The table of all kinds, with relays, is `tests/bench/nat.py`.

#![cfg(target_os = "linux")]

mod lab;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/turn.rs"]
mod turn;

use lab::{Kind, Lab, STUN};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);
/// By then a STUN server has answered whoever keeps the code valid, also if the first question was lost.
const KNOWN_AFTER: Duration = Duration::from_secs(5);
const NO_LAB: &str = "the tests with routers need root, `ip netns` and `nft`";

/// Answers STUN requests (RFC 8489) in the namespace this test program is started in again, until its input ends.
#[test]
#[ignore = "not a test: the server of the others"]
fn stun_server() {
    let at: Vec<SocketAddr> = STUN.iter().map(|at| at.parse().unwrap()).collect();
    // Whoever gets no answer over UDP looks whether TCP works.
    let _listeners: Vec<TcpListener> = at.iter().map(|at| TcpListener::bind(at).unwrap()).collect();
    for address in at {
        let socket = UdpSocket::bind(address).unwrap();
        std::thread::spawn(move || {
            let mut request = [0; 600];
            while let Ok((length, source)) = socket.recv_from(&mut request) {
                let (IpAddr::V4(ip), true) = (source.ip(), length >= 20 && request[..2] == [0, 1]) else {
                    continue;
                };
                let mut answer = request[..20].to_vec();
                answer[..4].copy_from_slice(&[1, 1, 0, 12]);
                answer.extend([0, 0x20, 0, 8, 0, 1]);
                answer.extend((source.port() ^ 0x2112).to_be_bytes());
                answer.extend((u32::from(ip) ^ 0x2112_A442).to_be_bytes());
                let _ = socket.send_to(&answer, source);
            }
        });
    }
    println!("\nready");
    let _ = std::io::read_to_string(std::io::stdin());
}

fn serve(lab: &Lab) -> Running {
    let this = std::env::current_exe().unwrap();
    let mut command = lab.command("net", this.to_str().unwrap());
    command.args(["--ignored", "--exact", "stun_server", "--nocapture"]);
    let mut server =
        Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = server.lines();
    while lines.next(PATIENCE) != "ready" {}
    server
}

const LOGIN: [&str; 2] = ["lab", "labpass"];

/// A relay at the address of the STUN server, which it is as well.
fn serve_relay(lab: &Lab, scratch: &Scratch) -> Option<Running> {
    let mut command = lab.command("net", turn::program()?.to_str()?);
    command
        .args(["--no-tls", "--no-dtls", "--listening-port", "3478"])
        .args(STUN.iter().flat_map(|at| ["--listening-ip", at.trim_end_matches(":3478")]))
        .args(["--relay-ip", STUN[0].trim_end_matches(":3478")]);
    let running = turn::start(command, LOGIN, scratch);
    wait_for("the relay", PATIENCE, || {
        let sockets = lab.command("net", "cat").arg("/proc/net/tcp").output().unwrap().stdout;
        // It listens on port 3478.
        String::from_utf8(sockets).unwrap().contains(":0D96 ").then_some(())
    });
    Some(running)
}

fn with_network(command: &mut Command) -> &mut Command {
    for server in STUN {
        command.args(["--ice-server", &format!("stun:{server}")]);
    }
    command
        .args(["--camera", "pattern", "--size", "160x90", "--microphone", "none", "--speaker", "none"])
        .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}

/// One program in a call.
struct Person {
    running: Running,
    codes: Lines,
    said: Lines,
}

impl Person {
    fn new(lab: &Lab, place: &str, arguments: &[&str]) -> Self {
        let mut command = lab.command(place, env!("CARGO_BIN_EXE_twocan"));
        let mut running = Running::start(with_network(command.args(arguments)));
        let codes = running.lines();
        let said = Lines::of(running.child.stderr.take().unwrap(), place);
        Self { running, codes, said }
    }

    /// Waits for statistics of its only peer that are as wanted; older ones are passed over.
    fn stats<T>(&self, what: &str, is: impl Fn(&Value) -> Option<T>) -> T {
        wait_for(what, PATIENCE, || {
            let line = self.codes.next(PATIENCE);
            let stats: Value = serde_json::from_str(&line).ok()?;
            is(stats["peers"].get(0)?)
        })
    }

    /// Waits for a sentence with this in it.
    fn says(&self, part: &str) -> String {
        loop {
            let sentence = self.said.next(PATIENCE);
            if sentence.contains(part) {
                return sentence;
            }
        }
    }
}

/// Both codes change hands.
fn exchange(lab: &Lab, kinds: [Kind; 2]) -> (Person, Person) {
    lab.route("ra", kinds[0]);
    lab.route("rb", kinds[1]);
    let mut ann = Person::new(lab, "a", &["call"]);
    let invite = ann.codes.next(PATIENCE);
    let bo = Person::new(lab, "b", &["answer", &invite]);
    ann.running.type_line(&bo.codes.next(PATIENCE));
    (ann, bo)
}

fn doctor(lab: &Lab) -> Value {
    let mut command = lab.command("a", env!("CARGO_BIN_EXE_twocan"));
    let output = with_network(command.args(["doctor", "--json"])).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["network"].clone()
}

#[test]
fn two_ordinary_routers_are_passed_and_strict_ones_are_named() {
    let _alone = alone();
    let Some(lab) = Lab::new("nat") else { return skip(NO_LAB) };
    let _server = serve(&lab);

    let (ann, bo) = exchange(&lab, [Kind::PortRestricted; 2]);
    for person in [&ann, &bo] {
        person.says("Their picture is here.");
    }
    drop((ann, bo));
    let network = doctor(&lab);
    assert_eq!(
        (&network["nat"], &network["mapping"]),
        (&"easy".into(), &"endpoint-independent".into()),
        "{network}"
    );

    let (mut ann, bo) = exchange(&lab, [Kind::Symmetric; 2]);
    bo.says("Both networks are strict");
    ann.says("No connection could be made. Both networks are strict");
    assert_eq!(ann.running.wait(PATIENCE).code(), Some(3));
    drop(bo);
    assert_eq!(doctor(&lab)["nat"], "hard");

    lab.route("ra", Kind::UdpBlocked);
    let network = doctor(&lab);
    assert_eq!(
        (&network["nat"], &network["stunServers"][0]["answers"]),
        (&"udp-blocked".into(), &false.into())
    );
}

/// Either side may be the one that cannot use UDP, if the other can be reached.
#[test]
fn where_udp_is_blocked_the_call_goes_over_tcp() {
    let _alone = alone();
    let Some(lab) = Lab::new("tcp") else { return skip(NO_LAB) };
    let _server = serve(&lab);
    for kinds in [[Kind::Open, Kind::UdpBlocked], [Kind::UdpBlocked, Kind::Open]] {
        let (ann, bo) = exchange(&lab, kinds);
        for person in [&ann, &bo] {
            person.says("Their picture is here.");
        }
    }
}

/// While the code is out, the router of who made it gets another address.
#[test]
fn an_invite_follows_its_router_to_another_address() {
    let _alone = alone();
    let Some(lab) = Lab::new("renumber") else { return skip(NO_LAB) };
    let _server = serve(&lab);
    lab.route("ra", Kind::PortRestricted);
    lab.route("rb", Kind::PortRestricted);
    let mut ann = Person::new(&lab, "a", &["call"]);
    let old = ann.codes.next(PATIENCE);
    std::thread::sleep(KNOWN_AFTER);
    lab.renumber("ra");
    ann.says("The address of this computer has changed. Send this new invite");
    // For the person at the terminal: a script that reads the standard output has its code already.
    let new = ann.says("2can");
    assert_ne!(old, new);
    let bo = Person::new(&lab, "b", &["answer", &new]);
    ann.running.type_line(&bo.codes.next(PATIENCE));
    for person in [&ann, &bo] {
        person.says("Their picture is here.");
    }
}

/// The router of who invites knows the relay's address, and lets it in before the other side's: the call comes up over
/// the relay, without a reply, though both routers let each other in once both have sent.
#[test]
fn a_call_over_a_relay_moves_to_the_direct_path() {
    let _alone = alone();
    let Some(lab) = Lab::new("relay") else { return skip(NO_LAB) };
    let scratch = Scratch::new("nat-relay");
    let Some(_relay) = serve_relay(&lab, &scratch) else {
        return skip("the test with a relay needs coturn (Debian: coturn)");
    };
    let url = format!("turn:{}?transport=tcp", STUN[0]);
    let login = ["--ice-server", &url, "--ice-user", LOGIN[0], "--ice-password", LOGIN[1]];
    // The guest's relay, then the relays of both.
    for (kinds, relay_of_host) in
        [([Kind::Restricted, Kind::PortRestricted], false), ([Kind::Restricted, Kind::Symmetric], true)]
    {
        lab.route("ra", kinds[0]);
        lab.route("rb", kinds[1]);
        let host: &[&str] = if relay_of_host { &login } else { &[] };
        let ann = Person::new(&lab, "a", &[&["call", "--stats", "-"], host].concat());
        let invite = ann.codes.next(PATIENCE);
        let bo = Person::new(&lab, "b", &[&["answer", &invite, "--stats", "-"], &login[..]].concat());
        // The first line is the reply, which nobody pastes.
        bo.codes.next(PATIENCE);
        for (person, other) in [(&ann, "10.98.20.2"), (&bo, "10.98.10.2")] {
            person.says("Their picture is here.");
            let decoded = |peer: &Value| peer["inbound"]["video"]["framesDecoded"].as_u64().unwrap_or(0);
            let before = person.stats("the direct path", |peer| {
                let remote = peer["candidatePair"]["remote"].as_str()?;
                remote.contains(&format!(" {other}:")).then(|| decoded(peer))
            });
            person.stats("pictures on it", |peer| {
                let video = &peer["inbound"]["video"];
                (decoded(peer) > before + 30).then(|| {
                    println!(
                        "frozen for {} s, {} packets lost",
                        video["totalFreezesDuration"], video["packetsLost"]
                    );
                })
            });
        }
    }
}

/// Each reaches the host, and neither the other.
#[test]
fn two_behind_strict_routers_meet_through_the_host() {
    let _alone = alone();
    let Some(lab) = Lab::new("hop") else { return skip(NO_LAB) };
    let _server = serve(&lab);
    lab.route("ra", Kind::Symmetric);
    lab.route("rb", Kind::Symmetric);
    let host = Person::new(&lab, "net", &["call", "--guests", "many"]);
    let invite = host.codes.next(PATIENCE);
    let guests = ["a", "b"].map(|place| Person::new(&lab, place, &["answer", &invite, "--stats", "-"]));
    for guest in &guests {
        wait_for("pictures of the two others", PATIENCE, || {
            let stats: Value = serde_json::from_str(&guest.codes.next(PATIENCE)).ok()?;
            let peers = stats["peers"].as_array()?;
            let seen =
                peers.iter().filter(|peer| peer["inbound"]["video"]["framesDecoded"].as_u64() > Some(10));
            let is_by_host =
                |peer: &&Value| peer["candidatePair"]["remote"] == "relay (another member of the call)";
            (seen.count() == 2 && peers.iter().filter(is_by_host).count() == 1).then_some(())
        });
    }
}
