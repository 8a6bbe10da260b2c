//! *Invite a phone*: the address of the page as a QR code, what to do with it, and how far the guest has come.

use super::{ROOMY, centered, low_row, top_bar};
use crate::engine::PageGuest;
use crate::room::call::CallState;
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look};
use eframe::egui::{self, Frame, Margin, RichText, Ui, vec2};

/// Side of the code on the screen, its white border included: in a large window and in a small one.
const CODE: [f32; 2] = [300.0, 216.0];
const WORDS: f32 = 460.0;

const STEPS: [&str; 3] = [
    "Scan the code with the phone’s camera. The phone must be in the same network as this computer.",
    "Its browser warns that it does not know this computer, as nobody signs certificates for computers at home. \
     Choose “Advanced” or “Details”, and go on to the page.",
    "Press “Join this call” there. The call starts by itself.",
];

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let roomy = ui.available_width() >= ROOMY;
    let margin = if roomy { 24 } else { 16 };
    Frame::new().inner_margin(Margin::symmetric(margin, 12)).show(ui, |ui| {
        top_bar(ui, scene, |ui, scene| {
            let hint = "Take the invite back (Esc)";
            if Button::new(Look::Quiet, "Cancel").icon(icons::ARROW_BACK).hint(hint).show(ui).clicked() {
                scene.act(Act::Cancel);
            }
        });
        let (side, gap, size) = if roomy { (CODE[0], 48.0, 28.0) } else { (CODE[1], 24.0, 22.0) };
        let width = (ui.available_width() - side - gap).min(WORDS);
        centered(ui, side + gap + width, |ui| {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                match scene.model.page.as_ref().and_then(|page| page.links.first()) {
                    Some(link) => _ = widgets::qr_code(ui, "QR code of the page’s address", &link.0, side),
                    None => _ = ui.allocate_exact_size(vec2(side, side), egui::Sense::hover()),
                }
                ui.add_space(gap);
                ui.vertical(|ui| {
                    ui.set_width(width);
                    ui.spacing_mut().item_spacing.x = 8.0;
                    words(ui, scene, size);
                });
            });
        });
    });
}

fn words(ui: &mut Ui, scene: &Scene<'_>, size: f32) {
    widgets::headline(ui, "Invite a phone or browser", size);
    ui.add_space(8.0);
    for (number, step) in (1..).zip(STEPS) {
        ui.horizontal_top(|ui| {
            let colors = palette(ui);
            let (rect, _) = ui.allocate_exact_size(vec2(28.0, 28.0), egui::Sense::hover());
            ui.painter().circle_filled(rect.center(), 14.0, colors.accent);
            let font = theme::semibold(15.0);
            let text = number.to_string();
            ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, text, font, colors.on_accent);
            ui.add(egui::Label::new(step).wrap());
        });
        ui.add_space(4.0);
    }
    ui.add_space(4.0);
    low_row(ui, 24.0, |ui| {
        widgets::waiting_dots(ui, scene.now, scene.view.started);
        ui.label(RichText::new(progress(scene)).font(theme::semibold(15.0)));
    });
    ui.add_space(8.0);
    let Some(link) = scene.model.page.as_ref().and_then(|page| page.links.first()) else { return };
    widgets::quiet(ui, "Or type this address there. Whoever has it can join, until somebody has.");
    ui.horizontal(|ui| {
        let width = ui.available_width() - 110.0;
        ui.allocate_ui(vec2(width, theme::TARGET), |ui| {
            ui.add(egui::Label::new(RichText::new(link.0.as_str()).font(theme::mono(13.0))).wrap());
        });
        if Button::new(Look::Secondary, "Copy").icon(icons::CONTENT_COPY).show(ui).clicked() {
            ui.ctx().copy_text(link.0.clone());
        }
    });
}

fn progress(scene: &Scene<'_>) -> &'static str {
    let guest = scene.model.page.as_ref().map(|page| page.guest).unwrap_or_default();
    match (scene.model.call, guest) {
        (CallState::Connecting { .. }, _) => "The answer is here. Connecting…",
        (_, PageGuest::Awaited) => "Waiting for somebody to open the page.",
        (_, PageGuest::Looking) => "The page is open on another device.",
        (_, PageGuest::Joining) => "Somebody joins…",
    }
}
