//! In what way a group call is connected, in plain words in the list of people; and what its host can choose of it, for
//! the call and for each person.

use crate::choice::{GuestChoice, TopologyChoice};
use crate::engine::Hub;
use crate::ports::PeerId;
use crate::ui::icons;
use crate::ui::people::{Person, Who};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Choice};
use crate::ui::wording;
use eframe::egui::{Frame, Margin, Ui};

/// Under the head of the list.
pub fn of_call(ui: &mut Ui, scene: &mut Scene<'_>) {
    let words = match scene.model.server {
        Some(_) => "The server passes everything on".into(),
        None => wording::way(&scene.model.room, hub_name(scene).as_deref()),
    };
    Frame::new().inner_margin(Margin { left: 4, right: 4, top: 0, bottom: 4 }).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 8.0;
        widgets::quiet(ui, format!("{words}."));
        if scene.model.room.we_are_host {
            pick_for_call(ui, scene);
        }
    });
}

/// Who passes everything on, if it is not us.
fn hub_name(scene: &Scene<'_>) -> Option<String> {
    match scene.model.room.hub? {
        Hub::Person(id) => scene.model.people.find(id).map(|person| person.name.clone()),
        Hub::We | Hub::Unknown => None,
    }
}

fn pick_for_call(ui: &mut Ui, scene: &mut Scene<'_>) {
    let now = scene.model.room.topology;
    let all = wording::TOPOLOGIES.map(|choice| {
        let (label, detail) = wording::topology(choice);
        Choice { value: choice, label: label.into(), detail: detail.into() }
    });
    let shown = format!("Connect: {}", wording::topology(now).0.to_lowercase());
    let width = ui.available_width();
    let name = "How this call is connected";
    let picked = widgets::picker(ui, Some(icons::LINK), name, &shown, (&all, &now), width, || {});
    if let Some(choice) = picked {
        scene.act(Act::Topology(choice));
    }
}

/// What the host lets one person have. A call in which everybody sends to everybody has nothing to choose.
pub fn of_guest(ui: &mut Ui, scene: &mut Scene<'_>, id: PeerId) {
    let room = &scene.model.room;
    let Some(person) = scene.model.people.find(id) else { return };
    let is_hub = room.hub == Some(Hub::Person(id));
    if !room.we_are_host || room.topology == TopologyChoice::Mesh || is_hub {
        return;
    }
    let now = person.remote.way;
    let all = [GuestChoice::Automatic, GuestChoice::Forward, GuestChoice::Mix].map(|choice| {
        let (label, detail) = wording::guest_way(choice);
        Choice { value: choice, label: label.into(), detail: detail.into() }
    });
    let shown = format!("Gets: {}", wording::guest_way(now).0.to_lowercase());
    let name = format!("What {} gets", person.name);
    let width = ui.available_width();
    let picked = widgets::picker(ui, Some(icons::GRID_VIEW), &name, &shown, (&all, &now), width, || {});
    if let Some(choice) = picked {
        scene.act(Act::GuestWay(id, choice));
    }
}

/// The line under a name: what is out of the ordinary about how somebody is connected.
pub fn of_person(scene: &Scene<'_>, who: Who) -> Option<String> {
    let room = &scene.model.room;
    let (is_hub, gets_one) = match who {
        Who::Me => (room.hub == Some(Hub::We), room.one_picture),
        Who::Peer(id) => {
            let person = scene.model.people.find(id).filter(|person| person.is_in())?;
            if scene.model.people.mixer_of(person).is_some() {
                return Some("seen in the one picture".into());
            }
            (room.hub == Some(Hub::Person(id)), person.remote.one_picture)
        }
    };
    match (is_hub, gets_one) {
        (true, _) => Some("passes everything on".into()),
        (false, true) => Some("gets one picture of everybody".into()),
        (false, false) => None,
    }
}

/// In place of volume and pin for whom there is neither sound nor picture alone.
pub fn mixed(ui: &mut Ui, mixer: &Person) {
    let words = format!("{} sends you one picture and one sound of everybody.", mixer.name);
    widgets::quiet(ui, words);
}
