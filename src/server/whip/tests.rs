//! Conversations with servers, on a timeline.

use super::*;
use crate::rtp::test_time::at;

struct Talk {
    whip: Whip,
    start: Instant,
    now: Instant,
    outputs: VecDeque<Output>,
}

impl Talk {
    fn new(token: Option<&str>) -> Self {
        let address = "https://a.example/whip/cam".parse().unwrap();
        let whip = Whip::new(address, token.map(|token| Redacted(token.into())));
        let start = at(0);
        let mut talk = Self { whip, start, now: start, outputs: VecDeque::new() };
        talk.drain();
        talk
    }

    fn drain(&mut self) {
        self.outputs.extend(std::iter::from_fn(|| self.whip.poll_output()));
    }

    fn at(&mut self, ms: u64) {
        self.now = self.start + Duration::from_millis(ms);
        self.whip.handle_deadline(self.now);
        self.drain();
    }

    fn asked(&mut self, method: Method, path: &str) -> Request {
        match self.outputs.pop_front() {
            Some(Output::Ask(request)) => {
                assert_eq!((request.method, request.to.path().as_str()), (method, path));
                request
            }
            other => panic!("{other:?}"),
        }
    }

    fn told(&mut self) -> Happening {
        match self.outputs.pop_front() {
            Some(Output::Tell(happening)) => happening,
            other => panic!("{other:?}"),
        }
    }

    fn answers(&mut self, method: Method, response: Response) {
        self.whip.handle_response(self.now, method, response);
        self.drain();
    }

    /// Up to our offer.
    fn offers(&mut self) -> Request {
        self.asked(Method::Options, "/whip/cam");
        self.answers(Method::Options, status(204));
        assert_eq!(self.told(), Happening::OfferWanted(vec![]));
        self.whip.offer(Redacted("our offer".into()));
        self.drain();
        self.asked(Method::Post, "/whip/cam")
    }
}

fn status(status: u16) -> Response {
    Response { status, ..Response::default() }
}

fn created() -> Response {
    Response {
        status: 201,
        location: Some("/session/1".into()),
        etag: Some("\"ice-1\"".into()),
        content_type: Some("application/sdp; charset=utf-8".into()),
        body: Redacted("their answer".into()),
        ..Response::default()
    }
}

#[test]
fn a_session_is_made_completed_and_ended() {
    let mut talk = Talk::new(Some("s3cret"));
    let options = talk.asked(Method::Options, "/whip/cam");
    assert_eq!(options.token, Some(Redacted("s3cret".into())));
    let link = r#"<turn:t.example>; rel="ice-server"; username="u"; credential="c""#;
    talk.answers(Method::Options, Response { links: vec![link.into()], ..status(200) });
    let Happening::OfferWanted(servers) = talk.told() else { panic!() };
    assert_eq!((servers[0].url.as_str(), servers[0].password.as_str()), ("turn:t.example", "c"));
    talk.whip.offer(Redacted("our offer".into()));
    talk.drain();
    let post = talk.asked(Method::Post, "/whip/cam");
    assert_eq!(post.body, Some((SDP, Redacted("our offer".into()))));
    // Found before the session has a place.
    talk.whip.trickle(&["candidate:1 1 udp 1 192.0.2.1 5 typ host".into()], "uf", "pw");
    talk.drain();
    talk.answers(Method::Post, created());
    assert_eq!(talk.told(), Happening::Answer(Redacted("their answer".into())));
    let patch = talk.asked(Method::Patch, "/session/1");
    assert_eq!(patch.if_match.as_deref(), Some("\"ice-1\""));
    let (kind, fragment) = patch.body.unwrap();
    assert_eq!(kind, FRAGMENT);
    assert!(fragment.0.contains("a=ice-ufrag:uf\r\n") && fragment.0.ends_with("a=end-of-candidates\r\n"));
    talk.answers(Method::Patch, status(405));
    talk.whip.handle_connected();
    talk.at(60_000);
    assert!(talk.outputs.is_empty());
    talk.whip.leave(talk.now);
    talk.drain();
    assert_eq!(talk.asked(Method::Delete, "/session/1").token, Some(Redacted("s3cret".into())));
    talk.answers(Method::Delete, status(200));
    assert_eq!(talk.told(), Happening::Left);
}

#[test]
fn what_a_server_refuses_is_said_in_words() {
    let no_place = Response { location: None, ..created() };
    let no_sdp = Response { content_type: Some("text/html".into()), ..created() };
    for (response, refusal) in [
        (status(401), Refusal::Token),
        (status(403), Refusal::Token),
        (status(404), Refusal::NotThere),
        (status(405), Refusal::NotWhip("it takes no session descriptions")),
        (status(406), Refusal::Codecs),
        (status(409), Refusal::Conflict),
        (status(418), Refusal::Status(418)),
        (status(200), Refusal::NotWhip("it answers, but makes no session")),
        (no_place, Refusal::NotWhip("it does not say where the session is")),
        (no_sdp, Refusal::NotWhip("its answer is no session description")),
        (status(307), Refusal::NotWhip("it sends us on and does not say where")),
    ] {
        let mut talk = Talk::new(None);
        talk.offers();
        let code = response.status;
        talk.answers(Method::Post, response);
        assert_eq!(talk.told(), Happening::Ended(refusal), "{code}");
        assert_eq!(talk.whip.deadline(), None);
    }
}

#[test]
fn redirections_are_followed_without_handing_the_token_on() {
    let mut talk = Talk::new(Some("s3cret"));
    talk.offers();
    let to = |place: &str| Response { location: Some(place.into()), ..status(307) };
    talk.answers(Method::Post, to("/other"));
    assert!(talk.asked(Method::Post, "/other").token.is_some());
    talk.answers(Method::Post, to("https://evil.example/x"));
    assert!(talk.asked(Method::Post, "/x").token.is_none());
    for _ in 0..3 {
        talk.answers(Method::Post, to("/y"));
        talk.asked(Method::Post, "/y");
    }
    talk.answers(Method::Post, to("/y"));
    assert_eq!(talk.told(), Happening::Ended(Refusal::Redirects));
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let mut talk = Talk::new(None);
    talk.offers();
    talk.answers(Method::Post, Response { retry_after: Some("7".into()), ..status(503) });
    assert_eq!(talk.told(), Happening::Interrupted);
    talk.at(6_999);
    assert!(talk.outputs.is_empty());
    talk.at(7_000);
    assert_eq!(talk.told(), Happening::OfferWanted(vec![]));
    talk.at(61_000);
    talk.whip.offer(Redacted("offer".into()));
    talk.drain();
    talk.asked(Method::Post, "/whip/cam");
    talk.answers(Method::Post, status(503));
    assert_eq!(talk.told(), Happening::Ended(Refusal::Busy));
}

#[test]
fn a_connection_that_is_lost_is_replaced_by_a_new_session() {
    let mut talk = Talk::new(None);
    talk.offers();
    let link = "<stun:s.example>; rel=\"ice-server\"".to_owned();
    talk.answers(Method::Post, Response { links: vec![link], ..created() });
    assert!(matches!(talk.told(), Happening::Answer(_)));
    talk.at(12_000);
    assert_eq!(talk.told(), Happening::Interrupted);
    talk.asked(Method::Delete, "/session/1");
    talk.answers(Method::Delete, status(404));
    talk.at(13_000);
    // The servers that came with the answer help the next connection.
    let Happening::OfferWanted(servers) = talk.told() else { panic!() };
    assert_eq!(servers.len(), 1);
    talk.whip.offer(Redacted("offer".into()));
    talk.drain();
    talk.asked(Method::Post, "/whip/cam");
    talk.answers(Method::Post, created());
    talk.told();
    talk.whip.handle_connected();
    talk.whip.handle_lost(talk.now);
    talk.drain();
    assert_eq!(talk.told(), Happening::Interrupted);
}

#[test]
fn a_server_that_is_not_there_is_not_waited_for_but_one_that_was_is() {
    let mut talk = Talk::new(None);
    talk.whip.handle_failed(talk.now, Method::Options, "Nobody there.");
    talk.drain();
    talk.asked(Method::Options, "/whip/cam");
    assert_eq!(talk.told(), Happening::Ended(Refusal::Unreachable("Nobody there.".into())));

    let mut talk = Talk::new(None);
    talk.offers();
    talk.answers(Method::Post, created());
    talk.told();
    talk.whip.handle_connected();
    talk.whip.handle_lost(talk.now);
    talk.whip.handle_failed(talk.now, Method::Delete, "Nobody there.");
    talk.drain();
    assert_eq!(talk.told(), Happening::Interrupted);
    talk.asked(Method::Delete, "/session/1");
    talk.at(1_000);
    assert!(matches!(talk.told(), Happening::OfferWanted(_)));
    talk.whip.offer(Redacted("offer".into()));
    talk.whip.handle_failed(talk.now, Method::Post, "Nobody there.");
    talk.drain();
    talk.asked(Method::Post, "/whip/cam");
    assert_eq!(talk.told(), Happening::Interrupted);
    assert!(talk.whip.deadline().is_some());
}
