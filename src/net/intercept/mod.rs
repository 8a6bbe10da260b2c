//! Our interceptors, and the order they stand in. webrtc walks the list from the wire to the application for what
//! comes in and back for what goes out; the number of a slot is its distance from the wire.
//!
//! ```text
//!    500 tap       counts; reads reports and requests       1000 estimate  numbers what leaves; feedback, our estimator
//!   2000 stamp     says in a layered picture what is what
//!   3000 pacer     spreads video, lets sound pass, sends again what is asked for, fills probes
//!   3500 forwarding  what the relay sends comes in here
//!   6300 twcc      tells when packets arrived              6400 reports   what the path lost, without repairs
//!   6500 rtx       repairs back into the original          7000 nack      asks for what is missing, drops what came twice
//!  11000 reports   sender reports from capture time      60000 sink      to the media threads
//! ```
//!
//! The default registry is never used: with retransmission negotiated its NACK generator does not see what was
//! repaired and asks for each lost packet until it leaves a window of 512 (19 times the traffic at 5 % loss). Its
//! TWCC sender numbers no retransmissions, and its receiver, behind the RTX unwrapping, sees no padding.

mod estimate;
mod forwarding;
mod nack;
mod pacer;
mod reports;
mod resend;
mod resend_forwarded;
mod row;
mod rtx;
mod sink;
mod stamp;
mod tap;

pub(super) use estimate::{FIRST_PACE, TRANSPORT_CC, estimator};
pub(super) use stamp::NAMES_OF_STREAMS;

use super::monitor::Monitor;
use rtc::interceptor::{ReceiverReportBuilder, Registry, Slot, TwccReceiverBuilder};
use std::sync::Arc;
use std::time::Duration;

/// Arrival times are told this often: a sender that hears late fills the path's queue meanwhile. About 30 kbit/s.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(25);
/// What SRTP, UDP and IP add to a packet.
const OVERHEAD: usize = 16 + 8 + 20;

pub(super) fn registry(monitor: &Arc<Monitor>) -> Registry {
    let twcc = TwccReceiverBuilder::new().with_interval(FEEDBACK_INTERVAL);
    Registry::new()
        .with(Slot::from(500), tap::Tap::new(monitor.clone()))
        .with(Slot::CongestionControl, estimate::Estimate::new(monitor.clone()))
        .with(Slot::from(2_000), stamp::Stamp::new(monitor.clone()))
        .with(Slot::Pacer, pacer::Pacing::new(monitor.clone()))
        .with(Slot::from(3_500), forwarding::Forwarding::new(monitor.clone()))
        .with(Slot::from(6_300), twcc.build())
        .with(Slot::from(6_400), ReceiverReportBuilder::new().build())
        .with(Slot::from(6_500), rtx::RtxUnwrap::default())
        .with(Slot::NackGenerator, nack::Nack::new(monitor.clone()))
        .with(Slot::SenderReport, reports::SenderReports::new(monitor.clone()))
        .with(Slot::from(60_000), sink::Sink::new(monitor.clone()))
}

/// The part of [`rtc::sansio::Protocol`] that an interceptor with two plain queues has in common with the others.
macro_rules! queues {
    () => {
        type Rout = rtc::interceptor::TaggedPacket;
        type Wout = rtc::interceptor::TaggedPacket;
        type Eout = ();
        type Error = rtc::shared::error::Error;
        type Time = std::time::Instant;

        fn poll_read(&mut self) -> Option<rtc::interceptor::TaggedPacket> {
            self.read.pop_front()
        }
        fn poll_write(&mut self) -> Option<rtc::interceptor::TaggedPacket> {
            self.write.pop_front()
        }
    };
}
use queues;
