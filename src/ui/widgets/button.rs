//! Buttons: with a label ([`Button`]) and round with an icon only ([`RoundButton`]).

use super::focus_ring;
use crate::ui::icons::Icon;
use crate::ui::theme::{self, Palette, RADIUS, TARGET, palette};
use eframe::egui::{self, Align2, Color32, Response, Role, Sense, Ui, WidgetInfo, vec2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The one thing to do next.
    Primary,
    Secondary,
    /// Text only, until the pointer is on it.
    Quiet,
    Danger,
}

impl Look {
    fn colors(self, palette: &Palette, hovered: bool) -> (Color32, Color32) {
        match (self, hovered) {
            (Self::Primary, false) => (palette.accent, palette.on_accent),
            (Self::Primary, true) => (palette.accent_hovered, palette.on_accent),
            (Self::Secondary, false) => (palette.raised, palette.text),
            (Self::Secondary | Self::Quiet, true) => (palette.hovered, palette.text),
            (Self::Quiet, false) => (Color32::TRANSPARENT, palette.text),
            (Self::Danger, false) => (palette.danger, palette.on_danger),
            (Self::Danger, true) => (palette.danger_hovered, palette.on_danger),
        }
    }
}

/// A button with a label, perhaps an icon before it and a second line under it.
pub struct Button<'a> {
    label: &'a str,
    below: Option<&'a str>,
    icon: Option<Icon>,
    look: Look,
    width: Option<f32>,
    hint: Option<String>,
    name: Option<&'a str>,
}

impl<'a> Button<'a> {
    pub fn new(look: Look, label: &'a str) -> Self {
        Self { label, below: None, icon: None, look, width: None, hint: None, name: None }
    }
    pub fn icon(mut self, icon: Icon) -> Self {
        self.icon = Some(icon);
        self
    }
    /// A second, smaller line: the button becomes a big one.
    pub fn below(mut self, text: &'a str) -> Self {
        self.below = Some(text);
        self
    }
    pub fn width(mut self, width: f32) -> Self {
        self.width = Some(width);
        self
    }
    /// The accessible name, where the label says for a moment what was done.
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn show(self, ui: &mut Ui) -> Response {
        let big = self.below.is_some();
        let (text_size, icon_size) = if big { (17.0, 26.0) } else { (15.0, 20.0) };
        let painter = ui.painter().clone();
        let layout = |text: &str, font| painter.layout_no_wrap(text.to_owned(), font, Color32::PLACEHOLDER);
        let label = layout(self.label, theme::semibold(text_size));
        let below = self.below.map(|text| layout(text, theme::regular(13.0)));
        let text_width = below.as_ref().map_or(0.0, |below| below.size().x).max(label.size().x);
        let icon_width = self.icon.map_or(0.0, |_| icon_size + if big { 16.0 } else { 8.0 });
        let padding = if big { 20.0 } else { 16.0 };
        let width = self.width.unwrap_or(text_width + icon_width + 2.0 * padding);
        let height = if big { 68.0 } else { TARGET };
        let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, self.name.unwrap_or(self.label)));
        if !ui.is_rect_visible(rect) {
            return response;
        }
        let palette = palette(ui);
        let (fill, ink) = self.look.colors(palette, response.hovered());
        let radius = f32::from(RADIUS) - 2.0;
        ui.painter().rect_filled(rect, radius, fill);
        focus_ring(ui, &response, rect, radius);
        // A big button reads from the left, a small one from its middle.
        let content = text_width + icon_width;
        let left = if big { rect.left() + padding } else { rect.center().x - content / 2.0 };
        if let Some(icon) = self.icon {
            let center = egui::pos2(left + icon_size / 2.0, rect.center().y);
            theme::paint_icon(ui.painter(), center, icon, icon_size, ink);
        }
        let text_left = left + icon_width;
        match below {
            None => {
                let place =
                    Align2::LEFT_CENTER.anchor_size(egui::pos2(text_left, rect.center().y), label.size());
                ui.painter().galley(place.min, label, ink);
            }
            Some(below) => {
                let top = rect.center().y - (label.size().y + below.size().y + 3.0) / 2.0;
                let second = top + label.size().y + 3.0;
                ui.painter().galley(egui::pos2(text_left, top), label, ink);
                let ink = if self.look == Look::Secondary { palette.muted } else { ink };
                ui.painter().with_clip_rect(rect).galley(egui::pos2(text_left, second), below, ink);
            }
        }
        let response = response.on_hover_cursor(egui::CursorIcon::PointingHand);
        match self.hint {
            Some(hint) => response.on_hover_text(hint),
            None => response,
        }
    }
}

/// A round button with an icon; its name is its tooltip.
pub struct RoundButton<'a> {
    icon: Icon,
    name: &'a str,
    key: Option<&'a str>,
    diameter: f32,
    colors: Option<(Color32, Color32)>,
    look: Look,
}

impl<'a> RoundButton<'a> {
    pub fn new(icon: Icon, name: &'a str) -> Self {
        Self { icon, name, key: None, diameter: TARGET, colors: None, look: Look::Secondary }
    }
    /// The key that does the same, for the tooltip.
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }
    pub fn diameter(mut self, diameter: f32) -> Self {
        self.diameter = diameter;
        self
    }
    pub fn look(mut self, look: Look) -> Self {
        self.look = look;
        self
    }
    /// Over a picture: dark glass.
    pub fn on_picture(mut self) -> Self {
        self.colors = Some((theme::SCRIM, Color32::WHITE));
        self
    }
    /// On the bar of a call; lit while what it stands for shows.
    pub fn on_bar(mut self, lit: bool) -> Self {
        let fill = Color32::from_white_alpha(if lit { 90 } else { 34 });
        self.colors = Some((fill, Color32::WHITE));
        self
    }
    /// Stands for something that is out for all to see, as a raised hand.
    pub fn lit(mut self, lit: bool) -> Self {
        if lit {
            self.colors = Some((theme::DARK.warning, theme::DARK.ground));
        }
        self
    }
    /// White, while the device it stands for is off: it is seen from afar.
    pub fn switched_off(mut self, off: bool) -> Self {
        if off {
            self.colors = Some((Color32::WHITE, theme::LIGHT.trouble));
        }
        self
    }

    pub fn show(self, ui: &mut Ui) -> Response {
        let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(self.diameter), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, self.name));
        let palette = palette(ui);
        let hovered = response.hovered();
        let (fill, ink) = match self.colors {
            Some((fill, ink)) if hovered => (fill.lerp_to_gamma(Color32::from_gray(140), 0.3), ink),
            Some(colors) => colors,
            None => self.look.colors(palette, hovered),
        };
        let radius = self.diameter / 2.0;
        ui.painter().circle_filled(rect.center(), radius, fill);
        focus_ring(ui, &response, rect, radius);
        theme::paint_icon(ui.painter(), rect.center(), self.icon, (self.diameter * 0.46).round(), ink);
        let hint = match self.key {
            Some(key) => format!("{} ({key})", self.name),
            None => self.name.to_owned(),
        };
        response.on_hover_text(hint).on_hover_cursor(egui::CursorIcon::PointingHand)
    }
}
