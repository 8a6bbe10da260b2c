//! The real program twice, on a desktop of its own: real clicks, the real clipboard, and what is on the screen.
//!
//! Linux only: the desktop is Xvfb, and controls are found by the names a screen reader says (AT-SPI).
#![cfg(target_os = "linux")]

mod desktop;
#[path = "../support/mod.rs"]
mod support;

use desktop::{Desktop, Item, PATIENCE, Window};
use image::RgbImage;
use std::time::Duration;
use support::{Scratch, wait_for};

const ARGUMENTS: &[&str] = &[
    "--camera",
    "pattern",
    "--microphone",
    "tone",
    "--speaker",
    "none",
    "--size",
    "640x360",
    "--bind",
    "127.0.0.1",
    "--no-stun",
];

#[test]
fn two_windows_hold_a_call_over_the_clipboard() {
    let Some(desktop) = Desktop::start(Scratch::new("window")) else { return };
    let mut ann = desktop.open("Ann", ARGUMENTS, 0);
    let mut bob = desktop.open("Bob", ARGUMENTS, 980);

    // The invite is in the clipboard as soon as it is made, and again when asked for.
    ann.click("Start a call");
    let invite = wait_for_code(&desktop, "");
    desktop.set_clipboard("something else");
    ann.click("Copy");
    assert_eq!(wait_for_code(&desktop, ""), invite);

    // One's own code is the easiest mistake.
    ann.click("Paste");
    ann.wait_for_words("your own");

    // A wrong paste says what is wrong and changes nothing: the right one works after it.
    bob.click("Join a call");
    desktop.set_clipboard("Shall we say eight o'clock?");
    bob.press("ctrl+v");
    bob.wait_for_words("This is not a Twocan code");
    // One paste is enough: Bob reaches Ann, and nobody needs his reply.
    desktop.set_clipboard(&invite);
    bob.press("ctrl+v");

    for (own, other) in [(&mut bob, "Ann"), (&mut ann, "Bob")] {
        let picture = own.wait_for(&format!("{other}'s picture"), |item| {
            item.role.contains("image") && item.name == format!("Picture of {other}")
        });
        own.activate();
        wait_for("pattern in the picture", PATIENCE, || {
            shows_the_pattern(&desktop.picture(&picture)).then_some(())
        });
        assert!(moves(&desktop, &picture), "{other}'s picture stands still");
    }

    ann.click("Mute microphone");
    bob.stir();
    bob.wait_for_words("Ann is muted");
    ann.click("Unmute microphone");
    wait_until_gone(&mut bob, "Ann is muted");

    ann.click("Hang up");
    ann.wait_for_words("You hung up");
    bob.wait_for_words("They hung up");
    assert_eq!(ann.close(), Some(0));
    assert_eq!(bob.close(), Some(0));
}

/// The second window's camera is held up to the first one's screen: what it shows is its camera's picture.
#[test]
fn the_second_window_joins_by_what_its_camera_sees() {
    let scratch = Scratch::new("window-qr-camera");
    let Some(desktop) = Desktop::start(Scratch::new("window-qr")) else { return };
    let mut ann = desktop.open("Ann", ARGUMENTS, 0);
    ann.click("Start a call");
    wait_for_code(&desktop, "");
    ann.click("Show as QR");
    let code = ann.wait_for("the QR code", |item| item.name == "Your code as a QR code");
    let film = scratch.join("screen.y4m");
    let video = wait_for("the code on the screen", PATIENCE, || {
        let picture = desktop.picture(&code);
        // Still fading in, or not there at all.
        let dark = picture.pixels().filter(|pixel| pixel.0[1] < 60).count();
        (dark * 100 > (picture.width() * picture.height()) as usize * 15).then(|| film_of(&picture))
    });
    std::fs::write(&film, video).unwrap();
    ann.click("Done");
    desktop.set_clipboard("nothing that helps");

    let film = film.to_str().unwrap();
    let arguments: Vec<&str> =
        ARGUMENTS.iter().map(|word| if *word == "pattern" { film } else { word }).collect();
    let mut bob = desktop.open("Bob", &arguments, 980);
    bob.click("Join a call");
    bob.click("Scan a code with the camera");
    // Nothing is pasted: the invite's own port hears the guest.
    ann.wait_for("Bob's picture", |item| item.name == "Picture of Bob");
    bob.wait_for("Ann's picture", |item| item.name == "Picture of Ann");
    ann.click("Hang up");
    bob.wait_for_words("They hung up");
    assert_eq!((ann.close(), bob.close()), (Some(0), Some(0)));
}

/// A second of grey film with the picture in its middle, as a camera sees a screen.
fn film_of(picture: &RgbImage) -> Vec<u8> {
    const SIZE: (u32, u32) = (1280, 720);
    let corner = (SIZE.0.saturating_sub(picture.width()) / 2, SIZE.1.saturating_sub(picture.height()) / 2);
    let mut frame = b"FRAME\n".to_vec();
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            let place = x.checked_sub(corner.0).zip(y.checked_sub(corner.1));
            let inside = place.filter(|(x, y)| *x < picture.width() && *y < picture.height());
            // Limited range, and not the whole contrast of the screen.
            frame.push(inside.map_or(90, |(x, y)| {
                40 + picture.get_pixel(x, y).0[1] / 2 + picture.get_pixel(x, y).0[1] / 8
            }));
        }
    }
    frame.extend(std::iter::repeat_n(128, (SIZE.0 * SIZE.1 / 2) as usize));
    let mut film = format!("YUV4MPEG2 W{} H{} F15:1 Ip A1:1 C420\n", SIZE.0, SIZE.1).into_bytes();
    (0..15).for_each(|_| film.extend_from_slice(&frame));
    film
}

/// A code in the clipboard that is not this one.
fn wait_for_code(desktop: &Desktop, other_than: &str) -> String {
    wait_for("code in the clipboard", PATIENCE, || {
        let text = desktop.clipboard();
        let one_word = text.len() > 60 && !text.trim().contains(char::is_whitespace);
        (one_word && text != other_than).then_some(text)
    })
}

fn wait_until_gone(window: &mut Window<'_>, words: &str) {
    wait_for(&format!("end of “{words}”"), PATIENCE, || (!window.shows(words)).then_some(()));
}

/// The upper half of the pattern is eight bars of colour. The outer ones may be cut off; the others must stand in
/// their order: the other side is never mirrored.
fn shows_the_pattern(picture: &RgbImage) -> bool {
    let row = picture.height() * 35 / 100;
    let mut seen: Vec<&str> = Vec::new();
    for column in 0..picture.width() {
        let strong = picture.get_pixel(column, row).0.map(|value| value > 110);
        let color = match strong {
            [false, true, true] => "cyan",
            [false, true, false] => "green",
            [true, false, true] => "magenta",
            [true, false, false] => "red",
            _ => continue,
        };
        if seen.last() != Some(&color) {
            seen.push(color);
        }
    }
    // The ball may fly through the row and break a bar in two.
    seen.dedup();
    let mut rest = seen.into_iter();
    ["cyan", "green", "magenta", "red"].iter().all(|wanted| rest.any(|color| color == *wanted))
}

/// Whether the ball of the pattern has flown on, within a few looks.
fn moves(desktop: &Desktop, item: &Item) -> bool {
    const MOVED: i32 = 40;
    let first = desktop.picture(item);
    (0..10).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        let later = desktop.picture(item);
        let changed = first
            .pixels()
            .zip(later.pixels())
            .filter(|(a, b)| a.0.iter().zip(b.0).any(|(&a, b)| (i32::from(a) - i32::from(b)).abs() > MOVED));
        // More than the timer and the small own picture together.
        changed.count() * 100 > (first.width() * first.height()) as usize
    })
}

#[test]
fn the_pattern_is_told_from_other_pictures() {
    let bars = [
        [191, 191, 191],
        [191, 191, 0],
        [0, 191, 191],
        [0, 191, 0],
        [191, 0, 191],
        [191, 0, 0],
        [0, 0, 191],
        [0; 3],
    ];
    let pattern = RgbImage::from_fn(640, 360, |x, _| image::Rgb(bars[x as usize * 8 / 640]));
    assert!(shows_the_pattern(&pattern));
    assert!(!shows_the_pattern(&image::imageops::flip_horizontal(&pattern)), "mirrored");
    assert!(!shows_the_pattern(&RgbImage::new(640, 360)), "black");
}
