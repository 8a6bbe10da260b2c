//! Numbers and times of one stream that others' packets go out in. Whose they are may change: a member who leaves frees
//! their sections for the next one, and a host that forwards again begins with a new relay. Each of these counts from
//! where it likes, and the stream goes on: a number that came back would be encrypted with the same key stream as
//! before (RFC 3711, 9.1), and is thrown away over there as a repetition (3.3.2).

use std::time::Instant;

/// Where the packets come from: which relay, and which tenancy of the stream; later ones have higher numbers.
pub(in crate::net) type Source = (u64, u64);

pub(in crate::net) struct Row {
    clock_rate: u32,
    current: Option<Current>,
}

struct Current {
    source: Source,
    /// What is added to the numbers and the times of the source.
    numbers: u16,
    times: u32,
    newest: u16,
    /// How far the numbers have come since this source began.
    span: u32,
    /// The time of the newest packet, and when that went out.
    time: (u32, Instant),
}

impl Row {
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate, current: None }
    }

    /// Number and time of a packet in the stream. `None`: it is of an earlier relay, or from before its source began.
    pub fn place(
        &mut self,
        now: Instant,
        source: Source,
        sequence: u16,
        timestamp: u32,
    ) -> Option<(u16, u32)> {
        match &self.current {
            Some(current) if source.0 < current.source.0 => return None,
            Some(current) if source == current.source => {}
            before => {
                let (numbers, times) = match before {
                    Some(Current { newest, time: (newest_time, at), .. }) => {
                        let passed = now.saturating_duration_since(*at).as_secs_f64();
                        let ticks = (passed * f64::from(self.clock_rate)).max(1.0) as u64 as u32;
                        let time = newest_time.wrapping_add(ticks);
                        (newest.wrapping_add(1).wrapping_sub(sequence), time.wrapping_sub(timestamp))
                    }
                    None => (0, 0),
                };
                let newest = sequence.wrapping_add(numbers);
                let time = (timestamp.wrapping_add(times), now);
                self.current = Some(Current { source, numbers, times, newest, span: 0, time });
            }
        }
        let current = self.current.as_mut()?;
        let (number, time) = (sequence.wrapping_add(current.numbers), timestamp.wrapping_add(current.times));
        let ahead = number.wrapping_sub(current.newest) as i16;
        if ahead > 0 {
            (current.newest, current.time) = (number, (time, now));
            current.span = current.span.saturating_add(u32::from(ahead.unsigned_abs()));
        } else if u32::from(ahead.unsigned_abs()) > current.span {
            return None;
        }
        Some((number, time))
    }

    /// A time of this source, as it is in the stream; `None` before its first packet.
    pub fn time(&self, source: Source, timestamp: u32) -> Option<u32> {
        let current = self.current.as_ref().filter(|current| current.source == source)?;
        Some(timestamp.wrapping_add(current.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ANN: u64 = 1;
    const BOB: u64 = 2;

    #[test]
    fn a_stream_goes_on_whoever_is_in_it() {
        let (start, mut row) = (Instant::now(), Row::new(90_000));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(row.time((0, ANN), 5), None);
        for (ms, source, sequence, timestamp, expected) in [
            (0, (0, ANN), 65_534, 3_000, Some((65_534, 3_000))),
            (33, (0, ANN), 0, 6_000, Some((0, 6_000))),
            (34, (0, ANN), 65_535, 3_000, Some((65_535, 3_000))),
            (34, (0, ANN), 65_533, 0, None),
            // Somebody else takes the place: right behind, by the clock.
            (133, (0, BOB), 1, 1_000_000, Some((1, 6_000 + 9_000))),
            (134, (0, BOB), 0, 999_000, None),
            (166, (0, BOB), 3, 1_003_000, Some((3, 18_000))),
            (167, (0, BOB), 2, 1_003_000, Some((2, 18_000))),
            // The host forwards again, by another relay; of the first one nothing more is of use.
            (1_166, (1, BOB), 1, 1_090_000, Some((4, 18_000 + 90_000))),
            (1_167, (0, BOB), 4, 1_006_000, None),
            (1_200, (1, BOB), 2, 1_093_000, Some((5, 111_000))),
        ] {
            assert_eq!(row.place(at(ms), source, sequence, timestamp), expected, "{source:?} {sequence}");
        }
        assert_eq!(row.time((1, BOB), 1_093_000), Some(111_000));
        assert_eq!((row.time((1, ANN), 0), row.time((0, BOB), 0)), (None, None));
    }

    #[test]
    fn a_long_stream_is_no_repetition_of_itself() {
        let (now, mut row) = (Instant::now(), Row::new(48_000));
        for n in 0..200_000u32 {
            let expected = Some((n as u16, n * 960));
            assert_eq!(row.place(now, (0, ANN), n as u16, n * 960), expected, "{n}");
        }
        assert_eq!(row.place(now, (0, ANN), 199_000u32 as u16, 0), Some((199_000u32 as u16, 0)), "overtaken");
    }
}
