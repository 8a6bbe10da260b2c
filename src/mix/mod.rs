//! What a host needs to be an MCU: one sound and one picture made of many. A core: no clock, thread, lock or socket;
//! the time is an argument.
//!
//! ```text
//! voices    10 ms of each member -> SoundMixer -> one total -> less the listener's own -> Limiter -> 10 ms for it
//! levels    of each member -> ActiveSpeaker -> who speaks
//! members   + who speaks -> Seats (who sits where) + places (rectangles) -> tiles
//! pictures  newest of each member + tiles -> Compositor -> one I420 picture, of which only what changed is redrawn
//! ```
//!
//! `pipeline::mixing` runs it on two threads, one for the sound and one for the pictures.
#![deny(clippy::disallowed_methods)]

mod active;
mod compositor;
mod layout;
mod limiter;
mod paint;
mod scaling;
mod sound;
mod text;

pub use active::ActiveSpeaker;
pub use compositor::{Compositor, Tile};
pub use layout::{Arrangement, MAX_TILES, Place, Seats, places};
pub use limiter::Limiter;
pub use sound::{Hearing, SoundMixer};

use crate::ports::PeerId;

/// One of those who are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Member {
    /// The one on whose machine it is mixed.
    Host,
    Guest(PeerId),
}
