//! Where sound comes from and goes to: devices, tones, files, nowhere.
//!
//! Called by the sound threads of the pipeline.

mod paced;
mod resample;
mod tone;
mod wav;

use super::{AudioSink, AudioSource, DeviceError, DeviceKind, MicrophoneChoice, SpeakerChoice};
use paced::{NoMicrophone, PacedSink, PacedSource};
use std::path::Path;

pub(super) fn open_microphone(choice: &MicrophoneChoice) -> Result<Box<dyn AudioSource>, DeviceError> {
    match choice {
        MicrophoneChoice::None => Ok(Box::new(NoMicrophone)),
        MicrophoneChoice::Tone => Ok(Box::new(PacedSource::new("Test tone".into(), tone::Tone::default()))),
        MicrophoneChoice::File(path) => {
            Ok(Box::new(PacedSource::new(file_name(path), wav::WavReader::open(path)?)))
        }
        MicrophoneChoice::Default | MicrophoneChoice::Named(_) => {
            Err(DeviceError::NotFound(DeviceKind::Microphone))
        }
    }
}

pub(super) fn open_speaker(choice: &SpeakerChoice) -> Result<Box<dyn AudioSink>, DeviceError> {
    match choice {
        SpeakerChoice::None => Ok(Box::new(PacedSink::new("No speaker".into(), ()))),
        SpeakerChoice::File(path) => {
            Ok(Box::new(PacedSink::new(file_name(path), wav::WavWriter::create(path)?)))
        }
        SpeakerChoice::Default | SpeakerChoice::Named(_) => Err(DeviceError::NotFound(DeviceKind::Speaker)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
