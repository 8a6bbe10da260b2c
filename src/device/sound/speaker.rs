//! A speaker of the machine.
//!
//! ```text
//! write: resample from 48 kHz ──> ring ──> device callback ──> air
//!                                              └──> ring of what was played ──> played: resample to 48 kHz
//! ```
//! The callback neither waits nor allocates; where nothing is in the ring it plays silence, and that counts as
//! played. `write`, `wait` and `played` run on media threads.

use super::format::{self, Voiced};
use super::health::{Health, Watch};
use super::host::{self, Running};
use super::resample::Resampler;
use crate::codec::SAMPLE_RATE;
use crate::device::limit::{OPEN_LIMIT, within};
use crate::device::{AudioSink, DeviceError, DeviceKind};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, OutputCallbackInfo, SizedSample, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KIND: DeviceKind = DeviceKind::Speaker;
/// [`AudioSink::wait`] returns when less than this waits in the ring.
const LOW_MS: usize = 20;
/// If the device takes its sound in larger portions, this much more than a portion has to wait.
const MARGIN_MS: usize = 10;
/// Played sound that nobody asked for is dropped above this; the echo canceller then finds its place again.
const BACKLOG_MS: usize = 300;

pub(super) struct Speaker {
    _stream: Running,
    name: String,
    rate: u32,
    samples: Producer<f32>,
    capacity: usize,
    played: Consumer<f32>,
    health: Arc<Health>,
    watch: Watch,
    to_device: Resampler,
    from_device: Resampler,
    /// Resampled and not yet in the ring; empty between calls.
    resampled: VecDeque<f32>,
    reference: VecDeque<f32>,
}

impl Speaker {
    /// `None`: the system's own choice.
    pub fn open(wanted: Option<String>) -> Result<Self, DeviceError> {
        within(OPEN_LIMIT, KIND, move || Self::start(wanted.as_deref()))
    }

    fn start(wanted: Option<&str>) -> Result<Self, DeviceError> {
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
        let (stream, samples, played, health) = host::first_that_works(sizes, |buffer_size| {
            let health = Arc::new(Health::default());
            let (samples, ring) = RingBuffer::new(capacity);
            let (played_ring, played) = RingBuffer::new(capacity);
            let channels = usize::from(config.channels.max(1));
            let mouth = Mouth { channels, samples: ring, played: played_ring, health: health.clone() };
            let stream = format::build(&device, StreamConfig { buffer_size, ..config }, sample_format, mouth)?;
            stream.play()?;
            tracing::debug!(?buffer_size, rate, channels, "the speaker runs");
            Ok((stream, samples, played, health))
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
}

/// Lives in the device's callback.
struct Mouth {
    channels: usize,
    samples: Consumer<f32>,
    played: Producer<f32>,
    health: Arc<Health>,
}

impl Mouth {
    fn speak<T: SizedSample + FromSample<f32>>(&mut self, sound: &mut [T], info: &OutputCallbackInfo) {
        let stamp = info.timestamp();
        let frames = sound.len() / self.channels;
        self.health.called(frames, stamp.playback.saturating_duration_since(stamp.callback));
        for frame in sound.chunks_exact_mut(self.channels) {
            let sample = self.samples.pop().unwrap_or(0.0);
            let _ = self.played.push(sample);
            // Voices come from the two in front.
            let (front, others) = frame.split_at_mut(self.channels.min(2));
            front.fill(T::from_sample_(sample));
            others.fill(T::EQUILIBRIUM);
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
