//! Names as masks of coverage, from the fonts of the window: one line, no kerning, cut with an ellipsis where the room
//! ends. What a font does not have shows as its empty box.
//!
//! Outlines come from `skrifa`. Each row of pixels is cut by a few lines; where a line enters and leaves the shape is
//! found by the winding of the outline's edges (the non-zero rule of PostScript and OpenType), and the stretch between
//! is added to the pixels it covers, parts of them at its ends.

use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use std::collections::HashMap;
use std::rc::Rc;

const TEXT: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");
const ICONS: &[u8] = include_bytes!("../../assets/fonts/icons.ttf");
const ELLIPSIS: char = '…';
/// Lines that cut a row of pixels.
const CUTS: usize = 5;
/// Straight pieces a curve is drawn with.
const PIECES: u32 = 6;
/// Masks that are kept: names and initials at two or three sizes. With more all of them are made anew.
const MAX_KEPT: usize = 256;
/// Characters of a name that are looked at.
const MAX_CHARACTERS: usize = 64;
/// No letter is larger.
const MAX_SIZE: u32 = 512;

/// How much of each pixel a text covers, 0 to 255.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mask {
    pub width: u32,
    pub height: u32,
    pub coverage: Vec<u8>,
}

impl Mask {
    /// The smallest rectangle with all of the ink: left, top, right, bottom. `None` without any.
    pub fn ink(&self) -> Option<(u32, u32, u32, u32)> {
        let inked = (0..self.height)
            .flat_map(|y| (0..self.width).map(move |x| (x, y)))
            .filter(|(x, y)| self.coverage[(y * self.width + x) as usize] > 0);
        inked.fold(None, |ink, (x, y)| {
            let (left, top, right, bottom) = ink.unwrap_or((x, y, x + 1, y + 1));
            Some((left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)))
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    text: String,
    size: u32,
    room: u32,
    icon: bool,
}

/// Makes masks and keeps them.
#[derive(Default)]
pub(super) struct Lettering {
    kept: HashMap<Key, Rc<Mask>>,
}

impl Lettering {
    /// One line of `text` with letters of `size` pixels, at most `room` pixels wide.
    pub fn line(&mut self, text: &str, size: u32, room: u32) -> Rc<Mask> {
        let text = text.chars().filter(|c| !c.is_control()).take(MAX_CHARACTERS).collect();
        self.mask(Key { text, size: size.clamp(1, MAX_SIZE), room, icon: false })
    }

    /// A sign of the icon font.
    pub fn icon(&mut self, icon: char, size: u32) -> Rc<Mask> {
        let size = size.clamp(1, MAX_SIZE);
        self.mask(Key { text: icon.into(), size, room: 2 * size, icon: true })
    }

    fn mask(&mut self, key: Key) -> Rc<Mask> {
        if let Some(mask) = self.kept.get(&key) {
            return mask.clone();
        }
        if self.kept.len() >= MAX_KEPT {
            self.kept.clear();
        }
        let font =
            FontRef::new(if key.icon { ICONS } else { TEXT }).expect("the font is part of the program");
        let mask = Rc::new(draw(&font, &key));
        self.kept.insert(key, mask.clone());
        mask
    }
}

fn draw(font: &FontRef, key: &Key) -> Mask {
    let size = Size::new(key.size as f32);
    let metrics = font.metrics(size, LocationRef::default());
    let advances = font.glyph_metrics(size, LocationRef::default());
    let charmap = font.charmap();
    let glyph = |c: char| charmap.map(c).unwrap_or(GlyphId::NOTDEF);
    let advance = |glyph: GlyphId| advances.advance_width(glyph).unwrap_or(0.0).max(0.0);
    let mut glyphs: Vec<GlyphId> = key.text.chars().map(glyph).collect();
    let width = |glyphs: &[GlyphId]| glyphs.iter().map(|glyph| advance(*glyph)).sum::<f32>();
    if width(&glyphs) > key.room as f32 {
        let ellipsis = glyph(ELLIPSIS);
        while !glyphs.is_empty() && width(&glyphs) + advance(ellipsis) > key.room as f32 {
            glyphs.pop();
        }
        // Not even that may fit.
        glyphs.extend((width(&glyphs) + advance(ellipsis) <= key.room as f32).then_some(ellipsis));
    }
    let outlines = font.outline_glyphs();
    let mut pen = Pen { baseline: metrics.ascent, ..Pen::default() };
    for glyph in &glyphs {
        if let Some(outline) = outlines.get(*glyph) {
            // A damaged glyph would be left out; ours are not.
            let _ = outline.draw(DrawSettings::unhinted(size, LocationRef::default()), &mut pen);
        }
        pen.left += advance(*glyph);
    }
    let height = (metrics.ascent - metrics.descent).ceil().max(0.0) as u32;
    pen.fill(width(&glyphs).ceil() as u32, height)
}

/// A straight piece of an outline, from top to bottom; which way it was drawn.
struct Edge {
    top: (f32, f32),
    bottom: (f32, f32),
    winding: i32,
}

/// Collects an outline as straight pieces, with y pointing down from the top of the line.
#[derive(Default)]
struct Pen {
    baseline: f32,
    left: f32,
    edges: Vec<Edge>,
    start: (f32, f32),
    at: (f32, f32),
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.left + x, self.baseline - y)
    }

    fn go(&mut self, to: (f32, f32)) {
        let from = std::mem::replace(&mut self.at, to);
        if from.1 < to.1 {
            self.edges.push(Edge { top: from, bottom: to, winding: 1 });
        } else if from.1 > to.1 {
            self.edges.push(Edge { top: to, bottom: from, winding: -1 });
        }
    }

    /// Follows a curve given by its points at times from 0 to 1.
    fn follow(&mut self, point: impl Fn(f32) -> (f32, f32)) {
        (1..=PIECES).for_each(|piece| self.go(point(piece as f32 / PIECES as f32)));
    }

    fn fill(&self, width: u32, height: u32) -> Mask {
        let mut sums = vec![0.0_f32; width as usize];
        let mut coverage = Vec::with_capacity((width * height) as usize);
        let mut crossings: Vec<(f32, i32)> = Vec::new();
        for row in 0..height {
            sums.fill(0.0);
            for cut in 0..CUTS {
                let y = row as f32 + (cut as f32 + 0.5) / CUTS as f32;
                crossings.clear();
                crossings.extend(self.edges.iter().filter(|e| e.top.1 <= y && y < e.bottom.1).map(|e| {
                    let share = (y - e.top.1) / (e.bottom.1 - e.top.1);
                    (e.top.0 + share * (e.bottom.0 - e.top.0), e.winding)
                }));
                crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut winding = 0;
                for pair in crossings.windows(2) {
                    winding += pair[0].1;
                    if winding != 0 {
                        cover(&mut sums, pair[0].0, pair[1].0);
                    }
                }
            }
            coverage
                .extend(sums.iter().map(|sum| (sum * 255.0 / CUTS as f32).round().clamp(0.0, 255.0) as u8));
        }
        Mask { width, height, coverage }
    }
}

/// Adds the stretch from `from` to `to` to the pixels it covers.
fn cover(row: &mut [f32], from: f32, to: f32) {
    let end = row.len() as f32;
    let (from, to) = (from.clamp(0.0, end), to.clamp(0.0, end));
    for (x, pixel) in row.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
        *pixel += (to.min(x as f32 + 1.0) - from.max(x as f32)).max(0.0);
    }
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.start = self.place(x, y);
        self.at = self.start;
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.go(self.place(x, y));
    }
    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        let (a, b, c) = (self.at, self.place(cx, cy), self.place(x, y));
        self.follow(|t| {
            let mix = |a: f32, b: f32, c: f32| a * (1.0 - t).powi(2) + 2.0 * b * t * (1.0 - t) + c * t * t;
            (mix(a.0, b.0, c.0), mix(a.1, b.1, c.1))
        });
    }
    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let (a, b, c, d) = (self.at, self.place(cx0, cy0), self.place(cx1, cy1), self.place(x, y));
        self.follow(|t| {
            let s = 1.0 - t;
            let mix = |a: f32, b: f32, c: f32, d: f32| {
                a * s.powi(3) + 3.0 * b * t * s * s + 3.0 * c * t * t * s + d * t.powi(3)
            };
            (mix(a.0, b.0, c.0, d.0), mix(a.1, b.1, c.1, d.1))
        });
    }
    fn close(&mut self) {
        self.go(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(mask: &Mask) -> u32 {
        mask.coverage.iter().map(|coverage| u32::from(*coverage)).sum::<u32>() / 255
    }

    #[test]
    fn letters_have_their_shape() {
        let mut letters = Lettering::default();
        let bar = letters.line("l", 100, 500);
        let (left, top, right, bottom) = bar.ink().unwrap();
        assert!(bottom - top > 60 && right - left < 25, "an l is upright");
        let solid = (right - left) * (bottom - top);
        assert!(ink(&bar) * 100 > solid * 80, "and solid");
        let ring = letters.line("o", 100, 500);
        let (left, top, right, bottom) = ring.ink().unwrap();
        let middle = ring.coverage[((top + bottom) / 2 * ring.width + (left + right) / 2) as usize];
        assert_eq!(middle, 0, "an o has a hole");
        assert!(ink(&ring) * 100 > (right - left) * (bottom - top) * 30);
        assert_ne!(letters.line("Ж", 40, 500), letters.line("Ш", 40, 500), "and not only Latin ones");
        assert!(letters.icon('\u{e02b}', 24).ink().is_some());
    }

    #[test]
    fn long_names_are_cut_and_odd_ones_do_no_harm() {
        let mut letters = Lettering::default();
        let long = letters.line(&"Maximiliane ".repeat(400), 20, 150);
        assert!(long.width <= 150 && long.width > 120);
        for text in ["", "\0\n\u{202e}", "安👩‍👩‍👧‍👦", " "] {
            for (size, room) in [(0, 0), (1, 1), (20, 0), (20, 5), (9999, 100_000)] {
                let mask = letters.line(text, size, room);
                assert_eq!(mask.coverage.len() as u32, mask.width * mask.height);
                assert!(mask.width <= room);
            }
        }
    }

    #[test]
    fn a_mask_is_made_once_and_few_are_kept() {
        let mut letters = Lettering::default();
        let first = letters.line("Ann", 20, 100);
        assert!(Rc::ptr_eq(&first, &letters.line("Ann", 20, 100)));
        (0..3 * MAX_KEPT).for_each(|n| drop(letters.line(&n.to_string(), 8, 50)));
        assert!(letters.kept.len() <= MAX_KEPT);
    }
}
