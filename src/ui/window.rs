//! Opens the window: which renderer, which size, which icon.

use super::APP_ID;
use super::app::{App, Parts};
use super::clipboard::SystemClipboard;
use super::repaint::Waker;
use crate::device::{CameraChoice, DeviceKind, MicrophoneChoice, SpeakerChoice};
use crate::engine::{Engine, EngineSetup};
use crate::pipeline::MediaSetup;
use crate::settings::Settings;
use eframe::egui;
use eframe::wgpu::{Adapter, DeviceType};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How the window opens.
#[derive(Default)]
pub struct WindowOptions {
    /// Shown behind the program's name in the title, to tell two windows apart.
    pub title_suffix: String,
    /// Place of the upper left corner on the desktop, in points.
    pub position: Option<(f32, f32)>,
    /// Size of the inside, in points.
    pub size: Option<(f32, f32)>,
    pub start: StartAction,
    /// Codes travel by this instead of the clipboard.
    pub courier: Option<Courier>,
}

/// What the window does at once, without being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAction {
    #[default]
    Lobby,
    StartCall,
    /// Waits for the invite on the courier.
    JoinCall,
}

/// Carries codes between two windows in place of two people.
pub struct Courier {
    /// Our code goes out here. A full queue drops it.
    pub out: crossbeam_channel::Sender<String>,
    /// The other side's code comes in here.
    pub inbox: crossbeam_channel::Receiver<String>,
}

/// Shows the window until it is closed. Only from the main thread.
pub fn run(setup: EngineSetup, options: WindowOptions) -> Result<(), String> {
    let viewport = viewport(&options);
    let launch = Arc::new(Mutex::new(Some((setup, options))));
    let open = |renderer, hardware_only| {
        let launch = Arc::clone(&launch);
        eframe::run_native(
            "Twocan",
            native_options(viewport.clone(), renderer, hardware_only),
            Box::new(move |cc| create(cc, &launch)),
        )
    };
    // Without a GPU OpenGL is drawn several times faster than Vulkan; the last try is for Windows without OpenGL.
    open(eframe::Renderer::Wgpu, true)
        .or_else(|error| {
            tracing::info!(%error, "no graphics processor; trying OpenGL");
            open(eframe::Renderer::Glow, false)
        })
        .or_else(|error| {
            tracing::info!(%error, "no OpenGL; trying any adapter");
            open(eframe::Renderer::Wgpu, false)
        })
        .map_err(|error| format!("The window could not be opened: {error}"))
}

type Launch = Mutex<Option<(EngineSetup, WindowOptions)>>;

fn create(
    cc: &eframe::CreationContext<'_>,
    launch: &Launch,
) -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
    let taken = launch.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (mut setup, options) = taken.ok_or("the window was opened before and failed")?;
    let waker = Waker::new(cc.egui_ctx.clone());
    let settings = setup.settings.clone();
    let unwanted = unwanted(&setup.media);
    let (engine_wake, clipboard_wake) = (waker.clone(), waker.clone());
    setup.wake = Some(Box::new(move || engine_wake.wake()));
    let parts = Parts {
        engine: Engine::start(setup),
        settings,
        unwanted,
        settings_path: Settings::path(),
        clipboard: Box::new(SystemClipboard::start(move || clipboard_wake.wake())),
        waker,
        clock: Box::new(Instant::now),
        options,
    };
    Ok(Box::new(App::new(cc, parts)))
}

fn unwanted(media: &MediaSetup) -> Vec<DeviceKind> {
    let off = [
        (DeviceKind::Camera, media.camera == CameraChoice::None),
        (DeviceKind::Microphone, media.microphone == MicrophoneChoice::None),
        (DeviceKind::Speaker, media.speaker == SpeakerChoice::None),
    ];
    off.into_iter().filter_map(|(kind, off)| off.then_some(kind)).collect()
}

fn viewport(options: &WindowOptions) -> egui::ViewportBuilder {
    let (width, height) = options.size.unwrap_or((1180.0, 720.0));
    let mut viewport = egui::ViewportBuilder::default()
        .with_title(format!("Twocan{}", options.title_suffix))
        .with_app_id(APP_ID)
        .with_inner_size([width, height])
        .with_min_inner_size([640.0, 480.0]);
    if let Some((x, y)) = options.position {
        viewport = viewport.with_position([x, y]);
    }
    match eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icons/twocan-256.png")) {
        Ok(icon) => viewport.with_icon(icon),
        Err(error) => {
            tracing::warn!(%error, "the window has no icon");
            viewport
        }
    }
}

fn native_options(
    viewport: egui::ViewportBuilder,
    renderer: eframe::Renderer,
    hardware_only: bool,
) -> eframe::NativeOptions {
    let mut options = eframe::NativeOptions { viewport, renderer, ..Default::default() };
    if hardware_only {
        let mut setup = eframe::egui_wgpu::WgpuSetupCreateNew::without_display_handle();
        setup.native_adapter_selector = Some(Arc::new(|adapters, surface| {
            adapters
                .iter()
                .filter(|adapter| surface.is_none_or(|surface| adapter.is_surface_supported(surface)))
                .filter_map(|adapter| rank(adapter).map(|rank| (rank, adapter)))
                .min_by_key(|(rank, _)| *rank)
                .map(|(_, adapter)| adapter.clone())
                .ok_or_else(|| "there are only software adapters".to_owned())
        }));
        options.wgpu_options.wgpu_setup = setup.into();
    }
    options
}

/// Less is better: two pictures need no big GPU, and the small one saves the battery. `None`: the processor.
fn rank(adapter: &Adapter) -> Option<u8> {
    match adapter.get_info().device_type {
        DeviceType::IntegratedGpu => Some(0),
        DeviceType::DiscreteGpu => Some(1),
        DeviceType::VirtualGpu => Some(2),
        DeviceType::Other => Some(3),
        DeviceType::Cpu => None,
    }
}
