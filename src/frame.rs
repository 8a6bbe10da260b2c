//! The values that travel between threads: pictures, encoded frames, sound and RTP packets.
//!
//! A picture is I420 (three tight planes, BT.601 limited range) from the camera to the GPU. Its memory comes
//! from a [`FramePool`] and goes back there when the last owner lets go, so a running call allocates nothing
//! per picture.

use crate::units::{Resolution, VideoCodec};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// A picture in memory: Y, then U, then V, each plane without padding between its rows.
pub struct I420 {
    resolution: Resolution,
    bytes: Vec<u8>,
    home: Weak<Mutex<Vec<Vec<u8>>>>,
}

impl I420 {
    /// A picture with memory of its own: black.
    pub fn black(resolution: Resolution) -> Self {
        let mut picture =
            Self { resolution, bytes: vec![128; size_of_planes(resolution)], home: Weak::new() };
        picture.planes_mut().0.fill(16);
        picture
    }
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }
    /// The three planes; the stride of each is its width: `width`, then `resolution().chroma().width` twice.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let (y, chroma) = self.bytes.split_at(self.resolution.area() as usize);
        let (u, v) = chroma.split_at(self.resolution.chroma().area() as usize);
        (y, u, v)
    }
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (y, chroma) = self.bytes.split_at_mut(self.resolution.area() as usize);
        let (u, v) = chroma.split_at_mut(self.resolution.chroma().area() as usize);
        (y, u, v)
    }
    pub fn y(&self) -> &[u8] {
        self.planes().0
    }
    pub fn u(&self) -> &[u8] {
        self.planes().1
    }
    pub fn v(&self) -> &[u8] {
        self.planes().2
    }
}

impl Drop for I420 {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            let mut spare = home.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < FramePool::MAX_SPARE {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

fn size_of_planes(resolution: Resolution) -> usize {
    (resolution.area() + 2 * resolution.chroma().area()) as usize
}

/// Memory of pictures that are gone, kept for the next ones. Cloning shares it.
#[derive(Clone, Default)]
pub struct FramePool {
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl FramePool {
    /// A pipeline has two or three pictures under way; more are given back to the system.
    const MAX_SPARE: usize = 4;

    /// A picture of this size; what is in it is left over from earlier.
    pub fn take(&self, resolution: Resolution) -> I420 {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = spare.unwrap_or_default();
        bytes.resize(size_of_planes(resolution), 0);
        I420 { resolution, bytes, home: Arc::downgrade(&self.spare) }
    }
}

/// A picture from a camera, or decoded from a peer.
pub struct RawFrame {
    pub image: I420,
    /// When the picture was taken. For a received one: the moment at which it is due on the screen.
    pub captured_at: Instant,
}

/// One encoded picture: a whole H.264 access unit in Annex B form, or a VP8 frame.
#[derive(Clone, Debug)]
pub struct EncodedFrame {
    pub data: Bytes,
    pub codec: VideoCodec,
    pub keyframe: bool,
    /// No other picture is predicted from it: it may be left out alone.
    pub disposable: bool,
    pub captured_at: Instant,
    pub resolution: Resolution,
}

/// One Opus packet.
#[derive(Clone, Debug)]
pub struct EncodedAudio {
    pub data: Bytes,
    /// Capture time of its first sample.
    pub captured_at: Instant,
    /// Position of its first sample in the stream, in samples at 48 kHz; gaps are silence that was not sent.
    pub position: u64,
    /// Loudness of the packet, 0.0 to 1.0.
    pub level: f32,
}

/// One received RTP packet, after decryption and with retransmissions turned back into the original.
#[derive(Clone, Debug)]
pub struct RtpPacket {
    /// As negotiated; [`rtp::red::RED`](crate::rtp::red::RED) for sound with copies, [`rtp::vp8::VP8`](crate::rtp::vp8::VP8)
    /// for pictures that are not H.264.
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Bytes,
    pub arrived_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_odd_sizes_do_not_overlap() {
        let mut picture = I420::black(Resolution::new(5, 3));
        let (y, u, v) = picture.planes_mut();
        assert_eq!((y.len(), u.len(), v.len()), (15, 6, 6));
        assert!(y.iter().all(|p| *p == 16) && u.iter().chain(v.iter()).all(|p| *p == 128));
    }

    #[test]
    fn memory_is_used_again_and_not_hoarded() {
        let pool = FramePool::default();
        let pictures: Vec<_> = (0..9).map(|_| pool.take(Resolution::HD)).collect();
        drop(pictures);
        assert_eq!(pool.spare.lock().unwrap().len(), FramePool::MAX_SPARE);
        let address = pool.spare.lock().unwrap().last().unwrap().as_ptr();
        assert_eq!(pool.take(Resolution::HD).y().as_ptr(), address);
    }
}
