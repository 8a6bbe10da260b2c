//! The page for people without the app, `assets/web/index.html`, in a real browser: with another browser, with the
//! program by pasted codes in both roles, and served by the program with no paste at all.

use crate::devtools::{Browser, Page};
use crate::support::{Lines, Running, Scratch, alone, wait_for};
use crate::{PATIENCE, find_browser, number, start_twocan, with_logs};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub const DESKTOP: (u32, u32) = (1180, 720);
pub const PHONE: (u32, u32) = (390, 844);
/// Less than between two programs: in these calls one machine runs two browsers, or one and the program.
const MIN_FPS: f64 = 10.0;

/// The page opened as a file.
pub fn as_file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/web/index.html");
    let path = path.to_string_lossy().replace('\\', "/");
    format!("file://{}{path}?ice=none", if path.starts_with('/') { "" } else { "/" })
}

pub fn with_name(page: &mut Page, name: &str) {
    page.ask("document.getElementById('my-name').select()");
    page.fill("my-name", name);
}

/// Makes an invite as a person does.
pub fn invite(page: &mut Page) -> String {
    page.press("start");
    page.wait("app.stage === 'inviteOut'");
    page.text("app.own.short")
}

/// Takes an invite as a person does; gives the reply.
pub fn reply(page: &mut Page, invite: &str) -> String {
    page.press("join");
    page.fill("their-code", invite);
    page.wait("app.stage === 'replyOut' || !document.getElementById('exchange-problem').hidden");
    assert_eq!(page.text("document.getElementById('exchange-problem').textContent.trim()"), "");
    page.text("app.own.short")
}

/// The four words as they stand in the page.
pub const SHOWN_WORDS: &str =
    "[...document.querySelectorAll('#four li')].map(({ textContent }) => textContent).join(' ')";

/// What comes in: pictures decoded, seconds, their codec, the level of the sound.
const RECEIVED: &str = "app.peer.pc.getStats().then((stats) => {
  const all = [...stats.values()];
  const of = (kind) => all.find((one) => one.type === 'inbound-rtp' && one.kind === kind) || {};
  const [video, audio] = [of('video'), of('audio')];
  return { frames: video.framesDecoded || 0, seconds: performance.now() / 1000,
    codec: stats.get(video.codecId)?.mimeType, width: video.frameWidth, sound: audio.totalAudioEnergy || 0 };
})";

/// Waits for a call in which pictures and sound come in.
pub fn sees_and_hears(page: &mut Page) {
    sees_and_hears_in(page, "video/H264");
}

/// As [`sees_and_hears`], with pictures of this codec.
pub fn sees_and_hears_in(page: &mut Page, codec: &str) {
    page.wait("app.stage === 'call'");
    let mut first = Value::Null;
    wait_for("moving picture and sound in the page", Duration::from_secs(60), || {
        let now = page.ask(RECEIVED);
        if number(&now, "/frames") > 0.0 && first.is_null() {
            first = now.clone();
        }
        let seconds = number(&now, "/seconds") - number(&first, "/seconds");
        let rate = (number(&now, "/frames") - number(&first, "/frames")) / seconds.max(0.1);
        let is_good = !first.is_null() && seconds > 2.0 && rate >= MIN_FPS && number(&now, "/sound") > 0.0;
        if seconds > 8.0 {
            first = now.clone();
        }
        is_good.then(|| assert_eq!(now["codec"], codec))
    });
    page.wait("getComputedStyle(document.querySelector('#stage video')).visibility === 'visible'");
}

/// Waits until the program decodes pictures from somebody of this name; what it says of them.
pub fn twocan_sees(lines: &Lines, name: &str) -> Value {
    let mut last = Value::Null;
    wait_for("pictures from the page in the program", Duration::from_secs(60), || {
        last =
            lines.waiting().last().map_or_else(|| last.clone(), |line| serde_json::from_str(&line).unwrap());
        let video = &last["peers"][0]["inbound"]["video"];
        let is_good = number(video, "/framesPerSecond") >= MIN_FPS && last["peers"][0]["name"] == name;
        is_good.then_some(())
    });
    assert_eq!(last["peers"][0]["inbound"]["audio"]["codec"], "opus");
    last["peers"][0]["inbound"]["video"].take()
}

pub fn hang_up_in_page(page: &mut Page, mut twocan: Running) {
    page.press("hang-up");
    page.wait("document.body.dataset.screen === 'ended'");
    assert_eq!(twocan.wait(Duration::from_secs(20)).code(), Some(0), "the call did not end normally");
    assert_eq!(page.errors, Vec::<String>::new(), "errors in the page");
}

#[test]
fn two_browsers_talk_through_the_page() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-page");
    with_logs(&scratch, || {
        let browsers = ["ann", "bob"].map(|name| Browser::start(&program, &scratch, name, &[]));
        let mut ann = browsers[0].open(&as_file(), DESKTOP, false);
        let mut bob = browsers[1].open(&as_file(), PHONE, true);
        with_name(&mut ann, "Ann");
        with_name(&mut bob, "Bob");
        ann.look("page-lobby");
        bob.look("page-lobby-phone");
        let invite = invite(&mut ann);
        assert!(invite.starts_with("2can") && invite.len() < 200, "{}", invite.len());
        ann.look("page-invite");
        // As a chat hands it on.
        let reply = reply(&mut bob, &format!("> Come in: {invite}\n> see you"));
        bob.look("page-reply-phone");
        ann.fill("their-code", &reply);
        for page in [&mut ann, &mut bob] {
            sees_and_hears(page);
        }
        bob.wait("document.getElementById('name').textContent === 'Ann'");
        ann.wait("document.getElementById('name').textContent === 'Bob'");
        ann.look("page-call");
        bob.look("page-call-phone");

        bob.ask("document.querySelector('#bar [data-stop]').click()");
        bob.ask("document.querySelector('#bar [data-mute]').click()");
        ann.wait(
            "!document.getElementById('their-mute').hasAttribute('hidden') && !document.querySelector('.tile .nobody').hidden",
        );
        assert_eq!(
            ann.text("document.querySelector('.tile .nobody p').textContent"),
            "Bob sends no picture."
        );
        bob.look("page-call-phone-stopped");
        bob.ask("document.querySelector('#bar [data-stop]').click()");
        ann.wait("document.querySelector('.tile .nobody').hidden");
        bob.press("hang-up");
        ann.wait("document.body.dataset.screen === 'ended'");
        assert_eq!(ann.text("document.getElementById('ended-title').textContent"), "Bob hung up");
        for page in [ann, bob] {
            assert_eq!(page.errors, Vec::<String>::new(), "errors in the page");
        }
    });
}

#[test]
fn the_page_invites_and_twocan_answers() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-invites");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = browser.open(&as_file(), DESKTOP, false);
        with_name(&mut page, "Page");
        let invite = invite(&mut page);
        let mut twocan = start_twocan("answer", &["--format", "compact"], &scratch);
        let lines = twocan.lines();
        twocan.type_line(&invite);
        page.fill("their-code", &lines.next(PATIENCE));
        sees_and_hears(&mut page);
        twocan_sees(&lines, "Page");
        hang_up_in_page(&mut page, twocan);
    });
}

#[test]
fn twocan_invites_and_the_page_answers() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-answers");
    with_logs(&scratch, || {
        let mut twocan = start_twocan("call", &["--format", "compact"], &scratch);
        let lines = twocan.lines();
        let invite = lines.next(PATIENCE);
        assert!(invite.starts_with("2can"));
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        // The code travels in the address, which is clean afterwards.
        let mut page = browser.open(&format!("{}#{invite}", as_file()), PHONE, true);
        with_name(&mut page, "Phone");
        page.wait("location.hash === ''");
        // As in a network where the browser's knock gets lost: then the reply is shown.
        page.ask("Doorbell.answer = async (own) => Sdp.expand({ ...own, type: 'answer', setup: 'active', ufrag: 'nobody' })");
        page.press("join-invited");
        page.wait("app.stage === 'replyOut'");
        page.look("page-reply-phone-app");
        twocan.type_line(&page.text("app.own.short"));
        sees_and_hears(&mut page);
        twocan_sees(&lines, "Phone");
        hang_up_in_page(&mut page, twocan);
    });
}

#[test]
fn a_phone_joins_the_page_that_twocan_serves_without_a_paste() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-served");
    with_logs(&scratch, || {
        let mut twocan = start_twocan("page", &[], &scratch);
        let lines = twocan.lines();
        let address = lines.next(PATIENCE);
        assert!(address.starts_with("https://127.0.0.1:"), "{address}");
        // The certificate is our own, as nobody signs one for 127.0.0.1.
        let browser = Browser::start(&program, &scratch, "profile", &["--ignore-certificate-errors"]);
        let mut page = browser.open(&address, PHONE, true);
        assert_eq!(page.ask("isSecureContext"), true);
        with_name(&mut page, "Phone");
        page.look("page-served-phone");
        page.press("join-invited");
        sees_and_hears(&mut page);
        twocan_sees(&lines, "Phone");
        page.look("page-served-call-phone");
        // The call is up: nobody else gets in.
        page.wait("fetch(location.href, { cache: 'no-store' }).then(({ ok }) => !ok, () => true)");
        hang_up_in_page(&mut page, twocan);
    });
}

/// What the program makes of a code: the description inside.
fn read_by_twocan(code: &str, scratch: &Scratch) -> Value {
    let mut reader = Command::new(env!("CARGO_BIN_EXE_twocan"));
    reader.args(["code", "--json"]).env("TWOCAN_CONFIG", scratch.join("settings.json"));
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = reader.stdin.take().expect("it is piped");
    stdin.write_all(code.as_bytes()).expect("the program reads");
    drop(stdin);
    let output = reader.wait_with_output().expect("it ends by itself");
    assert!(output.status.success(), "{code}");
    let read: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    json!({"type": read["type"], "sdp": read["sdp"]})
}

/// The page and the program must make the same of a code, letter by letter.
#[test]
fn the_page_reads_codes_as_the_program_does() {
    // From `src/invite/compact_tests.rs`: IPv4, IPv6, an address from STUN.
    const GOLDEN: &str = "2canACEEfGZZhKIaK6XGbII3a7Vz2qxkxOaN4u4Gqrht1GO4iO4knXqM0lcgIrIoTY6jA49qHWZQqlT85Zk1QNKP9tIxrGJVlWjajc1h6SZ3fiG0rqFj4EpAYN7jEM0zxA";
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-codes");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = browser.open(&as_file(), DESKTOP, false);
        let own = invite(&mut page);
        let full = page.text("app.own.full");
        let cases = [
            GOLDEN.to_owned(),
            format!("> My code: {} {}\n> bye", &GOLDEN[..60], &GOLDEN[60..]),
            format!("https://example.org/page.html?a=1#{GOLDEN}"),
            own.clone(),
            full,
        ];
        for code in &cases {
            let ask = format!(
                "Codes.read({}).then(({{ type, sdp }}) => ({{ type, sdp }}))",
                Value::from(code.as_str())
            );
            assert_eq!(page.ask(&ask), read_by_twocan(code, &scratch), "{code}");
        }
        // Addresses of every kind survive the page's own code.
        let there_and_back = "(async () => {
          const own = Sdp.distil(app.peer.pc.localDescription);
          own.candidates = [['host', 'udp', '10.1.2.3'], ['srflx', 'udp', '2001:db8::7'], ['relay', 'udp', 'fd00:0:0:1::'],
            ['host', 'udp', '5c0ab0a7-26c5-44f1-8d6f-3b0d9e0e0c11.local'], ['host', 'tcp', '1:2:3:4:5:6:7:8']]
            .map(([type, protocol, address]) => ({ type, protocol, address, port: 50123 }));
          const code = Compact.encode(own);
          return [code, (await Codes.read(code)).sdp, own.candidates.map(({ address }) => address)];
        })()";
        let answer = page.ask(there_and_back);
        assert_eq!(read_by_twocan(answer[0].as_str().unwrap(), &scratch)["sdp"], answer[1]);
        for address in answer[2].as_array().unwrap() {
            let place = format!(" {} 50123 typ ", address.as_str().unwrap());
            assert!(answer[1].as_str().unwrap().contains(&place), "{place}");
        }

        for (text, wrong) in [
            (GOLDEN[..100].to_owned(), "This code is not whole"),
            (GOLDEN.replace("KIaK", "KIaaK"), "This code is not whole"),
            ("hello".into(), "This is not a Twocan code"),
            (String::new(), "There is nothing to read here"),
        ] {
            let ask = format!(
                "Codes.read({}).then(() => 'read', (error) => error.message)",
                Value::from(text.as_str())
            );
            let said = page.text(&ask);
            assert!(said.starts_with(wrong), "{text}: {said}");
        }
    });
}
