//! VP8 in RTP (RFC 7741): what is in a payload, and how payloads become a frame. Payloads come from the network: nothing
//! in them is trusted.
//!
//! Picture ids and layer numbers are passed over: sequence numbers tell a hole, and what it has cost is not asked,
//! because senders of one layer predict each picture from the one before.

use super::format::{Contents, Damaged};

/// [`RtpPacket::payload_type`](crate::frame::RtpPacket::payload_type) of VP8, whatever number was negotiated for it.
/// Real ones have seven bits, so it is never taken for another.
pub const VP8: u8 = 0x80 | 96;

/// A payload without its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'a> {
    /// It is the first of its frame.
    first: bool,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Section 4.2. `None` for padding.
    fn of(payload: &'a [u8]) -> Result<Option<Self>, Damaged> {
        const EXTENDED: u8 = 0x80;
        const START_OF_PARTITION: u8 = 0x10;
        const PARTITION: u8 = 0x07;
        let Some((&head, mut rest)) = payload.split_first() else { return Ok(None) };
        if head & EXTENDED != 0 {
            let (&more, behind) = rest.split_first().ok_or(Damaged)?;
            rest = behind;
            let [picture_id, base_index, layer_or_key] =
                [more & 0x80, more & 0x40, more & 0x30].map(|bit| bit != 0);
            let long_id = picture_id && rest.first().is_some_and(|id| id & 0x80 != 0);
            let length =
                [picture_id, long_id, base_index, layer_or_key].into_iter().filter(|there| *there).count();
            rest = rest.get(length..).ok_or(Damaged)?;
        }
        if rest.is_empty() {
            return Err(Damaged);
        }
        let first = head & START_OF_PARTITION != 0 && head & PARTITION == 0;
        Ok(Some(Self { first, bytes: rest }))
    }

    /// The lowest bit of a frame is 0 in a keyframe (RFC 6386, section 9.1).
    fn starts_keyframe(&self) -> bool {
        self.first && self.bytes[0] & 1 == 0
    }
}

pub(super) fn contents(payload: &[u8]) -> Result<Contents, Damaged> {
    let Some(piece) = Piece::of(payload)? else { return Ok(Contents { empty: true, ..Contents::default() }) };
    let keyframe = piece.starts_keyframe();
    // A keyframe stands for itself: nothing that came before it matters.
    Ok(Contents { empty: false, keyframe, entry: keyframe, clean: keyframe })
}

/// One frame from its payloads, in order.
pub(super) fn frame<'a>(payloads: impl Iterator<Item = &'a [u8]>, size: usize) -> Result<Vec<u8>, Damaged> {
    let mut bytes = Vec::with_capacity(size);
    for payload in payloads {
        let Some(piece) = Piece::of(payload)? else { continue };
        // The first one starts the frame, and no other does.
        if piece.first != bytes.is_empty() {
            return Err(Damaged);
        }
        bytes.extend_from_slice(piece.bytes);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(payloads: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
        frame(payloads.iter().copied(), 0)
    }

    #[test]
    fn descriptors_of_every_length_are_taken_off() {
        let frame = [0x10, 0x02, 0x00, 0x9d];
        for descriptor in [
            &[0x10][..],
            &[0x90, 0x80, 0x11],
            &[0x90, 0x80, 0x91, 0x22],
            &[0x90, 0x40, 7],
            &[0x90, 0x20, 7],
            &[0x90, 0x30, 7],
            &[0x90, 0xf0, 0x91, 0x22, 7, 0x60],
            &[0x90, 0x0f],
            &[0x30],
        ] {
            let payload = [descriptor, &frame].concat();
            let expected = Contents { empty: false, keyframe: true, entry: true, clean: true };
            assert_eq!(contents(&payload), Ok(expected), "{descriptor:02x?}");
            assert_eq!(joined(&[&payload]), Ok(frame.to_vec()), "{descriptor:02x?}");
        }
        assert_eq!(contents(&[0x10, 0x11, 2, 3]), Ok(Contents::default()), "predicted from another");
        assert_eq!(contents(&[0x00, 0x10, 2, 3]), Ok(Contents::default()), "not the first piece");
        assert_eq!(contents(&[0x11, 0x10, 2, 3]), Ok(Contents::default()), "a later partition");
        assert_eq!(contents(&[]), Ok(Contents { empty: true, ..Contents::default() }));
    }

    #[test]
    fn pieces_become_a_frame_and_only_whole_ones() {
        assert_eq!(joined(&[&[0x10, 1, 2], &[], &[0x00, 3], &[0x12, 4]]), Ok(vec![1, 2, 3, 4]));
        assert_eq!(joined(&[]), Ok(vec![]));
        let bad: [&[&[u8]]; 8] = [
            &[&[0x00, 1]],
            &[&[0x10, 1], &[0x10, 2]],
            &[&[0x10]],
            &[&[0x90]],
            &[&[0x90, 0x80]],
            &[&[0x90, 0x80, 0x91]],
            &[&[0x90, 0xf0, 0x91, 0x22, 7]],
            &[&[0x90, 0xf0, 0x91, 0x22, 7, 0x60]],
        ];
        for payloads in bad {
            assert_eq!(joined(payloads), Err(Damaged), "{payloads:02x?}");
        }
    }
}
