//! H.264 by OpenH264: Constrained Baseline, one slice a picture, two temporal layers, keyframes only when asked for.
//!
//! The encoder reads our planes where they are; the decoder's planes are copied once, into a picture of the
//! pool, because OpenH264 keeps its own as references. Each object belongs to one media thread.
//!
//! Traps of OpenH264 that are dealt with here:
//! * a change of size resets its options: a new size gets a new encoder;
//! * left to itself it leaves out pictures that it could code more coarsely: that is switched off, and whoever feeds
//!   it must see to it that pictures are not far too large for the bit rate (`pipeline::budget`);
//! * the highest rate must be raised before the target and lowered after it, or the target is refused;
//! * after a loss the decoder refuses every picture up to the next keyframe, which is what we want (its
//!   concealment gives a smear); but a decoder that refuses a keyframe as well is replaced.

mod raw;

use super::convert::copy_plane;
use super::{CodecError, VideoDecoder, VideoEncoder, usable};
use crate::frame::{EncodedFrame, FramePool, I420, RawFrame};
use crate::units::{Bitrate, Resolution, VideoCodec};
use bytes::Bytes;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use raw::{RawEncoder, Setup};
use std::time::Instant;

/// The rate control lets single pictures go over the target; over a second it stays under target times this.
const PEAK: f64 = 1.5;
/// Temporal layers: every other picture refers to the one before the last and is itself referred to by none.
const LAYERS: u32 = 2;
/// OpenH264 codes nothing smaller than one macroblock, nothing larger than this.
const MIN_SIDE: u32 = 16;
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// A larger access unit is none: four bits for every pixel of the largest picture.
const MAX_ACCESS_UNIT: usize = 4 << 20;

pub struct H264Encoder {
    fps: u32,
    target: Bitrate,
    layers: u32,
    running: Option<Running>,
    /// A keyframe was asked for and has not come out yet.
    keyframe_due: bool,
}

/// OpenH264 set up for one size.
struct Running {
    encoder: RawEncoder,
    started_at: Instant,
    /// What it was told to keep to.
    target: Bitrate,
    fps: u32,
}

impl H264Encoder {
    /// `fps`: the rate at which pictures will come; the rate control shares out the bits by it.
    pub fn new(target: Bitrate, fps: u32) -> Self {
        Self::with_layers(target, fps, LAYERS)
    }

    /// `layers`: 1, or 2 for a stream of which every other picture is [disposable](EncodedFrame::disposable).
    pub fn with_layers(target: Bitrate, fps: u32, layers: u32) -> Self {
        let (fps, target) = (fps.clamp(1, 60), usable(target));
        Self { fps, target, layers: layers.clamp(1, 2), running: None, keyframe_due: false }
    }

    fn start(&self, resolution: Resolution, started_at: Instant) -> Result<Running, CodecError> {
        let encoder = RawEncoder::new(&Setup {
            resolution,
            target: self.target,
            peak: self.target.scaled(PEAK),
            fps: self.fps,
            layers: self.layers,
        })?;
        Ok(Running { encoder, started_at, target: self.target, fps: self.fps })
    }
}

impl VideoEncoder for H264Encoder {
    fn encode(&mut self, frame: &RawFrame, keyframe: bool) -> Result<Option<EncodedFrame>, CodecError> {
        let resolution = frame.image.resolution();
        let (long, short) =
            (resolution.width.max(resolution.height), resolution.width.min(resolution.height));
        if short < MIN_SIDE || long > MAX_SIDES.0 || short > MAX_SIDES.1 || (long | short) % 2 == 1 {
            return Err(CodecError::Fatal(format!("pictures of {resolution} cannot be encoded")));
        }
        let running = match self.running.take() {
            Some(running) if running.encoder.resolution() == resolution => running,
            _ => self.start(resolution, frame.captured_at)?,
        };
        let running = self.running.insert(running);
        running.apply(self.target, self.fps);
        self.keyframe_due |= keyframe;
        if self.keyframe_due {
            running.encoder.force_keyframe();
        }
        let at = frame.captured_at.saturating_duration_since(running.started_at).as_millis() as u64;
        let coded = running.encoder.encode(&frame.image, at)?;
        if coded.bytes.is_empty() {
            return Ok(None);
        }
        self.keyframe_due &= !coded.keyframe;
        Ok(Some(EncodedFrame {
            data: Bytes::from(coded.bytes),
            codec: VideoCodec::H264,
            keyframe: coded.keyframe,
            disposable: coded.disposable,
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

impl Running {
    fn apply(&mut self, target: Bitrate, fps: u32) {
        if let Err(error) = self.try_apply(target, fps) {
            tracing::warn!(%error, %target, fps, "the encoder refused a rate");
        }
        (self.target, self.fps) = (target, fps);
    }

    fn try_apply(&mut self, target: Bitrate, fps: u32) -> Result<(), CodecError> {
        if self.fps != fps {
            self.encoder.set_fps(fps)?;
        }
        if self.target != target {
            self.encoder.set_peak(self.target.max(target).scaled(PEAK))?;
            self.encoder.set_target(target)?;
            self.encoder.set_peak(target.scaled(PEAK))?;
        }
        Ok(())
    }
}

fn fatal(error: openh264::Error) -> CodecError {
    CodecError::Fatal(error.to_string())
}

pub struct H264Decoder {
    decoder: Decoder,
    /// Refused a picture since the last good one.
    broken: bool,
}

impl H264Decoder {
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self { decoder: Decoder::new().map_err(fatal)?, broken: false })
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, access_unit: &[u8], pool: &FramePool) -> Result<Option<I420>, CodecError> {
        if access_unit.is_empty() || access_unit.len() > MAX_ACCESS_UNIT {
            return Err(CodecError::NeedsKeyframe);
        }
        let keyframe = is_keyframe(access_unit);
        if self.broken && !keyframe {
            return Err(CodecError::NeedsKeyframe);
        }
        let result = match decode(&mut self.decoder, access_unit, pool) {
            Err(CodecError::NeedsKeyframe) if keyframe && self.broken => {
                // Whatever state the damage has left behind: it is gone with the old decoder.
                self.decoder = Decoder::new().map_err(fatal)?;
                decode(&mut self.decoder, access_unit, pool)
            }
            result => result,
        };
        match &result {
            Ok(Some(_)) => self.broken = false,
            Ok(None) => {}
            Err(_) => self.broken = true,
        }
        result
    }
}

fn decode(decoder: &mut Decoder, access_unit: &[u8], pool: &FramePool) -> Result<Option<I420>, CodecError> {
    let Some(picture) = decoder.decode(access_unit).map_err(|_| CodecError::NeedsKeyframe)? else {
        return Ok(None);
    };
    let (width, height) = picture.dimensions();
    let resolution = Resolution::new(width as u32, height as u32);
    let chroma = resolution.chroma();
    let (y_stride, chroma_stride, _) = picture.strides();
    let fits = |plane: &[u8], stride: usize, size: Resolution| {
        stride >= size.width as usize && plane.len() >= stride * (size.height as usize - 1) + stride
    };
    if !resolution.is_valid()
        || !fits(picture.y(), y_stride, resolution)
        || !fits(picture.u(), chroma_stride, chroma)
        || !fits(picture.v(), chroma_stride, chroma)
    {
        return Err(CodecError::NeedsKeyframe);
    }
    let mut image = pool.take(resolution);
    let (y, u, v) = image.planes_mut();
    copy_plane(picture.y(), y_stride, y, width);
    copy_plane(picture.u(), chroma_stride, u, chroma.width as usize);
    copy_plane(picture.v(), chroma_stride, v, chroma.width as usize);
    Ok(Some(image))
}

/// Whether an Annex B access unit holds a slice of an IDR picture.
pub fn is_keyframe(access_unit: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SLICE: u8 = 1;
    let mut rest = access_unit;
    while let Some(at) = rest.windows(3).position(|bytes| bytes == [0, 0, 1]) {
        rest = &rest[at + 3..];
        match rest.first().map(|header| header & 0x1f) {
            Some(IDR) => return true,
            // The slices of one access unit are all of one kind, and parameter sets come before them.
            Some(SLICE) => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
