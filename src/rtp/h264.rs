//! H.264 in RTP (RFC 6184, packetization modes 0 and 1): what is in a payload, and how payloads become an access
//! unit in Annex B form. Payloads come from the network: nothing in them is trusted.

use super::format::Damaged;

/// Most NAL units one aggregation packet may hold; more is damage.
const MAX_AGGREGATED: usize = 64;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

pub(super) const SLICE: u8 = 1;
pub(super) const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What a payload holds, seen without its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NalUnits {
    /// Nothing to decode: padding, or NAL types that RFC 6184 tells receivers to ignore.
    pub empty: bool,
    /// Any slice, IDR or not.
    pub slice: bool,
    /// A slice of an IDR picture, or a piece of one.
    pub idr: bool,
    pub sps: bool,
    pub pps: bool,
    /// A decoder can start here: parameter sets, or the first slice of an IDR picture.
    pub entry: bool,
}

impl NalUnits {
    pub fn of(payload: &[u8]) -> Result<Self, Damaged> {
        let mut units = Self::default();
        match payload {
            [] => units.empty = true,
            [header, ..] if header & 0x1f == STAP_A => {
                for nal in aggregated(payload) {
                    units.add(nal?);
                }
            }
            [indicator, header, piece @ ..] if indicator & 0x1f == FU_A => {
                let start = header & 0x80 != 0;
                if piece.is_empty() || start && header & 0x40 != 0 {
                    return Err(Damaged);
                }
                units.add_slice(header & 0x1f, if start { Some(piece[0]) } else { None });
            }
            [header, ..] if (1..=23).contains(&(header & 0x1f)) => units.add(payload),
            // 0, 30, 31: reserved, to be ignored (RFC 6184, section 5.2). 25-27 and 29 are for mode 2 alone.
            [header, ..] if matches!(header & 0x1f, 0 | 30 | 31) => units.empty = true,
            _ => return Err(Damaged),
        }
        Ok(units)
    }

    fn add(&mut self, nal: &[u8]) {
        match nal[0] & 0x1f {
            SPS => (self.sps, self.entry) = (true, true),
            PPS => self.pps = true,
            kind => self.add_slice(kind, nal.get(1).copied()),
        }
    }

    /// `first`: the byte after the NAL header. Its highest bit says that the slice begins with macroblock 0
    /// (`first_mb_in_slice`, Exp-Golomb coded), so that it is the first of its picture.
    fn add_slice(&mut self, kind: u8, first: Option<u8>) {
        self.slice |= (SLICE..=IDR).contains(&kind);
        if kind == IDR {
            self.idr = true;
            self.entry |= first.is_some_and(|byte| byte & 0x80 != 0);
        }
    }
}

/// The NAL units in a STAP-A payload. None is empty.
fn aggregated(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    let mut rest = &payload[1..];
    let mut damaged = rest.is_empty();
    let mut left = MAX_AGGREGATED;
    std::iter::from_fn(move || {
        if damaged {
            damaged = false;
            rest = &[];
            return Some(Err(Damaged));
        }
        if rest.is_empty() {
            return None;
        }
        let size = rest.get(..2).map_or(0, |size| usize::from(u16::from_be_bytes([size[0], size[1]])));
        match rest.get(2..2 + size) {
            Some(nal) if size > 0 && left > 0 => {
                left -= 1;
                rest = &rest[2 + size..];
                Some(Ok(nal))
            }
            _ => {
                rest = &[];
                Some(Err(Damaged))
            }
        }
    })
}

/// Calls `take` for each whole parameter set in a payload.
pub(super) fn parameter_sets<'a>(payload: &'a [u8], mut take: impl FnMut(&'a [u8])) {
    let is_set = |nal: &[u8]| matches!(nal[0] & 0x1f, SPS | PPS);
    match payload {
        [header, ..] if header & 0x1f == STAP_A => {
            aggregated(payload).filter_map(Result::ok).filter(|nal| is_set(nal)).for_each(&mut take);
        }
        [_, ..] if is_set(payload) => take(payload),
        _ => {}
    }
}

/// The NAL header of the first slice that begins in a payload, and as much of the slice as is there.
pub(super) fn first_slice(payload: &[u8]) -> Option<(u8, &[u8])> {
    let whole = |nal: &'_ [u8]| (SLICE..=IDR).contains(&(nal[0] & 0x1f));
    match payload {
        [header, ..] if header & 0x1f == STAP_A => {
            let nal = aggregated(payload).filter_map(Result::ok).find(|nal| whole(nal))?;
            Some((nal[0], &nal[1..]))
        }
        [indicator, header, piece @ ..] if indicator & 0x1f == FU_A => {
            let kind = header & 0x1f;
            let begins = header & 0x80 != 0 && (SLICE..=IDR).contains(&kind);
            begins.then_some((indicator & 0xe0 | kind, piece))
        }
        [header, slice @ ..] if whole(payload) => Some((*header, slice)),
        _ => None,
    }
}

/// Whether a payload holds a slice, or a piece of one, that other pictures may be predicted from.
pub(super) fn is_reference(payload: &[u8]) -> bool {
    match payload {
        // The header of an aggregation packet has the highest of its units (RFC 6184, section 5.7).
        [header, ..] if header & 0x1f == STAP_A => {
            aggregated(payload).filter_map(Result::ok).any(|nal| nal[0] & 0x60 != 0)
        }
        [header, ..] => header & 0x60 != 0,
        [] => false,
    }
}

/// Builds one access unit from its payloads, in order.
#[derive(Default)]
pub(super) struct AnnexB {
    bytes: Vec<u8>,
    /// A fragmented NAL unit has begun and not ended.
    open: bool,
}

impl AnnexB {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), open: false }
    }

    pub fn push_nal(&mut self, nal: &[u8]) {
        self.bytes.extend_from_slice(&START_CODE);
        self.bytes.extend_from_slice(nal);
    }

    pub fn push_payload(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        match payload {
            [] => return Ok(()),
            [indicator, header, piece @ ..] if indicator & 0x1f == FU_A => {
                let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
                if start == self.open || piece.is_empty() || start && end {
                    return Err(Damaged);
                }
                if start {
                    self.push_nal(&[indicator & 0xe0 | header & 0x1f]);
                }
                self.bytes.extend_from_slice(piece);
                self.open = !end;
                return Ok(());
            }
            _ if self.open => return Err(Damaged),
            [header, ..] if header & 0x1f == STAP_A => {
                for nal in aggregated(payload) {
                    self.push_nal(nal?);
                }
            }
            [header, ..] if (1..=23).contains(&(header & 0x1f)) => self.push_nal(payload),
            [header, ..] if matches!(header & 0x1f, 0 | 30 | 31) => {}
            _ => return Err(Damaged),
        }
        Ok(())
    }

    /// The bytes, unless a fragmented NAL unit is still open.
    pub fn finish(self) -> Result<Vec<u8>, Damaged> {
        if self.open { Err(Damaged) } else { Ok(self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(payloads: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
        let mut unit = AnnexB::default();
        payloads.iter().try_for_each(|payload| unit.push_payload(payload))?;
        unit.finish()
    }

    #[test]
    fn the_three_kinds_of_packet_become_annex_b() {
        assert_eq!(annex_b(&[&[0x65, 0x88, 1]]), Ok(vec![0, 0, 0, 1, 0x65, 0x88, 1]));
        let stap = [24, 0, 2, 0x67, 9, 0, 1, 0x68];
        assert_eq!(annex_b(&[&stap]), Ok(vec![0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68]));
        let fu: [&[u8]; 3] = [&[0x7c, 0x85, 1, 2], &[0x7c, 0x05, 3], &[0x7c, 0x45, 4]];
        assert_eq!(annex_b(&fu), Ok(vec![0, 0, 0, 1, 0x65, 1, 2, 3, 4]));
    }

    #[test]
    fn contents_are_seen_through_each_kind_of_packet() {
        let idr = NalUnits { slice: true, idr: true, entry: true, ..NalUnits::default() };
        assert_eq!(NalUnits::of(&[0x65, 0x88]), Ok(idr));
        assert_eq!(NalUnits::of(&[0x7c, 0x85, 0x88]), Ok(idr));
        assert_eq!(NalUnits::of(&[0x65, 0x08]), Ok(NalUnits { entry: false, ..idr }));
        assert_eq!(NalUnits::of(&[0x7c, 0x05, 0x88]), Ok(NalUnits { entry: false, ..idr }));
        let sets = NalUnits { sps: true, pps: true, entry: true, ..NalUnits::default() };
        assert_eq!(NalUnits::of(&[24, 0, 1, 0x67, 0, 1, 0x68]), Ok(sets));
        assert_eq!(NalUnits::of(&[]), Ok(NalUnits { empty: true, ..NalUnits::default() }));
    }

    #[test]
    fn damage_is_an_error() {
        let bad: [&[&[u8]]; 8] = [
            &[&[24]],
            &[&[24, 0, 9, 0x67]],
            &[&[24, 0, 0]],
            &[&[28]],
            &[&[0x7c, 0x05, 1]],
            &[&[0x7c, 0x85, 1]],
            &[&[0x7c, 0x85, 1], &[0x65, 1]],
            &[&[29, 0x85, 1, 2]],
        ];
        for payloads in bad {
            assert_eq!(annex_b(payloads), Err(Damaged), "{payloads:?}");
        }
    }
}
