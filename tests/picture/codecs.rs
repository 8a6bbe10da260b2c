//! H.264 and VP8 side by side: quality at the same rate, and what each picture costs.

use crate::scene::{Content, Scene, psnr};
use cpu_time::ThreadTime;
use std::time::Duration;
use twocan::codec::{video_codecs, video_decoder, video_encoder};
use twocan::frame::FramePool;
use twocan::units::{Bitrate, Resolution, VideoCodec};

const PICTURES: u32 = 150;
const FPS: u32 = 30;

/// Of one picture, on average; times are of the processor.
struct Figures {
    psnr: f64,
    encode_ms: f64,
    decode_ms: f64,
    kbps: u64,
}

fn measure(codec: VideoCodec, content: Content, resolution: Resolution, kbps: u64) -> Figures {
    let (mut scene, pool) = (Scene::new(content, resolution), FramePool::default());
    let mut encoder = video_encoder(codec, Bitrate::from_kbps(kbps), FPS).unwrap();
    let mut decoder = video_decoder(codec).unwrap();
    let (mut sum, mut bytes) = (0.0, 0);
    let (mut encoding, mut decoding) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..PICTURES {
        let frame = scene.next(FPS);
        let start = ThreadTime::now();
        let encoded = encoder.encode(&frame, false).unwrap().expect("no picture is left out");
        encoding += start.elapsed();
        bytes += encoded.data.len() as u64;
        let start = ThreadTime::now();
        let decoded = decoder.decode(&encoded.data, &pool).unwrap().unwrap();
        decoding += start.elapsed();
        sum += psnr(&frame.image, &decoded);
    }
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(PICTURES);
    Figures {
        psnr: sum / f64::from(PICTURES),
        encode_ms: each(encoding),
        decode_ms: each(decoding),
        kbps: bytes * 8 * u64::from(FPS) / u64::from(PICTURES) / 1000,
    }
}

#[test]
fn who_has_vp8_only_sees_about_the_same() {
    for (width, height, kbps) in [(640, 360, 700), (1280, 720, 2000)] {
        let size = Resolution::new(width, height);
        for content in [Content::Head, Content::Walk] {
            let mut h264 = None;
            for codec in video_codecs() {
                let figures = measure(*codec, content, size, kbps);
                println!(
                    "{content:?} {size} at {kbps} kbit/s in {}: {:.1} dB at {} kbit/s; encoded in {:.1} ms ({:.0} % of a core), \
                     decoded in {:.1} ms",
                    codec.name(),
                    figures.psnr,
                    figures.kbps,
                    figures.encode_ms,
                    figures.encode_ms * f64::from(FPS) / 10.0,
                    figures.decode_ms
                );
                let h264 = h264.get_or_insert(figures.psnr);
                assert!(figures.psnr > *h264 - 2.0, "{content:?} {size}");
                assert!(figures.kbps <= kbps * 115 / 100, "{content:?} {size}: {} kbit/s", figures.kbps);
            }
        }
    }
}
