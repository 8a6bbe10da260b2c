//! `twocan room`, `twocan publish` and `twocan play`: carries what comes from the engine, signals and the clock into the
//! [`Visit`], and its outputs out. Runs on the main thread.

mod visit;

use super::args::{Args, TokenArgs};
use super::call::Statistics;
use super::console::{self, INPUTS, Input};
use super::{Exit, settings};
use crate::choice::{CameraChoice, MicrophoneChoice, SpeakerChoice};
use crate::engine::server::Goal;
use crate::engine::{Command, Engine};
use crate::net::PortMapping;
use crate::server::{RoomAddress, WebAddress};
use crate::units::Redacted;
use crossbeam_channel::RecvTimeoutError;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use visit::{Output, Visit};

/// No PIN and no token is longer.
const MAX_SECRET: u64 = 8 * 1024;
const PIN: &str = "TWOCAN_PIN";
const TOKEN: &str = "TWOCAN_TOKEN";

pub fn room(
    args: &Args,
    address: &RoomAddress,
    create: bool,
    pin_file: Option<&Path>,
    token: &TokenArgs,
) -> Exit {
    let goal = secret(pin_file, PIN).and_then(|pin| {
        let token = secret(token.token_file.as_deref(), TOKEN)?;
        Ok(Goal::Room { address: address.clone(), pin, token, create })
    });
    run(args, goal)
}

pub fn publish(args: &Args, address: &WebAddress, token: &TokenArgs) -> Exit {
    let token = secret(token.token_file.as_deref(), TOKEN);
    run(args, token.map(|token| Goal::Publish { address: address.clone(), token }))
}

pub fn play(args: &Args, address: &WebAddress, token: &TokenArgs) -> Exit {
    let token = secret(token.token_file.as_deref(), TOKEN);
    run(args, token.map(|token| Goal::Play { address: address.clone(), token }))
}

/// From a file, which wins, or the environment; never from an argument, which every user of the machine can see.
/// `Err`: a sentence.
fn secret(file: Option<&Path>, variable: &str) -> Result<Option<Redacted<String>>, String> {
    let (text, place) = match (file, std::env::var_os(variable)) {
        (Some(path), _) => {
            let mut text = String::new();
            let read =
                std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
            if let Err(error) = read {
                return Err(format!("The file {} cannot be read: {error}.", path.display()));
            }
            (Some(text), format!("The file {}", path.display()))
        }
        (None, Some(value)) => (value.into_string().ok(), format!("The variable {variable}")),
        (None, None) => return Ok(None),
    };
    let text =
        text.as_deref().map(str::trim).filter(|text| !text.is_empty() && !text.contains(char::is_control));
    text.map(|text| Some(Redacted(text.to_owned())))
        .ok_or_else(|| format!("{place} has no single line in it."))
}

fn run(args: &Args, goal: Result<Goal, String>) -> Exit {
    let prepared = goal.and_then(|goal| Ok((goal, args.engine_setup(settings())?, Statistics::open(args)?)));
    let (goal, mut setup, mut statistics) = match prepared {
        Ok(prepared) => prepared,
        Err(sentence) => {
            console::say(&sentence);
            return Exit::BadInput;
        }
    };
    match goal {
        Goal::Room { .. } => {}
        Goal::Publish { .. } => setup.media.speaker = SpeakerChoice::None,
        Goal::Play { .. } => {
            (setup.media.camera, setup.media.microphone) = (CameraChoice::None, MicrophoneChoice::None);
        }
    }
    let (inputs, inbox) = crossbeam_channel::bounded(INPUTS);
    console::watch_signals(inputs.clone());
    // A full channel wakes the loop as well.
    setup.wake = Some(Box::new(move || drop(inputs.try_send(Input::Wake))));
    // A server is where everybody finds it, so it needs no way to us but the one that our checks open.
    setup.net.port_mapping = PortMapping::default();
    let mut visit = Visit::new(goal.place().kind, args.output.seconds, args.named_devices());
    let engine = Engine::start(setup);
    engine.send(Command::Visit(Box::new(goal)));
    loop {
        let now = Instant::now();
        while let Some(event) = engine.poll_event() {
            visit.handle_event(now, event);
        }
        visit.handle_deadline(now);
        while let Some(output) = visit.poll_output() {
            match output {
                Output::Say(line) => console::say(&line),
                Output::Quit => engine.send(Command::Quit),
                Output::End(exit) => return exit,
                Output::Stats(stats) => {
                    if !statistics.write(&stats) {
                        visit.handle_stop(now);
                    }
                }
            }
        }
        let input = match visit.deadline() {
            Some(deadline) => inbox.recv_deadline(deadline),
            None => inbox.recv().map_err(RecvTimeoutError::from),
        };
        match input {
            Ok(Input::Stop) => visit.handle_stop(Instant::now()),
            Ok(Input::Wake | Input::Line(_) | Input::End) | Err(_) => {}
        }
    }
}
