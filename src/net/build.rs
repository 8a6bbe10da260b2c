//! webrtc's connection as we want it: its settings, its parts and what it calls back.

use super::keys::Keys;
use super::monitor::Monitor;
use super::runtime::DriverRuntime;
use super::{Link, NetConfig, NetError, control, intercept, media};
use crate::invite::Identity;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch as cell;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCBundlePolicy,
    RTCConfigurationBuilder, RTCIceConnectionState, RTCIceGatheringState, RTCIceServer,
    RTCIceTransportPolicy, RTCPeerConnectionState, SettingEngine, SettingEngineBuilder,
};

/// Checks of a pair before it is given up: as many as webrtc's counter takes, hours.
const CHECKS: u16 = u16::MAX - 1;
/// Checks are the sign of life of a silent call, so they are frequent.
const KEEPALIVE: Duration = Duration::from_millis(500);
/// Only counts in a call that may use nothing but relays: the others are watched more closely (see `watch`).
const DISCONNECTED_AFTER: Duration = Duration::from_millis(2500);
/// A direct path is preferred if it comes up within these.
const REFLEXIVE_WAIT: Duration = Duration::from_millis(100);
const RELAY_WAIT: Duration = Duration::from_millis(500);

/// Builds the connection and starts its driver; without mDNS if the machine has no multicast.
pub(super) async fn build(
    config: &NetConfig,
    addresses: Vec<SocketAddr>,
    servers: Vec<RTCIceServer>,
    settings: impl Fn(MulticastDnsMode) -> SettingEngine,
    keys: &Keys,
    layered: bool,
    handler: Arc<Handler>,
) -> Result<Arc<dyn PeerConnection>, NetError> {
    let mut failure = None;
    for mdns in [MulticastDnsMode::QueryOnly, MulticastDnsMode::Disabled] {
        let policy =
            if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(servers.clone())
            .with_ice_transport_policy(policy)
            .with_bundle_policy(RTCBundlePolicy::MaxBundle)
            .with_certificates(vec![keys.certificate.clone()])
            .build();
        let built = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media::media_engine(layered)?)
            .with_setting_engine(settings(mdns))
            .with_interceptor_registry(intercept::registry(&handler.monitor))
            .with_handler(handler.clone())
            .with_runtime(handler.runtime.clone())
            .with_udp_addrs(addresses.clone())
            .with_data_channel_send_buffer_limit(control::SEND_BUFFER)
            .build()
            .await;
        match built {
            Ok(connection) => return Ok(Arc::new(connection)),
            Err(error) => {
                tracing::info!(%error, ?mdns, "the connection could not be built");
                failure = Some(error);
            }
        }
    }
    Err(failure.map_or(NetError::NoNetwork, internal))
}

pub(super) fn settings(mdns: MulticastDnsMode, checks: Duration, identity: &Identity) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_ice_credentials(identity.ufrag.clone(), identity.password.0.clone())
        .with_multicast_dns_mode(mdns)
        .with_ice_connection_attempts(Some(checks), Some(CHECKS))
        // Never failed: the other person may take an hour to paste, or come back from a tunnel.
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(Duration::ZERO), Some(KEEPALIVE))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(REFLEXIVE_WAIT))
        .with_relay_acceptance_min_wait(Some(RELAY_WAIT))
        .build()
}

/// webrtc's callbacks. They run inside its driver, so they only leave a note.
pub(super) struct Handler {
    pub gathered: cell::Sender<bool>,
    /// The other side's pictures, when they come.
    pub pictures: cell::Sender<Option<Arc<dyn TrackRemote>>>,
    pub monitor: Arc<Monitor>,
    pub runtime: Arc<DriverRuntime>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if track.kind().await == RtpCodecKind::Video {
            self.pictures.send_replace(Some(track));
        }
    }

    async fn on_ice_connection_state_change(&self, _: RTCIceConnectionState) {
        self.runtime.nudge();
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.runtime.nudge();
        let link = match state {
            RTCPeerConnectionState::Connected => Link::Connected,
            RTCPeerConnectionState::Disconnected => Link::Interrupted,
            RTCPeerConnectionState::Failed => Link::Failed,
            RTCPeerConnectionState::Closed => Link::Closed,
            RTCPeerConnectionState::New | RTCPeerConnectionState::Connecting => Link::Connecting,
            // States of later versions.
            _ => return,
        };
        self.monitor.set_link(Instant::now(), link);
    }
}

pub(super) fn internal(error: impl std::fmt::Display) -> NetError {
    NetError::Internal(error.to_string())
}
