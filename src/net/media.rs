//! What is offered and taken: Opus and H.264 with their feedback, and the two tracks we send.

use super::NetError;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use std::sync::Arc;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

pub(super) const VIDEO_CLOCK: u32 = 90_000;
pub(super) const AUDIO_CLOCK: u32 = 48_000;
/// Payload types of our offers; an answer takes the numbers of the offer it answers.
const OPUS: u8 = 111;
const H264: u8 = 125;
const RTX: u8 = 107;
/// Transport-wide sequence numbers, which the bandwidth estimate needs.
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: AUDIO_CLOCK,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: vec![],
    }
}

fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.into(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".into(),
        rtcp_feedback: vec![],
    }
}

pub(super) fn media_engine() -> Result<MediaEngine, NetError> {
    let internal = |error: rtc::shared::error::Error| NetError::Internal(error.to_string());
    let mut engine = MediaEngine::default();
    let rtx = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.into(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: format!("apt={H264}"),
        rtcp_feedback: vec![],
    };
    for (rtp_codec, payload_type, kind) in [
        (opus(), OPUS, RtpCodecKind::Audio),
        (h264(), H264, RtpCodecKind::Video),
        (rtx, RTX, RtpCodecKind::Video),
    ] {
        let codec = RTCRtpCodecParameters { rtp_codec, payload_type };
        engine.register_codec(codec, kind).map_err(internal)?;
    }
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    for (typ, parameter) in [("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("transport-cc", "")] {
        engine.register_feedback(feedback(typ, parameter), RtpCodecKind::Video);
    }
    engine.register_feedback(feedback("transport-cc", ""), RtpCodecKind::Audio);
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        let extension = RTCRtpHeaderExtensionCapability { uri: TRANSPORT_CC.into() };
        engine.register_header_extension(extension, kind, None).map_err(internal)?;
    }
    Ok(engine)
}

/// The track of one kind, which stays bound to its sender for the life of the connection: webrtc never binds a
/// track that replaces another.
fn track(
    id: &str,
    kind: RtpCodecKind,
    codec: RTCRtpCodec,
    ssrc: u32,
    rtx: Option<u32>,
) -> Arc<TrackLocalStaticRTP> {
    let rtx = rtx.map(|ssrc| RTCRtpRtxParameters { ssrc });
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() },
        codec,
        ..Default::default()
    };
    // One stream for both: a browser then plays them in sync.
    let stream = MediaStreamTrack::new("twocan".into(), id.into(), id.into(), kind, vec![encoding]);
    Arc::new(TrackLocalStaticRTP::new(stream))
}

pub(super) fn audio_track(ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    track("audio", RtpCodecKind::Audio, opus(), ssrc, None)
}

pub(super) fn video_track(ssrc: u32, retransmission: u32) -> Arc<TrackLocalStaticRTP> {
    track("video", RtpCodecKind::Video, h264(), ssrc, Some(retransmission))
}
