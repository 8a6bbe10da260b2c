//! What the other side is told of how we show its picture: at which size, or that nobody can see it. A decision
//! about time, so the time is an argument; the app asks on every pass.

use crate::units::Resolution;
use std::time::{Duration, Instant};

/// A window that is dragged to another size changes it many times a second.
const PAUSE: Duration = Duration::from_millis(500);
/// Put away for so short a time, the picture goes on: coming back costs a keyframe.
const AWAY: Duration = Duration::from_secs(1);
/// A size that differs by less is the same.
const STEP: f32 = 0.08;

#[derive(Debug, Default)]
pub struct Shown {
    told: Option<(Instant, Option<Resolution>)>,
    hidden_since: Option<Instant>,
}

impl Shown {
    /// `drawn`: pixels that the whole picture takes, what is cut off included; `None` before there is one. What to
    /// tell now, if anything: the size, or `None` for "nobody sees it".
    pub fn poll(
        &mut self,
        now: Instant,
        visible: bool,
        drawn: Option<Resolution>,
    ) -> Option<Option<Resolution>> {
        self.hidden_since = if visible { None } else { Some(self.hidden_since.unwrap_or(now)) };
        let away = self.hidden_since.is_some_and(|since| now.saturating_duration_since(since) >= AWAY);
        let news = match (self.told, away) {
            (Some((_, None)), true) => return None,
            (_, true) => None,
            (told, false) => {
                let drawn = drawn?;
                let due = match told {
                    None | Some((_, None)) => true,
                    Some((at, Some(old))) => now.saturating_duration_since(at) >= PAUSE && differ(old, drawn),
                };
                if !due {
                    return None;
                }
                Some(drawn)
            }
        };
        self.told = Some((now, news));
        Some(news)
    }
}

fn differ(old: Resolution, new: Resolution) -> bool {
    let side = |old: u32, new: u32| old.abs_diff(new) as f32 > STEP * old as f32;
    side(old.width, new.width) || side(old.height, new.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_not_too_often() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let size = |width, height| Some(Resolution::new(width, height));
        let mut shown = Shown::default();
        let timeline = [
            (0, true, None, None),
            (10, true, size(640, 360), Some(size(640, 360))),
            (20, true, size(640, 360), None),
            (100, true, size(800, 450), None),
            (510, true, size(800, 450), Some(size(800, 450))),
            (2_000, true, size(820, 460), None),
            (2_100, false, size(820, 460), None),
            (2_900, true, size(820, 460), None),
            (3_000, false, size(820, 460), None),
            (4_000, false, size(820, 460), Some(None)),
            (9_000, false, None, None),
            (9_010, true, size(820, 460), Some(size(820, 460))),
        ];
        for (ms, visible, drawn, expected) in timeline {
            assert_eq!(shown.poll(at(ms), visible, drawn), expected, "at {ms} ms");
        }
        let mut shown = Shown::default();
        assert_eq!(shown.poll(at(9_020), true, size(820, 460)), Some(size(820, 460)));
    }
}
