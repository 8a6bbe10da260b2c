//! The control channel: text messages in order, data channel 0, agreed beforehand by both sides.
//!
//! One task owns the channel. It is kept nowhere else: webrtc's event handler holding it would keep the connection
//! alive for ever.
//!
//! What was sent into an outage is sent again by SCTP after a time that doubles with each try (RFC 9260, 6.3.3), up to
//! a minute. So when the path is back, a few empty messages follow: their acknowledgements show the gap, and the third
//! that does makes SCTP send it again at once (7.2.4).

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
/// How often it is looked whether a farewell has arrived, and how often at most.
const FLUSH_STEP: Duration = Duration::from_millis(5);
const FLUSH_STEPS: u32 = 40;

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
    let mut open = false;
    let mut interrupted = false;
    let mut empties = 0;
    let mut limit = Limit::new(Instant::now());
    loop {
        tokio::select! {
            event = channel.poll() => match event {
                Some(DataChannelEvent::OnOpen) => {
                    open = true;
                    runtime.settle();
                    let _ = events.send(NetEvent::ControlOpen).await;
                }
                Some(DataChannelEvent::OnMessage(message)) => {
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
            () = tokio::time::sleep(EMPTY_STEP), if open && empties > 0 => {
                empties -= 1;
                if channel.outstanding_bytes().await.unwrap_or(0) == 0 {
                    empties = 0;
                } else if let Err(error) = channel.send_text(EMPTY).await {
                    tracing::debug!(%error, "an empty message was not sent");
                }
            }
            text = outgoing.recv(), if open => match text {
                Some(text) => {
                    if let Err(error) = channel.send_text(&text).await {
                        tracing::debug!(%error, "a control message was not sent");
                    }
                }
                None => return flush(&*channel).await,
            },
        }
    }
}

async fn flush(channel: &dyn DataChannel) {
    for _ in 0..FLUSH_STEPS {
        if channel.outstanding_bytes().await.unwrap_or(0) == 0 {
            return;
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
