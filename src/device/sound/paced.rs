//! Microphones and speakers that have no device: the clock paces them.

use crate::codec::{BLOCK, SAMPLE_RATE};
use crate::device::pace::Pace;
use crate::device::{AudioSink, AudioSource, DeviceError};
use std::time::{Duration, Instant};

/// After a longer stall the clock starts anew; a shorter one is caught up.
const TOLERANCE: Duration = Duration::from_millis(100);
const BLOCKS_PER_SECOND: u64 = SAMPLE_RATE as u64 / BLOCK as u64;

/// Makes sound: mono, 48 kHz.
pub(super) trait Generator: Send {
    fn fill(&mut self, block: &mut [f32]) -> Result<(), DeviceError>;
}

/// A microphone that hears what a generator makes, ten milliseconds at a time.
pub(super) struct PacedSource<G> {
    generator: G,
    name: String,
    pace: Pace,
}

impl<G: Generator> PacedSource<G> {
    pub fn new(name: String, generator: G) -> Self {
        Self { generator, name, pace: Pace::new(Instant::now(), BLOCKS_PER_SECOND, 1, TOLERANCE) }
    }
}

impl<G: Generator> AudioSource for PacedSource<G> {
    fn read(&mut self, block: &mut [f32], timeout: Duration) -> Result<Option<Instant>, DeviceError> {
        let Some(due) = self.pace.wait(timeout) else { return Ok(None) };
        self.generator.fill(block)?;
        Ok(Some(due))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The microphone `none`: hears nothing, and never fails.
pub(super) struct NoMicrophone;

impl AudioSource for NoMicrophone {
    fn read(&mut self, _: &mut [f32], timeout: Duration) -> Result<Option<Instant>, DeviceError> {
        std::thread::sleep(timeout);
        Ok(None)
    }

    fn name(&self) -> &str {
        "No microphone"
    }
}

/// Where the sound of a speaker without a device goes.
pub(super) trait Drain: Send {
    fn take(&mut self, block: &[f32]) -> Result<(), DeviceError>;
}

/// The drain of the speaker `none`.
impl Drain for () {
    fn take(&mut self, _: &[f32]) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A speaker that plays as fast as a real one. Nothing of it is in the air, so it has no echo and
/// [`AudioSink::played`] gives nothing.
pub(super) struct PacedSink<D> {
    drain: D,
    name: String,
    /// When all that was written will have been played.
    ends: Instant,
}

impl<D: Drain> PacedSink<D> {
    /// More than this is not queued, as with a real speaker.
    const LIMIT: Duration = Duration::from_millis(500);
    /// [`AudioSink::wait`] returns when less is queued.
    const LOW: Duration = Duration::from_millis(20);

    pub fn new(name: String, drain: D) -> Self {
        Self { drain, name, ends: Instant::now() }
    }
}

impl<D: Drain> AudioSink for PacedSink<D> {
    fn write(&mut self, block: &[f32]) -> Result<(), DeviceError> {
        if self.queued() < Self::LIMIT {
            self.ends = self.ends.max(Instant::now())
                + Duration::from_secs_f64(block.len() as f64 / f64::from(SAMPLE_RATE));
            self.drain.take(block)?;
        }
        Ok(())
    }

    fn queued(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), DeviceError> {
        std::thread::sleep(self.queued().saturating_sub(Self::LOW).min(timeout));
        Ok(())
    }

    fn played(&mut self, _: &mut [f32]) -> Option<()> {
        None
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stalled_speaker_cannot_take_is_dropped() {
        #[derive(Clone, Default)]
        struct Count(std::sync::Arc<std::sync::atomic::AtomicUsize>);
        impl Drain for Count {
            fn take(&mut self, block: &[f32]) -> Result<(), DeviceError> {
                self.0.fetch_add(block.len(), std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }
        }
        let count = Count::default();
        let mut sink = PacedSink::new("x".into(), count.clone());
        sink.ends = Instant::now() + Duration::from_secs(3600);
        sink.write(&[0.0; BLOCK]).unwrap();
        assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 0);
        sink.wait(Duration::ZERO).unwrap();
        assert!(sink.queued() > Duration::from_secs(3000) && sink.played(&mut [0.0; BLOCK]).is_none());
        sink.ends = Instant::now();
        sink.write(&[0.0; BLOCK]).unwrap();
        assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), BLOCK);
    }
}
