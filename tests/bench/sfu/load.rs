//! Who sends and who receives: real connections, to the hub and to Janus, without encoders and decoders.

use super::clip::{Clip, send};
use super::count::Counts;
use super::room::{Wish, attend};
use super::{Role, config, failed, number, text};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use twocan::invite::{Description, Kind};
use twocan::net::{Link, NetConfig, NetEvent, Peer};
use twocan::units::{Bitrate, Redacted};

const EVENTS: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// One of our connections.
pub struct End {
    pub peer: Peer,
    connected: watch::Receiver<bool>,
    keyframe: Arc<AtomicBool>,
}

impl End {
    pub fn new(peer: Peer, mut events: mpsc::Receiver<NetEvent>) -> Self {
        let (up, connected) = watch::channel(false);
        let keyframe = Arc::new(AtomicBool::new(true));
        let wanted = keyframe.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    NetEvent::Link(link) => drop(up.send(link == Link::Connected)),
                    NetEvent::KeyframeWanted => wanted.store(true, Ordering::Relaxed),
                    _ => {}
                }
            }
        });
        Self { peer, connected, keyframe }
    }

    pub fn channel() -> (mpsc::Sender<NetEvent>, mpsc::Receiver<NetEvent>) {
        mpsc::channel(EVENTS)
    }

    pub async fn is_connected(&self) -> bool {
        let mut connected = self.connected.clone();
        let up = async { connected.wait_for(|up| *up).await.is_ok() };
        tokio::time::timeout(PATIENCE, up).await == Ok(true)
    }
}

/// Where the packets of a connection come from: each has a port of its own.
fn port(config: &NetConfig) -> Option<u16> {
    config.endpoint.local_ports().first().map(|local| local.port())
}

pub struct Load {
    bind: String,
    ends: HashMap<u64, End>,
    counts: Counts,
    clip: Option<Arc<Clip>>,
    switches: HashMap<u64, watch::Sender<bool>>,
}

impl Load {
    pub fn new(bind: &str) -> Self {
        Self {
            bind: bind.into(),
            ends: HashMap::new(),
            counts: Counts::start(),
            clip: None,
            switches: HashMap::new(),
        }
    }

    async fn join(&mut self, id: u64, sdp: &str) -> Value {
        let invite = Description { kind: Kind::Invite, sdp: Redacted(sdp.into()) };
        let (told, events) = End::channel();
        let config = config(&self.bind);
        match Peer::answer(config.clone(), &invite, told).await {
            Ok((peer, Description { sdp, .. })) => {
                self.ends.insert(id, End::new(peer, events));
                json!({ "sdp": sdp.0, "port": port(&config) })
            }
            Err(error) => failed(error),
        }
    }

    /// Sends to, or receives from, a room of Janus.
    async fn attend(&mut self, id: u64, address: &str, sends: bool) -> Value {
        let wish = if sends { Wish::Send } else { Wish::Receive(self.counts.inlet(id)) };
        let config = config(&self.bind);
        let attended = attend(address, config.clone(), wish);
        match tokio::time::timeout(PATIENCE, attended).await {
            Ok(Ok(end)) if end.is_connected().await => {
                self.ends.insert(id, end);
                json!({ "port": port(&config) })
            }
            Ok(Ok(_)) | Err(_) => failed("Janus gave no connection"),
            Ok(Err(error)) => failed(error),
        }
    }

    fn send(&mut self, id: u64, on: bool) -> Value {
        let (end, Some(clip)) = (&self.ends[&id], self.clip.clone()) else {
            return failed("nothing to send was made");
        };
        let switch = self.switches.entry(id).or_insert_with(|| {
            let (switch, state) = watch::channel(false);
            tokio::spawn(send(clip, end.peer.outlet(), end.keyframe.clone(), state));
            switch
        });
        end.keyframe.store(on, Ordering::Relaxed);
        switch.send_replace(on);
        json!({})
    }
}

impl Role for Load {
    async fn answer(&mut self, request: &Value) -> Value {
        match text(request, "do") {
            "clip" => {
                let clip = Clip::new(Bitrate::from_kbps(number(request, "kbps")));
                let rate = clip.rate();
                self.clip = Some(Arc::new(clip));
                json!({ "rate": rate })
            }
            "join" => self.join(number(request, "id"), text(request, "sdp")).await,
            "answer" => {
                let end = &self.ends[&number(request, "id")];
                match end.peer.answer_description(text(request, "sdp"), false).await {
                    Ok(sdp) => json!({ "sdp": sdp }),
                    Err(error) => failed(error),
                }
            }
            "watch" => {
                let id = number(request, "id");
                let name = format!("member-{}", number(request, "of"));
                let peer = &self.ends[&id].peer;
                peer.connect_forwarded(&name, Some(self.counts.inlet(id)));
                peer.request_forwarded_keyframe(&name).await;
                json!({})
            }
            "attend" => {
                let sends = request["sends"].as_bool().unwrap_or_default();
                self.attend(number(request, "id"), text(request, "address"), sends).await
            }
            "send" => self.send(number(request, "id"), request["on"].as_bool().unwrap_or_default()),
            "counts" => self.counts.told(),
            other => panic!("there is no {other}"),
        }
    }
}
