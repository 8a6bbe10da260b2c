//! Twocan: video calls with no server of their own.
//!
//! One person copies a short string, the other pastes it, and they see and hear each other.
//!
//! ```text
//!   ui, cli          two faces of one engine: Command in, Event out
//!      |
//!   engine           the one task that owns the call's state
//!    /    \
//!  net    pipeline   webrtc adapter | media threads
//!          /    \
//!      device  codec cameras, sound cards, files | H.264, Opus, scaling
//!          \    /
//!           relay        what a host forwards to whom; a core too
//!             |
//!   invite room rtp rate mix server   cores: no clock, thread, lock, socket or device; time is an argument
//!            |
//!   units choice frame ports stats   values that travel
//! ```
//!
//! Imports point down; `tests/architecture.rs` fails on one that points up.
//!
//! * **Out** camera > newest-wins slot > I420, scaled > encoder > packetizer > pacer > RTP.
//! * **In** RTP > frame assembly > decoder > playout clock > slot > three textures, YUV to RGB in a shader.
//! * **Voice out** device > ring > 10 ms blocks > echo canceller > 20 ms > Opus > RTP.
//! * **Voice in** RTP > jitter buffer > mixer > ring > device.
//! * **Forward** (a host for guests who want one connection) RTP > relay: which layer to whom, new numbers > pacer > RTP.
//! * **Mix** (a host for guests who want one picture and one sound) all pictures and voices, decoded > mix > encoders.

pub mod choice;
pub mod frame;
pub mod ports;
pub mod settings;
pub mod stats;
pub mod units;

pub mod invite;
pub mod mix;
pub mod rate;
pub mod relay;
pub mod room;
pub mod rtp;
pub mod server;

pub mod codec;
pub mod device;
pub mod net;
pub mod pipeline;

pub mod engine;

pub mod cli;
pub mod ui;
