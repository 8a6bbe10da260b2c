//! What an MCU of six guests costs: the host's real threads decode six encoded pictures and voices, mix, compose, and encode
//! one picture and the sound, which are dropped. `cargo bench --bench mcu [SECONDS]`; prints cores of this machine.
//!
//! The guests send recordings that were made before, so that nearly all of the processor time is the host's; what it costs
//! to feed it is counted too.

#[path = "../support/guest.rs"]
mod guest;

use cpu_time::ProcessTime;
use guest::{Guest, Recording};
use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use twocan::device::camera::pattern::Painter;
use twocan::device::{CameraChoice, MicrophoneChoice, SpeakerChoice};
use twocan::frame::I420;
use twocan::mix::{Arrangement, Member};
use twocan::pipeline::{Media, MediaSetup, MixMember, MixPlan};
use twocan::ports::PeerId;
use twocan::stats::PeerStats;
use twocan::units::{Bitrate, Resolution};

const GUESTS: u64 = 6;
const SETTLE: Duration = Duration::from_secs(3);
/// As quickly as a network would: no picture is made while the last one waits.
const TAKEN_EVERY: Duration = Duration::from_millis(4);

/// Four seconds of a moving pattern, and of a voice that speaks for half of them.
fn recording(number: u64) -> Recording {
    let resolution = Resolution::new(640, 360);
    let mut painter = Painter::new(resolution);
    let picture = |picture: u32| {
        let mut image = I420::black(resolution);
        painter.paint(&mut image, SystemTime::UNIX_EPOCH + Duration::from_millis(40) * picture);
        image
    };
    let voice = |position: usize| {
        let time = position as f32 / 48_000.0;
        let speaks = ((time + number as f32 * 0.7) % 4.0) < 2.0;
        let pitch = 110.0 + 15.0 * number as f32 + 20.0 * (TAU * 0.5 * time).sin();
        let sound: f32 = (1..8).map(|k| (TAU * pitch * k as f32 * time).sin() / k as f32).sum();
        if speaks { 0.1 * sound } else { 0.0 }
    };
    Recording::new(25, 100, Bitrate::from_kbps(500), picture, voice)
}

/// Cores used while the guests are in the call for so long, and what the host said of its first guest.
fn run(guests: &mut [Guest], length: Duration) -> (f64, PeerStats, PeerStats) {
    let drain = |guests: &mut [Guest], until: Instant| {
        while Instant::now() < until {
            for guest in guests.iter_mut() {
                while guest.frames.try_recv().is_ok() {}
                while guest.packets.try_recv().is_ok() {}
            }
            std::thread::sleep(TAKEN_EVERY);
        }
    };
    drain(guests, Instant::now() + SETTLE);
    let stats = |guests: &[Guest]| {
        let mut stats = PeerStats::default();
        guests[0].media.stats(&mut stats);
        stats
    };
    let (before, from, start) = (stats(guests), ProcessTime::now(), Instant::now());
    drain(guests, start + length);
    let cores = from.elapsed().as_secs_f64() / start.elapsed().as_secs_f64();
    (cores, before, stats(guests))
}

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let length = Duration::from_secs(seconds);
    let recordings: Vec<Arc<Recording>> = (0..GUESTS).map(|number| Arc::new(recording(number))).collect();
    let setup = MediaSetup {
        camera: CameraChoice::None,
        microphone: MicrophoneChoice::None,
        speaker: SpeakerChoice::None,
        ..MediaSetup::default()
    };
    let media = Media::start(setup, mpsc::channel(256).0);
    let mut guests: Vec<Guest> =
        recordings.iter().zip(0..).map(|(recording, id)| Guest::join(&media, id, recording)).collect();
    let (alone, ..) = run(&mut guests, length);
    println!("{GUESTS} guests decoded and played, no mix           {alone:>6.2} cores");
    for arrangement in [Arrangement::Grid, Arrangement::Speaker] {
        let name = |id: u64| format!("Guest {id}");
        let members = (0..GUESTS).map(|id| MixMember {
            member: Member::Guest(PeerId(id)),
            name: name(id),
            muted: false,
        });
        media.mix_for(MixPlan {
            listeners: (0..GUESTS).map(PeerId).collect(),
            members: members.collect(),
            arrangement,
        });
        for guest in &guests {
            guest.media.set_video_target(Bitrate::from_kbps(1500));
        }
        let (cores, before, after) = run(&mut guests, length);
        let (before, after) = (before.outbound.video, after.outbound.video);
        let frames = after.frames_encoded - before.frames_encoded;
        println!(
            "{GUESTS} guests, a mix for each, {:<22} {cores:>6.2} cores   {}x{} at {:.1} a second, {:.1} ms to encode",
            format!("{arrangement:?}"),
            after.frame_width,
            after.frame_height,
            frames as f64 / length.as_secs_f64(),
            1000.0 * (after.total_encode_time - before.total_encode_time) / frames.max(1) as f64,
        );
    }
}
