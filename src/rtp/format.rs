//! What differs between H.264 and VP8 for the [`assembler`](super::assembler): what a payload tells, and how payloads
//! become what a decoder takes.

use super::frame_number::{FrameNumbers, Start};
use super::h264::{self, AnnexB, NalUnits};
use super::vp8;
use crate::units::VideoCodec;
use bytes::Bytes;

/// A longer parameter set is not remembered. Real ones have 10 to 60 bytes.
const MAX_PARAMETER_SET: usize = 512;

/// The payload breaks RFC 6184 or RFC 7741, or uses what no sender of ours may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// What a payload holds, seen without its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Nothing to decode.
    pub empty: bool,
    /// A piece of a keyframe that can be told for one.
    pub keyframe: bool,
    /// A decoder can start here.
    pub entry: bool,
    /// It can, whatever was lost before.
    pub clean: bool,
}

/// One stream's format, with what has to be remembered of it.
pub(super) enum Format {
    H264(Box<Sets>),
    Vp8,
}

/// The parameter sets of an H.264 stream.
#[derive(Default)]
pub(super) struct Sets {
    sps: Bytes,
    pps: Bytes,
    numbers: FrameNumbers,
}

impl Format {
    pub fn new(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::H264 => Self::H264(Box::default()),
            VideoCodec::Vp8 => Self::Vp8,
        }
    }

    pub fn codec(&self) -> VideoCodec {
        match self {
            Self::H264(_) => VideoCodec::H264,
            Self::Vp8 => VideoCodec::Vp8,
        }
    }

    /// Looks at a payload as it arrives. A damaged one has no contents and fails when its unit is put together.
    pub fn read(&mut self, payload: &Bytes) -> Contents {
        match self {
            Self::H264(sets) => {
                let units = NalUnits::of(payload).unwrap_or_default();
                if units.sps || units.pps {
                    sets.remember(payload);
                }
                Contents { empty: units.empty, keyframe: units.idr, entry: units.entry, clean: units.sps }
            }
            Self::Vp8 => vp8::contents(payload).unwrap_or_default(),
        }
    }

    /// The beginning of a picture in this payload that may be decodable though something before it is missing.
    pub fn start(&self, payload: &[u8]) -> Option<Start> {
        let Self::H264(sets) = self else { return None };
        let may = NalUnits::of(payload).is_ok_and(|units| units.slice && !units.idr);
        sets.numbers.start(payload).filter(|_| may)
    }

    /// Whether no later picture misses this payload.
    pub fn is_harmless(&self, payload: &[u8]) -> bool {
        let units = NalUnits::of(payload).unwrap_or_default();
        let refers = units.slice && h264::is_reference(payload);
        matches!(self, Self::H264(_)) && !(units.entry || units.idr || units.pps || refers)
    }

    /// Whether nothing that this picture refers to can have been among `packets` lost ones in front of it.
    pub fn follows(&self, start: Start, packets: usize) -> bool {
        match self {
            Self::H264(sets) => sets.numbers.follows(start, packets),
            Self::Vp8 => false,
        }
    }

    /// What the decoder takes, from the payloads of one picture in order.
    pub fn unit(&mut self, payloads: &[&Bytes], keyframe: bool) -> Result<Vec<u8>, Damaged> {
        let size = payloads.iter().map(|payload| payload.len()).sum();
        match self {
            Self::H264(sets) => sets.unit(payloads, keyframe, size),
            Self::Vp8 => vp8::frame(payloads.iter().map(|payload| &payload[..]), size),
        }
    }
}

impl Sets {
    fn remember(&mut self, payload: &Bytes) {
        h264::parameter_sets(payload, |nal| {
            if nal.len() <= MAX_PARAMETER_SET {
                let kept = Bytes::copy_from_slice(nal);
                if nal[0] & 0x1f == h264::SPS {
                    self.numbers.handle_sps(nal);
                    self.sps = kept;
                } else {
                    self.pps = kept;
                }
            }
        });
    }

    fn unit(&mut self, payloads: &[&Bytes], keyframe: bool, size: usize) -> Result<Vec<u8>, Damaged> {
        let all: Vec<NalUnits> =
            payloads.iter().map(|payload| NalUnits::of(payload).unwrap_or_default()).collect();
        let mut unit = AnnexB::with_capacity(size + self.sps.len() + self.pps.len() + 64);
        if keyframe && !(all.iter().any(|units| units.sps) && all.iter().any(|units| units.pps)) {
            if self.sps.is_empty() || self.pps.is_empty() {
                return Err(Damaged);
            }
            unit.push_nal(&self.sps);
            unit.push_nal(&self.pps);
        }
        payloads.iter().try_for_each(|payload| unit.push_payload(payload))?;
        let bytes = unit.finish()?;
        self.numbers.handle_picture(payloads.iter().find_map(|payload| self.numbers.start(payload)));
        Ok(bytes)
    }
}
