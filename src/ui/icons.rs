//! The icons: code points of `assets/fonts/icons.ttf`, a cut of Material Symbols. A new icon needs a new cut of the
//! font; a test holds the two together.

/// One glyph of the icon font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icon(pub &'static str);

macro_rules! icons {
    ($($name:ident = $glyph:literal),* $(,)?) => {
        $(pub const $name: Icon = Icon($glyph);)*
        #[cfg(test)]
        pub const ALL: &[Icon] = &[$($name),*];
    };
}

icons! {
    ADD = "\u{e145}",
    ARROW_BACK = "\u{e5c4}",
    CALL = "\u{f0d4}",
    CALL_END = "\u{f0bc}",
    CHECK = "\u{e668}",
    CHECK_CIRCLE = "\u{f0be}",
    CLOSE = "\u{e5cd}",
    CONTENT_COPY = "\u{e14d}",
    CONTENT_PASTE = "\u{e14f}",
    DELETE = "\u{e92e}",
    EDIT = "\u{f097}",
    ERROR = "\u{f8b6}",
    EXPAND_LESS = "\u{e5ce}",
    EXPAND_MORE = "\u{e5cf}",
    FULLSCREEN = "\u{e5d0}",
    FULLSCREEN_EXIT = "\u{e5d1}",
    GPP_BAD = "\u{f012}",
    HELP = "\u{e8fd}",
    INFO = "\u{e88e}",
    LINK = "\u{e250}",
    LOCK = "\u{e899}",
    MIC = "\u{e31d}",
    MIC_OFF = "\u{e02b}",
    PIP = "\u{f64d}",
    SETTINGS = "\u{e8b8}",
    SHIELD = "\u{e9e0}",
    STATS = "\u{f190}",
    VERIFIED = "\u{f013}",
    VIDEO = "\u{e04b}",
    VIDEO_OFF = "\u{e04c}",
    VISIBILITY_OFF = "\u{e8f5}",
    VOLUME = "\u{e050}",
    WARNING = "\u{f083}",
}
