//! The command line, the session and the lines from stdin, without a real call.

use super::args::{Args, Format};
use super::call::Lines;
use super::session::{Output, Session, Task, Wishes};
use super::*;
use crate::choice::TopologyChoice;
use crate::device::{DeviceError, DeviceKind};
use crate::engine::{
    Command, Event, Hub, OwnCode, PageGuest, PageLink, Presence, Refusal, RemotePeer, RoomState, Trouble,
};
use crate::invite::{self, Description, InviteError, Kind};
use crate::net::NetError;
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::diagnosis::{Diagnosis, Relay, Step};
use crate::room::nat::{Mapping, Nat, Outlook};
use crate::settings::IceServer;
use crate::units::Redacted;
use clap::Parser;
use std::time::{Duration, Instant};

fn description(kind: Kind) -> Description {
    let setup = if kind == Kind::Invite { "actpass" } else { "active" };
    let sdp = format!(
        "v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=candidate:1 1 udp 2130706431 192.168.1.2 5000 typ host\r\n\
         a=ice-ufrag:{setup}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 0F:74\r\na=setup:{setup}\r\n"
    );
    Description { kind, sdp: Redacted(sdp) }
}

fn code(kind: Kind) -> String {
    invite::encode(&description(kind))
}

fn own(kind: Kind) -> Event {
    let text = |text: &str| Redacted(text.to_owned());
    Event::Code(Box::new(OwnCode { kind, text: text("compact"), full: text("full"), candidates: Vec::new() }))
}

/// A session on a timeline in milliseconds.
struct Scene {
    session: Session,
    start: Instant,
    now: Instant,
}

impl Scene {
    fn new(task: Task, wishes: Wishes) -> Self {
        let start = Instant::now();
        Self { session: Session::new(task, wishes), start, now: start }
    }
    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(ms);
        self.session.handle_deadline(self.now);
        self
    }
    fn event(&mut self, event: Event) -> &mut Self {
        self.session.handle_event(self.now, event);
        self
    }
    fn state(&mut self, state: CallState) -> &mut Self {
        self.event(Event::Call(state))
    }
    fn text(&mut self, text: &str) -> &mut Self {
        self.session.handle_text(text);
        self
    }
    /// What came out since the last time: what is said without its words, the rest in short.
    fn outputs(&mut self) -> String {
        let mut shown = Vec::new();
        while let Some(output) = self.session.poll_output() {
            shown.push(match output {
                Output::Print(text) => format!("print {}", text.0),
                Output::Say(_) => "say".into(),
                Output::Send(Command::Paste(_)) => "paste".into(),
                Output::Send(Command::JoinCall(_)) => "join".into(),
                Output::Send(command) => format!("{command:?}"),
                Output::Stats(_) => "stats".into(),
                Output::End(exit) => format!("{exit:?}"),
            });
        }
        shown.join(", ")
    }
    /// The last thing said.
    fn said(&mut self) -> String {
        let mut said = String::new();
        while let Some(output) = self.session.poll_output() {
            if let Output::Say(sentence) = output {
                said = sentence;
            }
        }
        said
    }
    fn caller_in_call(wishes: Wishes) -> Self {
        let mut scene = Self::new(Task::Call, wishes);
        let now = scene.now;
        scene
            .state(CallState::Gathering(Kind::Invite))
            .event(own(Kind::Invite))
            .state(CallState::WaitingForReply);
        scene.text(&code(Kind::Reply)).state(CallState::Connecting { own: Kind::Invite, since: now });
        scene.state(CallState::InCall { since: now });
        scene.outputs();
        scene
    }
}

#[test]
fn a_call_from_invite_to_bye() {
    let mut scene = Scene::new(Task::Call, Wishes::default());
    assert_eq!(scene.outputs(), "StartCall");
    assert_eq!(scene.state(CallState::Gathering(Kind::Invite)).outputs(), "say");
    assert_eq!(scene.event(own(Kind::Invite)).outputs(), "print compact, say");
    assert_eq!(scene.state(CallState::WaitingForReply).outputs(), "");
    assert_eq!(scene.text("hello").outputs(), "say");
    assert_eq!(scene.text(&code(Kind::Reply)).outputs(), "paste");
    let since = scene.now;
    assert_eq!(scene.state(CallState::Connecting { own: Kind::Invite, since }).outputs(), "say");
    scene.session.handle_input_end(scene.now);
    assert_eq!(scene.outputs(), "", "the reply is there, more is not needed");
    assert_eq!(scene.at(500).state(CallState::InCall { since }).outputs(), "say");
    assert_eq!(scene.at(3_000_000).outputs(), "", "a call has no end of its own");
    assert_eq!(scene.state(CallState::Ended(EndReason::TheyHungUp)).outputs(), "say, Quit");
    assert_eq!(scene.event(Event::Gone).outputs(), "Ended");
}

#[test]
fn the_page_prints_its_address_and_no_code() {
    let page = |guest| {
        let links = vec![Redacted("https://192.168.1.7:8443/x/".to_owned())];
        Event::Page(Some(PageLink { links, guest }))
    };
    let mut scene = Scene::new(Task::Page(Some(8443)), Wishes::default());
    assert_eq!(scene.outputs(), "ServePage(Some(8443))");
    scene.session.handle_input_end(scene.now);
    assert_eq!(scene.state(CallState::Gathering(Kind::Invite)).outputs(), "say");
    assert_eq!(scene.event(page(PageGuest::Awaited)).outputs(), "print https://192.168.1.7:8443/x/, say");
    assert_eq!(scene.event(own(Kind::Invite)).state(CallState::WaitingForReply).outputs(), "");
    assert_eq!(scene.event(page(PageGuest::Looking)).outputs(), "say");
    assert_eq!(scene.event(page(PageGuest::Joining)).outputs(), "say");
    let since = scene.now;
    assert_eq!(scene.state(CallState::Connecting { own: Kind::Invite, since }).outputs(), "say");
    assert_eq!(scene.state(CallState::InCall { since }).event(Event::Page(None)).outputs(), "say");

    let mut taken = Scene::new(Task::Page(None), Wishes::default());
    taken.event(Event::Refused(Refusal::Net(NetError::Page("port 8443 cannot be used".into()))));
    assert_eq!(taken.event(Event::Page(None)).outputs(), "ServePage(None), say, Quit");
    assert_eq!(taken.event(Event::Gone).outputs(), "NotConnected");
}

#[test]
fn an_answer_needs_an_invite_before_anything_starts() {
    let invite = code(Kind::Invite);
    assert_eq!(Scene::new(Task::Answer(Some(invite.clone())), Wishes::default()).outputs(), "join");
    for wrong in ["", "junk", &invite[..40], &code(Kind::Reply)] {
        let mut scene = Scene::new(Task::Answer(Some(wrong.into())), Wishes::default());
        assert_eq!(scene.outputs(), "say, BadInput", "{wrong}");
    }
    let mut scene = Scene::new(Task::Answer(None), Wishes { format: Format::Full, ..Wishes::default() });
    assert_eq!(scene.outputs(), "say");
    assert_eq!(scene.text(&code(Kind::Reply)).text("junk").outputs(), "say, say");
    assert_eq!(scene.text(&invite).outputs(), "join");
    assert_eq!(
        scene.state(CallState::Gathering(Kind::Reply)).event(own(Kind::Reply)).outputs(),
        "say, print full, say"
    );
    let mut scene = Scene::new(Task::Answer(None), Wishes::default());
    scene.session.handle_input_end(scene.now);
    assert_eq!(scene.outputs(), "say, say, BadInput");
}

#[test]
fn the_end_of_the_input_ends_the_wait_for_a_reply() {
    let waiting = || {
        let mut scene = Scene::new(Task::Call, Wishes::default());
        scene.state(CallState::Gathering(Kind::Invite));
        scene.outputs();
        scene
    };
    let mut early = waiting();
    early.session.handle_input_end(early.now);
    assert_eq!(early.outputs(), "", "the invite is printed first");
    early.event(own(Kind::Invite)).state(CallState::WaitingForReply);
    assert_eq!(early.outputs(), "print compact, say, say, Quit");
    assert_eq!(early.event(Event::Gone).outputs(), "BadInput");

    let mut refused = waiting();
    refused.state(CallState::WaitingForReply).text(&code(Kind::Invite));
    refused.session.handle_input_end(refused.now);
    assert_eq!(refused.outputs(), "paste", "the engine has still to judge it");
    refused.event(Event::Refused(Refusal::Invite(InviteError::InviteNotReply)));
    assert_eq!(refused.event(Event::Gone).outputs(), "say, say, Quit, BadInput");
}

#[test]
fn a_code_that_comes_in_two_goes_is_put_together() {
    let mut scene = Scene::new(Task::Answer(None), Wishes::default());
    let code = code(Kind::Invite);
    let (one, other) = code.split_at(100);
    assert_eq!(scene.text(one).outputs(), "say, say");
    assert_eq!(scene.text(other).outputs(), "join");
}

#[test]
fn each_end_has_its_status() {
    for (reason, exit) in [
        (EndReason::HungUp, Exit::Ended),
        (EndReason::TheyHungUp, Exit::Ended),
        (EndReason::Cancelled, Exit::Ended),
        (EndReason::NotConnected, Exit::NotConnected),
        (EndReason::Lost, Exit::Lost),
        (EndReason::NoCode, Exit::NotConnected),
    ] {
        let mut scene = Scene::caller_in_call(Wishes::default());
        scene.state(CallState::Ended(reason)).event(Event::Gone);
        assert_eq!(scene.outputs(), format!("say, Quit, {exit:?}"));
    }
    let statuses = [Exit::Ended, Exit::BadInput, Exit::NotConnected, Exit::Lost, Exit::DeviceFailed];
    assert_eq!(statuses.map(Exit::status), [0, 2, 3, 4, 5]);
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(scene.event(Event::Gone).outputs(), "say, Lost", "the engine may not just go");
}

/// Why a call came to nothing: UDP is blocked.
fn why() -> Diagnosis {
    Diagnosis { step: Step::UdpBlocked, relay: Relay::NotSet }
}

#[test]
fn a_call_that_does_not_come_up_says_which_step_failed() {
    let mut host = Scene::new(Task::Call, Wishes::default());
    let since = host.now;
    host.state(CallState::Connecting { own: Kind::Invite, since }).outputs();
    assert_eq!(host.event(Event::Trouble(Trouble::Failed(why()))).outputs(), "");
    host.state(CallState::Ended(EndReason::NotConnected));
    assert_eq!(host.said(), format!("No connection could be made. {}", why()));
    assert_eq!(host.event(Event::Gone).outputs(), "NotConnected");

    let mut guest = Scene::new(Task::Answer(Some(code(Kind::Invite))), Wishes::default());
    guest.state(CallState::Connecting { own: Kind::Reply, since }).outputs();
    for (trouble, start) in [
        (Trouble::Expected(why()), "This call may not come up. "),
        (Trouble::Stuck(why()), "Your reply was pasted, but no connection comes up. "),
    ] {
        let said = guest.event(Event::Trouble(trouble)).said();
        assert!(said.starts_with(start) && said.contains(&why().to_string()), "{said}");
    }
    assert_eq!(guest.at(3_600_000).outputs(), "", "whoever answered goes on");
}

#[test]
fn the_network_is_mentioned_only_where_that_helps() {
    let outlook = |nat| Outlook { nat, has_network: true, ..Outlook::default() };
    let mut scene = Scene::new(Task::Call, Wishes::default());
    scene.state(CallState::Gathering(Kind::Invite)).outputs();
    for (nat, expected) in [
        (Nat::NotAsked, ""),
        (Nat::Public, ""),
        (Nat::Translated(Mapping::EndpointIndependent), ""),
        (Nat::Translated(Mapping::EndpointDependent), "say"),
        (Nat::UdpBlocked, "say"),
        (Nat::NoAnswer, "say"),
    ] {
        assert_eq!(scene.event(Event::Network(outlook(nat))).outputs(), expected, "{nat:?}");
    }
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(scene.event(Event::Network(outlook(Nat::UdpBlocked))).outputs(), "", "it works, so why worry");
}

#[test]
fn the_seconds_count_from_the_connection() {
    let wishes = Wishes { seconds: Some(Duration::from_secs(10)), ..Wishes::default() };
    let mut scene = Scene::caller_in_call(wishes.clone());
    assert_eq!(scene.at(9_999).outputs(), "");
    assert_eq!(scene.at(10_000).outputs(), "HangUp");
    assert_eq!(scene.at(10_001).outputs(), "", "once is enough");
    assert_eq!(scene.state(CallState::Ended(EndReason::HungUp)).outputs(), "say, Quit");
    assert_eq!(scene.at(15_001).outputs(), "Ended", "an engine that does not go is given up");

    let mut scene = Scene::caller_in_call(wishes);
    let since = scene.now;
    scene.at(8_000).state(CallState::Reconnecting {
        since,
        started: since,
        rescue: Rescue::WaitingForInvite,
    });
    assert_eq!(scene.at(10_000).event(Event::Gone).outputs(), "say, say, Quit, Lost");
}

#[test]
fn ctrl_c_says_good_bye_and_a_second_one_does_not_wait() {
    let mut scene = Scene::caller_in_call(Wishes::default());
    scene.session.handle_stop(scene.now);
    assert_eq!(scene.outputs(), "Quit");
    scene.session.handle_stop(scene.now);
    assert_eq!(scene.outputs(), "Ended");
    let mut scene = Scene::new(Task::Answer(None), Wishes::default());
    scene.session.handle_stop(scene.now);
    assert_eq!(scene.outputs(), "say, Ended");
}

#[test]
fn only_a_device_that_was_named_and_never_ran_ends_the_call() {
    let failed = |error| Event::Failed { kind: DeviceKind::Camera, error };
    let busy = || failed(DeviceError::Busy(DeviceKind::Camera));
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(scene.event(busy()).event(busy()).outputs(), "say", "the same again is no news");
    let wishes = Wishes { named_devices: vec![DeviceKind::Camera], ..Wishes::default() };
    let mut scene = Scene::caller_in_call(wishes.clone());
    assert_eq!(scene.event(busy()).event(Event::Gone).outputs(), "say, Quit, DeviceFailed");
    let mut scene = Scene::caller_in_call(wishes.clone());
    assert_eq!(scene.event(failed(DeviceError::Ended)).outputs(), "say", "the file is over, the call is not");
    let mut scene = Scene::caller_in_call(wishes);
    scene.event(Event::Opened { kind: DeviceKind::Camera, name: "Cam".into(), picture: None }).outputs();
    assert_eq!(scene.event(busy()).outputs(), "say", "unplugged in the call");
}

#[test]
fn nothing_stands_in_for_a_device_that_was_named() {
    let missing = || Event::Missing { kind: DeviceKind::Speaker, name: "Headset".into() };
    let wishes = || Wishes { named_devices: vec![DeviceKind::Speaker], ..Wishes::default() };
    assert_eq!(Scene::caller_in_call(wishes()).event(missing()).outputs(), "say, Quit");
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(
        scene.event(missing()).said(),
        "“Headset” is not connected. Another speaker is used until it is."
    );
}

#[test]
fn the_other_side_is_told_once_its_devices_have_opened() {
    let remote = |camera_stopped| {
        Event::Remote(
            PeerId(1),
            RemotePeer { name: "Ann".into(), camera_stopped, presence: Presence::Here, ..Default::default() },
        )
    };
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(scene.event(remote(true)).said(), "You are in a call with Ann.");
    assert_eq!(scene.at(500).event(remote(false)).at(3_000).said(), "", "the camera took its time");
    assert_eq!(scene.event(remote(true)).said(), "Ann sends no picture.");
    let mut scene = Scene::caller_in_call(Wishes::default());
    scene.event(remote(true)).said();
    assert_eq!(scene.at(3_000).said(), "Ann sends no picture.");
    assert_eq!(scene.event(remote(false)).said(), "Ann sends a picture again.");
}

#[test]
fn whoever_comes_goes_or_asks_is_told_of_by_name() {
    let remote = |id, name: &str, presence| {
        Event::Remote(PeerId(id), RemotePeer { name: name.into(), presence, ..Default::default() })
    };
    let mut scene = Scene::caller_in_call(Wishes { many: true, ..Wishes::default() });
    assert_eq!(scene.event(remote(1, "Bo", Presence::Here)).said(), "You are in a call with Bo.");
    assert_eq!(scene.event(remote(2, "Cy", Presence::Joining)).said(), "");
    assert_eq!(scene.event(remote(2, "Cy", Presence::Here)).said(), "Cy has joined.");
    let question = scene.event(remote(3, "Di", Presence::Asking)).said();
    assert!(question.starts_with("Di wants to join. Type “yes”"), "{question}");
    scene.text("yes");
    assert!(scene.outputs().contains("Admit(PeerId(3), true)"));
    assert_eq!(scene.event(remote(3, "Di", Presence::Here)).said(), "Di has joined.");
    assert_eq!(scene.event(Event::Left(PeerId(1))).said(), "Bo has left.");
    // Everybody has gone: the invite is out still, whether stdin is open or not.
    scene.session.handle_input_end(scene.now);
    assert_eq!(scene.state(CallState::WaitingForReply).outputs(), "");
}

#[test]
fn another_way_of_connecting_a_group_is_told() {
    let mut scene = Scene::caller_in_call(Wishes::default());
    let bo = RemotePeer { name: "Bo".into(), presence: Presence::Here, ..Default::default() };
    scene.event(Event::Remote(PeerId(1), bo)).said();
    let room =
        |hub, one_picture| Event::Room(RoomState { people: 4, hub, one_picture, ..Default::default() });
    let person = Some(Hub::Person(PeerId(1)));
    for (event, said) in [
        (room(None, false), ""),
        (room(person, false), "Bo passes everything on now."),
        (room(person, false), ""),
        (room(person, true), "Bo sends you one picture and one sound of everybody now."),
        (room(Some(Hub::We), false), "You pass everything on for the others now."),
        (room(Some(Hub::Unknown), false), "Another person passes everything on now."),
        (room(None, false), "Everybody sends to everybody now."),
    ] {
        assert_eq!(scene.event(event).said(), said);
    }
}

#[test]
fn a_call_without_pictures_says_why_once() {
    let stats = |codec: &str| {
        let mut peer = crate::stats::PeerStats::default();
        peer.inbound.video.codec = codec.into();
        let stats = crate::stats::Stats { peers: vec![peer], ..Default::default() };
        Event::Stats(Box::new(stats), Vec::new())
    };
    let mut scene = Scene::caller_in_call(Wishes::default());
    assert_eq!(scene.event(stats("VP8")).said(), "");
    let why = "Sound only: the other side has no video format that this one has too.";
    assert_eq!(scene.event(stats("none")).said(), why);
    assert_eq!(scene.event(stats("none")).said(), "");
}

#[test]
fn lines_that_come_together_are_one_text() {
    let code = code(Kind::Reply);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut lines = Lines::default();
    lines.push(at(0), &code);
    assert_eq!(lines.poll(at(0)), Some(format!("{code}\n")), "a whole code does not wait");
    for (number, part) in code.as_bytes().chunks(60).enumerate() {
        lines.push(at(number as u64), &String::from_utf8_lossy(part));
    }
    assert_eq!(lines.poll(at(100)), None);
    let text = lines.poll(at(1_000)).unwrap();
    assert!(invite::read(&text).is_ok(), "{text}");
    lines.push(at(2_000), "one");
    lines.push(at(2_001), "");
    assert_eq!(lines.poll(at(2_001)), Some("one\n".into()), "a blank line ends it");
    assert_eq!((lines.deadline(), lines.take()), (None, None));
    for _ in 0..1_000 {
        lines.push(at(3_000), &"x".repeat(1_000));
    }
    assert!(lines.take().unwrap().len() < invite::MAX_TEXT + 2_000, "it does not grow without end");
}

fn args(line: &str) -> Args {
    Args::try_parse_from(std::iter::once("twocan").chain(line.split(' ').filter(|word| !word.is_empty())))
        .unwrap()
}

#[test]
fn options_stand_before_or_after_the_verb() {
    let settings = Settings { fps: 25, ..Settings::default() };
    for line in [
        "--camera pattern --size 640x360 --bind 127.0.0.1 call",
        "call --bind 127.0.0.1 --size 640x360 --camera pattern",
    ] {
        let setup = args(line).engine_setup(settings.clone()).unwrap();
        assert_eq!(setup.media.camera, crate::device::CameraChoice::Pattern);
        assert_eq!((setup.media.picture.resolution.width, setup.media.picture.fps), (640, 25));
        assert_eq!(setup.net.bind, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(args(line).named_devices(), [DeviceKind::Camera]);
    }
}

#[test]
fn the_way_of_a_group_comes_from_the_command_line_or_from_the_settings() {
    let remembered = Settings { topology: TopologyChoice::Mix, one_picture: false, ..Settings::default() };
    for (line, topology, one_picture) in [
        ("call", TopologyChoice::Mix, false),
        ("call --topology forward", TopologyChoice::Forward, false),
        ("--topology direct answer --one-picture", TopologyChoice::Mesh, true),
        ("--topology auto", TopologyChoice::Automatic, false),
    ] {
        let settings = args(line).engine_setup(remembered.clone()).unwrap().settings;
        assert_eq!((settings.topology, settings.one_picture), (topology, one_picture), "{line}");
    }
    assert!(Args::try_parse_from(["twocan", "call", "--topology", "star"]).is_err());
}

#[test]
fn named_servers_take_the_place_of_remembered_ones() {
    let google = || IceServer::stun(IceServer::GOOGLE_STUN);
    let turn =
        |user: &str| IceServer { url: format!("turn:{user}.org"), user: user.into(), password: "p".into() };
    let remembered = Settings { ice_servers: vec![google(), turn("old")], ..Settings::default() };
    let both = "--ice-server turn:a.org --ice-server turn:b.org";
    let rows = [
        ("", vec![google(), turn("old")]),
        ("--no-stun", vec![turn("old")]),
        ("--ice-server stun:my.org:3478", vec![turn("old"), IceServer::stun("stun:my.org:3478")]),
        ("--ice-server turn:a.org --ice-user a --ice-password p", vec![google(), turn("a")]),
        (
            &format!("{both} --ice-user a --ice-password p --ice-user b --ice-password p"),
            vec![google(), turn("a"), turn("b")],
        ),
    ];
    for (line, servers) in rows {
        assert_eq!(args(line).net(&remembered).unwrap().ice_servers, servers, "{line}");
    }
    assert!(args("--relay-only").net(&remembered).is_ok());
    assert!(args("--relay-only").net(&Settings::default()).is_err());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "dance",
        "--camera",
        "--size 5",
        "--fps 0",
        "--fps x",
        "--max-bitrate fast",
        "--seconds 0",
        "--seconds -1",
        "--seconds nan",
        "--bind localhost",
        "--log loud",
        "--format short",
        "--ice-server example.org",
        "--ice-server http:example.org",
        "--ice-server stun:",
        "--ice-server stun:a:b:c",
        "--ice-server stun:a?transport=tcp",
        "--ice-server stuns:a",
        "--ice-server turn:a:0",
        "--ice-server turn:a?transport=smoke",
        "code --full --json",
        "answer one two",
        "call code",
    ] {
        let words = std::iter::once("twocan").chain(line.split(' ')).map(Into::into);
        assert!(Args::read(words).is_err_and(|exit| exit == Exit::BadInput), "{line}");
    }
    for line in [
        "call --ice-user a",
        "call --ice-user a --ice-password p",
        "call --ice-server turn:a.org",
        "call --ice-server turn:a.org --ice-user a",
        "--stats - ",
        "--seconds 5",
    ] {
        let words =
            std::iter::once("twocan").chain(line.split(' ').filter(|word| !word.is_empty())).map(Into::into);
        assert!(Args::read(words).is_err_and(|exit| exit == Exit::BadInput), "{line}");
    }
    for url in ["stun:a", "stun:1.2.3.4:5", "turn:[2001:db8::1]:5?transport=tls", "turns:a.example-x.org"] {
        assert!(Args::try_parse_from(["twocan", "--ice-server", url]).is_ok(), "{url}");
    }
}

#[test]
fn clap_finds_no_fault_with_the_definition() {
    use clap::CommandFactory;
    Args::command().debug_assert();
}
