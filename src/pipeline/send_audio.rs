//! The thread `aenc`: owns the microphone while it runs. Ten milliseconds at a time it takes out echo and noise,
//! measures, encodes 20 ms and hands the packet to every peer.
//!
//! Without a peer (the lobby) it only measures the level. Muted, all goes on but the sending, so that the echo
//! canceller knows the room when the microphone comes back (see `mute`).

use super::MediaEvent;
use super::Openers;
use super::camera::RETRY;
use super::fade::Fade;
use super::meter::{Level, loudness, rms};
use super::mixing::Tap;
use super::mute::Mute;
use super::muted::MutedTalk;
use super::outlet::AudioOutlet;
use super::stand_in::{self, Loss};
use super::voice::{EchoStats, VoiceProcessor, VoiceSettings};
use super::worker::{Events, Reporter, Wish};
use crate::codec::opus::OpusEncoder;
use crate::codec::{AudioEncoder, BLOCK, PACKET, SAMPLE_RATE};
use crate::device::{AudioSource, DeviceError, DeviceKind, MicrophoneChoice};
use crate::frame::EncodedAudio;
use crate::ports::PeerId;
use crate::stats::OutboundAudio;
use crossbeam_channel::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// A changed wish is noticed with the next block, and at the latest after this.
const POLL: Duration = Duration::from_millis(250);
/// A microphone that is given up is heard out this long, for its last packet.
const LEAVE: Duration = Duration::from_millis(20);
/// The level is told this often, if it has changed by a visible step.
const LEVEL_INTERVAL: Duration = Duration::from_millis(100);
const LEVEL_STEP: f32 = 0.01;
/// The microphone's clock and ours may differ by this before a gap is taken for lost sound.
const GAP: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct MicrophoneWish {
    pub choice: MicrophoneChoice,
    pub settings: VoiceSettings,
    pub muted: bool,
}

/// Where encoded sound goes, and what the peers say about it.
#[derive(Default)]
pub(super) struct AudioOut {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outlets: Vec<AudioOutlet>,
    /// Of what is sent, as W3C has it: linear.
    level: f32,
    echo: EchoStats,
}

impl AudioOut {
    pub fn add(&self, id: PeerId, sender: Sender<EncodedAudio>) {
        self.put(AudioOutlet::new(id, sender));
    }

    /// The peer's sound comes from elsewhere from now on.
    pub fn take(&self, id: PeerId) -> Option<AudioOutlet> {
        let outlets = &mut self.lock().outlets;
        outlets.iter().position(|outlet| outlet.id == id).map(|index| outlets.remove(index))
    }

    pub fn put(&self, mut outlet: AudioOutlet) {
        outlet.change_source();
        self.lock().outlets.push(outlet);
    }

    pub fn set_loss(&self, id: PeerId, loss: f32) {
        if let Some(outlet) = self.lock().outlets.iter_mut().find(|outlet| outlet.id == id) {
            outlet.loss = loss;
        }
    }

    pub fn stats(&self, into: &mut OutboundAudio) {
        into.codec = "opus".into();
        let state = self.lock();
        into.audio_level = f64::from(state.level);
        into.echo_return_loss = state.echo.return_loss;
        into.echo_return_loss_enhancement = state.echo.return_loss_enhancement;
    }

    fn is_wanted(&self) -> bool {
        !self.lock().outlets.is_empty()
    }

    /// One encoder serves all, so it prepares for the worst path.
    fn worst_loss(&self) -> f32 {
        self.lock().outlets.iter().map(|outlet| outlet.loss).fold(0.0, f32::max)
    }

    fn set_level(&self, level: f32) {
        self.lock().level = level;
    }

    fn set_echo(&self, echo: EchoStats) {
        self.lock().echo = echo;
    }

    fn hand_out(&self, packet: &EncodedAudio) {
        self.lock().outlets.retain_mut(|outlet| outlet.hand_out(packet));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the speaker played, from the thread `mix`. Full, when no microphone runs: the oldest stays, which the echo
/// canceller notices as a jump and gets over.
pub(super) const PLAYED_BLOCKS: usize = 50;
pub(super) type Played = [f32; BLOCK];

/// What the microphone's thread works with.
pub(super) struct MicrophoneLink {
    pub wish: Wish<MicrophoneWish>,
    pub out: AudioOut,
    pub played: Receiver<Played>,
    /// Where our voice is mixed with others, if it is.
    pub tap: Tap,
}

/// Runs until the wish ends.
pub(super) fn run(link: &MicrophoneLink, openers: &Openers, events: &Events) {
    let mut reporter = Reporter::new(DeviceKind::Microphone, events.clone());
    let mut sending = Sending::new();
    let mut tried: Option<MicrophoneChoice> = None;
    let mut loss = Loss::default();
    while let Some((wish, version)) = link.wish.current() {
        if tried.as_ref() != Some(&wish.choice) {
            reporter.forget();
            tried = Some(wish.choice.clone());
        }
        if wish.choice == MicrophoneChoice::None {
            sending.silence(link, events);
            link.wish.wait(version, None);
            continue;
        }
        let ended = match stand_in::open(&openers.microphone, &wish.choice, &mut reporter) {
            Ok(mut microphone) => {
                reporter.opened(microphone.name(), None);
                loss.opened(Instant::now());
                sending.listen(link, microphone.as_mut(), wish.clone(), version, events)
            }
            Err(error) => Some(error),
        };
        let Some(error) = ended else { continue }; // another microphone, or the end
        let Some(error) = loss.after(error, Instant::now()) else { continue };
        sending.silence(link, events);
        let ended = error == DeviceError::Ended;
        if ended {
            reporter.ended();
        } else {
            reporter.failed(error);
        }
        // Mute and settings change the wish too; only another choice is a reason to try an ended file again.
        let retry_at = (!ended).then(|| Instant::now() + RETRY);
        wait_for_choice(link, &wish.choice, version, retry_at);
    }
}

fn wait_for_choice(
    link: &MicrophoneLink,
    choice: &MicrophoneChoice,
    mut version: u64,
    retry_at: Option<Instant>,
) {
    loop {
        link.wish.wait(version, retry_at.map(|at| at.saturating_duration_since(Instant::now())));
        match link.wish.current() {
            Some((wish, now)) if wish.choice == *choice => version = now,
            _ => return,
        }
        if retry_at.is_some_and(|at| Instant::now() >= at) {
            return;
        }
    }
}

/// The processing chain from the microphone on.
struct Sending {
    voice: Option<VoiceProcessor>,
    encoder: Option<OpusEncoder>,
    loss: f32,
    /// Up to [`PACKET`] samples wait for their packet.
    packet: Vec<f32>,
    packet_at: Option<Instant>,
    /// Position in the stream of the next sample, and when it is due by the count.
    position: u64,
    expected_at: Option<Instant>,
    mute: Mute,
    level: Level,
    told_level: f32,
    told_at: Option<Instant>,
    muted_talk: MutedTalk,
    fade: Fade,
}

impl Sending {
    fn new() -> Self {
        Self {
            voice: None,
            encoder: None,
            loss: -1.0,
            packet: Vec::with_capacity(PACKET),
            packet_at: None,
            position: 0,
            expected_at: None,
            mute: Mute::default(),
            level: Level::default(),
            told_level: 0.0,
            told_at: None,
            muted_talk: MutedTalk::default(),
            fade: Fade::Open,
        }
    }

    /// Sends what the microphone hears until it fails, or `None` if another one is wished for or should be opened.
    fn listen(
        &mut self,
        link: &MicrophoneLink,
        microphone: &mut dyn AudioSource,
        mut wish: MicrophoneWish,
        mut version: u64,
        events: &Events,
    ) -> Option<DeviceError> {
        let mut heard = [0.0; BLOCK];
        loop {
            if link.wish.is_over(version) {
                match link.wish.current().filter(|(new, _)| new.choice == wish.choice) {
                    Some((new, now)) => (wish, version) = (new, now),
                    None => return self.leave(link, microphone, &wish, events),
                }
            }
            if microphone.is_outdated() {
                return self.leave(link, microphone, &wish, events);
            }
            match microphone.read(&mut heard, POLL) {
                Ok(Some(captured_at)) => self.handle_block(link, &wish, &heard, captured_at, events),
                Ok(None) => {}
                Err(error) => return Some(error),
            }
        }
    }

    /// The last packet from this microphone goes down to silence; there is nothing to report.
    fn leave(
        &mut self,
        link: &MicrophoneLink,
        microphone: &mut dyn AudioSource,
        wish: &MicrophoneWish,
        events: &Events,
    ) -> Option<DeviceError> {
        let mut heard = [0.0; BLOCK];
        self.fade = Fade::Closing;
        for _ in 0..2 * PACKET / BLOCK {
            match microphone.read(&mut heard, LEAVE) {
                Ok(Some(captured_at)) => self.handle_block(link, wish, &heard, captured_at, events),
                Ok(None) | Err(_) => break,
            }
            if self.packet.is_empty() && self.fade == Fade::Closed {
                break;
            }
        }
        self.fade = Fade::Open;
        None
    }

    fn handle_block(
        &mut self,
        link: &MicrophoneLink,
        wish: &MicrophoneWish,
        heard: &[f32; BLOCK],
        captured_at: Instant,
        events: &Events,
    ) {
        if !link.out.is_wanted() && !link.tap.is_open() {
            self.voice = None;
            self.encoder = None;
            self.packet.clear();
            self.tell_level(heard, captured_at, events);
            return;
        }
        let voice = self.voice.get_or_insert_with(|| {
            // What was played while no microphone ran is no echo of now.
            link.played.try_iter().for_each(drop);
            VoiceProcessor::new(wish.settings)
        });
        voice.apply(wish.settings);
        let mut block = [0.0; BLOCK];
        voice.hear(heard, &link.played, &mut block);
        self.tell_level(&block, captured_at, events);
        self.fade.apply(&mut block);
        self.count(captured_at);
        if self.muted_talk.handle(&block, wish.muted, captured_at) {
            events.send(MediaEvent::SpeaksWhileMuted);
        }
        if wish.muted {
            link.out.set_level(0.0);
        }
        if !self.mute.admit(wish.muted, &mut block) {
            self.packet.clear();
            return;
        }
        link.tap.put(&block);
        if self.packet.is_empty() {
            self.packet_at = Some(captured_at);
        }
        self.packet.extend_from_slice(&block);
        if self.packet.len() == PACKET {
            let silent = self.send(link);
            self.mute.encoded(silent);
            self.packet.clear();
        }
    }

    /// Moves the position on by one block, and by what was lost before it.
    fn count(&mut self, captured_at: Instant) {
        let block = Duration::from_secs(1) * BLOCK as u32 / SAMPLE_RATE;
        let expected = self.expected_at.unwrap_or(captured_at);
        let gap = captured_at.saturating_duration_since(expected);
        if gap > GAP {
            self.packet.clear();
            let packets = (gap.as_secs_f64() * f64::from(SAMPLE_RATE) / PACKET as f64).round() as u64;
            self.position += packets * PACKET as u64;
            self.expected_at = Some(captured_at + block);
        } else {
            // Follows the microphone's clock slowly, so that drift does not add up to a gap.
            let next = expected + block;
            let late = (captured_at + block).saturating_duration_since(next);
            let early = next.saturating_duration_since(captured_at + block);
            self.expected_at = Some(next + late / 64 - early / 64);
        }
        self.position += BLOCK as u64;
    }

    /// Encodes the packet and hands it out. True if nothing more needs to be said while nobody speaks.
    fn send(&mut self, link: &MicrophoneLink) -> bool {
        let level = rms(&self.packet);
        link.out.set_level(level);
        link.out.set_echo(self.voice.as_ref().map_or_else(EchoStats::default, VoiceProcessor::echo));
        if !link.out.is_wanted() {
            self.encoder = None;
            return true; // it is only mixed with others
        }
        if self.encoder.is_none() {
            match OpusEncoder::new() {
                Ok(encoder) => (self.encoder, self.loss) = (Some(encoder), -1.0),
                Err(error) => tracing::error!(%error, "there is no voice encoder"),
            }
        }
        let (Some(encoder), Some(captured_at)) = (&mut self.encoder, self.packet_at) else { return true };
        let loss = link.out.worst_loss();
        if (loss - self.loss).abs() > 0.005 {
            self.loss = loss;
            encoder.set_expected_loss(loss);
        }
        match encoder.encode(&self.packet) {
            Ok(Some(data)) => link.out.hand_out(&EncodedAudio {
                data,
                captured_at,
                position: self.position - PACKET as u64,
                level: loudness(level),
            }),
            Ok(None) => return true, // nobody speaks, and the other side knows
            Err(error) => {
                tracing::error!(%error, "the voice encoder failed; the next packet gets a new one");
                self.encoder = None;
            }
        }
        false
    }

    fn tell_level(&mut self, block: &[f32], now: Instant, events: &Events) {
        let level = self.level.handle(block);
        let due = self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= LEVEL_INTERVAL);
        if due && (level - self.told_level).abs() >= LEVEL_STEP {
            (self.told_at, self.told_level) = (Some(now), level);
            events.send(MediaEvent::MicrophoneLevel(level));
        }
    }

    /// The microphone is gone: so is its level.
    fn silence(&mut self, link: &MicrophoneLink, events: &Events) {
        link.out.set_level(0.0);
        self.voice = None;
        self.packet.clear();
        self.level = Level::default();
        if self.told_level > 0.0 {
            self.told_level = 0.0;
            events.send(MediaEvent::MicrophoneLevel(0.0));
        }
    }
}
