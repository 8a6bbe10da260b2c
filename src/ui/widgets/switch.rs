//! A switch with its label.

use super::focus_ring;
use crate::ui::theme::{self, TARGET, palette};
use eframe::egui::{self, Align2, Color32, Response, Role, Sense, Ui, WidgetInfo, vec2};

/// A row with a label on the left and a switch on the right; all of it can be pressed.
pub fn switch(ui: &mut Ui, label: &str, hint: &str, on: &mut bool) -> Response {
    let height = if hint.is_empty() { TARGET } else { TARGET + 8.0 };
    let (rect, mut response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(Role::Switch, true, *on, label));
    let colors = palette(ui);
    let painter = ui.painter();
    if hint.is_empty() {
        painter.text(rect.left_center(), Align2::LEFT_CENTER, label, theme::regular(15.0), colors.text);
    } else {
        let (first, second) = (rect.left_center() - vec2(0.0, 10.0), rect.left_center() + vec2(0.0, 11.0));
        painter.text(first, Align2::LEFT_CENTER, label, theme::regular(15.0), colors.text);
        painter.text(second, Align2::LEFT_CENTER, hint, theme::regular(13.0), colors.muted);
    }
    let track = egui::Rect::from_center_size(rect.right_center() - vec2(22.0, 0.0), vec2(44.0, 24.0));
    let share = ui.ctx().animate_bool_responsive(response.id, *on);
    let (fill, knob) = if *on { (colors.accent, colors.on_accent) } else { (colors.hovered, colors.muted) };
    painter.rect_filled(track, 12.0, fill);
    let center = egui::pos2(egui::lerp(track.left() + 12.0..=track.right() - 12.0, share), track.center().y);
    painter.circle_filled(center, 8.0, if *on { knob } else { Color32::WHITE.lerp_to_gamma(knob, 0.35) });
    focus_ring(ui, &response, track, 12.0);
    response.on_hover_cursor(egui::CursorIcon::PointingHand)
}
