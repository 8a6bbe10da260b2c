//! Conversations with a server that says what Janus 1.1.2 says, on a timeline.

use super::wire::PLUGIN;
use super::*;
use crate::rtp::test_time::at;
use serde_json::{Value, json};

/// A member, and a server that keeps its numbers.
struct Talk {
    janus: Janus,
    start: Instant,
    now: Instant,
    said: VecDeque<Value>,
    told: VecDeque<Happening>,
    dialled: u32,
}

impl Talk {
    fn new(wishes: Wishes) -> Self {
        let start = at(0);
        let janus = Janus::new(Id::Number(4711), wishes);
        let mut talk =
            Self { janus, start, now: start, said: VecDeque::new(), told: VecDeque::new(), dialled: 0 };
        talk.drain();
        assert_eq!(talk.dialled, 1);
        talk.janus.handle_opened(talk.now);
        talk.drain();
        talk
    }

    fn at(&mut self, ms: u64) {
        self.now = self.start + Duration::from_millis(ms);
        while let Some(deadline) = self.janus.deadline().filter(|deadline| *deadline <= self.now) {
            self.janus.handle_deadline(deadline);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.janus.poll_output() {
            match output {
                Output::Send(text) => self.said.push_back(serde_json::from_str(&text.0).unwrap()),
                Output::Tell(happening) => self.told.push_back(happening),
                Output::Dial => self.dialled += 1,
                Output::HangUp => {}
            }
        }
    }

    /// The next request, which is of this kind.
    fn asked(&mut self, kind: &str) -> Value {
        let request = self.said.pop_front().unwrap_or_else(|| panic!("no {kind}"));
        let said = request["body"]["request"].as_str().or(request["janus"].as_str());
        assert_eq!(said, Some(kind), "{request}");
        request
    }

    fn hears(&mut self, message: Value) {
        self.janus.handle_text(self.now, &message.to_string());
        self.drain();
    }

    fn answers(&mut self, request: &Value, mut message: Value) {
        message["transaction"] = request["transaction"].clone();
        self.hears(message);
    }

    fn plugin(&mut self, request: &Value, sender: u64, data: Value, jsep: Option<(&str, &str)>) {
        let mut message =
            json!({"janus": "event", "sender": sender, "plugindata": {"plugin": PLUGIN, "data": data}});
        if let Some((kind, sdp)) = jsep {
            message["jsep"] = json!({"type": kind, "sdp": sdp});
        }
        self.answers(request, message);
    }

    fn told(&mut self) -> Option<Happening> {
        self.told.pop_front()
    }

    /// Up to the join request.
    fn reaches_the_door(&mut self) -> Value {
        let create = self.asked("create");
        self.answers(&create, json!({"janus": "success", "data": {"id": 1}}));
        let attach = self.asked("attach");
        assert_eq!((attach["session_id"].as_u64(), attach["plugin"].as_str()), (Some(1), Some(PLUGIN)));
        self.answers(&attach, json!({"janus": "success", "data": {"id": 10}}));
        let join = self.asked("join");
        assert_eq!(join["handle_id"], 10);
        join
    }

    fn joins(&mut self, publishers: Value) {
        let join = self.reaches_the_door();
        self.answers(&join, json!({"janus": "ack"}));
        let data =
            json!({"videoroom": "joined", "room": 4711, "id": 5, "private_id": 99, "publishers": publishers});
        self.plugin(&join, 10, data, None);
        assert_eq!(self.told(), Some(Happening::Joined));
        assert_eq!(self.told(), Some(Happening::OfferWanted));
    }

    fn refuses(&mut self, request: &Value, code: u32) {
        self.plugin(request, 10, json!({"videoroom": "event", "error_code": code, "error": "No."}), None);
    }
}

fn bob(video: &str) -> Value {
    json!([{"id": 77, "display": "Bob", "streams": [
        {"type": "audio", "mindex": 0, "mid": "0", "codec": "opus"},
        {"type": "video", "mindex": 1, "mid": "1", "codec": video, "simulcast": true},
        {"type": "data", "mindex": 2, "mid": "2"}]}])
}

fn sdp(text: &str) -> Redacted<String> {
    Redacted(text.into())
}

#[test]
fn a_member_joins_sends_receives_and_leaves() {
    let mut talk = Talk::new(Wishes {
        name: "Ann".into(),
        pin: Some(Redacted("4321".into())),
        token: Some(Redacted("s3cret".into())),
        max_bitrate: Some(Bitrate::from_kbps(800)),
        ..Wishes::default()
    });
    talk.joins(bob("h264"));
    talk.janus.publish(talk.now, &sdp("our offer"));
    talk.drain();
    assert_eq!(talk.told(), Some(Happening::Member { id: Id::Number(77), name: "Bob".into() }));
    let attach = talk.asked("attach");
    let publish = talk.asked("publish");
    assert_eq!(publish["jsep"], json!({"type": "offer", "sdp": "our offer", "trickle": false}));
    assert_eq!((publish["token"].as_str(), publish["apisecret"].as_str()), (Some("s3cret"), Some("s3cret")));
    assert_eq!(publish["body"]["bitrate"], 800_000);
    talk.plugin(&publish, 10, json!({"videoroom": "event", "configured": "ok"}), Some(("answer", "theirs")));
    assert_eq!(talk.told(), Some(Happening::Answer(sdp("theirs"))));

    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    let join = talk.asked("join");
    let body = &join["body"];
    assert_eq!((join["handle_id"].as_u64(), body["ptype"].as_str()), (Some(20), Some("subscriber")));
    assert_eq!((body["pin"].as_str(), body["private_id"].as_u64()), (Some("4321"), Some(99)));
    assert_eq!(body["streams"], json!([{"feed": 77, "mid": "0"}, {"feed": 77, "mid": "1"}]));
    let streams = json!([{"type": "audio", "mid": "0"}, {"type": "video", "mid": "1"}]);
    talk.plugin(&join, 20, json!({"videoroom": "attached", "streams": streams}), Some(("offer", "bob's")));
    assert_eq!(talk.told(), Some(Happening::Offer { id: Id::Number(77), sdp: sdp("bob's") }));
    talk.janus.answer(talk.now, &Id::Number(77), &sdp("our answer"));
    talk.drain();
    assert_eq!(talk.asked("start")["jsep"]["type"], "answer");
    talk.janus.choose_layer(talk.now, &Id::Number(77), 1);
    talk.drain();
    let wanted = json!([{"mid": "1", "substream": 1, "temporal": 2}]);
    assert_eq!(talk.asked("configure")["body"]["streams"], wanted);

    talk.hears(json!({"janus": "slowlink", "sender": 20, "uplink": false, "lost": 9}));
    assert_eq!(talk.told(), Some(Happening::Slow(Id::Number(77))));
    let leaving = json!({"videoroom": "event", "leaving": 77});
    talk.hears(json!({"janus": "event", "sender": 10, "plugindata": {"data": leaving}}));
    assert_eq!(talk.asked("detach")["handle_id"], 20);
    assert_eq!(talk.told(), Some(Happening::Gone(Id::Number(77))));

    talk.janus.leave(talk.now);
    talk.drain();
    talk.asked("leave");
    let destroy = talk.asked("destroy");
    assert_eq!(talk.told(), None);
    talk.answers(&destroy, json!({"janus": "success"}));
    assert_eq!(talk.told(), Some(Happening::Left));
    assert_eq!(talk.janus.deadline(), None);
}

#[test]
fn each_refusal_at_the_door_is_said_in_words() {
    for (code, refusal) in [
        (426, Refusal::NoRoom),
        (433, Refusal::Pin),
        (432, Refusal::Full),
        (403, Refusal::Token),
        (499, Refusal::Other("No".into(), 499)),
    ] {
        let mut talk = Talk::new(Wishes::default());
        let join = talk.reaches_the_door();
        talk.refuses(&join, code);
        assert_eq!(talk.told(), Some(Happening::Ended(refusal)), "{code}");
        assert_eq!(talk.janus.deadline(), None);
    }
    let mut talk = Talk::new(Wishes::default());
    let join = talk.reaches_the_door();
    let error = json!({"error_code": 429, "error": "Missing mandatory element (pin)"});
    talk.plugin(&join, 10, error, None);
    assert_eq!(talk.told(), Some(Happening::Ended(Refusal::Pin)));
    let mut talk = Talk::new(Wishes::default());
    talk.hears(
        json!({"janus": "error", "transaction": "t1", "error": {"code": 403, "reason": "Unauthorized"}}),
    );
    assert_eq!(talk.told(), Some(Happening::Ended(Refusal::Token)));
    let mut talk = Talk::new(Wishes::default());
    talk.janus.handle_text(talk.now, "<html>hello</html>");
    talk.drain();
    assert_eq!(talk.told(), Some(Happening::Ended(Refusal::NotJanus)));
}

#[test]
fn a_room_that_is_not_there_is_made_on_demand() {
    let wishes = Wishes { create: true, pin: Some(Redacted("1".into())), ..Wishes::default() };
    let mut talk = Talk::new(wishes);
    let join = talk.reaches_the_door();
    talk.refuses(&join, 426);
    let create = talk.asked("create");
    let body = &create["body"];
    assert_eq!((body["videocodec"].as_str(), body["pin"].as_str()), (Some("h264,vp8"), Some("1")));
    talk.answers(
        &create,
        json!({"janus": "success", "sender": 10, "plugindata": {"data": {"videoroom": "created", "room": 4711}}}),
    );
    talk.asked("join");

    let mut talk = Talk::new(Wishes { create: true, ..Wishes::default() });
    let join = talk.reaches_the_door();
    talk.refuses(&join, 426);
    let create = talk.asked("create");
    talk.refuses(&create, 433);
    assert_eq!(talk.told(), Some(Happening::Ended(Refusal::MayNotCreate)));
}

#[test]
fn what_cannot_be_shown_is_said_and_the_rest_received() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(bob("vp8"));
    let note = Note::Unplayable { name: "Bob".into(), codec: "VP8".into() };
    assert_eq!(talk.told(), Some(Happening::Note(note)));
    assert!(matches!(talk.told(), Some(Happening::Member { .. })));
    let attach = talk.asked("attach");
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    assert_eq!(talk.asked("join")["body"]["streams"], json!([{"feed": 77, "mid": "0"}]));
    // The same once more says nothing new; with another codec everything begins again.
    for (video, is_new) in [("vp8", false), ("h264", true)] {
        let event = json!({"videoroom": "event", "publishers": bob(video)});
        talk.hears(json!({"janus": "event", "sender": 10, "plugindata": {"data": event}}));
        assert_eq!(talk.told() == Some(Happening::Gone(Id::Number(77))), is_new, "{video}");
    }
    assert_eq!(talk.asked("detach")["handle_id"], 20);
    talk.asked("attach");
}

#[test]
fn a_session_is_kept_alive_and_a_silent_server_is_dialled_again() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(json!([]));
    talk.at(25_000);
    let keepalive = talk.asked("keepalive");
    talk.answers(&keepalive, json!({"janus": "ack", "session_id": 1}));
    talk.at(50_000);
    talk.asked("keepalive");
    talk.at(59_999);
    assert_eq!(talk.told(), None);
    talk.at(60_000);
    assert_eq!(talk.told(), Some(Happening::Interrupted));
    talk.at(60_500);
    assert_eq!(talk.dialled, 2);
    talk.janus.handle_closed(talk.now, "It refuses.");
    talk.at(61_500);
    assert_eq!((talk.dialled, talk.told()), (3, None));
    talk.janus.handle_opened(talk.now);
    talk.drain();
    // Our ghost of before is nobody.
    let ghost =
        json!([{"id": 5, "display": "Ann", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}]);
    let join = talk.reaches_the_door();
    let data = json!({"videoroom": "joined", "id": 6, "publishers": ghost});
    talk.plugin(&join, 10, data, None);
    assert_eq!(talk.told(), Some(Happening::Joined));
    assert_eq!(talk.told(), Some(Happening::OfferWanted));
    assert_eq!(talk.told(), None);
}

#[test]
fn a_server_that_stays_away_is_given_up_after_a_minute() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(json!([]));
    talk.janus.handle_closed(talk.now, "It closed.");
    talk.drain();
    assert_eq!(talk.told(), Some(Happening::Interrupted));
    let mut end = None;
    for ms in (0..70_000).step_by(100) {
        talk.at(ms);
        if talk.janus.phase == Phase::Dialing {
            talk.janus.handle_closed(talk.now, "It refuses.");
            talk.drain();
        }
        end = end.or(talk.told().map(|told| (ms, told)));
    }
    let (ms, told) = end.unwrap();
    assert!((60_000..66_000).contains(&ms), "{ms}");
    assert_eq!(told, Happening::Ended(Refusal::Lost("It refuses.".into())));
    assert!((12..20).contains(&talk.dialled), "{} dials", talk.dialled);
}

#[test]
fn a_server_that_was_never_there_is_not_waited_for() {
    let mut janus = Janus::new(Id::Number(1), Wishes::default());
    janus.handle_closed(at(0), "Nobody there.");
    let told = std::iter::from_fn(|| janus.poll_output()).find_map(|output| match output {
        Output::Tell(happening) => Some(happening),
        _ => None,
    });
    assert_eq!(told, Some(Happening::Ended(Refusal::Unreachable("Nobody there.".into()))));
}

#[test]
fn connections_that_the_server_hangs_up_are_made_again() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(bob("h264"));
    talk.told();
    let attach = talk.asked("attach");
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    talk.asked("join");
    talk.hears(json!({"janus": "hangup", "sender": 20, "reason": "ICE failed"}));
    assert_eq!(talk.asked("detach")["handle_id"], 20);
    talk.hears(json!({"janus": "hangup", "sender": 10, "reason": "DTLS alert"}));
    talk.asked("unpublish");
    assert_eq!(talk.told(), None);
    talk.at(1000);
    assert_eq!(talk.told(), Some(Happening::OfferWanted));
    talk.asked("attach");
}

#[test]
fn being_removed_and_the_end_of_the_room_end_it() {
    for (data, refusal) in [
        (json!({"videoroom": "event", "leaving": "ok", "reason": "kicked"}), Refusal::Removed),
        (json!({"videoroom": "destroyed", "room": 4711}), Refusal::Ended),
    ] {
        let mut talk = Talk::new(Wishes::default());
        talk.joins(json!([]));
        talk.hears(json!({"janus": "event", "sender": 10, "plugindata": {"data": data}}));
        assert_eq!(talk.told(), Some(Happening::Ended(refusal)));
    }
}

/// Whatever a server says, in whatever state: no panic, and no more than a sane number of anything.
#[test]
fn a_hostile_server_is_survived() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(json!([]));
    let crowd: Vec<Value> = (100..1000)
        .map(|id| json!({"id": id, "display": "x", "streams": [{"type": "audio", "mid": "0", "codec": "opus"}]}))
        .collect();
    for part in crowd.chunks(200) {
        let data = json!({"videoroom": "event", "publishers": part});
        talk.hears(json!({"janus": "event", "sender": 10, "plugindata": {"data": data}}));
    }
    assert_eq!(talk.said.len(), feeds::MAX_FEEDS);
    assert_eq!(talk.told.iter().filter(|told| **told == Happening::Note(Note::Crowd)).count(), 1);
    const NOISE: &[u8] = b"{}[]\":,0-9ea\\\x00\xff";
    let samples = [
        json!({"janus": "event", "sender": 10, "plugindata": {"data": {"videoroom": "joined", "id": 6}}}),
        json!({"janus": "success", "transaction": "t9", "data": {"id": 77}}),
        json!({"janus": "event", "sender": 10, "plugindata": {"data": {"unpublished": 100, "leaving": 101}}}),
        json!({"janus": "error", "transaction": "t12", "error": {"code": 458, "reason": "x"}}),
        json!({"janus": "hangup", "sender": 10}),
        json!({"janus": "timeout", "session_id": 1}),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    for round in 0..20_000 {
        let mut bytes = samples[below(samples.len())].to_string().into_bytes();
        for _ in 0..below(4) {
            let at = below(bytes.len());
            bytes[at] = NOISE[below(NOISE.len())];
        }
        talk.janus.handle_text(talk.now, &String::from_utf8_lossy(&bytes));
        talk.drain();
        talk.said.clear();
        talk.told.clear();
        if round % 50 == 0 {
            talk.now += Duration::from_secs(1);
            talk.janus.handle_deadline(talk.now);
            talk.janus.handle_opened(talk.now);
        }
        assert!(talk.janus.pending.len() <= MAX_PENDING);
    }
}
