//! The window: one of the two faces of the engine.
//!
//! ```text
//! engine --Event--> app (logic) --reduce--> model --Scene--> screens (ui) --Act--> app --Command--> engine
//! FrameSlot (own, peer) --newest--> video::View --planes--> GPU
//! ```
//!
//! Everything here runs on the window's thread and never blocks: clipboard, settings file, the lock of the screen
//! saver and the search for QR codes have small threads of their own. The window paints only when something came in (`repaint`).

mod app;
mod background;
mod clipboard;
mod grid;
mod icons;
mod keys;
mod model;
mod people;
mod pictures;
mod qr;
mod rates;
mod repaint;
mod scale;
mod scanner;
mod screens;
mod shown;
mod speaker;
mod theme;
mod verdict;
mod video;
mod view;
mod visit;
mod widgets;
mod window;
mod wording;

#[cfg(test)]
mod tests;

pub use window::{Courier, StartAction, WindowOptions, run};

/// The same in the .desktop file, the bundle and the package.
pub const APP_ID: &str = "net.twocan.Twocan";
