//! A microphone of the machine.
//!
//! ```text
//! device callback: mix to mono ──> ring of samples, ring of time stamps ──> read: resample to 48 kHz, 10 ms
//! ```
//! The callback neither waits nor allocates; a ring that is full loses its sample. `read` runs on the media thread.

use super::follow::Follow;
use super::format::{self, Voiced};
use super::health::{Health, Watch};
use super::host::{self, Running, Wanted};
use super::resample::Resampler;
use super::seam::Seam;
use crate::codec::SAMPLE_RATE;
use crate::device::limit::{OPEN_LIMIT, within};
use crate::device::{AudioSource, DeviceError, DeviceKind};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, InputCallbackInfo, SizedSample, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KIND: DeviceKind = DeviceKind::Microphone;
/// Stamps that wait; when it is full, new ones are lost, which only makes the time less exact.
const STAMPS: usize = 64;
/// Sound older than this is skipped: whoever reads has stalled, and its listeners want to hear what is said now.
const BACKLOG_MS: usize = 200;
/// This much of a backlog is left when it is skipped.
const FRESH_MS: usize = 20;
/// A driver that says its sound is older than this is wrong.
const MAX_AGE: Duration = Duration::from_millis(500);

/// When a sample was in the air.
#[derive(Clone, Copy)]
struct Stamp {
    /// Number of the sample since the start.
    position: u64,
    at: Instant,
}

pub(super) struct Microphone {
    _stream: Running,
    name: String,
    rate: u32,
    samples: Consumer<f32>,
    stamps: Consumer<Stamp>,
    health: Arc<Health>,
    watch: Watch,
    follow: Follow,
    clock: SampleClock,
    resampler: Resampler,
    /// Sound begins softly, also where another microphone takes over.
    seam: Seam,
    ready: VecDeque<f32>,
    /// Number of samples taken out of the ring.
    taken: u64,
}

impl Microphone {
    pub fn open(wanted: Wanted) -> Result<Self, DeviceError> {
        within(OPEN_LIMIT, KIND, move || Self::start(&wanted))
    }

    fn start(wanted: &Wanted) -> Result<Self, DeviceError> {
        let fail = |error: cpal::Error| host::device_error(KIND, &error);
        let (name, device) = host::device(KIND, wanted)?;
        let (config, sample_format, sizes) = host::config(KIND, &device).map_err(fail)?;
        let rate = config.sample_rate;
        let resampler = Resampler::new(rate, SAMPLE_RATE).ok_or_else(|| DeviceError::Unusable {
            kind: KIND,
            detail: format!("its sampling rate is {rate} Hz."),
        })?;
        let sizes = host::buffer_sizes(KIND, &device, rate, &sizes);
        let (stream, samples, stamps, health) = host::first_that_works(sizes, |buffer_size| {
            let health = Arc::new(Health::default());
            let (ring, samples) = RingBuffer::new(rate as usize / 2);
            let (stamp_ring, stamps) = RingBuffer::new(STAMPS);
            let ear = Ear {
                channels: usize::from(config.channels.max(1)),
                samples: ring,
                stamps: stamp_ring,
                position: 0,
                health: health.clone(),
            };
            let stream = format::build(&device, StreamConfig { buffer_size, ..config }, sample_format, ear)?;
            stream.play()?;
            tracing::debug!(?buffer_size, rate, channels = config.channels, "the microphone runs");
            Ok((stream, samples, stamps, health))
        })
        .map_err(fail)?;
        Ok(Self {
            _stream: Running::new(stream),
            name,
            rate,
            samples,
            stamps,
            health,
            watch: Watch::new(KIND, Instant::now()),
            follow: Follow::start(KIND, wanted, device.id().ok()),
            clock: SampleClock::default(),
            resampler,
            seam: Seam::new(SAMPLE_RATE),
            ready: VecDeque::new(),
            taken: 0,
        })
    }

    /// Takes what has arrived until there is enough for a block of this length.
    fn fetch(&mut self, length: usize) {
        while let Ok(stamp) = self.stamps.pop() {
            self.clock.learn(stamp, self.rate);
        }
        let per_ms = self.rate as usize / 1000;
        if self.samples.slots() > BACKLOG_MS * per_ms {
            self.take(self.samples.slots() - FRESH_MS * per_ms, false);
        }
        while self.ready.len() < length && !self.samples.is_empty() {
            let wanted = self.resampler.input_for(length - self.ready.len());
            self.take(wanted.min(self.samples.slots()), true);
        }
    }

    fn take(&mut self, count: usize, keep: bool) {
        let Ok(chunk) = self.samples.read_chunk(count) else { return };
        self.taken += count as u64;
        match keep {
            true => self.resampler.push(chunk.into_iter(), &mut self.ready),
            false => chunk.commit_all(),
        }
    }
}

impl AudioSource for Microphone {
    fn read(&mut self, block: &mut [f32], timeout: Duration) -> Result<Option<Instant>, DeviceError> {
        let deadline = Instant::now() + timeout;
        loop {
            self.fetch(block.len());
            let now = Instant::now();
            if self.ready.len() >= block.len() {
                let ratio = f64::from(self.rate) / f64::from(SAMPLE_RATE);
                let behind = self.resampler.held() + self.ready.len() as f64 * ratio;
                let captured_at = self.clock.time_of(self.taken as f64 - behind, self.rate).unwrap_or(now);
                super::take_block(&mut self.ready, block);
                block.iter_mut().for_each(|sample| *sample = self.seam.next(Some(*sample)));
                return Ok(Some(captured_at.min(now)));
            }
            self.watch.check(&self.health, now)?;
            if now >= deadline {
                return Ok(None);
            }
            let missing = (block.len() - self.ready.len()) as f64 / f64::from(SAMPLE_RATE);
            // As long as the device needs for the rest, but it may deliver in larger portions.
            let nap =
                Duration::from_secs_f64(missing).clamp(Duration::from_millis(1), Duration::from_millis(10));
            std::thread::sleep(nap.min(deadline - now));
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_outdated(&self) -> bool {
        self.follow.is_outdated()
    }
}

/// Lives in the device's callback.
struct Ear {
    channels: usize,
    samples: Producer<f32>,
    stamps: Producer<Stamp>,
    /// Number of the next sample that goes into the ring.
    position: u64,
    health: Arc<Health>,
}

impl Ear {
    fn hear<T: Copy>(&mut self, sound: &[T], info: &InputCallbackInfo)
    where
        f32: FromSample<T>,
    {
        let stamp = info.timestamp();
        let age = stamp.callback.saturating_duration_since(stamp.capture);
        let frames = sound.len() / self.channels;
        self.health.called(frames, age);
        let now = Instant::now();
        let at = now.checked_sub(age.min(MAX_AGE)).unwrap_or(now);
        let _ = self.stamps.push(Stamp { position: self.position, at });
        // What finds no room is not counted, as the reader counts what it takes out; the next stamps tell of the gap.
        let room = self.samples.slots().min(frames);
        let channels = self.channels;
        let mono = sound.chunks_exact(channels).map(|frame| {
            frame.iter().map(|sample| f32::from_sample_(*sample)).sum::<f32>() / channels as f32
        });
        if let Ok(chunk) = self.samples.write_chunk_uninit(room) {
            chunk.fill_from_iter(mono);
        }
        self.position += room as u64;
    }
}

impl Voiced for Ear {
    fn build<T: SizedSample + FromSample<f32>>(
        mut self,
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<cpal::Stream, cpal::Error>
    where
        f32: FromSample<T>,
    {
        let on_error = host::on_error(&self.health);
        let on_sound = move |sound: &[T], info: &InputCallbackInfo| self.hear(sound, info);
        device.build_input_stream::<T, _, _>(config, on_sound, on_error, Some(host::STREAM_LIMIT))
    }
}

/// Tells when a sample was in the air: the stamps of single callbacks jitter by milliseconds, their mean does not.
#[derive(Default)]
struct SampleClock {
    /// Stamp of a reference sample, and how far its time is off by what later stamps say, in seconds.
    reference: Option<(Stamp, f64)>,
}

impl SampleClock {
    /// Weight of a new stamp.
    const WEIGHT: f64 = 0.05;
    /// A stamp that is off by more than this is a new beginning: the device had a gap.
    const JUMP_SECONDS: f64 = 0.06;

    fn learn(&mut self, stamp: Stamp, rate: u32) {
        let Some((reference, offset)) = &mut self.reference else {
            self.reference = Some((stamp, 0.0));
            return;
        };
        let nominal = (stamp.position as f64 - reference.position as f64) / f64::from(rate);
        let real = seconds_between(reference.at, stamp.at);
        let error = real - nominal - *offset;
        if error.abs() > Self::JUMP_SECONDS {
            self.reference = Some((stamp, 0.0));
        } else {
            *offset += Self::WEIGHT * error;
        }
    }

    fn time_of(&self, position: f64, rate: u32) -> Option<Instant> {
        let (reference, offset) = self.reference?;
        let seconds = (position - reference.position as f64) / f64::from(rate) + offset;
        let distance = Duration::try_from_secs_f64(seconds.abs()).ok()?;
        if seconds < 0.0 { reference.at.checked_sub(distance) } else { reference.at.checked_add(distance) }
    }
}

fn seconds_between(from: Instant, to: Instant) -> f64 {
    if to >= from { (to - from).as_secs_f64() } else { -(from - to).as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_of_the_stamps_is_averaged_and_drift_is_followed() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut clock = SampleClock::default();
        // 10 ms apart by count, 10.001 ms by clock (100 ppm), off by up to 8 ms each.
        let at = |n: u64| start + Duration::from_nanos(n * 10_001_000);
        for n in 0..3000 {
            let jitter = Duration::from_millis(n * 7 % 9);
            clock.learn(Stamp { position: n * 480, at: at(n) + jitter }, 48_000);
        }
        let told = clock.time_of(2999.0 * 480.0, 48_000).unwrap();
        assert!(seconds_between(at(2999) + Duration::from_millis(4), told).abs() < 0.003);
        let gap = Stamp { position: 3000 * 480, at: at(3000) + Duration::from_secs(1) };
        clock.learn(gap, 48_000);
        assert_eq!(clock.time_of(gap.position as f64, 48_000), Some(gap.at));
    }
}
