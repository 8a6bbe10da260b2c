//! What a browser may ask for, and what it gets. Nothing but these four, and only behind the token:
//!
//! ```text
//!   GET  /<token>/        the page
//!   GET  /<token>/invite  our invite, as JSON {type, sdp}
//!   POST /<token>/reply   the answer, likewise
//! ```
//!
//! One guest at a time: whoever fetches the invite has it for a while, and only their answer is taken. A page names
//! itself by a random word in a header, so a page that was loaded again is the same guest; a foreign site cannot send
//! that header, as no request from elsewhere is allowed it (CORS).

use super::PageEvent;
use crate::units::Redacted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use ring::digest::{SHA256, digest};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The page as it stands in the sources; it works without us too.
const PAGE: &str = include_str!("../../../assets/web/index.html");
/// Tells the page that we are here: it asks us instead of its user.
const MARK: (&str, &str) = ("<html lang=\"en\">", "<html lang=\"en\" data-served>");
/// The header a page names itself in.
const GUEST: &str = "twocan-guest";
/// Longer names are none of ours.
const MAX_GUEST: usize = 64;
/// An answer has about four kilobytes.
const MAX_REPLY: usize = 64 * 1024;
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// The engine answers within milliseconds; it takes longer only while it makes a connection.
const ENGINE_LIMIT: Duration = Duration::from_secs(10);
/// How long an invite is kept for whoever fetched it: gathering takes a browser up to ten seconds.
const LEASE: Duration = Duration::from_secs(30);

type Answer = Response<Full<Bytes>>;

pub struct Desk {
    token: String,
    events: mpsc::Sender<PageEvent>,
    /// Who has the invite, and since when.
    lease: Mutex<Option<(String, Instant)>>,
}

impl Desk {
    pub fn new(token: String, events: mpsc::Sender<PageEvent>) -> Self {
        Self { token, events, lease: Mutex::new(None) }
    }

    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path().to_owned();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (token, rest) = (parts.next().unwrap_or_default(), parts.next());
        if !is_same(token.as_bytes(), self.token.as_bytes()) {
            return refusal(
                StatusCode::NOT_FOUND,
                "There is nothing here. Scan the code on the other screen again.",
            );
        }
        if self.events.is_closed() {
            // A connection may outlive the server.
            return gone();
        }
        let guest = request.headers().get(GUEST).and_then(|value| value.to_str().ok());
        let guest = guest.filter(|guest| !guest.is_empty() && guest.len() <= MAX_GUEST).map(str::to_owned);
        match (request.method(), rest, guest) {
            (&Method::GET, Some(""), _) => {
                // One that is not heard of in time is heard of when it joins.
                let _ = self.events.try_send(PageEvent::Opened);
                page()
            }
            (&Method::GET, None, _) => {
                let mut answer = plain(StatusCode::PERMANENT_REDIRECT, "");
                // Relative, and made of the token's own letters.
                if let Ok(place) = HeaderValue::from_str(&format!("/{}/", self.token)) {
                    answer.headers_mut().insert(LOCATION, place);
                }
                answer
            }
            (&Method::GET, Some("invite"), Some(guest)) => self.invite(guest).await,
            (&Method::POST, Some("reply"), Some(guest)) => self.reply(&guest, request.into_body()).await,
            (_, Some("invite" | "reply"), None) => {
                refusal(StatusCode::FORBIDDEN, "Only the page itself may ask.")
            }
            (_, Some("" | "invite" | "reply"), _) => {
                let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "This is asked for in another way.");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
                answer
            }
            _ => refusal(StatusCode::NOT_FOUND, "There is nothing here."),
        }
    }

    async fn invite(&self, guest: String) -> Answer {
        if !self.take_lease(guest, Instant::now()) {
            return refusal(
                StatusCode::CONFLICT,
                "Somebody else is joining this call right now. Try again in half a minute.",
            );
        }
        let (give, invite) = oneshot::channel();
        if self.events.try_send(PageEvent::InviteWanted(give)).is_err() {
            return gone();
        }
        match tokio::time::timeout(ENGINE_LIMIT, invite).await {
            Ok(Ok(Redacted(json))) => with(StatusCode::OK, "application/json", json),
            Ok(Err(_)) | Err(_) => gone(),
        }
    }

    async fn reply<B>(&self, guest: &str, body: B) -> Answer
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !self.has_lease(guest, Instant::now()) {
            return refusal(
                StatusCode::CONFLICT,
                "That took too long, and somebody else may join now. Try again.",
            );
        }
        let body = tokio::time::timeout(BODY_LIMIT, Limited::new(body, MAX_REPLY).collect()).await;
        let text = match body {
            Ok(Ok(body)) => String::from_utf8(body.to_bytes().to_vec()),
            Ok(Err(_)) => {
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, "This is far too long to be an answer.");
            }
            Err(_) => {
                return refusal(StatusCode::REQUEST_TIMEOUT, "The answer did not come in time. Try again.");
            }
        };
        let Ok(text) = text else {
            return refusal(StatusCode::BAD_REQUEST, "This is not an answer to the invite.");
        };
        let (taken, outcome) = oneshot::channel();
        if self.events.try_send(PageEvent::Reply { text: Redacted(text), taken }).is_err() {
            return gone();
        }
        match tokio::time::timeout(ENGINE_LIMIT, outcome).await {
            Ok(Ok(Ok(()))) => plain(StatusCode::OK, ""),
            Ok(Ok(Err(sentence))) => with(StatusCode::UNPROCESSABLE_ENTITY, TEXT, sentence),
            Ok(Err(_)) | Err(_) => gone(),
        }
    }

    /// Whether the invite is this guest's now.
    fn take_lease(&self, guest: String, now: Instant) -> bool {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = lease
            .as_ref()
            .is_none_or(|(holder, since)| *holder == guest || now.saturating_duration_since(*since) > LEASE);
        if is_free {
            *lease = Some((guest, now));
        }
        is_free
    }

    fn has_lease(&self, guest: &str, now: Instant) -> bool {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.as_ref().is_some_and(|(holder, since)| {
            is_same(holder.as_bytes(), guest.as_bytes()) && now.saturating_duration_since(*since) <= LEASE
        })
    }
}

/// Takes as long for a token that is wrong in its first letter as for one that is wrong in its last.
fn is_same(given: &[u8], own: &[u8]) -> bool {
    let differing = given.iter().zip(own).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    given.len() == own.len() && differing == 0
}

const TEXT: &str = "text/plain; charset=utf-8";

fn plain(status: StatusCode, text: &'static str) -> Answer {
    with(status, TEXT, text)
}

/// With a sentence that the page shows as it is.
fn refusal(status: StatusCode, sentence: &'static str) -> Answer {
    plain(status, sentence)
}

fn gone() -> Answer {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "This invite is used up. Ask for a new one on the other screen.")
}

fn page() -> Answer {
    static SERVED: OnceLock<(String, String)> = OnceLock::new();
    let (text, policy) = SERVED.get_or_init(|| {
        // A checkout on Windows may have other line ends; a browser hashes what it has made of them.
        let text = PAGE.replace("\r\n", "\n").replacen(MARK.0, MARK.1, 1);
        let policy = policy(&text);
        (text, policy)
    });
    let mut answer = with(StatusCode::OK, "text/html; charset=utf-8", text.as_str());
    if let Ok(policy) = HeaderValue::from_str(policy) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// The page's own style and script, by their hashes, and requests to us: nothing else.
fn policy(page: &str) -> String {
    let hash = |tag: &str| {
        let inside =
            page.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let (inside, _) = inside.expect("the page has the section; a test reads it");
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, inside.as_bytes())))
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    )
}

fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_TYPE, kind);
    set(CACHE_CONTROL, "no-store");
    set(REFERRER_POLICY, "no-referrer");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    set(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(self), geolocation=()");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUv";

    fn desk() -> (Desk, mpsc::Receiver<PageEvent>) {
        let (events, heard) = mpsc::channel(4);
        (Desk::new(TOKEN.into(), events), heard)
    }

    fn ask(method: Method, path: &str, guest: Option<&str>, body: &[u8]) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(guest) = guest {
            request = request.header(GUEST, guest);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
    }

    async fn text(answer: Answer) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_there_without_the_token() {
        let (desk, mut heard) = desk();
        let near = format!("/{}W/", &TOKEN[..21]);
        for path in ["/", "/index.html", "//", "/AbCd/", "/AbCd/invite", near.as_str(), "/../etc/passwd"] {
            for method in [Method::GET, Method::POST] {
                let answer = desk.answer(ask(method, path, Some("ann"), b"")).await;
                assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            }
        }
        let elsewhere = desk.answer(ask(Method::GET, &format!("/{TOKEN}/../x"), Some("ann"), b"")).await;
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
        assert!(heard.try_recv().is_err(), "the engine hears of none of it");
    }

    #[tokio::test]
    async fn the_page_is_marked_and_may_run_only_its_own_script() {
        let (desk, mut heard) = desk();
        let answer = desk.answer(ask(Method::GET, &format!("/{TOKEN}/"), None, b"")).await;
        assert!(matches!(heard.try_recv(), Ok(PageEvent::Opened)));
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"));
        assert_eq!(answer.headers()[REFERRER_POLICY], "no-referrer");
        let page = text(answer).await;
        assert!(page.contains(MARK.1) && !page.contains(MARK.0));
        for tag in ["<script", "</script", "<style", "</style"] {
            assert_eq!(page.matches(tag).count(), 1, "{tag}: one section, or its hash is of another");
        }
        let attributes = ["style=\"", "onclick=\"", "src=\"http", "href=\"http", "@import", "url(http"];
        assert!(attributes.iter().all(|one| !page.contains(one)), "the policy would refuse it");
        let bare = desk.answer(ask(Method::GET, &format!("/{TOKEN}"), None, b"")).await;
        assert_eq!(bare.headers()[LOCATION], format!("/{TOKEN}/"));
    }

    #[tokio::test]
    async fn one_guest_fetches_the_invite_and_brings_the_answer() {
        let (desk, mut heard) = desk();
        let (invite, reply) = (format!("/{TOKEN}/invite"), format!("/{TOKEN}/reply"));
        let early = desk.answer(ask(Method::POST, &reply, Some("ann"), b"{}")).await;
        assert_eq!(early.status(), StatusCode::CONFLICT);

        let engine = async {
            let Some(PageEvent::InviteWanted(give)) = heard.recv().await else { panic!("no question") };
            give.send(Redacted("{\"type\":\"offer\"}".into())).unwrap();
            let Some(PageEvent::Reply { text, taken }) = heard.recv().await else { panic!("no answer") };
            assert_eq!(text.0, "answer");
            taken.send(Err("No.".into())).unwrap();
            let Some(PageEvent::Reply { taken, .. }) = heard.recv().await else { panic!("no answer") };
            taken.send(Ok(())).unwrap();
            heard
        };
        let guests = async {
            let fetched = desk.answer(ask(Method::GET, &invite, Some("ann"), b"")).await;
            assert_eq!(text(fetched).await, "{\"type\":\"offer\"}");
            let other = desk.answer(ask(Method::GET, &invite, Some("bob"), b"")).await;
            assert_eq!(other.status(), StatusCode::CONFLICT);
            let other = desk.answer(ask(Method::POST, &reply, Some("bob"), b"mine")).await;
            assert_eq!(other.status(), StatusCode::CONFLICT);
            let refused = desk.answer(ask(Method::POST, &reply, Some("ann"), b"answer")).await;
            assert_eq!(
                (refused.status(), text(refused).await.as_str()),
                (StatusCode::UNPROCESSABLE_ENTITY, "No.")
            );
            let taken = desk.answer(ask(Method::POST, &reply, Some("ann"), b"answer")).await;
            assert_eq!(taken.status(), StatusCode::OK);
        };
        let (mut heard, ()) = tokio::join!(engine, guests);
        let huge = vec![b'x'; MAX_REPLY + 1];
        let refused = desk.answer(ask(Method::POST, &reply, Some("ann"), &huge)).await;
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        for (method, path, guest) in [(Method::GET, &invite, None), (Method::POST, &reply, None)] {
            assert_eq!(desk.answer(ask(method, path, guest, b"")).await.status(), StatusCode::FORBIDDEN);
        }
        let wrong = desk.answer(ask(Method::DELETE, &invite, Some("ann"), b"")).await;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(heard.try_recv().is_err());
        drop(heard);
        let over = desk.answer(ask(Method::GET, &invite, Some("ann"), b"")).await;
        assert_eq!(over.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn an_invite_that_nobody_answers_is_free_again() {
        let (desk, _heard) = desk();
        let start = Instant::now();
        assert!(desk.take_lease("ann".into(), start) && !desk.take_lease("bob".into(), start + LEASE));
        assert!(desk.take_lease("ann".into(), start + LEASE), "the same page, loaded again");
        let later = start + LEASE * 2 + Duration::from_millis(1);
        assert!(desk.take_lease("bob".into(), later) && !desk.has_lease("ann", later));
        assert!(desk.has_lease("bob", later + LEASE));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        for (given, own) in [("abd", "abc"), ("ab", "abc"), ("abcd", "abc"), ("", "abc")] {
            assert!(!is_same(given.as_bytes(), own.as_bytes()), "{given}");
        }
    }
}
