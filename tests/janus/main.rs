//! Rooms on a real Janus server (Debian's package), joined by real programs. Each test runs itself again in a network
//! namespace of its own, so that neither the machine's networks nor their absence matter. Skipped, loudly, where there
//! is no Janus or no namespace can be made.

#![cfg(target_os = "linux")]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/chromium.rs"]
mod chromium;
mod control;
#[allow(dead_code)] // our part of it
#[path = "../browser/devtools.rs"]
mod devtools;
mod network;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod viewer;

use certificates::certificates;
use chromium::{browser_options, find_browser};
use devtools::Browser;
use network::is_inside;
use serde_json::Value;
use server::{GUARDED, Janus, MISSING, OPEN, PIN, VP8};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Lines, Running, Scratch, alone, skip, wait_for};
use twocan::units::Resolution;
use viewer::Viewer;

const PATIENCE: Duration = Duration::from_secs(40);
const NEEDED: &str = "the tests of rooms need Janus (Debian: janus)";

fn command(scratch: &Scratch, name: &str, address: &str) -> Command {
    let settings = scratch.join(&format!("{name}.json"));
    std::fs::write(&settings, format!(r#"{{"name":"{name}"}}"#)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
    command
        .args(["room", address, "--camera", "pattern", "--microphone", "tone", "--speaker", "none"])
        .arg("--no-stun")
        .env("TWOCAN_CONFIG", settings)
        .env_remove("TWOCAN_PIN")
        .env_remove("TWOCAN_TOKEN")
        .stdin(Stdio::null());
    command
}

/// Somebody in a room.
struct Member {
    running: Running,
    stats: Lines,
    says: Lines,
}

impl Member {
    fn join(scratch: &Scratch, name: &str, address: &str, more: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(scratch, name, address);
        command.args(["--stats", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        more(&mut command);
        if !command.get_args().any(|argument| argument == "--size") {
            command.args(["--size", "320x180"]);
        }
        let mut running = Running::start(&mut command);
        let stats = running.lines();
        let says = Lines::of(running.child.stderr.take().unwrap(), name);
        Self { running, stats, says }
    }

    fn hears_said(&self, part: &str) {
        wait_for(part, PATIENCE, || self.says.next(PATIENCE).contains(part).then_some(()));
    }

    /// Of the newest statistics, what is received from the member of this name: pictures decoded, packets of sound.
    fn receives(&self, name: &str) -> (u64, u64) {
        let line = self.stats.waiting().last().unwrap_or_else(|| self.stats.next(PATIENCE));
        let stats: Value = serde_json::from_str(&line).unwrap();
        let empty = Vec::new();
        let peers = stats["peers"].as_array().unwrap_or(&empty);
        let peer = peers.iter().find(|peer| peer["name"] == name);
        let counter = |kind: &str, name: &str| {
            peer.and_then(|peer| peer["inbound"][kind][name].as_u64()).unwrap_or_default()
        };
        (counter("video", "framesDecoded"), counter("audio", "packetsReceived"))
    }

    /// The path over which the member of this name is received.
    fn path_of(&self, name: &str) -> Option<String> {
        let line = self.stats.waiting().last().unwrap_or_else(|| self.stats.next(PATIENCE));
        let stats: Value = serde_json::from_str(&line).unwrap();
        let peer = stats["peers"].as_array()?.iter().find(|peer| peer["name"] == name)?;
        let path = &peer["candidatePair"];
        Some(format!("{} {}", path["local"].as_str()?, path["remote"].as_str()?))
    }

    fn sees_and_hears(&self, name: &str) {
        wait_for(&format!("sound and pictures of {name}"), PATIENCE, || {
            let (pictures, sound) = self.receives(name);
            (pictures > 30 && sound > 30).then_some(())
        });
    }

    fn stop(&mut self) -> Option<i32> {
        // SAFETY: a signal to a child of ours that was not waited for.
        unsafe { libc::kill(self.running.child.id() as i32, libc::SIGINT) };
        self.running.wait(PATIENCE).code()
    }
}

fn with_pin(command: &mut Command) {
    command.env("TWOCAN_PIN", PIN);
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Runs the test in a network of its own, with a Janus there.
fn beside_janus(test: &str, check: impl FnOnce(&Scratch, Janus)) {
    let _one = alone();
    if !is_inside(test) {
        return;
    }
    let scratch = Scratch::new(test);
    match Janus::start(&scratch) {
        Some(janus) => check(&scratch, janus),
        None => skip(NEEDED),
    }
}

#[test]
fn two_people_see_and_hear_each_other_until_one_leaves() {
    beside_janus("two_people_see_and_hear_each_other_until_one_leaves", |scratch, janus| {
        let mut ann = Member::join(scratch, "Ann", &janus.address(GUARDED), with_pin);
        let mut bo = Member::join(scratch, "Bo", &janus.address(GUARDED), with_pin);
        ann.sees_and_hears("Bo");
        bo.sees_and_hears("Ann");
        assert_eq!(bo.stop(), Some(0));
        ann.hears_said("Bo has left.");
        assert_eq!(ann.stop(), Some(0));
    });
}

#[test]
fn everybody_comes_over_one_connection_and_may_come_and_go() {
    beside_janus("everybody_comes_over_one_connection_and_may_come_and_go", |scratch, janus| {
        let join = |name: &str| Member::join(scratch, name, &janus.address(OPEN), |_| {});
        let ann = join("Ann");
        ann.hears_said("You are in the room.");
        let mut bo = join("Bo");
        ann.sees_and_hears("Bo");
        let cy = join("Cy");
        for name in ["Bo", "Cy"] {
            ann.sees_and_hears(name);
        }
        for name in ["Ann", "Bo"] {
            cy.sees_and_hears(name);
        }
        assert_eq!(ann.path_of("Bo").unwrap(), ann.path_of("Cy").unwrap());
        // Who leaves makes room in the description for who comes next; the others are not disturbed.
        let before = ann.receives("Cy").0;
        assert_eq!(bo.stop(), Some(0));
        ann.hears_said("Bo has left.");
        let di = join("Di");
        for name in ["Ann", "Cy"] {
            di.sees_and_hears(name);
        }
        for member in [&ann, &cy] {
            member.sees_and_hears("Di");
        }
        assert_eq!(ann.path_of("Di").unwrap(), ann.path_of("Cy").unwrap());
        assert!(ann.receives("Cy").0 > before + 30, "Cy's picture went on");
    });
}

#[test]
fn who_is_drawn_small_is_asked_for_small() {
    beside_janus("who_is_drawn_small_is_asked_for_small", |scratch, janus| {
        let address = janus.address(OPEN);
        let ann = Member::join(scratch, "Ann", &address, |command| {
            command.args(["--size", "640x360"]);
        });
        let bo = Member::join(scratch, "Bo", &address, |_| {});
        let mut cy = Viewer::join("Cy", &address);
        let drawn = |width| Resolution::new(width, width * 9 / 16);
        // One of each size, and back: nothing is still meanwhile, and whoever draws it large sees all of it.
        for (pixels, width) in [(1280, 640), (320, 320), (160, 160), (640, 640)] {
            cy.draws("Ann", drawn(pixels), width);
        }
        bo.sees_and_hears("Ann");
        let last = cy.draws("Ann", drawn(160), 160);
        assert_eq!(last.inbound.video.freeze_count, 0, "a change of size stopped the picture");
        ann.sees_and_hears("Bo");
    });
}

/// Each in three sizes, which the other asks for as it pleases.
#[test]
fn a_browser_in_the_room_sends_and_gets_all_sizes() {
    beside_janus("a_browser_in_the_room_sends_and_gets_all_sizes", |scratch, janus| {
        let Some(program) = find_browser() else { return };
        let _ann = Member::join(scratch, "Ann", &janus.address(OPEN), |command| {
            command.args(["--size", "640x360"]);
        });
        let mut cy = Viewer::join("Cy", &janus.address(OPEN));
        let browser = Browser::start(&program, scratch, "profile", &[]);
        let page = concat!("file://", env!("CARGO_MANIFEST_DIR"), "/tests/janus/guest.html");
        let mut page = browser.open(&format!("{page}?port={}&room={OPEN}", janus.port), (640, 480), false);
        page.wait("app.sees('Ann', 640) && app.hears('Ann')");
        page.ask("app.choose('Ann', 0)");
        page.wait("app.sees('Ann', 160)");
        // Of a picture of this size Chromium makes no third one.
        for (pixels, width) in [(1280, 640), (320, 320)] {
            cy.draws("Chromium", Resolution::new(pixels, pixels * 9 / 16), width);
        }
        assert_eq!(page.text("app.trouble"), "");
    });
}

#[test]
fn a_room_cascades_to_a_second_server() {
    let _one = alone();
    if !is_inside("a_room_cascades_to_a_second_server") {
        return;
    }
    let (here, there) = (Scratch::new("janus-first"), Scratch::new("janus-second"));
    let (Some(first), Some(second)) = (Janus::start(&here), Janus::start(&there)) else {
        return skip(NEEDED);
    };
    let ann = Member::join(&here, "Ann", &first.address(OPEN), |_| {});
    let bo = Member::join(&there, "Bo", &second.address(OPEN), |_| {});
    for member in [&ann, &bo] {
        member.hears_said("You are in the room.");
    }
    control::cascade(&first, &second, OPEN, "Ann");
    bo.sees_and_hears("Ann");
}

#[test]
fn what_the_server_refuses_is_said() {
    beside_janus("what_the_server_refuses_is_said", |scratch, mut janus| {
        for (room, pin, sentence) in [
            (GUARDED, None, "PIN is missing or wrong"),
            (GUARDED, Some("98765"), "PIN is missing or wrong"),
            (
                MISSING,
                None,
                "This server has no such room. Check the address, or make the room. --create makes it.",
            ),
        ] {
            let mut command = command(scratch, "Ann", &janus.address(room));
            command.args(["--log", "trace"]);
            if let Some(pin) = pin {
                command.env("TWOCAN_PIN", pin);
            }
            let (status, said) = refused(&mut command);
            assert_eq!(status, Some(3), "{said}");
            assert!(said.contains(sentence) && !said.contains("98765"), "{said}");
        }
        janus.kill();
        let (status, said) = refused(&mut command(scratch, "Ann", &janus.address(OPEN)));
        assert_eq!(status, Some(3), "{said}");
        assert!(said.contains("“127.0.0.1” cannot be reached: it refuses connections"), "{said}");
    });
}

#[test]
fn a_room_is_made_on_demand_and_found_by_the_next() {
    beside_janus("a_room_is_made_on_demand_and_found_by_the_next", |scratch, janus| {
        let create = |command: &mut Command| {
            with_pin(command);
            command.arg("--create");
        };
        let ann = Member::join(scratch, "Ann", &janus.address(MISSING), create);
        ann.hears_said("You are in the room.");
        let (_, said) = refused(&mut command(scratch, "Eve", &janus.address(MISSING)));
        assert!(said.contains("PIN is missing or wrong"), "{said}");
        let bo = Member::join(scratch, "Bo", &janus.address(MISSING), with_pin);
        bo.sees_and_hears("Ann");
        ann.sees_and_hears("Bo");
    });
}

#[test]
fn a_room_without_h264_is_named_and_still_carries_sound() {
    beside_janus("a_room_without_h264_is_named_and_still_carries_sound", |scratch, janus| {
        let ann = Member::join(scratch, "Ann", &janus.address(VP8), |_| {});
        ann.hears_said("This room takes no H.264 pictures, so you are heard but not seen.");
        let bo = Member::join(scratch, "Bo", &janus.address(VP8), |_| {});
        wait_for("Ann's voice", PATIENCE, || (bo.receives("Ann").1 > 30).then_some(()));
        assert_eq!(bo.receives("Ann").0, 0);
    });
}

#[test]
fn a_server_that_comes_back_is_joined_again() {
    beside_janus("a_server_that_comes_back_is_joined_again", |scratch, mut janus| {
        let mut ann = Member::join(scratch, "Ann", &janus.address(OPEN), |_| {});
        let bo = Member::join(scratch, "Bo", &janus.address(OPEN), |_| {});
        ann.sees_and_hears("Bo");
        bo.sees_and_hears("Ann");
        janus.kill();
        for member in [&ann, &bo] {
            member.hears_said("The server is gone.");
        }
        janus.start_again();
        for member in [&ann, &bo] {
            member.hears_said("You are in the room.");
            member.stats.waiting().for_each(drop);
        }
        ann.sees_and_hears("Bo");
        bo.sees_and_hears("Ann");
        janus.kill();
        ann.hears_said("The server is gone.");
        assert_eq!(ann.stop(), Some(0), "nobody has to wait for a server that stays away");
    });
}

#[test]
fn over_tls_the_certificate_counts() {
    beside_janus("over_tls_the_certificate_counts", |scratch, janus| {
        let address = format!("janus:wss://localhost:{}/{OPEN}", janus.tls_port);
        let trusting = |authority: &Path| {
            let authority = authority.to_owned();
            move |command: &mut Command| {
                command.env("SSL_CERT_FILE", authority);
            }
        };
        let ann = Member::join(scratch, "Ann", &address, trusting(&janus.authority));
        ann.hears_said("You are in the room.");
        let stranger = scratch.join("stranger.pem");
        std::fs::write(&stranger, certificates().0).unwrap();
        let mut command = command(scratch, "Eve", &address);
        trusting(&stranger)(&mut command);
        let (status, said) = refused(&mut command);
        assert_eq!(status, Some(3), "{said}");
        assert!(said.contains("“localhost” cannot be reached: its certificate is not one"), "{said}");
    });
}
