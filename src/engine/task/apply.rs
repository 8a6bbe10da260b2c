//! New settings, from the window, while everything runs.

use super::Task;
use crate::device;
use crate::net::PortMapping;
use crate::settings::Settings;
use crate::units::{Bitrate, Resolution};

impl Task {
    /// Takes over what has changed; what the command line set stays unless the user changes it in the window.
    pub(super) fn apply(&mut self, new: Settings) {
        let old = std::mem::replace(&mut self.settings, new);
        let new = &self.settings;
        if new.camera != old.camera {
            self.media.set_camera(new.camera_choice());
        }
        if new.microphone != old.microphone {
            self.media.set_microphone(new.microphone_choice());
        }
        if new.speaker != old.speaker {
            self.media.set_speaker(new.speaker_choice());
        }
        if (new.width, new.height, new.fps) != (old.width, old.height, old.fps) {
            self.media.set_picture(device::PictureRequest {
                resolution: Resolution::new(new.width, new.height),
                fps: new.fps,
            });
        }
        self.call.set_asks(new.ask_first);
        self.media.set_noise_suppression(new.noise_suppression);
        self.media.set_automatic_gain(new.automatic_gain);
        if new.ice_servers != old.ice_servers {
            self.net.ice_servers = new.ice_servers.clone();
            self.network.follow(&self.net);
        }
        if new.hide_addresses != old.hide_addresses {
            self.net.hide_addresses = new.hide_addresses;
        }
        if new.port_mapping != old.port_mapping {
            self.net.port_mapping = if new.port_mapping { PortMapping::on() } else { PortMapping::default() };
            self.net.port_mapping.prepare();
        }
        if new.max_kbps != old.max_kbps {
            self.net.max_bitrate = Some(Bitrate::from_kbps(new.max_kbps.into()));
        }
        if new.ask_first != old.ask_first && !self.call.state().in_call() {
            self.shut_the_door();
        }
        if self.settings.name != old.name {
            let hello = self.hello();
            self.say(&hello);
            self.announce_again();
        }
    }
}
