//! The page at the door of the program: one paste and the call is up, the lobby, the four words, and fresh codes for a
//! call that has lost its path.

use crate::devtools::{Browser, Page};
use crate::page::{
    DESKTOP, PHONE, SHOWN_WORDS, as_file, hang_up_in_page, invite, reply, sees_and_hears, twocan_sees,
    with_name,
};
use crate::support::{Scratch, alone, wait_for};
use crate::{PATIENCE, find_browser, start_twocan, with_logs};
use std::fs;

/// The words the page shows, once they are those of the connection it has now.
fn words(page: &mut Page) -> String {
    page.wait(&format!("app.peer.trust?.words?.join(' ') === {SHOWN_WORDS}"));
    page.text(SHOWN_WORDS)
}

/// The newest line the program has said that begins so; what follows.
fn said(scratch: &Scratch, beginning: &str) -> String {
    wait_for(beginning, PATIENCE, || {
        let log = fs::read_to_string(scratch.join("twocan.log")).ok()?;
        log.lines().rev().find_map(|line| Some(line.trim().strip_prefix(beginning)?.to_owned()))
    })
}

/// Opens the page with an invite behind the `#`, and takes it.
pub fn join(browser: &Browser, invite: &str, name: &str, size: (u32, u32)) -> Page {
    let mut page = browser.open(&format!("{}#{invite}", as_file()), size, size == PHONE);
    with_name(&mut page, name);
    page.press("join-invited");
    page
}

/// As if the way between the two had gone for good.
const CUT: &str = "(() => { const { pc } = app.peer; pc.close();
  Object.defineProperty(pc, 'connectionState', { value: 'failed' }); pc.onconnectionstatechange(); })()";

#[test]
fn a_browser_joins_by_one_paste() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("knock");
    with_logs(&scratch, || {
        let mut twocan = start_twocan("call", &[], &scratch);
        let lines = twocan.lines();
        let invite = lines.next(PATIENCE);
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = join(&browser, &invite, "Knocks", PHONE);
        sees_and_hears(&mut page);
        twocan_sees(&lines, "Knocks");
        // Both sides have the same words.
        let words = words(&mut page);
        assert!(said(&scratch, "words: ").starts_with(&words), "{words}");
        page.press("compare");
        page.look("page-words-phone");
        page.press("words-same");
        page.wait("document.getElementById('compare').textContent.trim() === 'Verified'");

        // The way is gone. The program makes a fresh invite, the page takes it, and nobody pastes a reply.
        page.ask(CUT);
        page.wait("app.stage === 'freshWanted'");
        page.look("page-rescue-phone");
        let mut fresh = String::new();
        wait_for("fresh invite", PATIENCE, || {
            fresh = format!("2can{}", said(&scratch, "2can"));
            (fresh != invite).then_some(())
        });
        page.fill("their-code", &fresh);
        sees_and_hears(&mut page);
        page.wait("app.peer.trust?.continued");
        page.wait("document.getElementById('compare').textContent.trim() === 'Verified'");
        hang_up_in_page(&mut page, twocan);
    });
}

#[test]
fn a_browser_waits_until_it_is_let_in() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("knock-lobby");
    with_logs(&scratch, || {
        fs::write(scratch.join("settings.json"), r#"{"ask_first": true, "name": "Host"}"#).unwrap();
        let mut twocan = start_twocan("call", &[], &scratch);
        let lines = twocan.lines();
        let invite = lines.next(PATIENCE);
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let waits = "document.querySelector('.tile .nobody p')?.textContent.startsWith('Waiting for Host to let you in')";

        let mut first = join(&browser, &invite, "First", DESKTOP);
        first.wait(waits);
        first.look("page-lobby-of-host");
        said(&scratch, "First is there.");
        twocan.type_line("no");
        first.wait("document.body.dataset.screen === 'ended'");
        let title = first.text("document.getElementById('ended-title').textContent");
        assert_eq!(title, "Host did not let you in");

        // The same invite lets the next one in.
        let mut second = join(&browser, &invite, "Second", PHONE);
        second.wait(waits);
        said(&scratch, "Second is there.");
        assert_eq!(second.ask("app.peer.pc.getSenders().every(({ track }) => !track)"), true);
        twocan.type_line("yes");
        sees_and_hears(&mut second);
        twocan_sees(&lines, "Second");
        assert_eq!(first.errors, Vec::<String>::new(), "errors in the page");
        hang_up_in_page(&mut second, twocan);
    });
}

#[test]
fn two_browsers_go_on_with_fresh_codes() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-fresh");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut ann = browser.open(&as_file(), DESKTOP, false);
        let mut bob = browser.open(&as_file(), PHONE, true);
        with_name(&mut ann, "Ann");
        with_name(&mut bob, "Bob");
        let invite = invite(&mut ann);
        let answer = reply(&mut bob, &invite);
        ann.fill("their-code", &answer);
        let same = [&mut ann, &mut bob].map(words);
        assert_eq!(same[0], same[1]);
        ann.press("compare");
        ann.look("page-words");
        ann.press("words-same");

        ann.ask(CUT);
        bob.ask(CUT);
        ann.wait("app.stage === 'freshInviteOut'");
        ann.look("page-rescue");
        bob.wait("app.stage === 'freshWanted'");
        let fresh = ann.text("app.own.short");
        assert_ne!(fresh, invite);
        bob.fill("their-code", &fresh);
        bob.wait("app.stage === 'freshReplyOut'");
        bob.look("page-rescue-reply-phone");
        let answer = bob.text("app.own.short");
        ann.fill("their-code", &answer);
        for page in [&mut ann, &mut bob] {
            sees_and_hears(page);
            page.wait("app.peer.trust?.continued");
        }
        assert_eq!(words(&mut ann), words(&mut bob));
        for (page, verdict) in [(&mut ann, "Verified"), (&mut bob, "Compare words")] {
            page.wait(&format!("document.getElementById('compare').textContent.trim() === '{verdict}'"));
        }
        for page in [ann, bob] {
            assert_eq!(page.errors, Vec::<String>::new(), "errors in the page");
        }
    });
}

#[test]
fn a_code_with_a_passphrase_is_opened() {
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("page-sealed");
    with_logs(&scratch, || {
        let passphrase = scratch.join("passphrase");
        fs::write(&passphrase, "correct horse").unwrap();
        let passphrase = passphrase.to_string_lossy().into_owned();
        let mut twocan = start_twocan("call", &["--passphrase-file", &passphrase], &scratch);
        let lines = twocan.lines();
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = join(&browser, &lines.next(PATIENCE), "Knows", PHONE);
        page.fill("passphrase", "wrong horse");
        page.press("lock-open");
        page.wait("!document.getElementById('lock-problem').hidden");
        page.look("page-passphrase-phone");
        page.ask("document.getElementById('passphrase').select()");
        page.fill("passphrase", "correct horse");
        page.press("lock-open");
        sees_and_hears(&mut page);
        twocan_sees(&lines, "Knows");
        hang_up_in_page(&mut page, twocan);
    });
}
