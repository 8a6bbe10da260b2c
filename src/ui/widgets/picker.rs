//! A button that opens a list of choices.

use super::focus_ring;
use crate::ui::icons::{self, Icon};
use crate::ui::theme::{self, RADIUS, TARGET, palette};
use eframe::egui::{self, Align2, Color32, Popup, Response, Role, Sense, Ui, WidgetInfo, vec2};

/// One line of the list.
pub struct Choice<T> {
    pub value: T,
    pub label: String,
    /// A second line where two choices share a label.
    pub detail: String,
}

impl<T> Choice<T> {
    pub fn new(value: T, label: impl Into<String>) -> Self {
        Self { value, label: label.into(), detail: String::new() }
    }
}

/// Shows `shown` and, when pressed, the choices. Gives what was picked; `opened` runs when the list opens.
pub fn picker<T: PartialEq + Clone>(
    ui: &mut Ui,
    icon: Option<Icon>,
    name: &str,
    shown: &str,
    (choices, current): (&[Choice<T>], &T),
    width: f32,
    opened: impl FnOnce(),
) -> Option<T> {
    let (rect, response) = ui.allocate_exact_size(vec2(width, TARGET), Sense::click());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, name);
        info.current_text_value = Some(shown.to_owned());
        info
    });
    let colors = palette(ui);
    let open = Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response));
    let fill = if response.hovered() || open { colors.hovered } else { colors.raised };
    let radius = f32::from(RADIUS) - 2.0;
    ui.painter().rect_filled(rect, radius, fill);
    focus_ring(ui, &response, rect, radius);
    let mut left = rect.left() + 14.0;
    if let Some(icon) = icon {
        theme::paint_icon(ui.painter(), egui::pos2(left + 9.0, rect.center().y), icon, 18.0, colors.muted);
        left += 28.0;
    }
    let arrow = if open { icons::EXPAND_LESS } else { icons::EXPAND_MORE };
    theme::paint_icon(
        ui.painter(),
        egui::pos2(rect.right() - 20.0, rect.center().y),
        arrow,
        20.0,
        colors.muted,
    );
    paint_elided(ui, shown, egui::pos2(left, rect.center().y), rect.right() - 34.0 - left, colors.text);
    if response.clicked() && !open {
        opened();
    }
    let response = response.on_hover_text(name).on_hover_cursor(egui::CursorIcon::PointingHand);
    let mut picked = None;
    Popup::menu(&response).accessible_name(name).width(width.max(220.0)).show(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        egui::ScrollArea::vertical().max_height(6.5 * TARGET).show(ui, |ui| {
            for choice in choices {
                if row(ui, choice, choice.value == *current).clicked() {
                    picked = Some(choice.value.clone());
                }
            }
        });
    });
    picked
}

fn row<T>(ui: &mut Ui, choice: &Choice<T>, selected: bool) -> Response {
    let width = ui.available_width();
    let height = if choice.detail.is_empty() { TARGET - 4.0 } else { TARGET + 8.0 };
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::MenuItemRadio, true, selected, &choice.label));
    let colors = palette(ui);
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 8.0, colors.hovered);
    }
    if selected {
        theme::paint_icon(
            ui.painter(),
            rect.left_center() + vec2(18.0, 0.0),
            icons::CHECK,
            18.0,
            colors.accent,
        );
    }
    let left = rect.left() + 36.0;
    let room = rect.right() - 8.0 - left;
    if choice.detail.is_empty() {
        paint_elided(ui, &choice.label, egui::pos2(left, rect.center().y), room, colors.text);
    } else {
        paint_elided(ui, &choice.label, egui::pos2(left, rect.center().y - 9.0), room, colors.text);
        paint_elided(ui, &choice.detail, egui::pos2(left, rect.center().y + 11.0), room, colors.muted);
    }
    response
}

/// One line that ends in "…" where it would be too long.
fn paint_elided(ui: &Ui, text: &str, left_center: egui::Pos2, width: f32, color: Color32) {
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), theme::regular(15.0), color);
    job.wrap = egui::text::TextWrapping::truncate_at_width(width);
    let galley = ui.painter().layout_job(job);
    let place = Align2::LEFT_CENTER.anchor_size(left_center, galley.size());
    ui.painter().galley(place.min, galley, color);
}
