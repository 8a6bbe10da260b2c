//! The thread `amix`: every ten milliseconds the voices of all peers and ours, and of them a mix for each listener.
//!
//! The speaker's clock paces it: the voices come from the thread that plays them. Ours comes by the microphone's clock; a
//! few blocks wait so that it never runs dry, and where the clocks drift apart one is left out when nobody speaks.
//!
//! Listeners who say nothing hear the same and share one encoder. Who begins to speak gets a copy of it, which goes on
//! exactly where the shared one is, and comes back after having been silent for a while.

use super::{MixPlan, Mixing, Tick, lock};
use crate::codec::opus::OpusEncoder;
use crate::codec::{AudioEncoder, BLOCK, PACKET, SAMPLE_RATE};
use crate::frame::EncodedAudio;
use crate::mix::{ActiveSpeaker, Hearing, Limiter, Member, SoundMixer};
use crate::pipeline::meter::{loudness, rms};
use crate::pipeline::outlet::AudioOutlet;
use crate::ports::PeerId;
use crate::stats::OutboundAudio;
use crossbeam_channel::Receiver;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Voices heard at once: more carry no word. With the shared one there is one encoder more than these, at most.
const LOUDEST: usize = 5;
/// Blocks after which a listener that says nothing goes back to the shared mix. Both are the same all the while, so both
/// encoders have come to much the same state.
const REJOIN: u32 = 200;
/// Blocks of our own voice that wait at first, above which one is left out when it is quiet, and in any case.
const OWN_FIRST: usize = 2;
const OWN_MANY: usize = 4;
const OWN_MOST: usize = 7;
/// What is quieter (root mean square) is not missed.
const QUIET: f32 = 0.003;
/// A longer pause of the speaker's clock is a gap in the sound.
const GAP: Duration = Duration::from_millis(100);
/// A changed wish is noticed after this even if no voices come.
const POLL: Duration = Duration::from_millis(250);

/// Where the mixes go.
#[derive(Default)]
pub(in crate::pipeline) struct MixedOut {
    listeners: Mutex<Vec<Listener>>,
}

struct Listener {
    outlet: AudioOutlet,
    /// Root mean square of what it was sent last.
    level: f32,
}

impl MixedOut {
    pub fn put(&self, mut outlet: AudioOutlet) {
        outlet.change_source();
        lock(&self.listeners).push(Listener { outlet, level: 0.0 });
    }

    pub fn take(&self, id: PeerId) -> Option<AudioOutlet> {
        let mut listeners = lock(&self.listeners);
        let index = listeners.iter().position(|listener| listener.outlet.id == id)?;
        Some(listeners.remove(index).outlet)
    }

    pub fn set_loss(&self, id: PeerId, loss: f32) {
        if let Some(listener) = lock(&self.listeners).iter_mut().find(|listener| listener.outlet.id == id) {
            listener.outlet.loss = loss;
        }
    }

    /// Whether this peer gets a mix; then what it gets.
    pub fn stats(&self, id: PeerId, into: &mut OutboundAudio) -> bool {
        let listeners = lock(&self.listeners);
        let Some(listener) = listeners.iter().find(|listener| listener.outlet.id == id) else { return false };
        into.codec = "opus".into();
        into.audio_level = f64::from(listener.level);
        true
    }

    fn ids(&self) -> Vec<PeerId> {
        lock(&self.listeners).iter().map(|listener| listener.outlet.id).collect()
    }

    fn worst_loss(&self, is_theirs: impl Fn(PeerId) -> bool) -> f32 {
        let listeners = lock(&self.listeners);
        let theirs = listeners.iter().filter(|listener| is_theirs(listener.outlet.id));
        theirs.map(|listener| listener.outlet.loss).fold(0.0, f32::max)
    }

    fn hand_out(&self, packet: &EncodedAudio, level: f32, is_theirs: impl Fn(PeerId) -> bool) {
        lock(&self.listeners).retain_mut(|listener| {
            if !is_theirs(listener.outlet.id) {
                return true;
            }
            listener.level = level;
            listener.outlet.hand_out(packet)
        });
    }
}

/// Runs until the wish ends.
pub(in crate::pipeline) fn run(link: &Mixing) {
    let mut mixed: Option<Mixed> = None;
    while let Some((plan, version)) = link.wish.current() {
        if plan.listeners.is_empty() {
            mixed = None;
            *lock(&link.speaker) = None;
            link.wish.wait(version, None);
            // What was on its way when the last mix ended.
            link.ticks.try_iter().for_each(drop);
            link.own.try_iter().for_each(drop);
            continue;
        }
        if let Ok(tick) = link.ticks.recv_timeout(POLL) {
            mixed.get_or_insert_with(Mixed::new).handle(link, &plan, &tick);
        }
    }
}

/// One mix and its encoder.
struct Stream {
    /// Whose voice is not in it; `None`: the shared one.
    of: Option<PeerId>,
    limiter: Limiter,
    encoder: Option<OpusEncoder>,
    loss: f32,
    /// Up to [`PACKET`] samples wait for their packet.
    pcm: Vec<f32>,
    /// Blocks for which it has been the same as the shared one.
    same: u32,
}

impl Stream {
    fn new() -> Self {
        Self { of: None, limiter: Limiter::default(), encoder: None, loss: -1.0, pcm: Vec::new(), same: 0 }
    }

    /// Another one that goes on where this one is, without this voice.
    fn without(&self, id: PeerId) -> Self {
        Self {
            of: Some(id),
            limiter: self.limiter.clone(),
            encoder: self.encoder.as_ref().and_then(|encoder| encoder.copy().ok()),
            loss: self.loss,
            pcm: self.pcm.clone(),
            same: 0,
        }
    }

    fn take(&mut self, mixer: &SoundMixer) {
        let mut block = [0.0; BLOCK];
        mixer.hear(self.of.map(Member::Guest), &mut block);
        self.limiter.apply(&mut block);
        self.pcm.extend_from_slice(&block);
    }

    /// Encodes the packet and hands it out.
    fn send(
        &mut self,
        position: u64,
        captured_at: Instant,
        out: &MixedOut,
        is_theirs: impl Fn(PeerId) -> bool,
    ) {
        let loss = out.worst_loss(&is_theirs);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => match OpusEncoder::new() {
                Ok(encoder) => {
                    self.loss = -1.0;
                    none.insert(encoder)
                }
                Err(error) => {
                    tracing::error!(%error, "there is no voice encoder");
                    self.pcm.clear();
                    return;
                }
            },
        };
        if (loss - self.loss).abs() > 0.005 {
            self.loss = loss;
            encoder.set_expected_loss(loss);
        }
        let level = rms(&self.pcm);
        match encoder.encode(&self.pcm) {
            Ok(Some(data)) => {
                let packet = EncodedAudio { data, captured_at, position, level: loudness(level) };
                out.hand_out(&packet, level, is_theirs);
            }
            Ok(None) => {} // nobody speaks, and they know
            Err(error) => {
                tracing::error!(%error, "the voice encoder failed; the next packet gets a new one");
                self.encoder = None;
            }
        }
        self.pcm.clear();
    }
}

/// The mix while it lasts.
struct Mixed {
    mixer: SoundMixer,
    active: ActiveSpeaker,
    shared: Stream,
    /// Of those who speak.
    apart: Vec<Stream>,
    own: OwnVoice,
    /// In the stream of all mixes, of the next block.
    position: u64,
    expected_at: Option<Instant>,
    packet_at: Option<Instant>,
}

impl Mixed {
    fn new() -> Self {
        Self {
            mixer: SoundMixer::new(Some(LOUDEST)),
            active: ActiveSpeaker::default(),
            shared: Stream::new(),
            apart: Vec::new(),
            own: OwnVoice::default(),
            position: 0,
            expected_at: None,
            packet_at: None,
        }
    }

    fn handle(&mut self, link: &Mixing, plan: &MixPlan, tick: &Tick) {
        for (id, block) in &tick.voices {
            if plan.contains(Member::Guest(*id)) {
                self.mixer.put(Member::Guest(*id), block);
            }
        }
        if let Some(block) = self.own.next(&link.own)
            && plan.contains(Member::Host)
        {
            self.mixer.put(Member::Host, &block);
        }
        self.mixer.mix();
        self.active.handle(tick.heard_at, self.mixer.levels());
        *lock(&link.speaker) = self.active.current();
        self.count(tick.heard_at);
        self.part(&link.audio.ids());
        self.shared.take(&self.mixer);
        self.apart.iter_mut().for_each(|stream| stream.take(&self.mixer));
        self.position += BLOCK as u64;
        let at = *self.packet_at.get_or_insert(tick.heard_at);
        if self.shared.pcm.len() >= PACKET {
            self.packet_at = None;
            let position = self.position - PACKET as u64;
            let apart: Vec<Option<PeerId>> = self.apart.iter().map(|stream| stream.of).collect();
            self.shared.send(position, at, &link.audio, |id| !apart.contains(&Some(id)));
            for stream in &mut self.apart {
                let of = stream.of;
                stream.send(position, at, &link.audio, |id| of == Some(id));
            }
        }
    }

    /// Gives whoever began to speak a stream of its own, before its voice gets into the shared one.
    fn part(&mut self, listeners: &[PeerId]) {
        for id in listeners {
            let speaks = self.mixer.hearing(Member::Guest(*id)) == Hearing::AllButOwn;
            match self.apart.iter_mut().find(|stream| stream.of == Some(*id)) {
                Some(stream) => stream.same = if speaks { 0 } else { stream.same + 1 },
                None if speaks => self.apart.push(self.shared.without(*id)),
                None => {}
            }
        }
        let is_listening = |of: Option<PeerId>| of.is_some_and(|id| listeners.contains(&id));
        self.apart.retain(|stream| stream.same < REJOIN && is_listening(stream.of));
    }

    /// Moves the position on by what was lost before this block.
    fn count(&mut self, heard_at: Instant) {
        let block = Duration::from_secs(1) * BLOCK as u32 / SAMPLE_RATE;
        let expected = self.expected_at.unwrap_or(heard_at);
        let late = heard_at.saturating_duration_since(expected);
        if late > GAP {
            let packets = (late.as_secs_f64() * f64::from(SAMPLE_RATE) / PACKET as f64).round() as u64;
            // The half packet before the gap goes with it.
            self.position += packets * PACKET as u64 - self.shared.pcm.len() as u64;
            self.packet_at = None;
            std::iter::once(&mut self.shared).chain(&mut self.apart).for_each(|stream| stream.pcm.clear());
            self.expected_at = Some(heard_at + block);
        } else {
            // Follows the speaker's clock slowly, so that drift does not add up to a gap.
            let early = expected.saturating_duration_since(heard_at);
            self.expected_at = Some(expected + block + late / 64 - early / 64);
        }
    }
}

/// Our own voice by the clock of the mix.
struct OwnVoice {
    /// A few blocks have to wait before any is taken.
    filling: bool,
}

impl Default for OwnVoice {
    fn default() -> Self {
        Self { filling: true }
    }
}

impl OwnVoice {
    fn next(&mut self, blocks: &Receiver<[f32; BLOCK]>) -> Option<[f32; BLOCK]> {
        if self.filling && blocks.len() < OWN_FIRST {
            return None;
        }
        self.filling = false;
        let Ok(mut block) = blocks.try_recv() else {
            self.filling = true;
            return None;
        };
        while blocks.len() >= OWN_MOST || blocks.len() >= OWN_MANY && rms(&block) < QUIET {
            match blocks.try_recv() {
                Ok(next) => block = next,
                Err(_) => break,
            }
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests;
