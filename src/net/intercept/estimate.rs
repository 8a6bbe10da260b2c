//! Numbers what leaves, reads the feedback about it, and tells everybody what may be sent: the shell of [`History`]
//! and [`Estimator`]. Next to the wire, so that retransmissions and padding have numbers and count like the rest
//! (webrtc's own TWCC sender passes by every stream but the tracks').

use super::{OVERHEAD, queues};
use crate::codec::opus::VOICE_RATE;
use crate::net::NetEvent;
use crate::net::monitor::Monitor;
use crate::rate::{Estimator, History};
use crate::units::Bitrate;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket, convert_twcc};
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtp::extension::transport_cc_extension::TransportCcExtension;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal, MarshalSize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection is taken to carry before anything is known of it. Probes raise it within half a second.
const START: Bitrate = Bitrate::from_kbps(600);
/// The pacer's target until the first report: the first picture is to be out by then.
pub(in crate::net) const FIRST_PACE: Bitrate = Bitrate::from_kbps(1500);
/// The encoder keeps the rate it starts with until the first probes have been answered: a first picture made for
/// [`START`] would be small, and stay so for seconds.
const FIRST_WORD: Duration = Duration::from_millis(500);
/// Between these, a silence of the reports is an outage: what falls meanwhile is only what leaves, not the encoder's
/// rate. It would make small pictures that nobody gets, and go on with them for seconds when the path is back.
const OUTAGE: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(15);
/// Less than sound and a small picture need is not aimed at.
const MIN: Bitrate = Bitrate::from_kbps(100);
const MAX: Bitrate = Bitrate::from_kbps(8000);
/// Taken off the estimate before video gets the rest: Opus with its headers.
const AUDIO: Bitrate = Bitrate::from_kbps(60);
/// Share of a video packet on the wire that is payload.
const PAYLOAD_SHARE: f64 = 0.93;
/// The target falls by itself while reports stay away.
const UPDATE: Duration = Duration::from_millis(100);
/// A smaller change is not worth telling the encoder.
const NEWS: f64 = 0.03;
/// Transport-wide sequence numbers.
pub(in crate::net) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

pub(in crate::net) fn estimator(max_video: Option<Bitrate>) -> Estimator {
    let max =
        max_video.map_or(MAX, |max| Bitrate::from_bps(max.scaled(1.0 / PAYLOAD_SHARE).bps() + AUDIO.bps()));
    Estimator::new(START, MIN, max)
}

pub(super) struct Estimate {
    monitor: Arc<Monitor>,
    history: History,
    streams: Vec<Numbered>,
    told: Bitrate,
    /// What the user allows for our own picture. What is forwarded comes on top of it.
    max: Bitrate,
    forwards: bool,
    first_sent: Option<Instant>,
    next: Option<Instant>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

/// A stream of ours that is numbered.
struct Numbered {
    ssrc: u32,
    /// The extension's id in it.
    extension: u8,
    is_video: bool,
}

impl Estimate {
    pub fn new(monitor: Arc<Monitor>) -> Self {
        let max = monitor.estimator().max();
        Self {
            monitor,
            max,
            forwards: false,
            history: History::default(),
            streams: Vec::new(),
            told: Bitrate::default(),
            first_sent: None,
            next: None,
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn number(&mut self, now: Instant, rtp: &mut rtc::rtp::Packet) {
        let of_packet = |stream: &&Numbered| stream.ssrc == rtp.header.ssrc;
        let Some(&Numbered { extension: id, is_video, .. }) = self.streams.iter().find(of_packet) else {
            return;
        };
        let size = rtp.marshal_size() + OVERHEAD;
        let extension = TransportCcExtension { transport_sequence: self.history.depart(now, size) };
        let set = extension.marshal().and_then(|data| rtp.header.set_extension(id, data.freeze()));
        if let Err(error) = set {
            tracing::debug!(%error, "a packet has no transport-wide number");
        }
        // Our own picture, or one that is forwarded: a host without a camera needs to know the path as well.
        if self.first_sent.is_none() && is_video {
            self.first_sent = Some(now);
            self.next.get_or_insert(now);
        }
    }

    fn update(&mut self, now: Instant) {
        let forwards = self.monitor.streams.forwards();
        if std::mem::replace(&mut self.forwards, forwards) != forwards {
            let max = if forwards { self.max.max(MAX) } else { self.max };
            self.monitor.estimator().set_limits(MIN, max);
        }
        let (target, window, silence) = {
            let estimator = self.monitor.estimator();
            (estimator.target(now), estimator.window(now), estimator.silence(now))
        };
        let copies = VOICE_RATE.bps() * self.monitor.voice_copies() as u64;
        let rest = Bitrate::from_bps(target.bps().saturating_sub(AUDIO.bps() + copies));
        let video = rest.scaled(PAYLOAD_SHARE);
        let settled = self.first_sent.is_some_and(|first| now >= first + FIRST_WORD);
        if settled || window.is_some() {
            self.monitor.set_estimate(target, video);
        }
        let in_flight = self.history.in_flight();
        self.monitor.pacer().set_room(window.map(|window| window.saturating_sub(in_flight)));
        let change = target.bps().abs_diff(self.told.bps());
        let outage = OUTAGE.contains(&silence);
        if settled && !outage && change as f64 > self.told.bps() as f64 * NEWS {
            self.told = target;
            self.monitor.tell(NetEvent::VideoTarget(video));
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Estimate {
    queues!();

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(all) = &packet.message.packet {
            let mut news = false;
            for rtcp in all {
                let rtcp = rtcp.as_any();
                if let Some(twcc) = rtcp.downcast_ref::<TransportLayerCc>() {
                    let fates =
                        convert_twcc(twcc).into_iter().map(|fate| fate.arrived.then_some(fate.arrival));
                    let feedback = self.history.handle_feedback(packet.now, twcc.base_sequence_number, fates);
                    self.monitor.estimator().handle_feedback(packet.now, &feedback);
                    news = true;
                } else if let Some(remb) = rtcp.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                    // Hostile numbers end at the limits of the type.
                    self.monitor.estimator().handle_remb(Bitrate::from_bps(remb.bitrate as u64));
                    news = true;
                }
            }
            if news {
                self.update(packet.now);
            }
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet {
            self.number(packet.now, rtp);
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + UPDATE);
            self.update(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next
    }
}

impl Interceptor for Estimate {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let extension = info.rtp_header_extensions.iter().find(|extension| extension.uri == TRANSPORT_CC);
        let Some(id) = extension.and_then(|extension| u8::try_from(extension.id).ok()).filter(|id| *id > 0)
        else {
            return;
        };
        let is_video = info.mime_type.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("video/"));
        for ssrc in [Some(info.ssrc), info.ssrc_rtx].into_iter().flatten() {
            self.streams.retain(|known| known.ssrc != ssrc);
            self.streams.push(Numbered { ssrc, extension: id, is_video });
        }
    }
    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|known| known.ssrc != info.ssrc && Some(known.ssrc) != info.ssrc_rtx);
    }
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::monitor::{MediaClock, Ssrcs};
    use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};
    use rtc::rtp::{Header, Packet as RtpPacket};
    use rtc::shared::TransportContext;

    fn packet(now: Instant, ssrc: u32) -> TaggedPacket {
        let header = Header { version: 2, ssrc, ..Header::default() };
        let rtp = RtpPacket { header, payload: vec![1; 1000].into() };
        let message = AttributedPacket::new(Packet::Rtp(rtp));
        TaggedPacket { now, transport: TransportContext::default(), message }
    }
    /// The transport-wide number of what leaves for `ssrc`.
    fn number(estimate: &mut Estimate, now: Instant, ssrc: u32) -> Option<u16> {
        estimate.handle_write(packet(now, ssrc)).unwrap();
        let Packet::Rtp(rtp) = estimate.poll_write()?.message.packet else { return None };
        let extension = rtp.header.get_extension(5)?;
        Some(u16::from_be_bytes([extension[0], extension[1]]))
    }

    #[test]
    fn retransmissions_are_numbered_with_the_rest() {
        let now = Instant::now();
        let (events, _keep) = tokio::sync::mpsc::channel(8);
        let clock = MediaClock::new(now, 0, 0);
        let ssrcs = Ssrcs { audio: 1, video: 2 };
        let mut estimate = Estimate::new(Arc::new(Monitor::new(events, ssrcs, clock, estimator(None))));
        let rtp_header_extensions = vec![RTPHeaderExtension { uri: TRANSPORT_CC.into(), id: 5 }];
        for (ssrc, ssrc_rtx) in [(1, None), (2, Some(3))] {
            let rtp_header_extensions = rtp_header_extensions.clone();
            estimate.bind_local_stream(&StreamInfo {
                ssrc,
                ssrc_rtx,
                rtp_header_extensions,
                ..StreamInfo::default()
            });
        }
        let numbers: Vec<_> = [1, 2, 3, 9, 2].map(|ssrc| number(&mut estimate, now, ssrc)).into();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), None, Some(3)], "9 is not ours");
        assert!(estimate.history.in_flight() > 4_000);
        estimate.unbind_local_stream(&StreamInfo { ssrc: 2, ssrc_rtx: Some(3), ..StreamInfo::default() });
        assert_eq!(number(&mut estimate, now, 3), None);
    }
}
