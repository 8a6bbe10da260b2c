//! *Add someone*: an invite to the call that is running, over its pictures. The call goes on behind it.

use super::exchange::{own_code, their_code};
use crate::invite::Kind;
use crate::ui::icons;
use crate::ui::theme::{self, DARK};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use eframe::egui::{self, Align, Color32, Frame, Layout, Margin, Rect, RichText, Sense, Ui, pos2};

const WIDTH: f32 = 540.0;

/// Shows the card between `top` and `bottom` of the stage.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect, top: f32, bottom: f32) {
    ui.painter().rect_filled(stage, 0.0, Color32::from_black_alpha(140));
    let behind = ui.interact(stage, ui.scope_id().with("behind the card"), Sense::click());
    if behind.clicked() {
        scene.view.adding = false;
    }
    let half = (stage.width() - 32.0).min(WIDTH) / 2.0;
    let middle = stage.center().x;
    let place = Rect::from_min_max(pos2(middle - half, top), pos2(middle + half, bottom.max(top + 80.0)));
    // What is pressed between the fields is meant neither for the pictures nor for closing.
    let card = egui::UiBuilder::new().max_rect(place).sense(Sense::click_and_drag());
    ui.scope_builder(card, |ui| {
        let card = Frame::new().fill(DARK.panel).stroke(egui::Stroke::new(1.0, DARK.line)).corner_radius(16);
        card.shadow(ui.visuals().window_shadow).inner_margin(Margin::same(0)).show(ui, |ui| {
            let scroll = egui::ScrollArea::vertical().id_salt("add someone").max_height(place.height());
            scroll.show(ui, |ui| {
                Frame::new().inner_margin(Margin::same(16)).show(ui, |ui| {
                    ui.set_width(2.0 * half - 32.0);
                    content(ui, scene);
                });
            });
        });
    });
}

/// Where a room of a server is.
fn address(ui: &mut Ui, address: &str) {
    let frame = Frame::new().fill(DARK.ground).corner_radius(12).inner_margin(Margin::symmetric(14, 12));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(address).font(theme::mono(14.0))).wrap());
    });
    let copy = Button::new(Look::Primary, "Copy the address").icon(icons::CONTENT_COPY);
    if copy.width(ui.available_width()).show(ui).clicked() {
        ui.ctx().copy_text(address.to_owned());
    }
}

fn content(ui: &mut Ui, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        widgets::headline(ui, "Add someone", 18.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if RoundButton::new(icons::CLOSE, "Close").key("Esc").look(Look::Quiet).show(ui).clicked() {
                scene.view.adding = false;
            }
        });
    });
    if let Some(place) = &scene.model.server {
        ui.label("Whoever has this address, and the PIN if there is one, can join this room.");
        return address(ui, &place.address);
    }
    ui.label("Send this invite in any chat or mail. Whoever takes it joins this call.");
    own_code(ui, scene, Kind::Invite);
    ui.add_space(8.0);
    widgets::quiet(ui, "Most often that is all. If a reply comes back, paste it here.");
    their_code(ui, scene, "The reply you were sent");
    if scene.model.invite.is_some() {
        let hint = "Whoever has it cannot come in with it any more";
        if Button::new(Look::Quiet, "Take the invite back").icon(icons::DELETE).hint(hint).show(ui).clicked()
        {
            scene.act(Act::Withdraw);
        }
    }
}
