//! Our own picture as lobby and exchange show it: with the switches of microphone and camera on it.

use crate::device::DeviceKind;
use crate::ui::icons;
use crate::ui::model::DeviceStatus;
use crate::ui::theme::{self, DARK, palette};
use crate::ui::video::Fill;
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, RoundButton};
use eframe::egui::{self, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

/// Paints preview or placeholder into `rect`, with the two switches at its foot.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, rect: Rect) {
    picture(ui, scene, rect);
    switches(ui, scene, rect);
}

/// The same without the switches.
pub fn picture(ui: &mut Ui, scene: &mut Scene<'_>, rect: Rect) {
    const RADIUS: f32 = 16.0;
    let response = ui.interact(rect, ui.scope_id().with("own picture"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Your picture"));
    let colors = palette(ui);
    ui.painter().rect_filled(rect, RADIUS, colors.raised);
    let mirrored = scene.settings.mirror_self;
    let painted = !scene.model.camera_stopped
        && scene.painter.paint(ui, scene.own, rect, Fill::Cover, RADIUS, mirrored);
    if !painted {
        ui.painter().rect_stroke(rect, RADIUS, Stroke::new(1.0, colors.line), StrokeKind::Inside);
        placeholder(ui, scene, rect);
    }
}

fn placeholder(ui: &mut Ui, scene: &Scene<'_>, rect: Rect) {
    let colors = palette(ui);
    let diameter = (rect.height() * 0.32).clamp(48.0, 140.0);
    let trouble = scene.model.device(DeviceKind::Camera).error().is_some() && !scene.model.camera_stopped;
    // In a small picture a sentence about trouble needs the room of the letter.
    let letter = !trouble || rect.height() >= 240.0;
    let center = rect.center() - vec2(0.0, rect.height() * 0.12);
    if letter {
        widgets::avatar(ui.painter(), center, diameter, scene.own_name(), colors);
    }
    let words = match &scene.model.camera {
        _ if scene.model.camera_stopped => "Your camera is off".to_owned(),
        DeviceStatus::Failed(error) => error.to_string(),
        DeviceStatus::Unwanted => "No camera is chosen".to_owned(),
        DeviceStatus::Unknown | DeviceStatus::Running { .. } if scene.settings.camera == "none" => {
            "No camera is chosen".to_owned()
        }
        DeviceStatus::Unknown | DeviceStatus::Running { .. } => "The camera is starting…".to_owned(),
    };
    let color = if trouble { colors.trouble } else { colors.muted };
    let top = if letter { center.y + diameter / 2.0 + 12.0 } else { rect.top() + 28.0 };
    let place =
        Rect::from_min_max(egui::pos2(rect.left() + 20.0, top), rect.right_bottom() - vec2(20.0, 64.0));
    let builder = egui::UiBuilder::new().max_rect(place).layout(egui::Layout::top_down(egui::Align::Center));
    ui.scope_builder(builder, |ui| {
        ui.add(egui::Label::new(egui::RichText::new(words).font(theme::regular(14.0)).color(color)).wrap());
    });
}

/// The two round switches at the foot of a picture.
fn switches(ui: &mut Ui, scene: &mut Scene<'_>, rect: Rect) {
    const DIAMETER: f32 = 48.0;
    let size = vec2(2.0 * DIAMETER + 12.0, DIAMETER);
    let place = Rect::from_center_size(rect.center_bottom() - vec2(0.0, 14.0 + DIAMETER / 2.0), size);
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            microphone_switch(ui, scene, DIAMETER, false);
            camera_switch(ui, scene, DIAMETER, false);
        });
    });
}

pub fn microphone_switch(ui: &mut Ui, scene: &mut Scene<'_>, diameter: f32, on_bar: bool) {
    let off = scene.model.microphone_muted;
    let (icon, name) =
        if off { (icons::MIC_OFF, "Unmute microphone") } else { (icons::MIC, "Mute microphone") };
    let button = RoundButton::new(icon, name).key("M").diameter(diameter);
    let button = if on_bar { button.on_bar(false) } else { button.on_picture() };
    let response = button.switched_off(off).show(ui);
    // In a call the button itself shows how loud one is; the lobby has its meter.
    let level = scene.model.microphone_level;
    if on_bar && !off && level > 0.0 {
        let stroke = Stroke::new(1.0 + 3.0 * level, DARK.accent.gamma_multiply((3.0 * level).min(1.0)));
        ui.painter().circle_stroke(response.rect.center(), diameter / 2.0 + 1.0, stroke);
    }
    if response.clicked() {
        scene.act(Act::ToggleMicrophone);
    }
}

pub fn camera_switch(ui: &mut Ui, scene: &mut Scene<'_>, diameter: f32, on_bar: bool) {
    let off = scene.model.camera_stopped;
    let (icon, name) =
        if off { (icons::VIDEO_OFF, "Turn camera on") } else { (icons::VIDEO, "Turn camera off") };
    let button = RoundButton::new(icon, name).key("V").diameter(diameter);
    let button = if on_bar { button.on_bar(false) } else { button.on_picture() };
    if button.switched_off(off).show(ui).clicked() {
        scene.act(Act::ToggleCamera);
    }
}
