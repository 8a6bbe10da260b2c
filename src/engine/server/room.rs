//! A room of Janus: the shell of [`Janus`].

use super::ends::{EndEvent, Making, Serial};
use super::{Frame, ServerEnd, ServerEvent, ServerState, TICK, told_to_leave, until};
use crate::net::{SocketEvent, Way, WebError, WebSocket};
use crate::server::RoomAddress;
use crate::server::janus::{Happening, Id, Janus, Note, Output, Wishes};
use crate::server::layers::Layers;
use crate::units::Redacted;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Without this word Janus' WebSockets carry nothing.
const PROTOCOL: &str = "janus-protocol";
/// What we send has the server's name in the statistics.
const SERVER: &str = "server";
/// What a word of the server about losses counts as, in shares.
const SLOW: f64 = 0.1;

/// Somebody who sends.
struct Member {
    name: String,
    connection: Option<Serial>,
    layers: Layers,
    /// Packets that came and that were lost, when it was last looked.
    counted: (u64, i64),
}

struct Task {
    frame: Frame,
    address: RoomAddress,
    janus: Janus,
    socket: Option<WebSocket>,
    dialling: Option<JoinHandle<Result<WebSocket, WebError>>>,
    /// The connection that sends.
    out: Option<Serial>,
    members: BTreeMap<Id, Member>,
    end: Option<ServerEnd>,
}

pub async fn run(
    mut frame: Frame,
    address: &RoomAddress,
    name: String,
    pin: Option<Redacted<String>>,
    token: Option<Redacted<String>>,
    create: bool,
) {
    frame.enter(ServerState::Connecting);
    let wishes = Wishes { name, pin, token, create, max_bitrate: frame.ends.max_bitrate() };
    let janus = Janus::new(address.room.clone(), wishes);
    let task = Task {
        frame,
        address: address.clone(),
        janus,
        socket: None,
        dialling: None,
        out: None,
        members: BTreeMap::new(),
        end: None,
    };
    task.run().await;
}

impl Task {
    async fn run(mut self) {
        let mut next_tick = Instant::now() + TICK;
        let mut next_stats = Instant::now();
        loop {
            self.carry_out().await;
            if let Some(end) = self.end.take() {
                // What is queued, the farewell above all, is sent when the socket is dropped.
                drop(self.socket.take());
                return self.frame.finish(end).await;
            }
            let deadline = self.janus.deadline();
            tokio::select! {
                () = told_to_leave(&mut self.frame.inbox, &mut self.frame.is_leaving) => {
                    self.janus.leave(Instant::now());
                }
                event = self.frame.ends.next() => self.handle_end(event),
                event = heard(&mut self.socket) => self.handle_socket(event),
                dialled = answered(&mut self.dialling) => self.handle_dialled(dialled),
                () = until(deadline) => self.janus.handle_deadline(Instant::now()),
                () = until(Some(next_tick)) => {
                    let now = Instant::now();
                    next_tick = now + TICK;
                    while let Some(event) = self.frame.ends.poll(now) {
                        self.handle_end(event);
                    }
                    if now >= next_stats {
                        next_stats = now + Duration::from_secs(1);
                        self.frame.tell_stats().await;
                        self.choose_layers().await;
                    }
                }
            }
        }
    }

    fn handle_socket(&mut self, event: Option<SocketEvent>) {
        let now = Instant::now();
        match event {
            Some(SocketEvent::Text(text)) => self.janus.handle_text(now, &text.0),
            Some(SocketEvent::Closed(why)) => self.close_socket(now, &why),
            None => self.close_socket(now, "The connection to the server broke."),
        }
    }

    fn close_socket(&mut self, now: Instant, why: &str) {
        self.socket = None;
        self.janus.handle_closed(now, why);
    }

    fn handle_dialled(&mut self, dialled: Result<WebSocket, WebError>) {
        self.dialling = None;
        match dialled {
            Ok(socket) => {
                self.socket = Some(socket);
                self.janus.handle_opened(Instant::now());
            }
            Err(error) => self.janus.handle_closed(Instant::now(), &error.to_string()),
        }
    }

    fn handle_end(&mut self, event: EndEvent) {
        let now = Instant::now();
        match event {
            EndEvent::Made(serial, sdp) if self.out == Some(serial) => self.janus.publish(now, &sdp),
            EndEvent::Made(serial, sdp) => {
                if let Some(id) = self.member(serial) {
                    self.janus.answer(now, &id, &sdp);
                }
            }
            EndEvent::NotMade(serial, error) if self.out == Some(serial) => {
                self.out = None;
                self.end = Some(self.frame.end(error.to_string()));
            }
            EndEvent::NotMade(serial, error) => {
                tracing::info!(%error, "a member cannot be received");
                self.renew(now, serial);
            }
            EndEvent::Lost(serial) if self.out == Some(serial) => {
                self.frame.ends.drop(serial);
                self.out = None;
                self.janus.renew_own(now);
            }
            EndEvent::Lost(serial) => self.renew(now, serial),
            EndEvent::FirstPicture(serial) => {
                self.frame.face.tell(ServerEvent::FirstPicture(self.frame.ends.name(serial)));
            }
            EndEvent::Up(_) | EndEvent::Trickle(..) => {}
            EndEvent::Device(event) => self.frame.face.tell(ServerEvent::Device(event)),
        }
    }

    fn member(&self, serial: Serial) -> Option<Id> {
        let (id, _) = self.members.iter().find(|(_, member)| member.connection == Some(serial))?;
        Some(id.clone())
    }

    fn renew(&mut self, now: Instant, serial: Serial) {
        self.frame.ends.drop(serial);
        if let Some(id) = self.member(serial) {
            if let Some(member) = self.members.get_mut(&id) {
                member.connection = None;
            }
            self.janus.renew(now, &id);
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.janus.poll_output() {
            match output {
                Output::Dial => self.dial(),
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
                Output::Tell(happening) => self.happen(happening).await,
            }
        }
    }

    fn dial(&mut self) {
        let (target, url) = (self.address.target(), self.address.url().to_owned());
        let bind = self.frame.ends.bind().to_vec();
        self.dialling =
            Some(tokio::spawn(async move { WebSocket::open(&target, &url, PROTOCOL, &bind).await }));
    }

    async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Joined => self.frame.enter(ServerState::Connected),
            Happening::OfferWanted => {
                self.out.take().into_iter().for_each(|old| self.frame.ends.drop(old));
                self.out = Some(self.frame.ends.begin(SERVER, Making::Offer(Way::Send), &[]));
            }
            Happening::Answer(answer) => {
                let Some(out) = self.out else { return };
                match self.frame.ends.accept(out, &answer).await {
                    Ok(true) => {}
                    Ok(false) => self.note(&Note::NoPictures),
                    Err(error) => self.end = Some(self.frame.end(error.to_string())),
                }
            }
            Happening::Member { id, name } => {
                let layers = Layers::new(Instant::now());
                let member = Member { name: name.clone(), connection: None, layers, counted: (0, 0) };
                self.members.insert(id, member);
                self.frame.face.tell(ServerEvent::Came(name));
            }
            Happening::Offer { id, sdp } => {
                let Some(member) = self.members.get_mut(&id) else { return };
                let old = member.connection.take();
                member.connection = Some(self.frame.ends.begin(&member.name, Making::Answer(sdp), &[]));
                old.into_iter().for_each(|old| self.frame.ends.drop(old));
            }
            Happening::Gone(id) => {
                if let Some(member) = self.members.remove(&id) {
                    self.let_go(member);
                }
            }
            Happening::Slow(id) => self.judge(&id, SLOW),
            Happening::Note(note) => self.note(&note),
            Happening::Interrupted => {
                self.frame.enter(ServerState::Reconnecting);
                self.out.take().into_iter().for_each(|old| self.frame.ends.drop(old));
                for member in std::mem::take(&mut self.members).into_values() {
                    self.let_go(member);
                }
            }
            Happening::Left => self.end = Some(ServerEnd::Left),
            Happening::Ended(refusal) => self.end = Some(self.frame.end(refusal.to_string())),
        }
    }

    fn note(&self, note: &Note) {
        self.frame.face.tell(ServerEvent::Note(note.to_string()));
    }

    fn let_go(&mut self, member: Member) {
        member.connection.into_iter().for_each(|old| self.frame.ends.drop(old));
        self.frame.face.tell(ServerEvent::Went(member.name));
    }

    /// From what got lost in the last second.
    async fn choose_layers(&mut self) {
        let mut losses = Vec::new();
        for (id, member) in &mut self.members {
            let Some(serial) = member.connection else { continue };
            let Some(now) = self.frame.ends.loss(serial).await else { continue };
            let before = std::mem::replace(&mut member.counted, now);
            let came = now.0.saturating_sub(before.0) as f64;
            let lost = now.1.saturating_sub(before.1).max(0) as f64;
            if came + lost > 0.0 {
                losses.push((id.clone(), lost / (came + lost)));
            }
        }
        losses.into_iter().for_each(|(id, lost)| self.judge(&id, lost));
    }

    fn judge(&mut self, id: &Id, lost: f64) {
        let now = Instant::now();
        let layer = self.members.get_mut(id).and_then(|member| member.layers.handle_loss(now, lost));
        if let Some(layer) = layer {
            self.janus.choose_layer(now, id, layer);
        }
    }
}

async fn heard(socket: &mut Option<WebSocket>) -> Option<SocketEvent> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn answered(
    dialling: &mut Option<JoinHandle<Result<WebSocket, WebError>>>,
) -> Result<WebSocket, WebError> {
    match dialling {
        Some(dialled) => match dialled.await {
            Ok(dialled) => dialled,
            // It was aborted, and with it forgotten.
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
