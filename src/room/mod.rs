//! The state of a call and the messages two peers exchange over the control channel. A core.
#![deny(clippy::disallowed_methods)]

pub mod call;
pub mod diagnosis;
pub mod message;
pub mod nat;
pub mod nearby;
pub mod roster;
pub mod topology;
pub mod trust;
