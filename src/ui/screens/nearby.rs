//! People in the same network: their list in the lobby, the ring of one of them, and the wait for an answer.

use super::low_row;
use crate::invite::Kind;
use crate::room::call::CallState;
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look};
use eframe::egui::{self, Frame, Margin, RichText, Ui, vec2};

/// More rows would push everything else out of a small window.
const MAX_ROWS: usize = 4;
const CALL_BUTTON: f32 = 96.0;

/// Who is there, each with a button; nothing where nobody is.
pub fn list(ui: &mut Ui, scene: &mut Scene<'_>) {
    let people = &scene.model.nearby;
    if people.is_empty() {
        return;
    }
    ui.add_space(8.0);
    widgets::headline(ui, "Nearby", 15.0);
    let mut call = None;
    for person in people.iter().take(MAX_ROWS) {
        ui.horizontal(|ui| {
            let size = vec2(ui.available_width() - CALL_BUTTON - 8.0, theme::TARGET);
            let layout = egui::Layout::left_to_right(egui::Align::Center);
            ui.allocate_ui_with_layout(size, layout, |ui| {
                ui.set_width(size.x);
                let (rect, _) = ui.allocate_exact_size(vec2(36.0, 36.0), egui::Sense::hover());
                widgets::avatar(ui.painter(), rect.center(), 36.0, &person.name, palette(ui));
                ui.add(egui::Label::new(RichText::new(&person.name).font(theme::semibold(15.0))).truncate());
            });
            let name = format!("Call {}", person.name);
            let button =
                Button::new(Look::Secondary, "Call").icon(icons::VIDEO).name(&name).width(CALL_BUTTON);
            if button.show(ui).clicked() {
                call = Some(person.id.clone());
            }
        });
    }
    match people.len().saturating_sub(MAX_ROWS) {
        0 => {}
        1 => drop(widgets::quiet(ui, "And one more")),
        more => drop(widgets::quiet(ui, format!("And {more} more"))),
    }
    if let Some(id) = call {
        scene.act(Act::CallNearby(id));
    }
}

/// Somebody rings.
pub fn ring(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(name) = &scene.model.ring else { return };
    let colors = palette(ui);
    let frame = Frame::new().fill(colors.accent_wash).corner_radius(12).inner_margin(Margin::same(12));
    let mut answer = None;
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let sentence = format!("{name} is calling");
        ui.add(egui::Label::new(RichText::new(&sentence).font(theme::semibold(17.0))).truncate());
        widgets::quiet(ui, "From your own network. A name can be anyone\u{2019}s: you will see who it is.");
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 8.0) / 2.0;
            if Button::new(Look::Primary, "Answer").icon(icons::VIDEO).width(width).show(ui).clicked() {
                answer = Some(true);
            }
            if Button::new(Look::Secondary, "Decline").icon(icons::CLOSE).width(width).show(ui).clicked() {
                answer = Some(false);
            }
        });
    });
    ui.add_space(4.0);
    if let Some(accept) = answer {
        scene.act(Act::AnswerRing(accept));
    }
}

/// The call with somebody nearby is being set up; `false` if that is not what goes on.
pub fn calling(ui: &mut Ui, scene: &mut Scene<'_>) -> bool {
    let Some(name) = &scene.model.with else { return false };
    let own = match scene.model.call {
        CallState::Gathering(kind) | CallState::Connecting { own: kind, .. } => kind,
        CallState::WaitingForReply => Kind::Invite,
        CallState::Idle
        | CallState::Lobby { .. }
        | CallState::InCall { .. }
        | CallState::Reconnecting { .. }
        | CallState::Ended(_) => return false,
    };
    let (title, sentence) = match (own, scene.model.call) {
        (Kind::Invite, CallState::Connecting { .. }) => (format!("Calling {name}"), "Answered. Connecting…"),
        (Kind::Invite, _) => (format!("Calling {name}"), "It rings in their window. No code is needed."),
        (Kind::Reply, _) => (format!("Answering {name}"), "Connecting…"),
    };
    let colors = palette(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(96.0, 96.0), egui::Sense::hover());
    widgets::avatar(ui.painter(), rect.center(), 96.0, name, colors);
    ui.add_space(12.0);
    low_row(ui, 28.0, |ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        widgets::headline(ui, &title, 28.0);
        widgets::waiting_dots(ui, scene.now, scene.view.started);
    });
    widgets::quiet(ui, sentence);
    if let Some(refusal) = &scene.model.refusal {
        widgets::remark(ui, icons::ERROR, colors.trouble, refusal);
    }
    ui.add_space(12.0);
    if Button::new(Look::Secondary, "Give up").show(ui).clicked() {
        scene.act(Act::Cancel);
    }
    true
}
