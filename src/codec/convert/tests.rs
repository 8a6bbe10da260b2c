use super::*;

/// 75 % colour bars as BT.601 limited range gives them: white, yellow, cyan, green, magenta, red, blue, black.
const BARS: [([u8; 3], [u8; 3]); 8] = [
    ([191, 191, 191], [180, 128, 128]),
    ([191, 191, 0], [162, 44, 142]),
    ([0, 191, 191], [131, 156, 44]),
    ([0, 191, 0], [112, 72, 58]),
    ([191, 0, 191], [84, 184, 198]),
    ([191, 0, 0], [65, 100, 212]),
    ([0, 0, 191], [35, 212, 114]),
    ([0, 0, 0], [16, 128, 128]),
];
const SIZE: Resolution = Resolution::new(640, 48);

fn bar(x: usize) -> usize {
    x * BARS.len() / SIZE.width as usize
}

/// Compares the middle of each bar with its reference, `tolerance` steps either way.
fn assert_bars(image: &I420, tolerance: u8) {
    assert_eq!(image.resolution(), SIZE);
    let width = SIZE.width as usize;
    for (index, (_, [y, u, v])) in BARS.iter().enumerate() {
        let x = (2 * index + 1) * width / 16;
        for row in [0, 20, 47] {
            let got = [
                image.y()[row * width + x],
                image.u()[row / 2 * width / 2 + x / 2],
                image.v()[row / 2 * width / 2 + x / 2],
            ];
            for (got, wanted) in got.iter().zip([y, u, v]) {
                assert!(got.abs_diff(*wanted) <= tolerance, "bar {index}, row {row}: {got} is not {wanted}");
            }
        }
    }
}

fn bars_nv12(stride: usize) -> Vec<u8> {
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let mut bytes = vec![7; stride * height * 3 / 2];
    for row in 0..height {
        for x in 0..width {
            bytes[row * stride + x] = BARS[bar(x)].1[0];
        }
    }
    for row in 0..height / 2 {
        for x in 0..width / 2 {
            let at = (height + row) * stride + 2 * x;
            bytes[at..at + 2].copy_from_slice(&BARS[bar(2 * x)].1[1..]);
        }
    }
    bytes
}

fn bars_yuyv(stride: usize) -> Vec<u8> {
    let mut bytes = vec![7; stride * SIZE.height as usize];
    for row in bytes.chunks_exact_mut(stride) {
        for (x, pixel) in row[..2 * SIZE.width as usize].as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let [y, u, v] = BARS[bar(2 * x)].1;
            *pixel = [y, u, y, v];
        }
    }
    bytes
}

fn bars_rgb(stride: usize, order: PixelOrder) -> Vec<u8> {
    let mut bytes = vec![7; stride * SIZE.height as usize];
    for row in bytes.chunks_exact_mut(stride) {
        for (x, pixel) in row[..3 * SIZE.width as usize].as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = BARS[bar(x)].0;
            if order == PixelOrder::Bgr {
                pixel.reverse();
            }
        }
    }
    bytes
}

#[test]
fn colour_bars_come_out_right_from_every_format_padded_or_not() {
    let pool = FramePool::default();
    let width = SIZE.width as usize;
    for padding in [0, 32] {
        let stride = width + padding;
        let bytes = bars_nv12(stride);
        assert_bars(&nv12_to_i420(&bytes, stride, SIZE, &pool).unwrap(), 0);
        assert_bars(&nv12_to_i420(&bytes[..bytes.len() - padding], stride, SIZE, &pool).unwrap(), 0);
        let stride = 2 * width + padding;
        let bytes = bars_yuyv(stride);
        assert_bars(&yuyv_to_i420(&bytes, stride, SIZE, &pool).unwrap(), 0);
        assert_bars(&yuyv_to_i420(&bytes[..bytes.len() - padding], stride, SIZE, &pool).unwrap(), 0);
        let stride = 3 * width + padding;
        for order in [PixelOrder::Rgb, PixelOrder::Bgr] {
            let bytes = bars_rgb(stride, order);
            assert_bars(&rgb_to_i420(&bytes, stride, order, SIZE, &pool).unwrap(), 1);
            let cut = &bytes[..bytes.len() - padding];
            assert_bars(&rgb_to_i420(cut, stride, order, SIZE, &pool).unwrap(), 1);
        }
    }
    let grey = grey_to_i420(&bars_nv12(width), width, SIZE, &pool).unwrap();
    assert_eq!((grey.y()[0], grey.u()[0]), (180, 128));
}

#[test]
fn too_little_of_a_picture_is_an_error() {
    let pool = FramePool::default();
    let bytes = vec![0; 640 * 48 * 3 - 1];
    let size = Resolution::new(640, 48);
    assert!(matches!(
        rgb_to_i420(&bytes, 1920, PixelOrder::Rgb, size, &pool),
        Err(ConvertError::TooShort { wanted: 92160, got: 92159 })
    ));
    for stride in [0, 1, 639, usize::MAX] {
        assert!(nv12_to_i420(&bytes, stride, size, &pool).is_err());
        assert!(yuyv_to_i420(&bytes, stride, size, &pool).is_err());
        assert!(grey_to_i420(&bytes, stride, size, &pool).is_err());
    }
    for size in [Resolution::new(0, 0), Resolution::new(1 << 20, 2), Resolution::new(2, 0)] {
        assert!(nv12_to_i420(&bytes, 640, size, &pool).is_err());
        assert!(yuyv_to_i420(&bytes, 1280, size, &pool).is_err());
        assert!(rgb_to_i420(&bytes, 1920, PixelOrder::Bgr, size, &pool).is_err());
    }
}

#[test]
fn odd_sizes_are_converted_too() {
    let pool = FramePool::default();
    for (width, height) in [(2, 2), (3, 3), (5, 7), (17, 2), (641, 361)] {
        let size = Resolution::new(width, height);
        let (wide, rows) = (2 * width.div_ceil(2) as usize, (height + height.div_ceil(2)) as usize);
        let image = nv12_to_i420(&vec![90; wide * rows], wide, size, &pool).unwrap();
        assert!(image.y().iter().chain(image.u()).chain(image.v()).all(|p| *p == 90), "{size}");
        let image = yuyv_to_i420(&vec![91; 2 * wide * height as usize], 2 * wide, size, &pool).unwrap();
        assert!(image.y().iter().chain(image.u()).chain(image.v()).all(|p| *p == 91), "{size}");
        let row = 3 * width as usize;
        let grey = vec![128; row * height as usize];
        let image = rgb_to_i420(&grey, row, PixelOrder::Rgb, size, &pool).unwrap();
        assert!(image.y().iter().all(|p| p.abs_diff(126) <= 1), "{size}: {:?}", &image.y()[..2]);
    }
}

/// The colour bars as a baseline JPEG with 4:2:2 chroma, 640x48.
const BARS_JPEG: &[u8] = include_bytes!("bars.jpg");

#[test]
fn mjpeg_pictures_have_the_right_colours() {
    let image = MjpegDecoder::default().decode(BARS_JPEG, &FramePool::default()).unwrap();
    assert_bars(&image, 3);
}

#[test]
fn damaged_mjpeg_is_an_error_or_a_picture_but_never_a_panic() {
    let pool = FramePool::default();
    let mut decoder = MjpegDecoder::default();
    assert!(decoder.decode(&[], &pool).is_err());
    assert!(decoder.decode(&[0xff], &pool).is_err());
    assert!(decoder.decode(&vec![0; 600_000], &pool).is_err());
    assert!(decoder.decode(BARS_JPEG, &pool).is_ok());
    // The last bytes are padding and the end marker: without them the picture is whole.
    for length in 0..BARS_JPEG.len() - 8 {
        assert!(decoder.decode(&BARS_JPEG[..length], &pool).is_err(), "cut at {length}");
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..400 {
        let mut jpeg = BARS_JPEG.to_vec();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % jpeg.len();
            jpeg[at] = (random >> 32) as u8;
        }
        let _ = decoder.decode(&jpeg, &pool);
    }
    assert!(decoder.decode(BARS_JPEG, &pool).is_ok(), "the damage is forgotten");
}

#[test]
fn a_camera_that_always_breaks_the_standard_is_read_leniently() {
    // The end marker and the last bytes are missing in every picture.
    let cut = &BARS_JPEG[..BARS_JPEG.len() - 40];
    let pool = FramePool::default();
    let mut decoder = MjpegDecoder::default();
    let refused = (0..40).take_while(|_| decoder.decode(cut, &pool).is_err()).count();
    assert_eq!(refused, MjpegDecoder::STRICT_FAILURES as usize);
}
