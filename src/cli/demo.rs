//! `twocan demo`: two windows on this machine, already in a call with each other; without a display, the same call
//! in the terminal. The parent starts this program twice and carries the codes from one to the other, as two people
//! would; everything in between is the real thing.

use super::args::{Args, DemoWindow};
use super::{Exit, console, settings, window};
use crate::device;
use crate::ui::{Courier, StartAction, WindowOptions};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the call in the terminal lasts.
const SECONDS: Duration = Duration::from_secs(10);
/// Starting, gathering and connecting on a machine under load.
const PATIENCE: Duration = Duration::from_secs(45);
/// Lines of one child under way; beyond it the child waits.
const LINES: usize = 64;
/// A window has one code to tell and one to take.
const CODES: usize = 1;
/// Where the windows open, in points: side by side on a usual screen.
const PLACES: [(f32, f32); 2] = [(40.0, 80.0), (700.0, 80.0)];
const WINDOW_SIZE: (f32, f32) = (640.0, 560.0);

pub fn run(args: &Args) -> Exit {
    let held = if has_display() {
        windows(args).or_else(|error| {
            console::say(&format!("{error} The call is held in the terminal instead."));
            terminal(args)
        })
    } else {
        console::say("There is no display: the call is held in the terminal.");
        terminal(args)
    };
    held.unwrap_or_else(|error| {
        console::say(&error);
        Exit::NotConnected
    })
}

/// Only Linux and its like can be without a display.
fn has_display() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Holds the call between two windows until both are closed.
fn windows(args: &Args) -> Result<Exit, String> {
    let mut first = Instance::start(window_arguments(args, "first"), None)?;
    let mut second = Instance::start(window_arguments(args, "second"), None)?;
    let invite = first.code(Instant::now() + PATIENCE)?;
    second.tell(&invite)?;
    let reply = second.code(Instant::now() + PATIENCE)?;
    first.tell(&reply)?;
    console::say("Two windows are in a call with each other. Close them to end it.");
    let (first, second) = (first.wait(None)?, second.wait(None)?);
    Ok(if first == 0 && second == 0 { Exit::Ended } else { Exit::Lost })
}

/// Holds the call between two terminals and prints a line on how it went.
fn terminal(args: &Args) -> Result<Exit, String> {
    let seconds = args.output.seconds.unwrap_or(SECONDS);
    let mut caller = Instance::start(terminal_arguments(args, "call", seconds), Some("caller"))?;
    let invite = caller.code(Instant::now() + PATIENCE)?;
    let mut answerer = Instance::start(terminal_arguments(args, "answer", seconds), Some("answerer"))?;
    answerer.tell(&invite)?;
    let reply = answerer.code(Instant::now() + PATIENCE)?;
    caller.tell(&reply)?;
    let deadline = Instant::now() + seconds + PATIENCE;
    let one = caller.last_line(Some(deadline))?;
    let other = answerer.last_line(Some(deadline))?;
    if caller.wait(Some(deadline))? != 0 || answerer.wait(Some(deadline))? != 0 {
        return Err("The demo's call did not come to its end.".into());
    }
    let summary = one.zip(other).and_then(|(one, other)| summary(&one, &other));
    console::print(&summary.ok_or("The demo's call ended without statistics.")?);
    Ok(Exit::Ended)
}

/// What both sides saw, on one line.
fn summary(one: &str, other: &str) -> Option<String> {
    let side = |line: &str| {
        let stats: Value = serde_json::from_str(line).ok()?;
        let peer = stats["peers"].get(0)?;
        let (video, audio) = (&peer["inbound"]["video"], &peer["inbound"]["audio"]);
        Some(format!(
            "{}x{} at {:.0} fps, {} pictures, {} freezes, {} sound packets",
            video["frameWidth"].as_u64()?,
            video["frameHeight"].as_u64()?,
            video["framesPerSecond"].as_f64()?,
            video["framesDecoded"].as_u64()?,
            video["freezeCount"].as_u64()?,
            audio["packetsReceived"].as_u64()?,
        ))
    };
    Some(format!("Demo: the caller received {}; the answerer received {}.", side(one)?, side(other)?))
}

/// One of the two windows, with the parent as the courier of the codes: ours on stdout, theirs on stdin.
pub fn window_one(args: &Args, which: DemoWindow) -> Exit {
    let (out, codes) = crossbeam_channel::bounded::<String>(CODES);
    let (theirs, inbox) = crossbeam_channel::bounded(CODES);
    let give = move || {
        codes.iter().for_each(|code| {
            console::print(&code);
        })
    };
    let take = move || {
        let mut line = String::new();
        let mut stdin = std::io::stdin().lock().take(crate::invite::MAX_TEXT as u64);
        if stdin.read_line(&mut line).is_ok_and(|length| length > 0) {
            drop(theirs.try_send(line));
        }
        // The parent keeps its end open as long as it lives; without it nobody would close this window.
        let mut rest = [0; 64];
        while stdin.get_mut().read(&mut rest).is_ok_and(|length| length > 0) {}
        std::process::exit(Exit::Ended.status().into());
    };
    let threads: [Box<dyn FnOnce() + Send>; 2] = [Box::new(give), Box::new(take)];
    for work in threads {
        if let Err(error) = std::thread::Builder::new().name("courier".into()).spawn(work) {
            console::say(&format!("The demo cannot start: {error}."));
            return Exit::NotConnected;
        }
    }
    let (start, position, number) = match which {
        DemoWindow::First => (StartAction::StartCall, PLACES[0], 1),
        DemoWindow::Second => (StartAction::JoinCall, PLACES[1], 2),
    };
    let options = WindowOptions {
        title_suffix: format!(" {number}"),
        position: Some(position),
        size: Some(WINDOW_SIZE),
        start,
        courier: Some(Courier { out, inbox }),
    };
    window(args, options)
}

/// The first window has the devices of the machine; the second gets none of them, for a camera serves one program
/// only, and a microphone that hears the other window's speaker howls.
fn window_arguments(args: &Args, which: &str) -> Vec<String> {
    let has_camera = || !settings().camera.is_empty() || !device::list().cameras.is_empty();
    let (camera, microphone, speaker) = match which {
        "first" if has_camera() => (None, None, None),
        "first" => (Some("pattern"), None, None),
        _ => (Some("pattern"), Some("none"), Some("none")),
    };
    let mut arguments = vec!["demo".to_owned(), "--window".to_owned(), which.to_owned()];
    arguments.extend(forwarded(args, camera, microphone, speaker));
    arguments
}

fn terminal_arguments(args: &Args, verb: &str, seconds: Duration) -> Vec<String> {
    let mut arguments =
        vec![verb.to_owned(), "--stats=-".to_owned(), format!("--seconds={}", seconds.as_secs_f64())];
    arguments.extend(forwarded(args, Some("pattern"), Some("tone"), Some("none")));
    arguments
}

/// Media options as the user gave them, else the demo's own; the network is this machine alone.
fn forwarded(
    args: &Args,
    camera: Option<&str>,
    microphone: Option<&str>,
    speaker: Option<&str>,
) -> Vec<String> {
    let media = &args.media;
    let chosen = |named: &Option<String>, own: Option<&str>| named.clone().or(own.map(str::to_owned));
    let options = [
        ("camera", chosen(&media.camera, camera)),
        ("microphone", chosen(&media.microphone, microphone)),
        ("speaker", chosen(&media.speaker, speaker)),
        ("size", media.size.map(|size| size.to_string())),
        ("fps", media.fps.map(|fps| fps.to_string())),
        ("max-bitrate", media.max_bitrate.map(|rate| rate.bps().to_string())),
        ("log", args.output.log.clone()),
    ];
    let mut arguments = vec!["--no-stun".to_owned(), "--bind=127.0.0.1".to_owned()];
    arguments.extend(options.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?))));
    arguments
}

/// This program, started once more. Dropping it ends it.
struct Instance {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Instance {
    /// `name`: put before what it says on stderr.
    fn start(arguments: Vec<String>, name: Option<&'static str>) -> Result<Self, String> {
        let sentence = |error: std::io::Error| format!("The demo cannot start: {error}.");
        let program = std::env::current_exe().map_err(sentence)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if name.is_some() { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
            .map_err(sentence)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (sender, lines) = crossbeam_channel::bounded(LINES);
        let instance = Self { child, stdin, lines };
        let read = move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("demo-lines".into()).spawn(read).map_err(sentence)?;
        if let (Some(name), Some(stderr)) = (name, stderr) {
            let repeat = move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    console::say(&format!("{name:>8}: {line}"));
                }
            };
            std::thread::Builder::new().name("demo-words".into()).spawn(repeat).map_err(sentence)?;
        }
        Ok(instance)
    }

    /// The first line it prints.
    fn code(&mut self, deadline: Instant) -> Result<String, String> {
        self.lines.recv_deadline(deadline).map_err(|_| "One side of the demo made no code.".to_owned())
    }

    fn tell(&mut self, code: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("One side of the demo has gone.")?;
        writeln!(stdin, "{code}").map_err(|_| "One side of the demo has gone.".to_owned())
    }

    /// The last line it prints before it ends. `Err` if it does not end in time.
    fn last_line(&mut self, deadline: Option<Instant>) -> Result<Option<String>, String> {
        let mut last = None;
        loop {
            let line = match deadline {
                Some(deadline) => self.lines.recv_deadline(deadline),
                None => self.lines.recv().map_err(RecvTimeoutError::from),
            };
            match line {
                Ok(line) => last = Some(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(last),
                Err(RecvTimeoutError::Timeout) => return Err("One side of the demo hangs.".into()),
            }
        }
    }

    /// Its exit status, once it has ended by itself.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<i32, String> {
        // Its output ends with it: no need to ask again and again.
        self.last_line(deadline)?;
        let status = self.child.wait().map_err(|error| format!("One side of the demo is lost: {error}."))?;
        Ok(status.code().unwrap_or(1))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It has ended already, or is not wanted any more; either way nothing is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
