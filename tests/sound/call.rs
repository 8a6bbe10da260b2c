//! Two instances of the program in a call, with the virtual sound devices: spoken words arrive, their echo does not.

use crate::support::{Lines, Running, wait_for};
use crate::{BLOCK, LIMIT, RATE, read_wav, record, recording, run};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the echo canceller has to take off the echo once it knows the room, in decibels.
const CANCELLED_DB: f32 = 20.0;
/// The virtual speaker first plays up to 2 s of prepared silence, then the canceller has 3 s; a second for starting.
const SETTLED: usize = 6 * RATE;
const ECHO_SECONDS: &str = "16";

/// Correlation at which the words are surely those that were spoken; other words of the same voice stay below 0.5.
const ALIKE: f64 = 0.8;

pub struct Instance {
    program: Running,
    lines: Lines,
    /// What it tells the user.
    said: PathBuf,
}

impl Instance {
    fn start(folder: &Path, verb: &str, devices: [&str; 2], more: &[&str]) -> Self {
        let said = folder.join(format!("{verb}.txt"));
        let mut program = Running::start(
            Command::new(env!("CARGO_BIN_EXE_twocan"))
                .arg(verb)
                .args(["--bind", "127.0.0.1", "--no-stun", "--camera", "none", "--stats", "-"])
                .args(["--microphone", devices[0], "--speaker", devices[1]])
                .args(more)
                .env("TWOCAN_CONFIG", folder.join("settings.json"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::create(&said).unwrap()),
        );
        let lines = program.lines();
        Self { program, lines, said }
    }

    /// Waits until it has told the user this.
    pub fn says(&self, text: &str) {
        wait_for(text, LIMIT, || {
            std::fs::read_to_string(&self.said).unwrap_or_default().contains(text).then_some(())
        });
    }

    /// The next statistics that `pick` takes something from.
    pub fn stats<T>(&self, what: &str, pick: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        wait_for(what, LIMIT, || {
            self.lines.waiting().filter_map(|line| pick(&serde_json::from_str(&line).ok()?)).last()
        })
    }
}

/// Invite and reply are passed on; comes back when sound has arrived at the second.
pub fn connect(folder: &Path, first: [&str; 2], second: [&str; 2], more: &[&str]) -> (Instance, Instance) {
    let mut caller = Instance::start(folder, "call", first, more);
    let mut callee = Instance::start(folder, "answer", second, more);
    callee.program.type_line(&caller.lines.next(LIMIT));
    caller.program.type_line(&callee.lines.next(LIMIT));
    callee.stats("sound at the second instance", |stats| {
        let packets = stats.pointer("/peers/0/inbound/audio/packetsReceived")?.as_u64()?;
        (packets > 0).then_some(())
    });
    (caller, callee)
}

pub fn words_cross_a_call(folder: &Path, file: &Path, speech: &[f32]) {
    let call = connect(folder, ["Virtual_Mic", "none"], ["none", "Virtual_Speaker"], &[]);
    let heard = folder.join("heard.raw");
    let recorder = record("vspeaker.monitor", &heard);
    // Twice: the first time, the virtual speaker may still be at its prepared silence.
    for _ in 0..2 {
        run(Command::new("paplay").args(["-d", "vmicfeed"]).arg(file));
    }
    let spoken = 2 * speech.len();
    wait_for("all of the words", LIMIT, || (recording(&heard).len() > spoken + RATE).then_some(()));
    drop((recorder, call));
    let alike = likeness(speech, &recording(&heard));
    eprintln!("words through a call: correlation {alike:.2}");
    assert!(alike >= ALIKE, "what came out of the other side's speaker is not what was said: {alike:.2}");
}

/// The second instance's microphone hears nothing but its own speaker. What it sends back must be far quieter.
pub fn the_echo_stays_where_it_is(folder: &Path, file: &Path) {
    for module in [
        "module-null-sink sink_name=vroom sink_properties=device.description=Room_Speaker rate=48000 channels=1",
        "module-remap-source source_name=vroommic master=vroom.monitor source_properties=device.description=Room_Mic",
    ] {
        run(Command::new("pactl").arg("load-module").args(module.split(' ')).stdout(Stdio::null()));
    }
    let (returned, played) = (folder.join("returned.wav"), folder.join("played.raw"));
    let far = [file.to_str().unwrap(), returned.to_str().unwrap()];
    let recorder = record("vroom.monitor", &played);
    let (mut caller, callee) =
        connect(folder, far, ["Room_Mic", "Room_Speaker"], &["--seconds", ECHO_SECONDS]);
    assert!(caller.program.wait(LIMIT + Duration::from_secs(20)).success());
    let sent = callee.stats("what the second instance sent", |stats| {
        stats.pointer("/peers/0/outbound/audio/packetsSent")?.as_u64()
    });
    drop(recorder);
    // The middle one of the half seconds: a machine with other work stumbles now and then, which is not the room.
    let loudness = |sound: &[f32]| {
        let late = &sound[SETTLED.min(sound.len())..];
        assert!(late.len() > 4 * RATE, "too little sound: {} s", sound.len() / RATE);
        let power = |part: &[f32]| part.iter().map(|sample| sample * sample).sum::<f32>() / part.len() as f32;
        let mut levels: Vec<_> =
            late.chunks_exact(RATE / 2).map(|part| 10.0 * power(part).max(1e-9).log10()).collect();
        levels.sort_by(f32::total_cmp);
        levels[levels.len() / 2]
    };
    let (echo, back) = (loudness(&recording(&played)), loudness(&read_wav(&returned)));
    eprintln!("echo {echo:.0} dB, of which {back:.0} dB came back, in {sent} packets");
    assert!(echo > -45.0, "the room was silent");
    assert!(sent > 0, "nothing was sent back at all");
    assert!(echo - back >= CANCELLED_DB, "only {:.0} dB of the echo were cancelled", echo - back);
}

/// Correlation of the loudness contours (decibels, every 10 ms), at the best shift. Noise suppression, gain, Opus and
/// the jitter buffer's stretching change the wave itself, but neither the words nor their rhythm.
fn likeness(original: &[f32], copy: &[f32]) -> f64 {
    let contour = |sound: &[f32]| -> Vec<f64> {
        let power = |block: &[f32]| block.iter().map(|x| f64::from(x * x)).sum::<f64>() / BLOCK as f64;
        sound.chunks_exact(BLOCK).map(|block| (power(block) + 1e-7).log10()).collect()
    };
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let original = centred(&contour(original));
    let shifts = contour(copy);
    let correlation = |window: &[f64]| {
        let window = centred(window);
        dot(&original, &window) / (dot(&original, &original) * dot(&window, &window)).sqrt().max(1e-9)
    };
    shifts.windows(original.len()).map(correlation).fold(0.0, f64::max)
}
