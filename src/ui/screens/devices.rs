//! Pickers of camera, microphone and speaker, for lobby and settings.

use crate::device::{DeviceInfo, DeviceKind};
use crate::settings::Settings;
use crate::ui::icons;
use crate::ui::model::DeviceStatus;
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Choice};
use eframe::egui::Ui;

/// The picker of one kind of device.
pub fn device_picker(ui: &mut Ui, scene: &mut Scene<'_>, kind: DeviceKind, width: f32) {
    let (icon, name, devices, chosen) = match kind {
        DeviceKind::Camera => (icons::VIDEO, "Camera", &scene.model.devices.cameras, &scene.settings.camera),
        DeviceKind::Microphone => {
            (icons::MIC, "Microphone", &scene.model.devices.microphones, &scene.settings.microphone)
        }
        DeviceKind::Speaker => {
            (icons::VOLUME, "Speaker", &scene.model.devices.speakers, &scene.settings.speaker)
        }
    };
    let choices = choices(kind, devices, chosen);
    let shown = shown(scene, kind, &choices, chosen);
    let mut opened = false;
    let current = chosen.clone();
    let picked = widgets::picker(ui, Some(icon), name, &shown, (&choices, &current), width, || opened = true);
    if opened {
        scene.act(Act::ListDevices);
    }
    if let Some(picked) = picked {
        scene.change(|settings| *chosen_mut(settings, kind) = picked);
    }
}

/// The default first, then the machine's devices, then what needs no device. A chosen device that is not there now
/// stays in the list: it is used again when it is plugged in.
fn choices(kind: DeviceKind, devices: &[DeviceInfo], chosen: &str) -> Vec<Choice<String>> {
    let mut choices = vec![Choice::new(String::new(), format!("Default {kind}"))];
    let twins = |name: &str| devices.iter().filter(|device| device.name == name).count() > 1;
    for device in devices {
        let mut choice = Choice::new(device.name.clone(), device.name.clone());
        if twins(&device.name) {
            choice.detail.clone_from(&device.detail);
        }
        choices.push(choice);
    }
    if kind == DeviceKind::Camera {
        choices.push(Choice::new("pattern".into(), "Test picture"));
    }
    choices.push(Choice::new("none".into(), format!("No {kind}")));
    if !choices.iter().any(|choice| choice.value == chosen) {
        choices.push(Choice::new(chosen.to_owned(), format!("{chosen} (not connected)")));
    }
    choices
}

/// What stands on the closed picker: with the default, the device that runs.
fn shown(scene: &Scene<'_>, kind: DeviceKind, choices: &[Choice<String>], chosen: &str) -> String {
    match scene.model.device(kind) {
        DeviceStatus::Running { name, .. } if chosen.is_empty() => return name.clone(),
        DeviceStatus::Unwanted if chosen.is_empty() => return format!("No {kind}"),
        DeviceStatus::Unknown
        | DeviceStatus::Unwanted
        | DeviceStatus::Running { .. }
        | DeviceStatus::Failed(_) => {}
    }
    choices
        .iter()
        .find(|choice| choice.value == chosen)
        .map(|choice| choice.label.clone())
        .unwrap_or_default()
}

fn chosen_mut(settings: &mut Settings, kind: DeviceKind) -> &mut String {
    match kind {
        DeviceKind::Camera => &mut settings.camera,
        DeviceKind::Microphone => &mut settings.microphone,
        DeviceKind::Speaker => &mut settings.speaker,
    }
}

/// Sentences about devices that do not work, where their pickers are.
pub fn problems(ui: &mut Ui, scene: &Scene<'_>, kinds: &[DeviceKind]) {
    let color = crate::ui::theme::palette(ui).trouble;
    for kind in kinds {
        if let Some(error) = scene.model.device(*kind).error() {
            widgets::remark(ui, icons::WARNING, color, &error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_unplugged_stays_chosen() {
        let device = |name: &str, detail: &str| DeviceInfo { name: name.into(), detail: detail.into() };
        let devices = [device("Cam", "usb-1"), device("Cam", "usb-2"), device("Other", "pci")];
        let choices = choices(DeviceKind::Camera, &devices, "Gone");
        let labels: Vec<_> =
            choices.iter().map(|choice| (choice.label.as_str(), choice.detail.as_str())).collect();
        assert_eq!(
            labels,
            [
                ("Default camera", ""),
                ("Cam", "usb-1"),
                ("Cam", "usb-2"),
                ("Other", ""),
                ("Test picture", ""),
                ("No camera", ""),
                ("Gone (not connected)", "")
            ]
        );
    }
}
