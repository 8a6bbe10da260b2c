use super::*;
use crate::codec::test_pictures::{Camera, FPS, SIZE, psnr, rate};

#[test]
fn pictures_survive_the_codec() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = H264Decoder::new().unwrap();
    let mut worst = f64::INFINITY;
    for number in 0..60 {
        let frame = camera.next();
        let Some(encoded) = encoder.encode(&frame, false).unwrap() else { continue };
        assert_eq!(encoded.keyframe, number == 0);
        assert_eq!(encoded.keyframe, is_keyframe(&encoded.data));
        assert_eq!((encoded.captured_at, encoded.resolution), (frame.captured_at, SIZE));
        let decoded = decoder.decode(&encoded.data, &pool).unwrap().expect("one picture in, one out");
        worst = worst.min(psnr(&frame.image, &decoded));
    }
    assert!(worst > 32.0, "PSNR {worst:.1} dB");
}

#[test]
fn the_stream_is_constrained_baseline_with_a_level_that_fits() {
    for (resolution, level) in
        [((320, 180), 0x0c..=0x15), ((1280, 720), 0x1f..=0x1f), ((1920, 1080), 0x28..=0x28)]
    {
        let resolution = Resolution::new(resolution.0, resolution.1);
        let mut encoder = H264Encoder::new(Bitrate::from_kbps(1500), FPS);
        let first = encoder.encode(&Camera::new(resolution).next(), false).unwrap().unwrap();
        let sps = first.data.windows(4).position(|bytes| bytes == [0, 0, 1, 0x67]).unwrap() + 4;
        let [profile, constraints, got, ..] = first.data[sps..] else { panic!("no parameter set") };
        assert_eq!((profile, constraints & 0xc0), (66, 0xc0), "{resolution}");
        assert!(level.contains(&got), "{resolution}: level {got:#x}");
    }
}

#[test]
fn a_keyframe_comes_at_once_when_asked_for_and_never_else() {
    let mut camera = Camera::new(SIZE);
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(500), FPS);
    for number in 0..200 {
        let asked = [20, 21, 90].contains(&number);
        if let Some(frame) = encoder.encode(&camera.next(), asked).unwrap() {
            assert_eq!(frame.keyframe, asked || number == 0, "picture {number}");
        } else {
            assert!(!asked, "picture {number} was asked for");
        }
    }
}

#[test]
fn the_bit_rate_is_followed_up_and_down() {
    let mut camera = Camera::new(Resolution::new(640, 360));
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(600), FPS);
    encoder.encode(&camera.next(), false).unwrap();
    for kbps in [600, 250, 1200, 400] {
        encoder.set_target(Bitrate::from_kbps(kbps));
        rate(&mut encoder, &mut camera, 20); // to settle
        let got = rate(&mut encoder, &mut camera, 60) / 1000;
        assert!((kbps * 70 / 100..=kbps * 115 / 100).contains(&got), "{got} kbit/s instead of {kbps}");
    }
}

#[test]
fn another_size_starts_with_a_keyframe_and_keeps_the_bit_rate() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(Resolution::new(640, 360)));
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(1000), FPS);
    let mut decoder = H264Decoder::new().unwrap();
    for (size, kbps) in [((640, 360), 1000), ((320, 180), 300), ((640, 360), 700)] {
        camera.resolution = Resolution::new(size.0, size.1);
        encoder.set_target(Bitrate::from_kbps(kbps));
        let first = encoder.encode(&camera.next(), false).unwrap().unwrap();
        assert!(first.keyframe);
        let decoded = decoder.decode(&first.data, &pool).unwrap().unwrap();
        assert_eq!(decoded.resolution(), camera.resolution);
        rate(&mut encoder, &mut camera, 20);
        let got = rate(&mut encoder, &mut camera, 60) / 1000;
        assert!(got <= kbps * 115 / 100, "{got} kbit/s instead of {kbps}");
        // The decoder has missed those: it says so and picks up at the next keyframe.
        let next = encoder.encode(&camera.next(), true).unwrap().unwrap();
        assert!(decoder.decode(&next.data, &pool).is_ok());
    }
}

#[test]
fn after_a_lost_picture_nothing_is_shown_until_a_keyframe() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = H264Decoder::new().unwrap();
    let mut refused = 0;
    for number in 0..60 {
        let frame = camera.next();
        let Some(encoded) = encoder.encode(&frame, number == 40).unwrap() else { continue };
        if number == 20 {
            continue; // lost
        }
        match decoder.decode(&encoded.data, &pool) {
            Ok(Some(decoded)) => assert!(psnr(&frame.image, &decoded) > 30.0, "picture {number}"),
            Ok(None) => panic!("picture {number}: nothing came out"),
            Err(error) => {
                assert_eq!(error, CodecError::NeedsKeyframe);
                assert!((21..40).contains(&number), "picture {number}");
                refused += 1;
            }
        }
    }
    assert!(refused > 10);
}

#[test]
fn damaged_streams_never_panic_and_a_keyframe_ends_the_damage() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = H264Decoder::new().unwrap();
    assert_eq!(decoder.decode(&[], &pool).err(), Some(CodecError::NeedsKeyframe));
    assert_eq!(decoder.decode(&vec![0; MAX_ACCESS_UNIT + 1], &pool).err(), Some(CodecError::NeedsKeyframe));
    let mut random = 0x853c_49e6_748f_ea9b_u64;
    for number in 0..300 {
        let Some(encoded) = encoder.encode(&camera.next(), number % 7 == 0).unwrap() else { continue };
        let mut data = encoded.data.to_vec();
        for _ in 0..=number % 5 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % data.len().min(if number % 2 == 0 { 60 } else { usize::MAX });
            data[at] = (random >> 40) as u8;
        }
        if number % 11 == 0 {
            data.truncate(random as usize % data.len());
        }
        let _ = decoder.decode(&data, &pool);
    }
    // One refusal at most: then the decoder is a new one.
    let frame = camera.next();
    let keyframe = encoder.encode(&frame, true).unwrap().unwrap();
    let decoded = decoder.decode(&keyframe.data, &pool).or_else(|_| decoder.decode(&keyframe.data, &pool));
    assert!(psnr(&frame.image, &decoded.unwrap().unwrap()) > 30.0);
}

#[test]
fn sizes_that_cannot_be_encoded_are_errors() {
    for size in [(321, 180), (320, 181), (8, 8), (3842, 16), (2200, 2200)] {
        let image = I420::black(Resolution::new(size.0, size.1));
        let frame = RawFrame { image, captured_at: Instant::now() };
        let result = H264Encoder::new(Bitrate::from_kbps(500), FPS).encode(&frame, false);
        assert!(matches!(result, Err(CodecError::Fatal(_))), "{size:?}");
    }
}

#[test]
fn keyframes_are_recognised_by_their_slices() {
    assert!(is_keyframe(&[0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3]));
    assert!(!is_keyframe(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x41, 3]));
    for junk in [&[][..], &[0, 0, 1], &[0, 0], &[5; 9]] {
        assert!(!is_keyframe(junk));
    }
}
