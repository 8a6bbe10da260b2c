//! The capsule of round buttons at the foot of a call. A call of two has five; a group has those for layout and the list
//! of people besides, and among people those for gestures. Who only watches has none for camera and microphone.

use super::own_picture::{camera_switch, microphone_switch};
use crate::engine::server::PlaceKind;
use crate::room::message::Reaction;
use crate::ui::icons;
use crate::ui::model::Model;
use crate::ui::people::Who;
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Look, RoundButton};
use eframe::egui::{self, Color32, Key, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

pub const MARGIN: f32 = 16.0;
const BUTTON: f32 = 52.0;
const BUTTON_GAP: f32 = 12.0;
/// The button that ends the call stands a little apart.
const HANG_UP_GAP: f32 = 12.0;
const PADDING: f32 = 10.0;
const REACTION: f32 = 44.0;

/// Which buttons there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buttons {
    /// Microphone and camera.
    switches: bool,
    gestures: bool,
    /// Layout, and the list of people.
    group: bool,
    /// Full screen and details.
    views: bool,
}

impl Buttons {
    pub fn of(model: &Model) -> Self {
        let (server, group) = (model.server.as_deref(), model.people.is_group());
        Self {
            switches: server.is_none_or(|place| place.kind != PlaceKind::Play),
            gestures: group && server.is_none(),
            group,
            views: true,
        }
    }

    fn count(self) -> usize {
        let pairs = [self.switches, self.gestures, self.group, self.views];
        1 + 2 * pairs.into_iter().filter(|pair| *pair).count()
    }
}

/// The buttons, their diameter, and the gap between them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    buttons: Buttons,
    diameter: f32,
    gap: f32,
}

impl Shape {
    fn size(self) -> Vec2 {
        let buttons = self.buttons.count() as f32;
        vec2(
            buttons * self.diameter + (buttons - 1.0) * self.gap + HANG_UP_GAP + 2.0 * PADDING,
            self.diameter + 2.0 * PADDING,
        )
    }

    /// The largest that fits. In a very narrow window full screen and details are left to their keys.
    fn fitting(stage: Rect, buttons: Buttons) -> Self {
        let large = Self { buttons, diameter: BUTTON, gap: BUTTON_GAP };
        let few = Buttons { views: false, ..buttons };
        let small = Self { buttons, diameter: 44.0, gap: 6.0 };
        let shapes = [large, small, Self { buttons: few, ..small }];
        let fits = |shape: &&Self| shape.size().x <= stage.width() - 2.0 * MARGIN;
        *shapes.iter().find(fits).unwrap_or(&shapes[2])
    }
}

pub fn size(stage: Rect, model: &Model) -> Vec2 {
    Shape::fitting(stage, Buttons::of(model)).size()
}

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let shape = Shape::fitting(stage, Buttons::of(scene.model));
    let Buttons { switches, gestures: with_gestures, group, views: with_views } = shape.buttons;
    let size = shape.size();
    let center = pos2(stage.center().x, stage.bottom() - MARGIN - size.y / 2.0);
    let rect = Rect::from_center_size(center, size);
    if with_gestures && scene.view.reacting {
        reactions(ui, scene, rect);
    }
    ui.painter().rect_filled(rect, size.y / 2.0, Color32::from_black_alpha(190));
    ui.scope_builder(egui::UiBuilder::new().max_rect(rect.shrink(PADDING)), |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = shape.gap;
            if switches {
                microphone_switch(ui, scene, shape.diameter, true);
                camera_switch(ui, scene, shape.diameter, true);
            }
            if with_gestures {
                gestures(ui, scene, shape.diameter);
            }
            if group {
                layout(ui, scene, shape.diameter);
            }
            if with_views {
                views(ui, scene, shape.diameter);
            }
            ui.add_space(HANG_UP_GAP);
            let hang_up = RoundButton::new(icons::CALL_END, "Hang up").diameter(shape.diameter);
            if hang_up.look(Look::Danger).show(ui).clicked() {
                scene.act(Act::HangUp);
            }
        });
    });
}

/// What only a group of people has.
fn gestures(ui: &mut Ui, scene: &mut Scene<'_>, diameter: f32) {
    let raised = scene.model.people.hand(Who::Me).is_some();
    let name = if raised { "Lower your hand" } else { "Raise your hand" };
    let hand = RoundButton::new(icons::BACK_HAND, name).key("H").diameter(diameter).on_bar(false).lit(raised);
    if hand.show(ui).clicked() {
        scene.act(Act::RaiseHand(!raised));
    }
    let open = scene.view.reacting;
    let react = RoundButton::new(icons::ADD_REACTION, "React").key("R").diameter(diameter).on_bar(open);
    if react.show(ui).clicked() {
        scene.view.reacting = !open;
    }
}

/// What only a group needs.
fn layout(ui: &mut Ui, scene: &mut Scene<'_>, diameter: f32) {
    let large = scene.view.is_speaker_view();
    let (icon, name) = if large {
        (icons::GRID_VIEW, "Show everybody alike")
    } else {
        (icons::SPEAKER_VIEW, "Show who speaks large")
    };
    if RoundButton::new(icon, name).key("G").diameter(diameter).on_bar(false).show(ui).clicked() {
        scene.view.toggle_speaker_view();
    }
    let open = scene.view.people;
    let name = if open { "Hide the list of people" } else { "List of people" };
    if RoundButton::new(icons::GROUP, name).key("L").diameter(diameter).on_bar(open).show(ui).clicked() {
        scene.view.toggle_people();
    }
}

fn views(ui: &mut Ui, scene: &mut Scene<'_>, diameter: f32) {
    let (icon, name) = if scene.view.fullscreen {
        (icons::FULLSCREEN_EXIT, "Leave full screen")
    } else {
        (icons::FULLSCREEN, "Full screen")
    };
    if RoundButton::new(icon, name).key("F").diameter(diameter).on_bar(false).show(ui).clicked() {
        scene.act(Act::ToggleFullscreen);
    }
    let lit = scene.view.statistics;
    let name = if lit { "Hide details" } else { "Details" };
    if RoundButton::new(icons::STATS, name).key("D").diameter(diameter).on_bar(lit).show(ui).clicked() {
        scene.view.toggle_statistics();
    }
}

/// The reactions, over the bar; also on the keys 1 to 5 while they show.
fn reactions(ui: &mut Ui, scene: &mut Scene<'_>, bar: Rect) {
    const KEYS: [Key; 5] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5];
    let count = Reaction::ALL.len() as f32;
    let size = vec2(count * REACTION + (count - 1.0) * 6.0 + 16.0, REACTION + 16.0);
    let rect = Rect::from_center_size(pos2(bar.center().x, bar.top() - 8.0 - size.y / 2.0), size);
    ui.interact(rect, ui.scope_id().with("reactions"), Sense::click());
    ui.painter().rect_filled(rect, size.y / 2.0, Color32::from_black_alpha(225));
    let mut chosen = None;
    for (index, (reaction, key)) in Reaction::ALL.into_iter().zip(KEYS).enumerate() {
        let left = rect.left() + 8.0 + index as f32 * (REACTION + 6.0);
        let place = Rect::from_min_size(pos2(left, rect.top() + 8.0), Vec2::splat(REACTION));
        let (_, _, name) = widgets::reaction_looks(reaction);
        let response = ui.interact(place, ui.scope_id().with(("reaction", index)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
        if response.hovered() || response.has_focus() {
            ui.painter().circle_filled(place.center(), REACTION / 2.0, Color32::from_white_alpha(40));
        }
        widgets::reaction(ui.painter(), place.center(), REACTION, reaction, 1.0);
        let typing = ui.ctx().text_edit_focused();
        let pressed = !typing && ui.input_mut(|input| input.consume_key(egui::Modifiers::NONE, key));
        let hint = format!("{name} ({})", index + 1);
        if response.on_hover_text(hint).on_hover_cursor(egui::CursorIcon::PointingHand).clicked() || pressed {
            chosen = Some(reaction);
        }
    }
    if let Some(reaction) = chosen {
        scene.view.reacting = false;
        scene.act(Act::React(reaction));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fits_every_window() {
        let all = Buttons { switches: true, gestures: true, group: true, views: true };
        let (server, two) =
            (Buttons { gestures: false, ..all }, Buttons { gestures: false, group: false, ..all });
        for (width, buttons, on_server) in
            [(1180.0, 9, 7), (640.0, 9, 7), (520.0, 9, 7), (420.0, 7, 7), (350.0, 7, 5)]
        {
            let stage = Rect::from_min_size(pos2(0.0, 0.0), vec2(width, 480.0));
            for (wanted, expected) in [(all, buttons), (server, on_server), (two, 5)] {
                let shape = Shape::fitting(stage, wanted);
                assert_eq!(shape.buttons.count(), expected, "{width}");
                assert!(shape.size().x <= width - 2.0 * MARGIN || expected == 7, "{width}: {shape:?}");
            }
        }
        assert_eq!(Buttons { switches: false, ..two }.count(), 3);
    }
}
