//! The description of a call between two Twocans, version 1: all that does not differ from call to call.
//!
//! A compact code carries only what differs; this puts the rest back. The text is, line for line, what our network
//! layer prints; `net/tests.rs` holds the two together. A description that says anything else, such as the
//! answer to a browser, has no compact form.
//!
//! The full form of an invite may name VP8 as well (`vp8`): its compact form is the same without.
//!
//! A reply is *sealed* for everyone but its guest and whoever made the invite: what follows from the invite's secret
//! is not in its code. The description that is read from it lacks those lines until [`open`] puts them in.

use super::candidate::{Candidate, CandidateKind, Protocol};
use super::secret::{Guest, Identity, Secret};
use super::{Description, Kind, sdp, vp8};
use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Write as _;

/// What differs from one description to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Essence {
    pub maker: Maker,
    /// SHA-256 of the DTLS certificate.
    pub fingerprint: [u8; 32],
    /// In the order of their priority.
    pub candidates: Vec<Candidate>,
}

/// Who made a description, and what their credentials follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Host(Secret),
    /// `secret` is the invite's; without it the reply is sealed.
    Guest {
        nonce: [u8; Guest::NONCE],
        secret: Option<Secret>,
    },
}

impl Maker {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Host(_) => Kind::Invite,
            Self::Guest { .. } => Kind::Reply,
        }
    }
}

/// The session attribute that carries secret or nonce in the full form, and names the version of this template.
const MARK: &str = "a=twocan:1 ";
/// RFC 8445, section 5.1.2.2.
const HOST_PREFERENCE: u32 = 126;
const REFLEXIVE_PREFERENCE: u32 = 100;

/// The line that marks a description as ours; it stands behind `t=`.
pub fn mark(maker: &Maker) -> String {
    match maker {
        Maker::Host(secret) => format!("{MARK}{}", secret.to_text()),
        Maker::Guest { nonce, .. } => format!("{MARK}{}", URL_SAFE_NO_PAD.encode(nonce)),
    }
}

/// The secret of an invite of ours.
pub fn secret(invite: &Description) -> Option<Secret> {
    match essence(invite)?.maker {
        Maker::Host(secret) => Some(secret),
        Maker::Guest { .. } => None,
    }
}

/// The whole description; a sealed one for a guest whose secret is not known.
pub fn expand(essence: &Essence) -> Description {
    let kind = essence.maker.kind();
    let (setup, identity) = match essence.maker {
        Maker::Host(secret) => ("actpass", secret.host()),
        Maker::Guest { nonce, secret } => {
            let guest = Guest { fingerprint: essence.fingerprint, nonce };
            ("active", secret.unwrap_or(Secret([0; Secret::LENGTH])).guest(&guest))
        }
    };
    let mut lines = head(essence, &identity);
    lines.push_str(&audio(setup, &identity));
    for (index, candidate) in essence.candidates.iter().enumerate() {
        let _ = writeln!(lines, "a={}", candidate_line(index, candidate));
    }
    lines.push_str("a=end-of-candidates\n");
    lines.push_str(&video(setup, &identity));
    lines.push_str(&control(setup, &identity));
    let sdp = lines.replace('\n', "\r\n");
    let sealed = matches!(essence.maker, Maker::Guest { secret: None, .. });
    Description { kind, sdp: Redacted(if sealed { seal(&sdp) } else { sdp }) }
}

/// A reply without what follows from the invite's secret.
fn seal(sdp: &str) -> String {
    let follows = |line: &&str| !(line.starts_with("a=ice-pwd:") || line.starts_with("a=ssrc"));
    let plain = |line: &str| {
        if line.starts_with("o=") { "o=- 0 1 IN IP4 0.0.0.0\r\n".into() } else { format!("{line}\r\n") }
    };
    sdp.lines().filter(follows).map(plain).collect()
}

/// Whether this is a reply that has to be opened.
pub fn is_sealed(description: &Description) -> bool {
    description.kind == Kind::Reply
        && sdp::attribute(&description.sdp.0, "ice-pwd").is_none()
        && distil(description).is_some()
}

/// A sealed reply with what follows from the secret of the invite it belongs to.
pub fn open(reply: &Description, secret: Secret) -> Option<Description> {
    let mut essence = distil(reply)?;
    let Maker::Guest { secret: missing, .. } = &mut essence.maker else { return None };
    *missing = Some(secret);
    Some(expand(&essence))
}

/// What somebody would have replied who knocks with the invite's secret and tells no way to reach them.
pub fn knocked(guest: &Guest, secret: Secret) -> Description {
    let maker = Maker::Guest { nonce: guest.nonce, secret: Some(secret) };
    expand(&Essence { maker, fingerprint: guest.fingerprint, candidates: Vec::new() })
}

/// What a description boils down to; `None` if there is more to it than this.
pub fn distil(description: &Description) -> Option<Essence> {
    let essence = essence(description)?;
    let expanded = expand(&essence);
    let same = match description.kind {
        Kind::Invite => {
            expanded == *description
                || description.sdp.0.contains("VP8") && vp8::add(&expanded.sdp.0) == description.sdp.0
        }
        Kind::Reply => expanded.sdp.0 == seal(&description.sdp.0),
    };
    same.then_some(essence)
}

/// Our own description as a compact code tells it, so that it says the same in every form. Session number,
/// priorities and foundations follow from the secret and the order; what else differs from the template stays as
/// it is, and so does the whole description then. `invite`: the secret of the invite that a reply belongs to.
pub fn canonical(description: Description, invite: Option<Secret>) -> Description {
    let plain = |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("o=");
    let expanded = essence(&description).map(|mut essence| {
        if let Maker::Guest { secret, .. } = &mut essence.maker {
            *secret = invite;
        }
        expand(&essence)
    });
    let says_the_same = |same: &str| same.lines().filter(plain).eq(description.sdp.0.lines().filter(plain));
    match expanded {
        Some(same) if says_the_same(&same.sdp.0) => same,
        Some(same) if says_the_same(&vp8::add(&same.sdp.0)) => {
            Description { sdp: Redacted(vp8::add(&same.sdp.0)), ..same }
        }
        _ => description,
    }
}

fn essence(description: &Description) -> Option<Essence> {
    let text = &description.sdp.0;
    let mark = text.lines().find_map(|line| line.strip_prefix(MARK))?;
    let fingerprint = sdp::attribute(text, "fingerprint")?.strip_prefix("sha-256 ")?;
    let maker = match description.kind {
        Kind::Invite => Maker::Host(Secret::from_text(mark)?),
        Kind::Reply => {
            Maker::Guest { nonce: URL_SAFE_NO_PAD.decode(mark).ok()?.try_into().ok()?, secret: None }
        }
    };
    let candidates = sdp::candidates(text).iter().filter_map(|line| Candidate::parse(line)).collect();
    Some(Essence { maker, fingerprint: from_hex(fingerprint)?, candidates })
}

fn head(essence: &Essence, identity: &Identity) -> String {
    let semantic = match essence.maker.kind() {
        Kind::Invite => "",
        Kind::Reply => "a=msid-semantic:WMS *\n",
    };
    let mark = mark(&essence.maker);
    let fingerprint = to_hex(&essence.fingerprint);
    format!(
        "v=0\no=- {session} 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{mark}\n{semantic}a=fingerprint:sha-256 {fingerprint}\n\
         a=extmap-allow-mixed\na=group:BUNDLE 0 1 2\n",
        session = identity.session,
    )
}

fn transport(setup: &str, mid: u32, identity: &Identity) -> String {
    let (ufrag, password) = (&identity.ufrag, &identity.password.0);
    format!("c=IN IP4 0.0.0.0\na=setup:{setup}\na=mid:{mid}\na=ice-ufrag:{ufrag}\na=ice-pwd:{password}\n")
}

pub(super) fn source(ssrc: u32, label: &str) -> String {
    format!(
        "a=ssrc:{ssrc} cname:twocan\na=ssrc:{ssrc} msid:twocan {label}\na=ssrc:{ssrc} mslabel:twocan\n\
         a=ssrc:{ssrc} label:{label}\n"
    )
}

const TRANSPORT_CC: &str =
    "a=extmap:1 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\n";

fn audio(setup: &str, identity: &Identity) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\n{transport}a=rtcp-mux\na=rtcp-rsize\na=rtpmap:111 opus/48000/2\n\
         a=fmtp:111 minptime=10;useinbandfec=1\na=rtcp-fb:111 transport-cc\na=rtpmap:63 red/48000/2\n\
         a=fmtp:63 111/111\na=rtcp-fb:63 transport-cc\n{TRANSPORT_CC}a=msid:twocan audio\n\
         {source}a=sendrecv\n",
        transport = transport(setup, 0, identity),
        source = source(identity.audio, "audio"),
    )
}

fn video(setup: &str, identity: &Identity) -> String {
    let feedback = |payload_type: u32| {
        ["nack", "nack pli", "ccm fir", "transport-cc"]
            .map(|kind| format!("a=rtcp-fb:{payload_type} {kind}\n"))
            .concat()
    };
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 125 107\n{transport}a=rtcp-mux\na=rtcp-rsize\na=rtpmap:125 H264/90000\n\
         a=fmtp:125 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n{for_video}\
         a=rtpmap:107 rtx/90000\na=fmtp:107 apt=125\n{for_rtx}{TRANSPORT_CC}a=msid:twocan video\n\
         a=ssrc-group:FID {ssrc} {rtx}\n{source}{rtx_source}a=sendrecv\n",
        transport = transport(setup, 1, identity),
        for_video = feedback(125),
        for_rtx = feedback(107),
        ssrc = identity.video,
        rtx = identity.retransmission,
        source = source(identity.video, "video"),
        rtx_source = source(identity.retransmission, "video"),
    )
}

fn control(setup: &str, identity: &Identity) -> String {
    let (ufrag, password) = (&identity.ufrag, &identity.password.0);
    format!(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=setup:{setup}\na=mid:2\na=sendrecv\n\
         a=sctp-port:5000\na=max-message-size:65536\na=ice-ufrag:{ufrag}\na=ice-pwd:{password}\n"
    )
}

/// Foundation and priority follow from kind and place.
pub(super) fn candidate_line(index: usize, candidate: &Candidate) -> String {
    let preference = match candidate.kind {
        CandidateKind::Host => HOST_PREFERENCE,
        CandidateKind::PeerReflexive | CandidateKind::ServerReflexive => REFLEXIVE_PREFERENCE,
        CandidateKind::Relay => 0,
    };
    let local = 65_535_u32.saturating_sub(index as u32);
    let priority = (preference << 24) | (local << 8) | 255;
    let related = if candidate.kind == CandidateKind::Host { "" } else { " raddr 0.0.0.0 rport 0" };
    let tcp = if candidate.protocol == Protocol::Tcp { " tcptype passive" } else { "" };
    format!(
        "candidate:{} 1 {} {priority} {} {} typ {}{related}{tcp}",
        index + 1,
        candidate.protocol,
        candidate.address,
        candidate.port,
        candidate.kind,
    )
}

pub(super) fn to_hex(fingerprint: &[u8]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let byte = |pair: &str| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2);
    text.split(':').map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}
