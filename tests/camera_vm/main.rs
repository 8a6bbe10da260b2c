//! Real cameras and sound cards: V4L2 and ALSA devices of a virtual machine, handled by our own device layer.
//!
//! The machine is made by `camera-vm.sh` in the folder named by `TWOCAN_CAMERA_VM` (else `../shared/tools/camera-vm`);
//! where that is missing the tests are skipped, loudly. Its `/usr` is the host's, so this test program itself is
//! run a second time in there (`guest`). The machine emulates its processor: no rates are asserted.

#![cfg(target_os = "linux")]

mod guest;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::skip;

/// Set in the machine: which part runs.
const PART: &str = "TWOCAN_TEST_CAMERA_VM_PART";

#[test]
fn webcam() {
    in_the_machine("webcam", &["--no-aloop"]);
}

#[test]
fn grabbers_and_mjpeg() {
    in_the_machine("others", &["--no-aloop"]);
}

#[test]
fn sound_card() {
    in_the_machine("sound", &["--no-vivid"]);
}

/// Only does something in the machine.
#[test]
fn inside() {
    match std::env::var(PART).as_deref() {
        Ok("webcam") => guest::webcam(),
        Ok("others") => guest::others(),
        Ok("sound") => guest::sound(),
        _ => {}
    }
}

fn in_the_machine(part: &str, options: &[&str]) {
    let Some(script) = script() else {
        return skip("the camera tests need camera-vm.sh (TWOCAN_CAMERA_VM names its folder)");
    };
    let _alone = support::alone();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("camera-vm");
    let setup = Command::new(&script).arg("setup").arg(&folder).arg("--loopback").output().unwrap();
    assert!(
        setup.status.success(),
        "the machine cannot be set up: {}",
        String::from_utf8_lossy(&setup.stderr)
    );
    let shared = support::Scratch::new(&format!("camera-vm-{part}"));
    std::fs::copy(std::env::current_exe().unwrap(), shared.join("tests")).unwrap();
    let output = Command::new(&script)
        .arg("run")
        .arg(&folder)
        .args(["--timeout", "400", "--env", &format!("{PART}={part}"), "--env", "RUST_BACKTRACE=1"])
        .args(options)
        .arg("--share")
        .arg(&shared.0)
        .args(["--", "./tests", "inside", "--exact", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    eprintln!("{complained}");
    assert!(
        output.status.success(),
        "{part} failed in the machine ({}): {said}\n{complained}",
        output.status
    );
    assert!(said.contains("1 passed"), "nothing ran in the machine: {said}");
}

fn script() -> Option<PathBuf> {
    let folder = std::env::var_os("TWOCAN_CAMERA_VM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/camera-vm"),
        PathBuf::from,
    );
    let script = folder.join("camera-vm.sh");
    script.is_file().then_some(script)
}
