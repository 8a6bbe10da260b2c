//! Tables of what people paste, and texts damaged at random.

use super::*;

/// As Chromium makes it, shortened to what the reader looks at.
const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
    a=msid-semantic: WMS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n\
    a=candidate:1 1 udp 2130706431 192.168.1.2 50000 typ host\r\n\
    a=candidate:1 2 udp 2130706430 192.168.1.2 50000 typ host\r\n\
    a=candidate:2 1 udp 1694498815 203.0.113.7 61234 typ srflx raddr 0.0.0.0 rport 50000\r\n\
    a=end-of-candidates\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 0F:74:31:25:CB:A2:13:EC:28:6F:6D:2C:61:FF:5D:C2\r\na=setup:actpass\r\na=mid:0\r\n\
    a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\n\
    c=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=fingerprint:sha-256 0F:74:31:25:CB:A2:13:EC:28:6F:6D:2C:61:FF:5D:C2\r\na=setup:actpass\r\na=mid:1\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:2\r\n\
    a=sctp-port:5000\r\n";

fn invite() -> Description {
    Description { kind: Kind::Invite, sdp: Redacted(OFFER.into()) }
}

fn reply() -> Description {
    let sdp = OFFER.replace("actpass", "active").replace("EsAw", "Qx7b").replace("0F:74", "A1:B2");
    Description { kind: Kind::Reply, sdp: Redacted(sdp) }
}

fn changed(from: &str, to: &str) -> String {
    let sdp = OFFER.replace(from, to);
    assert_ne!(sdp, OFFER, "{from}");
    encode(&Description { kind: Kind::Invite, sdp: Redacted(sdp) })
}

#[track_caller]
fn is_invite(text: &str) {
    assert_eq!(read(text), Ok(Pasted::Description(invite())), "{text}");
}

/// Breaks the text into lines of `width` characters, each after `prefix`.
fn wrapped(text: &str, width: usize, prefix: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(width).map(|line| format!("{prefix}{}\n", line.iter().collect::<String>())).collect()
}

#[test]
fn a_code_is_one_line_and_comes_back_as_it_was() {
    for description in [invite(), reply()] {
        let code = encode(&description);
        assert!(code.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)), "{code}");
        assert_eq!(read(&code), Ok(Pasted::Description(description)));
    }
}

#[test]
fn every_shape_a_description_comes_in_is_read() {
    let (code, json) = (encode(&invite()), invite().to_json());
    let url = code.replace('+', "-").replace('/', "_");
    is_invite(&url);
    is_invite(url.trim_end_matches('='));
    is_invite(&json);
    is_invite(OFFER);
    is_invite(&OFFER.replace("\r\n", "\n"));
    is_invite(&OFFER.replace("\r\n", "\\r\\n"));
    is_invite(&STANDARD.encode(OFFER));
    is_invite(&STANDARD.encode(json.replace("{\"", "{\n  \"")));
    is_invite(&json.replace("{\"", "{\n  \"").replace("\",\"", "\",\n  \""));
    is_invite(&serde_json::to_string(&json).unwrap());
    is_invite(&format!("'{json}'"));
    is_invite(&format!("{{\"sdp\":{json}}}"));
    is_invite(&format!("[{json}]"));
}

#[test]
fn what_messengers_do_to_a_code_is_undone() {
    let code = encode(&invite());
    for text in [&code, &code.replace('=', ""), &invite().to_json(), &OFFER.to_owned()] {
        is_invite(&format!("\u{feff} \t\r\n{text}\n\n  "));
        is_invite(&format!("“{text}”"));
        is_invite(&format!("`{text}`"));
        is_invite(&format!("```text\n{text}\n```"));
        is_invite(&format!("Ann wrote:\n```\n{text}\n```\nSee you!"));
        is_invite(&text.lines().map(|line| format!("> > {line}\n")).collect::<String>());
        is_invite(&text.replace("AA", "A\u{200b}A").replace("a=", "a\u{2060}="));
    }
    for text in [&code, &invite().to_json()] {
        for width in [1, 7, 64, 76, 80] {
            is_invite(&wrapped(text, width, ""));
            is_invite(&wrapped(text, width, "> ").replace('\n', "\r\n"));
        }
    }
    is_invite(&format!("I reworked it, here is the code: {code} (copy all of it)"));
    is_invite(&format!("[12:30] Ann: {code}"));
    is_invite(&format!("https://twocan.example/#{code}"));
}

#[test]
fn single_candidates_are_read() {
    let line = "candidate:1 1 udp 2130706431 192.168.1.2 50000 typ host";
    let rows = [
        line.to_owned(),
        format!("  a={line}\r\n"),
        format!("> {line}"),
        format!("{{\"candidate\":\"{line}\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}}"),
        format!("{{\"type\":\"candidate\",\"candidate\":{{\"candidate\":\"{line}\",\"sdpMid\":\"0\"}}}}"),
        STANDARD.encode(format!("{{\"candidate\":\"{line}\"}}")),
    ];
    for text in rows {
        assert_eq!(read(&text), Ok(Pasted::Candidate(Redacted(line.into()))), "{text}");
        assert_eq!(expect(&text, Kind::Reply, None), Err(InviteError::OnlyCandidate));
    }
    assert_eq!(read(&format!("{line}\n{line}")), Err(InviteError::SeveralCandidates));
    for text in ["candidate:1 1 udp 213", "{\"candidate\":\"\"}", "{\"candidate\":\"candidate:7\"}"] {
        assert_eq!(read(text), Err(InviteError::BadCandidate), "{text}");
    }
}

#[test]
fn what_cannot_work_says_why() {
    use InviteError as E;
    let code = encode(&invite());
    let no_candidates =
        OFFER.lines().filter(|line| !line.contains("candidate")).collect::<Vec<_>>().join("\r\n");
    let rows = [
        ("", E::Empty),
        (" \u{200b}\n> \n```\n", E::Empty),
        ("hello", E::NotACode),
        ("{}", E::NotACode),
        ("{\"type\":\"rollback\",\"sdp\":\"\"}", E::NotACode),
        ("[1,2,3]", E::NotACode),
        ("{ what?", E::NotACode),
        ("correct horse battery staple", E::NotACode),
        ("https://example.org/watch?v=0", E::NotACode),
        ("eyJ0eXBl", E::CutOff),
        ("v=0\r\n", E::CutOff),
        (&code[..code.len() / 2], E::CutOff),
        (&code[..code.len() - 8], E::CutOff),
        (&code[1..], E::CutOff),
        (&code[100..], E::CutOff),
        (&code[102..], E::CutOff),
        (&format!("{}…", &code[..400]), E::CutOff),
        (&format!("{}🙂{}", &code[..400], &code[402..]), E::Altered),
        (&OFFER[..OFFER.len() / 2], E::CutOff),
        (&OFFER[300..], E::CutOff),
        (&invite().to_json()[..500], E::CutOff),
        (&OFFER.replace("a=setup", "a-setup"), E::Altered),
        (&changed("o=-", "oo=-"), E::Altered),
        (&changed("a=ice-ufrag:", "a=ice-nothing:"), E::NotWebRtc("the ICE user name or password")),
        (&changed("a=fingerprint:", "a=nothing:"), E::NotWebRtc("the fingerprint of its key")),
        (&changed("candidate:", "nothing:"), E::NoCandidates),
        (&no_candidates.replace("a=ice-options:trickle\r\n", ""), E::NoCandidates),
        (
            &OFFER.replace("a=setup:actpass", "a=setup:holdconn"),
            E::NotWebRtc("the a=setup line that tells an invite from a reply"),
        ),
    ];
    for (text, error) in rows {
        assert_eq!(read(text), Err(error), "{text}");
    }
    assert!(read(&no_candidates).is_ok(), "who trickles sends the candidates one by one");
    let no_video = changed("m=video 9", "m=video 0").replace("H264", "VP9");
    assert!(read(&no_video).is_ok(), "a rejected picture leaves the sound");
    assert!(read(&changed("H264", "AV1")).is_ok(), "and so does one that cannot be shown");
}

#[test]
fn each_reason_is_a_sentence_that_fits_a_window() {
    use InviteError as E;
    for error in [
        E::Empty,
        E::NotACode,
        E::CutOff,
        E::Altered,
        E::TooLarge,
        E::OwnCode(Kind::Invite),
        E::OwnCode(Kind::Reply),
        E::ReplyNotInvite,
        E::InviteNotReply,
        E::OtherInvite,
        E::NoCandidates,
        E::NotWebRtc("it"),
        E::OnlyCandidate,
        E::BadCandidate,
        E::SeveralCandidates,
    ] {
        let text = error.to_string();
        assert!(text.ends_with('.') && text.len() < 200 && !text.contains("  "), "{text}");
    }
}

#[test]
fn only_the_kind_that_is_needed_is_taken() {
    let (invite, reply) = (invite(), reply());
    let (invite_code, reply_code) = (encode(&invite), encode(&reply));
    assert_eq!(expect(&invite_code, Kind::Invite, None), Ok(invite.clone()));
    assert_eq!(expect(&reply_code, Kind::Reply, Some(&invite)), Ok(reply.clone()));
    assert_eq!(expect(&invite_code, Kind::Reply, Some(&reply)), Err(InviteError::InviteNotReply));
    assert_eq!(expect(&reply_code, Kind::Invite, None), Err(InviteError::ReplyNotInvite));
    assert_eq!(expect(&invite_code, Kind::Reply, Some(&invite)), Err(InviteError::OwnCode(Kind::Invite)));
    assert_eq!(expect(&reply_code, Kind::Invite, Some(&reply)), Err(InviteError::OwnCode(Kind::Reply)));
    assert_eq!(expect(OFFER, Kind::Invite, Some(&invite)), Err(InviteError::OwnCode(Kind::Invite)));
}

#[test]
fn candidates_are_listed_once() {
    let lines = [
        "candidate:1 1 udp 2130706431 192.168.1.2 50000 typ host",
        "candidate:2 1 udp 1694498815 203.0.113.7 61234 typ srflx raddr 0.0.0.0 rport 50000",
    ];
    assert_eq!(candidates(&invite()), lines);
    let doubled = Description { kind: Kind::Invite, sdp: Redacted(format!("{OFFER}{OFFER}")) };
    assert_eq!(candidates(&doubled), lines);
}

#[test]
fn codes_do_not_reach_a_log() {
    let pasted = read("candidate:1 1 udp 1 192.168.1.2 50000 typ host").unwrap();
    let shown = format!("{:?} {:?} {pasted:?}", invite(), Pasted::Description(invite()));
    assert!(!shown.contains("192.168") && !shown.contains("EsAw"), "{shown}");
}

#[test]
fn junk_of_any_size_is_refused_without_work() {
    // So long that a single pass over it per try would take minutes in all.
    for junk in [
        "x",
        "eyJ",
        "{\"",
        "[",
        "> ",
        "v=0\n",
        "candidate:1 ",
        "/eyJ",
        " eyJeyJeyJeyJeyJeyJeyJeyJ",
        "\u{200b}",
        "🙂",
    ] {
        let junk = junk.repeat(10_000_000 / junk.len());
        for _ in 0..10_000 {
            assert_eq!(read(&junk), Err(InviteError::TooLarge));
        }
        assert!(read(&junk[..junk.floor_char_boundary(MAX_TEXT)]).is_err());
    }
}

/// Marsaglia's xorshift: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn no_damage_makes_the_reader_panic() {
    let shapes = [
        encode(&invite()),
        encode(&reply()),
        invite().to_json(),
        OFFER.to_owned(),
        wrapped(&encode(&reply()), 60, "> "),
    ];
    for seed in 1..=4_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bytes = shapes[random.below(shapes.len())].clone().into_bytes();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(..at)),
                2 => bytes.insert(at, random.below(256) as u8),
                3 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (seed % 8)),
                4 => {
                    let copy: Vec<u8> = bytes.iter().skip(at).take(random.below(200)).copied().collect();
                    bytes.splice(at..at, copy);
                }
                _ => bytes.splice(at..at, "\\\"{}[]:,\n\u{200b}“é🙂".bytes()).for_each(drop),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(Pasted::Description(description)) = read(&text) {
            // What was taken holds together: it survives the way out and in again.
            assert_eq!(read(&encode(&description)), Ok(Pasted::Description(description)), "seed {seed}");
        }
        let _ = expect(&text, Kind::Invite, Some(&reply()));
    }
}
