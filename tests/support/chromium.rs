//! A Chromium of whoever runs the tests, and how it is started.

use super::support::{find_program, skip};
use std::path::PathBuf;
use std::process::Command;

const BROWSERS: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
];

pub fn find_browser() -> Option<PathBuf> {
    let browser = std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| find_program(BROWSERS));
    if browser.is_none() {
        skip("no Chromium was found, so no call with a browser was made; install chromium or set CHROMIUM");
    }
    browser
}

/// What every browser here is started with.
pub fn browser_options(command: &mut Command) -> &mut Command {
    command
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-pings",
        ])
        .args(["--disable-extensions", "--disable-default-apps"])
        // Fake devices, and permission for them, so that candidates carry real addresses.
        .args(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=device-count=1,fps=30"])
        // Else 127.0.0.1 is never a candidate.
        .arg("--allow-loopback-in-peer-connection")
        .arg("--autoplay-policy=no-user-gesture-required")
        // A headless page counts as hidden.
        .args(["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows"])
        .arg("--disable-renderer-backgrounding")
}
