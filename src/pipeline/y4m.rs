//! Received video as a y4m file or pipe (`--video-out`): a thread of its own, so that a reader that stalls stops
//! nothing but the file.
//!
//! y4m has one size: that of the first picture. Pictures of another size are put into it with black bars.

use super::worker::{Events, Worker};
use crate::codec::scale::Scaler;
use crate::device::{DeviceError, DeviceKind};
use crate::frame::{FramePool, RawFrame};
use crate::units::Resolution;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Pictures on their way to the file; when the disk or the reader is behind, new ones are left out.
const QUEUE: usize = 8;

/// Writes pictures one after the other.
pub struct Y4mWriter<W: Write> {
    out: W,
    fps: u32,
    size: Option<Resolution>,
    scaler: Scaler,
    pool: FramePool,
}

impl<W: Write> Y4mWriter<W> {
    pub fn new(out: W, fps: u32) -> Self {
        Self { out, fps, size: None, scaler: Scaler::default(), pool: FramePool::default() }
    }

    /// One picture, flushed: a reader at the other end of a pipe sees it at once.
    pub fn write(&mut self, frame: &RawFrame) -> io::Result<()> {
        let resolution = frame.image.resolution();
        let size = match self.size {
            Some(size) => size,
            None => {
                let Resolution { width, height } = resolution;
                // C420jpeg would say full range; C420 with a colour range leaves no doubt.
                writeln!(
                    self.out,
                    "YUV4MPEG2 W{width} H{height} F{}:1 Ip A1:1 C420 XCOLORRANGE=LIMITED",
                    self.fps
                )?;
                *self.size.insert(resolution)
            }
        };
        self.out.write_all(b"FRAME\n")?;
        let other_size = (resolution != size).then(|| self.scaler.letterbox(&frame.image, size, &self.pool));
        let (y, u, v) = other_size.as_ref().unwrap_or(&frame.image).planes();
        for plane in [y, u, v] {
            self.out.write_all(plane)?;
        }
        self.out.flush()
    }
}

/// The thread that writes. Dropping it ends the file after the pictures that wait.
pub(super) struct VideoFile {
    frames: Option<Sender<Arc<RawFrame>>>,
    worker: Option<Worker>,
}

impl VideoFile {
    pub fn start(path: PathBuf, fps: u32, events: Events) -> Self {
        let (frames, waiting) = crossbeam_channel::bounded(QUEUE);
        let worker = Worker::start("y4m".into(), DeviceKind::Camera, events.clone(), move || {
            if let Err(error) = write_all(&path, fps, &waiting) {
                let error = DeviceError::File(path.display().to_string(), error.to_string());
                events.failed(DeviceKind::Camera, error);
            }
        });
        Self { frames: Some(frames), worker: Some(worker) }
    }

    pub fn put(&self, frame: Arc<RawFrame>) {
        match self.frames.as_ref().map(|frames| frames.try_send(frame)) {
            Some(Err(TrySendError::Full(_))) => tracing::debug!("a picture was left out of the file"),
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => {}
        }
    }

    /// Ends the file; a pipe whose reader hangs is left after the deadline.
    pub fn finish(mut self, deadline: Instant) {
        self.frames = None;
        if let Some(worker) = self.worker.take() {
            worker.join(deadline);
        }
    }
}

/// Opening a pipe waits for its reader, so this is done here too.
fn write_all(path: &Path, fps: u32, frames: &Receiver<Arc<RawFrame>>) -> io::Result<()> {
    let mut writer = Y4mWriter::new(BufWriter::new(File::create(path)?), fps);
    frames.iter().try_for_each(|frame| writer.write(&frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::I420;

    #[test]
    fn a_file_keeps_the_size_of_its_first_picture() {
        let mut bytes = Vec::new();
        let mut writer = Y4mWriter::new(&mut bytes, 30);
        for (width, height) in [(64, 36), (32, 18), (64, 48)] {
            let mut image = I420::black(Resolution::new(width, height));
            image.planes_mut().0.fill(200);
            writer.write(&RawFrame { image, captured_at: Instant::now() }).unwrap();
        }
        let header = b"YUV4MPEG2 W64 H36 F30:1 Ip A1:1 C420 XCOLORRANGE=LIMITED\n";
        assert!(bytes.starts_with(header));
        let frame = 6 + 64 * 36 * 3 / 2;
        assert_eq!(bytes.len(), header.len() + 3 * frame);
        let row = |number: usize| &bytes[header.len() + number * frame + 6 + 64 * 18..][..64];
        assert!(row(0).iter().all(|y| *y == 200) && row(1).iter().all(|y| *y == 200));
        assert_eq!((row(2)[0], row(2)[32]), (16, 200), "another shape gets bars");
    }
}
