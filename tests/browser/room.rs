//! The page in rooms: meshes of browsers and programs, in which everybody pastes once, a room that a browser founds, and
//! rooms in which a program forwards for the others or makes one picture for them.

use crate::devtools::{Browser, Page};
use crate::knock::join;
use crate::page::{DESKTOP, PHONE, SHOWN_WORDS, as_file, invite, reply, with_name};
use crate::support::{Lines, Running, Scratch, alone, wait_for};
use crate::{PATIENCE, find_browser, number, with_logs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A picture moves if so many more of it have been decoded. One machine makes and decodes those of everybody.
const MOVING: f64 = 15.0;
const ROOM_PATIENCE: Duration = Duration::from_secs(90);

/// Everybody the page has a tile for: pictures decoded, sound heard, and whether they come from themselves.
const PEOPLE: &str = "Promise.all(app.room.present.map(async (person) => {
  const tracks = person.played?.getTracks() || [];
  const owner = app.room.present.find(({ peer }) => peer.pc.getReceivers().some(({ track }) => tracks.includes(track)));
  const stats = await Promise.all(tracks.map(async (track) => [...(await owner.peer.pc.getStats(track)).values()]));
  const of = (kind) => stats.flat().find((one) => one.type === 'inbound-rtp' && one.kind === kind) || {};
  return { name: app.room.nameOf(person), frames: of('video').framesDecoded || 0, sound: of('audio').totalAudioEnergy || 0,
    way: owner === person ? 'direct' : 'hub' };
}))";

/// Every message of the room with every kind of wrong content, and more of it than anybody needs.
const NONSENSE: &str = "(() => {
  const junk = [null, 7, -1, 1e300, 'x', '', [], {}, [[]], [{ id: 'x' }], true, 'x'.repeat(60000)];
  const fields = ['sdp', 'members', 'number', 'order', 'host', 'removed', 'ruling', 'means', 'to', 'from', 'payload', 'attempt', 'kind',
    'member', 'width', 'height', 'candidate', 'layer'];
  for (const type of ['offer', 'answer', 'members', 'pass', 'mix', 'view', 'layer', 'reaction', 'candidate', 'dance']) {
    for (const value of junk) {
      app.room.say(typeof value === 'string' && value.length > 100 ? { type, [fields[0]]: value } : { type, ...Object.fromEntries(fields.map((field) => [field, value])) });
    }
  }
  for (let count = 0; count < 2000; count++) app.room.say({ type: 'reaction', kind: 'heart' });
  app.room.say({ type: 'view', width: 640, height: 360, shown: true });
})()";

/// A program in the room, of a name, with small pictures.
struct Member {
    running: Running,
    lines: Lines,
    last: Value,
}

impl Member {
    fn start(name: &str, verb: &str, more: &[&str], scratch: &Scratch) -> Self {
        let settings = scratch.join(&format!("{name}.json"));
        fs::write(&settings, format!(r#"{{"name": "{name}"}}"#)).expect("the folder is ours");
        let log = if verb == "call" { "twocan.log".into() } else { format!("{name}.log") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_twocan"));
        command
            .arg(verb)
            .args(more)
            .args(["--camera", "pattern", "--microphone", "tone", "--speaker", "none", "--size", "320x180"])
            .args(["--fps", "15", "--bind", "127.0.0.1", "--no-stun", "--stats", "-", "--seconds", "150"])
            .env("TWOCAN_CONFIG", settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(scratch.join(&log)).expect("the folder is ours"));
        let mut running = Running::start(&mut command);
        let lines = running.lines();
        Self { running, lines, last: Value::Null }
    }

    /// Waits until these and nobody else are there, with pictures that move.
    fn sees(&mut self, names: &[&str]) {
        wait_for(&format!("{names:?} in the program"), ROOM_PATIENCE, || {
            let line = self.lines.waiting().last()?;
            // Codes of the call come on the same way.
            self.last = serde_json::from_str(&line).ok()?;
            let peers = self.last["peers"].as_array()?;
            let moving = |peer: &&Value| number(peer, "/inbound/video/framesDecoded") > MOVING;
            let mut seen: Vec<_> =
                peers.iter().filter(moving).filter_map(|peer| peer["name"].as_str()).collect();
            seen.sort_unstable();
            (seen == names && peers.len() == names.len()).then_some(())
        });
    }
}

/// By way of whom the page gets somebody's streams.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Direct,
    Hub,
}

/// Waits until the page shows these and nobody else, moving and heard, each in this way.
fn sees(page: &mut Page, people: &[(&str, Way)]) {
    let expected: Vec<_> = people.iter().map(|(name, _)| *name).collect();
    let mut first: BTreeMap<String, f64> = BTreeMap::new();
    let mut last = Value::Null;
    let mut is_there = |page: &mut Page| {
        last = page.ask(PEOPLE);
        let shown = last.as_array()?;
        let mut names: Vec<_> = shown.iter().filter_map(|person| person["name"].as_str()).collect();
        names.sort_unstable();
        let is_good = |person: &Value| {
            let way = if person["way"] == "hub" { Way::Hub } else { Way::Direct };
            let frames = number(person, "/frames");
            // Those of another way are counted anew.
            let before = *first.entry(format!("{} {}", person["name"], person["way"])).or_insert(frames);
            let is_expected = people.iter().any(|(name, wanted)| person["name"] == *name && way == *wanted);
            is_expected && frames >= before + MOVING && number(person, "/sound") > 0.0
        };
        // Each is counted, not only up to the first that is not there yet.
        let good = shown.iter().map(is_good).filter(|is_good| *is_good).count();
        (names == expected && good == names.len()).then_some(())
    };
    let waiting = std::panic::AssertUnwindSafe(|| {
        wait_for(&format!("{expected:?} in the page"), ROOM_PATIENCE, || is_there(page));
    });
    if let Err(panic) = std::panic::catch_unwind(waiting) {
        eprintln!("the page had {last}");
        std::panic::resume_unwind(panic);
    }
}

fn no_errors(pages: impl IntoIterator<Item = Page>) {
    for page in pages {
        assert_eq!(page.errors, Vec::<String>::new(), "errors in the page");
    }
}

#[test]
fn the_roster_of_the_page_converges_and_keeps_to_its_limits() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-roster");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = browser.open(&as_file(), DESKTOP, false);
        assert_eq!(page.ask(include_str!("roster.js")), Value::Array(Vec::new()));
    });
}

#[test]
fn two_browsers_and_two_programs_meet_in_a_mesh() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("mesh");
    with_logs(&scratch, || {
        let mut ann = Member::start("Ann", "call", &["--guests", "many"], &scratch);
        let invite = ann.lines.next(PATIENCE);
        let mut bob = Member::start("Bob", "answer", &[], &scratch);
        bob.running.type_line(&invite);
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut cy = join(&browser, &invite, "Cy", PHONE);
        let mut di = join(&browser, &invite, "Di", DESKTOP);
        ann.sees(&["Bob", "Cy", "Di"]);
        bob.sees(&["Ann", "Cy", "Di"]);
        sees(&mut cy, &[("Ann", Way::Direct), ("Bob", Way::Direct), ("Di", Way::Direct)]);
        sees(&mut di, &[("Ann", Way::Direct), ("Bob", Way::Direct), ("Cy", Way::Direct)]);
        for page in [&mut cy, &mut di] {
            page.wait("document.getElementById('name').textContent === '4 people'");
            page.wait("[...document.querySelectorAll('.tile .nobody')].every(({ hidden }) => hidden)");
        }
        cy.look("page-mesh-phone");
        di.look("page-mesh");

        // A hand is seen, and who has left is not.
        cy.ask("document.getElementById('hand').click()");
        di.wait("document.querySelector('.tile.raised .name')?.textContent === 'Cy'");
        di.ask("document.querySelector('#reactions [aria-label=Heart]').click()");
        cy.wait("document.querySelector('.tile.reacts .name')?.textContent === 'Di'");
        cy.look("page-mesh-gestures-phone");
        drop(bob);
        di.press("hang-up");
        cy.wait("app.room.present.length === 1 && app.stage === 'call'");
        ann.sees(&["Cy"]);
        cy.press("hang-up");
        cy.wait("document.body.dataset.screen === 'ended'");
        no_errors([cy, di]);
    });
}

#[test]
fn browsers_have_a_room_of_their_own() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-room");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let [mut ann, mut bob, mut cy] =
            [("Ann", DESKTOP), ("Bob", PHONE), ("Bob", PHONE)].map(|(name, size)| {
                let mut page = browser.open(&as_file(), size, size == PHONE);
                with_name(&mut page, name);
                page
            });
        let first = invite(&mut ann);
        let answer = reply(&mut bob, &first);
        ann.fill("their-code", &answer);
        ann.wait("app.stage === 'call'");
        // One more, whom the founder lets in. The two guests meet without another paste.
        ann.ask("document.querySelector('#bar [data-add]').click()");
        ann.wait("document.getElementById('add-copy').checkVisibility()");
        ann.look("page-add");
        let second = ann.text("document.getElementById('add-code').textContent");
        assert!(second.starts_with("2can") && second != first);
        let answer = reply(&mut cy, &second);
        ann.fill("add-reply", &answer);
        sees(&mut ann, &[("Bob", Way::Direct), ("Bob (2)", Way::Direct)]);
        sees(&mut bob, &[("Ann", Way::Direct), ("Bob (2)", Way::Direct)]);
        sees(&mut cy, &[("Ann", Way::Direct), ("Bob", Way::Direct)]);
        bob.look("page-room-phone");
        // The words of a connection that the room made.
        let with = |page: &mut Page, name: &str| {
            page.ask("document.getElementById('compare').click()");
            page.wait(&format!(
                "(() => {{ const who = document.getElementById('words-who'); \
                 const named = [...who.options].find(({{ text }}) => text === '{name}'); if (!named) return false; \
                 who.value = named.value; who.onchange(); return true; }})()"
            ));
            page.wait(&format!("{SHOWN_WORDS}.trim().split(' ').length === 4"));
            page.text(SHOWN_WORDS)
        };
        assert_eq!(with(&mut bob, "Bob (2)"), with(&mut cy, "Bob"));
        bob.look("page-room-words-phone");
        // Nonsense and floods of one of them do the others no harm.
        bob.ask(NONSENSE);
        sees(&mut ann, &[("Bob", Way::Direct), ("Bob (2)", Way::Direct)]);
        sees(&mut cy, &[("Ann", Way::Direct), ("Bob", Way::Direct)]);
        // Whoever founded the room leaves: the others stay.
        ann.press("hang-up");
        for page in [&mut bob, &mut cy] {
            page.wait("app.room.present.length === 1 && app.stage === 'call'");
        }
        sees(&mut bob, &[("Bob (2)", Way::Direct)]);
        no_errors([ann, bob, cy]);
    });
}

#[test]
fn a_program_forwards_between_browsers_and_is_lost() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-hub");
    with_logs(&scratch, || {
        let ann = Member::start("Ann", "call", &["--guests", "many", "--topology", "forward"], &scratch);
        let invite = ann.lines.next(PATIENCE);
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut cy = join(&browser, &invite, "Cy", PHONE);
        let mut di = join(&browser, &invite, "Di", DESKTOP);
        sees(&mut cy, &[("Ann", Way::Direct), ("Di", Way::Hub)]);
        sees(&mut di, &[("Ann", Way::Direct), ("Cy", Way::Hub)]);
        // What comes by the hub is not sent directly as well.
        for page in [&mut cy, &mut di] {
            page.wait("app.room.present.filter(({ peer }) => !peer.isWanted).length === 1");
        }
        cy.look("page-hub-phone");
        // Killed: the two see each other without it.
        drop(ann);
        sees(&mut cy, &[("Di", Way::Direct)]);
        sees(&mut di, &[("Cy", Way::Direct)]);
        no_errors([cy, di]);
    });
}

#[test]
fn a_program_makes_one_picture_for_a_browser_that_wants_it() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-mix");
    with_logs(&scratch, || {
        let ann = Member::start("Ann", "call", &["--guests", "many", "--topology", "mix"], &scratch);
        let invite = ann.lines.next(PATIENCE);
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut cy = join(&browser, &invite, "Cy", PHONE);
        let mut di = join(&browser, &invite, "Di", DESKTOP);
        for (page, other) in [(&mut cy, "Di"), (&mut di, "Cy")] {
            page.wait("app.room.isMixed && document.querySelectorAll('.tile.whole').length === 1");
            page.wait(&format!(
                "[...document.querySelectorAll('#inside span')].map((name) => name.textContent).join() === 'Ann,{other}'"
            ));
            page.wait("app.room.present.filter(({ peer }) => !peer.isWanted).length === 1");
            // It moves.
            let frames = "app.room.hub.peer.pc.getStats(app.room.hub.stream.getVideoTracks()[0]).then((stats) => \
                [...stats.values()].find(({ type }) => type === 'inbound-rtp').framesDecoded)";
            let before = page.ask(frames).as_f64().unwrap_or(0.0);
            page.wait(&format!("{frames}.then((frames) => frames > {before} + 5)"));
        }
        cy.look("page-mix-phone");
        no_errors([cy, di]);
    });
}
