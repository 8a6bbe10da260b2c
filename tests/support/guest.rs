//! A guest of a mixing host, made of the codecs alone: sends what it is told, over a wire of RTP packets without a network,
//! and hands over what it gets.

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use twocan::codec::h264::H264Encoder;
use twocan::codec::opus::OpusEncoder;
use twocan::codec::{AudioEncoder, PACKET, VideoEncoder};
use twocan::frame::{EncodedAudio, EncodedFrame, I420, RawFrame, RtpPacket};
use twocan::pipeline::{Media, PeerMedia};
use twocan::ports::{Inlet, Outlet, PeerId};
use twocan::units::{Bitrate, MediaKind};

const MTU: usize = 1180;

/// A guest's pictures and packets are made once and sent over and over.
pub struct Recording {
    fps: u32,
    pictures: Vec<Bytes>,
    sound: Vec<Option<Bytes>>,
}

impl Recording {
    /// `picture` paints each of the pictures, `sound` gives the sample at a position; both should join end to start.
    pub fn new(
        fps: u32,
        count: u32,
        target: Bitrate,
        mut picture: impl FnMut(u32) -> I420,
        sound: impl Fn(usize) -> f32,
    ) -> Self {
        let start = Instant::now();
        let mut encoder = H264Encoder::with_layers(target, fps, 1);
        let mut pictures = Vec::new();
        for number in 0..count {
            let captured_at = start + Duration::from_secs(1) * number / fps;
            let frame = RawFrame { image: picture(number), captured_at };
            // The first one of each round is one to begin with.
            let encoded = encoder.encode(&frame, number == 0).expect("the size can be encoded");
            pictures.extend(encoded.map(|encoded| encoded.data));
        }
        let mut encoder = OpusEncoder::new().expect("there is a voice encoder");
        let packets = (count as usize * 50).div_ceil(fps as usize);
        let sound = (0..packets)
            .map(|packet| {
                let pcm: Vec<f32> = (packet * PACKET..(packet + 1) * PACKET).map(&sound).collect();
                encoder.encode(&pcm).expect("a packet can be encoded")
            })
            .collect();
        Self { fps, pictures, sound }
    }
}

pub struct Guest {
    pub media: PeerMedia,
    pub frames: mpsc::Receiver<EncodedFrame>,
    pub packets: mpsc::Receiver<EncodedAudio>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Guest {
    /// Joins the host's media and sends from now on.
    pub fn join(media: &Media, id: u64, recording: &Arc<Recording>) -> Self {
        let (video, frames) = mpsc::channel(64);
        let (audio, packets) = mpsc::channel(512);
        let peer = media.open_peer(PeerId(id), Outlet { video, audio, agreed: Default::default() });
        peer.request_keyframe();
        let ended = Arc::new(AtomicBool::new(false));
        let start = |work: fn(&Recording, &Inlet, &AtomicBool)| {
            let (recording, inlet, ended) = (recording.clone(), peer.inlet(), ended.clone());
            std::thread::spawn(move || work(&recording, &inlet, &ended))
        };
        let threads = vec![start(send_pictures), start(send_sound)];
        Self { media: peer, frames, packets, ended, threads }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the guest's threads end in order");
        }
    }
}

fn send_pictures(recording: &Recording, inlet: &Inlet, ended: &AtomicBool) {
    let (start, mut payloader, mut sequence) = (Instant::now(), H264Payloader::default(), 0u16);
    for number in 0u32.. {
        let due = start + Duration::from_secs(1) * number / recording.fps;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let picture = &recording.pictures[number as usize % recording.pictures.len()];
        let payloads = payloader.payload(MTU, picture).expect("an access unit can be packetized");
        let last = payloads.len() - 1;
        for (index, payload) in payloads.into_iter().enumerate() {
            sequence = sequence.wrapping_add(1);
            let timestamp = (u64::from(number) * 90_000 / u64::from(recording.fps)) as u32;
            let _ = inlet.put(MediaKind::Video, packet(102, index == last, sequence, timestamp, payload));
        }
    }
}

fn send_sound(recording: &Recording, inlet: &Inlet, ended: &AtomicBool) {
    let (start, mut sequence) = (Instant::now(), 0u16);
    for number in 0u32.. {
        std::thread::sleep(
            (start + Duration::from_millis(20) * number).saturating_duration_since(Instant::now()),
        );
        if ended.load(Ordering::Relaxed) {
            return;
        }
        if let Some(payload) = &recording.sound[number as usize % recording.sound.len()] {
            sequence = sequence.wrapping_add(1);
            let timestamp = number.wrapping_mul(PACKET as u32);
            let _ = inlet.put(MediaKind::Audio, packet(111, false, sequence, timestamp, payload.clone()));
        }
    }
}

fn packet(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, payload: Bytes) -> RtpPacket {
    let (ssrc, arrived_at) = (u32::from(payload_type), Instant::now());
    RtpPacket { payload_type, marker, sequence, timestamp, ssrc, payload, arrived_at }
}
