//! Real sound: our microphone and speaker against a PulseAudio of our own with virtual devices.
//!
//! Spoken words are played into the virtual microphone and must come out of our `AudioSource`; what we play must
//! come out of the virtual speaker; words cross a whole call and their echo does not come back; a call goes over to
//! another default device, to a chosen one that returns, and to a sound server that was killed and started anew. The test runs itself a second time in an environment that points at
//! that server.

#![cfg(target_os = "linux")]

mod call;
mod changes;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Running, Scratch, find_program, skip, wait_for};
use twocan::device::{self, AudioSink, DeviceError, DeviceKind, MicrophoneChoice, SpeakerChoice};

const RATE: usize = 48_000;
const BLOCK: usize = 480;
/// This share of the spoken pieces has to be found. On a machine with other work some are lost; none are found by
/// chance.
const FOUND: f64 = 0.5;
const LIMIT: Duration = Duration::from_secs(30);
/// Set in the second run: the folder of the sound server.
const FOLDER: &str = "TWOCAN_TEST_SOUND_SERVER";

#[test]
fn sound_goes_through_a_real_sound_server() {
    let needed = ["pulseaudio", "pactl", "paplay", "parec", "espeak-ng"];
    if let Some(missing) = needed.iter().find(|program| find_program(&[program]).is_none()) {
        return skip(&format!("the sound test needs {missing}, which is not installed"));
    }
    let _alone = support::alone();
    let folder = Scratch::new("sound");
    let runtime = folder.join("run");
    std::fs::create_dir_all(runtime.join("pulse")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["inside_the_sound_server", "--exact", "--nocapture"])
        .env(FOLDER, &folder.0)
        .env("HOME", &folder.0)
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("PULSE_RUNTIME_PATH", runtime.join("pulse"))
        .env("PULSE_SERVER", format!("unix:{}", runtime.join("pulse/native").display()))
        .status()
        .unwrap();
    assert!(status.success(), "the part with the sound server failed; see above");
}

/// Only does something when the test above runs it.
#[test]
fn inside_the_sound_server() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let server = start_server(&folder);
    let speech_file = folder.join("speech.wav");
    let words =
        "One two three four five. The quick brown fox jumps over the lazy dog. Six seven eight nine ten.";
    run(Command::new("espeak-ng").arg("-w").arg(&speech_file).arg(words));
    let speech = read_wav(&speech_file);

    the_devices_are_listed();
    words_are_heard(&speech_file, &speech);
    words_are_spoken(&folder.join("spoken.raw"), &speech);
    call::words_cross_a_call(&folder, &speech_file, &speech);
    call::the_echo_stays_where_it_is(&folder, &speech_file);
    changes::another_default_is_followed(&folder, &speech_file);
    changes::a_chosen_speaker_that_returns_is_taken_again(&folder);
    let server = changes::a_restarted_server_is_used_again(&folder, &speech_file, server);
    a_dead_server_is_noticed_and_a_new_one_used(&folder, server);
}

fn the_devices_are_listed() {
    let devices = device::list();
    let names =
        |list: &[device::DeviceInfo]| list.iter().map(|device| device.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&devices.microphones), ["Virtual_Mic"], "monitors are no microphones");
    assert_eq!(names(&devices.speakers), ["Virtual_Speaker", "Virtual_Mic_Feed"]);
    let named = device::open_microphone(&MicrophoneChoice::Named("virtual_mic".into())).unwrap();
    assert_eq!(named.name(), "Virtual_Mic");
    let missing = device::open_microphone(&MicrophoneChoice::Named("no such thing".into()));
    assert_eq!(missing.err(), Some(DeviceError::NotFound(DeviceKind::Microphone)));
    eprintln!("ok: devices are listed and found by name");
}

fn words_are_heard(file: &Path, speech: &[f32]) {
    let mut microphone = device::open_microphone(&MicrophoneChoice::Default).unwrap();
    assert_eq!(microphone.name(), "Virtual_Mic");
    let mut player = Running::start(Command::new("paplay").args(["-d", "vmicfeed"]).arg(file));
    let started = Instant::now();
    let (mut heard, mut times) = (Vec::new(), Vec::new());
    let mut block = [0.0; BLOCK];
    // Until a second after the player has ended.
    let mut ended = None;
    while ended.is_none_or(|ended: Instant| ended.elapsed() < Duration::from_secs(1)) {
        if let Some(at) = microphone.read(&mut block, Duration::from_millis(100)).unwrap() {
            heard.extend_from_slice(&block);
            times.push(at);
        }
        assert!(started.elapsed() < LIMIT, "the player does not end");
        if ended.is_none() && player.has_ended() {
            ended = Some(Instant::now());
        }
    }
    let share = similarity(speech, &heard);
    eprintln!("words heard by the microphone: {:.0} % of the pieces found", share * 100.0);
    assert!(share >= FOUND, "only {share:.2} of the spoken words were heard");
    assert!(times.is_sorted() && times.iter().all(|at| *at <= Instant::now()));
}

fn words_are_spoken(file: &Path, speech: &[f32]) {
    let mut speaker = device::open_speaker(&SpeakerChoice::Default).unwrap();
    let recorder = record("vspeaker.monitor", file);
    wait_for("sound from the recorder", LIMIT, || {
        write_block(&mut *speaker, &[0.0; BLOCK]);
        (std::fs::metadata(file).unwrap().len() > 0).then_some(())
    });
    let mut reference = Vec::new();
    let mut block = [0.0; BLOCK];
    let silence = vec![0.0; RATE];
    for sound in speech.chunks_exact(BLOCK).chain(silence.chunks_exact(BLOCK)) {
        write_block(&mut *speaker, sound);
        assert!(speaker.queued() < Duration::from_secs(1));
        while speaker.played(&mut block).is_some() {
            reference.extend_from_slice(&block);
        }
    }
    drop(recorder);
    let recorded = recording(file);
    let share = similarity(speech, &recorded);
    let told = similarity(speech, &reference);
    eprintln!("words from the speaker: {:.0} %, in its reference: {:.0} %", share * 100.0, told * 100.0);
    assert!(share >= FOUND, "only {share:.2} of the words came out of the speaker");
    assert!(told >= FOUND, "only {told:.2} of the words are in what was played");
}

/// Writes what this source hears to a file, as raw samples, until the answer is dropped.
fn record(source: &str, file: &Path) -> Running {
    let raw = std::fs::File::create(file).unwrap();
    Running::start(
        Command::new("parec")
            .args(["-d", source, "--rate=48000", "--channels=1", "--format=s16le", "--latency-msec=20"])
            .stdout(Stdio::from(raw)),
    )
}

fn recording(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    bytes.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0).collect()
}

fn write_block(speaker: &mut dyn AudioSink, block: &[f32]) {
    speaker.wait(Duration::from_millis(500)).unwrap();
    speaker.write(block).unwrap();
}

fn a_dead_server_is_noticed_and_a_new_one_used(folder: &Path, server: Running) {
    let mut microphone = device::open_microphone(&MicrophoneChoice::Default).unwrap();
    let mut speaker = device::open_speaker(&SpeakerChoice::Default).unwrap();
    run(Command::new("pactl").arg("exit"));
    drop(server);
    let asked = Instant::now();
    let error = wait_for("the loss of the microphone", LIMIT, || {
        microphone.read(&mut [0.0; BLOCK], Duration::from_millis(100)).err()
    });
    assert_eq!(error, DeviceError::Lost(DeviceKind::Microphone));
    let error = wait_for("the loss of the speaker", LIMIT, || {
        speaker.wait(Duration::from_millis(100)).and_then(|()| speaker.write(&[0.0; BLOCK])).err()
    });
    assert_eq!(error, DeviceError::Lost(DeviceKind::Speaker));
    eprintln!("the dead server was noticed after {:?}", asked.elapsed());
    drop((microphone, speaker));
    assert!(device::open_microphone(&MicrophoneChoice::Default).is_err());
    assert!(device::open_speaker(&SpeakerChoice::Default).is_err());

    let _server = start_server(folder);
    let mut microphone = open_again(|| device::open_microphone(&MicrophoneChoice::Default));
    let mut speaker = open_again(|| device::open_speaker(&SpeakerChoice::Default));
    wait_for("sound from the microphone", LIMIT, || {
        speaker.write(&[0.0; BLOCK]).unwrap();
        microphone.read(&mut [0.0; BLOCK], Duration::from_millis(100)).unwrap()
    });
    wait_for("sound that was played", LIMIT, || speaker.played(&mut [0.0; BLOCK]));
    eprintln!("ok: the new server is used");
}

fn open_again<T: ?Sized>(open: impl Fn() -> Result<Box<T>, DeviceError>) -> Box<T> {
    wait_for("a device of the new server", LIMIT, || open().ok())
}

fn start_server(folder: &Path) -> Running {
    let script = folder.join("default.pa");
    std::fs::write(
        &script,
        ".fail
load-module module-native-protocol-unix auth-anonymous=1
load-module module-null-sink sink_name=vspeaker sink_properties=device.description=Virtual_Speaker rate=48000 channels=2
load-module module-null-sink sink_name=vmicfeed sink_properties=device.description=Virtual_Mic_Feed rate=48000 channels=1
load-module module-remap-source source_name=vmic master=vmicfeed.monitor source_properties=device.description=Virtual_Mic
set-default-sink vspeaker
set-default-source vmic
",
    )
    .unwrap();
    let server = Running::start(
        Command::new("pulseaudio")
            .args(["-n", "-F"])
            .arg(&script)
            .args(["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-target=stderr"])
            .stderr(Stdio::null()),
    );
    wait_for("answer of the sound server", LIMIT, || {
        let answer = Command::new("pactl").args(["get-default-source"]).output().unwrap();
        (String::from_utf8_lossy(&answer.stdout).trim() == "vmic").then_some(())
    });
    server
}

fn run(command: &mut Command) {
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?} failed");
}

/// A mono wav file with 16 bits, at 48 kHz.
fn read_wav(file: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(file).unwrap();
    let step = f64::from(reader.spec().sample_rate) / RATE as f64;
    let samples: Vec<f32> =
        reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32768.0).collect();
    let length = (samples.len() as f64 / step) as usize - 1;
    let between = |n: usize| {
        let place = n as f64 * step;
        let (at, part) = (place as usize, place.fract() as f32);
        samples[at] * (1.0 - part) + samples[(at + 1).min(samples.len() - 1)] * part
    };
    (0..length).map(between).collect()
}

/// Cuts the original into pieces of 0.4 s and looks for each in the copy: the share of the pieces with sound that
/// are found with a correlation of at least 0.8. Gaps of a loaded machine cost only the pieces they are in.
fn similarity(original: &[f32], copy: &[f32]) -> f64 {
    const DECIMATE: usize = 12;
    let coarse = |sound: &[f32]| -> Vec<f32> {
        sound.chunks_exact(DECIMATE).map(|chunk| chunk.iter().sum::<f32>() / DECIMATE as f32).collect()
    };
    let (original, copy) = (coarse(original), coarse(copy));
    let length = RATE / DECIMATE * 2 / 5;
    let energy = |sound: &[f32]| sound.iter().map(|sample| sample * sample).sum::<f32>();
    let mean = energy(&original) / original.len() as f32;
    let loud: Vec<_> =
        original.chunks_exact(length).filter(|piece| energy(piece) / length as f32 > 0.3 * mean).collect();
    assert!(loud.len() > 5, "there are too few words");
    let found = loud.iter().filter(|piece| {
        copy.windows(length).any(|window| {
            let product: f32 = piece.iter().zip(window).map(|(a, b)| a * b).sum();
            product > 0.0 && product * product > 0.64 * energy(piece) * energy(window)
        })
    });
    found.count() as f64 / loud.len() as f64
}
