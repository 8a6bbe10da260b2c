//! All keys, under `?`.

use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Overlay, Scene};
use crate::ui::widgets::{self, Look, RoundButton};
use eframe::egui::{self, Align, Color32, Frame, Layout, Margin, RichText, Ui};

/// What each key does; `keys` carries them out.
pub const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("?", "This help"),
            ("Ctrl+,", "Settings"),
            ("M", "Mute or unmute the microphone"),
            ("V", "Camera off or on"),
            ("Tab, Enter", "Go to the next control, press it"),
            ("Esc", "Close, go back, leave full screen. Never hangs up."),
            ("Ctrl+Plus, Ctrl+Minus", "Everything larger or smaller"),
        ],
    ),
    (
        "Before a call",
        &[
            ("S", "Start a call"),
            ("J", "Join a call"),
            ("R", "Join a server room"),
            ("Ctrl+V", "Paste a code, wherever you are"),
            ("Ctrl+C", "Copy your code"),
        ],
    ),
    (
        "In a call",
        &[
            ("F", "Full screen"),
            ("D", "Details of the connection"),
            ("W", "The words that show that nobody is between you"),
            ("Z", "Fill the window, or show the whole picture"),
            ("P", "Hide or show your own picture"),
            ("A", "Add someone to the call"),
        ],
    ),
    (
        "With more than two",
        &[
            ("G", "Everybody alike, or who speaks large"),
            ("L", "List of people"),
            ("H", "Raise or lower your hand"),
            ("R", "React; then 1 to 5 choose"),
        ],
    ),
];

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    dialog(ui, scene, "Help", |ui, _| {
        widgets::headline(ui, "How a call comes about", 16.0);
        let steps = "One side presses Start a call and sends the invite, in any chat or mail. The other side presses \
                     Join a call and pastes it. Often that is all. If a reply appears there, they send it back, and \
                     you paste it.";
        widgets::quiet(ui, steps);
        for (group, keys) in KEYS {
            ui.add_space(12.0);
            widgets::headline(ui, group, 16.0);
            for (keys, what) in *keys {
                line(ui, keys, what);
            }
        }
    });
}

fn line(ui: &mut Ui, keys: &str, what: &str) {
    let colors = palette(ui);
    super::low_row(ui, 28.0, |ui| {
        ui.allocate_ui_with_layout(egui::vec2(190.0, 28.0), Layout::left_to_right(Align::Center), |ui| {
            ui.set_width(190.0);
            ui.spacing_mut().item_spacing.x = 6.0;
            for key in keys.split(", ") {
                let key = if ui.ctx().os().is_mac() { key.replace("Ctrl+", "⌘") } else { key.to_owned() };
                let frame =
                    Frame::new().fill(colors.raised).corner_radius(6).inner_margin(Margin::symmetric(8, 3));
                frame.show(ui, |ui| ui.label(RichText::new(key).font(theme::semibold(13.0))));
            }
        });
        ui.add(egui::Label::new(RichText::new(what).font(theme::regular(14.0))).wrap());
    });
}

/// A dialog with a title, a close button and contents that scroll.
pub(super) fn dialog(ui: &Ui, scene: &mut Scene<'_>, title: &str, add: impl FnOnce(&mut Ui, &mut Scene<'_>)) {
    let colors = palette(ui);
    let screen = ui.ctx().content_rect();
    let size = egui::vec2((screen.width() - 32.0).min(600.0), (screen.height() - 32.0).min(760.0));
    let frame = Frame::new()
        .fill(colors.panel)
        .stroke(egui::Stroke::new(1.0, colors.line))
        .corner_radius(16)
        .shadow(ui.visuals().window_shadow)
        .inner_margin(Margin::same(0));
    let modal = egui::Modal::new(egui::Id::unique(title))
        .frame(frame)
        .backdrop_color(Color32::from_black_alpha(140))
        .show(ui.ctx(), |ui| {
            ui.set_width(size.x);
            let head = Frame::new().inner_margin(Margin { left: 24, right: 12, top: 12, bottom: 8 });
            let mut close = false;
            head.show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.set_min_height(theme::TARGET);
                    widgets::headline(ui, title, 22.0);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let button = RoundButton::new(icons::CLOSE, "Close").key("Esc").look(Look::Quiet);
                        close = button.show(ui).clicked();
                    });
                });
            });
            let room = size.y - 88.0;
            let scroll = egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room);
            scroll.auto_shrink([false, true]).show(ui, |ui| {
                let body = Frame::new().inner_margin(Margin { left: 24, right: 24, top: 0, bottom: 0 });
                body.show(ui, |ui| {
                    ui.set_width(size.x - 48.0);
                    add(ui, scene);
                });
            });
            ui.add_space(20.0);
            close
        });
    if modal.inner || modal.should_close() {
        scene.view.overlay = Overlay::None;
    }
}
