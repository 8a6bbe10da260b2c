//! What comes out of encoder, ladder and budget at low bit rates.

use crate::scene::{Content, Scene, psnr};
use std::time::Duration;
use twocan::codec::scale::Scaler;
use twocan::codec::{video_codecs, video_decoder, video_encoder};
use twocan::frame::{FramePool, RawFrame};
use twocan::pipeline::budget::Budget;
use twocan::pipeline::ladder::{Coded, Ladder};
use twocan::units::{Bitrate, Resolution, VideoCodec};

const FPS: u32 = 30;
const SECONDS: u32 = 5;
/// A processor that has time for everything.
const WORK: Duration = Duration::from_millis(4);

/// Sends a camera of this size at a rate, as the thread `venc` does; checks the rate of each whole second.
fn send(codec: VideoCodec, content: Content, source: Resolution, kbps: u64) {
    let (target, mut scene) = (Bitrate::from_kbps(kbps), Scene::new(content, source));
    let (pool, mut scaler, mut budget) = (FramePool::default(), Scaler::default(), Budget::default());
    let mut ladder = Ladder::new(source, f64::from(FPS), target, None);
    let mut encoder = video_encoder(codec, target, FPS).unwrap();
    let mut decoder = video_decoder(codec).unwrap();
    let (mut sizes, mut quality, mut left_out) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SECONDS * FPS {
        let frame = scene.next(FPS);
        if !budget.allows(frame.captured_at, target) {
            ladder.handle_frame(frame.captured_at, WORK, Coded::Skipped);
            sizes.push(0);
            left_out += 1;
            continue;
        }
        let image = scaler.scale(&frame.image, ladder.resolution(), &pool);
        let small = RawFrame { image, captured_at: frame.captured_at };
        let encoded = encoder.encode(&small, false).unwrap().expect("no picture is left out by itself");
        budget.spend(encoded.data.len(), encoded.keyframe, target);
        let coded = if encoded.keyframe { Coded::Keyframe } else { Coded::Delta };
        ladder.handle_frame(frame.captured_at, WORK, coded);
        sizes.push(encoded.data.len());
        let decoded = decoder.decode(&encoded.data, &pool).unwrap().unwrap();
        // As it is seen: at the size of the camera's picture.
        quality.push(psnr(&frame.image, &scaler.scale(&decoded, source, &pool)));
    }
    let kbps_of = |bytes: &[usize], seconds: f64| bytes.iter().sum::<usize>() as f64 * 8.0 / 1000.0 / seconds;
    let settled = &sizes[FPS as usize..];
    let worst = settled.windows(FPS as usize).map(|second| kbps_of(second, 1.0)).fold(0.0, f64::max);
    let mean = kbps_of(settled, f64::from(SECONDS - 1));
    println!(
        "{} {content:?} {source} at {kbps} kbit/s: sent as {}, mean {mean:.0}, worst second {worst:.0} (first {:.0}), \
         {left_out} of {} left out, {:.1} dB",
        codec.name(),
        ladder.resolution(),
        kbps_of(&sizes[..FPS as usize], 1.0),
        sizes.len(),
        quality.iter().sum::<f64>() / quality.len() as f64
    );
    assert!(worst <= kbps as f64 * 1.15, "{worst:.0} kbit/s in a second instead of {kbps}");
    assert!(mean >= kbps as f64 * 0.85, "{mean:.0} kbit/s instead of {kbps}");
    assert!(left_out * 50 <= sizes.len(), "{left_out} left out");
}

#[test]
fn the_rate_is_kept_without_leaving_pictures_out() {
    let size = Resolution::new(640, 360);
    for (codec, kbps) in video_codecs().iter().flat_map(|codec| [300, 500, 1000].map(|kbps| (*codec, kbps))) {
        send(codec, Content::Head, size, kbps);
        send(codec, Content::Walk, size, kbps);
    }
}
