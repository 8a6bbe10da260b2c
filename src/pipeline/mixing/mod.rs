//! The host as an MCU: each peer that wants it gets one sound and one picture made of everybody's, in place of our own
//! microphone and camera.
//!
//! ```text
//!  mix  --- every peer's voice --\
//!  aenc --- ours ----------------+-> amix --> one mix for all who say nothing, one each for those who speak -> Opus
//!  vdec-N's pictures, ours ----------> compose --> one picture --> one H.264 encoder per band of bit rates
//!                                       ^ who speaks (from amix)
//! ```
//!
//! The engine drives it by one call, [`Media::mix_for`](super::Media::mix_for), with a [`MixPlan`] that says who gets the
//! mix and what it is of: whenever anything of that changes, and without keeping account of what was before. Peers move
//! between our own encoders and those of the mix with a keyframe, and with positions and times that go on; no device is
//! opened or closed, and what the speaker plays (so what the echo canceller is fed) stays the same. A peer that is mixed
//! must go on sending: the engine tells it that its picture is drawn at [`Media::mixed_size`](super::Media::mixed_size).
//! Keyframe requests, targets and losses come in through the peer's [`PeerMedia`](super::PeerMedia) as ever.
//!
//! Everybody is in the picture, also whoever looks at it: leaving each listener out of its own would take an encoder for
//! each. Only a single listener, for whom it costs nothing, does not see itself. A mix is encoded as H.264; whoever does
//! not take that goes on getting our own camera and microphone.

mod bands;
mod picture;
mod sound;

pub(super) use picture::run as run_pictures;
pub(super) use sound::run as run_sound;

use super::Picture;
use super::camera::CameraLink;
use super::send_audio::AudioOut;
use super::send_codecs::VideoOuts;
use super::send_video::VideoOut;
use super::worker::Wish;
use crate::codec::BLOCK;
use crate::mix::{Arrangement, Member};
use crate::ports::PeerId;
use crate::units::{Bitrate, Resolution};
use bands::BANDS;
use crossbeam_channel::{Receiver, Sender, bounded};
use sound::MixedOut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Ticks between the speaker's thread and `amix`: 160 ms. One that finds no room is lost.
const TICKS: usize = 16;
/// Blocks of our own voice on their way: 100 ms. One that finds no room is lost.
const OWN_BLOCKS: usize = 10;

/// Who gets a mix, and what it is of. The default: nobody gets one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixPlan {
    /// These get it; all others go on getting our own camera and microphone.
    pub listeners: Vec<PeerId>,
    /// These are in it, if they are in the call.
    pub members: Vec<MixMember>,
    pub arrangement: Arrangement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixMember {
    pub member: Member,
    pub name: String,
    /// It said that its microphone is off.
    pub muted: bool,
}

impl MixPlan {
    fn contains(&self, member: Member) -> bool {
        self.members.iter().any(|known| known.member == member)
    }
}

/// Ten milliseconds of all peers' voices.
pub(super) struct Tick {
    /// When they leave the speaker.
    heard_at: Instant,
    pub voices: Vec<(PeerId, [f32; BLOCK])>,
}

/// Where the threads that have voices give them to the mix.
#[derive(Clone)]
pub(super) struct Tap {
    open: Arc<AtomicBool>,
    ticks: Sender<Tick>,
    own: Sender<[f32; BLOCK]>,
}

impl Tap {
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// To be filled with the peers' voices, if anybody wants them.
    pub fn tick(&self, heard_at: Instant) -> Option<Tick> {
        self.is_open().then(|| Tick { heard_at, voices: Vec::new() })
    }

    /// A full queue (the machine is stuck) drops it.
    pub fn send(&self, tick: Option<Tick>) {
        if let Some(tick) = tick {
            let _ = self.ticks.try_send(tick);
        }
    }

    /// Our own voice; dropped if nobody takes it.
    pub fn put(&self, block: &[f32; BLOCK]) {
        if self.is_open() {
            let _ = self.own.try_send(*block);
        }
    }
}

/// Where peers get our own camera and microphone from.
pub(super) struct Direct<'a> {
    pub camera: &'a CameraLink,
    pub video: &'a VideoOuts,
    pub audio: &'a AudioOut,
}

/// What the two threads share with the rest of the pipeline.
pub(super) struct Mixing {
    wish: Wish<Arc<MixPlan>>,
    tap: Tap,
    ticks: Receiver<Tick>,
    own: Receiver<[f32; BLOCK]>,
    /// One encoder for each band, the narrowest first.
    video: [VideoOut; BANDS],
    audio: MixedOut,
    /// The peers in the call and their pictures. Locked while a peer moves from one encoder to another.
    sources: Mutex<Vec<(PeerId, Picture)>>,
    speaker: Mutex<Option<Member>>,
    /// At which size each member is in the picture.
    sizes: Mutex<Vec<(Member, Resolution)>>,
}

impl Mixing {
    pub fn new(max: Option<Bitrate>) -> Self {
        let (to_mix, ticks) = bounded(TICKS);
        let (own_to_mix, own) = bounded(OWN_BLOCKS);
        Self {
            wish: Wish::new(Arc::default()),
            tap: Tap { open: Arc::default(), ticks: to_mix, own: own_to_mix },
            ticks,
            own,
            video: std::array::from_fn(|_| VideoOut::new(max)),
            audio: MixedOut::default(),
            sources: Mutex::default(),
            speaker: Mutex::default(),
            sizes: Mutex::default(),
        }
    }

    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }
    pub fn audio(&self) -> &MixedOut {
        &self.audio
    }
    pub fn end(&self) {
        self.wish.end();
    }

    /// Who speaks, while there is a mix.
    pub fn speaker(&self) -> Option<Member> {
        *lock(&self.speaker)
    }

    pub fn size_of(&self, member: Member) -> Option<Resolution> {
        lock(&self.sizes).iter().find(|(known, _)| *known == member).map(|(_, size)| *size)
    }

    pub fn set_plan(&self, plan: MixPlan, direct: &Direct) {
        let sources = lock(&self.sources);
        if self.wish.current().is_none_or(|(current, _)| *current == plan) {
            return;
        }
        self.wish.change(|wish| *wish = Arc::new(plan));
        self.arrange(&sources, direct);
    }

    /// A peer that gets our own camera and microphone is in the call from now on.
    pub fn join(&self, id: PeerId, picture: Picture, direct: &Direct) {
        let mut sources = lock(&self.sources);
        sources.push((id, picture));
        self.arrange(&sources, direct);
    }

    pub fn leave(&self, id: PeerId, direct: &Direct) {
        let mut sources = lock(&self.sources);
        sources.retain(|(known, _)| *known != id);
        if direct.video.of(id).take(id).is_some() {
            direct.camera.release();
        }
        direct.audio.take(id);
        self.video.iter().for_each(|band| drop(band.take(id)));
        self.audio.take(id);
    }

    /// While somebody moves from one encoder to another, nobody may look for them.
    pub fn hold_still<T>(&self, act: impl FnOnce() -> T) -> T {
        let _still = lock(&self.sources);
        act()
    }

    /// Whatever makes the peer's pictures now.
    pub fn with_video<T>(&self, id: PeerId, direct: &VideoOuts, use_it: impl FnOnce(&VideoOut) -> T) -> T {
        self.hold_still(|| use_it(self.video.iter().find(|band| band.has(id)).unwrap_or(direct.of(id))))
    }

    /// Moves every peer to where the plan wants it.
    fn arrange(&self, sources: &[(PeerId, Picture)], direct: &Direct) {
        let Some((plan, _)) = self.wish.current() else { return };
        let wanted = |id: &PeerId| plan.listeners.contains(id) && !direct.video.is_apart(*id);
        if sources.iter().any(|(id, _)| wanted(id)) {
            self.tap.open.store(true, Ordering::Relaxed);
        }
        for (id, _) in sources {
            if wanted(id) {
                if let Some(outlet) = direct.video.take_usual(*id) {
                    self.video[bands::first(outlet.target())].put(outlet);
                    direct.camera.release();
                }
                direct.audio.take(*id).into_iter().for_each(|outlet| self.audio.put(outlet));
            } else {
                if let Some(outlet) = self.video.iter().find_map(|band| band.take(*id)) {
                    direct.video.usual().put(outlet);
                    direct.camera.want();
                }
                self.audio.take(*id).into_iter().for_each(|outlet| direct.audio.put(outlet));
            }
        }
        if !sources.iter().any(|(id, _)| wanted(id)) {
            self.tap.open.store(false, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
