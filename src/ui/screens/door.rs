//! Somebody wants to come into a call that is running: a card at the top, until we have answered.

use crate::ui::icons;
use crate::ui::theme::{self, DARK};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{Button, Look};
use eframe::egui::{self, Color32, Frame, Label, Margin, Rect, RichText, Role, Ui, WidgetInfo, pos2};

const WIDTH: f32 = 460.0;
const BUTTONS: f32 = 240.0;

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let Some(person) = scene.model.people.asking() else { return };
    let (id, name) = (person.id, person.remote.name.clone());
    let words = format!("{} wants to join", if name.is_empty() { "Somebody" } else { &name });
    let half = (stage.width() - 32.0).min(WIDTH) / 2.0;
    let middle = stage.center().x;
    let place =
        Rect::from_min_max(pos2(middle - half, stage.top() + 72.0), pos2(middle + half, stage.bottom()));
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        let frame = Frame::new().fill(DARK.panel).stroke(egui::Stroke::new(1.0, DARK.line)).corner_radius(16);
        let margin = Margin { left: 16, right: 8, top: 8, bottom: 8 };
        frame.shadow(ui.visuals().window_shadow).inner_margin(margin).show(ui, |ui| {
            ui.horizontal(|ui| {
                let room = (ui.available_width() - BUTTONS).max(80.0);
                ui.scope(|ui| {
                    ui.set_width(room);
                    let text = RichText::new(&words).font(theme::semibold(15.0)).color(Color32::WHITE);
                    let label = ui.add(Label::new(text).truncate());
                    label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &words));
                });
                let admit = Button::new(Look::Primary, "Let in").icon(icons::CHECK).width(112.0);
                if admit.show(ui).clicked() {
                    scene.act(Act::Admit(id, true));
                }
                if Button::new(Look::Secondary, "Refuse").width(96.0).show(ui).clicked() {
                    scene.act(Act::Admit(id, false));
                }
            });
        });
    });
}
