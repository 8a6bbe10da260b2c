//! One stream to a page of WHIP, or from one of WHEP: the shell of [`Whip`].

use super::ends::{EndEvent, Making, Serial};
use super::{Frame, ServerEnd, ServerEvent, ServerState, TICK, told_to_leave, until};
use crate::net::{Way, WebError, ask};
use crate::server::WebAddress;
use crate::server::whip::{Happening, Method, Output, Response, Whip};
use crate::units::Redacted;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What the server is called in the statistics.
const SERVER: &str = "server";
/// Answers under way; the core asks one thing at a time.
const ANSWERS: usize = 16;

type Answer = (Method, Result<Response, WebError>);

struct Task {
    frame: Frame,
    way: Way,
    whip: Whip,
    connection: Option<Serial>,
    answers: mpsc::Sender<Answer>,
    inbox: mpsc::Receiver<Answer>,
    end: Option<ServerEnd>,
}

pub async fn run(mut frame: Frame, address: WebAddress, token: Option<Redacted<String>>, way: Way) {
    frame.enter(ServerState::Connecting);
    let (answers, inbox) = mpsc::channel(ANSWERS);
    let whip = Whip::new(address, token);
    Task { frame, way, whip, connection: None, answers, inbox, end: None }.run().await;
}

impl Task {
    async fn run(mut self) {
        let mut next_tick = Instant::now() + TICK;
        let mut next_stats = Instant::now();
        loop {
            self.carry_out().await;
            if let Some(end) = self.end.take() {
                return self.frame.finish(end).await;
            }
            let deadline = self.whip.deadline();
            tokio::select! {
                () = told_to_leave(&mut self.frame.inbox, &mut self.frame.is_leaving) => {
                    self.whip.leave(Instant::now());
                }
                event = self.frame.ends.next() => self.handle_end(event),
                Some((method, answer)) = self.inbox.recv() => match answer {
                    Ok(response) => self.whip.handle_response(Instant::now(), method, response),
                    Err(error) => self.whip.handle_failed(Instant::now(), method, &error.to_string()),
                },
                () = until(deadline) => self.whip.handle_deadline(Instant::now()),
                () = until(Some(next_tick)) => {
                    let now = Instant::now();
                    next_tick = now + TICK;
                    while let Some(event) = self.frame.ends.poll(now) {
                        self.handle_end(event);
                    }
                    if now >= next_stats {
                        next_stats = now + Duration::from_secs(1);
                        self.frame.tell_stats().await;
                    }
                }
            }
        }
    }

    fn handle_end(&mut self, event: EndEvent) {
        match event {
            EndEvent::Made(serial, sdp) if self.connection == Some(serial) => self.whip.offer(sdp),
            EndEvent::NotMade(serial, error) if self.connection == Some(serial) => {
                self.connection = None;
                self.end = Some(self.frame.end(error.to_string()));
            }
            EndEvent::Trickle(serial, trickle) if self.connection == Some(serial) => {
                self.whip.trickle(&trickle.candidates.0, &trickle.ufrag.0, &trickle.password.0);
            }
            EndEvent::Up(serial) if self.connection == Some(serial) => {
                self.whip.handle_connected();
                self.frame.enter(ServerState::Connected);
            }
            EndEvent::Lost(serial) => {
                self.frame.ends.drop(serial);
                if self.connection == Some(serial) {
                    self.connection = None;
                    self.whip.handle_lost(Instant::now());
                }
            }
            EndEvent::FirstPicture(serial) => {
                self.frame.face.tell(ServerEvent::FirstPicture(self.frame.ends.name(serial)));
            }
            // Of a connection that is not wanted any more.
            EndEvent::Made(..) | EndEvent::Trickle(..) | EndEvent::NotMade(..) | EndEvent::Up(_) => {}
            EndEvent::Device(event) => self.frame.face.tell(ServerEvent::Device(event)),
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.whip.poll_output() {
            match output {
                Output::Ask(request) => {
                    let (answers, bind) = (self.answers.clone(), self.frame.ends.bind().to_vec());
                    tokio::spawn(async move {
                        let answer = ask(&request, &bind).await;
                        let _ = answers.send((request.method, answer)).await;
                    });
                }
                Output::Tell(happening) => self.happen(happening).await,
            }
        }
    }

    async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::OfferWanted(servers) => {
                self.drop_connection();
                self.connection = Some(self.frame.ends.begin(SERVER, Making::EarlyOffer(self.way), &servers));
            }
            Happening::Answer(answer) => {
                let Some(connection) = self.connection else { return };
                match self.frame.ends.accept(connection, &answer).await {
                    Ok(true) => {}
                    Ok(false) => self.frame.face.tell(ServerEvent::Note(
                        "The server lets no H.264 pictures pass, so there is only sound.".into(),
                    )),
                    Err(error) => self.end = Some(self.frame.end(error.to_string())),
                }
            }
            Happening::Interrupted => {
                self.drop_connection();
                if self.frame.state == Some(ServerState::Connected) {
                    self.frame.enter(ServerState::Reconnecting);
                }
            }
            Happening::Left => self.end = Some(ServerEnd::Left),
            Happening::Ended(refusal) => self.end = Some(self.frame.end(refusal.to_string())),
        }
    }

    fn drop_connection(&mut self) {
        self.connection.take().into_iter().for_each(|old| self.frame.ends.drop(old));
    }
}
