//! The connections to a server, and who stands in each of them with their ends of the media threads: made beside the
//! task, looked after, closed.

use super::Person;
use crate::engine::peer::quality;
use crate::engine::{PictureHandle, Quality};
use crate::net::{EarlyOffer, Link, NetConfig, NetError, NetEvent, Peer, Rest, Stands, Trickle, Way};
use crate::pipeline::{Division, Media, PeerMedia};
use crate::ports::PeerId;
use crate::settings::IceServer;
use crate::stats::PeerStats;
use crate::units::{Bitrate, Redacted};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Words of one connection under way, and of all together.
const NET_EVENTS: usize = 256;
const WORDS: usize = 1024;
/// A connection through which nothing comes for so long is of no use any more.
const LOST_AFTER: Duration = Duration::from_secs(12);

/// What a server is taken to have room for until there are reports.
const FIRST: Bitrate = Bitrate::from_kbps(1200);

/// What is still open by then when the task ends is left behind.
const CLOSING: Duration = Duration::from_secs(2);

/// A connection, or somebody's ends of the media threads: the number of its making.
pub type Serial = u64;

/// How a connection comes about.
pub enum Making {
    /// Ours is the offer; this is who stands at its other end.
    Offer(Way, Person),
    /// The same, and candidates that take their time follow.
    EarlyOffer(Way, Person),
    /// This is the server's offer of what it sends, and who stands where in it; see [`Ends::place`].
    Answer(Redacted<String>, Stands),
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
    connection: Peer,
    /// Who sends to us or gets what we send, if that is one alone.
    only: Option<Stand>,
    /// Who else stands in its sections, by the names that they have there.
    stands: BTreeMap<String, Stand>,
    /// Our picture goes out in several sizes.
    division: Option<Division>,
    /// Nothing has come through since then.
    down_since: Option<Instant>,
}

/// Somebody's ends of the media threads.
struct Stand {
    person: Person,
    /// What the media threads call them.
    serial: Serial,
    media: PeerMedia,
    /// They send to us.
    sends: bool,
    seen: bool,
    last: PeerStats,
}

impl End {
    /// What the connection has room for.
    fn divide(&mut self, target: Bitrate) {
        let Some(stand) = &self.only else { return };
        let Some(division) = &mut self.division else { return stand.media.set_video_target(target) };
        let (main, layers) = division.divide(target);
        stand.media.set_video_target(main);
        layers.into_iter().for_each(|(layer, wanted)| stand.media.want_layer(layer, wanted));
    }

    fn all(&self) -> impl Iterator<Item = &Stand> {
        self.only.iter().chain(self.stands.values())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Stand> {
        self.only.iter_mut().chain(self.stands.values_mut())
    }
}

pub struct Ends {
    net: NetConfig,
    media: Arc<Media>,
    serial: Serial,
    /// Those that are being made, with who stands there, if that is one alone, and whether they send to us.
    making: BTreeMap<Serial, Option<(Person, bool)>>,
    list: BTreeMap<Serial, End>,
    words: mpsc::Sender<Word>,
    inbox: mpsc::Receiver<Word>,
    tasks: JoinSet<()>,
}

impl Ends {
    /// `serial`: numbers up to this one are in use.
    pub fn new(net: NetConfig, media: Arc<Media>, serial: Serial) -> Self {
        let (words, inbox) = mpsc::channel(WORDS);
        let (making, list) = (BTreeMap::new(), BTreeMap::new());
        Self { net, media, serial, making, list, words, inbox, tasks: JoinSet::new() }
    }

    /// The number that was given last.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// The addresses of this machine to start from; empty: any.
    pub fn bind(&self) -> &[std::net::IpAddr] {
        &self.net.bind
    }

    pub fn max_bitrate(&self) -> Option<Bitrate> {
        self.net.max_bitrate
    }

    /// Makes a connection beside the task: gathering takes up to two seconds. `servers`: besides our own.
    pub fn begin(&mut self, making: Making, servers: &[IceServer]) -> Serial {
        self.serial += 1;
        let serial = self.serial;
        let only = match &making {
            Making::Offer(way, person) | Making::EarlyOffer(way, person) => {
                Some((person.clone(), *way == Way::Receive))
            }
            Making::Answer(..) => None,
        };
        self.making.insert(serial, only);
        let mut net = self.net.clone();
        net.ice_servers.extend_from_slice(servers);
        let words = self.words.clone();
        let (events, from_net) = mpsc::channel(NET_EVENTS);
        self.tasks.spawn(async move {
            let whole = |(connection, sdp)| (connection, EarlyOffer { sdp, rest: None });
            let result = match making {
                Making::Offer(way, _) => Peer::offer_to_server(net, way, events).await.map(whole),
                Making::EarlyOffer(way, _) => Peer::offer_early(net, way, events).await,
                Making::Answer(offer, stands) => {
                    Peer::answer_server(net, &offer, &stands, events).await.map(whole)
                }
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
                (Ok(made), Some(only)) => Some(EndEvent::Made(serial, self.add(serial, only, *made))),
            },
            Word::Trickle(serial, trickle) => {
                self.list.contains_key(&serial).then_some(EndEvent::Trickle(serial, trickle))
            }
            Word::Net(serial, event) => self.handle_net(serial, event),
        }
    }

    /// Gives our description.
    fn add(&mut self, serial: Serial, only: Option<(Person, bool)>, made: Made) -> Redacted<String> {
        let Made { connection, sdp, rest, mut from_net } = made;
        let only = only.map(|(person, sends)| {
            let media = match sends {
                true => self.media.open_sender(PeerId(serial)),
                false => self.media.open_listener(PeerId(serial), connection.outlet()),
            };
            connection.connect(media.inlet());
            Stand { person, serial, media, sends, seen: false, last: PeerStats::default() }
        });
        let words = self.words.clone();
        self.tasks.spawn(async move {
            while let Some(event) = from_net.recv().await {
                if words.send(Word::Net(serial, event)).await.is_err() {
                    return;
                }
            }
        });
        let (stands, down_since) = (BTreeMap::new(), Some(Instant::now()));
        let end = End { connection, only, stands, division: None, down_since };
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
        let only = end.only.as_ref().map(|stand| &stand.media);
        match event {
            NetEvent::Link(Link::Connected) => {
                end.down_since = None;
                return Some(EndEvent::Up(serial));
            }
            NetEvent::Link(Link::Closed) => return Some(EndEvent::Lost(serial)),
            NetEvent::Link(Link::Interrupted | Link::Failed) => {
                end.down_since.get_or_insert_with(Instant::now);
            }
            NetEvent::KeyframeWanted => only.into_iter().for_each(PeerMedia::request_keyframe),
            NetEvent::VideoTarget(target) => end.divide(target),
            NetEvent::LayerKeyframeWanted(layer) => {
                only.into_iter().for_each(|media| media.request_layer_keyframe(layer));
            }
            NetEvent::AudioLoss(share) => only.into_iter().for_each(|media| media.set_audio_loss(share)),
            NetEvent::SenderReport(report) => only.into_iter().for_each(|media| media.sender_report(report)),
            NetEvent::ForwardedReport(name, report) => {
                if let Some(stand) = end.stands.get(&name) {
                    stand.media.sender_report(report);
                }
            }
            // Words of the people's own connections.
            NetEvent::Link(Link::Connecting)
            | NetEvent::ControlOpen
            | NetEvent::ControlClosed
            | NetEvent::Control(_)
            | NetEvent::Knock(_)
            | NetEvent::BrowserKnock(_)
            | NetEvent::TurnedAway(_)
            | NetEvent::Reach(_)
            | NetEvent::Moved
            | NetEvent::Offline(_) => {}
        }
        None
    }

    /// Called every now and then: a connection that is lost without a word.
    pub fn poll_lost(&self, now: Instant) -> Option<Serial> {
        let is_lost = |end: &End| {
            end.down_since.is_some_and(|since| now.saturating_duration_since(since) >= LOST_AFTER)
        };
        self.list.iter().find(|(_, end)| is_lost(end)).map(|(serial, _)| *serial)
    }

    /// Whose first picture has come since the last time.
    pub fn poll_seen(&mut self) -> Option<PeerId> {
        let mut stands = self.list.values_mut().flat_map(End::all_mut);
        let stand = stands.find(|stand| !stand.seen && stand.media.picture().newest().is_some())?;
        stand.seen = true;
        Some(stand.person.id)
    }

    /// The server's answer to our offer; gives whether pictures pass.
    pub async fn accept(&mut self, serial: Serial, answer: &Redacted<String>) -> Result<bool, NetError> {
        let Some(end) = self.list.get_mut(&serial) else { return Ok(true) };
        let taken = end.connection.accept_server(answer).await?;
        if taken.layers && end.division.is_none() {
            end.division = Some(Division::default());
            for (media, (layer, frames)) in end
                .only
                .iter()
                .flat_map(|stand| end.connection.layers().iter().map(|layer| (&stand.media, layer)))
            {
                media.add_layer(*layer, frames.clone());
            }
            end.divide(FIRST);
        }
        Ok(taken.picture)
    }

    /// Our answer to another description of a connection that receives.
    pub async fn answer_again(
        &self,
        serial: Serial,
        offer: &Redacted<String>,
        stands: &Stands,
    ) -> Result<Redacted<String>, NetError> {
        match self.list.get(&serial) {
            Some(end) => end.connection.answer_again(offer, stands).await,
            None => Err(NetError::Internal("the connection is gone".into())),
        }
    }

    /// Somebody stands in this connection by this name: their packets are played from now on. `None`: they did before.
    pub fn place(&mut self, serial: Serial, name: &str, person: &Person) -> Option<PictureHandle> {
        let end = self.list.get_mut(&serial).filter(|end| !end.stands.contains_key(name))?;
        self.serial += 1;
        let media = self.media.open_sender(PeerId(self.serial));
        end.connection.connect_forwarded(name, Some(media.inlet()));
        media.request_keyframe();
        let picture = PictureHandle(media.picture());
        let person = person.clone();
        let last = PeerStats::default();
        let stand = Stand { person, serial: self.serial, media, sends: true, seen: false, last };
        end.stands.insert(name.into(), stand);
        Some(picture)
    }

    /// They do no longer.
    pub fn displace(&mut self, serial: Serial, name: &str) {
        let Some(end) = self.list.get_mut(&serial) else { return };
        if let Some(stand) = end.stands.remove(name) {
            end.connection.connect_forwarded(name, None);
            self.tasks.spawn(async move { drop(tokio::task::spawn_blocking(move || drop(stand)).await) });
        }
    }

    /// The pictures of whoever is alone at the other end.
    pub fn picture(&self, serial: Serial) -> Option<PictureHandle> {
        let only = self.list.get(&serial)?.only.as_ref()?;
        Some(PictureHandle(only.media.picture()))
    }

    /// What the media threads of this person do.
    pub fn with_media(&self, id: PeerId, act: impl Fn(&PeerMedia)) {
        let stands = self.list.values().flat_map(End::all);
        stands.filter(|stand| stand.person.id == id).for_each(|stand| act(&stand.media));
    }

    /// The media threads cannot go on with what they have of this one.
    pub async fn request_keyframe(&self, PeerId(serial): PeerId) {
        for end in self.list.values() {
            if end.only.as_ref().is_some_and(|stand| stand.serial == serial) {
                return end.connection.request_keyframe();
            }
            if let Some((name, _)) = end.stands.iter().find(|(_, stand)| stand.serial == serial) {
                return end.connection.request_forwarded_keyframe(name).await;
            }
        }
    }

    /// Closes a connection beside the task, whether it is made already or not.
    pub fn drop(&mut self, serial: Serial) {
        self.making.remove(&serial);
        if let Some(end) = self.list.remove(&serial) {
            self.tasks.spawn(let_go(end));
        }
    }

    /// How loud everybody is who sends to us.
    pub fn levels(&self) -> Vec<(PeerId, f32)> {
        let stands = self.list.values().flat_map(End::all).filter(|stand| stand.sends);
        stands.map(|stand| (stand.person.id, stand.media.level())).collect()
    }

    /// Of everybody, in the order in which they came; and what comes of it in one word.
    pub async fn stats(&mut self) -> Vec<(PeerId, PeerStats, Quality)> {
        let mut all = Vec::new();
        for end in self.list.values_mut() {
            let mut stats = PeerStats::default();
            end.only.iter().for_each(|stand| stand.media.stats(&mut stats));
            end.connection.stats(&mut stats).await;
            let path = stats.candidate_pair.clone();
            if let Some(stand) = &end.only {
                all.push((stand.person.id, stats));
            }
            for (name, stand) in &end.stands {
                let mut stats = PeerStats { candidate_pair: path.clone(), ..PeerStats::default() };
                stand.media.stats(&mut stats);
                end.connection.forwarded_stats(name, &mut stats);
                all.push((stand.person.id, stats));
            }
            // How long a lost packet may take to come again.
            let round_trip = Duration::from_secs_f64(path.current_round_trip_time.clamp(0.0, 10.0));
            end.all().for_each(|stand| stand.media.set_round_trip(round_trip));
        }
        let mut rated = Vec::with_capacity(all.len());
        for (id, mut stats) in all {
            let mut stands = self.list.values_mut().flat_map(End::all_mut);
            let Some(stand) = stands.find(|stand| stand.person.id == id) else { continue };
            stats.name.clone_from(&stand.person.name);
            let quality = stand.rate(&stats);
            rated.push((id, stats, quality));
        }
        rated
    }

    /// Packets of a picture in this connection: those that came, and those that were lost.
    pub fn loss(&self, serial: Serial, name: &str) -> Option<(u64, i64)> {
        self.list.get(&serial)?.connection.forwarded_loss(name)
    }

    /// Closes all connections.
    pub async fn close(mut self) {
        self.making.clear();
        for end in std::mem::take(&mut self.list).into_values() {
            self.tasks.spawn(let_go(end));
        }
        let Self { mut tasks, inbox, .. } = self;
        // Whoever still makes a connection finds nobody to give it to.
        drop(inbox);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING, all).await.is_err() {
            tracing::debug!("a connection took too long to close");
        }
    }
}

impl Stand {
    /// Of who sends nothing at the moment, nothing can be said.
    fn rate(&mut self, now: &PeerStats) -> Quality {
        let before = std::mem::replace(&mut self.last, now.clone());
        let packets =
            |stats: &PeerStats| stats.inbound.video.packets_received + stats.inbound.audio.packets_received;
        if before == PeerStats::default() || packets(&before) == packets(now) {
            return Quality::Unknown;
        }
        quality(&before, now)
    }
}

async fn let_go(end: End) {
    let End { connection, only, stands, .. } = end;
    // Dropping the media ends joins threads: not on the task.
    let ends = tokio::task::spawn_blocking(move || drop((only, stands)));
    connection.close().await;
    let _ = ends.await;
}
