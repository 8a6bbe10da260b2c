//! The numbers of a running call, over the picture.

use crate::stats::{PeerStats, Stats};
use crate::ui::rates::Rates;
use crate::ui::theme::{self, DARK};
use crate::ui::view::Scene;
use crate::units::Bitrate;
use eframe::egui::{self, Align, Color32, Frame, Layout, Margin, Rect, RichText, Ui, pos2, vec2};

/// One line: what, received, sent.
struct Line {
    what: &'static str,
    received: String,
    sent: String,
}

pub fn show(ui: &mut Ui, scene: &Scene<'_>, stage: Rect) {
    let width = (stage.width() - 32.0).min(400.0);
    let top = stage.top() + 68.0;
    let place = Rect::from_min_max(
        pos2(stage.left() + 16.0, top),
        pos2(stage.left() + 16.0 + width, stage.bottom() - 104.0),
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        let frame = Frame::new()
            .fill(Color32::from_black_alpha(215))
            .corner_radius(14)
            .inner_margin(Margin::same(16));
        frame.show(ui, |ui| {
            ui.set_width(width - 32.0);
            ui.spacing_mut().item_spacing = vec2(8.0, 3.0);
            ui.spacing_mut().interact_size.y = 20.0;
            egui::ScrollArea::vertical().max_height(place.height() - 32.0).show(ui, |ui| {
                match scene.model.stats.as_deref() {
                    Some(stats) if !stats.peers.is_empty() => everybody(ui, scene, stats),
                    _ => {
                        ui.label(RichText::new("Measuring…").color(DARK.muted));
                    }
                }
            });
        });
    });
}

/// One after the other; in a call of two there is no doubt whose numbers they are. What a server gets of us is not what
/// it sends of somebody.
fn everybody(ui: &mut Ui, scene: &Scene<'_>, stats: &Stats) {
    let model = scene.model;
    for (index, peer) in stats.peers.iter().enumerate() {
        if model.people.is_group() || model.server.is_some() {
            let person = model.measured.get(index).and_then(|id| model.people.find(*id));
            let own = if model.server.is_some() { "Your picture and sound" } else { &peer.name };
            let name = person.map_or(own, |person| &person.name);
            ui.add_space(if index > 0 { 16.0 } else { 0.0 });
            ui.label(RichText::new(name).font(theme::semibold(15.0)).color(Color32::WHITE));
        }
        numbers(ui, peer, model.rates.get(index).unwrap_or(&Rates::default()));
    }
    if model.people.is_group() {
        ui.add_space(16.0);
    }
    what(ui, "Memory", format!("{} MB", stats.process.rss_bytes / 1_000_000));
}

fn numbers(ui: &mut Ui, peer: &PeerStats, rates: &Rates) {
    row(ui, "", ("received", "sent"), DARK.muted);
    for line in lines(peer, rates) {
        row(ui, line.what, (&line.received, &line.sent), Color32::WHITE);
    }
    ui.add_space(8.0);
    for (name, value) in path(peer) {
        what(ui, name, value);
    }
}

fn what(ui: &mut Ui, what: &str, value: String) {
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        fixed(ui, what, 112.0, DARK.muted);
        ui.add(
            egui::Label::new(RichText::new(value).font(theme::regular(13.0)).color(Color32::WHITE)).wrap(),
        );
    });
}

fn row(ui: &mut Ui, what: &str, (received, sent): (&str, &str), color: Color32) {
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        let each = (ui.available_width() - 112.0 - 16.0) / 2.0;
        fixed(ui, what, 112.0, DARK.muted);
        fixed(ui, received, each, color);
        fixed(ui, sent, each, color);
    });
}

fn fixed(ui: &mut Ui, text: &str, width: f32, color: Color32) {
    ui.allocate_ui_with_layout(vec2(width, 20.0), Layout::left_to_right(Align::Center), |ui| {
        ui.set_width(width);
        ui.add(egui::Label::new(RichText::new(text).font(theme::regular(13.0)).color(color)).truncate());
    });
}

fn lines(peer: &PeerStats, rates: &Rates) -> Vec<Line> {
    let (video, audio) = (&peer.inbound.video, &peer.inbound.audio);
    let (video_out, audio_out) = (&peer.outbound.video, &peer.outbound.audio);
    let line = |what, received: String, sent: String| Line { what, received, sent };
    vec![
        line(
            "Picture",
            size(video.frame_width, video.frame_height),
            size(video_out.frame_width, video_out.frame_height),
        ),
        line("Frames", fps(video.frames_per_second), fps(video_out.frames_per_second)),
        line("Video rate", rate(rates.video_in), rate(rates.video_out)),
        line("Sound rate", rate(rates.audio_in), rate(rates.audio_out)),
        line("Video codec", word(&video.codec), word(&video_out.codec)),
        line("Sound codec", word(&audio.codec), word(&audio_out.codec)),
        line("Video loss", percent(rates.video_loss_in), percent(video_out.fraction_lost)),
        line("Sound loss", percent(rates.audio_loss_in), percent(audio_out.fraction_lost)),
        line("Jitter", milliseconds(video.jitter * 1000.0), String::new()),
        line(
            "Buffer",
            format!("{:.0} ms, sound {:.0}", rates.video_hold_ms, rates.audio_hold_ms),
            String::new(),
        ),
        line("Lip-sync", format!("{:+.0} ms", video.sync_offset_ms), String::new()),
        line(
            "Freezes",
            format!("{} ({:.1} s)", video.freeze_count, video.total_freezes_duration),
            String::new(),
        ),
        line("Limited by", String::new(), word(&video_out.quality_limitation_reason)),
    ]
}

fn path(peer: &PeerStats) -> Vec<(&'static str, String)> {
    let pair = &peer.candidate_pair;
    vec![
        ("Round trip", milliseconds(pair.current_round_trip_time * 1000.0)),
        ("Bandwidth", rate(Bitrate::from_bps(pair.available_outgoing_bitrate))),
        ("This side", word(&pair.local)),
        ("Other side", word(&pair.remote)),
    ]
}

fn size(width: u32, height: u32) -> String {
    if width == 0 { "–".into() } else { format!("{width} × {height}") }
}
fn fps(fps: f64) -> String {
    format!("{fps:.0} fps")
}
fn rate(rate: Bitrate) -> String {
    if rate.bps() == 0 { "–".into() } else { rate.to_string() }
}
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 100.0).clamp(0.0, 100.0))
}
fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}
fn word(text: &str) -> String {
    if text.is_empty() { "–".into() } else { text.into() }
}
