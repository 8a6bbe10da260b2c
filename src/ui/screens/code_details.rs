//! The code in other forms: base64 of JSON, and each ICE candidate by itself, as the examples of WebRTC libraries and
//! consoles of browsers exchange them.

use crate::engine::OwnCode;
use crate::ui::clipboard::{Copied, Purpose};
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use eframe::egui::{self, Margin, RichText, Ui};

/// Base64 JSON and candidates, for peers that want them.
pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    // What says the same without the passphrase is not shown.
    if scene.model.code.as_ref().is_none_or(OwnCode::is_sealed) {
        return;
    }
    ui.add_space(4.0);
    let open = scene.view.details;
    let (icon, label) =
        if open { (icons::EXPAND_LESS, "Hide details") } else { (icons::EXPAND_MORE, "Details") };
    let hint = "The code as JSON, and each ICE candidate by itself";
    if Button::new(Look::Quiet, label).icon(icon).hint(hint).show(ui).clicked() {
        scene.view.details = !open;
    }
    if !open {
        return;
    }
    let colors = palette(ui);
    widgets::card(colors).inner_margin(Margin::same(16)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        full_code(ui, scene);
        ui.add_space(12.0);
        candidates(ui, scene);
        ui.add_space(12.0);
        candidate_field(ui, scene);
    });
}

fn full_code(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(code) = &scene.model.code else { return };
    let color = palette(ui).muted;
    let above = ui.label(
        RichText::new("The code as base64 of JSON, as browsers and examples take it")
            .font(theme::semibold(14.0)),
    );
    let mut text = code.full.0.as_str();
    egui::ScrollArea::vertical().id_salt("full code").max_height(112.0).show(ui, |ui| {
        let mut break_anywhere = |ui: &Ui, text: &dyn egui::TextBuffer, width: f32| {
            let mut job =
                egui::text::LayoutJob::simple(text.as_str().to_owned(), theme::mono(12.0), color, width);
            job.wrap.break_anywhere = true;
            ui.fonts_mut(|fonts| fonts.layout_job(job))
        };
        // `&str` cannot be changed: selected and copied only.
        let edit =
            egui::TextEdit::multiline(&mut text).desired_width(f32::INFINITY).layouter(&mut break_anywhere);
        ui.add(edit).labelled_by(above.id);
    });
    let copied = scene.view.just_copied(Copied::Full, scene.now);
    let (label, icon) = if copied { ("Copied", icons::CHECK) } else { ("Copy JSON", icons::CONTENT_COPY) };
    if Button::new(Look::Secondary, label).name("Copy JSON").icon(icon).show(ui).clicked() {
        scene.act(Act::Copy(Copied::Full));
    }
}

fn candidates(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(code) = &scene.model.code else { return };
    let count = code.candidates.len();
    let ways =
        if count == 1 { "1 way to reach you".to_owned() } else { format!("{count} ways to reach you") };
    ui.label(RichText::new(format!("{ways} (ICE candidates)")).font(theme::semibold(14.0)));
    let mut copy = None;
    for (index, candidate) in code.candidates.iter().enumerate() {
        ui.horizontal(|ui| {
            let copied = scene.view.just_copied(Copied::Candidate(index), scene.now);
            let icon = if copied { icons::CHECK } else { icons::CONTENT_COPY };
            let name = format!("Copy candidate {}", index + 1);
            if RoundButton::new(icon, &name).show(ui).clicked() {
                copy = Some(index);
            }
            let text = RichText::new(&candidate.0).font(theme::mono(12.0)).color(palette(ui).muted);
            ui.add(egui::Label::new(text).wrap());
        });
    }
    if let Some(index) = copy {
        scene.act(Act::Copy(Copied::Candidate(index)));
    }
}

fn candidate_field(ui: &mut Ui, scene: &mut Scene<'_>) {
    let above = ui.label(RichText::new("Add one of their candidates").font(theme::semibold(14.0)));
    let mut submitted = None;
    ui.horizontal(|ui| {
        let button = 136.0;
        let width = ui.available_width() - button - 8.0;
        let hint = "candidate:…";
        let field =
            widgets::text_field(ui, &mut scene.view.candidate, hint, width, 2048).labelled_by(above.id);
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let typed = !scene.view.candidate.trim().is_empty();
        let (label, icon) = if typed { ("Add", icons::ADD) } else { ("Paste one", icons::CONTENT_PASTE) };
        let pressed = Button::new(Look::Secondary, label).icon(icon).width(button).show(ui).clicked();
        if typed && (pressed || entered) {
            submitted = Some(std::mem::take(&mut scene.view.candidate));
        } else if pressed {
            scene.act(Act::Read(Purpose::Paste));
        }
    });
    if let Some(text) = submitted {
        scene.act(Act::Submit(text));
    }
    match scene.model.candidates_added {
        0 => {}
        1 => drop(widgets::quiet(ui, "1 candidate added.")),
        added => drop(widgets::quiet(ui, format!("{added} candidates added."))),
    }
}
