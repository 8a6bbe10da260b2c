//! One remote endpoint as the engine holds it: its connection, its media threads and what it told us.

use super::{OwnCode, PictureHandle, Quality, Refusal, RemotePeer};
use crate::invite::{self, Description, Kind};
use crate::net::Peer;
use crate::pipeline::{Media, PeerMedia};
use crate::ports::PeerId;
use crate::room::message::Message;
use crate::stats::PeerStats;
use crate::units::Redacted;

/// A remote endpoint.
pub struct RemoteEnd {
    pub id: PeerId,
    pub connection: Peer,
    pub media: PeerMedia,
    pub own: Description,
    pub remote: RemotePeer,
    /// Whether the faces know where its pictures come.
    pub pictured: bool,
    /// Whether its first picture was announced.
    pub seen: bool,
    pub control_open: bool,
    /// Whether its hello has come.
    pub greeted: bool,
    pub trust: super::task::TrustEnd,
    pub reactions: super::task::ReactionLimit,
}

impl RemoteEnd {
    /// Joins the connection with its media threads. They cost nothing until packets come.
    pub fn new(id: PeerId, connection: Peer, own: Description, media: &Media) -> Self {
        let ends = media.open_peer(id, connection.outlet());
        connection.connect(ends.inlet());
        Self {
            id,
            connection,
            media: ends,
            own,
            remote: RemotePeer::default(),
            pictured: false,
            seen: false,
            control_open: false,
            greeted: false,
            trust: super::task::TrustEnd::default(),
            reactions: super::task::ReactionLimit::default(),
        }
    }

    pub fn picture(&self) -> PictureHandle {
        PictureHandle(self.media.picture())
    }

    /// Sends in the order of the calls, and never waits for the network here.
    pub fn say(&self, message: &Message) {
        if self.control_open
            && let Err(error) = self.connection.send_control(message.to_json())
        {
            tracing::warn!(%error, "a control message was not sent");
        }
    }

    pub async fn stats(&self) -> PeerStats {
        let mut stats = PeerStats { name: self.remote.name.clone(), ..PeerStats::default() };
        self.media.stats(&mut stats);
        self.connection.stats(&mut stats).await;
        stats
    }

    /// Lets go of everything, with a bye if there is somebody to hear it. Runs beside the engine.
    pub async fn close(self) {
        self.say(&Message::Bye);
        self.let_go().await;
    }

    /// Lets go without a bye: the call goes on over another connection.
    pub async fn let_go(self) {
        let Self { connection, media, .. } = self;
        // Dropping the media ends joins threads: not on the engine's task.
        let ends = tokio::task::spawn_blocking(move || drop(media));
        connection.close().await;
        let _ = ends.await;
    }
}

/// Takes a pasted reply to the invite of this connection.
pub async fn accept(connection: &Peer, own: &Description, text: &str) -> Result<(), Refusal> {
    let reply = invite::expect(text, Kind::Reply, Some(own))?;
    Ok(connection.accept(&reply).await?)
}

/// Our code as the faces show it.
pub fn own_code(own: &Description) -> OwnCode {
    OwnCode {
        kind: own.kind,
        text: Redacted(invite::encode(own)),
        full: Redacted(invite::encode_full(own)),
        candidates: invite::candidates(own).into_iter().map(Redacted).collect(),
    }
}

/// The connection in one word, from loss, delay and what the picture does. The limits are those at which people
/// begin to notice (ITU-T G.114 for delay) and at which repair begins to fail.
pub fn quality(before: &PeerStats, now: &PeerStats) -> Quality {
    let received = now.inbound.video.packets_received.saturating_sub(before.inbound.video.packets_received)
        + now.inbound.audio.packets_received.saturating_sub(before.inbound.audio.packets_received);
    if received == 0 {
        return Quality::Poor;
    }
    let lost = (now.inbound.video.packets_lost - before.inbound.video.packets_lost).max(0)
        + (now.inbound.audio.packets_lost - before.inbound.audio.packets_lost).max(0);
    let their_loss = now.outbound.video.fraction_lost.max(now.outbound.audio.fraction_lost);
    let loss = (lost as f64 / (received as f64 + lost as f64)).max(their_loss);
    let frozen = now.inbound.video.freeze_count > before.inbound.video.freeze_count;
    let delay = now.candidate_pair.current_round_trip_time;
    match () {
        () if frozen || loss > 0.08 || delay > 0.4 => Quality::Poor,
        () if loss > 0.02 || delay > 0.2 => Quality::Fair,
        () => Quality::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_say_what_people_notice() {
        let with = |packets: u64, lost: i64, delay: f64| {
            let mut stats = PeerStats::default();
            stats.inbound.video.packets_received = packets;
            stats.inbound.video.packets_lost = lost;
            stats.candidate_pair.current_round_trip_time = delay;
            stats
        };
        let start = with(1000, 10, 0.05);
        for (now, expected) in [
            (with(1300, 10, 0.05), Quality::Good),
            (with(1300, 22, 0.05), Quality::Fair),
            (with(1300, 10, 0.25), Quality::Fair),
            (with(1300, 60, 0.05), Quality::Poor),
            (with(1300, 10, 0.60), Quality::Poor),
            (with(1000, 10, 0.05), Quality::Poor),
        ] {
            assert_eq!(quality(&start, &now), expected);
        }
    }
}
