//! How much may be sent, and when. A core: no clock, thread, lock or socket; `now` is an argument.
//!
//! ```text
//! feedback (TWCC) -> History -> Estimator -> target -> encoders (less sound and overhead)
//! RR, REMB --------------------^   | probe, window |
//! frames -> Pacer::admit -> packets -> Pacer <-----+ -> History -> socket
//! ```
//!
//! The sending task of one peer owns all three.
#![deny(clippy::disallowed_methods)]

mod aimd;
mod delay;
mod estimator;
mod history;
mod pacer;
mod path;
mod prober;
mod surge;
mod window;

pub use delay::Usage;
pub use estimator::{Estimator, EstimatorStats};
pub use history::{Feedback, History};
pub use pacer::{Admission, Departure, Pacer, Priority};

use crate::units::Bitrate;
use std::time::{Duration, Instant};

/// The fate of one sent packet, from transport-wide congestion control feedback
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketReport {
    /// When it left here, after the pacer.
    pub departure: Instant,
    /// When it arrived, on the receiver's clock, from any zero; `None`: lost.
    pub arrival: Option<Duration>,
    /// Bytes on the wire.
    pub size: usize,
}

/// A short time of sending faster than the target, with padding if need be, to see whether the path takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub rate: Bitrate,
    pub duration: Duration,
}
