//! What the terminal says and does during one call: a core. It is handed what the engine tells, what comes from
//! stdin and the time, and is drained of [`Output`]s.
#![deny(clippy::disallowed_methods)]

mod page;
mod people;
mod way;

use super::args::Format;
use super::{Exit, passphrase};
use crate::device::{DeviceError, DeviceKind};
use crate::engine::{Command, Event, OwnCode, RoomState, Trouble};
use crate::invite::{self, InviteError, Kind, MAX_TEXT};
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::nat::Outlook;
use crate::room::trust::Comparison;
use crate::stats::{PeerStats, Stats};
use crate::units::Redacted;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    Call,
    /// The invite, if it was on the command line.
    Answer(Option<String>),
    /// Let a browser in this network join, on this port.
    Page(Option<u16>),
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Output {
    /// On stdout.
    Print(Redacted<String>),
    /// On stderr.
    Say(String),
    /// To the engine, which is started by the first of these.
    Send(Command),
    Stats(Box<Stats>),
    End(Exit),
}

/// How a session is run.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub format: Format,
    pub seconds: Option<Duration>,
    /// Devices without which there is no call.
    pub named_devices: Vec<DeviceKind>,
    /// The invite is for many guests: none has to be waited for at stdin.
    pub many: bool,
    /// Of the codes, ours and theirs.
    pub passphrase: Option<Redacted<String>>,
}

pub struct Session {
    wishes: Wishes,
    page: page::Page,
    phase: Phase,
    outputs: VecDeque<Output>,
    /// The start of a code whose rest may come.
    partial: String,
    input_ended: bool,
    /// A paste is on its way through the engine.
    pasting: bool,
    people: people::People,
    /// As it was told last.
    room: RoomState,
    told_sound_only: bool,
    /// Devices that have run, and the last error said of each kind.
    opened: Vec<DeviceKind>,
    failures: Vec<(DeviceKind, DeviceError)>,
    /// Why the call does not come up.
    trouble: Option<Trouble>,
    /// Our code.
    printed: Option<Redacted<String>>,
    /// When `--seconds` are over.
    call_ends: Option<Instant>,
}

/// Where the session stands; within [`Phase::Running`] the call's own state counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `answer` without a code: the invite has to come from stdin. The engine is not there yet.
    AwaitingInvite,
    Running(CallState),
    /// The engine says bye and goes, or is given up at the deadline.
    Leaving {
        exit: Exit,
        deadline: Instant,
    },
    Ended,
}

impl Session {
    /// How long the engine has to say good-bye.
    const LEAVE_LIMIT: Duration = Duration::from_secs(5);

    pub fn new(task: Task, wishes: Wishes) -> Self {
        let mut session = Self {
            wishes,
            page: page::Page::default(),
            phase: Phase::AwaitingInvite,
            outputs: VecDeque::new(),
            partial: String::new(),
            input_ended: false,
            pasting: false,
            people: people::People::default(),
            room: RoomState::default(),
            told_sound_only: false,
            opened: Vec::new(),
            failures: Vec::new(),
            trouble: None,
            printed: None,
            call_ends: None,
        };
        if let Some(passphrase) = session.wishes.passphrase.clone() {
            session.send(Command::Passphrase(Some(passphrase)));
        }
        match task {
            Task::Call => {
                session.phase = Phase::Running(CallState::Idle);
                session.send(Command::StartCall);
            }
            Task::Page(port) => session.serve_page(port),
            Task::Answer(None) => session.say("Paste the invite you were sent, then press Enter."),
            Task::Answer(Some(code)) => session.take_invite(&code),
        }
        session
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Leaving { deadline, .. } => Some(deadline),
            // An invite for many outlasts its guests, but not the time that was set.
            Phase::Running(state) if state.in_call() || self.wishes.many => {
                [self.call_ends, self.people.deadline()].into_iter().flatten().min()
            }
            Phase::AwaitingInvite | Phase::Running(_) | Phase::Ended => None,
        }
    }

    pub fn handle_deadline(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Leaving { exit, .. } => self.end(exit),
            Phase::Running(_) if self.people.deadline().is_some_and(|settled| now >= settled) => {
                self.settle_people(now);
            }
            // The time is up while nothing comes through: that is no normal end.
            Phase::Running(CallState::Reconnecting { .. }) => {
                self.say("The connection was lost.");
                self.leave(now, Exit::Lost);
            }
            Phase::Running(_) => {
                self.call_ends = None;
                self.send(Command::HangUp);
            }
            Phase::AwaitingInvite | Phase::Ended => {}
        }
    }

    /// Ctrl-C: hang up with a good-bye; a second one does not wait for it.
    pub fn handle_stop(&mut self, now: Instant) {
        match self.phase {
            Phase::Running(_) => self.leave(now, Exit::Ended),
            Phase::AwaitingInvite => self.end(Exit::Ended),
            Phase::Leaving { exit, .. } => self.end(exit),
            Phase::Ended => {}
        }
    }

    /// A code, a candidate or anything else from stdin: one line, or several that came together.
    pub fn handle_text(&mut self, text: &str) {
        if matches!(self.phase, Phase::Running(_)) && self.answers_the_door(text) {
            return;
        }
        let (text, read) = match self.read(text) {
            Err(error) if !self.partial.is_empty() => {
                let joined = format!("{}\n{text}", self.partial);
                match self.read(&joined) {
                    Err(InviteError::CutOff) => (joined, Err(InviteError::CutOff)),
                    Err(_) => (text.to_owned(), Err(error)),
                    Ok(opened) => (joined, Ok(opened)),
                }
            }
            read => (text.to_owned(), read),
        };
        self.partial.clear();
        match read {
            Err(InviteError::Empty) => {}
            Err(error) => {
                if error == InviteError::CutOff && text.len() <= MAX_TEXT {
                    self.partial = text;
                }
                self.say(&passphrase::sentence(&error));
            }
            Ok(opened) => match self.phase {
                Phase::AwaitingInvite => self.take_invite_from_stdin(&opened),
                Phase::Running(_) => {
                    self.pasting = true;
                    self.send(Command::Paste(Redacted(opened)));
                }
                Phase::Leaving { .. } | Phase::Ended => {}
            },
        }
    }

    /// stdin has ended: what is still missing will not come.
    pub fn handle_input_end(&mut self, now: Instant) {
        self.input_ended = true;
        self.check_input_end(now);
    }

    pub fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Call(state) => self.handle_state(now, state),
            Event::Page(link) => self.handle_page(now, link),
            Event::Code(code) => self.handle_code(*code),
            Event::Refused(refusal) => {
                self.pasting = false;
                self.say(&refusal.to_string());
                self.check_input_end(now);
            }
            Event::CandidateAdded => {
                self.pasting = false;
                self.say("The candidate was added.");
                self.check_input_end(now);
            }
            Event::Remote(id, remote) => self.handle_remote(now, id, remote),
            Event::Left(id) => self.handle_left(id),
            Event::Room(room) => self.handle_room(room),
            Event::Trust(_, comparison) => self.handle_trust(comparison),
            Event::Opened { kind, name, picture } => self.handle_opened(kind, &name, picture),
            Event::Missing { kind, name } => self.handle_missing(now, kind, &name),
            Event::Failed { kind, error } => self.handle_failed(now, kind, error),
            Event::MutedBy(_) => self.say("The host has muted your microphone."),
            Event::FirstPicture(_) => self.say("Their picture is here."),
            Event::Stats(stats, _) => {
                self.tell_format(&stats);
                self.outputs.push_back(Output::Stats(stats));
            }
            Event::Gone => match self.phase {
                Phase::Leaving { exit, .. } => self.end(exit),
                Phase::AwaitingInvite | Phase::Running(_) => {
                    self.say("The call broke off: Twocan's engine has stopped.");
                    self.end(Exit::Lost);
                }
                Phase::Ended => {}
            },
            Event::Network(outlook) => self.handle_network(outlook),
            Event::Trouble(trouble) => self.handle_trouble(trouble),
            Event::Offline(true) => self.say("This computer has no network."),
            Event::Offline(false) => self.say("This computer has a network again."),
            Event::Moved => self.say(
                "The address of this computer has changed. Send this new invite; the old one may not lead here.",
            ),
            // Nobody nearby is looked for from the terminal.
            Event::Nearby(_) | Event::Ring(_) | Event::With(_) | Event::NoAnswer(_) => {}
            // Rooms of servers have a face of their own (`visit`).
            Event::Server(_) | Event::Note(_) => {}
            Event::Reach(_)
            | Event::Invite(_)
            | Event::Reaction(..)
            | Event::Picture(..)
            | Event::Devices(_)
            | Event::Muted { .. }
            | Event::SpeaksWhileMuted
            | Event::Levels { .. } => {}
        }
    }

    fn take_invite(&mut self, code: &str) {
        match self.opened(code).and_then(|code| invite::expect(&code, Kind::Invite, None).map(|_| code)) {
            Ok(code) => {
                self.phase = Phase::Running(CallState::Idle);
                self.send(Command::JoinCall(Redacted(code)));
            }
            Err(error) => {
                self.say(&passphrase::sentence(&error));
                self.end(Exit::BadInput);
            }
        }
    }

    /// The text, opened, if it is of use.
    fn read(&self, text: &str) -> Result<String, InviteError> {
        let opened = self.opened(text)?;
        invite::read(&opened).map(|_| opened)
    }

    /// The text as it reads without a passphrase.
    fn opened(&self, text: &str) -> Result<String, InviteError> {
        let passphrase = self.wishes.passphrase.as_ref().map(|passphrase| passphrase.0.as_str());
        invite::unseal(text, passphrase).map(Cow::into_owned)
    }

    fn take_invite_from_stdin(&mut self, text: &str) {
        match invite::expect(text, Kind::Invite, None) {
            Ok(_) => self.take_invite(text),
            Err(error) => self.say(&error.to_string()),
        }
    }

    fn check_input_end(&mut self, now: Instant) {
        if !self.input_ended || self.pasting {
            return;
        }
        match self.phase {
            Phase::AwaitingInvite => {
                self.say("No invite came: the input has ended.");
                self.end(Exit::BadInput);
            }
            Phase::Running(CallState::WaitingForReply) if !self.page.is_wanted() && !self.wishes.many => {
                self.say("No reply came: the input has ended.");
                self.leave(now, Exit::BadInput);
            }
            Phase::Running(_) | Phase::Leaving { .. } | Phase::Ended => {}
        }
    }

    fn handle_code(&mut self, code: OwnCode) {
        if self.page.is_wanted() && !matches!(self.phase, Phase::Running(CallState::Reconnecting { .. })) {
            return;
        }
        if self.wishes.passphrase.is_some() && !code.is_sealed() {
            self.say("This code has no passphrase: it is for another program, which knows of none.");
        }
        let text = match self.wishes.format {
            Format::Compact => code.text,
            Format::Full => code.full,
        };
        if matches!(self.phase, Phase::Running(CallState::Reconnecting { .. })) {
            // For the person at the terminal: a script that reads stdout has its code already.
            self.say(match code.kind {
                Kind::Invite => {
                    "If the path does not come back: send this new invite to the other person, paste the reply that \
                     comes back, and press Enter."
                }
                Kind::Reply => {
                    "Send this new reply back. The call goes on when the other person pastes it."
                }
            });
            return self.outputs.push_back(Output::Say(text.0));
        }
        if self.printed.as_ref() == Some(&text) {
            return;
        }
        // stdout carries each code once; whoever reads it takes the first line.
        let again = self.printed.replace(text.clone()).is_some();
        self.outputs.push_back(if again { Output::Say(text.0) } else { Output::Print(text) });
        self.say(match code.kind {
            Kind::Invite => {
                "Send this invite to the other person. The call starts by itself, or when you paste the reply that \
                 comes back and press Enter."
            }
            Kind::Reply => {
                "Calling. If nobody answers, send this reply to the person who invited you."
            }
        });
    }

    fn handle_state(&mut self, now: Instant, state: CallState) {
        let Phase::Running(before) = self.phase else { return };
        self.phase = Phase::Running(state);
        match state {
            CallState::Idle => {}
            CallState::Gathering(_) => self.say("Looking for the ways to reach this computer ..."),
            CallState::WaitingForReply => self.check_input_end(now),
            CallState::Connecting { own: Kind::Invite, .. } => {
                self.pasting = false;
                self.say("Connecting ...");
            }
            CallState::Lobby { own: Kind::Invite, .. } => {
                self.pasting = false;
                self.say("Somebody wants to join. Type “yes” to let them in, “no” to send them away, and press Enter.");
            }
            CallState::Lobby { own: Kind::Reply, .. } => self.say("Waiting to be let in ..."),
            // The reply is out; when the call connects is up to the other person.
            CallState::Connecting { own: Kind::Reply, .. } => {}
            CallState::InCall { .. } if matches!(before, CallState::Reconnecting { .. }) => {
                self.say("The connection is back.");
            }
            CallState::InCall { .. } => {
                self.pasting = false;
                self.say("Connected. Ctrl-C hangs up.");
                self.call_ends = self.call_ends.or(self.wishes.seconds.map(|seconds| now + seconds));
            }
            CallState::Reconnecting { rescue, .. } => match rescue {
                Rescue::Waiting { .. } if matches!(before, CallState::InCall { .. }) => {
                    self.say("The connection is interrupted. Twocan waits for it to come back ...");
                }
                Rescue::WaitingForInvite if !self.input_ended => {
                    self.pasting = false;
                    self.say(
                        "If the path does not come back: paste the new invite that the other person sends you, \
                         and press Enter.",
                    );
                }
                Rescue::Connecting { own: Kind::Invite, .. } => {
                    self.pasting = false;
                    self.say("Connecting ...");
                }
                Rescue::Waiting { .. }
                | Rescue::Gathering(_)
                | Rescue::WaitingForReply
                | Rescue::WaitingForInvite
                | Rescue::Connecting { .. } => {}
            },
            CallState::Ended(reason) => {
                let (sentence, exit) = ending(reason);
                match self.trouble {
                    Some(Trouble::Failed(why)) if reason == EndReason::NotConnected => {
                        self.say(&format!("No connection could be made. {why}"));
                    }
                    _ => self.say(sentence),
                }
                self.leave(now, exit);
            }
        }
    }

    /// The words, once; those of a fresh connection between the same people say nothing new.
    fn handle_trust(&mut self, comparison: Comparison) {
        match comparison {
            Comparison::Ready { words, continued: false } => self.say(&format!(
                "words: {} (read them to each other: if they are the same, nobody is between you)",
                words.line()
            )),
            Comparison::Refused => self.say("words: could not be compared"),
            Comparison::Waiting | Comparison::Unanswered | Comparison::Ready { .. } => {}
        }
    }

    /// Said only while it helps: a call that is up needs no advice.
    fn handle_network(&mut self, outlook: Outlook) {
        let is_early = matches!(self.phase, Phase::Running(state) if !state.in_call());
        if let Some(line) = outlook.line()
            && is_early
            && (outlook.is_trouble() || outlook.nat.is_hard())
        {
            self.say(line);
        }
    }

    fn handle_trouble(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        match trouble {
            Trouble::Expected(why) => self.say(&format!("This call may not come up. {why}")),
            Trouble::Stuck(why) => {
                self.say(&format!(
                    "Your reply was pasted, but no connection comes up. {why} Twocan goes on trying; Ctrl-C ends it."
                ));
            }
            // Said with the end that follows.
            Trouble::Failed(_) => {}
        }
    }

    /// Says, once, that there will be no pictures.
    fn tell_format(&mut self, stats: &Stats) {
        let sound_only = stats.peers.iter().any(PeerStats::is_sound_only);
        if sound_only && !std::mem::replace(&mut self.told_sound_only, true) {
            self.say("Sound only: the other side has no video format that this one has too.");
        }
    }

    fn handle_opened(
        &mut self,
        kind: DeviceKind,
        name: &str,
        picture: Option<(crate::units::Resolution, f64)>,
    ) {
        self.failures.retain(|(failed, _)| *failed != kind);
        if !self.opened.contains(&kind) {
            self.opened.push(kind);
        }
        let picture = picture.map(|(size, fps)| format!(", {size} at {fps:.0} fps")).unwrap_or_default();
        self.say(&format!("The {kind} is “{name}”{picture}."));
    }

    fn handle_failed(&mut self, now: Instant, kind: DeviceKind, error: DeviceError) {
        let is_told = self.failures.iter().any(|(failed, old)| *failed == kind && *old == error);
        if is_told || !matches!(self.phase, Phase::Running(_)) {
            return;
        }
        self.say(&error.to_string());
        let is_needed = self.wishes.named_devices.contains(&kind) && !self.opened.contains(&kind);
        if is_needed && error != DeviceError::Ended {
            self.leave(now, Exit::DeviceFailed);
        }
        self.failures.retain(|(failed, _)| *failed != kind);
        self.failures.push((kind, error));
    }

    /// Nothing stands in for a device that the command line names, but while it is away for a moment.
    fn handle_missing(&mut self, now: Instant, kind: DeviceKind, name: &str) {
        if self.wishes.named_devices.contains(&kind) && !self.opened.contains(&kind) {
            self.handle_failed(now, kind, DeviceError::NotFound(kind));
        } else if matches!(self.phase, Phase::Running(_)) {
            self.say(&format!("“{name}” is not connected. Another {kind} is used until it is."));
        }
    }

    fn leave(&mut self, now: Instant, exit: Exit) {
        self.phase = Phase::Leaving { exit, deadline: now + Self::LEAVE_LIMIT };
        self.send(Command::Quit);
    }

    fn end(&mut self, exit: Exit) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::End(exit));
    }

    fn send(&mut self, command: Command) {
        self.outputs.push_back(Output::Send(command));
    }

    fn say(&mut self, sentence: &str) {
        self.outputs.push_back(Output::Say(sentence.to_owned()));
    }
}

fn ending(reason: EndReason) -> (&'static str, Exit) {
    match reason {
        EndReason::HungUp => ("The call is over.", Exit::Ended),
        EndReason::TheyHungUp => ("The other person hung up.", Exit::Ended),
        EndReason::Cancelled => ("There was no call.", Exit::Ended),
        EndReason::NotConnected => (
            "No connection could be made. Check that both sides are online, then exchange new codes; \
             `twocan doctor` says what this network allows.",
            Exit::NotConnected,
        ),
        EndReason::Lost => ("The connection was lost.", Exit::Lost),
        EndReason::Busy => {
            ("They are already in a call. Ask for a new invite, or try again later.", Exit::NotConnected)
        }
        EndReason::Withdrawn => {
            ("This invite is over: it was taken back, or its call has ended.", Exit::NotConnected)
        }
        EndReason::Removed => ("The host has removed you from the call.", Exit::Ended),
        EndReason::Server => ("The server is gone.", Exit::Lost),
        EndReason::Refused => ("They did not let you in.", Exit::NotConnected),
        EndReason::NoCode => ("No code could be made on this computer.", Exit::NotConnected),
    }
}
