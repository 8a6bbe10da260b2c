//! The engine's task: it waits for a command, a word from the network or the media threads, or a deadline, and is
//! the only one to change the state of the call.

mod apply;
mod door;
mod face;
mod fresh;
mod nearby;
mod network;
mod page;
mod passphrase;
mod tell;
mod trust;

pub use trust::TrustEnd;

use super::peer::{RemoteEnd, accept};
use super::{Command, EngineSetup, Event, Refusal};
use crate::device::{self, DeviceKind};
use crate::invite::{self, Description, Kind, Pasted};
use crate::net::{Endpoint, Link, NetError, NetEvent, Peer};
use crate::pipeline::{Media, MediaEvent, Picture};
use crate::ports::PeerId;
use crate::room::call::{Action, Call, CallState, Happening, Rescue};
use crate::room::message::Message;
use crate::settings::Settings;
use crate::stats::PeerStats;
use crate::units::Resolution;
use face::Face;
use fresh::{Fresh, next_of};
use nearby::Neighbours;
use network::Network;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Words of one peer connection under way; statistics and levels do not go through here.
const NET_EVENTS: usize = 256;
/// Words of the media threads under way; what finds no room is a level or comes again.
const MEDIA_EVENTS: usize = 256;
/// The pace of levels and of looking for the first picture.
const TICK: Duration = Duration::from_millis(100);
/// While the first picture is awaited, to tell its moment well.
const FIRST_PICTURE_TICK: Duration = Duration::from_millis(10);
/// A level that has moved less than this is not told.
const LEVEL_STEP: f32 = 0.02;

/// A peer connection that was made beside the task; `attempt` tells whether it is still wanted.
struct Made {
    attempt: u64,
    result: Result<(Peer, Description), NetError>,
}

/// Starts the media threads and the task on a runtime of its own.
pub fn spawn(
    setup: EngineSetup,
    inbox: mpsc::Receiver<Command>,
    outbox: crossbeam_channel::Sender<Event>,
) -> Picture {
    let (media_events, from_media) = mpsc::channel(MEDIA_EVENTS);
    let media = Media::start(setup.media.clone(), media_events);
    let preview = media.preview();
    let spawned = std::thread::Builder::new().name("engine".into()).spawn(move || {
        let face = Face { outbox, wake: setup.wake.map(Arc::from) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        match runtime {
            Ok(runtime) => {
                let task = Task::new(setup.settings, setup.net, media, face);
                runtime.block_on(task.run(inbox, from_media));
                runtime.shutdown_timeout(Duration::from_secs(1));
            }
            Err(error) => tracing::error!(%error, "no runtime"),
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread for the engine");
    }
    preview
}

struct Task {
    call: Call,
    settings: Settings,
    net: crate::net::NetConfig,
    media: Media,
    face: Face,
    peer: Option<RemoteEnd>,
    /// Counts the peer connections begun; events and results of an earlier one are void.
    attempt: u64,
    attempt_started: Instant,
    made: mpsc::Sender<Made>,
    made_inbox: mpsc::Receiver<Made>,
    net_inbox: mpsc::Receiver<NetEvent>,
    fresh: Option<Fresh>,
    passphrase: Option<crate::units::Redacted<String>>,
    network: Network,
    /// The connection whose place a new one for the same invite will take.
    retired: Option<RemoteEnd>,
    page: Option<page::Page>,
    closing: tokio::task::JoinSet<()>,
    microphone_muted: bool,
    camera_stopped: bool,
    camera_runs: bool,
    microphone_runs: bool,
    microphone_level: f32,
    told_levels: (f32, f32),
    last_stats: PeerStats,
    /// What the window last said of how it shows the other side's picture.
    view: Option<Option<Resolution>>,
    neighbours: Neighbours,
}

impl Task {
    fn new(settings: Settings, net: crate::net::NetConfig, media: Media, face: Face) -> Self {
        let (made, made_inbox) = mpsc::channel(1);
        let mut call = Call::default();
        call.set_asks(settings.ask_first);
        Self {
            call,
            settings,
            net,
            media,
            face,
            peer: None,
            attempt: 0,
            attempt_started: Instant::now(),
            made,
            made_inbox,
            net_inbox: mpsc::channel(1).1,
            fresh: None,
            passphrase: None,
            network: Network::new(),
            retired: None,
            page: None,
            closing: tokio::task::JoinSet::new(),
            microphone_muted: false,
            camera_stopped: false,
            camera_runs: false,
            microphone_runs: false,
            microphone_level: 0.0,
            told_levels: (0.0, 0.0),
            last_stats: PeerStats::default(),
            view: None,
            neighbours: Neighbours::default(),
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut from_media: mpsc::Receiver<MediaEvent>) {
        let mut next_tick = Instant::now() + TICK;
        let mut next_stats = Instant::now();
        self.net.port_mapping.prepare();
        self.network.follow(&self.net);
        loop {
            let state = self.call.state();
            let in_call =
                self.peer.is_some() && (state.in_call() || matches!(state, CallState::Lobby { .. }));
            let awaiting_picture = in_call && self.peer.as_ref().is_some_and(|peer| !peer.seen);
            let deadline = self.call.deadline();
            let look_at = self.network.look_at;
            let fresh_until = self.fresh.as_ref().and_then(|fresh| fresh.until);
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Quit) | None => break,
                    Some(command) => self.handle_command(command).await,
                },
                Some(event) = from_media.recv() => self.handle_media(event),
                // What a connection says while it is being made waits for it.
                Some(event) = self.net_inbox.recv(), if self.peer.is_some() => self.handle_net(event).await,
                Some(event) = next_of(&mut self.fresh), if self.fresh.is_some() => {
                    self.handle_fresh(event).await;
                }
                heard = nearby::next_of(&mut self.neighbours) => self.handle_nearby(heard).await,
                Some(event) = page::next_of(&mut self.page), if self.page.is_some() => {
                    self.handle_page(event).await;
                }
                Some(made) = self.made_inbox.recv() => self.handle_made(made),
                Some(_) = self.closing.join_next(), if !self.closing.is_empty() => {}
                Some(word) = self.network.next() => self.handle_word(word),
                () = until(deadline), if deadline.is_some() => self.time_out().await,
                () = until(look_at), if look_at.is_some() => self.look_at_connecting().await,
                () = until(fresh_until), if fresh_until.is_some() => self.drop_fresh(),
                () = until(Some(next_tick)), if in_call => {
                    let now = Instant::now();
                    next_tick = now + if awaiting_picture { FIRST_PICTURE_TICK } else { TICK };
                    self.tick();
                    if now >= next_stats {
                        next_stats = now + Duration::from_secs(1);
                        self.tell_stats().await;
                    }
                }
            }
        }
        if self.call.state() != CallState::Idle {
            self.happen(Happening::HangUp);
        }
        while self.closing.join_next().await.is_some() {}
        let Self { media, face, .. } = self;
        let _ = tokio::task::spawn_blocking(move || drop(media)).await;
        face.tell(Event::Gone);
    }

    /// The only way the state of the call changes.
    fn happen(&mut self, happening: Happening) {
        let before = self.call.state();
        let action = self.call.handle(Instant::now(), happening);
        let state = self.call.state();
        if state != before {
            tracing::info!(from = before.word(), to = state.word(), ?happening, "call");
        }
        match action {
            // The fresh invite is nobody's command; an answer is made by whoever has the invite.
            Action::MakeOffer if self.peer.is_some() => self.make_fresh(None),
            Action::Nothing | Action::MakeOffer | Action::MakeAnswer => {}
            Action::OfferAgain => self.offer_again(),
            Action::Close => self.close(),
        }
        if state != before {
            self.network.entered(Instant::now(), state);
            self.face.tell(Event::Call(state));
            self.nearby_state(state);
        }
        if state.in_call() {
            self.drop_page();
        }
        if state == CallState::WaitingForReply
            && matches!(before, CallState::Connecting { .. } | CallState::Lobby { .. })
        {
            self.guest_has_gone();
        }
    }

    fn close(&mut self) {
        self.drop_fresh();
        if let Some(retired) = self.retired.take() {
            self.closing.spawn(retired.let_go());
        }
        self.drop_page();
        self.attempt += 1;
        self.net_inbox = mpsc::channel(1).1;
        self.view = None;
        self.passphrase = None;
        if let Some(peer) = self.peer.take() {
            peer.connection.withdraw();
            self.closing.spawn(peer.close());
            self.face.tell(Event::Picture(None));
        }
    }

    /// Makes the first peer connection of a call.
    fn make(&mut self, invite: Option<Description>) {
        self.attempt_started = Instant::now();
        self.net_inbox = self.begin(invite);
    }

    /// Makes a peer connection beside the task: gathering takes up to two seconds, in which a person may cancel.
    fn begin(&mut self, invite: Option<Description>) -> mpsc::Receiver<NetEvent> {
        self.attempt += 1;
        let (events, inbox) = mpsc::channel(NET_EVENTS);
        let (attempt, mut net, made) = (self.attempt, self.net.clone(), self.made.clone());
        if invite.is_some() && self.peer.is_some() {
            // Two connections between the same two ports could not be told apart.
            net.endpoint = Endpoint::default();
        }
        tokio::spawn(async move {
            let result = match invite {
                None => Peer::offer(net, events).await,
                Some(invite) => Peer::answer(net, &invite, events).await,
            };
            if let Err(mpsc::error::SendError(unwanted)) = made.send(Made { attempt, result }).await
                && let Ok((peer, _)) = unwanted.result
            {
                peer.close().await;
            }
        });
        inbox
    }

    fn handle_made(&mut self, made: Made) {
        let fresh = self.fresh.as_mut().filter(|fresh| fresh.attempt == made.attempt);
        if fresh.is_none() && made.attempt != self.attempt {
            if let Ok((peer, _)) = made.result {
                self.closing.spawn(async move { peer.close().await });
            }
            return;
        }
        match (made.result, fresh) {
            (Ok((connection, own)), Some(fresh)) => {
                fresh.made = Some((connection, own.clone()));
                self.tell_code(&own);
                self.happen(Happening::CodeReady);
            }
            (Ok((connection, own)), None) => {
                self.network.own_code(&self.net, &own);
                let peer = RemoteEnd::new(PeerId(self.attempt), connection, own, &self.media);
                self.tell_code(&peer.own);
                self.nearby_code(&peer.own);
                self.face.tell(peer.picture());
                self.peer = Some(peer);
                self.shut_the_door();
                if let Some(retired) = self.retired.take() {
                    self.closing.spawn(retired.let_go());
                }
                self.last_stats = PeerStats::default();
                self.happen(Happening::CodeReady);
            }
            (Err(error), None) if self.retired.is_some() => {
                tracing::info!(%error, "the invite could not be offered again");
                self.peer = self.retired.take();
            }
            (Err(error), fresh) => {
                tracing::info!(%error, "no code");
                // Nobody asked for the invite of a call that has no path: it is tried again.
                let unasked = fresh.is_some_and(|fresh| fresh.unasked);
                self.fresh = None;
                if !unasked {
                    self.face.tell(Event::Refused(error.into()));
                }
                self.happen(Happening::CodeFailed);
            }
        }
    }

    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::StartCall => self.start(),
            Command::Nearby(on) => self.show_nearby(on),
            Command::CallNearby(id) => self.call_nearby(&id),
            Command::AnswerRing(accept) => self.answer_ring(accept),
            Command::ServePage(port) => self.serve_page(port).await,
            Command::JoinCall(text) => self.open_and_join(&text),
            Command::Paste(text) => self.open_and_paste(&text).await,
            Command::Passphrase(passphrase) => self.set_passphrase(passphrase),
            Command::MuteMicrophone(muted) => {
                self.microphone_muted = muted;
                self.media.mute_microphone(muted);
                self.tell_switches();
            }
            Command::StopCamera(stopped) => {
                self.camera_stopped = stopped;
                self.media.stop_camera(stopped);
                self.tell_switches();
            }
            Command::Admit(admit) => self.answer_the_door(admit),
            Command::HangUp => self.happen(Happening::HangUp),
            Command::Dismiss => self.happen(Happening::Dismiss),
            Command::Apply(settings) => self.apply(*settings),
            Command::ListDevices => {
                let face = self.face.clone();
                self.closing.spawn(async move {
                    if let Ok(devices) = tokio::task::spawn_blocking(device::list).await {
                        face.tell(Event::Devices(Box::new(devices)));
                    }
                });
            }
            Command::View(drawn) => {
                self.view = Some(drawn);
                self.tell_view();
            }
            Command::Quit => {}
        }
    }

    fn start(&mut self) {
        self.happen(Happening::Start);
        if self.call.state() == CallState::Gathering(Kind::Invite) && self.peer.is_none() {
            self.make(None);
        }
    }

    fn join(&mut self, text: &str) {
        let usable = match self.call.state() {
            CallState::Reconnecting { .. } => return self.join_again(text),
            CallState::Idle | CallState::Ended(_) => {
                invite::expect(text, Kind::Invite, None).map_err(Refusal::from)
            }
            CallState::WaitingForReply => {
                // The person may have changed their mind: their own invite is void once they join another.
                let own = self.peer.as_ref().map(|peer| &peer.own);
                invite::expect(text, Kind::Invite, own).map_err(Refusal::from)
            }
            CallState::Gathering(_)
            | CallState::Connecting { .. }
            | CallState::Lobby { .. }
            | CallState::InCall { .. } => Err(Refusal::AlreadyInCall),
        };
        match usable {
            Ok(invite) => {
                if self.call.state() == CallState::WaitingForReply {
                    let passphrase = self.passphrase.clone();
                    self.happen(Happening::HangUp);
                    self.passphrase = passphrase;
                }
                self.happen(Happening::Join);
                self.make(Some(invite));
            }
            Err(refusal) => self.face.tell(Event::Refused(refusal)),
        }
    }

    async fn paste(&mut self, text: &str) {
        let refusal = match (invite::read(text), self.call.state(), &self.peer) {
            (Err(error), ..) => Some(error.into()),
            (Ok(Pasted::Description(_)), CallState::Idle | CallState::Ended(_), _) => {
                self.join(text);
                None
            }
            (Ok(Pasted::Description(_)), CallState::WaitingForReply, Some(peer)) => {
                match accept(&peer.connection, &peer.own, text).await {
                    Ok(()) => {
                        self.happen(Happening::ReplyAccepted);
                        None
                    }
                    Err(refusal) => Some(refusal),
                }
            }
            (Ok(Pasted::Description(pasted)), CallState::Reconnecting { rescue, .. }, _) => {
                let ours = self.fresh.as_ref().and_then(|fresh| fresh.made.as_ref());
                match (pasted.kind, rescue, ours) {
                    (Kind::Reply, Rescue::WaitingForReply, Some((connection, own))) => {
                        match accept(connection, own, text).await {
                            Ok(()) => {
                                self.happen(Happening::ReplyAccepted);
                                None
                            }
                            Err(refusal) => Some(refusal),
                        }
                    }
                    _ => {
                        self.join(text);
                        None
                    }
                }
            }
            (Ok(Pasted::Candidate(line)), state, Some(peer)) if state != CallState::Idle => {
                let fresh = self.fresh.as_ref().and_then(|fresh| fresh.made.as_ref());
                let connection = fresh.map_or(&peer.connection, |(connection, _)| connection);
                match connection.add_candidate(&line.0).await {
                    Ok(()) => {
                        self.face.tell(Event::CandidateAdded);
                        None
                    }
                    Err(error) => Some(error.into()),
                }
            }
            (Ok(Pasted::Description(_)), state, Some(_)) if state != CallState::Idle => {
                let taken = self.add_reply(text).await;
                if taken && matches!(state, CallState::Connecting { .. }) {
                    self.face.tell(Event::CandidateAdded);
                }
                let refusal = if taken { Refusal::AlreadyConnected } else { Refusal::AlreadyInCall };
                (!taken || state.in_call()).then_some(refusal)
            }
            (Ok(_), ..) => Some(Refusal::NotNow),
        };
        if let Some(refusal) = refusal {
            self.face.tell(Event::Refused(refusal));
        }
    }

    async fn handle_net(&mut self, event: NetEvent) {
        let Some(peer) = &mut self.peer else { return };
        match event {
            NetEvent::Link(link) => match link {
                Link::Connecting => {}
                Link::Connected => {
                    match self.call.state() {
                        CallState::Reconnecting { rescue: Rescue::Connecting { .. }, .. } => {
                            self.fresh.iter_mut().for_each(|fresh| fresh.stay_a_while(Instant::now()));
                        }
                        _ => self.drop_fresh(),
                    }
                    self.happen(Happening::Connected);
                }
                Link::Interrupted => self.happen(Happening::Interrupted),
                Link::Failed | Link::Closed => self.happen(Happening::LinkFailed),
            },
            NetEvent::ControlOpen => {
                peer.control_open = true;
                let hello = self.hello();
                self.say(&hello);
                self.tell_view();
                self.begin_trust().await;
            }
            NetEvent::Control(text) => self.handle_message(&text).await,
            NetEvent::KeyframeWanted => peer.media.request_keyframe(),
            NetEvent::VideoTarget(target) => peer.media.set_video_target(target),
            NetEvent::AudioLoss(share) => peer.media.set_audio_loss(share),
            NetEvent::SenderReport(report) => peer.media.sender_report(report),
            // Of a room with a host that forwards, which a call of two is not.
            NetEvent::ForwardedReport(..) | NetEvent::LayerKeyframeWanted(_) => {}
            NetEvent::Offline(offline) => self.face.tell(Event::Offline(offline)),
            NetEvent::Knock(guest) => self.let_in(guest).await,
            NetEvent::Reach(reach) => self.face.tell(Event::Reach(reach)),
            NetEvent::Moved => self.move_the_invite(),
            NetEvent::TurnedAway(turned) => self.happen(Happening::TurnedAway(turned)),
        }
    }

    async fn handle_message(&mut self, text: &str) {
        let Some(peer) = &mut self.peer else { return };
        match Message::from_json(text) {
            Some(Message::Hello { name, microphone_muted, camera_stopped, waiting }) => {
                peer.remote = super::RemotePeer { name, microphone_muted, camera_stopped };
                peer.greeted = true;
                peer.media.camera_stopped(camera_stopped);
                self.face.tell(Event::Remote(peer.remote.clone()));
                self.tell_view();
                self.hear_whether_we_wait(waiting);
            }
            Some(Message::Admit) => self.hear_whether_we_wait(false),
            Some(Message::Refuse) => self.happen(Happening::Refused),
            Some(Message::View { width, height, shown }) => {
                peer.media.peer_view(shown.then_some(Resolution::new(width, height)));
            }
            Some(Message::Mute { microphone_muted, camera_stopped }) => {
                peer.remote.microphone_muted = microphone_muted;
                peer.remote.camera_stopped = camera_stopped;
                peer.media.camera_stopped(camera_stopped);
                self.face.tell(Event::Remote(peer.remote.clone()));
            }
            Some(Message::Candidate { candidate }) => {
                if let Err(error) = peer.connection.add_candidate(&candidate).await {
                    tracing::debug!(%error, "a late candidate was not taken");
                }
            }
            Some(
                message @ (Message::TrustCommit { .. }
                | Message::TrustNonce { .. }
                | Message::TrustReveal { .. }),
            ) => self.handle_trust(&message),
            Some(Message::Bye) => self.happen(Happening::Bye),
            None => tracing::debug!(bytes = text.len(), "a control message was not understood"),
        }
    }

    fn handle_media(&mut self, event: MediaEvent) {
        let runs = match &event {
            MediaEvent::Opened { kind, .. } => Some((*kind, true)),
            MediaEvent::Failed { kind, .. } | MediaEvent::Stopped { kind, .. } => Some((*kind, false)),
            MediaEvent::Missing { .. }
            | MediaEvent::MicrophoneLevel(_)
            | MediaEvent::SpeaksWhileMuted
            | MediaEvent::NeedsKeyframe(_) => None,
        };
        match event {
            MediaEvent::Opened { kind, name, picture } => {
                tracing::info!(%kind, name, ?picture, "device runs");
                self.face.tell(Event::Opened { kind, name, picture });
            }
            MediaEvent::Failed { kind, error } | MediaEvent::Stopped { kind, error } => {
                tracing::info!(%kind, %error, "device");
                self.face.tell(Event::Failed { kind, error });
            }
            MediaEvent::Missing { kind, name } => {
                tracing::info!(%kind, name, "the chosen device is missing; another one stands in");
                self.face.tell(Event::Missing { kind, name });
            }
            // On its way here the microphone may have been unmuted.
            MediaEvent::SpeaksWhileMuted if !self.microphone_muted => {}
            MediaEvent::SpeaksWhileMuted => self.face.tell(Event::SpeaksWhileMuted),
            MediaEvent::MicrophoneLevel(level) => {
                self.microphone_level = level;
                self.tell_levels();
            }
            MediaEvent::NeedsKeyframe(id) => {
                if let Some(peer) = &self.peer
                    && id == peer.id
                {
                    peer.connection.request_keyframe();
                }
            }
        }
        match runs {
            Some((DeviceKind::Camera, runs)) if runs != self.camera_runs => {
                self.camera_runs = runs;
                self.say(&self.mute());
            }
            Some((DeviceKind::Microphone, runs)) if runs != self.microphone_runs => {
                self.microphone_runs = runs;
                self.say(&self.mute());
            }
            _ => {}
        }
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}
