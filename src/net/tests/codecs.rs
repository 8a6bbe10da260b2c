//! What is agreed on between sides that do not have the same codecs.

use super::*;
use crate::codec;
use crate::net::pictures;
use crate::rtp::{VideoAssembler, vp8};

/// Who has VP8 only: H.264 is taken out of what it says.
fn vp8_only(description: Description) -> Description {
    let (sdp, agreed) = pictures::agree(&description.sdp.0, Kind::Invite, &[VideoCodec::Vp8]);
    assert_eq!(agreed, Some(VideoCodec::Vp8));
    Description { sdp: Redacted(sdp), ..description }
}

/// Offer and answer, each as it was altered on its way.
async fn exchanged_as(
    offer: impl FnOnce(Description) -> Description,
    answer: impl FnOnce(Description) -> Description,
) -> (End, End) {
    let (told_a, events_a) = mpsc::channel(1024);
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (told_b, events_b) = mpsc::channel(1024);
    let (b, reply) = Peer::answer(loopback(), &offer(invite), told_b).await.unwrap();
    a.accept(&answer(reply)).await.unwrap();
    let (mut a, mut b) = (End::new(a, events_a), End::new(b, events_b));
    a.link(Link::Connected).await;
    b.link(Link::Connected).await;
    (a, b)
}

fn frame(number: u32, size: usize, captured_at: Instant) -> EncodedFrame {
    let keyframe = number.is_multiple_of(10);
    let mut data = vec![if keyframe { 0x10 } else { 0x11 }];
    data.extend(number.to_be_bytes());
    data.extend((0..size).map(|place| (place % 251) as u8));
    EncodedFrame {
        data: data.into(),
        codec: VideoCodec::Vp8,
        keyframe,
        disposable: false,
        captured_at,
        resolution: Resolution::HD,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_in_vp8_arrive_whole_both_ways() {
    if !codec::video_codecs().contains(&VideoCodec::Vp8) {
        return;
    }
    let (a, b) = exchanged_as(vp8_only, |reply| reply).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        assert_eq!(from.outlet.agreed.get(), Some(VideoCodec::Vp8));
        let start = Instant::now();
        let size = |n: u32| if n == 0 { 20_000 } else { 300 + 150 * n as usize };
        let frames: Vec<_> =
            (0..20).map(|n| frame(n, size(n), start + Duration::from_millis(33) * n)).collect();
        for frame in &frames {
            from.outlet.video.send(frame.clone()).await.unwrap();
        }
        let whole =
            |packets: &[RtpPacket]| packets.iter().filter(|packet| packet.marker).count() == frames.len();
        let packets = receive(&to.video, whole).await;
        assert!(packets.iter().all(|packet| packet.payload_type == vp8::VP8));
        let mut assembler = VideoAssembler::new();
        packets.into_iter().for_each(|packet| assembler.handle_packet(packet));
        for frame in &frames {
            let unit = assembler.poll(Instant::now()).expect("each one is whole");
            assert_eq!((unit.codec, unit.keyframe), (VideoCodec::Vp8, frame.keyframe));
            assert!(unit.data == frame.data, "a picture is damaged");
        }
        assert!(from.stats().await.outbound.video.packets_sent > 20);
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_both_gets_h264() {
    let (a, b) = exchanged_as(|invite| invite, |reply| reply).await;
    for end in [&a, &b] {
        assert_eq!(end.outlet.agreed.get(), Some(VideoCodec::H264));
    }
    let unit = AccessUnit::new(0, true, 2_000, Instant::now());
    b.outlet.video.send(unit.frame).await.unwrap();
    let packets = receive(&a.video, |packets| packets.iter().any(|packet| packet.marker)).await;
    assert!(packets.iter().all(|packet| packet.payload_type < 128));
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_codec_in_common_there_are_sound_and_messages() {
    let unknown = |description: Description| Description {
        sdp: Redacted(
            description.sdp.0.replace("H264/90000", "H265/90000").replace("VP8/90000", "AV1/90000"),
        ),
        ..description
    };
    let (mut a, b) = exchanged_as(unknown, |reply| reply).await;
    assert_eq!((a.outlet.agreed.get(), b.outlet.agreed.get()), (None, None));
    for number in 0..20 {
        a.outlet.audio.send(sound(number)).await.unwrap();
        b.outlet.audio.send(sound(number)).await.unwrap();
    }
    for end in [&a, &b] {
        receive(&end.audio, |packets| packets.len() == 20).await;
    }
    b.peer.send_control("still here".into()).unwrap();
    assert_eq!(a.control().await, "still here");
    a.peer.close().await;
    b.peer.close().await;
}
