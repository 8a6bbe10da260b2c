//! Calls through routers: real programs behind real NATs, in network namespaces of their own. Skipped, loudly, where
//! they cannot be made (they take root, `ip` and `nft`). The table of all kinds, with relays, is `tests/bench/nat.py`.

#![cfg(target_os = "linux")]

mod lab;
#[path = "../support/mod.rs"]
mod support;

use lab::{Kind, Lab, STUN};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, alone, skip};

const PATIENCE: Duration = Duration::from_secs(40);
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
