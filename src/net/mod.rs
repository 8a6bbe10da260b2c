//! The adapter to webrtc: its types stop here. One [`Peer`] is one peer connection.
//!
//! webrtc gathers, does ICE, DTLS, SRTP and SCTP. Everything it does badly is replaced at its extension points:
//!
//! ```text
//!   Outlet > send (packetize, admit) > track > [ reports | nack | pacer | twcc | tap ] > SRTP > UDP
//!   Inlet  < sink                            < [ nack < rtx  < reports        < tap ] < SRTP < UDP
//!   Sfu    < sink (a copy: payloads are shared); Sfu > another Peer's outbox > its streams, each standing for a member
//!                                                    tap > Monitor > NetEvent, stats
//! ```
//!
//! The interceptors (`intercept/`) run inside webrtc's driver task, one packet after the other; they never block.
//! The other halves (`send`, `control`, `peer`) are small tokio tasks.

mod address;
mod backoff;
mod batch;
mod build;
mod control;
mod demux;
mod endpoint;
#[cfg(test)]
mod forward_tests;
mod http;
mod intercept;
mod interfaces;
mod keeper;
mod keys;
mod line;
mod mapping;
mod media;
mod media_clock;
mod monitor;
pub mod nat;
pub mod nearby;
mod outbox;
mod page;
mod peer;
mod pictures;
pub mod relay;
mod roam;
mod runtime;
mod sdp;
mod send;
mod server;
mod sfu;
mod sockets;
mod streams;
mod stun;
mod tally;
mod tap;
#[cfg(test)]
mod tests;
mod turn_stream;
mod watch;
mod web;
mod websocket;

pub use endpoint::Endpoint;
pub use http::ask;
pub use keeper::Reach;
pub use keys::Keys;
pub use mapping::PortMapping;
pub use outbox::Outbox;
pub use page::{PageEvent, PageServer};
pub use peer::{EarlyOffer, Peer, Rest, Stands, Taken, Trickle, Way};
pub use server::{ServerUrl, Transport};
pub use sfu::{Sfu, SfuEvent};
pub use streams::{RelayInlet, Relayed};
pub use web::WebError;
pub use websocket::{SocketEvent, WebSocket};

use crate::invite::stun::Turned;
use crate::invite::{BrowserGuest, Description, Guest};
use crate::ports::SenderReport;
use crate::room::diagnosis::Ways;
use crate::settings::IceServer;
use crate::units::Bitrate;
use std::net::IpAddr;

/// How peer connections are made.
#[derive(Clone, Debug, Default)]
pub struct NetConfig {
    pub ice_servers: Vec<IceServer>,
    /// Addresses to listen on; empty: all of the machine's but loopback.
    pub bind: Vec<IpAddr>,
    /// Only relayed candidates are used and shown.
    pub relay_only: bool,
    /// This machine's own addresses stay out of the code: the other side learns only what a STUN or TURN server
    /// shows. Two people in the same network then find each other only if their router turns packets round.
    pub hide_addresses: bool,
    /// The router's ports.
    pub port_mapping: PortMapping,
    pub max_bitrate: Option<Bitrate>,
    /// The UDP port that all connections with this configuration, and its clones, share.
    pub endpoint: Endpoint,
}

/// What a code says of the ways to its maker.
pub fn ways(description: &Description) -> Ways {
    sdp::ways(&description.sdp.0)
}

/// What the network failed at. `Display` is a whole sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    #[error("No network was found. Connect this computer to a network and try again.")]
    NoNetwork,
    #[error("No relay answered. Check the TURN server, its user name and its password in the settings.")]
    NoRelay,
    #[error(
        "Nothing but this computer's own addresses was found, and the settings hide them. Add a STUN or TURN server \
         that answers, or switch “Hide my addresses” off."
    )]
    OnlyHidden,
    #[error("The TURN server “{0}” cannot be reached: {1}.")]
    Relay(String, String),
    #[error("The ICE server “{0}” cannot be used: {1}.")]
    IceServer(String, &'static str),
    #[error("The other side's code cannot be used: {0}")]
    Description(String),
    #[error("This is not an ICE candidate. It starts with “candidate:” and is one line.")]
    Candidate,
    #[error("The message is too long to send.")]
    MessageTooLong,
    #[error("The other side does not take messages fast enough.")]
    ControlFull,
    #[error("The page for phones and browsers cannot be served: {0}.")]
    Page(String),
    #[error("The connection could not be set up: {0}")]
    Internal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Looking for a path; nothing has come through yet.
    Connecting,
    Connected,
    /// Nothing has come through for a while; may come back by itself.
    Interrupted,
    /// The checks have given up; an ICE restart or late candidates may still mend it.
    Failed,
    Closed,
}

/// What a peer connection tells the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum NetEvent {
    Link(Link),
    /// The control channel is open; hello can be sent.
    ControlOpen,
    /// A text message on the control channel, at most [`MAX_CONTROL_MESSAGE`] bytes.
    Control(String),
    /// The other side has closed the channel.
    ControlClosed,
    /// The receiver needs a keyframe (PLI or FIR).
    KeyframeWanted,
    /// What the encoder may use now: the estimate less audio and overhead.
    VideoTarget(Bitrate),
    /// Share of our audio packets that the receiver misses, 0.0 to 1.0, smoothed: what the encoder prepares for.
    AudioLoss(f32),
    SenderReport(SenderReport),
    /// The same of a member whose streams are forwarded to us, by the room's name for them.
    ForwardedReport(String, SenderReport),
    /// The receiver needs a keyframe of a smaller layer of ours.
    LayerKeyframeWanted(u8),
    /// Somebody with our invite wants to come in, and no reply was needed; said once, of the first who comes.
    Knock(Guest),
    /// The same of somebody with a browser, who needs a connection of their own ([`Peer::welcome`]).
    BrowserKnock(Box<BrowserGuest>),
    /// Whoever made the invite does not let us in.
    TurnedAway(Turned),
    /// While a code is out: whether it leads here.
    Reach(Reach),
    /// While a code is out: it does not lead here any more, or not on all ways. A new one does.
    Moved,
    /// This computer has no address to send from, or has one again.
    Offline(bool),
}

/// A longer message on the control channel is dropped. An SDP with the streams of a full room takes about half; more than
/// this would not go through SCTP as every end takes it (RFC 8841, 6.1).
pub const MAX_CONTROL_MESSAGE: usize = 64 * 1024 - 1;
