//! The four words by which the two people know that nobody is between them: a badge in the call's top line, and
//! the card it opens.

use crate::room::trust::{Comparison, Words};
use crate::ui::icons::{self, Icon};
use crate::ui::model::{Verdict, WordsModel};
use crate::ui::theme::{self, DARK, SCRIM, TARGET};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use eframe::egui::{
    self, Align2, Color32, CursorIcon, Frame, Margin, Rect, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2,
};

/// Narrower stages have a badge without its label.
const LABELLED_FROM: f32 = 760.0;
const LABEL: f32 = 160.0;
const CARD: f32 = 372.0;

fn shown(scene: &Scene<'_>) -> WordsModel {
    scene.model.words_with(scene.view.words_of)
}

/// Icon, label and colour of what is known.
fn looks(scene: &Scene<'_>) -> (Icon, &'static str, Color32) {
    let words = shown(scene);
    match (words.comparison, words.verdict()) {
        (_, Some(Verdict::Match)) => (icons::VERIFIED, "Verified", DARK.good),
        (_, Some(Verdict::Differ)) => (icons::GPP_BAD, "Words differ", DARK.trouble),
        (Comparison::Refused, None) => (icons::GPP_BAD, "Not verified", DARK.warning),
        (Comparison::Waiting | Comparison::Unanswered | Comparison::Ready { .. }, None) => {
            (icons::SHIELD, "Compare words", Color32::from_gray(215))
        }
    }
}

pub fn badge_width(stage: Rect) -> f32 {
    if stage.width() >= LABELLED_FROM { LABEL } else { TARGET }
}

/// A capsule in the top line.
pub fn badge(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let (icon, label, color) = looks(scene);
    let labelled = stage.width() >= LABELLED_FROM;
    let text = labelled.then(|| {
        ui.painter().layout_no_wrap(label.to_owned(), theme::regular(15.0), Color32::from_gray(225))
    });
    let width = text.as_ref().map_or(TARGET, |text| text.size().x + 52.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, TARGET), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, label));
    let fill = if response.hovered() { SCRIM.lerp_to_gamma(Color32::from_gray(140), 0.3) } else { SCRIM };
    ui.painter().rect_filled(rect, TARGET / 2.0, fill);
    if response.has_focus() {
        let stroke = egui::Stroke::new(2.0, DARK.accent);
        ui.painter().rect_stroke(rect, TARGET / 2.0, stroke, egui::StrokeKind::Inside);
    }
    let center = if labelled { rect.left_center() + vec2(23.0, 0.0) } else { rect.center() };
    theme::paint_icon(ui.painter(), center, icon, 18.0, color);
    if let Some(text) = text {
        let place = Align2::LEFT_CENTER.anchor_size(rect.left_center() + vec2(38.0, 0.0), text.size());
        ui.painter().galley(place.min, text, Color32::WHITE);
    }
    let hint = format!("{label} (W)");
    if response.on_hover_text(hint).on_hover_cursor(CursorIcon::PointingHand).clicked() {
        scene.view.toggle_words();
    }
}

/// The card, under the top line.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>, stage: Rect) {
    let width = (stage.width() - 32.0).min(CARD);
    let corner = pos2(stage.left() + 16.0, stage.top() + 68.0);
    let place = Rect::from_min_max(corner, pos2(corner.x + width, stage.bottom()));
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        let frame = Frame::new()
            .fill(Color32::from_black_alpha(225))
            .corner_radius(16)
            .inner_margin(Margin { left: 20, right: 12, top: 8, bottom: 20 });
        frame.show(ui, |ui| {
            ui.set_width(width - 32.0);
            ui.horizontal(|ui| {
                let (icon, _, color) = looks(scene);
                let (rect, _) = ui.allocate_exact_size(vec2(24.0, 24.0), Sense::hover());
                theme::paint_icon(ui.painter(), rect.center(), icon, 22.0, color);
                widgets::headline(ui, title(scene), 17.0);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let close = RoundButton::new(icons::CLOSE, "Close").key("Esc").look(Look::Quiet);
                    if close.show(ui).clicked() {
                        scene.view.words = false;
                    }
                });
            });
            ui.vertical(|ui| {
                ui.set_width(width - 40.0);
                content(ui, scene);
            });
        });
    });
}

fn title(scene: &Scene<'_>) -> &'static str {
    match shown(scene).verdict() {
        None => "Is anybody between you?",
        Some(Verdict::Match) => "Nobody is between you",
        Some(Verdict::Differ) => "Somebody may be between you",
    }
}

fn content(ui: &mut Ui, scene: &mut Scene<'_>) {
    let person = scene.view.words_of.and_then(|id| scene.model.people.find(id));
    let name = person.map_or(scene.model.remote_name(), |person| &person.name).to_owned();
    let words = match shown(scene).comparison {
        Comparison::Ready { words, .. } => words,
        Comparison::Waiting => return advice(ui, "The words for this call are being worked out…"),
        Comparison::Unanswered => {
            return advice(
                ui,
                &format!(
                    "There are no words for this call: {name}’s app does not take part. It may be an older Twocan."
                ),
            );
        }
        Comparison::Refused => {
            advice(
                ui,
                &format!(
                    "The words could not be compared: what came from {name}’s side does not fit together. To be \
                     sure, hang up and exchange new codes in another way."
                ),
            );
            ui.add_space(4.0);
            return hang_up(ui, scene);
        }
    };
    four(ui, words);
    ui.add_space(4.0);
    match shown(scene).verdict() {
        None => {
            advice(ui, "Read them to each other. If they are the same, nobody is between you.");
            ui.add_space(4.0);
            ui.horizontal(|ui| {
                let each = (ui.available_width() - 8.0) / 2.0;
                let same = Button::new(Look::Primary, "They match").icon(icons::CHECK).width(each);
                if same.show(ui).clicked() {
                    scene.act(Act::Judge(Some(Verdict::Match)));
                }
                if Button::new(Look::Secondary, "They differ").width(each).show(ui).clicked() {
                    scene.act(Act::Judge(Some(Verdict::Differ)));
                }
            });
        }
        Some(Verdict::Match) => {
            advice(ui, &format!("You and {name} had the same words. This holds until one of you hangs up."));
            ui.add_space(4.0);
            again(ui, scene);
        }
        Some(Verdict::Differ) => {
            advice(
                ui,
                "A code was changed on its way to one of you. Hang up, and exchange new codes in another way.",
            );
            ui.add_space(4.0);
            ui.horizontal(|ui| {
                hang_up(ui, scene);
                again(ui, scene);
            });
        }
    }
}

/// Two rows of two: large enough to be read out at a glance.
fn four(ui: &mut Ui, words: Words) {
    let list = words.list();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 104.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Words: {}", words.line())));
    let cell = vec2((rect.width() - 8.0) / 2.0, 48.0);
    for (at, word) in list.into_iter().enumerate() {
        let offset = vec2((at % 2) as f32 * (cell.x + 8.0), (at / 2) as f32 * (cell.y + 8.0));
        let place = Rect::from_min_size(rect.min + offset, cell);
        ui.painter().rect_filled(place, 10.0, DARK.raised);
        let number = place.left_center() + vec2(14.0, 0.0);
        let text = (at + 1).to_string();
        ui.painter().text(number, Align2::LEFT_CENTER, text, theme::regular(13.0), DARK.muted);
        let left = place.left_center() + vec2(34.0, 0.0);
        ui.painter().text(left, Align2::LEFT_CENTER, word, theme::semibold(20.0), Color32::WHITE);
    }
}

fn advice(ui: &mut Ui, text: &str) {
    let text = RichText::new(text).font(theme::regular(15.0)).color(Color32::from_gray(225));
    ui.add(egui::Label::new(text).wrap());
}

fn again(ui: &mut Ui, scene: &mut Scene<'_>) {
    if Button::new(Look::Secondary, "Compare again").show(ui).clicked() {
        scene.act(Act::Judge(None));
    }
}

fn hang_up(ui: &mut Ui, scene: &mut Scene<'_>) {
    let button = Button::new(Look::Danger, "Hang up now").icon(icons::CALL_END);
    if button.show(ui).clicked() {
        scene.act(Act::HangUp);
    }
}
