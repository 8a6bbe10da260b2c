//! Loudness and connection quality as bars.

use crate::engine::Quality;
use crate::ui::theme::{Palette, palette};
use crate::ui::wording;
use eframe::egui::{self, Color32, Rect, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// How many of `of` bars a level fills. Loudness is felt by its logarithm: -54 dB shows nothing, 0 dB all.
pub fn filled(level: f32, of: usize) -> usize {
    const FLOOR_DB: f32 = -54.0;
    let db = 20.0 * level.clamp(1e-6, 1.0).log10();
    ((1.0 - db / FLOOR_DB).clamp(0.0, 1.0) * of as f32).round() as usize
}

/// Loudness of the microphone as a row of bars.
pub fn level_meter(ui: &mut Ui, level: f32, width: f32) -> Response {
    const BARS: usize = 20;
    let (rect, response) = ui.allocate_exact_size(vec2(width, 8.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, "Microphone level"));
    let palette = palette(ui);
    let filled = filled(level, BARS);
    let step = rect.width() / BARS as f32;
    for bar in 0..BARS {
        let left = rect.left() + step * bar as f32;
        let place = Rect::from_min_max(pos2(left, rect.top()), pos2(left + step - 3.0, rect.bottom()));
        let color = match bar {
            _ if bar >= filled => palette.line,
            _ if bar >= BARS - 2 => palette.warning,
            _ => palette.good,
        };
        ui.painter().rect_filled(place, 3.0, color);
    }
    response
}

/// Three rising bars, as phones show their signal.
pub fn bars(ui: &mut Ui, quality: Quality, palette: &Palette) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(20.0, 16.0), Sense::hover());
    let words = wording::quality(quality);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, words));
    paint_bars(ui.painter(), rect, quality, palette);
    response.on_hover_text(egui::RichText::new(words))
}

/// The same where there is no room of their own.
pub fn paint_bars(painter: &egui::Painter, rect: Rect, quality: Quality, palette: &Palette) {
    let (lit, color) = match quality {
        Quality::Unknown => (0, palette.muted),
        Quality::Good => (3, palette.good),
        Quality::Fair => (2, palette.warning),
        Quality::Poor => (1, palette.trouble),
    };
    let step = rect.width() * 0.35;
    for bar in 0..3_u8 {
        let height = rect.height() * (6.0 + 5.0 * f32::from(bar)) / 16.0;
        let left = rect.left() + step * f32::from(bar);
        let (min, max) = (pos2(left, rect.bottom() - height), pos2(left + rect.width() / 4.0, rect.bottom()));
        let color = if bar < lit { color } else { Color32::from_white_alpha(70) };
        painter.rect_filled(Rect::from_min_max(min, max), rect.width() * 0.1, color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_the_ear() {
        assert_eq!(filled(0.0, 20), 0);
        assert_eq!(filled(1.0, 20), 20);
        assert_eq!(filled(7.0, 20), 20);
        assert_eq!(filled(f32::NAN, 20), 0);
        assert!((8..16).contains(&filled(0.05, 20)), "speech is in the middle: {}", filled(0.05, 20));
    }
}
