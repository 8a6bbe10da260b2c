//! The compact code of a browser: what `assets/web/index.html` shows, of some 182 characters.
//!
//! A browser does not let a page choose its ICE user name and password, nor its payload types, so nothing follows from
//! a secret here: the code carries them. Head, whitening, candidates and checksum are those of [`compact`]; version 7
//! in the head tells the two apart.
//!
//! ```text
//!  bytes   2..34  SHA-256 of the DTLS certificate
//!          1      setup: 0 actpass, 1 active, 2 passive
//!          ..     ICE user name, then password: one byte of length, then 6 bits a character, filled up with zeros
//!          6      payload types of opus, red, H264, its rtx, VP8, its rtx; 0: has none
//!          1      header extension of the transport-wide sequence number: for sound (high 4 bits), for video
//!          12     SSRCs of sound, video and its rtx; 0: has none
//!          ..     candidates
//! ```
//!
//! Only read here: the page writes it, letter by letter the same description ([`expand`]) as its own.
//!
//! [`compact`]: super::compact

use super::candidate::Candidate;
use super::compact::{read_candidate, take};
use super::template::{candidate_line, source, to_hex};
use super::{Description, Kind};
use crate::units::Redacted;
use std::fmt::Write as _;

/// In the three highest bits of a code's first byte.
pub const VERSION: u8 = 7;

/// ice-chars (RFC 8839, section 5.1) in the order of their six bits.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// RFC 8839, section 5.4.
const LEAST_UFRAG: usize = 4;
const LEAST_PASSWORD: usize = 22;
const SETUPS: [&str; 3] = ["actpass", "active", "passive"];
const CONGESTION: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What a browser's description boils down to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    kind: Kind,
    fingerprint: [u8; 32],
    setup: &'static str,
    ufrag: String,
    password: Redacted<String>,
    opus: u8,
    red: u8,
    /// Name, payload type, payload type of its retransmissions or 0.
    video: Vec<(&'static str, u8, u8)>,
    /// Ids of the header extension, for sound and video; 0: has none.
    congestion: [u8; 2],
    /// SSRCs of sound, video and retransmissions.
    streams: [u32; 3],
    pub candidates: Vec<Candidate>,
}

impl Browser {
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Whether either side may begin the DTLS handshake: so in an offer.
    pub fn is_open(&self) -> bool {
        self.setup == SETUPS[0]
    }
}

/// What the number in the head of a code says.
pub fn kind(number: u8) -> Option<Kind> {
    [Kind::Invite, Kind::Reply].get(usize::from(number)).copied()
}

/// `rest` is what stands behind the head, unwhitened and checked. `None`: this cannot be one.
pub fn decode(kind: Kind, mut rest: &[u8]) -> Option<Browser> {
    let rest = &mut rest;
    let fingerprint = *take::<32>(rest)?;
    let [setup] = *take::<1>(rest)?;
    let setup = *SETUPS.get(usize::from(setup))?;
    let ufrag = unpack(rest).filter(|ufrag| ufrag.len() >= LEAST_UFRAG)?;
    let password = unpack(rest).filter(|password| password.len() >= LEAST_PASSWORD)?;
    let [opus, red, h264, h264_repair, vp8, vp8_repair] = *take::<6>(rest)?;
    let [congestion] = *take::<1>(rest)?;
    let mut streams = [0; 3];
    for stream in &mut streams {
        *stream = u32::from_be_bytes(*take::<4>(rest)?);
    }
    let mut candidates = Vec::new();
    while !rest.is_empty() {
        candidates.push(read_candidate(rest)?);
    }
    let video = [("H264", h264, h264_repair), ("VP8", vp8, vp8_repair)];
    (opus != 0).then(|| Browser {
        kind,
        fingerprint,
        setup,
        ufrag,
        password: Redacted(password),
        opus,
        red,
        video: video.into_iter().filter(|(_, payload_type, _)| *payload_type != 0).collect(),
        congestion: [congestion >> 4, congestion & 0xf],
        streams,
        candidates,
    })
}

fn unpack(from: &mut &[u8]) -> Option<String> {
    let length = usize::from(take::<1>(from)?[0]);
    let (packed, rest) = from.split_at_checked((length * 6).div_ceil(8))?;
    *from = rest;
    let char_at = |index: usize| {
        let (byte, shift) = (index * 6 / 8, index * 6 % 8);
        let pair = u16::from(packed[byte]) << 8 | u16::from(packed.get(byte + 1).copied().unwrap_or(0));
        char::from(ICE_CHARS[usize::from(pair >> (10 - shift) & 0x3f)])
    };
    Some((0..length).map(char_at).collect())
}

/// The whole description, as the page itself writes it.
pub fn expand(browser: &Browser) -> Description {
    let Browser { kind, setup, congestion, streams, .. } = browser;
    let credentials = format!("a=ice-ufrag:{}\na=ice-pwd:{}\n", browser.ufrag, browser.password.0);
    let transport = |mid: u8| format!("c=IN IP4 0.0.0.0\na=setup:{setup}\na=mid:{mid}\n{credentials}");
    let stream = |ssrc: u32, label: &str| if ssrc == 0 { String::new() } else { source(ssrc, label) };
    let has_video = !browser.video.is_empty();
    let session = crc32fast::hash(&browser.fingerprint);
    let semantic = if *kind == Kind::Reply { "a=msid-semantic:WMS *\n" } else { "" };
    let bundle = if has_video { "0 1 2" } else { "0 2" };
    let fingerprint = to_hex(&browser.fingerprint);
    let mut lines = format!(
        "v=0\no=- {session} 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{semantic}a=fingerprint:sha-256 {fingerprint}\n\
         a=extmap-allow-mixed\na=group:BUNDLE {bundle}\n"
    );

    let (opus, red) = (browser.opus, browser.red);
    let formats = if red == 0 { opus.to_string() } else { format!("{opus} {red}") };
    let _ = write!(
        lines,
        "m=audio 9 UDP/TLS/RTP/SAVPF {formats}\n{}a=rtcp-mux\na=rtcp-rsize\na=rtpmap:{opus} opus/48000/2\n\
         a=fmtp:{opus} minptime=10;useinbandfec=1\n{}",
        transport(0),
        feedback(opus, congestion[0], &[]),
    );
    if red != 0 {
        let feedback = feedback(red, congestion[0], &[]);
        let _ = write!(lines, "a=rtpmap:{red} red/48000/2\na=fmtp:{red} {opus}/{opus}\n{feedback}");
    }
    lines += &extension(congestion[0]);
    let _ = write!(lines, "a=msid:twocan audio\n{}a=sendrecv\n", stream(streams[0], "audio"));
    for (index, candidate) in browser.candidates.iter().enumerate() {
        let _ = writeln!(lines, "a={}", candidate_line(index, candidate));
    }
    lines += "a=end-of-candidates\n";

    if has_video {
        lines += &video(browser, &transport(1));
        lines += &stream(streams[1], "video");
        lines += &stream(streams[2], "video");
        lines += "a=sendrecv\n";
    } else {
        // Refused: the section keeps its place.
        lines += "m=video 0 UDP/TLS/RTP/SAVPF 125\nc=IN IP4 0.0.0.0\na=mid:1\na=rtpmap:125 H264/90000\na=inactive\n";
    }
    let _ = write!(
        lines,
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=setup:{setup}\na=mid:2\na=sendrecv\n\
         a=sctp-port:5000\na=max-message-size:65536\n{credentials}"
    );
    Description { kind: *kind, sdp: Redacted(lines.replace('\n', "\r\n")) }
}

/// The video section up to its streams.
fn video(browser: &Browser, transport: &str) -> String {
    let id = browser.congestion[1];
    let mut formats = String::new();
    let mut maps = String::new();
    for &(name, of, repair) in &browser.video {
        let _ = write!(formats, " {of}");
        let _ = writeln!(maps, "a=rtpmap:{of} {name}/90000");
        if name == "H264" {
            let _ = writeln!(
                maps,
                "a=fmtp:{of} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
            );
        }
        maps += &feedback(of, id, PICTURES);
        if repair != 0 {
            let _ = write!(formats, " {repair}");
            let feedback = feedback(repair, id, PICTURES);
            let _ = write!(maps, "a=rtpmap:{repair} rtx/90000\na=fmtp:{repair} apt={of}\n{feedback}");
        }
    }
    let mut lines =
        format!("m=video 9 UDP/TLS/RTP/SAVPF{formats}\n{transport}a=rtcp-mux\na=rtcp-rsize\n{maps}");
    lines += &extension(id);
    lines += "a=msid:twocan video\n";
    if browser.streams[2] != 0 {
        let _ = writeln!(lines, "a=ssrc-group:FID {} {}", browser.streams[1], browser.streams[2]);
    }
    lines
}

const PICTURES: &[&str] = &["nack", "nack pli", "ccm fir"];

fn feedback(payload_type: u8, congestion: u8, kinds: &[&str]) -> String {
    let transport = (congestion != 0).then_some(&"transport-cc");
    kinds.iter().chain(transport).map(|kind| format!("a=rtcp-fb:{payload_type} {kind}\n")).collect()
}

fn extension(id: u8) -> String {
    if id == 0 { String::new() } else { format!("a=extmap:{id} {CONGESTION}\n") }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::invite::{Identity, Pasted, read as read_code, sdp};

    /// A browser's code without candidates.
    fn bytes(fingerprint: &[u8], ufrag: &str, password: &str, streams: [u32; 3]) -> Vec<u8> {
        let pack = |text: &str| {
            let bit = |value: usize, at: usize| (value >> (5 - at) & 1) as u8;
            let place = |byte| ICE_CHARS.iter().position(|char| *char == byte).unwrap();
            let bits: Vec<u8> =
                text.bytes().flat_map(|byte| (0..6).map(move |at| bit(place(byte), at))).collect();
            let byte = |bits: &[u8]| (0..8).fold(0, |byte, at| byte << 1 | bits.get(at).unwrap_or(&0));
            [vec![text.len() as u8], bits.chunks(8).map(byte).collect()].concat()
        };
        let streams: Vec<u8> = streams.iter().flat_map(|stream| stream.to_be_bytes()).collect();
        let types = [111, 63, 125, 107, 0, 0, 0x11];
        [fingerprint, &[0], &pack(ufrag), &pack(password), &types, &streams].concat()
    }

    /// The offer of some browser.
    pub fn offer() -> Description {
        let bytes = bytes(&[9; 32], "Lufr", "0123456789abcdefghijkl+/", [1, 2, 3]);
        expand(&decode(Kind::Invite, &bytes).unwrap())
    }

    /// An offer with our payload types, and how it stands in a code.
    pub fn distil(offer: &Description) -> (Browser, Vec<u8>) {
        let text = &offer.sdp.0;
        let all = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
            lines.into_iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect::<Vec<u32>>()
        };
        let mut streams = all("a=ssrc:");
        streams.dedup();
        let attribute = |name| sdp::attribute(text, name).unwrap();
        let bytes = bytes(
            &sdp::fingerprint(text).unwrap(),
            attribute("ice-ufrag"),
            attribute("ice-pwd"),
            streams.try_into().unwrap(),
        );
        (decode(Kind::Invite, &bytes).unwrap(), bytes)
    }

    /// The answer to it of whoever goes by this identity.
    pub fn answer(offer: Browser, fingerprint: [u8; 32], identity: &Identity) -> Browser {
        Browser {
            kind: Kind::Reply,
            setup: "active",
            fingerprint,
            ufrag: identity.ufrag.clone(),
            password: identity.password.clone(),
            streams: [identity.audio, identity.video, identity.retransmission],
            ..offer
        }
    }

    /// Made by the page in Chromium.
    const GOLDEN: &str = "2can4EDoKsWiMMuu93O3ZhN08w1xAR98s83v2yq5XnCrVvdzh10wlDv0JSMzrPIDe3vnbXdryN7I8PZhucmcSDCxos1kZWTpVfQ1E6eW2r2jUkaZx4dhUojVeIqAy9GOvVPlsHKdR88E6H4kocAkv9v3YJdqRLJfQr9ib6nn5Ata9aUexxW73w";

    #[test]
    fn a_browsers_code_is_understood() {
        let Ok(Pasted::Description(invite)) = read_code(&format!("Hi, {GOLDEN} is it")) else {
            panic!("the code is not read");
        };
        assert_eq!(invite.kind, Kind::Invite);
        let sdp = &invite.sdp.0;
        for line in [
            "a=setup:actpass",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:63 red/48000/2",
            "a=group:BUNDLE 0 1 2",
        ] {
            assert!(sdp.lines().any(|found| found == line), "{line} is not in\n{sdp}");
        }
        assert!(sdp.contains("H264/90000") && sdp.contains("VP8/90000") && sdp.contains(" typ host\r\n"));
        // In the full form it says the same.
        let full = crate::invite::encode_full(&invite);
        assert_eq!(read_code(&full), Ok(Pasted::Description(invite)));
    }

    #[test]
    fn letters_of_six_bits_are_unpacked() {
        let packed = [5, 0x00, 0x10, 0x83, 0xfc, 9];
        let mut rest = &packed[..];
        assert_eq!(unpack(&mut rest).as_deref(), Some("ABCD/"));
        assert_eq!(rest, [9]);
        assert_eq!(unpack(&mut &[200, 1, 2][..]), None);
        assert_eq!(unpack(&mut &[][..]), None);
    }

    #[test]
    fn damaged_bytes_are_no_panic() {
        let mut bytes = vec![7; 32];
        bytes.extend([0, 4, 1, 2, 3, 22]);
        bytes.extend([9; 17]);
        bytes.extend([111, 63, 103, 104, 96, 97, 0x33]);
        bytes.extend([1; 12]);
        bytes.extend([0, 10, 0, 0, 7, 200, 1]);
        let whole = decode(Kind::Invite, &bytes).expect("it is whole");
        assert!(expand(&whole).sdp.0.contains("10.0.0.7 51201 typ host"));
        for end in 0..bytes.len() {
            let cut = decode(Kind::Invite, &bytes[..end]);
            assert!(cut.is_none_or(|cut| cut.candidates.is_empty()), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                if let Some(browser) = decode(Kind::Reply, &bad) {
                    let _ = expand(&browser);
                }
            }
        }
        assert_eq!((kind(0), kind(1), kind(2)), (Some(Kind::Invite), Some(Kind::Reply), None));
    }
}
