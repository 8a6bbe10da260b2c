//! Two peers in one process, over the loopback interface: real sockets, ICE, DTLS, SRTP and SCTP.

use super::*;
use crate::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use crate::invite::{Description, Kind};
use crate::ports::{Inlet, Outlet};
use crate::stats::PeerStats;
use crate::units::{MediaKind, Redacted, Resolution};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A test that waits longer than this for anything has failed; a loaded machine may be slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// One side, with what it heard and received.
struct End {
    peer: Peer,
    events: mpsc::Receiver<NetEvent>,
    outlet: Outlet,
    video: Receiver<RtpPacket>,
    audio: Receiver<RtpPacket>,
}

impl End {
    fn new(peer: Peer, events: mpsc::Receiver<NetEvent>) -> Self {
        let (video_in, video) = crossbeam_channel::bounded(4096);
        let (audio_in, audio) = crossbeam_channel::bounded(4096);
        peer.connect(Inlet { video: video_in, audio: audio_in });
        Self { outlet: peer.outlet(), peer, events, video, audio }
    }

    /// The next event that `wanted` makes something of.
    async fn event<T>(&mut self, mut wanted: impl FnMut(NetEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the connection still talks");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
    }

    async fn link(&mut self, link: Link) {
        self.event(|event| (event == NetEvent::Link(link)).then_some(())).await;
    }

    async fn control(&mut self) -> String {
        let text = |event| if let NetEvent::Control(text) = event { Some(text) } else { None };
        self.event(text).await
    }

    async fn stats(&self) -> PeerStats {
        let mut stats = PeerStats::default();
        self.peer.stats(&mut stats).await;
        stats
    }
}

fn loopback() -> NetConfig {
    NetConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..NetConfig::default() }
}

/// Two ends that have exchanged their descriptions, changed on the way by `alter`.
async fn exchanged(alter: impl Fn(Description) -> Description) -> (End, End) {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (b, reply) = Peer::answer(loopback(), &alter(invite), told_b).await.unwrap();
    let start = Instant::now();
    a.accept(&alter(reply)).await.unwrap();
    println!("accepted in {:?}", start.elapsed());
    let (mut a, mut b) = (End::new(a, events_a), End::new(b, events_b));
    a.link(Link::Connected).await;
    println!("offerer connected in {:?}", start.elapsed());
    b.link(Link::Connected).await;
    println!("answerer connected in {:?}", start.elapsed());
    a.event(|event| (event == NetEvent::ControlOpen).then_some(())).await;
    println!("offerer control in {:?}", start.elapsed());
    b.event(|event| (event == NetEvent::ControlOpen).then_some(())).await;
    println!("answerer control in {:?}", start.elapsed());
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_connect() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .try_init();
    for _ in 0..5 {
        let (a, b) = exchanged(|description| description).await;
        a.peer.close().await;
        b.peer.close().await;
    }
}
