//! A TURN server (coturn, Debian's package) that belongs to one test.

use crate::support::{Running, Scratch, find_program};
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub fn program() -> Option<PathBuf> {
    find_program(&["turnserver", "/usr/bin/turnserver"])
}

/// `command`: the program, with the addresses and ports it is to use.
pub fn start(mut command: Command, [user, password]: [&str; 2], scratch: &Scratch) -> Running {
    command
        .args(["-n", "--no-cli", "--lt-cred-mech", "--realm", "lab.test", "--fingerprint"])
        .args(["--user", &format!("{user}:{password}"), "--log-file", "stdout", "--simple-log"])
        .arg("--userdb")
        .arg(scratch.join("turndb"))
        .arg("--pidfile")
        .arg(scratch.join("turn.pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running::start(&mut command)
}
