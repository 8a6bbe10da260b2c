//! The host as an MCU, through the real threads: three guests made of codecs, joined to the host's media by RTP packets.
//! Each has a tone and a shade of grey of its own; what the host sends to each is decoded and looked at.

#[path = "../support/guest.rs"]
mod guest;

use guest::{Guest, Recording};
use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use twocan::codec::h264::H264Decoder;
use twocan::codec::opus::OpusDecoder;
use twocan::codec::{AudioDecoder, BLOCK, PACKET, SAMPLE_RATE, VideoDecoder};
use twocan::device::{
    AudioSource, CameraChoice, DeviceError, MicrophoneChoice, PictureRequest, SpeakerChoice,
};
use twocan::frame::{EncodedAudio, FramePool, I420};
use twocan::mix::{Arrangement, Member, places};
use twocan::pipeline::{Media, MediaSetup, MixMember, MixPlan, Openers};
use twocan::ports::PeerId;
use twocan::settings::NoiseSuppression;
use twocan::stats::PeerStats;
use twocan::units::{Bitrate, Resolution};

/// Nothing here takes this long; it only ends a test that hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Of another shape than the mix.
const CAMERA: Resolution = Resolution::new(160, 120);
const HOST_HZ: f32 = 350.0;
const GUESTS: [(u64, f32, u8); 3] = [(1, 500.0, 60), (2, 700.0, 120), (3, 950.0, 200)];

fn tone(hz: f32, position: usize) -> f32 {
    // So that the pacing of words keeps it from being taken for noise.
    let word = 0.6 + 0.4 * (TAU * 3.0 * position as f32 / SAMPLE_RATE as f32).sin();
    0.25 * word * (TAU * hz * position as f32 / SAMPLE_RATE as f32).sin()
}

/// A microphone in which the host's tone is heard.
struct Hum {
    start: Instant,
    blocks: usize,
}

impl AudioSource for Hum {
    fn read(&mut self, block: &mut [f32], _: Duration) -> Result<Option<Instant>, DeviceError> {
        let at = self.start + Duration::from_millis(10) * self.blocks as u32;
        std::thread::sleep((at + Duration::from_millis(10)).saturating_duration_since(Instant::now()));
        let first = self.blocks * BLOCK;
        block.iter_mut().enumerate().for_each(|(n, sample)| *sample = tone(HOST_HZ, first + n));
        self.blocks += 1;
        Ok(Some(at))
    }
    fn name(&self) -> &str {
        "Hum"
    }
}

fn host() -> Media {
    let setup = MediaSetup {
        camera: CameraChoice::Pattern,
        microphone: MicrophoneChoice::Tone,
        speaker: SpeakerChoice::None,
        picture: PictureRequest { resolution: CAMERA, fps: 15 },
        noise_suppression: NoiseSuppression::Off,
        ..MediaSetup::default()
    };
    let microphone = Box::new(|_: &MicrophoneChoice| -> Result<Box<dyn AudioSource>, DeviceError> {
        Ok(Box::new(Hum { start: Instant::now(), blocks: 0 }))
    });
    Media::start_with(setup, Openers { microphone, ..Openers::default() }, mpsc::channel(256).0)
}

fn join(media: &Media, (id, hz, grey): (u64, f32, u8)) -> Guest {
    let picture = |_| {
        let mut image = I420::black(Resolution::new(320, 180));
        image.planes_mut().0.fill(grey);
        image
    };
    // Two seconds: whole waves of all tones.
    let recording = Recording::new(15, 30, Bitrate::from_kbps(200), picture, |n| tone(hz, n));
    Guest::join(media, id, &Arc::new(recording))
}

fn plan(listeners: &[u64], guests: &[u64]) -> MixPlan {
    let member = |member| MixMember { member, name: String::new(), muted: false };
    let members = std::iter::once(Member::Host).chain(guests.iter().map(|id| Member::Guest(PeerId(*id))));
    MixPlan {
        listeners: listeners.iter().map(|id| PeerId(*id)).collect(),
        members: members.map(member).collect(),
        arrangement: Arrangement::Grid,
    }
}

/// How loud each of the tones is in this sound (Goertzel): the host's, then the guests'.
fn spectrum(pcm: &[f32]) -> [f32; 4] {
    [HOST_HZ, GUESTS[0].1, GUESTS[1].1, GUESTS[2].1].map(|hz| {
        let step = TAU * hz / SAMPLE_RATE as f32;
        let sum = |wave: fn(f32) -> f32| {
            pcm.iter().enumerate().map(|(n, sample)| sample * wave(step * n as f32)).sum::<f32>()
        };
        sum(f32::sin).hypot(sum(f32::cos)) * 2.0 / pcm.len() as f32
    })
}

/// Everything the guest hears from now on for this many packets.
fn listen(packets: &mut mpsc::Receiver<EncodedAudio>, count: usize) -> Vec<f32> {
    while packets.try_recv().is_ok() {}
    receive(packets, count).0
}

/// The next packets as sound; and their positions.
fn receive(packets: &mut mpsc::Receiver<EncodedAudio>, count: usize) -> (Vec<f32>, Vec<u64>) {
    let (mut decoder, mut pcm, mut positions) = (OpusDecoder::new().unwrap(), Vec::new(), Vec::new());
    for _ in 0..count {
        let packet = packets.blocking_recv().expect("the host goes on sending");
        decoder.decode(&packet.data, &mut pcm).unwrap();
        positions.push(packet.position);
    }
    (pcm, positions)
}

/// Waits for a picture of which this is true.
fn see(guest: &mut Guest, decoder: &mut H264Decoder, mut is_it: impl FnMut(&I420) -> bool) -> I420 {
    let (pool, deadline) = (FramePool::default(), Instant::now() + LIMIT);
    loop {
        assert!(Instant::now() < deadline, "the picture did not come");
        let frame = guest.frames.blocking_recv().expect("the host goes on sending");
        if let Ok(Some(image)) = decoder.decode(&frame.data, &pool)
            && is_it(&image)
        {
            return image;
        }
    }
}

/// Whether it is of the shape of the mix.
fn is_wide(size: Resolution) -> bool {
    size.width * 9 == size.height * 16
}

/// The luma in the middle of each tile of a composed picture of this many.
fn shades(image: &I420, tiles: usize) -> Vec<u8> {
    let size = image.resolution();
    places(size, tiles, Arrangement::Grid)
        .iter()
        .map(|place| {
            let (x, y) = (place.left + place.size.width / 2, place.top + place.size.height / 2);
            image.y()[(y * size.width + x) as usize]
        })
        .collect()
}

fn is_near(a: u8, b: u8) -> bool {
    a.abs_diff(b) <= 6
}

/// Whether it shows the guests with these shades after the host.
fn shows(image: &I420, greys: &[u8]) -> bool {
    let found = shades(image, greys.len() + 1);
    found[1..].iter().zip(greys).all(|(found, grey)| is_near(*found, *grey))
}

#[test]
fn everyone_hears_the_others_and_sees_all() {
    let media = host();
    let mut guests = GUESTS.map(|guest| join(&media, guest));
    media.mix_for(plan(&[1, 2, 3], &[1, 2, 3]));
    for (number, guest) in guests.iter_mut().enumerate() {
        // All voices have been found to be voices, and the streams are apart.
        let deadline = Instant::now() + LIMIT;
        loop {
            let pcm = listen(&mut guest.packets, 100);
            let mut tones = spectrum(&pcm);
            let own = std::mem::take(&mut tones[number + 1]);
            let others =
                tones.iter().filter(|tone| **tone > 0.0).fold(1.0_f32, |least, tone| least.min(*tone));
            if others > 0.03 && own < 0.003 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "guest {number} hears itself at {own}, the others at {tones:?}"
            );
        }
        let mut decoder = H264Decoder::new().unwrap();
        let image = see(guest, &mut decoder, |image| shows(image, &[60, 120, 200]));
        assert!(is_wide(image.resolution()));
        let mut stats = PeerStats::default();
        guest.media.stats(&mut stats);
        assert!(stats.outbound.video.frames_sent > 0 && stats.outbound.audio.audio_level > 0.01);
    }
    assert!(media.mixed_size(Member::Host).is_some_and(|size| size.width > 600));
    // One leaves: its tile goes.
    let [mut first, second, third] = guests;
    drop(second);
    let mut decoder = H264Decoder::new().unwrap();
    first.media.request_keyframe();
    see(&mut first, &mut decoder, |image| shows(image, &[60, 200]));
    // The only listener left is not shown to itself.
    media.mix_for(plan(&[1], &[1, 3]));
    see(&mut first, &mut decoder, |image| shows(image, &[200]));
    drop(third);
}

#[test]
fn switching_loses_no_sound_to_speak_of_and_starts_with_a_keyframe() {
    let media = host();
    let mut guests = [GUESTS[0], GUESTS[2]].map(|guest| join(&media, guest));
    let guest = &mut guests[0];
    let pcm = listen(&mut guest.packets, 100);
    let [host, _, _, other] = spectrum(&pcm);
    assert!(host > 0.03 && other < 0.003, "at first there is the host alone: {host} {other}");

    let mut resolution = None;
    for on in [true, false, true, false] {
        while guest.frames.try_recv().is_ok() {}
        listen(&mut guest.packets, 2);
        media.mix_for(if on { plan(&[1, 3], &[1, 3]) } else { MixPlan::default() });
        // From right before the switch on.
        let (_, positions) = receive(&mut guest.packets, 50);
        let longest = positions.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        assert!(positions.is_sorted_by(|a, b| a < b), "no packet is at the time of another");
        assert!(
            longest.is_some_and(|gap| gap <= u64::from(SAMPLE_RATE) / 2 && gap >= PACKET as u64),
            "{longest:?}"
        );
        let mut times = Vec::new();
        let deadline = Instant::now() + LIMIT;
        let first = loop {
            assert!(Instant::now() < deadline, "no picture after the switch");
            let frame = guest.frames.blocking_recv().expect("the host goes on sending");
            times.push(frame.captured_at);
            let is_composed = is_wide(frame.resolution);
            if is_composed == on && resolution.is_none_or(|before| before != is_composed) {
                resolution = Some(is_composed);
                break frame;
            }
        };
        assert!(first.keyframe, "a decoder can start there");
        assert!(times.is_sorted(), "time goes on over the change");
        let pcm = listen(&mut guest.packets, 100);
        let [host, own, _, other] = spectrum(&pcm);
        assert!(host > 0.03 && own < 0.003 && (other > 0.03) == on, "{on}: {host} {own} {other}");
    }
}

#[test]
fn a_narrow_way_has_an_encoder_of_its_own() {
    let media = host();
    let mut guests = [GUESTS[0], GUESTS[1]].map(|guest| join(&media, guest));
    guests[0].media.set_video_target(Bitrate::from_kbps(150));
    guests[1].media.set_video_target(Bitrate::from_kbps(2000));
    media.mix_for(plan(&[1, 2], &[1, 2]));
    // By what the encoders were told: their sizes follow from it, and from how busy the machine is.
    let mut target = |number: usize| {
        let guest: &mut Guest = &mut guests[number];
        let mut decoder = H264Decoder::new().unwrap();
        see(guest, &mut decoder, |image| is_wide(image.resolution()) && shows(image, &[60, 120]));
        let mut stats = PeerStats::default();
        guest.media.stats(&mut stats);
        stats.outbound.video.target_bitrate
    };
    assert_eq!((target(0), target(1)), (150_000, 2_000_000), "the wide way is not held back");
    // Better now: it joins the other one.
    let deadline = Instant::now() + LIMIT;
    guests[0].media.set_video_target(Bitrate::from_kbps(2000));
    let mut decoder = H264Decoder::new().unwrap();
    let mut stats = PeerStats::default();
    while stats.outbound.video.target_bitrate < 2_000_000 {
        assert!(Instant::now() < deadline, "it stays in its band");
        see(&mut guests[0], &mut decoder, |_| true);
        guests[0].media.stats(&mut stats);
    }
    see(&mut guests[0], &mut decoder, |image| shows(image, &[60, 120]));
}
