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
    ADD_REACTION = "\u{e1d3}",
    ARROW_BACK = "\u{e5c4}",
    BACK_HAND = "\u{e764}",
    CALL = "\u{f0d4}",
    CALL_END = "\u{f0bc}",
    CELEBRATION = "\u{ea65}",
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
    FAVORITE = "\u{e87e}",
    FULLSCREEN = "\u{e5d0}",
    FULLSCREEN_EXIT = "\u{e5d1}",
    GPP_BAD = "\u{f012}",
    GRID_VIEW = "\u{e9b0}",
    GROUP = "\u{ea21}",
    HELP = "\u{e8fd}",
    INFO = "\u{e88e}",
    KEEP = "\u{f027}",
    KEEP_OFF = "\u{e6f9}",
    KEY = "\u{e73c}",
    LAUGH = "\u{e815}",
    LINK = "\u{e250}",
    LOCK = "\u{e899}",
    MIC = "\u{e31d}",
    MIC_OFF = "\u{e02b}",
    PERSON_ADD = "\u{ea4d}",
    PIP = "\u{f64d}",
    QR_CODE = "\u{e00a}",
    QR_SCAN = "\u{f206}",
    SETTINGS = "\u{e8b8}",
    SHIELD = "\u{e9e0}",
    SPEAKER_VIEW = "\u{f114}",
    STATS = "\u{f190}",
    THUMB_UP = "\u{f577}",
    VERIFIED = "\u{f013}",
    VIDEO = "\u{e04b}",
    VIDEO_OFF = "\u{e04c}",
    VISIBILITY_OFF = "\u{e8f5}",
    VOLUME = "\u{e050}",
    VOLUME_OFF = "\u{e04f}",
    WARNING = "\u{f083}",
    WAVING_HAND = "\u{e766}",
}
