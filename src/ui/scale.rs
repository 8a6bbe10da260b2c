//! How large everything is drawn, by the size of the window.

use eframe::egui;

/// The scale for a window of this size in unscaled points. In steps: while a window is resized, text that changes
/// all the time would be restless.
pub fn scale_for(size: egui::Vec2) -> f32 {
    match (size.x / 1280.0).min(size.y / 720.0) {
        times if times < 1.45 => 1.0,
        times if times < 1.9 => 1.25,
        times if times < 2.6 => 1.5,
        _ => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::scale_for;
    use eframe::egui::vec2;

    #[test]
    fn large_windows_are_scaled_up() {
        for (size, scale) in [
            ((640.0, 480.0), 1.0),
            ((1180.0, 720.0), 1.0),
            ((1920.0, 1080.0), 1.25),
            ((2560.0, 1440.0), 1.5),
            ((3840.0, 2160.0), 2.0),
            ((3840.0, 480.0), 1.0),
        ] {
            assert_eq!(scale_for(vec2(size.0, size.1)), scale, "{size:?}");
        }
    }
}
