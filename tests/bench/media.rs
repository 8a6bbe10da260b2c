//! What each step of the media path costs, in processor time of one thread. `cargo bench --bench media`; a name as
//! argument runs only what contains it.

mod timer;

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};
use timer::bench;
use twocan::codec::convert::{MjpegDecoder, PixelOrder, nv12_to_i420, rgb_to_i420, yuyv_to_i420};
use twocan::codec::h264::{H264Decoder, H264Encoder};
use twocan::codec::opus::{OpusDecoder, OpusEncoder};
use twocan::codec::scale::Scaler;
use twocan::codec::{AudioDecoder, AudioEncoder, BLOCK, PACKET, VideoDecoder, VideoEncoder};
use twocan::device::camera::pattern::Painter;
use twocan::frame::{FramePool, I420, RawFrame, RtpPacket};
use twocan::pipeline::voice::{VoiceProcessor, VoiceSettings};
use twocan::rtp::VideoAssembler;
use twocan::settings::NoiseSuppression;
use twocan::units::{Bitrate, Resolution};

const PICTURES: u32 = 150;

fn pictures(resolution: Resolution) -> Vec<RawFrame> {
    let mut painter = Painter::new(resolution);
    let start = Instant::now();
    (0..PICTURES)
        .map(|number| {
            let mut image = I420::black(resolution);
            painter.paint(&mut image, SystemTime::UNIX_EPOCH + Duration::from_millis(33) * number);
            RawFrame { image, captured_at: start + Duration::from_secs(1) * number / 30 }
        })
        .collect()
}

fn video(resolution: Resolution, kbps: u64) {
    let frames = pictures(resolution);
    let mut encoder = H264Encoder::new(Bitrate::from_kbps(kbps), 30);
    let mut units: Vec<Bytes> = Vec::new();
    let mut next = frames.iter();
    bench(&format!("{resolution} h264 encode {kbps} kbit/s"), PICTURES - 1, || {
        let frame = next.next().expect("one picture per repeat");
        units.extend(encoder.encode(frame, false).unwrap().map(|encoded| encoded.data));
    });
    if units.is_empty() {
        return;
    }
    let pool = FramePool::default();
    let mut decoder = H264Decoder::new().unwrap();
    let mut next = units.iter();
    bench(&format!("{resolution} h264 decode"), units.len() as u32 - 1, || {
        black_box(decoder.decode(next.next().expect("one unit per repeat"), &pool).unwrap());
    });
    let packets: Vec<Vec<RtpPacket>> = packetized(&units);
    let mut assembler = VideoAssembler::new();
    let mut next = packets.iter();
    bench(&format!("{resolution} assemble packets"), units.len() as u32 - 1, || {
        let packets = next.next().expect("one unit per repeat");
        packets.iter().for_each(|packet| assembler.handle_packet(packet.clone()));
        black_box(assembler.poll(Instant::now()));
    });
}

fn packetized(units: &[Bytes]) -> Vec<Vec<RtpPacket>> {
    let (mut payloader, mut sequence) = (H264Payloader::default(), 0u16);
    let mut packets = |(number, unit): (usize, &Bytes)| {
        let payloads = payloader.payload(1180, unit).unwrap();
        let last = payloads.len() - 1;
        let packet = |(index, payload)| {
            sequence = sequence.wrapping_add(1);
            let timestamp = number as u32 * 3000;
            let arrived_at = Instant::now();
            RtpPacket {
                payload_type: 102,
                marker: index == last,
                sequence,
                timestamp,
                ssrc: 1,
                payload,
                arrived_at,
            }
        };
        payloads.into_iter().enumerate().map(packet).collect()
    };
    units.iter().enumerate().map(&mut packets).collect()
}

fn pixels(resolution: Resolution) {
    let pool = FramePool::default();
    let picture = pictures(resolution).swap_remove(7).image;
    let (width, area) = (resolution.width as usize, resolution.area() as usize);
    let bytes = vec![120; 3 * area];
    bench(&format!("{resolution} nv12 to i420"), 200, || {
        black_box(nv12_to_i420(&bytes, width, resolution, &pool).unwrap());
    });
    bench(&format!("{resolution} yuyv to i420"), 200, || {
        black_box(yuyv_to_i420(&bytes, 2 * width, resolution, &pool).unwrap());
    });
    bench(&format!("{resolution} rgb to i420"), 200, || {
        black_box(rgb_to_i420(&bytes, 3 * width, PixelOrder::Rgb, resolution, &pool).unwrap());
    });
    let mut scaler = Scaler::default();
    for (share, denominator) in [(3, 4), (1, 2), (1, 4)] {
        let to = Resolution::new(
            (resolution.width * share / denominator) & !1,
            (resolution.height * share / denominator) & !1,
        );
        bench(&format!("{resolution} scale to {to}"), 100, || {
            black_box(scaler.scale(&picture, to, &pool));
        });
    }
}

fn sound() {
    let tone: Vec<f32> = (0..PACKET).map(|n| 0.3 * (n as f32 * 0.0576).sin()).collect();
    let mut encoder = OpusEncoder::new().unwrap();
    let packet = encoder.encode(&tone).unwrap().unwrap();
    bench("opus encode, 20 ms", 500, || {
        black_box(encoder.encode(&tone).unwrap());
    });
    let (mut decoder, mut pcm) = (OpusDecoder::new().unwrap(), Vec::new());
    bench("opus decode, 20 ms", 500, || {
        pcm.clear();
        decoder.decode(&packet, &mut pcm).unwrap();
    });
    let settings = VoiceSettings { noise_suppression: NoiseSuppression::High, automatic_gain: true };
    let mut voice = VoiceProcessor::new(settings);
    let (mut heard, mut sent) = ([0.0; BLOCK], [0.0; BLOCK]);
    heard.copy_from_slice(&tone[..BLOCK]);
    bench("echo, noise, gain, 10 ms", 500, || {
        voice.handle_played(&heard);
        voice.process(&heard, &mut sent);
    });
    bench("noise, gain, 10 ms, speaker silent", 500, || voice.process(&heard, &mut sent));
}

fn main() {
    for (width, height, kbps) in [(640, 360, 700), (1280, 720, 2000), (1920, 1080, 4000)] {
        video(Resolution::new(width, height), kbps);
    }
    pixels(Resolution::HD);
    let jpeg = include_bytes!("../../src/codec/convert/bars.jpg");
    let (mut mjpeg, pool) = (MjpegDecoder::default(), FramePool::default());
    bench("640x48 mjpeg to i420", 200, || {
        black_box(mjpeg.decode(jpeg, &pool).unwrap());
    });
    sound();
}
