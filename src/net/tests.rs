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

/// Two ends that are connected.
async fn connected() -> (End, End) {
    let (mut a, mut b) = exchanged(|description| description).await;
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    (a, b)
}

/// Two ends that have exchanged their descriptions, changed on the way by `alter`.
async fn exchanged(alter: impl Fn(Description) -> Description) -> (End, End) {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (b, reply) = Peer::answer(loopback(), &alter(invite), told_b).await.unwrap();
    a.accept(&alter(reply)).await.unwrap();
    (End::new(a, events_a), End::new(b, events_b))
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
        let frame = EncodedFrame { data: data.into(), keyframe, captured_at, resolution };
        Self { frame, nal_units: nal_units.concat() }
    }
}

fn sound(number: u64) -> EncodedAudio {
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
