//! In a call that has no path for some time: a fresh pair of codes over the last picture. The call goes on by itself
//! if the path comes back in the meantime.

use super::exchange::{own_code, their_code};
use crate::invite::Kind;
use crate::room::call::{CallState, Rescue};
use crate::ui::theme::{DARK, palette};
use crate::ui::view::Scene;
use crate::ui::widgets;
use eframe::egui::{self, Margin, Rect, RichText, Ui, pos2};

const WIDTH: f32 = 540.0;

/// Whether there is something to do but wait.
pub fn is_open(call: CallState) -> bool {
    matches!(call, CallState::Reconnecting { rescue, .. } if words(rescue).is_some())
}

/// Title and advice.
fn words(rescue: Rescue) -> Option<(&'static str, &'static str)> {
    const BY_ITSELF: &str = "If the network comes back before, the call goes on by itself.";
    match rescue {
        Rescue::Waiting { .. } | Rescue::Gathering(Kind::Invite) => None,
        Rescue::WaitingForReply => Some(("Call again without hanging up", BY_ITSELF)),
        Rescue::WaitingForInvite => Some(("Wait, or take a new invite", BY_ITSELF)),
        Rescue::Gathering(Kind::Reply) => Some(("The new invite is right", "Making your reply.")),
        Rescue::Connecting { own: Kind::Invite, .. } => {
            Some(("Connecting…", "Both new codes are here. Looking for the way to the other side."))
        }
        Rescue::Connecting { own: Kind::Reply, .. } => {
            Some(("Send your new reply back", "The call goes on when it is pasted on the other side."))
        }
    }
}

/// Shows the codes between `top` and `bottom` of the stage.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect, top: f32, bottom: f32) {
    let CallState::Reconnecting { rescue, .. } = scene.model.call else { return };
    let Some((title, advice)) = words(rescue) else { return };
    let half = (stage.width() - 32.0).min(WIDTH) / 2.0;
    let middle = stage.center().x;
    let place = Rect::from_min_max(pos2(middle - half, top), pos2(middle + half, bottom.max(top + 80.0)));
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        egui::ScrollArea::vertical().id_salt("rescue").show(ui, |ui| {
            widgets::card(&DARK).inner_margin(Margin::same(16)).show(ui, |ui| {
                ui.set_width(ui.available_width());
                widgets::headline(ui, title, 18.0);
                ui.add(egui::Label::new(RichText::new(advice).color(palette(ui).muted)).wrap());
                ui.add_space(8.0);
                steps(ui, scene, rescue);
            });
        });
    });
}

fn steps(ui: &mut Ui, scene: &mut Scene<'_>, rescue: Rescue) {
    match rescue {
        Rescue::WaitingForReply => {
            let name = scene.model.remote_name().to_owned();
            ui.label(format!("Send this new invite to {name}, in any chat or mail."));
            own_code(ui, scene, Kind::Invite);
            ui.add_space(8.0);
            ui.label("Then paste the reply that comes back.");
            their_code(ui, scene, "The reply you were sent");
        }
        Rescue::WaitingForInvite => {
            let name = scene.model.remote_name().to_owned();
            ui.label(format!("{name} sees a new invite now. When it is sent to you, paste it here."));
            their_code(ui, scene, "The invite you were sent");
        }
        Rescue::Connecting { own: Kind::Reply, .. } => own_code(ui, scene, Kind::Reply),
        Rescue::Connecting { own: Kind::Invite, .. } | Rescue::Waiting { .. } | Rescue::Gathering(_) => {}
    }
}
