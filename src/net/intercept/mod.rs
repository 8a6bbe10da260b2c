//! Our interceptors, and the order they stand in. webrtc walks the list from the wire to the application for what
//! comes in and back for what goes out; the number of a slot is its distance from the wire.
//!
//! ```text
//!    500 tap       counts; reads reports and requests       1000 estimate  webrtc's history, our estimator
//!   2000 twcc      numbers what leaves                      3000 pacer     spreads video, lets sound pass
//!   3500 resend    drops requests that come too early       4000 nack      sends again what is asked for
//!   6400 reports   what the path lost, without repairs      6500 rtx       repairs back into the original
//!   7000 nack      asks again for what is missing           8000 twcc      tells when packets arrived
//!  11000 reports   sender reports from capture time        60000 sink      to the media threads
//! ```
//!
//! The default registry is never used: with retransmission negotiated its NACK generator does not see what was
//! repaired and asks for each lost packet until it leaves a window of 512 (19 times the traffic at 5 % loss).

mod estimate;
mod pacer;
mod reports;
mod resend;
mod rtx;
mod sink;
mod tap;

pub(super) use estimate::{START, estimator};

use super::monitor::Monitor;
use rtc::interceptor::{
    CongestionControlBuilder, NackGeneratorBuilder, NackResponderBuilder, ReceiverReportBuilder, Registry,
    Slot, TwccReceiverBuilder, TwccSenderBuilder,
};
use std::sync::Arc;
use std::time::Duration;

/// A lost packet is asked for within this time.
const NACK_INTERVAL: Duration = Duration::from_millis(25);
/// Then as often; after that the picture is older than any playout delay.
const MAX_NACKS: u16 = 10;
/// Packets that can be sent again: about two seconds of video.
const RESEND_WINDOW: u16 = 1024;

pub(super) fn registry(monitor: &Arc<Monitor>) -> Registry {
    let nack = NackGeneratorBuilder::new().with_interval(NACK_INTERVAL).with_max_nacks_per_packet(MAX_NACKS);
    let estimate = estimate::Estimate::new(monitor.clone());
    Registry::new()
        .with(Slot::from(500), tap::Tap::new(monitor.clone()))
        .with(Slot::CongestionControl, CongestionControlBuilder::new(estimate).build())
        .with(Slot::TwccSender, TwccSenderBuilder::new().build())
        .with(Slot::Pacer, pacer::Pacing::new(monitor.clone()))
        .with(Slot::from(3_500), resend::ResendFilter::new(monitor.clone()))
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(RESEND_WINDOW).build())
        .with(Slot::from(6_400), ReceiverReportBuilder::new().build())
        .with(Slot::from(6_500), rtx::RtxUnwrap::default())
        .with(Slot::NackGenerator, nack.build())
        .with(Slot::TwccReceiver, TwccReceiverBuilder::new().build())
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
