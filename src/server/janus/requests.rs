//! What is asked of the server, word by word.

use super::subscription::Source;
use super::wire::{Frame, Id, PLUGIN};
use super::{
    AGAIN, ANSWER_LIMIT, FAREWELL, Happening, Janus, MAX_PENDING, Output, PUBLISHERS, Phase, ROOM_BITRATE,
    Role, Step,
};
use crate::units::Redacted;
use serde_json::{Map, Value, json};
use std::time::Instant;

impl Janus {
    pub(super) fn attach(&mut self, now: Instant, role: Role) {
        self.ask(now, Step::Attach(role), None, |frame, transaction| {
            let mut request = frame.request("attach", transaction);
            request.insert("plugin".into(), PLUGIN.into());
            request
        });
    }

    pub(super) fn detach(&mut self, now: Instant, handle: u64) {
        self.ask(now, Step::Wish, Some(handle), |frame, transaction| frame.request("detach", transaction));
    }

    pub(super) fn join(&mut self, now: Instant) {
        let mut body = json!({
            "request": "join",
            "ptype": "publisher",
            "room": self.room,
            "display": self.wishes.name,
        });
        self.add_pin(&mut body);
        self.say(now, Step::Join, self.own, body, None);
    }

    pub(super) fn create(&mut self, now: Instant) {
        let mut body = json!({
            "request": "create",
            "room": self.room,
            "description": self.room.to_string(),
            "publishers": PUBLISHERS,
            "bitrate": self.wishes.max_bitrate.unwrap_or(ROOM_BITRATE).bps(),
            "audiocodec": "opus",
            // In this order: browsers that can do both send H.264 then. VP8 is for those that cannot.
            "videocodec": "h264,vp8",
            "h264_profile": "42e01f",
            "opus_fec": true,
        });
        self.add_pin(&mut body);
        self.say(now, Step::Create, self.own, body, None);
    }

    pub(super) fn add_pin(&self, body: &mut Value) {
        if let Some(Redacted(pin)) = &self.wishes.pin {
            body["pin"] = pin.as_str().into();
        }
    }

    /// Our offer of what we send.
    pub fn publish(&mut self, now: Instant, offer: &Redacted<String>) {
        if self.phase != Phase::In {
            return;
        }
        let mut body = json!({"request": "publish", "display": self.wishes.name});
        if let Some(limit) = self.wishes.max_bitrate {
            body["bitrate"] = limit.bps().into();
        }
        self.say(now, Step::Publish, self.own, body, Some(("offer", &offer.0)));
    }

    pub(super) fn subscribe(&mut self, now: Instant, handle: u64, add: &[Source]) {
        let mut body = json!({
            "request": "join",
            "ptype": "subscriber",
            "room": self.room,
            "streams": named(add),
            // Who leaves needs no new description.
            "autoupdate": false,
        });
        if let Some(private) = self.private_id {
            body["private_id"] = private.into();
        }
        self.add_pin(&mut body);
        self.say(now, Step::Subscribe, Some(handle), body, None);
    }

    pub(super) fn update(&mut self, now: Instant, handle: u64, add: &[Source], remove: &[String]) {
        let mut body = json!({"request": "update"});
        if !add.is_empty() {
            body["subscribe"] = named(add);
        }
        if !remove.is_empty() {
            body["unsubscribe"] = remove.iter().map(|mid| json!({"sub_mid": mid})).collect();
        }
        self.say(now, Step::Subscribe, Some(handle), body, None);
    }

    /// Our answer to the newest [`Happening::Offer`].
    pub fn answer(&mut self, now: Instant, answer: &Redacted<String>) {
        let Some(handle) = self.subscription.handle() else { return };
        let body = json!({"request": "start", "room": self.room});
        self.say(now, Step::Start, Some(handle), body, Some(("answer", &answer.0)));
    }

    /// Which of the layers that a member sends we get: 0 is the smallest, 2 the largest. Without effect for members who
    /// send but one.
    pub fn choose_layer(&mut self, now: Instant, feed: &Id, layer: u8) {
        if let Some((mid, true)) = self.subscription.picture(feed) {
            let wish = json!({"mid": mid, "substream": layer, "temporal": 2});
            self.configure(now, wish);
        }
    }

    /// Whether the server sends us a member's picture.
    pub fn show(&mut self, now: Instant, feed: &Id, shown: bool) {
        if let Some((mid, _)) = self.subscription.picture(feed) {
            let wish = json!({"mid": mid, "send": shown});
            self.configure(now, wish);
        }
    }

    fn configure(&mut self, now: Instant, stream: Value) {
        let body = json!({"request": "configure", "streams": [stream]});
        self.say(now, Step::Wish, self.subscription.handle(), body, None);
    }

    /// Nothing comes through the connection that receives: it is made again.
    pub fn renew(&mut self, now: Instant) {
        if let Some(handle) = self.subscription.renew(now) {
            self.detach(now, handle);
        }
    }

    /// Nothing goes through the connection that sends: it is made again.
    pub fn renew_own(&mut self, now: Instant) {
        if self.phase == Phase::In && self.publish_at.is_none() {
            self.publish_at = Some(now + AGAIN);
            self.say(now, Step::Wish, self.own, json!({"request": "unpublish"}), None);
        }
    }

    /// Leaves the room, with a word to the server.
    pub fn leave(&mut self, now: Instant) {
        match self.phase {
            Phase::In | Phase::Opening if self.frame.session.is_some() => {
                self.phase = Phase::Leaving { until: now + FAREWELL };
                self.pending.clear();
                self.say(now, Step::Wish, self.own, json!({"request": "leave"}), None);
                self.pending.clear();
                self.ask(now, Step::Farewell, None, |frame, transaction| {
                    frame.request("destroy", transaction)
                });
            }
            Phase::Dialing | Phase::Opening | Phase::In | Phase::Away { .. } => self.finish(Happening::Left),
            Phase::Leaving { .. } | Phase::Done => {}
        }
    }

    pub(super) fn say(
        &mut self,
        now: Instant,
        step: Step,
        handle: Option<u64>,
        body: Value,
        jsep: Option<(&str, &str)>,
    ) {
        self.ask(now, step, handle, |frame, transaction| frame.message(transaction, body, jsep));
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        step: Step,
        handle: Option<u64>,
        request: impl FnOnce(&Frame, &str) -> Map<String, Value>,
    ) {
        self.transactions += 1;
        let transaction = format!("t{}", self.transactions);
        let frame = Frame { handle, ..self.frame.clone() };
        let text = Value::Object(request(&frame, &transaction)).to_string();
        if self.pending.len() < MAX_PENDING {
            self.pending.insert(transaction, (step, now + ANSWER_LIMIT));
        }
        self.outputs.push_back(Output::Send(Redacted(text)));
    }
}

fn named(sources: &[Source]) -> Value {
    sources.iter().map(|(feed, mid)| json!({"feed": feed, "mid": mid})).collect()
}
