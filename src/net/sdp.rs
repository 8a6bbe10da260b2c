//! Session descriptions as they leave and come in: what webrtc prints twice is taken out, what a stranger may
//! send is limited.

use super::NetError;
use super::endpoint::hop::is_hop;
use super::roam::Keys;
use crate::room::diagnosis::Ways;
use std::net::{IpAddr, SocketAddr};

/// A description is a few kilobytes; a browser's with every codec is about twelve.
pub(super) const MAX_SDP: usize = 64 * 1024;
/// Two sections of a kilobyte for each of the most members, and as much for candidates.
const MAX_SDP_OF_SERVER: usize = 256 * 1024;
/// More ways to reach one machine than this are not tried.
const MAX_CANDIDATES: usize = 48;
const MAX_CANDIDATE_LINE: usize = 512;

/// Which of our candidates the other side is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    /// Relayed ones only.
    pub relay_only: bool,
    /// None of this machine's own addresses.
    pub hide_local: bool,
    /// Where the router passes packets on to us, whoever sends them.
    pub mapped: Option<SocketAddr>,
}

/// Our own description, ready to be handed over: each candidate once, `a=end-of-candidates` behind the last.
/// webrtc prints every candidate for RTP and again for RTCP, which share one port, and says that they are all only
/// if gathering was not cut short. The line with what our credentials come from, if they do, goes behind `t=`.
pub(super) fn finish(sdp: &str, shown: Shown, mark: Option<&str>) -> String {
    let candidates = shown_candidates(sdp, shown);
    let mut finished = String::with_capacity(sdp.len());
    let mut push = |line: &str| {
        finished.push_str(line);
        finished.push_str("\r\n");
    };
    let mut sections = 0;
    for line in sdp.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            // The end of the first section, which speaks for the whole bundle.
            if sections == 1 {
                candidates.iter().for_each(|candidate| push(candidate));
                push("a=end-of-candidates");
            }
            sections += 1;
        }
        if !(line.starts_with("a=candidate:") || line == "a=end-of-candidates" || Some(line) == mark) {
            push(line);
        }
        if line.starts_with("t=")
            && let Some(mark) = mark
        {
            push(mark);
        }
    }
    if sections == 1 {
        candidates.iter().for_each(|candidate| push(candidate));
        push("a=end-of-candidates");
    }
    finished
}

fn shown_candidates(sdp: &str, shown: Shown) -> Vec<String> {
    let wanted = |line: &&str| match candidate_kind(line) {
        Some("host") => !shown.relay_only && !shown.hide_local,
        Some("relay") => true,
        _ => !shown.relay_only,
    };
    let mut candidates: Vec<String> = Vec::new();
    for line in candidate_lines(sdp).filter(wanted) {
        // Where a NAT's or a relay's address leads is nobody's business, and nobody needs it (RFC 8839, 5.1).
        let line = match line.split_once(" raddr ") {
            Some((line, _)) => format!("{line}{CONCEALED}"),
            None => line.to_owned(),
        };
        if !candidates.contains(&line) {
            candidates.push(line);
        }
    }
    if let Some(mapped) = shown.mapped.filter(|mapped| !shown.relay_only && is_of_use(sdp, *mapped)) {
        // To the other side it is what a STUN server tells, only that anybody may send there. The best of them.
        let line = format!(
            "a=candidate:mapped 1 udp {MAPPED_PRIORITY} {} {} typ srflx{CONCEALED}",
            mapped.ip(),
            mapped.port()
        );
        let place = candidates.iter().position(|line| candidate_kind(line) != Some("host"));
        candidates.insert(place.unwrap_or(candidates.len()), line);
    }
    candidates
}

const CONCEALED: &str = " raddr 0.0.0.0 rport 0";
/// The highest of a server-reflexive one (RFC 8445, 5.1.2).
const MAPPED_PRIORITY: u32 = (100 << 24) | (65_535 << 8) | 255;

/// Behind two NATs the router maps an address that is private itself: only if a STUN server saw the same one, or if
/// it is one of the internet, can the other side reach it.
fn is_of_use(sdp: &str, mapped: SocketAddr) -> bool {
    let mut told = candidate_lines(sdp).filter_map(candidate_address).filter(|(_, kind)| *kind == "srflx");
    if told.any(|(address, _)| address == mapped) {
        return false;
    }
    let mut told = candidate_lines(sdp).filter_map(candidate_address).filter(|(_, kind)| *kind == "srflx");
    told.any(|(address, _)| address.ip() == mapped.ip()) || is_public(mapped.ip())
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // RFC 6598: between a provider's NAT and its customers.
            let shared = a == 100 && (64..128).contains(&b);
            !(shared || v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified())
        }
        IpAddr::V6(_) => true,
    }
}

/// The word behind `typ`.
fn candidate_kind(line: &str) -> Option<&str> {
    line.split(' ').skip_while(|word| *word != "typ").nth(1)
}

/// Whether the description names at least one way to reach us.
pub(super) fn has_candidates(sdp: &str) -> bool {
    candidate_lines(sdp).next().is_some()
}

/// The other side's description without what webrtc would stumble over: the candidates of component 2, which
/// nobody uses with `rtcp-mux`, and candidates beyond a sane number.
pub(super) fn admit(sdp: &str) -> Result<String, NetError> {
    admit_up_to(MAX_SDP, sdp)
}

/// The same for what a server says of everybody in a room.
pub(super) fn admit_of_server(sdp: &str) -> Result<String, NetError> {
    admit_up_to(MAX_SDP_OF_SERVER, sdp)
}

fn admit_up_to(limit: usize, sdp: &str) -> Result<String, NetError> {
    let refuse = |reason: &str| Err(NetError::Description(reason.into()));
    if sdp.len() > limit {
        return refuse("it is too long.");
    }
    if !sdp.starts_with("v=0") {
        return refuse("it is not a session description.");
    }
    let fingerprint = sdp.lines().any(|line| line.starts_with("a=fingerprint:"));
    if !sdp.lines().any(|line| line.starts_with("m=")) || !fingerprint {
        return refuse("it is not the description of a call.");
    }
    let mut admitted = String::with_capacity(sdp.len());
    let mut candidates = 0;
    for line in sdp.lines().filter(|line| !line.is_empty()) {
        if let Some(candidate) = line.strip_prefix("a=")
            && candidate.starts_with("candidate:")
        {
            if !matches!(Candidate::parse(candidate), Ok(Candidate::Usable(_)))
                || candidates == MAX_CANDIDATES
            {
                continue;
            }
            candidates += 1;
        }
        admitted.push_str(line);
        admitted.push_str("\r\n");
    }
    Ok(admitted)
}

/// `host`, `srflx` or `relay`: what the description calls the candidate at this address.
pub(super) fn kind_of(sdp: &str, address: SocketAddr) -> Option<String> {
    candidate_lines(sdp).find_map(|line| {
        let (told, kind) = candidate_address(line)?;
        (told == address).then(|| kind.to_owned())
    })
}

/// The candidate of a description that has no other.
pub(super) fn only_candidate(sdp: &str) -> Option<(SocketAddr, String)> {
    let mut all = candidate_lines(sdp);
    let (address, kind) = candidate_address(all.next()?)?;
    all.next().is_none().then(|| (address, kind.to_owned()))
}

/// Where a candidate points to, and its kind; `None` for a name (mDNS).
pub(super) fn candidate_address(line: &str) -> Option<(SocketAddr, &str)> {
    let mut fields = line.split_whitespace().skip(4);
    let (ip, port) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (fields.next()? == "typ").then_some((SocketAddr::new(ip, port), fields.next()?))
}

/// Whether the maker of an answer lets pictures pass: a section that is refused has port 0 (RFC 3264, 6).
pub(super) fn takes_pictures(sdp: &str) -> bool {
    let mut sections = sdp.split("\nm=").skip(1);
    sections.any(|section| {
        let port = section.strip_prefix("video ").and_then(|rest| rest.split(' ').next());
        port.is_some_and(|port| port != "0") && !section.lines().any(|line| line.trim() == "a=inactive")
    })
}

/// The payload type of sound with copies (RFC 2198) in a description.
pub(super) fn red(sdp: &str) -> Option<u8> {
    let maps = sdp.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '));
    let mut copies = maps.filter(|(_, codec)| codec.to_ascii_lowercase().starts_with("red/48000"));
    copies.next().and_then(|(payload_type, _)| payload_type.parse().ok())
}

/// What a description says of the ways to its maker.
pub(super) fn ways(sdp: &str) -> Ways {
    Ways::of(addresses(sdp))
}

/// Every address in a description at which its maker may be, and its kind.
pub(super) fn addresses(sdp: &str) -> impl Iterator<Item = (SocketAddr, &str)> {
    candidate_lines(sdp).filter_map(candidate_address)
}

/// Whether a candidate of this kind leads through a relay.
pub(super) fn is_relayed(kind: &str) -> bool {
    kind == "relay"
}

/// The ICE credentials of both ends.
pub(super) fn keys(local: &str, remote: &str) -> Option<Keys> {
    let ((local_ufrag, local_pwd), (remote_ufrag, remote_pwd)) = (credentials(local)?, credentials(remote)?);
    Some(Keys {
        local_ufrag: local_ufrag.into(),
        local_pwd: local_pwd.into(),
        remote_ufrag: remote_ufrag.into(),
        remote_pwd: remote_pwd.into(),
    })
}

/// ICE user name and password.
pub(super) fn credentials(sdp: &str) -> Option<(&str, &str)> {
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name));
    Some((value("a=ice-ufrag:")?, value("a=ice-pwd:")?))
}

/// The description with the addresses that our sockets really have in place of webrtc's names for them.
pub(super) fn rename(sdp: &str, names: &[(SocketAddr, SocketAddr)]) -> String {
    let renamed = |line: &str| {
        let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let is_related = fields.get(8).is_some_and(|word| word == "raddr");
        for at in [4].into_iter().chain(is_related.then_some(9)) {
            // Between a related address and its port stands a word.
            let port = if at == 4 { 5 } else { 11 };
            let told = fields.get(at).zip(fields.get(port));
            let told =
                told.and_then(|(ip, port)| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)));
            if let Some((_, real)) = names.iter().find(|(name, _)| Some(*name) == told) {
                fields[at] = real.ip().to_string();
                fields[port] = real.port().to_string();
            }
        }
        fields.join(" ")
    };
    let line = |line: &str| if line.starts_with("a=candidate:") { renamed(line) } else { line.to_owned() };
    sdp.lines().map(|text| line(text) + "\r\n").collect()
}

fn candidate_lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.lines().filter(|line| line.starts_with("a=candidate:") && line.split(' ').nth(1) == Some("1"))
}

/// A candidate as it was pasted or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// `candidate:...`
    Usable(String),
    /// Well-formed, but of no use here: TCP, or the RTCP component, or the end of the list; or an address that means
    /// something to this program alone.
    Pointless,
}

impl Candidate {
    pub(super) fn parse(text: &str) -> Result<Self, NetError> {
        let text = text.trim();
        let line = text.strip_prefix("a=").unwrap_or(text);
        if line == "end-of-candidates" || line == "candidate:" {
            return Ok(Self::Pointless);
        }
        let fields: Vec<&str> = line.strip_prefix("candidate:").unwrap_or("").split_whitespace().collect();
        let one_line = line.len() <= MAX_CANDIDATE_LINE && !line.contains(char::is_control);
        let [_, component, protocol, priority, address, port, "typ", _, ..] = fields[..] else {
            return Err(NetError::Candidate);
        };
        let numbers = priority.parse::<u32>().is_ok() && port.parse::<u16>().is_ok();
        let plain = address.chars().all(|c| c.is_ascii_alphanumeric() || ".:-%".contains(c));
        match (component, protocol.to_ascii_lowercase().as_str()) {
            _ if !(one_line && numbers && plain) => Err(NetError::Candidate),
            ("1", "udp") if candidate_address(line).is_some_and(|(to, _)| is_hop(to)) => Ok(Self::Pointless),
            ("1", "udp") => Ok(Self::Usable(line.into())),
            ("1", "tcp") | ("2", _) => Ok(Self::Pointless),
            _ => Err(NetError::Candidate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Option<&str> = Some("a=twocan:1 AAAA");
    const HOST: &str = "candidate:1 1 udp 2130706431 10.0.0.7 5000 typ host";

    fn printed() -> String {
        let rtcp = HOST.replacen("1 1 udp", "1 2 udp", 1);
        let relay = "candidate:3 1 udp 1 9.9.9.9 7 typ relay raddr 0.0.0.0 rport 0";
        format!(
            "v=0\r\nt=0 0\r\na=fingerprint:sha-256 00\r\nm=audio 9 X 111\r\na=mid:0\r\na={HOST}\r\na={rtcp}\r\na={HOST}\r\n\
             a={relay}\r\nm=video 9 X 125\r\na=mid:1\r\n"
        )
    }

    #[test]
    fn each_candidate_is_handed_over_once_and_the_list_is_closed() {
        for sdp in [printed(), printed().replace("m=video", "a=end-of-candidates\r\nm=video")] {
            let finished = finish(&sdp, Shown::default(), SECRET);
            assert_eq!(finished.matches(HOST).count(), 1);
            assert_eq!(finished.matches("a=candidate:").count(), 2);
            assert_eq!(finished.matches("t=0 0\r\na=twocan:1 AAAA\r\n").count(), 1);
            assert_eq!(finished.matches("a=end-of-candidates\r\nm=video").count(), 1);
            assert_eq!(finish(&finished, Shown::default(), SECRET), finished);
        }
        let shown = Shown { relay_only: true, ..Shown::default() };
        let relayed = finish(&printed(), shown, SECRET);
        assert!(has_candidates(&relayed) && !relayed.contains("typ host"));
        assert_eq!(kind_of(&relayed, "9.9.9.9:7".parse().unwrap()).as_deref(), Some("relay"));
        assert_eq!(kind_of(&relayed, "9.9.9.9:8".parse().unwrap()), None);
        assert_eq!(only_candidate(&relayed), Some(("9.9.9.9:7".parse().unwrap(), "relay".into())));
        assert_eq!(only_candidate(&printed()), None);
    }

    #[test]
    fn local_addresses_can_be_kept_back() {
        let reflexive = "candidate:2 1 udp 7 203.0.113.7 5000 typ srflx raddr 10.0.0.7 rport 5000";
        let sdp = printed().replace("m=video", &format!("a={reflexive}\r\nm=video"));
        let hidden = finish(&sdp, Shown { hide_local: true, ..Shown::default() }, SECRET);
        assert!(
            !hidden.contains("10.0.0.7")
                && hidden.contains("203.0.113.7 5000 typ srflx raddr 0.0.0.0 rport 0")
        );
        assert_eq!(hidden.matches("a=candidate:").count(), 2);
        let only_local = printed().replace("typ relay", "typ host");
        assert!(!has_candidates(&finish(
            &only_local,
            Shown { hide_local: true, ..Shown::default() },
            SECRET
        )));
    }

    #[test]
    fn a_mapped_port_is_told_where_it_is_of_use() {
        let with = |mapped: &str, relay_only| {
            let reflexive = "candidate:2 1 udp 7 10.77.0.11 5000 typ srflx raddr 10.0.0.7 rport 5000";
            let sdp = printed().replace("m=video", &format!("a={reflexive}\r\nm=video"));
            let mapped = Some(mapped.parse().unwrap());
            finish(&sdp, Shown { relay_only, mapped, ..Shown::default() }, SECRET)
        };
        for (mapped, told) in [
            ("203.0.113.7:4000", true),
            ("10.77.0.11:4000", true),
            ("10.77.0.11:5000", false),
            ("192.168.178.2:4000", false),
            ("100.64.3.4:4000", false),
            ("0.0.0.0:4000", false),
        ] {
            assert_eq!(with(mapped, false).contains("candidate:mapped"), told, "{mapped}");
            assert!(!with(mapped, true).contains("candidate:mapped"));
        }
        let sdp = with("203.0.113.7:4000", false);
        let kinds: Vec<_> = candidate_lines(&sdp).filter_map(candidate_kind).collect();
        assert_eq!(kinds, ["host", "srflx", "relay", "srflx"]);
    }

    #[test]
    fn sockets_are_called_by_the_addresses_they_have() {
        let names = [("10.0.0.7:5000".parse().unwrap(), "10.0.0.7:4444".parse().unwrap())];
        let reflexive = "a=candidate:2 1 udp 9 203.0.113.7 5000 typ srflx raddr 10.0.0.7 rport 5000";
        let renamed = rename(&format!("{}{reflexive}\r\n", printed()), &names);
        assert!(renamed.contains("10.0.0.7 4444 typ host") && !renamed.contains("10.0.0.7 5000"));
        assert!(renamed.contains("203.0.113.7 5000 typ srflx raddr 10.0.0.7 rport 4444"));
        assert_eq!(rename(&printed(), &[]), printed());
    }

    #[test]
    fn pictures_that_are_refused_are_seen_in_the_answer() {
        let sdp = |video: &str| format!("v=0\r\nm=audio 9 X 111\r\na=recvonly\r\nm=video {video}");
        for (video, passes) in [
            ("9 X 125\r\na=recvonly\r\n", true),
            ("0 X 125\r\na=recvonly\r\n", false),
            ("9 X 125\r\na=inactive\r\n", false),
        ] {
            assert_eq!(takes_pictures(&sdp(video)), passes, "{video}");
        }
        assert!(!takes_pictures("v=0\r\nm=audio 9 X 111\r\n") && !takes_pictures(""));
    }

    #[test]
    fn a_description_with_one_section_is_finished_too() {
        let sdp = printed();
        let audio_only = &sdp[..sdp.find("m=video").unwrap()];
        assert!(finish(audio_only, Shown::default(), SECRET).ends_with("rport 0\r\na=end-of-candidates\r\n"));
    }

    #[test]
    fn what_a_stranger_sends_is_limited() {
        let many: String =
            (0..5000).map(|port| format!("a={}\n", HOST.replace("5000", &port.to_string()))).collect();
        let sdp = format!("v=0\na=fingerprint:sha-256 00\nm=audio 9 X 111\n{many}");
        assert!(matches!(admit(&sdp), Err(NetError::Description(_))), "too long");
        let admitted = admit(&sdp[..20_000]).unwrap();
        assert_eq!(admitted.matches("a=candidate:").count(), MAX_CANDIDATES);
        for text in ["", "v=0", "hello", "v=0\nm=audio 9 X 111\n", "v=0\na=fingerprint:x\n"] {
            assert!(matches!(admit(text), Err(NetError::Description(_))), "{text}");
        }
    }

    #[test]
    fn candidates_are_read_as_people_paste_them() {
        let usable = Ok(Candidate::Usable(HOST.into()));
        assert_eq!(Candidate::parse(HOST), usable);
        assert_eq!(Candidate::parse(&format!("  a={HOST}\r\n")), usable);
        for text in [
            "a=end-of-candidates",
            "candidate:1 2 udp 1 10.0.0.7 5000 typ host",
            "candidate:1 1 tcp 1 10.0.0.7 9 typ host tcptype active",
            "candidate:1 1 udp 1 240.0.0.7 9 typ host",
        ] {
            assert_eq!(Candidate::parse(text), Ok(Candidate::Pointless), "{text}");
        }
        let two_lines = format!("{HOST} x\na=fingerprint:evil");
        for text in ["", "hello", "candidate:1", "candidate:1 1 udp x 10.0.0.7 5000 typ host", &two_lines] {
            assert_eq!(Candidate::parse(text), Err(NetError::Candidate), "{text}");
        }
    }
}
