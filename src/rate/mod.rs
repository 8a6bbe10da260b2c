//! How much may be sent, and when. A core.
#![deny(clippy::disallowed_methods)]
