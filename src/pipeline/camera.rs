//! The thread `cam`: owns the camera while it runs, and hands each picture to the preview and the encoder.
//!
//! ```text
//!  wish: stopped, or camera "none"  -> device closed, preview cleared, wait for another wish
//!        a camera                   -> open -> pictures -> preview, encoder's slot (no copy: one shared picture)
//!                                       | failed: tell, wait RETRY or for another wish
//! ```

use super::meter::RateMeter;
use super::slot::FrameSlot;
use super::worker::{Events, Reporter, Wish};
use super::{Openers, Picture};
use crate::device::{CameraChoice, DeviceError, DeviceKind, PictureRequest, VideoSource};
use crate::frame::RawFrame;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How soon a device that failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// A changed wish is noticed at the next picture, and at the latest after this.
const POLL: Duration = Duration::from_millis(250);
/// The camera is announced with its measured rate after so many pictures, or polls without one.
const MEASURED: u32 = 8;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct CameraWish {
    pub choice: CameraChoice,
    pub picture: PictureRequest,
    pub stopped: bool,
}

/// What the camera's thread shares with the rest of the pipeline.
pub(super) struct CameraLink {
    pub wish: Wish<CameraWish>,
    pub preview: Picture,
    /// The encoder takes its pictures here.
    pub encoder: FrameSlot,
    /// How many peers want pictures; at zero the encoder sleeps.
    wanted: AtomicUsize,
    /// The next picture the encoder takes must be a keyframe: the stream starts or goes on.
    pub starts: AtomicBool,
}

impl CameraLink {
    pub fn new(wish: CameraWish) -> Self {
        Self {
            wish: Wish::new(wish),
            preview: Picture::default(),
            encoder: FrameSlot::default(),
            wanted: AtomicUsize::new(0),
            starts: AtomicBool::new(true),
        }
    }

    /// Somebody wants pictures from now on. The first one need not wait for the camera.
    pub fn want(&self) {
        if self.wanted.fetch_add(1, Ordering::Relaxed) == 0
            && let Some((newest, _)) = self.preview.newest()
        {
            self.encoder.put(newest);
        }
    }

    /// The opposite of [`Self::want`].
    pub fn release(&self) {
        self.wanted.fetch_sub(1, Ordering::Relaxed);
    }

    fn hand_out(&self, frame: Arc<RawFrame>) {
        if self.wanted.load(Ordering::Relaxed) > 0 {
            self.encoder.put(frame.clone());
        }
        self.preview.put(frame);
    }
}

/// Runs until the wish ends.
pub(super) fn run(link: &CameraLink, openers: &Openers, events: &Events) {
    let mut reporter = Reporter::new(DeviceKind::Camera, events.clone());
    let mut tried: Option<CameraWish> = None;
    while let Some((wish, version)) = link.wish.current() {
        if tried.as_ref() != Some(&wish) {
            reporter.forget();
            tried = Some(wish.clone());
        }
        if wish.stopped || wish.choice == CameraChoice::None {
            link.preview.clear();
            link.wish.wait(version, None);
            continue;
        }
        let ended = match (openers.camera)(&wish.choice, wish.picture) {
            Ok(mut camera) => {
                link.starts.store(true, Ordering::Relaxed);
                watch(link, camera.as_mut(), &wish, version, &mut reporter)
            }
            Err(error) => Some(error),
        };
        let Some(error) = ended else { continue }; // another wish
        link.preview.clear();
        if error == DeviceError::Ended {
            reporter.ended();
            link.wish.wait(version, None);
        } else {
            reporter.failed(error);
            link.wish.wait(version, Some(RETRY));
        }
    }
    link.preview.clear();
}

/// Hands out pictures until the camera fails, or `None` if the wish has changed.
fn watch(
    link: &CameraLink,
    camera: &mut dyn VideoSource,
    wish: &CameraWish,
    mut version: u64,
    reporter: &mut Reporter,
) -> Option<DeviceError> {
    let mut rate = RateMeter::default();
    let mut announce_in = Some(MEASURED);
    loop {
        if link.wish.is_over(version) {
            match link.wish.current() {
                Some((now, same)) if now == *wish => version = same,
                _ => return None,
            }
        }
        match camera.next_frame(POLL) {
            Ok(Some(frame)) => {
                let resolution = frame.image.resolution();
                rate.handle(frame.captured_at);
                link.hand_out(frame);
                announce_in = announce_in.and_then(|left| {
                    let format = camera.format();
                    if left > 1 && format.is_none() {
                        return Some(left - 1);
                    }
                    let fps = format.map_or_else(|| rate.mean(), |(_, fps)| fps);
                    reporter.opened(camera.name(), Some((resolution, fps)));
                    None
                });
            }
            Ok(None) => {}
            Err(error) => return Some(error),
        }
    }
}
