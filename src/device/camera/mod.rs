//! Where pictures come from: a webcam, the test pattern, a y4m file or pipe, or nowhere.
//!
//! Called by the camera thread of the pipeline. [`open`] takes a few seconds at most.

pub mod barcode;
mod font;
pub mod pattern;
mod thread;
mod y4m;

use super::{CameraChoice, DeviceError, DeviceKind, PictureRequest, VideoSource};
use crate::frame::RawFrame;
use std::sync::Arc;
use std::time::Duration;

/// Opens a camera. A device may give another size and rate than asked for.
pub(super) fn open(
    choice: &CameraChoice,
    request: PictureRequest,
) -> Result<Box<dyn VideoSource>, DeviceError> {
    match choice {
        CameraChoice::Pattern => Ok(Box::new(pattern::Pattern::new(request))),
        CameraChoice::None => Ok(Box::new(NoCamera)),
        CameraChoice::File(path) => y4m::open(path, request),
        CameraChoice::Default | CameraChoice::Named(_) | CameraChoice::Index(_) => {
            Err(DeviceError::NotFound(DeviceKind::Camera))
        }
    }
}

/// Never gives a picture, and never fails.
struct NoCamera;

impl VideoSource for NoCamera {
    fn next_frame(&mut self, timeout: Duration) -> Result<Option<Arc<RawFrame>>, DeviceError> {
        std::thread::sleep(timeout);
        Ok(None)
    }

    fn name(&self) -> &str {
        "No camera"
    }
}
