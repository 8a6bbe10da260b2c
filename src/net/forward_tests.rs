//! A host between three guests, over the loopback interface: real connections, encoders and decoders.

use super::tests::{End, Lossy, exchanged, sound};
use super::*;
use crate::codec::h264::{H264Decoder, H264Encoder};
use crate::codec::{VideoDecoder, VideoEncoder};
use crate::frame::{EncodedFrame, FramePool, I420, RawFrame, RtpPacket};
use crate::ports::{Inlet, PeerId};
use crate::relay::{Encoding, Request, View};
use crate::rtp::VideoAssembler;
use crate::units::Resolution;
use crossbeam_channel::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const ANN: PeerId = PeerId(1);
const BOB: PeerId = PeerId(2);
const CAT: PeerId = PeerId(3);
const LARGE: Resolution = Resolution::new(640, 360);
const SMALL: Resolution = Resolution::new(320, 180);

/// Says what is to be from now on, over what would be the control channel.
async fn renegotiate(from: &Peer, to: &Peer) {
    let offer = from.describe().await.unwrap();
    let answer = to.answer_description(&offer, false).await.unwrap().unwrap();
    from.settle(&answer).await.unwrap();
}

fn sections(sdp: &str) -> usize {
    sdp.lines().filter(|line| line.starts_with("m=")).count()
}

/// Where a member's forwarded streams come in, and what is made of them.
struct Screen {
    video: Receiver<RtpPacket>,
    audio: Receiver<RtpPacket>,
    assembler: VideoAssembler,
    decoder: H264Decoder,
    pictures: Vec<Resolution>,
    heard: Vec<u16>,
    packets: u64,
    failures: u32,
}

impl Screen {
    fn new(guest: &End, name: &str) -> Self {
        let (video_in, video) = crossbeam_channel::bounded(4096);
        let (audio_in, audio) = crossbeam_channel::bounded(4096);
        guest.peer.connect_forwarded(name, Some(Inlet::new(video_in, audio_in)));
        Self {
            video,
            audio,
            assembler: VideoAssembler::new(),
            decoder: H264Decoder::new().unwrap(),
            pictures: Vec::new(),
            heard: Vec::new(),
            packets: 0,
            failures: 0,
        }
    }

    /// `true`: it needs a keyframe.
    fn watch(&mut self, now: Instant) -> bool {
        self.heard.extend(self.audio.try_iter().map(|packet| packet.sequence));
        for packet in self.video.try_iter() {
            self.packets += 1;
            self.assembler.handle_packet(packet);
        }
        while let Some(unit) = self.assembler.poll(now) {
            match self.decoder.decode(&unit.data, &FramePool::default()) {
                Ok(picture) => self.pictures.extend(picture.map(|picture| picture.resolution())),
                Err(_) => self.failures += 1,
            }
        }
        self.assembler.needs_keyframe()
    }
}

/// A camera and its encoders.
struct Camera {
    encoder: H264Encoder,
    size: Resolution,
    keyframe: bool,
}

impl Camera {
    fn new(size: Resolution, kbps: u64) -> Self {
        Self { encoder: H264Encoder::new(Bitrate::from_kbps(kbps), 30), size, keyframe: true }
    }
    fn take(&mut self, number: u32, captured_at: Instant) -> Option<EncodedFrame> {
        let mut image = I420::black(self.size);
        let width = self.size.width as usize;
        for (at, pixel) in image.planes_mut().0.iter_mut().enumerate() {
            let (x, y) = (at % width, at / width);
            *pixel = ((x + y + number as usize * 2) / 4 % 200) as u8;
        }
        let keyframe = std::mem::take(&mut self.keyframe);
        self.encoder.encode(&RawFrame { image, captured_at }, keyframe).unwrap()
    }
}

/// A host with three guests; the way between the host and the second one loses packets.
struct Room {
    /// The host's ends.
    host: [End; 3],
    guests: [End; 3],
    sfu: Sfu,
    wishes: mpsc::Receiver<SfuEvent>,
    lossy: Lossy,
    /// Who films, the first of the guests, and how the room calls them.
    on_air: (PeerId, &'static str),
}

impl Room {
    async fn new(percent: u64) -> Self {
        let lossy = Lossy::new(percent).await;
        let (mut host, mut guests) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let (mut at_host, mut guest) =
                exchanged(|description| if number == 1 { lossy.between(description) } else { description })
                    .await;
            at_host.link(Link::Connected).await;
            guest.link(Link::Connected).await;
            host.push(at_host);
            guests.push(guest);
        }
        let (told, wishes) = mpsc::channel(64);
        let mut room = Self {
            host: host.try_into().ok().unwrap(),
            guests: guests.try_into().ok().unwrap(),
            sfu: Sfu::start(told),
            wishes,
            lossy,
            on_air: (ANN, "ann"),
        };
        for (at_host, guest) in room.host.iter().zip(&room.guests).skip(1) {
            assert!(at_host.peer.add_forwarded(ANN, "ann").await.unwrap());
            renegotiate(&at_host.peer, &guest.peer).await;
            assert_eq!(guest.peer.forwarded(), ["ann"]);
        }
        room.relay().await;
        room
    }

    /// The host forwards from now on, by a relay that knows nothing of an earlier one.
    async fn relay(&mut self) {
        let (told, wishes) = mpsc::channel(64);
        (self.sfu, self.wishes) = (Sfu::start(told), wishes);
        for (id, end) in [ANN, BOB, CAT].into_iter().zip(&self.host) {
            self.sfu.join(id, &end.peer).await;
            self.sfu.set_budget(id, Bitrate::from_kbps(3_000)).await;
        }
        for id in [BOB, CAT] {
            self.sfu.set_view(id, ANN, View::Drawn(LARGE)).await;
        }
    }

    /// Whoever is on air films so long; the screens are those of the other two.
    async fn run(
        &mut self,
        cameras: &mut [(Camera, mpsc::Sender<EncodedFrame>)],
        screens: &mut [Screen; 2],
        pictures: std::ops::Range<u32>,
        start: Instant,
    ) {
        let mut tick = tokio::time::interval(Duration::from_millis(33));
        for number in pictures {
            tick.tick().await;
            let captured_at = start + Duration::from_millis(33) * number;
            for (camera, outlet) in cameras.iter_mut() {
                if let Some(frame) = camera.take(number, captured_at) {
                    outlet.send(frame).await.unwrap();
                }
            }
            self.guests[0].outlet.audio.send(sound(u64::from(number))).await.unwrap();
            while let Ok(wish) = self.wishes.try_recv() {
                if let Request::Keyframe { sender, layer } = wish
                    && sender == self.on_air.0
                {
                    self.host[0].peer.request_layer_keyframe(layer).await;
                }
            }
            while let Ok(event) = self.guests[0].events.try_recv() {
                match event {
                    NetEvent::KeyframeWanted => cameras[0].0.keyframe = true,
                    NetEvent::LayerKeyframeWanted(layer) => cameras[usize::from(layer)].0.keyframe = true,
                    _ => {}
                }
            }
            for (screen, guest) in screens.iter_mut().zip(&self.guests[1..]) {
                if screen.watch(Instant::now()) {
                    guest.peer.request_forwarded_keyframe(self.on_air.1).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_guest_sends_is_decoded_by_the_others_though_one_loses_packets() {
    let mut room = Room::new(5).await;
    let mut screens = [Screen::new(&room.guests[1], "ann"), Screen::new(&room.guests[2], "ann")];
    let mut cameras = [(Camera::new(LARGE, 500), room.guests[0].outlet.video.clone())];
    room.run(&mut cameras, &mut screens, 0..200, Instant::now()).await;
    let lost = room.lossy.lost.load(std::sync::atomic::Ordering::Relaxed);
    let asked_of_ann = room.guests[0].stats().await.outbound.video;
    for screen in &screens {
        println!(
            "{} pictures of 200, {} packets, {} sounds, {} failures",
            screen.pictures.len(),
            screen.packets,
            screen.heard.len(),
            screen.failures
        );
    }
    println!("{lost} packets lost on the way to Bob; Ann was asked for {}", asked_of_ann.nack_count);
    assert!(lost > 5);
    assert!(screens[0].pictures.len() > 150 && screens[1].pictures.len() > 180);
    assert!(screens.iter().all(|screen| screen.failures == 0 && screen.heard.len() > 150));
    assert!(screens.iter().all(|screen| screen.pictures.iter().all(|size| *size == LARGE)));
    assert_eq!(asked_of_ann.nack_count, 0, "the host repairs, not the sender");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_tile_gets_the_small_layer_and_a_member_who_leaves_makes_room() {
    let mut room = Room::new(0).await;
    let mut screens = [Screen::new(&room.guests[1], "ann"), Screen::new(&room.guests[2], "ann")];
    let outlet = room.guests[0].peer.add_layer(1).await.unwrap();
    renegotiate(&room.guests[0].peer, &room.host[0].peer).await;
    let encoding = |kbps, size| Encoding { rate: Bitrate::from_kbps(kbps), size: Some(size) };
    room.sfu.set_encodings(ANN, vec![encoding(500, LARGE), encoding(120, SMALL)]).await;
    room.sfu.set_view(BOB, ANN, View::Drawn(SMALL)).await;
    let mut cameras =
        [(Camera::new(LARGE, 500), room.guests[0].outlet.video.clone()), (Camera::new(SMALL, 120), outlet)];
    let start = Instant::now();
    room.run(&mut cameras, &mut screens, 0..120, start).await;
    println!("{} and {} pictures", screens[0].pictures.len(), screens[1].pictures.len());
    assert_eq!(screens[0].pictures.last(), Some(&SMALL));
    assert_eq!(screens[1].pictures.last(), Some(&LARGE));
    assert!(screens[0].pictures.len() > 60 && screens[1].pictures.len() > 90);

    // The tile becomes large: so does the picture, without a failure in between.
    room.sfu.set_view(BOB, ANN, View::Drawn(LARGE)).await;
    room.run(&mut cameras, &mut screens, 120..240, start).await;
    assert_eq!(screens[0].pictures.last(), Some(&LARGE));
    assert!(screens.iter().all(|screen| screen.failures == 0));

    // Ann leaves; Dan takes her place in the same sections.
    room.sfu.leave(ANN, &room.host[0].peer).await;
    let at_host = &room.host[1].peer;
    at_host.remove_forwarded(ANN);
    assert!(at_host.add_forwarded(PeerId(4), "dan").await.unwrap());
    let offer = at_host.describe().await.unwrap();
    assert_eq!(sections(&offer), 5, "sound, picture, control, and one member");
    let answer = room.guests[1].peer.answer_description(&offer, false).await.unwrap().unwrap();
    at_host.settle(&answer).await.unwrap();
    assert_eq!(room.guests[1].peer.forwarded(), ["dan"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_on_whichever_relay_feeds_them_and_whoever_is_in_them() {
    let mut room = Room::new(0).await;
    let mut screens = [Screen::new(&room.guests[1], "ann"), Screen::new(&room.guests[2], "ann")];
    let mut cameras = [(Camera::new(LARGE, 500), room.guests[0].outlet.video.clone())];
    let start = Instant::now();
    room.run(&mut cameras, &mut screens, 0..90, start).await;
    let seen = |screens: &[Screen; 2]| [0, 1].map(|at| (screens[at].pictures.len(), screens[at].heard.len()));
    let before = seen(&screens);
    assert!(before.iter().all(|(pictures, sounds)| *pictures > 45 && *sounds > 45), "{before:?}");

    // Another member was the hub for a while, or nobody.
    room.relay().await;
    room.run(&mut cameras, &mut screens, 90..180, start).await;
    let after = seen(&screens);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after.0 > before.0 + 45 && after.1 > before.1 + 45, "{before:?} {after:?}");
    }
    assert!(screens.iter().all(|screen| screen.failures == 0));

    // Ann leaves; Cat takes her place in Bob's window.
    room.sfu.leave(ANN, &room.host[0].peer).await;
    let at_host = &room.host[1].peer;
    at_host.remove_forwarded(ANN);
    assert!(at_host.add_forwarded(CAT, "cat").await.unwrap());
    room.sfu.set_view(BOB, CAT, View::Drawn(LARGE)).await;
    room.host.swap(0, 2);
    room.guests.swap(0, 2);
    room.on_air = (CAT, "cat");
    let mut cameras = [(Camera::new(LARGE, 500), room.guests[0].outlet.video.clone())];
    // What was still on its way is there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    screens[0].watch(Instant::now());
    let ann = screens[0].packets;
    room.run(&mut cameras, &mut screens, 180..210, start).await;
    assert_eq!(screens[0].packets, ann, "to Bob they were still Ann's");
    renegotiate(&room.host[1].peer, &room.guests[1].peer).await;
    let mut screens = [Screen::new(&room.guests[1], "cat"), Screen::new(&room.guests[2], "nobody")];
    room.run(&mut cameras, &mut screens, 210..300, start).await;
    let [bob, _] = seen(&screens);
    assert!(bob.0 > 45 && bob.1 > 45 && screens[0].failures == 0, "{bob:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_describe_at_the_same_time() {
    let (mut host, mut guest) = exchanged(|description| description).await;
    host.link(Link::Connected).await;
    guest.link(Link::Connected).await;
    host.peer.add_forwarded(ANN, "ann").await.unwrap();
    let _outlet = guest.peer.add_layer(1).await.unwrap();
    let (of_host, of_guest) = (host.peer.describe().await.unwrap(), guest.peer.describe().await.unwrap());
    assert_eq!(host.peer.answer_description(&of_guest, true).await, Ok(None));
    let answer = guest.peer.answer_description(&of_host, false).await.unwrap().unwrap();
    host.peer.settle(&answer).await.unwrap();
    assert_eq!(guest.peer.forwarded(), ["ann"]);
    renegotiate(&guest.peer, &host.peer).await;
    assert!(sections(&host.peer.describe().await.unwrap()) == 6);
    for damaged in ["", "v=0", &of_host[..of_host.len() / 2], &of_host.replace("a=mid", "a=dim")] {
        let before = guest.peer.forwarded();
        if guest.peer.answer_description(damaged, false).await.is_err() {
            assert_eq!(guest.peer.forwarded(), before, "what cannot be used changes nothing");
        }
    }
    assert!(host.peer.add_forwarded(BOB, "b\r\na=x").await.is_err());
}
