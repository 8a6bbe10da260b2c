//! A WebSocket (RFC 6455) to a server, carried by one small task: text in both directions, of limited size.

use super::turn_stream::Stream;
use super::web::{WebError, reach};
use crate::server::Target;
use crate::units::Redacted;
use futures_util::{SinkExt, StreamExt};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The largest message is the description of a room with a hundred senders, about 100 kilobytes.
const MAX_MESSAGE: usize = 512 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(8);
/// A server that takes nothing for so long is gone.
const SEND_LIMIT: Duration = Duration::from_secs(10);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Messages under way, of either direction. Beyond it whoever writes waits, or is told that the socket is broken.
const QUEUE: usize = 256;

/// What comes of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    Text(Redacted<String>),
    /// It is gone; why, as a whole sentence.
    Closed(String),
}

/// An open WebSocket. Dropping it sends what is queued, and a farewell.
pub struct WebSocket {
    outgoing: mpsc::Sender<Redacted<String>>,
    events: mpsc::Receiver<SocketEvent>,
}

impl WebSocket {
    /// `protocol`: the one that is to be spoken. `bind`: as in [`reach`].
    pub async fn open(
        target: &Target,
        url: &str,
        protocol: &'static str,
        bind: &[IpAddr],
    ) -> Result<Self, WebError> {
        let odd = |why| WebError::Odd(target.host.clone(), why);
        let stream = reach(target, bind).await?;
        let mut request = url.into_client_request().map_err(|_| odd("its address cannot be used"))?;
        let wanted = HeaderValue::from_static(protocol);
        request.headers_mut().insert("Sec-WebSocket-Protocol", wanted);
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_MESSAGE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let opening = client_async_with_config(request, stream, Some(config));
        let (socket, _) = match tokio::time::timeout(HANDSHAKE_LIMIT, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                tracing::info!(error = kind(&error), "no WebSocket");
                return Err(odd("it opens no WebSocket that speaks with rooms at this address"));
            }
            Err(_) => return Err(odd("it does not answer")),
        };
        let (outgoing, to_send) = mpsc::channel(QUEUE);
        let (tell, events) = mpsc::channel(QUEUE);
        tokio::spawn(carry(socket, to_send, tell, target.host.clone()));
        Ok(Self { outgoing, events })
    }

    /// `false`: the server takes nothing any more.
    pub fn send(&self, text: Redacted<String>) -> bool {
        self.outgoing.try_send(text).is_ok()
    }

    /// After [`SocketEvent::Closed`] nothing comes.
    pub async fn next(&mut self) -> Option<SocketEvent> {
        self.events.recv().await
    }
}

async fn carry(
    mut socket: WebSocketStream<Box<dyn Stream>>,
    mut outgoing: mpsc::Receiver<Redacted<String>>,
    events: mpsc::Sender<SocketEvent>,
    host: String,
) {
    let why = loop {
        tokio::select! {
            text = outgoing.recv() => match text {
                Some(Redacted(text)) => {
                    let sent = tokio::time::timeout(SEND_LIMIT, socket.send(Message::text(text))).await;
                    match sent {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => break sentence(&host, &error),
                        Err(_) => break format!("The server “{host}” takes nothing any more."),
                    }
                }
                None => {
                    let _ = tokio::time::timeout(CLOSE_LIMIT, socket.close(None)).await;
                    return;
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    // Whoever listens is behind: reading waits, and with it the server.
                    if events.send(SocketEvent::Text(Redacted(text.as_str().to_owned()))).await.is_err() {
                        return;
                    }
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => break format!("The server “{host}” closed the connection."),
                Some(Err(error)) => break sentence(&host, &error),
            },
        }
    };
    let _ = events.send(SocketEvent::Closed(why)).await;
}

fn sentence(host: &str, error: &tungstenite::Error) -> String {
    tracing::info!(error = kind(error), "the WebSocket broke");
    match error {
        tungstenite::Error::Capacity(_) => format!("The server “{host}” sends messages that are too long."),
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => {
            format!("The server “{host}” breaks the rules of WebSockets.")
        }
        _ => format!("The connection to the server “{host}” broke."),
    }
}

/// For the log, without what a server has sent.
fn kind(error: &tungstenite::Error) -> &'static str {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => "closed",
        tungstenite::Error::Io(_) => "input and output",
        tungstenite::Error::Capacity(_) => "too long",
        tungstenite::Error::Protocol(_) => "protocol",
        tungstenite::Error::Utf8(_) => "no text",
        tungstenite::Error::Http(_) => "an HTTP answer",
        _ => "other",
    }
}
