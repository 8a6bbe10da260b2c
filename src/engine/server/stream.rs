//! One stream to a page of WHIP, or from one of WHEP: the shell of [`Whip`].

use super::ends::{EndEvent, Making, Serial};
use super::{Dialogue, End, Person, Standing, Stay};
use crate::engine::{Event, Presence, RemotePeer};
use crate::net::{Way, WebError, ask};
use crate::ports::PeerId;
use crate::server::WebAddress;
use crate::server::whip::{Happening, Method, Output, Response, Whip};
use crate::units::{Redacted, Resolution};
use std::time::Instant;
use tokio::sync::mpsc;

/// What the other end of what we send is called in the statistics.
const SERVER: &str = "server";
/// Answers under way; the core asks one thing at a time.
const ANSWERS: usize = 16;

type Answer = (Method, Result<Response, WebError>);

pub struct Stream {
    way: Way,
    whip: Whip,
    /// Who is at the other end.
    other: Person,
    connection: Option<Serial>,
    answers: mpsc::Sender<Answer>,
    inbox: mpsc::Receiver<Answer>,
}

impl Stream {
    pub fn new(stay: &mut Stay, address: WebAddress, token: Option<Redacted<String>>, way: Way) -> Self {
        let (answers, inbox) = mpsc::channel(ANSWERS);
        let host = address.target().host;
        let other = stay.person(if way == Way::Send { SERVER } else { &host });
        let whip = Whip::new(address, token);
        Self { way, whip, other, connection: None, answers, inbox }
    }

    async fn happen(&mut self, stay: &mut Stay, happening: Happening) {
        match happening {
            Happening::OfferWanted(servers) => {
                self.drop_connection(stay);
                let making = Making::EarlyOffer(self.way, self.other.clone());
                self.connection = Some(stay.ends.begin(making, &servers));
            }
            Happening::Answer(answer) => {
                let Some(connection) = self.connection else { return };
                match stay.ends.accept(connection, &answer).await {
                    Ok(true) => {}
                    Ok(false) => stay.tell(Event::Note(
                        "The server lets no H.264 pictures pass, so there is only sound.".into(),
                    )),
                    Err(error) => stay.fail(error.to_string()),
                }
            }
            Happening::Interrupted => {
                self.drop_connection(stay);
                if stay.standing == Standing::Connected {
                    stay.enter(Standing::Reconnecting);
                }
            }
            Happening::Left => stay.end = Some(End::Left),
            Happening::Ended(refusal) => stay.fail(refusal),
        }
    }

    fn drop_connection(&mut self, stay: &mut Stay) {
        let Some(old) = self.connection.take() else { return };
        stay.ends.drop(old);
        if self.way == Way::Receive {
            stay.tell(Event::Picture(self.other.id, None));
        }
    }

    /// It goes through.
    fn come_up(&mut self, stay: &mut Stay) {
        self.whip.handle_connected();
        stay.enter(Standing::Connected);
        if self.way == Way::Receive {
            let (name, presence) = (self.other.name.clone(), Presence::Here);
            let remote = RemotePeer { name, presence, ..RemotePeer::default() };
            stay.tell(Event::Remote(self.other.id, remote));
        }
    }
}

impl Dialogue for Stream {
    type Heard = Option<Answer>;

    async fn carry_out(&mut self, stay: &mut Stay) {
        while let Some(output) = self.whip.poll_output() {
            match output {
                Output::Ask(request) => {
                    let (answers, bind) = (self.answers.clone(), stay.ends.bind().to_vec());
                    tokio::spawn(async move {
                        let answer = ask(&request, &bind).await;
                        let _ = answers.send((request.method, answer)).await;
                    });
                }
                Output::Tell(happening) => self.happen(stay, happening).await,
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.whip.deadline()
    }

    fn handle_deadline(&mut self, now: Instant) {
        self.whip.handle_deadline(now);
    }

    async fn hear(&mut self) -> Option<Answer> {
        self.inbox.recv().await
    }

    fn handle_heard(&mut self, now: Instant, heard: Option<Answer>) {
        match heard {
            Some((method, Ok(response))) => self.whip.handle_response(now, method, response),
            Some((method, Err(error))) => self.whip.handle_failed(now, method, &error.to_string()),
            // There is always a sender: our own.
            None => {}
        }
    }

    fn handle_end(&mut self, now: Instant, stay: &mut Stay, event: EndEvent) {
        match event {
            EndEvent::Made(serial, sdp) if self.connection == Some(serial) => {
                self.whip.offer(sdp);
                if let Some(picture) = stay.ends.picture(serial).filter(|_| self.way == Way::Receive) {
                    stay.tell(Event::Picture(self.other.id, Some(picture)));
                }
            }
            EndEvent::NotMade(serial, error) if self.connection == Some(serial) => {
                self.connection = None;
                stay.fail(error.to_string());
            }
            EndEvent::Trickle(serial, trickle) if self.connection == Some(serial) => {
                self.whip.trickle(&trickle.candidates.0, &trickle.ufrag.0, &trickle.password.0);
            }
            EndEvent::Up(serial) if self.connection == Some(serial) => self.come_up(stay),
            EndEvent::Lost(serial) if self.connection == Some(serial) => {
                self.drop_connection(stay);
                self.whip.handle_lost(now);
            }
            // Of a connection that is not wanted any more.
            EndEvent::Made(serial, _) | EndEvent::Lost(serial) => stay.ends.drop(serial),
            EndEvent::Trickle(..) | EndEvent::NotMade(..) | EndEvent::Up(_) => {}
        }
    }

    fn look_after(&mut self, _: Instant, _: &mut Stay) {}

    fn show(&mut self, _: Instant, stay: &mut Stay, id: PeerId, drawn: Option<Resolution>) {
        // The server is not told: there is no word for it. What is not drawn is no freeze.
        stay.ends.with_media(id, |media| media.set_shown(drawn.is_some()));
    }

    fn leave(&mut self, now: Instant) {
        self.whip.leave(now);
    }
}
