//! Voice from packets to a steady stream of samples: an adaptive jitter buffer of the kind of libwebrtc's NetEQ
//! (`modules/audio_coding/neteq/`: `neteq_impl.cc`, `decision_logic.cc`, `delay_manager.cc`).
//!
//! The thread that plays (`mix`) owns one [`VoicePlayout`] and one decoder for each peer. For every block of 10 ms that
//! the speaker will take, it first hands over the packets that have come, then pulls:
//!
//! ```text
//! while let Ok(packet) = inlet.try_recv() { voice.handle_packet(&packet); }
//! let time = voice.pull(now, &mut decoder, &mut block);      // always 480 samples
//! if let Some(time) = time { clock.handle_sound(time, now + what the ring and the device hold); }
//! ```
//!
//! What a block is made of:
//!
//! | what is there                                   | what is played                                    |
//! | ----------------------------------------------- | ------------------------------------------------- |
//! | the next packet                                 | it, decoded                                       |
//! | not it, but a copy in a later one (RED)         | the copy, decoded like the original               |
//! | neither, but the one after, with redundancy     | the lost one, recovered from that (in-band FEC)   |
//! | not it, later ones                              | concealment until the later one is due            |
//! | nothing                                         | concealment, fading out after 120 ms              |
//! | a pause of the sender (sequence without a hole) | comfort noise; the delay is set right in it       |
//! | more waiting than the jitter needs              | speech shortened by a period of the voice         |
//! | less                                            | speech lengthened                                 |
//!
//! What is controlled is the **lag**: how much later than its fastest possible arrival a sample is played. It does not
//! move with packet sizes or pauses as the fill of a queue does, and it shows clock drift directly. The thread
//! may pull in bursts: the shortest lag of the last pulls counts.

mod delay;
mod intake;
mod opus;
mod stretch;

use super::restart::Restart;
use super::unwrap::{SequenceUnwrapper, TimestampUnwrapper};
use crate::units::Epoch;
use bytes::Bytes;
use delay::TargetDelay;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Samples of one pull: 10 ms.
pub const VOICE_BLOCK: usize = 480;
const SAMPLE_RATE: i64 = 48_000;
/// What one packet may decode to (RFC 6716, section 3.2).
const MAX_DECODED: usize = 5_760;
/// Played sound that is kept to lengthen from.
const HISTORY: usize = 2 * stretch::NEEDED_BEFORE;
/// Pulls over which the shortest lag is taken: 200 ms.
const LAG_PULLS: usize = 20;
/// Pulls between two changes of length. Closer together they are heard as roughness.
const STRETCH_PAUSE: u32 = 5;
/// The lag may be off the target by a quarter of this downwards and by the rest upwards before anything is done:
/// it is more than what one change of length moves.
const SLACK_US: i64 = 20_000;
/// So much too long a lag is shortened with less care.
const MUCH_TOO_LONG_US: i64 = 120_000;
/// Concealment fades out between these, in samples: longer it is only noise.
const FADE_FROM: usize = 120 * 48;
const FADE_UNTIL: usize = 320 * 48;
/// After silence the sound comes back over this, in samples.
const FADE_IN: usize = 240;
/// After so much concealment the timeline is taken up anew where the next packet stands.
const LONG_GAP: usize = SAMPLE_RATE as usize / 2;

/// A decoder could not make sound of what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndecodableVoice;

/// What the jitter buffer asks of a decoder: the same as `codec::AudioDecoder`, which a core does not know. Each
/// method appends 48 kHz mono samples.
pub trait VoiceDecoder {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice>;
    /// The lost packet before `next`, `samples` long, from the redundancy in `next`.
    fn recover(&mut self, next: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice>;
    /// Something that goes on like what was before. `samples` is a multiple of 10 ms.
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice>;
}

/// As W3C webrtc-stats has them; cumulative. Times in seconds, summed over samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceCounters {
    pub total_samples_received: u64,
    pub concealed_samples: u64,
    pub silent_concealed_samples: u64,
    pub concealment_events: u64,
    pub inserted_samples_for_deceleration: u64,
    pub removed_samples_for_acceleration: u64,
    pub jitter_buffer_delay: f64,
    pub jitter_buffer_target_delay: f64,
    pub jitter_buffer_emitted_count: u64,
    /// Too late, or too many. The same packet twice does not count.
    pub packets_discarded: u64,
    /// Copies of other packets that came (RED); and those of no use, since the original came or it was too late.
    pub fec_packets_received: u64,
    pub fec_packets_discarded: u64,
    /// Packets that were recovered from the in-band redundancy of the next.
    pub packets_recovered: u64,
}

struct Waiting {
    /// RTP time of the first sample, unwrapped.
    timestamp: i64,
    samples: usize,
    payload: Bytes,
    arrived_us: i64,
}

/// A time without the next packet.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// The lag when it began; it is kept over a loss.
    lag_us: i64,
    /// Samples made up so far, and the inaudible among them.
    made: usize,
    silent: usize,
}

pub struct VoicePlayout {
    epoch: Epoch,
    ssrc: Option<u32>,
    sequences: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    waiting: BTreeMap<i64, Waiting>,
    /// Sequence number and RTP time of the last packets that came, as originals or as copies.
    known: VecDeque<(i64, i64)>,
    target: TargetDelay,
    extra_us: i64,
    /// RTP time up to which everything was decoded; `None` before the first packet is due.
    next: Option<i64>,
    /// Sequence number of the last packet that was played.
    played: Option<i64>,
    /// The last packet said that silence follows.
    silence_announced: bool,
    /// Played sound, then sound to play from `at`.
    signal: Vec<f32>,
    at: usize,
    lags: VecDeque<i64>,
    since_stretch: u32,
    gap: Option<Gap>,
    gain: f32,
    restart: Restart,
    counters: VoiceCounters,
}

impl Default for VoicePlayout {
    fn default() -> Self {
        Self::new()
    }
}

impl VoicePlayout {
    pub fn new() -> Self {
        Self {
            epoch: Epoch::default(),
            ssrc: None,
            sequences: SequenceUnwrapper::default(),
            timestamps: TimestampUnwrapper::default(),
            waiting: BTreeMap::new(),
            known: VecDeque::new(),
            target: TargetDelay::default(),
            extra_us: 0,
            next: None,
            played: None,
            silence_announced: false,
            signal: Vec::new(),
            at: 0,
            lags: VecDeque::new(),
            since_stretch: 0,
            gap: None,
            gain: 0.0,
            restart: Restart::default(),
            counters: VoiceCounters::default(),
        }
    }

    /// Holds the sound back for slower pictures; see
    /// [`PlayoutClock::wanted_audio_delay`](super::PlayoutClock::wanted_audio_delay).
    pub fn set_extra_delay(&mut self, delay: Duration) {
        self.extra_us = (delay.as_micros() as i64).min(delay::MAX_US);
    }

    pub fn counters(&self) -> VoiceCounters {
        self.counters
    }

    /// How long a sample should wait from its fastest possible arrival on.
    pub fn target_delay(&self) -> Duration {
        Duration::from_micros(self.target_us() as u64)
    }

    /// How long it does wait; `None` while nothing is played.
    pub fn lag(&self) -> Option<Duration> {
        self.shortest_lag().map(|lag| Duration::from_micros(lag.max(0) as u64))
    }

    fn target_us(&self) -> i64 {
        (self.target.target_us() + self.extra_us).min(delay::MAX_US)
    }

    /// Fills `block` with the next 10 ms. Gives the RTP time (48 kHz, unwrapped) of its first sample, unless it is made up
    /// or silent because nothing has come.
    pub fn pull<D: VoiceDecoder + ?Sized>(
        &mut self,
        now: Instant,
        decoder: &mut D,
        block: &mut [f32; VOICE_BLOCK],
    ) -> Option<i64> {
        let now_us = self.epoch.micros(now);
        self.since_stretch = self.since_stretch.saturating_add(1);
        if self.next.is_none() && !self.start(now_us) {
            block.fill(0.0);
            return None;
        }
        while self.available() < VOICE_BLOCK {
            self.fill(now_us, decoder);
        }
        if self.gap.is_none() {
            self.note_lag(now_us);
            self.adjust(now_us, decoder);
        } else {
            self.lags.clear();
        }
        let time = self.position().filter(|_| self.gap.is_none());
        block.copy_from_slice(&self.signal[self.at..self.at + VOICE_BLOCK]);
        self.at += VOICE_BLOCK;
        if self.at > 4 * HISTORY {
            self.signal.drain(..self.at - HISTORY);
            self.at = HISTORY;
        }
        self.counters.total_samples_received += VOICE_BLOCK as u64;
        time
    }

    fn available(&self) -> usize {
        self.signal.len() - self.at
    }

    /// RTP time of the next sample to play.
    fn position(&self) -> Option<i64> {
        self.next.map(|next| next - self.available() as i64)
    }

    /// How long after its fastest possible arrival a sample with this RTP time is played, if that is now.
    fn lag_of(&self, now_us: i64, timestamp: i64) -> i64 {
        self.target.fastest().map_or(0, |fastest| now_us - time_us(timestamp) - fastest)
    }

    /// The same for the next sample that will be appended: it is heard after what is there.
    fn heard_lag(&self, now_us: i64, timestamp: i64) -> i64 {
        self.lag_of(now_us, timestamp) + self.available() as i64 * 1_000_000 / SAMPLE_RATE
    }

    /// Begins with the first packet once it has waited for the target. True if there is something to play.
    fn start(&mut self, now_us: i64) -> bool {
        let Some((&sequence, first)) = self.waiting.first_key_value() else { return false };
        if self.lag_of(now_us, first.timestamp) < self.target_us() {
            return false;
        }
        self.next = Some(first.timestamp);
        self.played = Some(sequence - 1);
        true
    }

    /// Appends something to `signal`.
    fn fill<D: VoiceDecoder + ?Sized>(&mut self, now_us: i64, decoder: &mut D) {
        let next = self.next.unwrap_or_default();
        // Whose place in time has passed is of no use any more; far back, it is another timeline.
        while let Some(entry) = self.waiting.first_entry()
            && (next - SAMPLE_RATE..next).contains(&entry.get().timestamp)
        {
            self.played = Some(*entry.key());
            entry.remove();
            self.counters.packets_discarded += 1;
        }
        let Some((&sequence, first)) = self.waiting.first_key_value() else {
            return self.make_up(now_us, decoder, false);
        };
        let (timestamp, samples) = (first.timestamp, first.samples);
        let in_sequence = self.played == Some(sequence - 1);
        let long_gap = self.gap.is_some_and(|gap| gap.made >= LONG_GAP);
        if timestamp < next || timestamp == next && !long_gap {
            return self.play(sequence, now_us, decoder);
        }
        let target = self.target_us();
        // After a pause the delay can be set right: the silence takes as long as that needs. Over a loss it is kept.
        let due = match self.gap {
            _ if in_sequence || long_gap => target,
            Some(gap) => gap.lag_us.clamp(low(target), high(target)),
            None => self.heard_lag(now_us, next).clamp(low(target), high(target)),
        };
        let missing = (due - self.heard_lag(now_us, timestamp)) * SAMPLE_RATE / 1_000_000;
        if missing <= 0 {
            return self.play(sequence, now_us, decoder);
        }
        let recoverable = !in_sequence
            && missing <= samples as i64
            && timestamp - next >= samples as i64
            && opus::has_redundancy(&first.payload);
        if recoverable {
            let before = self.signal.len();
            let Self { waiting, signal, .. } = self;
            let packet = &waiting[&sequence];
            if decoder.recover(&packet.payload, samples, signal).is_ok() && self.accept(before) > 0 {
                // What was made up stood for the ones before it.
                self.end_gap(sequence - 1, timestamp - samples as i64, samples);
                self.counters.packets_recovered += 1;
                self.fade_in(before);
                self.next = Some(timestamp);
                return;
            }
            self.signal.truncate(before);
        }
        self.make_up(now_us, decoder, in_sequence);
    }

    /// Decodes the packet, which is next.
    fn play<D: VoiceDecoder + ?Sized>(&mut self, sequence: i64, now_us: i64, decoder: &mut D) {
        let Some(packet) = self.waiting.remove(&sequence) else { return };
        self.end_gap(sequence, packet.timestamp, packet.samples);
        self.played = Some(sequence);
        self.silence_announced = opus::is_silence(&packet.payload);
        let before = self.signal.len();
        let ahead = self.available();
        let decoded = decoder.decode(&packet.payload, &mut self.signal).is_ok();
        let mut samples = self.accept(before);
        if !decoded || samples == 0 {
            self.signal.truncate(before);
            samples = packet.samples;
            if decoder.conceal(samples, &mut self.signal).is_err() || self.accept(before) != samples {
                self.signal.resize(before + samples, 0.0);
            }
            self.counters.concealed_samples += samples as u64;
            self.counters.concealment_events += 1;
        }
        self.fade_in(before);
        self.next = Some(packet.timestamp + samples as i64);
        let waited = (now_us - packet.arrived_us).max(0) as f64 / 1e6 + ahead as f64 / SAMPLE_RATE as f64;
        self.counters.jitter_buffer_delay += waited * samples as f64;
        self.counters.jitter_buffer_target_delay += self.target_us() as f64 / 1e6 * samples as f64;
        self.counters.jitter_buffer_emitted_count += samples as u64;
    }

    /// Limits what a decoder appended, and makes it finite. How many samples there are.
    fn accept(&mut self, before: usize) -> usize {
        self.signal.truncate(before + MAX_DECODED);
        self.signal[before..]
            .iter_mut()
            .filter(|sample| !sample.is_finite())
            .for_each(|sample| *sample = 0.0);
        self.signal.len() - before
    }

    /// One block of concealment or comfort noise. The timeline stands still meanwhile.
    fn make_up<D: VoiceDecoder + ?Sized>(&mut self, now_us: i64, decoder: &mut D, pause: bool) {
        let lag_us = self.heard_lag(now_us, self.next.unwrap_or_default());
        let gap = self.gap.get_or_insert(Gap { lag_us, made: 0, silent: 0 });
        let pause = pause || self.silence_announced;
        let from = gap.made;
        gap.made += VOICE_BLOCK;
        let gain_at = |made: usize| {
            if pause {
                1.0
            } else {
                1.0 - made.saturating_sub(FADE_FROM) as f32 / (FADE_UNTIL - FADE_FROM) as f32
            }
        };
        // A pause that is known of now may follow a fade: the gain never jumps.
        let start = gain_at(from).clamp(0.0, 1.0).min(self.gain);
        let end = gain_at(from + VOICE_BLOCK).clamp(0.0, 1.0).min(self.gain);
        let silent = start <= 0.0;
        gap.silent += if silent { VOICE_BLOCK } else { 0 };
        let before = self.signal.len();
        if silent
            || decoder.conceal(VOICE_BLOCK, &mut self.signal).is_err()
            || self.accept(before) != VOICE_BLOCK
        {
            self.signal.truncate(before);
            self.signal.resize(before + VOICE_BLOCK, 0.0);
        }
        for (n, sample) in self.signal[before..].iter_mut().enumerate() {
            *sample *= start + (end - start) * n as f32 / VOICE_BLOCK as f32;
        }
        self.gain = end;
    }

    /// The next packet is here: `sequence`, which begins at `timestamp` and is `samples` long, as the ones before it
    /// were. It tells how much of the gap stood for sound that was sent; the rest was a pause.
    fn end_gap(&mut self, sequence: i64, timestamp: i64, samples: usize) {
        let Some(gap) = self.gap.take() else { return };
        let missing = (timestamp - self.next.unwrap_or(timestamp)).max(0);
        let lost = self.played.map_or(0, |played| sequence - played - 1).max(0);
        let lost = lost.saturating_mul(samples as i64);
        let concealed = if lost > 0 && (lost < missing || self.silence_announced) {
            gap.made.min(lost as usize)
        } else if lost == 0 && (missing > 0 || self.silence_announced) {
            0
        } else {
            gap.made
        };
        if concealed > 0 {
            self.counters.concealed_samples += concealed as u64;
            self.counters.silent_concealed_samples += gap.silent.min(concealed) as u64;
            self.counters.concealment_events += 1;
        }
    }

    /// Raises the sound from `from` on if it was faded out before.
    fn fade_in(&mut self, from: usize) {
        if self.gain < 1.0 {
            let gain = self.gain;
            for (n, sample) in self.signal[from..].iter_mut().take(FADE_IN).enumerate() {
                *sample *= gain + (1.0 - gain) * n as f32 / FADE_IN as f32;
            }
            self.gain = 1.0;
        }
    }

    fn note_lag(&mut self, now_us: i64) {
        let lag = self.lag_of(now_us, self.position().unwrap_or_default());
        self.lags.push_back(lag);
        if self.lags.len() > LAG_PULLS {
            self.lags.pop_front();
        }
    }

    fn shortest_lag(&self) -> Option<i64> {
        self.lags.iter().copied().min()
    }

    /// Changes the length of the speech that is next, if the lag asks for it.
    fn adjust<D: VoiceDecoder + ?Sized>(&mut self, now_us: i64, decoder: &mut D) {
        let (Some(lag), target) = (self.shortest_lag(), self.target_us()) else { return };
        if self.since_stretch < STRETCH_PAUSE || self.lags.len() < LAG_PULLS / 2 {
            return;
        }
        if lag > high(target) {
            while self.available() < stretch::NEEDED_TO_SHORTEN {
                match (self.waiting.first_key_value(), self.next) {
                    (Some((&sequence, packet)), Some(next)) if packet.timestamp == next => {
                        self.play(sequence, now_us, decoder);
                    }
                    _ => return,
                }
            }
            let much = lag > target + MUCH_TOO_LONG_US;
            let threshold = if much { stretch::ROUGHLY_ALIKE } else { stretch::ALIKE };
            if let Some(removed) = stretch::shorten(&mut self.signal, self.at, threshold) {
                self.counters.removed_samples_for_acceleration += removed as u64;
                self.move_lags(-(removed as i64));
                self.since_stretch = if much { STRETCH_PAUSE / 2 } else { 0 };
            }
        } else if lag < low(target)
            && let Some(added) = stretch::lengthen(&mut self.signal, self.at, stretch::ALIKE)
        {
            self.counters.inserted_samples_for_deceleration += added as u64;
            self.move_lags(added as i64);
            self.since_stretch = 0;
        }
    }

    fn move_lags(&mut self, samples: i64) {
        self.lags.iter_mut().for_each(|lag| *lag += samples * 1_000_000 / SAMPLE_RATE);
    }

    /// Another stream, or the same sender after a restart. What was learnt of the path stays.
    fn start_anew(&mut self) {
        let old = std::mem::take(self);
        *self = Self {
            epoch: old.epoch,
            ssrc: old.ssrc,
            target: old.target,
            extra_us: old.extra_us,
            counters: old.counters,
            ..Self::new()
        };
        self.target.start_timeline();
    }
}

/// Below this lag speech is lengthened, above [`high`] it is shortened.
fn low(target_us: i64) -> i64 {
    target_us - SLACK_US / 4
}
fn high(target_us: i64) -> i64 {
    low(target_us) + SLACK_US
}

/// RTP time in microseconds. Timestamps of hostile senders may run over; sense is lost then, not safety.
fn time_us(timestamp: i64) -> i64 {
    timestamp.wrapping_mul(125) / 6
}

#[cfg(test)]
mod tests;
