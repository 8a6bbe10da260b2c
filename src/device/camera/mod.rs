//! Where pictures come from: a webcam, the test pattern, a y4m file or pipe, or nowhere.
//!
//! Called by the camera thread of the pipeline. [`open`] takes a few seconds at most.

pub mod barcode;
mod font;
mod mode;
mod nokhwa;
pub mod pattern;
mod thread;
#[cfg(target_os = "linux")]
mod v4l;
mod webcam;
mod y4m;

pub(in crate::device) use webcam::list;

use super::{CameraChoice, DeviceError, PictureRequest, VideoSource};
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
        // A node of the system is a camera, by whatever name it is given.
        CameraChoice::File(path) if !path.starts_with("/dev/") => y4m::open(path, request),
        CameraChoice::Default | CameraChoice::Named(_) | CameraChoice::Index(_) | CameraChoice::File(_) => {
            webcam::open(choice, request)
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
