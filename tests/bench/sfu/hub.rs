//! The member that forwards, and nothing else of it.

use super::{Role, failed, number, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use twocan::invite::{Description, Kind};
use twocan::net::{Link, NetConfig, NetEvent, Peer, Sfu};
use twocan::ports::PeerId;
use twocan::relay::{Encoding, Request, View};
use twocan::units::{Bitrate, Redacted, Resolution};

const EVENTS: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(20);
/// The links are given what they need: how it is divided is not measured here.
const BUDGET: Bitrate = Bitrate::from_kbps(8_000);
const PICTURE: Resolution = Resolution::new(640, 360);

type Peers = Arc<Mutex<HashMap<PeerId, Arc<Peer>>>>;

pub struct Hub {
    config: NetConfig,
    sfu: Sfu,
    peers: Peers,
    events: HashMap<PeerId, mpsc::Receiver<NetEvent>>,
}

impl Hub {
    pub fn new(config: NetConfig) -> Self {
        let (told, mut wishes) = mpsc::channel(EVENTS);
        let peers = Peers::default();
        let known = peers.clone();
        tokio::spawn(async move {
            while let Some(wish) = wishes.recv().await {
                let Request::Keyframe { sender, layer } = wish else { continue };
                let peer = known.lock().unwrap().get(&sender).cloned();
                if let Some(peer) = peer {
                    peer.request_layer_keyframe(layer).await;
                }
            }
        });
        Self { config, sfu: Sfu::start(told), peers, events: HashMap::new() }
    }

    fn peer(&self, id: PeerId) -> Arc<Peer> {
        self.peers.lock().unwrap().get(&id).expect("a connection of this number").clone()
    }

    async fn invite(&mut self, id: PeerId) -> Value {
        let (told, events) = mpsc::channel(EVENTS);
        match Peer::offer(self.config.clone(), told).await {
            Ok((peer, Description { sdp, .. })) => {
                self.peers.lock().unwrap().insert(id, Arc::new(peer));
                self.events.insert(id, events);
                json!({ "sdp": sdp.0 })
            }
            Err(error) => failed(error),
        }
    }

    /// The answer to the invite; the connection belongs to the room when it is up.
    async fn accept(&mut self, id: PeerId, sdp: &str) -> Value {
        let peer = self.peer(id);
        let reply = Description { kind: Kind::Reply, sdp: Redacted(sdp.into()) };
        if let Err(error) = peer.accept(&reply).await {
            return failed(error);
        }
        let mut events = self.events.remove(&id).expect("it was accepted once");
        let connected = async {
            while let Some(event) = events.recv().await {
                if event == NetEvent::Link(Link::Connected) {
                    return true;
                }
            }
            false
        };
        if tokio::time::timeout(PATIENCE, connected).await != Ok(true) {
            return failed("the connection did not come up");
        }
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        peer.withdraw();
        self.sfu.join(id, &peer).await;
        self.sfu.set_budget(id, BUDGET).await;
        json!({})
    }
}

impl Role for Hub {
    async fn answer(&mut self, request: &Value) -> Value {
        let id = PeerId(number(request, "id"));
        match text(request, "do") {
            "invite" => self.invite(id).await,
            "accept" => self.accept(id, text(request, "sdp")).await,
            "sends" => {
                let kbps = number(request, "kbps");
                let encoding = Encoding { rate: Bitrate::from_kbps(kbps), size: Some(PICTURE) };
                self.sfu.set_encodings(id, vec![encoding]).await;
                json!({})
            }
            "describe" => {
                let peer = self.peer(id);
                let of = PeerId(number(request, "of"));
                let described = async {
                    peer.add_forwarded(of, &format!("member-{}", of.0)).await?;
                    peer.describe().await
                };
                described.await.map_or_else(failed, |sdp| json!({ "sdp": sdp }))
            }
            "settle" => {
                let settled = self.peer(id).settle(text(request, "sdp")).await;
                let of = PeerId(number(request, "of"));
                self.sfu.set_view(id, of, View::Drawn(PICTURE)).await;
                settled.map_or_else(failed, |()| json!({}))
            }
            other => panic!("there is no {other}"),
        }
    }
}
