//! Calls through servers that exist already: rooms of Janus, and WHIP and WHEP. What is said to such a server and what
//! its words mean, without a socket and without a clock.
//!
//! ```text
//!   net (WebSocket, HTTP) --- text, answers, deadlines ---> janus::Janus, whip::Whip --- what to send, what happened
//! ```
//!
//! `engine::server` drives both: it carries their messages, and makes the peer connections that they ask for.
#![deny(clippy::disallowed_methods)]

mod address;
pub mod janus;
pub mod layers;
pub mod links;
pub mod whip;

pub use address::{AddressError, RoomAddress, Target, WebAddress};
