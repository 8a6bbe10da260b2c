//! Short messages that come and go at the top of the window; one may have a button.

use super::{Button, Look};
use crate::ui::icons;
use crate::ui::model::Tone;
use crate::ui::theme::{self, palette};
use eframe::egui::{self, Align2, Frame, Margin, Role, Stroke, Ui, WidgetInfo, vec2};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What can be done about a message, and the key that does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToastButton {
    pub label: &'static str,
    pub key: &'static str,
}

struct Toast {
    tone: Tone,
    text: String,
    until: Instant,
    button: Option<ToastButton>,
}

/// The messages that show now.
#[derive(Default)]
pub struct Toasts {
    items: VecDeque<Toast>,
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
        self.push(Toast { tone, text, until: now + Duration::from_secs(seconds), button: None });
    }

    /// A message that asks for something; [`Self::show`] tells when the button is pressed.
    pub fn add_with(&mut self, text: &str, button: ToastButton, now: Instant) {
        let until = now + Duration::from_secs(8);
        self.push(Toast { tone: Tone::Trouble, text: text.into(), until, button: Some(button) });
    }

    fn push(&mut self, toast: Toast) {
        self.remove(&toast.text);
        if self.items.len() == Self::MOST {
            self.items.pop_front();
        }
        self.items.push_back(toast);
    }

    /// What it says is no longer so.
    pub fn remove(&mut self, text: &str) {
        self.items.retain(|toast| toast.text != text);
    }

    /// Gives the button that was pressed.
    pub fn show(&mut self, ui: &Ui, now: Instant) -> Option<ToastButton> {
        self.items.retain(|toast| toast.until > now);
        let next = self.items.iter().map(|toast| toast.until).min()?;
        ui.ctx().request_repaint_after(next - now + Duration::from_millis(1));
        let area = egui::Area::new(egui::Id::unique("toasts"))
            .order(egui::Order::Tooltip)
            .interactable(self.items.iter().any(|toast| toast.button.is_some()))
            .anchor(Align2::CENTER_TOP, vec2(0.0, 72.0));
        let mut pressed = None;
        area.show(ui.ctx(), |ui| {
            ui.set_max_width((ui.ctx().content_rect().width() - 48.0).min(520.0));
            ui.vertical_centered(|ui| {
                for toast in &self.items {
                    pressed = show(ui, toast).or(pressed);
                }
            });
        });
        pressed
    }
}

fn show(ui: &mut Ui, toast: &Toast) -> Option<ToastButton> {
    let colors = palette(ui);
    let (icon, color) = match toast.tone {
        Tone::Good => (icons::CHECK_CIRCLE, colors.good),
        Tone::Plain => (icons::INFO, colors.muted),
        Tone::Trouble => (icons::WARNING, colors.warning),
    };
    let icon = if toast.button.is_some() { icons::MIC_OFF } else { icon };
    // A button has its own air above and below.
    let margin = if toast.button.is_some() {
        Margin { left: 16, right: 8, top: 6, bottom: 6 }
    } else {
        Margin::symmetric(16, 12)
    };
    let frame = Frame::new()
        .fill(colors.panel)
        .stroke(Stroke::new(1.0, colors.line))
        .corner_radius(12)
        .shadow(ui.visuals().popup_shadow)
        .inner_margin(margin);
    let row = frame.show(ui, |ui| {
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(20.0, 20.0), egui::Sense::hover());
            theme::paint_icon(ui.painter(), rect.center(), icon, 20.0, color);
            let label = ui.add(egui::Label::new(toast.text.as_str()).wrap());
            label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &toast.text));
            let button = toast.button?;
            ui.add_space(8.0);
            let hint = format!("{} ({})", button.label, button.key);
            Button::new(Look::Primary, button.label).hint(hint).show(ui).clicked().then_some(button)
        })
    });
    row.inner.inner
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
        let shown = |toasts: &Toasts| toasts.items.iter().map(|toast| toast.text.clone()).collect::<Vec<_>>();
        assert_eq!(shown(&toasts), ["b", "c", "d"]);
        toasts.remove("c");
        assert_eq!(shown(&toasts), ["b", "d"]);
    }
}
