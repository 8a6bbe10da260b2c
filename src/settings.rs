//! What the user chose and the program remembers between runs.

use crate::choice::{CameraChoice, MicrophoneChoice, SpeakerChoice, TopologyChoice};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// An ICE server as WebRTC takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:host:port` or `turn:host:port?transport=udp`.
    pub url: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password: String,
}

impl IceServer {
    pub const GOOGLE_STUN: &str = "stun:stun.l.google.com:19302";

    pub fn stun(url: &str) -> Self {
        Self { url: url.into(), user: String::new(), password: String::new() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    #[default]
    System,
    Dark,
    Light,
}

/// How much of fans, keyboards and streets is taken out of our voice. Older files say `true` or `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "StoredSuppression")]
pub enum NoiseSuppression {
    Off,
    /// For music, and where little is to be taken out.
    Low,
    #[default]
    High,
}

/// What stands in a file: a word, or the switch that it once was.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredSuppression {
    Switch(bool),
    /// A word of a newer version is one that is not known: the default.
    Word(String),
}

impl From<StoredSuppression> for NoiseSuppression {
    fn from(stored: StoredSuppression) -> Self {
        match stored {
            StoredSuppression::Switch(false) => Self::Off,
            StoredSuppression::Switch(true) => Self::High,
            StoredSuppression::Word(word) => match word.as_str() {
                "off" => Self::Off,
                "low" => Self::Low,
                _ => Self::High,
            },
        }
    }
}

/// How many may come in with one invite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guests {
    #[default]
    One,
    /// It stays open as long as the call.
    Many,
}

/// Everything on the settings screen. A field that is missing or unknown in the file takes its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub name: String,
    /// As `--camera` takes it; empty: the first one.
    pub camera: String,
    pub microphone: String,
    pub speaker: String,
    pub ice_servers: Vec<IceServer>,
    pub theme: Theme,
    pub noise_suppression: NoiseSuppression,
    pub automatic_gain: bool,
    /// Own picture as in a mirror; the others see it unmirrored.
    pub mirror_self: bool,
    /// Whoever comes with an invite waits until they are let in.
    pub ask_first: bool,
    pub guests: Guests,
    /// Of calls of more than two that we are the host of.
    pub topology: TopologyChoice,
    /// In such calls we ask for one picture and one sound of everybody.
    pub one_picture: bool,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub max_kbps: u32,
    /// A port of the router may be opened while a code is out or a call runs.
    pub port_mapping: bool,
    /// This machine's own addresses stay out of codes.
    pub hide_addresses: bool,
    /// People in the same network see the name while the first screen is open, and can call.
    pub nearby: bool,
    /// The server room that was joined last.
    pub server_address: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            camera: String::new(),
            microphone: String::new(),
            speaker: String::new(),
            ice_servers: vec![IceServer::stun(IceServer::GOOGLE_STUN)],
            theme: Theme::System,
            noise_suppression: NoiseSuppression::High,
            automatic_gain: true,
            mirror_self: true,
            ask_first: false,
            guests: Guests::One,
            topology: TopologyChoice::Automatic,
            one_picture: false,
            width: 1280,
            height: 720,
            fps: 30,
            max_kbps: 2500,
            port_mapping: true,
            hide_addresses: false,
            nearby: true,
            server_address: String::new(),
        }
    }
}

impl Settings {
    /// Where the settings live; `None` on a system without a home. `TWOCAN_CONFIG` names another file.
    pub fn path() -> Option<PathBuf> {
        if let Some(path) = std::env::var_os("TWOCAN_CONFIG") {
            return Some(path.into());
        }
        let folders = directories::ProjectDirs::from("net", "Twocan", "Twocan")?;
        Some(folders.config_dir().join("settings.json"))
    }

    /// What is in the file; the defaults where there is none. A damaged file is kept aside as `settings.json.bad`.
    pub fn load(path: &Path) -> Self {
        let Ok(text) = std::fs::read_to_string(path) else { return Self::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the settings file is damaged; starting with defaults");
            let _ = std::fs::rename(path, path.with_extension("json.bad"));
            Self::default()
        })
    }

    /// Writes beside the file and then renames, so that a crash leaves the old or the new one whole.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let unfinished = path.with_extension(format!("{}.part", std::process::id()));
        std::fs::write(&unfinished, serde_json::to_string_pretty(self)?)?;
        std::fs::rename(unfinished, path)
    }

    pub fn camera_choice(&self) -> CameraChoice {
        self.camera.parse().unwrap_or_default()
    }
    pub fn microphone_choice(&self) -> MicrophoneChoice {
        self.microphone.parse().unwrap_or_default()
    }
    pub fn speaker_choice(&self) -> SpeakerChoice {
        self.speaker.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_restart_and_a_damaged_file() {
        let folder = std::env::temp_dir().join(format!("twocan-settings-{}", std::process::id()));
        let path = folder.join("settings.json");
        let settings = Settings { name: "Ann 安".into(), theme: Theme::Light, ..Settings::default() };
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path), settings);
        std::fs::write(&path, "{ not json").unwrap();
        assert_eq!(Settings::load(&path), Settings::default());
        assert!(folder.join("settings.json.bad").exists(), "what the user had is kept");
        std::fs::write(&path, r#"{"name":"Bo","from_a_newer_version":1}"#).unwrap();
        assert_eq!(Settings::load(&path).name, "Bo");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn noise_suppression_was_a_switch_once() {
        for (stored, meant) in [
            ("true", NoiseSuppression::High),
            ("false", NoiseSuppression::Off),
            ("\"off\"", NoiseSuppression::Off),
            ("\"low\"", NoiseSuppression::Low),
            ("\"high\"", NoiseSuppression::High),
            ("\"extreme\"", NoiseSuppression::High),
        ] {
            let file = format!(r#"{{"name":"Bo","noise_suppression":{stored},"automatic_gain":false}}"#);
            let settings: Settings = serde_json::from_str(&file).unwrap();
            assert_eq!((settings.noise_suppression, settings.name.as_str()), (meant, "Bo"), "{stored}");
            assert!(!settings.automatic_gain);
            let again: Settings = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
            assert_eq!(again, settings);
        }
    }
}
