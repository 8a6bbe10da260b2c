//! ICE servers in the settings: list, add, edit, remove.

use crate::net::ServerUrl;
use crate::settings::{IceServer, Settings};
use crate::ui::icons;
use crate::ui::theme::{self, palette};
use crate::ui::view::{Act, Scene, ServerDraft};
use crate::ui::widgets::{self, Button, Look, RoundButton};
use eframe::egui::{self, Align, Layout, RichText, Ui};

/// Longer than any host name with its port.
const MAX_URL: usize = 300;
const MAX_SECRET: usize = 256;

/// Is this a server WebRTC can use? The error is a sentence for the user.
pub fn check(url: &str, user: &str, password: &str) -> Result<IceServer, String> {
    let url = url.trim();
    let server = ServerUrl::parse(url).map_err(|reason| format!("This server cannot be used: {reason}."))?;
    let (user, password) = (user.trim(), password.trim());
    if server.is_turn && (user.is_empty() || password.is_empty()) {
        return Err("A TURN server needs a user name and a password.".into());
    }
    let (user, password) = if server.is_turn { (user.into(), password.into()) } else { Default::default() };
    Ok(IceServer { url: url.into(), user, password })
}

pub fn show(ui: &mut Ui, scene: &mut Scene<'_>) {
    let intro = "They tell your address to the other side (STUN) or pass the call on where no direct path exists (TURN).";
    widgets::quiet(ui, intro);
    if scene.settings.ice_servers.is_empty() && scene.view.server.is_none() {
        widgets::quiet(ui, "Without any, calls work in the same network only.");
    }
    let edited = scene.view.server.as_ref().and_then(|draft| draft.index);
    for index in 0..scene.settings.ice_servers.len() {
        if edited == Some(index) {
            editor(ui, scene);
        } else {
            line(ui, scene, index);
        }
    }
    if scene.view.server.as_ref().is_some_and(|draft| draft.index.is_none()) {
        editor(ui, scene);
    }
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        if scene.view.server.is_none()
            && Button::new(Look::Secondary, "Add a server").icon(icons::ADD).show(ui).clicked()
        {
            scene.view.server = Some(ServerDraft::default());
        }
        let default = Settings::default().ice_servers;
        if scene.settings.ice_servers != default
            && Button::new(Look::Quiet, "Default servers").show(ui).clicked()
        {
            scene.view.server = None;
            scene.change(|settings| settings.ice_servers = default);
        }
    });
}

fn line(ui: &mut Ui, scene: &mut Scene<'_>, index: usize) {
    let server = &scene.settings.ice_servers[index];
    let (url, user) = (server.url.clone(), server.user.clone());
    ui.horizontal(|ui| {
        ui.set_min_height(theme::TARGET);
        let (edit, remove) = (format!("Edit {url}"), format!("Remove {url}"));
        let width = ui.available_width() - 2.0 * (theme::TARGET + 8.0);
        let size = egui::vec2(width, theme::TARGET);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_width(width);
            let shown = if user.is_empty() { url } else { format!("{url}  as {user}") };
            ui.add(egui::Label::new(RichText::new(shown).font(theme::mono(13.0))).truncate());
        });
        if RoundButton::new(icons::EDIT, &edit).look(Look::Quiet).show(ui).clicked() {
            scene.view.server = Some(ServerDraft::of(index, &scene.settings.ice_servers[index]));
        }
        if RoundButton::new(icons::DELETE, &remove).look(Look::Quiet).show(ui).clicked() {
            scene.view.server = None;
            scene.change(|settings| drop(settings.ice_servers.remove(index)));
        }
    });
}

fn editor(ui: &mut Ui, scene: &mut Scene<'_>) {
    let Some(mut draft) = scene.view.server.take() else { return };
    let colors = palette(ui);
    let frame = egui::Frame::new().fill(colors.ground).corner_radius(12).inner_margin(egui::Margin::same(12));
    let mut done = false;
    frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 8.0;
        ui.vertical(|ui| {
            widgets::labelled_field(ui, "Server", "stun:stun.example.org:3478", &mut draft.url, MAX_URL)
        });
        if draft.url.trim_start().to_ascii_lowercase().starts_with("turn") {
            ui.vertical(|ui| {
                widgets::labelled_field(
                    ui,
                    "User name",
                    "From whoever runs the server",
                    &mut draft.user,
                    MAX_SECRET,
                )
            });
            ui.vertical(|ui| {
                widgets::labelled_field(
                    ui,
                    "Password",
                    "Kept in your settings file",
                    &mut draft.password,
                    MAX_SECRET,
                )
            });
        }
        if let Some(error) = &draft.error {
            widgets::remark(ui, icons::ERROR, colors.trouble, error);
        }
        ui.horizontal(|ui| {
            if Button::new(Look::Primary, "Save server").show(ui).clicked() {
                match check(&draft.url, &draft.user, &draft.password) {
                    Ok(server) => {
                        keep(scene, draft.index, server);
                        done = true;
                    }
                    Err(error) => draft.error = Some(error),
                }
            }
            done |= Button::new(Look::Quiet, "Discard").show(ui).clicked();
        });
    });
    if !done {
        scene.view.server = Some(draft);
    }
}

fn keep(scene: &mut Scene<'_>, index: Option<usize>, server: IceServer) {
    let mut settings = scene.settings.clone();
    match index.and_then(|index| settings.ice_servers.get_mut(index)) {
        Some(old) => *old = server,
        None => settings.ice_servers.push(server),
    }
    scene.act(Act::Change(Box::new(settings)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_kept_or_a_sentence_says_why_not() {
        for url in ["turn:example.org:3478", "turns:[::1]", "turn:h:1?transport=tcp"] {
            assert_eq!(check(&format!(" {url} "), "ann", "secret").unwrap().url, url);
            assert!(check(url, "", "secret").is_err(), "{url} without a user");
        }
        for url in ["", "stun:", "stuns:example.org", "http://example.org", "stun:h:0"] {
            let error = check(url, "ann", "secret").unwrap_err();
            assert!(error.ends_with('.') && !error.contains(".."), "{url:?} gives a sentence: {error}");
        }
    }

    #[test]
    fn a_stun_server_keeps_no_secrets() {
        let server = check("stun:example.org", "ann", "secret").unwrap();
        assert_eq!((server.user.as_str(), server.password.as_str()), ("", ""));
    }
}
