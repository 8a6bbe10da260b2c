//! Whole engines in one process, more than two of them: one paste each, and everybody sees and hears everybody. What is
//! asserted is what a face would show.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use twocan::device::{CameraChoice, MicrophoneChoice, PictureRequest, SpeakerChoice};
use twocan::engine::{Command, Engine, EngineSetup, Event, Hub, Presence, RemotePeer, RoomState};
use twocan::invite::{self, Kind};
use twocan::net::{NetConfig, NetEvent, Peer};
use twocan::pipeline::MediaSetup;
use twocan::ports::PeerId;
use twocan::room::call::{CallState, EndReason};
use twocan::room::roster::MemberId;
use twocan::room::topology::{Choice, GuestChoice};
use twocan::settings::{Guests, Settings};
use twocan::stats::PeerStats;
use twocan::units::{Redacted, Resolution};

/// Far above what anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody at a face that remembers what it was told.
struct Person {
    engine: Engine,
    name: &'static str,
    state: CallState,
    people: BTreeMap<PeerId, RemotePeer>,
    stats: BTreeMap<PeerId, PeerStats>,
    /// Those a second earlier.
    before: BTreeMap<PeerId, PeerStats>,
    code: Option<String>,
    invite: Option<String>,
    room: RoomState,
    muted: bool,
    refused: Option<String>,
}

impl Person {
    fn new(name: &'static str) -> Self {
        Self::with(name, Settings::default())
    }

    fn host(name: &'static str) -> Self {
        Self::with(name, Settings { guests: Guests::Many, ..Settings::default() })
    }

    fn with(name: &'static str, settings: Settings) -> Self {
        Self::at(name, settings, &["127.0.0.1"])
    }

    fn at(name: &'static str, settings: Settings, addresses: &[&str]) -> Self {
        let bind = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let engine = Engine::start(EngineSetup {
            settings: Settings { name: name.into(), ..settings },
            media: MediaSetup {
                camera: CameraChoice::Pattern,
                microphone: MicrophoneChoice::Tone,
                speaker: SpeakerChoice::None,
                picture: PictureRequest { resolution: Resolution::new(160, 96), fps: 10 },
                ..MediaSetup::default()
            },
            net: NetConfig { bind, ..NetConfig::default() },
            wake: None,
        });
        Self {
            engine,
            name,
            state: CallState::Idle,
            people: BTreeMap::new(),
            stats: BTreeMap::new(),
            before: BTreeMap::new(),
            code: None,
            invite: None,
            room: RoomState::default(),
            muted: false,
            refused: None,
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Call(state) => self.state = state,
            Event::Remote(id, remote) => drop(self.people.insert(id, remote)),
            Event::Left(id) => {
                self.people.remove(&id);
                self.stats.remove(&id);
            }
            Event::Stats(stats, people) => {
                assert_eq!(stats.peers.len(), people.len());
                let now = people.into_iter().map(|(id, _)| id).zip(stats.peers).collect();
                self.before = std::mem::replace(&mut self.stats, now);
            }
            Event::Code(code) => self.code = Some(code.text.0),
            Event::Invite(code) => self.invite = code.map(|code| code.text.0),
            Event::Room(room) => self.room = room,
            Event::Muted { microphone, .. } => self.muted = microphone,
            Event::Refused(refusal) => self.refused = Some(refusal.to_string()),
            _ => {}
        }
    }

    fn join(name: &'static str, invite: &str) -> Self {
        Self::new(name).joins(invite)
    }

    fn joins(self, invite: &str) -> Self {
        self.engine.send(Command::JoinCall(Redacted(invite.into())));
        self
    }

    /// Who is there, by name.
    fn sees(&self) -> Vec<&str> {
        let here = self.people.values().filter(|person| person.presence == Presence::Here);
        let mut names: Vec<_> = here.map(|person| person.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    fn id(&self, name: &str) -> PeerId {
        *self.people.iter().find(|(_, person)| person.name == name).expect("nobody of that name").0
    }

    /// Pictures and sound of so many others have come in since their streams began.
    fn watches(&self, others: usize) -> bool {
        let comes_in = |stats: &&PeerStats| {
            let audio = &stats.inbound.audio;
            stats.inbound.video.frames_decoded > 5
                && audio.total_samples_received > audio.concealed_samples + 4_800
                && audio.audio_level > 0.0
        };
        self.stats.values().filter(comes_in).count() == others && self.stats.len() == others
    }
}

/// Lets everybody hear what is said until all of them are as they should be.
fn wait(people: &mut [&mut Person], what: &str, is: impl Fn(&Person) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !people.iter().all(|person| is(person)) {
        for person in &mut *people {
            while let Some(event) = person.engine.wait_event(Duration::from_millis(5)) {
                person.take(event);
            }
        }
        let late = |person: &&mut Person| format!("{}: {:?} {:?}", person.name, person.state, person.people);
        assert!(Instant::now() < deadline, "{what}: {:#?}", people.iter().map(late).collect::<Vec<_>>());
    }
}

fn founded(mut host: Person) -> (Person, String) {
    host.engine.send(Command::StartCall);
    wait(&mut [&mut host], "invite", |host| host.code.is_some());
    let invite = host.code.clone().unwrap();
    (host, invite)
}

/// Ann has made the invite; each of the others has pasted it and nothing else.
fn three() -> (Person, Person, Person, String) {
    let (mut ann, invite) = founded(Person::host("Ann"));
    let (mut bo, mut cy) = (Person::join("Bo", &invite), Person::join("Cy", &invite));
    wait(&mut [&mut ann, &mut bo, &mut cy], "three", |person| person.sees().len() == 2);
    (ann, bo, cy, invite)
}

#[test]
fn two_who_cannot_reach_each_other_meet_through_a_third() {
    let many = Settings { guests: Guests::Many, ..Settings::default() };
    let (mut ann, invite) = founded(Person::at("Ann", many, &["127.0.0.1", "::1"]));
    // One has only IPv4, the other only IPv6.
    let mut bo = Person::new("Bo").joins(&invite);
    let mut cy = Person::at("Cy", Settings::default(), &["::1"]).joins(&invite);
    wait(&mut [&mut ann, &mut bo, &mut cy], "all see all", |person| person.watches(2));
    let (path, direct) = (&bo.stats[&bo.id("Cy")].candidate_pair, &bo.stats[&bo.id("Ann")].candidate_pair);
    assert_eq!(path.remote, "relay (another member of the call)");
    assert!(direct.remote.starts_with("host 127.0.0.1:"), "{}", direct.remote);
    assert_eq!((bo.sees(), cy.sees()), (vec!["Ann", "Cy"], vec!["Ann", "Bo"]));
}

#[test]
fn four_people_paste_once_each_and_all_see_and_hear_all() {
    let (mut ann, mut bo, mut cy, invite) = three();
    let pasted = Instant::now();
    let mut di = Person::join("Di", &invite);
    let all = &mut [&mut ann, &mut bo, &mut cy, &mut di];
    wait(all, "four", |person| person.sees().len() == 3);
    println!("from the fourth paste to four who are linked: {:?}", pasted.elapsed());
    wait(all, "pictures and sound", |person| person.watches(3));
    println!("from the fourth paste to all pictures: {:?}", pasted.elapsed());
    assert_eq!(ann.sees(), ["Bo", "Cy", "Di"]);
    assert_eq!(di.sees(), ["Ann", "Bo", "Cy"]);
    assert!(ann.room.we_are_host && !ann.room.locked && ann.room.people == 4);
    assert_eq!(di.room.host, Some(di.id("Ann")));
    // A switch is told to all.
    cy.engine.send(Command::MuteMicrophone(true));
    wait(&mut [&mut ann, &mut bo, &mut di, &mut cy], "mute mark", |person| {
        person.name == "Cy"
            || person.people.values().any(|other| other.name == "Cy" && other.microphone_muted)
    });
    // The one who made the invite leaves: the others do not notice but for that.
    ann.engine.send(Command::HangUp);
    wait(&mut [&mut bo, &mut cy, &mut di], "three are left", |person| person.sees().len() == 2);
    let before: Vec<_> = [&bo, &cy, &di].map(|person| person.stats.clone()).into();
    wait(&mut [&mut bo, &mut cy, &mut di], "it goes on", |person| {
        let old = before.iter().find(|stats| stats.keys().eq(person.stats.keys()));
        let more = |id: &PeerId, then: &PeerStats| {
            person
                .stats
                .get(id)
                .is_some_and(|now| now.inbound.video.frames_decoded > then.inbound.video.frames_decoded)
        };
        person.stats.len() == 2 && old.is_none_or(|old| old.iter().all(|(id, then)| more(id, then)))
    });
    wait(&mut [&mut bo, &mut cy, &mut di], "one host", |person| person.room.people == 3);
    assert_eq!([&bo, &cy, &di].iter().filter(|person| person.room.we_are_host).count(), 1);
}

#[test]
fn a_locked_room_lets_nobody_in_and_a_removed_guest_is_out() {
    let (mut ann, mut bo, mut cy, invite) = three();
    ann.engine.send(Command::Lock(true));
    wait(&mut [&mut ann, &mut bo, &mut cy], "lock", |person| person.room.locked);
    let mut di = Person::join("Di", &invite);
    wait(&mut [&mut di], "refusal", |person| person.state == CallState::Ended(EndReason::Withdrawn));
    ann.engine.send(Command::Lock(false));
    wait(&mut [&mut ann, &mut bo, &mut cy], "unlock", |person| !person.room.locked);
    wait(&mut [&mut ann], "the invite is out again", |ann| ann.invite.as_ref() == Some(&invite));
    // Only the host may do that.
    bo.engine.send(Command::Lock(true));
    bo.engine.send(Command::Remove(bo.id("Ann")));
    ann.engine.send(Command::MuteGuest(ann.id("Cy")));
    wait(&mut [&mut cy, &mut ann, &mut bo], "silence", |person| person.name != "Cy" || person.muted);
    cy.engine.send(Command::MuteMicrophone(false));
    ann.engine.send(Command::Remove(ann.id("Bo")));
    wait(&mut [&mut bo], "out", |bo| bo.state == CallState::Ended(EndReason::Removed));
    wait(&mut [&mut ann, &mut cy], "two are left", |person| {
        person.sees().len() == 1 && person.room.people == 2
    });
    // What he has is worth nothing any more; a new invite is out.
    wait(&mut [&mut ann], "another invite", |ann| ann.invite.as_ref().is_some_and(|other| *other != invite));
    bo.engine.send(Command::JoinCall(Redacted(invite)));
    wait(&mut [&mut bo], "no way back", |bo| bo.state == CallState::Ended(EndReason::Withdrawn));
    assert!(!ann.room.locked && ann.sees() == ["Cy"] && cy.sees() == ["Ann"]);
}

#[test]
fn anybody_may_add_somebody_and_each_guest_is_asked_about() {
    // One invite for one guest, then another made in the call.
    let (mut ann, invite) = founded(Person::with("Ann", Settings { ask_first: true, ..Settings::default() }));
    let mut bo = Person::join("Bo", &invite);
    wait(&mut [&mut ann, &mut bo], "lobby", |person| matches!(person.state, CallState::Lobby { .. }));
    wait(&mut [&mut ann], "name", |ann| ann.people.values().any(|person| person.name == "Bo"));
    ann.engine.send(Command::Admit(ann.id("Bo"), true));
    wait(&mut [&mut ann, &mut bo], "two", |person| person.sees().len() == 1);
    let mut late = Person::join("Late", &invite);
    wait(&mut [&mut late], "busy", |person| person.state == CallState::Ended(EndReason::Busy));
    // Bo, who is no host, adds somebody of the same name as Ann's.
    bo.engine.send(Command::Invite(true));
    wait(&mut [&mut bo, &mut ann], "invite", |person| person.name == "Ann" || person.invite.is_some());
    let mut other = Person::join("Ann", &bo.invite.clone().unwrap());
    wait(&mut [&mut ann, &mut bo, &mut other], "three", |person| person.sees().len() == 2);
    assert_eq!(bo.sees(), ["Ann", "Ann (2)"]);
    assert!(bo.invite.is_none(), "it was for one");
    // Ann adds one more, who is asked about while the call goes on.
    ann.engine.send(Command::Invite(true));
    wait(&mut [&mut ann], "invite", |ann| ann.invite.is_some());
    let mut cy = Person::join("Cy", &ann.invite.clone().unwrap());
    let asks = |person: &Person| {
        person.people.values().any(|one| one.name == "Cy" && one.presence == Presence::Asking)
    };
    wait(&mut [&mut ann, &mut cy], "lobby", |person| {
        asks(person) || matches!(person.state, CallState::Lobby { .. })
    });
    assert!(matches!(ann.state, CallState::InCall { .. }) && bo.sees().len() == 2);
    ann.engine.send(Command::Admit(ann.id("Cy"), true));
    wait(&mut [&mut ann, &mut bo, &mut other, &mut cy], "four", |person| person.sees().len() == 3);
}

/// Somebody's picture goes on, though nothing of it comes over the connection to them.
fn comes_by_another(person: &Person, name: &str) -> bool {
    let id = person.id(name);
    let (Some(now), Some(before)) = (person.stats.get(&id), person.before.get(&id)) else { return false };
    now.inbound.video.frames_decoded > before.inbound.video.frames_decoded
        && now.inbound.video.packets_received == before.inbound.video.packets_received
        && now.inbound.audio.packets_received == before.inbound.audio.packets_received
}

fn comes_directly(person: &Person, name: &str) -> bool {
    let id = person.id(name);
    let (Some(now), Some(before)) = (person.stats.get(&id), person.before.get(&id)) else { return false };
    now.inbound.video.frames_decoded > before.inbound.video.frames_decoded
        && now.inbound.video.packets_received > before.inbound.video.packets_received
}

/// What a change of the way has cost so far: freezes by W3C's definition and concealed sound, worst of all who are seen.
fn cost(what: &str, people: &[&Person]) {
    for person in people {
        for (id, stats) in &person.stats {
            let (video, audio) = (&stats.inbound.video, &stats.inbound.audio);
            eprintln!(
                "{what}: {} sees {}: {} freezes, {:.2} s; {:.2} s of sound concealed",
                person.name,
                person.people[id].name,
                video.freeze_count,
                video.total_freezes_duration,
                audio.concealed_samples as f64 / 48_000.0
            );
        }
    }
}

#[test]
fn a_hub_passes_on_what_the_others_send_and_its_loss_is_survived() {
    let (mut ann, mut bo, mut cy, _) = three();
    wait(&mut [&mut ann, &mut bo, &mut cy], "mesh", |person| person.watches(2));
    cost("before", &[&bo, &cy]);
    ann.engine.send(Command::Topology(Choice::Forward));
    wait(&mut [&mut ann, &mut bo, &mut cy], "by the hub", |person| match person.name {
        "Bo" => comes_by_another(person, "Cy") && comes_directly(person, "Ann"),
        "Cy" => comes_by_another(person, "Bo") && comes_directly(person, "Ann"),
        _ => comes_directly(person, "Bo") && comes_directly(person, "Cy"),
    });
    cost("by the hub", &[&bo, &cy]);
    ann.engine.send(Command::Topology(Choice::Mesh));
    wait(&mut [&mut ann, &mut bo, &mut cy], "mesh again", |person| match person.name {
        "Bo" => comes_directly(person, "Cy"),
        "Cy" => comes_directly(person, "Bo"),
        _ => true,
    });
    ann.engine.send(Command::Topology(Choice::Forward));
    wait(&mut [&mut ann, &mut bo, &mut cy], "by the hub again", |person| match person.name {
        "Bo" => comes_by_another(person, "Cy"),
        "Cy" => comes_by_another(person, "Bo"),
        _ => true,
    });
    cost("by the hub again", &[&bo, &cy]);
    drop(ann);
    wait(&mut [&mut bo, &mut cy], "without the hub", |person| match person.name {
        "Bo" => comes_directly(person, "Cy"),
        _ => comes_directly(person, "Bo"),
    });
    cost("without the hub", &[&bo, &cy]);
}

#[test]
fn a_hub_makes_one_picture_of_everybody() {
    let (mut ann, mut bo, mut cy, _) = three();
    wait(&mut [&mut ann, &mut bo, &mut cy], "mesh", |person| person.watches(2));
    ann.engine.send(Command::Topology(Choice::Mix));
    let is_in = |person: &Person, name: &str| {
        let ann = person.id("Ann");
        person.people[&person.id(name)].seen_in == Some(ann) && comes_directly(person, "Ann")
    };
    wait(&mut [&mut ann, &mut bo, &mut cy], "one picture", |person| match person.name {
        "Bo" => is_in(person, "Cy"),
        "Cy" => is_in(person, "Bo"),
        _ => comes_directly(person, "Bo") && comes_directly(person, "Cy"),
    });
    ann.engine.send(Command::Topology(Choice::Mesh));
    wait(&mut [&mut ann, &mut bo, &mut cy], "mesh again", |person| match person.name {
        "Bo" => comes_directly(person, "Cy") && person.people[&person.id("Cy")].seen_in.is_none(),
        "Cy" => comes_directly(person, "Bo") && person.people[&person.id("Bo")].seen_in.is_none(),
        _ => true,
    });
}

#[test]
fn the_host_decides_for_one_guest_and_the_faces_say_so() {
    let (mut ann, mut bo, mut cy, _) = three();
    wait(&mut [&mut ann, &mut bo, &mut cy], "mesh", |person| person.watches(2));
    assert!(bo.room.hub.is_none() && !bo.room.one_picture);
    ann.engine.send(Command::GuestWay(ann.id("Bo"), GuestChoice::Mix));
    wait(&mut [&mut ann, &mut bo, &mut cy], "one picture for Bo", |person| {
        let by_ann = |person: &Person| person.room.hub == Some(Hub::Person(person.id("Ann")));
        let sees_bo = |person: &Person| person.people[&person.id("Bo")].one_picture;
        match person.name {
            "Bo" => {
                by_ann(person) && person.room.one_picture && person.people[&person.id("Cy")].seen_in.is_some()
            }
            "Cy" => by_ann(person) && !person.room.one_picture && sees_bo(person),
            _ => person.room.hub == Some(Hub::We) && sees_bo(person),
        }
    });
    assert_eq!(ann.people[&ann.id("Bo")].way, GuestChoice::Mix);
    ann.engine.send(Command::GuestWay(ann.id("Bo"), GuestChoice::Forward));
    wait(&mut [&mut ann, &mut bo, &mut cy], "all pictures for Bo", |person| {
        person.name != "Bo" || !person.room.one_picture && person.people[&person.id("Cy")].seen_in.is_none()
    });
    // Only the host decides.
    bo.engine.send(Command::GuestWay(bo.id("Cy"), GuestChoice::Mix));
    bo.engine.send(Command::Topology(Choice::Mesh));
    ann.engine.send(Command::Topology(Choice::Mix));
    wait(&mut [&mut ann, &mut bo, &mut cy], "one picture for Cy", |person| match person.name {
        "Cy" => person.room.one_picture,
        "Bo" => !person.room.one_picture,
        _ => person.room.topology == Choice::Mix,
    });
    // Whoever is the host next keeps to it: the one of the two who was let in first.
    ann.engine.send(Command::HangUp);
    wait(&mut [&mut bo, &mut cy], "the successor", |person| {
        person.people.len() == 1
            && (person.room.we_are_host
                || person.room.host.is_some_and(|host| person.people.contains_key(&host)))
    });
    let [host, guest] = if bo.room.we_are_host { [&mut bo, &mut cy] } else { [&mut cy, &mut bo] };
    assert!(host.room.we_are_host && !guest.room.we_are_host);
    let way = if host.name == "Cy" { GuestChoice::Forward } else { GuestChoice::Automatic };
    wait(&mut [host, guest], "what the host before it wished", |person| {
        !person.room.we_are_host
            || person.room.topology == Choice::Mix && person.people.values().all(|guest| guest.way == way)
    });
}

/// Somebody who was let in and says whatever suits them.
struct Rogue {
    runtime: tokio::runtime::Runtime,
    peer: Peer,
}

impl Rogue {
    fn join(invite: &str, id: MemberId) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (told, mut events) = tokio::sync::mpsc::channel(1024);
        let net = NetConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..NetConfig::default() };
        let invite = invite::expect(invite, Kind::Invite, None).unwrap();
        let peer = runtime.block_on(async {
            let (peer, _) = Peer::answer(net, &invite, told).await.unwrap();
            while !matches!(events.recv().await, Some(NetEvent::ControlOpen)) {}
            peer
        });
        // What is said to the rogue is not listened to.
        runtime.spawn(async move { while events.recv().await.is_some() {} });
        let rogue = Self { runtime, peer };
        rogue.say(&format!(r#"{{"type":"hello","name":"Mallory","id":"{id}"}}"#));
        rogue
    }

    /// Says it, as soon as there is room.
    fn say(&self, text: &str) {
        self.runtime.block_on(async {
            while self.peer.send_control(text.into()).is_err() {
                tokio::task::yield_now().await;
            }
        });
    }
}

#[test]
fn a_member_who_lies_and_floods_harms_nobody() {
    let (mut ann, invite) = founded(Person::host("Ann"));
    let mut bo = Person::join("Bo", &invite);
    wait(&mut [&mut ann, &mut bo], "two", |person| person.watches(1));
    let mallory = MemberId([0xff; 8]);
    let rogue = Rogue::join(&invite, mallory);
    wait(&mut [&mut ann], "the third", |ann| ann.sees().contains(&"Mallory"));
    let (nobody, long) = (MemberId([7; 8]), "v=0\r\n".repeat(7_000));
    for number in 1..40 {
        // It makes itself the host, everybody's hub, puts everybody out and invents members.
        rogue.say(&format!(
            r#"{{"type":"members","number":{number},"order":0,"host":"{mallory}","locked":true,"removed":["{nobody}"],"ruling":{{"hub":"{mallory}","mixed":["{nobody}"]}},"members":[]}}"#
        ));
        for text in [
            r#"{"type":"offer","sdp":"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"}"#
                .to_owned(),
            serde_json::json!({ "type": "offer", "sdp": long }).to_string(),
            r#"{"type":"answer","sdp":""}"#.into(),
            format!(r#"{{"type":"mix","members":["{nobody}","{mallory}"]}}"#),
            r#"{"type":"layer","layer":200,"wanted":true,"width":99999,"height":1,"kbps":4294967295}"#.into(),
            format!(r#"{{"type":"view","member":"{nobody}","width":1,"height":1,"shown":true}}"#),
            r#"{"type":"silence"}"#.into(),
            format!(r#"{{"type":"pass","to":"{nobody}","from":"{nobody}","attempt":1,"payload":"x"}}"#),
        ] {
            rogue.say(&text);
        }
    }
    wait(&mut [&mut ann, &mut bo], "as before", |person| match person.name {
        "Ann" => person.room.we_are_host && !person.muted && comes_directly(person, "Bo"),
        _ => !person.room.locked && !person.muted && comes_directly(person, "Ann"),
    });
    ann.engine.send(Command::Remove(ann.id("Mallory")));
    wait(&mut [&mut ann, &mut bo], "without it", |person| !person.sees().contains(&"Mallory"));
    drop(rogue);
}
