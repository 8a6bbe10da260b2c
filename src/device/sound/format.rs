//! The sample formats that devices speak, in one place: each end of the sound is built for the one its device wants.

use cpal::{FromSample, SampleFormat, SizedSample, StreamConfig};

/// One end of the sound, which lives in the device's callback.
pub(super) trait Voiced {
    /// Makes the stream with samples of this type.
    fn build<T: SizedSample + FromSample<f32>>(
        self,
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<cpal::Stream, cpal::Error>
    where
        f32: FromSample<T>;
}

/// Makes the stream in the format of the device; 64-bit integers and DSD are not spoken here.
pub(super) fn build(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    end: impl Voiced,
) -> Result<cpal::Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => end.build::<f32>(device, config),
        SampleFormat::I16 => end.build::<i16>(device, config),
        SampleFormat::U16 => end.build::<u16>(device, config),
        SampleFormat::I24 => end.build::<cpal::I24>(device, config),
        SampleFormat::I32 => end.build::<i32>(device, config),
        SampleFormat::U8 => end.build::<u8>(device, config),
        SampleFormat::F64 => end.build::<f64>(device, config),
        _ => Err(cpal::Error::new(cpal::ErrorKind::UnsupportedConfig)),
    }
}
