//! The picture from the camera to the other side's screen, with the real codec and no clock but the argument's: what
//! loss does to it, and what the encoder makes of low bit rates.
//!
//! `cargo test --release --test picture -- --nocapture` prints the figures.

mod codecs;
mod layers;
mod loss;
mod rates;
mod scene;
