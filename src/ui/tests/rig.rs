//! A window with everything around it in a test's hands: engine, clipboard, clock, pictures.

use crate::engine::{
    Command, Engine, Event, OwnCode, PageGuest, PageLink, PictureHandle, Presence, RemotePeer,
};
use crate::frame::{I420, RawFrame};
use crate::invite::{self, Description, Kind};
use crate::pipeline::Picture;
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::room::trust::{Role, Trust};
use crate::settings::Settings;
use crate::ui::app::{App, Parts};
use crate::ui::clipboard::{Answer, Clipboard, Copied, Purpose};
use crate::ui::repaint::Waker;
use crate::ui::window::WindowOptions;
use crate::units::{Redacted, Resolution};
use eframe::egui::{self, Theme};
use egui_kittest::Harness;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A clipboard that answers at once.
#[derive(Clone, Default)]
pub struct FakeClipboard(Rc<RefCell<Inside>>);

#[derive(Default)]
struct Inside {
    text: String,
    answers: VecDeque<Answer>,
    reads: Vec<Purpose>,
}

impl FakeClipboard {
    pub fn text(&self) -> String {
        self.0.borrow().text.clone()
    }
    pub fn put(&self, text: &str) {
        self.0.borrow_mut().text = text.into();
    }
    /// Why it was read since the last time this was asked.
    pub fn take_reads(&self) -> Vec<Purpose> {
        std::mem::take(&mut self.0.borrow_mut().reads)
    }
}

impl Clipboard for FakeClipboard {
    fn copy(&mut self, what: Copied, text: String) {
        let mut inside = self.0.borrow_mut();
        inside.text = text;
        inside.answers.push_back(Answer::Copied(what));
    }
    fn read(&mut self, purpose: Purpose) {
        let mut inside = self.0.borrow_mut();
        inside.reads.push(purpose);
        let text = Redacted(inside.text.clone());
        inside.answers.push_back(Answer::Text(purpose, text));
    }
    fn poll_answer(&mut self) -> Option<Answer> {
        self.0.borrow_mut().answers.pop_front()
    }
}

/// How the window under test opens.
pub struct Setup {
    pub theme: Theme,
    pub size: (f32, f32),
    pub scale: f32,
    pub settings: Settings,
    pub settings_path: Option<PathBuf>,
    pub options: WindowOptions,
}

impl Default for Setup {
    fn default() -> Self {
        let settings =
            Settings { name: "Tomás".into(), theme: crate::settings::Theme::Dark, ..Settings::default() };
        Self {
            theme: Theme::Dark,
            size: (1180.0, 720.0),
            scale: 1.0,
            settings,
            settings_path: None,
            options: WindowOptions::default(),
        }
    }
}

/// Whoever is at the other end of a call of two.
pub const PERSON: PeerId = PeerId(1);

pub struct Rig {
    pub harness: Harness<'static, App>,
    pub clipboard: FakeClipboard,
    commands: tokio::sync::mpsc::Receiver<Command>,
    events: crossbeam_channel::Sender<Event>,
    pub preview: Picture,
    pub remote: Picture,
    clock: Rc<Cell<Instant>>,
    nearby: Option<bool>,
    /// The pictures of a group, what each told last, and how each is drawn.
    people: BTreeMap<PeerId, Picture>,
    known: BTreeMap<PeerId, RemotePeer>,
    views: BTreeMap<PeerId, Option<Resolution>>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let (engine, commands, events) = Engine::fake();
        let preview = engine.preview();
        let clipboard = FakeClipboard::default();
        let clock = Rc::new(Cell::new(Instant::now()));
        let (their_clipboard, their_clock) = (clipboard.clone(), Rc::clone(&clock));
        let Setup { theme, size, scale, mut settings, settings_path, options } = setup;
        settings.theme = match theme {
            Theme::Dark => crate::settings::Theme::Dark,
            Theme::Light => crate::settings::Theme::Light,
        };
        let harness = Harness::builder()
            .with_size(egui::vec2(size.0, size.1))
            .with_pixels_per_point(scale)
            .with_theme(theme)
            .with_render_cursor(false)
            .wgpu()
            .build_eframe(move |cc| {
                let parts = Parts {
                    engine,
                    settings,
                    unwanted: Vec::new(),
                    settings_path,
                    clipboard: Box::new(their_clipboard),
                    waker: Waker::new(cc.egui_ctx.clone()),
                    clock: Box::new(move || their_clock.get()),
                    options,
                };
                App::new(cc, parts)
            });
        let mut rig = Self {
            harness,
            clipboard,
            commands,
            events,
            preview,
            remote: Picture::default(),
            clock,
            nearby: None,
            people: BTreeMap::new(),
            known: BTreeMap::new(),
            views: BTreeMap::new(),
        };
        rig.commands();
        rig
    }

    pub fn now(&self) -> Instant {
        self.clock.get()
    }

    pub fn wait(&mut self, duration: Duration) {
        self.clock.set(self.clock.get() + duration);
        self.settle();
    }

    /// A few passes: what was clicked, sent or said has had its effect.
    pub fn settle(&mut self) {
        self.harness.run_steps(4);
        self.harness.check_accessibility();
    }

    pub fn say(&mut self, event: Event) {
        self.events.try_send(event).unwrap();
        self.settle();
    }

    pub fn enter(&mut self, state: CallState) {
        self.say(Event::Call(state));
    }

    /// What the engine was asked since the last time, but for what the window says by itself.
    pub fn commands(&mut self) -> Vec<Command> {
        let heard: Vec<_> = std::iter::from_fn(|| self.commands.try_recv().ok()).collect();
        let nearby = |command: &Command| match command {
            Command::Nearby(on) => Some(*on),
            _ => None,
        };
        for command in &heard {
            if let Command::View(id, size) = command {
                self.views.insert(*id, *size);
            }
        }
        self.nearby = heard.iter().rev().find_map(nearby).or(self.nearby);
        let by_itself = |command: &Command| {
            matches!(command, Command::ListDevices | Command::View(..) | Command::Nearby(_))
        };
        heard.into_iter().filter(|command| !by_itself(command)).collect()
    }

    /// What the engine was told last about being seen nearby.
    pub fn is_seen_nearby(&mut self) -> bool {
        let asked = self.commands();
        assert!(asked.is_empty(), "{asked:?}");
        self.nearby == Some(true)
    }

    pub fn click(&mut self, name: &str) {
        use egui_kittest::kittest::Queryable as _;
        self.harness.get_by_role_and_label(egui::Role::Button, name).click();
        self.settle();
    }

    /// Opens a list and takes one of its lines, which may have a second line.
    pub fn choose(&mut self, name: &str, line: &str) {
        use egui_kittest::kittest::Queryable as _;
        self.harness.get_by_role_and_label(egui::Role::ComboBox, name).click();
        self.settle();
        self.harness.get_by_role_and_label(egui::Role::MenuItemRadio, line).click();
        self.settle();
    }

    pub fn key(&mut self, key: egui::Key) {
        self.harness.key_press(key);
        self.settle();
    }

    pub fn paste(&mut self, text: &str) {
        self.harness.event(egui::Event::Paste(text.into()));
        self.settle();
    }

    /// The window goes to the back and comes to the front again.
    pub fn focus(&mut self) {
        for focused in [false, true] {
            self.harness.input_mut().focused = focused;
            self.harness.event(egui::Event::WindowFocused(focused));
            self.settle();
        }
    }

    /// Turns the wheel over the middle of the window.
    pub fn scroll(&mut self, points: f32) {
        let middle = self.harness.ctx.content_rect().center();
        self.harness.hover_at(middle);
        self.harness.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            source: egui::MouseWheelSource::Wheel,
            delta: egui::vec2(0.0, points),
            phase: egui::TouchPhase::Move,
            modifiers: egui::Modifiers::NONE,
        });
        self.harness.run_steps(30);
    }

    pub fn shows(&self, text: &str) -> bool {
        use egui_kittest::kittest::Queryable as _;
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    /// Start of a call, with the invite made.
    pub fn invite_out(&mut self) -> OwnCode {
        self.enter(CallState::Gathering(Kind::Invite));
        let code = own_code(Kind::Invite, 1);
        self.say(Event::Code(Box::new(code.clone())));
        self.enter(CallState::WaitingForReply);
        code
    }

    /// In a call with somebody whose picture comes in.
    pub fn in_call(&mut self, name: &str, picture: Option<I420>) {
        let since = self.now();
        self.enter(CallState::InCall { since });
        self.change(PERSON, |person| (person.name, person.presence) = (name.into(), Presence::Here));
        self.say(Event::Picture(PERSON, Some(PictureHandle(Arc::clone(&self.remote)))));
        if let Some(image) = picture {
            let slot = Arc::clone(&self.remote);
            self.put(&slot, image);
        }
    }

    /// In a call with several, who come one after the other; they are 1, 2, ...
    pub fn group(&mut self, names: &[&str]) {
        self.enter(CallState::InCall { since: self.now() });
        for (index, name) in names.iter().enumerate() {
            self.person(PeerId(index as u64 + 1), name);
        }
    }

    pub fn person(&mut self, id: PeerId, name: &str) {
        let slot = Picture::default();
        self.people.insert(id, Arc::clone(&slot));
        self.say(Event::Picture(id, Some(PictureHandle(slot))));
        self.change(id, |person| (person.name, person.presence) = (name.into(), Presence::Here));
    }

    /// Somebody tells something new about themselves.
    pub fn change(&mut self, id: PeerId, change: impl FnOnce(&mut RemotePeer)) {
        let person = self.known.entry(id).or_default();
        change(person);
        let person = person.clone();
        self.say(Event::Remote(id, person));
    }

    pub fn leave(&mut self, id: PeerId) {
        self.people.remove(&id);
        self.known.remove(&id);
        self.say(Event::Left(id));
    }

    pub fn put_of(&mut self, id: PeerId, image: I420) {
        let slot = Arc::clone(&self.people[&id]);
        self.put(&slot, image);
    }

    pub fn levels(&mut self, microphone: f32, people: &[(PeerId, f32)]) {
        self.say(Event::Levels { microphone, people: people.to_vec() });
    }

    /// What the engine was told last of how each is drawn.
    pub fn views(&mut self) -> BTreeMap<PeerId, Option<Resolution>> {
        self.commands();
        self.views.clone()
    }

    pub fn put(&mut self, slot: &Picture, image: I420) {
        slot.put(Arc::new(RawFrame { image, captured_at: self.now() }));
        self.settle();
    }
}

/// A description as a peer makes it; `seed` tells peers apart.
pub fn description(kind: Kind, seed: u32) -> Description {
    let setup = if kind == Kind::Invite { "actpass" } else { "active" };
    let fingerprint = vec![format!("{:02X}", seed & 0xff); 32].join(":");
    let sdp = format!(
        "v=0\r\no=- {seed} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=setup:{setup}\r\na=ice-ufrag:user{seed}\r\n\
         a=ice-pwd:password0password0password{seed}\r\na=rtcp-mux\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n\
         a=candidate:1 1 udp 2130706431 192.168.1.20 50612 typ host\r\n\
         a=candidate:2 1 udp 1694498815 203.0.113.7 50612 typ srflx raddr 0.0.0.0 rport 50612\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=setup:{setup}\r\na=ice-ufrag:user{seed}\r\n\
         a=ice-pwd:password0password0password{seed}\r\na=rtcp-mux\r\na=sendrecv\r\na=rtpmap:102 H264/90000\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=setup:{setup}\r\n\
         a=ice-ufrag:user{seed}\r\na=ice-pwd:password0password0password{seed}\r\na=sctp-port:5000\r\n"
    );
    Description { kind, sdp: Redacted(sdp) }
}

pub fn own_code(kind: Kind, seed: u32) -> OwnCode {
    let description = description(kind, seed);
    let text = invite::encode(&description);
    OwnCode {
        kind,
        full: Redacted(text.clone()),
        text: Redacted(text),
        candidates: invite::candidates(&description).into_iter().map(Redacted).collect(),
    }
}

/// The code of two Twocans, which is short.
pub fn compact_code(kind: Kind) -> OwnCode {
    let text = "2canACEEfGZZhKIaK6XGbII3a7Vz2qxkxOaN4u4Gqrht1GO4iO4knXqM0lcgIrIoTY6jA49qHWZQqlT85Zk1QNKP9tIxrGJVlWjajc1h6SZ3fiG0\
                rqFj4EpAYN7jEM0zxA";
    OwnCode { kind, text: Redacted(text.into()), ..own_code(kind, 1) }
}

/// As the engine tells a code that was given a passphrase.
pub fn sealed_code(kind: Kind) -> OwnCode {
    let text = Redacted(invite::seal(&compact_code(kind).text.0, "rosebud", [1; invite::SALT]).unwrap());
    OwnCode { kind, full: text.clone(), text, candidates: Vec::new() }
}

/// The words of a call, as an engine tells them.
pub fn four_words() -> Event {
    let mut host = Trust::new(Role::Host, [1; 32], [2; 32], [3; 32], None);
    let mut guest = Trust::new(Role::Guest, [2; 32], [1; 32], [4; 32], None);
    let answer = host.poll().and_then(|message| guest.handle(&message));
    answer.and_then(|message| host.handle(&message));
    Event::Trust(PERSON, host.comparison())
}

/// The page for phones, served.
pub fn page(guest: PageGuest) -> PageLink {
    PageLink { links: vec![Redacted("https://192.168.1.7:8443/AbCdEfGhIjKlMnOpQrStUv/".into())], guest }
}

/// A picture of one colour.
pub fn plain(resolution: Resolution, (y, u, v): (u8, u8, u8)) -> I420 {
    let mut picture = I420::black(resolution);
    let planes = picture.planes_mut();
    planes.0.fill(y);
    planes.1.fill(u);
    planes.2.fill(v);
    picture
}
