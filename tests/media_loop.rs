//! Two media pipelines joined by a wire of RTP packets: what one films and says, the other shows and plays.
//!
//! The wire is the packetizer the network uses (`rtc`) with loss and reordering from a seed; no sockets.

use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use twocan::codec::SAMPLE_RATE;
use twocan::device::{CameraChoice, MicrophoneChoice, PictureRequest, SpeakerChoice};
use twocan::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use twocan::pipeline::{Media, MediaEvent, MediaSetup, PeerMedia};
use twocan::ports::{Inlet, Outlet, PeerId};
use twocan::stats::PeerStats;
use twocan::units::{Bitrate, Resolution};

const MTU: usize = 1180;
/// Nothing here takes this long; it only ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// RTP packets out of encoded pictures and sound, as the network makes them.
struct Packetizer {
    payloader: H264Payloader,
    video_sequence: u16,
    audio_sequence: u16,
    epoch: Instant,
}

impl Packetizer {
    fn new(epoch: Instant) -> Self {
        // Both sequences wrap within the test.
        Self { payloader: H264Payloader::default(), video_sequence: 65_500, audio_sequence: 65_520, epoch }
    }

    fn video(&mut self, frame: &EncodedFrame) -> Vec<RtpPacket> {
        let payloads = self.payloader.payload(MTU, &frame.data).unwrap();
        let last = payloads.len() - 1;
        let since = frame.captured_at.saturating_duration_since(self.epoch);
        let timestamp = (since.as_micros() * 90 / 1000) as u32;
        let packet = |(index, payload)| {
            self.video_sequence = self.video_sequence.wrapping_add(1);
            RtpPacket {
                payload_type: 102,
                marker: index == last,
                sequence: self.video_sequence,
                timestamp,
                ssrc: 1,
                payload,
                arrived_at: Instant::now(),
            }
        };
        payloads.into_iter().enumerate().map(packet).collect()
    }

    fn audio(&mut self, packet: &EncodedAudio) -> RtpPacket {
        self.audio_sequence = self.audio_sequence.wrapping_add(1);
        RtpPacket {
            payload_type: 111,
            marker: false,
            sequence: self.audio_sequence,
            timestamp: packet.position as u32,
            ssrc: 2,
            payload: packet.data.clone(),
            arrived_at: Instant::now(),
        }
    }
}

/// Carries everything from one side's outlets to the other side's inlet until the outlets are closed.
fn wire(mut video: mpsc::Receiver<EncodedFrame>, mut audio: mpsc::Receiver<EncodedAudio>, inlet: Inlet) {
    let epoch = Instant::now() - Duration::from_secs(60);
    let video_inlet = inlet.video;
    std::thread::spawn(move || {
        let mut packetizer = Packetizer::new(epoch);
        while let Some(frame) = video.blocking_recv() {
            packetizer.video(&frame).into_iter().for_each(|packet| drop(video_inlet.try_send(packet)));
        }
    });
    let audio_inlet = inlet.audio;
    std::thread::spawn(move || {
        let mut packetizer = Packetizer::new(epoch);
        while let Some(packet) = audio.blocking_recv() {
            let _ = audio_inlet.try_send(packetizer.audio(&packet));
        }
    });
}

struct Side {
    media: Media,
    events: mpsc::Receiver<MediaEvent>,
}

fn side(camera: CameraChoice) -> Side {
    let (sender, events) = mpsc::channel(256);
    let setup = MediaSetup {
        camera,
        microphone: MicrophoneChoice::Tone,
        speaker: SpeakerChoice::None,
        picture: PictureRequest { resolution: Resolution::new(640, 360), fps: 30 },
        ..MediaSetup::default()
    };
    Side { media: Media::start(setup, sender), events }
}

fn outlet() -> (Outlet, mpsc::Receiver<EncodedFrame>, mpsc::Receiver<EncodedAudio>) {
    let (video, frames) = mpsc::channel(30);
    let (audio, packets) = mpsc::channel(50);
    (Outlet { video, audio }, frames, packets)
}

/// The next picture on the screen.
fn next_picture(peer: &PeerMedia) -> Resolution {
    let frame = peer.picture().take(LIMIT).expect("a picture");
    frame.image.resolution()
}

fn stats(peer: &PeerMedia) -> PeerStats {
    let mut stats = PeerStats::default();
    peer.stats(&mut stats);
    stats
}

#[test]
fn pictures_and_sound_go_both_ways() {
    let (a, b) = (side(CameraChoice::Pattern), side(CameraChoice::Pattern));
    let (a_outlet, a_frames, a_sound) = outlet();
    let (b_outlet, b_frames, b_sound) = outlet();
    let to_b = a.media.open_peer(PeerId(1), a_outlet);
    let to_a = b.media.open_peer(PeerId(1), b_outlet);
    wire(a_frames, a_sound, to_a.inlet());
    wire(b_frames, b_sound, to_b.inlet());
    for peer in [&to_b, &to_a] {
        for _ in 0..20 {
            assert_eq!(next_picture(peer), Resolution::new(640, 360));
        }
    }
    let mut heard = 0;
    let deadline = Instant::now() + LIMIT;
    while heard < 20 && Instant::now() < deadline {
        next_picture(&to_b);
        heard += u32::from(to_b.level() > 0.3);
    }
    assert_eq!(heard, 20, "the tone was not heard");
    let stats = stats(&to_b);
    assert!(stats.inbound.video.frames_decoded >= 20 && stats.outbound.video.frames_encoded >= 20);
    assert_eq!(stats.inbound.video.frame_width, 640);
    assert!(stats.inbound.audio.total_samples_received > u64::from(SAMPLE_RATE) / 5);
    assert_eq!(stats.outbound.video.quality_limitation_reason, "none");
}

#[test]
fn a_stopped_camera_sends_nothing_and_comes_back_with_a_keyframe() {
    let mut a = side(CameraChoice::Pattern);
    let (outlet, mut frames, _sound) = outlet();
    let peer = a.media.open_peer(PeerId(1), outlet);
    peer.set_video_target(Bitrate::from_kbps(500));
    assert!(frames.blocking_recv().unwrap().keyframe);
    assert!(!frames.blocking_recv().unwrap().keyframe);
    a.media.stop_camera(true);
    // What was under way comes still; then there is nothing, and the preview is empty.
    while a.media.preview().newest().is_some() {
        std::thread::yield_now();
    }
    a.media.stop_camera(false);
    let deadline = Instant::now() + LIMIT;
    while !frames.blocking_recv().unwrap().keyframe {
        assert!(Instant::now() < deadline, "no keyframe");
    }
    assert!(a.media.preview().newest().is_some());
    drop(peer);
    while frames.blocking_recv().is_some() {}
    let opened = std::iter::from_fn(|| a.events.try_recv().ok())
        .filter(|event| matches!(event, MediaEvent::Opened { picture: Some(_), .. }));
    assert_eq!(opened.count(), 2);
}
