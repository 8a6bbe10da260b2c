//! Somebody typed the address without its `https://`: told apart by the first byte and sent on, so that they do not end
//! before an error page. Nothing else is answered without TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// What a browser sends first; what would stay unread would take the answer with it.
const MAX_HEAD: usize = 4096;

/// Whether the browser speaks TLS. Waits for its first byte.
pub async fn is_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1) if first[0] == HANDSHAKE)
}

/// Sends the browser to the same place over TLS.
pub async fn send_on(mut stream: TcpStream) {
    let mut head = [0; MAX_HEAD];
    let Ok(length) = stream.read(&mut head).await else { return };
    let Ok(place) = stream.local_addr() else { return };
    let Some(path) = path(&head[..length]) else { return };
    let answer = format!(
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://{place}{path}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    if let Err(error) = stream.write_all(answer.as_bytes()).await {
        tracing::debug!(%error, "a browser could not be sent on to https");
    }
}

/// The path of a request line, if it is made of what our own paths are made of.
fn path(head: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let path = line.strip_prefix("GET ")?.split(' ').next()?;
    let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    (path.starts_with('/') && !path.starts_with("//") && path.chars().all(is_ours)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_sent_on() {
        assert_eq!(path(b"GET /AbC-d_1/ HTTP/1.1\r\nHost: x\r\n"), Some("/AbC-d_1/"));
        for head in [
            &b""[..],
            b"GET",
            b"GET x HTTP/1.1\r\n",
            b"POST /a HTTP/1.1\r\n",
            b"GET //evil.example/ HTTP/1.1\r\n",
            b"GET /a\nSet-Cookie:b HTTP/1.1\r\n",
            b"GET /%0d%0a HTTP/1.1\r\n",
            b"\xff\xfe\r\n",
        ] {
            assert_eq!(path(head), None, "{head:?}");
        }
    }

    #[tokio::test]
    async fn a_browser_without_tls_is_sent_on() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let mut browser = TcpStream::connect(place).await.unwrap();
        browser.write_all(b"GET /token/ HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!is_tls(&stream).await);
        send_on(stream).await;
        let mut answer = String::new();
        let _ = browser.read_to_string(&mut answer).await;
        assert!(answer.contains(&format!("Location: https://{place}/token/\r\n")), "{answer}");

        let mut browser = TcpStream::connect(place).await.unwrap();
        browser.write_all(&[HANDSHAKE, 3, 1]).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(is_tls(&stream).await);
    }
}
