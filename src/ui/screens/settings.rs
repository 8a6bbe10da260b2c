//! Everything the user can choose. A change takes effect and is remembered at once; there is no button to save.

use super::devices::{device_picker, problems};
use super::help::dialog;
use super::servers;
use crate::device::DeviceKind;
use crate::room::message::MAX_NAME;
use crate::settings::{Guests, NoiseSuppression, Settings, Theme};
use crate::ui::model::DeviceStatus;
use crate::ui::view::Scene;
use crate::ui::widgets::{self, Choice};
use crate::ui::wording;
use crate::units::Bitrate;
use eframe::egui::{RichText, Ui};

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    dialog(ui, scene, "Settings", |ui, scene| {
        ui.spacing_mut().item_spacing.y = 8.0;
        you(ui, scene);
        toggle(
            ui,
            scene,
            "Ask before someone joins",
            "Whoever has your invite waits until you let them in",
            |s| &mut s.ask_first,
        );
        guests_picker(ui, scene);
        group(ui, "Devices");
        let width = ui.available_width();
        for kind in [DeviceKind::Camera, DeviceKind::Microphone, DeviceKind::Speaker] {
            device_picker(ui, scene, kind, width);
            problems(ui, scene, &[kind]);
            if let DeviceStatus::Running { picture: Some((size, fps)), .. } = scene.model.device(kind) {
                let gives =
                    format!("It gives {} × {} at {fps:.0} pictures a second.", size.width, size.height);
                widgets::quiet(ui, gives);
            }
        }
        group(ui, "Picture");
        picture(ui, scene);
        group(ui, "Sound");
        noise_picker(ui, scene);
        toggle(ui, scene, "Automatic gain", "Keeps your voice equally loud", |s| &mut s.automatic_gain);
        group(ui, "Calls of more than two");
        topology_picker(ui, scene);
        toggle(ui, scene, "I want one picture", "Of everybody: for a weak computer or a narrow link", |s| {
            &mut s.one_picture
        });
        group(ui, "Appearance");
        theme_picker(ui, scene);
        group(ui, "Network");
        network(ui, scene);
        group(ui, "ICE servers");
        servers::show(ui, scene);
    });
}

fn group(ui: &mut Ui, title: &str) {
    ui.add_space(16.0);
    widgets::headline(ui, title, 16.0);
}

fn you(ui: &mut Ui, scene: &mut Scene<'_>) {
    let mut name = scene.settings.name.clone();
    ui.vertical(|ui| {
        widgets::labelled_field(ui, "Your name", "What the other side sees", &mut name, MAX_NAME)
    });
    scene.change(|settings| settings.name = name);
}

fn toggle(
    ui: &mut Ui,
    scene: &mut Scene<'_>,
    label: &str,
    hint: &str,
    of: impl Fn(&mut Settings) -> &mut bool,
) {
    let mut settings = scene.settings.clone();
    let on = of(&mut settings);
    if widgets::switch(ui, label, hint, on).changed() {
        let on = *on;
        scene.change(|settings| *of(settings) = on);
    }
}

fn guests_picker(ui: &mut Ui, scene: &mut Scene<'_>) {
    let (now, all) = (scene.settings.guests, [Guests::One, Guests::Many]);
    let label = |guests| match guests {
        Guests::One => "One person".to_owned(),
        Guests::Many => "Many people".to_owned(),
    };
    pick(ui, scene, "An invite is for", &all, now, label, |settings, guests| settings.guests = guests);
    let sentence = match now {
        Guests::One => "Whoever comes first takes it. Add others with invites of their own.",
        Guests::Many => "Everybody who has it can come, as long as the call lasts.",
    };
    widgets::quiet(ui, sentence);
}

fn picture(ui: &mut Ui, scene: &mut Scene<'_>) {
    const SIZES: [(u32, u32); 5] = [(1920, 1080), (1280, 720), (960, 540), (640, 360), (320, 180)];
    const RATES: [u32; 5] = [60, 30, 24, 15, 10];
    const LIMITS: [u32; 7] = [300, 600, 1000, 1500, 2500, 4000, 8000];
    let now = (scene.settings.width, scene.settings.height);
    pick(
        ui,
        scene,
        "Size",
        &SIZES,
        now,
        |(width, height)| format!("{width} × {height}"),
        |settings, (width, height)| {
            (settings.width, settings.height) = (width, height);
        },
    );
    let now = scene.settings.fps;
    pick(
        ui,
        scene,
        "Pictures a second",
        &RATES,
        now,
        |fps| fps.to_string(),
        |settings, fps| settings.fps = fps,
    );
    let now = scene.settings.max_kbps;
    let label = |kbps| Bitrate::from_kbps(u64::from(kbps)).to_string();
    pick(ui, scene, "Most bandwidth to send", &LIMITS, now, label, |settings, kbps| settings.max_kbps = kbps);
    toggle(ui, scene, "Mirror my picture", "As in a mirror, for you only", |settings| {
        &mut settings.mirror_self
    });
}

fn network(ui: &mut Ui, scene: &mut Scene<'_>) {
    let hint = "Others in your network see your name while this window waits";
    toggle(ui, scene, "Show me to people nearby", hint, |settings| &mut settings.nearby);
    let hint = "While a code is out or a call runs; the other side finds you";
    toggle(ui, scene, "Open a port on my router", hint, |settings| &mut settings.port_mapping);
    let hint = "Codes show only what a server sees; within one network calls may fail";
    toggle(ui, scene, "Hide my addresses", hint, |settings| &mut settings.hide_addresses);
}

/// A row with its label on the left and a picker on the right. A value that is not in the list joins it.
fn pick<T: Copy + PartialEq>(
    ui: &mut Ui,
    scene: &mut Scene<'_>,
    name: &str,
    values: &[T],
    now: T,
    label: impl Fn(T) -> String,
    set: impl FnOnce(&mut Settings, T),
) {
    let mut choices: Vec<Choice<T>> = values.iter().map(|value| Choice::new(*value, label(*value))).collect();
    if !values.contains(&now) {
        choices.push(Choice::new(now, label(now)));
    }
    ui.horizontal(|ui| {
        let picker = 200.0;
        let left = ui.available_width() - picker - 8.0;
        ui.allocate_ui(eframe::egui::vec2(left, 44.0), |ui| {
            ui.set_width(left);
            ui.horizontal_centered(|ui| ui.label(RichText::new(name)));
        });
        let picked = widgets::picker(ui, None, name, &label(now), (&choices, &now), picker, || {});
        if let Some(value) = picked {
            scene.change(|settings| set(settings, value));
        }
    });
}

fn noise_picker(ui: &mut Ui, scene: &mut Scene<'_>) {
    let label = |level| match level {
        NoiseSuppression::Off => "Off",
        NoiseSuppression::Low => "Low",
        NoiseSuppression::High => "High",
    };
    let now = scene.settings.noise_suppression;
    let all = [NoiseSuppression::Off, NoiseSuppression::Low, NoiseSuppression::High];
    pick(
        ui,
        scene,
        "Noise suppression",
        &all,
        now,
        |level| label(level).to_owned(),
        |settings, level| settings.noise_suppression = level,
    );
    widgets::quiet(ui, "Takes fans and keyboards out of your voice. Off is best for music.");
}

fn topology_picker(ui: &mut Ui, scene: &mut Scene<'_>) {
    let now = scene.settings.topology;
    pick(
        ui,
        scene,
        "When you are the host",
        &wording::TOPOLOGIES,
        now,
        |choice| wording::topology(choice).0.to_owned(),
        |settings, choice| settings.topology = choice,
    );
    widgets::quiet(ui, format!("{}.", wording::topology(now).1));
}

fn theme_picker(ui: &mut Ui, scene: &mut Scene<'_>) {
    let label = |theme| match theme {
        Theme::System => "As the system",
        Theme::Dark => "Dark",
        Theme::Light => "Light",
    };
    let now = scene.settings.theme;
    let all = [Theme::System, Theme::Dark, Theme::Light];
    pick(
        ui,
        scene,
        "Theme",
        &all,
        now,
        |theme| label(theme).to_owned(),
        |settings, theme| settings.theme = theme,
    );
}
