//! What is offered and taken: Opus (alone, and with copies of earlier packets: RED), H.264 and VP8 with their feedback,
//! and the two tracks we send.

use super::NetError;
use super::intercept::{NAMES_OF_STREAMS, TRANSPORT_CC};
use crate::codec;
use crate::invite::VP8_PAYLOAD_TYPES;
use crate::relay::MAX_LAYERS;
use crate::units::VideoCodec;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
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
const RED: u8 = 63;
pub(super) const H264: u8 = 125;
const RTX: u8 = 107;
/// What the sizes of a layered picture are called, the largest first (high, medium, low).
pub(super) const RIDS: [&str; MAX_LAYERS] = ["h", "m", "l"];
/// Sound that carries its packets before it once more (RFC 2198).
pub(super) const MIME_TYPE_RED: &str = "audio/red";

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: AUDIO_CLOCK,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: vec![],
    }
}

fn red() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RED.into(),
        clock_rate: AUDIO_CLOCK,
        channels: 2,
        // One copy, as browsers say it; how many there are in a packet is told by the packet.
        sdp_fmtp_line: format!("{OPUS}/{OPUS}"),
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

fn vp8() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.into(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![],
    }
}

/// Retransmissions of another payload type.
fn rtx(of: u8) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.into(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: format!("apt={of}"),
        rtcp_feedback: vec![],
    }
}

/// `layered`: our picture goes out in several sizes, and each packet says which it is of.
pub(super) fn media_engine(layered: bool) -> Result<MediaEngine, NetError> {
    let internal = |error: rtc::shared::error::Error| NetError::Internal(error.to_string());
    let mut engine = MediaEngine::default();
    let mut codecs = vec![
        // Opus first: a browser that sees the copies first would always send them.
        (opus(), OPUS, RtpCodecKind::Audio),
        (red(), RED, RtpCodecKind::Audio),
        (h264(), H264, RtpCodecKind::Video),
        (rtx(H264), RTX, RtpCodecKind::Video),
    ];
    if codec::video_codecs().contains(&VideoCodec::Vp8) {
        let (payload_type, repair) = VP8_PAYLOAD_TYPES;
        codecs.push((vp8(), payload_type, RtpCodecKind::Video));
        codecs.push((rtx(payload_type), repair, RtpCodecKind::Video));
    }
    for (rtp_codec, payload_type, kind) in codecs {
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
    for uri in NAMES_OF_STREAMS.into_iter().filter(|_| layered) {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.into() };
        engine.register_header_extension(extension, RtpCodecKind::Video, None).map_err(internal)?;
    }
    Ok(engine)
}

/// The negotiated payload types of sound: Opus, and Opus with copies if the other side takes them.
pub(super) fn sound(codecs: &[RTCRtpCodecParameters]) -> (Option<u8>, Option<u8>) {
    let find = |mime_type: &str| {
        codecs.iter().find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(mime_type))
    };
    let opus = find(MIME_TYPE_OPUS).map(|codec| codec.payload_type);
    let of_opus = |codec: &&RTCRtpCodecParameters| {
        codec.rtp_codec.sdp_fmtp_line.split('/').all(|inner| inner.trim().parse().ok() == opus)
    };
    (opus, find(MIME_TYPE_RED).filter(of_opus).map(|codec| codec.payload_type))
}

/// The negotiated payload type of pictures.
pub(super) fn pictures(codecs: &[RTCRtpCodecParameters], agreed: VideoCodec) -> Option<u8> {
    let is = |mime_type: &str| {
        mime_type.strip_prefix("video/").is_some_and(|name| name.eq_ignore_ascii_case(agreed.name()))
    };
    codecs.iter().find(|codec| is(&codec.rtp_codec.mime_type)).map(|codec| codec.payload_type)
}

/// The track of one kind, which stays bound to its sender for the life of the connection: webrtc never binds a
/// track that replaces another.
fn track(
    stream: &str,
    id: &str,
    kind: RtpCodecKind,
    codec: RTCRtpCodec,
    ssrc: u32,
    rtx: Option<u32>,
) -> Arc<TrackLocalStaticRTP> {
    // One stream for both: a browser then plays them in sync.
    let encodings = vec![encoding("", codec, ssrc, rtx)];
    let stream = MediaStreamTrack::new(stream.into(), id.into(), id.into(), kind, encodings);
    Arc::new(TrackLocalStaticRTP::new(stream))
}

/// `rid`: what the packets call it, where a track has several (RFC 8851).
fn encoding(rid: &str, codec: RTCRtpCodec, ssrc: u32, rtx: Option<u32>) -> RTCRtpEncodingParameters {
    let rtx = rtx.map(|ssrc| RTCRtpRtxParameters { ssrc });
    RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: rid.into(),
            ssrc: Some(ssrc),
            rtx,
            ..Default::default()
        },
        codec,
        ..Default::default()
    }
}

/// One picture in several sizes, the largest first: the SSRC of each, and that of its retransmissions.
pub(super) fn layered_track(layers: &[(u32, u32)]) -> Arc<TrackLocalStaticRTP> {
    let encodings =
        layers.iter().zip(RIDS).map(|((ssrc, rtx), rid)| encoding(rid, h264(), *ssrc, Some(*rtx)));
    let (stream, id) = ("twocan".to_owned(), "video".to_owned());
    let stream = MediaStreamTrack::new(stream, id.clone(), id, RtpCodecKind::Video, encodings.collect());
    Arc::new(TrackLocalStaticRTP::new(stream))
}

/// For what is forwarded of one member: one stream for both, which a browser plays in sync.
pub(super) fn forwarded_audio(stream: &str, ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    track(stream, &format!("{stream}-audio"), RtpCodecKind::Audio, opus(), ssrc, None)
}

pub(super) fn forwarded_video(stream: &str, ssrc: u32, retransmission: u32) -> Arc<TrackLocalStaticRTP> {
    track(stream, &format!("{stream}-video"), RtpCodecKind::Video, h264(), ssrc, Some(retransmission))
}

pub(super) fn audio_track(ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    track("twocan", "audio", RtpCodecKind::Audio, opus(), ssrc, None)
}

pub(super) fn video_track(codec: VideoCodec, ssrc: u32, retransmission: u32) -> Arc<TrackLocalStaticRTP> {
    let codec = match codec {
        VideoCodec::H264 => h264(),
        VideoCodec::Vp8 => vp8(),
    };
    track("twocan", "video", RtpCodecKind::Video, codec, ssrc, Some(retransmission))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_sent_only_of_the_negotiated_opus() {
        let codec = |mut rtp_codec: RTCRtpCodec, payload_type, line: &str| {
            rtp_codec.sdp_fmtp_line = line.into();
            RTCRtpCodecParameters { rtp_codec, payload_type }
        };
        for (line, expected) in [
            ("96/96", Some(63)),
            ("96/96/96", Some(63)),
            ("96", Some(63)),
            ("111/111", None),
            ("0/96", None),
            ("", None),
        ] {
            let codecs = [codec(red(), 63, line), codec(opus(), 96, "minptime=10")];
            assert_eq!(sound(&codecs), (Some(96), expected), "{line}");
        }
        assert_eq!(sound(&[codec(red(), 63, "111/111")]), (None, None));
    }
}
