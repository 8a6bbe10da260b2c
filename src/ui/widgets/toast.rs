//! Short messages that come and go at the top of the window.

use crate::ui::icons;
use crate::ui::model::Tone;
use crate::ui::theme::{self, palette};
use eframe::egui::{self, Align2, Frame, Margin, Role, Stroke, Ui, WidgetInfo, vec2};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The messages that show now.
#[derive(Default)]
pub struct Toasts {
    items: VecDeque<(Tone, String, Instant)>,
}

impl Toasts {
    /// More would hide the picture; the oldest goes.
    const MOST: usize = 3;

    pub fn add(&mut self, tone: Tone, text: String, now: Instant) {
        // Trouble takes longer to read and to act on.
        let seconds = match tone {
            Tone::Good | Tone::Plain => 3,
            Tone::Trouble => 8,
        };
        self.items.retain(|(_, shown, _)| *shown != text);
        if self.items.len() == Self::MOST {
            self.items.pop_front();
        }
        self.items.push_back((tone, text, now + Duration::from_secs(seconds)));
    }

    pub fn show(&mut self, ui: &Ui, now: Instant) {
        self.items.retain(|(_, _, until)| *until > now);
        let Some(next) = self.items.iter().map(|(_, _, until)| *until).min() else { return };
        ui.ctx().request_repaint_after(next - now + Duration::from_millis(1));
        let colors = palette(ui);
        let area = egui::Area::new(egui::Id::unique("toasts"))
            .order(egui::Order::Tooltip)
            .interactable(false)
            .anchor(Align2::CENTER_TOP, vec2(0.0, 72.0));
        area.show(ui.ctx(), |ui| {
            ui.set_max_width((ui.ctx().content_rect().width() - 48.0).min(520.0));
            ui.vertical_centered(|ui| {
                for (tone, text, _) in &self.items {
                    let (icon, color) = match tone {
                        Tone::Good => (icons::CHECK_CIRCLE, colors.good),
                        Tone::Plain => (icons::INFO, colors.muted),
                        Tone::Trouble => (icons::WARNING, colors.warning),
                    };
                    let frame = Frame::new()
                        .fill(colors.panel)
                        .stroke(Stroke::new(1.0, colors.line))
                        .corner_radius(12)
                        .shadow(ui.visuals().popup_shadow)
                        .inner_margin(Margin::symmetric(16, 12));
                    frame.show(ui, |ui| {
                        ui.horizontal(|ui| {
                            let (rect, _) = ui.allocate_exact_size(vec2(20.0, 20.0), egui::Sense::hover());
                            theme::paint_icon(ui.painter(), rect.center(), icon, 20.0, color);
                            let label = ui.add(egui::Label::new(text.as_str()).wrap());
                            label.widget_info(|| WidgetInfo::labeled(Role::Status, true, text));
                        });
                    });
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_pile_up() {
        let (mut toasts, now) = (Toasts::default(), Instant::now());
        for text in ["a", "b", "b", "c", "d"] {
            toasts.add(Tone::Plain, text.into(), now);
        }
        let shown: Vec<_> = toasts.items.iter().map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(shown, ["b", "c", "d"]);
    }
}
