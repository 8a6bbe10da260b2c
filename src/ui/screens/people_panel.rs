//! The list of people at the right of a group call: who is there, how well they are connected, how loud they are
//! played.

use super::ways;
use crate::device::DeviceKind;
use crate::ui::icons;
use crate::ui::people::{Person, Who};
use crate::ui::theme::{self, DARK, TARGET};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use crate::ui::wording;
use eframe::egui::{
    self, Align, Align2, Color32, Frame, Layout, Margin, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2,
};

const WIDTH: f32 = 320.0;
const MARGIN: f32 = 16.0;
/// From here on there is room for it beside the tiles; in a narrower window it lies over them.
const BESIDE_FROM: f32 = 900.0;
/// As much louder as the sound chain allows.
const LOUDEST: f32 = 2.0;

/// What the panel takes of the stage.
pub fn side(scene: &Scene<'_>, stage: Rect) -> f32 {
    if scene.view.people && stage.width() >= BESIDE_FROM { WIDTH + MARGIN } else { 0.0 }
}

/// `foot` is the height of what lies under it.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect, foot: f32) {
    let width = WIDTH.min(stage.width() - 2.0 * MARGIN);
    let place = Rect::from_min_max(
        pos2(stage.right() - MARGIN - width, stage.top() + 64.0),
        pos2(stage.right() - MARGIN, stage.bottom() - foot),
    );
    ui.interact(place, ui.scope_id().with("people"), Sense::click_and_drag());
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        let frame = Frame::new().fill(DARK.panel).corner_radius(16).inner_margin(Margin::same(12));
        frame.show(ui, |ui| {
            ui.set_width(width - 24.0);
            ui.set_height(place.height() - 24.0);
            ui.spacing_mut().item_spacing.y = 4.0;
            head(ui, scene);
            let room = ui.available_height() - TARGET - 12.0;
            let list = egui::ScrollArea::vertical().max_height(room).auto_shrink([false, false]);
            list.show(ui, |ui| {
                ways::of_call(ui, scene);
                let others = scene.model.people.list().iter().map(|person| Who::Peer(person.id));
                let all: Vec<Who> = others.chain([Who::Me]).collect();
                all.into_iter().for_each(|who| row(ui, scene, who));
            });
            ui.add_space(8.0);
            ui.horizontal(|ui| foot_of(ui, scene));
        });
    });
}

/// *Add someone*, and for the host the lock.
fn foot_of(ui: &mut Ui, scene: &mut Scene<'_>) {
    let lock = if scene.model.room.we_are_host { TARGET + 8.0 } else { 0.0 };
    let width = ui.available_width() - lock;
    let add = Button::new(Look::Primary, "Add someone").icon(icons::PERSON_ADD).width(width);
    if add.hint("Add someone (A)").show(ui).clicked() {
        scene.act(Act::AddSomeone);
    }
    if scene.model.room.we_are_host {
        let locked = scene.model.room.locked;
        let name = if locked { "Unlock: others may come in" } else { "Lock: nobody more comes in" };
        if RoundButton::new(icons::LOCK, name).lit(locked).show(ui).clicked() {
            scene.act(Act::Lock(!locked));
        }
    }
}

fn head(ui: &mut Ui, scene: &mut Scene<'_>) {
    ui.horizontal(|ui| {
        ui.add_space(4.0);
        widgets::headline(ui, &wording::people(scene.model.people.count()), 17.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let close = RoundButton::new(icons::CLOSE, "Close the list").key("Esc").look(Look::Quiet);
            if close.show(ui).clicked() {
                scene.view.people = false;
            }
        });
    });
}

/// One person; pressed, it opens what can be done about them.
fn row(ui: &mut Ui, scene: &mut Scene<'_>, who: Who) {
    let person = match who {
        Who::Peer(id) => scene.model.people.find(id),
        Who::Me => None,
    };
    let (name, letter) = match person {
        Some(person) => (person.name.clone(), person.name.clone()),
        None => (format!("{} (you)", scene.own_name()), scene.own_name().to_owned()),
    };
    let muted = match person {
        Some(person) => person.remote.microphone_muted,
        None => scene.model.microphone_muted || scene.model.device(DeviceKind::Microphone).error().is_some(),
    };
    let is_in = person.is_none_or(Person::is_in);
    let quality = person.filter(|_| is_in).map(|person| person.quality);
    let silenced = person.is_some_and(|person| scene.view.volume(person.id) == 0.0);
    let open = scene.view.selected == Some(who);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 48.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, open, &name));
    if response.hovered() || response.has_focus() || open {
        ui.painter().rect_filled(rect, 10.0, if open { DARK.raised } else { DARK.hovered });
    }
    let middle = rect.center().y;
    let center = pos2(rect.left() + 24.0, middle);
    widgets::avatar(ui.painter(), center, 32.0, &letter, &DARK);
    if scene.model.people.speakers.active() == Some(who) {
        ui.painter().circle_stroke(center, 18.0, egui::Stroke::new(2.0, DARK.accent));
    }
    let mut right = rect.right() - 10.0;
    let mut take = |width: f32| {
        right -= width;
        let place = Rect::from_min_max(pos2(right, middle - 8.0), pos2(right + width, middle + 8.0));
        right -= 8.0;
        place
    };
    if let Some(quality) = quality {
        let place = take(20.0);
        widgets::paint_bars(ui.painter(), place, quality, &DARK);
        let words = wording::quality(quality);
        let bars = ui.interact(place.expand(6.0), response.id.with("bars"), Sense::hover());
        bars.widget_info(|| WidgetInfo::labeled(Role::Image, true, words));
        bars.on_hover_text(words);
    }
    if muted {
        theme::paint_icon(ui.painter(), take(18.0).center(), icons::MIC_OFF, 18.0, DARK.trouble);
    } else if silenced {
        theme::paint_icon(ui.painter(), take(18.0).center(), icons::VOLUME_OFF, 18.0, DARK.trouble);
    }
    if let Some(order) = scene.model.people.hand(who) {
        let place = take(22.0);
        widgets::hand(ui.painter(), place.center(), 22.0);
        if order > 1 {
            let place = take(8.0);
            let font = theme::semibold(13.0);
            ui.painter().text(place.center(), Align2::CENTER_CENTER, order.to_string(), font, DARK.warning);
        }
    }
    if let Some((reaction, _)) = scene.model.people.reaction(who, scene.now) {
        widgets::reaction(ui.painter(), take(28.0).center(), 28.0, reaction, 1.0);
    }
    let left = rect.left() + 52.0;
    if !is_in {
        let coming = if person.is_some_and(Person::is_asking) { "wants to join" } else { "joining…" };
        let font = theme::regular(13.0);
        let place = ui.painter().layout_no_wrap(coming.into(), font, DARK.muted);
        right -= place.size().x;
        ui.painter().galley(pos2(right, middle - place.size().y / 2.0), place, DARK.muted);
        right -= 8.0;
    }
    let color = if is_in { Color32::WHITE } else { DARK.muted };
    let mut job = egui::text::LayoutJob::simple_singleline(name, theme::regular(15.0), color);
    job.wrap = egui::text::TextWrapping::truncate_at_width((right - left).max(20.0));
    let text = ui.painter().layout_job(job);
    let way = ways::of_person(scene, who);
    let line = if way.is_some() { middle - 9.0 } else { middle };
    let at = Align2::LEFT_CENTER.anchor_size(pos2(left, line), text.size());
    ui.painter().galley(at.min, text, color);
    if let Some(way) = way {
        second_line(ui, &response, pos2(left, middle + 10.0), right, way);
    }
    if response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
        scene.view.selected = (!open && is_in).then_some(who);
    }
    if open && is_in {
        details(ui, scene, who);
    }
}

/// Under the name, as far as there is room.
fn second_line(ui: &Ui, row: &egui::Response, at: egui::Pos2, right: f32, words: String) {
    let mut job = egui::text::LayoutJob::simple_singleline(words.clone(), theme::regular(12.0), DARK.muted);
    job.wrap = egui::text::TextWrapping::truncate_at_width((right - at.x).max(20.0));
    let text = ui.painter().layout_job(job);
    let place = Align2::LEFT_CENTER.anchor_size(at, text.size());
    ui.painter().galley(place.min, text, DARK.muted);
    let line = ui.interact(place, row.id.with("way"), Sense::hover());
    line.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
}

/// Volume and pin.
fn details(ui: &mut Ui, scene: &mut Scene<'_>, who: Who) {
    Frame::new().inner_margin(Margin { left: 12, right: 4, top: 0, bottom: 4 }).show(ui, |ui| {
        ui.set_width(ui.available_width());
        let people = &scene.model.people;
        let person = if let Who::Peer(id) = who { people.find(id) } else { None };
        let mixer = person.and_then(|person| people.mixer_of(person));
        match (who, mixer) {
            (Who::Peer(_), Some(mixer)) => ways::mixed(ui, mixer),
            (Who::Peer(id), None) => volume(ui, scene, id),
            (Who::Me, _) => {}
        }
        if let Who::Peer(id) = who {
            ways::of_guest(ui, scene, id);
        }
        ui.horizontal_wrapped(|ui| {
            let pinned = scene.view.pinned == Some(who);
            let (icon, label) = if pinned { (icons::KEEP_OFF, "Unpin") } else { (icons::KEEP, "Pin") };
            if mixer.is_none() && Button::new(Look::Secondary, label).icon(icon).show(ui).clicked() {
                super::group::toggle_pin(scene.view, who);
            }
            if let Who::Peer(id) = who
                && Button::new(Look::Secondary, "Compare words").icon(icons::SHIELD).show(ui).clicked()
            {
                scene.view.open_words(id);
            }
            if let Who::Peer(id) = who
                && scene.model.room.we_are_host
            {
                if Button::new(Look::Secondary, "Mute").icon(icons::MIC_OFF).show(ui).clicked() {
                    scene.act(Act::MuteGuest(id));
                }
                if Button::new(Look::Secondary, "Remove").icon(icons::CALL_END).show(ui).clicked() {
                    scene.act(Act::Remove(id));
                }
            }
            if who == Who::Me {
                let label = if scene.view.own_hidden { "Show your picture" } else { "Hide your picture" };
                if Button::new(Look::Secondary, label).show(ui).clicked() {
                    scene.view.own_hidden = !scene.view.own_hidden;
                }
            }
        });
    });
}

fn volume(ui: &mut Ui, scene: &mut Scene<'_>, id: crate::ports::PeerId) {
    let before = scene.view.volume(id);
    let mut volume = before;
    ui.horizontal(|ui| {
        let silent = volume == 0.0;
        let (icon, name) = if silent {
            (icons::VOLUME_OFF, "Turn up again")
        } else {
            (icons::VOLUME, "Turn down to nothing")
        };
        if RoundButton::new(icon, name).look(Look::Quiet).diameter(36.0).show(ui).clicked() {
            volume = if silent { 1.0 } else { 0.0 };
        }
        ui.spacing_mut().slider_width = ui.available_width() - 64.0;
        let slider = egui::Slider::new(&mut volume, 0.0..=LOUDEST).step_by(0.05).show_value(false);
        let slider = ui.add(slider.trailing_fill(true));
        slider.widget_info(|| WidgetInfo::slider(true, f64::from(before), "Volume"));
        let percent = format!("{:.0} %", volume * 100.0);
        ui.label(egui::RichText::new(percent).font(theme::regular(13.0)).color(DARK.muted));
    });
    if volume != before {
        scene.view.volumes.insert(id, volume);
        scene.act(Act::SetVolume(id, volume));
    }
}
