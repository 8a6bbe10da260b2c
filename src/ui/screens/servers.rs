//! ICE servers in the settings: list, add, edit, remove.

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
    let (scheme, rest) =
        url.split_once(':').ok_or("Write the server as stun:host:port or turn:host:port.")?;
    let scheme = scheme.to_ascii_lowercase();
    let turn = match scheme.as_str() {
        "stun" | "stuns" => false,
        "turn" | "turns" => true,
        _ => return Err(format!("“{scheme}” is no kind of ICE server. Start with stun: or turn:.")),
    };
    let (address, query) =
        rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
    check_address(address)?;
    match query {
        None | Some("transport=udp") => {}
        Some("transport=tcp" | "transport=tls") if turn => {}
        Some(query) => {
            return Err(format!(
                "“?{query}” is not understood. Use ?transport=udp or ?transport=tcp with turn."
            ));
        }
    }
    let (user, password) = (user.trim(), password.trim());
    if turn && (user.is_empty() || password.is_empty()) {
        return Err("A TURN server needs a user name and a password.".into());
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let (user, password) = if turn { (user.into(), password.into()) } else { Default::default() };
    Ok(IceServer { url: format!("{scheme}:{address}{query}"), user, password })
}

fn check_address(address: &str) -> Result<(), String> {
    let missing = || "The host is missing. Write it like stun:stun.example.org:3478.".to_owned();
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("The IPv6 address has no closing bracket.")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("“{host}” is not an IPv6 address."))?;
        (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some(after) }))
    } else {
        address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
    };
    if host.is_empty() {
        return Err(missing());
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !host.chars().all(plain) {
        return Err(format!("“{host}” is not a host name. Leave out spaces and slashes."));
    }
    if let Some(port) = port {
        match port.parse::<u16>() {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(format!("“{port}” is not a port. Ports go from 1 to 65535.")),
        }
    }
    Ok(())
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
    fn servers_are_checked_as_they_are_written() {
        for url in [
            "stun:stun.l.google.com:19302",
            "stun:example.org",
            " STUN:example.org:3478 ",
            "stuns:[2001:db8::1]:5349",
            "stun:10.0.0.1:1?transport=udp",
        ] {
            assert!(check(url, "", "").is_ok(), "{url}: {:?}", check(url, "", ""));
        }
        for url in
            ["turn:example.org:3478", "turns:[::1]", "turn:h:1?transport=tcp", "turn:h:1?transport=tls"]
        {
            assert!(check(url, "ann", "secret").is_ok(), "{url}");
            assert!(check(url, "", "secret").is_err(), "{url} without a user");
        }
        let host = "x".repeat(5000);
        for url in [
            "",
            "stun",
            "stun:",
            "stun::3478",
            "http://example.org",
            "stun:a b",
            "stun:h:0",
            "stun:h:65536",
            "stun:h:port",
            "stun:[::1",
            "stun:[host]:1",
            "stun:[::1]x",
            "stun:h?transport=tcp",
            "turn:h?x=1",
            "stun:/etc",
            "\u{0}:\u{0}",
        ] {
            let error = check(url, "ann", "secret").unwrap_err();
            assert!(error.ends_with('.'), "{url:?} gives a sentence: {error}");
        }
        assert!(check(&format!("stun:{host}"), "", "").is_ok());
    }

    #[test]
    fn a_stun_server_keeps_no_secrets() {
        let server = check("stun:example.org", "ann", "secret").unwrap();
        assert_eq!((server.user.as_str(), server.password.as_str()), ("", ""));
    }
}
