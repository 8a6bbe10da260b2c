//! The first screen: how one looks and sounds, and the two ways into a call.

use super::{ROOMY, brand, centered, devices, low_row, nearby, own_picture, top_bar};
use crate::device::DeviceKind;
use crate::invite::Kind;
use crate::room::message::MAX_NAME;
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use eframe::egui::{self, Frame, Margin, RichText, Ui, vec2};

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let roomy = ui.available_width() >= ROOMY;
    let margin = if roomy { 24 } else { 16 };
    Frame::new().inner_margin(Margin::symmetric(margin, 12)).show(ui, |ui| {
        top_bar(ui, scene, |ui, _| brand(ui));
        ui.add_space(4.0);
        let height = ui.available_height();
        // The preview takes what the window has, but leaves its row of pickers in view.
        let choices = if roomy { 360.0 } else { 264.0 };
        let gap = if roomy { 48.0 } else { 20.0 };
        let below = if roomy { 120.0 } else { 196.0 };
        let widest = ((height - below) * 16.0 / 9.0).clamp(240.0, 1280.0);
        let picture = (ui.available_width() - choices - gap).clamp(240.0, widest);
        let two = ui.available_width() >= 240.0 + choices + gap;
        let width = if two { picture + gap + choices } else { ui.available_width().min(480.0) };
        centered(ui, width, |ui| {
            if two {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 0.0;
                    ui.vertical(|ui| {
                        ui.set_width(picture);
                        mirror(ui, scene, roomy);
                    });
                    ui.add_space(gap);
                    ui.vertical(|ui| {
                        ui.set_width(choices);
                        ways_in(ui, scene, roomy);
                    });
                });
            } else {
                mirror(ui, scene, false);
                ui.add_space(16.0);
                ways_in(ui, scene, false);
            }
        });
    });
}

/// Preview, level and devices.
fn mirror(ui: &mut Ui, scene: &mut Scene<'_>, roomy: bool) {
    ui.spacing_mut().item_spacing = vec2(8.0, 8.0);
    let width = ui.available_width();
    let (rect, _) = ui.allocate_exact_size(vec2(width, (width * 9.0 / 16.0).round()), egui::Sense::hover());
    own_picture::show(ui, scene, rect);
    ui.add_space(8.0);
    meter(ui, scene, width);
    ui.add_space(2.0);
    let kinds = [DeviceKind::Camera, DeviceKind::Microphone, DeviceKind::Speaker];
    if roomy {
        ui.horizontal(|ui| {
            let each = (width - 16.0) / 3.0;
            kinds.into_iter().for_each(|kind| devices::device_picker(ui, scene, kind, each));
        });
    } else {
        kinds.into_iter().for_each(|kind| devices::device_picker(ui, scene, kind, width));
    }
    // The camera's sentence stands in the picture.
    devices::problems(ui, scene, &[DeviceKind::Microphone, DeviceKind::Speaker]);
}

fn meter(ui: &mut Ui, scene: &Scene<'_>, width: f32) {
    let colors = palette(ui);
    let muted = scene.model.microphone_muted;
    let level = if muted { 0.0 } else { scene.model.microphone_level };
    let icon = if muted { icons::MIC_OFF } else { icons::MIC };
    low_row(ui, 18.0, |ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), egui::Sense::hover());
        theme::paint_icon(ui.painter(), rect.center(), icon, 16.0, colors.muted);
        widgets::level_meter(ui, level, width - 26.0)
            .on_hover_text("Say something: the bars follow your voice");
    });
}

/// Name and the two choices.
fn ways_in(ui: &mut Ui, scene: &mut Scene<'_>, roomy: bool) {
    ui.spacing_mut().item_spacing = vec2(8.0, 8.0);
    let size = if roomy { 30.0 } else { 21.0 };
    widgets::headline(ui, "Face to face, with nothing in between", size);
    if roomy {
        widgets::quiet(
            ui,
            "No account, no server, no link that a stranger can open. You send a code, and you see each other.",
        );
        ui.add_space(12.0);
    } else {
        ui.add_space(2.0);
    }
    let mut name = scene.settings.name.clone();
    ui.vertical(|ui| {
        widgets::labelled_field(ui, "Your name", "What the other side sees", &mut name, MAX_NAME)
    });
    scene.change(|settings| settings.name = name);
    ui.add_space(if roomy { 12.0 } else { 4.0 });
    nearby::ring(ui, scene);
    offer(ui, scene);
    let width = ui.available_width();
    // One thing at a time is the thing to do.
    let busy = scene.view.offer.is_some() || scene.model.ring.is_some();
    let look = if busy { Look::Secondary } else { Look::Primary };
    let start = Button::new(look, "Start a call").icon(icons::VIDEO).below("Make an invite to send");
    if start.width(width).hint("Start a call (S)").show(ui).clicked() {
        scene.act(Act::StartCall);
    }
    let join =
        Button::new(Look::Secondary, "Join a call").icon(icons::LINK).below("Paste an invite you were sent");
    if join.width(width).hint("Join a call (J)").show(ui).clicked() {
        scene.act(Act::OpenJoin);
    }
    let phone = Button::new(Look::Quiet, "Invite a phone or browser nearby").icon(icons::PIP);
    if phone.width(width).hint("For somebody in the same network, without the app").show(ui).clicked() {
        scene.act(Act::InvitePhone);
    }
    let room = Button::new(Look::Quiet, "Join a server room").icon(icons::GROUP);
    let hint = "A room of a Janus server, or an address of WHIP or WHEP (R)";
    if room.width(width).hint(hint).show(ui).clicked() {
        scene.act(Act::OpenVisit);
    }
    if let Some(refusal) = &scene.model.refusal {
        let color = palette(ui).trouble;
        widgets::remark(ui, icons::ERROR, color, refusal);
    }
    nearby::list(ui, scene);
    network(ui, scene);
}

/// One line about the network around this computer, once it is known.
fn network(ui: &mut Ui, scene: &Scene<'_>) {
    let Some(outlook) = scene.model.network else { return };
    let Some(line) = outlook.line() else { return };
    let colors = palette(ui);
    ui.add_space(4.0);
    if outlook.is_trouble() {
        widgets::remark(ui, icons::WARNING, colors.trouble, line);
    } else {
        widgets::remark(ui, icons::INFO, colors.muted, line);
    }
}

/// A code was found in the clipboard: one press takes it.
pub(super) fn offer(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(offer) = &scene.view.offer else { return };
    let (words, button) = match offer.kind {
        Kind::Invite => ("An invite is in your clipboard.", "Join this call"),
        Kind::Reply => ("A reply is in your clipboard.", "Connect"),
    };
    let colors = palette(ui);
    let frame = Frame::new().fill(colors.accent_wash).corner_radius(12).inner_margin(Margin::same(12));
    frame.show(ui, |ui| {
        let width = ui.available_width();
        ui.horizontal(|ui| {
            ui.set_width(width);
            ui.label(RichText::new(words).font(theme::semibold(15.0)));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let close = RoundButton::new(icons::CLOSE, "Not this one").look(Look::Quiet);
                if close.show(ui).clicked() {
                    scene.act(Act::DropOffer);
                }
            });
        });
        if Button::new(Look::Primary, button).width(width).show(ui).clicked() {
            scene.act(Act::TakeOffer);
        }
    });
    ui.add_space(4.0);
}
