//! A browser without H264, in both roles, through the page: pictures both ways in VP8. Chromium has H264; here it is
//! made to forget it, which is the state of a Firefox that has not loaded its plugin yet.

use crate::devtools::{Browser, Page};
use crate::page::{DESKTOP, as_file, hang_up_in_page, invite, sees_and_hears_in, twocan_sees, with_name};
use crate::support::{Scratch, alone};
use crate::{PATIENCE, find_browser, start_twocan, with_logs};
use twocan::codec::video_codecs;
use twocan::units::VideoCodec;

/// No H264 among what the browser says it has, and none in what it is offered.
const FORGET_H264: &str = r"(() => {
  const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
  RTCRtpReceiver.getCapabilities = (kind) => ({ ...all(kind), codecs: all(kind).codecs.filter(({ mimeType }) => !/h264/i.test(mimeType)) });
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const gone = [...sdp.matchAll(/^a=rtpmap:(\d+) H264\//gm)].map(([, type]) => type);
    gone.push(...[...sdp.matchAll(/^a=fmtp:(\d+) apt=(\d+)/gm)].filter(([, , of]) => gone.includes(of)).map(([, type]) => type));
    const lines = sdp.split('\r\n').filter((line) => !gone.includes(/^a=(?:rtpmap|fmtp|rtcp-fb):(\d+) /.exec(line)?.[1]));
    const stripped = lines.map((line) => line.startsWith('m=video ')
      ? line.split(' ').filter((word, at) => at < 3 || !gone.includes(word)).join(' ') : line);
    return set.call(this, { type, sdp: stripped.join('\r\n') });
  };
  return !videoFormats().hasH264;
})()";

fn open(browser: &Browser, name: &str) -> Page {
    let mut page = browser.open(&as_file(), DESKTOP, false);
    assert_eq!(page.ask(FORGET_H264), true);
    with_name(&mut page, name);
    page
}

#[test]
fn a_page_without_h264_invites_and_twocan_answers_in_vp8() {
    if !video_codecs().contains(&VideoCodec::Vp8) {
        return;
    }
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("vp8-invites");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = open(&browser, "Fox");
        let invite = invite(&mut page);
        let mut twocan = start_twocan("answer", &["--format", "compact"], &scratch);
        let lines = twocan.lines();
        twocan.type_line(&invite);
        page.fill("their-code", &lines.next(PATIENCE));
        sees_and_hears_in(&mut page, "video/VP8");
        assert_eq!(twocan_sees(&lines, "Fox")["codec"], "VP8");
        hang_up_in_page(&mut page, twocan);
    });
}

#[test]
fn twocan_invites_and_a_page_without_h264_answers_in_vp8() {
    if !video_codecs().contains(&VideoCodec::Vp8) {
        return;
    }
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("vp8-answers");
    with_logs(&scratch, || {
        let mut twocan = start_twocan("call", &["--format", "compact"], &scratch);
        let lines = twocan.lines();
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = open(&browser, "Fox");
        page.press("join");
        page.fill("their-code", &lines.next(PATIENCE));
        page.wait("app.stage === 'replyOut'");
        twocan.type_line(&page.text("app.own.short"));
        sees_and_hears_in(&mut page, "video/VP8");
        assert_eq!(twocan_sees(&lines, "Fox")["codec"], "VP8");
        hang_up_in_page(&mut page, twocan);
    });
}

/// Nothing comes of the other side's picture, as from an app whose build has no VP8.
const NO_PICTURE: &str = r"(() => {
  globalThis.comes = false;
  const muted = Object.getOwnPropertyDescriptor(MediaStreamTrack.prototype, 'muted').get;
  Object.defineProperty(MediaStreamTrack.prototype, 'muted', { get() { return this.kind === 'video' && !globalThis.comes || muted.call(this); } });
  return true;
})()";

#[test]
fn a_page_without_h264_says_so_where_no_picture_comes() {
    if !video_codecs().contains(&VideoCodec::Vp8) {
        return;
    }
    let _alone = alone();
    let Some(program) = find_browser() else { return };
    let scratch = Scratch::new("vp8-nowhere");
    with_logs(&scratch, || {
        let browser = Browser::start(&program, &scratch, "profile", &[]);
        let mut page = open(&browser, "Fox");
        assert_eq!(page.ask(NO_PICTURE), true);
        let invite = invite(&mut page);
        let mut twocan = start_twocan("answer", &["--format", "compact"], &scratch);
        let lines = twocan.lines();
        twocan.type_line(&invite);
        page.fill("their-code", &lines.next(PATIENCE));
        page.wait("document.body.innerText.includes('no video format in common')");
        page.ask("globalThis.comes = true");
        sees_and_hears_in(&mut page, "video/VP8");
        page.wait("!document.body.innerText.includes('no video format in common')");
        hang_up_in_page(&mut page, twocan);
    });
}
