//! Rectangles, masks and discs in an I420 picture, and a picture scaled into a part of another one.
//!
//! Places are even and inside (see `layout`), so that luma and colours cover the same pixels.

use super::layout::Place;
use super::scaling::{Canvas, Plane, Scaling};
use super::text::Mask;
use crate::frame::I420;
use crate::units::Resolution;

/// A colour as Y, U, V (BT.601, limited range).
pub(super) type Colour = (u8, u8, u8);

/// BT.601: from eight bits of red, green and blue.
pub(super) const fn colour(hex: u32) -> Colour {
    let (r, g, b) = (((hex >> 16) & 255) as i32, ((hex >> 8) & 255) as i32, (hex & 255) as i32);
    let y = 16 + (66 * r + 129 * g + 25 * b + 128) / 256;
    let u = 128 + (-38 * r - 74 * g + 112 * b) / 256;
    let v = 128 + (112 * r - 94 * g - 18 * b) / 256;
    (y as u8, u as u8, v as u8)
}

/// The rows of a place within a plane; `share`: 1 for luma, 2 for colours.
fn rows<'a>(
    plane: &'a mut [u8],
    picture: Resolution,
    place: &Place,
    share: u32,
) -> impl Iterator<Item = &'a mut [u8]> {
    let stride = picture.width.div_ceil(share) as usize;
    let (left, width) = ((place.left / share) as usize, (place.size.width / share) as usize);
    let (top, height) = ((place.top / share) as usize, (place.size.height / share) as usize);
    plane.chunks_exact_mut(stride).skip(top).take(height).map(move |row| &mut row[left..left + width])
}

/// One colour all over a place.
pub(super) fn fill(picture: &mut I420, place: &Place, (y, u, v): Colour) {
    let size = picture.resolution();
    let planes = picture.planes_mut();
    rows(planes.0, size, place, 1).for_each(|row| row.fill(y));
    rows(planes.1, size, place, 2).for_each(|row| row.fill(u));
    rows(planes.2, size, place, 2).for_each(|row| row.fill(v));
}

/// What of `outer` is not in `inner`.
pub(super) fn fill_around(picture: &mut I420, outer: &Place, inner: &Place, colour: Colour) {
    let mut bar = |left, top, width, height| {
        fill(picture, &Place { left, top, size: Resolution::new(width, height) }, colour);
    };
    bar(outer.left, outer.top, outer.size.width, inner.top - outer.top);
    bar(outer.left, inner.bottom(), outer.size.width, outer.bottom() - inner.bottom());
    bar(outer.left, inner.top, inner.left - outer.left, inner.size.height);
    bar(inner.right(), inner.top, outer.right() - inner.right(), inner.size.height);
}

/// A frame along the inner edge of a place.
pub(super) fn frame(picture: &mut I420, place: &Place, thickness: u32, colour: Colour) {
    let Resolution { width, height } = place.size;
    if width > 2 * thickness && height > 2 * thickness {
        let size = Resolution::new(width - 2 * thickness, height - 2 * thickness);
        let inner = Place { left: place.left + thickness, top: place.top + thickness, size };
        fill_around(picture, place, &inner, colour);
    }
}

/// Darkens a place and takes its colours away: whatever the picture, white letters can be read on it.
pub(super) fn shade(picture: &mut I420, place: &Place, left_over: u16) {
    let size = picture.resolution();
    let planes = picture.planes_mut();
    for row in rows(planes.0, size, place, 1) {
        row.iter_mut().for_each(|y| *y = (16 + ((u16::from(*y).saturating_sub(16) * left_over) >> 8)) as u8);
    }
    rows(planes.1, size, place, 2).chain(rows(planes.2, size, place, 2)).for_each(|row| row.fill(128));
}

/// Paints through a mask whose upper left pixel is at `left`, `top`; what is outside of `place` is cut off.
pub(super) fn stencil(picture: &mut I420, place: &Place, left: u32, top: u32, mask: &Mask, colour: Colour) {
    let size = picture.resolution();
    let (y, u, v) = picture.planes_mut();
    let covered = |x: u32, y: u32| -> u32 {
        match (x.checked_sub(left), y.checked_sub(top)) {
            (Some(x), Some(y)) if x < mask.width && y < mask.height => {
                u32::from(mask.coverage[(y * mask.width + x) as usize])
            }
            _ => 0,
        }
    };
    let blend = |pixel: &mut u8, colour: u8, share: u32| {
        *pixel = ((u32::from(*pixel) * (255 - share) + u32::from(colour) * share + 127) / 255) as u8;
    };
    let inside = |from: u32, length: u32, start: u32, end: u32| start.max(from)..end.min(from + length);
    for line in inside(top, mask.height, place.top, place.bottom()) {
        for column in inside(left, mask.width, place.left, place.right()) {
            blend(&mut y[(line * size.width + column) as usize], colour.0, covered(column, line));
        }
    }
    let stride = size.chroma().width;
    for line in inside(top / 2, mask.height / 2 + 1, place.top / 2, place.bottom() / 2) {
        for column in inside(left / 2, mask.width / 2 + 1, place.left / 2, place.right() / 2) {
            let corner = |x: u32, y: u32| covered(2 * column + x, 2 * line + y);
            let share = (corner(0, 0) + corner(1, 0) + corner(0, 1) + corner(1, 1)) / 4;
            let at = (line * stride + column) as usize;
            blend(&mut u[at], colour.1, share);
            blend(&mut v[at], colour.2, share);
        }
    }
}

/// A disc as a mask.
pub(super) fn disc(diameter: u32) -> Mask {
    let radius = diameter as f32 / 2.0;
    let coverage = (0..diameter * diameter)
        .map(|n| {
            let (x, y) = ((n % diameter) as f32 + 0.5 - radius, (n / diameter) as f32 + 0.5 - radius);
            ((radius - x.hypot(y) + 0.5).clamp(0.0, 1.0) * 255.0) as u8
        })
        .collect();
    Mask { width: diameter, height: diameter, coverage }
}

/// Scales pictures straight into their places.
#[derive(Default)]
pub(super) struct Brush {
    scaling: Scaling,
}

impl Brush {
    /// `source` all over `place`, whatever its shape.
    pub fn paint(&mut self, source: &I420, picture: &mut I420, place: &Place) {
        let (from, to) = (source.resolution(), picture.resolution());
        let (from, pixels, targets) =
            ([from, from.chroma(), from.chroma()], source.planes(), picture.planes_mut());
        let planes = [(pixels.0, targets.0, 1), (pixels.1, targets.1, 2), (pixels.2, targets.2, 2)];
        for ((pixels, target, share), size) in planes.into_iter().zip(from) {
            let mut canvas = Canvas {
                pixels: target,
                stride: to.width.div_ceil(share),
                left: place.left / share,
                top: place.top / share,
                size: Resolution::new(place.size.width / share, place.size.height / share),
            };
            self.scaling.scale(Plane { pixels, size }, &mut canvas);
        }
    }
}
