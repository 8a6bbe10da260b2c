//! From events to what the window knows, without a window.

use super::rig::{PERSON, own_code};
use crate::device::{DeviceError, DeviceKind};
use crate::engine::{Event, Presence, Quality, Refusal, RemotePeer};
use crate::invite::{InviteError, Kind};
use crate::ports::PeerId;
use crate::room::call::{CallState, EndReason, Rescue};
use crate::stats::{PeerStats, Stats};
use crate::ui::model::{DeviceStatus, Effect, Model, Tone};
use crate::ui::rates::Rates;
use std::time::{Duration, Instant};

/// Effects in a form that can be compared.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::CopyCode => "copy".into(),
        Effect::CodeChanged => "changed".into(),
        Effect::RemotePicture(_, Some(_)) => "picture".into(),
        Effect::RemotePicture(_, None) => "no picture of one".into(),
        Effect::NoPictures => "no picture".into(),
        Effect::Forget(_) => "forget".into(),
        Effect::Toast(Tone::Trouble, _) => "trouble".into(),
        Effect::Toast(_, text) => text.clone(),
        Effect::Attention => "attention".into(),
        Effect::MutedHint(shown) => format!("muted hint {shown}"),
        Effect::ClearField => "clear".into(),
        Effect::AskPassphrase => "ask for the passphrase".into(),
        Effect::NewCall => "new call".into(),
        Effect::Ask(remedy) => format!("ask {remedy:?}"),
        Effect::Dismiss => "dismiss".into(),
        Effect::StayAwake(awake) => format!("awake {awake}"),
    };
    effects.iter().map(word).collect()
}

#[test]
fn a_call_from_start_to_end() {
    let (mut model, start) = (Model::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let waiting = CallState::WaitingForReply;
    let connecting = CallState::Connecting { own: Kind::Invite, since: at(5) };
    let in_call = CallState::InCall { since: at(6) };
    let rescue = Rescue::Waiting { until: at(28) };
    let lost = CallState::Reconnecting { since: at(20), started: at(6), rescue };
    let ann = RemotePeer { name: "Ann".into(), presence: Presence::Here, ..Default::default() };
    let steps: Vec<(Event, &[&str])> = vec![
        (Event::Call(CallState::Gathering(Kind::Invite)), &["no picture", "clear", "new call"]),
        (Event::Code(Box::new(own_code(Kind::Invite, 1))), &["copy", "clear"]),
        (Event::Call(waiting), &[]),
        (Event::Code(Box::new(own_code(Kind::Invite, 1))), &[]),
        (Event::Call(connecting), &["clear"]),
        (Event::Call(in_call), &["clear", "awake true"]),
        (Event::Remote(PERSON, ann), &["You are in a call with Ann."]),
        (Event::Call(lost), &[]),
        (Event::Call(in_call), &["clear", "The connection is back."]),
        (Event::Call(CallState::Ended(EndReason::TheyHungUp)), &["no picture", "clear", "awake false"]),
    ];
    for (index, (event, want)) in steps.into_iter().enumerate() {
        assert_eq!(words(&model.reduce(event, at(66))), want, "step {index}");
    }
    assert_eq!(model.lasted, Some(Duration::from_secs(60)));
    assert_eq!(model.remote_name(), "Ann", "the last screen still knows who it was");
    model.reduce(Event::Call(CallState::Gathering(Kind::Reply)), at(70));
    assert_eq!((model.remote_name(), model.lasted), ("Guest", None));
}

#[test]
fn going_back_by_oneself_needs_no_farewell() {
    let mut model = Model::default();
    let effects = model.reduce(Event::Call(CallState::Ended(EndReason::Cancelled)), Instant::now());
    assert!(words(&effects).contains(&"dismiss".into()));
}

#[test]
fn a_refusal_stands_until_something_happens() {
    let (mut model, now) = (Model::default(), Instant::now());
    model.reduce(Event::Call(CallState::WaitingForReply), now);
    model.reduce(Event::Refused(Refusal::Invite(InviteError::Empty)), now);
    assert!(model.refusal.is_some());
    model.reduce(Event::Call(CallState::WaitingForReply), now);
    assert!(model.refusal.is_some(), "the same state again is nothing new");
    model.reduce(Event::CandidateAdded, now);
    assert_eq!((&model.refusal, model.candidates_added), (&None, 1));
    model.reduce(Event::Refused(Refusal::NotNow), now);
    model.reduce(Event::Call(CallState::Connecting { own: Kind::Invite, since: now }), now);
    assert_eq!(model.refusal, None);
}

#[test]
fn devices_come_and_go() {
    let (mut model, now) = (Model::default(), Instant::now());
    let lost =
        || Event::Failed { kind: DeviceKind::Microphone, error: DeviceError::Lost(DeviceKind::Microphone) };
    let back = || Event::Opened { kind: DeviceKind::Microphone, name: "Mic".into(), picture: None };
    assert!(model.reduce(back(), now).is_empty());
    model.reduce(Event::Levels { microphone: 0.5, people: Vec::new() }, now);
    assert!(model.reduce(lost(), now).is_empty(), "in the lobby the sentence stands by the picker");
    assert_eq!(model.microphone_level, 0.0);
    assert_eq!(words(&model.reduce(back(), now)), ["The microphone works again: Mic."]);
    assert_eq!(model.microphone, DeviceStatus::Running { name: "Mic".into(), picture: None });
    model.reduce(Event::Call(CallState::InCall { since: now }), now);
    assert_eq!(words(&model.reduce(lost(), now)), ["trouble"]);
    assert!(model.reduce(lost(), now).is_empty(), "each try to open it is no news");
}

#[test]
fn rates_are_differences() {
    let stats = |seconds: f64, bytes: u64, packets: u64, lost: i64| {
        let mut peer = PeerStats::default();
        peer.inbound.video.bytes_received = bytes;
        peer.inbound.video.packets_received = packets;
        peer.inbound.video.packets_lost = lost;
        peer.inbound.video.jitter_buffer_delay = seconds * 30.0 * 0.02;
        peer.inbound.video.jitter_buffer_emitted_count = (seconds * 30.0) as u64;
        Stats { seconds, peers: vec![peer], ..Default::default() }
    };
    let between = |before: Option<&Stats>, now: &Stats| {
        let all = Rates::of_all(before, &[PERSON], now, &[PERSON]);
        all.first().copied().unwrap_or_default()
    };
    let rates = between(Some(&stats(10.0, 1_000_000, 900, 100)), &stats(12.0, 1_500_000, 1080, 120));
    assert_eq!(rates.video_in.kbps(), 2000);
    assert!((rates.video_loss_in - 0.1).abs() < 1e-9 && (rates.video_hold_ms - 20.0).abs() < 1e-6);
    // A new call counts from zero; counters that go back give no nonsense.
    let restarted = between(Some(&stats(600.0, 90_000_000, 9, 9)), &stats(1.0, 250_000, 100, 0));
    assert_eq!(restarted.video_in.kbps(), 2000);
    assert_eq!(between(None, &Stats::default()), Rates::default());
    let odd = between(Some(&stats(1.0, 500, 500, 50)), &stats(2.0, 100, 100, -50));
    assert_eq!((odd.video_in.bps(), odd.video_loss_in), (0, 0.0));
    // Who came in between counts from zero.
    let one = stats(1.0, 125_000, 9, 0).peers.remove(0);
    let mut two = stats(2.0, 250_000, 18, 0);
    two.peers.insert(0, one);
    let both = Rates::of_all(Some(&stats(1.0, 125_000, 9, 0)), &[PERSON], &two, &[PeerId(9), PERSON]);
    assert_eq!([both[0].video_in.kbps(), both[1].video_in.kbps()], [1000, 1000]);
    let mut model = Model::default();
    model.reduce(Event::Remote(PERSON, RemotePeer::default()), Instant::now());
    let stats = Event::Stats(Box::new(stats(1.0, 125_000, 9, 0)), vec![(PERSON, Quality::Fair)]);
    model.reduce(stats, Instant::now());
    assert_eq!(
        (model.rates[0].video_in.kbps(), model.people.first().map(|one| one.quality)),
        (1000, Some(Quality::Fair))
    );
}
