//! The cores of a call on a simulated link: the real estimator, pacer, frame assembly, jitter buffer and playout clock,
//! no sockets, no threads, virtual time, a seed. Thousands of seconds of call a minute.
//!
//! `cargo test --release --test netem -- --nocapture` prints the figures of each plan.

mod call;
mod figures;
mod link;
mod plans;
mod receiver;
mod rfc8867;
mod sender;
mod tcp;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Microseconds of virtual time.
type Micros = u64;

static START: LazyLock<Instant> = LazyLock::new(|| {
    #[allow(clippy::disallowed_methods)]
    let now = Instant::now();
    now + Duration::from_secs(3600)
});

fn at(us: Micros) -> Instant {
    *START + Duration::from_micros(us)
}
