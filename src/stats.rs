//! Statistics with the names and units of W3C webrtc-stats; counters are cumulative. Times are seconds.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Since the call was started or answered.
    pub seconds: f64,
    pub state: String,
    pub peers: Vec<PeerStats>,
    pub process: ProcessStats,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStats {
    pub name: String,
    pub inbound: Inbound,
    pub outbound: Outbound,
    pub candidate_pair: CandidatePair,
}

impl PeerStats {
    /// The codec of pictures while there is none that both sides have.
    pub const NO_CODEC: &str = "none";
    /// The reason why pictures are smaller than they might be: encoding them takes too long.
    pub const LIMITED_BY_CPU: &str = "cpu";

    /// Whether the two sides have no video codec in common: sound and messages pass, pictures do not.
    pub fn is_sound_only(&self) -> bool {
        self.inbound.video.codec == Self::NO_CODEC
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inbound {
    pub video: InboundVideo,
    pub audio: InboundAudio,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outbound {
    pub video: OutboundVideo,
    pub audio: OutboundAudio,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundVideo {
    pub codec: String,
    pub frames_received: u64,
    pub frames_decoded: u64,
    pub frames_dropped: u64,
    pub frames_per_second: f64,
    pub frame_width: u32,
    pub frame_height: u32,
    pub freeze_count: u64,
    pub total_freezes_duration: f64,
    pub packets_received: u64,
    pub packets_lost: i64,
    pub bytes_received: u64,
    /// Seconds.
    pub jitter: f64,
    /// Sum over all emitted frames, seconds.
    pub jitter_buffer_delay: f64,
    pub jitter_buffer_emitted_count: u64,
    pub total_decode_time: f64,
    pub nack_count: u64,
    pub pli_count: u64,
    pub key_frames_decoded: u64,
    /// Picture minus sound at the moment both are presented, in milliseconds; positive: the picture is late. Ours.
    pub sync_offset_ms: f64,
    /// From the sender's camera to our screen. Only while pictures carry the clock that the `pattern` camera draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glass_to_glass: Option<GlassToGlass>,
}

/// How old the pictures of the last minute were when they were shown, in milliseconds. Ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct GlassToGlass {
    pub p50: u32,
    pub p95: u32,
    /// Pictures in which the clock could be read.
    pub count: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundAudio {
    pub codec: String,
    pub packets_received: u64,
    pub packets_lost: i64,
    pub packets_discarded: u64,
    /// Copies of packets within later ones, and those of them that were not needed.
    pub fec_packets_received: u64,
    pub fec_packets_discarded: u64,
    pub bytes_received: u64,
    pub jitter: f64,
    pub jitter_buffer_delay: f64,
    pub jitter_buffer_target_delay: f64,
    pub jitter_buffer_emitted_count: u64,
    pub concealed_samples: u64,
    pub silent_concealed_samples: u64,
    pub concealment_events: u64,
    pub inserted_samples_for_deceleration: u64,
    pub removed_samples_for_acceleration: u64,
    pub total_samples_received: u64,
    pub audio_level: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundVideo {
    pub codec: String,
    pub frames_encoded: u64,
    pub key_frames_encoded: u64,
    pub frames_sent: u64,
    pub frames_per_second: f64,
    pub frame_width: u32,
    pub frame_height: u32,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub retransmitted_packets_sent: u64,
    pub target_bitrate: u64,
    pub total_encode_time: f64,
    /// `none`, `cpu`, `bandwidth` or `other`.
    pub quality_limitation_reason: String,
    pub nack_count: u64,
    pub pli_count: u64,
    /// From the receiver's reports.
    pub fraction_lost: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundAudio {
    pub codec: String,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub audio_level: f64,
    pub fraction_lost: f64,
    /// Decibels, as W3C's media-source has them: how much quieter the speaker's echo reaches the microphone, and how
    /// much more is taken off. Left out until an echo was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo_return_loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo_return_loss_enhancement: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidatePair {
    /// `host 127.0.0.1:5000 udp`.
    pub local: String,
    pub remote: String,
    pub current_round_trip_time: f64,
    pub available_outgoing_bitrate: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStats {
    pub cpu_seconds: f64,
    pub rss_bytes: u64,
}

impl ProcessStats {
    pub fn now() -> Self {
        Self {
            cpu_seconds: cpu_time::ProcessTime::try_now()
                .map_or(0.0, |time| time.as_duration().as_secs_f64()),
            rss_bytes: memory_stats::memory_stats().map_or(0, |memory| memory.physical_mem as u64),
        }
    }
}
