//! Two codes change hands: ours goes out, theirs comes in. Both sides see the same two steps, in their own order.
//!
//! Most often one is enough: whoever joins is first shown that the other side is called, and their reply only when
//! nobody answers. Whoever made the invite may be asked whether a guest may come in.

use super::{ROOMY, centered, code_details, hand_over, lobby, low_row, nearby, own_picture, top_bar};
use crate::invite::Kind;
use crate::room::call::CallState;
use crate::ui::clipboard::{Copied, Purpose};
use crate::ui::icons;
use crate::ui::theme::{self, RADIUS, TARGET, palette};
use crate::ui::view::{Act, Overlay, Scene};
use crate::ui::widgets::{self, Button, Look};
use crate::ui::wording;
use eframe::egui::{self, Align2, Color32, Frame, Margin, RichText, Ui, vec2};
use std::time::{Duration, Instant};

/// Whoever joins is shown the reply when there was no answer for so long: a direct way is found well before.
pub const REPLY_AFTER: Duration = Duration::from_secs(3);

/// How far the exchange has come, on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Join: their invite has to be pasted.
    WantsInvite,
    /// Our code is being made.
    Making(Kind),
    /// Start: our invite is out, their reply has to be pasted.
    WantsReply,
    /// Start: both codes are there.
    Connecting,
    /// Join: the other side is called directly.
    Calling,
    /// Join: our reply is needed.
    ReplyOut,
    /// Start: somebody wants to come in.
    Asked,
    /// Join: they were asked whether we may come in.
    Outside,
}

fn stage(call: CallState, now: Instant) -> Stage {
    match call {
        CallState::Gathering(kind) => Stage::Making(kind),
        CallState::WaitingForReply => Stage::WantsReply,
        CallState::Connecting { own: Kind::Invite, .. } => Stage::Connecting,
        CallState::Connecting { own: Kind::Reply, since } => {
            if now.saturating_duration_since(since) < REPLY_AFTER { Stage::Calling } else { Stage::ReplyOut }
        }
        CallState::Lobby { own: Kind::Invite, .. } => Stage::Asked,
        CallState::Lobby { own: Kind::Reply, .. } => Stage::Outside,
        CallState::Idle | CallState::InCall { .. } | CallState::Reconnecting { .. } | CallState::Ended(_) => {
            Stage::WantsInvite
        }
    }
}

/// Title of the screen, and what to do next, in one sentence.
fn words(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::WantsInvite => ("Join a call", "Copy the invite you were sent, then press Paste."),
        Stage::Making(Kind::Invite) => ("Start a call", "Making your invite. This takes a moment."),
        Stage::Making(Kind::Reply) => ("Join a call", "The invite is right. Calling…"),
        Stage::WantsReply => {
            ("Start a call", "Send the invite in any chat. The call starts by itself, or with their reply.")
        }
        Stage::Connecting => ("Start a call", "They are here. Connecting…"),
        Stage::Calling => ("Join a call", "Calling… Most often nothing more is needed."),
        Stage::ReplyOut => {
            ("Join a call", "Send your reply back and keep this window open. The call starts by itself.")
        }
        Stage::Asked => {
            ("Somebody is at the door", "They see and hear nothing of you until you let them in.")
        }
        Stage::Outside => {
            ("Waiting to be let in", "They were asked. The call starts as soon as they say yes.")
        }
    }
}

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let stage = stage(scene.model.call, scene.now);
    let (title, next) = words(stage);
    let roomy = ui.available_width() >= ROOMY;
    let margin = if roomy { 24 } else { 16 };
    Frame::new().inner_margin(Margin::symmetric(margin, 12)).show(ui, |ui| {
        top_bar(ui, scene, |ui, scene| {
            let hint = "Give up this call (Esc)";
            if Button::new(Look::Quiet, "Cancel").icon(icons::ARROW_BACK).hint(hint).show(ui).clicked() {
                scene.act(Act::Cancel);
            }
        });
        let steps_width = if roomy { 540.0 } else { 560.0 };
        let picture = (ui.available_width() - steps_width - 48.0).min(560.0);
        let beside = roomy && picture >= 280.0;
        let width = if beside { steps_width + 48.0 + picture } else { steps_width };
        centered(ui, width, |ui| {
            let steps = |ui: &mut Ui, scene: &mut Scene<'_>| {
                if nearby::calling(ui, scene) {
                    return;
                }
                headline(ui, scene, stage, title, if roomy { 28.0 } else { 22.0 });
                let color = palette(ui).muted;
                ui.add(egui::Label::new(RichText::new(next).color(color)).wrap());
                ui.add_space(if roomy { 12.0 } else { 4.0 });
                lobby::offer(ui, scene);
                both_steps(ui, scene, stage);
                if !matches!(stage, Stage::Calling | Stage::Asked | Stage::Outside) {
                    code_details::show(ui, scene);
                }
            };
            if beside {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = 0.0;
                    ui.vertical(|ui| {
                        ui.set_width(steps_width);
                        ui.spacing_mut().item_spacing.x = 8.0;
                        steps(ui, scene);
                    });
                    ui.add_space(48.0);
                    ui.vertical(|ui| {
                        let size = vec2(picture, (picture * 9.0 / 16.0).round());
                        let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
                        own_picture::show(ui, scene, rect);
                    });
                });
            } else {
                steps(ui, scene);
            }
        });
    });
}

/// The title; dots beside it while something is under way.
fn headline(ui: &mut Ui, scene: &Scene<'_>, stage: Stage, title: &str, size: f32) {
    low_row(ui, size, |ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        widgets::headline(ui, title, size);
        if matches!(
            stage,
            Stage::Making(_) | Stage::Connecting | Stage::Calling | Stage::ReplyOut | Stage::Outside
        ) {
            widgets::waiting_dots(ui, scene.now, scene.view.started);
        }
    });
}

fn both_steps(ui: &mut Ui, scene: &mut Scene<'_>, stage: Stage) {
    match stage {
        Stage::Making(Kind::Invite) | Stage::WantsReply | Stage::Connecting => {
            let out = if stage == Stage::Connecting { Progress::Done } else { Progress::Now };
            step(ui, 1, out, "Send this invite", |ui| own_code(ui, scene, Kind::Invite));
            ui.add_space(8.0);
            let field = match stage {
                Stage::Connecting => Progress::Done,
                Stage::WantsReply => Progress::Now,
                Stage::Making(_)
                | Stage::WantsInvite
                | Stage::Calling
                | Stage::ReplyOut
                | Stage::Asked
                | Stage::Outside => Progress::Later,
            };
            step(ui, 2, field, "Paste their reply, if one comes back", |ui| {
                if stage == Stage::WantsReply {
                    their_code(ui, scene, "The reply you were sent");
                } else if stage == Stage::Connecting {
                    widgets::quiet(ui, "Not needed any more. Looking for the way to the other side.");
                }
            });
        }
        Stage::WantsInvite | Stage::Making(Kind::Reply) | Stage::Calling | Stage::ReplyOut => {
            let taken = if stage == Stage::WantsInvite { Progress::Now } else { Progress::Done };
            step(ui, 1, taken, "Paste the invite you were sent", |ui| {
                if stage == Stage::WantsInvite {
                    their_code(ui, scene, "The invite you were sent");
                }
            });
            ui.add_space(8.0);
            let out = if stage == Stage::ReplyOut { Progress::Now } else { Progress::Later };
            let title = if out == Progress::Now { "Send your reply back" } else { "Call them" };
            step(ui, 2, out, title, |ui| {
                match stage {
                    Stage::ReplyOut => {
                        let sentence =
                            "They cannot be reached directly yet: one of the two networks is closed.";
                        widgets::quiet(ui, sentence);
                        own_code(ui, scene, Kind::Reply);
                    }
                    Stage::Making(_) | Stage::Calling => {
                        widgets::quiet(ui, "Trying to reach them…");
                    }
                    Stage::WantsInvite
                    | Stage::WantsReply
                    | Stage::Connecting
                    | Stage::Asked
                    | Stage::Outside => {}
                }
                if let Some(trouble) = scene.model.trouble {
                    let color = palette(ui).trouble;
                    widgets::remark(ui, icons::WARNING, color, &wording::trouble(trouble));
                }
            });
        }
        Stage::Asked => asked(ui, scene),
        Stage::Outside => {}
    }
}

/// Somebody has come with the invite.
fn asked(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(person) = scene.model.people.asking().or(scene.model.people.first()) else { return };
    let (id, name) = (person.id, person.remote.name.as_str());
    let who = if name.is_empty() { "Somebody".to_owned() } else { name.to_owned() };
    widgets::card(palette(ui)).inner_margin(Margin::same(16)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        widgets::headline(ui, &format!("{who} wants to join"), 18.0);
        widgets::quiet(ui, "The name is what they wrote themselves.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            let admit = Button::new(Look::Primary, "Let in").icon(icons::CHECK).width(136.0);
            if admit.show(ui).clicked() {
                scene.act(Act::Admit(id, true));
            }
            let refuse = Button::new(Look::Secondary, "Refuse").width(136.0);
            if refuse.show(ui).clicked() {
                scene.act(Act::Admit(id, false));
            }
        });
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Later,
    Now,
    Done,
}

/// A numbered card.
fn step(ui: &mut Ui, number: u8, progress: Progress, title: &str, add: impl FnOnce(&mut Ui)) {
    let colors = palette(ui);
    widgets::card(colors).inner_margin(Margin::same(16)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        low_row(ui, 28.0, |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(28.0, 28.0), egui::Sense::hover());
            let (fill, ink) = match progress {
                Progress::Later => (colors.raised, colors.muted),
                Progress::Now => (colors.accent, colors.on_accent),
                Progress::Done => (colors.accent_wash, colors.accent),
            };
            ui.painter().circle_filled(rect.center(), 14.0, fill);
            if progress == Progress::Done {
                theme::paint_icon(ui.painter(), rect.center(), icons::CHECK, 18.0, ink);
            } else {
                let font = theme::semibold(15.0);
                ui.painter().text(rect.center(), Align2::CENTER_CENTER, number.to_string(), font, ink);
            }
            let color = if progress == Progress::Later { colors.muted } else { colors.text };
            ui.label(RichText::new(title).font(theme::semibold(16.0)).color(color));
        });
        add(ui);
    });
}

/// Our code as a short line with its button, or the place where it will be.
pub(super) fn own_code(ui: &mut Ui, scene: &mut Scene<'_>, kind: Kind) {
    let colors = palette(ui);
    let Some(code) = scene.model.shown_code() else {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), TARGET), egui::Sense::hover());
        ui.painter().rect_filled(rect, RADIUS - 2, colors.raised);
        return;
    };
    let text = &code.text.0;
    let copied = scene.view.just_copied(Copied::Code, scene.now);
    let before = scene.view.copied_before(Copied::Code);
    let mut pressed = false;
    if scene.model.moved && kind == Kind::Invite && !before {
        widgets::remark(ui, icons::WARNING, colors.trouble, wording::MOVED);
    }
    ui.horizontal(|ui| {
        let label = match (copied, before) {
            (true, _) => "Copied",
            (false, true) => "Copy again",
            (false, false) => "Copy",
        };
        let button = 136.0;
        let width = ui.available_width() - button - 8.0;
        let (rect, response) = ui.allocate_exact_size(vec2(width, TARGET), egui::Sense::hover());
        let name = if kind == Kind::Invite { "Your invite" } else { "Your reply" };
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, name));
        ui.painter().rect_filled(rect, RADIUS - 2, colors.raised);
        let painter = ui.painter().with_clip_rect(rect);
        let size = format!("{} characters", wording::grouped(text.chars().count() as u64));
        let right = rect.right_center() - vec2(14.0, 0.0);
        let size = painter.text(right, Align2::RIGHT_CENTER, size, theme::regular(13.0), colors.muted);
        let room = size.left() - 12.0 - (rect.left() + 14.0);
        let short = short_for(&painter, text, room);
        painter.text(
            rect.left_center() + vec2(14.0, 0.0),
            Align2::LEFT_CENTER,
            short,
            theme::mono(13.0),
            colors.text,
        );
        let (look, icon) = if copied {
            (Look::Secondary, icons::CHECK)
        } else if before {
            (Look::Secondary, icons::CONTENT_COPY)
        } else {
            (Look::Primary, icons::CONTENT_COPY)
        };
        let copy = Button::new(look, label).name("Copy").icon(icon).width(button).hint("Copy (Ctrl+C)");
        pressed = copy.show(ui).clicked();
    });
    if pressed {
        scene.act(Act::Copy(Copied::Code));
    }
    let sentence = if before {
        "It is in your clipboard. Paste it into any chat or mail."
    } else {
        "One line of text that says how to reach this window."
    };
    widgets::quiet(ui, sentence);
    if let (Some(since), CallState::WaitingForReply) = (scene.model.code_since, scene.model.call) {
        let age = scene.now.saturating_duration_since(since);
        widgets::quiet(ui, wording::code_health(age, scene.model.reach));
        let next = MINUTE - Duration::from_nanos((age.as_nanos() % MINUTE.as_nanos()) as u64);
        ui.ctx().request_repaint_after(next);
    }
    hand_over::own(ui, scene);
}

/// The age of a code is told in these.
const MINUTE: Duration = Duration::from_secs(60);

/// The longest short form of a code that fits.
fn short_for(painter: &egui::Painter, code: &str, room: f32) -> String {
    let short = wording::short_code(code);
    let letter = painter.layout_no_wrap("0".into(), theme::mono(13.0), Color32::WHITE).size().x;
    let fits = (room / letter).max(4.0) as usize;
    if short.chars().count() <= fits { short } else { short.chars().take(fits - 1).chain(['…']).collect() }
}

/// The field for their code, with Paste beside it and the sentence about a wrong one under it.
pub(super) fn their_code(ui: &mut Ui, scene: &mut Scene<'_>, hint: &str) {
    let pasted = ui.input(|input| {
        input.events.iter().find_map(|event| match event {
            egui::Event::Paste(text) => Some(text.clone()),
            _ => None,
        })
    });
    let mut submitted = None;
    ui.horizontal(|ui| {
        let typed = !scene.view.field.trim().is_empty();
        let button = 136.0;
        let width = ui.available_width() - button - 8.0;
        let field = widgets::text_field(ui, &mut scene.view.field, hint, width, usize::MAX);
        field.widget_info(|| {
            let text = &scene.view.field;
            let mut info = egui::WidgetInfo::text_edit(true, text, text, hint);
            info.label = Some("Code of the other side".into());
            info
        });
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        // A code that is pasted into the field is meant: no second press is needed.
        if field.has_focus() && pasted.is_some() {
            submitted = pasted.clone();
            scene.view.field.clear();
        } else if entered && typed {
            submitted = Some(scene.view.field.clone());
        }
        let (label, icon) = if typed { ("Use", icons::CHECK) } else { ("Paste", icons::CONTENT_PASTE) };
        let paste = Button::new(Look::Primary, label).icon(icon).width(button).hint("Paste (Ctrl+V)");
        if paste.show(ui).clicked() {
            if typed {
                submitted = Some(scene.view.field.clone());
            } else {
                scene.act(Act::Read(Purpose::Paste));
            }
        }
    });
    if let Some(text) = submitted {
        scene.act(Act::Submit(text));
    }
    if let Some(refusal) = &scene.model.refusal {
        let color = palette(ui).trouble;
        widgets::remark(ui, icons::ERROR, color, refusal);
    }
    hand_over::theirs(ui, scene);
}

/// The question before a code that is already out is given up.
pub fn confirm_cancel(ui: &Ui, scene: &mut Scene<'_>) {
    let colors = palette(ui);
    let frame = widgets::card(colors).inner_margin(Margin::same(24)).shadow(ui.visuals().window_shadow);
    let modal = egui::Modal::new(egui::Id::unique("confirm cancel"))
        .frame(frame)
        .backdrop_color(Color32::from_black_alpha(140))
        .show(ui.ctx(), |ui| {
            ui.set_width((ui.ctx().content_rect().width() - 80.0).min(400.0));
            widgets::headline(ui, "Give up this call?", 20.0);
            widgets::quiet(ui, "The code you sent will not work any more.");
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                if Button::new(Look::Primary, "Keep waiting").show(ui).clicked() {
                    scene.view.overlay = Overlay::None;
                }
                if Button::new(Look::Secondary, "Give up").show(ui).clicked() {
                    scene.view.overlay = Overlay::None;
                    scene.act(Act::CancelForSure);
                }
            });
        });
    if modal.should_close() {
        scene.view.overlay = Overlay::None;
    }
}
