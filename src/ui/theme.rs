//! Colours, type and spacing. Widgets take every colour from a [`Palette`]; none has one of its own.
//!
//! Pairs of text and ground keep a contrast of at least 4.5:1 (tested). Spacing is a grid of 4, sizes of touch
//! targets start at 44.

use super::icons::Icon;
use eframe::egui::{
    self, Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke,
    TextStyle, vec2,
};
use std::sync::Arc;

/// The colours of one theme.
#[derive(Debug, PartialEq)]
pub struct Palette {
    pub ground: Color32,
    /// Cards and dialogs.
    pub panel: Color32,
    /// Buttons, fields and pickers at rest.
    pub raised: Color32,
    pub hovered: Color32,
    pub line: Color32,
    pub text: Color32,
    pub muted: Color32,
    pub accent: Color32,
    pub accent_hovered: Color32,
    pub on_accent: Color32,
    /// Ground of a hint that wants to be seen: the accent, very thin.
    pub accent_wash: Color32,
    pub danger: Color32,
    pub danger_hovered: Color32,
    pub on_danger: Color32,
    /// Text of what went wrong, on ground and panel.
    pub trouble: Color32,
    pub warning: Color32,
    pub good: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

pub const DARK: Palette = Palette {
    ground: rgb(0x0F1214),
    panel: rgb(0x181C1F),
    raised: rgb(0x252B2F),
    hovered: rgb(0x313940),
    line: rgb(0x343C42),
    text: rgb(0xEDF0F2),
    muted: rgb(0xA4AEB6),
    accent: rgb(0x34D3A6),
    accent_hovered: rgb(0x5BE0BB),
    on_accent: rgb(0x04241B),
    accent_wash: rgb(0x14302A),
    danger: rgb(0xD1353B),
    danger_hovered: rgb(0xDB4349),
    on_danger: rgb(0xFFFFFF),
    trouble: rgb(0xFF9592),
    warning: rgb(0xF7B955),
    good: rgb(0x34D3A6),
};

pub const LIGHT: Palette = Palette {
    ground: rgb(0xF5F7F8),
    panel: rgb(0xFFFFFF),
    raised: rgb(0xE9EDEF),
    hovered: rgb(0xDCE2E5),
    line: rgb(0xD5DCE0),
    text: rgb(0x12171A),
    muted: rgb(0x55616A),
    accent: rgb(0x08755C),
    accent_hovered: rgb(0x06634E),
    on_accent: rgb(0xFFFFFF),
    accent_wash: rgb(0xDDF3EC),
    danger: rgb(0xCB2B32),
    danger_hovered: rgb(0xB32128),
    on_danger: rgb(0xFFFFFF),
    trouble: rgb(0xB4232A),
    warning: rgb(0x8A5A00),
    good: rgb(0x08755C),
};

/// What lies over a picture, whatever the theme.
pub const SCRIM: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 168);
/// Behind the pictures of a call, in both themes.
pub const STAGE: Color32 = rgb(0x0A0C0D);

/// Corners of cards, controls and pictures.
pub const RADIUS: u8 = 12;
/// Least height of anything to press.
pub const TARGET: f32 = 44.0;

/// The colours in force for this part of the window.
pub fn palette(ui: &egui::Ui) -> &'static Palette {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

pub fn regular(size: f32) -> FontId {
    FontId::proportional(size)
}
pub fn semibold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("semibold".into()))
}
pub fn mono(size: f32) -> FontId {
    FontId::monospace(size)
}

/// Paints an icon around a point.
pub fn paint_icon(painter: &egui::Painter, center: egui::Pos2, icon: Icon, size: f32, color: Color32) {
    let font = FontId::new(size, FontFamily::Name("icons".into()));
    let galley = painter.layout_no_wrap(icon.0.into(), font, color);
    // The glyphs fill their em square; the row around them is a little higher, so centre the ink itself.
    let offset = galley.mesh_bounds.center().to_vec2();
    let offset = if galley.mesh_bounds.is_finite() { offset } else { galley.size() / 2.0 };
    painter.galley(center - offset, galley, color);
}

/// Paints the program's mark: two cans on a string.
pub fn paint_mark(ui: &egui::Ui, rect: egui::Rect) {
    let id = egui::Id::unique("the program's mark");
    let loaded = ui.data(|data| data.get_temp::<egui::TextureHandle>(id));
    let texture = loaded.or_else(|| {
        let icon =
            eframe::icon_data::from_png_bytes(include_bytes!("../../assets/icons/twocan-64.png")).ok()?;
        let size = [icon.width as usize, icon.height as usize];
        let image = egui::ColorImage::from_rgba_unmultiplied(size, &icon.rgba);
        let texture = ui.ctx().load_texture("mark", image, egui::TextureOptions::LINEAR);
        ui.data_mut(|data| data.insert_temp(id, texture.clone()));
        Some(texture)
    });
    if let Some(texture) = texture {
        let whole = egui::Rect::from_min_max(egui::Pos2::ZERO, egui::pos2(1.0, 1.0));
        ui.painter().image(texture.id(), rect, whole, Color32::WHITE);
    }
}

/// Fonts and styles of both themes; once per context.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, palette) in [(egui::Theme::Dark, &DARK), (egui::Theme::Light, &LIGHT)] {
        ctx.style_mut_of(theme, |style| fill_style(style, palette));
    }
    ctx.options_mut(|options| {
        // Ctrl+Q beside Ctrl+W and Tab would end a call by accident; the window has its own close button.
        options.quit_shortcuts.clear();
    });
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in [
        ("inter", include_bytes!("../../assets/fonts/Inter-Regular.otf").as_slice()),
        ("inter-semibold", include_bytes!("../../assets/fonts/Inter-SemiBold.otf").as_slice()),
        ("icons", include_bytes!("../../assets/fonts/icons.ttf").as_slice()),
    ] {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    let fallback = proportional.clone();
    proportional.insert(0, "inter".into());
    let with_fallback = |first: &str| -> Vec<String> {
        std::iter::once(first.to_owned()).chain(fallback.iter().cloned()).collect()
    };
    let semibold = with_fallback("inter-semibold");
    fonts.families.insert(FontFamily::Name("semibold".into()), semibold);
    fonts.families.insert(FontFamily::Name("icons".into()), vec!["icons".into()]);
    fonts
}

fn fill_style(style: &mut egui::Style, palette: &Palette) {
    style.text_styles = [
        (TextStyle::Small, regular(13.0)),
        (TextStyle::Body, regular(15.0)),
        (TextStyle::Button, regular(15.0)),
        (TextStyle::Heading, semibold(20.0)),
        (TextStyle::Monospace, mono(13.0)),
    ]
    .into();
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.4;
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(8.0, 8.0);
    spacing.button_padding = vec2(16.0, 8.0);
    spacing.interact_size = vec2(TARGET, TARGET);
    spacing.window_margin = Margin::same(20);
    spacing.menu_margin = Margin::same(6);
    spacing.scroll = egui::style::ScrollStyle::thin();
    let visuals = &mut style.visuals;
    visuals.panel_fill = palette.ground;
    visuals.window_fill = palette.panel;
    visuals.extreme_bg_color = palette.ground;
    visuals.text_edit_bg_color = Some(palette.raised);
    visuals.override_text_color = Some(palette.text);
    visuals.weak_text_color = Some(palette.muted);
    visuals.hyperlink_color = palette.accent;
    visuals.selection.bg_fill = palette.accent.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(2.0, palette.accent);
    visuals.window_corner_radius = CornerRadius::same(16);
    visuals.menu_corner_radius = CornerRadius::same(RADIUS);
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    let shadow = Shadow { offset: [0, 8], blur: 24, spread: 0, color: Color32::from_black_alpha(80) };
    visuals.popup_shadow = shadow;
    visuals.window_shadow = shadow;
    for (widget, fill) in [
        (&mut visuals.widgets.noninteractive, palette.panel),
        (&mut visuals.widgets.inactive, palette.raised),
        (&mut visuals.widgets.hovered, palette.hovered),
        (&mut visuals.widgets.active, palette.hovered),
        (&mut visuals.widgets.open, palette.hovered),
    ] {
        widget.corner_radius = CornerRadius::same(10);
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::new(1.0, palette.line);
        widget.fg_stroke = Stroke::new(1.5, palette.text);
        widget.expansion = 0.0;
    }
    visuals.widgets.inactive.bg_stroke = Stroke::NONE;
}

/// As the settings have it.
pub fn preference(theme: crate::settings::Theme) -> egui::ThemePreference {
    use crate::settings::Theme;
    match theme {
        Theme::System => egui::ThemePreference::System,
        Theme::Dark => egui::ThemePreference::Dark,
        Theme::Light => egui::ThemePreference::Light,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2 contrast of two opaque colours.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let luminance = |color: Color32| {
            let linear = |byte: u8| {
                let c = f64::from(byte) / 255.0;
                if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
        };
        let (high, low) = (luminance(a).max(luminance(b)), luminance(a).min(luminance(b)));
        (high + 0.05) / (low + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_ground() {
        for palette in [&DARK, &LIGHT] {
            let grounds = [palette.ground, palette.panel, palette.raised, palette.accent_wash];
            for ground in grounds {
                for text in [palette.text, palette.muted, palette.trouble, palette.warning, palette.accent] {
                    let contrast = contrast(text, ground);
                    assert!(contrast >= 4.5, "{text:?} on {ground:?}: {contrast:.2}");
                }
            }
            for (text, ground) in [
                (palette.on_accent, palette.accent),
                (palette.on_accent, palette.accent_hovered),
                (palette.on_danger, palette.danger),
                (palette.text, palette.hovered),
            ] {
                let contrast = contrast(text, ground);
                assert!(contrast >= 4.5, "{text:?} on {ground:?}: {contrast:.2}");
            }
        }
        // The worst picture behind the scrim is white.
        let behind = Color32::WHITE.lerp_to_gamma(Color32::BLACK, f32::from(SCRIM.a()) / 255.0);
        assert!(contrast(Color32::WHITE, behind) >= 4.5);
    }
}
