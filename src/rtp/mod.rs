//! Between RTP packets and the decoders. A core.
#![deny(clippy::disallowed_methods)]
