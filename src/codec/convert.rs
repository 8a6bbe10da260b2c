//! Pictures as cameras give them, turned into I420 (BT.601, limited range): NV12, YUYV, MJPEG, RGB, grey.
//!
//! Called on the camera's thread. Each conversion reads the driver's buffer once and writes straight into a
//! picture of the pool; only MJPEG has a stop in between (RGB). Damaged input gives an error, never a panic.

use crate::frame::{FramePool, I420};
use crate::units::Resolution;
use std::panic::{AssertUnwindSafe, catch_unwind};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error("the picture has {got} bytes instead of {wanted}")]
    TooShort { wanted: usize, got: usize },
    #[error("pictures of {0} cannot be used")]
    Size(Resolution),
    #[error("rows of {stride} bytes are too short for {resolution}")]
    Stride { stride: usize, resolution: Resolution },
    #[error("the JPEG picture is damaged: {0}")]
    Jpeg(String),
}

/// Order of the three bytes of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelOrder {
    Rgb,
    Bgr,
}

/// Fails unless `bytes` holds `rows` rows that are `stride` apart, with `row` bytes used in each.
fn check(
    bytes: &[u8],
    stride: usize,
    row: usize,
    rows: usize,
    resolution: Resolution,
) -> Result<(), ConvertError> {
    if !resolution.is_valid() {
        return Err(ConvertError::Size(resolution));
    }
    if stride < row || stride > u32::MAX as usize / 2 {
        return Err(ConvertError::Stride { stride, resolution });
    }
    // The last row may come without its padding.
    let wanted = stride * (rows - 1) + row;
    if bytes.len() < wanted {
        return Err(ConvertError::TooShort { wanted, got: bytes.len() });
    }
    Ok(())
}

/// Copies `rows` rows of `row` bytes out of a padded plane into a tight one.
pub fn copy_plane(from: &[u8], stride: usize, to: &mut [u8], row: usize) {
    if stride == row {
        let length = to.len();
        to.copy_from_slice(&from[..length]);
        return;
    }
    for (source, target) in from.chunks(stride).zip(to.chunks_exact_mut(row)) {
        target.copy_from_slice(&source[..row]);
    }
}

/// NV12: a plane of Y, then one of U and V in turns, both with rows `stride` bytes apart.
pub fn nv12_to_i420(
    bytes: &[u8],
    stride: usize,
    resolution: Resolution,
    pool: &FramePool,
) -> Result<I420, ConvertError> {
    let (width, height) = (resolution.width as usize, resolution.height as usize);
    let chroma = resolution.chroma();
    let (chroma_row, chroma_rows) = (2 * chroma.width as usize, chroma.height as usize);
    check(bytes, stride, width.max(chroma_row), height + chroma_rows, resolution)?;
    let mut image = pool.take(resolution);
    let (y, u, v) = image.planes_mut();
    copy_plane(bytes, stride, y, width);
    let pairs = bytes[stride * height..].chunks(stride);
    let targets = u.chunks_exact_mut(chroma_row / 2).zip(v.chunks_exact_mut(chroma_row / 2));
    for (pairs, (u, v)) in pairs.zip(targets) {
        for ((pair, u), v) in pairs[..chroma_row].as_chunks::<2>().0.iter().zip(u).zip(v) {
            [*u, *v] = *pair;
        }
    }
    Ok(image)
}

/// YUYV (YUY2): Y0 U Y1 V, rows `stride` bytes apart.
pub fn yuyv_to_i420(
    bytes: &[u8],
    stride: usize,
    resolution: Resolution,
    pool: &FramePool,
) -> Result<I420, ConvertError> {
    let row = 4 * resolution.chroma().width as usize;
    check(bytes, stride, row, resolution.height as usize, resolution)?;
    let mut image = pool.take(resolution);
    // The crate wants even sizes and every row with its padding; the rest is done by hand.
    let even = (resolution.width | resolution.height).is_multiple_of(2);
    let packed = YuvPackedImage {
        yuy: bytes,
        yuy_stride: stride as u32,
        width: resolution.width,
        height: resolution.height,
    };
    if !even
        || bytes.len() < stride * resolution.height as usize
        || yuv::yuyv422_to_yuv420(&mut planar(&mut image), &packed).is_err()
    {
        yuyv_by_hand(bytes, stride, &mut image);
    }
    Ok(image)
}

fn yuyv_by_hand(bytes: &[u8], stride: usize, image: &mut I420) {
    let resolution = image.resolution();
    let (width, chroma_width) = (resolution.width as usize, resolution.chroma().width as usize);
    let (y, u, v) = image.planes_mut();
    for (index, row) in bytes.chunks(stride).take(resolution.height as usize).enumerate() {
        let y = &mut y[index * width..][..width];
        for (x, pixel) in row[..4 * chroma_width].as_chunks::<4>().0.iter().enumerate() {
            y[2 * x] = pixel[0];
            if let Some(second) = y.get_mut(2 * x + 1) {
                *second = pixel[2];
            }
            if index % 2 == 0 {
                u[index / 2 * chroma_width + x] = pixel[1];
                v[index / 2 * chroma_width + x] = pixel[3];
            }
        }
    }
}

/// Three bytes a pixel, full range, rows `stride` bytes apart.
pub fn rgb_to_i420(
    bytes: &[u8],
    stride: usize,
    order: PixelOrder,
    resolution: Resolution,
    pool: &FramePool,
) -> Result<I420, ConvertError> {
    let (row, rows) = (3 * resolution.width as usize, resolution.height as usize);
    check(bytes, stride, row, rows, resolution)?;
    if bytes.len() < stride * rows {
        // Only ever the case with padded rows: give the last one its padding.
        let mut padded = bytes.to_vec();
        padded.resize(stride * rows, 0);
        return rgb_to_i420(&padded, stride, order, resolution, pool);
    }
    let mut image = pool.take(resolution);
    let convert = match order {
        PixelOrder::Rgb => yuv::rgb_to_yuv420,
        PixelOrder::Bgr => yuv::bgr_to_yuv420,
    };
    convert(
        &mut planar(&mut image),
        bytes,
        stride as u32,
        YuvRange::Limited,
        YuvStandardMatrix::Bt601,
        YuvConversionMode::Balanced,
    )
    .map_err(|_| ConvertError::TooShort { wanted: stride * rows, got: bytes.len() })?;
    Ok(image)
}

/// One byte a pixel, taken for limited range as infrared cameras give it.
pub fn grey_to_i420(
    bytes: &[u8],
    stride: usize,
    resolution: Resolution,
    pool: &FramePool,
) -> Result<I420, ConvertError> {
    let (width, height) = (resolution.width as usize, resolution.height as usize);
    check(bytes, stride, width, height, resolution)?;
    let mut image = pool.take(resolution);
    let (y, u, v) = image.planes_mut();
    copy_plane(bytes, stride, y, width);
    u.fill(128);
    v.fill(128);
    Ok(image)
}

fn planar(image: &mut I420) -> YuvPlanarImageMut<'_, u8> {
    let resolution = image.resolution();
    let chroma = resolution.chroma();
    let (y, u, v) = image.planes_mut();
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: resolution.width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma.width,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma.width,
        width: resolution.width,
        height: resolution.height,
    }
}

/// Decodes the pictures of an MJPEG camera; keeps the memory between them.
///
/// A picture that breaks off is refused, so that no grey band shows. Some cameras break the standard in every
/// picture: after [`MjpegDecoder::STRICT_FAILURES`] refusals without one good picture they are read leniently.
#[derive(Default)]
pub struct MjpegDecoder {
    rgb: Vec<u8>,
    refused: u32,
    accepted: bool,
}

impl MjpegDecoder {
    /// Half a second of pictures: long enough that a bad cable is not taken for a bad camera.
    const STRICT_FAILURES: u32 = 15;

    pub fn decode(&mut self, jpeg: &[u8], pool: &FramePool) -> Result<I420, ConvertError> {
        let strict = self.accepted || self.refused < Self::STRICT_FAILURES;
        // The decoder is safe Rust, but its own bugs must not end the camera's thread.
        let decoded = catch_unwind(AssertUnwindSafe(|| decode_jpeg(jpeg, strict, &mut self.rgb)));
        let decoded =
            decoded.unwrap_or_else(|_| Err(ConvertError::Jpeg("the decoder could not go on".into())));
        match &decoded {
            Ok(_) if strict => self.accepted = true,
            Ok(_) => {}
            Err(_) => self.refused = self.refused.saturating_add(1),
        }
        let resolution = decoded?;
        rgb_to_i420(&self.rgb, 3 * resolution.width as usize, PixelOrder::Rgb, resolution, pool)
    }
}

fn decode_jpeg(jpeg: &[u8], strict: bool, rgb: &mut Vec<u8>) -> Result<Resolution, ConvertError> {
    let error = |error: &dyn std::fmt::Debug| ConvertError::Jpeg(format!("{error:?}"));
    let options = DecoderOptions::default()
        .set_strict_mode(strict)
        .set_max_width(Resolution::MAX_SIDE as usize)
        .set_max_height(Resolution::MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(|e| error(&e))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let resolution = Resolution::new(width as u32, height as u32);
    if !resolution.is_valid() {
        return Err(ConvertError::Size(resolution));
    }
    rgb.resize(3 * width * height, 0);
    if decoder.output_buffer_size() != Some(rgb.len()) {
        return Err(ConvertError::Jpeg("it has no colours that can be used".into()));
    }
    decoder.decode_into(rgb).map_err(|e| error(&e))?;
    Ok(resolution)
}

#[cfg(test)]
mod tests;
