//! What an Opus packet says of itself without being decoded (RFC 6716, section 3).

/// A packet of one or two bytes says "silence from here on" (DTX, RFC 6716, section 2.1.9).
pub(super) fn is_silence(packet: &[u8]) -> bool {
    packet.len() <= 2
}

/// Samples at 48 kHz; `None` if this is no Opus packet.
pub(super) fn samples(packet: &[u8]) -> Option<usize> {
    let toc = *packet.first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(*packet.get(1)? & 0x3f),
    };
    let samples = frame_samples(toc) * frames;
    (samples > 0 && samples <= 5760).then_some(samples)
}

fn frame_samples(toc: u8) -> usize {
    match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    }
}

/// Whether the packet carries a copy of the one before (in-band FEC): the LBRR flag that follows the voice
/// activity flags of a SILK frame (RFC 6716, section 4.2.3).
pub(super) fn has_redundancy(packet: &[u8]) -> bool {
    let Some(&toc) = packet.first() else { return false };
    if toc >> 3 >= 16 {
        return false;
    }
    // Where the first frame begins.
    let start = match toc & 3 {
        0 | 1 => 1,
        2 => match packet.get(1) {
            Some(252..) => 3,
            _ => 2,
        },
        _ => return false,
    };
    let stereo = toc & 4 != 0;
    let silk_frames = frame_samples(toc).div_ceil(960) as u32;
    let Some(&flags) = packet.get(start) else { return false };
    let mid = flags >> (7 - silk_frames) & 1;
    let side = if stereo { flags >> (6 - 2 * silk_frames) & 1 } else { 0 };
    mid | side == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_table_of_the_rfc() {
        // Configuration, frames code, samples.
        for (config, code, expected) in
            [(0, 0, 480), (3, 0, 2880), (13, 1, 1920), (16, 0, 120), (31, 2, 1920)]
        {
            assert_eq!(samples(&[config << 3 | code, 0]), Some(expected), "{config}");
        }
        assert_eq!(samples(&[31 << 3 | 3, 6]), Some(5760));
        assert_eq!(samples(&[31 << 3 | 3, 7]), None);
        assert_eq!((samples(&[]), samples(&[3])), (None, None));
    }

    #[test]
    fn redundancy_is_seen_only_in_voice_packets() {
        // SILK wide band, 20 ms, mono: one voice activity flag, then the LBRR flag.
        assert!(has_redundancy(&[9 << 3, 0b0100_0000, 0]));
        assert!(!has_redundancy(&[9 << 3, 0b1000_0000, 0]));
        // 60 ms: three voice activity flags.
        assert!(has_redundancy(&[11 << 3, 0b0001_0000, 0]));
        assert!(!has_redundancy(&[31 << 3, 0xff, 0]));
        assert!(!has_redundancy(&[]) && !has_redundancy(&[9 << 3]));
    }
}
