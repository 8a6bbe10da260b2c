//! VP8 by libvpx, for those who have no H.264: one layer, keyframes only when asked for.
//!
//! The encoder reads our planes where they are; the decoder's planes are copied once, into a picture of the pool,
//! because libvpx keeps its own as references. Each object belongs to one media thread.
//!
//! libvpx decodes on after a loss and shows what comes of it; here nothing is shown from a damaged frame up to the
//! next keyframe, as with [`h264`](super::h264).

mod raw;

use super::convert::copy_plane;
use super::{CodecError, VideoDecoder, VideoEncoder, usable};
use crate::frame::{EncodedFrame, FramePool, I420, RawFrame};
use crate::units::{Bitrate, Resolution, VideoCodec};
use bytes::Bytes;
use raw::{RawDecoder, RawEncoder, Setup, TICKS};
use std::time::Instant;

/// As with H.264, so that a picture does not depend on who looks at it.
const MIN_SIDE: u32 = 16;
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// A larger frame is none: four bits for every pixel of the largest picture.
const MAX_FRAME: usize = 4 << 20;

pub struct Vp8Encoder {
    fps: u32,
    target: Bitrate,
    running: Option<Running>,
    /// A keyframe was asked for and has not come out yet.
    keyframe_due: bool,
}

/// libvpx set up for one size.
struct Running {
    encoder: RawEncoder,
    started_at: Instant,
}

impl Vp8Encoder {
    /// `fps`: the rate at which pictures will come; the rate control shares out the bits by it.
    pub fn new(target: Bitrate, fps: u32) -> Self {
        Self { fps: fps.clamp(1, 60), target: usable(target), running: None, keyframe_due: false }
    }
}

impl VideoEncoder for Vp8Encoder {
    fn encode(&mut self, frame: &RawFrame, keyframe: bool) -> Result<Option<EncodedFrame>, CodecError> {
        let resolution = frame.image.resolution();
        if !is_usable(resolution) || (resolution.width | resolution.height) % 2 == 1 {
            return Err(CodecError::Fatal(format!("pictures of {resolution} cannot be encoded")));
        }
        let running = match self.running.take() {
            Some(running) if running.encoder.setup().resolution == resolution => running,
            _ => {
                let encoder = RawEncoder::new(Setup { resolution, target: self.target, fps: self.fps })?;
                Running { encoder, started_at: frame.captured_at }
            }
        };
        let running = self.running.insert(running);
        if let Err(error) = running.encoder.set_rate(self.target, self.fps) {
            tracing::warn!(%error, target = %self.target, fps = self.fps, "the encoder refused a rate");
        }
        self.keyframe_due |= keyframe;
        let at = frame.captured_at.saturating_duration_since(running.started_at);
        let ticks = (at.as_micros() * u128::from(TICKS) / 1_000_000) as i64;
        let coded = running.encoder.encode(&frame.image, ticks, self.keyframe_due)?;
        if coded.bytes.is_empty() {
            return Ok(None);
        }
        self.keyframe_due &= !coded.keyframe;
        Ok(Some(EncodedFrame {
            data: Bytes::from(coded.bytes),
            codec: VideoCodec::Vp8,
            keyframe: coded.keyframe,
            disposable: false,
            captured_at: frame.captured_at,
            resolution,
        }))
    }

    fn set_target(&mut self, target: Bitrate) {
        self.target = usable(target);
    }

    fn set_fps(&mut self, fps: u32) {
        self.fps = fps.clamp(1, 60);
    }
}

fn is_usable(resolution: Resolution) -> bool {
    let (long, short) = (resolution.width.max(resolution.height), resolution.width.min(resolution.height));
    short >= MIN_SIDE && long <= MAX_SIDES.0 && short <= MAX_SIDES.1
}

pub struct Vp8Decoder {
    decoder: RawDecoder,
    /// Nothing can be decoded before the next keyframe.
    broken: bool,
}

impl Vp8Decoder {
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self { decoder: RawDecoder::new()?, broken: true })
    }
}

impl VideoDecoder for Vp8Decoder {
    fn decode(&mut self, frame: &[u8], pool: &FramePool) -> Result<Option<I420>, CodecError> {
        let start = Start::of(frame).filter(|_| frame.len() <= MAX_FRAME);
        let keyframe = match start {
            None => {
                self.broken = true;
                return Err(CodecError::NeedsKeyframe);
            }
            Some(Start::Keyframe(_)) => true,
            Some(Start::Delta) if self.broken => return Err(CodecError::NeedsKeyframe),
            Some(Start::Delta) => false,
        };
        let result = match decode(&mut self.decoder, frame, pool) {
            Err(CodecError::NeedsKeyframe) if keyframe && self.broken => {
                // Whatever state the damage has left behind: it is gone with the old decoder.
                self.decoder = RawDecoder::new()?;
                decode(&mut self.decoder, frame, pool)
            }
            result => result,
        };
        match &result {
            Ok(_) => self.broken = false,
            Err(_) => self.broken = true,
        }
        result
    }
}

fn decode(decoder: &mut RawDecoder, frame: &[u8], pool: &FramePool) -> Result<Option<I420>, CodecError> {
    decoder.decode(frame, |resolution, planes| {
        let mut image = pool.take(resolution);
        let (y, u, v) = image.planes_mut();
        let chroma = resolution.chroma().width as usize;
        for ((from, stride), (to, row)) in
            planes.into_iter().zip([(y, resolution.width as usize), (u, chroma), (v, chroma)])
        {
            copy_plane(from, stride, to, row);
        }
        image
    })
}

/// What the first bytes of a frame say (RFC 6386, section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Keyframe(Resolution),
    Delta,
}

impl Start {
    /// `None` for what cannot be a frame, or one larger than anybody sends: its memory would be taken at once.
    fn of(frame: &[u8]) -> Option<Self> {
        const CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
        let [tag, _, _, rest @ ..] = frame else { return None };
        if tag & 1 == 1 {
            return Some(Self::Delta);
        }
        let [a, b, c, w0, w1, h0, h1, ..] = *rest else { return None };
        // The two highest bits ask the receiver to scale, which nobody does.
        let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
        let resolution = Resolution::new(side(w0, w1), side(h0, h1));
        ([a, b, c] == CODE && is_usable(resolution)).then_some(Self::Keyframe(resolution))
    }
}

#[cfg(test)]
mod tests;
