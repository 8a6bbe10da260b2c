//! [`Media`] and [`PeerMedia`]: what the engine holds of the media threads. No call here waits for a device.
//!
//! ```text
//!  cam --> preview
//!     \--> venc --> each peer's Outlet.video       each peer's Inlet.video --> vdec-N --> its picture
//!  aenc ---------> each peer's Outlet.audio        each peer's Inlet.audio --> mix -----> speaker
//!    ^------------------- what the speaker played -----------------------------/
//! ```

use super::camera::{self, CameraLink, CameraWish};
use super::mix::{self, SpeakerLink, SpeakerWish};
use super::receive_audio::{self, VoiceIn};
use super::receive_video::{self, VideoIn};
use super::send_audio::{self, AudioOut, MicrophoneLink, MicrophoneWish, PLAYED_BLOCKS};
use super::send_video::{self, VideoOut};
use super::sync::PeerSync;
use super::voice::VoiceSettings;
use super::worker::{Events, Wish, Worker};
use super::y4m::VideoFile;
use super::{MediaEvent, MediaSetup, Picture};
use crate::device::{
    self, AudioSink, AudioSource, CameraChoice, DeviceError, DeviceKind, MicrophoneChoice, PictureRequest,
    SpeakerChoice, VideoSource,
};
use crate::frame::{EncodedFrame, RtpPacket};
use crate::ports::{Inlet, Outlet, PeerId, SenderReport};
use crate::settings::NoiseSuppression;
use crate::stats::PeerStats;
use crate::units::{Bitrate, Resolution};
use crossbeam_channel::Sender;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long dropping [`Media`] waits for its threads: a driver that hangs is left behind.
const END: Duration = Duration::from_secs(1);
/// The same for [`PeerMedia`], whose thread has no driver.
const PEER_END: Duration = Duration::from_millis(250);

/// How devices are opened. [`Default`]: those of the machine.
pub struct Openers {
    pub camera: Box<OpenCamera>,
    pub microphone: Box<OpenMicrophone>,
    pub speaker: Box<OpenSpeaker>,
}

type OpenResult<T> = Result<Box<T>, DeviceError>;
type OpenCamera = dyn Fn(&CameraChoice, PictureRequest) -> OpenResult<dyn VideoSource> + Send + Sync;
type OpenMicrophone = dyn Fn(&MicrophoneChoice) -> OpenResult<dyn AudioSource> + Send + Sync;
type OpenSpeaker = dyn Fn(&SpeakerChoice) -> OpenResult<dyn AudioSink> + Send + Sync;

impl Default for Openers {
    fn default() -> Self {
        Self {
            camera: Box::new(device::open_camera),
            microphone: Box::new(device::open_microphone),
            speaker: Box::new(device::open_speaker),
        }
    }
}

/// One camera, one microphone and one speaker, shared by all peers. Dropping it closes the devices.
pub struct Media {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

struct Shared {
    camera: CameraLink,
    video: VideoOut,
    microphone: MicrophoneLink,
    speaker: SpeakerLink,
    /// For the first peer that comes.
    video_out: Mutex<Option<PathBuf>>,
    fps: u32,
    events: Events,
}

impl Media {
    /// `events`: bounded; news that finds no room is dropped.
    pub fn start(setup: MediaSetup, events: tokio::sync::mpsc::Sender<MediaEvent>) -> Self {
        Self::start_with(setup, Openers::default(), events)
    }

    /// With other devices than the machine's.
    pub fn start_with(
        setup: MediaSetup,
        openers: Openers,
        events: tokio::sync::mpsc::Sender<MediaEvent>,
    ) -> Self {
        let (played, to_cancel) = crossbeam_channel::bounded(PLAYED_BLOCKS);
        let settings = VoiceSettings {
            noise_suppression: setup.noise_suppression,
            automatic_gain: setup.automatic_gain,
        };
        let shared = Arc::new(Shared {
            fps: setup.picture.fps,
            camera: CameraLink::new(CameraWish {
                choice: setup.camera,
                picture: setup.picture,
                stopped: false,
            }),
            video: VideoOut::new(setup.max_bitrate),
            microphone: MicrophoneLink {
                wish: Wish::new(MicrophoneWish { choice: setup.microphone, settings, muted: false }),
                out: AudioOut::default(),
                played: to_cancel,
            },
            speaker: SpeakerLink {
                wish: Wish::new(SpeakerWish { choice: setup.speaker, peers: Vec::new() }),
                played,
            },
            video_out: Mutex::new(setup.video_out),
            events: Events(events),
        });
        let openers = Arc::new(openers);
        let start = |name: &str, kind, work: fn(&Shared, &Openers)| {
            let (shared, openers) = (shared.clone(), openers.clone());
            Worker::start(name.into(), kind, shared.events.clone(), move || work(&shared, &openers))
        };
        let workers = vec![
            start("cam", DeviceKind::Camera, |s, openers| camera::run(&s.camera, openers, &s.events)),
            start("venc", DeviceKind::Camera, |s, _| send_video::run(&s.camera, &s.video)),
            start("aenc", DeviceKind::Microphone, |s, openers| {
                send_audio::run(&s.microphone, openers, &s.events);
            }),
            start("mix", DeviceKind::Speaker, |s, openers| mix::run(&s.speaker, openers, &s.events)),
        ];
        Self { shared, workers }
    }

    /// Our own camera's pictures.
    pub fn preview(&self) -> Picture {
        self.shared.camera.preview.clone()
    }

    pub fn set_camera(&self, choice: CameraChoice) {
        self.shared.camera.wish.change(|wish| wish.choice = choice);
    }
    /// The camera is opened anew with this size and rate.
    pub fn set_picture(&self, picture: PictureRequest) {
        self.shared.camera.wish.change(|wish| wish.picture = picture);
    }
    /// `true`: the device is closed (its light goes out), nothing is sent, the preview is empty.
    pub fn stop_camera(&self, stopped: bool) {
        self.shared.camera.wish.change(|wish| wish.stopped = stopped);
    }

    pub fn set_microphone(&self, choice: MicrophoneChoice) {
        self.shared.microphone.wish.change(|wish| wish.choice = choice);
    }
    pub fn set_noise_suppression(&self, level: NoiseSuppression) {
        self.shared.microphone.wish.change(|wish| wish.settings.noise_suppression = level);
    }
    pub fn set_automatic_gain(&self, on: bool) {
        self.shared.microphone.wish.change(|wish| wish.settings.automatic_gain = on);
    }
    /// `true`: nothing is sent; the level is still measured.
    pub fn mute_microphone(&self, muted: bool) {
        self.shared.microphone.wish.change(|wish| wish.muted = muted);
    }

    pub fn set_speaker(&self, choice: SpeakerChoice) {
        self.shared.speaker.wish.change(|wish| wish.choice = choice);
    }

    /// Joins a peer to the media threads. They work for it from its first [`PeerMedia::request_keyframe`] on: before,
    /// while codes are exchanged, it costs nothing.
    pub fn open_peer(&self, id: PeerId, outlet: Outlet) -> PeerMedia {
        PeerMedia::start(self.shared.clone(), id, outlet)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.shared.camera.wish.end();
        self.shared.camera.encoder.close();
        self.shared.microphone.wish.end();
        self.shared.speaker.wish.end();
        let deadline = Instant::now() + END;
        self.workers.drain(..).for_each(|worker| worker.join(deadline));
    }
}

/// One peer's ends of the media threads. Dropping it closes both directions.
pub struct PeerMedia {
    id: PeerId,
    shared: Arc<Shared>,
    inlet: Inlet,
    waiting: Mutex<Option<Waiting>>,
    video: Arc<VideoIn>,
    voice: Arc<VoiceIn>,
    sync: Arc<PeerSync>,
    /// Dropped to end the thread.
    running: Option<Sender<()>>,
    decoder: Option<Worker>,
}

/// What a peer's sending side is started with; gone once it has started.
struct Waiting {
    outlet: Outlet,
    target: Option<Bitrate>,
}

impl PeerMedia {
    fn start(shared: Arc<Shared>, id: PeerId, outlet: Outlet) -> Self {
        let (video_packets, to_decode) = crossbeam_channel::bounded::<RtpPacket>(receive_video::PACKETS);
        let (voice_packets, to_play) = crossbeam_channel::bounded::<RtpPacket>(receive_audio::PACKETS);
        let (running, ended) = crossbeam_channel::bounded(0);
        let sync = Arc::new(PeerSync::default());
        let path = shared.video_out.lock().unwrap_or_else(PoisonError::into_inner).take();
        let file = path.map(|path| VideoFile::start(path, shared.fps, shared.events.clone()));
        let video = Arc::new(VideoIn::new(id, to_decode, ended, sync.clone(), file));
        let (link, events) = (video.clone(), shared.events.clone());
        let decoder =
            Worker::start(format!("vdec-{}", id.0), DeviceKind::Camera, shared.events.clone(), move || {
                receive_video::run(&link, &events);
            });
        let voice = Arc::new(VoiceIn::new(to_play, sync.clone()));
        let inlet = Inlet { video: video_packets, audio: voice_packets };
        let waiting = Mutex::new(Some(Waiting { outlet, target: None }));
        let (running, decoder) = (Some(running), Some(decoder));
        Self { id, shared, inlet, waiting, video, voice, sync, running, decoder }
    }

    /// Sends to this peer and plays what comes from it from now on.
    fn begin(&self, Waiting { outlet, target }: Waiting) {
        self.shared.speaker.wish.change(|wish| wish.peers.push((self.id, self.voice.clone())));
        self.shared.video.add(self.id, outlet.video, target);
        self.shared.microphone.out.add(self.id, outlet.audio);
        self.shared.camera.want();
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// The peer's newest picture that is due.
    pub fn picture(&self) -> Picture {
        self.video.picture.clone()
    }

    /// The peer listens, and cannot decode without one. The first request is the start of everything.
    pub fn request_keyframe(&self) {
        let waiting = self.waiting().take();
        match waiting {
            Some(waiting) => self.begin(waiting),
            None => self.shared.video.request_keyframe(),
        }
    }

    /// What the network to this peer has room for.
    pub fn set_video_target(&self, target: Bitrate) {
        match &mut *self.waiting() {
            Some(waiting) => waiting.target = Some(target),
            None => self.shared.video.set_target(self.id, target),
        }
    }

    /// What share of our voice packets the peer misses, 0.0 to 1.0.
    pub fn set_audio_loss(&self, loss: f32) {
        self.shared.microphone.out.set_loss(self.id, loss);
    }

    /// Steers how long a missing packet is waited for.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.sync.set_round_trip(round_trip);
    }

    pub fn sender_report(&self, report: SenderReport) {
        self.sync.sender_report(&report);
    }

    /// The peer said that its camera is off (or on again): its picture is cleared, and the pause is no freeze.
    pub fn camera_stopped(&self, stopped: bool) {
        self.video.camera_stopped(stopped);
    }

    /// At which size the peer draws our picture; `None`: nobody looks at it, so none is made for this peer.
    pub fn peer_view(&self, drawn: Option<Resolution>) {
        self.shared.video.set_view(self.id, drawn);
    }

    /// The peer takes a smaller layer of our picture too, in this outlet; it is made while it is wanted.
    pub fn add_layer(&self, layer: u8, outlet: tokio::sync::mpsc::Sender<EncodedFrame>) {
        self.shared.video.layers.add(self.id, layer, outlet);
    }
    pub fn want_layer(&self, layer: u8, wanted: bool) {
        self.shared.video.layers.want(self.id, layer, wanted);
    }
    pub fn request_layer_keyframe(&self, layer: u8) {
        self.shared.video.layers.request_keyframe(self.id, layer);
    }

    /// Whether we draw the peer's picture. It stops sending while we do not, which is no freeze.
    pub fn set_shown(&self, shown: bool) {
        self.video.set_shown(shown);
    }

    /// Loudness of the peer's voice now, 0.0 to 1.0, as a meter shows it.
    pub fn level(&self) -> f32 {
        self.voice.level()
    }

    /// Fills in what the media threads know: codecs, pictures, freezes, sound.
    pub fn stats(&self, into: &mut PeerStats) {
        self.video.stats(&mut into.inbound.video);
        self.voice.stats(&mut into.inbound.audio);
        self.shared.video.stats(self.id, &mut into.outbound.video);
        self.shared.microphone.out.stats(&mut into.outbound.audio);
    }
}

impl Drop for PeerMedia {
    fn drop(&mut self) {
        if self.waiting().is_none() {
            self.shared.camera.release();
            self.shared.video.remove(self.id);
            self.shared.microphone.out.remove(self.id);
            self.shared.speaker.wish.change(|wish| wish.peers.retain(|(id, _)| *id != self.id));
        }
        self.running = None;
        let deadline = Instant::now() + PEER_END;
        if let Some(decoder) = self.decoder.take() {
            decoder.join(deadline);
        }
        let file = self.video.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file {
            file.finish(deadline);
        }
        self.video.picture.clear();
    }
}
