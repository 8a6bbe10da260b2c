//! The members of a room who send, and how far we are with receiving from each.

use super::Note;
use super::wire::{Id, Publisher, Stream};
use std::collections::BTreeMap;
use std::time::Instant;

/// Members who are received from; each costs a connection and a decoder.
pub const MAX_FEEDS: usize = 64;

#[derive(Debug)]
pub struct Feed {
    streams: Vec<Stream>,
    pub handle: Option<u64>,
    /// When a handle for it is asked for, again.
    due: Option<Instant>,
    /// What the subscription calls its video.
    video: Option<String>,
}

impl Feed {
    fn sound(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == "audio" && is(stream, "opus"))
    }

    fn picture(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == "video" && is(stream, "h264"))
    }

    /// What we ask for: the member's first sound and first picture that can be played.
    fn wanted(&self) -> Vec<String> {
        [self.sound(), self.picture()].into_iter().flatten().map(|stream| stream.mid.clone()).collect()
    }

    pub fn is_playable(&self) -> bool {
        self.sound().is_some() || self.picture().is_some()
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
    /// There is something to receive that was not there before.
    pub is_new: bool,
    /// The handle of what was received before, which is no longer as it was.
    pub replaced: Option<u64>,
    pub note: Option<Note>,
}

#[derive(Debug, Default)]
pub struct Feeds {
    feeds: BTreeMap<Id, Feed>,
    is_crowded: bool,
}

impl Feeds {
    pub fn insert(&mut self, publisher: Publisher) -> Change {
        let Publisher { id, display, streams } = publisher;
        let feed = Feed { streams, handle: None, due: None, video: None };
        let old = self.feeds.get(&id);
        if old.is_some_and(|old| old.wanted() == feed.wanted()) {
            return Change::default();
        }
        if old.is_none() && self.feeds.len() >= MAX_FEEDS {
            let note = (!self.is_crowded).then_some(Note::Crowd);
            self.is_crowded = true;
            return Change { note, ..Change::default() };
        }
        let codec = feed.unplayable().map(str::to_owned);
        let note = codec.map(|codec| Note::Unplayable { name: called(&display), codec: shown(&codec) });
        let is_new = feed.is_playable();
        let replaced = self.feeds.insert(id, feed).and_then(|old| old.handle);
        Change { is_new, replaced, note }
    }

    pub fn remove(&mut self, id: &Id) -> Option<Feed> {
        self.feeds.remove(id)
    }

    /// The feed has a handle now; gives what to subscribe to.
    pub fn attached(&mut self, id: &Id, handle: u64) -> Option<Vec<String>> {
        let feed = self.feeds.get_mut(id).filter(|feed| feed.handle.is_none())?;
        feed.handle = Some(handle);
        Some(feed.wanted())
    }

    pub fn offered(&mut self, id: &Id, streams: &[Stream]) {
        if let Some(feed) = self.feeds.get_mut(id) {
            let video = streams.iter().find(|stream| stream.kind == "video");
            feed.video = video.map(|stream| stream.mid.clone());
        }
    }

    /// Gives the handle that was in use.
    pub fn renew(&mut self, id: &Id, due: Instant) -> Option<u64> {
        let feed = self.feeds.get_mut(id)?;
        feed.due = Some(due);
        feed.handle.take()
    }

    /// One whose time has come.
    pub fn due(&mut self, now: Instant) -> Option<Id> {
        let (id, feed) = self.feeds.iter_mut().find(|(_, feed)| feed.due.is_some_and(|due| now >= due))?;
        feed.due = None;
        Some(id.clone())
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.feeds.values().filter_map(|feed| feed.due).min()
    }

    pub fn handle(&self, id: &Id) -> Option<u64> {
        self.feeds.get(id)?.handle
    }

    pub fn of_handle(&self, handle: u64) -> Option<Id> {
        let (id, _) = self.feeds.iter().find(|(_, feed)| feed.handle == Some(handle))?;
        Some(id.clone())
    }

    /// The handle, and the name of the video in it, of a member who sends several layers.
    pub fn simulcast(&self, id: &Id) -> Option<(u64, &str)> {
        let feed = self.feeds.get(id)?;
        feed.picture().filter(|stream| stream.simulcast)?;
        Some((feed.handle?, feed.video.as_deref()?))
    }
}

fn called(display: &str) -> String {
    if display.is_empty() { "Somebody".into() } else { display.into() }
}

fn shown(codec: &str) -> String {
    codec.chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>().to_uppercase()
}
