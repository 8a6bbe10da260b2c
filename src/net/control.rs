//! The control channel: text messages in order, data channel 0, agreed beforehand by both sides.
//!
//! One task owns the channel. It is kept nowhere else: webrtc's event handler holding it would keep the connection
//! alive for ever.
//!
//! What was sent into an outage is sent again by SCTP after a time that doubles with each try (RFC 9260, 6.3.3), up to
//! a minute. So when the path is back, a few empty messages follow: their acknowledgements show the gap, and the third
//! that does makes SCTP send it again at once (7.2.4). So does a farewell that is not acknowledged: there is no time to
//! wait for its second try.
//!
//! One side finds the channel open before the other does, and what it says until then is lost there if the end of
//! SCTP's handshake (COOKIE ACK) was lost on the way: rtc-sctp acknowledges it, and rtc 0.21 has no channel for it yet.
//! So whoever has heard nothing says one thing, and all else when something has come; and the first thing again then,
//! which is a hello and may be heard twice.

use super::runtime::DriverRuntime;
use super::{Link, MAX_CONTROL_MESSAGE, NetError, NetEvent};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::PeerConnection;

const LABEL: &str = "twocan";
const STREAM: u16 = 0;
/// Messages that wait for the channel to open or the other side to read. More are refused.
pub(super) const QUEUE: usize = 64;
/// Bytes that the other side has not acknowledged before the queue starts to fill.
pub(super) const SEND_BUFFER: usize = 256 * 1024;
/// A burst this long is read at once; what a lively call says in a minute.
const BURST: u32 = 64;
/// Further messages are read at this rate; faster ones are dropped.
const MESSAGES_PER_SECOND: u32 = 20;
/// An object that says nothing: whoever reads it ignores it.
const EMPTY: &str = "{}";
/// Empty messages after an outage: one more than it takes, if one is lost.
const EMPTIES: u32 = 4;
/// Between them, so that each has a packet and an acknowledgement of its own.
const EMPTY_STEP: Duration = Duration::from_millis(40);
/// Whoever says nothing for so long after the channel is open is no Twocan: they are told everything.
const SILENT: Duration = Duration::from_secs(10);
/// How often it is looked whether a farewell has arrived, and how often at most.
const FLUSH_STEP: Duration = Duration::from_millis(5);
const FLUSH_STEPS: u32 = 80;
/// Steps between the empty messages after a farewell.
const FLUSH_EMPTY: u32 = 4;

pub(super) async fn open(connection: &dyn PeerConnection) -> Result<Arc<dyn DataChannel>, NetError> {
    let options = RTCDataChannelInit { negotiated: Some(STREAM), ..RTCDataChannelInit::default() };
    let opened = connection.create_data_channel(LABEL, Some(options)).await;
    opened.map_err(|error| NetError::Internal(error.to_string()))
}

/// Runs until the channel is closed, or until `outgoing` is dropped and what was in it has arrived. That nobody hears
/// the events any more is no end: our farewell may still be on its way out.
pub(super) async fn run(
    channel: Arc<dyn DataChannel>,
    mut outgoing: mpsc::Receiver<String>,
    events: mpsc::Sender<NetEvent>,
    runtime: Arc<DriverRuntime>,
    mut link: watch::Receiver<Link>,
) {
    let mut open = None;
    let mut opening = Opening::default();
    let mut interrupted = false;
    let mut empties = 0;
    let mut limit = Limit::new(Instant::now());
    loop {
        tokio::select! {
            event = channel.poll() => match event {
                Some(DataChannelEvent::OnOpen) => {
                    open = Some(Instant::now());
                    runtime.settle();
                    let _ = events.send(NetEvent::ControlOpen).await;
                }
                Some(DataChannelEvent::OnMessage(message)) => {
                    send_all(&*channel, opening.hear()).await;
                    if !limit.admit(Instant::now()) {
                        tracing::debug!("the other side sends control messages too fast; some are dropped");
                        continue;
                    }
                    if message.data.len() > MAX_CONTROL_MESSAGE || !message.is_string {
                        tracing::debug!(bytes = message.data.len(), "an unusable control message was dropped");
                        continue;
                    }
                    let Ok(text) = String::from_utf8(message.data.to_vec()) else { continue };
                    let _ = events.send(NetEvent::Control(text)).await;
                }
                Some(DataChannelEvent::OnClose) => {
                    let _ = events.send(NetEvent::ControlClosed).await;
                    return;
                }
                None => return,
                Some(_) => {}
            },
            Ok(()) = link.changed() => match *link.borrow_and_update() {
                Link::Interrupted | Link::Failed => interrupted = true,
                Link::Connected if interrupted => (interrupted, empties) = (false, EMPTIES),
                Link::Connected | Link::Connecting | Link::Closed => {}
            },
            () = tokio::time::sleep(EMPTY_STEP), if open.is_some() && empties > 0 => {
                empties -= 1;
                if channel.outstanding_bytes().await.unwrap_or(0) == 0 {
                    empties = 0;
                } else if let Err(error) = channel.send_text(EMPTY).await {
                    tracing::debug!(%error, "an empty message was not sent");
                }
            }
            () = until(open.map(|at| at + SILENT)), if opening.waits() => {
                send_all(&*channel, opening.end()).await;
            }
            text = outgoing.recv(), if open.is_some() && !opening.is_full() => match text {
                Some(text) => send_all(&*channel, opening.say(text)).await,
                None => {
                    send_all(&*channel, opening.end()).await;
                    return flush(&*channel).await;
                }
            },
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn send_all(channel: &dyn DataChannel, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        if let Err(error) = channel.send_text(&text).await {
            tracing::debug!(%error, "a control message was not sent");
        }
    }
}

/// What is said before anything was heard.
#[derive(Default)]
struct Opening {
    heard: bool,
    first: Option<String>,
    held: Vec<String>,
}

impl Opening {
    /// Gives what is sent now.
    fn say(&mut self, text: String) -> Option<String> {
        if self.heard {
            return Some(text);
        }
        if self.first.is_none() {
            self.first = Some(text.clone());
            return Some(text);
        }
        self.held.push(text);
        None
    }

    /// Something has come: gives what is sent now.
    fn hear(&mut self) -> Vec<String> {
        let first = self.first.take();
        first.into_iter().chain(self.end()).collect()
    }

    /// Nothing is waited for any more.
    fn end(&mut self) -> Vec<String> {
        self.heard = true;
        std::mem::take(&mut self.held)
    }

    fn waits(&self) -> bool {
        !self.heard
    }

    fn is_full(&self) -> bool {
        self.held.len() >= QUEUE
    }
}

async fn flush(channel: &dyn DataChannel) {
    for step in 0..FLUSH_STEPS {
        if channel.outstanding_bytes().await.unwrap_or(0) == 0 {
            return;
        }
        let is_time = step % FLUSH_EMPTY == 0 && (1..=EMPTIES).contains(&(step / FLUSH_EMPTY));
        if is_time && let Err(error) = channel.send_text(EMPTY).await {
            tracing::debug!(%error, "an empty message was not sent");
        }
        tokio::time::sleep(FLUSH_STEP).await;
    }
}

/// A bucket of messages that fills at a steady rate.
struct Limit {
    tokens: f64,
    filled: Instant,
}

impl Limit {
    fn new(now: Instant) -> Self {
        Self { tokens: f64::from(BURST), filled: now }
    }

    fn admit(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * f64::from(MESSAGES_PER_SECOND)).min(f64::from(BURST));
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_before_anything_was_heard_is_said_again_or_held() {
        let mut opening = Opening::default();
        let say =
            |opening: &mut Opening, text: &str| opening.say(text.into()).into_iter().collect::<Vec<_>>();
        assert_eq!(say(&mut opening, "hello"), ["hello"]);
        assert!(say(&mut opening, "view").is_empty() && say(&mut opening, "hand").is_empty());
        assert!(opening.waits() && !opening.is_full());
        assert_eq!(opening.hear(), ["hello", "view", "hand"]);
        assert_eq!(say(&mut opening, "mute"), ["mute"]);
        assert!(opening.hear().is_empty() && !opening.waits());
        // Whoever hears first has nothing to repeat.
        let mut opening = Opening::default();
        assert!(opening.hear().is_empty());
        assert_eq!(say(&mut opening, "hello"), ["hello"]);
        // To somebody who never speaks.
        let mut opening = Opening::default();
        (0..=QUEUE).for_each(|n| assert_eq!(opening.say(n.to_string()).is_some(), n == 0));
        assert!(opening.is_full());
        assert_eq!(opening.end().len(), QUEUE);
        assert!(opening.hear().len() <= 1);
        assert_eq!(say(&mut opening, "bye"), ["bye"]);
    }

    #[test]
    fn a_flood_of_messages_is_cut_to_the_rate() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let admitted = (0..1000).filter(|_| limit.admit(start)).count();
        assert_eq!(admitted, BURST as usize);
        let second = start + Duration::from_millis(1001);
        assert_eq!((0..1000).filter(|_| limit.admit(second)).count(), MESSAGES_PER_SECOND as usize);
        let later = second + Duration::from_secs(60);
        assert_eq!((0..1000).filter(|_| limit.admit(later)).count(), BURST as usize);
    }
}
