//! The screens of the machine: what they are called and how large they are.
//!
//! Winit tells, which opens the window too. It allows one event loop in a process, on its first thread, so only
//! `twocan devices` asks here, never a program with a window.

use serde::Serialize;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::monitor::MonitorHandle;
use winit::window::WindowId;

/// A screen, in its own pixels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScreenInfo {
    /// What the system calls it, else its number.
    pub name: String,
    pub width: u32,
    pub height: u32,
    /// Pixels of the screen for each pixel of a program that knows nothing of dense screens.
    pub scale: f64,
    pub primary: bool,
}

/// There is nothing that shows windows: a server, a terminal at a distance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("There is no display here.")]
pub struct NoDisplay;

/// All screens, from left to right as the system arranges them. Only for the first thread, and only once.
pub fn screens() -> Result<Vec<ScreenInfo>, NoDisplay> {
    let mut builder = EventLoop::builder();
    stay_in_the_background(&mut builder);
    let event_loop = builder.build().map_err(|error| {
        tracing::debug!(%error, "no display");
        NoDisplay
    })?;
    let mut census = Census::default();
    event_loop.run_app(&mut census).map_err(|error| {
        tracing::debug!(%error, "the display does not answer");
        NoDisplay
    })?;
    Ok(census.screens)
}

/// Asking is no reason to show up in the dock.
#[cfg(target_os = "macos")]
fn stay_in_the_background(builder: &mut winit::event_loop::EventLoopBuilder<()>) {
    use winit::platform::macos::{ActivationPolicy, EventLoopBuilderExtMacOS};
    builder.with_activation_policy(ActivationPolicy::Prohibited).with_default_menu(false);
}

#[cfg(not(target_os = "macos"))]
fn stay_in_the_background(_: &mut winit::event_loop::EventLoopBuilder<()>) {}

/// An application that counts the screens and ends.
#[derive(Default)]
struct Census {
    screens: Vec<ScreenInfo>,
}

impl ApplicationHandler for Census {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        let primary = events.primary_monitor();
        let mut monitors: Vec<_> = events.available_monitors().collect();
        monitors.sort_by_key(|monitor| (monitor.position().x, monitor.position().y));
        let info = |(at, monitor): (usize, &MonitorHandle)| ScreenInfo {
            name: monitor
                .name()
                .filter(|name| !name.trim().is_empty())
                .unwrap_or_else(|| format!("Screen {}", at + 1)),
            width: monitor.size().width,
            height: monitor.size().height,
            scale: monitor.scale_factor(),
            primary: primary.as_ref() == Some(monitor),
        };
        self.screens = monitors.iter().enumerate().map(info).collect();
        events.exit();
    }

    /// There is no window.
    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, _: WindowEvent) {}
}
