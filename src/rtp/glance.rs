//! What a forwarder has to know of an H.264 payload, without decoding it and without its neighbours: can a decoder
//! start here, would anybody miss it, how large is the picture.

use super::frame_number::picture_size;
use super::h264::{self, NalUnits};
use crate::units::Resolution;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Nothing to decode: padding, or damage.
    pub empty: bool,
    /// A sequence parameter set: keyframes begin with one.
    pub parameters: bool,
    /// A slice of an IDR picture, or a piece of one.
    pub keyframe: bool,
    /// No other picture is predicted from what is in it (`nal_ref_idc` 0).
    pub disposable: bool,
    /// Of the pictures from here on, if the parameters say so.
    pub size: Option<Resolution>,
}

impl Glance {
    /// Of a single NAL unit, a STAP-A or an FU-A (RFC 6184).
    pub fn of(payload: &[u8]) -> Self {
        let Ok(units) = NalUnits::of(payload) else { return Self { empty: true, ..Self::default() } };
        let mut size = None;
        if units.sps {
            h264::parameter_sets(payload, |nal| {
                if nal[0] & 0x1f == h264::SPS {
                    size = picture_size(nal);
                }
            });
        }
        Self {
            empty: units.empty,
            parameters: units.sps,
            keyframe: units.idr,
            disposable: !h264::is_reference(payload),
            size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 4] = [0x67, 0x42, 0xc0, 0x1f];

    #[test]
    fn keyframes_and_disposable_pictures_are_told_from_the_rest() {
        let stap =
            [&[0x78, 0, 4][..], &[0x67, 0x42, 0xe0, 0x1f], &[0, 4], &[0x68, 0xce, 0x3c, 0x80]].concat();
        for (payload, parameters, keyframe, disposable) in [
            (&stap[..], true, false, false),
            (&SPS[..], true, false, false),
            (&[0x65, 0x88, 1][..], false, true, false),
            (&[0x7c, 0x85, 0x88][..], false, true, false),
            (&[0x7c, 0x05, 1][..], false, true, false),
            (&[0x41, 0x9a][..], false, false, false),
            (&[0x01, 0x9a][..], false, false, true),
            (&[0x1c, 0x81, 0x9a][..], false, false, true),
        ] {
            let glance = Glance::of(payload);
            assert!(!glance.empty);
            assert_eq!(
                (glance.parameters, glance.keyframe, glance.disposable),
                (parameters, keyframe, disposable),
                "{payload:x?}"
            );
        }
        for payload in [&[][..], &[0x7c], &[0x78, 9], &[0x1e, 1]] {
            assert!(Glance::of(payload).empty, "{payload:x?}");
        }
    }
}
