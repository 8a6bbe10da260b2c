//! A call is over: why, and what to do.

use super::{brand, centered, top_bar};
use crate::room::call::{CallState, EndReason};
use crate::ui::icons::{self, Icon};
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::visit;
use crate::ui::widgets::{self, Button, Look};
use crate::ui::wording;
use eframe::egui::{self, Frame, Margin, Ui, vec2};

/// Width of each of the two buttons.
const BUTTON: f32 = 150.0;

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let CallState::Ended(reason) = scene.model.call else { return };
    let (title, advice) = match &scene.model.server {
        Some(place) => visit::ended(place, reason, scene.model.refusal.as_deref()),
        None => wording::ended(reason, scene.model.remote_name(), scene.model.trouble),
    };
    let advice = match scene.model.lasted {
        Some(lasted) if scene.model.server.is_some() => {
            format!("{advice} It lasted {}.", wording::clock(lasted))
        }
        Some(lasted) => format!("{advice} You talked for {}.", wording::clock(lasted)),
        None => advice,
    };
    let (icon, trouble) = match reason {
        EndReason::HungUp | EndReason::TheyHungUp | EndReason::Cancelled => (icons::CALL_END, false),
        EndReason::Busy | EndReason::Withdrawn | EndReason::Refused | EndReason::Removed => {
            (icons::CALL_END, false)
        }
        EndReason::NotConnected | EndReason::Lost | EndReason::NoCode | EndReason::Server => {
            (icons::WARNING, true)
        }
    };
    page(ui, scene, (icon, trouble), title, &advice, |ui, scene| {
        ui.horizontal(|ui| {
            let (label, act) = match scene.model.server {
                Some(_) => ("Join again", Act::Visit),
                None => ("Call again", Act::StartCall),
            };
            if Button::new(Look::Primary, label).icon(icons::CALL).width(BUTTON).show(ui).clicked() {
                scene.act(act);
            }
            let back = Button::new(Look::Secondary, "Back").hint("Back to the start (Esc)").width(BUTTON);
            if back.show(ui).clicked() {
                scene.act(Act::Back);
            }
        });
    });
}

/// The engine is gone: nothing works any more in this window.
pub fn broken(ui: &mut Ui, scene: &mut Scene<'_>) {
    let advice = "The part of Twocan that holds calls has stopped. Close this window and start Twocan again.";
    page(ui, scene, (icons::ERROR, true), "Twocan has to be restarted", advice, |ui, scene| {
        if Button::new(Look::Primary, "Close").width(2.0 * BUTTON + 8.0).show(ui).clicked() {
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
            ui.vertical_centered(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(80.0, 80.0), egui::Sense::hover());
                let color = if trouble { colors.warning } else { colors.muted };
                ui.painter().circle_filled(rect.center(), 40.0, colors.raised);
                theme::paint_icon(ui.painter(), rect.center(), icon, 38.0, color);
                ui.add_space(16.0);
                widgets::headline(ui, title, 28.0);
                ui.add_space(4.0);
                ui.add(egui::Label::new(egui::RichText::new(advice).color(colors.muted)).wrap());
                ui.add_space(24.0);
                ui.allocate_ui(vec2(2.0 * BUTTON + 8.0, theme::TARGET), |ui| buttons(ui, scene));
            });
        });
    });
}
