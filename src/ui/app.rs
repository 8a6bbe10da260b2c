//! The window's application: drains events and pictures in `logic`, shows the screen in `ui`, and carries out what
//! screens and keys ask for. The only place that talks to the engine, the clipboard and the settings file.

use super::background::{Awake, Saver};
use super::clipboard::{Answer, Clipboard, Copied, Purpose};
use super::keys;
use super::model::{Effect, Model, Tone};
use super::people::Who;
use super::pictures::Pictures;
use super::repaint::Waker;
use super::scale::scale_for;
use super::scanner::Scanner;
use super::screens;
use super::theme;
use super::video::{self, VideoPainter};
use super::view::{Act, Offer, Overlay, Scene, Screen, View};
use super::visit;
use super::widgets::{ToastButton, Toasts};
use super::window::{StartAction, WindowOptions};
use super::wording;
use crate::device::DeviceKind;
use crate::engine::{Command, Engine, Event, PictureHandle};
use crate::invite::{self, InviteError, Kind, Pasted};
use crate::ports::PeerId;
use crate::room::call::CallState;
use crate::settings::Settings;
use crate::units::Redacted;
use eframe::egui::{self, ViewportCommand};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What an [`App`] is made of; tests hand in fakes.
pub struct Parts {
    pub engine: Engine,
    pub settings: Settings,
    /// Devices that the command line switches off, whatever the settings say.
    pub unwanted: Vec<DeviceKind>,
    /// `None`: nothing is remembered.
    pub settings_path: Option<PathBuf>,
    pub clipboard: Box<dyn Clipboard>,
    pub waker: Waker,
    pub clock: Box<dyn Fn() -> Instant>,
    pub options: WindowOptions,
}

pub struct App {
    engine: Engine,
    model: Model,
    view: View,
    settings: Settings,
    saver: Saver,
    clipboard: Box<dyn Clipboard>,
    waker: Waker,
    clock: Box<dyn Fn() -> Instant>,
    options: WindowOptions,
    painter: VideoPainter,
    own: video::View,
    pictures: Pictures,
    toasts: Toasts,
    /// While a QR code is looked for.
    scanner: Option<Scanner>,
    awake: Awake,
    /// What the engine was told last about being seen nearby.
    nearby: bool,
    title: String,
    focused: bool,
    /// What the size of the window alone makes of the scale; the user's Ctrl+Plus comes on top.
    scale: f32,
}

impl App {
    /// The button of the message that you are muted.
    const UNMUTE: ToastButton = ToastButton { label: "Unmute", key: "M" };
    /// How long a closing window waits for the engine to say bye.
    const FAREWELL: Duration = Duration::from_millis(800);
    /// How often a window with a courier looks into its inbox, until the call is up.
    const COURIER_ROUND: Duration = Duration::from_millis(50);

    pub fn new(cc: &eframe::CreationContext<'_>, parts: Parts) -> Self {
        let Parts { engine, settings, unwanted, settings_path, clipboard, waker, clock, options } = parts;
        theme::install(&cc.egui_ctx);
        cc.egui_ctx.set_theme(theme::preference(settings.theme));
        let painter = VideoPainter::new(cc);
        if painter.is_software() {
            waker.limit(Waker::SOFTWARE_FPS);
            cc.egui_ctx.all_styles_mut(|style| style.animation_time = 0.0);
        }
        let own = video::View::new(engine.preview());
        let wake = waker.clone();
        own.slot().on_new(Box::new(move || wake.wake()));
        engine.send(Command::ListDevices);
        let mut view = View::new(clock());
        match options.start {
            StartAction::Lobby => {}
            StartAction::StartCall => engine.send(Command::StartCall),
            StartAction::JoinCall => view.joining = true,
        }
        Self {
            engine,
            model: Model::without(&unwanted),
            view,
            settings,
            saver: Saver::start(settings_path),
            clipboard,
            waker,
            clock,
            options,
            painter,
            own,
            pictures: Pictures::default(),
            toasts: Toasts::default(),
            scanner: None,
            awake: Awake::default(),
            nearby: false,
            title: String::new(),
            focused: false,
            scale: 1.0,
        }
    }

    /// Takes what came in since the last pass.
    fn drain(&mut self, ctx: &egui::Context) {
        let now = (self.clock)();
        // Not without end: a flood of events must not keep the window from painting.
        for _ in 0..Engine::EVENTS {
            let Some(event) = self.engine.poll_event() else { break };
            self.take(ctx, event, now);
        }
        while let Some(answer) = self.clipboard.poll_answer() {
            self.take_answer(answer, now);
        }
        self.serve_courier(ctx);
        self.scan();
        if !matches!(self.model.call, CallState::Idle | CallState::Ended(_)) {
            self.view.joining = false;
        }
        self.view.visiting &= !self.model.call.in_call() && !matches!(self.model.call, CallState::Ended(_));
        self.own.refresh();
        self.pictures.refresh();
        self.model.people.speakers.advance(now);
        if let Some(at) = self.model.people.speakers.deadline() {
            ctx.request_repaint_after(at.saturating_duration_since(now) + Duration::from_millis(1));
        }
    }

    /// The search for a QR code runs as long as its part of the screen shows.
    fn scan(&mut self) {
        let screen = self.view.screen(&self.model);
        self.view.scanning &= matches!(screen, Screen::Exchange | Screen::Call);
        if !self.view.scanning {
            self.scanner = None;
        } else if self.scanner.is_none() {
            self.scanner = Scanner::start(self.engine.preview(), self.waker.clone());
            self.view.scanning = self.scanner.is_some();
        }
        if let Some(text) = self.scanner.as_ref().and_then(Scanner::poll) {
            self.view.scanning = false;
            self.scanner = None;
            self.submit(text.0);
        }
    }

    fn take(&mut self, ctx: &egui::Context, event: Event, now: Instant) {
        for effect in self.model.reduce(event, now) {
            match effect {
                Effect::CopyCode => self.hand_out_code(),
                Effect::CodeChanged => self.view.forget_copied(Copied::Code),
                Effect::RemotePicture(id, picture) => self.show_remote(id, picture),
                Effect::NoPictures => {
                    self.pictures.clear(&self.painter);
                    self.view.fill = None;
                }
                Effect::Forget(id) => {
                    self.show_remote(id, None);
                    self.view.forget(id);
                }
                Effect::Toast(tone, text) => self.toasts.add(tone, text, now),
                Effect::Attention => {
                    let attention = egui::UserAttentionType::Informational;
                    ctx.send_viewport_cmd(ViewportCommand::RequestUserAttention(attention));
                }
                Effect::MutedHint(true) => self.toasts.add_with(wording::MUTED, Self::UNMUTE, now),
                Effect::MutedHint(false) => self.toasts.remove(wording::MUTED),
                Effect::ClearField => self.view.clear_field(),
                Effect::AskPassphrase => self.view.joining |= self.model.call == CallState::Idle,
                Effect::NewCall => self.view.new_call(),
                Effect::Ask(remedy) => self.view.visit_wants = Some(remedy),
                Effect::Dismiss => self.engine.send(Command::Dismiss),
                Effect::StayAwake(awake) => self.awake.set(awake),
            }
        }
    }

    fn show_remote(&mut self, id: PeerId, picture: Option<PictureHandle>) {
        // They came over a new connection, whose sound is as loud as it comes.
        if let Some(volume) = self.view.volumes.get(&id).filter(|_| picture.is_some()) {
            self.engine.send(Command::Volume(id, *volume));
        }
        self.pictures.set(id, picture, &self.painter, &self.waker);
        self.view.fill = None;
    }

    /// Our code is ready: into the clipboard at once, or to the courier.
    fn hand_out_code(&mut self) {
        let Some(code) = &self.model.code else { return };
        let text = code.text.0.clone();
        if let Some(courier) = &self.options.courier {
            if courier.out.try_send(text).is_err() {
                tracing::warn!("nobody takes the code");
            }
            return;
        }
        self.view.decline(text.clone());
        self.clipboard.copy(Copied::Code, text);
    }

    /// Whoever made the invite has not been reached: now the reply is needed, and goes into the clipboard.
    fn offer_reply(&mut self, ctx: &egui::Context) {
        let since = match self.model.call {
            CallState::Connecting { own: Kind::Reply, since } => since,
            CallState::Gathering(Kind::Reply) if self.options.courier.is_some() => (self.clock)(),
            _ => return,
        };
        if self.view.reply_offered || self.model.code.is_none() {
            return;
        }
        let waited = (self.clock)().saturating_duration_since(since);
        // A courier has nothing better to do.
        let wait =
            if self.options.courier.is_some() { Duration::ZERO } else { screens::exchange::REPLY_AFTER };
        match wait.checked_sub(waited) {
            Some(left) if !left.is_zero() => ctx.request_repaint_after(left),
            _ => {
                self.view.reply_offered = true;
                self.hand_out_code();
            }
        }
    }

    fn serve_courier(&mut self, ctx: &egui::Context) {
        let Some(courier) = &self.options.courier else { return };
        if self.model.call.in_call() || matches!(self.model.call, CallState::Ended(_)) {
            return;
        }
        if let Ok(text) = courier.inbox.try_recv() {
            self.submit(text);
        }
        ctx.request_repaint_after(Self::COURIER_ROUND);
    }

    fn take_answer(&mut self, answer: Answer, now: Instant) {
        match answer {
            Answer::Text(Purpose::Paste, text) => self.submit(text.0),
            Answer::Text(Purpose::Look, text) => self.consider(text),
            Answer::Copied(what) => self.view.copied = Some((what, now)),
            Answer::Failed(sentence) => self.toasts.add(Tone::Trouble, sentence, now),
        }
    }

    /// Is this text from the clipboard a code that is of use now?
    fn consider(&mut self, text: Redacted<String>) {
        let wanted = match self.model.call {
            CallState::Idle => Kind::Invite,
            CallState::WaitingForReply => Kind::Reply,
            CallState::Gathering(_)
            | CallState::Connecting { .. }
            | CallState::Lobby { .. }
            | CallState::InCall { .. }
            | CallState::Reconnecting { .. }
            | CallState::Ended(_) => return,
        };
        self.view.offer = match invite::read(&text.0) {
            Ok(Pasted::Description(description))
                if description.kind == wanted && !self.view.is_declined(&text.0) =>
            {
                Some(Offer { kind: wanted, text })
            }
            Err(InviteError::NeedsPassphrase(_)) if !self.view.is_declined(&text.0) => {
                Some(Offer { kind: wanted, text })
            }
            Ok(Pasted::Description(_) | Pasted::Candidate(_)) | Err(_) => None,
        };
    }

    fn submit(&mut self, text: String) {
        self.model.refusal = None;
        self.model.locked = false;
        let text = Redacted(text);
        self.view.submitted = text.clone();
        let command = if self.view.joining && self.model.call == CallState::Idle {
            Command::JoinCall(text)
        } else {
            Command::Paste(text)
        };
        self.engine.send(command);
    }

    fn carry_out(&mut self, ctx: &egui::Context, act: Act) {
        match act {
            Act::StartCall => {
                self.forget_paste();
                self.engine.send(Command::StartCall);
            }
            Act::CallNearby(id) => {
                self.forget_paste();
                self.engine.send(Command::CallNearby(id));
            }
            Act::AnswerRing(accept) => {
                self.forget_paste();
                self.engine.send(Command::AnswerRing(accept));
            }
            Act::InvitePhone => {
                self.forget_paste();
                self.engine.send(Command::ServePage(None));
            }
            Act::OpenJoin => {
                self.forget_paste();
                self.view.joining = true;
                self.clipboard.read(Purpose::Look);
            }
            Act::OpenVisit => {
                self.forget_paste();
                self.view.visit.open(&self.settings);
                self.view.visiting = true;
            }
            Act::Visit => self.visit(),
            Act::Read(purpose) => self.clipboard.read(purpose),
            Act::Submit(text) => self.submit(text),
            Act::Copy(what) => self.copy(what),
            Act::SetPassphrase(passphrase) => {
                self.view.sealing = None;
                self.engine.send(Command::Passphrase(passphrase.map(Redacted)));
            }
            Act::Unlock(passphrase) => {
                self.engine.send(Command::Passphrase(Some(Redacted(passphrase))));
                self.submit(self.view.submitted.0.clone());
            }
            Act::Scan(on) => self.view.scanning = on,
            Act::TakeOffer => {
                if let Some(offer) = self.view.offer.take() {
                    self.submit(offer.text.0);
                }
            }
            Act::DropOffer => {
                if let Some(offer) = self.view.offer.take() {
                    self.view.decline(offer.text.0);
                }
            }
            Act::Cancel => self.cancel(),
            Act::CancelForSure | Act::HangUp => self.engine.send(Command::HangUp),
            Act::Admit(id, admit) => self.engine.send(Command::Admit(id, admit)),
            Act::Back => {
                self.forget_paste();
                self.engine.send(Command::Dismiss);
            }
            Act::ToggleMicrophone => {
                self.engine.send(Command::MuteMicrophone(!self.model.microphone_muted));
            }
            Act::ToggleCamera => self.engine.send(Command::StopCamera(!self.model.camera_stopped)),
            Act::ToggleFullscreen => self.set_fullscreen(ctx, !self.view.fullscreen),
            Act::RaiseHand(raised) => {
                self.model.people.raise_own_hand(raised);
                self.engine.send(Command::Hand(raised));
            }
            Act::React(reaction) => {
                self.model.people.react(Who::Me, reaction, (self.clock)());
                self.engine.send(Command::React(reaction));
            }
            Act::SetVolume(id, volume) => self.engine.send(Command::Volume(id, volume)),
            Act::AddSomeone => self.add_someone(),
            Act::Withdraw => {
                self.view.adding = false;
                self.engine.send(Command::Invite(false));
            }
            Act::Lock(locked) => self.engine.send(Command::Lock(locked)),
            Act::MuteGuest(id) => self.engine.send(Command::MuteGuest(id)),
            Act::Remove(id) => self.engine.send(Command::Remove(id)),
            Act::Topology(choice) => self.engine.send(Command::Topology(choice)),
            Act::GuestWay(id, choice) => self.engine.send(Command::GuestWay(id, choice)),
            Act::Judge(verdict) => self.model.judge(self.view.words_of, verdict),
            Act::Change(settings) => {
                ctx.set_theme(theme::preference(settings.theme));
                self.saver.save(&settings);
                self.settings = (*settings).clone();
                self.engine.send(Command::Apply(settings));
            }
            Act::ListDevices => self.engine.send(Command::ListDevices),
            Act::Close => ctx.send_viewport_cmd(ViewportCommand::Close),
        }
    }

    fn visit(&mut self) {
        self.model.refusal = None;
        match self.view.visit.goal() {
            Ok(goal) => {
                let address = goal.place().address;
                if address != self.settings.server_address {
                    self.settings.server_address = address;
                    self.saver.save(&self.settings);
                }
                self.view.visiting = true;
                self.engine.send(Command::Visit(Box::new(goal)));
            }
            Err(error) => self.view.visit.error = Some(error),
        }
    }

    /// Nothing of an earlier try may stand in the next one's field.
    fn forget_paste(&mut self) {
        self.view.joining = false;
        self.view.visiting = false;
        self.view.clear_field();
        self.view.candidate.clear();
        self.view.details = false;
        self.model.refusal = None;
        self.model.locked = false;
    }

    fn cancel(&mut self) {
        if self.model.call == CallState::Idle {
            self.forget_paste();
        } else if self.model.code.is_some() && self.model.with.is_none() {
            self.view.overlay = Overlay::ConfirmCancel;
        } else {
            self.engine.send(Command::HangUp);
        }
    }

    fn copy(&mut self, what: Copied) {
        let Some(code) = self.model.shown_code() else { return };
        let text = match what {
            Copied::Code => &code.text,
            Copied::Full => &code.full,
            Copied::Candidate(index) => match code.candidates.get(index) {
                Some(candidate) => candidate,
                None => return,
            },
        };
        let text = text.0.clone();
        self.view.decline(text.clone());
        self.clipboard.copy(what, text);
    }

    /// An invite to the running call; one that is out already is shown again.
    fn add_someone(&mut self) {
        self.view.adding = !self.view.adding;
        if self.view.adding && self.model.invite.is_none() && self.model.server.is_none() {
            self.engine.send(Command::Invite(true));
        }
    }

    fn set_fullscreen(&mut self, ctx: &egui::Context, on: bool) {
        self.view.fullscreen = on;
        self.view.stirred = (self.clock)();
        ctx.send_viewport_cmd(ViewportCommand::Fullscreen(on));
    }

    /// The clipboard is looked at when the window comes to the front, and at no other time.
    fn look_when_focused(&mut self, ctx: &egui::Context) {
        let focused = ctx.input(|input| input.focused);
        let gained = focused && !self.focused;
        self.focused = focused;
        let wanted = matches!(self.model.call, CallState::Idle | CallState::WaitingForReply);
        if gained && wanted && self.options.courier.is_none() {
            self.clipboard.read(Purpose::Look);
        }
    }

    /// On a large screen everything grows, so that it is not lost in the middle.
    fn fit_scale(&mut self, ctx: &egui::Context) {
        let zoom = ctx.zoom_factor();
        let scale = scale_for(ctx.content_rect().size() * zoom);
        if scale != self.scale {
            ctx.set_zoom_factor(zoom * scale / self.scale);
            self.scale = scale;
        }
    }

    /// Lets the other side know what becomes of its picture. Here and not in `ui`, which a hidden window does not run.
    fn tell_shown(&mut self, ctx: &egui::Context) {
        if !self.model.call.in_call() {
            self.pictures.forget_shown();
            self.view.drawn.clear();
            return;
        }
        let visible = ctx.input(|input| input.viewport().visible()) != Some(false);
        let now = (self.clock)();
        for (id, drawn) in self.pictures.poll_shown(now, visible, ctx.pixels_per_point(), &self.view.drawn) {
            self.engine.send(Command::View(id, drawn));
        }
    }

    /// People nearby see this window while its lobby is open, and at no other time.
    fn tell_nearby(&mut self) {
        let lobby = self.view.screen(&self.model) == Screen::Lobby;
        let nearby = lobby && self.settings.nearby && self.options.courier.is_none();
        if nearby != self.nearby {
            self.nearby = nearby;
            self.engine.send(Command::Nearby(nearby));
        }
    }

    fn show_title(&mut self, ctx: &egui::Context) {
        let state = match &self.model.server {
            Some(place) => visit::title(place, self.model.call),
            None => wording::title(self.model.call, &self.model.company()),
        };
        let dash = if state.is_empty() { "" } else { " – " };
        let title = format!("Twocan{}{dash}{state}", self.options.title_suffix);
        if title != self.title {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }

    fn show(&mut self, ui: &mut egui::Ui) -> Vec<Act> {
        let mut acts = Vec::new();
        let screen = self.view.screen(&self.model);
        let now = (self.clock)();
        let mut scene = Scene {
            model: &self.model,
            view: &mut self.view,
            settings: &self.settings,
            acts: &mut acts,
            painter: &self.painter,
            own: &self.own,
            remotes: self.pictures.views(),
            now,
        };
        keys::handle(ui.ctx(), &mut scene, screen);
        let ground = theme::palette(ui).ground;
        egui::CentralPanel::default().frame(egui::Frame::new().fill(ground)).show(ui, |ui| match screen {
            Screen::Lobby => screens::lobby::show(ui, &mut scene),
            Screen::Exchange if scene.model.page.is_some() => screens::phone::show(ui, &mut scene),
            Screen::Exchange => screens::exchange::show(ui, &mut scene),
            Screen::Visit => screens::server_room::show(ui, &mut scene),
            Screen::Call => screens::call::show(ui, &mut scene),
            Screen::Ended => screens::ended::show(ui, &mut scene),
            Screen::Broken => screens::ended::broken(ui, &mut scene),
        });
        match scene.view.overlay {
            Overlay::None => {}
            Overlay::Settings => screens::settings::show(ui, &mut scene),
            Overlay::Help => screens::help::show(ui, &mut scene),
            Overlay::Qr => screens::hand_over::qr(ui, &mut scene),
            Overlay::ConfirmCancel if screen == Screen::Exchange => {
                screens::exchange::confirm_cancel(ui, &mut scene);
            }
            // What was asked about is over.
            Overlay::ConfirmCancel => scene.view.overlay = Overlay::None,
        }
        if self.toasts.show(ui, now) == Some(Self::UNMUTE) {
            acts.push(Act::ToggleMicrophone);
        }
        self.view.typing = ui.ctx().text_edit_focused();
        let copied = self.view.copied.map(|(_, at)| now.saturating_duration_since(at));
        if let Some(left) = copied.and_then(|since| View::COPIED.checked_sub(since)) {
            ui.ctx().request_repaint_after(left + Duration::from_millis(1));
        }
        acts
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.drain(ctx);
        self.offer_reply(ctx);
        self.show_title(ctx);
        self.tell_shown(ctx);
        self.tell_nearby();
        if self.view.fullscreen && self.view.screen(&self.model) != Screen::Call {
            self.set_fullscreen(ctx, false);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.waker.painted();
        self.look_when_focused(ui.ctx());
        self.fit_scale(ui.ctx());
        let acts = self.show(ui);
        if !acts.is_empty() {
            ui.ctx().request_repaint();
        }
        for act in acts {
            self.carry_out(ui.ctx(), act);
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.engine.send(Command::Quit);
        let deadline = Instant::now() + Self::FAREWELL;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.engine.wait_event(left) {
                Some(Event::Gone) | None => break,
                Some(_) => {}
            }
        }
    }
}
