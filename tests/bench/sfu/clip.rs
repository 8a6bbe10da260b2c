//! What is sent: a few seconds of picture and sound, encoded once and sent over and over, so that sending costs little.

use bytes::Bytes;
use std::f32::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use twocan::codec::h264::H264Encoder;
use twocan::codec::opus::OpusEncoder;
use twocan::codec::{AudioEncoder, PACKET, VideoEncoder};
use twocan::frame::{EncodedAudio, EncodedFrame, I420, RawFrame};
use twocan::ports::Outlet;
use twocan::units::{Bitrate, Resolution};

const FPS: u32 = 25;
const PICTURES: u32 = 100;
const SIZE: Resolution = Resolution::new(640, 360);
const PACKET_TIME: Duration = Duration::from_millis(20);
const SOUND_IN_PICTURE: u32 = 50 / FPS;

pub struct Clip {
    pictures: Vec<EncodedFrame>,
    sound: Vec<Bytes>,
}

/// Texture that moves and never repeats exactly, so that the encoder needs all of its rate.
fn paint(number: u32) -> I420 {
    let mut image = I420::black(SIZE);
    let width = SIZE.width as usize;
    for (at, pixel) in image.planes_mut().0.iter_mut().enumerate() {
        let (x, y) = ((at % width) as u32, (at / width) as u32);
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ number.wrapping_mul(97)) >> 7;
        *pixel = (40 + (x + y + 3 * number) / 4 % 140 + grain % 12) as u8;
    }
    image
}

impl Clip {
    pub fn new(rate: Bitrate) -> Self {
        let start = Instant::now();
        let mut encoder = H264Encoder::with_layers(rate, FPS, 1);
        let pictures = (0..PICTURES).filter_map(|number| {
            let captured_at = start + Duration::from_secs(1) * number / FPS;
            let frame = RawFrame { image: paint(number), captured_at };
            // Each round begins with a picture to begin with.
            encoder.encode(&frame, number == 0).expect("the size can be encoded")
        });
        let pictures = pictures.collect();
        let mut voice = OpusEncoder::new().expect("there is a voice encoder");
        let packets = (0..PICTURES * SOUND_IN_PICTURE).filter_map(|packet| {
            let pcm: Vec<f32> = (0..PACKET)
                .map(|n| 0.2 * (TAU * 210.0 * (packet as usize * PACKET + n) as f32 / 48_000.0).sin())
                .collect();
            voice.encode(&pcm).expect("a packet can be encoded")
        });
        Self { pictures, sound: packets.collect() }
    }

    /// Bits a second of the pictures.
    pub fn rate(&self) -> u64 {
        let bytes: usize = self.pictures.iter().map(|picture| picture.data.len()).sum();
        bytes as u64 * 8 * u64::from(FPS) / self.pictures.len() as u64
    }
}

/// Sends while `on`, and begins again with a keyframe whenever one is wanted.
pub async fn send(clip: Arc<Clip>, outlet: Outlet, keyframe: Arc<AtomicBool>, mut on: watch::Receiver<bool>) {
    let (mut picture, mut packet) = (0usize, 0u64);
    let mut tick = tokio::time::interval(PACKET_TIME);
    loop {
        if !*on.borrow() {
            if on.wait_for(|on| *on).await.is_err() {
                return;
            }
            tick.reset();
        }
        tick.tick().await;
        let captured_at = Instant::now();
        if packet.is_multiple_of(u64::from(SOUND_IN_PICTURE)) {
            if keyframe.swap(false, Ordering::Relaxed) {
                picture = 0;
            }
            let frame = EncodedFrame { captured_at, ..clip.pictures[picture].clone() };
            picture = (picture + 1) % clip.pictures.len();
            let _ = outlet.video.try_send(frame);
        }
        let data = clip.sound[packet as usize % clip.sound.len()].clone();
        let position = packet * PACKET as u64;
        let _ = outlet.audio.try_send(EncodedAudio { data, captured_at, position, level: 0.2 });
        packet += 1;
    }
}
