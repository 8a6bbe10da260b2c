use super::*;
use crate::codec::test_pictures::{Camera, FPS, SIZE, psnr, rate};

#[test]
fn pictures_survive_the_codec() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = Vp8Decoder::new().unwrap();
    let mut worst = f64::INFINITY;
    for number in 0..60 {
        let frame = camera.next();
        let encoded = encoder.encode(&frame, false).unwrap().expect("no picture is left out");
        assert_eq!(encoded.keyframe, number == 0);
        assert_eq!(encoded.keyframe, matches!(Start::of(&encoded.data), Some(Start::Keyframe(SIZE))));
        assert_eq!((encoded.captured_at, encoded.resolution), (frame.captured_at, SIZE));
        assert_eq!((encoded.codec, encoded.disposable), (VideoCodec::Vp8, false));
        let decoded = decoder.decode(&encoded.data, &pool).unwrap().expect("one picture in, one out");
        worst = worst.min(psnr(&frame.image, &decoded));
    }
    assert!(worst > 32.0, "PSNR {worst:.1} dB");
}

#[test]
fn a_keyframe_comes_at_once_when_asked_for_and_never_else() {
    let mut camera = Camera::new(SIZE);
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(500), FPS);
    for number in 0..300 {
        let asked = [20, 21, 90].contains(&number);
        let frame = encoder.encode(&camera.next(), asked).unwrap().unwrap();
        assert_eq!(frame.keyframe, asked || number == 0, "picture {number}");
    }
}

#[test]
fn the_bit_rate_is_followed_up_and_down() {
    let mut camera = Camera::new(Resolution::new(640, 360));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(600), FPS);
    encoder.encode(&camera.next(), false).unwrap();
    for kbps in [600, 250, 1200, 400] {
        encoder.set_target(Bitrate::from_kbps(kbps));
        rate(&mut encoder, &mut camera, 30); // to settle
        let got = rate(&mut encoder, &mut camera, 60) / 1000;
        assert!((kbps * 70 / 100..=kbps * 120 / 100).contains(&got), "{got} kbit/s instead of {kbps}");
    }
}

#[test]
fn half_as_many_pictures_get_twice_the_bits_each() {
    let mut camera = Camera::new(Resolution::new(640, 360));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(500), FPS);
    encoder.set_fps(FPS / 2);
    let mut bytes = 0;
    for number in 0..180 {
        let frame = camera.next();
        if number % 2 == 0 {
            let encoded = encoder.encode(&frame, false).unwrap().unwrap();
            bytes += if number < 60 { 0 } else { encoded.data.len() };
        }
    }
    let kbps = bytes * 8 / 4 / 1000;
    assert!((350..=600).contains(&kbps), "{kbps} kbit/s");
}

#[test]
fn another_size_starts_with_a_keyframe_and_is_followed_by_the_decoder() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(Resolution::new(640, 360)));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(700), FPS);
    let mut decoder = Vp8Decoder::new().unwrap();
    for size in [(640, 360), (320, 180), (640, 360), (180, 320)] {
        camera.resolution = Resolution::new(size.0, size.1);
        for number in 0..5 {
            let frame = camera.next();
            let encoded = encoder.encode(&frame, false).unwrap().unwrap();
            assert_eq!((encoded.keyframe, encoded.resolution), (number == 0, camera.resolution));
            let decoded = decoder.decode(&encoded.data, &pool).unwrap().unwrap();
            assert!(psnr(&frame.image, &decoded) > 28.0);
        }
    }
}

#[test]
fn after_a_damaged_picture_nothing_is_shown_until_a_keyframe() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = Vp8Decoder::new().unwrap();
    for number in 0..60 {
        let frame = camera.next();
        let encoded = encoder.encode(&frame, number == 40).unwrap().unwrap();
        // No frame has nothing in it.
        let data = if number == 20 { &[][..] } else { &encoded.data[..] };
        match decoder.decode(data, &pool) {
            Ok(decoded) => assert!(psnr(&frame.image, &decoded.unwrap()) > 30.0, "picture {number}"),
            Err(error) => {
                assert_eq!(error, CodecError::NeedsKeyframe);
                assert!((20..40).contains(&number), "picture {number}");
            }
        }
    }
    let mut fresh = Vp8Decoder::new().unwrap();
    let delta = encoder.encode(&camera.next(), false).unwrap().unwrap();
    assert_eq!(fresh.decode(&delta.data, &pool).err(), Some(CodecError::NeedsKeyframe));
}

#[test]
fn damaged_streams_never_panic_and_a_keyframe_ends_the_damage() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(800), FPS);
    let mut decoder = Vp8Decoder::new().unwrap();
    assert_eq!(decoder.decode(&vec![1; MAX_FRAME + 1], &pool).err(), Some(CodecError::NeedsKeyframe));
    let mut random = 0x853c_49e6_748f_ea9b_u64;
    for number in 0..300 {
        let encoded = encoder.encode(&camera.next(), number % 7 == 0).unwrap().unwrap();
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
    let frame = camera.next();
    let keyframe = encoder.encode(&frame, true).unwrap().unwrap();
    let decoded = decoder.decode(&keyframe.data, &pool).unwrap().unwrap();
    assert!(psnr(&frame.image, &decoded) > 30.0);
}

#[test]
fn a_frame_that_claims_to_be_huge_takes_no_memory() {
    let (pool, mut camera) = (FramePool::default(), Camera::new(SIZE));
    let mut encoder = Vp8Encoder::new(Bitrate::from_kbps(800), FPS);
    let whole = encoder.encode(&camera.next(), true).unwrap().unwrap().data;
    assert_eq!(Start::of(&whole), Some(Start::Keyframe(SIZE)));
    for (width, height) in [(16_383_u16, 16_383_u16), (3842, 16), (2200, 2200), (0, 0), (8, 8)] {
        let mut data = whole.to_vec();
        data[6..8].copy_from_slice(&width.to_le_bytes());
        data[8..10].copy_from_slice(&height.to_le_bytes());
        assert_eq!(Start::of(&data), None, "{width}x{height}");
        let mut decoder = Vp8Decoder::new().unwrap();
        assert_eq!(decoder.decode(&data, &pool).err(), Some(CodecError::NeedsKeyframe));
    }
    for junk in [&[][..], &[0, 0], &[0; 9], &[0; 40], &whole[..9]] {
        assert_eq!(Start::of(junk), None);
    }
}

#[test]
fn sizes_that_cannot_be_encoded_are_errors() {
    for size in [(321, 180), (320, 181), (8, 8), (3842, 16), (2200, 2200)] {
        let image = I420::black(Resolution::new(size.0, size.1));
        let frame = RawFrame { image, captured_at: Instant::now() };
        let result = Vp8Encoder::new(Bitrate::from_kbps(500), FPS).encode(&frame, false);
        assert!(matches!(result, Err(CodecError::Fatal(_))), "{size:?}");
    }
}
