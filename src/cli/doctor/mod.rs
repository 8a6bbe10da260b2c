//! `twocan doctor`: tries everything a call needs and says in plain words what will and what will not work.
//!
//! The probes run side by side, each in a thread that is given up after its time: a driver that hangs must not take
//! the doctor with it. What they found is put into words by [`report`].

mod network;
mod report;

use super::args::Args;
use super::{Exit, console, settings};
use crate::codec::BLOCK;
use crate::device::{self, CameraChoice, DeviceError, MicrophoneChoice, PictureRequest, SpeakerChoice};
use report::{Device, Encoder, Findings, Gpu};
use std::time::{Duration, Instant};

/// What a device may take.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// How long a microphone is listened to.
const LISTEN: Duration = Duration::from_millis(500);

pub fn run(args: &Args, json: bool) -> Exit {
    let settings = settings();
    let net = match args.net(&settings) {
        Ok(net) => net,
        Err(sentence) => {
            console::say(&sentence);
            return Exit::BadInput;
        }
    };
    let (camera, microphone, speaker) =
        (args.camera(&settings), args.microphone(&settings), args.speaker(&settings));
    let request = PictureRequest {
        resolution: args.media.size.unwrap_or(PictureRequest::default().resolution),
        fps: args.media.fps.unwrap_or(PictureRequest::default().fps),
    };
    let camera = Probe::start(move || try_camera(&camera, request));
    let microphone = Probe::start(move || try_microphone(&microphone));
    let speaker = Probe::start(move || try_speaker(&speaker));
    let gpus = Probe::start(gpus);
    let network = Probe::start_with(network::LIMIT, move || network::examine(&net));
    let findings = Findings {
        camera: camera.result().unwrap_or(Device::Hangs),
        microphone: microphone.result().unwrap_or(Device::Hangs),
        speaker: speaker.result().unwrap_or(Device::Hangs),
        gpu: gpus.result().unwrap_or_default(),
        encoder: encoder(),
        network: network.result().unwrap_or_default(),
    };
    if json {
        console::print(&findings.to_json());
    } else {
        for line in findings.in_words() {
            console::print(&line);
        }
    }
    Exit::Ended
}

/// Something tried in a thread of its own.
struct Probe<T> {
    result: crossbeam_channel::Receiver<T>,
    deadline: Instant,
}

impl<T: Send + 'static> Probe<T> {
    fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::start_with(PROBE_LIMIT, work)
    }

    fn start_with(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (done, result) = crossbeam_channel::bounded(1);
        // A thread that cannot be started leaves the channel closed: no result.
        let _ = std::thread::Builder::new().name("probe".into()).spawn(move || {
            // Nobody waits any more if it took too long.
            let _ = done.send(work());
        });
        Self { result, deadline: Instant::now() + limit }
    }

    /// What came out, if it did in time.
    fn result(self) -> Option<T> {
        self.result.recv_deadline(self.deadline).ok()
    }
}

fn try_camera(choice: &CameraChoice, request: PictureRequest) -> Device {
    if *choice == CameraChoice::None {
        return Device::NotWanted;
    }
    let opened = || {
        let mut camera = device::open_camera(choice, request)?;
        let name = camera.name().to_owned();
        let picture = camera.next_frame(PROBE_LIMIT)?;
        Ok((name, picture.map(|frame| frame.image.resolution().to_string())))
    };
    match opened() {
        Ok((name, Some(size))) => Device::Works { name, detail: format!("gives pictures of {size}") },
        Ok((name, None)) => {
            Device::Fails { sentence: format!("The camera “{name}” opens but gives no picture.") }
        }
        Err(error) => failed(&error),
    }
}

fn try_microphone(choice: &MicrophoneChoice) -> Device {
    if *choice == MicrophoneChoice::None {
        return Device::NotWanted;
    }
    let opened = || {
        let mut microphone = device::open_microphone(choice)?;
        let name = microphone.name().to_owned();
        let (mut block, mut blocks, mut loudest) = ([0.0_f32; BLOCK], 0, 0.0_f32);
        let end = Instant::now() + LISTEN;
        while Instant::now() < end {
            if microphone.read(&mut block, LISTEN)?.is_some() {
                blocks += 1;
                loudest = block.iter().fold(loudest, |loudest, sample| loudest.max(sample.abs()));
            }
        }
        Ok((name, blocks, loudest))
    };
    match opened() {
        Ok((name, 0, _)) => {
            Device::Fails { sentence: format!("The microphone “{name}” opens but gives no sound.") }
        }
        // Not even noise: muted by a switch, or the system hands out silence instead of a refusal.
        Ok((name, _, 0.0)) => Device::Works {
            name,
            detail: "but gives only silence; check its switch and the privacy settings of the system".into(),
        },
        Ok((name, _, loudest)) => {
            Device::Works { name, detail: format!("hears sound, loudest {:.0} dB", 20.0 * loudest.log10()) }
        }
        Err(error) => failed(&error),
    }
}

fn try_speaker(choice: &SpeakerChoice) -> Device {
    let opened = || {
        let mut speaker = device::open_speaker(choice)?;
        let name = speaker.name().to_owned();
        let end = Instant::now() + LISTEN;
        while Instant::now() < end {
            speaker.write(&[0.0; BLOCK])?;
            speaker.wait(LISTEN)?;
        }
        Ok(name)
    };
    match choice {
        SpeakerChoice::None => Device::NotWanted,
        SpeakerChoice::File(path) => {
            Device::Works { name: path.display().to_string(), detail: "is a file, not tried".into() }
        }
        SpeakerChoice::Default | SpeakerChoice::Named(_) | SpeakerChoice::StandIn(_) => match opened() {
            Ok(name) => Device::Works { name, detail: "plays".into() },
            Err(error) => failed(&error),
        },
    }
}

fn failed(error: &DeviceError) -> Device {
    match error {
        DeviceError::NotFound(_) => Device::Missing { sentence: error.to_string() },
        _ => Device::Fails { sentence: error.to_string() },
    }
}

/// What the window can draw with, best first. OpenGL is left out: it can be told only with a display, and its
/// libraries complain on stderr where there is none.
fn gpus() -> Vec<Gpu> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = runtime.block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let mut gpus: Vec<Gpu> = adapters.iter().map(|adapter| gpu(&adapter.get_info())).collect();
    gpus.sort_by_key(|gpu| gpu.is_software);
    gpus
}

fn gpu(info: &wgpu::AdapterInfo) -> Gpu {
    let is_software = info.device_type == wgpu::DeviceType::Cpu || info.name.contains("llvmpipe");
    Gpu { name: info.name.clone(), backend: info.backend.to_string(), is_software }
}

/// `assets/build.rs` looks for nasm; without it the encoder is built from plain C++.
fn encoder() -> Encoder {
    match option_env!("TWOCAN_NASM") {
        Some("0") => Encoder::Slow,
        Some(_) => Encoder::Fast,
        None => Encoder::Unknown,
    }
}
