//! Everybody's pictures, and what each of them is told of how it is drawn. The app holds one for all its calls.

use super::repaint::Waker;
use super::shown::Shown;
use super::video::{VideoPainter, View};
use crate::engine::PictureHandle;
use crate::ports::PeerId;
use crate::units::Resolution;
use eframe::egui::Vec2;
use std::collections::HashMap;
use std::time::Instant;

#[derive(Default)]
pub struct Pictures {
    /// In the order in which they came.
    views: Vec<(PeerId, View)>,
    shown: HashMap<PeerId, Shown>,
}

impl Pictures {
    pub fn views(&self) -> &[(PeerId, View)] {
        &self.views
    }

    /// Fetches the newest picture of each; belongs into `logic`.
    pub fn refresh(&mut self) {
        self.views.iter_mut().for_each(|(_, view)| view.refresh());
    }

    /// From now on somebody's pictures come from there, or from nowhere.
    pub fn set(&mut self, id: PeerId, picture: Option<PictureHandle>, painter: &VideoPainter, waker: &Waker) {
        if let Some(at) = self.views.iter().position(|(of, _)| *of == id) {
            painter.forget(&self.views.remove(at).1);
        }
        if let Some(PictureHandle(slot)) = picture {
            let wake = waker.clone();
            slot.on_new(Box::new(move || wake.wake()));
            self.views.push((id, View::new(slot)));
        }
    }

    /// The call is over.
    pub fn clear(&mut self, painter: &VideoPainter) {
        self.views.drain(..).for_each(|(_, view)| painter.forget(&view));
        self.shown.clear();
    }

    /// Nobody has been told anything: a call begins.
    pub fn forget_shown(&mut self) {
        self.shown.clear();
    }

    /// Who has to be told now, and what: the pixels on which they are drawn, or that nobody sees them. `visible`: the
    /// window is; `drawn` in points, as [`super::view::View::drawn`] has it.
    pub fn poll_shown(
        &mut self,
        now: Instant,
        visible: bool,
        pixels_per_point: f32,
        drawn: &HashMap<PeerId, Option<Vec2>>,
    ) -> Vec<(PeerId, Option<Resolution>)> {
        let pixels = |points: f32| (points * pixels_per_point).round().clamp(0.0, 1e5) as u32;
        let views = &self.views;
        self.shown.retain(|id, _| views.iter().any(|(of, _)| of == id));
        let news = views.iter().filter_map(|(id, _)| {
            let place = drawn.get(id).copied();
            let visible = visible && place != Some(None);
            let size = place.flatten().map(|size| Resolution::new(pixels(size.x), pixels(size.y)));
            let told = self.shown.entry(*id).or_default().poll(now, visible, size)?;
            Some((*id, told))
        });
        news.collect()
    }
}
