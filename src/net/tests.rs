//! Two peers in one process, over the loopback interface: real sockets, ICE, DTLS, SRTP and SCTP.

use super::*;
use crate::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use crate::invite::{self, Description, Kind};
use crate::ports::{Inlet, Outlet};
use crate::rtp::red;
use crate::stats::PeerStats;
use crate::units::{MediaKind, Redacted, Resolution, VideoCodec};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

mod codecs;
mod farewell;

/// A test that waits longer than this for anything has failed; a loaded machine may be slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// One side, with what it heard and received.
pub(super) struct End {
    pub peer: Peer,
    pub events: mpsc::Receiver<NetEvent>,
    pub outlet: Outlet,
    video: Receiver<RtpPacket>,
    audio: Receiver<RtpPacket>,
}

impl End {
    fn new(peer: Peer, events: mpsc::Receiver<NetEvent>) -> Self {
        let (video_in, video) = crossbeam_channel::bounded(4096);
        let (audio_in, audio) = crossbeam_channel::bounded(4096);
        peer.connect(Inlet::new(video_in, audio_in));
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

    pub async fn link(&mut self, link: Link) {
        self.event(|event| (event == NetEvent::Link(link)).then_some(())).await;
    }

    async fn control(&mut self) -> String {
        let text = |event| if let NetEvent::Control(text) = event { Some(text) } else { None };
        self.event(text).await
    }

    /// The next that is not the very first again.
    async fn control_after(&mut self, first: &str) -> String {
        let text = |event| if let NetEvent::Control(text) = event { Some(text) } else { None };
        self.event(|event| text(event).filter(|text| text != first)).await
    }

    pub async fn stats(&self) -> PeerStats {
        let mut stats = PeerStats::default();
        self.peer.stats(&mut stats).await;
        stats
    }
}

fn loopback() -> NetConfig {
    NetConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..NetConfig::default() }
}

/// Two ends that are connected.
async fn connected() -> (End, End) {
    let (mut a, mut b) = exchanged(|description| description).await;
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    (a, b)
}

/// Two ends that have exchanged their descriptions, changed on the way by `alter`.
pub(super) async fn exchanged(alter: impl Fn(Description) -> Description) -> (End, End) {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (b, reply) = Peer::answer(loopback(), &alter(invite), told_b).await.unwrap();
    a.accept(&alter(reply)).await.unwrap();
    (End::new(a, events_a), End::new(b, events_b))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_who_knocks_is_let_in_without_a_reply() {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let (config, other) = (loopback(), loopback());
    let (a, invite) = Peer::offer(config.clone(), told_a).await.unwrap();
    let ports = config.endpoint.local_ports();
    assert!(invite.sdp.0.contains(&format!("127.0.0.1 {} typ host", ports[0].port())), "one port for all");
    let secret = invite::secret(&invite).unwrap();
    let (b, _) = Peer::answer(other, &invite, told_b).await.unwrap();
    let (mut a, mut b) = (End::new(a, events_a), End::new(b, events_b));
    let guest = a.event(|event| if let NetEvent::Knock(guest) = event { Some(guest) } else { None }).await;
    // Whoever comes while the first is at the door is late.
    let (told_c, events_c) = mpsc::channel(1024);
    let (c, _) = Peer::answer(loopback(), &invite, told_c).await.unwrap();
    let mut c = End::new(c, events_c);
    c.event(|event| (event == NetEvent::TurnedAway(Turned::Busy)).then_some(())).await;
    a.peer.accept(&invite::knocked(&guest, secret)).await.unwrap();
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    // A second connection through the same port, at the same time.
    let (told_d, events_d) = mpsc::channel(1024);
    let (d, other_invite) = Peer::offer(config.clone(), told_d).await.unwrap();
    assert_eq!(config.endpoint.local_ports(), ports);
    let (told_e, events_e) = mpsc::channel(1024);
    let (e, reply) = Peer::answer(loopback(), &other_invite, told_e).await.unwrap();
    let secret = invite::secret(&other_invite).unwrap();
    assert_ne!(invite::secret(&invite), Some(secret));
    let pasted = invite::expect(&invite::encode(&reply), Kind::Reply, Some(&other_invite)).unwrap();
    d.accept(&pasted).await.unwrap();
    let (mut d, mut e) = (End::new(d, events_d), End::new(e, events_e));
    d.link(Link::Connected).await;
    e.link(Link::Connected).await;
    for (one, other) in [(&mut a, &mut b), (&mut d, &mut e)] {
        one.peer.send_control("still here".into()).unwrap();
        assert_eq!(other.control().await, "still here");
    }
}

/// What a browser's page does, done by a connection of ours: it makes an offer, and answers it in the host's stead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_knocks_gets_a_connection_of_its_own() {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let config = loopback();
    let (waiting, invite) = Peer::offer(config.clone(), told_a).await.unwrap();
    let mut waiting = End::new(waiting, events_a);
    let secret = invite::secret(&invite).unwrap();
    let (b, offer) = Peer::offer(loopback(), told_b).await.unwrap();
    let (_, answer) = invite::tests_of_browsers::page(&offer, secret, &invite);
    b.accept(&answer).await.unwrap();
    let mut b = End::new(b, events_b);

    let knock = |event| if let NetEvent::BrowserKnock(guest) = event { Some(guest) } else { None };
    let guest = waiting.event(knock).await;
    let (told_a, events_a) = mpsc::channel(1024);
    let keys = waiting.peer.keys().clone();
    let a = Peer::welcome(config.clone(), keys, &guest, told_a).await.unwrap();
    waiting.peer.close().await;
    let mut a = End::new(a, events_a);
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    a.peer.send_control("come in".into()).unwrap();
    assert_eq!(b.control().await, "come in");
    let (ours, theirs) = a.peer.fingerprints().await.unwrap();
    assert_eq!(b.peer.fingerprints().await, Some((theirs, ours)));
    assert_eq!(Some(ours), invite::fingerprint(&invite.sdp.0), "the certificate of the invite");
    let start = Instant::now();
    for number in 0..5 {
        let unit = AccessUnit::new(number, number == 0, 900, start);
        a.outlet.video.try_send(unit.frame).unwrap();
    }
    let first = b.video.recv_timeout(PATIENCE).expect("the picture gets through");
    assert!(!first.payload.is_empty());

    // Whoever else has the invite hears that they are late, and when the call is over that the invite is.
    for turned in [Turned::Busy, Turned::Withdrawn] {
        let (told_c, events_c) = mpsc::channel(1024);
        let (c, _) = Peer::answer(loopback(), &invite, told_c).await.unwrap();
        End::new(c, events_c).event(|event| (event == NetEvent::TurnedAway(turned)).then_some(())).await;
        a.peer.withdraw();
    }
    // The invite can be offered again, with the same words.
    let keys = a.peer.keys().clone();
    a.peer.close().await;
    let (told, _events) = mpsc::channel(1024);
    let (_again, same) = Peer::offer_again(config, keys, told).await.unwrap();
    assert!(same.is_from_same_peer(&invite));
}

/// A room lets in one after the other: the invite is out again before the browser's connection stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_does_not_shut_the_door_behind_it() {
    let ((told_a, events_a), (told_b, _events)) = (mpsc::channel(1024), mpsc::channel(1024));
    let config = loopback();
    let (waiting, invite) = Peer::offer(config.clone(), told_a).await.unwrap();
    let mut waiting = End::new(waiting, events_a);
    let (b, offer) = Peer::offer(loopback(), told_b).await.unwrap();
    let (_, answer) = invite::tests_of_browsers::page(&offer, invite::secret(&invite).unwrap(), &invite);
    b.accept(&answer).await.unwrap();
    let knock = |event| if let NetEvent::BrowserKnock(guest) = event { Some(guest) } else { None };
    let guest = waiting.event(knock).await;
    let keys = waiting.peer.keys().clone();
    let (told_next, events_next) = mpsc::channel(1024);
    let (next, _) = Peer::offer_again(config.clone(), keys.clone(), told_next).await.unwrap();
    // The browser goes on ringing, and finds the next door.
    let rung = b.seen().await.1.checks_out;
    while b.seen().await.1.checks_out < rung + 3 {
        tokio::task::yield_now().await;
    }
    let (told_a, events_a) = mpsc::channel(1024);
    let mut a = End::new(Peer::welcome(config, keys, &guest, told_a).await.unwrap(), events_a);
    waiting.peer.close().await;
    a.link(Link::Connected).await;
    let (told_c, _events) = mpsc::channel(1024);
    let _c = Peer::answer(loopback(), &invite, told_c).await.unwrap();
    let knock = |event| if let NetEvent::Knock(guest) = event { Some(guest) } else { None };
    End::new(next, events_next).event(knock).await;
}

/// An access unit: as the encoder writes it (Annex B), and its NAL units alone.
struct AccessUnit {
    frame: EncodedFrame,
    nal_units: Vec<u8>,
}

impl AccessUnit {
    /// Parameter sets and a slice for a keyframe, one slice otherwise. No slice has zeros, so none looks like a
    /// start code.
    fn new(number: u32, keyframe: bool, size: usize, captured_at: Instant) -> Self {
        let mut slice = vec![if keyframe { 0x65 } else { 0x41 }];
        slice.extend(number.to_be_bytes().map(|byte| byte | 0x80));
        slice.extend((0..size).map(|i| (i % 200) as u8 | 0x40));
        let parameters: [&[u8]; 2] = [&[0x67, 0x42, 0xe0, 0x1f, 0xda], &[0x68, 0xce, 0x3c, 0x80]];
        let nal_units: Vec<&[u8]> =
            parameters.into_iter().filter(|_| keyframe).chain([slice.as_slice()]).collect();
        let data: Vec<u8> = nal_units.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect();
        let resolution = Resolution::HD;
        let frame = EncodedFrame {
            data: data.into(),
            codec: VideoCodec::H264,
            keyframe,
            disposable: false,
            captured_at,
            resolution,
        };
        Self { frame, nal_units: nal_units.concat() }
    }
}

pub(super) fn sound(number: u64) -> EncodedAudio {
    let data = Bytes::from(number.to_be_bytes().to_vec());
    EncodedAudio { data, captured_at: Instant::now(), position: number * 960, level: 0.5 }
}

/// Takes from the queue until there is what is wanted.
async fn receive(queue: &Receiver<RtpPacket>, wanted: impl Fn(&[RtpPacket]) -> bool) -> Vec<RtpPacket> {
    let deadline = Instant::now() + PATIENCE;
    let mut packets = Vec::new();
    while !wanted(&packets) {
        assert!(Instant::now() < deadline, "{} packets are all that came", packets.len());
        packets.extend(queue.try_iter());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    packets
}

/// The NAL units of one stream's packets (RFC 6184: single, STAP-A, FU-A), with the RTP time of each access unit.
fn reassemble(packets: &[RtpPacket]) -> Vec<(u32, Vec<u8>)> {
    let mut units: Vec<(u32, Vec<u8>)> = Vec::new();
    for packet in packets {
        if units.last().is_none_or(|(timestamp, _)| *timestamp != packet.timestamp) {
            units.push((packet.timestamp, Vec::new()));
        }
        let (_, unit) = units.last_mut().expect("one was pushed");
        let payload = &packet.payload;
        match payload[0] & 0x1f {
            24 => {
                let mut rest = &payload[1..];
                while let [high, low, tail @ ..] = rest {
                    let (nal, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                    unit.extend_from_slice(nal);
                    rest = tail;
                }
            }
            28 => {
                if payload[1] & 0x80 != 0 {
                    unit.push(payload[0] & 0xe0 | payload[1] & 0x1f);
                }
                unit.extend_from_slice(&payload[2..]);
            }
            _ => unit.extend_from_slice(payload),
        }
    }
    units
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_and_sound_arrive_whole_and_in_order_both_ways() {
    let (a, b) = connected().await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        let start = Instant::now();
        // A keyframe of many packets, and then as much as the pacer takes without leaving frames out.
        let size = |n: u32| if n == 0 { 20_000 } else { 300 + 150 * n as usize };
        let units: Vec<_> = (0..20)
            .map(|n| AccessUnit::new(n, n % 10 == 0, size(n), start + Duration::from_millis(33) * n))
            .collect();

        for unit in &units {
            from.outlet.video.send(unit.frame.clone()).await.unwrap();
        }
        for number in 0..50 {
            from.outlet.audio.send(sound(number)).await.unwrap();
        }
        let heard = receive(&to.audio, |packets| packets.len() == 50).await;
        for (number, pair) in heard.windows(2).enumerate() {
            assert_eq!(pair[0].payload, (number as u64).to_be_bytes()[..]);
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(960));
        }
        let whole =
            |packets: &[RtpPacket]| packets.iter().filter(|packet| packet.marker).count() == units.len();
        let packets = receive(&to.video, whole).await;
        let seen = reassemble(&packets);
        assert_eq!(seen.len(), units.len());
        for (unit, (timestamp, nal_units)) in units.iter().zip(&seen) {
            assert!(unit.nal_units == *nal_units, "a picture is damaged");
            let elapsed = unit.frame.captured_at - units[0].frame.captured_at;
            let ticks =
                i64::from(timestamp.wrapping_sub(seen[0].0)) - (elapsed.as_secs_f64() * 90_000.0) as i64;
            assert!(ticks.abs() <= 1, "RTP time is capture time");
        }
    }
    a.peer.close().await;
    b.peer.close().await;
}

/// Two of ours need no more than the compact code carries; if webrtc prints its descriptions in another way one day,
/// this says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_of_our_own_have_a_compact_form() {
    let (events, _) = mpsc::channel(64);
    let (_first, invite) = Peer::offer(loopback(), events.clone()).await.unwrap();
    let code = invite::encode(&invite);
    assert!(code.starts_with("2can") && code.len() < 110, "{}", invite.sdp.0);
    let pasted = invite::expect(&code, Kind::Invite, None).unwrap();
    assert_eq!(invite::encode(&pasted), code);
    // In the full form it may name VP8 besides, and is the same invite.
    let full = invite::encode_full(&invite);
    assert_eq!(invite::expect(&full, Kind::Invite, None), Ok(invite.clone()));
    assert_eq!(invite.sdp.0.contains("VP8/90000"), crate::codec::video_codecs().contains(&VideoCodec::Vp8));
    assert!(!pasted.sdp.0.contains("VP8/90000"));
    let (_second, reply) = Peer::answer(loopback(), &pasted, events).await.unwrap();
    assert!(invite::encode(&reply).starts_with("2can"), "{}", reply.sdp.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_messages_arrive_in_order_even_those_from_before_the_channel_was_open() {
    let (mut a, mut b) = exchanged(|description| description).await;
    a.peer.send_control("early".into()).unwrap();
    for number in 0..20 {
        a.peer.send_control(number.to_string()).unwrap();
        b.peer.send_control(format!("Grüße {number}")).unwrap();
    }
    assert_eq!(b.control().await, "early");
    for number in 0..20 {
        assert_eq!(b.control_after("early").await, number.to_string());
    }
    assert_eq!(a.control().await, "Grüße 0");
    for number in 1..20 {
        assert_eq!(a.control_after("Grüße 0").await, format!("Grüße {number}"));
    }
    let long = "x".repeat(MAX_CONTROL_MESSAGE);
    assert_eq!(a.peer.send_control(format!("{long}x")), Err(NetError::MessageTooLong));
    a.peer.send_control(long.clone()).unwrap();
    assert_eq!(b.control().await, long);
    // What is said last arrives, though the connection is closed at once.
    a.peer.send_control("bye".into()).unwrap();
    a.peer.close().await;
    assert_eq!(b.control().await, "bye");
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_for_a_channel_that_never_opens_are_bounded() {
    let (told, _events) = mpsc::channel(8);
    let (peer, _) = Peer::offer(loopback(), told).await.unwrap();
    let mut refused = 0;
    for _ in 0..100 {
        refused += usize::from(peer.send_control("hello".into()) == Err(NetError::ControlFull));
    }
    assert!((30..=40).contains(&refused), "{refused}");
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_control_messages_does_not_reach_the_engine_whole() {
    let (a, mut b) = connected().await;
    let mut sent = 0;
    while sent < 500 {
        // The queue is bounded too; a message it does not take is tried again. So at the end the channel is open.
        match a.peer.send_control(sent.to_string()) {
            Ok(()) => sent += 1,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    a.peer.close().await;
    let mut heard = 0;
    b.event(|event| match event {
        NetEvent::Control(_) => {
            heard += 1;
            None
        }
        NetEvent::Link(Link::Interrupted | Link::Closed | Link::Failed) => Some(()),
        _ => None,
    })
    .await;
    assert!((60..400).contains(&heard), "{heard} of 500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_reports_cross_the_wire_and_the_statistics_know() {
    let (mut a, mut b) = connected().await;
    let start = Instant::now();
    for number in 0..10 {
        let captured_at = start + Duration::from_millis(33) * number;
        let unit = AccessUnit::new(number, number == 0, 2_000, captured_at);
        a.outlet.video.send(unit.frame).await.unwrap();
        a.outlet.audio.send(sound(u64::from(number))).await.unwrap();
    }
    receive(&b.video, |packets| packets.iter().filter(|packet| packet.marker).count() == 10).await;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let report =
            b.event(|event| if let NetEvent::SenderReport(report) = event { Some(report) } else { None });
        let report = report.await;
        if !kinds.contains(&report.kind) {
            kinds.push(report.kind);
        }
        // The picture's RTP time of a moment is its capture time: the report pairs it with the same moment.
        assert!(report.ntp >> 32 > 0 && report.arrived_at >= start);
    }
    assert!(kinds.contains(&MediaKind::Audio) && kinds.contains(&MediaKind::Video));
    // The first request is our own, for the start; the next one is the other side's.
    a.event(|event| (event == NetEvent::KeyframeWanted).then_some(())).await;
    b.peer.request_keyframe();
    a.event(|event| (event == NetEvent::KeyframeWanted).then_some(())).await;
    a.event(|event| if let NetEvent::AudioLoss(loss) = event { Some(loss) } else { None }).await;
    let (sent, received) = (a.stats().await, b.stats().await);
    assert_eq!(sent.outbound.video.frames_sent, 10);
    assert_eq!((sent.outbound.audio.packets_sent, received.inbound.audio.packets_received), (10, 10));
    assert_eq!(sent.outbound.video.packets_sent, received.inbound.video.packets_received);
    assert_eq!(sent.outbound.video.bytes_sent, received.inbound.video.bytes_received);
    // Ours, and the one for the start if the picture was known by then.
    let asked = received.inbound.video.pli_count;
    assert!((1..=2).contains(&asked) && sent.outbound.video.pli_count == asked, "{asked}");
    assert_eq!((received.inbound.video.packets_lost, received.inbound.audio.packets_lost), (0, 0));
    let pair = sent.candidate_pair;
    assert_eq!(pair.local, received.candidate_pair.remote);
    assert!(pair.local.starts_with("host 127.0.0.1:") && pair.local.ends_with(" udp"), "{}", pair.local);
    assert!(pair.current_round_trip_time > 0.0 && pair.current_round_trip_time < 5.0);
    assert!(pair.available_outgoing_bitrate > 0 && sent.outbound.video.target_bitrate > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_can_come_one_by_one_and_before_their_description() {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let bare = |description: &Description| {
        let is_candidate = |line: &&str| line.starts_with("a=candidate:");
        let sdp = &description.sdp.0;
        let rest: String =
            sdp.lines().filter(|line| !is_candidate(line)).map(|line| format!("{line}\r\n")).collect();
        let candidates: Vec<String> = sdp.lines().filter(is_candidate).map(str::to_owned).collect();
        assert_eq!(candidates.len(), 1);
        (Description { kind: description.kind, sdp: Redacted(rest) }, candidates[0].clone())
    };
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (b, reply) = Peer::answer(loopback(), &bare(&invite).0, told_b).await.unwrap();
    let (reply, candidate) = bare(&reply);
    a.add_candidate(&candidate).await.unwrap();
    a.add_candidate("a=end-of-candidates").await.unwrap();
    a.accept(&reply).await.unwrap();
    assert_eq!(b.add_candidate("hello").await, Err(NetError::Candidate));
    b.add_candidate(bare(&invite).1.trim_start_matches("a=")).await.unwrap();
    for (peer, events) in [(a, events_a), (b, events_b)] {
        End::new(peer, events).link(Link::Connected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_description_is_an_error_and_never_a_panic() {
    let (told, _events) = mpsc::channel(8);
    let (offerer, invite) = Peer::offer(loopback(), told.clone()).await.unwrap();
    let (answerer, reply) = Peer::answer(loopback(), &invite, told.clone()).await.unwrap();
    assert!(matches!(offerer.accept(&invite).await, Err(NetError::Description(_))), "our own kind");
    let answer = |sdp: String, kind| {
        let (told, description) = (told.clone(), Description { kind, sdp: Redacted(sdp) });
        async move { Peer::answer(loopback(), &description, told).await.map(|_| ()) }
    };
    assert!(matches!(answer(reply.sdp.0.clone(), Kind::Reply).await, Err(NetError::Description(_))));
    for text in ["", "v=0", "{}", "\u{0}\u{0}", "v=0\r\na=fingerprint:x\r\nm=audio 9 X 0\r\n"] {
        let result = answer(text.into(), Kind::Invite).await;
        assert!(matches!(result, Err(NetError::Description(_))), "{text:?} {result:?}");
    }
    // Lines missing, doubled, or with a byte changed: whatever comes of it, nobody panics.
    let lines: Vec<&str> = invite.sdp.0.lines().collect();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    for _ in 0..60 {
        let mut damaged: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let at = next(damaged.len());
        match next(3) {
            0 => drop(damaged.remove(at)),
            1 => damaged.insert(at, damaged[next(damaged.len())].clone()),
            _ => {
                let mut bytes = damaged[at].clone().into_bytes();
                let byte = next(bytes.len());
                bytes[byte] = b' ' + next(94) as u8;
                damaged[at] = String::from_utf8(bytes).expect("printable ASCII");
            }
        }
        let _ = answer(damaged.join("\r\n") + "\r\n", Kind::Invite).await;
    }
    // The offer is still good for the right answer.
    offerer.accept(&reply).await.unwrap();
    offerer.close().await;
    answerer.close().await;
}

/// Stands between two peers and loses packets of pictures and sound.
pub(super) struct Lossy {
    losing: Arc<AtomicBool>,
    pub lost: Arc<AtomicU64>,
    /// In place of A's and of B's.
    ports: [u16; 2],
    ends: [tokio::sync::watch::Sender<Option<SocketAddr>>; 2],
}

impl Lossy {
    pub async fn new(percent: u64) -> Self {
        let (losing, lost) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let sockets = [Arc::new(bind().await.unwrap()), Arc::new(bind().await.unwrap())];
        let ports = [0, 1].map(|side: usize| sockets[side].local_addr().unwrap().port());
        let ends = [0, 1].map(|_| tokio::sync::watch::channel(None).0);
        for side in 0..2 {
            // What arrives in place of one end comes from the other, and goes to the one.
            let (here, there) = (sockets[side].clone(), sockets[1 - side].clone());
            let (losing, lost, to) = (losing.clone(), lost.clone(), ends[side].subscribe());
            let mut random = 88_172_645_463_325_252_u64 + side as u64;
            tokio::spawn(async move {
                let mut buffer = [0; 2048];
                while let Ok((length, _)) = here.recv_from(&mut buffer).await {
                    // RTP, not RTCP (RFC 5761): reports and handshakes are spared.
                    let rtp = super::demux::is_rtp(&buffer[..length]);
                    if rtp && losing.load(Ordering::Relaxed) {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        if random % 100 < percent {
                            lost.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    }
                    let to = *to.borrow();
                    if let Some(to) = to {
                        let _ = there.send_to(&buffer[..length], to).await;
                    }
                }
            });
        }
        Self { losing, lost, ports, ends }
    }

    /// The description with our port in place of the peer's.
    pub fn between(&self, description: Description) -> Description {
        let side = usize::from(description.kind == Kind::Reply);
        let sdp = &description.sdp.0;
        let fields: Vec<&str> =
            sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap().split(' ').collect();
        let port: u16 = fields[5].parse().unwrap();
        self.ends[side].send_replace(Some(SocketAddr::from(([127, 0, 0, 1], port))));
        let sdp = sdp.replace(&format!(" {port} typ"), &format!(" {} typ", self.ports[side]));
        Description { kind: description.kind, sdp: Redacted(sdp) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_pictures_are_repaired_without_a_storm() {
    let path = Lossy::new(5).await;
    let (mut a, mut b) = exchanged(|description| path.between(description)).await;
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(8));
    let (frames, tail) = (250, 20);
    for number in 0..frames + tail {
        // The last frames all arrive, so that every gap before them shows.
        path.losing.store(number < frames, Ordering::Relaxed);
        tick.tick().await;
        let captured_at = start + Duration::from_millis(33) * number;
        let unit = AccessUnit::new(number, number == 0, 2_000, captured_at);
        a.outlet.video.send(unit.frame).await.unwrap();
    }
    let total = |packets: &[RtpPacket]| {
        let mut sequences: Vec<_> =
            packets.iter().map(|packet| packet.sequence.wrapping_sub(packets[0].sequence)).collect();
        sequences.sort_unstable();
        sequences.dedup();
        sequences.len()
    };
    // Two packets a frame, and one more for the parameter sets.
    let expected = 2 * (frames + tail) as usize + 1;
    let packets = receive(&b.video, |packets| total(packets) >= expected - 1).await;
    let lost = path.lost.load(Ordering::Relaxed);
    let (sent, received) = (a.stats().await, b.stats().await);
    let repeated = sent.outbound.video.retransmitted_packets_sent;
    println!(
        "{lost} of {expected} packets lost, {repeated} sent again, {} duplicates",
        packets.len() - total(&packets)
    );
    assert!(lost > 5, "the path loses");
    assert!(repeated >= lost / 2 && repeated <= 2 * lost + 10, "{repeated} for {lost} losses");
    assert!(received.inbound.video.nack_count > 0 && sent.outbound.video.nack_count > 0);
}

/// Sound at five times its speed over a path that loses a fifth; what comes once the sender has heard of it.
async fn sound_over_a_bad_path(alter: impl Fn(String) -> String) -> Vec<RtpPacket> {
    let path = Lossy::new(20).await;
    let (mut a, mut b) = exchanged(|description| {
        let Description { kind, sdp } = path.between(description);
        // The answer has what is left of the offer.
        let offered = sdp.0.contains("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n");
        assert!(kind == Kind::Reply || offered, "{}", sdp.0);
        Description { kind, sdp: Redacted(alter(sdp.0)) }
    })
    .await;
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    let (outlet, known) = (a.outlet.audio.clone(), Arc::new(AtomicU64::new(u64::MAX)));
    let until = known.clone();
    let sending = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(4));
        for number in 0.. {
            tick.tick().await;
            if number >= until.load(Ordering::Relaxed) {
                return;
            }
            outlet.send(sound(number)).await.unwrap();
        }
    });
    let enough = |event| matches!(event, NetEvent::AudioLoss(loss) if loss > 0.13).then_some(());
    a.event(enough).await;
    let so_far: Vec<_> = b.audio.try_iter().collect();
    let newest = so_far.iter().map(|packet| packet.timestamp).fold(so_far[0].timestamp, |newest, other| {
        if other.wrapping_sub(newest) as i32 > 0 { other } else { newest }
    });
    let packets = receive(&b.audio, |packets| {
        packets.iter().any(|packet| packet.timestamp.wrapping_sub(newest) as i32 > 250 * 960)
    })
    .await;
    known.store(0, Ordering::Relaxed);
    sending.await.unwrap();
    assert!(path.lost.load(Ordering::Relaxed) > 20);
    packets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_gets_lost_is_repeated_for_a_receiver_that_takes_copies() {
    let packets = sound_over_a_bad_path(|sdp| sdp).await;
    let (mut originals, mut all) = (Vec::new(), Vec::new());
    for packet in &packets {
        let split = match packet.payload_type {
            red::RED => red::split(packet).unwrap(),
            _ => vec![packet.clone()],
        };
        for (index, packet) in split.iter().enumerate() {
            assert_eq!(packet.payload_type, 111);
            let number = u64::from_be_bytes(packet.payload[..].try_into().unwrap());
            let place = (
                number,
                packet.sequence.wrapping_sub(number as u16),
                packet.timestamp.wrapping_sub(number as u32 * 960),
            );
            all.push(place);
            originals.extend((index == 0).then_some(place));
        }
    }
    originals.sort_unstable();
    all.sort_unstable();
    all.dedup();
    // A copy has the sequence number and the time of its original.
    assert!(all.iter().all(|place| (place.1, place.2) == (all[0].1, all[0].2)));
    let total = all.last().unwrap().0 - all[0].0 + 1;
    let missing = |places: &[_]| (total - places.len() as u64) as f64 / total as f64;
    println!(
        "of {total} packets {:.1} % are missing without the copies and {:.1} % with them",
        missing(&originals) * 100.0,
        missing(&all) * 100.0
    );
    assert!(missing(&originals) > 0.1 && missing(&all) < 0.04);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_not_sent_to_a_receiver_that_did_not_agree() {
    let without = |sdp: String| {
        let kept =
            sdp.lines().filter(|line| !line.starts_with("a=rtpmap:63") && !line.starts_with("a=fmtp:63"));
        kept.map(|line| line.replace(" 111 63", " 111") + "\r\n").collect()
    };
    let packets = sound_over_a_bad_path(without).await;
    assert!(packets.iter().all(|packet| packet.payload_type == 111 && packet.payload.len() == 8));
}
