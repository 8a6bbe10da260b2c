//! [`Media`] and [`PeerMedia`]: what the engine holds of the media threads. No call here waits for a device.
//!
//! ```text
//!  cam --> preview
//!     \--> venc --> each peer's Outlet.video       each peer's Inlet.video --> vdec-N --> its picture
//!  aenc ---------> each peer's Outlet.audio        each peer's Inlet.audio --> mix -----> speaker
//!    ^------------------- what the speaker played -----------------------------/
//!  compose, amix: for peers who get a mix of everybody instead (see `mixing`)
//! ```

use super::camera::{self, CameraLink, CameraWish};
use super::mix::{self, SpeakerLink, SpeakerWish};
use super::mixing::{self, Direct, MixPlan, Mixing};
use super::receive_audio::{self, VoiceIn};
use super::receive_video::{self, VideoIn};
use super::send_audio::{self, AudioOut, MicrophoneLink, MicrophoneWish, PLAYED_BLOCKS};
use super::send_codecs::{self, VideoOuts};
use super::send_video::VideoOut;
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
use crate::mix::Member;
use crate::ports::{AgreedVideo, Inlet, Outlet, PeerId, SenderReport};
use crate::settings::NoiseSuppression;
use crate::stats::PeerStats;
use crate::units::{Bitrate, Resolution, VideoCodec};
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
    video: VideoOuts,
    microphone: MicrophoneLink,
    speaker: SpeakerLink,
    mixing: Mixing,
    /// For the first peer that comes.
    video_out: Mutex<Option<PathBuf>>,
    fps: u32,
    events: Events,
}

impl Shared {
    fn direct(&self) -> Direct<'_> {
        Direct { camera: &self.camera, video: &self.video, audio: &self.microphone.out }
    }
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
        let mixing = Mixing::new(setup.max_bitrate);
        let shared = Arc::new(Shared {
            fps: setup.picture.fps,
            camera: CameraLink::new(CameraWish {
                choice: setup.camera,
                picture: setup.picture,
                stopped: false,
            }),
            video: VideoOuts::new(setup.max_bitrate),
            microphone: MicrophoneLink {
                wish: Wish::new(MicrophoneWish { choice: setup.microphone, settings, muted: false }),
                out: AudioOut::default(),
                played: to_cancel,
                tap: mixing.tap(),
            },
            speaker: SpeakerLink {
                wish: Wish::new(SpeakerWish { choice: setup.speaker, peers: Vec::new() }),
                played,
                tap: mixing.tap(),
            },
            mixing,
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
            start("venc", DeviceKind::Camera, |s, _| send_codecs::run(&s.camera, &s.video, &s.mixing)),
            start("aenc", DeviceKind::Microphone, |s, openers| {
                send_audio::run(&s.microphone, openers, &s.events);
            }),
            start("mix", DeviceKind::Speaker, |s, openers| mix::run(&s.speaker, openers, &s.events)),
            start("amix", DeviceKind::Speaker, |s, _| mixing::run_sound(&s.mixing)),
            start("compose", DeviceKind::Camera, |s, _| mixing::run_pictures(&s.mixing, &s.camera.preview)),
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

    /// Who gets a mix of everybody in place of our own camera and microphone, from now on. To be said again whenever
    /// anything of it changes; the devices do not notice. See `pipeline::mixing`.
    pub fn mix_for(&self, plan: MixPlan) {
        self.shared.mixing.set_plan(plan, &self.shared.direct());
    }
    /// At which size the mix shows this member: its picture need not come any larger, and it must come. `None`: it is
    /// not in it.
    pub fn mixed_size(&self, member: Member) -> Option<Resolution> {
        self.shared.mixing.size_of(member)
    }
    /// Who speaks, while there is a mix.
    pub fn mix_speaker(&self) -> Option<Member> {
        self.shared.mixing.speaker()
    }

    /// Joins a peer to the media threads. They work for it from its first [`PeerMedia::request_keyframe`] on: before,
    /// while codes are exchanged, it costs nothing.
    pub fn open_peer(&self, id: PeerId, outlet: Outlet) -> PeerMedia {
        PeerMedia::start(self.shared.clone(), id, Some(outlet), true)
    }

    /// The same for somebody who is only received: nothing is encoded for them.
    pub fn open_sender(&self, id: PeerId) -> PeerMedia {
        PeerMedia::start(self.shared.clone(), id, None, true)
    }

    /// The same for somebody who only receives: no file is written of them.
    pub fn open_listener(&self, id: PeerId, outlet: Outlet) -> PeerMedia {
        PeerMedia::start(self.shared.clone(), id, Some(outlet), false)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.shared.camera.wish.end();
        self.shared.camera.encoder.close();
        self.shared.microphone.wish.end();
        self.shared.speaker.wish.end();
        self.shared.mixing.end();
        let deadline = Instant::now() + END;
        self.workers.drain(..).for_each(|worker| worker.join(deadline));
    }
}

/// One peer's ends of the media threads. Dropping it closes both directions.
pub struct PeerMedia {
    id: PeerId,
    shared: Arc<Shared>,
    sends: bool,
    inlet: Inlet,
    waiting: Mutex<Option<Waiting>>,
    agreed: AgreedVideo,
    video: Arc<VideoIn>,
    voice: Arc<VoiceIn>,
    sync: Arc<PeerSync>,
    /// Dropped to end the thread.
    running: Option<Sender<()>>,
    decoder: Option<Worker>,
}

/// What a peer's sending side is started with; gone once it has started.
struct Waiting {
    outlet: Option<Outlet>,
    target: Option<Bitrate>,
}

impl PeerMedia {
    fn start(shared: Arc<Shared>, id: PeerId, outlet: Option<Outlet>, receives: bool) -> Self {
        let (video_packets, to_decode) = crossbeam_channel::bounded::<RtpPacket>(receive_video::PACKETS);
        let (voice_packets, to_play) = crossbeam_channel::bounded::<RtpPacket>(receive_audio::PACKETS);
        let (running, ended) = crossbeam_channel::bounded(0);
        let sync = Arc::new(PeerSync::default());
        let video_out = || shared.video_out.lock().unwrap_or_else(PoisonError::into_inner).take();
        let path = receives.then(video_out).flatten();
        let file = path.map(|path| VideoFile::start(path, shared.fps, shared.events.clone()));
        let agreed = outlet.as_ref().map(|outlet| outlet.agreed.clone()).unwrap_or_default();
        let video = Arc::new(VideoIn::new(id, to_decode, ended, sync.clone(), file));
        let (link, events) = (video.clone(), shared.events.clone());
        let decoder =
            Worker::start(format!("vdec-{}", id.0), DeviceKind::Camera, shared.events.clone(), move || {
                receive_video::run(&link, &events);
            });
        let voice = Arc::new(VoiceIn::new(to_play, sync.clone()));
        let inlet = Inlet::new(video_packets, voice_packets);
        let sends = outlet.is_some();
        let waiting = Mutex::new(Some(Waiting { outlet, target: None }));
        let (running, decoder) = (Some(running), Some(decoder));
        Self { id, shared, sends, inlet, waiting, agreed, video, voice, sync, running, decoder }
    }

    /// Sends to this peer and plays what comes from it from now on.
    fn begin(&self, Waiting { outlet, target }: Waiting) {
        self.shared.speaker.wish.change(|wish| wish.peers.push((self.id, self.voice.clone())));
        let Some(outlet) = outlet else { return };
        if self.shared.video.add(self.id, outlet.agreed.get(), outlet.video, target) {
            self.shared.camera.want();
        }
        self.shared.microphone.out.add(self.id, outlet.audio);
        self.shared.mixing.join(self.id, self.picture(), &self.shared.direct());
    }

    /// What makes our pictures for this peer now: our own encoder, or one of the mix.
    fn outgoing<T>(&self, use_it: impl FnOnce(&VideoOut) -> T) -> T {
        self.shared.mixing.with_video(self.id, &self.shared.video, use_it)
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
            None if self.sends => self.outgoing(VideoOut::request_keyframe),
            None => {}
        }
    }

    /// What the network to this peer has room for.
    pub fn set_video_target(&self, target: Bitrate) {
        match &mut *self.waiting() {
            Some(waiting) => waiting.target = Some(target),
            None => self.outgoing(|out| out.set_target(self.id, target)),
        }
    }

    /// What share of our voice packets the peer misses, 0.0 to 1.0.
    pub fn set_audio_loss(&self, loss: f32) {
        self.shared.microphone.out.set_loss(self.id, loss);
        self.shared.mixing.audio().set_loss(self.id, loss);
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
        self.outgoing(|out| out.set_view(self.id, drawn));
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

    /// How loud the peer is played: 0.0 not at all, 1.0 as it comes, at most 2.0.
    pub fn set_volume(&self, volume: f32) {
        self.voice.set_volume(volume);
    }

    /// Loudness of the peer's voice now, 0.0 to 1.0, as a meter shows it.
    pub fn level(&self) -> f32 {
        self.voice.level()
    }

    /// Fills in what the media threads know: codecs, pictures, freezes, sound.
    pub fn stats(&self, into: &mut PeerStats) {
        let codec = self.agreed.get().map_or(PeerStats::NO_CODEC, VideoCodec::name);
        (into.inbound.video.codec, into.outbound.video.codec) = (codec.into(), codec.into());
        self.video.stats(&mut into.inbound.video);
        self.voice.stats(&mut into.inbound.audio);
        self.outgoing(|out| out.stats(self.id, &mut into.outbound.video));
        if !self.shared.mixing.audio().stats(self.id, &mut into.outbound.audio) {
            self.shared.microphone.out.stats(&mut into.outbound.audio);
        }
    }
}

impl Drop for PeerMedia {
    fn drop(&mut self) {
        self.shared.video.layers.remove(self.id);
        if self.waiting().is_none() {
            if self.sends {
                self.shared.mixing.leave(self.id, &self.shared.direct());
            }
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
