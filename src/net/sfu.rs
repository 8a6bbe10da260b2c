//! The task of the host that forwards (SFU): owns the [`Relay`], between the connections.
//!
//! ```text
//!  Peer (sender)  -- RelayInlet --> task: Relay -- Forward --> Outbox of each receiver's Peer
//!                                     |  Request                -> SfuEvent -> engine
//! ```
//!
//! The engine joins each connection to it ([`Sfu::join`]), tells it views and budgets, and acts on its events: it asks
//! senders for keyframes ([`Peer::request_layer_keyframe`]) and tells them which layers are wanted. The host's own
//! picture does not go through here: its encoder feeds each connection as in a call of two, and what it needs of a
//! link is taken off that link's budget.

use super::peer::Forwards;
use super::{Peer, RelayInlet, Relayed};
use crate::ports::PeerId;
use crate::relay::{Encoding, Forward, Relay, Request, View};
use crate::units::Bitrate;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Packets between the connections and the relay: a tenth of a second of 30 Mbit/s. More are lost, and repaired.
const PACKETS: usize = 512;
/// Orders of the engine; it waits for room.
const ORDERS: usize = 64;
/// Packets that are taken in one go, before deadlines are looked at.
const BATCH: usize = 64;

/// How often it is looked whether a connection waits for more in vain.
const REST: Duration = Duration::from_millis(20);

/// What the relay wants of the engine: the senders are to be told.
pub type SfuEvent = Request;

enum Order {
    Join(PeerId, Forwards),
    Leave(PeerId),
    Encodings(PeerId, Vec<Encoding>),
    View { receiver: PeerId, sender: PeerId, view: View },
    Budget(PeerId, Bitrate),
}

/// A running relay. Dropping it ends the forwarding.
pub struct Sfu {
    orders: mpsc::Sender<Order>,
    packets: mpsc::Sender<Relayed>,
    task: JoinHandle<()>,
}

impl Drop for Sfu {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sfu {
    /// `events`: bounded; what finds no room waits in the relay.
    pub fn start(events: mpsc::Sender<SfuEvent>) -> Self {
        let (orders, to_do) = mpsc::channel(ORDERS);
        let (packets, incoming) = mpsc::channel(PACKETS);
        let task = tokio::spawn(run(to_do, incoming, events));
        Self { orders, packets, task }
    }

    /// What comes from this connection is forwarded, and what the others send goes to it, in the streams that
    /// [`Peer::add_forwarded`] has made.
    pub async fn join(&self, id: PeerId, peer: &Peer) {
        peer.relay_to(Some(RelayInlet { from: id, queue: self.packets.clone() }));
        self.order(Order::Join(id, peer.forwards())).await;
    }

    pub async fn leave(&self, id: PeerId, peer: &Peer) {
        peer.relay_to(None);
        self.forget(id).await;
    }

    /// The same, if the connection is gone already.
    pub async fn forget(&self, id: PeerId) {
        self.order(Order::Leave(id)).await;
    }

    /// The layers that somebody can send, the largest first; none while their camera is off.
    pub async fn set_encodings(&self, id: PeerId, encodings: Vec<Encoding>) {
        self.order(Order::Encodings(id, encodings)).await;
    }

    /// How `receiver` draws the picture of `sender`; hidden at first.
    pub async fn set_view(&self, receiver: PeerId, sender: PeerId, view: View) {
        self.order(Order::View { receiver, sender, view }).await;
    }

    /// What the connection to `receiver` has room for, beside our own picture.
    pub async fn set_budget(&self, receiver: PeerId, budget: Bitrate) {
        self.order(Order::Budget(receiver, budget)).await;
    }

    async fn order(&self, order: Order) {
        // The task ends only with this.
        let _ = self.orders.send(order).await;
    }
}

async fn run(
    mut orders: mpsc::Receiver<Order>,
    mut packets: mpsc::Receiver<Relayed>,
    events: mpsc::Sender<SfuEvent>,
) {
    let (mut relay, mut links) = (Relay::default(), HashMap::<PeerId, Forwards>::new());
    let mut batch = Vec::with_capacity(BATCH);
    // When it is looked next.
    let mut rests: Option<Instant> = None;
    loop {
        let deadline = relay.deadline().into_iter().chain(rests).min();
        let sleep = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            count = packets.recv_many(&mut batch, BATCH) => {
                if count == 0 { return }
                None
            }
            order = orders.recv() => {
                let Some(order) = order else { return };
                Some(order)
            }
            () = sleep => None,
        };
        let now = Instant::now();
        match order {
            Some(Order::Join(id, link)) => {
                links.extend(relay.add_member(now, id).then_some((id, link)));
            }
            Some(Order::Leave(id)) => {
                relay.remove_member(id);
                links.remove(&id);
            }
            Some(Order::Encodings(id, encodings)) => relay.set_encodings(id, &encodings),
            Some(Order::View { receiver, sender, view }) => relay.set_view(now, receiver, sender, view),
            Some(Order::Budget(receiver, budget)) => relay.set_budget(now, receiver, budget),
            None => {}
        }
        let mut emit = |forward: Forward| {
            if let Some(link) = links.get(&forward.receiver)
                && !link.put(forward)
            {
                tracing::trace!("a connection is behind: a forwarded packet was lost");
            }
        };
        let had_packets = !batch.is_empty();
        for relayed in batch.drain(..) {
            match relayed {
                Relayed::Packet { from, source, packet } => {
                    relay.handle_packet(packet.arrived_at, from, source, &packet, &mut emit);
                }
                Relayed::Report { from, source, ntp, rtp } => {
                    relay.handle_report(from, source, (ntp, rtp), &mut emit);
                }
                Relayed::KeyframeWanted { receiver, sender } => {
                    relay.handle_keyframe_request(now, receiver, sender);
                }
            }
        }
        relay.handle_timeout(now, &mut emit);
        links.values().for_each(|link| link.send());
        let waits = match rests.take_if(|at| *at <= now) {
            // Each is looked at.
            Some(_) => links.values().fold(false, |waits, link| link.rest(now) | waits),
            None => false,
        };
        if had_packets || waits {
            rests.get_or_insert(now + REST);
        }
        // What a sender was told of a layer counts as told: it must not be lost.
        while let Ok(room) = events.try_reserve() {
            let Some(request) = relay.poll_request() else { break };
            room.send(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Resolution;
    use std::collections::HashSet;

    #[tokio::test]
    async fn what_finds_no_room_with_the_engine_is_told_later() {
        const MEMBERS: u64 = 8;
        let (orders, to_do) = mpsc::channel(ORDERS);
        let (_packets, incoming) = mpsc::channel(1);
        let (told, mut events) = mpsc::channel(1);
        let task = tokio::spawn(run(to_do, incoming, told));
        let link = Forwards::to_nobody();
        let all = || (0..MEMBERS).map(PeerId);
        for id in all() {
            orders.send(Order::Join(id, link.clone())).await.unwrap();
        }
        for sender in all() {
            let (receiver, view) = (PeerId((sender.0 + 1) % MEMBERS), View::Drawn(Resolution::HD));
            orders.send(Order::Budget(receiver, Bitrate::from_kbps(9_000))).await.unwrap();
            orders.send(Order::View { receiver, sender, view }).await.unwrap();
        }
        let mut wanted = HashSet::new();
        let all_told = async {
            while wanted.len() < MEMBERS as usize {
                if let Some(Request::Layer { sender, wanted: Some(_), .. }) = events.recv().await {
                    wanted.insert(sender);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all_told).await.expect("each sender is told");
        task.abort();
    }
}
