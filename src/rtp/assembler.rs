//! Puts the RTP packets of a video stream back together: whole access units in order, each one decodable.
//!
//! The `vdec-*` thread of a peer owns it: packets in with [`VideoAssembler::handle_packet`], then
//! [`VideoAssembler::poll`] until it gives nothing, then sleep until a packet or [`VideoAssembler::deadline`].
//!
//! ```text
//!  packets -> by sequence -> unbroken run of one timestamp -> access unit -> decoder
//!                  | hole
//!                  +-> wait for the retransmission, at most `patience`
//!                        +-> no other picture refers to what was lost: go on behind it
//!                        +-> else drop everything up to the next whole keyframe, `needs_keyframe`
//! ```
//!
//! A unit is given out only if everything it may refer to was: the decoder never predicts from a picture
//! it has not seen, so it shows no damage. Pictures of the upper temporal layer may be missed (`frame_number`). The rules follow RFC 6184 and what libwebrtc does in
//! `modules/video_coding/packet_buffer.cc` and `h264_sps_pps_tracker.cc`: H.264 has no mark for the start of a
//! frame, so a run begins where the one before ended, or at parameter sets. What else depends on the format is in
//! [`Format`]; a stream that changes it begins anew.

use super::format::{Contents, Damaged, Format};
use super::restart::Restart;
use super::unwrap::{SequenceUnwrapper, TimestampUnwrapper};
use super::vp8;
use crate::frame::RtpPacket;
use crate::units::VideoCodec;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Packets held at most; two seconds of 10 Mbit/s. With more, all are dropped and a keyframe is asked for.
const MAX_PACKETS: usize = 2048;
/// Payload bytes held at most, with the same consequence.
const MAX_BYTES: usize = 4 << 20;
/// Reordering on real paths is over in this time; a hole older than this is a loss.
const REORDER_GRACE: Duration = Duration::from_millis(20);
/// What one request for a missing packet takes besides the round trip. A picture that no other refers to is worth
/// one request, and no wait that would show.
const ASK_TIME: Duration = Duration::from_millis(60);
/// So many packets in sequence, all of them older than what was given out, are a sender that has started anew.
const RESTART_RUN: u32 = 128;

/// One picture as it was encoded; H.264 as Annex B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    pub data: Bytes,
    pub codec: VideoCodec,
    /// 90 kHz, unwrapped; the low 32 bits are the RTP timestamp.
    pub timestamp: i64,
    pub keyframe: bool,
    pub first_arrival: Instant,
    /// When the last packet came, in time rather than in sequence: the unit was whole from then on.
    pub last_arrival: Instant,
}

/// Cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblerCounters {
    /// Units given out.
    pub frames: u64,
    pub keyframes: u64,
    /// Timestamps of which something came and nothing was given out.
    pub frames_dropped: u64,
    /// Holes that were stepped over, because nothing refers to what was in them.
    pub holes_passed: u64,
    pub duplicates: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Payloads that break RFC 6184 or RFC 7741.
    pub damaged: u64,
}

struct Stored {
    timestamp: i64,
    marker: bool,
    contents: Contents,
    payload: Bytes,
    arrived_at: Instant,
}

pub struct VideoAssembler {
    patience: Duration,
    /// The same for a picture that no other refers to.
    short_patience: Duration,
    ssrc: Option<u32>,
    sequences: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    packets: BTreeMap<i64, Stored>,
    bytes: usize,
    /// Where the next unit starts; `None` while waiting for a keyframe.
    next: Option<i64>,
    /// Nothing up to here is wanted any more.
    given: Option<i64>,
    /// The first missing packet, and since when something behind it is here.
    hole: Option<(i64, Instant)>,
    deadline: Option<Instant>,
    needs_keyframe: bool,
    /// The packet before this keyframe's first was seen and belongs to another picture.
    clean_start: Option<i64>,
    format: Format,
    restart: Restart,
    dropped_timestamp: Option<i64>,
    counters: AssemblerCounters,
}

/// What stands in the buffer from a sequence number on.
enum Run {
    /// One unit, first and last sequence number.
    Whole(i64, i64),
    /// This packet is not here.
    Missing(i64),
}

impl Default for VideoAssembler {
    fn default() -> Self {
        Self::new()
    }
}

impl VideoAssembler {
    /// Long enough for one retransmission on most paths.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_millis(150);

    pub fn new() -> Self {
        Self {
            patience: Self::DEFAULT_PATIENCE,
            short_patience: Self::DEFAULT_PATIENCE / 2,
            ssrc: None,
            sequences: SequenceUnwrapper::default(),
            timestamps: TimestampUnwrapper::default(),
            packets: BTreeMap::new(),
            bytes: 0,
            next: None,
            given: None,
            hole: None,
            deadline: None,
            needs_keyframe: false,
            clean_start: None,
            format: Format::new(VideoCodec::H264),
            restart: Restart::default(),
            dropped_timestamp: None,
            counters: AssemblerCounters::default(),
        }
    }

    /// How long a missing packet is waited for; see [`Self::set_round_trip`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sets how long missing packets are waited for.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.patience = Self::patience_for(round_trip);
        self.short_patience = (round_trip + ASK_TIME).min(self.patience);
    }

    /// The patience that fits a round trip: five requests one after the other, within 150 to 600 ms. A keyframe
    /// costs more, and where many packets are lost it needs requests of its own.
    pub fn patience_for(round_trip: Duration) -> Duration {
        (round_trip * 6 + Duration::from_millis(60))
            .clamp(Duration::from_millis(150), Duration::from_millis(600))
    }

    pub fn counters(&self) -> AssemblerCounters {
        self.counters
    }

    /// Whether nothing can be given out until the sender makes a keyframe, as of the last [`Self::poll`]. False
    /// before the first packet, and while a keyframe is arriving. Hand it to a
    /// [`KeyframeThrottle`](super::KeyframeThrottle).
    pub fn needs_keyframe(&self) -> bool {
        self.needs_keyframe
    }

    /// When [`Self::poll`] may have something to give or to give up, if no packet comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The decoder could not use a unit: the next one given out will be a keyframe.
    pub fn decoder_failed(&mut self) {
        self.next = None;
        self.needs_keyframe = true;
    }

    pub fn handle_packet(&mut self, packet: RtpPacket) {
        let codec = if packet.payload_type == vp8::VP8 { VideoCodec::Vp8 } else { VideoCodec::H264 };
        if self.ssrc != Some(packet.ssrc) || self.format.codec() != codec {
            self.start_anew();
            self.ssrc = Some(packet.ssrc);
            self.format = Format::new(codec);
        }
        let mut sequence = self.sequences.unwrap(packet.sequence);
        if self.given.is_some_and(|given| sequence <= given) {
            self.counters.late += 1;
            if !self.restart.late(packet.sequence, RESTART_RUN) {
                return;
            }
            self.start_anew();
            sequence = self.sequences.unwrap(packet.sequence);
        }
        self.restart.in_time();
        if self.packets.contains_key(&sequence) {
            self.counters.duplicates += 1;
            return;
        }
        // A damaged payload keeps its place, so that its unit fails as a whole when it is put together.
        let contents = self.format.read(&packet.payload);
        if self.packets.len() >= MAX_PACKETS || self.bytes + packet.payload.len() > MAX_BYTES {
            self.drop_before(i64::MAX);
            self.next = None;
        }
        self.bytes += packet.payload.len();
        let stored = Stored {
            timestamp: self.timestamps.unwrap(packet.timestamp),
            marker: packet.marker,
            contents,
            payload: packet.payload,
            arrived_at: packet.arrived_at,
        };
        self.packets.insert(sequence, stored);
    }

    /// The next unit in order, if one is whole and decodable. Call until it gives none.
    pub fn poll(&mut self, now: Instant) -> Option<AccessUnit> {
        self.deadline = None;
        loop {
            let run = match self.next {
                Some(next) => self.run(next),
                None => self.keyframe_run(now)?,
            };
            let missing = match run {
                Run::Whole(first, last) => match self.take(first, last) {
                    Ok(Some(unit)) => return Some(unit),
                    Ok(None) => continue,
                    Err(Damaged) => {
                        self.counters.damaged += 1;
                        self.decoder_failed();
                        continue;
                    }
                },
                Run::Missing(missing) => missing,
            };
            let since = self.hole_since(missing)?;
            let other = self.whole_keyframe_after(missing);
            let wait = if other.is_some() { REORDER_GRACE.min(self.patience) } else { self.patience };
            let until = since + wait;
            if let Some(behind) = self.follows_hole(missing) {
                let pass = since + self.short_patience;
                if now >= pass {
                    self.drop_before(behind);
                    (self.next, self.given, self.hole) = (Some(behind), Some(behind - 1), None);
                    self.counters.holes_passed += 1;
                    continue;
                }
                self.deadline = Some(pass.min(until));
                return None;
            }
            if now < until {
                self.deadline = Some(until);
                return None;
            }
            // Given up. What follows the hole is only of use from a keyframe on.
            self.next = None;
            self.hole = None;
            match other {
                Some(keyframe) => self.drop_before(keyframe),
                None => self.drop_before(self.end_of_picture(missing)),
            }
        }
    }

    /// The run at the first place where decoding can start. Drops what is in front of it.
    fn keyframe_run(&mut self, now: Instant) -> Option<Run> {
        let Some((&entry, first)) = self.packets.iter().find(|(_, packet)| packet.contents.entry) else {
            // Pieces that overtook the first packet of their keyframe are kept for a moment.
            let old = |packet: &Stored| packet.arrived_at + REORDER_GRACE <= now;
            let last_old = self.packets.iter().rev().find(|(_, packet)| old(packet)).map(|(&s, _)| s);
            if let Some(last) = last_old {
                self.drop_before(last + 1);
            }
            self.needs_keyframe |= self.sequences.highest().is_some() && last_old.is_some();
            return None;
        };
        let clean = first.contents.clean;
        if self.starts_picture(entry) {
            self.clean_start = Some(entry);
        }
        self.drop_before(entry);
        self.needs_keyframe = false;
        // Without parameter sets in this unit, a lost packet in front of it may have changed them.
        if !clean && self.clean_start != Some(entry) && !self.directly_after_given(entry) {
            return Some(Run::Missing(entry - 1));
        }
        Some(self.run(entry))
    }

    fn directly_after_given(&self, sequence: i64) -> bool {
        self.given == Some(sequence - 1)
    }

    /// Whether the packet before this one is here and belongs to another picture.
    fn starts_picture(&self, sequence: i64) -> bool {
        match (self.packets.get(&(sequence - 1)), self.packets.get(&sequence)) {
            (Some(before), Some(packet)) => before.marker || before.timestamp != packet.timestamp,
            _ => false,
        }
    }

    /// The unit that starts at `start`, or behind padding there.
    fn run(&self, start: i64) -> Run {
        let mut first = None;
        let mut expected = start;
        for (&sequence, packet) in self.packets.range(start..) {
            if sequence != expected {
                break;
            }
            if !packet.contents.empty {
                match first {
                    None => first = Some((sequence, packet.timestamp)),
                    Some((first, timestamp)) if timestamp != packet.timestamp => {
                        return Run::Whole(first, sequence - 1);
                    }
                    Some(_) => {}
                }
            }
            if let (true, Some((first, _))) = (packet.marker, first) {
                return Run::Whole(first, sequence);
            }
            expected += 1;
        }
        Run::Missing(expected)
    }

    /// Since when a packet behind `missing` has been here; `None` if there is none, and so no hole.
    fn hole_since(&mut self, missing: i64) -> Option<Instant> {
        if let Some((sequence, since)) = self.hole
            && sequence == missing
        {
            return Some(since);
        }
        let since = self.packets.range(missing + 1..).map(|(_, packet)| packet.arrived_at).min()?;
        self.hole = Some((missing, since));
        Some(since)
    }

    /// Where the next picture behind a hole starts, if it is whole and refers to nothing in the hole or cut by it.
    fn follows_hole(&self, missing: i64) -> Option<i64> {
        let from = self.next?;
        let mut behind = self.packets.range(missing + 1..);
        let (behind, start) =
            behind.find_map(|(&sequence, packet)| Some((sequence, self.format.start(&packet.payload)?)))?;
        let passed = usize::try_from(behind - from).unwrap_or(usize::MAX);
        (self.packets.range(from..behind).all(|(_, packet)| self.format.is_harmless(&packet.payload))
            && self.format.follows(start, passed)
            && matches!(self.run(behind), Run::Whole(..)))
        .then_some(behind)
    }

    /// Where the first keyframe behind `sequence` starts that is here from end to end.
    fn whole_keyframe_after(&self, sequence: i64) -> Option<i64> {
        let entries = self.packets.range(sequence + 1..).filter(|(_, packet)| packet.contents.entry);
        entries.map(|(&entry, packet)| (entry, packet.contents.clean)).find_map(|(entry, clean)| {
            let Run::Whole(first, last) = self.run(entry) else { return None };
            let keyframe = self.packets.range(first..=last).any(|(_, packet)| packet.contents.keyframe);
            (keyframe && (clean || self.starts_picture(entry))).then_some(entry)
        })
    }

    /// The first sequence number behind `missing` that belongs to another picture than what follows the hole.
    fn end_of_picture(&self, missing: i64) -> i64 {
        let mut behind = self.packets.range(missing + 1..);
        let Some((&first, packet)) = behind.next() else { return missing + 1 };
        if packet.marker {
            return first + 1;
        }
        let other = behind.find(|(_, other)| other.timestamp != packet.timestamp);
        other.map_or_else(|| self.packets.keys().next_back().map_or(first, |last| *last) + 1, |(&s, _)| s)
    }

    /// Takes a whole unit out of the buffer. `None`: there is nothing in it to decode by itself.
    fn take(&mut self, first: i64, last: i64) -> Result<Option<AccessUnit>, Damaged> {
        let starting = self.next.is_none();
        let packets: Vec<Stored> = (first..=last).filter_map(|s| self.packets.remove(&s)).collect();
        self.packets = self.packets.split_off(&(last + 1));
        self.bytes = self.packets.values().map(|packet| packet.payload.len()).sum();
        self.given = Some(last);
        self.hole = None;

        let keyframe = packets.iter().any(|packet| packet.contents.keyframe);
        let Some(front) = packets.first() else { return Ok(None) };
        if starting && !keyframe {
            return Ok(None);
        }
        let payloads: Vec<&Bytes> = packets.iter().map(|packet| &packet.payload).collect();
        let data = self.format.unit(&payloads, keyframe)?;
        self.next = Some(last + 1);
        self.clean_start = None;
        self.needs_keyframe = false;
        if data.is_empty() {
            return Ok(None);
        }
        self.counters.frames += 1;
        self.counters.keyframes += u64::from(keyframe);
        let arrivals = || packets.iter().map(|packet| packet.arrived_at);
        Ok(Some(AccessUnit {
            data: data.into(),
            codec: self.format.codec(),
            timestamp: front.timestamp,
            keyframe,
            first_arrival: arrivals().min().unwrap_or(front.arrived_at),
            last_arrival: arrivals().max().unwrap_or(front.arrived_at),
        }))
    }

    fn drop_before(&mut self, sequence: i64) {
        let kept = self.packets.split_off(&sequence);
        let dropped = std::mem::replace(&mut self.packets, kept);
        for packet in dropped.values() {
            self.bytes -= packet.payload.len();
            if !packet.contents.empty && self.dropped_timestamp != Some(packet.timestamp) {
                self.dropped_timestamp = Some(packet.timestamp);
                self.counters.frames_dropped += 1;
            }
        }
    }

    /// Another stream, or the same sender after a restart. The timestamps go on, so that those given out do not
    /// jump back.
    fn start_anew(&mut self) {
        let old = std::mem::take(self);
        (self.patience, self.short_patience) = (old.patience, old.short_patience);
        self.ssrc = old.ssrc;
        self.format = Format::new(old.format.codec());
        self.timestamps = old.timestamps;
        self.counters = old.counters;
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vp8_tests;
