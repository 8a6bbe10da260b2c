//! `twocan publish` and `twocan play` against a server that speaks WHIP and WHEP over real connections.

#![cfg(unix)]

mod double;
#[path = "../support/mod.rs"]
mod support;

use double::{Double, TOKEN};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);

fn command(double: &Double, verb: &str, path: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    command
        .args([verb, &format!("http://{}{path}", double.address)])
        .args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none", "--size", "320x180"])
        .args(["--bind", "127.0.0.1", "--no-stun", "--stats", "-"])
        .env("TWOCAN_CONFIG", "no-such-folder/settings.json")
        .env("TWOCAN_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn start(mut command: Command) -> (Running, Lines) {
    let mut running = Running::start(&mut command);
    let lines = running.lines();
    (running, lines)
}

fn stop(running: &mut Running) -> Option<i32> {
    // SAFETY: a signal to a child of ours that was not waited for.
    unsafe { libc::kill(running.child.id() as i32, libc::SIGINT) };
    running.wait(PATIENCE).code()
}

#[test]
fn what_is_published_is_played_and_ended_with_a_word() {
    let _one = alone();
    let double = Double::start();
    let (mut sender, _sent) = start(command(&double, "publish", "/moved"));
    wait_for("the sender's session", PATIENCE, || (double.sessions() == 1).then_some(()));
    let (mut player, played) = start(command(&double, "play", "/whep"));
    // The ICE server that the Link field names.
    assert!(double.ice_server.recv_from(&mut [0; 2048]).is_ok(), "nobody asked the server's ICE server");
    wait_for("sound and pictures", PATIENCE, || {
        let stats: Value = serde_json::from_str(&played.next(PATIENCE)).unwrap();
        let inbound = &stats["peers"][0]["inbound"];
        let pictures = inbound["video"]["framesDecoded"].as_u64()?;
        (pictures > 30 && inbound["audio"]["packetsReceived"].as_u64()? > 30).then_some(())
    });
    assert_eq!((stop(&mut player), stop(&mut sender)), (Some(0), Some(0)));
    assert_eq!(double.sessions(), 0);
    let asked = double.asked();
    for expected in [
        "OPTIONS /moved",
        "POST /moved",
        "POST /whip",
        "DELETE /session/1",
        "POST /whep",
        "DELETE /session/2",
    ] {
        assert_eq!(asked.iter().filter(|asked| *asked == expected).count(), 1, "{expected}: {asked:?}");
    }
}

#[test]
fn a_wrong_token_is_refused_and_not_told() {
    let _one = alone();
    let double = Double::start();
    let scratch = Scratch::new("whip-token");
    let file = scratch.join("token");
    std::fs::write(&file, "a-wrong-one\n").unwrap();
    for (verb, path) in [("publish", "/whip"), ("play", "/whep")] {
        let mut command = command(&double, verb, path);
        command.args(["--log", "trace", "--token-file"]).arg(&file);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("The server refuses the token"), "{said}");
        assert!(!said.contains("a-wrong-one"), "{said}");
    }
    assert_eq!(double.sessions(), 0);
}

#[test]
fn an_address_where_nothing_is_says_so() {
    let _one = alone();
    let double = Double::start();
    let mut nowhere = command(&double, "play", "/nothing");
    let output = nowhere.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("There is nothing at this address."), "{said}");
}
