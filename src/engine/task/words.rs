//! What the task hears: of a connection, of the other side over it, of the media threads.

use super::Task;
use super::link::Carrier;
use crate::device::DeviceKind;
use crate::engine::{Event, RemotePeer};
use crate::net::{Link, NetEvent};
use crate::pipeline::MediaEvent;
use crate::ports::PeerId;
use crate::room::call::{CallState, Happening, Rescue};
use crate::room::message::Message;
use crate::units::{Bitrate, Resolution};
use std::time::Instant;

impl Task {
    pub(super) async fn handle_net(&mut self, id: PeerId, event: NetEvent) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(peer) = &link.peer else { return };
        match event {
            NetEvent::Link(path) => match path {
                Link::Connecting => {}
                Link::Connected => {
                    match link.call.state() {
                        CallState::Reconnecting { rescue: Rescue::Connecting { .. }, .. } => {
                            link.fresh.iter_mut().for_each(|fresh| fresh.stay_a_while(Instant::now()));
                        }
                        _ => self.drop_fresh(id),
                    }
                    self.happen(id, Happening::Connected);
                }
                Link::Interrupted => self.happen(id, Happening::Interrupted),
                Link::Failed | Link::Closed => self.happen(id, Happening::LinkFailed),
            },
            NetEvent::ControlOpen => {
                link.peer.iter_mut().for_each(|peer| peer.control_open = true);
                self.say(id, &self.hello(id));
                self.tell_our_ways(id);
                self.tell_view(id);
                self.tell_hand(id);
                self.begin_trust(id).await;
            }
            // They may have closed it to go on over a fresh connection: it is no farewell.
            NetEvent::ControlClosed => link.peer.iter_mut().for_each(|peer| peer.control_open = false),
            NetEvent::Control(text) => self.handle_message(id, &text).await,
            NetEvent::KeyframeWanted => peer.media.request_keyframe(),
            NetEvent::VideoTarget(target) => self.share_target(id, target).await,
            NetEvent::AudioLoss(share) => peer.media.set_audio_loss(share),
            NetEvent::SenderReport(report) => peer.media.sender_report(report),
            NetEvent::ForwardedReport(name, report) => self.hear_forwarded_report(id, &name, report),
            NetEvent::LayerKeyframeWanted(layer) => peer.media.request_layer_keyframe(layer),
            NetEvent::Offline(offline) => self.face.tell(Event::Offline(offline)),
            NetEvent::Knock(guest) => self.let_in(id, guest).await,
            NetEvent::BrowserKnock(guest) => self.let_in_browser(id, *guest),
            NetEvent::Reach(reach) if link.carrier == Carrier::People => self.face.tell(Event::Reach(reach)),
            NetEvent::Reach(_) => {}
            NetEvent::Moved => self.move_the_invite(id),
            NetEvent::TurnedAway(turned) => self.happen(id, Happening::TurnedAway(turned)),
        }
    }

    async fn handle_message(&mut self, id: PeerId, text: &str) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(peer) = &mut link.peer else { return };
        match Message::from_json(text) {
            Some(Message::Hello { name, microphone_muted, camera_stopped, waiting, id: member }) => {
                if let Carrier::Room(expected) = link.carrier
                    && member != Some(expected)
                {
                    tracing::warn!(link = id.0, "somebody else has come than was introduced");
                    return self.happen(id, Happening::HangUp);
                }
                // Who has said once who it is stays that.
                let is_known = link.member.is_some();
                link.member = link.member.or(member);
                let before = std::mem::take(&mut peer.remote);
                peer.remote = RemotePeer { name: name.clone(), microphone_muted, camera_stopped, ..before };
                peer.greeted = true;
                peer.media.camera_stopped(camera_stopped);
                let renamed = link.member.filter(|_| is_known && link.counts);
                if let Some(member) = renamed {
                    let _ = self.room.roster.handle_link(Instant::now(), member, &name);
                }
                self.tell_remote(id);
                self.tell_view(id);
                self.hear_whether_we_wait(id, waiting);
                self.meet(id);
                self.settle_room();
            }
            Some(Message::Admit) => {
                self.hear_whether_we_wait(id, false);
                self.meet(id);
                self.settle_room();
            }
            Some(Message::Refuse) => self.happen(id, Happening::Refused),
            Some(Message::View { member, width, height, shown }) => {
                let drawn = shown.then_some(Resolution::new(width, height));
                match member {
                    None => self.hear_view(id, Some(drawn)),
                    Some(member) => self.hear_forwarded_view(id, member, drawn).await,
                }
            }
            Some(Message::Direct { wanted }) => self.hear_direct(id, wanted),
            Some(Message::Mix { members }) => {
                link.routes.mix = members;
                self.stirred = true;
            }
            Some(Message::Offer { sdp }) => {
                self.hear_offer(id, &sdp).await;
                self.stirred = true;
            }
            Some(Message::Answer { sdp }) => {
                self.hear_answer(id, &sdp).await;
                self.stirred = true;
            }
            Some(Message::Layer { layer, wanted, kbps, .. }) => {
                self.hear_layer(id, layer, wanted.then(|| Bitrate::from_kbps(kbps.into())));
                self.stirred = true;
            }
            Some(Message::Mute { microphone_muted, camera_stopped }) => {
                peer.remote.microphone_muted = microphone_muted;
                peer.remote.camera_stopped = camera_stopped;
                peer.media.camera_stopped(camera_stopped);
                self.tell_remote(id);
            }
            Some(message @ (Message::Members(_) | Message::Pass(_) | Message::Silence)) => {
                self.handle_room(id, message);
            }
            Some(Message::Candidate { candidate }) => {
                if let Err(error) = peer.connection.add_candidate(&candidate).await {
                    tracing::debug!(%error, "a late candidate was not taken");
                }
            }
            Some(
                message @ (Message::TrustCommit { .. }
                | Message::TrustNonce { .. }
                | Message::TrustReveal { .. }),
            ) => self.handle_trust(id, &message),
            Some(gesture @ (Message::Hand { .. } | Message::Reaction { .. })) => {
                self.hear_gesture(id, &gesture);
            }
            Some(Message::Bye) => self.happen(id, Happening::Bye),
            None => tracing::debug!(bytes = text.len(), "a control message was not understood"),
        }
    }

    pub(super) fn handle_media(&mut self, event: MediaEvent) {
        let runs = match &event {
            MediaEvent::Opened { kind, .. } => Some((*kind, true)),
            MediaEvent::Failed { kind, .. } | MediaEvent::Stopped { kind, .. } => Some((*kind, false)),
            MediaEvent::Missing { .. }
            | MediaEvent::MicrophoneLevel(_)
            | MediaEvent::SpeaksWhileMuted
            | MediaEvent::NeedsKeyframe(_) => None,
        };
        match event {
            MediaEvent::Opened { kind, name, picture } => {
                tracing::info!(%kind, name, ?picture, "device runs");
                self.face.tell(Event::Opened { kind, name, picture });
            }
            MediaEvent::Failed { kind, error } | MediaEvent::Stopped { kind, error } => {
                tracing::info!(%kind, %error, "device");
                self.face.tell(Event::Failed { kind, error });
            }
            MediaEvent::Missing { kind, name } => {
                tracing::info!(%kind, name, "the chosen device is missing; another one stands in");
                self.face.tell(Event::Missing { kind, name });
            }
            // On its way here the microphone may have been unmuted.
            MediaEvent::SpeaksWhileMuted if !self.microphone_muted => {}
            MediaEvent::SpeaksWhileMuted => self.face.tell(Event::SpeaksWhileMuted),
            MediaEvent::MicrophoneLevel(level) => {
                self.microphone_level = level;
                self.tell_levels();
            }
            MediaEvent::NeedsKeyframe(id) => self.ask_for_keyframe(id),
        }
        match runs {
            Some((DeviceKind::Camera, runs)) if runs != self.camera_runs => {
                self.camera_runs = runs;
                self.say_to_all(&self.mute());
            }
            Some((DeviceKind::Microphone, runs)) if runs != self.microphone_runs => {
                self.microphone_runs = runs;
                self.say_to_all(&self.mute());
            }
            _ => {}
        }
    }
}
