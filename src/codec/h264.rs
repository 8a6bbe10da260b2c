//! H.264 by OpenH264: Constrained Baseline, one slice a picture, keyframes only when asked for.
//!
//! The encoder reads our planes where they are; the decoder's planes are copied once, into a picture of the
//! pool, because OpenH264 keeps its own as references. Each object belongs to one media thread.
//!
//! Traps of OpenH264 that are dealt with here:
//! * options hold only after the first picture, and a change of size resets them: a new size gets a new encoder;
//! * the highest rate must be raised before the target and lowered after it, or the target is refused;
//! * after a loss the decoder refuses every picture up to the next keyframe, which is what we want (its
//!   concealment gives a smear); but a decoder that refuses a keyframe as well is replaced.

use super::convert::copy_plane;
use super::{CodecError, VideoDecoder, VideoEncoder};
use crate::frame::{EncodedFrame, FramePool, I420, RawFrame};
use crate::units::{Bitrate, Resolution};
use bytes::Bytes;
use openh264::decoder::Decoder;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, RateControlMode,
    UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2 as sys;
use std::time::Instant;

/// The rate control lets single pictures go over the target; over a second it stays under target times this.
const PEAK: f64 = 1.5;
/// What the rate control can work with.
const MIN_RATE: Bitrate = Bitrate::from_kbps(30);
const MAX_RATE: Bitrate = Bitrate::from_kbps(20_000);
/// OpenH264 codes nothing smaller than one macroblock, nothing larger than this.
const MIN_SIDE: u32 = 16;
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// A larger access unit is none: four bits for every pixel of the largest picture.
const MAX_ACCESS_UNIT: usize = 4 << 20;

/// Lets the encoder read our planes in place.
struct Planes<'a>(&'a I420);

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.resolution().width as usize, self.0.resolution().height as usize)
    }
    fn strides(&self) -> (usize, usize, usize) {
        let chroma = self.0.resolution().chroma().width as usize;
        (self.0.resolution().width as usize, chroma, chroma)
    }
    fn y(&self) -> &[u8] {
        self.0.y()
    }
    fn u(&self) -> &[u8] {
        self.0.u()
    }
    fn v(&self) -> &[u8] {
        self.0.v()
    }
}

pub struct H264Encoder {
    fps: u32,
    target: Bitrate,
    running: Option<Running>,
    /// A keyframe was asked for and has not come out yet.
    keyframe_due: bool,
}

/// OpenH264 set up for one size.
struct Running {
    encoder: Encoder,
    resolution: Resolution,
    started_at: Instant,
    /// What it was told to keep to; `None` before its first picture.
    applied: Option<(Bitrate, u32)>,
}

impl H264Encoder {
    /// `fps`: the rate at which pictures will come; the rate control shares out the bits by it.
    pub fn new(target: Bitrate, fps: u32) -> Self {
        Self { fps: fps.clamp(1, 60), target: usable(target), running: None, keyframe_due: false }
    }

    /// The rate at which pictures come from now on.
    pub fn set_fps(&mut self, fps: u32) {
        self.fps = fps.clamp(1, 60);
    }

    fn start(&self, resolution: Resolution, started_at: Instant) -> Result<Running, CodecError> {
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(self.target.bps() as u32))
            .max_frame_rate(FrameRate::from_hz(self.fps as f32))
            .rate_control_mode(RateControlMode::Bitrate)
            .skip_frames(true)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Medium)
            .scene_change_detect(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .vui(VuiConfig::bt601())
            .num_threads(1);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(fatal)?;
        Ok(Running { encoder, resolution, started_at, applied: None })
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
            Some(running) if running.resolution == resolution => running,
            _ => self.start(resolution, frame.captured_at)?,
        };
        let running = self.running.insert(running);
        self.keyframe_due |= keyframe;
        if let Some(applied) = running.applied {
            running.apply(applied, (self.target, self.fps));
            if self.keyframe_due {
                running.encoder.force_intra_frame();
            }
        }
        let at = frame.captured_at.saturating_duration_since(running.started_at).as_millis() as u64;
        let stream =
            running.encoder.encode_at(&Planes(&frame.image), Timestamp::from_millis(at)).map_err(fatal)?;
        let keyframe = matches!(stream.frame_type(), FrameType::IDR);
        let data = match stream.frame_type() {
            FrameType::Skip => Vec::new(),
            _ => stream.to_vec(),
        };
        if running.applied.is_none() {
            // The encoder starts with its highest rate at the target; this loosens it.
            running.applied = Some((self.target, self.fps));
            running.set_rates(self.target, self.target);
        }
        if data.is_empty() {
            return Ok(None);
        }
        self.keyframe_due &= !keyframe;
        let data = Bytes::from(data);
        Ok(Some(EncodedFrame { data, keyframe, captured_at: frame.captured_at, resolution }))
    }

    fn set_target(&mut self, target: Bitrate) {
        self.target = usable(target);
    }
}

impl Running {
    fn apply(&mut self, old: (Bitrate, u32), new: (Bitrate, u32)) {
        if old.1 != new.1 {
            let mut fps = new.1 as f32;
            // SAFETY: the option is a float, and the encoder is initialised: it has coded a picture.
            unsafe {
                self.encoder.raw_api().set_option(sys::ENCODER_OPTION_FRAME_RATE, (&raw mut fps).cast());
            }
        }
        if old.0 != new.0 {
            self.set_rates(old.0, new.0);
        }
        self.applied = Some(new);
    }

    fn set_rates(&mut self, old: Bitrate, new: Bitrate) {
        let mut set = |option, layer, rate: Bitrate| {
            let mut info = sys::SBitrateInfo { iLayer: layer, iBitrate: rate.bps() as i32 };
            // SAFETY: both options are an `SBitrateInfo`, and the encoder is initialised.
            let result = unsafe { self.encoder.raw_api().set_option(option, (&raw mut info).cast()) };
            if result != 0 {
                tracing::warn!(result, %rate, "the encoder refused a bit rate");
            }
        };
        set(sys::ENCODER_OPTION_MAX_BITRATE, sys::SPATIAL_LAYER_0, old.max(new).scaled(PEAK));
        set(sys::ENCODER_OPTION_BITRATE, sys::SPATIAL_LAYER_ALL, new);
        set(sys::ENCODER_OPTION_MAX_BITRATE, sys::SPATIAL_LAYER_0, new.scaled(PEAK));
    }
}

fn usable(target: Bitrate) -> Bitrate {
    target.clamp(MIN_RATE, MAX_RATE)
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
