//! When the window paints: only when something came in, and without a GPU not more often than it can bear.
//!
//! [`Waker::wake`] is called by engine and media threads. `request_repaint_after` with a delay above zero costs one
//! pass; plain `request_repaint` costs two ("settling"), which would double the price of each picture.

use eframe::egui;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Wakes the window from any thread; cloning shares the pace.
#[derive(Clone)]
pub struct Waker {
    ctx: egui::Context,
    pace: Arc<Pace>,
}

struct Pace {
    started: Instant,
    /// Least time between two paints that pictures and events ask for, in µs.
    interval_us: AtomicU64,
    /// The last paint, in µs since `started`.
    painted_us: AtomicU64,
}

impl Waker {
    /// Not zero, see the module.
    const SOON: Duration = Duration::from_millis(1);
    /// Paints a second that a software rasterizer bears beside encoder and decoder.
    pub const SOFTWARE_FPS: u32 = 20;

    pub fn new(ctx: egui::Context) -> Self {
        let pace =
            Pace { started: Instant::now(), interval_us: AtomicU64::new(0), painted_us: AtomicU64::new(0) };
        Self { ctx, pace: Arc::new(pace) }
    }

    /// From now on at most this many paints a second on behalf of [`Self::wake`]; input still paints at once.
    pub fn limit(&self, fps: u32) {
        self.pace.interval_us.store(1_000_000 / u64::from(fps.max(1)), Ordering::Relaxed);
    }

    pub fn wake(&self) {
        self.ctx.request_repaint_after(self.pace.delay(Instant::now()).max(Self::SOON));
    }

    /// The window calls this once in each pass.
    pub fn painted(&self) {
        let now = self.pace.started.elapsed().as_micros() as u64;
        self.pace.painted_us.store(now, Ordering::Relaxed);
    }
}

impl Pace {
    fn delay(&self, now: Instant) -> Duration {
        let now = now.duration_since(self.started).as_micros() as u64;
        let due = self.painted_us.load(Ordering::Relaxed) + self.interval_us.load(Ordering::Relaxed);
        Duration::from_micros(due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paints_keep_their_distance_only_where_a_limit_is_set() {
        let waker = Waker::new(egui::Context::default());
        let at = |ms| waker.pace.started + Duration::from_millis(ms);
        assert_eq!(waker.pace.delay(at(3)), Duration::ZERO);
        waker.limit(20);
        waker.pace.painted_us.store(100_000, Ordering::Relaxed);
        assert_eq!(waker.pace.delay(at(110)), Duration::from_millis(40));
        assert_eq!(waker.pace.delay(at(150)), Duration::ZERO);
        assert_eq!(waker.pace.delay(at(400)), Duration::ZERO);
    }
}
