//! Calls that go through a real TURN server (coturn, Debian's package) over UDP, TCP and TLS: two real programs on the
//! loopback interface that tell each other nothing but relayed addresses. Skipped, loudly, where there is no coturn.

#![cfg(target_os = "linux")]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/turn.rs"]
mod turn;

use certificates::certificates;
use serde_json::Value;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);
const USER: &str = "lab";
const PASSWORD: &str = "labpass";

/// A TURN server with a certificate that only `authority` vouches for.
struct Server {
    _running: Running,
    port: u16,
    tls_port: u16,
    authority: PathBuf,
}

impl Server {
    fn start(scratch: &Scratch) -> Option<Self> {
        let program = turn::program()?;
        let (authority, certificate, key) =
            (scratch.join("authority.pem"), scratch.join("cert.pem"), scratch.join("key.pem"));
        let (ca, signed, signed_key) = certificates();
        std::fs::write(&authority, ca).unwrap();
        std::fs::write(&certificate, signed).unwrap();
        std::fs::write(&key, signed_key).unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let mut command = Command::new(program);
        command
            .args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--allow-loopback-peers"])
            .args(["--listening-port", &port.to_string(), "--tls-listening-port", &tls_port.to_string()])
            .arg("--cert")
            .arg(&certificate)
            .arg("--pkey")
            .arg(&key);
        let running = turn::start(command, [USER, PASSWORD], scratch);
        wait_for("the TURN server", PATIENCE, || {
            [port, tls_port].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).then_some(())
        });
        Some(Self { _running: running, port, tls_port, authority })
    }
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn person(server: &Server, url: &str, arguments: &[&str]) -> (Running, Lines) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    command
        .args(arguments)
        .args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none", "--size", "160x90"])
        .args(["--bind", "127.0.0.1", "--relay-only", "--no-stun", "--ice-server", url])
        .args(["--ice-user", USER, "--ice-password", PASSWORD, "--stats", "-"])
        .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
        // What OpenSSL reads too: the authorities this computer trusts.
        .env("SSL_CERT_FILE", &server.authority)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start(&mut command);
    let lines = running.lines();
    (running, lines)
}

/// A call from `url` to `other` shows pictures and sound on both sides, over relayed addresses only.
fn call(server: &Server, url: &str, other: &str) {
    let (mut ann, ann_says) = person(server, url, &["call"]);
    let invite = ann_says.next(PATIENCE);
    let (_bo, bo_says) = person(server, other, &["answer", &invite]);
    ann.type_line(&bo_says.next(PATIENCE));
    for says in [&ann_says, &bo_says] {
        wait_for("pictures over the relay", PATIENCE, || {
            let stats: Value = serde_json::from_str(&says.next(PATIENCE)).unwrap();
            let peer = stats["peers"].get(0)?;
            let decoded = |kind: &str, counter: &str| peer["inbound"][kind][counter].as_u64().unwrap_or(0);
            let pair = &peer["candidatePair"];
            let relayed = |end: &str| pair[end].as_str().is_some_and(|end| end.starts_with("relay "));
            (decoded("video", "framesDecoded") > 30 && decoded("audio", "packetsReceived") > 30)
                .then(|| assert!(relayed("local") && relayed("remote"), "{url}, {other}: {pair}"))
        });
    }
}

#[test]
fn calls_go_through_a_relay_over_udp_tcp_and_tls() {
    let _one = alone();
    let scratch = Scratch::new("relay");
    let Some(server) = Server::start(&scratch) else {
        return skip("the relay tests need coturn (Debian: coturn)");
    };
    let udp = format!("turn:127.0.0.1:{}", server.port);
    let tcp = format!("turn:localhost:{}?transport=tcp", server.port);
    let tls = format!("turns:localhost:{}", server.tls_port);
    let tls_by_address = format!("turns:127.0.0.1:{}?transport=tcp", server.tls_port);
    for (url, other) in [(&udp, &tcp), (&tcp, &tls), (&tls_by_address, &udp)] {
        call(&server, url, other);
    }
}

#[test]
fn a_relay_that_cannot_be_trusted_is_named() {
    let _one = alone();
    let scratch = Scratch::new("relay-distrust");
    let Some(server) = Server::start(&scratch) else {
        return skip("the relay tests need coturn (Debian: coturn)");
    };
    let (stranger, _, _) = certificates();
    std::fs::write(&server.authority, stranger).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    let output = command
        .args(["call", "--camera", "none", "--microphone", "none", "--speaker", "none"])
        .args([
            "--bind",
            "127.0.0.1",
            "--relay-only",
            "--no-stun",
            "--ice-user",
            USER,
            "--ice-password",
            PASSWORD,
        ])
        .args(["--ice-server", &format!("turns:localhost:{}", server.tls_port)])
        .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
        .env("SSL_CERT_FILE", &server.authority)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("“localhost” cannot be reached: its certificate is not one"), "{said}");
}
