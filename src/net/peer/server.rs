//! Connections to servers: media go one way, there is no control channel, and both descriptions are plain SDP.

use super::{GATHERING, OFFER_CHECKS, Peer, internal, unusable};
use crate::frame::EncodedFrame;
use crate::invite::{Admits, Description, Identity, Kind};
use crate::net::keys::Keys;
use crate::net::sdp::Shown;
use crate::net::streams::{mark, named};
use crate::net::{NetConfig, NetError, NetEvent, PortMapping, pictures, sdp, send};
use crate::relay::MAX_LAYERS;
use crate::units::{MediaKind, Redacted, VideoCodec};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as cell};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};
use webrtc::rtp_transceiver::RtpSender;

/// Which way media go between us and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Send,
    /// Our picture in several sizes, of which the server gives each receiver one (simulcast, RFC 8853).
    SendLayered,
    Receive,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Both ways, and words besides.
    Call,
    Server(Way),
}

impl Shape {
    pub fn only_receives(self) -> bool {
        self == Self::Server(Way::Receive)
    }

    pub fn is_layered(self) -> bool {
        self == Self::Server(Way::SendLayered)
    }

    /// In how many sizes our picture goes out.
    pub fn layers(self) -> u8 {
        if self.is_layered() { MAX_LAYERS as u8 } else { 1 }
    }

    /// Adds the track. Where we only receive, it stands for its section and sends nothing.
    pub async fn add(
        self,
        connection: &dyn PeerConnection,
        track: &Arc<TrackLocalStaticRTP>,
    ) -> Result<Arc<dyn RtpSender>, NetError> {
        let track = track.clone() as Arc<dyn TrackLocal>;
        let (first, then) = match self {
            Self::Call => return connection.add_track(track).await.map_err(internal),
            Self::Server(Way::Send | Way::SendLayered) => (RTCRtpTransceiverDirection::Sendonly, None),
            // A track cannot be added for receiving, but its direction can be changed to that.
            Self::Server(Way::Receive) => {
                (RTCRtpTransceiverDirection::Sendrecv, Some(RTCRtpTransceiverDirection::Recvonly))
            }
        };
        let init =
            RTCRtpTransceiverInit { direction: first, streams: Vec::new(), send_encodings: Vec::new() };
        let added = connection.add_transceiver_from_track(track, Some(init)).await.map_err(internal)?;
        // Before the direction changes: one that only receives hands out no sender.
        let sender = added.sender().await.map_err(internal)?;
        if let Some(direction) = then {
            added.set_direction(direction).await.map_err(internal)?;
        }
        sender.ok_or_else(|| internal("a track has no sender"))
    }
}

/// Host candidates are there within milliseconds; a STUN server that is near answers as soon.
const EARLY: Duration = Duration::from_millis(100);

/// An offer that may not have all candidates yet.
pub struct EarlyOffer {
    pub sdp: Redacted<String>,
    /// Those that were missing, when they are there; `None`: there were none.
    pub rest: Option<Rest>,
}

pub type Rest = Pin<Box<dyn Future<Output = Trickle> + Send>>;

/// Candidates after an offer, and what says whose they are.
#[derive(Clone, Debug)]
pub struct Trickle {
    /// `candidate:...`
    pub candidates: Redacted<Vec<String>>,
    pub ufrag: Redacted<String>,
    pub password: Redacted<String>,
}

/// What a server takes of what we offer: a picture at all, and that in several sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub picture: bool,
    pub layers: bool,
}

/// Which section of a server's offer is whose: its `mid`, and a name that the room has for who sends it.
pub type Stands = Vec<(String, String)>;

impl Peer {
    /// Gathers like [`Peer::offer`], for a server that sends to us or that we send to.
    pub async fn offer_to_server(
        mut config: NetConfig,
        way: Way,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, Redacted<String>), NetError> {
        let (peer, gathered, keys) = Self::begin_offer(&mut config, way, events).await?;
        let offer = peer.connection.create_offer(None).await.map_err(internal)?;
        let sdp = peer.gather(offer, gathered, &config, &keys).await?;
        Ok((peer, Redacted(sdp)))
    }

    /// The same for a server that takes candidates later (trickle ICE): the offer has what is there at once.
    pub async fn offer_early(
        mut config: NetConfig,
        way: Way,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, EarlyOffer), NetError> {
        let (peer, gathered, keys) = Self::begin_offer(&mut config, way, events).await?;
        let offer = peer.connection.create_offer(None).await.map_err(internal)?;
        peer.connection.set_local_description(offer).await.map_err(internal)?;
        peer.wait_for_candidates(gathered.clone(), EARLY).await;
        let sdp = match peer.described(&config, &keys, None).await {
            Ok(sdp) => sdp,
            Err(_) => {
                peer.wait_for_candidates(gathered.clone(), GATHERING).await;
                peer.described(&config, &keys, None).await?
            }
        };
        let is_whole = *gathered.borrow();
        let rest = (!is_whole).then(|| peer.rest(sdp.clone(), gathered, config, keys));
        let sdp = if rest.is_some() { sdp.replace("a=end-of-candidates\r\n", "") } else { sdp };
        Ok((peer, EarlyOffer { sdp: Redacted(sdp), rest }))
    }

    /// What is found after `told`; ready when gathering is over.
    fn rest(&self, told: String, mut gathered: cell::Receiver<bool>, config: NetConfig, keys: Keys) -> Rest {
        let (connection, runtime) = (self.connection.clone(), self.runtime.clone());
        Box::pin(async move {
            let all = async { drop(gathered.wait_for(|done| *done).await) };
            let _ = tokio::time::timeout(GATHERING, all).await;
            let now = connection.local_description().await.map(|now| now.sdp).unwrap_or_default();
            let shown =
                Shown { relay_only: config.relay_only, hide_local: config.hide_addresses, mapped: None };
            let now = sdp::finish(&sdp::rename(&now, &runtime.names()), shown, None);
            let is_new =
                |line: &&str| line.starts_with("a=candidate:") && !told.lines().any(|old| old == *line);
            let candidates = now.lines().filter(is_new).map(|line| line["a=".len()..].to_owned()).collect();
            let Identity { ufrag, password, .. } = keys.identity;
            Trickle { candidates: Redacted(candidates), ufrag: Redacted(ufrag), password }
        })
    }

    async fn begin_offer(
        config: &mut NetConfig,
        way: Way,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, cell::Receiver<bool>, Keys), NetError> {
        // A server is where everybody finds it, so it needs no way to us but the one that our checks open.
        config.port_mapping = PortMapping::default();
        let keys = Keys::guest(None)?;
        // Nobody may come in before the server has answered.
        let admits = Admits::Only(String::new());
        let (peer, gathered) =
            Self::new(config, events, OFFER_CHECKS, &keys, admits, Shape::Server(way)).await?;
        Ok((peer, gathered, keys))
    }

    /// Answers the offer of a server that sends us what many people send. Their packets go where
    /// [`Peer::connect_forwarded`] says, by the names in `stands`.
    pub async fn answer_server(
        mut config: NetConfig,
        offer: &Redacted<String>,
        stands: &Stands,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, Redacted<String>), NetError> {
        config.port_mapping = PortMapping::default();
        let remote = offer_of_server(offer)?;
        let keys = Keys::guest(None)?;
        let (ufrag, password) = sdp::credentials(&remote.sdp).unwrap_or_default();
        let admits = Admits::Only(ufrag.into());
        let shape = Shape::Server(Way::Receive);
        let (peer, gathered) = Self::new(&config, events, OFFER_CHECKS, &keys, admits, shape).await?;
        peer.runtime.line.expect(ufrag, password);
        peer.prepare(Some(VideoCodec::H264)).await?;
        peer.monitor.streams.set_incoming(named(&offer.0, stands));
        peer.connection.set_remote_description(remote).await.map_err(unusable)?;
        let answer = peer.connection.create_answer(None).await.map_err(unusable)?;
        let sdp = peer.gather(answer, gathered, &config, &keys).await?;
        peer.negotiated().await?;
        Ok((peer, Redacted(without_streams(&sdp))))
    }

    /// Answers a later offer on the same connection: others stand in its sections now, or there are more.
    pub async fn answer_again(
        &self,
        offer: &Redacted<String>,
        stands: &Stands,
    ) -> Result<Redacted<String>, NetError> {
        let remote = offer_of_server(offer)?;
        // Known before the first packet comes.
        self.monitor.streams.set_incoming(named(&offer.0, stands));
        self.connection.set_remote_description(remote).await.map_err(unusable)?;
        let answer = self.connection.create_answer(None).await.map_err(unusable)?;
        let text = mark(&answer.sdp, &[]);
        self.connection.set_local_description(answer).await.map_err(internal)?;
        Ok(Redacted(without_streams(&text)))
    }

    /// Takes the server's answer to our offer; gives what of our picture it takes.
    pub async fn accept_server(&self, answer: &Redacted<String>) -> Result<Taken, NetError> {
        self.accept(&description(Kind::Reply, answer)).await?;
        let picture = sdp::takes_pictures(&answer.0);
        if !picture {
            self.monitor.set_payload_type(MediaKind::Video, None);
        }
        let layers = picture && answer.0.lines().any(|line| line.starts_with("a=simulcast:recv "));
        Ok(Taken { picture, layers })
    }

    /// Where the encoders of the smaller sizes of our picture write, on a connection that takes them.
    pub fn layers(&self) -> &[(u8, mpsc::Sender<EncodedFrame>)] {
        &self.layers
    }

    /// A way out for each smaller size.
    pub(super) fn open_layers(&mut self, layers: &[(u8, u32)], track: &Arc<TrackLocalStaticRTP>) {
        for (layer, ssrc) in layers {
            let (frames, queue) = mpsc::channel(send::VIDEO_QUEUE);
            self.tasks.push(tokio::spawn(send::video(queue, track.clone(), *ssrc, self.monitor.clone())));
            self.monitor.streams.add_layer(*layer, *ssrc);
            self.layers.push((*layer, frames));
        }
    }
}

/// The offer of a server as webrtc shall read it. A section in which nobody stands for now is one that takes nothing from
/// us either: of one that is inactive webrtc stops its end for good, and who comes into it later is not heard.
fn offer_of_server(offer: &Redacted<String>) -> Result<RTCSessionDescription, NetError> {
    let admitted = sdp::admit_of_server(&offer.0)?;
    let line =
        |line: &str| if line == "a=inactive" { "a=recvonly\r\n".into() } else { format!("{line}\r\n") };
    let readable: String = admitted.lines().map(line).collect();
    let (readable, _) = pictures::agree(&readable, Kind::Invite, &[VideoCodec::H264]);
    RTCSessionDescription::offer(readable).map_err(unusable)
}

/// Our answer without the numbers of streams that we never send. Janus takes a request for lost packets for that
/// section's in which it finds the number of whoever asks: for all members, that would be the first one's.
fn without_streams(answer: &str) -> String {
    let lines = answer.lines().filter(|line| !line.starts_with("a=ssrc"));
    lines.map(|line| format!("{line}\r\n")).collect()
}

fn description(kind: Kind, sdp: &Redacted<String>) -> Description {
    Description { kind, sdp: sdp.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_a_server_are_read_and_answered_so_that_sections_can_be_used_again() {
        let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 00\r\n\
                     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n\
                     m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 H264/90000\r\na=inactive\r\n";
        let readable = offer_of_server(&Redacted(offer.into())).unwrap().sdp;
        assert!(readable.contains("a=mid:1\r\n") && readable.contains("a=recvonly\r\n"), "{readable}");
        assert!(readable.contains("a=sendonly\r\n") && !readable.contains("a=inactive"), "{readable}");
        let answer = "m=video 9 X 96\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=recvonly\r\n";
        assert_eq!(without_streams(answer), "m=video 9 X 96\r\na=recvonly\r\n");
        for damaged in ["", "v=0", &offer[..60]] {
            let _ = offer_of_server(&Redacted(damaged.into()));
        }
    }
}
