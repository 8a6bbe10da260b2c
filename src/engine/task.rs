//! The engine's task: it waits for a command, a word from the network or the media threads, or a deadline, and is
//! the only one to change the state of the call.
//!
//! ```text
//!   Task   what the program has once: settings, media, network, neighbours, page
//!    +- Room    who is in it, who is introduced to whom, open invites (`room`)
//!    +- Link    for each other person: the call with them, its connection, its codes (`link`, `door`, `fresh`, `trust`)
//! ```
//!
//! While a call goes through a server there are no links: `visit` stands in for them.

mod apply;
mod choice;
mod codes;
mod detour;
mod door;
mod exchange;
mod face;
mod fresh;
mod gestures;
mod hub;
mod link;
mod nearby;
mod network;
mod page;
mod passphrase;
mod room;
mod routes;
mod tell;
mod trust;
mod visit;
mod words;

pub use gestures::ReactionLimit;
pub use trust::TrustEnd;

use super::peer::RemoteEnd;
use super::{Command, EngineSetup, Event};
use crate::device;
use crate::pipeline::{Media, MediaEvent, Picture};
use crate::ports::PeerId;
use crate::room::call::{CallState, Happening};
use crate::room::roster::MemberId;
use crate::settings::Settings;
use face::Face;
use link::{Link, Made, Which};
use nearby::Neighbours;
use network::Network;
use ring::rand::{SecureRandom, SystemRandom};
use room::Room;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Words of one peer connection under way; statistics and levels do not go through here.
const NET_EVENTS: usize = 256;
/// Words of the media threads under way; what finds no room is a level or comes again.
const MEDIA_EVENTS: usize = 256;
/// Connections that have been made and not yet been taken; more wait beside the task.
const MADE: usize = 4;
/// The pace of levels and of looking for the first picture.
const TICK: Duration = Duration::from_millis(100);
/// The pace of statistics.
const STATS: Duration = Duration::from_secs(1);
/// While the first picture is awaited, to tell its moment well.
const FIRST_PICTURE_TICK: Duration = Duration::from_millis(10);
/// A level that has moved less than this is not told.
const LEVEL_STEP: f32 = 0.02;

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
        // One thread for all connections, besides this one: what they do takes microseconds, and a second thread costs more
        // in waking each other than it gives (a tenth of what a hub needs).
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
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
    settings: Settings,
    net: crate::net::NetConfig,
    media: Arc<Media>,
    face: Face,
    /// By what the faces call whoever is at the other end; in the order they were begun.
    links: BTreeMap<PeerId, Link>,
    room: Room,
    /// While what the others send goes through us.
    hub: Option<hub::Hub>,
    /// A link, the ruling or what is drawn may have changed.
    stirred: bool,
    /// Of whom a hub is to be asked for a keyframe.
    keyframes: Vec<(PeerId, MemberId)>,
    /// Replies of introductions that are to be taken.
    replies: Vec<(MemberId, String)>,
    /// Counts the links, so that no two people of a run have the same id.
    people: u64,
    /// Counts the peer connections begun.
    attempts: u64,
    /// Whoever was heard last.
    turn: PeerId,
    made: mpsc::Sender<Made>,
    made_inbox: mpsc::Receiver<Made>,
    /// Where the call stands when there is no link, as the faces were told, and since when there is one.
    rest: CallState,
    told: CallState,
    since: Option<Instant>,
    started: Instant,
    passphrase: Option<crate::units::Redacted<String>>,
    network: Network,
    page: Option<page::Page>,
    closing: tokio::task::JoinSet<()>,
    microphone_muted: bool,
    camera_stopped: bool,
    hand_raised: bool,
    camera_runs: bool,
    microphone_runs: bool,
    microphone_level: f32,
    told_level: f32,
    neighbours: Neighbours,
    choosing: choice::Choosing,
}

impl Task {
    fn new(settings: Settings, net: crate::net::NetConfig, media: Media, face: Face) -> Self {
        let (made, made_inbox) = mpsc::channel(MADE);
        let choosing = choice::Choosing::new(settings.topology);
        Self {
            settings,
            net,
            media: Arc::new(media),
            face,
            links: BTreeMap::new(),
            room: Room::new(),
            hub: None,
            stirred: false,
            keyframes: Vec::new(),
            replies: Vec::new(),
            people: 0,
            attempts: 0,
            turn: PeerId(0),
            made,
            made_inbox,
            rest: CallState::Idle,
            told: CallState::Idle,
            since: None,
            started: Instant::now(),
            passphrase: None,
            network: Network::new(),
            page: None,
            closing: tokio::task::JoinSet::new(),
            microphone_muted: false,
            camera_stopped: false,
            hand_raised: false,
            camera_runs: false,
            microphone_runs: false,
            microphone_level: 0.0,
            told_level: 0.0,
            neighbours: Neighbours::default(),
            choosing,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut from_media: mpsc::Receiver<MediaEvent>) {
        let mut next_tick = Instant::now() + TICK;
        let mut next_stats = Instant::now();
        self.net.port_mapping.prepare();
        self.network.follow(&self.net);
        loop {
            self.take_replies().await;
            self.tend_streams().await;
            let is_up = |link: &&Link| {
                let state = link.call.state();
                link.peer.is_some() && (state.in_call() || matches!(state, CallState::Lobby { .. }))
            };
            let in_call = self.links.values().any(|link| is_up(&link));
            let unseen = |link: &Link| link.peer.as_ref().is_some_and(|peer| !peer.seen);
            let awaiting_picture = self.links.values().filter(is_up).any(unseen);
            let deadline = self.links.values().filter_map(|link| link.call.deadline()).min();
            let roster_at = self.room.roster.deadline();
            let look_at = self.network.look_at;
            let fresh_until = self.links.values().filter_map(|link| link.fresh.as_ref()?.until).min();
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Quit) | None => break,
                    Some(Command::Visit(goal)) => {
                        if self.visit(*goal, &mut inbox, &mut from_media).await.is_break() {
                            break;
                        }
                    }
                    Some(command) => self.handle_command(command).await,
                },
                Some(event) = from_media.recv() => self.handle_media(event),
                (id, which, event) = link::next_of(&mut self.links, &mut self.turn) => match which {
                    Which::First => self.handle_net(id, event).await,
                    Which::Fresh => self.handle_fresh(id, event).await,
                },
                heard = nearby::next_of(&mut self.neighbours) => self.handle_nearby(heard).await,
                Some(event) = page::next_of(&mut self.page), if self.page.is_some() => {
                    self.handle_page(event).await;
                }
                event = hub::next_of(&mut self.hub) => self.hear_relay(event).await,
                Some(made) = self.made_inbox.recv() => self.handle_made(made),
                Some(_) = self.closing.join_next(), if !self.closing.is_empty() => {}
                Some(word) = self.network.next() => self.handle_word(word),
                () = until(deadline), if deadline.is_some() => self.time_out_all().await,
                () = until(roster_at), if roster_at.is_some() => {
                    self.room.roster.handle_time(Instant::now());
                    self.settle_room();
                }
                () = until(look_at), if look_at.is_some() => self.look_at_connecting().await,
                () = until(fresh_until), if fresh_until.is_some() => self.drop_old_fresh(),
                () = until(Some(next_tick)), if in_call => {
                    let now = Instant::now();
                    next_tick = now + if awaiting_picture { FIRST_PICTURE_TICK } else { TICK };
                    self.tick();
                    self.stirred = true;
                    if now >= next_stats {
                        next_stats = now + STATS;
                        self.look_for_lost();
                        self.tend_detours().await;
                        self.tell_stats().await;
                        self.measure();
                    }
                }
            }
        }
        self.end_all(Happening::HangUp);
        while self.closing.join_next().await.is_some() {}
        let Self { media, face, .. } = self;
        let _ = tokio::task::spawn_blocking(move || drop(media)).await;
        face.tell(Event::Gone);
    }

    /// What goes where, after whatever may have changed it.
    async fn tend_streams(&mut self) {
        self.ask_hubs_for_keyframes().await;
        if std::mem::take(&mut self.stirred) {
            self.tend_routes();
            self.take_early_offers().await;
            self.tend_hub().await;
            self.tend_layers().await;
            self.describe_news().await;
        }
    }

    async fn time_out_all(&mut self) {
        let now = Instant::now();
        let is_due = |link: &Link| link.call.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<_> = self.links.iter().filter(|(_, link)| is_due(link)).map(|(id, _)| *id).collect();
        for id in due {
            self.time_out(id).await;
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
            Command::MuteMicrophone(muted) => self.mute_microphone(muted),
            Command::StopCamera(stopped) => {
                self.camera_stopped = stopped;
                self.media.stop_camera(stopped);
                self.tell_switches();
            }
            Command::Admit(id, admit) => self.answer_the_door(id, admit),
            Command::Invite(wanted) => self.invite(wanted),
            Command::Lock(locked) => self.lock(locked),
            Command::MuteGuest(id) => self.mute_guest(id),
            Command::Remove(id) => self.remove_guest(id),
            Command::Topology(choice) => self.choose_topology(choice),
            Command::GuestWay(id, choice) => self.choose_for(id, choice),
            Command::HangUp => self.end_all(Happening::HangUp),
            Command::Dismiss => self.dismiss(),
            Command::Apply(settings) => self.apply(*settings),
            Command::ListDevices => {
                let face = self.face.clone();
                self.closing.spawn(async move {
                    if let Ok(devices) = tokio::task::spawn_blocking(device::list).await {
                        face.tell(Event::Devices(Box::new(devices)));
                    }
                });
            }
            Command::View(id, drawn) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.view = Some(drawn);
                    self.tell_view(id);
                }
            }
            Command::Hand(_) | Command::React(_) | Command::Volume(..) => self.gesture(&command),
            // They are heard before they come here.
            Command::Quit | Command::Visit(_) => {}
        }
    }

    fn dismiss(&mut self) {
        if self.links.is_empty() {
            self.rest = CallState::Idle;
            self.tell_state();
        } else {
            self.end_all(Happening::Dismiss);
        }
    }
}

/// What we go by in rooms.
fn random_id() -> MemberId {
    let mut id = [0; 8];
    SystemRandom::new().fill(&mut id).expect("the operating system gives random numbers");
    MemberId(id)
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}
