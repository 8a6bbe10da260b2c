//! Pictures on the screen: three planes go up to the GPU as they are, and a shader makes colours of them.
//!
//! ```text
//! FrameSlot --newest()--> View (logic) --Tile--> paint callback (ui) --upload if new--> shader: crop, mirror, corners
//! ```
//!
//! egui may run a pass that is never painted, so a callback always carries the newest picture, and the GPU side
//! uploads when its number differs from the one it holds. Everything here runs on the window's thread.

mod glow;
mod wgpu;

use crate::frame::RawFrame;
use crate::pipeline::Picture;
use crate::units::Resolution;
use eframe::egui::{self, Rect, Vec2};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One source of pictures and the newest one it gave.
pub struct View {
    id: u64,
    slot: Picture,
    newest: Option<(Arc<RawFrame>, u64)>,
}

impl View {
    pub fn new(slot: Picture) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), slot, newest: None }
    }

    pub fn slot(&self) -> &Picture {
        &self.slot
    }

    /// Fetches the newest picture; belongs into `logic`.
    pub fn refresh(&mut self) {
        self.newest = self.slot.newest();
    }

    /// Size of the newest picture; `None`: there is none, show a placeholder.
    pub fn resolution(&self) -> Option<Resolution> {
        self.newest.as_ref().map(|(frame, _)| frame.image.resolution())
    }
}

/// How a picture lies in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// All of the picture, with bars.
    Fit,
    /// No bars, with cut edges.
    Cover,
}

impl Fill {
    /// Share of the picture that may be cut off for the sake of no bars.
    const LARGEST_CUT: f32 = 0.26;

    /// What suits a picture of this size best: cover where little is lost.
    pub fn best(picture: Resolution, place: Vec2) -> Self {
        let ratio = aspect(picture) / (place.x / place.y.max(1.0)).max(0.01);
        let kept = ratio.min(1.0 / ratio);
        if 1.0 - kept <= Self::LARGEST_CUT { Self::Cover } else { Self::Fit }
    }
}

fn aspect(picture: Resolution) -> f32 {
    picture.width as f32 / picture.height.max(1) as f32
}

/// Where in `place` all of the picture fits.
pub fn fitted(picture: Resolution, place: Rect) -> Rect {
    let aspect = aspect(picture);
    let size = if place.width() > place.height() * aspect {
        egui::vec2(place.height() * aspect, place.height())
    } else {
        egui::vec2(place.width(), place.width() / aspect)
    };
    Rect::from_center_size(place.center(), size)
}

/// The size that all of the picture has in this place, what is cut off included.
pub fn extent(picture: Resolution, place: Vec2, fill: Fill) -> Vec2 {
    let (across, down) = (place.x / picture.width.max(1) as f32, place.y / picture.height.max(1) as f32);
    let scale = match fill {
        Fill::Fit => across.min(down),
        Fill::Cover => across.max(down),
    };
    egui::vec2(picture.width as f32 * scale, picture.height as f32 * scale)
}

/// Scale and offset of texture coordinates that crop the picture so that it covers a place of this shape, and turn
/// it round as in a mirror.
fn crop(picture: Resolution, place: Vec2, mirrored: bool) -> [f32; 4] {
    let ratio = place.x / place.y.max(1.0) / aspect(picture);
    let (x, y) = (ratio.min(1.0), (1.0 / ratio).min(1.0));
    let (left, top) = ((1.0 - x) / 2.0, (1.0 - y) / 2.0);
    if mirrored { [-x, y, 1.0 - left, top] } else { [x, y, left, top] }
}

/// A picture in its place, as the GPU side gets it.
struct Tile {
    id: u64,
    frame: Arc<RawFrame>,
    number: u64,
    place: Rect,
    radius: f32,
    mirrored: bool,
}

impl Tile {
    /// What the shader is told: crop; size and radius in pixels; distance of the four taps, in texture coordinates.
    fn uniforms(&self, pixels_per_point: f32, target_is_srgb: bool) -> [[f32; 4]; 3] {
        let picture = self.frame.image.resolution();
        let crop = crop(picture, self.place.size(), self.mirrored);
        let pixels = self.place.size() * pixels_per_point;
        // A picture drawn much smaller than it is would flicker with one tap a pixel.
        let texels = |side: f32, share: f32, shown: f32| (side * share.abs() / shown.max(1.0)).min(4.0);
        let (x, y) = (
            texels(picture.width as f32, crop[0], pixels.x),
            texels(picture.height as f32, crop[1], pixels.y),
        );
        let tap = if x.max(y) > 1.5 {
            [x / 4.0 / picture.width as f32, y / 4.0 / picture.height as f32]
        } else {
            [0.0, 0.0]
        };
        let srgb = if target_is_srgb { 1.0 } else { 0.0 };
        [crop, [pixels.x, pixels.y, self.radius * pixels_per_point, srgb], [tap[0], tap[1], 0.0, 0.0]]
    }
}

/// Draws pictures with whatever the window paints with.
#[derive(Clone)]
pub struct VideoPainter {
    backend: Backend,
    /// Textures to be freed in the next callback: only there is the GPU's context at hand.
    gone: Arc<Mutex<Vec<u64>>>,
    software: bool,
}

#[derive(Clone)]
enum Backend {
    Wgpu,
    Glow(glow::Shared),
    /// Neither came up; placeholders show instead of pictures.
    None,
}

impl VideoPainter {
    pub fn new(cc: &eframe::CreationContext<'_>) -> Self {
        let (backend, software) = if let Some(state) = &cc.wgpu_render_state {
            wgpu::install(state);
            let info = state.adapter.get_info();
            tracing::info!(adapter = %info.name, backend = ?info.backend, "painting with wgpu");
            (Backend::Wgpu, info.device_type == eframe::wgpu::DeviceType::Cpu)
        } else if let Some(gl) = &cc.gl {
            match glow::install(gl) {
                Ok((shared, software)) => (Backend::Glow(shared), software),
                Err(error) => {
                    tracing::error!(%error, "OpenGL cannot draw pictures");
                    (Backend::None, true)
                }
            }
        } else {
            (Backend::None, true)
        };
        Self { backend, gone: Arc::default(), software }
    }

    /// There is no GPU: the processor draws every pixel.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// Paints the newest picture of `view` into `place` and says whether there was one.
    pub fn paint(
        &self,
        ui: &egui::Ui,
        view: &View,
        place: Rect,
        fill: Fill,
        radius: f32,
        mirrored: bool,
    ) -> bool {
        let Some((frame, number)) = view.newest.clone() else { return false };
        let place = match fill {
            Fill::Fit => fitted(frame.image.resolution(), place),
            Fill::Cover => place,
        };
        let tile = Tile { id: view.id, frame, number, place, radius, mirrored };
        match &self.backend {
            Backend::Wgpu => ui.painter().add(wgpu::callback(tile, Arc::clone(&self.gone))),
            Backend::Glow(shared) => ui.painter().add(glow::callback(tile, shared, Arc::clone(&self.gone))),
            Backend::None => return false,
        };
        true
    }

    /// The source is gone: its textures are freed with the next picture that is drawn.
    pub fn forget(&self, view: &View) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(view.id);
    }
}

fn take_gone(gone: &Mutex<Vec<u64>>) -> Vec<u64> {
    std::mem::take(&mut *gone.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{pos2, vec2};

    #[test]
    fn a_picture_that_is_cut_is_larger_than_its_place() {
        let place = vec2(800.0, 300.0);
        assert_eq!(extent(Resolution::new(1600, 900), place, Fill::Cover), vec2(800.0, 450.0));
        assert_eq!(extent(Resolution::new(320, 240), place, Fill::Fit), vec2(400.0, 300.0));
    }

    #[test]
    fn a_cover_crop_keeps_the_middle() {
        let hd = Resolution::HD;
        assert_eq!(crop(hd, vec2(160.0, 90.0), false), [1.0, 1.0, 0.0, 0.0]);
        let [x, y, left, top] = crop(hd, vec2(90.0, 90.0), false);
        assert!((x - 0.5625).abs() < 1e-5 && y == 1.0 && (left - 0.21875).abs() < 1e-5 && top == 0.0);
        let [x, _, left, _] = crop(hd, vec2(90.0, 90.0), true);
        assert!(x < 0.0 && (left + x - 0.21875).abs() < 1e-5, "mirrored: from right to left");
    }

    #[test]
    fn a_fitted_picture_keeps_its_shape() {
        let place = Rect::from_min_size(pos2(10.0, 10.0), vec2(400.0, 400.0));
        let fitted = fitted(Resolution::HD, place);
        assert_eq!(fitted.size(), vec2(400.0, 225.0));
        assert_eq!(fitted.center(), place.center());
    }

    #[test]
    fn bars_show_only_where_much_would_be_cut() {
        assert_eq!(Fill::best(Resolution::HD, vec2(1180.0, 720.0)), Fill::Cover);
        assert_eq!(Fill::best(Resolution::new(640, 480), vec2(1280.0, 720.0)), Fill::Cover);
        assert_eq!(Fill::best(Resolution::new(720, 1280), vec2(1180.0, 720.0)), Fill::Fit);
        assert_eq!(Fill::best(Resolution::HD, vec2(10.0, 0.0)), Fill::Fit);
    }

    #[test]
    fn only_a_picture_drawn_small_is_smoothed() {
        let frame = RawFrame {
            image: crate::frame::I420::black(Resolution::HD),
            captured_at: std::time::Instant::now(),
        };
        let mut tile = Tile {
            id: 0,
            frame: Arc::new(frame),
            number: 1,
            place: Rect::from_min_size(pos2(0.0, 0.0), vec2(1280.0, 720.0)),
            radius: 8.0,
            mirrored: false,
        };
        assert_eq!(tile.uniforms(1.0, false)[2], [0.0; 4]);
        tile.place = Rect::from_min_size(pos2(0.0, 0.0), vec2(320.0, 180.0));
        assert!(tile.uniforms(1.0, false)[2][0] > 0.0);
        assert_eq!(tile.uniforms(2.0, false)[1], [640.0, 360.0, 16.0, 0.0]);
    }
}
