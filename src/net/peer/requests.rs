//! Requests for keyframes of what comes in. A small task, so that whoever asks never waits.

use crate::net::monitor::Monitor;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::sync::Arc;
use tokio::sync::{Notify, watch as cell};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::TrackRemote;

/// By which track of the connection a request leaves: webrtc takes none by a section's other direction.
#[derive(Clone)]
pub(super) enum Requests {
    AlongOurs(Arc<TrackLocalStaticRTP>),
    AlongTheirs(cell::Receiver<Option<Arc<dyn TrackRemote>>>),
}

impl Requests {
    /// Asks for a keyframe of this stream.
    pub async fn ask(&self, monitor: &Monitor, media_ssrc: u32) {
        use webrtc::media_stream::track_local::TrackLocal;
        let is_of_room = matches!(self, Self::AlongTheirs(_)) && monitor.streams.knows(media_ssrc);
        // Among the streams of a room Janus (1.1.2) looks for the number of whoever asks, and in a request for a keyframe
        // for no other (`ice.c`, `janus_rtcp_get_receiver_ssrc`): it finds the stream's own.
        let sender_ssrc = if is_of_room { media_ssrc } else { monitor.ssrcs.video };
        let request = PictureLossIndication { sender_ssrc, media_ssrc };
        let sent = match self {
            Self::AlongOurs(track) => track.write_rtcp(vec![Box::new(request)]).await,
            Self::AlongTheirs(track) => {
                // What is sent without having been asked for begins with a keyframe.
                let Some(track) = track.borrow().clone() else { return };
                track.write_rtcp(vec![Box::new(request)]).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a keyframe could not be asked for");
        }
    }
}

/// Those of the other end's own picture.
pub(super) async fn run(wanted: Arc<Notify>, requests: Requests, monitor: Arc<Monitor>) {
    loop {
        wanted.notified().await;
        if let Some(media_ssrc) = monitor.remote_video() {
            requests.ask(&monitor, media_ssrc).await;
        }
    }
}
