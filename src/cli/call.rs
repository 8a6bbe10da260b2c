//! `twocan call` and `twocan answer`: carries what comes from the engine, stdin, signals and the clock into the
//! [`Session`], and its outputs out. Runs on the main thread.

use super::args::{Args, Guests, Verb};
use super::console::{self, INPUTS, Input, LongLines};
use super::session::{Output, Session, Task, Wishes};
use super::{Exit, settings};
use crate::engine::{Engine, EngineSetup};
use crate::invite::{self, MAX_TEXT};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

pub fn run(args: &Args, task: Task) -> Exit {
    let prepared = args
        .engine_setup(settings())
        .and_then(|setup| Ok((setup, Statistics::open(args)?, args.passphrase()?)));
    let (setup, statistics, passphrase) = match prepared {
        Ok(prepared) => prepared,
        Err(sentence) => {
            console::say(&sentence);
            return Exit::BadInput;
        }
    };
    let wishes = Wishes {
        format: args.output.format.unwrap_or_default(),
        seconds: args.output.seconds,
        named_devices: args.named_devices(),
        many: matches!(args.verb, Some(Verb::Call { guests: Some(Guests::Many) })),
        passphrase,
    };
    let (inputs, inbox) = crossbeam_channel::bounded(INPUTS);
    let _long_lines = LongLines::begin();
    console::watch_signals(inputs.clone());
    console::read_lines(inputs.clone());
    let shell =
        Shell { session: Session::new(task, wishes), setup: Some(setup), engine: None, statistics, inputs };
    shell.run(&inbox)
}

struct Shell {
    session: Session,
    /// Until the engine is started: no camera runs while an invite is awaited.
    setup: Option<EngineSetup>,
    engine: Option<Engine>,
    statistics: Statistics,
    inputs: Sender<Input>,
}

impl Shell {
    fn run(mut self, inbox: &Receiver<Input>) -> Exit {
        let mut lines = Lines::default();
        loop {
            let now = Instant::now();
            while let Some(event) = self.engine.as_ref().and_then(Engine::poll_event) {
                self.session.handle_event(now, event);
            }
            self.session.handle_deadline(now);
            if let Some(text) = lines.poll(now) {
                self.session.handle_text(&text);
            }
            if let Some(exit) = self.carry_out(now) {
                return exit;
            }
            let deadline = [self.session.deadline(), lines.deadline()].into_iter().flatten().min();
            let input = match deadline {
                Some(deadline) => inbox.recv_deadline(deadline),
                None => inbox.recv().map_err(RecvTimeoutError::from),
            };
            let now = Instant::now();
            match input {
                Ok(Input::Wake) | Err(_) => {}
                Ok(Input::Line(line)) => lines.push(now, &line),
                Ok(Input::End) => {
                    if let Some(text) = lines.take() {
                        self.session.handle_text(&text);
                    }
                    self.session.handle_input_end(now);
                }
                Ok(Input::Stop) => self.session.handle_stop(now),
            }
        }
    }

    fn carry_out(&mut self, now: Instant) -> Option<Exit> {
        while let Some(output) = self.session.poll_output() {
            let is_written = match output {
                Output::Print(line) => console::print(&line.0),
                Output::Stats(stats) => self.statistics.write(&stats),
                Output::Say(line) => {
                    console::say(&line);
                    true
                }
                Output::Send(command) => {
                    self.engine().send(command);
                    true
                }
                Output::End(exit) => return Some(exit),
            };
            if !is_written {
                // Nobody reads what we print any more: `| head -3` means "that was enough".
                self.session.handle_stop(now);
            }
        }
        None
    }

    fn engine(&mut self) -> &Engine {
        if let Some(mut setup) = self.setup.take() {
            let inputs = self.inputs.clone();
            // A full channel wakes the loop as well.
            setup.wake = Some(Box::new(move || drop(inputs.try_send(Input::Wake))));
            self.engine = Some(Engine::start(setup));
        }
        self.engine.as_ref().expect("it was started just now or before, and is kept to the end")
    }
}

/// Where `--stats` goes.
pub(super) enum Statistics {
    Nowhere,
    Stdout,
    File(File),
}

impl Statistics {
    pub fn open(args: &Args) -> Result<Self, String> {
        match args.output.stats.as_deref() {
            None => Ok(Self::Nowhere),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) => File::create(path).map(Self::File).map_err(|error| {
                format!("The file {} for the statistics cannot be written: {error}.", path.display())
            }),
        }
    }

    pub fn write(&mut self, stats: &crate::stats::Stats) -> bool {
        let Ok(line) = serde_json::to_string(stats) else { return true };
        let written: io::Result<()> = match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => return console::print(&line),
            Self::File(file) => writeln!(file, "{line}"),
        };
        if let Err(error) = written {
            console::say(&format!("The statistics cannot be written any more: {error}."));
            *self = Self::Nowhere;
        }
        true
    }
}

/// Puts lines that were pasted together back together: a code may have been broken into several.
#[derive(Default)]
pub struct Lines {
    text: String,
    last: Option<Instant>,
    is_whole: bool,
}

impl Lines {
    /// A pasted text comes in one go; after so much silence it is there.
    const QUIET: Duration = Duration::from_millis(200);

    pub fn push(&mut self, now: Instant, line: &str) {
        self.last = Some(now);
        if self.text.is_empty() {
            // The usual case does not wait.
            self.is_whole = invite::read(line).is_ok();
        }
        if line.trim().is_empty() {
            // A blank line ends what came before it.
            self.is_whole = !self.text.is_empty();
        } else if self.text.len() <= MAX_TEXT {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let quiet = || self.last.map(|last| last + Self::QUIET);
        if self.is_whole { self.last } else { quiet().filter(|_| !self.text.is_empty()) }
    }

    /// The text, if it is there.
    pub fn poll(&mut self, now: Instant) -> Option<String> {
        self.deadline().filter(|deadline| now >= *deadline)?;
        self.take()
    }

    /// What there is.
    pub fn take(&mut self) -> Option<String> {
        self.is_whole = false;
        self.last = None;
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then_some(text)
    }
}
