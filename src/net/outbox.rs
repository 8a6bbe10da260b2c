//! What is forwarded over one connection, between the relay's task and webrtc's driver.
//!
//! A track of webrtc takes one packet at a time: a message to its driver, and a round of the driver's loop, for each.
//! Here the relay leaves all it has for a connection, and wakes the driver once; an interceptor
//! ([`forwarding`](super::intercept)) takes everything out in that one round.

use super::endpoint::LineHandle;
use crate::relay::Forward;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::Notify;

/// Packets between the relay and the connection: half a second at 10 Mbit/s. One that finds no room is lost, and
/// cannot be repaired.
const QUEUE: usize = 512;

#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<VecDeque<(u64, Forward)>>,
    /// Something was put in since the driver was woken.
    is_news: AtomicBool,
    driver: OnceLock<(Arc<Notify>, Weak<LineHandle>)>,
}

impl Outbox {
    /// What ends the driver's sleep, and whence its datagrams come.
    pub(super) fn connect(&self, driver: Arc<Notify>, line: Weak<LineHandle>) {
        // Said once, when the connection is made.
        let _ = self.driver.set((driver, line));
    }

    /// `relay`: whose it is. `false`: there was no room. It leaves with the next [`Self::send`].
    pub fn put(&self, relay: u64, forward: Forward) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = queue.len() < QUEUE;
        if has_room {
            queue.push_back((relay, forward));
            self.is_news.store(true, Ordering::Relaxed);
        }
        has_room
    }

    /// What was put in leaves now.
    pub fn send(&self) {
        if self.is_news.swap(false, Ordering::Relaxed)
            && let Some((driver, line)) = self.driver.get()
            && !line.upgrade().is_some_and(|line| line.expect_reports(Instant::now()))
        {
            driver.notify_one();
        }
    }

    /// Looks whether nothing was put in for a while; gives whether that is still to be seen.
    pub fn rest(&self, now: Instant) -> bool {
        let line = self.driver.get().and_then(|(_, line)| line.upgrade());
        line.is_some_and(|line| line.take_late_reports(now))
    }

    /// All of it, into a queue that is empty and keeps its memory.
    pub(super) fn take(&self, into: &mut VecDeque<(u64, Forward)>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PeerId;
    use crate::relay::Item;
    use crate::units::MediaKind;

    #[tokio::test]
    async fn the_driver_is_woken_once_and_nothing_grows_without_end() {
        let (outbox, driver) = (Outbox::default(), Arc::new(Notify::new()));
        outbox.connect(driver.clone(), Weak::new());
        let forward = || Forward {
            receiver: PeerId(1),
            sender: PeerId(2),
            kind: MediaKind::Video,
            item: Item::Report { ntp: 0, rtp: 0 },
        };
        let put = (0..QUEUE + 3).filter(|_| outbox.put(0, forward())).count();
        assert_eq!(put, QUEUE);
        outbox.send();
        outbox.send();
        driver.notified().await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(1), driver.notified());
        assert!(again.await.is_err(), "there is nothing new");
        let mut taken = VecDeque::new();
        outbox.take(&mut taken);
        assert_eq!(taken.len(), QUEUE);
        taken.clear();
        outbox.take(&mut taken);
        assert!(taken.is_empty());
    }
}
