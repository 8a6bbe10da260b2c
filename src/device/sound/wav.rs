//! Sound from a wav file, again and again, and into one.
//!
//! Reading takes any rate, number of channels and format that `hound` knows. What is written is mono, 48 kHz,
//! 16 bits; its header is brought up to date every second, so that the file is whole even after a kill.

use super::paced::{Drain, Generator};
use super::resample::Resampler;
use crate::codec::{BLOCK, SAMPLE_RATE};
use crate::device::DeviceError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

/// More channels than this are a mistake in the file.
const MAX_CHANNELS: u16 = 64;

pub(super) struct WavReader {
    file: hound::WavReader<BufReader<File>>,
    resampler: Resampler,
    /// Samples at 48 kHz that were read ahead: a few blocks.
    ready: VecDeque<f32>,
    path: String,
    /// Whether the file gave anything since its beginning.
    any: bool,
}

impl WavReader {
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let shown = path.display().to_string();
        let fail = |detail: String| DeviceError::File(shown.clone(), detail);
        let file = hound::WavReader::open(path).map_err(|error| fail(reason(&error)))?;
        let spec = file.spec();
        if spec.channels == 0 || spec.channels > MAX_CHANNELS {
            return Err(fail(format!("it has {} channels.", spec.channels)));
        }
        if file.duration() == 0 {
            return Err(fail("there is no sound in it.".into()));
        }
        let resampler = Resampler::new(spec.sample_rate, SAMPLE_RATE)
            .ok_or_else(|| fail(format!("its sampling rate is {} Hz.", spec.sample_rate)))?;
        Ok(Self { file, resampler, ready: VecDeque::new(), path: shown, any: true })
    }

    /// Reads a little more, from the beginning again after the end.
    fn read_ahead(&mut self) -> Result<(), DeviceError> {
        let spec = self.file.spec();
        let channels = usize::from(spec.channels);
        let wanted = BLOCK * channels;
        let samples: Result<Vec<f32>, _> = match spec.sample_format {
            hound::SampleFormat::Float => self.file.samples::<f32>().take(wanted).collect(),
            hound::SampleFormat::Int => {
                let scale = 1.0 / (1u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
                let samples = self.file.samples::<i32>().take(wanted);
                samples.map(|sample| sample.map(|sample| sample as f32 * scale)).collect()
            }
        };
        // A file that is cut off ends with an error; what is there is played.
        let samples = match samples {
            Ok(samples) => samples,
            Err(error) if !self.any => return Err(self.fail(reason(&error))),
            Err(_) => Vec::new(),
        };
        self.any |= samples.len() >= channels;
        if samples.len() < wanted {
            if !self.any {
                return Err(self.fail("there is no sound in it.".into()));
            }
            self.file.seek(0).map_err(|error| self.fail(error.to_string()))?;
            self.any = false;
        }
        let mono = samples.chunks_exact(channels).map(|frame| {
            let mean = frame.iter().sum::<f32>() / channels as f32;
            if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
        });
        self.resampler.push(mono, &mut self.ready);
        Ok(())
    }

    fn fail(&self, detail: String) -> DeviceError {
        DeviceError::File(self.path.clone(), detail)
    }
}

impl Generator for WavReader {
    fn fill(&mut self, block: &mut [f32]) -> Result<(), DeviceError> {
        while self.ready.len() < block.len() {
            self.read_ahead()?;
        }
        super::take_block(&mut self.ready, block);
        Ok(())
    }
}

pub(super) struct WavWriter {
    file: hound::WavWriter<BufWriter<File>>,
    path: String,
    since_flush: usize,
}

impl WavWriter {
    pub fn create(path: &Path) -> Result<Self, DeviceError> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let shown = path.display().to_string();
        let mut file = hound::WavWriter::create(path, spec)
            .map_err(|error| DeviceError::File(shown.clone(), reason(&error)))?;
        file.flush().map_err(|error| DeviceError::File(shown.clone(), reason(&error)))?;
        Ok(Self { file, path: shown, since_flush: 0 })
    }

    fn write(&mut self, block: &[f32]) -> hound::Result<()> {
        for sample in block {
            self.file.write_sample((sample.clamp(-1.0, 1.0) * 32767.0).round() as i16)?;
        }
        self.since_flush += block.len();
        if self.since_flush >= SAMPLE_RATE as usize {
            self.since_flush = 0;
            self.file.flush()?;
        }
        Ok(())
    }
}

impl Drain for WavWriter {
    fn take(&mut self, block: &[f32]) -> Result<(), DeviceError> {
        self.write(block).map_err(|error| DeviceError::File(self.path.clone(), reason(&error)))
    }
}

fn reason(error: &hound::Error) -> String {
    match error {
        hound::Error::IoError(error) => match error.kind() {
            io::ErrorKind::NotFound => "it does not exist, or its folder does not.".into(),
            io::ErrorKind::PermissionDenied => "access is denied.".into(),
            io::ErrorKind::UnexpectedEof => "it ends too early.".into(),
            _ => error.to_string(),
        },
        hound::Error::FormatError(_) => "it is no wav file.".into(),
        hound::Error::Unsupported => "its sound format is not known.".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{SampleFormat, WavSpec};
    use std::path::PathBuf;

    /// A path for one test; the file is removed at its end.
    struct Temporary(PathBuf);
    impl Temporary {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("twocan-{}-{name}", std::process::id())))
        }
    }
    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn read(path: &Path, blocks: usize) -> Vec<f32> {
        let mut reader = WavReader::open(path).unwrap();
        let mut samples = vec![0.0; BLOCK * blocks];
        samples.chunks_mut(BLOCK).for_each(|block| reader.fill(block).unwrap());
        samples
    }

    #[test]
    fn any_format_becomes_mono_and_starts_again() {
        for (bits_per_sample, sample_format) in [
            (16, SampleFormat::Int),
            (24, SampleFormat::Int),
            (8, SampleFormat::Int),
            (32, SampleFormat::Float),
        ] {
            let file = Temporary::new(&format!("in{bits_per_sample}.wav"));
            let spec = WavSpec { channels: 2, sample_rate: 48_000, bits_per_sample, sample_format };
            let mut writer = hound::WavWriter::create(&file.0, spec).unwrap();
            for n in 0..1000 {
                let value = if n < 500 { 0.5 } else { -0.25 };
                for value in [value, 0.0] {
                    match sample_format {
                        SampleFormat::Float => writer.write_sample(value).unwrap(),
                        SampleFormat::Int => {
                            let full = (1i64 << (bits_per_sample - 1)) as f32;
                            writer.write_sample((value * full) as i32).unwrap();
                        }
                    }
                }
            }
            writer.finalize().unwrap();
            let samples = read(&file.0, 5);
            for (n, sample) in samples.iter().enumerate() {
                let expected = if n % 1000 < 500 { 0.25 } else { -0.125 };
                assert!((sample - expected).abs() < 0.01, "{bits_per_sample} bits, sample {n}: {sample}");
            }
        }
    }

    #[test]
    fn other_rates_are_resampled() {
        let file = Temporary::new("in22.wav");
        let spec = WavSpec {
            channels: 1,
            sample_rate: 22_050,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&file.0, spec).unwrap();
        (0..22_050).for_each(|_| writer.write_sample(8192i16).unwrap());
        writer.finalize().unwrap();
        let samples = read(&file.0, 150);
        assert!(samples[4800..].iter().all(|sample| (sample - 0.25).abs() < 0.01));
    }

    #[test]
    fn what_is_written_is_whole_without_being_closed() {
        let file = Temporary::new("out.wav");
        let mut writer = WavWriter::create(&file.0).unwrap();
        for _ in 0..150 {
            writer.take(&[0.5; BLOCK]).unwrap();
        }
        // As after a kill: nothing closes the file.
        let mut reader = hound::WavReader::open(&file.0).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 48_000));
        assert_eq!(reader.duration(), 48_000);
        assert!(reader.samples::<i16>().all(|sample| sample.unwrap() == 16_384));
        drop(writer);
        assert_eq!(hound::WavReader::open(&file.0).unwrap().duration(), 72_000);
    }

    #[test]
    fn files_that_are_no_sound_are_refused() {
        let file = Temporary::new("bad.wav");
        let mut header = Vec::new();
        let spec = WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        hound::WavWriter::new(io::Cursor::new(&mut header), spec).unwrap().finalize().unwrap();
        let mut wrong_rate = header.clone();
        wrong_rate[24..28].fill(0xff);
        for bytes in [&b""[..], b"not sound", &header[..20], &header, &wrong_rate] {
            std::fs::write(&file.0, bytes).unwrap();
            assert!(matches!(WavReader::open(&file.0), Err(DeviceError::File(..))));
        }
        assert!(matches!(WavReader::open(Path::new("/nowhere/x.wav")), Err(DeviceError::File(..))));
        assert!(matches!(WavWriter::create(Path::new("/nowhere/x.wav")), Err(DeviceError::File(..))));
    }

    #[test]
    fn mutated_files_never_panic() {
        let file = Temporary::new("mutated.wav");
        let mut good = Vec::new();
        let spec = WavSpec {
            channels: 2,
            sample_rate: 44_100,
            bits_per_sample: 24,
            sample_format: SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(io::Cursor::new(&mut good), spec).unwrap();
        (0..4000).for_each(|n| writer.write_sample(n).unwrap());
        writer.finalize().unwrap();
        let mut random = 1u32;
        for _ in 0..400 {
            let mut bytes = good.clone();
            for _ in 0..4 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes[(random >> 8) as usize % 80] = (random >> 24) as u8;
            }
            std::fs::write(&file.0, bytes).unwrap();
            let Ok(mut reader) = WavReader::open(&file.0) else { continue };
            for _ in 0..20 {
                if reader.fill(&mut [0.0; BLOCK]).is_err() {
                    break;
                }
            }
        }
    }
}
