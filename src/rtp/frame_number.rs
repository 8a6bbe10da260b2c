//! Tells whether a hole in an H.264 stream has cost a picture that others are predicted from.
//!
//! `frame_num` in the slice headers counts the reference pictures (H.264, 7.4.3): a picture's number is that of the
//! reference picture before it, plus one, modulo `MaxFrameNum`. Pictures with `nal_ref_idc` 0, the upper temporal
//! layer, do not advance it. So if the picture behind a hole has the number that follows the last reference
//! picture we have, then whatever was in the hole is not missed. Everything here comes from the network: nothing
//! is trusted, and what cannot be read says nothing.

use super::h264::{self, IDR, SLICE};
use crate::units::Resolution;

/// No sequence parameter set before `log2_max_frame_num` is as long; the limit bounds the work.
const MAX_HEADER: usize = 64;
/// Profiles whose parameter sets have more in front of `log2_max_frame_num` (H.264, 7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The beginning of a picture, as its first slice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub idr: bool,
    /// Other pictures may be predicted from it.
    pub reference: bool,
    pub number: u32,
}

/// What the parameter sets say of `frame_num`, and the last reference picture that was given out.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameNumbers {
    layout: Option<Layout>,
    reference: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    set_id: u32,
    bits: u32,
    separate_planes: bool,
}

impl FrameNumbers {
    pub fn handle_sps(&mut self, nal: &[u8]) {
        let layout = layout(nal);
        if layout != self.layout {
            // Another way of counting: nothing is known before its first picture.
            self.reference = None;
        }
        self.layout = layout;
    }

    /// A picture with this beginning was given out.
    pub fn handle_picture(&mut self, start: Option<Start>) {
        match start {
            Some(Start { idr: true, .. }) => self.reference = Some(0),
            Some(Start { reference: true, number, .. }) => self.reference = Some(number),
            Some(Start { reference: false, .. }) => {}
            None => self.reference = None,
        }
    }

    /// Whether no reference picture can have been among `packets` lost or dropped ones in front of this picture.
    pub fn follows(&self, start: Start, packets: usize) -> bool {
        let (Some(layout), Some(reference)) = (self.layout, self.reference) else { return false };
        let max = 1u32 << layout.bits;
        let lost = u32::try_from(packets).unwrap_or(u32::MAX);
        // A whole turn of the counter needs as many packets; and so do a keyframe, which starts it anew, and the
        // pictures up to the same number.
        !start.idr && start.number == (reference + 1) % max && lost < max && lost <= reference
    }

    /// The beginning of a picture in this payload, if there is one that can be read.
    pub fn start(&self, payload: &[u8]) -> Option<Start> {
        let (header, slice) = h264::first_slice(payload)?;
        let (kind, reference) = (header & 0x1f, header & 0x60 != 0);
        if kind != SLICE && kind != IDR {
            return None;
        }
        let layout = self.layout?;
        let mut bits = Bits::new(slice);
        let first_macroblock = bits.exp_golomb()?;
        let _slice_type = bits.exp_golomb()?;
        let _picture_set = bits.exp_golomb()?;
        if layout.separate_planes {
            bits.take(2)?;
        }
        let number = bits.take(layout.bits)?;
        (first_macroblock == 0).then_some(Start { idr: kind == IDR, reference, number })
    }
}

/// Reads a sequence parameter set up to `log2_max_frame_num_minus4`. `nal`: with its header byte.
fn layout(nal: &[u8]) -> Option<Layout> {
    Some(head(&mut Bits::new(nal.get(1..)?))?.0)
}

/// The layout, and `chroma_format_idc`.
fn head(bits: &mut Bits<'_>) -> Option<(Layout, u32)> {
    let profile = bits.take(8)?;
    bits.take(16)?;
    let set_id = bits.exp_golomb().filter(|id| *id < 32)?;
    let (mut chroma, mut separate_planes) = (1, false);
    if HIGH_PROFILES.contains(&profile) {
        chroma = bits.exp_golomb()?;
        separate_planes = chroma == 3 && bits.take(1)? == 1;
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.take(1)?;
        // Scaling lists: no sender of calls has them.
        if bits.take(1)? == 1 {
            return None;
        }
    }
    let bits = bits.exp_golomb().filter(|more| *more <= 12)? + 4;
    Some((Layout { set_id, bits, separate_planes }, chroma))
}

/// How large the pictures of a sequence parameter set are (H.264, 7.3.2.1.1); `None` for what no call sends: more than
/// 4:2:0, or sides beyond [`Resolution::MAX_SIDE`].
pub(super) fn picture_size(nal: &[u8]) -> Option<Resolution> {
    let bits = &mut Bits::new(nal.get(1..)?);
    let (_, chroma) = head(bits)?;
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            for _ in 0..bits.exp_golomb().filter(|cycle| *cycle < 256)? {
                bits.exp_golomb()?;
            }
        }
        _ => {}
    }
    let _reference_frames = bits.exp_golomb()?;
    bits.take(1)?;
    let side = |bits: &mut Bits<'_>| bits.exp_golomb()?.checked_add(1)?.checked_mul(16);
    let (width, height) = (side(bits)?, side(bits)?);
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let height = height.checked_mul(2 - frames_only)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.exp_golomb()?.checked_mul(2)?;
        }
    }
    let [left, right, top, bottom] = crop;
    let rows = top.checked_add(bottom)?.checked_mul(2 - frames_only)?;
    let columns = left.checked_add(right)?;
    let size = Resolution::new(width.checked_sub(columns)?, height.checked_sub(rows)?);
    (chroma == 1 && size.is_valid()).then_some(size)
}

/// The bits of a NAL unit, without the bytes that keep start codes out of it (H.264, 7.4.1).
struct Bits<'a> {
    rest: &'a [u8],
    zeros: u32,
    /// Bits of the current byte that are left, in its low places.
    current: u32,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: &bytes[..bytes.len().min(MAX_HEADER)], zeros: 0, current: 0, left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let (&first, rest) = self.rest.split_first()?;
            (self.current, self.rest) = (u32::from(first), rest);
            if self.zeros >= 2 && first == 3 {
                self.zeros = 0;
                let (&next, rest) = self.rest.split_first()?;
                (self.current, self.rest) = (u32::from(next), rest);
            }
            self.zeros = if self.current == 0 { self.zeros + 1 } else { 0 };
            self.left = 8;
        }
        self.left -= 1;
        Some(self.current >> self.left & 1)
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// `ue(v)`, of at most 16 bits after the first one.
    fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of OpenH264: baseline, `log2_max_frame_num` 15.
    const SPS: [u8; 12] = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x68, 0x0a, 0x03, 0xda, 0x42, 0x01, 0x80];

    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn bits(&mut self, value: u32, count: u32) -> &mut Self {
            (0..count).rev().for_each(|bit| self.0.push(value >> bit & 1 == 1));
            self
        }
        fn exp_golomb(&mut self, value: u32) -> &mut Self {
            let length = (value + 1).ilog2();
            self.bits(0, length).bits(value + 1, length + 1)
        }
        /// With the bytes that keep start codes out.
        fn bytes(&self, header: &[u8]) -> Vec<u8> {
            let mut out = header.to_vec();
            for byte in self.0.chunks(8) {
                let byte = byte.iter().enumerate().fold(0, |all, (n, bit)| all | u8::from(*bit) << (7 - n));
                if out.len() > header.len() + 1 && out.ends_with(&[0, 0]) && byte <= 3 {
                    out.push(3);
                }
                out.push(byte);
            }
            out
        }
    }

    fn slice(header: u8, first_macroblock: u32, number: u32, bits: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.exp_golomb(first_macroblock).exp_golomb(5).exp_golomb(0).bits(number, bits).bits(0xabcd, 16);
        writer.bytes(&[header])
    }

    fn sps(bits: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bits(66, 8).bits(0xc01f, 16).exp_golomb(0).exp_golomb(bits - 4).exp_golomb(2).bits(0xff, 8);
        writer.bytes(&[0x67])
    }

    #[test]
    fn numbers_are_read_from_every_kind_of_packet() {
        let mut numbers = FrameNumbers::default();
        numbers.handle_sps(&SPS);
        assert!(numbers.layout.is_some_and(|layout| (4..=16).contains(&layout.bits)), "{numbers:?}");
        for bits in [4, 8, 15, 16] {
            numbers.handle_sps(&sps(bits));
            for number in [0, 1, 5, 15] {
                let single = slice(0x41, 0, number, bits);
                let expected = Some(Start { idr: false, reference: true, number });
                assert_eq!(numbers.start(&single), expected, "{bits} bits");
                let fragment = [&[0x5c, 0x81], &single[1..]].concat();
                assert_eq!(numbers.start(&fragment), expected);
                let size = (single.len() as u16).to_be_bytes();
                let aggregated = [&[24, 0, 2, 0x09, 0xf0][..], &size, &single].concat();
                assert_eq!(numbers.start(&aggregated), expected);
            }
        }
        let disposable = numbers.start(&slice(0x01, 0, 9, 16)).unwrap();
        assert!(!disposable.reference && disposable.number == 9);
        assert_eq!(numbers.start(&slice(0x41, 7, 9, 16)), None, "not the first slice");
        assert_eq!(numbers.start(&[0x5c, 0x01, 0x9a, 1, 2]), None, "the middle of a slice");
    }

    #[test]
    fn the_size_of_the_pictures_is_read() {
        let set = |width: u32, height: u32, crop: u32| {
            let mut writer = Writer::default();
            writer
                .bits(66, 8)
                .bits(0xc01f, 16)
                .exp_golomb(0)
                .exp_golomb(0)
                .exp_golomb(2)
                .exp_golomb(1)
                .bits(0, 1);
            writer.exp_golomb(width - 1).exp_golomb(height - 1).bits(0b11, 2).bits(u32::from(crop > 0), 1);
            if crop > 0 {
                writer.exp_golomb(0).exp_golomb(0).exp_golomb(0).exp_golomb(crop);
            }
            writer.bits(0xff, 8).bytes(&[0x67])
        };
        assert_eq!(picture_size(&set(40, 23, 4)), Some(Resolution::new(640, 360)));
        assert_eq!(picture_size(&set(80, 45, 0)), Some(Resolution::HD));
        assert_eq!(picture_size(&set(1000, 45, 0)), None, "too wide");
        assert_eq!(picture_size(&set(2, 2, 40)), None, "nothing is left of it");
        assert_eq!(picture_size(&set(40, 23, 4)[..6]), None);
        assert_eq!(picture_size(&[]), None);
    }

    #[test]
    fn a_hole_without_a_reference_picture_is_told_from_one_with() {
        let mut numbers = FrameNumbers::default();
        numbers.handle_sps(&sps(4));
        let start = |number, reference| Start { idr: false, reference, number };
        assert!(!numbers.follows(start(1, true), 1), "nothing given out yet");
        numbers.handle_picture(Some(Start { idr: true, reference: true, number: 0 }));
        assert!(!numbers.follows(start(1, true), 1), "it might have been a keyframe");
        for number in 1..=9 {
            numbers.handle_picture(Some(start(number, true)));
            numbers.handle_picture(Some(start((number + 1) % 16, false)));
        }
        assert!(numbers.follows(start(10, true), 3) && numbers.follows(start(10, false), 3));
        assert!(!numbers.follows(start(11, true), 3) && !numbers.follows(start(9, true), 3));
        assert!(!numbers.follows(start(10, true), 16), "the counter may have gone round");
        assert!(!numbers.follows(start(10, true), 10), "or a keyframe may have started it anew");
        assert!(!numbers.follows(Start { idr: true, ..start(10, true) }, 1));
        for number in 10..=15 {
            numbers.handle_picture(Some(start(number, true)));
        }
        assert!(numbers.follows(start(0, true), 2), "the counter goes round");
        numbers.handle_sps(&sps(5));
        assert!(!numbers.follows(start(0, true), 1), "another way of counting");
    }

    #[test]
    fn hostile_headers_say_nothing() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut numbers = FrameNumbers::default();
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..seed % 24)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    if seed.is_multiple_of(3) { 0 } else { (seed >> 32) as u8 }
                })
                .collect();
            seed = seed.wrapping_add(0x1234_5677);
            numbers.handle_sps(&bytes);
            if let Some(start) = numbers.start(&bytes) {
                numbers.follows(start, bytes.len());
                numbers.handle_picture(Some(start));
            }
            assert!(numbers.layout.is_none_or(|layout| (4..=16).contains(&layout.bits)));
        }
        numbers.handle_sps(&[]);
        assert_eq!(numbers.start(&SPS), None);
    }
}
