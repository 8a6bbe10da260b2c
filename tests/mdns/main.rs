//! A browser that may not tell its address gives it a name (`….local`, RFC 8828 and mdns-ice-candidates), which the
//! other side has to ask the network for. A real responder (the crate that also finds people nearby), two real programs
//! and a firewall that lets nobody in who was not sent to first: only through the name can the call come up. Skipped,
//! loudly, where it cannot be made (it takes root, `ip` and `nft`).
//!
//! ```text
//!   a 10.97.0.1, the firewall --- 10.97.0.2 b, the responder
//! ```

#![cfg(target_os = "linux")]

#[path = "../support/namespaces.rs"]
mod namespaces;
#[path = "../support/mod.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use namespaces::Namespaces;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use support::{Lines, Running, alone, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);
const NAME: &str = "4f2c9a40-6d1e-4b7a-9c1f-0123456789ab.local";
const ADDRESS: &str = "10.97.0.2";
const RULES: &str = "table ip lab { chain in { type filter hook input priority filter; policy drop; \
     iifname lo accept; ct state established,related accept; udp dport 5353 accept; }; }";

/// Answers for the name, in the namespace this test program is started in again, until its input ends.
#[test]
#[ignore = "not a test: the responder of the other"]
fn responder() {
    let daemon = mdns_sd::ServiceDaemon::new().unwrap();
    let host = format!("{NAME}.");
    let service = mdns_sd::ServiceInfo::new("_lab._udp.local.", "lab", &host, ADDRESS, 9, None).unwrap();
    daemon.register(service).unwrap();
    println!("\nready");
    let _ = std::io::read_to_string(std::io::stdin());
}

fn lab() -> Option<Namespaces> {
    let lab = Namespaces::new("mdns", &["a", "b"])?;
    lab.join("a", "eth", "10.97.0.1/24", "b", "eth", &format!("{ADDRESS}/24"));
    for place in ["a", "b"] {
        lab.ip(place, "route add default dev eth");
    }
    let made = lab.command("a", "nft").arg(RULES).status();
    made.is_ok_and(|status| status.success()).then_some(lab)
}

fn person(lab: &Namespaces, place: &str, arguments: &[&str]) -> (Running, Lines) {
    let mut command = lab.command(place, env!("CARGO_BIN_EXE_twocan"));
    command
        .args(arguments)
        .args(["--camera", "pattern", "--microphone", "none", "--speaker", "none", "--size", "160x90"])
        .args(["--no-stun", "--no-port-mapping", "--format", "full", "--stats", "-"])
        .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start(&mut command);
    let lines = running.lines();
    (running, lines)
}

/// The code with the name in place of the address, as a browser without permission to tell it writes it.
fn named(code: &str) -> String {
    let mut code: Value = serde_json::from_slice(&STANDARD.decode(code).unwrap()).unwrap();
    let sdp = code["sdp"].as_str().unwrap().replace(&format!(" {ADDRESS} "), &format!(" {NAME} "));
    assert!(sdp.contains(NAME) && !sdp.contains(ADDRESS), "{sdp}");
    code["sdp"] = sdp.into();
    STANDARD.encode(code.to_string())
}

#[test]
fn a_name_of_the_local_network_leads_to_whoever_has_it() {
    let _alone = alone();
    let Some(lab) = lab() else { return skip("the test of local names needs root, `ip` and `nft`") };
    let this = std::env::current_exe().unwrap();
    let mut command = lab.command("b", this.to_str().unwrap());
    command.args(["--ignored", "--exact", "responder", "--nocapture"]);
    let mut responder =
        Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let lines = responder.lines();
    while lines.next(PATIENCE) != "ready" {}

    let (mut ann, ann_says) = person(&lab, "a", &["call"]);
    let invite = ann_says.next(PATIENCE);
    let (_bo, bo_says) = person(&lab, "b", &["answer", &invite]);
    ann.type_line(&named(&bo_says.next(PATIENCE)));
    wait_for("pictures", PATIENCE, || {
        let stats: Value = serde_json::from_str(&ann_says.next(PATIENCE)).ok()?;
        let peer = stats["peers"].get(0)?;
        let remote = peer["candidatePair"]["remote"].as_str()?;
        (peer["inbound"]["video"]["framesDecoded"].as_u64()? > 10)
            .then(|| assert!(remote.contains(&format!(" {ADDRESS}:")), "{remote}"))
    });
}
