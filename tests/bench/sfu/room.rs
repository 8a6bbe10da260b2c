//! A member of a room of Janus who only sends, or only receives: the shell of `server::janus` without the rest of the
//! engine.

use super::load::End;
use std::time::Instant;
use tokio::sync::oneshot;
use twocan::net::{NetConfig, Peer, SocketEvent, Way, WebSocket};
use twocan::ports::Inlet;
use twocan::server::RoomAddress;
use twocan::server::janus::{Happening, Janus, Output, Wishes};

pub enum Wish {
    Send,
    /// Of whoever sends first.
    Receive(Inlet),
}

/// Joins; gives the connection as soon as both descriptions are exchanged. Stays in the room for good.
pub async fn attend(address: &str, config: NetConfig, wish: Wish) -> Result<End, String> {
    let address = address.parse::<RoomAddress>().map_err(|error| error.to_string())?;
    let (made, end) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(error) = (Member { address, config, wish, made: Some(made), publisher: None }).run().await
        {
            eprintln!("Janus: {error}");
        }
    });
    end.await.map_err(|_| "no connection came of it".to_owned())
}

struct Member {
    address: RoomAddress,
    config: NetConfig,
    wish: Wish,
    made: Option<oneshot::Sender<End>>,
    /// Ours, until the server has answered.
    publisher: Option<End>,
}

impl Member {
    async fn run(mut self) -> Result<(), String> {
        let mut janus = Janus::new(self.address.room.clone(), Wishes::default());
        let mut socket: Option<WebSocket> = None;
        loop {
            while let Some(output) = janus.poll_output() {
                match output {
                    Output::Dial => {
                        let (target, url) = (self.address.target(), self.address.url().to_owned());
                        let dialled = WebSocket::open(&target, &url, "janus-protocol", &[]).await;
                        socket = Some(dialled.map_err(|error| error.to_string())?);
                        janus.handle_opened(Instant::now());
                    }
                    Output::Send(text) => drop(socket.as_ref().map(|socket| socket.send(text))),
                    Output::HangUp => return Err("the server is gone".into()),
                    Output::Tell(happening) => self.handle(&mut janus, happening).await?,
                }
            }
            let deadline = janus.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let Some(open) = &mut socket else { return Err("there is no socket".into()) };
            tokio::select! {
                event = open.next() => match event {
                    Some(SocketEvent::Text(text)) => janus.handle_text(Instant::now(), &text.0),
                    Some(SocketEvent::Closed(why)) => return Err(why),
                    None => return Ok(()),
                },
                () = due => janus.handle_deadline(Instant::now()),
            }
        }
    }

    async fn handle(&mut self, janus: &mut Janus, happening: Happening) -> Result<(), String> {
        let (told, events) = End::channel();
        let config = self.config.clone();
        match (happening, &self.wish) {
            (Happening::OfferWanted, Wish::Send) => {
                let offered = Peer::offer_to_server(config, Way::Send, told).await;
                let (peer, sdp) = offered.map_err(|error| error.to_string())?;
                janus.publish(Instant::now(), &sdp);
                self.publisher = Some(End::new(peer, events));
            }
            (Happening::Answer(answer), Wish::Send) => {
                let end = self.publisher.take().ok_or("an answer to no offer")?;
                end.peer.accept_server(&answer).await.map_err(|error| error.to_string())?;
                self.give(end);
            }
            (Happening::Offer { id, sdp }, Wish::Receive(inlet)) if self.made.is_some() => {
                let answered = Peer::answer_server(config, &sdp, told).await;
                let (peer, answer) = answered.map_err(|error| error.to_string())?;
                peer.connect(inlet.clone());
                janus.answer(Instant::now(), &id, &answer);
                self.give(End::new(peer, events));
            }
            (Happening::Ended(why), _) => return Err(why.to_string()),
            _ => {}
        }
        Ok(())
    }

    fn give(&mut self, end: End) {
        if let Some(made) = self.made.take() {
            let _ = made.send(end);
        }
    }
}
