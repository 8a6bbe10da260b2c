//! One picture of many: each member's newest picture in its place, its name on it.
//!
//! Only tiles of which something has changed since the last time are drawn again, each straight into the one picture
//! that is kept; the ground is drawn when the places change. A picture keeps its shape: what is left of its tile stays
//! dark. Who has no picture gets a disc with an initial.

use super::Member;
use super::layout::Place;
use super::paint::{self, Brush, Colour, colour};
use super::text::Lettering;
use crate::frame::{I420, RawFrame};
use crate::units::Resolution;
use std::time::Instant;

/// The colours of a call's window.
const GROUND: Colour = colour(0x0A_0C0D);
const PANEL: Colour = colour(0x18_1C1F);
const DISC: Colour = colour(0x14_302A);
const ACCENT: Colour = colour(0x34_D3A6);
const LETTERS: Colour = colour(0xFF_FFFF);
const MUTED: Colour = colour(0xFF_9592);
/// What is left of the picture's light behind a name, of 256.
const SHADE: u16 = 90;
/// A tile that is lower has no room for a name.
const LEAST_NAMED: u32 = 48;
const MIC_OFF: char = '\u{e02b}';

/// What one tile shows.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    pub member: Member,
    pub place: Place,
    /// The newest picture and its number; the same number of the same member is the same picture. `None`: no camera.
    pub picture: Option<(&'a I420, u64)>,
    pub name: &'a str,
    /// The microphone is off.
    pub muted: bool,
    /// It is framed.
    pub speaking: bool,
}

/// What a place shows.
struct Drawn {
    member: Member,
    place: Place,
    number: Option<u64>,
    name: String,
    muted: bool,
    speaking: bool,
}

impl Drawn {
    fn shows(&self, tile: &Tile) -> bool {
        self.member == tile.member
            && self.place == tile.place
            && self.number == tile.picture.map(|(_, number)| number)
            && self.name == tile.name
            && (self.muted, self.speaking) == (tile.muted, tile.speaking)
    }
}

/// Belongs to one thread; there is one for each layout.
pub struct Compositor {
    frame: RawFrame,
    drawn: Vec<Drawn>,
    brush: Brush,
    lettering: Lettering,
}

impl Compositor {
    /// Sides are made even.
    pub fn new(size: Resolution, now: Instant) -> Self {
        let even = |side: u32| side.clamp(2, Resolution::MAX_SIDE) & !1;
        let mut picture = I420::black(Resolution::new(even(size.width), even(size.height)));
        let whole = Place { left: 0, top: 0, size: picture.resolution() };
        paint::fill(&mut picture, &whole, GROUND);
        let frame = RawFrame { image: picture, captured_at: now };
        Self { frame, drawn: Vec::new(), brush: Brush::default(), lettering: Lettering::default() }
    }

    /// As composed last.
    pub fn frame(&self) -> &RawFrame {
        &self.frame
    }

    /// Draws what has changed, for a picture of `now`. Gives how many tiles that were.
    pub fn compose(&mut self, now: Instant, tiles: &[Tile]) -> usize {
        self.frame.captured_at = now;
        let size = self.frame.image.resolution();
        if !self.drawn.iter().map(|drawn| drawn.place).eq(tiles.iter().map(|tile| tile.place)) {
            self.drawn.clear();
            paint::fill(&mut self.frame.image, &Place { left: 0, top: 0, size }, GROUND);
        }
        let mut redrawn = 0;
        for (index, tile) in tiles.iter().enumerate() {
            if self.drawn.get(index).is_some_and(|drawn| drawn.shows(tile)) {
                continue;
            }
            let Place { left, top, size: Resolution { width, height } } = tile.place;
            let is_even = (left | top | width | height) & 1 == 0;
            let is_inside = u64::from(left) + u64::from(width) <= u64::from(size.width)
                && u64::from(top) + u64::from(height) <= u64::from(size.height);
            if is_even && is_inside && width > 0 && height > 0 {
                self.draw(tile);
                redrawn += 1;
            }
            let drawn = Drawn {
                member: tile.member,
                place: tile.place,
                number: tile.picture.map(|(_, number)| number),
                name: tile.name.to_owned(),
                muted: tile.muted,
                speaking: tile.speaking,
            };
            match self.drawn.get_mut(index) {
                Some(old) => *old = drawn,
                None => self.drawn.push(drawn),
            }
        }
        redrawn
    }

    fn draw(&mut self, tile: &Tile) {
        let inner = tile.picture.and_then(|(source, _)| tile.place.letterbox(source.resolution()));
        match (tile.picture, inner) {
            (Some((source, _)), Some(inner)) => {
                paint::fill_around(&mut self.frame.image, &tile.place, &inner, GROUND);
                self.brush.paint(source, &mut self.frame.image, &inner);
            }
            _ => self.draw_initial(tile),
        }
        if tile.speaking {
            let thickness = (tile.place.size.height / 100 * 2).clamp(2, 6);
            paint::frame(&mut self.frame.image, &tile.place, thickness, ACCENT);
        }
        if tile.place.size.height >= LEAST_NAMED {
            self.draw_name(tile);
        }
    }

    fn draw_initial(&mut self, tile: &Tile) {
        let Place { left, top, size } = tile.place;
        paint::fill(&mut self.frame.image, &tile.place, PANEL);
        let (middle_x, middle_y) = (left + size.width / 2, top + size.height / 2);
        let diameter = size.height.min(size.width) * 2 / 5;
        let disc = paint::disc(diameter);
        let (disc_left, disc_top) = (middle_x - diameter / 2, middle_y - diameter / 2);
        paint::stencil(&mut self.frame.image, &tile.place, disc_left, disc_top, &disc, DISC);
        let initial = tile.name.chars().find(|c| c.is_alphanumeric()).unwrap_or('?');
        let initial: String = initial.to_uppercase().collect();
        let letter = self.lettering.line(&initial, (diameter * 45 / 100).max(1), diameter);
        if let Some((ink_left, ink_top, ink_right, ink_bottom)) = letter.ink() {
            let x = middle_x.saturating_sub((ink_left + ink_right) / 2);
            let y = middle_y.saturating_sub((ink_top + ink_bottom) / 2);
            paint::stencil(&mut self.frame.image, &tile.place, x, y, &letter, ACCENT);
        }
    }

    /// The name, and whether the microphone is off, on a dark plate in the lower left corner.
    fn draw_name(&mut self, tile: &Tile) {
        let Place { left, top, size } = tile.place;
        let letters = (size.height / 16).clamp(11, 26);
        let (margin, padding) = ((letters / 2) & !1, letters / 2);
        let sign = tile.muted.then(|| self.lettering.icon(MIC_OFF, letters * 5 / 4));
        let sign_room =
            sign.as_ref().map_or(0, |sign| sign.width + if tile.name.is_empty() { 0 } else { padding / 2 });
        let room = size.width.saturating_sub(2 * (margin + padding) + sign_room);
        let name = self.lettering.line(tile.name, letters, room);
        let (wide, high) = (name.width + sign_room, letters * 7 / 4);
        if name.width + sign_room == 0 || wide + 2 * padding + margin > size.width {
            return;
        }
        let plate_size = Resolution::new((wide + 2 * padding + 1) & !1, (high + 1) & !1);
        let plate = Place {
            left: left + margin,
            top: top + (size.height - margin).saturating_sub(plate_size.height),
            size: plate_size,
        };
        paint::shade(&mut self.frame.image, &plate, SHADE);
        let middle = |height: u32| plate.top + plate_size.height.saturating_sub(height) / 2;
        if let Some(sign) = sign {
            paint::stencil(
                &mut self.frame.image,
                &plate,
                plate.left + padding,
                middle(sign.height),
                &sign,
                MUTED,
            );
        }
        let at = plate.left + padding + sign_room;
        paint::stencil(&mut self.frame.image, &plate, at, middle(name.height), &name, LETTERS);
    }
}

#[cfg(test)]
mod tests;
