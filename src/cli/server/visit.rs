//! What the terminal says and does while we are with a server: a core, like the session of a call between people.
#![deny(clippy::disallowed_methods)]

use crate::cli::Exit;
use crate::device::{DeviceError, DeviceKind};
use crate::engine::server::{Goal, ServerEnd, ServerEvent, ServerState};
use crate::pipeline::MediaEvent;
use crate::stats::Stats;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// On stderr.
    Say(String),
    Leave,
    Stats(Box<Stats>),
    End(Exit),
}

pub struct Visit {
    /// The three sentences that differ: connected, interrupted, left.
    words: Words,
    seconds: Option<Duration>,
    /// Devices without which there is nothing to do, those that have run, and the last error said of each kind.
    named_devices: Vec<DeviceKind>,
    opened: Vec<DeviceKind>,
    failures: Vec<(DeviceKind, DeviceError)>,
    state: Option<ServerState>,
    /// When `--seconds` are over.
    ends: Option<Instant>,
    /// How it will end, once the server has heard of it, and when that is waited for no longer.
    leaving: Option<(Exit, Instant)>,
    outputs: VecDeque<Output>,
}

struct Words {
    connecting: &'static str,
    connected: &'static str,
    interrupted: &'static str,
    left: &'static str,
    /// Somebody has no name.
    somebody: &'static str,
}

impl Words {
    const fn of(goal: &Goal) -> Self {
        let somebody = "Somebody without a name";
        match goal {
            Goal::Room { .. } => Self {
                connecting: "Joining the room ...",
                connected: "You are in the room. Ctrl-C leaves it.",
                interrupted: "The server is gone. Twocan tries to come back for a minute ...",
                left: "You have left the room.",
                somebody,
            },
            Goal::Publish { .. } => Self {
                connecting: "Connecting to the server ...",
                connected: "You are on the air. Ctrl-C ends it.",
                interrupted: "The connection is lost. Twocan tries to make it again for a minute ...",
                left: "You are off the air.",
                somebody,
            },
            Goal::Play { .. } => Self {
                connecting: "Connecting to the server ...",
                connected: "Connected. Ctrl-C ends it.",
                interrupted: "The connection is lost. Twocan tries to make it again for a minute ...",
                left: "It is over.",
                somebody,
            },
        }
    }
}

impl Visit {
    /// How long the server has for a good-bye.
    const LEAVE_LIMIT: Duration = Duration::from_secs(6);

    pub fn new(goal: &Goal, seconds: Option<Duration>, named_devices: Vec<DeviceKind>) -> Self {
        let wanted = |kind: &DeviceKind| match goal {
            Goal::Room { .. } => true,
            Goal::Publish { .. } => *kind != DeviceKind::Speaker,
            Goal::Play { .. } => *kind == DeviceKind::Speaker,
        };
        Self {
            words: Words::of(goal),
            seconds,
            named_devices: named_devices.into_iter().filter(wanted).collect(),
            opened: Vec::new(),
            failures: Vec::new(),
            state: None,
            ends: None,
            leaving: None,
            outputs: VecDeque::new(),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.leaving.map(|(_, until)| until).or(self.ends)
    }

    pub fn handle_deadline(&mut self, now: Instant) {
        match self.leaving {
            Some((exit, until)) if now >= until => self.outputs.push_back(Output::End(exit)),
            None if self.ends.is_some_and(|ends| now >= ends) => {
                // The time is up while nothing comes through: that is no normal end.
                let is_lost = self.state == Some(ServerState::Reconnecting);
                self.leave(now, if is_lost { Exit::Lost } else { Exit::Ended });
            }
            _ => {}
        }
    }

    /// Ctrl-C: leave with a good-bye; a second one does not wait for it.
    pub fn handle_stop(&mut self, now: Instant) {
        match self.leaving {
            None => self.leave(now, Exit::Ended),
            Some((exit, _)) => self.outputs.push_back(Output::End(exit)),
        }
    }

    /// The task is gone.
    pub fn handle_gone(&mut self) {
        let exit = self.leaving.map_or(Exit::Lost, |(exit, _)| exit);
        self.outputs.push_back(Output::End(exit));
    }

    pub fn handle_event(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::State(state) => self.handle_state(now, state),
            ServerEvent::Came(name) => {
                let name = self.called(name);
                self.say(&format!("{name} is here."));
            }
            ServerEvent::Went(name) => {
                let name = self.called(name);
                self.say(&format!("{name} has left."));
            }
            ServerEvent::FirstPicture(name) if name.is_empty() => self.say("The first picture is here."),
            ServerEvent::FirstPicture(name) => self.say(&format!("The first picture of {name} is here.")),
            ServerEvent::Note(sentence) => self.say(&sentence),
            ServerEvent::Device(event) => self.handle_device(now, event),
            ServerEvent::Stats(stats) => self.outputs.push_back(Output::Stats(stats)),
            ServerEvent::Ended(end) => {
                let (sentence, exit) = match end {
                    ServerEnd::Left => (self.words.left.to_owned(), Exit::Ended),
                    ServerEnd::Refused(sentence) => (sentence, Exit::NotConnected),
                    ServerEnd::Lost(sentence) => (sentence, Exit::Lost),
                };
                self.say(&sentence);
                let exit = self.leaving.map_or(exit, |(exit, _)| exit);
                self.outputs.push_back(Output::End(exit));
            }
        }
    }

    fn handle_state(&mut self, now: Instant, state: ServerState) {
        self.state = Some(state);
        match state {
            ServerState::Connecting => self.say(self.words.connecting),
            ServerState::Connected => {
                self.say(self.words.connected);
                if self.ends.is_none() {
                    self.ends = self.seconds.map(|seconds| now + seconds);
                }
            }
            ServerState::Reconnecting => self.say(self.words.interrupted),
        }
    }

    fn handle_device(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Opened { kind, name, picture } => {
                self.failures.retain(|(failed, _)| *failed != kind);
                self.opened.push(kind);
                let picture = picture.map(|(size, fps)| format!(", {size} at {fps:.0} fps"));
                self.say(&format!("The {kind} is “{name}”{}.", picture.unwrap_or_default()));
            }
            MediaEvent::Missing { kind, name } => {
                self.say(&format!("“{name}” is not connected. Another {kind} is used until it is."));
            }
            MediaEvent::Failed { kind, error } | MediaEvent::Stopped { kind, error } => {
                if self.failures.contains(&(kind, error.clone())) {
                    return;
                }
                self.say(&error.to_string());
                let is_needed = self.named_devices.contains(&kind) && !self.opened.contains(&kind);
                if is_needed && error != DeviceError::Ended && self.leaving.is_none() {
                    self.leave(now, Exit::DeviceFailed);
                }
                self.failures.push((kind, error));
            }
            MediaEvent::MicrophoneLevel(_) | MediaEvent::SpeaksWhileMuted | MediaEvent::NeedsKeyframe(_) => {}
        }
    }

    fn called(&self, name: String) -> String {
        if name.is_empty() { self.words.somebody.into() } else { name }
    }

    fn leave(&mut self, now: Instant, exit: Exit) {
        self.leaving = Some((exit, now + Self::LEAVE_LIMIT));
        self.outputs.push_back(Output::Leave);
    }

    fn say(&mut self, sentence: &str) {
        self.outputs.push_back(Output::Say(sentence.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn visit(seconds: Option<u64>) -> Visit {
        let address = "janus:ws://localhost/1".parse().unwrap();
        let goal = Goal::Room { address, pin: None, token: None, create: false };
        Visit::new(&goal, seconds.map(Duration::from_secs), vec![DeviceKind::Camera])
    }

    fn end(visit: &mut Visit) -> Option<Exit> {
        std::iter::from_fn(|| visit.poll_output()).find_map(|output| match output {
            Output::End(exit) => Some(exit),
            _ => None,
        })
    }

    #[test]
    fn the_end_decides_the_status() {
        let now = at(0);
        for (ended, exit) in [
            (ServerEnd::Left, Exit::Ended),
            (ServerEnd::Refused("No.".into()), Exit::NotConnected),
            (ServerEnd::Lost("Gone.".into()), Exit::Lost),
        ] {
            let mut visit = visit(None);
            visit.handle_event(now, ServerEvent::Ended(ended));
            assert_eq!(end(&mut visit), Some(exit));
        }
        let mut visit = visit(None);
        visit.handle_gone();
        assert_eq!(end(&mut visit), Some(Exit::Lost));
    }

    #[test]
    fn the_seconds_count_from_the_connection_and_end_in_words_with_the_server() {
        let now = at(0);
        let mut visit = visit(Some(3));
        visit.handle_event(now, ServerEvent::State(ServerState::Connecting));
        assert_eq!(visit.deadline(), None);
        visit.handle_event(now, ServerEvent::State(ServerState::Connected));
        let over = now + Duration::from_secs(3);
        assert_eq!(visit.deadline(), Some(over));
        visit.handle_deadline(over);
        assert!(std::iter::from_fn(|| visit.poll_output()).any(|output| output == Output::Leave));
        visit.handle_deadline(over + Visit::LEAVE_LIMIT);
        assert_eq!(end(&mut visit), Some(Exit::Ended));
    }

    #[test]
    fn a_named_device_that_never_ran_ends_it() {
        let now = at(0);
        let mut visit = visit(None);
        let failed =
            |kind| ServerEvent::Device(MediaEvent::Failed { kind, error: DeviceError::NotFound(kind) });
        visit.handle_event(now, failed(DeviceKind::Speaker));
        assert_eq!(visit.deadline(), None);
        visit.handle_event(now, failed(DeviceKind::Camera));
        visit.handle_stop(now);
        assert_eq!(end(&mut visit), Some(Exit::DeviceFailed));
    }
}
