//! Finding the device the user meant among those that are there.

use super::DeviceInfo;

/// Makes each name stand for one device: those that share a name get their detail added.
pub(super) fn unique(devices: Vec<DeviceInfo>) -> Vec<DeviceInfo> {
    let names: Vec<_> = devices.iter().map(|device| device.name.clone()).collect();
    let shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    devices
        .into_iter()
        .map(|device| match shared(&device.name) && !device.detail.is_empty() {
            true => DeviceInfo { name: format!("{} ({})", device.name, device.detail), ..device },
            false => device,
        })
        .collect()
}

/// The place of the device that goes by this name: its name or its detail, else a part of the name in whatever
/// case.
pub(super) fn find(devices: &[DeviceInfo], wanted: &str) -> Option<usize> {
    let lower = wanted.to_lowercase();
    devices
        .iter()
        .position(|device| device.name == wanted)
        .or_else(|| devices.iter().position(|device| device.detail == wanted))
        .or_else(|| devices.iter().position(|device| device.name.to_lowercase().contains(&lower)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, detail: &str) -> DeviceInfo {
        DeviceInfo { name: name.into(), detail: detail.into() }
    }

    #[test]
    fn devices_are_found_by_name_detail_and_part() {
        let devices = unique(vec![
            device("HD Webcam", "usb-1"),
            device("HD Webcam", "usb-2"),
            device("Capture", "pci-3"),
        ]);
        assert_eq!(devices[1].name, "HD Webcam (usb-2)");
        assert_eq!(find(&devices, "HD Webcam (usb-2)"), Some(1));
        assert_eq!(find(&devices, "usb-2"), Some(1));
        assert_eq!(find(&devices, "webcam"), Some(0));
        assert_eq!(find(&devices, "Capture"), Some(2));
        assert_eq!(find(&devices, "Phone"), None);
    }
}
