//! A call through a server, from the engine's side: as long as it lasts, this loop stands in for that of the links. It
//! hears the same commands and the same media threads, and tells the same events.

use super::{LEVEL_STEP, STATS, TICK, Task, until};
use crate::engine::server::{Dialogue, End, EndEvent, Ends, Goal, Room, Standing, Stay, Stream};
use crate::engine::{Command, Event, Refusal};
use crate::invite::Kind;
use crate::net::Way;
use crate::pipeline::MediaEvent;
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::message::clean_name;
use crate::server::AWAY_LIMIT;
use std::ops::ControlFlow;
use std::time::Instant;
use tokio::sync::mpsc;

impl Task {
    /// `Break`: the engine is to end.
    pub(super) async fn visit(
        &mut self,
        goal: Goal,
        inbox: &mut mpsc::Receiver<Command>,
        from_media: &mut mpsc::Receiver<MediaEvent>,
    ) -> ControlFlow<()> {
        if !self.links.is_empty() {
            self.face.tell(Event::Refused(Refusal::AlreadyInCall));
            return ControlFlow::Continue(());
        }
        self.started = Instant::now();
        self.face.tell(Event::Server(Box::new(goal.place())));
        let ends = Ends::new(self.net.clone(), self.media.clone(), self.attempts);
        let mut stay = Stay::new(ends, self.people);
        let visit = Visit { inbox, from_media, quits: false, joined: None, levels: Vec::new() };
        match goal {
            Goal::Room { address, pin, token, create } => {
                let name = clean_name(&self.settings.name);
                let room = Room::new(&mut stay, address, name, pin, token, create);
                self.stay(visit, stay, room).await
            }
            Goal::Publish { address, token } => {
                let stream = Stream::new(&mut stay, address, token, Way::Send);
                self.stay(visit, stay, stream).await
            }
            Goal::Play { address, token } => {
                let stream = Stream::new(&mut stay, address, token, Way::Receive);
                self.stay(visit, stay, stream).await
            }
        }
    }

    async fn stay(
        &mut self,
        mut visit: Visit<'_>,
        mut stay: Stay,
        mut dialogue: impl Dialogue,
    ) -> ControlFlow<()> {
        let mut next_tick = Instant::now() + TICK;
        let mut next_stats = Instant::now();
        let end = loop {
            dialogue.carry_out(&mut stay).await;
            let end = stay.end.take();
            if end.is_none() {
                self.follow(&mut visit, &stay);
            }
            stay.take_news().into_iter().for_each(|news| self.face.tell(news));
            if let Some(end) = end {
                break end;
            }
            let deadline = dialogue.deadline();
            tokio::select! {
                command = visit.inbox.recv(), if !visit.quits => {
                    self.obey(&mut visit, &mut stay, &mut dialogue, command).await;
                }
                Some(event) = visit.from_media.recv() => match event {
                    MediaEvent::NeedsKeyframe(id) => stay.ends.request_keyframe(id).await,
                    event => self.handle_media(event),
                },
                event = stay.ends.next() => dialogue.handle_end(Instant::now(), &mut stay, event),
                heard = dialogue.hear() => dialogue.handle_heard(Instant::now(), heard),
                () = until(deadline), if deadline.is_some() => dialogue.handle_deadline(Instant::now()),
                () = until(Some(next_tick)) => {
                    let now = Instant::now();
                    next_tick = now + TICK;
                    while let Some(serial) = stay.ends.poll_lost(now) {
                        dialogue.handle_end(now, &mut stay, EndEvent::Lost(serial));
                    }
                    while let Some(id) = stay.ends.poll_seen() {
                        self.face.tell(Event::FirstPicture(id));
                    }
                    self.tell_levels_of(&mut visit, &stay);
                    if now >= next_stats {
                        next_stats = now + STATS;
                        dialogue.look_after(now, &mut stay);
                        self.tell_stats_of(&mut stay).await;
                    }
                }
            }
        };
        // What is queued, the farewell above all, is sent when the socket is dropped.
        drop(dialogue);
        (self.people, self.attempts) = (stay.people(), stay.ends.serial());
        stay.ends.close().await;
        self.come_back(&visit, end);
        if visit.quits { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    async fn obey(
        &mut self,
        visit: &mut Visit<'_>,
        stay: &mut Stay,
        dialogue: &mut impl Dialogue,
        command: Option<Command>,
    ) {
        let now = Instant::now();
        match command {
            Some(Command::Quit) | None => {
                visit.quits = true;
                dialogue.leave(now);
            }
            Some(Command::HangUp) => dialogue.leave(now),
            Some(Command::View(id, drawn)) => dialogue.show(now, stay, id, drawn),
            Some(Command::Volume(id, volume)) => stay.ends.with_media(id, |media| media.set_volume(volume)),
            Some(
                command @ (Command::MuteMicrophone(_)
                | Command::StopCamera(_)
                | Command::Apply(_)
                | Command::ListDevices
                | Command::Nearby(_)),
            ) => self.handle_command(command).await,
            Some(
                Command::StartCall
                | Command::ServePage(_)
                | Command::JoinCall(_)
                | Command::Visit(_)
                | Command::Paste(_)
                | Command::CallNearby(_)
                | Command::AnswerRing(true),
            ) => self.face.tell(Event::Refused(Refusal::AlreadyInCall)),
            // Of calls between people.
            Some(
                Command::Passphrase(_)
                | Command::AnswerRing(false)
                | Command::Admit(..)
                | Command::Invite(_)
                | Command::Lock(_)
                | Command::MuteGuest(_)
                | Command::Remove(_)
                | Command::Topology(_)
                | Command::GuestWay(..)
                | Command::Dismiss
                | Command::Hand(_)
                | Command::React(_),
            ) => {}
        }
    }

    /// Tells where the call stands, if that is news.
    fn follow(&mut self, visit: &mut Visit<'_>, stay: &Stay) {
        let since = stay.since;
        self.rest = match stay.standing {
            Standing::Connecting => CallState::Connecting { own: Kind::Reply, since },
            Standing::Connected => CallState::InCall { since: *visit.joined.get_or_insert(since) },
            Standing::Reconnecting => {
                let (started, rescue) =
                    (visit.joined.unwrap_or(since), Rescue::Waiting { until: since + AWAY_LIMIT });
                CallState::Reconnecting { since, started, rescue }
            }
        };
        self.tell_state();
    }

    fn come_back(&mut self, visit: &Visit<'_>, end: End) {
        let (state, refused) = match end {
            End::Left if visit.joined.is_some() => (CallState::Ended(EndReason::HungUp), None),
            End::Left => (CallState::Idle, None),
            End::Refused(refused) => (CallState::Idle, Some(refused)),
            End::Lost(refused) => (CallState::Ended(EndReason::Server), Some(refused)),
        };
        self.rest = state;
        self.tell_state();
        if let Some(refused) = refused {
            self.face.tell(Event::Refused(Refusal::Server(refused)));
        }
    }

    fn tell_levels_of(&self, visit: &mut Visit<'_>, stay: &Stay) {
        let people = stay.ends.levels();
        let is_told = |(id, level): &(PeerId, f32)| {
            let same = |(of, told): &(PeerId, f32)| of == id && (level - told).abs() < LEVEL_STEP;
            visit.levels.iter().any(same)
        };
        if people.len() != visit.levels.len() || !people.iter().all(is_told) {
            visit.levels.clone_from(&people);
            self.face.tell(Event::Levels { microphone: self.microphone_level, people });
        }
    }

    async fn tell_stats_of(&self, stay: &mut Stay) {
        let (mut peers, mut people) = (Vec::new(), Vec::new());
        for (id, stats, quality) in stay.ends.stats().await {
            peers.push(stats);
            people.push((id, quality));
        }
        self.tell_figures(peers, people);
    }
}

/// What the loop has at hand.
struct Visit<'a> {
    inbox: &'a mut mpsc::Receiver<Command>,
    from_media: &'a mut mpsc::Receiver<MediaEvent>,
    /// The engine is to end.
    quits: bool,
    /// Since when we are in.
    joined: Option<Instant>,
    /// How loud everybody is, as it was told.
    levels: Vec<(PeerId, f32)>,
}
