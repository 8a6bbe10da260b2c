//! `twocan devices`: what `--camera`, `--microphone` and `--speaker` can name, and the screens.

use super::{Exit, console};
use crate::device::{self, DeviceInfo, DeviceList, NoDisplay, ScreenInfo};
use serde::Serialize;

/// What is printed as JSON; without a display the list of screens is empty.
#[derive(Serialize)]
struct All<'a> {
    #[serde(flatten)]
    devices: &'a DeviceList,
    screens: &'a [ScreenInfo],
}

pub fn run(json: bool) -> Exit {
    let (devices, screens) = (device::list(), device::screens());
    let text = if json { as_json(&devices, &screens) } else { as_text(&devices, &screens) };
    console::print(&text);
    Exit::Ended
}

fn as_json(devices: &DeviceList, screens: &Result<Vec<ScreenInfo>, NoDisplay>) -> String {
    let all = All { devices, screens: screens.as_deref().unwrap_or_default() };
    serde_json::to_string_pretty(&all).expect("text always makes JSON")
}

fn as_text(devices: &DeviceList, screens: &Result<Vec<ScreenInfo>, NoDisplay>) -> String {
    let mut lines = Vec::new();
    for (title, list) in [
        ("Cameras", &devices.cameras),
        ("Microphones", &devices.microphones),
        ("Speakers", &devices.speakers),
    ] {
        section(&mut lines, title, list.iter().map(device_line));
    }
    match screens {
        Ok(screens) => section(&mut lines, "Screens", screens.iter().map(screen_line)),
        Err(error) => lines.extend(["Screens:".into(), format!("  none. {error}")]),
    }
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, title: &str, entries: impl ExactSizeIterator<Item = String>) {
    lines.push(format!("{title}:"));
    if entries.len() == 0 {
        lines.push("  none".into());
    }
    lines.extend(entries.enumerate().map(|(index, entry)| format!("  {index}  {entry}")));
}

fn device_line(device: &DeviceInfo) -> String {
    if device.detail.is_empty() {
        device.name.clone()
    } else {
        format!("{} ({})", device.name, device.detail)
    }
}

fn screen_line(screen: &ScreenInfo) -> String {
    let ScreenInfo { name, width, height, .. } = screen;
    let primary = if screen.primary { ", the main one" } else { "" };
    format!("{name} ({width}x{height}{primary})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> DeviceList {
        let eye = DeviceInfo { name: "Eye".into(), detail: "usb-1".into() };
        DeviceList { cameras: vec![eye], ..DeviceList::default() }
    }

    #[test]
    fn everything_is_listed_with_what_is_not_there() {
        let screen = |name: &str, width, primary| ScreenInfo {
            name: name.into(),
            width,
            height: 1080,
            scale: 1.0,
            primary,
        };
        let screens = Ok(vec![screen("DP-1", 2560, true), screen("HDMI-1", 1920, false)]);
        assert_eq!(
            as_text(&devices(), &screens),
            "Cameras:\n  0  Eye (usb-1)\nMicrophones:\n  none\nSpeakers:\n  none\n\
             Screens:\n  0  DP-1 (2560x1080, the main one)\n  1  HDMI-1 (1920x1080)"
        );
        let json: serde_json::Value = serde_json::from_str(&as_json(&devices(), &screens)).unwrap();
        assert_eq!(json["cameras"][0]["name"], "Eye");
        assert_eq!(json["screens"][1]["width"], 1920);
    }

    #[test]
    fn without_a_display_the_list_of_screens_is_empty_and_says_why() {
        assert!(
            as_text(&devices(), &Err(NoDisplay)).ends_with("Screens:\n  none. There is no display here.")
        );
        let json: serde_json::Value = serde_json::from_str(&as_json(&devices(), &Err(NoDisplay))).unwrap();
        assert_eq!(json["screens"], serde_json::json!([]));
    }
}
