//! Where each member is in the picture: rectangles for so many tiles, and who sits in which.
//!
//! All coordinates and sides are even, so that the colours of an I420 picture never belong to two tiles. Tiles have the
//! shape of most cameras, 16:9; what has another shape gets bars within its tile.

use super::Member;
use crate::units::Resolution;

/// In a grid; who is further back is heard and not seen.
pub const MAX_TILES: usize = 49;
/// Small tiles beside the large one.
const STRIP: usize = 5;
/// Shape of a tile.
const ASPECT: (u32, u32) = (16, 9);
/// A tile with a shorter side shows nothing.
const LEAST_SIDE: u32 = 8;
/// Between tiles, as a share of the shorter side of the picture.
const GAP: u32 = 120;

/// A rectangle in the picture, in pixels of its luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub left: u32,
    pub top: u32,
    pub size: Resolution,
}

impl Place {
    pub fn right(&self) -> u32 {
        self.left + self.size.width
    }
    pub fn bottom(&self) -> u32 {
        self.top + self.size.height
    }

    /// The largest rectangle of `shape` in the middle of this one; `None` if less than two pixels were left of a side.
    pub fn letterbox(&self, shape: Resolution) -> Option<Self> {
        if shape.area() == 0 {
            return None;
        }
        let (wide, high) = (u64::from(self.size.width), u64::from(self.size.height));
        let (shape_wide, shape_high) = (u64::from(shape.width), u64::from(shape.height));
        let size = if wide * shape_high <= high * shape_wide {
            Resolution::new(self.size.width, even_nearest(wide * shape_high, shape_wide))
        } else {
            Resolution::new(even_nearest(high * shape_wide, shape_high), self.size.height)
        };
        (size.width >= 2 && size.height >= 2).then(|| self.centered(size))
    }

    /// A rectangle of this size, not larger than this one, in its middle.
    fn centered(&self, size: Resolution) -> Self {
        let left = self.left + even((self.size.width - size.width) / 2);
        let top = self.top + even((self.size.height - size.height) / 2);
        Self { left, top, size }
    }
}

/// How the tiles are arranged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// All alike.
    #[default]
    Grid,
    /// The first one large, the next ones small beside it (below it where the picture is upright).
    Speaker,
}

/// The places of the first tiles in a picture of this size, in the order of the seats: `count` of them, or as many as
/// can be seen.
pub fn places(picture: Resolution, count: usize, arrangement: Arrangement) -> Vec<Place> {
    let size = Resolution::new(even(picture.width), even(picture.height));
    let whole = Place { left: 0, top: 0, size };
    if count == 0 || size.width < LEAST_SIDE || size.height < LEAST_SIDE {
        return Vec::new();
    }
    let gap = even(size.width.min(size.height) / GAP).max(2);
    match arrangement {
        Arrangement::Grid => grid(whole, count.min(MAX_TILES), gap),
        Arrangement::Speaker => large_and_small(whole, count, gap),
    }
}

fn grid(whole: Place, count: usize, gap: u32) -> Vec<Place> {
    if count <= 1 {
        return vec![whole];
    }
    let tile = |columns: u32| {
        let rows = (count as u32).div_ceil(columns);
        (part(whole.size.width, columns, gap), part(whole.size.height, rows, gap))
    };
    // The number of columns with the largest tiles. Too many for this size: fewer are seen.
    let best = (1..=count as u32)
        .map(|columns| (columns, fitted(tile(columns))))
        .filter(|(_, tile)| is_visible(*tile))
        .max_by_key(|(columns, tile)| (tile.area(), std::cmp::Reverse(*columns)));
    let Some((columns, tile)) = best else {
        return grid(whole, count - 1, gap);
    };
    let rows = (count as u32).div_ceil(columns);
    let block = |number: u32, side: u32| number * side + (number - 1) * gap;
    let top = even((whole.size.height - block(rows, tile.height)) / 2);
    (0..count as u32)
        .map(|seat| {
            let (row, column) = (seat / columns, seat % columns);
            let in_row = columns.min(count as u32 - row * columns);
            let left = even((whole.size.width - block(in_row, tile.width)) / 2);
            Place {
                left: left + column * (tile.width + gap),
                top: top + row * (tile.height + gap),
                size: tile,
            }
        })
        .collect()
}

fn large_and_small(whole: Place, count: usize, gap: u32) -> Vec<Place> {
    let Resolution { width, height } = whole.size;
    let upright = height > width;
    let small = if upright {
        fitted((part(width, STRIP as u32, gap), height / 3))
    } else {
        fitted((width / 3, part(height, STRIP as u32, gap)))
    };
    let (rest_wide, rest_high) = if upright {
        (width, height.saturating_sub(small.height + gap))
    } else {
        (width.saturating_sub(small.width + gap), height)
    };
    let large = Place { left: 0, top: 0, size: Resolution::new(even(rest_wide), even(rest_high)) };
    if count == 1 || !is_visible(small) || !is_visible(large.size) {
        return vec![whole];
    }
    let beside = (0..(count - 1).min(STRIP) as u32).map(|seat| {
        let (left, top) = if upright {
            (seat * (small.width + gap), large.bottom() + gap)
        } else {
            (large.right() + gap, seat * (small.height + gap))
        };
        Place { left, top, size: small }
    });
    std::iter::once(large).chain(beside).collect()
}

/// One of so many equal parts of a side, with gaps between them.
fn part(side: u32, parts: u32, gap: u32) -> u32 {
    side.saturating_sub((parts - 1) * gap) / parts
}

/// The largest tile in a cell.
fn fitted((width, height): (u32, u32)) -> Resolution {
    let (wide, high) = ASPECT;
    let by_width = Resolution::new(even(width), even(width * high / wide));
    let by_height = Resolution::new(even(height * wide / high), even(height));
    if by_width.height <= height { by_width } else { by_height }
}

fn is_visible(tile: Resolution) -> bool {
    tile.width.min(tile.height) >= LEAST_SIDE
}

fn even(side: u32) -> u32 {
    side & !1
}

/// `dividend / divisor` rounded to the nearest even number.
fn even_nearest(dividend: u64, divisor: u64) -> u32 {
    ((dividend + divisor) / (2 * divisor) * 2) as u32
}

/// Who sits where. Nobody moves who need not: a newcomer comes last, and where somebody leaves, the last one (or a
/// newcomer) takes the seat.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    seats: Vec<Member>,
}

impl Seats {
    /// These are there now; `large`: who has the first seat, if it is one of them, and stays there.
    pub fn update(&mut self, members: &[Member], large: Option<Member>) {
        let mut newcomers: Vec<Member> = Vec::new();
        for member in members {
            if !self.seats.contains(member) && !newcomers.contains(member) {
                newcomers.push(*member);
            }
        }
        let mut newcomers = newcomers.into_iter();
        let mut index = 0;
        while index < self.seats.len() {
            if members.contains(&self.seats[index]) {
                index += 1;
            } else if let Some(newcomer) = newcomers.next() {
                self.seats[index] = newcomer;
            } else {
                self.seats.swap_remove(index);
            }
        }
        self.seats.extend(newcomers);
        let from = large.and_then(|large| self.seats.iter().position(|seat| *seat == large));
        match from {
            // From a seat that is not seen: who was large moves to the first small one, so that it stays in sight.
            Some(from) if from > STRIP => {
                self.seats.swap(1, from);
                self.seats.swap(0, 1);
            }
            Some(from) => self.seats.swap(0, from),
            None => {}
        }
    }

    pub fn seats(&self) -> &[Member] {
        &self.seats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PeerId;

    fn guests(ids: impl IntoIterator<Item = u64>) -> Vec<Member> {
        ids.into_iter().map(|id| Member::Guest(PeerId(id))).collect()
    }

    const BOTH: [Arrangement; 2] = [Arrangement::Grid, Arrangement::Speaker];

    #[test]
    fn places_are_even_inside_and_apart_whatever_the_size() {
        let sides = [0, 1, 2, 7, 8, 9, 15, 64, 97, 180, 359, 640, 720, 1281, 4096];
        for (width, height) in sides.iter().flat_map(|w| sides.iter().map(move |h| (*w, *h))) {
            for (count, arrangement) in (0..60).flat_map(|count| BOTH.map(|kind| (count, kind))) {
                let found = places(Resolution::new(width, height), count, arrangement);
                let what = format!("{count} in {width}x{height} {arrangement:?}: {found:?}");
                assert!(found.len() <= count.min(MAX_TILES), "{what}");
                assert_eq!(found.is_empty(), count == 0 || width < 8 || height < 8, "{what}");
                for (index, place) in found.iter().enumerate() {
                    let sides = [place.left, place.top, place.size.width, place.size.height];
                    assert!(sides.iter().all(|side| side % 2 == 0), "{what}");
                    assert!(place.right() <= width && place.bottom() <= height, "{what}");
                    assert!(is_visible(place.size), "{what}");
                    let apart = |other: &Place| {
                        other.left >= place.right()
                            || place.left >= other.right()
                            || other.top >= place.bottom()
                            || place.top >= other.bottom()
                    };
                    assert!(found[index + 1..].iter().all(apart), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_grid_uses_the_room() {
        let used = |width, height, count| {
            let found = places(Resolution::new(width, height), count, Arrangement::Grid);
            assert_eq!(found.len(), count);
            assert!(found.iter().all(|place| place.size == found[0].size), "all alike");
            (found[0].size.width, found[0].size.height)
        };
        assert_eq!(used(1280, 720, 1), (1280, 720));
        assert_eq!(used(1280, 720, 2), (636, 358));
        assert_eq!(used(1280, 720, 4), (634, 356));
        assert_eq!(used(1280, 720, 6), (422, 236));
        assert_eq!(used(1280, 720, 9), (422, 236));
        assert_eq!(used(360, 640, 3), (360, 202), "upright: one below the other");
        used(1280, 720, 49);
        assert_eq!(places(Resolution::HD, 80, Arrangement::Grid).len(), MAX_TILES);
    }

    #[test]
    fn the_speaker_is_large() {
        for (width, height) in [(1280, 720), (720, 1280), (640, 480)] {
            let found = places(Resolution::new(width, height), 9, Arrangement::Speaker);
            assert_eq!(found.len(), 1 + STRIP);
            assert!(found[1..].iter().all(|small| found[0].size.area() > 8 * small.size.area()), "{found:?}");
        }
    }

    #[test]
    fn a_letterbox_keeps_the_shape_in_the_middle() {
        let place = Place { left: 10, top: 20, size: Resolution::new(320, 180) };
        let inner = |width, height| place.letterbox(Resolution::new(width, height)).unwrap();
        assert_eq!(inner(1280, 720), place);
        assert_eq!(inner(640, 480), Place { left: 50, top: 20, size: Resolution::new(240, 180) });
        assert_eq!(inner(90, 160), Place { left: 118, top: 20, size: Resolution::new(102, 180) });
        assert_eq!(inner(4096, 2000).size, Resolution::new(320, 156));
        assert_eq!(place.letterbox(Resolution::new(4096, 2)), None);
        assert_eq!(place.letterbox(Resolution::new(0, 9)), None);
    }

    #[test]
    fn nobody_moves_who_need_not() {
        let mut seats = Seats::default();
        seats.update(&guests([1, 2, 3, 4]), None);
        assert_eq!(seats.seats(), guests([1, 2, 3, 4]));
        seats.update(&guests([5, 4, 3, 2, 1]), None);
        assert_eq!(seats.seats(), guests([1, 2, 3, 4, 5]), "a newcomer comes last");
        seats.update(&guests([1, 3, 4, 5]), None);
        assert_eq!(seats.seats(), guests([1, 5, 3, 4]), "the last one takes the free seat");
        seats.update(&guests([1, 6, 3, 4, 7]), None);
        assert_eq!(seats.seats(), guests([1, 6, 3, 4, 7]), "a newcomer takes the free seat");
        seats.update(&guests([9, 9]), None);
        assert_eq!(seats.seats(), guests([9]));
        seats.update(&[], None);
        assert!(seats.seats().is_empty());
    }

    #[test]
    fn a_new_speaker_changes_places_with_the_last_one() {
        let mut seats = Seats::default();
        let all = guests(1..=9);
        let mut large = |id| {
            seats.update(&all, Some(Member::Guest(PeerId(id))));
            seats.seats().to_vec()
        };
        assert_eq!(large(3), guests([3, 2, 1, 4, 5, 6, 7, 8, 9]));
        assert_eq!(large(3), guests([3, 2, 1, 4, 5, 6, 7, 8, 9]));
        assert_eq!(large(2), guests([2, 3, 1, 4, 5, 6, 7, 8, 9]));
        assert_eq!(
            large(9),
            guests([9, 2, 1, 4, 5, 6, 7, 8, 3]),
            "from out of sight: the last speaker stays in it"
        );
    }
}
