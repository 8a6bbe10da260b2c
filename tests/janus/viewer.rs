//! Somebody in a room who says on how many pixels the others are drawn, as a window does.

use crate::PATIENCE;
use std::collections::BTreeMap;
use std::time::Duration;
use twocan::device::{CameraChoice, MicrophoneChoice, SpeakerChoice};
use twocan::engine::server::Goal;
use twocan::engine::{Command, Engine, EngineSetup, Event};
use twocan::net::NetConfig;
use twocan::pipeline::MediaSetup;
use twocan::ports::PeerId;
use twocan::settings::Settings;
use twocan::stats::PeerStats;
use twocan::units::Resolution;

pub struct Viewer {
    engine: Engine,
    names: BTreeMap<PeerId, String>,
    stats: BTreeMap<PeerId, PeerStats>,
}

impl Viewer {
    pub fn join(name: &str, address: &str) -> Self {
        let engine = Engine::start(EngineSetup {
            settings: Settings { name: name.into(), ..Settings::default() },
            media: MediaSetup {
                camera: CameraChoice::None,
                microphone: MicrophoneChoice::Tone,
                speaker: SpeakerChoice::None,
                ..MediaSetup::default()
            },
            net: NetConfig::default(),
            wake: None,
        });
        let address = address.parse().unwrap();
        let goal = Goal::Room { address, pin: None, token: None, create: false };
        engine.send(Command::Visit(Box::new(goal)));
        Self { engine, names: BTreeMap::new(), stats: BTreeMap::new() }
    }

    /// Draws the member of this name on so many pixels until their picture is this wide. Gives its statistics.
    pub fn draws(&mut self, name: &str, drawn: Resolution, width: u32) -> PeerStats {
        let end = std::time::Instant::now() + PATIENCE;
        let mut said = None;
        loop {
            assert!(
                std::time::Instant::now() < end,
                "{name} does not become {width} wide: {:?}",
                self.stats.values().map(|stats| stats.inbound.video.frame_width).collect::<Vec<_>>()
            );
            self.hear();
            let Some((id, _)) = self.names.iter().find(|(_, known)| *known == name) else { continue };
            if said != Some(*id) {
                self.engine.send(Command::View(*id, Some(drawn)));
                said = Some(*id);
            }
            if let Some(stats) = self.stats.get(id)
                && stats.inbound.video.frame_width == width
            {
                return stats.clone();
            }
        }
    }

    fn hear(&mut self) {
        match self.engine.wait_event(Duration::from_millis(100)) {
            Some(Event::Remote(id, remote)) => drop(self.names.insert(id, remote.name)),
            Some(Event::Left(id)) => drop(self.names.remove(&id)),
            Some(Event::Stats(stats, people)) => {
                self.stats = people.into_iter().map(|(id, _)| id).zip(stats.peers).collect();
            }
            _ => {}
        }
    }
}
