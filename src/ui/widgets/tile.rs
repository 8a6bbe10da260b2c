//! One person in a group call: the picture or a letter, and over it the name and what there is to know.
//!
//! ```text
//!   (hand 1)                  (pin)
//!
//!              picture
//!
//!   [mute  Ann (2)  bars]  (reaction)
//! ```

use super::{avatar, paint_bars, reaction};
use crate::engine::Quality;
use crate::room::message::Reaction;
use crate::ui::icons;
use crate::ui::theme::{self, DARK, RADIUS, SCRIM};
use eframe::egui::{
    self, Align2, Color32, Painter, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

/// What a tile says.
#[derive(Clone, Debug, Default)]
pub struct Tile {
    pub name: String,
    /// What the letter stands for, where the name is a word like "You".
    pub letter: String,
    pub muted: bool,
    /// They are not heard, because we turned them down.
    pub silenced: bool,
    pub speaking: bool,
    pub pinned: bool,
    /// Place in the order of raised hands.
    pub hand: Option<usize>,
    /// `None`: our own tile.
    pub quality: Option<Quality>,
    /// The reaction, and how much of it shows.
    pub reaction: Option<(Reaction, f32)>,
    /// Nothing comes from them: the last picture is no live one.
    pub waits: bool,
}

impl Tile {
    /// All of it in words, for a screen reader.
    fn words(&self) -> String {
        let mut words = self.name.clone();
        let mut add = |on: bool, text: &str| {
            if on {
                words.push_str(", ");
                words.push_str(text);
            }
        };
        add(self.speaking, "speaking");
        add(self.muted, "muted");
        add(self.silenced, "turned down");
        add(self.hand.is_some(), "hand raised");
        add(self.pinned, "pinned");
        add(self.waits, "reconnecting");
        words
    }
}

/// Shows a tile. `paint` paints the picture into a place with round corners and says whether there was one.
pub fn tile(
    ui: &mut Ui,
    id: egui::Id,
    rect: Rect,
    tile: &Tile,
    paint: impl FnOnce(&Ui, Rect, f32) -> bool,
) -> egui::Response {
    let response = ui.interact(rect, id, Sense::click());
    let name =
        if tile.quality.is_some() { format!("Picture of {}", tile.name) } else { "Your picture".into() };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let radius = f32::from(RADIUS);
    ui.painter().rect_filled(rect, radius, DARK.raised);
    if !paint(ui, rect, radius) {
        // The name lies at the foot; the letter keeps clear of it where it is close.
        let room = rect.height() - if rect.height() < 140.0 { 34.0 } else { 0.0 };
        let diameter = (room * 0.46).min(rect.width() * 0.5).clamp(24.0, 220.0);
        let center = pos2(rect.center().x, rect.top() + room / 2.0);
        avatar(ui.painter(), center, diameter, &tile.letter, &DARK);
    }
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    if tile.waits {
        painter.rect_filled(rect, radius, Color32::from_black_alpha(150));
        let words = if rect.width() < 160.0 { "…" } else { "Reconnecting…" };
        painter.text(rect.center(), Align2::CENTER_CENTER, words, theme::semibold(14.0), Color32::WHITE);
    }
    let tag = tag(&painter, rect, tile);
    let words = ui.interact(tag, id.with("tag"), Sense::hover());
    words.widget_info(|| WidgetInfo::labeled(Role::Label, true, tile.words()));
    marks(&painter, rect, tag, tile);
    if tile.speaking {
        let stroke = Stroke::new(3.0, DARK.accent);
        ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
    }
    super::focus_ring(ui, &response, rect.shrink(3.0), radius - 3.0);
    response
}

/// The name with what is known of sound and connection, at the foot on the left.
fn tag(painter: &Painter, rect: Rect, tile: &Tile) -> Rect {
    let small = rect.width() < 190.0;
    let (height, margin, font) =
        if small { (22.0, 6.0, theme::regular(12.0)) } else { (28.0, 8.0, theme::semibold(14.0)) };
    let icon = height * 0.6;
    // A good connection needs no bars where there is little room.
    let bars = tile.quality.filter(|quality| !small || matches!(quality, Quality::Fair | Quality::Poor));
    let before = [(tile.muted, icons::MIC_OFF), (tile.silenced && !tile.muted, icons::VOLUME_OFF)];
    let icons: Vec<_> = before.into_iter().filter(|(on, _)| *on).map(|(_, icon)| icon).collect();
    let icons_width = icons.len() as f32 * (icon + 4.0);
    let bars_width = if bars.is_some() { 24.0 } else { 0.0 };
    let padding = if small { 7.0 } else { 10.0 };
    let room = rect.width() - 2.0 * margin - 2.0 * padding - icons_width - bars_width;
    let mut job = egui::text::LayoutJob::simple_singleline(tile.name.clone(), font, Color32::WHITE);
    job.wrap = egui::text::TextWrapping::truncate_at_width(room.max(12.0));
    let name = painter.layout_job(job);
    let width = 2.0 * padding + icons_width + name.size().x + bars_width;
    let place = Rect::from_min_size(
        pos2(rect.left() + margin, rect.bottom() - margin - height),
        vec2(width.min(rect.width() - 2.0 * margin), height),
    );
    painter.rect_filled(place, height / 2.0, SCRIM);
    let mut left = place.left() + padding;
    for glyph in icons {
        let center = pos2(left + icon / 2.0, place.center().y);
        theme::paint_icon(painter, center, glyph, icon.round(), DARK.trouble);
        left += icon + 4.0;
    }
    let at = Align2::LEFT_CENTER.anchor_size(pos2(left, place.center().y), name.size());
    left += name.size().x;
    painter.galley(at.min, name, Color32::WHITE);
    if let Some(quality) = bars {
        let size = vec2(16.0, 12.0);
        let center = pos2(left + 8.0 + size.x / 2.0, place.center().y);
        paint_bars(painter, Rect::from_center_size(center, size), quality, &DARK);
    }
    place
}

/// Hand and pin at the head, the reaction at the foot.
fn marks(painter: &Painter, rect: Rect, tag: Rect, tile: &Tile) {
    let small = rect.width() < 190.0;
    let (diameter, margin) = if small { (24.0, 6.0) } else { (34.0, 8.0) };
    let offset = margin + diameter / 2.0;
    if let Some(order) = tile.hand {
        let center = rect.left_top() + vec2(offset, offset);
        reaction::hand(painter, center, diameter);
        if order > 1 {
            // Who is next is asked only once there are two.
            let corner = center + vec2(diameter, diameter) * 0.36;
            painter.circle_filled(corner, 8.0, Color32::WHITE);
            let font = theme::semibold(11.0);
            painter.text(corner, Align2::CENTER_CENTER, order.to_string(), font, DARK.ground);
        }
    }
    if tile.pinned {
        let center = rect.right_top() + vec2(-offset, offset);
        painter.circle_filled(center, diameter / 2.0, SCRIM);
        theme::paint_icon(painter, center, icons::KEEP, (diameter * 0.55).round(), Color32::WHITE);
    }
    if let Some((kind, opacity)) = tile.reaction {
        let diameter = (rect.height() * 0.34).clamp(28.0, 96.0);
        let beside = rect.width() - tag.width() >= diameter + 3.0 * margin;
        let foot = if beside { margin } else { tag.height() + 2.0 * margin };
        let center = rect.right_bottom() - vec2(margin + diameter / 2.0, foot + diameter / 2.0);
        reaction::reaction(painter, center, diameter, kind, opacity);
    }
}

/// How many are not shown.
pub fn more(ui: &mut Ui, rect: Rect, number: usize) -> egui::Response {
    let response = ui.interact(rect, ui.scope_id().with("more"), Sense::click());
    let words = format!("{number} more. Show the list of people");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
    let fill = if response.hovered() { DARK.hovered } else { DARK.raised };
    ui.painter().rect_filled(rect, f32::from(RADIUS), fill);
    super::focus_ring(ui, &response, rect.shrink(3.0), f32::from(RADIUS) - 3.0);
    let size = (rect.height() * 0.26).clamp(16.0, 36.0);
    let text = format!("+{number}");
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, theme::semibold(size), Color32::WHITE);
    response.on_hover_text(words).on_hover_cursor(egui::CursorIcon::PointingHand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_told_in_words() {
        let tile = Tile { name: "Ann (2)".into(), muted: true, hand: Some(1), ..Tile::default() };
        assert_eq!(tile.words(), "Ann (2), muted, hand raised");
    }
}
