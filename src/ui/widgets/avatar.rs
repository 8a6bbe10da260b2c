//! The letter in place of a picture.

use crate::ui::theme::{self, Palette};
use crate::ui::wording;
use eframe::egui::{Align2, Painter, Pos2};

/// A disc with the initial of `name`.
pub fn avatar(painter: &Painter, center: Pos2, diameter: f32, name: &str, palette: &Palette) {
    painter.circle_filled(center, diameter / 2.0, palette.accent_wash);
    let font = theme::semibold((diameter * 0.42).round());
    painter.text(center, Align2::CENTER_CENTER, wording::initial(name), font, palette.accent);
}
