//! Which listeners share an encoder: those whose ways have room for about as much. One on a narrow way costs the others
//! nothing, and there are never more than three encoders. A core: the thread `compose` asks about once a second.

use crate::units::Bitrate;

pub(super) const BANDS: usize = 3;
/// Where one band ends and the next begins.
const LIMITS: [Bitrate; BANDS - 1] = [Bitrate::from_kbps(400), Bitrate::from_kbps(1200)];
/// A change costs everybody in the new band a keyframe: a target must be over or under a limit by this factor.
const MARGIN: f64 = 1.2;

/// The band of a new listener.
pub(super) fn first(target: Bitrate) -> usize {
    LIMITS.iter().filter(|limit| target >= **limit).count()
}

/// The band of a listener that is in `current`.
pub(super) fn next(current: usize, target: Bitrate) -> usize {
    let above = first(target.scaled(1.0 / MARGIN));
    let below = first(target.scaled(MARGIN));
    if above > current { above } else { below.min(current) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_near_a_limit_does_not_swing() {
        let mut band = first(Bitrate::from_kbps(1000));
        assert_eq!(band, 1);
        for (kbps, expected) in [
            (1300, 1),
            (1450, 2),
            (1250, 2),
            (1050, 2),
            (990, 1),
            (100, 0),
            (450, 0),
            (490, 1),
            (9000, 2),
            (0, 0),
        ] {
            band = next(band, Bitrate::from_kbps(kbps));
            assert_eq!(band, expected, "{kbps} kbit/s");
        }
    }
}
