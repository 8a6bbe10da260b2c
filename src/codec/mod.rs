//! Encoders and decoders behind traits: H.264 by OpenH264, VP8 by libvpx, voice by Opus, and the conversion and
//! scaling of pictures. Each object belongs to one media thread.
//!
//! H.264 is everywhere. VP8 is there for browsers without it, and only on Linux, where every distribution has libvpx
//! as a package: no crate brings its source, and macOS and Windows have no copy of it that a build could count on.

pub mod convert;
pub mod h264;
pub mod opus;
pub mod scale;
#[cfg(target_os = "linux")]
pub mod vp8;

use crate::frame::{EncodedFrame, FramePool, I420, RawFrame};
use crate::units::{Bitrate, VideoCodec};
use bytes::Bytes;

/// Sampling rate of all sound inside the program.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples of one block of 10 ms, mono: the unit of the audio path.
pub const BLOCK: usize = 480;
/// Samples of one Opus packet (20 ms).
pub const PACKET: usize = 960;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Decoding goes on at the next keyframe; until then the last picture stays on the screen.
    #[error("the decoder needs a keyframe")]
    NeedsKeyframe,
    /// The codec cannot be used any more.
    #[error("the codec failed: {0}")]
    Fatal(String),
}

pub trait VideoEncoder: Send {
    /// Encodes a picture; `None` if the rate control left it out.
    fn encode(&mut self, frame: &RawFrame, keyframe: bool) -> Result<Option<EncodedFrame>, CodecError>;
    /// Takes effect with the next picture.
    fn set_target(&mut self, target: Bitrate);
    /// The rate at which pictures come from now on.
    fn set_fps(&mut self, fps: u32);
}

pub trait VideoDecoder: Send {
    /// Decodes one whole access unit (H.264: Annex B); `None` if it holds no picture.
    fn decode(&mut self, access_unit: &[u8], pool: &FramePool) -> Result<Option<I420>, CodecError>;
}

pub trait AudioEncoder: Send {
    /// `pcm`: [`PACKET`] mono samples. `None` while nobody speaks and nothing has to be sent.
    fn encode(&mut self, pcm: &[f32]) -> Result<Option<Bytes>, CodecError>;
    fn set_target(&mut self, target: Bitrate);
    /// What share of the packets the receiver misses, 0.0 to 1.0: steers the in-band redundancy.
    fn set_expected_loss(&mut self, share: f32);
}

pub trait AudioDecoder: Send {
    /// Decodes a packet and appends its samples to `pcm`.
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), CodecError>;
    /// Recovers the lost packet before `next` from the redundancy in `next`: appends `samples`.
    fn recover(&mut self, next: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), CodecError>;
    /// Makes up `samples` for a packet that is gone.
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), CodecError>;
}

/// What this program can encode and decode, best first.
pub const fn video_codecs() -> &'static [VideoCodec] {
    if cfg!(target_os = "linux") { &[VideoCodec::H264, VideoCodec::Vp8] } else { &[VideoCodec::H264] }
}

pub fn video_encoder(
    codec: VideoCodec,
    target: Bitrate,
    fps: u32,
) -> Result<Box<dyn VideoEncoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Encoder::new(target, fps))),
        #[cfg(target_os = "linux")]
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Encoder::new(target, fps))),
        #[cfg(not(target_os = "linux"))]
        VideoCodec::Vp8 => Err(CodecError::Fatal("there is no VP8 here".into())),
    }
}

pub fn video_decoder(codec: VideoCodec) -> Result<Box<dyn VideoDecoder>, CodecError> {
    match codec {
        VideoCodec::H264 => Ok(Box::new(h264::H264Decoder::new()?)),
        #[cfg(target_os = "linux")]
        VideoCodec::Vp8 => Ok(Box::new(vp8::Vp8Decoder::new()?)),
        #[cfg(not(target_os = "linux"))]
        VideoCodec::Vp8 => Err(CodecError::Fatal("there is no VP8 here".into())),
    }
}

/// What the rate controls of the video codecs can work with.
fn usable(target: Bitrate) -> Bitrate {
    target.clamp(Bitrate::from_kbps(30), Bitrate::from_kbps(20_000))
}

#[cfg(test)]
mod test_pictures;
