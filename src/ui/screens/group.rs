//! The stage of a group call: a grid of equal tiles, or one large and the others in a strip. A call of two has no
//! tiles (`call`).
//!
//! Each pass notes at which size everybody is drawn, and who is not: the app tells the engine, so that nobody sends
//! what nobody sees.

use super::bar;
use crate::device::DeviceKind;
use crate::engine::Presence;
use crate::room::call::CallState;
use crate::ui::grid::{self, Places};
use crate::ui::icons;
use crate::ui::people::{People, Person, Who};
use crate::ui::video::{self, Fill};
use crate::ui::view::{Scene, View};
use crate::ui::widgets::{self, RoundButton, Tile};
use eframe::egui::{self, Rect, Ui, Vec2, vec2};
use std::time::Duration;

const MARGIN: f32 = 16.0;
/// Kept free for the top line, and for the bar at the foot beside its own height.
const HEAD: f32 = 64.0;
const FOOT: f32 = 24.0;
/// How long a reaction fades.
const FADE: Duration = Duration::from_millis(400);
/// A picture before it is there.
const ASPECT: f32 = 16.0 / 9.0;

/// Where tiles may lie; `side` is what a panel takes on the right.
pub fn area(stage: Rect, side: f32) -> Rect {
    let foot = bar::size(stage, true).y + FOOT + MARGIN / 2.0;
    let min = stage.min + vec2(MARGIN, HEAD);
    Rect::from_min_max(min, (stage.max - vec2(MARGIN + side, foot)).max(min))
}

/// Everybody with a tile, in their order; we are the last.
fn everybody(scene: &Scene<'_>) -> Vec<Who> {
    let others = scene.model.people.tiled().map(|person| Who::Peer(person.id));
    others.chain((!scene.view.own_hidden).then_some(Who::Me)).collect()
}

/// Who is large: whoever is pinned, or in speaker view whoever has the word. Nobody in a grid.
fn large(scene: &Scene<'_>, all: &[Who]) -> Option<Who> {
    if let Some(pinned) = scene.view.pinned.filter(|who| all.contains(who)) {
        return Some(pinned);
    }
    let others = |who: Who| who != Who::Me && all.contains(&who);
    // A picture of everybody is not one tile among others.
    if let Some(mix) = all.iter().copied().find(|who| is_mix(&scene.model.people, *who)) {
        return Some(mix);
    }
    let speaker = scene.model.people.speakers.featured(others);
    scene.view.speaker_view.then(|| speaker.or(all.iter().copied().find(|who| others(*who))))?
}

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, area: Rect) {
    scene.view.drawn.clear();
    let all = everybody(scene);
    let aspects: Vec<f32> = all.iter().map(|who| aspect(scene, *who)).collect();
    let large = large(scene, &all);
    let places = match large {
        Some(who) => {
            let others: Vec<Who> = all.iter().copied().filter(|other| *other != who).collect();
            let (place, strip) = grid::speaker(area, aspect(scene, who), others.len());
            tile(ui, scene, who, place, true);
            row(ui, scene, &others, &strip);
            strip
        }
        None => {
            let places = grid::grid(area, &aspects);
            row(ui, scene, &all, &places);
            places
        }
    };
    if let Some((place, number)) = places.more
        && widgets::more(ui, place, number).clicked()
    {
        scene.view.open_people();
    }
    for person in scene.model.people.present() {
        scene.view.drawn.entry(person.id).or_insert(None);
    }
}

fn is_mix(people: &People, who: Who) -> bool {
    matches!(who, Who::Peer(id) if people.is_mixer(id))
}

fn row(ui: &mut Ui, scene: &mut Scene<'_>, people: &[Who], places: &Places) {
    let shown = scene.model.people.choose(people, places.tiles.len());
    for (who, place) in shown.into_iter().zip(&places.tiles) {
        tile(ui, scene, who, *place, false);
    }
}

fn picture<'a>(scene: &Scene<'a>, who: Who) -> Option<&'a video::View> {
    match who {
        Who::Me => (!scene.model.camera_stopped).then_some(scene.own),
        Who::Peer(id) => {
            let people = &scene.model.people;
            let stopped = people.find(id).is_some_and(|person| person.remote.camera_stopped);
            let stopped = stopped && !people.is_mixer(id);
            scene.remote(id).filter(|_| !stopped)
        }
    }
}

fn aspect(scene: &Scene<'_>, who: Who) -> f32 {
    let resolution = picture(scene, who).and_then(video::View::resolution);
    resolution.map_or(ASPECT, |size| size.width as f32 / size.height.max(1) as f32)
}

/// What a tile says of somebody.
fn about(scene: &Scene<'_>, who: Who, opacity: f32) -> Tile {
    let people: &People = &scene.model.people;
    let common = Tile {
        speaking: people.speakers.active() == Some(who),
        pinned: scene.view.pinned == Some(who),
        hand: people.hand(who),
        reaction: people.reaction(who, scene.now).map(|(reaction, _)| (reaction, opacity)),
        ..Tile::default()
    };
    match who {
        Who::Me => Tile {
            name: "You".into(),
            letter: scene.own_name().into(),
            muted: scene.model.microphone_muted
                || scene.model.device(DeviceKind::Microphone).error().is_some(),
            ..common
        },
        Who::Peer(id) => match people.find(id) {
            Some(person) if people.is_mixer(id) => Tile {
                name: format!("Everybody, from {}", person.name),
                letter: person.name.clone(),
                silenced: scene.view.volume(id) == 0.0,
                quality: Some(person.quality),
                waits: waits(scene, person),
                pinned: common.pinned,
                ..Tile::default()
            },
            Some(person) => Tile {
                name: person.name.clone(),
                letter: person.name.clone(),
                muted: person.remote.microphone_muted,
                silenced: scene.view.volume(id) == 0.0,
                quality: Some(person.quality),
                waits: waits(scene, person),
                ..common
            },
            None => common,
        },
    }
}

/// Nothing comes from them now.
fn waits(scene: &Scene<'_>, person: &Person) -> bool {
    person.remote.presence == Presence::Away || matches!(scene.model.call, CallState::Reconnecting { .. })
}

/// How much of a reaction shows: it fades where fading costs nothing.
pub fn opacity(ui: &Ui, left: Duration) -> f32 {
    if ui.style().animation_time <= 0.0 || left >= FADE {
        ui.ctx().request_repaint_after(if left > FADE && ui.style().animation_time > 0.0 {
            left - FADE
        } else {
            left
        });
        return 1.0;
    }
    ui.ctx().request_repaint();
    left.as_secs_f32() / FADE.as_secs_f32()
}

fn tile(ui: &mut Ui, scene: &mut Scene<'_>, who: Who, place: Rect, large: bool) {
    let left = scene.model.people.reaction(who, scene.now).map(|(_, left)| left);
    let about = about(scene, who, left.map_or(1.0, |left| opacity(ui, left)));
    let view = picture(scene, who);
    let resolution = view.and_then(video::View::resolution);
    let best = match resolution {
        // Nothing is cut off a picture of everybody: somebody would be missing.
        Some(_) if is_mix(&scene.model.people, who) => Fill::Fit,
        Some(resolution) => Fill::best(resolution, place.size()),
        None => Fill::Cover,
    };
    let fill = if large { scene.view.fill.unwrap_or(best) } else { best };
    let (painter, mirrored) = (scene.painter, who == Who::Me && scene.settings.mirror_self);
    let id = ui.scope_id().with(("tile", who));
    let response = widgets::tile(ui, id, place, &about, |ui, place, radius| {
        // With bars beside it, its corners are not those of the tile.
        let radius = if fill == Fill::Fit { 0.0 } else { radius };
        view.is_some_and(|view| painter.paint(ui, view, place, fill, radius, mirrored))
    });
    if let Who::Peer(peer) = who {
        // Before there is a picture, its place says how large one is of use.
        let size =
            resolution.map_or(place.size(), |resolution| video::extent(resolution, place.size(), fill));
        scene.view.drawn.insert(peer, Some(size));
    }
    let by_key = response.clicked() && response.interact_pointer_pos().is_none();
    if response.double_clicked() || by_key {
        toggle_pin(scene.view, who);
    }
    if ui.rect_contains_pointer(place) {
        hovered(ui, scene, who, place);
    }
}

pub fn toggle_pin(view: &mut View, who: Who) {
    view.pinned = if view.pinned == Some(who) { None } else { Some(who) };
    view.fill = None;
}

/// What can be done with a tile, in its corner while the pointer is on it.
fn hovered(ui: &mut Ui, scene: &mut Scene<'_>, who: Who, place: Rect) {
    const SIDE: f32 = 36.0;
    if place.width() < 3.0 * SIDE {
        return;
    }
    let room = Rect::from_min_size(
        place.right_top() + vec2(-2.0 * SIDE - 12.0, 6.0),
        Vec2::new(2.0 * SIDE + 6.0, SIDE),
    );
    let layout = egui::Layout::right_to_left(egui::Align::Center);
    ui.scope_builder(egui::UiBuilder::new().max_rect(room).layout(layout), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let pinned = scene.view.pinned == Some(who);
        let (icon, name) = if pinned { (icons::KEEP_OFF, "Unpin") } else { (icons::KEEP, "Pin: keep large") };
        if RoundButton::new(icon, name).diameter(SIDE).on_picture().show(ui).clicked() {
            toggle_pin(scene.view, who);
        }
        if who == Who::Me {
            let hide = RoundButton::new(icons::VISIBILITY_OFF, "Hide your picture").key("P").diameter(SIDE);
            if hide.on_picture().show(ui).clicked() {
                scene.view.own_hidden = true;
            }
        }
    });
}
