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

    /// Something happens in the room.
    fn happens(&mut self, data: Value) {
        self.hears(json!({"janus": "event", "sender": 10, "plugindata": {"data": data}}));
    }

    /// The server describes the connection that receives: the sections' names, and what of whom stands in them.
    fn describes(&mut self, request: &Value, word: &str, sections: &[(&str, u64, &str)]) {
        let simulcast = json!({"substream": 2});
        let section = |(mid, feed, feed_mid): &(&str, u64, &str)| match feed {
            0 => json!({"mid": mid, "active": false}),
            _ => {
                json!({"mid": mid, "active": true, "feed_id": feed, "feed_mid": feed_mid, "simulcast": simulcast})
            }
        };
        let sections: Vec<Value> = sections.iter().map(section).collect();
        self.plugin(request, 20, json!({"videoroom": word, "streams": sections}), Some(("offer", "v=0")));
    }

    /// Our answer to that.
    fn starts(&mut self) {
        self.janus.answer(self.now, &sdp("our answer"));
        self.drain();
        let start = self.asked("start");
        assert_eq!((start["handle_id"].as_u64(), start["jsep"]["type"].as_str()), (Some(20), Some("answer")));
        self.plugin(&start, 20, json!({"videoroom": "event", "started": "ok"}), None);
    }

    /// Up to the first description, of these members.
    fn receives(&mut self, sections: &[(&str, u64, &str)]) {
        let attach = self.asked("attach");
        self.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
        let join = self.asked("join");
        self.describes(&join, "attached", sections);
        self.starts();
        self.told.clear();
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

/// Somebody with a camera and a microphone.
fn sender(id: u64, name: &str) -> Value {
    json!({"id": id, "display": name, "streams": [
        {"type": "audio", "mid": "0", "codec": "opus"}, {"type": "video", "mid": "1", "codec": "h264"}]})
}

fn member(id: u64, name: &str, has_picture: bool) -> Happening {
    Happening::Member { id: Id::Number(id), name: name.into(), has_picture }
}

fn offer(sections: &[(&str, u64)], is_new: bool) -> Happening {
    let sections = sections.iter().map(|(mid, id)| ((*mid).to_owned(), Id::Number(*id))).collect();
    Happening::Offer { sdp: sdp("v=0"), sections, is_new }
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
    assert_eq!(talk.told(), Some(member(77, "Bob", true)));
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
    talk.describes(&join, "attached", &[("0", 77, "0"), ("1", 77, "1")]);
    assert_eq!(talk.told(), Some(offer(&[("0", 77), ("1", 77)], true)));
    talk.starts();
    talk.janus.choose_layer(talk.now, &Id::Number(77), 1);
    talk.janus.show(talk.now, &Id::Number(77), false);
    talk.drain();
    let wanted = json!([{"mid": "1", "substream": 1, "temporal": 2}]);
    assert_eq!(talk.asked("configure")["body"]["streams"], wanted);
    assert_eq!(talk.asked("configure")["body"]["streams"], json!([{"mid": "1", "send": false}]));

    for (mid, slow) in [("1", Some(Happening::Slow(Id::Number(77)))), ("9", None)] {
        talk.hears(json!({"janus": "slowlink", "sender": 20, "mid": mid, "uplink": false, "lost": 9}));
        assert_eq!(talk.told(), slow);
    }
    talk.happens(json!({"videoroom": "event", "leaving": 77}));
    assert_eq!(talk.told(), Some(Happening::Gone(Id::Number(77))));
    assert!(talk.said.is_empty(), "whoever leaves needs no new description");

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
fn everybody_is_received_on_one_connection() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(json!([sender(77, "Bob"), sender(78, "Cat")]));
    let attach = talk.asked("attach");
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    let join = talk.asked("join");
    assert_eq!(join["body"]["streams"].as_array().map(Vec::len), Some(4));
    assert_eq!(join["body"]["autoupdate"], false);
    let both = [("0", 77, "0"), ("1", 77, "1"), ("2", 78, "0"), ("3", 78, "1")];
    talk.describes(&join, "attached", &both);
    // While that is being answered, one comes and one goes.
    talk.happens(json!({"videoroom": "event", "publishers": [sender(79, "Dan")]}));
    talk.happens(json!({"videoroom": "event", "leaving": 77}));
    assert!(talk.said.is_empty(), "one thing at a time");
    talk.starts();
    let update = talk.asked("update");
    let wanted = json!([{"feed": 79, "mid": "0"}, {"feed": 79, "mid": "1"}]);
    assert_eq!((&update["body"]["subscribe"], &update["body"]["unsubscribe"]), (&wanted, &Value::Null));
    talk.told.clear();
    // Who came takes the place of who has left.
    talk.describes(&update, "updated", &[("0", 79, "0"), ("1", 79, "1"), both[2], both[3]]);
    assert_eq!(talk.told(), Some(offer(&[("0", 79), ("1", 79), ("2", 78), ("3", 78)], false)));
    talk.starts();
    assert!(talk.said.is_empty() && talk.janus.subscription.deadline().is_none());

    // Dan's camera is gone, and comes again in a codec that nobody can show.
    let sound = json!({"type": "audio", "mid": "0", "codec": "opus"});
    let video = json!({"type": "video", "mid": "1", "codec": "vp9"});
    let publishers = json!([{"id": 79, "display": "Dan", "streams": [sound, video]}]);
    talk.happens(json!({"videoroom": "event", "publishers": publishers}));
    let note = Note::Unplayable { name: "Dan".into(), codec: "VP9".into() };
    assert_eq!(talk.told(), Some(Happening::Note(note)));
    assert_eq!(talk.told(), Some(member(79, "Dan", false)));
    let update = talk.asked("update");
    assert_eq!(update["body"]["unsubscribe"], json!([{"sub_mid": "1"}]));
    talk.describes(&update, "updated", &[("0", 79, "0"), ("1", 0, ""), both[2], both[3]]);
    assert_eq!(talk.told(), Some(offer(&[("0", 79), ("2", 78), ("3", 78)], false)));
}

#[test]
fn one_who_is_gone_already_does_not_keep_the_others_away() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(json!([sender(77, "Bob"), sender(78, "Cat")]));
    let attach = talk.asked("attach");
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    let all = talk.asked("join");
    talk.told.clear();
    let unknown = json!({"videoroom": "event", "error_code": 428, "error": "No such feed (77)"});
    talk.plugin(&all, 20, unknown.clone(), None);
    let one = talk.asked("join");
    assert_eq!(one["body"]["streams"][0]["feed"], 77);
    talk.plugin(&one, 20, unknown, None);
    assert_eq!(talk.told(), Some(Happening::Gone(Id::Number(77))));
    let other = talk.asked("join");
    talk.describes(&other, "attached", &[("0", 78, "0"), ("1", 78, "1")]);
    assert_eq!(talk.told(), Some(offer(&[("0", 78), ("1", 78)], true)));
    talk.starts();
    // What the server passes over is not asked for again and again.
    talk.happens(json!({"videoroom": "event", "publishers": [sender(79, "Dan")]}));
    let update = talk.asked("update");
    talk.plugin(&update, 20, json!({"videoroom": "updated"}), None);
    assert!(talk.said.is_empty());
}

#[test]
fn what_cannot_be_shown_is_said_and_the_rest_received() {
    let mut talk = Talk::new(Wishes::default());
    talk.joins(bob("vp8"));
    let note = || Note::Unplayable { name: "Bob".into(), codec: "VP8".into() };
    assert_eq!(talk.told(), Some(Happening::Note(note())));
    assert_eq!(talk.told(), Some(member(77, "Bob", false)));
    talk.receives(&[("0", 77, "0")]);
    // The same once more says nothing new; with another codec there is more to receive.
    talk.happens(json!({"videoroom": "event", "publishers": bob("vp8")}));
    assert_eq!((talk.told(), talk.said.len()), (None, 0));
    talk.happens(json!({"videoroom": "event", "publishers": bob("h264")}));
    assert_eq!(talk.told(), Some(member(77, "Bob", true)));
    assert_eq!(talk.asked("update")["body"]["subscribe"], json!([{"feed": 77, "mid": "1"}]));
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
    talk.receives(&[("0", 77, "0"), ("1", 77, "1")]);
    talk.hears(json!({"janus": "hangup", "sender": 20, "reason": "ICE failed"}));
    assert_eq!(talk.asked("detach")["handle_id"], 20);
    assert_eq!(talk.told(), Some(Happening::Unsubscribed));
    talk.hears(json!({"janus": "hangup", "sender": 10, "reason": "DTLS alert"}));
    talk.asked("unpublish");
    assert_eq!(talk.told(), None);
    talk.at(1000);
    assert_eq!(talk.told(), Some(Happening::OfferWanted));
    let attach = talk.asked("attach");
    // One that is given up before it is there is put back.
    talk.at(11_000);
    assert_eq!(talk.told(), Some(Happening::Unsubscribed));
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 21}}));
    talk.at(12_000);
    talk.receives(&[("0", 77, "0"), ("1", 77, "1")]);
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
    let attach = talk.asked("attach");
    talk.answers(&attach, json!({"janus": "success", "data": {"id": 20}}));
    assert_eq!(talk.asked("join")["body"]["streams"].as_array().map(Vec::len), Some(MAX_FEEDS));
    assert_eq!(talk.told.iter().filter(|told| **told == Happening::Note(Note::Crowd)).count(), 1);
    const NOISE: &[u8] = b"{}[]\":,0-9ea\\\x00\xff";
    let samples = [
        json!({"janus": "event", "sender": 10, "plugindata": {"data": {"videoroom": "joined", "id": 6}}}),
        json!({"janus": "success", "transaction": "t9", "data": {"id": 77}}),
        json!({"janus": "event", "sender": 10, "plugindata": {"data": {"unpublished": 100, "leaving": 101}}}),
        json!({"janus": "error", "transaction": "t12", "error": {"code": 458, "reason": "x"}}),
        json!({"janus": "hangup", "sender": 10}),
        json!({"janus": "event", "sender": 20, "jsep": {"type": "offer", "sdp": "v=0"}, "plugindata": {"data":
            {"videoroom": "updated", "streams": [{"mid": "0", "active": true, "feed_id": 100, "feed_mid": "0"}]}}}),
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
