//! Where the tiles of a call lie: pure geometry, asked once in each pass by the screen of a group call.
//!
//! All tiles of a grid have one size, the largest that the window has room for; the last row is centred. Where the
//! smallest useful tile does not fit often enough, the last place says how many more there are.

use eframe::egui::{Pos2, Rect, Vec2, pos2, vec2};

/// Air between two tiles.
pub const GAP: f32 = 8.0;
/// On less, nobody is recognised.
pub const SMALLEST: Vec2 = vec2(112.0, 72.0);
/// Share of a picture that a tile may cut off, so that tiles need no bars (`video::Fill` cuts no more).
const CUT: f32 = 0.25;
/// Cameras, phones held upright; what is out of this range is shown with bars.
const ASPECTS: std::ops::RangeInclusive<f32> = 9.0 / 16.0..=16.0 / 9.0;
/// Length and breadth of the strip beside a large picture, as a share of the stage and in points.
const STRIP: f32 = 0.2;
const STRIP_WIDTH: (f32, f32) = (SMALLEST.x, 248.0);
const STRIP_HEIGHT: (f32, f32) = (SMALLEST.y, 148.0);

/// The places of some tiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// One for each tile that is shown, in their order; those that are not come after them.
    pub tiles: Vec<Rect>,
    /// The place that says how many are not shown; the number.
    pub more: Option<(Rect, usize)>,
}

/// Equal tiles for pictures of these aspects (width by height), as large as they can be.
pub fn grid(area: Rect, aspects: &[f32]) -> Places {
    if aspects.is_empty() || !is_usable(area) {
        return Places::default();
    }
    let mut slots = aspects.len();
    loop {
        let (columns, size) = best(area.size(), slots, aspects);
        let fits = size.x >= SMALLEST.x && size.y >= SMALLEST.y;
        if fits || slots == 1 {
            return share(rows(area, slots, columns, size), aspects.len());
        }
        slots -= 1;
    }
}

/// One large place, and the others in a strip beside it or under it, whichever leaves the large one more.
pub fn speaker(area: Rect, aspect: f32, others: usize) -> (Rect, Places) {
    if others == 0 || !is_usable(area) {
        return (area, Places::default());
    }
    let options = [beside(area), below(area)];
    let most = |a: &(Rect, Rect, Vec2), b: &(Rect, Rect, Vec2)| {
        seen(aspect, a.0.size()).total_cmp(&seen(aspect, b.0.size()))
    };
    let Some((large, strip, size)) = options.into_iter().flatten().max_by(most) else {
        return (area, Places::default());
    };
    let upright = strip.height() > strip.width();
    let length = |size: Vec2| if upright { size.y } else { size.x };
    let room = ((length(strip.size()) + GAP) / (length(size) + GAP)).floor().max(1.0) as usize;
    let slots = room.min(others);
    let places = rows(strip, slots, if upright { 1 } else { slots }, size);
    (large, share(places, others))
}

fn is_usable(area: Rect) -> bool {
    area.is_finite() && area.width() >= 1.0 && area.height() >= 1.0
}

/// The strip on the right: large place, strip, tile.
fn beside(area: Rect) -> Option<(Rect, Rect, Vec2)> {
    let width = (area.width() * STRIP).clamp(STRIP_WIDTH.0, STRIP_WIDTH.1).floor();
    let tile = vec2(width, (width * 9.0 / 16.0).floor());
    let x = area.right() - width;
    let strip = Rect::from_min_max(pos2(x, area.top()), area.max);
    let large = Rect::from_min_max(area.min, pos2(x - GAP, area.bottom()));
    (large.width() >= SMALLEST.x && area.height() >= tile.y).then_some((large, strip, tile))
}

/// The same at the foot.
fn below(area: Rect) -> Option<(Rect, Rect, Vec2)> {
    let height = (area.height() * STRIP).clamp(STRIP_HEIGHT.0, STRIP_HEIGHT.1).floor();
    let tile = vec2((height * 16.0 / 9.0).floor(), height);
    let y = area.bottom() - height;
    let strip = Rect::from_min_max(pos2(area.left(), y), area.max);
    let large = Rect::from_min_max(area.min, pos2(area.right(), y - GAP));
    (large.height() >= SMALLEST.y && area.width() >= tile.x).then_some((large, strip, tile))
}

/// The number of columns, and the size of the tiles, that show the most of all pictures.
fn best(room: Vec2, slots: usize, aspects: &[f32]) -> (usize, Vec2) {
    let aspects: Vec<f32> = aspects.iter().map(|aspect| clamped(*aspect)).collect();
    // A tile may be narrower than most of its pictures, and wider than upright ones: never so wide that it cuts heads off.
    let most = median(&aspects);
    let lowest = most * (1.0 - CUT);
    let highest = if most < 1.0 { (most / (1.0 - CUT)).min(1.0) } else { most };
    let mut chosen = (1, Vec2::ZERO, f32::NEG_INFINITY);
    for columns in 1..=slots {
        let rows = slots.div_ceil(columns);
        // As many rows are filled by fewer columns, with larger tiles.
        if columns > 1 && slots.div_ceil(columns - 1) == rows {
            continue;
        }
        let cell = vec2(cell(room.x, columns), cell(room.y, rows));
        let size = vec2(cell.x.min(cell.y * highest), cell.y.min(cell.x / lowest)).floor();
        let score: f32 = aspects.iter().map(|aspect| seen(*aspect, size)).sum();
        if score > chosen.2 {
            chosen = (columns, size, score);
        }
    }
    (chosen.0, chosen.1)
}

/// The wider of the two in the middle.
fn median(aspects: &[f32]) -> f32 {
    let mut sorted = aspects.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(*ASPECTS.end())
}

fn clamped(aspect: f32) -> f32 {
    if aspect.is_nan() { *ASPECTS.end() } else { aspect.clamp(*ASPECTS.start(), *ASPECTS.end()) }
}

/// What each of so many gets of a length.
fn cell(length: f32, count: usize) -> f32 {
    ((length - GAP * (count - 1) as f32) / count as f32).max(0.0)
}

/// The area of a picture of this aspect when all of it is shown in this size.
fn seen(aspect: f32, size: Vec2) -> f32 {
    let width = size.x.min(size.y * aspect);
    width * width / aspect
}

/// So many places of this size, in rows around the middle of `area`.
fn rows(area: Rect, slots: usize, columns: usize, size: Vec2) -> Vec<Rect> {
    let span = |count: usize, side: f32| side * count as f32 + GAP * (count - 1) as f32;
    let rows = slots.div_ceil(columns);
    let start = |room: f32, taken: f32| ((room - taken) / 2.0).max(0.0).floor();
    let top = area.top() + start(area.height(), span(rows, size.y));
    let place = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        let in_row = if row + 1 == rows { slots - row * columns } else { columns };
        let left = area.left() + start(area.width(), span(in_row, size.x));
        let offset = vec2(column as f32 * (size.x + GAP), row as f32 * (size.y + GAP));
        Rect::from_min_size(Pos2::new(left, top) + offset, size)
    };
    (0..slots).map(place).collect()
}

/// Gives the places to so many; the last one tells of those who got none. A single place shows who is first.
fn share(mut places: Vec<Rect>, people: usize) -> Places {
    let more = if places.len() > 1 && places.len() < people {
        places.pop().map(|place| (place, people - places.len()))
    } else {
        None
    };
    Places { tiles: places, more }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: f32 = 16.0 / 9.0;
    const UPRIGHT: f32 = 9.0 / 16.0;
    const MOST: usize = 12;

    fn area(width: f32, height: f32) -> Rect {
        Rect::from_min_size(pos2(16.0, 68.0), vec2(width, height))
    }

    /// Thousands of sizes, from nothing to a wall of screens.
    fn sizes() -> impl Iterator<Item = (f32, f32)> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = move |limit: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % u64::from(limit)) as f32 / 4.0
        };
        let random: Vec<_> = (0..3000).map(|_| (below(16_000), below(9_000))).collect();
        let steps = (0..40).flat_map(|x| (0..30).map(move |y| (x as f32 * 53.0, y as f32 * 47.0)));
        steps.chain(random)
    }

    fn check(places: &Places, area: Rect, people: usize, at: &str) {
        let all: Vec<Rect> =
            places.tiles.iter().copied().chain(places.more.iter().map(|more| more.0)).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(one.is_finite() && !one.is_negative(), "{at}: {one:?}");
            assert!(area.expand(0.01).contains_rect(*one), "{at}: {one:?} is outside");
            assert!((one.size() - all[0].size()).length() < 0.01, "{at}: unequal");
            for other in &all[..index] {
                let overlap = one.intersect(*other);
                assert!(overlap.width() <= 0.01 || overlap.height() <= 0.01, "{at}: {one:?} and {other:?}");
            }
        }
        match places.more {
            Some((_, number)) => assert!(number > 0 && places.tiles.len() + number == people, "{at}"),
            None => assert!(places.tiles.len() == people || places.tiles.len() <= 1, "{at}"),
        }
    }

    #[test]
    fn tiles_are_equal_and_never_overlap_or_stand_out() {
        for (width, height) in sizes() {
            for people in 1..=MOST {
                let mut aspects = vec![WIDE; people];
                aspects[people / 2] = if people % 3 == 0 { UPRIGHT } else { WIDE };
                let area = area(width, height);
                let places = grid(area, &aspects);
                check(&places, area, people, &format!("{people} in {width}x{height}"));
                let (large, strip) = speaker(area, aspects[0], people - 1);
                assert!(area.contains_rect(large) && !large.is_negative());
                check(&strip, area, people - 1, &format!("strip of {people} in {width}x{height}"));
                let clear = |place: &Rect| {
                    let overlap = large.intersect(*place);
                    overlap.width() <= 0.01 || overlap.height() <= 0.01
                };
                assert!(strip.tiles.iter().all(clear) && strip.more.iter().all(|more| clear(&more.0)));
            }
        }
    }

    /// No other number of columns shows more, and no tile is left out that would have had room.
    #[test]
    fn tiles_are_as_large_as_they_can_be() {
        for (width, height) in sizes().step_by(7) {
            for people in 1..=MOST {
                let room = area(width, height);
                let Some(tile) = grid(room, &vec![WIDE; people]).tiles.first().copied() else { continue };
                let shown = grid(room, &vec![WIDE; people]);
                let slots = shown.tiles.len() + usize::from(shown.more.is_some());
                for columns in 1..=slots {
                    let rows = slots.div_ceil(columns);
                    let cell = vec2(cell(width, columns), cell(height, rows));
                    let could = seen(WIDE, vec2(cell.x - 1.0, cell.y - 1.0));
                    assert!(
                        seen(WIDE, tile.size()) >= could,
                        "{people} in {width}x{height}: {columns} columns"
                    );
                }
                if shown.more.is_some() {
                    let (_, size) = best(room.size(), slots + 1, &vec![WIDE; people]);
                    assert!(size.x < SMALLEST.x || size.y < SMALLEST.y);
                }
            }
        }
    }

    #[test]
    fn usual_windows_have_the_expected_rows() {
        let columns = |width, height, aspect, people: usize| {
            let tiles = grid(area(width, height), &vec![aspect; people]).tiles;
            assert_eq!(tiles.len(), people);
            tiles.iter().filter(|tile| tile.top() == tiles[0].top()).count()
        };
        for (people, expected) in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 3), (7, 3), (9, 3), (12, 4)] {
            assert_eq!(columns(1148.0, 552.0, WIDE, people), expected, "{people}");
        }
        assert_eq!(columns(608.0, 860.0, WIDE, 3), 1, "a portrait window has them under each other");
        assert_eq!(columns(1148.0, 552.0, UPRIGHT, 4), 4, "phones stand side by side");
    }

    #[test]
    fn the_last_row_is_centred() {
        let room = area(1148.0, 552.0);
        let tiles = grid(room, &[WIDE; 5]).tiles;
        let last: Vec<_> = tiles.iter().filter(|tile| tile.top() > tiles[0].top()).collect();
        assert_eq!(last.len(), 2);
        let middle = (last[0].left() + last[1].right()) / 2.0;
        assert!((middle - room.center().x).abs() <= 1.0);
    }

    /// One phone among cameras does not put bars above and below everybody.
    #[test]
    fn tiles_suit_most_pictures() {
        let tiles = grid(area(608.0, 312.0), &[WIDE, WIDE, UPRIGHT, WIDE, WIDE]).tiles;
        assert!(tiles.len() == 5 && tiles[0].width() / tiles[0].height() >= WIDE * (1.0 - CUT) - 0.01);
    }

    #[test]
    fn a_tiny_window_says_how_many_more_there_are() {
        let places = grid(area(240.0, 160.0), &[WIDE; 12]);
        assert_eq!((places.tiles.len(), places.more.map(|more| more.1)), (3, Some(9)));
        let one = grid(area(60.0, 40.0), &[WIDE; 12]);
        assert_eq!((one.tiles.len(), one.more), (1, None));
        assert_eq!(grid(area(0.0, 400.0), &[WIDE; 3]), Places::default());
        assert_eq!(grid(area(800.0, 400.0), &[]), Places::default());
    }

    #[test]
    fn the_strip_goes_where_it_takes_least() {
        let (large, strip) = speaker(area(1148.0, 552.0), WIDE, 3);
        assert!(strip.tiles.iter().all(|tile| tile.left() > large.right()) && strip.tiles.len() == 3);
        let (large, strip) = speaker(area(608.0, 860.0), WIDE, 3);
        assert!(strip.tiles.iter().all(|tile| tile.top() > large.bottom()));
        let (_, strip) = speaker(area(1148.0, 552.0), WIDE, 11);
        assert_eq!((strip.tiles.len(), strip.more.map(|more| more.1)), (3, Some(8)));
        let (large, strip) = speaker(area(100.0, 60.0), WIDE, 2);
        assert_eq!((large, strip), (area(100.0, 60.0), Places::default()), "room for one only");
    }

    /// What a stranger's camera claims to be must not break the layout.
    #[test]
    fn strange_aspects_are_harmless() {
        for aspect in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-9, 1e9] {
            let room = area(900.0, 500.0);
            check(&grid(room, &[WIDE, aspect, UPRIGHT]), room, 3, &format!("{aspect}"));
        }
    }
}
