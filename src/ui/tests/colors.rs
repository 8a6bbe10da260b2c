//! What the shader makes of a picture is what a conversion on the processor makes of it.

use super::people;
use super::rig::{Rig, plain};
use crate::frame::I420;
use crate::units::Resolution;
use eframe::egui::Key;

/// BT.601, limited range.
fn to_rgb((y, u, v): (u8, u8, u8)) -> [u8; 3] {
    let (y, u, v) = ((f32::from(y) - 16.0) * 255.0 / 219.0, f32::from(u) - 128.0, f32::from(v) - 128.0);
    let (u, v) = (u * 255.0 / 224.0, v * 255.0 / 224.0);
    [y + 1.402 * v, y - 0.344_14 * u - 0.714_14 * v, y + 1.772 * u].map(|c| c.round().clamp(0.0, 255.0) as u8)
}

/// The window of a call whose picture is this, with nothing else on it but the controls.
fn shown(image: I420) -> image::RgbaImage {
    let mut rig = Rig::with(super::rig::Setup { size: (1280.0, 720.0), ..Default::default() });
    rig.in_call("Ann", Some(image));
    rig.key(Key::P);
    rig.wait(std::time::Duration::from_secs(10));
    rig.harness.render().unwrap()
}

#[test]
fn flat_colours_are_exact() {
    for yuv in [(16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110), (128, 90, 160)]
    {
        let picture = shown(plain(Resolution::new(640, 360), yuv));
        let want = to_rgb(yuv);
        for at in [(640, 360), (200, 300), (1000, 200)] {
            let got = picture.get_pixel(at.0, at.1).0;
            let off = (0..3).map(|c| got[c].abs_diff(want[c])).max().unwrap();
            assert!(off <= 1, "{yuv:?} at {at:?}: {got:?} instead of {want:?}");
        }
    }
}

#[test]
fn a_photograph_looks_the_same() {
    let photo = people::astronaut();
    let (y, u, v) = photo.planes();
    let (y, u, v) = (y.to_vec(), u.to_vec(), v.to_vec());
    let picture = shown(photo);
    let (mut sum, mut count) = (0u64, 0u64);
    // Clear of the controls; the window has the size of the picture.
    for row in (100..600).step_by(3) {
        for column in (20..1260).step_by(3) {
            let chroma = (row / 2) * 640 + column / 2;
            let want = to_rgb((y[row * 1280 + column], u[chroma], v[chroma]));
            let got = picture.get_pixel(column as u32, row as u32).0;
            sum += (0..3).map(|c| u64::from(got[c].abs_diff(want[c]))).sum::<u64>();
            count += 3;
        }
    }
    let mean = sum as f64 / count as f64;
    assert!(mean < 1.5, "mean difference {mean:.3} of 255: chroma is smoothed by the GPU, and that is all");
}
