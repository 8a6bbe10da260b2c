//! What a session description says about itself, as far as a person has to be told: kind, identity, candidates. The full
//! reading is the network layer's, which also agrees on a video format.

use super::candidate::Candidate;
use super::{InviteError, Kind};

/// The description with every line ended by CR LF, and nothing else in it.
pub fn normalised(sdp: &str) -> Result<String, InviteError> {
    let mut normal = String::with_capacity(sdp.len() + 2);
    for line in sdp.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !is_line(line) {
            return Err(InviteError::Altered);
        }
        normal.push_str(line);
        normal.push_str("\r\n");
    }
    if normal.starts_with("v=0\r\n") { Ok(normal) } else { Err(InviteError::Altered) }
}

/// Whether this may be a line of a session description: one letter, `=`, a value.
pub fn is_line(line: &str) -> bool {
    matches!(line.as_bytes(), [letter, b'=', ..] if letter.is_ascii_lowercase())
}

/// Finds the reason why the description cannot lead to a call. `kind` is what came with it; a bare SDP says it by
/// its DTLS role: only an offer leaves the choice open.
pub fn check(sdp: &str, kind: Option<Kind>) -> Result<Kind, InviteError> {
    let media: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    let is_bundle_cut = || {
        let mids = |line: &str| line.strip_prefix("a=group:BUNDLE ").map(|mids| mids.split(' ').count());
        sdp.lines().find_map(mids).is_some_and(|mids| mids > media.len())
    };
    let is_candidate_cut = || candidate_lines(sdp).any(|line| Candidate::parse(line).is_none());
    let bare = kind.is_none();
    if bare && (media.is_empty() || is_bundle_cut() || is_candidate_cut()) {
        return Err(InviteError::CutOff);
    }
    if media.is_empty() {
        return Err(InviteError::NotWebRtc("sound and video"));
    }
    if attribute(sdp, "fingerprint").is_none() {
        return Err(InviteError::NotWebRtc("the fingerprint of its key"));
    }
    if attribute(sdp, "ice-ufrag").is_none() || attribute(sdp, "ice-pwd").is_none() {
        return Err(InviteError::NotWebRtc("the ICE user name or password"));
    }
    let kind = match (kind, attribute(sdp, "setup")) {
        (Some(kind), _) => kind,
        (None, Some("actpass")) => Kind::Invite,
        (None, Some("active" | "passive")) => Kind::Reply,
        (None, _) => {
            return Err(InviteError::NotWebRtc("the a=setup line that tells an invite from a reply"));
        }
    };
    // Who trickles sends the candidates after the description; they are pasted one by one then.
    let is_trickled = sdp.lines().any(|line| line.starts_with("a=ice-options:") && line.contains("trickle"));
    let is_complete = sdp.lines().any(|line| line == "a=end-of-candidates");
    if candidates(sdp).is_empty() && (is_complete || !is_trickled) {
        return Err(InviteError::NoCandidates);
    }
    Ok(kind)
}

/// Fingerprint and ICE user name: no two peer connections share both.
pub fn identity(sdp: &str) -> Option<(&str, &str)> {
    Some((attribute(sdp, "fingerprint")?, attribute(sdp, "ice-ufrag")?))
}

/// SHA-256 of the certificate that the other end has to show. `None` unless the description names exactly one: with two
/// to choose from, nobody could say which of them is in use.
pub fn fingerprint(sdp: &str) -> Option<[u8; 32]> {
    let mut values = sdp.lines().filter_map(|line| line.trim().strip_prefix("a=fingerprint:"));
    let parse = |value: &str| -> Option<[u8; 32]> {
        let (hash, hex) = value.split_once(' ')?;
        let byte = |pair: &str| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2);
        let bytes: Option<Vec<u8>> = hex.trim().split(':').take(33).map(byte).collect();
        bytes?.try_into().ok().filter(|_| hash.eq_ignore_ascii_case("sha-256"))
    };
    let first = parse(values.next()?)?;
    values.all(|value| parse(value) == Some(first)).then_some(first)
}

/// The usable candidates, each once, without `a=`. Those of component 2 are left out: RTP and RTCP share a port.
pub fn candidates(sdp: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for line in candidate_lines(sdp) {
        if let Some(candidate) = Candidate::parse(line)
            && candidate.component == 1
            && seen.insert(candidate.to_string())
        {
            found.push(line.trim_start_matches("a=").to_owned());
        }
    }
    found
}

fn candidate_lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.lines().filter(|line| line.starts_with("a=candidate:"))
}

/// The value of the first `a=name:value` line.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    sdp.lines().find_map(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn a_fingerprint_is_the_only_one() {
        let line = |byte: &str| format!("a=fingerprint:sha-256 {}\r\n", vec![byte; 32].join(":"));
        assert_eq!(fingerprint(&line("AB")), Some([0xab; 32]));
        assert_eq!(fingerprint(&format!("{}m=audio\r\n{}", line("AB"), line("ab"))), Some([0xab; 32]));
        // webrtc takes a certificate that fits any of them.
        for other in [line("AC"), "a=fingerprint:sha-1 AB\r\n".into(), "a=fingerprint:\r\n".into()] {
            assert_eq!(fingerprint(&format!("{}{other}", line("AB"))), None);
        }
        for none in ["", "a=fingerprint:sha-256 AB:CD", "a=fingerprint:sha-256", "a=fingerprint:md5 +A"] {
            assert_eq!(fingerprint(none), None);
        }
    }
}
