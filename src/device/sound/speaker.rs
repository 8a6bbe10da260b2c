//! A speaker of the machine.
//!
//! ```text
//! write: resample from 48 kHz ──> ring ──> device callback ──> air
//!                                              └──> ring of what was played ──> played: resample to 48 kHz
//! ```
//! The callback neither waits nor allocates; where nothing is in the ring it plays silence, and that counts as
//! played. What sounds comes up and goes away without a click, also when the speaker is closed. `write`, `wait` and
//! `played` run on media threads.

use super::follow::Follow;
use super::format::{self, Voiced};
use super::health::{Health, Watch};
use super::host::{self, Running, Wanted};
use super::resample::Resampler;
use super::seam::Seam;
use crate::codec::SAMPLE_RATE;
use crate::device::limit::{OPEN_LIMIT, within};
use crate::device::{AudioSink, DeviceError, DeviceKind};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, OutputCallbackInfo, SizedSample, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KIND: DeviceKind = DeviceKind::Speaker;
/// [`AudioSink::wait`] returns when less than this waits in the ring.
const LOW_MS: usize = 20;
/// If the device takes its sound in larger portions, this much more than a portion has to wait.
const MARGIN_MS: usize = 10;
/// Played sound that nobody asked for is dropped above this; the echo canceller then finds its place again.
const BACKLOG_MS: usize = 300;
/// Closing waits at most this long for the last sound to fade away.
const FADE_LIMIT: Duration = Duration::from_millis(120);

pub(super) struct Speaker {
    _stream: Running,
    name: String,
    rate: u32,
    samples: Producer<f32>,
    capacity: usize,
    played: Consumer<f32>,
    health: Arc<Health>,
    watch: Watch,
    follow: Follow,
    fade: Arc<Fade>,
    to_device: Resampler,
    from_device: Resampler,
    /// Resampled and not yet in the ring; empty between calls.
    resampled: VecDeque<f32>,
    reference: VecDeque<f32>,
}

impl Speaker {
    pub fn open(wanted: Wanted) -> Result<Self, DeviceError> {
        within(OPEN_LIMIT, KIND, move || Self::start(&wanted))
    }

    fn start(wanted: &Wanted) -> Result<Self, DeviceError> {
        let fail = |error: cpal::Error| host::device_error(KIND, &error);
        let (name, device) = host::device(KIND, wanted)?;
        let (config, sample_format, sizes) = host::config(KIND, &device).map_err(fail)?;
        let rate = config.sample_rate;
        let unusable =
            || DeviceError::Unusable { kind: KIND, detail: format!("its sampling rate is {rate} Hz.") };
        let to_device = Resampler::new(SAMPLE_RATE, rate).ok_or_else(unusable)?;
        let from_device = Resampler::new(rate, SAMPLE_RATE).ok_or_else(unusable)?;
        let capacity = rate as usize / 2;
        let sizes = host::buffer_sizes(KIND, &device, rate, &sizes);
        let (stream, samples, played, health, fade) = host::first_that_works(sizes, |buffer_size| {
            let health = Arc::new(Health::default());
            let (samples, ring) = RingBuffer::new(capacity);
            let (played_ring, played) = RingBuffer::new(capacity);
            let channels = usize::from(config.channels.max(1));
            let fade = Arc::new(Fade::default());
            let mouth = Mouth {
                channels,
                samples: ring,
                played: played_ring,
                seam: Seam::new(rate),
                fade: fade.clone(),
                health: health.clone(),
            };
            let stream =
                format::build(&device, StreamConfig { buffer_size, ..config }, sample_format, mouth)?;
            stream.play()?;
            tracing::debug!(?buffer_size, rate, channels, "the speaker runs");
            Ok((stream, samples, played, health, fade))
        })
        .map_err(fail)?;
        Ok(Self {
            _stream: Running::new(stream),
            name,
            rate,
            samples,
            capacity,
            played,
            health,
            watch: Watch::new(KIND, Instant::now()),
            follow: Follow::start(KIND, wanted, device.id().ok()),
            fade,
            to_device,
            from_device,
            resampled: VecDeque::new(),
            reference: VecDeque::new(),
        })
    }

    /// Samples in the ring.
    fn waiting(&self) -> usize {
        self.capacity - self.samples.slots()
    }

    /// How many samples have to be in the ring so that the next call of the device finds enough.
    fn low(&self) -> usize {
        let per_ms = self.rate as usize / 1000;
        (LOW_MS * per_ms).max((self.health.largest_call() + MARGIN_MS * per_ms).min(self.capacity / 2))
    }

    fn duration(&self, samples: usize) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate))
    }
}

impl AudioSink for Speaker {
    fn write(&mut self, block: &[f32]) -> Result<(), DeviceError> {
        self.watch.check(&self.health, Instant::now())?;
        self.to_device.push(block.iter().copied(), &mut self.resampled);
        let room = self.samples.slots().min(self.resampled.len());
        if let Ok(chunk) = self.samples.write_chunk_uninit(room) {
            chunk.fill_from_iter(self.resampled.iter().copied());
        }
        self.resampled.clear();
        Ok(())
    }

    fn queued(&self) -> Duration {
        self.duration(self.waiting()) + self.health.latency()
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), DeviceError> {
        let deadline = Instant::now() + timeout;
        loop {
            let now = Instant::now();
            self.watch.check(&self.health, now)?;
            let excess = (self.waiting() + 1).saturating_sub(self.low());
            if excess == 0 || now >= deadline {
                return Ok(());
            }
            let nap = self.duration(excess).clamp(Duration::from_millis(1), Duration::from_millis(10));
            std::thread::sleep(nap.min(deadline - now));
        }
    }

    fn played(&mut self, block: &mut [f32]) -> Option<()> {
        let per_ms = self.rate as usize / 1000;
        let behind = self.played.slots();
        if behind > BACKLOG_MS * per_ms {
            self.played.read_chunk(behind - LOW_MS * per_ms).ok()?.commit_all();
        }
        while self.reference.len() < block.len() && !self.played.is_empty() {
            let wanted = self.from_device.input_for(block.len() - self.reference.len());
            let chunk = self.played.read_chunk(wanted.min(self.played.slots())).ok()?;
            self.from_device.push(chunk.into_iter(), &mut self.reference);
        }
        if self.reference.len() < block.len() {
            return None;
        }
        super::take_block(&mut self.reference, block);
        Some(())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_outdated(&self) -> bool {
        self.follow.is_outdated()
    }
}

/// The last sound fades away before the device is closed; a device that is gone is not waited for.
impl Drop for Speaker {
    fn drop(&mut self) {
        self.fade.begin.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + FADE_LIMIT;
        while !self.fade.ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= deadline || self.watch.check(&self.health, now).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // What the callback has handed over is still on its way into the air.
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(self.health.latency().min(left));
    }
}

/// Between a speaker that is closed and its callback.
#[derive(Default)]
struct Fade {
    /// Nothing new should sound.
    begin: AtomicBool,
    /// Nothing sounds any more.
    ended: AtomicBool,
}

/// Lives in the device's callback.
struct Mouth {
    channels: usize,
    samples: Consumer<f32>,
    played: Producer<f32>,
    seam: Seam,
    fade: Arc<Fade>,
    health: Arc<Health>,
}

impl Mouth {
    fn speak<T: SizedSample + FromSample<f32>>(&mut self, sound: &mut [T], info: &OutputCallbackInfo) {
        let stamp = info.timestamp();
        let frames = sound.len() / self.channels;
        self.health.called(frames, stamp.playback.saturating_duration_since(stamp.callback));
        let closing = self.fade.begin.load(Ordering::Relaxed);
        for frame in sound.chunks_exact_mut(self.channels) {
            let sample = self.seam.next(if closing { None } else { self.samples.pop().ok() });
            let _ = self.played.push(sample);
            // Voices come from the two in front.
            let (front, others) = frame.split_at_mut(self.channels.min(2));
            front.fill(T::from_sample_(sample));
            others.fill(T::EQUILIBRIUM);
        }
        if closing && self.seam.is_silent() {
            self.fade.ended.store(true, Ordering::Relaxed);
        }
    }
}

impl Voiced for Mouth {
    fn build<T: SizedSample + FromSample<f32>>(
        mut self,
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<cpal::Stream, cpal::Error>
    where
        f32: FromSample<T>,
    {
        let on_error = host::on_error(&self.health);
        let on_need = move |sound: &mut [T], info: &OutputCallbackInfo| self.speak(sound, info);
        device.build_output_stream::<T, _, _>(config, on_need, on_error, Some(host::STREAM_LIMIT))
    }
}
