//! What the terminal says and does while we are with a server: a core, like the session of a call between people.
#![deny(clippy::disallowed_methods)]

use crate::cli::Exit;
use crate::device::{DeviceError, DeviceKind};
use crate::engine::server::PlaceKind;
use crate::engine::{Event, Refusal, RemotePeer};
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason};
use crate::server::{Refused, Remedy};
use crate::stats::Stats;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// On stderr.
    Say(String),
    /// Leave the server with a good-bye, and end the engine.
    Quit,
    Stats(Box<Stats>),
    End(Exit),
}

pub struct Visit {
    /// The sentences that differ.
    words: Words,
    seconds: Option<Duration>,
    /// Devices without which there is nothing to do, those that have run, and the last error said of each kind.
    named_devices: Vec<DeviceKind>,
    opened: Vec<DeviceKind>,
    failures: Vec<(DeviceKind, DeviceError)>,
    people: HashMap<PeerId, String>,
    state: CallState,
    /// When `--seconds` are over.
    ends: Option<Instant>,
    /// How it will end, once the engine has, and when that is waited for no longer.
    leaving: Option<(Exit, Instant)>,
    outputs: VecDeque<Output>,
}

struct Words {
    connecting: &'static str,
    connected: &'static str,
    interrupted: &'static str,
    left: &'static str,
    /// People come and go.
    has_people: bool,
}

impl Words {
    const fn of(kind: PlaceKind) -> Self {
        match kind {
            PlaceKind::Room => Self {
                connecting: "Joining the room ...",
                connected: "You are in the room. Ctrl-C leaves it.",
                interrupted: "The server is gone. Twocan tries to come back for a minute ...",
                left: "You have left the room.",
                has_people: true,
            },
            PlaceKind::Publish => Self {
                connecting: "Connecting to the server ...",
                connected: "You are on the air. Ctrl-C ends it.",
                interrupted: "The connection is lost. Twocan tries to make it again for a minute ...",
                left: "You are off the air.",
                has_people: false,
            },
            PlaceKind::Play => Self {
                connecting: "Connecting to the server ...",
                connected: "Connected. Ctrl-C ends it.",
                interrupted: "The connection is lost. Twocan tries to make it again for a minute ...",
                left: "It is over.",
                has_people: false,
            },
        }
    }
}

impl Visit {
    /// How long the server has for a good-bye.
    const LEAVE_LIMIT: Duration = Duration::from_secs(6);

    pub fn new(kind: PlaceKind, seconds: Option<Duration>, named_devices: Vec<DeviceKind>) -> Self {
        let wanted = |device: &DeviceKind| match kind {
            PlaceKind::Room => true,
            PlaceKind::Publish => *device != DeviceKind::Speaker,
            PlaceKind::Play => *device == DeviceKind::Speaker,
        };
        Self {
            words: Words::of(kind),
            seconds,
            named_devices: named_devices.into_iter().filter(wanted).collect(),
            opened: Vec::new(),
            failures: Vec::new(),
            people: HashMap::new(),
            state: CallState::Idle,
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
                let is_lost = matches!(self.state, CallState::Reconnecting { .. });
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

    pub fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Call(state) => self.handle_state(now, state),
            Event::Refused(Refusal::Server(refused)) => {
                self.say(&sentence(&refused));
                let is_lost = matches!(self.state, CallState::Ended(_));
                self.leave(now, if is_lost { Exit::Lost } else { Exit::NotConnected });
            }
            Event::Remote(id, remote) => self.handle_remote(id, remote),
            Event::Left(id) => {
                if let Some(name) = self.people.remove(&id).filter(|_| self.words.has_people) {
                    self.say(&format!("{name} has left."));
                }
            }
            Event::FirstPicture(id) => match self.people.get(&id).filter(|_| self.words.has_people) {
                Some(name) => self.say(&format!("The first picture of {name} is here.")),
                None => self.say("The first picture is here."),
            },
            Event::Note(sentence) => self.say(&sentence),
            Event::Opened { kind, name, picture } => {
                self.failures.retain(|(failed, _)| *failed != kind);
                self.opened.push(kind);
                let picture = picture.map(|(size, fps)| format!(", {size} at {fps:.0} fps"));
                self.say(&format!("The {kind} is “{name}”{}.", picture.unwrap_or_default()));
            }
            Event::Missing { kind, name } => {
                self.say(&format!("“{name}” is not connected. Another {kind} is used until it is."));
            }
            Event::Failed { kind, error } => self.handle_failed(now, kind, error),
            Event::Stats(stats, _) => self.outputs.push_back(Output::Stats(stats)),
            Event::Gone => {
                let exit = self.leaving.map_or(Exit::Lost, |(exit, _)| exit);
                self.outputs.push_back(Output::End(exit));
            }
            // Of calls between people, and for windows.
            _ => {}
        }
    }

    fn handle_state(&mut self, now: Instant, state: CallState) {
        self.state = state;
        match state {
            CallState::Connecting { .. } => self.say(self.words.connecting),
            CallState::InCall { .. } => {
                self.say(self.words.connected);
                if self.ends.is_none() {
                    self.ends = self.seconds.map(|seconds| now + seconds);
                }
            }
            CallState::Reconnecting { .. } => self.say(self.words.interrupted),
            CallState::Ended(EndReason::HungUp) => self.say(self.words.left),
            // The reason follows, or nobody asks for it.
            CallState::Idle
            | CallState::Gathering(_)
            | CallState::WaitingForReply
            | CallState::Lobby { .. }
            | CallState::Ended(_) => {}
        }
    }

    fn handle_remote(&mut self, id: PeerId, remote: RemotePeer) {
        let name = if remote.name.is_empty() { "Somebody without a name".into() } else { remote.name };
        let is_new = !self.people.contains_key(&id);
        if is_new && self.words.has_people {
            self.say(&format!("{name} is here."));
        }
        self.people.insert(id, name);
    }

    fn handle_failed(&mut self, now: Instant, kind: DeviceKind, error: DeviceError) {
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

    fn leave(&mut self, now: Instant, exit: Exit) {
        if self.leaving.is_none() {
            self.leaving = Some((exit, now + Self::LEAVE_LIMIT));
            self.outputs.push_back(Output::Quit);
        }
    }

    fn say(&mut self, sentence: &str) {
        self.outputs.push_back(Output::Say(sentence.to_owned()));
    }
}

/// With how it is given in the terminal.
fn sentence(refused: &Refused) -> String {
    let remedy = match refused.remedy {
        Some(Remedy::Pin) => " Put it into a file for --pin-file, or into the variable TWOCAN_PIN.",
        Some(Remedy::Token) => " Put it into a file for --token-file, or into the variable TWOCAN_TOKEN.",
        Some(Remedy::Create) => " --create makes it.",
        None => "",
    };
    format!("{refused}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::test_time::at;

    fn visit(seconds: Option<u64>) -> Visit {
        Visit::new(PlaceKind::Room, seconds.map(Duration::from_secs), vec![DeviceKind::Camera])
    }

    /// What was said, and how it ended.
    fn drain(visit: &mut Visit) -> (String, Option<Exit>) {
        let (mut said, mut end) = (String::new(), None);
        while let Some(output) = visit.poll_output() {
            match output {
                Output::Say(line) => said += &line,
                Output::End(exit) => end = Some(exit),
                Output::Quit | Output::Stats(_) => {}
            }
        }
        (said, end)
    }

    #[test]
    fn the_end_decides_the_status() {
        let now = at(0);
        let refused = |remedy| {
            let refused = Refused { sentence: "No.".into(), remedy };
            Event::Refused(Refusal::Server(refused))
        };
        let ended = |reason| Event::Call(CallState::Ended(reason));
        for (events, said, exit) in [
            (vec![ended(EndReason::HungUp)], "You have left the room.", Exit::Lost),
            (vec![Event::Call(CallState::Idle), refused(None)], "No.", Exit::NotConnected),
            (vec![refused(Some(Remedy::Pin))], "No. Put it into a file for --pin-file", Exit::NotConnected),
            (vec![refused(Some(Remedy::Create))], "No. --create makes it.", Exit::NotConnected),
            (vec![ended(EndReason::Server), refused(None)], "No.", Exit::Lost),
        ] {
            let mut visit = visit(None);
            events.into_iter().chain([Event::Gone]).for_each(|event| visit.handle_event(now, event));
            let (words, end) = drain(&mut visit);
            assert!(words.starts_with(said) && end == Some(exit), "{words} {end:?}");
        }
        let mut visit = visit(None);
        visit.handle_stop(now);
        visit.handle_event(now, ended(EndReason::HungUp));
        visit.handle_event(now, Event::Gone);
        assert_eq!(drain(&mut visit).1, Some(Exit::Ended));
    }

    #[test]
    fn people_come_and_go_by_name() {
        let (now, ann) = (at(0), PeerId(7));
        let remote = |name: &str| RemotePeer { name: name.into(), ..RemotePeer::default() };
        for (kind, said) in [
            (PlaceKind::Room, "Ann is here.The first picture of Ann is here.Ann has left."),
            (PlaceKind::Play, "The first picture is here."),
        ] {
            let mut visit = Visit::new(kind, None, Vec::new());
            for event in [
                Event::Remote(ann, remote("Ann")),
                Event::Remote(ann, RemotePeer { camera_stopped: true, ..remote("Ann") }),
                Event::FirstPicture(ann),
                Event::Left(ann),
            ] {
                visit.handle_event(now, event);
            }
            assert_eq!(drain(&mut visit).0, said);
        }
    }

    #[test]
    fn the_seconds_count_from_the_connection_and_end_in_words_with_the_server() {
        let now = at(0);
        let mut visit = visit(Some(3));
        let connecting = CallState::Connecting { own: crate::invite::Kind::Reply, since: now };
        visit.handle_event(now, Event::Call(connecting));
        assert_eq!(visit.deadline(), None);
        visit.handle_event(now, Event::Call(CallState::InCall { since: now }));
        let over = now + Duration::from_secs(3);
        assert_eq!(visit.deadline(), Some(over));
        visit.handle_deadline(over);
        assert!(std::iter::from_fn(|| visit.poll_output()).any(|output| output == Output::Quit));
        visit.handle_deadline(over + Visit::LEAVE_LIMIT);
        assert_eq!(drain(&mut visit).1, Some(Exit::Ended));
    }

    #[test]
    fn a_named_device_that_never_ran_ends_it() {
        let now = at(0);
        let mut visit = visit(None);
        let failed = |kind| Event::Failed { kind, error: DeviceError::NotFound(kind) };
        visit.handle_event(now, failed(DeviceKind::Speaker));
        assert_eq!(visit.deadline(), None);
        visit.handle_event(now, failed(DeviceKind::Camera));
        visit.handle_stop(now);
        assert_eq!(drain(&mut visit).1, Some(Exit::DeviceFailed));
    }
}
