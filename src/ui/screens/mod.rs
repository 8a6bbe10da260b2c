//! The screens. Each is one function that shows a [`Scene`](super::view::Scene).

mod add_someone;
mod bar;
pub mod call;
mod code_details;
pub mod devices;
mod door;
pub mod ended;
pub mod exchange;
mod group;
pub mod hand_over;
pub mod help;
pub mod lobby;
mod nearby;
mod own_picture;
mod people_panel;
pub mod phone;
pub mod rescue;
pub mod server_room;
pub mod servers;
pub mod settings;
pub mod statistics;
mod ways;
pub mod words;

use super::icons;
use super::theme;
use super::view::{Overlay, Scene};
use super::widgets::{Look, RoundButton};
use eframe::egui::{self, Align, Layout, RichText, Ui};

/// Width from which there is room for two columns with air between them.
const ROOMY: f32 = 900.0;

/// How far the edge of a quiet button, which does not show, stands out from what it says.
const OVERHANG: f32 = 12.0;

/// Something on the left; settings and help on the right. Buttons overhang, so that what they show is in line with
/// the rest of the screen.
fn top_bar(ui: &mut Ui, scene: &mut Scene<'_>, left: impl FnOnce(&mut Ui, &mut Scene<'_>)) {
    let (rect, _) =
        ui.allocate_exact_size(egui::vec2(ui.available_width(), theme::TARGET), egui::Sense::hover());
    let place = egui::UiBuilder::new()
        .max_rect(rect.expand2(egui::vec2(OVERHANG, 0.0)))
        .layout(Layout::left_to_right(Align::Center));
    let mut bar = ui.new_child(place);
    left(&mut bar, scene);
    bar.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if RoundButton::new(icons::HELP, "Help").key("?").look(Look::Quiet).show(ui).clicked() {
            scene.view.overlay = Overlay::Help;
        }
        if RoundButton::new(icons::SETTINGS, "Settings").key("Ctrl+,").look(Look::Quiet).show(ui).clicked() {
            scene.view.overlay = Overlay::Settings;
        }
    });
}

/// The mark and the name of the program.
fn brand(ui: &mut Ui) {
    ui.add_space(OVERHANG);
    let (rect, _) = ui.allocate_exact_size(egui::vec2(36.0, 36.0), egui::Sense::hover());
    theme::paint_mark(ui, rect);
    ui.label(RichText::new("Twocan").font(theme::semibold(19.0)));
}

/// Shows `add` in a column in the middle that is at most `width` wide, scrolled where it is too high.
fn centered(ui: &mut Ui, width: f32, add: impl FnOnce(&mut Ui)) {
    let room = ui.available_size();
    egui::ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        let width = width.min(room.x);
        // In the middle of the height too, as far as last time's height tells.
        let id = ui.make_persistent_id("height");
        let height = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or(0.0);
        ui.add_space(((room.y - height) * 0.45).max(0.0));
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            ui.add_space((room.x - width) / 2.0);
            ui.vertical(|ui| {
                ui.set_width(width);
                ui.spacing_mut().item_spacing.x = 8.0;
                let top = ui.cursor().top();
                add(ui);
                let now = ui.min_rect().bottom() - top;
                if (now - height).abs() > 0.5 {
                    ui.data_mut(|data| data.insert_temp(id, now));
                    ui.ctx().request_discard("the height of the middle column");
                }
            });
        });
    });
}

/// A row of texts and marks: no higher than they are.
fn low_row<R>(ui: &mut Ui, height: f32, add: impl FnOnce(&mut Ui) -> R) -> R {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = height;
        ui.horizontal(add).inner
    })
    .inner
}
