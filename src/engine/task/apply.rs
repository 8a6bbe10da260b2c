//! New settings, while the engine runs.

use super::Task;
use super::link::Carrier;
use crate::device::PictureRequest;
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
            self.media.set_picture(PictureRequest {
                resolution: Resolution::new(new.width, new.height),
                fps: new.fps,
            });
        }
        let by_people = self.links.values_mut().filter(|link| link.carrier == Carrier::People);
        by_people.for_each(|link| link.call.set_asks(new.ask_first));
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
        if new.ask_first != old.ask_first {
            let outside = self.links.iter().filter(|(_, link)| !link.call.state().in_call());
            outside.for_each(|(id, _)| self.shut_the_door(*id));
        }
        if self.settings.topology != old.topology {
            self.choose_topology(self.settings.topology);
        }
        if self.settings.name != old.name {
            let name = crate::room::message::clean_name(&self.settings.name);
            self.links.keys().for_each(|id| self.say(*id, &self.hello(*id)));
            self.room.roster.rename(std::time::Instant::now(), &name);
            self.settle_room();
            self.announce_again();
        }
    }
}
