//! Other members' streams on this connection, and smaller layers of our own picture: added and taken away while the
//! call goes on, by a new exchange of descriptions over the control channel.
//!
//! * The host: [`Peer::add_forwarded`] and [`Peer::remove_forwarded`], then [`Peer::describe`]; its text goes to the other
//!   side as a control message, which takes it with [`Peer::answer_description`] and says the answer, which
//!   [`Peer::settle`] takes. What goes into [`Peer::forwards`] comes out at the other end, in the inlet that was given
//!   to [`Peer::connect_forwarded`] there.
//! * A guest whose picture is wanted small as well: [`Peer::add_layer`], then the same exchange.
//!
//! One section of sound and one of picture stand for one member. A member who leaves frees theirs for the next one:
//! descriptions never shrink (RFC 9429, 5.2.2), so this bounds them. Should both sides describe at the same time, the
//! side that made the invite wins, and the other one says its own again afterwards.

use super::{Peer, internal, unusable};
use crate::frame::EncodedFrame;
use crate::invite::Kind;
use crate::net::monitor::Monitor;
use crate::net::streams::{Mark, Outgoing, RelayInlet, Section, mark, marked};
use crate::net::{NetError, Outbox, media, pictures, sdp, send};
use crate::ports::{Inlet, PeerId};
use crate::relay::{Forward, MAX_LAYERS, MAX_MEMBERS};
use crate::stats::PeerStats;
use crate::units::{MediaKind, VideoCodec};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::RTCSessionDescription;

/// One relay's way into a connection.
#[derive(Clone)]
pub struct Forwards {
    outbox: Arc<Outbox>,
    relay: u64,
}

impl Forwards {
    /// `false`: there is no room, and it is lost.
    pub fn put(&self, forward: Forward) -> bool {
        self.outbox.put(self.relay, forward)
    }

    /// What was put in leaves now.
    pub fn send(&self) {
        self.outbox.send();
    }

    /// Looks whether nothing was put in for a while; gives whether that is still to be seen.
    pub fn rest(&self, now: Instant) -> bool {
        self.outbox.rest(now)
    }

    #[cfg(test)]
    pub fn to_nobody() -> Self {
        Self { outbox: Arc::default(), relay: 0 }
    }
}

/// The sections of this connection that were added.
#[derive(Default)]
pub(in crate::net) struct Added {
    slots: Mutex<Vec<Slot>>,
    /// Which layer, and its SSRC.
    layers: Mutex<Vec<(u8, u32)>>,
    /// Of relays and of tenancies.
    next: AtomicU64,
}

/// Stands for one member, or waits for the next one.
struct Slot {
    member: Option<(PeerId, String)>,
    /// Which one has it; whoever comes back is another.
    tenancy: u64,
    known: Known,
    /// SSRCs.
    audio: u32,
    video: u32,
}

/// Whether the other side knows whose sections they are; before, it would take their packets for somebody else's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    No,
    /// It is in the description that is under way.
    Said,
    Agreed,
}

impl Added {
    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> Vec<(u32, Mark)> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut marks: Vec<_> = layers.iter().map(|(layer, ssrc)| (*ssrc, Mark::Layer(*layer))).collect();
        for slot in self.slots().iter() {
            if let Some((_, name)) = &slot.member {
                marks.extend([slot.audio, slot.video].map(|ssrc| (ssrc, Mark::Member(name.clone()))));
            }
        }
        marks
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn tell(&self, monitor: &Monitor) {
        let slots = self.slots();
        let streams = slots.iter().filter_map(|slot| Some((slot, slot.member.as_ref()?.0)));
        monitor.streams.set_outgoing(streams.flat_map(|(slot, of)| {
            [(slot.audio, MediaKind::Audio), (slot.video, MediaKind::Video)].map(|(ssrc, kind)| Outgoing {
                ssrc,
                kind,
                of,
                agreed: slot.known == Known::Agreed,
                tenancy: slot.tenancy,
            })
        }));
    }
}

impl Peer {
    /// What the other end sends goes to a relay as well, from now on.
    pub fn relay_to(&self, inlet: Option<RelayInlet>) {
        self.monitor.streams.set_relay(inlet);
    }

    /// Whether our own sound and picture are kept back here, because the other end gets them another way.
    pub fn hold(&self, held: bool) {
        self.monitor.set_held(held);
    }

    /// Where a relay puts what is forwarded to the other end. Bounded: what finds no room is lost. What an earlier relay
    /// still has is of no use from the first packet of this one on.
    pub fn forwards(&self) -> Forwards {
        Forwards { outbox: self.monitor.streams.outbox.clone(), relay: self.added.next() }
    }

    /// Whether the other side takes H.264: what is forwarded is not encoded anew, and a mix is made as that.
    pub fn takes_forwarded(&self) -> bool {
        self.agreed.get() == Some(VideoCodec::H264)
    }

    /// There are to be streams for a member of the room. `name`: what the room calls them; letters, digits, `-_.`, at
    /// most 64. Takes effect with the next [`Self::describe`]; `true`: that is needed.
    pub async fn add_forwarded(&self, member: PeerId, name: &str) -> Result<bool, NetError> {
        if !Mark::is_sayable(name) {
            return Err(NetError::Internal("the name of a member cannot be said".into()));
        }
        if !self.takes_forwarded() {
            return Err(NetError::Internal(
                "the other side does not take H.264, which is what is forwarded".into(),
            ));
        }
        {
            let mut slots = self.added.slots();
            if slots.iter().any(|slot| slot.member.as_ref().is_some_and(|(known, _)| *known == member)) {
                return Ok(false);
            }
            if let Some(free) = slots.iter_mut().find(|slot| slot.member.is_none()) {
                free.member = Some((member, name.into()));
                (free.known, free.tenancy) = (Known::No, self.added.next());
                drop(slots);
                self.added.tell(&self.monitor);
                return Ok(true);
            }
            if slots.len() >= MAX_MEMBERS {
                return Err(NetError::Internal("the room is full".into()));
            }
        }
        let random = super::Random::new();
        let (audio, video, rtx) = (random.number(), random.number(), random.number());
        let id = format!("forwarded-{audio}");
        for track in [media::forwarded_audio(&id, audio), media::forwarded_video(&id, video, rtx)] {
            self.add_sendonly(track).await?;
        }
        let (member, tenancy) = (Some((member, name.into())), self.added.next());
        self.added.slots().push(Slot { member, tenancy, known: Known::No, audio, video });
        self.added.tell(&self.monitor);
        Ok(true)
    }

    /// The member has left: nothing more goes out in their streams. Takes effect at once; the next
    /// [`Self::describe`] tells the other side.
    pub fn remove_forwarded(&self, member: PeerId) {
        for slot in self.added.slots().iter_mut() {
            slot.member.take_if(|(known, _)| *known == member);
        }
        self.added.tell(&self.monitor);
    }

    /// A smaller layer of our own picture: where its encoder writes. Takes effect with the next [`Self::describe`].
    pub async fn add_layer(&mut self, layer: u8) -> Result<mpsc::Sender<EncodedFrame>, NetError> {
        if !(1..MAX_LAYERS as u8).contains(&layer) {
            return Err(NetError::Internal("there is no such layer".into()));
        }
        if !self.takes_forwarded() {
            return Err(NetError::Internal(
                "smaller layers are H.264, which the other side does not take".into(),
            ));
        }
        let random = super::Random::new();
        let (ssrc, rtx) = (random.number(), random.number());
        let track = media::forwarded_video(&format!("layer-{layer}"), ssrc, rtx);
        self.add_sendonly(track.clone()).await?;
        let (frames, queue) = mpsc::channel(send::VIDEO_QUEUE);
        self.tasks.push(tokio::spawn(send::video(queue, track, ssrc, self.monitor.clone())));
        self.added.layers.lock().unwrap_or_else(PoisonError::into_inner).push((layer, ssrc));
        self.monitor.streams.add_layer(layer, ssrc);
        Ok(frames)
    }

    async fn add_sendonly(&self, track: Arc<TrackLocalStaticRTP>) -> Result<(), NetError> {
        let direction = RTCRtpTransceiverDirection::Sendonly;
        let init = RTCRtpTransceiverInit { direction, streams: Vec::new(), send_encodings: Vec::new() };
        let track = track as Arc<dyn TrackLocal>;
        self.connection.add_transceiver_from_track(track, Some(init)).await.map_err(internal)?;
        Ok(())
    }

    /// The other side's description as webrtc shall read it: the codec stays the one that was agreed on at first.
    fn readable(&self, description: &str, kind: Kind) -> Result<String, NetError> {
        Ok(pictures::agree(&sdp::admit(description)?, kind, self.agreed.get().as_slice()).0)
    }

    /// What is to be from now on, for the other side.
    pub async fn describe(&self) -> Result<String, NetError> {
        let offer = self.connection.create_offer(None).await.map_err(internal)?;
        let text = mark(&offer.sdp, &self.added.marks());
        self.connection.set_local_description(offer).await.map_err(internal)?;
        // Those who were freed in between and taken anew are in the next one.
        let said = marked(&text);
        for slot in self.added.slots().iter_mut().filter(|slot| slot.known == Known::No) {
            let name = slot.member.as_ref().map(|(_, name)| name);
            let is_in = |section: &Section| {
                section.ssrc == slot.video
                    && matches!(&section.mark, Mark::Member(said) if Some(said) == name)
            };
            if said.iter().any(is_in) {
                slot.known = Known::Said;
            }
        }
        Ok(text)
    }

    /// Takes the other side's description and gives the answer. `None`: it came while ours is under way, and ours
    /// counts (`wins`); otherwise ours is withdrawn, and has to be made again.
    pub async fn answer_description(&self, offer: &str, wins: bool) -> Result<Option<String>, NetError> {
        let remote = RTCSessionDescription::offer(self.readable(offer, Kind::Invite)?).map_err(unusable)?;
        if self.connection.pending_local_description().await.is_some() {
            if wins {
                return Ok(None);
            }
            let back = RTCSessionDescription::rollback(None).map_err(internal)?;
            self.connection.set_local_description(back).await.map_err(internal)?;
        }
        // Known before the first packet comes.
        let before = self.monitor.streams.set_incoming(marked(offer));
        if let Err(error) = self.connection.set_remote_description(remote).await {
            self.monitor.streams.set_incoming(before);
            return Err(unusable(error));
        }
        let answer = self.connection.create_answer(None).await.map_err(unusable)?;
        let text = mark(&answer.sdp, &self.added.marks());
        self.connection.set_local_description(answer).await.map_err(internal)?;
        Ok(Some(text))
    }

    /// Takes the answer to [`Self::describe`].
    pub async fn settle(&self, answer: &str) -> Result<(), NetError> {
        let remote = RTCSessionDescription::answer(self.readable(answer, Kind::Reply)?).map_err(unusable)?;
        self.connection.set_remote_description(remote).await.map_err(unusable)?;
        for slot in self.added.slots().iter_mut().filter(|slot| slot.known == Known::Said) {
            slot.known = Known::Agreed;
        }
        self.added.tell(&self.monitor);
        Ok(())
    }

    /// Whose streams the other side forwards to us, by the room's names for them.
    pub fn forwarded(&self) -> Vec<String> {
        self.monitor.streams.names()
    }

    /// Where the packets of a member go that the other side forwards; `None`: nowhere any more.
    pub fn connect_forwarded(&self, name: &str, inlet: Option<Inlet>) {
        self.monitor.streams.set_inlet(name, inlet);
    }

    /// Fills in what this connection has counted of a member whose streams come over it.
    pub fn forwarded_stats(&self, name: &str, into: &mut PeerStats) {
        self.monitor.streams.fill(name, into);
    }

    /// Packets of such a member's picture: those that came, and those that were lost.
    pub fn forwarded_loss(&self, name: &str) -> Option<(u64, i64)> {
        self.monitor.streams.loss(name)
    }

    /// Asks for a keyframe of a member whose picture is forwarded to us.
    pub async fn request_forwarded_keyframe(&self, name: &str) {
        if let Some(ssrc) = self.monitor.streams.video_of(name) {
            self.ask(ssrc).await;
        }
    }

    /// Asks the other end for a keyframe of one of its own layers, 0 being the main one.
    pub async fn request_layer_keyframe(&self, layer: u8) {
        if let Some(ssrc) = self.monitor.streams.layer(layer, self.monitor.remote_video()) {
            self.ask(ssrc).await;
        }
    }

    async fn ask(&self, media_ssrc: u32) {
        self.requests.ask(&self.monitor, media_ssrc).await;
    }
}
