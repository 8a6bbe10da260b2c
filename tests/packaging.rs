//! What the packages are made of fits together: one name for window, menu entry and icon, one version, no file missing.

use std::fs;
use std::path::{Path, PathBuf};

const ID: &str = "net.twocan.Twocan";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn linux(ending: &str) -> String {
    read(&format!("assets/packaging/linux/{ID}.{ending}"))
}

/// Wayland finds a window's icon, and X11 its menu entry, by this name alone.
#[test]
fn window_menu_entry_and_icon_have_one_name() {
    let entry = linux("desktop");
    for line in [format!("Icon={ID}"), format!("StartupWMClass={ID}"), "Exec=twocan".into()] {
        assert!(entry.lines().any(|entry| entry == line), "{line}");
    }
    let metainfo = linux("metainfo.xml");
    assert!(metainfo.contains(&format!("<id>{ID}</id>")));
    assert!(metainfo.contains(&format!(">{ID}.desktop</launchable>")));
    assert!(read("Cargo.toml").contains(&format!("identifier = \"{ID}\"")));
    assert!(read("assets/packaging/deb.sh").contains(&format!("id={ID}\n")));
    assert!(somewhere_in_ui(&format!("\"{ID}\"")), "the window does not say its app id");
}

fn somewhere_in_ui(text: &str) -> bool {
    let mut folders = vec![path("src/ui")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path).is_ok_and(|code| code.contains(text)) {
                return true;
            }
        }
    }
    false
}

#[test]
fn there_is_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(linux("metainfo.xml").contains(&format!("<release version=\"{version}\"")));
    assert!(read("assets/packaging/windows/twocan.manifest").contains(&format!("version=\"{version}.0\"")));
}

#[test]
fn every_file_that_a_package_names_is_there() {
    let lists = ["Cargo.toml", "assets/build.rs"].map(read).join("\n");
    let files: Vec<_> = lists.split('"').filter(|text| text.starts_with("assets/")).collect();
    assert!(files.len() > 8, "the lists were not found");
    for file in files {
        assert!(path(file).is_file(), "{file}");
    }
    for size in [32, 48, 64, 128, 256, 512] {
        let icon = image::open(path(&format!("assets/icons/twocan-{size}.png"))).unwrap();
        assert_eq!((icon.width(), icon.height()), (size, size));
    }
}

/// macOS ends a program that opens a device without these.
#[test]
fn macos_is_told_what_the_devices_are_for() {
    let plist = read("assets/packaging/macos/Info.plist");
    for key in ["NSCameraUsageDescription", "NSMicrophoneUsageDescription"] {
        let text =
            plist.split_once(key).and_then(|(_, after)| after.split_once("<string>")).map(|(_, text)| text);
        assert!(text.is_some_and(|text| text.starts_with("Twocan")), "{key}");
    }
    let entitlements = read("assets/packaging/macos/entitlements.plist");
    for device in ["camera", "audio-input"] {
        assert!(entitlements.contains(&format!("com.apple.security.device.{device}")), "{device}");
    }
}

/// The program opens these at run time; no tool that looks at it can tell.
#[test]
fn the_deb_names_what_is_opened_at_run_time() {
    let depends = read("assets/packaging/linux/deb-depends");
    for library in [
        "libx11-6",
        "libxcursor1",
        "libxi6",
        "libxrandr2",
        "libxkbcommon0",
        "libxkbcommon-x11-0",
        "libegl1",
        "libgl1",
    ] {
        assert!(depends.lines().any(|line| line == library), "{library}");
    }
}
