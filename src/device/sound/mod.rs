//! Where sound comes from and goes to: devices, tones, files, nowhere.
//!
//! Called by the sound threads of the pipeline.

mod follow;
mod format;
mod health;
mod host;
mod microphone;
mod paced;
mod resample;
mod seam;
mod speaker;
mod tone;
mod wav;

pub(in crate::device) use host::list;

use super::{AudioSink, AudioSource, DeviceError, MicrophoneChoice, SpeakerChoice};
use host::Wanted;
use microphone::Microphone;
use paced::{NoMicrophone, PacedSink, PacedSource};
use speaker::Speaker;
use std::collections::VecDeque;
use std::path::Path;

pub(super) fn open_microphone(choice: &MicrophoneChoice) -> Result<Box<dyn AudioSource>, DeviceError> {
    match choice {
        MicrophoneChoice::None => Ok(Box::new(NoMicrophone)),
        MicrophoneChoice::Tone => Ok(Box::new(PacedSource::new("Test tone".into(), tone::Tone::default()))),
        MicrophoneChoice::File(path) => {
            Ok(Box::new(PacedSource::new(file_name(path), wav::WavReader::open(path)?)))
        }
        MicrophoneChoice::Default => Ok(Box::new(Microphone::open(Wanted::Default)?)),
        MicrophoneChoice::Named(name) => Ok(Box::new(Microphone::open(Wanted::Named(name.clone()))?)),
        MicrophoneChoice::StandIn(name) => Ok(Box::new(Microphone::open(Wanted::StandIn(name.clone()))?)),
    }
}

pub(super) fn open_speaker(choice: &SpeakerChoice) -> Result<Box<dyn AudioSink>, DeviceError> {
    match choice {
        SpeakerChoice::None => Ok(Box::new(PacedSink::new("No speaker".into(), ()))),
        SpeakerChoice::File(path) => {
            Ok(Box::new(PacedSink::new(file_name(path), wav::WavWriter::create(path)?)))
        }
        SpeakerChoice::Default => Ok(Box::new(Speaker::open(Wanted::Default)?)),
        SpeakerChoice::Named(name) => Ok(Box::new(Speaker::open(Wanted::Named(name.clone()))?)),
        SpeakerChoice::StandIn(name) => Ok(Box::new(Speaker::open(Wanted::StandIn(name.clone()))?)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Fills a block from the front of a queue that holds enough.
fn take_block(queue: &mut VecDeque<f32>, block: &mut [f32]) {
    let samples = queue.drain(..block.len());
    block.iter_mut().zip(samples).for_each(|(to, from)| *to = from);
}
