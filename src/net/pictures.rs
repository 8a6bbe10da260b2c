//! Which codec pictures travel in, one for both directions: H.264 if both sides have it, else VP8, else none at all.
//!
//! ```text
//!   our offer        H264, VP8 (if this program has it)
//!   their offer      the best that both have ---> everything else is taken out before webrtc reads it,
//!   their answer     what they name first   --->  so that our answer, and what we send, is that one
//! ```
//! webrtc prepares a sender for the codec of its track as it stands when the answer is read, so the track's codec is
//! set before that ([`prepare`]).

use super::media;
use crate::invite::Kind;
use crate::units::VideoCodec;
use std::sync::Arc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpSender;

/// Takes out of the other side's description what is not agreed on. `None`: there is no codec that both have, and the
/// section is refused; sound and data are as they were. `ours`: best first.
pub(super) fn agree(sdp: &str, kind: Kind, ours: &[VideoCodec]) -> (String, Option<VideoCodec>) {
    let mut agreed = None;
    let mut text = String::with_capacity(sdp.len());
    let mut rest = sdp;
    while !rest.is_empty() {
        let end = rest.find("\nm=").map_or(rest.len(), |at| at + 1);
        let section;
        (section, rest) = rest.split_at(end);
        if section.starts_with("m=video ") {
            let section = Section::read(section);
            let codec = section.choose(kind, ours);
            agreed = agreed.or(codec);
            text.push_str(&section.with_only(codec));
        } else {
            text.push_str(section);
        }
    }
    (text, agreed)
}

/// Our answer to an offer of pictures that we cannot show.
pub(super) fn refuse(answer: &str) -> String {
    let (text, _) = agree(answer, Kind::Reply, &[]);
    let refused: Vec<&str> = text
        .split("\nm=")
        .filter(|section| section.starts_with("video 0 "))
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("a=mid:")))
        .collect();
    // What is refused is in no bundle (RFC 8843, section 7.3.3).
    let line = |line: &str| match line.strip_prefix("a=group:BUNDLE ") {
        Some(mids) => {
            let kept: Vec<&str> = mids.split(' ').filter(|mid| !refused.contains(mid)).collect();
            format!("a=group:BUNDLE {}\r\n", kept.join(" "))
        }
        None => format!("{line}\r\n"),
    };
    text.lines().map(line).collect()
}

/// A video section of a description.
struct Section<'a> {
    lines: Vec<&'a str>,
    /// In the order in which they are preferred: payload type and what it is.
    formats: Vec<(&'a str, &'a str)>,
    /// A retransmission's payload type, and that of what it repeats.
    repairs: Vec<(&'a str, &'a str)>,
    refused: bool,
}

impl<'a> Section<'a> {
    fn read(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let words: Vec<&str> = lines.first().map_or("", |line| line).split(' ').collect();
        let after = |name: &str| {
            let lines: Vec<(&str, &str)> =
                lines.iter().filter_map(|line| line.strip_prefix(name)?.split_once(' ')).collect();
            lines
        };
        let maps = after("a=rtpmap:");
        let name = |of: &str| {
            let (_, map) = maps.iter().find(|(payload_type, _)| *payload_type == of)?;
            map.split('/').next()
        };
        let formats = words.iter().skip(3).filter_map(|of| Some((*of, name(of)?))).collect();
        let original =
            |parameters: &'a str| parameters.split(';').find_map(|one| one.trim().strip_prefix("apt="));
        let repairs = after("a=fmtp:")
            .into_iter()
            .filter_map(|(of, parameters)| Some((of, original(parameters)?)))
            .collect();
        // A section with port 0 only lives in the bundle if it says so.
        let refused = words.get(1) == Some(&"0") && !lines.contains(&"a=bundle-only");
        Self { lines, formats, repairs, refused }
    }

    fn choose(&self, kind: Kind, ours: &[VideoCodec]) -> Option<VideoCodec> {
        if self.refused {
            return None;
        }
        let is = |codec: &VideoCodec, name: &str| name.eq_ignore_ascii_case(codec.name());
        match kind {
            Kind::Invite => {
                ours.iter().find(|codec| self.formats.iter().any(|(_, name)| is(codec, name))).copied()
            }
            Kind::Reply => {
                let known = |(_, name): &(&str, &str)| ours.iter().find(|codec| is(codec, name)).copied();
                self.formats.iter().find_map(known)
            }
        }
    }

    /// The section without the other codec of the two, or refused.
    fn with_only(&self, codec: Option<VideoCodec>) -> String {
        let Some(codec) = codec else { return self.with_none() };
        let other = match codec {
            VideoCodec::H264 => VideoCodec::Vp8,
            VideoCodec::Vp8 => VideoCodec::H264,
        };
        let mut gone: Vec<&str> = self
            .formats
            .iter()
            .filter(|(_, name)| name.eq_ignore_ascii_case(other.name()))
            .map(|(of, _)| *of)
            .collect();
        let repairs: Vec<&str> =
            self.repairs.iter().filter(|(_, of)| gone.contains(of)).map(|(repair, _)| *repair).collect();
        gone.extend(repairs);
        let is_about_gone = |line: &str| {
            let value =
                ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|name| line.strip_prefix(name));
            value.is_some_and(|value| gone.contains(&value.split(' ').next().unwrap_or_default()))
        };
        let kept = self.lines.iter().filter(|line| !is_about_gone(line)).map(|line| {
            if line.starts_with("m=") {
                let words = line.split(' ').enumerate();
                let words = words.filter(|(at, word)| *at < 3 || !gone.contains(word)).map(|(_, word)| word);
                words.collect::<Vec<_>>().join(" ")
            } else {
                (*line).to_owned()
            }
        });
        kept.map(|line| line + "\r\n").collect()
    }

    /// Port 0, nothing in either direction (RFC 3264, section 6). A format has to stay: one that webrtc knows.
    fn with_none(&self) -> String {
        let mid = self.lines.iter().filter(|line| line.starts_with("a=mid:"));
        let mid: String = mid.map(|line| format!("{line}\r\n")).collect();
        let format = media::H264;
        format!(
            "m=video 0 UDP/TLS/RTP/SAVPF {format}\r\nc=IN IP4 0.0.0.0\r\n{mid}a=rtpmap:{format} H264/90000\r\na=inactive\r\n"
        )
    }
}

/// Leaves open in our offer which codec it will be.
pub(super) async fn offer_all(connection: &dyn PeerConnection, video: &Arc<dyn RtpSender>) {
    for transceiver in connection.get_transceivers().await {
        let sender = transceiver.sender().await.ok().flatten();
        if sender.is_some_and(|sender| sender.id() == video.id())
            && let Err(error) = transceiver.set_codec_preferences(Vec::new()).await
        {
            tracing::warn!(%error, "only H264 is offered");
        }
    }
}

/// Makes the sender one of this codec. What is written to its first track goes on to go out.
pub(super) async fn prepare(
    video: &Arc<dyn RtpSender>,
    codec: Option<VideoCodec>,
    ssrc: u32,
    retransmission: u32,
) -> Result<(), webrtc::error::Error> {
    match codec {
        Some(VideoCodec::Vp8) => {
            let track = media::video_track(VideoCodec::Vp8, ssrc, retransmission);
            video.replace_track(track as Arc<dyn TrackLocal>).await
        }
        Some(VideoCodec::H264) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VideoCodec::{H264, Vp8};

    const BOTH: &[VideoCodec] = &[H264, Vp8];

    fn chromium() -> String {
        "v=0\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
         m=video 9 X 96 97 102 103 98\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\n\
         a=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1\r\na=rtpmap:103 rtx/90000\r\n\
         a=fmtp:103 apt=102;rtx-time=3000\r\na=rtpmap:98 VP9/90000\r\na=sendrecv\r\n\
         m=application 9 Y webrtc-datachannel\r\na=mid:2\r\n"
            .into()
    }

    #[test]
    fn an_offer_is_answered_with_the_best_and_an_answer_read_by_its_order() {
        let rows: [(Kind, &[VideoCodec], _); 6] = [
            (Kind::Invite, BOTH, Some(H264)),
            (Kind::Invite, &[H264], Some(H264)),
            (Kind::Invite, &[Vp8], Some(Vp8)),
            (Kind::Reply, BOTH, Some(Vp8)),
            (Kind::Reply, &[H264], Some(H264)),
            (Kind::Reply, &[], None),
        ];
        for (kind, ours, expected) in rows {
            assert_eq!(agree(&chromium(), kind, ours).1, expected, "{kind:?} {ours:?}");
        }
    }

    #[test]
    fn only_the_other_codec_is_taken_out() {
        let (text, _) = agree(&chromium(), Kind::Invite, BOTH);
        assert!(text.contains("m=video 9 X 102 103 98\r\n") && !text.contains("VP8"), "{text}");
        assert!(!text.contains(":96") && !text.contains(":97") && text.contains("apt=102;rtx-time=3000"));
        assert!(text.ends_with("m=application 9 Y webrtc-datachannel\r\na=mid:2\r\n"));
        assert!(text.starts_with("v=0\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\n"));
        let (text, _) = agree(&chromium(), Kind::Reply, BOTH);
        assert!(text.contains("m=video 9 X 96 97 98\r\n") && !text.contains("H264"), "{text}");
        // What has one of them alone stays as it is.
        let alone = text;
        assert_eq!(agree(&alone, Kind::Invite, BOTH), (alone.clone(), Some(Vp8)));
    }

    #[test]
    fn without_a_codec_in_common_pictures_are_refused_and_nothing_else() {
        for (kind, sdp) in [
            (Kind::Invite, chromium().replace("VP8", "AV1").replace("H264", "H265")),
            (Kind::Reply, chromium().replace("m=video 9", "m=video 0")),
        ] {
            let (text, agreed) = agree(&sdp, kind, BOTH);
            assert_eq!(agreed, None);
            assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF 125\r\n") && text.contains("\r\na=mid:1\r\n"));
            assert!(text.contains("m=audio 9 X 111\r\n") && text.contains("m=application 9 Y"));
        }
        let sound = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\n";
        assert_eq!(agree(sound, Kind::Invite, BOTH), (sound.to_owned(), None));
    }

    #[test]
    fn a_refusal_stands_outside_of_the_bundle() {
        let answer = chromium().replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1 2\r\n");
        let refused = refuse(&answer);
        assert!(
            refused.contains("a=group:BUNDLE 0 2\r\n") && refused.contains("\r\nm=video 0 "),
            "{refused}"
        );
        assert_eq!(refused.matches("m=").count(), 3);
        assert_eq!(agree(&refused, Kind::Reply, BOTH).1, None);
        let sound = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\n";
        assert_eq!(refuse(sound), sound);
    }

    #[test]
    fn hostile_sections_are_no_panic() {
        let whole = chromium();
        for end in 0..whole.len() {
            let _ = agree(&whole[..end], Kind::Invite, BOTH);
        }
        for odd in [
            "m=video ",
            "m=video",
            "\nm=video \n\na=rtpmap:\na=fmtp: apt=",
            "m=video 9 X 96\na=rtpmap:96 ",
            "",
        ] {
            let _ = agree(odd, Kind::Reply, BOTH);
        }
    }
}
