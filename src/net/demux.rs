//! What a datagram is, by its first bytes: everything of a connection comes over one port (RFC 7983; RFC 5761, section
//! 4).

/// What webrtc sends on the pair it has chosen, and only there.
pub(super) fn is_dtls_or_media(datagram: &[u8]) -> bool {
    matches!(datagram, [20..=63 | 128..=191, ..])
}

pub(super) fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 0..=191 | 224..=255, ..])
}

pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_from_the_others() {
        let kinds = |datagram: &[u8]| [is_dtls_or_media, is_rtp, is_rtcp].map(|is| is(datagram));
        assert_eq!(kinds(&[0x80, 96, 0, 1]), [true, true, false], "RTP");
        assert_eq!(kinds(&[0x90, 0x80 | 96]), [true, true, false], "RTP with a marker");
        assert_eq!(kinds(&[0x81, 200]), [true, false, true], "RTCP");
        assert_eq!(kinds(&[22, 254, 253]), [true, false, false], "DTLS");
        for other in [&[0, 1][..], &[0x40, 0], &[200, 96], &[]] {
            assert_eq!(kinds(other), [false; 3], "STUN, a relay's channel, and nothing of ours: {other:?}");
        }
    }
}
