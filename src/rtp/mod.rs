//! Between RTP packets and the decoders. A core: no clock, thread, lock or socket; `now` is an argument.
//!
//! ```text
//! video  packets -> VideoAssembler -> decoder -> PlayoutClock (due time) -> screen
//!                        | needs_keyframe             ^ sound's position, sender reports
//!                        +-> KeyframeThrottle -> PLI  |
//! voice  packets -> VoicePlayout (jitter buffer, loss, stretch) -> 480 samples each 10 ms -> speaker
//!        reports about our own -> VoiceProtection (in-band redundancy, copies) -> RedEncoder -> packets
//! ```
//!
//! Each object belongs to one media thread of one peer.
#![deny(clippy::disallowed_methods)]

mod assembler;
mod format;
mod frame_number;
mod freeze;
mod glance;
mod h264;
mod nack;
mod playout;
mod protection;
pub mod red;
mod restart;
mod throttle;
mod unwrap;
mod voice;
pub mod vp8;

pub use assembler::{AccessUnit, AssemblerCounters, VideoAssembler};
pub use freeze::FreezeDetector;
pub use glance::Glance;
pub use nack::NackTracker;
pub use playout::PlayoutClock;
pub use protection::VoiceProtection;
pub use throttle::KeyframeThrottle;
pub use unwrap::{SequenceUnwrapper, TimestampUnwrapper};
pub use voice::{UndecodableVoice, VOICE_BLOCK, VoiceCounters, VoiceDecoder, VoicePlayout};

/// Points on a timeline for tests.
#[cfg(test)]
pub(crate) mod test_time {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    #[allow(clippy::disallowed_methods, reason = "a timeline has to start somewhere")]
    static START: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_secs(1000));

    pub fn at(ms: u64) -> Instant {
        *START + Duration::from_millis(ms)
    }
    pub fn at_us(us: u64) -> Instant {
        *START + Duration::from_micros(us)
    }
}
