//! What helps a code on its way besides copy and paste: a passphrase, and a QR code that the other side's camera reads.

use super::own_picture;
use crate::invite;
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Overlay, Scene};
use crate::ui::widgets::{self, Button, Look};
use eframe::egui::{self, Color32, Key, Margin, RichText, Sense, Ui, vec2};

/// A code that is longer has modules too small for a camera at arm's length.
const MAX_QR: usize = 600;
/// Characters of a passphrase that can be typed.
const MAX_TYPED: usize = 200;
const BUTTON: f32 = 136.0;

/// Under our own code.
pub fn own(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(code) = scene.model.shown_code() else { return };
    let (sealed, handy) = (code.is_sealed(), code.text.0.len() <= MAX_QR);
    if !handy {
        return;
    }
    ui.horizontal(|ui| {
        if Button::new(Look::Secondary, "Show as QR").icon(icons::QR_CODE).show(ui).clicked() {
            scene.view.overlay = Overlay::Qr;
        }
        if !sealed {
            let open = scene.view.sealing.is_some();
            let label = if open { "No passphrase" } else { "Add a passphrase" };
            let hint = "Only who knows the passphrase can use the code";
            if Button::new(Look::Secondary, label).icon(icons::KEY).hint(hint).show(ui).clicked() {
                scene.view.sealing = (!open).then(String::new);
            }
        }
        if sealed && Button::new(Look::Secondary, "Remove the passphrase").icon(icons::KEY).show(ui).clicked()
        {
            scene.act(Act::SetPassphrase(None));
        }
    });
    if sealed {
        let words = "Protected with a passphrase. Tell it to them in another way than the code: by phone, or face to \
                     face.";
        widgets::remark(ui, icons::LOCK, palette(ui).good, words);
    } else if let Some(mut draft) = scene.view.sealing.take() {
        let set = field(ui, &mut draft, "A passphrase you both know", "Set");
        match invite::passphrase(&draft).filter(|_| set) {
            Some(passphrase) => scene.act(Act::SetPassphrase(Some(passphrase.to_owned()))),
            None => scene.view.sealing = Some(draft),
        }
    }
}

/// Under the field for their code.
pub fn theirs(ui: &mut Ui, scene: &mut Scene<'_>) {
    if scene.model.locked {
        let open = field(ui, &mut scene.view.unlock, "The passphrase you were told", "Open");
        if let Some(passphrase) = invite::passphrase(&scene.view.unlock).filter(|_| open) {
            let passphrase = passphrase.to_owned();
            scene.act(Act::Unlock(passphrase));
        }
        return;
    }
    let scanning = scene.view.scanning;
    let (look, label, icon) = if scanning {
        (Look::Secondary, "Stop scanning", icons::CLOSE)
    } else {
        (Look::Quiet, "Scan a code with the camera", icons::QR_SCAN)
    };
    if scanning {
        let width = ui.available_width().min(480.0);
        let (rect, _) = ui.allocate_exact_size(vec2(width, (width * 9.0 / 16.0).round()), Sense::hover());
        ui.push_id("scanning", |ui| own_picture::picture(ui, scene, rect));
        widgets::quiet(ui, "Hold the QR code up to the camera, so that it fills half of the picture.");
    }
    if Button::new(look, label).icon(icon).show(ui).clicked() {
        scene.act(Act::Scan(!scanning));
    }
}

/// A field with its button; whether it was entered.
fn field(ui: &mut Ui, text: &mut String, hint: &str, label: &str) -> bool {
    ui.horizontal(|ui| {
        let width = ui.available_width() - BUTTON - 8.0;
        let field = widgets::text_field(ui, text, hint, width, MAX_TYPED);
        field.widget_info(|| {
            let mut info = egui::WidgetInfo::text_edit(true, &*text, &*text, hint);
            info.label = Some(hint.into());
            info
        });
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let ready = !text.trim().is_empty();
        let look = if ready { Look::Primary } else { Look::Secondary };
        let pressed = Button::new(look, label).icon(icons::KEY).width(BUTTON).show(ui).clicked();
        ready && (entered || pressed)
    })
    .inner
}

/// Our code for the other side's camera, as large as the window allows.
pub fn qr(ui: &Ui, scene: &mut Scene<'_>) {
    let Some(code) = scene.model.shown_code().map(|code| code.text.0.clone()) else {
        scene.view.overlay = Overlay::None;
        return;
    };
    let colors = palette(ui);
    let frame = widgets::card(colors).inner_margin(Margin::same(20)).shadow(ui.visuals().window_shadow);
    let screen = ui.ctx().content_rect().size();
    let side = (screen.y - 172.0).min(screen.x - 80.0).clamp(200.0, 640.0);
    let modal = egui::Modal::new(egui::Id::unique("qr"))
        .frame(frame)
        .backdrop_color(Color32::from_black_alpha(180))
        .show(ui.ctx(), |ui| {
            ui.set_width(side);
            widgets::qr_code(ui, "Your code as a QR code", &code, side);
            let words = RichText::new("Hold this up to their camera.").font(theme::regular(14.0));
            ui.horizontal(|ui| {
                ui.label(words.color(colors.muted));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if Button::new(Look::Primary, "Done").show(ui).clicked() {
                        scene.view.overlay = Overlay::None;
                    }
                });
            });
        });
    if modal.should_close() {
        scene.view.overlay = Overlay::None;
    }
}
