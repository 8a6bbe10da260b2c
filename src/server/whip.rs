//! Sending to, and playing from, a page that speaks WHIP (RFC 9725) or WHEP (draft-ietf-wish-whep-03): a core. It is
//! handed the answers of the server, our offer and the time, and is drained of [`Output`]s.
//!
//! ```text
//!   Asking (OPTIONS: ICE servers) > Offering (OfferWanted > POST > 201) > Open > Closing (DELETE) > Done
//!                                      ^      307/308: elsewhere  |          |
//!                                      |      503: Waiting        |          | connection lost: DELETE
//!                                      +--------------------------+----------+
//! ```
//!
//! Candidates that are found after the offer went out follow in a PATCH, for the ICE session that the ETag names. When
//! the connection is lost, a new session takes its place: that needs no server that can restart ICE.

use super::links::ice_servers;
use super::{AWAY_LIMIT, Refused, Remedy, WebAddress};
use crate::settings::IceServer;
use crate::units::Redacted;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MAX_REDIRECTS: u32 = 5;
/// A connection that does not come up by then is made anew.
const CONNECT_LIMIT: Duration = Duration::from_secs(12);
/// Before a server is asked again, unless it says when.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The server has so long to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// A longer tag is none.
const MAX_TAG: usize = 256;
pub const SDP: &str = "application/sdp";
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Options,
    Post,
    Patch,
    Delete,
}

/// What the shell asks of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: Method,
    pub to: WebAddress,
    /// Only if the address may have it.
    pub token: Option<Redacted<String>>,
    /// With its `Content-Type`.
    pub body: Option<(&'static str, Redacted<String>)>,
    pub if_match: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub location: Option<String>,
    pub etag: Option<String>,
    pub retry_after: Option<String>,
    pub links: Vec<String>,
    pub content_type: Option<String>,
    pub body: Redacted<String>,
}

#[derive(Debug, PartialEq)]
pub enum Output {
    /// The answer goes to [`Whip::handle_response`], or why there is none to [`Whip::handle_failed`].
    Ask(Request),
    Tell(Happening),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A connection is wanted, with these servers besides our own: its offer goes to [`Whip::offer`].
    OfferWanted(Vec<IceServer>),
    /// To that offer.
    Answer(Redacted<String>),
    /// The connection is given up; another is wanted soon.
    Interrupted,
    /// We have left.
    Left,
    Ended(Refusal),
}

/// Why there is nothing to send to or to play. `Display` is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("The server refuses the token, or wants one.")]
    Token,
    #[error(
        "There is nothing at this address. Check it letter by letter; to play, somebody has to send first."
    )]
    NotThere,
    #[error("Somebody else sends to this address already, or nobody does: the server says that it is taken.")]
    Conflict,
    #[error("The server takes neither H.264 pictures nor Opus sound from this program.")]
    Codecs,
    #[error("The server sends us from one address to the next, without an end.")]
    Redirects,
    #[error("This is not a server of WHIP or WHEP: {0}.")]
    NotWhip(&'static str),
    #[error("The server is busy and stays so. Try again later.")]
    Busy,
    #[error("The server refuses, with HTTP status {0}.")]
    Status(u16),
    /// Whole sentences already.
    #[error("{0}")]
    Unreachable(String),
    #[error(
        "No connection to the server comes up, though it answers: its media ports may be behind a firewall."
    )]
    NoConnection,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let remedy = (refusal == Refusal::Token).then_some(Remedy::Token);
        Self { sentence: refusal.to_string(), remedy }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Asking,
    /// The offer is being made.
    Preparing,
    Posting {
        to: WebAddress,
        offer: Redacted<String>,
        redirects: u32,
    },
    Open {
        until: Option<Instant>,
    },
    Waiting {
        until: Instant,
    },
    /// The session before is being deleted.
    Replacing,
    Closing {
        until: Instant,
    },
    Done,
}

/// One session, and those that take its place.
pub struct Whip {
    address: WebAddress,
    token: Option<Redacted<String>>,
    phase: Phase,
    session: Option<WebAddress>,
    tag: Option<String>,
    /// Candidates that wait for the session.
    fragment: Option<Redacted<String>>,
    servers: Vec<IceServer>,
    was_up: bool,
    away_since: Option<Instant>,
    pause: Duration,
    outputs: VecDeque<Output>,
}

impl Whip {
    pub fn new(address: WebAddress, token: Option<Redacted<String>>) -> Self {
        let mut whip = Self {
            address: address.clone(),
            token,
            phase: Phase::Asking,
            session: None,
            tag: None,
            fragment: None,
            servers: Vec::new(),
            was_up: false,
            away_since: None,
            pause: FIRST_PAUSE,
            outputs: VecDeque::new(),
        };
        whip.ask(Method::Options, &address, None, None);
        whip
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } | Phase::Closing { until } => Some(until),
            Phase::Open { until } => until,
            Phase::Asking | Phase::Preparing | Phase::Posting { .. } | Phase::Replacing | Phase::Done => None,
        }
    }

    pub fn handle_deadline(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Waiting { .. } => self.prepare(),
            Phase::Open { .. } => self.renew(now, Refusal::NoConnection),
            Phase::Closing { .. } => self.finish(Happening::Left),
            Phase::Asking | Phase::Preparing | Phase::Posting { .. } | Phase::Replacing | Phase::Done => {}
        }
    }

    /// Our offer.
    pub fn offer(&mut self, offer: Redacted<String>) {
        if self.phase == Phase::Preparing {
            self.post(self.address.clone(), offer, 0);
        }
    }

    fn post(&mut self, to: WebAddress, offer: Redacted<String>, redirects: u32) {
        self.ask(Method::Post, &to, Some((SDP, offer.clone())), None);
        self.phase = Phase::Posting { to, offer, redirects };
    }

    /// Candidates (`candidate:...`) that were found after the offer; there will be no more.
    pub fn trickle(&mut self, candidates: &[String], ufrag: &str, password: &str) {
        // RFC 8840, 9: which section the candidates belong to, as in a description.
        let mut fragment = format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        );
        for candidate in candidates {
            fragment.push_str(&format!("a={candidate}\r\n"));
        }
        fragment.push_str("a=end-of-candidates\r\n");
        self.fragment = Some(Redacted(fragment));
        self.patch();
    }

    fn patch(&mut self) {
        if let Phase::Open { .. } = self.phase
            && let Some(session) = self.session.clone()
            && let Some(fragment) = self.fragment.take()
        {
            let tag = self.tag.clone();
            self.ask(Method::Patch, &session, Some((FRAGMENT, fragment)), tag);
        }
    }

    /// The connection stands.
    pub fn handle_connected(&mut self) {
        if let Phase::Open { until } = &mut self.phase {
            *until = None;
            (self.was_up, self.away_since, self.pause) = (true, None, FIRST_PAUSE);
        }
    }

    /// The connection is gone.
    pub fn handle_lost(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.renew(now, Refusal::NoConnection);
        }
    }

    pub fn handle_response(&mut self, now: Instant, method: Method, response: Response) {
        match (self.phase.clone(), method) {
            (Phase::Asking, Method::Options) => {
                if matches!(response.status, 401 | 403) {
                    return self.finish(Happening::Ended(Refusal::Token));
                }
                self.servers = ice_servers(response.links.iter().map(String::as_str));
                self.prepare();
            }
            (Phase::Posting { to, offer, redirects }, Method::Post) => {
                self.handle_posted(now, &to, offer, redirects, response);
            }
            (Phase::Replacing, Method::Delete) => self.wait(now, None),
            (Phase::Closing { .. }, Method::Delete) => self.finish(Happening::Left),
            (Phase::Open { .. }, Method::Patch) => match response.status {
                200..=299 => self.tag = tag(response.etag).or(self.tag.take()),
                // Candidates that a server does not want by this way: its own checks will do.
                status => tracing::info!(status, "the server takes no further candidates"),
            },
            _ => {}
        }
    }

    fn handle_posted(
        &mut self,
        now: Instant,
        to: &WebAddress,
        offer: Redacted<String>,
        redirects: u32,
        response: Response,
    ) {
        let place = response.location.as_deref().and_then(|location| to.join(location));
        let refusal = match response.status {
            201 => {
                let is_sdp = response.content_type.as_deref().is_some_and(|kind| kind.starts_with(SDP));
                match place {
                    None => Refusal::NotWhip("it does not say where the session is"),
                    Some(_) if !is_sdp => Refusal::NotWhip("its answer is no session description"),
                    Some(place) => {
                        self.session = Some(place);
                        self.tag = tag(response.etag);
                        // For the next connection: this one is made already.
                        let servers = ice_servers(response.links.iter().map(String::as_str));
                        if !servers.is_empty() {
                            self.servers = servers;
                        }
                        self.phase = Phase::Open { until: Some(now + CONNECT_LIMIT) };
                        self.tell(Happening::Answer(response.body));
                        return self.patch();
                    }
                }
            }
            307 | 308 => match place {
                Some(place) if redirects < MAX_REDIRECTS => return self.post(place, offer, redirects + 1),
                Some(_) => Refusal::Redirects,
                None => Refusal::NotWhip("it sends us on and does not say where"),
            },
            401 | 403 => Refusal::Token,
            404 | 410 => Refusal::NotThere,
            405 | 415 => Refusal::NotWhip("it takes no session descriptions"),
            406 | 422 => Refusal::Codecs,
            409 => Refusal::Conflict,
            429 | 500..=599 => {
                let seconds = response.retry_after.and_then(|text| text.trim().parse().ok());
                let pause = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(60)));
                return self.be_away(now, Refusal::Busy, pause);
            }
            200..=299 => Refusal::NotWhip("it answers, but makes no session"),
            status => Refusal::Status(status),
        };
        // A server that was started again may know of the sender only in a moment.
        match refusal {
            Refusal::NotThere | Refusal::Conflict if self.was_up => self.be_away(now, refusal, None),
            refusal => self.finish(Happening::Ended(refusal)),
        }
    }

    /// There was no answer; `why` is a whole sentence.
    pub fn handle_failed(&mut self, now: Instant, method: Method, why: &str) {
        match (&self.phase, method) {
            (Phase::Asking, _) => self.finish(Happening::Ended(Refusal::Unreachable(why.into()))),
            (Phase::Posting { .. }, Method::Post) if self.was_up => {
                self.be_away(now, Refusal::Unreachable(why.into()), None);
            }
            (Phase::Posting { .. }, Method::Post) => {
                self.finish(Happening::Ended(Refusal::Unreachable(why.into())));
            }
            (Phase::Replacing, Method::Delete) => self.wait(now, None),
            (Phase::Closing { .. }, Method::Delete) => self.finish(Happening::Left),
            _ => {}
        }
    }

    /// Ends the session, with a word to the server.
    pub fn leave(&mut self, now: Instant) {
        match self.session.take() {
            Some(session) if self.phase != Phase::Done => {
                self.phase = Phase::Closing { until: now + FAREWELL };
                self.ask(Method::Delete, &session, None, None);
            }
            _ => self.finish(Happening::Left),
        }
    }

    fn prepare(&mut self) {
        self.phase = Phase::Preparing;
        self.fragment = None;
        self.tell(Happening::OfferWanted(self.servers.clone()));
    }

    /// A new session takes the place of this one.
    fn renew(&mut self, now: Instant, why: Refusal) {
        let since = *self.away_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= AWAY_LIMIT {
            return self.finish(Happening::Ended(why));
        }
        self.tell(Happening::Interrupted);
        match self.session.take() {
            Some(session) => {
                self.phase = Phase::Replacing;
                self.ask(Method::Delete, &session, None, None);
            }
            None => self.wait(now, None),
        }
    }

    /// The server cannot take us now.
    fn be_away(&mut self, now: Instant, why: Refusal, pause: Option<Duration>) {
        let since = *self.away_since.get_or_insert(now);
        match now.saturating_duration_since(since) >= AWAY_LIMIT {
            true => self.finish(Happening::Ended(why)),
            false => {
                self.tell(Happening::Interrupted);
                self.wait(now, pause);
            }
        }
    }

    fn wait(&mut self, now: Instant, pause: Option<Duration>) {
        self.phase = Phase::Waiting { until: now + pause.unwrap_or(self.pause) };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn ask(
        &mut self,
        method: Method,
        to: &WebAddress,
        body: Option<(&'static str, Redacted<String>)>,
        if_match: Option<String>,
    ) {
        let token = self.token.clone().filter(|_| to.is_as_trusted_as(&self.address));
        self.outputs.push_back(Output::Ask(Request { method, to: to.clone(), token, body, if_match }));
    }

    fn finish(&mut self, last: Happening) {
        if self.phase != Phase::Done {
            self.phase = Phase::Done;
            self.tell(last);
        }
    }

    fn tell(&mut self, happening: Happening) {
        self.outputs.push_back(Output::Tell(happening));
    }
}

/// An entity tag (RFC 9110, 8.8.3), as it is sent back.
fn tag(text: Option<String>) -> Option<String> {
    let plain =
        |text: &String| text.len() <= MAX_TAG && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    text.filter(plain)
}

#[cfg(test)]
mod tests;
