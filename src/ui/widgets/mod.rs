//! The window's own controls. Each has an accessible name, shows the keyboard's focus and is at least
//! [`TARGET`](super::theme::TARGET) high.

mod avatar;
mod button;
mod field;
mod level;
mod picker;
mod qr;
mod reaction;
mod switch;
mod tile;
mod toast;

pub use avatar::avatar;
pub use button::{Button, Look, RoundButton};
pub use field::{labelled_field, secret_field, text_field};
pub use level::{bars, level_meter, paint_bars};
pub use picker::{Choice, picker};
pub use qr::qr_code;
pub use reaction::{hand, looks as reaction_looks, reaction};
pub use switch::switch;
pub use tile::{Tile, more, tile};
pub use toast::{ToastButton, Toasts};

use super::icons::Icon;
use super::theme::{self, Palette, RADIUS, palette};
use eframe::egui::{self, Color32, Frame, Margin, Rect, Response, RichText, Stroke, StrokeKind, Ui};

/// The ring around what the keyboard acts on.
fn focus_ring(ui: &Ui, response: &Response, rect: Rect, radius: f32) {
    if response.has_focus() {
        let stroke = Stroke::new(2.0, palette(ui).accent);
        ui.painter().rect_stroke(rect.expand(3.0), radius + 3.0, stroke, StrokeKind::Inside);
    }
}

/// A card that groups what belongs together.
pub fn card(palette: &Palette) -> Frame {
    Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(RADIUS + 4)
        .inner_margin(Margin::same(20))
}

/// A line of text with an icon before it: what is wrong, or what helps. Wraps.
pub fn remark(ui: &mut Ui, icon: Icon, color: Color32, text: &str) -> Response {
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let (rect, _) = ui.allocate_exact_size(egui::vec2(18.0, 18.0), egui::Sense::hover());
        theme::paint_icon(ui.painter(), rect.center(), icon, 18.0, color);
        ui.add(egui::Label::new(RichText::new(text).font(theme::regular(14.0)).color(color)).wrap())
    })
    .inner
}

/// Three dots that pass by twice a second: something is under way. Costs two passes a second, not sixty.
pub fn waiting_dots(ui: &mut Ui, now: std::time::Instant, started: std::time::Instant) {
    const STEP: std::time::Duration = std::time::Duration::from_millis(500);
    let step = (now.saturating_duration_since(started).as_millis() / STEP.as_millis()) % 3;
    let (rect, _) = ui.allocate_exact_size(egui::vec2(32.0, 18.0), egui::Sense::hover());
    let palette = palette(ui);
    for dot in 0..3_u8 {
        let color = if u128::from(dot) == step { palette.accent } else { palette.line };
        let center = rect.left_center() + egui::vec2(5.0 + 11.0 * f32::from(dot), 0.0);
        ui.painter().circle_filled(center, 4.0, color);
    }
    ui.ctx().request_repaint_after(STEP);
}

/// A text that is set in a smaller, quieter hand. Wraps.
pub fn quiet(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = palette(ui).muted;
    ui.add(egui::Label::new(RichText::new(text).font(theme::regular(14.0)).color(color)).wrap())
}

/// A headline.
pub fn headline(ui: &mut Ui, text: &str, size: f32) -> Response {
    let response = ui.add(egui::Label::new(RichText::new(text).font(theme::semibold(size))).wrap());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Heading, true, text));
    response
}
