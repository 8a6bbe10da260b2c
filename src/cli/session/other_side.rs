//! What the session says of the other side's sound and picture.

use super::Session;
use crate::stats::{PeerStats, Stats};

impl Session {
    /// Says, once, that there will be no pictures.
    pub(super) fn tell_format(&mut self, stats: &Stats) {
        let sound_only = stats.peers.iter().any(PeerStats::is_sound_only);
        if sound_only && !std::mem::replace(&mut self.told_sound_only, true) {
            self.say("Sound only: the other side has no video format that this one has too.");
        }
    }

    /// Says what the other side's microphone and camera do, if that is news.
    pub(super) fn tell_switches(&mut self) {
        let name = if self.remote.name.is_empty() { "The other person" } else { &self.remote.name };
        let mut sentences = Vec::new();
        if self.remote.microphone_muted != self.told.microphone_muted {
            let what = if self.remote.microphone_muted { "is muted" } else { "can be heard again" };
            sentences.push(format!("{name} {what}."));
        }
        if self.remote.camera_stopped != self.told.camera_stopped {
            let what = if self.remote.camera_stopped { "sends no picture" } else { "sends a picture again" };
            sentences.push(format!("{name} {what}."));
        }
        for sentence in sentences {
            self.say(&sentence);
        }
        self.told = self.remote.clone();
    }
}
