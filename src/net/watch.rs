//! Notices what happens to a connection from the outside: addresses of this computer that come and go, a sleep, a
//! path on which nothing comes in. One small task for each connection; what it finds goes to the sockets, which look
//! for another way, and to the monitor, which tells the engine.

use super::monitor::Monitor;
use super::sockets::Sockets;
use super::{Link, NetConfig, NetEvent, address};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// How often the sockets are looked after; while a way is looked for, checks go out as often.
const STEP: Duration = Duration::from_millis(200);
/// How often the system is asked for its addresses: no other way to learn of changes works everywhere.
const LOOK: Duration = Duration::from_millis(600);
/// What another connection was told so lately is good enough; less than [`LOOK`], so that one alone always asks.
const LATELY: Duration = Duration::from_millis(500);
/// Nothing has come in for so long, though both sides check every 500 ms: the user is told.
const INTERRUPTED_AFTER: Duration = Duration::from_millis(1600);
/// A clock that is ahead by this much has gone on while the computer slept.
const SLEPT: Duration = Duration::from_secs(2);

pub(super) async fn run(
    config: NetConfig,
    sockets: Arc<Sockets>,
    monitor: Arc<Monitor>,
    driver_ended: Arc<Notify>,
) {
    let mut clocks = Clocks::new(Instant::now(), SystemTime::now());
    let mut next_look = Instant::now();
    let mut addresses = None;
    let mut offline = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(STEP) => {}
            () = sockets.stirred.notified() => {}
            // By an error, or because we close it: then nobody listens any more.
            () = driver_ended.notified() => {
                tracing::warn!("the driver of a connection has ended");
                return monitor.set_link(Instant::now(), Link::Failed);
            }
        }
        let now = Instant::now();
        if clocks.slept(now, SystemTime::now()) {
            tracing::info!("the computer has slept");
            sockets.with_roam(|roam| roam.doubt(now));
            next_look = now;
        }
        if now >= next_look {
            next_look = now + LOOK;
            let config = config.clone();
            // The system's answer can take a few milliseconds.
            let present = tokio::task::spawn_blocking(move || address::present_lately(&config, LATELY)).await;
            addresses = present.ok().flatten();
        }
        if let Some(addresses) = &addresses {
            sockets.tend(now, addresses);
            if offline != addresses.is_empty() {
                offline = addresses.is_empty();
                monitor.tell(NetEvent::Offline(offline));
            }
        }
        monitor.set_silent(now, sockets.is_silent(now, INTERRUPTED_AFTER));
    }
}

/// The clock on the wall goes on while a computer sleeps; the other one stops on most systems.
struct Clocks {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clocks {
    fn new(monotonic: Instant, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// Whether the computer slept since the last call. Called often: a long gap is a sleep too, where neither clock
    /// stops.
    fn slept(&mut self, monotonic: Instant, wall: SystemTime) -> bool {
        let passed = monotonic.saturating_duration_since(self.monotonic);
        let on_the_wall = wall.duration_since(self.wall).unwrap_or_default();
        (self.monotonic, self.wall) = (monotonic, wall);
        passed >= SLEPT || on_the_wall >= passed + SLEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_shows_in_either_clock() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let second = |n| Duration::from_secs(n);
        for (passed, on_the_wall, slept) in [
            (second(0), second(0), false),
            (second(1), second(1), false),
            (second(1), second(0), false),
            (second(1), second(2), false),
            (second(1), second(3600), true),
            (second(3600), second(3600), true),
        ] {
            let mut clocks = Clocks::new(start, wall);
            assert_eq!(clocks.slept(start + passed, wall + on_the_wall), slept, "{passed:?} {on_the_wall:?}");
            assert!(!clocks.slept(start + passed, wall + on_the_wall), "it is told once");
        }
        let mut clocks = Clocks::new(start, wall);
        assert!(!clocks.slept(start, wall - second(3600)), "a clock that was set back");
    }
}
