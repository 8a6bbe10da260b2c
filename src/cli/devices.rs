//! `twocan devices`: what `--camera`, `--microphone` and `--speaker` can name.

use super::{Exit, console};
use crate::device::{self, DeviceInfo};

pub fn run(json: bool) -> Exit {
    let devices = device::list();
    if json {
        console::print(&serde_json::to_string_pretty(&devices).expect("text always makes JSON"));
        return Exit::Ended;
    }
    for (title, list) in [
        ("Cameras", &devices.cameras),
        ("Microphones", &devices.microphones),
        ("Speakers", &devices.speakers),
    ] {
        console::print(&format!("{title}:"));
        for (index, device) in list.iter().enumerate() {
            console::print(&line(index, device));
        }
        if list.is_empty() {
            console::print("  none");
        }
    }
    Exit::Ended
}

fn line(index: usize, device: &DeviceInfo) -> String {
    if device.detail.is_empty() {
        format!("  {index}  {}", device.name)
    } else {
        format!("  {index}  {} ({})", device.name, device.detail)
    }
}
