//! Calls through servers that exist already: rooms of Janus, and WHIP and WHEP. What is said to such a server and what
//! its words mean, without a socket and without a clock.
//!
//! ```text
//!   net (WebSocket, HTTP) --- text, answers, deadlines ---> janus::Janus, whip::Whip --- what to send, what happened
//! ```
//!
//! The engine (`engine::server`) drives both: it carries their messages, and makes the connections that they ask for.
#![deny(clippy::disallowed_methods)]

mod address;
pub mod janus;
pub mod layers;
pub mod links;
mod refused;
pub mod whip;

pub use address::{AddressError, RoomAddress, Target, WebAddress};
pub use refused::{Refused, Remedy};

use std::time::Duration;

/// Members of a room who are received from; each costs a decoder.
pub const MAX_FEEDS: usize = 64;
/// So long a server may be away before it is given up: time enough to start it again.
pub const AWAY_LIMIT: Duration = Duration::from_secs(60);
