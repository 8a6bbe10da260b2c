//! One peer connection: made, answered, accepted, closed. The engine's task calls it; what comes of it is a
//! [`NetEvent`].

mod browser;
mod forward;
mod hop;
mod pair;
mod requests;
mod server;

pub use forward::Forwards;
pub use server::{EarlyOffer, Rest, Stands, Taken, Trickle, Way};

use super::build::{Handler, build, internal, settings};
use super::endpoint::stream;
use super::keys::Keys;
use super::mapping::Lease;
use super::media_clock::MediaClock;
use super::monitor::{Monitor, Ssrcs};
use super::runtime::DriverRuntime;
use super::sdp::{Candidate, Shown};
use super::{Link, MAX_CONTROL_MESSAGE, NetConfig, NetError, NetEvent};
use super::{address, backoff, control, intercept, keeper, media, pictures, sdp, send, watch};
use crate::codec;
use crate::frame::{EncodedAudio, EncodedFrame};
use crate::invite::{self, Admits, Description, Kind};
use crate::ports::{AgreedVideo, Inlet, Outlet};
use crate::room::diagnosis::{Traffic, Ways};
use crate::room::message::Message;
use crate::units::{MediaKind, Redacted, VideoCodec};
use requests::Requests;
use server::Shape;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch as cell};
use tokio::task::JoinHandle;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCSessionDescription};
use webrtc::rtp_transceiver::RtpSender;

/// Gathering ends after this with the candidates that are there.
const GATHERING: Duration = Duration::from_secs(2);
/// The offering side checks this often: its first checks follow the paste that everyone waits for.
const OFFER_CHECKS: Duration = Duration::from_millis(50);
/// The answering side starts long before the other person pastes; its checks open the way through a NAT, and it
/// answers the other side's at once anyway. A guest of ours becomes slower as time passes (see `backoff`).
const ANSWER_CHECKS: Duration = Duration::from_millis(200);
/// Servers that have not answered by then do not.
const ALL_WAYS: Duration = Duration::from_secs(10);
/// Ways that are told when the call is up.
const MAX_REST: usize = 8;
/// Candidates pasted before the description they belong to.
const MAX_EARLY_CANDIDATES: usize = 64;
/// Closing takes no longer than this, even if the other side is gone; half of it is for the farewell.
const CLOSING: Duration = Duration::from_secs(1);

/// A connection to one other endpoint. Dropping it tears it down without a farewell; [`Peer::close`] is kinder.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    monitor: Arc<Monitor>,
    senders: [(MediaKind, Arc<dyn RtpSender>); 2],
    shape: Shape,
    outlet: (mpsc::Sender<EncodedFrame>, mpsc::Sender<EncodedAudio>),
    /// The codec of pictures in both directions.
    agreed: AgreedVideo,
    control: mpsc::Sender<String>,
    control_task: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    keyframe: Arc<Notify>,
    requests: Requests,
    added: forward::Added,
    /// The smaller sizes of our picture, where a server takes them.
    layers: Vec<(u8, mpsc::Sender<EncodedFrame>)>,
    runtime: Arc<DriverRuntime>,
    /// The router's port that leads here.
    lease: Option<Lease>,
    keys: Keys,
    /// Candidates that came before the other side's description; `None` once that is there.
    early: Mutex<Option<Vec<String>>>,
    closed: bool,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.control_task).for_each(JoinHandle::abort);
        // webrtc's driver runs on by itself, and would answer for ever.
        if !self.closed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let connection = self.connection.clone();
            runtime.spawn(async move { connection.close().await });
        }
    }
}

impl Peer {
    /// Gathers, at most 2 s, and gives the offer with all candidates.
    pub async fn offer(
        config: NetConfig,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, Description), NetError> {
        Self::offer_again(config, Keys::host()?, events).await
    }

    /// The same invite once more, from where this computer is now.
    pub async fn offer_again(
        config: NetConfig,
        keys: Keys,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, Description), NetError> {
        // Nobody can knock at a relay: it passes on only what comes from where we sent to.
        let admits = if config.relay_only { Admits::Only(String::new()) } else { Admits::Guests };
        let (peer, gathered) = Self::new(&config, events, OFFER_CHECKS, &keys, admits, Shape::Call).await?;
        keys.secret.into_iter().for_each(|secret| peer.runtime.line.admit_browsers(secret));
        pictures::offer_all(&*peer.connection, &peer.senders[1].1).await;
        let offer = peer.connection.create_offer(None).await.map_err(internal)?;
        let sdp = peer.gather(offer, gathered, &config, &keys).await?;
        Ok((peer, invite::canonical(Description { kind: Kind::Invite, sdp: Redacted(sdp) }, None)))
    }

    /// Takes the other side's offer, gathers like [`Self::offer`] and gives the answer. The connection comes up when
    /// the other side has accepted that, however long it takes.
    pub async fn answer(
        config: NetConfig,
        invite: &Description,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<(Self, Description), NetError> {
        let (remote, codec) = remote_description(invite, Kind::Invite)?;
        let secret = invite::secret(invite);
        let keys = Keys::guest(secret)?;
        let checks = if keys.are_of_an_invite() { backoff::FIRST } else { ANSWER_CHECKS };
        let (ufrag, password) = sdp::credentials(&remote.sdp).unwrap_or_default();
        let admits = Admits::Only(ufrag.into());
        let (peer, gathered) = Self::new(&config, events, checks, &keys, admits, Shape::Call).await?;
        // The checks begin before the answer is complete.
        peer.runtime.line.expect(ufrag, password);
        peer.prepare(codec).await?;
        peer.connection.set_remote_description(remote).await.map_err(unusable)?;
        let answer = peer.connection.create_answer(None).await.map_err(unusable)?;
        let all_ways = gathered.clone();
        let mut sdp = peer.gather(answer, gathered, &config, &keys).await?;
        if keys.are_of_an_invite() {
            peer.tell_the_rest(&sdp, all_ways, &config);
        }
        if codec.is_none() {
            sdp = pictures::refuse(&sdp);
        }
        peer.negotiated().await?;
        Ok((peer, invite::canonical(Description { kind: Kind::Reply, sdp: Redacted(sdp) }, secret)))
    }

    /// Takes the other side's answer to our offer.
    pub async fn accept(&self, reply: &Description) -> Result<(), NetError> {
        let (remote, codec) = remote_description(reply, Kind::Reply)?;
        self.prepare(codec).await?;
        self.connection.set_remote_description(remote).await.map_err(unusable)?;
        self.negotiated().await
    }

    /// Pictures will be of this codec, before webrtc reads the other side's description.
    async fn prepare(&self, codec: Option<VideoCodec>) -> Result<(), NetError> {
        self.agreed.set(codec);
        if self.shape.only_receives() {
            return Ok(());
        }
        let (ssrc, retransmission) = (self.keys.identity.video, self.keys.identity.retransmission);
        pictures::prepare(&self.senders[1].1, codec, ssrc, retransmission).await.map_err(internal)
    }

    /// What it goes by: an invite can be offered again with the same.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether this is a description by the other end of this connection.
    pub async fn is_other_end(&self, description: &Description) -> bool {
        let known = self.connection.remote_description().await;
        let credentials = known.as_ref().and_then(|known| sdp::credentials(&known.sdp));
        credentials.is_some() && credentials == sdp::credentials(&description.sdp.0)
    }

    /// Takes one more way to reach the other side: `candidate:...`, with or without `a=`. One that is of no use
    /// here (TCP, say) is taken and ignored.
    pub async fn add_candidate(&self, candidate: &str) -> Result<(), NetError> {
        let Candidate::Usable(line) = Candidate::parse(candidate)? else { return Ok(()) };
        if let Some(early) = &mut *self.early.lock().unwrap_or_else(PoisonError::into_inner) {
            if early.len() < MAX_EARLY_CANDIDATES {
                early.push(line);
            }
            return Ok(());
        }
        self.add_line(line).await
    }

    async fn add_line(&self, candidate: String) -> Result<(), NetError> {
        if let Some((address, kind)) = sdp::candidate_address(&candidate) {
            self.runtime.sockets.with_roam(|roam| roam.add_remote(address, sdp::is_relayed(kind)));
        }
        let candidate = RTCIceCandidateInit { candidate, sdp_mline_index: Some(0), ..Default::default() };
        self.connection.add_ice_candidate(candidate).await.map_err(|_| NetError::Candidate)?;
        self.runtime.nudge();
        Ok(())
    }

    /// SHA-256 of the DTLS certificates, ours first; `None` before both descriptions are there.
    pub async fn fingerprints(&self) -> Option<([u8; 32], [u8; 32])> {
        let local = self.connection.local_description().await?;
        let remote = self.connection.remote_description().await?;
        Some((invite::fingerprint(&local.sdp)?, invite::fingerprint(&remote.sdp)?))
    }

    /// Whether sound and picture pass, in either direction. They do until this says otherwise.
    pub fn admit(&self, admitted: bool) {
        let before = self.monitor.set_admitted(admitted);
        if admitted && !before && self.monitor.is_connected() {
            self.request_keyframe();
            self.monitor.tell(NetEvent::KeyframeWanted);
        }
    }

    /// Where the encoders write. Until the connection is up, what they write is dropped.
    pub fn outlet(&self) -> Outlet {
        let (video, audio) = self.outlet.clone();
        Outlet { video, audio, agreed: self.agreed.clone() }
    }

    /// Received packets go here from now on.
    pub fn connect(&self, inlet: Inlet) {
        self.monitor.set_inlet(inlet);
    }

    /// Sends in order; before the channel is open, messages wait.
    pub fn send_control(&self, text: String) -> Result<(), NetError> {
        if text.len() > MAX_CONTROL_MESSAGE {
            return Err(NetError::MessageTooLong);
        }
        self.control.try_send(text).map_err(|_| NetError::ControlFull)
    }

    /// Asks the other side for a keyframe (PLI).
    pub fn request_keyframe(&self) {
        self.keyframe.notify_one();
    }

    /// What the other side's code says of the ways to it, and what has passed so far.
    pub async fn seen(&self) -> (Ways, Traffic) {
        let theirs = self.connection.remote_description().await;
        (theirs.map(|theirs| sdp::ways(&theirs.sdp)).unwrap_or_default(), self.runtime.tap.traffic())
    }

    /// The invite of this connection is over; the connection itself goes on until it is closed.
    pub fn withdraw(&self) {
        self.runtime.line.shut();
    }

    /// Whether the invite of this connection is for many guests; each gets a connection of its own.
    pub fn admit_many(&self, many: bool) {
        self.runtime.line.admit_many(many);
    }

    /// Sends what is left on the control channel, then ends the connection: short, whatever the other side does.
    pub async fn close(mut self) {
        let (nobody, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.control, nobody));
        let farewell = self.control_task.take();
        let lease = self.lease.take();
        let connected = self.monitor.is_connected();
        let closing = async {
            if let Some(mut task) = farewell {
                if connected {
                    let _ = tokio::time::timeout(CLOSING / 2, &mut task).await;
                }
                task.abort();
            }
            self.tasks.iter().for_each(JoinHandle::abort);
            self.connection.close().await
        };
        let closed = tokio::time::timeout(CLOSING, closing).await;
        self.closed = matches!(closed, Ok(Ok(())));
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection did not close cleanly"),
            Err(_) => tracing::debug!("the connection took too long to close"),
        }
        if let Some(lease) = lease {
            lease.release().await;
        }
    }

    /// A connection with both tracks, sound first, and the control channel if there is one.
    async fn new(
        config: &NetConfig,
        events: mpsc::Sender<NetEvent>,
        checks: Duration,
        keys: &Keys,
        admits: Admits,
        shape: Shape,
    ) -> Result<(Self, cell::Receiver<bool>), NetError> {
        let identity = &keys.identity;
        let addresses = address::listen_on(config)?;
        config.endpoint.open(address::of_port(config, &addresses).into_iter());
        let v6 = addresses.iter().all(SocketAddr::is_ipv6);
        let servers = address::ice_servers(config, v6).await?;
        let random = Random::new();
        let (audio, video) = (identity.audio, identity.video);
        let clock = MediaClock::new(Instant::now(), random.number(), random.number());
        let estimator = intercept::estimator(config.max_bitrate);
        let monitor = Monitor::new(events.clone(), Ssrcs { audio, video }, clock, estimator);
        let monitor = Arc::new(monitor);
        let (gathered, gathering) = cell::channel(false);
        // An invite calls nobody: it waits.
        let calling = keys.are_of_an_invite() && admits != Admits::Guests;
        let line = config.endpoint.line(&identity.ufrag, &identity.password.0, admits, events.clone());
        let relays = address::relays(&servers.ice);
        let runtime = Arc::new(DriverRuntime::new(line, relays.clone(), calling));
        if !config.relay_only {
            runtime.sockets.with_roam(|roam| roam.set_relays(relays));
        }
        runtime.streams.open(servers.streams);
        let stun_servers = if config.relay_only { Vec::new() } else { address::stun_servers(&servers.ice) };
        let (pictures, their_pictures) = cell::channel(None);
        let (monitor_of_handler, runtime_of_handler) = (monitor.clone(), runtime.clone());
        let handler =
            Handler { gathered, pictures, monitor: monitor_of_handler, runtime: runtime_of_handler };
        let handler = Arc::new(handler);
        let settings = |mdns| settings(mdns, checks, identity);
        let connection =
            build(config, addresses, servers.ice, settings, keys, shape.is_layered(), handler).await?;

        // Sound first: a browser that refuses the first section (video without an H.264 decoder) would lose the
        // candidates, which stand there.
        let audio_track = media::audio_track(audio);
        let main = (video, identity.retransmission);
        let smaller: Vec<(u8, u32)> = (1..shape.layers()).map(|layer| (layer, random.number())).collect();
        let video_track = match shape.is_layered() {
            false => media::video_track(VideoCodec::H264, main.0, main.1),
            true => {
                let smaller = smaller.iter().map(|(_, ssrc)| (*ssrc, random.number()));
                media::layered_track(&[main].into_iter().chain(smaller).collect::<Vec<_>>())
            }
        };
        let senders = [
            (MediaKind::Audio, shape.add(&*connection, &audio_track).await?),
            (MediaKind::Video, shape.add(&*connection, &video_track).await?),
        ];
        let channel = match shape {
            Shape::Call => Some(control::open(&*connection).await?),
            Shape::Server(_) => None,
        };
        if channel.is_none() {
            runtime.settle();
        }

        let requests = match shape.only_receives() {
            true => Requests::AlongTheirs(their_pictures),
            false => Requests::AlongOurs(video_track.clone()),
        };
        let (video_out, video_in) = mpsc::channel(send::VIDEO_QUEUE);
        let (audio_out, audio_in) = mpsc::channel(send::AUDIO_QUEUE);
        let (control, outgoing) = mpsc::channel(control::QUEUE);
        let keyframe = Arc::new(Notify::new());
        monitor.streams.outbox.connect(runtime.nudger(), Arc::downgrade(&runtime.line));
        let mut tasks = vec![
            tokio::spawn(send::audio(audio_in, audio_track, monitor.clone())),
            tokio::spawn(send::video(video_in, video_track.clone(), video, monitor.clone())),
            tokio::spawn(requests::run(keyframe.clone(), requests.clone(), monitor.clone())),
            tokio::spawn(tell_of_link(monitor.link(), events.clone(), keyframe.clone())),
            tokio::spawn(watch::run(
                config.clone(),
                runtime.sockets.clone(),
                monitor.clone(),
                runtime.ended.clone(),
            )),
            tokio::spawn(keeper::run(config.clone(), runtime.line.clone(), stun_servers, monitor.clone())),
        ];
        if !config.relay_only {
            let line = Arc::downgrade(&runtime.line);
            tasks.push(tokio::spawn(stream::run(line, runtime.sockets.clone(), monitor.link())));
        }
        let control_task = channel.map(|channel| {
            tokio::spawn(control::run(channel, outgoing, events, runtime.clone(), monitor.link()))
        });
        let outlet = (video_out, audio_out);
        let early = Mutex::new(Some(Vec::new()));
        let port = if config.relay_only { None } else { runtime.port_behind_router() };
        let lease = port.and_then(|port| config.port_mapping.lease(port));
        let mut peer = Self {
            connection,
            monitor,
            senders,
            shape,
            outlet,
            agreed: AgreedVideo::default(),
            control,
            control_task,
            tasks,
            keyframe,
            requests,
            added: forward::Added::default(),
            layers: Vec::new(),
            runtime,
            lease,
            keys: keys.clone(),
            early,
            closed: false,
        };
        peer.open_layers(&smaller, &video_track);
        Ok((peer, gathering))
    }

    /// Starts gathering and gives the finished text of our description.
    async fn gather(
        &self,
        description: RTCSessionDescription,
        gathered: cell::Receiver<bool>,
        config: &NetConfig,
        keys: &Keys,
    ) -> Result<String, NetError> {
        self.connection.set_local_description(description).await.map_err(internal)?;
        let mapped = self.wait_for_candidates(gathered, GATHERING).await;
        self.described(config, keys, mapped).await
    }

    /// Gives where the router passes packets on to us, if it does.
    async fn wait_for_candidates(
        &self,
        mut gathered: cell::Receiver<bool>,
        patience: Duration,
    ) -> Option<SocketAddr> {
        let (mut link, mut mapped) = (self.monitor.link(), None);
        let both = async {
            let mapping = async {
                if let Some(lease) = &self.lease {
                    mapped = lease.mapped().await;
                }
            };
            // What it lends must not outlive the wait.
            let gathering = async { drop(gathered.wait_for(|done| *done).await) };
            tokio::join!(gathering, mapping);
        };
        tokio::select! {
            () = both => {}
            // Nobody needs the code any more.
            _ = link.wait_for(|link| *link == Link::Connected) => {}
            () = tokio::time::sleep(patience) => {
                tracing::info!("gathering was cut short: an ICE server or the router does not answer");
            }
        }
        mapped
    }

    /// Our description with the candidates that are there.
    async fn described(
        &self,
        config: &NetConfig,
        keys: &Keys,
        mapped: Option<SocketAddr>,
    ) -> Result<String, NetError> {
        let description = self.connection.local_description().await;
        let description = description.ok_or_else(|| NetError::Internal("there is no description".into()))?;
        let shown = Shown { relay_only: config.relay_only, hide_local: config.hide_addresses, mapped };
        let sdp = sdp::rename(&description.sdp, &self.runtime.names());
        let sdp = sdp::finish(&sdp, shown, keys.mark.as_deref());
        match sdp::has_candidates(&sdp) {
            true => Ok(sdp),
            false if config.hide_addresses && sdp::has_candidates(&description.sdp) => {
                Err(NetError::OnlyHidden)
            }
            false if config.relay_only => Err(match self.runtime.streams.trouble() {
                Some((host, trouble)) => NetError::Relay(host, trouble.to_string()),
                None => NetError::NoRelay,
            }),
            false => Err(NetError::NoNetwork),
        }
    }

    /// A guest may be let in before all its ways are known. It tells the others when they are: with them a call can
    /// leave a relay.
    fn tell_the_rest(&self, told: &str, mut gathered: cell::Receiver<bool>, config: &NetConfig) {
        let ways = |sdp: String| invite::candidates(&Description { kind: Kind::Reply, sdp: Redacted(sdp) });
        let told = ways(told.into());
        let (connection, runtime, control) =
            (self.connection.clone(), self.runtime.clone(), self.control.clone());
        let shown = Shown { relay_only: config.relay_only, hide_local: config.hide_addresses, mapped: None };
        tokio::spawn(async move {
            let all = async { gathered.wait_for(|done| *done).await.is_ok() };
            if tokio::time::timeout(ALL_WAYS, all).await != Ok(true) {
                return;
            }
            let Some(description) = connection.local_description().await else { return };
            let sdp = sdp::finish(&sdp::rename(&description.sdp, &runtime.names()), shown, None);
            let rest = ways(sdp).into_iter().filter(|way| !told.contains(way)).take(MAX_REST);
            for candidate in rest {
                let _ = control.try_send(Message::Candidate { candidate }.to_json());
            }
        });
    }

    /// Both descriptions are there: which payload types are ours, and the candidates that came early.
    async fn negotiated(&self) -> Result<(), NetError> {
        // webrtc knows no sender of a section that only receives.
        for (kind, sender) in self.senders.iter().filter(|_| !self.shape.only_receives()) {
            let codecs = sender.get_parameters().await.map_err(internal)?.rtp_parameters.codecs;
            match kind {
                MediaKind::Audio => {
                    let (opus, red) = media::sound(&codecs);
                    self.monitor.set_payload_type(*kind, opus);
                    self.monitor.set_red(red);
                }
                MediaKind::Video => {
                    let agreed = self.agreed.get();
                    let payload_type = agreed.and_then(|agreed| media::pictures(&codecs, agreed));
                    self.monitor.set_payload_type(*kind, payload_type);
                }
            }
        }
        let local = self.connection.local_description().await;
        let remote = self.connection.remote_description().await;
        if let (Some(local), Some(remote)) = (local, remote) {
            if self.shape.only_receives() {
                self.monitor.set_red(sdp::red(&local.sdp));
            }
            let crypto = rtc::crypto::default_provider().map_err(internal)?;
            let keys = sdp::keys(&local.sdp, &remote.sdp);
            if let Some(keys) = &keys {
                self.runtime.line.expect(&keys.remote_ufrag, &keys.remote_pwd);
            }
            self.runtime.sockets.with_roam(|roam| {
                keys.into_iter().for_each(|keys| roam.set_keys(keys, crypto.clone()));
                sdp::addresses(&remote.sdp)
                    .for_each(|(address, kind)| roam.add_remote(address, sdp::is_relayed(kind)));
            });
        }
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        for candidate in early.into_iter().flatten() {
            self.add_line(candidate).await?;
        }
        Ok(())
    }
}

fn unusable(error: impl std::fmt::Display) -> NetError {
    NetError::Description(error.to_string())
}

/// The other side's description as webrtc shall read it, and the codec that is agreed on by it.
fn remote_description(
    description: &Description,
    kind: Kind,
) -> Result<(RTCSessionDescription, Option<VideoCodec>), NetError> {
    if description.kind != kind {
        return Err(NetError::Description("it is of the wrong kind.".into()));
    }
    let (sdp, codec) = pictures::agree(&sdp::admit(&description.sdp.0)?, kind, codec::video_codecs());
    let description = match kind {
        Kind::Invite => RTCSessionDescription::offer(sdp),
        Kind::Reply => RTCSessionDescription::answer(sdp),
    };
    Ok((description.map_err(unusable)?, codec))
}

/// Each change of the link, in order; changes that follow each other faster than the engine reads become one.
async fn tell_of_link(mut link: cell::Receiver<Link>, events: mpsc::Sender<NetEvent>, keyframe: Arc<Notify>) {
    let mut told = Link::Connecting;
    while link.changed().await.is_ok() {
        let now = *link.borrow_and_update();
        if now == told {
            continue;
        }
        told = now;
        if events.send(NetEvent::Link(now)).await.is_err() {
            return;
        }
        // What was encoded while nobody listened is gone, on both sides.
        if now == Link::Connected {
            keyframe.notify_one();
        }
        if now == Link::Connected && events.send(NetEvent::KeyframeWanted).await.is_err() {
            return;
        }
    }
}

/// Numbers that an outsider should not guess, from the standard library's random hash keys.
struct Random(std::collections::hash_map::RandomState);

impl Random {
    fn new() -> Self {
        Self(std::collections::hash_map::RandomState::new())
    }
    fn number(&self) -> u32 {
        use std::hash::BuildHasher;
        let fresh = std::collections::hash_map::RandomState::new();
        self.0.hash_one(fresh.hash_one(0_u8)) as u32
    }
}
