//! A call is over: why, and what to do.

use super::{brand, centered, top_bar};
use crate::room::call::{CallState, EndReason};
use crate::ui::icons::{self, Icon};
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look};
use crate::ui::wording;
use eframe::egui::{self, Frame, Margin, Ui, vec2};

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let CallState::Ended(reason) = scene.model.call else { return };
    let (title, advice) = wording::ended(reason, scene.model.remote_name());
    let advice = match scene.model.lasted {
        Some(lasted) => format!("{advice} You talked for {}.", wording::clock(lasted)),
        None => advice,
    };
    let (icon, trouble) = match reason {
        EndReason::HungUp | EndReason::TheyHungUp | EndReason::Cancelled => (icons::CALL_END, false),
        EndReason::NotConnected | EndReason::Lost | EndReason::NoCode => (icons::WARNING, true),
    };
    page(ui, scene, (icon, trouble), title, &advice, |ui, scene| {
        ui.horizontal(|ui| {
            if Button::new(Look::Primary, "Call again").icon(icons::CALL).show(ui).clicked() {
                scene.act(Act::StartCall);
            }
            if Button::new(Look::Secondary, "Back").hint("Back to the start (Esc)").show(ui).clicked() {
                scene.act(Act::Back);
            }
        });
    });
}

/// The engine is gone: nothing works any more in this window.
pub fn broken(ui: &mut Ui, scene: &mut Scene<'_>) {
    let advice = "The part of Twocan that holds calls has stopped. Close this window and start Twocan again.";
    page(ui, scene, (icons::ERROR, true), "Twocan has to be restarted", advice, |ui, scene| {
        if Button::new(Look::Primary, "Close").show(ui).clicked() {
            scene.act(Act::Close);
        }
    });
}

fn page(
    ui: &mut Ui,
    scene: &mut Scene<'_>,
    (icon, trouble): (Icon, bool),
    title: &str,
    advice: &str,
    buttons: impl FnOnce(&mut Ui, &mut Scene<'_>),
) {
    Frame::new().inner_margin(Margin::symmetric(24, 12)).show(ui, |ui| {
        top_bar(ui, scene, |ui, _| brand(ui));
        centered(ui, 440.0, |ui| {
            let colors = palette(ui);
            let (rect, _) = ui.allocate_exact_size(vec2(72.0, 72.0), egui::Sense::hover());
            let color = if trouble { colors.warning } else { colors.muted };
            ui.painter().circle_filled(rect.center(), 36.0, colors.raised);
            theme::paint_icon(ui.painter(), rect.center(), icon, 34.0, color);
            ui.add_space(12.0);
            widgets::headline(ui, title, 28.0);
            ui.add(egui::Label::new(egui::RichText::new(advice).color(colors.muted)).wrap());
            ui.add_space(16.0);
            buttons(ui, scene);
            ui.add_space(48.0);
        });
    });
}
