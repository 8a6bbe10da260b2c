//! Two temporal layers: what they cost, and that a lost picture of the upper one costs nothing.

use crate::loss::{Path, Run};
use crate::scene::{Content, Scene, psnr};
use cpu_time::ThreadTime;
use std::time::Duration;
use twocan::codec::h264::{H264Decoder, H264Encoder};
use twocan::codec::{VideoDecoder, VideoEncoder};
use twocan::frame::FramePool;
use twocan::units::{Bitrate, Resolution};

/// Mean PSNR and cost of a picture, over five seconds.
fn quality(content: Content, resolution: Resolution, kbps: u64, layers: u32) -> (f64, f64, u64) {
    let mut scene = Scene::new(content, resolution);
    let pool = FramePool::default();
    let mut encoder = H264Encoder::with_layers(Bitrate::from_kbps(kbps), 30, layers);
    let mut decoder = H264Decoder::new().unwrap();
    let (mut sum, mut bytes, mut cost) = (0.0, 0, Duration::ZERO);
    for number in 0..150 {
        let frame = scene.next(30);
        let start = ThreadTime::now();
        let encoded = encoder.encode(&frame, false).unwrap().expect("no picture is left out");
        cost += start.elapsed();
        assert_eq!(encoded.disposable, layers == 2 && number % 2 == 1, "picture {number}");
        bytes += encoded.data.len() as u64;
        let decoded = decoder.decode(&encoded.data, &pool).unwrap().unwrap();
        sum += psnr(&frame.image, &decoded);
    }
    (sum / 150.0, cost.as_secs_f64() * 1000.0 / 150.0, bytes * 8 / 5 / 1000)
}

#[test]
fn a_second_layer_costs_next_to_nothing() {
    let size = Resolution::new(960, 540);
    for content in [Content::Head, Content::Walk] {
        let (one, two) = (quality(content, size, 1000, 1), quality(content, size, 1000, 2));
        println!(
            "{content:?} {size} at 1000 kbit/s: one layer {:.2} dB, {:.2} ms, {} kbit/s; two {:.2} dB, {:.2} ms, {} kbit/s",
            one.0, one.1, one.2, two.0, two.1, two.2
        );
        assert!(two.0 > one.0 - 0.5, "{content:?}");
    }
}

#[test]
fn every_lost_picture_of_the_upper_layer_is_passed_over() {
    let mut run = Run::new(Path { round_trip_ms: 40, loss: 0.0, burst: 1.0, ..Path::default() });
    run.lose_disposable = true;
    let figures = run.seconds(20);
    println!("every upper-layer picture cut: {figures}");
    assert_eq!((figures.keyframe_requests, figures.freezes), (0, 0));
    assert!(figures.shown >= 295 && figures.worst_psnr > 28.0, "{figures}");
}
