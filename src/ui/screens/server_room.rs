//! *Join a server room*: where, and what the server wants to know. The same screen shows while it comes up.

use super::{ROOMY, centered, low_row, own_picture, top_bar};
use crate::engine::server::PlaceKind;
use crate::room::message::MAX_NAME;
use crate::server::Remedy;
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::visit;
use crate::ui::widgets::{self, Button, Look};
use eframe::egui::{self, Frame, Margin, RichText, Ui, vec2};

const WIDTH: f32 = 480.0;
const MAX_ADDRESS: usize = 2048;
const MAX_SECRET: usize = 8 * 1024;

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let roomy = ui.available_width() >= ROOMY;
    let margin = if roomy { 24 } else { 16 };
    Frame::new().inner_margin(Margin::symmetric(margin, 12)).show(ui, |ui| {
        top_bar(ui, scene, |ui, scene| {
            let cancel = Button::new(Look::Quiet, "Cancel").icon(icons::ARROW_BACK);
            if cancel.hint("Back to the start (Esc)").show(ui).clicked() {
                scene.act(Act::Cancel);
            }
        });
        let picture = (ui.available_width() - WIDTH - 48.0).min(560.0);
        let beside = roomy && picture >= 280.0;
        let width = if beside { WIDTH + 48.0 + picture } else { WIDTH };
        centered(ui, width, |ui| {
            if !beside {
                return content(ui, scene, roomy);
            }
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                ui.vertical(|ui| {
                    ui.set_width(WIDTH);
                    ui.spacing_mut().item_spacing.x = 8.0;
                    content(ui, scene, roomy);
                });
                ui.add_space(48.0);
                ui.vertical(|ui| {
                    let size = vec2(picture, (picture * 9.0 / 16.0).round());
                    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
                    own_picture::show(ui, scene, rect);
                });
            });
        });
    });
}

fn content(ui: &mut Ui, scene: &mut Scene<'_>, roomy: bool) {
    ui.spacing_mut().item_spacing.y = 8.0;
    let size = if roomy { 28.0 } else { 22.0 };
    match scene.model.server.clone() {
        Some(place) => {
            low_row(ui, size, |ui| {
                ui.spacing_mut().item_spacing.x = 16.0;
                widgets::headline(ui, visit::coming(place.kind), size);
                widgets::waiting_dots(ui, scene.now, scene.view.started);
            });
            ui.add(egui::Label::new(RichText::new(&place.address).font(theme::mono(14.0))).wrap());
        }
        None => form(ui, scene, size),
    }
}

fn form(ui: &mut Ui, scene: &mut Scene<'_>, size: f32) {
    widgets::headline(ui, "Join a server room", size);
    widgets::quiet(
        ui,
        "For more people than one computer can carry: a room of a Janus server. An address of WHIP sends to a server, \
         one of WHEP plays from it.",
    );
    ui.add_space(8.0);
    let mut form = std::mem::take(&mut scene.view.visit);
    let mut entered = false;
    let wants = scene.view.visit_wants.take();
    let mut field = |ui: &mut Ui, label: &str, hint: &str, text: &mut String, limit, secret, wanted| {
        let response = ui
            .vertical(|ui| match secret {
                true => widgets::secret_field(ui, label, hint, text, limit),
                false => widgets::labelled_field(ui, label, hint, text, limit),
            })
            .inner;
        entered |= response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        if wanted {
            response.request_focus();
        }
        response.changed()
    };
    let is_empty = form.address.is_empty() && !scene.view.typing && wants.is_none();
    let hint = "janus:wss://host:8989/1234";
    if field(ui, "Address", hint, &mut form.address, MAX_ADDRESS, false, is_empty) {
        (form.error, form.watch) = (None, None);
    }
    let kind = form.kind();
    if kind.is_none_or(|kind| kind == PlaceKind::Room) {
        let mut name = scene.settings.name.clone();
        field(ui, "Your name", "What the others see", &mut name, MAX_NAME, false, false);
        scene.change(|settings| settings.name = name);
        let wanted = wants == Some(Remedy::Pin);
        field(ui, "PIN", "Only if the room has one", &mut form.pin, MAX_SECRET, true, wanted);
    }
    let wanted = wants == Some(Remedy::Token);
    field(ui, "Token", "Only if the server asks for one", &mut form.token, MAX_SECRET, true, wanted);
    match kind {
        None => {}
        Some(PlaceKind::Room) => {
            widgets::switch(ui, "Make the room if there is none", "", &mut form.create);
        }
        Some(kind @ (PlaceKind::Publish | PlaceKind::Play)) => {
            let mut watch = kind == PlaceKind::Play;
            let hint = "What the server sends is played, and nothing is sent to it";
            if widgets::switch(ui, "Only watch and listen", hint, &mut watch).changed() {
                form.watch = Some(watch);
            }
        }
    }
    ui.add_space(4.0);
    let error = form.error.as_ref().map(ToString::to_string).or(scene.model.refusal.clone());
    let told = ui.scope_id().with("told");
    let before = ui.data(|data| data.get_temp::<String>(told));
    if let Some(error) = &error {
        let remark = ui.scope(|ui| widgets::remark(ui, icons::ERROR, palette(ui).trouble, error)).response;
        if before.as_ref() != Some(error) {
            // In a small window it is out of sight.
            remark.scroll_to_me(None);
        }
        ui.add_space(4.0);
    }
    ui.data_mut(|data| data.insert_temp(told, error.unwrap_or_default()));
    let icon = if kind == Some(PlaceKind::Room) { icons::GROUP } else { icons::VIDEO };
    let join = Button::new(Look::Primary, visit::verb(kind)).icon(icon).width(ui.available_width());
    let clicked = join.show(ui).clicked();
    scene.view.visit = form;
    if clicked || entered {
        scene.act(Act::Visit);
    }
}
