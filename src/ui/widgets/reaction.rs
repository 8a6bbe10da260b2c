//! Reactions and raised hands, drawn from the icon font: fonts with emoji are not on every machine.

use crate::room::message::Reaction;
use crate::ui::icons::{self, Icon};
use crate::ui::theme::{self, DARK};
use eframe::egui::{Color32, Painter, Pos2, Stroke};

/// How each looks, and what it is called.
pub fn looks(reaction: Reaction) -> (Icon, Color32, &'static str) {
    match reaction {
        Reaction::ThumbsUp => (icons::THUMB_UP, DARK.warning, "Thumbs up"),
        Reaction::Heart => (icons::FAVORITE, DARK.trouble, "Heart"),
        Reaction::Laugh => (icons::LAUGH, DARK.warning, "Laugh"),
        Reaction::Celebrate => (icons::CELEBRATION, DARK.accent, "Celebrate"),
        Reaction::Wave => (icons::WAVING_HAND, DARK.warning, "Wave"),
    }
}

/// A reaction on its disc; `opacity` lets it fade.
pub fn reaction(painter: &Painter, center: Pos2, diameter: f32, reaction: Reaction, opacity: f32) {
    let (icon, color, _) = looks(reaction);
    disc(painter, center, diameter, opacity);
    theme::paint_icon(painter, center, icon, (diameter * 0.58).round(), color.gamma_multiply(opacity));
}

/// A raised hand.
pub fn hand(painter: &Painter, center: Pos2, diameter: f32) {
    painter.circle_filled(center, diameter / 2.0, DARK.warning);
    theme::paint_icon(painter, center, icons::BACK_HAND, (diameter * 0.58).round(), DARK.ground);
}

fn disc(painter: &Painter, center: Pos2, diameter: f32, opacity: f32) {
    let fill = Color32::from_black_alpha(205).gamma_multiply(opacity);
    painter.circle(center, diameter / 2.0, fill, Stroke::new(1.0, DARK.line.gamma_multiply(opacity)));
}
