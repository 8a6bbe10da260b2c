//! A real call between two release processes on this machine; prints one JSON line.
//!
//! ```text
//! cargo bench --bench call -- [--seconds 60] [--warm 8] [--calls 1] [--pastes 1] [--size 1280x720] [--fps 30] [--max-bitrate 2500k]
//! ```
//!
//! `cpu_percent`: of one core, both processes together, over the measured seconds. `pss_mb`: each process, at the
//! end (Linux). `growth_mb`: resident memory at the end less that after the warm-up, each process.
//! `paste_to_picture_ms`: from the last byte of the last paste that is needed to the caller's first decoded picture, one
//! figure for each of `--calls`. With one paste that is the invite's, on the other's stdin; with `--pastes 2`, as
//! between networks that let nobody in, the reply's on the caller's. `glass_to_glass_ms`: from the `pattern` camera, which draws the wall clock into its
//! pictures, to where the other side hands them to the screen; over the last minute, and `_at_first` over the
//! warm-up: with `--seconds 600` it is seen whether the delay or the memory grows. `freeze_seconds` and `freezes` by
//! W3C's definition, `concealed_share`: of the played sound.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

struct Side {
    child: Child,
    out: Receiver<String>,
    err: Receiver<(Instant, String)>,
}

impl Side {
    fn start(verb: &str, args: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twocan"))
            .arg(verb)
            .args(args)
            .args(["--bind", "127.0.0.1", "--no-stun", "--microphone", "tone"])
            .args(["--speaker", "none", "--stats", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("twocan starts");
        let (out_tx, out) = channel();
        let (err_tx, err) = channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = out_tx.send(line);
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = err_tx.send((Instant::now(), line));
            }
        });
        Self { child, out, err }
    }

    fn line(&self) -> String {
        self.out.recv_timeout(LIMIT).expect("a line on stdout")
    }

    fn paste(&mut self, code: &str) -> Instant {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{code}").and_then(|()| stdin.flush()).expect("twocan reads its stdin");
        Instant::now()
    }

    fn first_picture(&self) -> Instant {
        loop {
            let (at, line) = self.err.recv_timeout(LIMIT).expect("a first picture");
            if line.contains("picture is here") {
                return at;
            }
        }
    }

    /// The newest statistics line so far.
    fn stats(&self) -> Value {
        let newest = self.out.try_iter().filter_map(|line| serde_json::from_str(&line).ok()).last();
        newest.unwrap_or_else(|| serde_json::from_str(&self.line()).expect("a statistics line"))
    }

    /// Proportional set size; `None` where the system does not tell.
    fn pss_mb(&self) -> Option<f64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).ok()?;
        let kb = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(kb.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(args: &[String], pastes: u32) -> (Side, Side, f64) {
    let full = ["--format".to_owned(), "full".to_owned()];
    let args = if pastes > 1 { &[args, &full].concat()[..] } else { args };
    let mut caller = Side::start("call", args);
    let mut callee = Side::start("answer", args);
    let invite = caller.line();
    let mut pasted = callee.paste(&if pastes > 1 { without_secret(&invite) } else { invite });
    let reply = callee.line();
    if pastes > 1 {
        pasted = caller.paste(&reply);
    }
    let waited = caller.first_picture().duration_since(pasted);
    (caller, callee, waited.as_secs_f64() * 1000.0)
}

/// The full form of an invite, as a program would make it that is not Twocan: nobody can knock with it.
fn without_secret(invite: &str) -> String {
    let json = STANDARD.decode(invite).expect("base64");
    let mut description: Value = serde_json::from_slice(&json).expect("a description");
    let sdp = description["sdp"].as_str().expect("its text");
    let lines = sdp.split_inclusive("\r\n").filter(|line| !line.starts_with("a=twocan:"));
    description["sdp"] = lines.collect::<String>().into();
    STANDARD.encode(description.to_string())
}

fn delta(after: &Value, before: &Value, path: &str) -> f64 {
    let at = |stats: &Value| stats.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    at(after) - at(before)
}

fn main() {
    let mut seconds = 60;
    let mut warm = 8;
    let mut calls = 1;
    let mut pastes = 1;
    let mut args: Vec<String> = vec![];
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().unwrap_or_default();
        match name.as_str() {
            "--seconds" => seconds = value.parse().expect("--seconds N"),
            "--warm" => warm = value.parse().expect("--warm N"),
            "--calls" => calls = value.parse().expect("--calls N"),
            "--pastes" => pastes = value.parse().expect("--pastes 1 or 2"),
            _ => args.extend([name, value]),
        }
    }
    if !args.iter().any(|arg| arg == "--camera") {
        args.extend(["--camera".into(), "pattern".into()]);
    }
    let mut waits = vec![];
    for _ in 1..calls {
        let (caller, callee, wait) = connect(&args, pastes);
        waits.push(wait);
        caller.end();
        callee.end();
    }
    let (caller, callee, wait) = connect(&args, pastes);
    waits.push(wait);

    std::thread::sleep(Duration::from_secs(warm));
    let before = [caller.stats(), callee.stats()];
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = [caller.stats(), callee.stats()];
    let pss = [caller.pss_mb(), callee.pss_mb()];
    let each = |path: &str| [0, 1].map(|i| delta(&after[i], &before[i], path));
    let lasted = each("/seconds");
    let per_second = |path: &str, factor: f64| {
        let sums = each(path);
        [0, 1].map(|i| (sums[i] * factor / lasted[i] * 10.0).round() / 10.0)
    };
    let share = |part: &str, whole: &str| {
        let (part, whole) = (each(part), each(whole));
        [0, 1].map(|i| part[i] / whole[i])
    };
    let sync = [0, 1].map(|i| after[i].pointer("/peers/0/inbound/video/syncOffsetMs").cloned());
    let glass =
        |stats: &[Value; 2]| [0, 1].map(|i| stats[i].pointer("/peers/0/inbound/video/glassToGlass").cloned());
    let cpu = per_second("/process/cpuSeconds", 100.0);
    let mut sorted = waits.clone();
    sorted.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({
            "seconds": start.elapsed().as_secs_f64().round(),
            "cpu_percent": cpu[0] + cpu[1],
            "cpu_percent_each": cpu,
            "pss_mb": pss,
            "growth_mb": each("/process/rssBytes").map(|bytes| (bytes / 1e5).round() / 10.0),
            "fps": per_second("/peers/0/inbound/video/framesDecoded", 1.0),
            "glass_to_glass_ms": glass(&after),
            "glass_to_glass_ms_at_first": glass(&before),
            "freezes": each("/peers/0/inbound/video/freezeCount"),
            "freeze_seconds": each("/peers/0/inbound/video/totalFreezesDuration"),
            "received_kbps": per_second("/peers/0/inbound/video/bytesReceived", 0.008),
            "concealed_share": share("/peers/0/inbound/audio/concealedSamples", "/peers/0/inbound/audio/totalSamplesReceived"),
            "sync_offset_ms": sync,
            "encode_ms": share("/peers/0/outbound/video/totalEncodeTime", "/peers/0/outbound/video/framesEncoded").map(|s| s * 1e3),
            "size": after[0].pointer("/peers/0/inbound/video/frameWidth"),
            "paste_to_picture_ms": waits.iter().map(|ms| ms.round()).collect::<Vec<_>>(),
            "paste_to_picture_ms_median": sorted[sorted.len() / 2].round(),
        })
    );
    caller.end();
    callee.end();
}
