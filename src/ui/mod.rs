//! ui

use crate::engine::{Command, EngineSetup};
use crate::units::Redacted;

/// How the window starts.
#[derive(Default)]
pub struct Options {
    /// Which half of the screen; by default the system decides.
    pub side: Option<Side>,
    /// Somebody who acts beside the person: `twocan demo`.
    pub pilot: Option<Pilot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Gives orders to the window's engine and is told its codes.
pub struct Pilot {
    /// Sent to the engine as they come; looked for at each repaint.
    pub orders: crossbeam_channel::Receiver<Command>,
    /// Each own code, as soon as it is there; dropped when nobody takes it.
    pub codes: crossbeam_channel::Sender<Redacted<String>>,
}

/// Opens the window and returns when it is closed.
pub fn run(_setup: EngineSetup, _options: Options) -> Result<(), String> {
    Err("the window is not there yet".into())
}
