//! The terminal: the second face of the engine, for people without a window and for scripts.
//!
//! ```text
//!   Args -> window (ui)
//!        -> call, answer: Session (what to say and do) <- terminal (stdin, signals, clock) -> Engine
//!        -> room, publish, play: Visit (what to say and do) <- terminal -> Engine
//!        -> code, devices, doctor, demo
//! ```
//!
//! stdout carries only codes, statistics asked for with `-`, and results; everything for people goes to stderr.

mod args;
mod call;
mod code;
pub mod console;
mod demo;
mod devices;
mod doctor;
mod passphrase;
mod server;
mod session;

#[cfg(test)]
mod tests;

pub use args::{Args, Verb};

use crate::settings::Settings;
use crate::ui::WindowOptions;

/// How the program ends: the exit status, which scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The call ended normally, or what was asked is printed.
    Ended,
    /// Bad arguments or an unusable code.
    BadInput,
    NotConnected,
    Lost,
    DeviceFailed,
}

impl Exit {
    pub const fn status(self) -> u8 {
        match self {
            Self::Ended => 0,
            Self::BadInput => 2,
            Self::NotConnected => 3,
            Self::Lost => 4,
            Self::DeviceFailed => 5,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}

/// Does what the command line says, on the main thread.
pub fn run(args: &Args) -> Exit {
    match &args.verb {
        None => window(args, WindowOptions::default()),
        Some(Verb::Demo { window: None }) => demo::run(args),
        Some(Verb::Demo { window: Some(which) }) => demo::window_one(args, *which),
        Some(Verb::Call { .. }) => call::run(args, session::Task::Call),
        Some(Verb::Answer { code }) => call::run(args, session::Task::Answer(code.clone())),
        Some(Verb::Page { port }) => call::run(args, session::Task::Page(*port)),
        Some(Verb::Room { address, create, pin_file, token }) => {
            server::room(args, address, *create, pin_file.as_deref(), token)
        }
        Some(Verb::Publish { address, token }) => server::publish(args, address, token),
        Some(Verb::Play { address, token }) => server::play(args, address, token),
        Some(Verb::Code { full, json }) => code::run(args, *full, *json),
        Some(Verb::Devices { json }) => devices::run(*json),
        Some(Verb::Doctor { json }) => doctor::run(args, *json),
    }
}

fn settings() -> Settings {
    Settings::path().map(|path| Settings::load(&path)).unwrap_or_default()
}

/// Opens the window and stays until it is closed.
fn window(args: &Args, options: WindowOptions) -> Exit {
    let opened = match args.engine_setup(settings()) {
        Ok(setup) => crate::ui::run(setup, options),
        Err(sentence) => {
            console::say(&sentence);
            return Exit::BadInput;
        }
    };
    match opened {
        Ok(()) => Exit::Ended,
        Err(error) => {
            console::say(&format!("{error}. `twocan call` and `twocan answer` work without one."));
            Exit::DeviceFailed
        }
    }
}
