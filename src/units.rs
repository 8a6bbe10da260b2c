//! Units and identifiers in types, so that a bit rate is never taken for a size.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u64);

impl Bitrate {
    pub const MAX: Self = Self(u64::MAX);

    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps * 1000)
    }
    pub const fn bps(self) -> u64 {
        self.0
    }
    pub const fn kbps(self) -> u64 {
        self.0 / 1000
    }
    /// This rate times `factor`, which is never negative.
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).max(0.0) as u64)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bps if bps >= 1_000_000 => write!(f, "{:.1} Mbit/s", bps as f64 / 1e6),
            bps => write!(f, "{} kbit/s", bps.div_ceil(1000)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{text}” is not {what}")]
pub struct ParseUnitError {
    text: String,
    what: &'static str,
}

/// `2500k`, `2.5M` or `2500000`.
impl FromStr for Bitrate {
    type Err = ParseUnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseUnitError { text: text.into(), what: "a bit rate like 2500k or 2.5M" };
        let trimmed = text.trim();
        let (number, factor) = match trimmed.chars().last() {
            Some('k' | 'K') => (&trimmed[..trimmed.len() - 1], 1e3),
            Some('m' | 'M') => (&trimmed[..trimmed.len() - 1], 1e6),
            _ => (trimmed, 1.0),
        };
        let bps = number.parse::<f64>().map_err(|_| error())? * factor;
        if !(1_000.0..=1e9).contains(&bps) {
            return Err(error());
        }
        Ok(Self(bps as u64))
    }
}

/// Width and height of a picture in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resolution {
    pub width: u32,
    pub height: u32,
}

impl Resolution {
    pub const HD: Self = Self::new(1280, 720);
    /// No picture larger than this is taken from a device, a file or the network.
    pub const MAX_SIDE: u32 = 4096;

    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }
    pub const fn is_valid(self) -> bool {
        self.width >= 2 && self.height >= 2 && self.width <= Self::MAX_SIDE && self.height <= Self::MAX_SIDE
    }
    /// Size of each chroma plane of an I420 picture.
    pub const fn chroma(self) -> Self {
        Self::new(self.width.div_ceil(2), self.height.div_ceil(2))
    }
    /// The largest size of the same shape that fits into `limit`, with even sides as H.264 wants them.
    /// Never larger than `self`.
    pub fn fitted_into(self, limit: Self) -> Self {
        let factor = (f64::from(limit.width) / f64::from(self.width))
            .min(f64::from(limit.height) / f64::from(self.height))
            .min(1.0);
        let even = |side: u32| (((f64::from(side) * factor) as u32) & !1).max(2);
        Self::new(even(self.width), even(self.height))
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// `1280x720`.
impl FromStr for Resolution {
    type Err = ParseUnitError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseUnitError { text: text.into(), what: "a picture size like 1280x720" };
        let (width, height) = text.trim().split_once(['x', 'X', '×']).ok_or_else(error)?;
        let parse = |side: &str| side.trim().parse::<u32>().map_err(|_| error());
        let resolution = Self::new(parse(width)?, parse(height)?);
        if resolution.is_valid() { Ok(resolution) } else { Err(error()) }
    }
}

/// Which of the two kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Audio,
    Video,
}

/// How pictures are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    H264,
    Vp8,
}

impl VideoCodec {
    /// As session descriptions and statistics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
        }
    }
}

/// A value that must not reach a log: codes, addresses, fingerprints. Read it with `.0`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Turns moments into microseconds, counted from the first one it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch(Option<Instant>);

impl Epoch {
    pub fn micros(&mut self, at: Instant) -> i64 {
        let epoch = *self.0.get_or_insert(at);
        match at.checked_duration_since(epoch) {
            Some(since) => since.as_micros() as i64,
            None => -((epoch - at).as_micros() as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_rates_are_read_as_people_write_them() {
        for (text, bps) in [("2500k", 2_500_000), ("2.5M", 2_500_000), ("300000", 300_000)] {
            assert_eq!(text.parse::<Bitrate>(), Ok(Bitrate::from_bps(bps)), "{text}");
        }
        for text in ["", "k", "-5k", "fast", "NaN", "1e30"] {
            assert!(text.parse::<Bitrate>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_limited() {
        assert_eq!("1280x720".parse::<Resolution>(), Ok(Resolution::HD));
        for text in ["", "x", "1280", "0x0", "99999x2", "-1x5"] {
            assert!(text.parse::<Resolution>().is_err(), "{text}");
        }
    }

    #[test]
    fn fitting_keeps_the_shape_and_even_sides() {
        let hd = Resolution::HD;
        assert_eq!(hd.fitted_into(Resolution::new(640, 640)), Resolution::new(640, 360));
        assert_eq!(hd.fitted_into(Resolution::new(4000, 4000)), hd);
        assert_eq!(Resolution::new(641, 481).fitted_into(hd), Resolution::new(640, 480));
    }

    #[test]
    fn redacted_values_print_nothing_of_themselves() {
        assert_eq!(format!("{:?} {}", Redacted("secret"), Redacted(4)), "[redacted] [redacted]");
    }
}
