//! One question to an HTTP server, and its answer: for WHIP and WHEP, which ask seldom. Each has a connection of its
//! own, a limit in time, and limits on what is read.

use super::web::{WebError, reach};
use crate::server::whip::{Method, Request, Response};
use crate::units::Redacted;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, IF_MATCH, LINK, LOCATION, RETRY_AFTER,
    USER_AGENT,
};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::time::Duration;

/// Servers that make a session take a second or two.
const LIMIT: Duration = Duration::from_secs(10);
/// The head of an answer.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
/// A description has a few kilobytes.
const MAX_BODY: usize = 64 * 1024;
/// `Link` fields that are looked at.
const MAX_LINKS: usize = 16;

/// `bind`: this machine's addresses to start from; empty: any.
pub async fn ask(request: &Request, bind: &[IpAddr]) -> Result<Response, WebError> {
    let asked = tokio::time::timeout(LIMIT, ask_patiently(request, bind)).await;
    asked.unwrap_or_else(|_| Err(odd(request, "it does not answer")))
}

fn odd(request: &Request, why: &'static str) -> WebError {
    WebError::Odd(request.to.target().host, why)
}

async fn ask_patiently(request: &Request, bind: &[IpAddr]) -> Result<Response, WebError> {
    const NOT_HTTP: &str = "it does not speak HTTP at this address";
    let built = build(request).ok_or_else(|| odd(request, "its address cannot be used"))?;
    let stream = reach(&request.to.target(), bind).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| odd(request, NOT_HTTP))?;
    // Ends with the answer: neither side keeps it.
    let connection = tokio::spawn(connection);
    let asked = async {
        let answer = sender.send_request(built).await.map_err(|_| odd(request, NOT_HTTP))?;
        let (head, body) = answer.into_parts();
        let text = |name: HeaderName| {
            head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let links = head.headers.get_all(LINK).iter().take(MAX_LINKS);
        let mut response = Response {
            status: head.status.as_u16(),
            location: text(LOCATION),
            etag: text(ETAG),
            retry_after: text(RETRY_AFTER),
            content_type: text(CONTENT_TYPE).map(|kind| kind.to_ascii_lowercase()),
            links: links.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect(),
            body: Redacted::default(),
        };
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|_| odd(request, "its answer is cut off or too long"))?.to_bytes();
        response.body = Redacted(String::from_utf8_lossy(&body).into_owned());
        Ok(response)
    };
    let asked = asked.await;
    connection.abort();
    asked
}

fn build(request: &Request) -> Option<hyper::Request<Full<Bytes>>> {
    let method = match request.method {
        Method::Options => hyper::Method::OPTIONS,
        Method::Post => hyper::Method::POST,
        Method::Patch => hyper::Method::PATCH,
        Method::Delete => hyper::Method::DELETE,
    };
    let mut builder = hyper::Request::builder()
        .method(method)
        .uri(request.to.path())
        .header(HOST, request.to.authority())
        .header(USER_AGENT, concat!("twocan/", env!("CARGO_PKG_VERSION")));
    if let Some(Redacted(token)) = &request.token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    if let Some(tag) = &request.if_match {
        builder = builder.header(IF_MATCH, tag);
    }
    let body = match &request.body {
        Some((kind, Redacted(body))) => {
            builder = builder.header(CONTENT_TYPE, *kind);
            Bytes::from(body.clone())
        }
        None => Bytes::new(),
    };
    builder.body(Full::new(body)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_should_and_its_log_nothing() {
        let request = Request {
            method: Method::Patch,
            to: "http://localhost:7000/whip/a?b=c".parse().unwrap(),
            token: Some(Redacted("s3cret".into())),
            body: Some(("application/sdp", Redacted("v=0".into()))),
            if_match: Some("\"tag\"".into()),
        };
        assert!(!format!("{request:?}").contains("s3cret"));
        let built = build(&request).unwrap();
        assert_eq!(built.uri(), "/whip/a?b=c");
        for (name, value) in [
            (HOST, "localhost:7000"),
            (AUTHORIZATION, "Bearer s3cret"),
            (IF_MATCH, "\"tag\""),
            (CONTENT_TYPE, "application/sdp"),
        ] {
            assert_eq!(built.headers()[name], value);
        }
        assert!(!format!("{built:?}").contains("s3cret"));
        assert!(build(&Request { token: Some(Redacted("two\nlines".into())), ..request }).is_none());
    }
}
