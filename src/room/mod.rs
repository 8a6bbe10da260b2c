//! The state of a call and the messages two peers exchange over the control channel. A core.
#![deny(clippy::disallowed_methods)]

pub mod call;
pub mod message;
pub mod nearby;
pub mod trust;
