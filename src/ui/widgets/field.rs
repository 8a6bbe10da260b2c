//! Text fields with their labels.

use crate::ui::theme::{self, TARGET, palette};
use eframe::egui::{self, Margin, Response, RichText, TextEdit, Ui, vec2};

/// A field under a visible label.
pub fn labelled_field(ui: &mut Ui, label: &str, hint: &str, text: &mut String, limit: usize) -> Response {
    ui.spacing_mut().item_spacing.y = 6.0;
    let color = palette(ui).muted;
    let above = ui.label(RichText::new(label).font(theme::regular(13.0)).color(color));
    let width = ui.available_width();
    text_field(ui, text, hint, width, limit).labelled_by(above.id)
}

/// The same for what nobody is to read over the shoulder.
pub fn secret_field(ui: &mut Ui, label: &str, hint: &str, text: &mut String, limit: usize) -> Response {
    ui.spacing_mut().item_spacing.y = 6.0;
    let color = palette(ui).muted;
    let above = ui.label(RichText::new(label).font(theme::regular(13.0)).color(color));
    let width = ui.available_width();
    ui.add_sized(vec2(width, TARGET), line(text, hint, width, limit).password(true)).labelled_by(above.id)
}

/// A field of one line. Give it a name with `labelled_by`, or its hint is its name.
pub fn text_field(ui: &mut Ui, text: &mut String, hint: &str, width: f32, limit: usize) -> Response {
    ui.add_sized(vec2(width, TARGET), line(text, hint, width, limit))
}

fn line<'a>(text: &'a mut String, hint: &'a str, width: f32, limit: usize) -> TextEdit<'a> {
    TextEdit::singleline(text)
        .hint_text(hint)
        .char_limit(limit)
        .margin(Margin::symmetric(14, 0))
        .align(egui::Align2::LEFT_CENTER)
        .min_size(vec2(0.0, TARGET))
        .desired_width(width - 28.0)
}
