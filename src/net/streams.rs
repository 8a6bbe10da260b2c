//! Which streams of a connection belong to whom, beside those of the two ends themselves: what the host of a room
//! forwards of other members, and smaller layers of a picture. The interceptors look here for where a packet goes,
//! [`Peer`](super::Peer) writes what was negotiated.
//!
//! In a description such a stream is marked with a line of its own in its section, `a=twocan-stream:member NAME` or
//! `a=twocan-stream:layer N`; whoever does not know it (a browser's engine) ignores it.

use super::NetEvent;
use super::outbox::Outbox;
use super::tally::Tally;
use crate::frame::RtpPacket;
use crate::ports::{Inlet, PeerId};
use crate::relay::{MAX_LAYERS, MAX_MEMBERS, Source};
use crate::server::MAX_FEEDS;
use crate::stats::PeerStats;
use crate::units::MediaKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

const MARK: &str = "a=twocan-stream:";
/// Members whose streams one connection carries: of a room among people, or of one on a server.
const MAX_NAMES: usize = if MAX_FEEDS > MAX_MEMBERS { MAX_FEEDS } else { MAX_MEMBERS };
/// Streams of one connection, in one direction.
pub(super) const MAX_STREAMS: usize = 2 * MAX_NAMES + MAX_LAYERS;
/// Characters of a member's name in a description.
const MAX_NAME: usize = 64;

/// Whose stream it is, as the description says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    /// Of another member of the room, by the name the room has for them.
    Member(String),
    /// A smaller layer of the sender's own picture.
    Layer(u8),
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let (kind, value) = line.strip_prefix(MARK)?.trim().split_once(' ')?;
        match kind {
            "member" if Self::is_sayable(value) => Some(Self::Member(value.into())),
            "layer" => {
                value.parse().ok().filter(|layer| (1..MAX_LAYERS as u8).contains(layer)).map(Self::Layer)
            }
            _ => None,
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Member(name) => format!("{MARK}member {name}\r\n"),
            Self::Layer(layer) => format!("{MARK}layer {layer}\r\n"),
        }
    }

    /// Whether a room's name for a member can be said.
    pub fn is_sayable(name: &str) -> bool {
        !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_plain)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// One section of a description that sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub kind: MediaKind,
    pub ssrc: u32,
    pub mark: Mark,
}

/// What of a description is marked.
pub(super) fn marked(sdp: &str) -> Vec<Section> {
    sections(sdp, Mark::parse)
}

/// The same for the description of a server that marks nothing, but says besides whose its sections are: `mid`, name.
pub(super) fn named(sdp: &str, stands: &[(String, String)]) -> Vec<Section> {
    sections(sdp, |line| {
        let mid = line.strip_prefix("a=mid:")?.trim();
        let (_, name) = stands.iter().find(|(of, name)| of == mid && Mark::is_sayable(name))?;
        Some(Mark::Member(name.clone()))
    })
}

fn sections(sdp: &str, read: impl Fn(&str) -> Option<Mark>) -> Vec<Section> {
    let mut found = Vec::new();
    let (mut kind, mut ssrc, mut mark) = (None, None, None);
    for line in sdp.lines().chain(["m="]) {
        if let Some(media) = line.strip_prefix("m=") {
            if let (Some(kind), Some(ssrc), Some(mark)) = (kind, ssrc.take(), mark.take())
                && found.len() < MAX_STREAMS
            {
                found.push(Section { kind, ssrc, mark });
            }
            kind = match media.split(' ').next() {
                Some("audio") => Some(MediaKind::Audio),
                Some("video") => Some(MediaKind::Video),
                _ => None,
            };
            (ssrc, mark) = (None, None);
        } else if let Some(rest) = line.strip_prefix("a=ssrc:") {
            // The first one is the stream itself, the next one its retransmissions.
            ssrc = ssrc.or_else(|| rest.split(' ').next()?.parse().ok());
        } else {
            mark = read(line).or(mark);
        }
    }
    found
}

/// The description with a mark in the section of each of these streams, and without what the other side knows by now.
pub(super) fn mark(sdp: &str, marks: &[(u32, Mark)]) -> String {
    let mut text = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
            continue;
        }
        text.push_str(line);
        text.push_str("\r\n");
        let ssrc = line.strip_prefix("a=ssrc:").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        if let Some((_, mark)) = marks.iter().find(|(of, _)| Some(*of) == ssrc) {
            let said = mark.line();
            // A stream may have more lines than one.
            if !text.rsplit("m=").next().is_some_and(|section| section.contains(&said)) {
                text.push_str(&said);
            }
        }
    }
    text
}

/// What a relay gets of one connection.
#[derive(Clone, Debug)]
pub enum Relayed {
    Packet {
        from: PeerId,
        source: Source,
        packet: RtpPacket,
    },
    Report {
        from: PeerId,
        source: Source,
        ntp: u64,
        rtp: u32,
    },
    /// `receiver` needs a keyframe of what it gets of `sender`.
    KeyframeWanted {
        receiver: PeerId,
        sender: PeerId,
    },
}

/// Where the packets of a connection go for forwarding. Bounded; a packet that finds no room is lost.
#[derive(Clone)]
pub struct RelayInlet {
    /// Who is at the other end of the connection.
    pub from: PeerId,
    pub queue: mpsc::Sender<Relayed>,
}

impl RelayInlet {
    fn put(&self, relayed: Relayed) {
        if self.queue.try_send(relayed).is_err() {
            tracing::trace!("the relay is behind: something was lost");
        }
    }
}

#[derive(Default)]
pub(super) struct Streams {
    inner: Mutex<Inner>,
    /// What the relay sends over this connection.
    pub outbox: Arc<Outbox>,
}

#[derive(Default)]
struct Inner {
    incoming: Vec<(Section, Tally)>,
    outgoing: Vec<Outgoing>,
    /// SSRCs of the smaller layers of our picture.
    layers: Vec<(u8, u32)>,
    inlets: Vec<(String, Inlet)>,
    relay: Option<RelayInlet>,
}

/// A stream of ours that stands for a member.
pub(super) struct Outgoing {
    pub ssrc: u32,
    pub kind: MediaKind,
    pub of: PeerId,
    /// The other side has agreed to it: packets may go out.
    pub agreed: bool,
    /// Which one has it; whoever comes back is another.
    pub tenancy: u64,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the other side's description says. Gives what the one before said.
    pub fn set_incoming(&self, sections: Vec<Section>) -> Vec<Section> {
        let mut inner = self.lock();
        let before = std::mem::take(&mut inner.incoming);
        let tally = |section: &Section| {
            let same = before.iter().find(|(old, _)| old == section);
            same.map(|(_, tally)| tally.clone().renewed()).unwrap_or_default()
        };
        inner.incoming = sections.into_iter().map(|section| (section.clone(), tally(&section))).collect();
        before.into_iter().map(|(section, _)| section).collect()
    }

    // What is counted of the streams that come in.

    pub fn tally(&self, ssrc: u32, count: impl FnOnce(&mut Tally)) {
        let mut inner = self.lock();
        if let Some((_, tally)) = inner.incoming.iter_mut().find(|(section, _)| section.ssrc == ssrc) {
            count(tally);
        }
    }

    /// As a receiver report of ours has it.
    pub fn lost(&self, ssrc: u32, lost: i64, jitter: u32) {
        self.tally(ssrc, |tally| tally.report(lost, jitter));
    }

    fn with_member(&self, name: &str, mut act: impl FnMut(MediaKind, &Tally)) {
        for (section, tally) in &self.lock().incoming {
            if matches!(&section.mark, Mark::Member(of) if of == name) {
                act(section.kind, tally);
            }
        }
    }

    pub fn fill(&self, name: &str, into: &mut PeerStats) {
        self.with_member(name, |kind, tally| tally.fill(kind, into));
    }

    /// Packets of a member's picture: those that came, and those that were lost.
    pub fn loss(&self, name: &str) -> Option<(u64, i64)> {
        let mut loss = None;
        self.with_member(name, |kind, tally| {
            if kind == MediaKind::Video {
                loss = Some(tally.loss());
            }
        });
        loss
    }

    /// What stands in for whom, of what we send.
    pub fn set_outgoing(&self, streams: impl Iterator<Item = Outgoing>) {
        self.lock().outgoing = streams.take(MAX_STREAMS).collect();
    }

    /// Whether others' streams go to the other side.
    pub fn forwards(&self) -> bool {
        !self.lock().outgoing.is_empty()
    }

    /// The SSRC of the stream that stands for a member, once it may be sent.
    pub fn outgoing(&self, of: PeerId, kind: MediaKind) -> Option<(u32, u64)> {
        let inner = self.lock();
        let stream = inner.outgoing.iter().find(|stream| stream.of == of && stream.kind == kind)?;
        stream.agreed.then_some((stream.ssrc, stream.tenancy))
    }

    pub fn add_layer(&self, layer: u8, ssrc: u32) {
        self.lock().layers.push((layer, ssrc));
    }

    /// Which smaller layer of our picture this is.
    pub fn layer_of(&self, ssrc: u32) -> Option<u8> {
        self.lock().layers.iter().find(|(_, known)| *known == ssrc).map(|(layer, _)| *layer)
    }

    pub fn set_relay(&self, relay: Option<RelayInlet>) {
        self.lock().relay = relay;
    }

    /// Where packets of this member go; `None`: nowhere any more.
    pub fn set_inlet(&self, name: &str, inlet: Option<Inlet>) {
        let mut inner = self.lock();
        inner.inlets.retain(|(known, _)| known != name);
        if inner.inlets.len() < MAX_NAMES {
            inner.inlets.extend(inlet.map(|inlet| (name.to_owned(), inlet)));
        }
    }

    pub fn names(&self) -> Vec<String> {
        let inner = self.lock();
        let mut names: Vec<String> = inner
            .incoming
            .iter()
            .filter_map(|(section, _)| match &section.mark {
                Mark::Member(name) => Some(name.clone()),
                Mark::Layer(_) => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The SSRC of a member's picture.
    pub fn video_of(&self, name: &str) -> Option<u32> {
        let is = |section: &Section| {
            section.kind == MediaKind::Video && matches!(&section.mark, Mark::Member(of) if of == name)
        };
        self.lock().incoming.iter().find(|(section, _)| is(section)).map(|(section, _)| section.ssrc)
    }

    /// The SSRC of the sender's picture in this layer, 0 being the main one.
    pub fn layer(&self, layer: u8, main: Option<u32>) -> Option<u32> {
        if layer == 0 {
            return main;
        }
        let inner = self.lock();
        let is = |(section, _): &&(Section, Tally)| section.mark == Mark::Layer(layer);
        inner.incoming.iter().find(is).map(|(section, _)| section.ssrc)
    }

    /// Whether the other side's description marks this stream as none of its own two.
    pub fn knows(&self, ssrc: u32) -> bool {
        self.lock().incoming.iter().any(|(section, _)| section.ssrc == ssrc)
    }

    /// A packet of one of the two streams that every connection has.
    pub fn handle_own(&self, kind: MediaKind, level: Option<u8>, packet: &RtpPacket) {
        if let Some(relay) = &self.lock().relay {
            let source = match kind {
                MediaKind::Audio => Source::Audio { level },
                MediaKind::Video => Source::Video { layer: 0 },
            };
            relay.put(Relayed::Packet { from: relay.from, source, packet: packet.clone() });
        }
    }

    /// A packet of another stream.
    pub fn handle_other(&self, packet: RtpPacket) {
        let mut inner = self.lock();
        let Inner { incoming, relay, inlets, .. } = &mut *inner;
        let stream = incoming.iter_mut().find(|(section, _)| section.ssrc == packet.ssrc);
        let Some((section, tally)) = stream else { return };
        tally.packet(packet.payload.len());
        match &section.mark {
            Mark::Layer(layer) => {
                if let Some(relay) = relay {
                    let source = Source::Video { layer: *layer };
                    relay.put(Relayed::Packet { from: relay.from, source, packet });
                }
            }
            Mark::Member(name) => {
                let Some((_, inlet)) = inlets.iter().find(|(known, _)| known == name) else { return };
                if !inlet.put(section.kind, packet) {
                    tracing::trace!("a forwarded packet found no room");
                }
            }
        }
    }

    /// A sender report; `own`: it is about one of the two streams that every connection has. Gives an event, if
    /// somebody else is to know.
    pub fn handle_report(
        &self,
        own: Option<MediaKind>,
        ssrc: u32,
        report: crate::ports::SenderReport,
    ) -> Option<NetEvent> {
        let inner = self.lock();
        let (ntp, rtp) = (report.ntp, report.rtp);
        let relay = |source| {
            if let Some(relay) = &inner.relay {
                relay.put(Relayed::Report { from: relay.from, source, ntp, rtp });
            }
        };
        match own {
            Some(MediaKind::Audio) => relay(Source::Audio { level: None }),
            Some(MediaKind::Video) => relay(Source::Video { layer: 0 }),
            None => {
                let (section, _) = inner.incoming.iter().find(|(section, _)| section.ssrc == ssrc)?;
                match &section.mark {
                    Mark::Layer(layer) => relay(Source::Video { layer: *layer }),
                    Mark::Member(name) => {
                        let report = crate::ports::SenderReport { kind: section.kind, ..report };
                        return Some(NetEvent::ForwardedReport(name.clone(), report));
                    }
                }
            }
        }
        None
    }

    /// The other side cannot decode one of these streams that we send. The sender of one that we forward is asked by
    /// the relay; one of our own is an event.
    pub fn keyframe_wanted(&self, ssrc: u32) -> Option<NetEvent> {
        let inner = self.lock();
        let is = |stream: &&Outgoing| stream.ssrc == ssrc && stream.kind == MediaKind::Video;
        if let Some((stream, relay)) = inner.outgoing.iter().find(is).zip(inner.relay.as_ref()) {
            relay.put(Relayed::KeyframeWanted { receiver: relay.from, sender: stream.of });
        }
        drop(inner);
        Some(NetEvent::LayerKeyframeWanted(self.layer_of(ssrc)?))
    }

    /// Forwarded pictures had to be thrown away here.
    pub fn all_keyframes_wanted(&self) {
        let ssrcs: Vec<u32> = self.lock().outgoing.iter().map(|stream| stream.ssrc).collect();
        ssrcs.into_iter().for_each(|ssrc| drop(self.keyframe_wanted(ssrc)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_a_description_and_strangers_lines_are_ignored() {
        let section = |kind: &str, mid: u8, ssrc: u32| {
            format!(
                "m={kind} 9 X 1\r\na=mid:{mid}\r\na=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\na=msid:x y\r\n\
                 a=ssrc-group:FID {ssrc} {}\r\na=ssrc:{ssrc} cname:x\r\na=ssrc:{ssrc} msid:x y\r\na=ssrc:{} cname:x\r\n",
                ssrc + 1,
                ssrc + 1
            )
        };
        let sdp =
            ["v=0\r\n".to_owned(), section("audio", 0, 10), section("video", 1, 20), section("video", 2, 30)];
        let marks = [(10, Mark::Member("bo-2".into())), (30, Mark::Layer(1))];
        let text = mark(&sdp.concat(), &marks);
        assert!(!text.contains("candidate") && text.matches(MARK).count() == 2, "{text}");
        let expected = [
            Section { kind: MediaKind::Audio, ssrc: 10, mark: Mark::Member("bo-2".into()) },
            Section { kind: MediaKind::Video, ssrc: 30, mark: Mark::Layer(1) },
        ];
        assert_eq!(marked(&text), expected);
        for line in ["member", "member a b", "member <x>", "layer 0", "layer 9", "layer x", "hat 1", ""] {
            assert_eq!(Mark::parse(&format!("{MARK}{line}")), None, "{line}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        assert!(!Mark::is_sayable(&long) && !Mark::is_sayable("a\r\nm=") && Mark::is_sayable("7"));
        let many: String =
            (0..500).map(|n| section("audio", 0, n * 2) + "a=twocan-stream:member a\r\n").collect();
        assert_eq!(marked(&many).len(), MAX_STREAMS);
    }

    #[test]
    fn a_server_says_besides_whose_its_sections_are() {
        let section = |kind: &str, mid: u8, ssrc: u32| {
            format!(
                "m={kind} 9 X 1\r\na=mid:{mid}\r\na=sendonly\r\na=ssrc-group:FID {ssrc} 7\r\na=ssrc:{ssrc} cname:j\r\n"
            )
        };
        let inactive = "m=video 9 X 1\r\na=mid:3\r\na=inactive\r\n";
        let sdp =
            [&section("audio", 0, 10), &section("video", 1, 20), &section("audio", 2, 30), inactive].concat();
        let stands: Vec<(String, String)> = [("1", "77"), ("0", "77"), ("3", "78"), ("2", "a b")]
            .map(|(mid, name)| (mid.into(), name.into()))
            .into();
        let streams = Streams::default();
        streams.set_incoming(named(&sdp, &stands));
        assert_eq!((streams.names(), streams.video_of("77")), (vec!["77".to_owned()], Some(20)));
        assert!(!streams.knows(30) && named("", &stands).is_empty());
        // What was counted stays with the section as long as the same member stands in it.
        streams.tally(20, |tally| tally.packet(100));
        streams.set_incoming(named(&sdp, &stands));
        assert_eq!(streams.loss("77"), Some((1, 0)));
        let mut stats = PeerStats::default();
        streams.fill("77", &mut stats);
        assert_eq!(stats.inbound.video.bytes_received, 100);
        streams.set_incoming(named(&sdp, &[("1".into(), "79".into())]));
        assert_eq!((streams.loss("77"), streams.loss("79")), (None, Some((0, 0))));
    }
}
