//! The real program in the terminal, as a script uses it: what it prints where, and how it ends.

mod support;

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone};
use twocan::invite::{self, Description, Kind, Pasted};
use twocan::units::Redacted;

/// Far above what anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(40);
const CALL: &[&str] = &[
    "--camera",
    "pattern",
    "--microphone",
    "tone",
    "--speaker",
    "none",
    "--size",
    "320x180",
    "--fps",
    "15",
    "--no-stun",
    "--bind",
    "127.0.0.1",
];

fn twocan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    command.args(arguments).env("TWOCAN_CONFIG", "no-such-folder/settings.json").env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end with `input` on stdin.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = twocan(arguments).spawn().unwrap();
    // It may well have enough before all is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Nothing on stdout, one sentence on stderr, exit status 2.
#[track_caller]
fn is_refused(arguments: &[&str], input: &[u8]) {
    let output = run(arguments, input);
    let said = text(&output.stderr);
    assert_eq!((status(&output), text(&output.stdout)), (2, String::new()), "{arguments:?}: {said}");
    assert!(said.lines().count() == 1 && said.trim_end().ends_with('.'), "{arguments:?}: {said}");
}

fn sample(kind: Kind) -> Description {
    let setup = if kind == Kind::Invite { "actpass" } else { "active" };
    let sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
         a=candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host\r\na=ice-ufrag:EsAw\r\n\
         a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 0F:74:31\r\na=setup:{setup}\r\n"
    );
    Description { kind, sdp: Redacted(sdp) }
}

#[test]
fn help_names_every_verb_and_option() {
    let output = run(&["--help"], b"");
    let help = text(&output.stdout);
    assert_eq!((status(&output), text(&output.stderr)), (0, String::new()));
    for word in [
        "demo",
        "call",
        "answer",
        "code",
        "devices",
        "doctor",
        "--camera",
        "--microphone",
        "--speaker",
        "--video-out",
        "--size",
        "--fps",
        "--max-bitrate",
        "--ice-server",
        "--ice-user",
        "--ice-password",
        "--no-stun",
        "--bind",
        "--relay-only",
        "--format",
        "--stats",
        "--seconds",
        "--passphrase-file",
        "--log",
    ] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    assert!(text(&run(&["answer", "--help"], b"").stdout).contains("[CODE]"));
}

#[test]
fn a_code_goes_through_every_form_and_back() {
    for kind in [Kind::Invite, Kind::Reply] {
        let code = invite::encode(&sample(kind));
        for option in [None, Some("--full"), Some("--json")] {
            let arguments: Vec<&str> = ["code"].into_iter().chain(option).collect();
            let output = run(&arguments, format!("> {code}\n").as_bytes());
            assert_eq!(status(&output), 0);
            let printed = text(&output.stdout);
            assert_eq!(invite::read(&printed), Ok(Pasted::Description(sample(kind))), "{printed}");
            assert_eq!(text(&run(&["code"], printed.as_bytes()).stdout).trim_end(), code);
        }
    }
    let json = run(&["code", "--json"], invite::encode(&sample(Kind::Invite)).as_bytes()).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((json["type"].as_str(), json["candidates"][0]["port"].as_u64()), (Some("offer"), Some(5000)));
}

#[test]
fn a_passphrase_comes_from_a_file_or_the_environment() {
    let scratch = Scratch::new("passphrase");
    let file = scratch.join("passphrase");
    std::fs::write(&file, "rose bud\n").unwrap();
    let file = file.to_str().unwrap();
    let output = run(&[CALL, &["call", "--passphrase-file", file]].concat(), b"");
    let sealed = text(&output.stdout);
    assert!(sealed.starts_with("2can") && invite::is_sealed(sealed.trim_end()), "{sealed}");
    // A call on a machine with one address: what the README says of the length.
    println!("a code with a passphrase has {} characters", sealed.trim_end().len());

    let code = |passphrase: Option<&str>| {
        let mut command = twocan(&["code"]);
        command.envs(passphrase.map(|passphrase| ("TWOCAN_PASSPHRASE", passphrase)));
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(sealed.as_bytes());
        child.wait_with_output().unwrap()
    };
    let opened = code(Some("rose bud"));
    assert_eq!(status(&opened), 0);
    assert!(invite::expect(&text(&opened.stdout), Kind::Invite, None).is_ok());
    for (passphrase, sentence) in [
        (None, "This code needs a passphrase"),
        (Some("rosebud"), "The passphrase is not the one this code was made with"),
        (Some(" "), "The variable TWOCAN_PASSPHRASE has no passphrase in it."),
    ] {
        let output = code(passphrase);
        assert_eq!((status(&output), text(&output.stdout)), (2, String::new()));
        assert!(text(&output.stderr).starts_with(sentence), "{}", text(&output.stderr));
    }
    let output = run(&["answer", sealed.trim_end()], b"");
    assert!(status(&output) == 2 && text(&output.stderr).contains("--passphrase-file"));
    is_refused(&["call", "--passphrase-file", "no-such-file"], b"");
    is_refused(&["call", "--passphrase-file", file, "--format", "full"], b"");
}

#[test]
fn bad_arguments_are_refused_in_one_sentence() {
    for arguments in [
        &["--nonsense"][..],
        &["call", "--size", "large"],
        &["call", "--fps", "0"],
        &["call", "--relay-only"],
        &["call", "--stats", "no-such-folder/stats.json"],
        &["call", "--ice-server", "carrier-pigeon"],
        &["dance"],
        &["code", "--full", "--json"],
        &["--seconds", "5"],
    ] {
        is_refused(arguments, b"");
    }
}

#[test]
fn unusable_codes_are_refused_in_one_sentence() {
    let invite = invite::encode(&sample(Kind::Invite));
    let junk = "0123456789".repeat(1_000_000);
    for input in ["", "\n", "junk", &invite[..200], &junk] {
        is_refused(&["code"], input.as_bytes());
    }
    let reply = invite::encode(&sample(Kind::Reply));
    for code in ["", "junk", &invite[..200], &reply] {
        is_refused(&["answer", code], b"");
    }
    let output = run(&["answer"], format!("junk\n\n{reply}\n").as_bytes());
    assert_eq!((status(&output), text(&output.stdout)), (2, String::new()));
    assert!(text(&output.stderr).contains("This is a reply"), "{}", text(&output.stderr));
}

#[test]
fn an_invite_is_printed_and_without_a_reply_there_is_no_call() {
    for format in ["compact", "full"] {
        let arguments = [CALL, &["call", "--format", format]].concat();
        let output = run(&arguments, b"");
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((status(&output), printed.lines().count()), (2, 1), "{printed}{said}");
        assert!(invite::expect(&printed, Kind::Invite, None).is_ok(), "{printed}");
        assert!(said.contains("the input has ended"), "{said}");
    }
}

#[test]
fn a_camera_that_was_named_and_is_not_there_ends_the_call() {
    let arguments = [&["call"], CALL, &["--camera=no-such-file.y4m"]].concat();
    let arguments: Vec<&str> =
        arguments.into_iter().filter(|word| !matches!(*word, "--camera" | "pattern")).collect();
    let mut caller = Running::start(&mut twocan(&arguments));
    assert_eq!(caller.wait(PATIENCE).code(), Some(5));
}

#[test]
fn devices_and_doctor_print_json() {
    let output = run(&["devices", "--json"], b"");
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in ["cameras", "microphones", "speakers", "screens"] {
        assert!(devices[kind].is_array(), "{devices}");
    }
    let nothing = ["--camera", "none", "--microphone", "none", "--speaker", "none", "--no-stun"];
    let output = run(&[&["doctor", "--json"], &nothing[..]].concat(), b"");
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((findings["camera"]["state"].as_str(), status(&output)), (Some("not-wanted"), 0));
    assert_eq!(findings["network"]["nat"].as_str(), Some("not-asked"));
    let words = text(&run(&[&["doctor"], &nothing[..]].concat(), b"").stdout);
    assert!(words.contains("Encoder") && words.contains("connect"), "{words}");
}

/// Two programs in a call with each other; the codes went by their stdout and stdin.
struct Pair {
    caller: Running,
    caller_lines: Lines,
    answerer: Running,
    answerer_lines: Lines,
}

impl Pair {
    fn new(caller: &[&str], answerer: &[&str]) -> Self {
        let quiet = |arguments: &[&str]| {
            let mut command = twocan(&[CALL, arguments].concat());
            command.stderr(Stdio::null());
            Running::start(&mut command)
        };
        let mut caller = quiet(&[&["call", "--stats", "-"], caller].concat());
        let caller_lines = caller.lines();
        let invite = caller_lines.next(PATIENCE);
        let mut answerer = quiet(&[&["answer", "--stats", "-", &invite], answerer].concat());
        let answerer_lines = answerer.lines();
        let reply = answerer_lines.next(PATIENCE);
        // Wrong pastes change nothing: junk, the caller's own invite, half a reply.
        for wrong in ["junk", &invite, &reply[..reply.len() / 2]] {
            caller.type_line(wrong);
            caller.type_line("");
        }
        caller.type_line(&reply);
        Self { caller, caller_lines, answerer, answerer_lines }
    }

    /// Waits until both have decoded pictures.
    fn see_each_other(&self) {
        for lines in [&self.caller_lines, &self.answerer_lines] {
            support::wait_for("decoded picture", PATIENCE, || {
                let stats = stats(&lines.next(PATIENCE));
                (stats["peers"][0]["inbound"]["video"]["framesDecoded"].as_u64()? > 0).then_some(())
            });
        }
    }
}

fn stats(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn two_programs_hold_a_call() {
    let _alone = alone();
    let mut pair = Pair::new(&["--seconds", "6"], &[]);
    let (mut heard, mut seen) = (0.0, 0);
    let (mut first, mut last) = (None, Value::Null);
    for lines in [&pair.caller_lines, &pair.answerer_lines] {
        for _ in 0..5 {
            last = stats(&lines.next(PATIENCE));
            first.get_or_insert_with(|| last.clone());
        }
        let inbound = &last["peers"][0]["inbound"];
        seen = inbound["video"]["framesDecoded"].as_u64().unwrap();
        heard = inbound["audio"]["totalSamplesReceived"].as_f64().unwrap();
        assert!(seen >= 20 && heard > 48_000.0, "{last}");
        assert_eq!(
            (last["state"].as_str(), inbound["video"]["codec"].as_str()),
            (Some("connected"), Some("H264"))
        );
        assert!(last["process"]["rssBytes"].as_u64() > Some(0), "{last}");
    }
    assert!(last["seconds"].as_f64() >= first.unwrap()["seconds"].as_f64(), "{seen} {heard}");
    assert_eq!(pair.caller.wait(PATIENCE).code(), Some(0), "its seconds are over");
    assert_eq!(pair.answerer.wait(PATIENCE).code(), Some(0), "the other side hung up");
}

/// Codes, passphrase, words, names and addresses are for people, not for logs, not even for the longest.
#[test]
fn nothing_secret_reaches_the_log() {
    let _alone = alone();
    let scratch = Scratch::new("log");
    let (passphrase, names) = ("sesame-of-the-log", ["Zebedee Log", "Yolanda Log"]);
    let start = |name: &str, verb: &[&str]| {
        let settings = scratch.join(&format!("{name}.json"));
        std::fs::write(&settings, format!(r#"{{"name":"{name}"}}"#)).unwrap();
        // All its addresses, not only the loopback, unless it has no other.
        let has_network = if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|one| !one.is_loopback()));
        let devices = CALL.iter().take_while(|word| !has_network || **word != "--bind");
        let arguments: Vec<&str> = devices.chain(verb).copied().collect();
        let mut command = twocan(&[&arguments[..], &["--log", "trace", "--seconds", "4"]].concat());
        command.env("TWOCAN_CONFIG", settings).env("TWOCAN_PASSPHRASE", passphrase).env("RUST_LOG", "trace");
        let log = std::fs::File::create(scratch.join(&format!("{name}.log"))).unwrap();
        command.stderr(Stdio::from(log));
        Running::start(&mut command)
    };
    let mut caller = start(names[0], &["call"]);
    let invite = caller.lines().next(PATIENCE);
    let mut answerer = start(names[1], &["answer", &invite]);
    let reply = answerer.lines().next(PATIENCE);
    caller.type_line(&reply);
    assert_eq!((caller.wait(PATIENCE).code(), answerer.wait(PATIENCE).code()), (Some(0), Some(0)));

    let mut secrets: Vec<String> = [passphrase, names[0], names[1]].map(str::to_owned).into();
    let mut own = None;
    for (code, kind) in [(&invite, Kind::Invite), (&reply, Kind::Reply)] {
        let plain = invite::unseal(code, Some(passphrase)).unwrap();
        // A reply says nothing without its invite.
        let description = invite::expect(&plain, kind, own.as_ref()).unwrap();
        let of = |name: &str| {
            let start = format!("a={name}:");
            let line = description.sdp.0.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or_else(|| panic!("no {name}")).to_owned()
        };
        let fingerprint = of("fingerprint").replace("sha-256 ", "");
        secrets.extend([of("ice-pwd"), fingerprint.replace(':', "").to_lowercase(), fingerprint]);
        secrets.extend([code[10..40].to_owned(), plain[10..40].to_owned()]);
        let candidates = invite::candidates(&description);
        let addresses = candidates.iter().filter_map(|line| invite::Candidate::parse(line));
        secrets.extend(addresses.map(|way| way.address).filter(|address| address != "127.0.0.1"));
        own = Some(description);
    }
    for name in names {
        let said = std::fs::read_to_string(scratch.join(&format!("{name}.log"))).unwrap();
        // What is for the person at the terminal stands beside the log, without a level.
        let is_log = |line: &&str| {
            [" TRACE ", "DEBUG ", " INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level))
        };
        let log: Vec<&str> = said.lines().filter(is_log).collect();
        assert!(log.iter().any(|line| line.contains("DEBUG")), "{said}");
        let words = said.lines().find_map(|line| line.strip_prefix("words: ")).expect("the words");
        let words = words.split(" (").next().unwrap();
        for secret in secrets.iter().map(String::as_str).chain([words]) {
            let leak = log.iter().find(|line| line.contains(secret));
            assert!(leak.is_none(), "{secret} in {leak:?}");
        }
    }
}

#[test]
fn a_peer_that_is_killed_is_a_lost_call() {
    let _alone = alone();
    let mut pair = Pair::new(&[], &["--seconds", "20"]);
    pair.see_each_other();
    pair.caller.child.kill().unwrap();
    assert_eq!(pair.answerer.wait(PATIENCE).code(), Some(4));
}

#[cfg(unix)]
#[test]
fn a_signal_hangs_up_and_says_good_bye() {
    let _alone = alone();
    for signal in ["-TERM", "-INT"] {
        let mut pair = Pair::new(&[], &[]);
        pair.see_each_other();
        let id = pair.answerer.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(pair.answerer.wait(PATIENCE).code(), Some(0), "{signal}");
        assert_eq!(pair.caller.wait(PATIENCE).code(), Some(0), "it was told: {signal}");
    }
}

/// The answering program is held for longer than a path may be silent, then goes on.
#[cfg(unix)]
#[test]
fn an_interrupted_call_comes_back() {
    let _alone = alone();
    let pair = Pair::new(&[], &[]);
    pair.see_each_other();
    let id = pair.answerer.child.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    let caller_is = |state: &str| {
        support::wait_for(state, PATIENCE, || {
            let stats = stats(&pair.caller_lines.next(PATIENCE));
            (stats["state"] == state).then(|| stats["peers"][0]["inbound"]["video"]["framesDecoded"].as_u64())
        })
    };
    signal("-STOP");
    let seen = caller_is("reconnecting");
    signal("-CONT");
    caller_is("connected");
    support::wait_for("more pictures", PATIENCE, || (caller_is("connected") > seen).then_some(()));
}

#[cfg(target_os = "linux")]
#[test]
fn the_demo_without_a_display_holds_the_call_in_the_terminal() {
    let _alone = alone();
    let mut command = twocan(&["demo", "--seconds", "3", "--size", "320x180"]);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let output = command.output().unwrap();
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((status(&output), printed.lines().count()), (0, 1), "{printed}{said}");
    assert!(printed.starts_with("Demo: the caller received 320x180 at "), "{printed}{said}");
}

/// A terminal cuts long lines unless it is told not to; a code in one line may have 7000 characters.
#[cfg(target_os = "linux")]
#[test]
fn a_long_code_can_be_pasted_into_a_terminal() {
    let Some(script) = support::find_program(&["script"]) else {
        return support::skip("`script`, which makes a terminal, is not installed");
    };
    let scratch = Scratch::new("terminal");
    let mut long = sample(Kind::Reply);
    long.sdp.0.push_str(&"a=rtcp-fb:111 transport-cc\r\n".repeat(200));
    let code = invite::encode(&long);
    assert!(code.len() > 7000);
    let program = env!("CARGO_BIN_EXE_twocan");
    let mut terminal = Command::new(script);
    terminal.args(["-qefc", &format!("{program} answer"), "/dev/null"]).current_dir(&scratch.0);
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut terminal = Running::start(&mut terminal);
    let lines = terminal.lines();
    assert!(lines.next(PATIENCE).starts_with("Paste the invite"));
    terminal.type_line(&code);
    support::wait_for("sentence on the whole code", PATIENCE, || {
        lines.next(PATIENCE).starts_with("This is a reply").then_some(())
    });
    terminal.type_line("\u{4}");
    assert_eq!(terminal.wait(PATIENCE).code(), Some(2));
}
