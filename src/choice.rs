//! Which camera, microphone and speaker are meant, and in what way a call of many is to be connected, as the command
//! line and the settings say it: plain values.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Which camera: `pattern`, `none`, a `.y4m` file or pipe, else a device by name or index. Default: the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CameraChoice {
    #[default]
    Default,
    Named(String),
    Index(u32),
    Pattern,
    File(PathBuf),
    None,
}

/// Which microphone: `tone`, `none`, a `.wav` file, else a device by name. Default: the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MicrophoneChoice {
    #[default]
    Default,
    Named(String),
    /// The system's, until the device of this name is there. No text means it.
    StandIn(String),
    Tone,
    File(PathBuf),
    None,
}

/// Which speaker: `none`, a `.wav` file to write, else a device by name. Default: the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakerChoice {
    #[default]
    Default,
    Named(String),
    /// The system's, until the device of this name is there. No text means it.
    StandIn(String),
    File(PathBuf),
    None,
}

/// In what way sound and picture go in a call of more than two, as its host wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopologyChoice {
    /// What links and processors allow (`room::topology`).
    #[default]
    Automatic,
    /// Everybody sends to everybody.
    Mesh,
    /// One passes everything on (SFU).
    Forward,
    /// One makes a picture and a sound of everybody, for each (MCU).
    Mix,
}

/// What one guest gets, as the host wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestChoice {
    /// What they ask for, and what the call is set to.
    #[default]
    Automatic,
    /// Everybody's picture.
    Forward,
    /// One picture and one sound of everybody.
    Mix,
}

/// Something with this ending is a file, whether it exists yet or not; a path with a separator too.
fn file(text: &str, ending: &str) -> Option<PathBuf> {
    let is_file = text.to_ascii_lowercase().ends_with(ending) || text.contains(std::path::MAIN_SEPARATOR);
    is_file.then(|| PathBuf::from(text))
}

impl FromStr for CameraChoice {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "default" => Self::Default,
            "pattern" => Self::Pattern,
            "none" => Self::None,
            _ => match (file(text, ".y4m"), text.parse()) {
                (Some(path), _) => Self::File(path),
                (None, Ok(index)) => Self::Index(index),
                (None, Err(_)) => Self::Named(text.into()),
            },
        })
    }
}

impl FromStr for MicrophoneChoice {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "default" => Self::Default,
            "tone" => Self::Tone,
            "none" => Self::None,
            _ => file(text, ".wav").map_or_else(|| Self::Named(text.into()), Self::File),
        })
    }
}

impl FromStr for SpeakerChoice {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "default" => Self::Default,
            "none" => Self::None,
            _ => file(text, ".wav").map_or_else(|| Self::Named(text.into()), Self::File),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_files_and_names_are_told_apart() {
        for (text, choice) in [
            ("", CameraChoice::Default),
            ("default", CameraChoice::Default),
            ("pattern", CameraChoice::Pattern),
            ("none", CameraChoice::None),
            ("2", CameraChoice::Index(2)),
            ("film.Y4M", CameraChoice::File("film.Y4M".into())),
            ("HD Webcam", CameraChoice::Named("HD Webcam".into())),
        ] {
            assert_eq!(text.parse(), Ok(choice), "{text}");
        }
        assert_eq!("tone".parse(), Ok(MicrophoneChoice::Tone));
        assert_eq!("tone".parse(), Ok(SpeakerChoice::Named("tone".into())), "only a microphone hears one");
        assert_eq!("a.wav".parse(), Ok(MicrophoneChoice::File("a.wav".into())));
        assert_eq!("a.wav".parse(), Ok(SpeakerChoice::File("a.wav".into())));
    }
}
