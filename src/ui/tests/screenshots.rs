//! Pictures of each screen: for the README (`cargo test --release --lib ui::tests::screenshots -- --ignored`), and
//! with `TWOCAN_LOOK=folder` of every screen in both themes and three sizes, to be looked at.

use super::rig::{PERSON, Rig, Setup};
use super::{palette, people};
use crate::choice::GuestChoice;
use crate::device::{DeviceError, DeviceInfo, DeviceKind, DeviceList};
use crate::engine::{
    Event, Hub, NearbyPerson, PageGuest, Presence, Quality, Refusal, RemotePeer, RoomState, Trouble,
};
use crate::invite::{InviteError, Kind};
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::room::diagnosis::{Diagnosis, Relay, Step};
use crate::room::message::Reaction;
use crate::room::nat::{Mapping, Nat, Outlook};
use crate::stats::{
    CandidatePair, Inbound, InboundVideo, Outbound, OutboundVideo, PeerStats, ProcessStats, Stats,
};
use eframe::egui::{Key, Role, Theme};
use egui_kittest::kittest::Queryable as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Brings a window to the screen of this name.
type Scene = fn(&mut Rig);

const SCENES: &[(&str, Scene)] = &[
    ("lobby", lobby),
    ("lobby-trouble", lobby_trouble),
    ("lobby-offer", lobby_offer),
    ("lobby-nearby", lobby_nearby),
    ("lobby-ring", lobby_ring),
    ("calling", calling),
    ("lobby-blocked", lobby_blocked),
    ("invite", invite),
    ("invite-moved", invite_moved),
    ("invite-wrong", invite_wrong),
    ("invite-details", invite_details),
    ("invite-qr", invite_qr),
    ("invite-passphrase", invite_passphrase),
    ("invite-sealed", invite_sealed),
    ("phone", phone),
    ("join", join),
    ("join-locked", join_locked),
    ("join-scan", join_scan),
    ("reaching", reply),
    ("reply", reply_needed),
    ("reply-stuck", reply_stuck),
    ("asked", asked),
    ("call", call),
    ("call-details", call_details),
    ("call-no-picture", call_no_picture),
    ("call-muted", call_muted),
    ("call-words", call_words),
    ("call-words-verified", call_words_verified),
    ("call-words-differ", call_words_differ),
    ("group-3", group_3),
    ("group-4", group_4),
    ("group-7", group_7),
    ("group-12", group_12),
    ("group-speaker", group_speaker),
    ("group-speaker-12", group_speaker_12),
    ("group-people", group_people),
    ("group-person", group_person),
    ("group-ways", group_ways),
    ("group-ways-host", group_ways_host),
    ("group-ways-choice", group_ways_choice),
    ("group-ways-guest", group_ways_guest),
    ("group-mixed", group_mixed),
    ("group-mixed-people", group_mixed_people),
    ("group-mixed-news", group_mixed_news),
    ("group-reactions", group_reactions),
    ("group-add", group_add),
    ("group-asked", group_asked),
    ("call-add", call_add),
    ("reconnecting", reconnecting),
    ("ended", ended),
    ("not-connected", not_connected),
    ("settings", settings),
    ("settings-calls", settings_calls),
    ("settings-server", settings_server),
    ("help", help),
    ("give-up", give_up),
];

/// The README's pictures: scene, theme, size.
const README: &[(&str, Theme, (f32, f32))] = &[
    ("call", Theme::Dark, (1180.0, 720.0)),
    ("group-7", Theme::Dark, (1180.0, 720.0)),
    ("lobby", Theme::Dark, (1180.0, 720.0)),
    ("lobby", Theme::Light, (1180.0, 720.0)),
    ("invite", Theme::Dark, (1180.0, 720.0)),
    ("invite-qr", Theme::Light, (1180.0, 720.0)),
    ("phone", Theme::Dark, (1180.0, 720.0)),
    ("reply", Theme::Light, (1180.0, 720.0)),
    ("call-details", Theme::Dark, (1180.0, 720.0)),
    ("settings", Theme::Light, (1180.0, 720.0)),
    ("help", Theme::Dark, (1180.0, 720.0)),
];

fn device(name: &str) -> DeviceInfo {
    DeviceInfo { name: name.into(), detail: String::new() }
}

fn devices(rig: &mut Rig) {
    rig.say(Event::Devices(Box::new(DeviceList {
        cameras: vec![device("Integrated Camera"), device("Logitech BRIO")],
        microphones: vec![device("Built-in Microphone"), device("Yeti Nano")],
        speakers: vec![device("Built-in Speakers"), device("WH-1000XM4")],
    })));
    for (kind, name) in [
        (DeviceKind::Camera, "Integrated Camera"),
        (DeviceKind::Microphone, "Built-in Microphone"),
        (DeviceKind::Speaker, "Built-in Speakers"),
    ] {
        let picture = (kind == DeviceKind::Camera).then_some((crate::units::Resolution::HD, 30.0));
        rig.say(Event::Opened { kind, name: name.into(), picture });
    }
}

fn lobby(rig: &mut Rig) {
    devices(rig);
    let preview = Arc::clone(&rig.preview);
    rig.put(&preview, people::cat());
    rig.levels(0.09, &[]);
    network(rig, Nat::Translated(Mapping::EndpointIndependent));
}

fn network(rig: &mut Rig, nat: Nat) {
    rig.say(Event::Network(Outlook { nat, has_network: true, ..Outlook::default() }));
}

fn lobby_blocked(rig: &mut Rig) {
    lobby(rig);
    network(rig, Nat::UdpBlocked);
}

fn why(step: Step) -> Diagnosis {
    Diagnosis { step, relay: Relay::NotSet }
}

fn reply_stuck(rig: &mut Rig) {
    reply_needed(rig);
    rig.say(Event::Trouble(Trouble::Stuck(why(Step::OneWay))));
}

fn lobby_trouble(rig: &mut Rig) {
    rig.say(Event::Failed { kind: DeviceKind::Camera, error: DeviceError::Busy(DeviceKind::Camera) });
    rig.say(Event::Failed {
        kind: DeviceKind::Microphone,
        error: DeviceError::NotFound(DeviceKind::Microphone),
    });
}

fn lobby_offer(rig: &mut Rig) {
    lobby(rig);
    rig.clipboard.put(&super::rig::own_code(Kind::Invite, 9).text.0);
    rig.focus();
}

fn lobby_nearby(rig: &mut Rig) {
    lobby(rig);
    let person = |name: &str| NearbyPerson { id: name.into(), name: name.into() };
    let names = ["Ann", "Bo Lindqvist", "A very long name that somebody gave to his own window at home"];
    rig.say(Event::Nearby(names.map(person).to_vec()));
}

fn lobby_ring(rig: &mut Rig) {
    lobby_nearby(rig);
    rig.say(Event::Ring(Some("Ann".into())));
}

fn calling(rig: &mut Rig) {
    lobby(rig);
    rig.say(Event::With(Some("Ann".into())));
    rig.invite_out();
}

fn invite(rig: &mut Rig) {
    lobby(rig);
    rig.enter(CallState::Gathering(Kind::Invite));
    rig.say(Event::Code(Box::new(super::rig::compact_code(Kind::Invite))));
    rig.enter(CallState::WaitingForReply);
}

fn invite_moved(rig: &mut Rig) {
    invite(rig);
    rig.say(Event::Moved);
    rig.say(Event::Code(Box::new(super::rig::own_code(Kind::Invite, 2))));
}

fn invite_wrong(rig: &mut Rig) {
    invite(rig);
    rig.say(Event::Refused(Refusal::Invite(InviteError::InviteNotReply)));
}

fn invite_details(rig: &mut Rig) {
    invite(rig);
    rig.click("Details");
}

fn invite_qr(rig: &mut Rig) {
    invite(rig);
    rig.click("Show as QR");
}

fn invite_passphrase(rig: &mut Rig) {
    invite(rig);
    rig.click("Add a passphrase");
}

fn invite_sealed(rig: &mut Rig) {
    invite(rig);
    rig.say(Event::Code(Box::new(super::rig::sealed_code(Kind::Invite))));
}

fn join_locked(rig: &mut Rig) {
    join(rig);
    rig.paste("sealed");
    rig.say(Event::Refused(Refusal::Invite(InviteError::WrongPassphrase)));
}

fn join_scan(rig: &mut Rig) {
    join(rig);
    rig.click("Scan a code with the camera");
}

fn phone(rig: &mut Rig) {
    lobby(rig);
    rig.enter(CallState::Gathering(Kind::Invite));
    rig.say(Event::Page(Some(super::rig::page(PageGuest::Looking))));
    rig.enter(CallState::WaitingForReply);
}

fn join(rig: &mut Rig) {
    lobby(rig);
    rig.key(Key::J);
}

fn reply(rig: &mut Rig) {
    lobby(rig);
    rig.enter(CallState::Gathering(Kind::Reply));
    rig.say(Event::Code(Box::new(super::rig::compact_code(Kind::Reply))));
    let since = rig.now();
    rig.enter(CallState::Connecting { own: Kind::Reply, since });
}

fn reply_needed(rig: &mut Rig) {
    reply(rig);
    rig.wait(crate::ui::screens::exchange::REPLY_AFTER);
}

fn asked(rig: &mut Rig) {
    invite(rig);
    let since = rig.now();
    rig.enter(CallState::Lobby { own: Kind::Invite, since });
    rig.say(Event::Remote(PERSON, RemotePeer { name: "Eileen".into(), ..RemotePeer::default() }));
}

fn call(rig: &mut Rig) {
    lobby(rig);
    rig.in_call("Eileen", Some(people::astronaut()));
    rig.wait(Duration::from_secs(754));
    report(rig);
}

fn report(rig: &mut Rig) {
    let stats = |seconds: f64| {
        let count = |per_second: f64| (per_second * seconds) as u64;
        let video = InboundVideo {
            codec: "H264".into(),
            frames_per_second: 30.0,
            frame_width: 1280,
            frame_height: 720,
            packets_received: count(220.0),
            packets_lost: 12,
            bytes_received: count(231_000.0),
            jitter: 0.004,
            jitter_buffer_delay: 0.021 * 30.0 * seconds,
            jitter_buffer_emitted_count: count(30.0),
            sync_offset_ms: 4.0,
            ..InboundVideo::default()
        };
        let mut inbound = Inbound { video, ..Inbound::default() };
        inbound.audio.codec = "opus".into();
        inbound.audio.bytes_received = count(4_800.0);
        inbound.audio.packets_received = count(50.0);
        inbound.audio.jitter_buffer_delay = 0.038 * 50.0 * seconds;
        inbound.audio.jitter_buffer_emitted_count = count(50.0);
        let video = OutboundVideo {
            codec: "H264".into(),
            frames_per_second: 30.0,
            frame_width: 1280,
            frame_height: 720,
            bytes_sent: count(255_000.0),
            target_bitrate: 2_100_000,
            quality_limitation_reason: "none".into(),
            ..OutboundVideo::default()
        };
        let mut outbound = Outbound { video, ..Outbound::default() };
        outbound.audio.codec = "opus".into();
        outbound.audio.bytes_sent = count(4_700.0);
        let candidate_pair = CandidatePair {
            local: "srflx 203.0.113.7:50612 udp".into(),
            remote: "srflx 198.51.100.23:41877 udp".into(),
            current_round_trip_time: 0.031,
            available_outgoing_bitrate: 2_480_000,
        };
        Stats {
            seconds,
            state: "connected".into(),
            peers: vec![PeerStats { name: "Eileen".into(), inbound, outbound, candidate_pair }],
            process: ProcessStats { cpu_seconds: 60.0, rss_bytes: 118_000_000 },
        }
    };
    for seconds in [753.0, 754.0] {
        rig.say(Event::Stats(Box::new(stats(seconds)), vec![(PERSON, Quality::Good)]));
    }
}

/// People as they are in calls: most with pictures, some without, one muted.
fn group(rig: &mut Rig, count: usize) {
    const NAMES: [&str; 11] = [
        "Eileen",
        "Надежда Иванова",
        "Ann",
        "A very long name that somebody gave to himself",
        "Ann",
        "Ναταλία",
        "Bo Lindqvist",
        "Mum",
        "Jean-Luc",
        "Priya",
        "Olu",
    ];
    lobby(rig);
    rig.group(&NAMES[..count - 1]);
    for index in 0..count - 1 {
        let id = PeerId(index as u64 + 1);
        if index % 4 == 3 {
            rig.change(id, |person| person.camera_stopped = true);
        } else {
            rig.put_of(id, people::guest(index));
        }
        if index % 3 == 1 {
            rig.change(id, |person| person.microphone_muted = true);
        }
    }
    rig.wait(Duration::from_secs(754));
    let quality = |index: usize| if index == 2 { Quality::Fair } else { Quality::Good };
    let qualities = (0..count - 1).map(|index| (PeerId(index as u64 + 1), quality(index))).collect();
    rig.say(Event::Stats(Box::default(), qualities));
    rig.levels(0.0, &[(PeerId(1), 0.6)]);
    rig.wait(Duration::from_secs(5));
}

fn group_3(rig: &mut Rig) {
    group(rig, 3);
}

fn group_4(rig: &mut Rig) {
    group(rig, 4);
    rig.change(PeerId(2), |person| person.hand_raised = true);
}

fn group_7(rig: &mut Rig) {
    group(rig, 7);
}

fn group_12(rig: &mut Rig) {
    group(rig, 12);
}

fn group_speaker(rig: &mut Rig) {
    group(rig, 5);
    rig.key(Key::G);
}

fn group_speaker_12(rig: &mut Rig) {
    group(rig, 12);
    rig.key(Key::G);
}

fn group_people(rig: &mut Rig) {
    group(rig, 7);
    rig.change(PeerId(2), |person| person.hand_raised = true);
    rig.change(PeerId(5), |person| person.hand_raised = true);
    rig.change(PeerId(9), |person| person.name = "Di".into());
    rig.key(Key::L);
}

/// What can be done about one of them.
fn group_person(rig: &mut Rig) {
    group_people(rig);
    rig.say(Event::Room(RoomState { people: 7, we_are_host: true, ..RoomState::default() }));
    rig.scroll(-160.0);
    rig.click("Ann");
}

/// Somebody else passes everything on.
fn group_ways(rig: &mut Rig) {
    group(rig, 5);
    rig.say(Event::Room(RoomState { people: 5, hub: Some(Hub::Person(PeerId(2))), ..RoomState::default() }));
    rig.key(Key::L);
}

/// We do, and as the host choose for a guest with a narrow link.
fn group_ways_host(rig: &mut Rig) {
    group(rig, 5);
    let hub = Some(Hub::We);
    rig.say(Event::Room(RoomState { people: 5, we_are_host: true, hub, ..RoomState::default() }));
    rig.change(PeerId(3), |person| (person.one_picture, person.way) = (true, GuestChoice::Mix));
    rig.key(Key::L);
    // In a small window they are further down.
    rig.scroll(-160.0);
    rig.click("Ann");
}

fn group_ways_choice(rig: &mut Rig) {
    group_ways_host(rig);
    rig.scroll(1000.0);
    open(rig, "How this call is connected");
}

fn group_ways_guest(rig: &mut Rig) {
    group_ways_host(rig);
    rig.scroll(-100.0);
    open(rig, "What Ann gets");
}

fn open(rig: &mut Rig, name: &str) {
    rig.harness.get_by_role_and_label(Role::ComboBox, name).click();
    rig.settle();
}

/// As it looks to a guest who gets one picture; who makes it is the second to have come.
fn group_mixed(rig: &mut Rig) {
    group(rig, 7);
    let mixer = PeerId(2);
    for id in (1..7).map(PeerId).filter(|id| *id != mixer) {
        rig.change(id, |person| person.seen_in = Some(mixer));
    }
    rig.put_of(mixer, people::everybody());
    let room =
        RoomState { people: 7, hub: Some(Hub::Person(mixer)), one_picture: true, ..RoomState::default() };
    rig.say(Event::Room(room));
}

fn group_mixed_people(rig: &mut Rig) {
    group_mixed(rig);
    rig.key(Key::L);
    rig.click("Eileen");
}

/// The message that says so.
fn group_mixed_news(rig: &mut Rig) {
    group_mixed(rig);
}

fn group_reactions(rig: &mut Rig) {
    group(rig, 5);
    rig.key(Key::H);
    rig.wait(Duration::from_secs(4));
    for (id, kind) in
        [(1, Reaction::Heart), (2, Reaction::ThumbsUp), (3, Reaction::Laugh), (4, Reaction::Wave)]
    {
        rig.say(Event::Reaction(PeerId(id), kind));
    }
    rig.key(Key::R);
    rig.key(Key::Num4);
    rig.key(Key::R);
}

fn group_add(rig: &mut Rig) {
    group(rig, 4);
    rig.key(Key::A);
    rig.say(Event::Invite(Some(Box::new(super::rig::compact_code(Kind::Invite)))));
}

fn group_asked(rig: &mut Rig) {
    group(rig, 4);
    rig.change(PeerId(9), |person| (person.name, person.presence) = ("Di".into(), Presence::Asking));
}

fn call_add(rig: &mut Rig) {
    call(rig);
    rig.key(Key::A);
    rig.say(Event::Invite(Some(Box::new(super::rig::compact_code(Kind::Invite)))));
}

fn call_details(rig: &mut Rig) {
    call(rig);
    rig.key(Key::D);
}

fn call_words(rig: &mut Rig) {
    call(rig);
    rig.say(super::rig::four_words());
    rig.key(Key::W);
}

fn call_words_verified(rig: &mut Rig) {
    call_words(rig);
    rig.click("They match");
}

fn call_words_differ(rig: &mut Rig) {
    call_words(rig);
    rig.click("They differ");
}

fn call_no_picture(rig: &mut Rig) {
    rig.in_call("Надежда Иванова", None);
    rig.change(PERSON, |person| (person.microphone_muted, person.camera_stopped) = (true, true));
    rig.say(Event::Muted { microphone: true, camera: true });
    rig.wait(Duration::from_secs(62));
}

/// Who talks while muted is told.
fn call_muted(rig: &mut Rig) {
    call(rig);
    rig.wait(Duration::from_secs(4));
    rig.say(Event::Muted { microphone: true, camera: false });
    rig.say(Event::SpeaksWhileMuted);
}

fn reconnecting(rig: &mut Rig) {
    call(rig);
    let started = rig.now() - Duration::from_secs(754);
    let since = rig.now() - Duration::from_secs(7);
    rig.say(Event::Stats(Box::default(), vec![(PERSON, Quality::Poor)]));
    let rescue = Rescue::WaitingForReply;
    rig.enter(CallState::Reconnecting { since, started, rescue });
    rig.say(Event::Code(Box::new(super::rig::compact_code(Kind::Invite))));
}

fn ended(rig: &mut Rig) {
    call(rig);
    rig.enter(CallState::Ended(EndReason::TheyHungUp));
}

fn not_connected(rig: &mut Rig) {
    rig.invite_out();
    rig.say(Event::Trouble(Trouble::Failed(why(Step::BothSymmetric))));
    rig.enter(CallState::Ended(EndReason::NotConnected));
}

fn settings(rig: &mut Rig) {
    lobby(rig);
    rig.click("Settings");
}

/// Where the host's choice for calls of many is.
fn settings_calls(rig: &mut Rig) {
    settings(rig);
    rig.scroll(-620.0);
}

fn settings_server(rig: &mut Rig) {
    settings(rig);
    rig.scroll(-4000.0);
    rig.click("Add a server");
    rig.scroll(-4000.0);
    rig.click("Save server");
    rig.scroll(-4000.0);
}

fn help(rig: &mut Rig) {
    lobby(rig);
    rig.key(Key::Questionmark);
}

fn give_up(rig: &mut Rig) {
    invite(rig);
    rig.key(Key::Escape);
}

fn shoot(name: &str, scene: Scene, theme: Theme, size: (f32, f32), path: &Path) {
    // As a large window is scaled (`App::fit_scale`).
    let scale = if size.0 > 2000.0 { 1.5 } else { 1.0 };
    let size = (size.0 / scale, size.1 / scale);
    let mut rig = Rig::with(Setup { theme, size, scale, ..Setup::default() });
    scene(&mut rig);
    // Messages that pass by are not what the picture is about.
    rig.wait(Duration::from_secs(
        if matches!(name, "reconnecting" | "call-muted" | "group-reactions" | "group-mixed-news") {
            0
        } else {
            4
        },
    ));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    palette::save(&rig.harness.render().unwrap(), path);
}

fn scene(name: &str) -> Scene {
    SCENES.iter().find(|(known, _)| *known == name).unwrap().1
}

fn word(theme: Theme) -> &'static str {
    if theme == Theme::Dark { "dark" } else { "light" }
}

#[test]
#[ignore = "writes files: the README's pictures"]
fn screenshots() {
    if let Some(folder) = std::env::var_os("TWOCAN_LOOK") {
        let only = std::env::var("TWOCAN_SCENE").unwrap_or_default();
        for (name, scene) in SCENES.iter().filter(|(name, _)| name.contains(&only)) {
            for theme in [Theme::Dark, Theme::Light] {
                for size in [(640.0, 480.0), (1180.0, 720.0), (2560.0, 1440.0), (640.0, 1000.0)] {
                    // Tall windows matter where there are tiles.
                    let upright = size.0 < size.1;
                    let tiles = name.starts_with("group");
                    // The stage is dark in both themes.
                    if (upright && !tiles) || (tiles && theme == Theme::Light && size.0 != 1180.0) {
                        continue;
                    }
                    let file = format!("{name}-{}-{}x{}.png", word(theme), size.0, size.1);
                    shoot(name, *scene, theme, size, &Path::new(&folder).join(file));
                }
            }
        }
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screenshots");
    for (name, theme, size) in README {
        shoot(name, scene(name), *theme, *size, &folder.join(format!("{name}-{}.png", word(*theme))));
    }
}

/// Every screen draws in both themes and in the smallest window, all its letters exist, and every control has a name.
#[test]
fn every_screen_can_be_drawn() {
    for (name, scene) in SCENES {
        for (theme, size) in [(Theme::Dark, (640.0, 480.0)), (Theme::Light, (1180.0, 720.0))] {
            let mut rig = Rig::with(Setup { theme, size, ..Setup::default() });
            scene(&mut rig);
            let picture = rig.harness.render().unwrap();
            assert_eq!((picture.width(), picture.height()), (size.0 as u32, size.1 as u32), "{name}");
            let first = picture.get_pixel(0, 0);
            assert!(picture.pixels().any(|pixel| pixel != first), "{name} is empty");
        }
    }
}
