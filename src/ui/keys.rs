//! The keyboard. Single letters act only while no text field has the focus; nothing here hangs up.

use super::clipboard::{Copied, Purpose};
use super::people::Who;
use super::screens::call::toggle_fill;
use super::screens::rescue;
use super::video::{self, Fill};
use super::view::{Act, Overlay, Scene, Screen};
use eframe::egui::{self, Context, Event, Key, KeyboardShortcut, Modifiers};

const SETTINGS: KeyboardShortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::Comma);

/// Carries out the keys of this pass; runs before the screen is shown.
pub fn handle(ctx: &Context, scene: &mut Scene<'_>, screen: Screen) {
    // Esc has taken the focus from a field before this runs; it must not go a step back besides.
    let typing = ctx.text_edit_focused() || scene.view.typing;
    if screen == Screen::Broken {
        return;
    }
    if ctx.input_mut(|input| input.consume_shortcut(&SETTINGS)) {
        scene.view.overlay = Overlay::Settings;
    }
    let help = (!typing && pressed(ctx, Key::Questionmark)) || pressed(ctx, Key::F1);
    if help {
        scene.view.overlay = if scene.view.overlay == Overlay::Help { Overlay::None } else { Overlay::Help };
    }
    if scene.view.overlay != Overlay::None || egui::Popup::is_any_open(ctx) {
        // Dialogs and lists close themselves on Esc.
        return;
    }
    if !typing {
        clipboard_keys(ctx, scene, screen);
        letters(ctx, scene, screen);
    }
    if pressed(ctx, Key::F11) && screen == Screen::Call {
        scene.act(Act::ToggleFullscreen);
    }
    if !typing && pressed(ctx, Key::Escape) {
        escape(ctx, scene, screen);
    }
}

/// Pressed without Ctrl, Alt or Command; Shift may be needed to type `?`.
fn pressed(ctx: &Context, key: Key) -> bool {
    ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key) || input.consume_key(Modifiers::SHIFT, key))
}

fn letters(ctx: &Context, scene: &mut Scene<'_>, screen: Screen) {
    let hit = |key| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    if matches!(screen, Screen::Lobby | Screen::Exchange | Screen::Call) {
        if hit(Key::M) {
            scene.act(Act::ToggleMicrophone);
        }
        if hit(Key::V) {
            scene.act(Act::ToggleCamera);
        }
    }
    match screen {
        Screen::Lobby => {
            if hit(Key::S) {
                scene.act(Act::StartCall);
            }
            if hit(Key::J) {
                scene.act(Act::OpenJoin);
            }
            if hit(Key::R) {
                scene.act(Act::OpenVisit);
            }
        }
        Screen::Call => {
            if hit(Key::F) {
                scene.act(Act::ToggleFullscreen);
            }
            if hit(Key::D) {
                scene.view.toggle_statistics();
            }
            let among_people = scene.model.server.is_none();
            if among_people && !scene.model.people.is_group() && hit(Key::W) {
                scene.view.toggle_words();
            }
            if scene.model.may_add() && hit(Key::A) {
                scene.act(Act::AddSomeone);
            }
            if hit(Key::P) {
                scene.view.own_hidden = !scene.view.own_hidden;
            }
            if hit(Key::Z) {
                let stage = ctx.content_rect().size();
                let picture = scene.theirs().and_then(video::View::resolution);
                toggle_fill(scene.view, picture.map_or(Fill::Cover, |picture| Fill::best(picture, stage)));
            }
            if scene.model.people.is_group() {
                if hit(Key::G) {
                    scene.view.toggle_speaker_view();
                }
                if hit(Key::L) {
                    scene.view.toggle_people();
                }
                if among_people && hit(Key::R) {
                    scene.view.reacting = !scene.view.reacting;
                }
                if among_people && hit(Key::H) {
                    let raised = scene.model.people.hand(Who::Me).is_some();
                    scene.act(Act::RaiseHand(!raised));
                }
            }
        }
        Screen::Exchange | Screen::Visit | Screen::Ended | Screen::Broken => {}
    }
}

/// Ctrl+V anywhere is a paste; Ctrl+C copies our code.
fn clipboard_keys(ctx: &Context, scene: &mut Scene<'_>, screen: Screen) {
    let among_people = scene.model.server.is_none();
    let open =
        among_people && screen == Screen::Call && (scene.view.adding || rescue::is_open(scene.model.call));
    if !open && !matches!(screen, Screen::Lobby | Screen::Exchange) {
        return;
    }
    let mut copy = false;
    let mut pasted = None;
    ctx.input(|input| {
        for event in &input.events {
            match event {
                Event::Copy => copy = true,
                Event::Paste(text) => pasted = Some(text.clone()),
                _ => {}
            }
        }
        // An empty clipboard gives no paste event; the sentence about it is wanted all the same.
        if pasted.is_none() && input.modifiers.command && input.key_pressed(Key::V) {
            pasted = Some(String::new());
        }
    });
    if copy && scene.model.shown_code().is_some() {
        scene.act(Act::Copy(Copied::Code));
    }
    match pasted {
        Some(text) if text.is_empty() => scene.act(Act::Read(Purpose::Paste)),
        Some(text) => scene.act(Act::Submit(text)),
        None => {}
    }
}

/// One step back. In a call there is none: only the button hangs up.
fn escape(ctx: &Context, scene: &mut Scene<'_>, screen: Screen) {
    match screen {
        Screen::Call if scene.view.reacting => scene.view.reacting = false,
        Screen::Call if scene.view.adding => scene.view.adding = false,
        Screen::Call if scene.view.fullscreen => scene.act(Act::ToggleFullscreen),
        Screen::Call if scene.view.words => scene.view.words = false,
        Screen::Call if scene.view.statistics => scene.view.statistics = false,
        Screen::Call if scene.view.people => scene.view.people = false,
        Screen::Exchange | Screen::Visit => scene.act(Act::Cancel),
        Screen::Ended => scene.act(Act::Back),
        Screen::Call | Screen::Lobby | Screen::Broken => {
            if let Some(focus) = ctx.memory(egui::Memory::focused) {
                ctx.memory_mut(|memory| memory.surrender_focus(focus));
            }
        }
    }
}
