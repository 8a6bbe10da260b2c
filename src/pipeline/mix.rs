//! The thread `mix`: owns the speaker while there is a peer. For every ten milliseconds that the speaker wants it
//! takes ten from each peer's jitter buffer, adds them up and hands them over; for peers who get a mix, the voices also go
//! to the thread `amix` (see `mixing`).
//!
//! The speaker's clock paces everything. A speaker that fails, or none, is replaced by a silent one that the
//! system's clock paces, so that jitter buffers, lip-sync and statistics go on; the real one is tried again.

use super::Openers;
use super::camera::RETRY;
use super::mixing::Tap;
use super::receive_audio::VoiceIn;
use super::send_audio::Played;
use super::stand_in::{self, Loss};
use super::worker::{Events, Reporter, Wish};
use crate::codec::BLOCK;
use crate::device::{AudioSink, DeviceError, DeviceKind, SpeakerChoice};
use crate::ports::PeerId;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The speaker asks for more sound when less than this is queued (the device's own rule, see
/// [`AudioSink::wait`]).
const QUEUED: Duration = Duration::from_millis(20);
/// A changed wish is noticed after this even if the speaker stalls.
const POLL: Duration = Duration::from_millis(250);
/// From here on the sum of voices is bent instead of cut off.
const KNEE: f32 = 0.8;

#[derive(Clone)]
pub(super) struct SpeakerWish {
    pub choice: SpeakerChoice,
    pub peers: Vec<(PeerId, Arc<VoiceIn>)>,
}

pub(super) struct SpeakerLink {
    pub wish: Wish<SpeakerWish>,
    /// What was played, for the echo canceller. With nobody to take it, it is dropped.
    pub played: Sender<Played>,
    /// Where the peers' voices are mixed for those who get a mix, if any do.
    pub tap: Tap,
}

/// Runs until the wish ends.
pub(super) fn run(link: &SpeakerLink, openers: &Openers, events: &Events) {
    let mut reporter = Reporter::new(DeviceKind::Speaker, events.clone());
    let mut tried: Option<SpeakerChoice> = None;
    let mut loss = Loss::default();
    while let Some((wish, version)) = link.wish.current() {
        if wish.peers.is_empty() {
            link.wish.wait(version, None);
            continue;
        }
        if tried.as_ref() != Some(&wish.choice) {
            reporter.forget();
            tried = Some(wish.choice.clone());
        }
        let error = match stand_in::open(&openers.speaker, &wish.choice, &mut reporter) {
            Ok(mut speaker) => {
                loss.opened(Instant::now());
                if wish.choice != SpeakerChoice::None {
                    reporter.opened(speaker.name(), None);
                }
                play(link, speaker.as_mut(), &wish.choice, None)
            }
            Err(error) => Some(error),
        };
        let Some(error) = error.and_then(|error| loss.after(error, Instant::now())) else { continue };
        reporter.failed(error);
        let retry_at = Instant::now() + RETRY;
        let stand_in = (openers.speaker)(&SpeakerChoice::None);
        let played = stand_in.map(|mut silent| play(link, silent.as_mut(), &wish.choice, Some(retry_at)));
        if played.is_err() {
            link.wish.wait(version, Some(RETRY));
        }
    }
}

/// Plays until the speaker fails, or `None` if another one is wished for or should be opened, nobody is left, or at
/// `until`.
fn play(
    link: &SpeakerLink,
    speaker: &mut dyn AudioSink,
    choice: &SpeakerChoice,
    until: Option<Instant>,
) -> Option<DeviceError> {
    let (mut wish, mut version) = link.wish.current()?;
    let mut block = [0.0; BLOCK];
    let mut one = [0.0; BLOCK];
    loop {
        if link.wish.is_over(version) {
            (wish, version) = link.wish.current()?;
        }
        let is_over = wish.choice != *choice || wish.peers.is_empty() || speaker.is_outdated();
        if is_over || until.is_some_and(|at| Instant::now() >= at) {
            return None;
        }
        if let Err(error) = speaker.wait(POLL) {
            return Some(error);
        }
        loop {
            let queued = speaker.queued();
            if queued >= QUEUED {
                break;
            }
            let now = Instant::now();
            block.fill(0.0);
            let mut tick = link.tap.tick(now + queued);
            for (id, voice) in &wish.peers {
                voice.pull(now, now + queued, &mut one);
                if let Some(tick) = &mut tick {
                    tick.voices.push((*id, one));
                }
                block.iter_mut().zip(&one).for_each(|(sum, sample)| *sum += sample);
            }
            link.tap.send(tick);
            block.iter_mut().for_each(|sample| *sample = soft_clip(*sample));
            if let Err(error) = speaker.write(&block) {
                return Some(error);
            }
        }
        while speaker.played(&mut block).is_some() {
            // A full queue: the microphone does not run, so there is no echo to take out.
            let _ = link.played.try_send(block);
        }
    }
}

/// Leaves quiet sound as it is and bends loud sound towards full scale.
fn soft_clip(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 { sample } else { (KNEE + (1.0 - KNEE) * (over / (1.0 - KNEE)).tanh()).copysign(sample) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_sums_are_bent_and_quiet_ones_untouched() {
        for quiet in [0.0, 0.3, -0.79] {
            assert_eq!(soft_clip(quiet), quiet);
        }
        let mut last = 0.0;
        for step in 0..400 {
            let clipped = soft_clip(step as f32 / 100.0);
            assert!(clipped >= last && clipped <= 1.0 && soft_clip(-(step as f32) / 100.0) == -clipped);
            last = clipped;
        }
    }
}
