//! The connections to a server, each with its ends of the media threads: made beside the task, looked after, closed.

use crate::net::{EarlyOffer, Link, NetConfig, NetError, NetEvent, Peer, Rest, Trickle, Way};
use crate::pipeline::{Media, MediaEvent, PeerMedia};
use crate::ports::PeerId;
use crate::settings::IceServer;
use crate::stats::PeerStats;
use crate::units::{Bitrate, Redacted};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Words of one connection under way, and of all together.
const NET_EVENTS: usize = 256;
const WORDS: usize = 1024;
/// A connection through which nothing comes for so long is of no use any more.
const LOST_AFTER: Duration = Duration::from_secs(12);

/// What is still open by then when the task ends is left behind.
const CLOSING: Duration = Duration::from_secs(2);

/// A connection: the number of its making.
pub type Serial = u64;

/// How a connection comes about.
pub enum Making {
    /// Ours is the offer.
    Offer(Way),
    /// The same, and candidates that take their time follow.
    EarlyOffer(Way),
    /// This is the server's offer of what it sends.
    Answer(Redacted<String>),
}

/// What has become of a connection.
pub enum EndEvent {
    /// Our description.
    Made(Serial, Redacted<String>),
    /// What was missing in it.
    Trickle(Serial, Trickle),
    NotMade(Serial, NetError),
    Up(Serial),
    /// Nothing comes through any more.
    Lost(Serial),
    FirstPicture(Serial),
    Device(MediaEvent),
}

enum Word {
    Made(Serial, Result<Box<Made>, NetError>),
    Trickle(Serial, Trickle),
    Net(Serial, NetEvent),
}

/// A connection, our description, and what follows it.
struct Made {
    connection: Peer,
    sdp: Redacted<String>,
    rest: Option<Rest>,
    from_net: mpsc::Receiver<NetEvent>,
}

struct End {
    name: String,
    connection: Peer,
    media: PeerMedia,
    /// Nothing has come through since then.
    down_since: Option<Instant>,
    seen: bool,
}

pub struct Ends {
    net: NetConfig,
    media: Media,
    from_media: mpsc::Receiver<MediaEvent>,
    serial: Serial,
    /// Those that are being made, with their names, and whether we send.
    making: BTreeMap<Serial, (String, bool)>,
    list: BTreeMap<Serial, End>,
    words: mpsc::Sender<Word>,
    inbox: mpsc::Receiver<Word>,
    tasks: JoinSet<()>,
}

impl Ends {
    pub fn new(net: NetConfig, media: Media, from_media: mpsc::Receiver<MediaEvent>) -> Self {
        let (words, inbox) = mpsc::channel(WORDS);
        Self {
            net,
            media,
            from_media,
            serial: 0,
            making: BTreeMap::new(),
            list: BTreeMap::new(),
            words,
            inbox,
            tasks: JoinSet::new(),
        }
    }

    /// The addresses of this machine to start from; empty: any.
    pub fn bind(&self) -> &[std::net::IpAddr] {
        &self.net.bind
    }

    pub fn max_bitrate(&self) -> Option<Bitrate> {
        self.net.max_bitrate
    }

    /// Makes a connection beside the task: gathering takes up to two seconds. `servers`: besides our own.
    pub fn begin(&mut self, name: &str, making: Making, servers: &[IceServer]) -> Serial {
        self.serial += 1;
        let serial = self.serial;
        let sends = matches!(making, Making::Offer(Way::Send) | Making::EarlyOffer(Way::Send));
        self.making.insert(serial, (name.into(), sends));
        let mut net = self.net.clone();
        net.ice_servers.extend_from_slice(servers);
        let words = self.words.clone();
        let (events, from_net) = mpsc::channel(NET_EVENTS);
        self.tasks.spawn(async move {
            let whole = |(connection, sdp)| (connection, EarlyOffer { sdp, rest: None });
            let result = match making {
                Making::Offer(way) => Peer::offer_to_server(net, way, events).await.map(whole),
                Making::EarlyOffer(way) => Peer::offer_early(net, way, events).await,
                Making::Answer(offer) => Peer::answer_server(net, &offer, events).await.map(whole),
            };
            let result = result.map(|(connection, EarlyOffer { sdp, rest })| {
                Box::new(Made { connection, sdp, rest, from_net })
            });
            // Nobody is there any more: dropping it ends the connection.
            let _ = words.send(Word::Made(serial, result)).await;
        });
        serial
    }

    /// What happens next; cancel-safe.
    pub async fn next(&mut self) -> EndEvent {
        loop {
            tokio::select! {
                Some(word) = self.inbox.recv() => {
                    if let Some(event) = self.handle(word) {
                        return event;
                    }
                }
                Some(event) = self.from_media.recv() => match event {
                    MediaEvent::NeedsKeyframe(PeerId(serial)) => {
                        if let Some(end) = self.list.get(&serial) {
                            end.connection.request_keyframe();
                        }
                    }
                    MediaEvent::MicrophoneLevel(_) | MediaEvent::SpeaksWhileMuted => {}
                    event => return EndEvent::Device(event),
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
    }

    fn handle(&mut self, word: Word) -> Option<EndEvent> {
        match word {
            Word::Made(serial, result) => match (result, self.making.remove(&serial)) {
                (Ok(made), None) => {
                    self.tasks.spawn(made.connection.close());
                    None
                }
                (Err(_), None) => None,
                (Err(error), Some(_)) => Some(EndEvent::NotMade(serial, error)),
                (Ok(made), Some((name, sends))) => {
                    Some(EndEvent::Made(serial, self.add(serial, name, sends, *made)))
                }
            },
            Word::Trickle(serial, trickle) => {
                self.list.contains_key(&serial).then_some(EndEvent::Trickle(serial, trickle))
            }
            Word::Net(serial, event) => self.handle_net(serial, event),
        }
    }

    /// Gives our description.
    fn add(&mut self, serial: Serial, name: String, sends: bool, made: Made) -> Redacted<String> {
        let Made { connection, sdp, rest, mut from_net } = made;
        let media = match sends {
            true => self.media.open_listener(PeerId(serial), connection.outlet()),
            false => self.media.open_sender(PeerId(serial)),
        };
        connection.connect(media.inlet());
        let words = self.words.clone();
        self.tasks.spawn(async move {
            while let Some(event) = from_net.recv().await {
                if words.send(Word::Net(serial, event)).await.is_err() {
                    return;
                }
            }
        });
        let end = End { name, connection, media, down_since: Some(Instant::now()), seen: false };
        self.list.insert(serial, end);
        if let Some(rest) = rest {
            let words = self.words.clone();
            self.tasks.spawn(async move {
                let _ = words.send(Word::Trickle(serial, rest.await)).await;
            });
        }
        sdp
    }

    fn handle_net(&mut self, serial: Serial, event: NetEvent) -> Option<EndEvent> {
        let end = self.list.get_mut(&serial)?;
        match event {
            NetEvent::Link(Link::Connected) => {
                end.down_since = None;
                return Some(EndEvent::Up(serial));
            }
            NetEvent::Link(Link::Closed) => return Some(EndEvent::Lost(serial)),
            NetEvent::Link(Link::Interrupted | Link::Failed) => {
                end.down_since.get_or_insert_with(Instant::now);
            }
            NetEvent::KeyframeWanted => end.media.request_keyframe(),
            NetEvent::VideoTarget(target) => end.media.set_video_target(target),
            NetEvent::AudioLoss(share) => end.media.set_audio_loss(share),
            NetEvent::SenderReport(report) => end.media.sender_report(report),
            // Words of the people's own connections.
            NetEvent::Link(Link::Connecting)
            | NetEvent::ControlOpen
            | NetEvent::Control(_)
            | NetEvent::ForwardedReport(..)
            | NetEvent::LayerKeyframeWanted(_)
            | NetEvent::Knock(_)
            | NetEvent::BrowserKnock(_)
            | NetEvent::TurnedAway(_)
            | NetEvent::Reach(_)
            | NetEvent::Moved
            | NetEvent::Offline(_) => {}
        }
        None
    }

    /// Called every now and then: what has happened without a word.
    pub fn poll(&mut self, now: Instant) -> Option<EndEvent> {
        for (serial, end) in &mut self.list {
            if end.down_since.is_some_and(|since| now.saturating_duration_since(since) >= LOST_AFTER) {
                return Some(EndEvent::Lost(*serial));
            }
            if !end.seen && end.media.picture().newest().is_some() {
                end.seen = true;
                return Some(EndEvent::FirstPicture(*serial));
            }
        }
        None
    }

    /// The server's answer to our offer; gives whether pictures pass.
    pub async fn accept(&mut self, serial: Serial, answer: &Redacted<String>) -> Result<bool, NetError> {
        match self.list.get(&serial) {
            Some(end) => end.connection.accept_server(answer).await,
            None => Ok(true),
        }
    }

    pub fn name(&self, serial: Serial) -> String {
        self.list.get(&serial).map(|end| end.name.clone()).unwrap_or_default()
    }

    /// Closes a connection beside the task, whether it is made already or not.
    pub fn drop(&mut self, serial: Serial) {
        self.making.remove(&serial);
        if let Some(end) = self.list.remove(&serial) {
            self.tasks.spawn(let_go(end));
        }
    }

    /// Of every connection, in the order they were begun.
    pub async fn stats(&mut self) -> Vec<PeerStats> {
        let mut all = Vec::new();
        for end in self.list.values() {
            let mut stats = PeerStats { name: end.name.clone(), ..PeerStats::default() };
            end.media.stats(&mut stats);
            end.connection.stats(&mut stats).await;
            // How long a lost packet may take to come again.
            let seconds = stats.candidate_pair.current_round_trip_time.clamp(0.0, 10.0);
            end.media.set_round_trip(Duration::from_secs_f64(seconds));
            all.push(stats);
        }
        all
    }

    /// Packets of pictures from this connection: those that came, and those that were lost.
    pub async fn loss(&self, serial: Serial) -> Option<(u64, i64)> {
        let end = self.list.get(&serial)?;
        let mut stats = PeerStats::default();
        end.connection.stats(&mut stats).await;
        Some((stats.inbound.video.packets_received, stats.inbound.video.packets_lost))
    }

    /// Closes all connections and devices.
    pub async fn close(mut self) {
        self.making.clear();
        for end in std::mem::take(&mut self.list).into_values() {
            self.tasks.spawn(let_go(end));
        }
        let Self { media, mut tasks, inbox, .. } = self;
        // Whoever still makes a connection finds nobody to give it to.
        drop(inbox);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING, all).await.is_err() {
            tracing::debug!("a connection took too long to close");
        }
        let _ = tokio::task::spawn_blocking(move || drop(media)).await;
    }
}

async fn let_go(end: End) {
    let End { connection, media, .. } = end;
    // Dropping the media ends joins threads: not on the task.
    let ends = tokio::task::spawn_blocking(move || drop(media));
    connection.close().await;
    let _ = ends.await;
}
