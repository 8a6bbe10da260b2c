//! What we receive of the members of a room, all on one connection: who sends what, what the server was asked for, and
//! what its last description has.
//!
//! One request or description is under way at a time; what changes meanwhile goes into the next one. A member who
//! leaves needs none: their place in the description stays empty until the server gives it to somebody else.

use super::wire::{Id, Publisher, Stream, Subscribed};
use super::{AGAIN, Note};
use crate::server::MAX_FEEDS;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What a member sends: whose it is, and what they call it.
pub type Source = (Id, String);

/// What the server is to be asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// A handle for the connection.
    Attach,
    /// The connection itself.
    Join { handle: u64, add: Vec<Source> },
    /// Another description of it. `remove`: by the names of its sections.
    Update { handle: u64, add: Vec<Source>, remove: Vec<String> },
}

/// Somebody who sends.
#[derive(Debug)]
struct Feed {
    streams: Vec<Stream>,
}

impl Feed {
    fn sound(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == "audio" && is(stream, "opus"))
    }

    fn picture(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == "video" && is(stream, "h264"))
    }

    /// What we ask for: the member's first sound and first picture that can be played.
    fn wanted(&self) -> impl Iterator<Item = &str> {
        [self.sound(), self.picture()].into_iter().flatten().map(|stream| stream.mid.as_str())
    }

    fn is_playable(&self) -> bool {
        self.wanted().next().is_some()
    }

    /// The codec of pictures that are there and cannot be shown.
    fn unplayable(&self) -> Option<&str> {
        let video = self.streams.iter().find(|stream| stream.kind == "video" && !stream.disabled)?;
        self.picture().is_none().then_some(video.codec.as_str())
    }
}

fn is(stream: &Stream, codec: &str) -> bool {
    !stream.disabled && stream.codec.eq_ignore_ascii_case(codec)
}

/// What came of a publisher that the server has told of.
#[derive(Debug, Default)]
pub struct Change {
    /// Something can be played of them that could not before, or no longer.
    pub is_news: bool,
    pub note: Option<Note>,
}

/// A section of the server's last description that somebody stands in.
#[derive(Debug)]
struct Held {
    /// What the description calls it.
    mid: String,
    source: Source,
}

#[derive(Debug, Default)]
pub struct Subscription {
    feeds: BTreeMap<Id, Feed>,
    handle: Option<u64>,
    /// The server has described the connection at least once.
    joined: bool,
    /// A request or a description is under way.
    busy: bool,
    /// The connection is made again, and not before then.
    not_before: Option<Instant>,
    held: Vec<Held>,
    /// What the request under way is about.
    asked: Vec<Source>,
    /// What was asked for and did not come of it: not asked for again on this connection.
    barren: BTreeSet<Source>,
    /// The server refused a request because of one of several: they are asked for one by one.
    cautious: bool,
    is_crowded: bool,
}

impl Subscription {
    // Who sends.

    pub fn insert(&mut self, publisher: Publisher) -> Change {
        let Publisher { id, display, streams } = publisher;
        let feed = Feed { streams };
        let old = self.feeds.get(&id);
        if old.is_none() && self.feeds.len() >= MAX_FEEDS {
            let note = (!self.is_crowded).then_some(Note::Crowd);
            self.is_crowded = true;
            return Change { note, ..Change::default() };
        }
        let is_news = old.is_none_or(|old| old.wanted().ne(feed.wanted()));
        let codec = feed.unplayable().filter(|_| is_news).map(str::to_owned);
        let note = codec.map(|codec| Note::Unplayable { name: called(&display), codec: shown(&codec) });
        if is_news {
            self.barren.retain(|(of, _)| *of != id);
        }
        self.feeds.insert(id, feed);
        Change { is_news, note }
    }

    /// Gives whether something was played of them.
    pub fn remove(&mut self, id: &Id) -> bool {
        self.held.retain(|held| held.source.0 != *id);
        self.barren.retain(|(of, _)| of != id);
        self.feeds.remove(id).is_some_and(|feed| feed.is_playable())
    }

    /// Whether anything of this member can be played, and whether they send pictures that can.
    pub fn plays(&self, id: &Id) -> Option<bool> {
        let feed = self.feeds.get(id).filter(|feed| feed.is_playable())?;
        Some(feed.picture().is_some())
    }

    // What is asked of the server.

    /// The next request; its answer has to be told before there is another.
    pub fn poll(&mut self, now: Instant) -> Option<Request> {
        if self.busy || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let mut add = self.missing();
        let Some(handle) = self.handle else {
            if add.is_empty() {
                return None;
            }
            (self.busy, self.not_before) = (true, None);
            return Some(Request::Attach);
        };
        self.cautious &= !add.is_empty();
        if self.cautious {
            let first = add[0].0.clone();
            add.retain(|(of, _)| *of == first);
        }
        let remove = self.surplus();
        if add.is_empty() && (remove.is_empty() || !self.joined) {
            return None;
        }
        self.busy = true;
        self.asked.clone_from(&add);
        Some(match self.joined {
            false => Request::Join { handle, add },
            true => Request::Update { handle, add, remove },
        })
    }

    /// When [`Self::poll`] has something new to say.
    pub fn deadline(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.busy && self.feeds.values().any(Feed::is_playable))
    }

    fn wanted(&self) -> impl Iterator<Item = (&Id, &str)> {
        self.feeds.iter().flat_map(|(id, feed)| feed.wanted().map(move |mid| (id, mid)))
    }

    fn missing(&self) -> Vec<Source> {
        let is_held =
            |id: &Id, mid: &str| self.held.iter().any(|held| held.source.0 == *id && held.source.1 == mid);
        let wanted = self.wanted().filter(|(id, mid)| !is_held(id, mid));
        let wanted = wanted.map(|(id, mid)| (id.clone(), mid.to_owned()));
        wanted.filter(|source| !self.barren.contains(source)).collect()
    }

    fn surplus(&self) -> Vec<String> {
        let is_wanted =
            |held: &&Held| self.wanted().any(|(id, mid)| *id == held.source.0 && mid == held.source.1);
        self.held.iter().filter(|held| !is_wanted(held)).map(|held| held.mid.clone()).collect()
    }

    // What the server says.

    /// `false`: nobody has asked for this handle any more.
    pub fn attached(&mut self, handle: u64) -> bool {
        let is_awaited = self.busy && self.handle.is_none();
        if is_awaited {
            (self.handle, self.busy) = (Some(handle), false);
        }
        is_awaited
    }

    /// A description of the connection, which is to be answered. Gives which of its sections is whose, and whether it
    /// is the first one.
    pub fn offered(&mut self, streams: Vec<Subscribed>) -> (Vec<(String, Id)>, bool) {
        let is_first = !std::mem::replace(&mut self.joined, true);
        self.busy = true;
        self.held.clear();
        for Subscribed { mid, active, feed_id, feed_mid } in streams {
            if let Some(id) = feed_id.filter(|id| active && self.feeds.contains_key(id)) {
                self.held.push(Held { mid, source: (id, feed_mid) });
            }
        }
        self.settle();
        let sections = self.held.iter().map(|held| (held.mid.clone(), held.source.0.clone()));
        (sections.collect(), is_first)
    }

    /// The request led to nothing that would have to be answered.
    pub fn unchanged(&mut self) {
        self.busy = false;
        self.settle();
    }

    fn settle(&mut self) {
        for source in std::mem::take(&mut self.asked) {
            if !self.held.iter().any(|held| held.source == source) {
                self.barren.insert(source);
            }
        }
    }

    /// Our answer has been taken.
    pub fn started(&mut self) {
        self.busy = false;
    }

    /// The server does not know somebody we asked for. Gives who that is, if it is clear.
    pub fn unknown(&mut self) -> Option<Id> {
        self.busy = false;
        let mut asked = std::mem::take(&mut self.asked).into_iter().map(|(id, _)| id);
        let first = asked.next()?;
        self.cautious = asked.any(|id| id != first);
        (!self.cautious).then_some(first)
    }

    /// The connection is of no use any more: it is made again in a while. Gives the handle that was in use.
    pub fn renew(&mut self, now: Instant) -> Option<u64> {
        (self.joined, self.busy) = (false, false);
        self.held.clear();
        self.asked.clear();
        self.barren.clear();
        self.not_before = Some(now + AGAIN);
        self.handle.take()
    }

    pub fn handle(&self) -> Option<u64> {
        self.handle
    }

    /// Whose the section of this name is.
    pub fn whose(&self, mid: &str) -> Option<Id> {
        Some(self.held.iter().find(|held| held.mid == mid)?.source.0.clone())
    }

    /// The section of a member's picture; and whether they send it in several layers.
    pub fn picture(&self, id: &Id) -> Option<(&str, bool)> {
        let picture = self.feeds.get(id)?.picture()?;
        let held = self.held.iter().find(|held| held.source.0 == *id && held.source.1 == picture.mid)?;
        Some((&held.mid, picture.simulcast))
    }
}

fn called(display: &str) -> String {
    if display.is_empty() { "Somebody".into() } else { display.into() }
}

fn shown(codec: &str) -> String {
    codec.chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>().to_uppercase()
}
