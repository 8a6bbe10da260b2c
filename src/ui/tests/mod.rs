//! The window under test: real application, real accessibility tree, fake engine, clipboard and clock.

mod colors;
mod flows;
mod group;
mod moved;
mod nearby;
mod palette;
mod people;
mod reducer;
mod rig;
mod screenshots;
mod visit;
