//! The cameras of the machine: listing them, finding the chosen one, opening it on a thread of its own.
//!
//! Linux goes to V4L2 directly ([`super::v4l`]) and leaves to nokhwa what that does not know; Windows and macOS
//! go through nokhwa.

use super::nokhwa;
use super::thread::{CameraThread, Opened};
#[cfg(target_os = "linux")]
use super::v4l;
use crate::device::{CameraChoice, DeviceError, DeviceInfo, DeviceKind, PictureRequest, VideoSource, choose};

const NOT_FOUND: DeviceError = DeviceError::NotFound(DeviceKind::Camera);

/// All cameras. May take a moment.
pub(in crate::device) fn list() -> Vec<DeviceInfo> {
    choose::unique(found().into_iter().map(|camera| camera.info).collect())
}

pub(super) fn open(
    choice: &CameraChoice,
    request: PictureRequest,
) -> Result<Box<dyn VideoSource>, DeviceError> {
    let choice = choice.clone();
    Ok(Box::new(CameraThread::open(move || open_device(&choice, request))?))
}

/// Runs on the camera thread.
fn open_device(choice: &CameraChoice, request: PictureRequest) -> Result<Opened, DeviceError> {
    nokhwa::ask_permission()?;
    let mut cameras = found();
    let names = choose::unique(cameras.iter().map(|camera| camera.info.clone()).collect());
    let place = match choice {
        CameraChoice::Named(name) => choose::find(&names, name),
        CameraChoice::Index(index) => Some(*index as usize),
        CameraChoice::File(path) => choose::find(&names, &path.display().to_string()),
        // One that can be looked at before one that cannot.
        CameraChoice::Default | CameraChoice::Pattern | CameraChoice::None => {
            Some(cameras.iter().position(|camera| camera.error.is_none()).unwrap_or(0))
        }
    };
    let place = place.filter(|place| *place < cameras.len()).ok_or(NOT_FOUND)?;
    let camera = cameras.swap_remove(place);
    match camera.error {
        Some(error) => Err(error),
        None => open_found(camera, names[place].name.clone(), request),
    }
}

#[cfg(target_os = "linux")]
use super::v4l::{Node as Found, nodes as found};

#[cfg(target_os = "linux")]
fn open_found(camera: Found, name: String, request: PictureRequest) -> Result<Opened, DeviceError> {
    match v4l::open(&camera.path, name.clone(), request) {
        // Formats that V4L2 cameras seldom have, nokhwa knows.
        Err(error @ DeviceError::Unusable { .. }) => {
            nokhwa::open(&nokhwa::index_of(&camera.path), name, request).map_err(|_| error)
        }
        result => result,
    }
}

#[cfg(not(target_os = "linux"))]
use super::nokhwa::{Found, found};

#[cfg(not(target_os = "linux"))]
fn open_found(camera: Found, name: String, request: PictureRequest) -> Result<Opened, DeviceError> {
    nokhwa::open(&camera.index, name, request)
}
