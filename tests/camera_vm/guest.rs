//! What runs in the machine: cameras and sound cards that come, go, freeze and break.

use crate::support::{Running, wait_for};
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use twocan::device::camera::pattern::BARS;
use twocan::device::{
    self, CameraChoice, DeviceError, DeviceKind, MicrophoneChoice, PictureRequest, SpeakerChoice,
};
use twocan::device::{AudioSource, VideoSource};
use twocan::frame::RawFrame;
use twocan::units::Resolution;

const LOST: DeviceError = DeviceError::Lost(DeviceKind::Camera);
/// Everything takes its time in an emulated machine; this is when a wait counts as a hang.
const LIMIT: Duration = Duration::from_secs(40);
const SLICE: Duration = Duration::from_millis(200);
const REQUEST: PictureRequest = PictureRequest { resolution: Resolution::new(640, 360), fps: 30 };

/// The way of a webcam: found, opened, in use by another, unplugged, frozen, broken.
pub fn webcam() {
    sh("v4l2-ctl -c osd_text_mode=2");
    let cameras = device::list().cameras;
    assert_eq!(cameras.len(), 1, "{cameras:?}");
    assert_eq!((cameras[0].name.as_str(), cameras[0].detail.as_str()), ("vivid", "/dev/video0"));
    done("listed");

    let mut camera = open();
    assert_eq!(camera.name(), "vivid");
    assert_eq!(camera.format().map(|(resolution, _)| resolution), Some(REQUEST.resolution));
    let pictures = frames(&mut *camera, 30);
    for frame in &pictures {
        check_bars(frame, 8);
    }
    assert!(pictures.is_sorted_by_key(|frame| frame.captured_at));
    assert!(pictures.iter().all(|frame| frame.captured_at <= Instant::now()));
    done("30 pictures of right colours");

    for choice in [CameraChoice::Named("VIVID".into()), CameraChoice::Index(0)] {
        assert_eq!(device::open_camera(&choice, REQUEST).err(), Some(DeviceError::Busy(DeviceKind::Camera)));
    }
    drop(camera);
    for choice in ["vivid", "0", "/dev/video0"] {
        let choice: CameraChoice = choice.parse().unwrap();
        frames_of(device::open_camera(&choice, REQUEST).unwrap(), 2);
    }
    for choice in [CameraChoice::Named("other".into()), CameraChoice::Index(7)] {
        assert_eq!(
            device::open_camera(&choice, REQUEST).err(),
            Some(DeviceError::NotFound(DeviceKind::Camera))
        );
    }
    let other = other_program();
    assert_eq!(
        device::open_camera(&CameraChoice::Default, REQUEST).err(),
        Some(DeviceError::Busy(DeviceKind::Camera))
    );
    drop(other);
    frames_of(open(), 5);
    done("found by name, number and path; busy is told; free again");

    let mut camera = open();
    frames(&mut *camera, 3);
    let unplug = Running::start(&mut Command::new("cam-unplug"));
    assert_eq!(failure(&mut *camera), LOST);
    drop(camera);
    drop(unplug);
    let gone = device::open_camera(&CameraChoice::Default, REQUEST).err();
    assert_eq!(gone, Some(DeviceError::NotFound(DeviceKind::Camera)));
    assert!(device::list().cameras.is_empty());
    sh("cam-plug");
    check_bars_loosely(&frames_of(open(), 10));
    done("unplugged, noticed, plugged in, used again");

    sh("v4l2-ctl -c osd_text_mode=2");
    let mut camera = open();
    frames(&mut *camera, 3);
    sh("v4l2-ctl -c percentage_of_dropped_buffers=100");
    assert_eq!(failure(&mut *camera), LOST);
    drop(camera);
    let mut camera = open();
    assert_eq!(failure(&mut *camera), LOST);
    drop(camera);
    sh("v4l2-ctl -c percentage_of_dropped_buffers=0");
    frames_of(open(), 5);
    done("frozen, noticed, thawed, used again");

    let mut camera = open();
    frames(&mut *camera, 3);
    sh("v4l2-ctl -c inject_v4l2_buf_flag_error=1");
    frames(&mut *camera, 10);
    sh("v4l2-ctl -c inject_fatal_streaming_error=1");
    assert_eq!(failure(&mut *camera), LOST);
    drop(camera);
    frames_of(open(), 5);
    done("a damaged picture is left out, a broken stream is opened again");

    sh("v4l2-ctl --set-fmt-video=width=1280,height=720,pixelformat=UYVY");
    check_bars(frames_of(open(), 3).last().unwrap(), 8);
    done("left behind in an odd format by another program");
}

/// Another program that holds the camera. It writes a character for each picture: asking the camera itself whether
/// it is taken would take it away from that program.
fn other_program() -> Running {
    let mut other = Running::start(
        Command::new("v4l2-ctl").args(["--stream-mmap", "--stream-count=0"]).stderr(Stdio::piped()),
    );
    let said = other.child.stderr.as_mut().expect("stderr was piped");
    said.read_exact(&mut [0]).expect("the other program gets a picture");
    other
}

/// Devices that are no webcams, and cameras with other codings.
pub fn others() {
    sh("rmmod vivid; modprobe vivid");
    let cameras = device::list().cameras;
    assert!(cameras.len() == 1 || cameras.len() == 2, "outputs and metadata are no cameras: {cameras:?}");
    frames_of(open(), 3);
    done("a device with a dozen nodes is one camera");

    sh("rmmod vivid; modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0");
    let cameras = device::list().cameras;
    assert_eq!(cameras.len(), 2);
    assert_ne!(cameras[0].name, cameras[1].name, "two cameras need two names");
    let second = CameraChoice::Named(cameras[1].name.clone());
    let source = device::open_camera(&second, REQUEST).unwrap();
    assert_eq!(source.name(), cameras[1].name);
    frames_of(source, 3);
    done("two cameras of one name");

    sh("rmmod vivid; modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=3");
    frames_of(open(), 3);
    done("a grabber with sizes in steps");
    sh("rmmod vivid");

    let film = "-f lavfi -i smptebars=size=640x360:rate=10 -t 4";
    sh(&format!("ffmpeg -v error {film} -c:v mjpeg -q:v 3 -pix_fmt yuvj422p good.avi"));
    sh("ffmpeg -v error -i good.avi -c copy -bsf:v noise=amount='if(mod(n\\,3)\\,0\\,20)' bad.avi");
    sh("modprobe v4l2loopback exclusive_caps=1 card_label=Cam video_nr=0");
    let feeder = feed("-re -stream_loop -1 -i good.avi -c copy");
    let mut camera = open();
    assert_eq!(camera.name(), "Cam");
    for frame in frames(&mut *camera, 10) {
        check_bars(&frame, 7);
    }
    done("MJPEG");
    drop(feeder);
    assert_eq!(failure(&mut *camera), LOST);
    drop(camera);
    done("whoever feeds the loopback has gone");

    sh("rmmod v4l2loopback; modprobe v4l2loopback exclusive_caps=1 card_label=Cam video_nr=0");
    let feeder = feed("-re -stream_loop -1 -i bad.avi -c copy");
    let frames = frames_of(open(), 20);
    let right = frames.iter().filter(|frame| bars_are_right(frame, 7).is_ok()).count();
    assert_ne!(std::fs::read("good.avi").unwrap(), std::fs::read("bad.avi").unwrap());
    eprintln!("every third picture damaged: {right} of the {} that came are right", frames.len());
    assert!(right >= 10, "only {right} pictures are right");
    drop(feeder);
    done("damaged MJPEG pictures");

    sh("rmmod v4l2loopback; modprobe v4l2loopback exclusive_caps=1 card_label=Cam video_nr=0");
    let feeder = feed("-re -f lavfi -i smptebars=size=320x180:rate=10 -pix_fmt rgb24");
    for frame in frames_of(open(), 5) {
        check_bars(&frame, 7);
    }
    drop(feeder);
    done("RGB, by way of nokhwa");
}

/// The ALSA loopback card: what is played on its device 1 is heard on device 0, and the other way round.
pub fn sound() {
    let devices = device::list();
    // The card has two devices, each for both ways; ALSA has 35 names for them.
    for list in [&devices.microphones, &devices.speakers] {
        assert_eq!(list.len(), 2, "{list:?}");
        assert_eq!(list[1].detail, "plughw:CARD=Loopback,DEV=1");
        assert_ne!(list[0].name, list[1].name);
    }
    done("listed");

    sh(
        "ffmpeg -v error -f lavfi -i sine=frequency=440:sample_rate=48000:duration=60 -af volume=4 -ac 2 tone.wav",
    );
    let player = play();
    let mut microphone = device::open_microphone(&MicrophoneChoice::Default).unwrap();
    wait_for("the tone", LIMIT, || (share_of_tone(&second(&mut *microphone)) > 0.5).then_some(()));
    done("the tone is heard");

    let mut speaker = device::open_speaker(&SpeakerChoice::Default).unwrap();
    let mut tone = device::open_microphone(&MicrophoneChoice::Tone).unwrap();
    let recorder = Running::start(Command::new("arecord").args([
        "-q",
        "-D",
        "plughw:0,1",
        "-f",
        "S16_LE",
        "-r",
        "48000",
        "-c",
        "2",
        "spoken.wav",
    ]));
    let mut block = [0.0; 480];
    for _ in 0..400 {
        speaker.wait(Duration::from_millis(500)).unwrap();
        let made = tone.read(&mut block, Duration::from_secs(1)).unwrap();
        assert!(made.is_some());
        speaker.write(&block).unwrap();
    }
    drop(recorder);
    let bytes = std::fs::read("spoken.wav").unwrap();
    let left: Vec<_> = bytes[44..]
        .chunks_exact(4)
        .map(|frame| f32::from(i16::from_le_bytes([frame[0], frame[1]])) / 32768.0)
        .collect();
    let best = left.chunks_exact(4800).map(share_of_tone).fold(0.0, f64::max);
    assert!(best > 0.8, "the tone is not in what the card played: {best}");
    done("the tone is played");

    let card = "/sys/bus/platform/drivers/snd_aloop";
    let unplug = Running::start(Command::new("sh").args(["-c", &format!("echo snd_aloop.0 >{card}/unbind")]));
    let lost = wait_for("loss of the microphone", LIMIT, || microphone.read(&mut block, SLICE).err());
    assert_eq!(lost, DeviceError::Lost(DeviceKind::Microphone));
    let lost = wait_for("loss of the speaker", LIMIT, || {
        speaker.wait(SLICE).and_then(|()| speaker.write(&block)).err()
    });
    assert_eq!(lost, DeviceError::Lost(DeviceKind::Speaker));
    drop((microphone, speaker, player, unplug));
    wait_for("end of the card", LIMIT, || device::open_microphone(&MicrophoneChoice::Default).err());
    sh(&format!("echo snd_aloop.0 >{card}/bind"));
    let _player = play();
    let mut microphone =
        wait_for("the card", LIMIT, || device::open_microphone(&MicrophoneChoice::Default).ok());
    wait_for("the tone", LIMIT, || (share_of_tone(&second(&mut *microphone)) > 0.5).then_some(()));
    done("unplugged, noticed, plugged in, used again");
}

fn play() -> Running {
    Running::start(Command::new("aplay").args(["-q", "-D", "plughw:0,1", "tone.wav"]))
}

/// A tenth of a second from the microphone.
fn second(microphone: &mut dyn AudioSource) -> Vec<f32> {
    let mut sound = vec![0.0; 4800];
    for block in sound.chunks_exact_mut(480) {
        wait_for("sound", LIMIT, || microphone.read(block, SLICE).unwrap());
    }
    sound
}

/// How much of the energy is at 440 Hz.
fn share_of_tone(sound: &[f32]) -> f64 {
    let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 1e-9);
    for (n, sample) in sound.iter().enumerate() {
        let (angle, sample) = (n as f64 * 440.0 * std::f64::consts::TAU / 48_000.0, f64::from(*sample));
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        energy += sample * sample;
    }
    2.0 * (real * real + imaginary * imaginary) / (sound.len() as f64 * energy)
}

fn open() -> Box<dyn VideoSource> {
    // The node of a device that was just plugged in, or is just being fed, takes a moment.
    wait_for("a camera that opens", LIMIT, || device::open_camera(&CameraChoice::Default, REQUEST).ok())
}

fn feed(options: &str) -> Running {
    Running::start(
        Command::new("sh").args(["-c", &format!("exec ffmpeg -v error {options} -f v4l2 /dev/video0")]),
    )
}

fn frames(camera: &mut dyn VideoSource, count: usize) -> Vec<std::sync::Arc<RawFrame>> {
    (0..count).map(|_| wait_for("a picture", LIMIT, || camera.next_frame(SLICE).unwrap())).collect()
}

fn frames_of(mut camera: Box<dyn VideoSource>, count: usize) -> Vec<std::sync::Arc<RawFrame>> {
    frames(&mut *camera, count)
}

/// Waits until the camera gives an error.
fn failure(camera: &mut dyn VideoSource) -> DeviceError {
    let asked = Instant::now();
    let error = wait_for("an error", LIMIT, || camera.next_frame(SLICE).err());
    eprintln!("noticed after {:.1} s", asked.elapsed().as_secs_f64());
    error
}

fn check_bars(frame: &RawFrame, bars: usize) {
    if let Err(text) = bars_are_right(frame, bars) {
        panic!("{text}");
    }
}

/// After a replug the camera writes its clock over the bars again: three quarters of them are enough.
fn check_bars_loosely(frames: &[std::sync::Arc<RawFrame>]) {
    let right = frames.iter().filter(|frame| bars_are_right(frame, 8).is_ok()).count();
    assert!(right * 4 >= frames.len() * 3, "{right} of {} pictures have the right bars", frames.len());
}

/// Compares the middle of each 75 % bar in the middle of the picture.
fn bars_are_right(frame: &RawFrame, bars: usize) -> Result<(), String> {
    let size = frame.image.resolution();
    let (width, height) = (size.width as usize, size.height as usize);
    let chroma_width = size.chroma().width as usize;
    for (bar, expected) in BARS.into_iter().take(bars).enumerate() {
        let (x, y) = ((2 * bar + 1) * width / (2 * bars), height / 2);
        let at = y / 2 * chroma_width + x / 2;
        let seen = [frame.image.y()[y * width + x], frame.image.u()[at], frame.image.v()[at]];
        if seen.iter().zip(expected).any(|(seen, expected)| seen.abs_diff(expected) > 8) {
            return Err(format!("bar {bar} of {size} is {seen:?} instead of {expected:?}"));
        }
    }
    Ok(())
}

fn sh(command: &str) {
    let status = Command::new("sh").args(["-ec", command]).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command} failed");
}

fn done(what: &str) {
    eprintln!("ok: {what}");
}
