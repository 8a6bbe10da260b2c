//! A room of Janus: the shell of [`Janus`]. One connection sends, one receives from everybody.

use super::ends::{EndEvent, Making, Serial};
use super::{Dialogue, End, Person, Standing, Stay};
use crate::engine::{Event, Presence, RemotePeer};
use crate::net::{SocketEvent, Stands, Way, WebError, WebSocket};
use crate::ports::PeerId;
use crate::server::RoomAddress;
use crate::server::janus::{Happening, Id, Janus, Note, Output, Wishes};
use crate::server::layers::Layers;
use crate::units::{Redacted, Resolution};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Without this word Janus' WebSockets carry nothing.
const PROTOCOL: &str = "janus-protocol";
/// What we send has the server's name in the statistics.
const SERVER: &str = "server";
/// What a word of the server about losses counts as, in shares.
const SLOW: f64 = 0.1;
/// The server does not say whose camera is off. One that nothing comes from for so long is.
const CAMERA_OFF: Duration = Duration::from_secs(3);

/// Somebody who sends.
struct Member {
    person: Person,
    has_picture: bool,
    /// Since when nothing of their picture has come that should have.
    still_since: Option<Instant>,
    layers: Layers,
    /// Packets of it that came and that were lost, when it was last looked.
    counted: (u64, i64),
    /// Nobody looks at their picture, and the server knows.
    hidden: bool,
    /// The server is away, and they may be there again when it is back.
    away: bool,
    told: Option<RemotePeer>,
}

impl Member {
    /// What they are called in a description.
    fn mark(&self) -> String {
        self.person.id.0.to_string()
    }

    fn remote(&self, now: Instant) -> RemotePeer {
        let is_still = |since: Instant| now.saturating_duration_since(since) >= CAMERA_OFF;
        RemotePeer {
            name: self.person.name.clone(),
            camera_stopped: !self.has_picture || self.still_since.is_some_and(is_still),
            presence: if self.away { Presence::Away } else { Presence::Here },
            ..RemotePeer::default()
        }
    }
}

/// What the server, or the way to it, says.
pub enum Heard {
    Socket(Option<SocketEvent>),
    Dialled(Result<WebSocket, WebError>),
}

pub struct Room {
    address: RoomAddress,
    janus: Janus,
    socket: Option<WebSocket>,
    dialling: Option<JoinHandle<Result<WebSocket, WebError>>>,
    /// What our own picture and sound count as.
    server: Person,
    /// The connection that sends.
    out: Option<Serial>,
    /// The one that receives, and who stands in its last description.
    into: Option<Serial>,
    standing: BTreeSet<Id>,
    members: BTreeMap<Id, Member>,
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is queued, the farewell above all, is sent when the socket is dropped.
        self.dialling.iter().for_each(JoinHandle::abort);
    }
}

impl Room {
    pub fn new(
        stay: &mut Stay,
        address: RoomAddress,
        name: String,
        pin: Option<Redacted<String>>,
        token: Option<Redacted<String>>,
        create: bool,
    ) -> Self {
        let wishes = Wishes { name, pin, token, create, max_bitrate: stay.ends.max_bitrate() };
        Self {
            janus: Janus::new(address.room.clone(), wishes),
            address,
            socket: None,
            dialling: None,
            server: stay.person(SERVER),
            out: None,
            into: None,
            standing: BTreeSet::new(),
            members: BTreeMap::new(),
        }
    }

    fn close_socket(&mut self, now: Instant, why: &str) {
        self.socket = None;
        self.janus.handle_closed(now, why);
    }

    fn dial(&mut self, stay: &Stay) {
        let (target, url) = (self.address.target(), self.address.url().to_owned());
        let bind = stay.ends.bind().to_vec();
        self.dialling =
            Some(tokio::spawn(async move { WebSocket::open(&target, &url, PROTOCOL, &bind).await }));
    }

    async fn happen(&mut self, stay: &mut Stay, happening: Happening) {
        let now = Instant::now();
        match happening {
            Happening::Joined => stay.enter(Standing::Connected),
            Happening::OfferWanted => {
                self.out.take().into_iter().for_each(|old| stay.ends.drop(old));
                let making = Making::Offer(Way::SendLayered, self.server.clone());
                self.out = Some(stay.ends.begin(making, &[]));
            }
            Happening::Answer(answer) => {
                let Some(out) = self.out else { return };
                match stay.ends.accept(out, &answer).await {
                    Ok(true) => {}
                    Ok(false) => stay.tell(Event::Note(Note::NoPictures.to_string())),
                    Err(error) => stay.fail(error.to_string()),
                }
            }
            Happening::Member { id, name, has_picture } => {
                let member = self.members.entry(id).or_insert_with(|| Member {
                    person: stay.person(&name),
                    has_picture,
                    still_since: None,
                    layers: Layers::new(now),
                    counted: (0, 0),
                    hidden: false,
                    away: true,
                    told: None,
                });
                member.has_picture = has_picture;
                member.still_since = None;
                // Whose picture has stood here all the time keeps the size that the server was asked for.
                if std::mem::take(&mut member.away) {
                    member.layers.begin_again(now);
                }
                tell(stay, now, member);
            }
            Happening::Offer { sdp, sections, is_new } => self.take_offer(stay, sdp, sections, is_new).await,
            Happening::Gone(id) => {
                if let Some(member) = self.members.remove(&id) {
                    self.let_go(stay, &member);
                }
            }
            Happening::Unsubscribed => self.unsubscribe(stay),
            Happening::Slow(id) => self.judge(now, &id, SLOW),
            Happening::Note(note) => stay.tell(Event::Note(note.to_string())),
            Happening::Interrupted => {
                stay.enter(Standing::Reconnecting);
                self.out.take().into_iter().for_each(|old| stay.ends.drop(old));
                self.unsubscribe(stay);
                for member in self.members.values_mut() {
                    member.away = true;
                    tell(stay, now, member);
                }
            }
            Happening::Left => stay.end = Some(End::Left),
            Happening::Ended(refusal) => stay.fail(refusal),
        }
    }

    async fn take_offer(
        &mut self,
        stay: &mut Stay,
        sdp: Redacted<String>,
        sections: Vec<(String, Id)>,
        is_new: bool,
    ) {
        let marked = |(mid, id): &(String, Id)| Some((mid.clone(), self.members.get(id)?.mark()));
        let stands: Stands = sections.iter().filter_map(marked).collect();
        self.standing = sections.into_iter().map(|(_, id)| id).collect();
        match self.into.filter(|_| !is_new) {
            None => {
                let old = self.into.replace(stay.ends.begin(Making::Answer(sdp, stands), &[]));
                old.into_iter().for_each(|old| stay.ends.drop(old));
            }
            Some(into) => match stay.ends.answer_again(into, &sdp, &stands).await {
                Ok(answer) => self.answer(stay, &answer),
                Err(error) => {
                    tracing::info!(%error, "the members cannot be received");
                    self.renew(stay);
                }
            },
        }
    }

    /// Our side of the connection that receives is described: everybody who stands in it is played.
    fn answer(&mut self, stay: &mut Stay, answer: &Redacted<String>) {
        let now = Instant::now();
        self.janus.answer(now, answer);
        let Some(into) = self.into else { return };
        for id in &self.standing {
            let Some(member) = self.members.get(id) else { continue };
            if let Some(picture) = stay.ends.place(into, &member.mark(), &member.person) {
                stay.tell(Event::Picture(member.person.id, Some(picture)));
            }
            if member.hidden {
                self.janus.show(now, id, false);
            }
            // Who was drawn small before they stood here. A server starts with the largest.
            if member.layers.asked() < Layers::new(now).asked() {
                self.janus.choose_layer(now, id, member.layers.asked());
            }
        }
    }

    /// The connection that receives is gone.
    fn unsubscribe(&mut self, stay: &mut Stay) {
        self.standing.clear();
        let Some(into) = self.into.take() else { return };
        stay.ends.drop(into);
        for member in self.members.values_mut() {
            (member.counted, member.still_since) = ((0, 0), None);
            stay.tell(Event::Picture(member.person.id, None));
        }
    }

    fn renew(&mut self, stay: &mut Stay) {
        self.unsubscribe(stay);
        self.janus.renew(Instant::now());
    }

    fn let_go(&self, stay: &mut Stay, member: &Member) {
        if let Some(into) = self.into {
            stay.ends.displace(into, &member.mark());
        }
        stay.tell(Event::Picture(member.person.id, None));
        stay.tell(Event::Left(member.person.id));
    }

    fn judge(&mut self, now: Instant, id: &Id, lost: f64) {
        let layer = self.members.get_mut(id).and_then(|member| member.layers.handle_loss(now, lost));
        if let Some(layer) = layer {
            self.janus.choose_layer(now, id, layer);
        }
    }
}

/// What is new about somebody.
fn tell(stay: &mut Stay, now: Instant, member: &mut Member) {
    let remote = member.remote(now);
    if member.told.as_ref() == Some(&remote) {
        return;
    }
    if member.told.as_ref().is_some_and(|told| told.camera_stopped != remote.camera_stopped) {
        stay.ends.with_media(member.person.id, |media| media.camera_stopped(remote.camera_stopped));
    }
    member.told = Some(remote.clone());
    stay.tell(Event::Remote(member.person.id, remote));
}

impl Dialogue for Room {
    type Heard = Heard;

    async fn carry_out(&mut self, stay: &mut Stay) {
        let was_away = stay.standing == Standing::Reconnecting;
        while let Some(output) = self.janus.poll_output() {
            match output {
                Output::Dial => self.dial(stay),
                Output::Send(text) => {
                    let is_sent = self.socket.as_ref().is_some_and(|socket| socket.send(text));
                    if !is_sent {
                        self.close_socket(Instant::now(), "The server takes nothing any more.");
                    }
                }
                Output::HangUp => {
                    self.socket = None;
                    if let Some(dialling) = self.dialling.take() {
                        dialling.abort();
                    }
                }
                Output::Tell(happening) => self.happen(stay, happening).await,
            }
        }
        if was_away && stay.standing == Standing::Connected {
            // The server has said who is there: the others have left meanwhile.
            let (away, here) =
                std::mem::take(&mut self.members).into_iter().partition(|(_, member)| member.away);
            let away: BTreeMap<Id, Member> = away;
            self.members = here;
            away.values().for_each(|member| self.let_go(stay, member));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.janus.deadline()
    }

    fn handle_deadline(&mut self, now: Instant) {
        self.janus.handle_deadline(now);
    }

    async fn hear(&mut self) -> Heard {
        match (&mut self.dialling, &mut self.socket) {
            (Some(dialled), _) => match dialled.await {
                Ok(dialled) => Heard::Dialled(dialled),
                // It was aborted, and with it forgotten.
                Err(_) => std::future::pending().await,
            },
            (None, Some(socket)) => Heard::Socket(socket.next().await),
            (None, None) => std::future::pending().await,
        }
    }

    fn handle_heard(&mut self, now: Instant, heard: Heard) {
        match heard {
            Heard::Socket(Some(SocketEvent::Text(text))) => self.janus.handle_text(now, &text.0),
            Heard::Socket(Some(SocketEvent::Closed(why))) => self.close_socket(now, &why),
            Heard::Socket(None) => self.close_socket(now, "The connection to the server broke."),
            Heard::Dialled(dialled) => {
                self.dialling = None;
                match dialled {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.janus.handle_opened(now);
                    }
                    Err(error) => self.janus.handle_closed(now, &error.to_string()),
                }
            }
        }
    }

    fn handle_end(&mut self, now: Instant, stay: &mut Stay, event: EndEvent) {
        match event {
            EndEvent::Made(serial, sdp) if self.out == Some(serial) => self.janus.publish(now, &sdp),
            EndEvent::Made(serial, sdp) if self.into == Some(serial) => self.answer(stay, &sdp),
            EndEvent::NotMade(serial, error) if self.out == Some(serial) => {
                self.out = None;
                stay.fail(error.to_string());
            }
            EndEvent::NotMade(serial, error) if self.into == Some(serial) => {
                tracing::info!(%error, "the members cannot be received");
                self.renew(stay);
            }
            EndEvent::Lost(serial) if self.out == Some(serial) => {
                stay.ends.drop(serial);
                self.out = None;
                self.janus.renew_own(now);
            }
            EndEvent::Lost(serial) if self.into == Some(serial) => self.renew(stay),
            // Of a connection that is not wanted any more.
            EndEvent::Made(serial, _) | EndEvent::NotMade(serial, _) | EndEvent::Lost(serial) => {
                stay.ends.drop(serial);
            }
            EndEvent::Up(_) | EndEvent::Trickle(..) => {}
        }
    }

    /// From what came and what got lost in the last second.
    fn look_after(&mut self, now: Instant, stay: &mut Stay) {
        let Some(into) = self.into else { return };
        let mut losses = Vec::new();
        for (id, member) in &mut self.members {
            let Some(counted) = stay.ends.loss(into, &member.mark()) else { continue };
            let before = std::mem::replace(&mut member.counted, counted);
            let came = counted.0.saturating_sub(before.0) as f64;
            let lost = counted.1.saturating_sub(before.1).max(0) as f64;
            if came + lost > 0.0 {
                losses.push((id.clone(), lost / (came + lost)));
            }
            let is_still = came == 0.0 && counted.0 > 0 && !member.hidden;
            member.still_since = is_still.then(|| member.still_since.unwrap_or(now));
            tell(stay, now, member);
        }
        losses.into_iter().for_each(|(id, lost)| self.judge(now, &id, lost));
    }

    fn show(&mut self, now: Instant, stay: &mut Stay, id: PeerId, drawn: Option<Resolution>) {
        let Some((feed, member)) = self.members.iter_mut().find(|(_, member)| member.person.id == id) else {
            return;
        };
        if let Some(layer) = drawn.and_then(|drawn| member.layers.handle_drawn(now, drawn)) {
            self.janus.choose_layer(now, feed, layer);
        }
        if member.hidden == drawn.is_none() {
            return;
        }
        (member.hidden, member.still_since) = (drawn.is_none(), None);
        stay.ends.with_media(id, |media| media.set_shown(drawn.is_some()));
        self.janus.show(now, feed, drawn.is_some());
    }

    fn leave(&mut self, now: Instant) {
        self.janus.leave(now);
    }
}
