//! The call: their picture fills the window, ours lies in a corner, the controls float over both. With more than two
//! there are tiles instead (`group`).

use super::bar::{self, MARGIN};
use super::{add_someone, door, group, people_panel, rescue, statistics, words};
use crate::engine::Quality;
use crate::engine::server::{Place, PlaceKind};
use crate::room::call::CallState;
use crate::ui::icons::{self, Icon};
use crate::ui::model::Model;
use crate::ui::theme::{self, DARK, SCRIM, STAGE};
use crate::ui::video::{self, Fill};
use crate::ui::view::{Act, Corner, Overlay, Scene, View};
use crate::ui::visit;
use crate::ui::widgets::{self, RoundButton};
use crate::ui::wording;
use eframe::egui::{
    self, Align2, Color32, CursorIcon, Frame, Margin, Rect, Role, Sense, Stroke, StrokeKind, Theme, Ui,
    WidgetInfo, pos2, vec2,
};
use std::time::Duration;

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    // The stage is dark in both themes.
    let dark = ui.ctx().style_of(Theme::Dark);
    ui.set_style(dark);
    let stage = ui.max_rect();
    ui.painter().rect_filled(stage, 0.0, STAGE);
    let controls = controls_show(ui, scene);
    let is_group = scene.model.people.is_group();
    if is_group {
        let area = group::area(stage, people_panel::side(scene, stage), scene.model);
        group::show(ui, scene, area);
    } else {
        match scene.model.server.as_deref().filter(|_| scene.model.people.first().is_none()) {
            Some(place) => nobody(ui, stage, place),
            None => their_picture(ui, scene, stage),
        }
        own_picture(ui, scene, stage);
    }
    // They fade, all at once; a control that is about to go still works.
    ui.scope(|ui| {
        ui.multiply_opacity(controls);
        if controls > 0.0 {
            top(ui, scene, stage);
        }
    });
    banner(ui, scene, stage);
    if scene.view.statistics {
        statistics::show(ui, scene, stage);
    }
    if scene.view.words {
        words::show(ui, scene, stage);
    }
    let foot = bar::size(stage, scene.model).y + 2.0 * MARGIN;
    if is_group && scene.view.people {
        people_panel::show(ui, scene, stage, foot);
    }
    door::show(ui, scene, stage);
    if scene.view.adding {
        add_someone::show(ui, scene, stage, stage.top() + 68.0, stage.bottom() - foot);
    }
    if controls > 0.0 {
        ui.scope(|ui| {
            ui.multiply_opacity(controls);
            bar::show(ui, scene, stage);
        });
    } else {
        ui.ctx().set_cursor_icon(CursorIcon::None);
    }
    tick(ui, scene);
}

/// How much of the controls shows, 0.0 to 1.0: in full screen they fade when nothing has stirred for a while, and are
/// there at once when something does.
fn controls_show(ui: &Ui, scene: &mut Scene<'_>) -> f32 {
    let stirred = ui.input(|input| {
        input.pointer.delta() != egui::Vec2::ZERO || input.pointer.any_down() || !input.keys_down.is_empty()
    });
    if stirred {
        scene.view.stirred = scene.now;
    }
    if !scene.view.fullscreen || scene.view.overlay != Overlay::None {
        return 1.0;
    }
    let rest = scene.now.saturating_duration_since(scene.view.stirred);
    if let Some(left) = View::REST.checked_sub(rest) {
        ui.ctx().request_repaint_after(left + Duration::from_millis(1));
        return 1.0;
    }
    // Without a GPU each step of a fade costs too much: there nothing moves.
    let fade = if ui.style().animation_time > 0.0 { View::FADE } else { Duration::ZERO };
    let left = (View::REST + fade).saturating_sub(rest);
    if left.is_zero() {
        return 0.0;
    }
    ui.ctx().request_repaint();
    left.as_secs_f32() / fade.as_secs_f32()
}

/// The timer and the count-down move once a second.
fn tick(ui: &Ui, scene: &Scene<'_>) {
    let since = match scene.model.call {
        CallState::InCall { since } | CallState::Reconnecting { since, .. } => since,
        CallState::Idle
        | CallState::Gathering(_)
        | CallState::WaitingForReply
        | CallState::Connecting { .. }
        | CallState::Lobby { .. }
        | CallState::Ended(_) => return,
    };
    let part = scene.now.saturating_duration_since(since).subsec_millis();
    ui.ctx().request_repaint_after(Duration::from_millis(u64::from(1001 - part.min(1000))));
}

/// A room of a server with nobody else in it, or a server alone.
fn nobody(ui: &mut Ui, stage: Rect, place: &Place) {
    let (title, next) = visit::alone(place);
    let center = stage.center() - vec2(0.0, 40.0);
    ui.painter().circle_filled(center - vec2(0.0, 40.0), 44.0, DARK.raised);
    let icon = if place.kind == PlaceKind::Room { icons::GROUP } else { icons::VIDEO };
    theme::paint_icon(ui.painter(), center - vec2(0.0, 40.0), icon, 40.0, DARK.muted);
    let room =
        Rect::from_min_size(pos2(stage.left() + 24.0, center.y + 24.0), vec2(stage.width() - 48.0, 120.0));
    let layout = egui::Layout::top_down(egui::Align::Center);
    ui.scope_builder(egui::UiBuilder::new().max_rect(room).layout(layout), |ui| {
        widgets::headline(ui, &title, 21.0);
        ui.add_space(2.0);
        widgets::quiet(ui, next);
    });
}

fn their_picture(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let response = ui.interact(stage, ui.scope_id().with("their picture"), Sense::click());
    let name = scene.model.remote_name();
    let camera_stopped = scene.model.people.first().is_some_and(|person| person.remote.camera_stopped);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Picture of {name}")));
    let resolution = scene.theirs().and_then(video::View::resolution);
    let best = resolution.map_or(Fill::Cover, |resolution| Fill::best(resolution, stage.size()));
    let fill = scene.view.fill.unwrap_or(best);
    if response.double_clicked() {
        toggle_fill(scene.view, best);
    }
    let drawn = resolution.map(|resolution| video::extent(resolution, stage.size(), fill));
    scene.view.drawn.clear();
    scene.view.drawn.extend(scene.remotes.first().zip(drawn).map(|((id, _), size)| (*id, Some(size))));
    let painted = !camera_stopped
        && scene.theirs().is_some_and(|view| scene.painter.paint(ui, view, stage, fill, 0.0, false));
    if painted && matches!(scene.model.call, CallState::Reconnecting { .. }) {
        // The last picture stays, but nobody should take it for a live one.
        ui.painter().rect_filled(stage, 0.0, Color32::from_black_alpha(140));
    }
    if !painted {
        let diameter = (stage.height() * 0.26).clamp(96.0, 260.0);
        let center = stage.center() - vec2(0.0, 24.0);
        widgets::avatar(ui.painter(), center, diameter, name, &DARK);
        let words = if camera_stopped {
            format!("{name}’s camera is off")
        } else if scene.model.is_sound_only() {
            format!("Sound only: no video format in common with {name}")
        } else {
            format!("Waiting for the picture of {name}")
        };
        let below = center + vec2(0.0, diameter / 2.0 + 28.0);
        ui.painter().text(below, Align2::CENTER_CENTER, words, theme::regular(16.0), DARK.muted);
    }
}

/// From what shows now to the other; also on the key.
pub fn toggle_fill(view: &mut View, best: Fill) {
    view.fill = Some(match view.fill.unwrap_or(best) {
        Fill::Fit => Fill::Cover,
        Fill::Cover => Fill::Fit,
    });
}

/// Where our own picture may lie: clear of the top line, and of the controls where they would overlap.
fn own_area(stage: Rect, size: egui::Vec2, model: &Model) -> Rect {
    let bar = bar::size(stage, model);
    let beside = (stage.width() - bar.x) / 2.0 - 2.0 * MARGIN >= size.x;
    let below = if beside { MARGIN } else { bar.y + 2.0 * MARGIN };
    Rect::from_min_max(stage.min + vec2(MARGIN, MARGIN + 52.0), stage.max - vec2(MARGIN, below))
}

fn own_picture(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let watches = scene.model.server.as_ref().is_some_and(|place| place.kind == PlaceKind::Play);
    if scene.view.own_hidden || watches {
        return;
    }
    let width = (stage.width() * 0.2).clamp(152.0, 360.0).round();
    let size = vec2(width, (width * 9.0 / 16.0).round());
    let area = own_area(stage, size, scene.model);
    let mut rect = scene.view.corner.place(area, size);
    let id = ui.scope_id().with("own picture");
    if let (Some(offset), Some(pointer)) = (scene.view.drag, ui.ctx().pointer_interact_pos()) {
        let min = (pointer + offset).clamp(area.min, (area.max - size).max(area.min));
        rect = Rect::from_min_size(min, size);
    }
    let response = ui.interact(rect, id, Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Your picture"));
    if response.drag_started() {
        scene.view.drag = ui.input(|input| input.pointer.press_origin()).map(|pressed| rect.min - pressed);
    }
    if response.drag_stopped() {
        scene.view.drag = None;
        scene.view.corner = Corner::nearest(area, rect.center());
    }
    let radius = 12.0;
    let shadow = egui::Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(110) };
    ui.painter().add(shadow.as_shape(rect, radius));
    ui.painter().rect_filled(rect, radius, DARK.raised);
    let painted = !scene.model.camera_stopped
        && scene.painter.paint(ui, scene.own, rect, Fill::Cover, radius, scene.settings.mirror_self);
    if !painted {
        widgets::avatar(ui.painter(), rect.center(), rect.height() * 0.5, scene.own_name(), &DARK);
    }
    let stroke = Stroke::new(1.0, Color32::from_white_alpha(48));
    ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
    if scene.model.microphone_muted {
        let center = rect.left_bottom() + vec2(20.0, -20.0);
        ui.painter().circle_filled(center, 12.0, SCRIM);
        theme::paint_icon(ui.painter(), center, icons::MIC_OFF, 15.0, DARK.trouble);
    }
    let cursor = if scene.view.drag.is_some() { CursorIcon::Grabbing } else { CursorIcon::Grab };
    let hovered = response.hovered() || ui.rect_contains_pointer(rect);
    response.on_hover_cursor(cursor);
    if hovered && scene.view.drag.is_none() {
        let place = Rect::from_min_size(rect.right_top() + vec2(-48.0, 4.0), egui::Vec2::splat(44.0));
        ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
            let hide = RoundButton::new(icons::VISIBILITY_OFF, "Hide your picture").key("P");
            if hide.on_picture().show(ui).clicked() {
                scene.view.own_hidden = true;
            }
        });
    }
}

/// How well the other side comes over, and whether it is muted.
fn their_state(ui: &mut Ui, scene: &Scene<'_>) {
    let person = scene.model.people.first();
    widgets::bars(ui, person.map_or(Quality::Unknown, |person| person.quality), &DARK);
    if person.is_some_and(|person| person.remote.microphone_muted) {
        let (rect, response) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
        let words = format!("{} is muted", scene.model.remote_name());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
        theme::paint_icon(ui.painter(), rect.center(), icons::MIC_OFF, 18.0, DARK.trouble);
        response.on_hover_text(words);
    }
}

/// Who, how well, how long; settings and help.
fn top(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let line =
        Rect::from_min_max(stage.min + vec2(MARGIN, 12.0), pos2(stage.right() - MARGIN, stage.top() + 56.0));
    ui.scope_builder(egui::UiBuilder::new().max_rect(line), |ui| {
        ui.horizontal(|ui| {
            let frame = Frame::new().fill(SCRIM).corner_radius(22).inner_margin(Margin::symmetric(14, 0));
            frame.show(ui, |ui| {
                ui.set_height(theme::TARGET);
                ui.spacing_mut().item_spacing.x = 10.0;
                let name = if let Some(place) = &scene.model.server {
                    visit::name(place)
                } else if scene.model.people.is_group() {
                    wording::people(scene.model.people.count())
                } else {
                    their_state(ui, scene);
                    scene.model.remote_name().to_owned()
                };
                let name = egui::RichText::new(name).font(theme::semibold(15.0)).color(Color32::WHITE);
                let most = (stage.width() - 412.0 - words::badge_width(stage)).max(120.0);
                ui.scope(|ui| {
                    ui.set_max_width(most);
                    ui.add(egui::Label::new(name).truncate());
                });
                if let CallState::InCall { since } | CallState::Reconnecting { started: since, .. } =
                    scene.model.call
                {
                    let time = wording::clock(scene.now.saturating_duration_since(since));
                    ui.label(
                        egui::RichText::new(time).font(theme::regular(15.0)).color(Color32::from_gray(215)),
                    );
                }
                let (rect, response) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
                let privacy = match scene.model.server {
                    Some(_) => visit::ENCRYPTED,
                    None => "Encrypted from end to end",
                };
                response.widget_info(|| WidgetInfo::labeled(Role::Image, true, privacy));
                theme::paint_icon(ui.painter(), rect.center(), icons::LOCK, 16.0, Color32::from_gray(215));
                response.on_hover_text(privacy);
            });
            if !scene.model.people.is_group() && scene.model.server.is_none() {
                words::badge(ui, scene, stage);
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if RoundButton::new(icons::HELP, "Help").key("?").on_picture().show(ui).clicked() {
                    scene.view.overlay = Overlay::Help;
                }
                if RoundButton::new(icons::SETTINGS, "Settings").key("Ctrl+,").on_picture().show(ui).clicked()
                {
                    scene.view.overlay = Overlay::Settings;
                }
                let add = RoundButton::new(icons::PERSON_ADD, "Add someone").key("A").on_picture();
                if scene.model.may_add() && add.show(ui).clicked() {
                    scene.act(Act::AddSomeone);
                }
                if scene.view.own_hidden {
                    let show = RoundButton::new(icons::PIP, "Show your picture").key("P").on_picture();
                    if show.show(ui).clicked() {
                        scene.view.own_hidden = false;
                    }
                }
            });
        });
    });
}

/// A line in the middle of the top: what is wrong with the connection.
fn banner(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let CallState::Reconnecting { .. } = scene.model.call else { return };
    let words = match scene.model.server {
        Some(_) => visit::reconnecting(scene.model.offline).to_owned(),
        None => wording::reconnecting(scene.model.remote_name(), scene.model.offline),
    };
    pill(ui, stage, stage.top() + 84.0, icons::WARNING, DARK.warning, &format!("Reconnecting… {words}"));
    let bottom = stage.bottom() - bar::size(stage, scene.model).y - 2.0 * MARGIN;
    rescue::show(ui, scene, stage, stage.top() + 152.0, bottom);
}

fn pill(ui: &mut Ui, stage: Rect, top: f32, icon: Icon, color: Color32, words: &str) {
    let room = (stage.width() - 2.0 * MARGIN - 56.0).min(620.0);
    let galley = ui.painter().layout(words.to_owned(), theme::regular(15.0), Color32::WHITE, room);
    let size = galley.size() + vec2(56.0, 20.0);
    let rect = Rect::from_min_size(pos2(stage.center().x - size.x / 2.0, top), size);
    let response = ui.interact(rect, ui.scope_id().with(("pill", icon.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, words));
    ui.painter().rect_filled(rect, 14.0, Color32::from_black_alpha(205));
    theme::paint_icon(ui.painter(), rect.left_center() + vec2(24.0, 0.0), icon, 20.0, color);
    ui.painter().galley(rect.min + vec2(42.0, 10.0), galley, Color32::WHITE);
}
