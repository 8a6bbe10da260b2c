use super::*;
use crate::rtp::test_time::at;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, MessageType, TransactionId};
use rtc::stun::textattrs::Username;

const WIFI: SocketId = 0;
const CABLE: SocketId = 1;
const MOBILE: SocketId = 2;
const SOUND: &[u8] = &[0x80; 60];

fn crypto() -> Arc<dyn RTCCryptoProvider> {
    rtc::crypto::default_provider().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn theirs() -> SocketAddr {
    address("10.0.0.2:5000")
}

fn keys() -> Keys {
    let text = |text: &str| text.to_owned();
    Keys {
        local_ufrag: text("ours"),
        local_pwd: text("our password, long"),
        remote_ufrag: text("theirs"),
        remote_pwd: text("their password, long"),
    }
}

fn stun(kind: MessageType, id: u8, user: &str, key: &str) -> Vec<u8> {
    let provider = crypto();
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(key.to_owned(), provider.crypto());
    let mut message = Message::new();
    let user = Username::new(ATTR_USERNAME, user.to_owned());
    message
        .build(&[
            Box::new(kind),
            Box::new(TransactionId([id; 12])),
            Box::new(user),
            Box::new(integrity),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    message.raw
}

fn our_check(id: u8) -> Vec<u8> {
    stun(BINDING_REQUEST, id, "theirs:ours", "their password, long")
}
fn their_check(id: u8) -> Vec<u8> {
    stun(BINDING_REQUEST, id, "ours:theirs", "our password, long")
}
fn their_answer(id: u8) -> Vec<u8> {
    stun(BINDING_SUCCESS, id, "", "their password, long")
}

/// In a call on the Wi-Fi since 0 ms; something was sent and heard there, and a check with id 1 is out.
fn in_call() -> Roam {
    let mut roam = Roam::default();
    roam.set_keys(keys(), crypto());
    assert_eq!(roam.outgoing(at(0), WIFI, theirs(), &our_check(9)), None);
    assert_eq!(roam.outgoing(at(0), WIFI, theirs(), SOUND), None);
    assert_eq!(roam.outgoing(at(0), WIFI, theirs(), &our_check(1)), None);
    assert_eq!(roam.incoming(at(0), WIFI, true, theirs(), SOUND), Arrival::AsItCame);
    roam
}

fn pair() -> Arrival {
    Arrival::OfThePair { label: WIFI, remote: theirs(), envelope: None }
}

#[test]
fn before_there_is_a_pair_nothing_is_touched() {
    let mut roam = Roam::default();
    roam.set_keys(keys(), crypto());
    assert_eq!(roam.outgoing(at(0), WIFI, theirs(), &our_check(1)), None);
    for (known, arrival) in [(true, Arrival::AsItCame), (false, Arrival::Drop)] {
        assert_eq!(roam.incoming(at(9000), WIFI, known, theirs(), &their_check(1)), arrival);
    }
    assert_eq!((roam.way(), roam.silence(at(9000))), (None, None));
    assert_eq!(roam.round(at(9000), &[(WIFI, false)]), None);
}

#[test]
fn the_other_side_moves_and_is_followed_once_its_old_place_is_silent() {
    let mut roam = in_call();
    let moved = address("10.9.9.9:7777");
    // Its old place may still be in use: only webrtc answers.
    assert_eq!(roam.incoming(at(500), WIFI, true, moved, &their_check(2)), Arrival::AsItCame);
    assert_eq!(roam.way().unwrap().remote, theirs());
    // Silent, but after an outage every way comes back: the first word is not enough.
    assert_eq!(roam.incoming(at(1000), WIFI, true, moved, &their_check(3)), Arrival::AsItCame);
    assert_eq!(roam.incoming(at(1100), WIFI, true, moved, &their_check(4)), Arrival::AsItCame);
    assert_eq!(roam.incoming(at(1200), WIFI, true, moved, &their_check(5)), pair());
    let way = Some((Way { socket: WIFI, remote: moved }, 0..SOUND.len()));
    assert_eq!(roam.outgoing(at(1201), WIFI, theirs(), SOUND), way);
    assert_eq!(roam.incoming(at(1210), WIFI, true, moved, SOUND), pair());
    assert_eq!(roam.silence(at(1300)), Some(Duration::from_millis(90)));
    // It goes back to where it was.
    for ms in [2300, 2450] {
        roam.incoming(at(ms), WIFI, true, theirs(), &their_check(6));
    }
    assert_eq!(roam.outgoing(at(2460), WIFI, theirs(), SOUND), None);
}

#[test]
fn the_place_in_use_wins_when_all_come_back_at_once() {
    let mut roam = in_call();
    roam.add_remote(address("10.0.1.2:5001"), false);
    let elsewhere = address("10.0.1.2:5001");
    assert_eq!(roam.incoming(at(10_000), CABLE, true, elsewhere, &their_check(2)), Arrival::AsItCame);
    assert_eq!(roam.incoming(at(10_001), WIFI, true, theirs(), SOUND), Arrival::AsItCame);
    assert_eq!(roam.incoming(at(10_500), CABLE, true, elsewhere, &their_check(3)), Arrival::AsItCame);
    assert_eq!(roam.way(), Some(Way { socket: WIFI, remote: theirs() }));
}

#[test]
fn our_address_goes_and_the_first_answer_shows_the_new_way() {
    let mut roam = in_call();
    let public = address("203.0.113.7:4000");
    roam.add_remote(public, false);
    roam.add_remote(address("[2001:db8::1]:4000"), false);
    assert_eq!(roam.round(at(100), &[(MOBILE, false)]), None, "nothing is wrong yet");
    roam.lose();
    let Round { check, ways, .. } = roam.round(at(100), &[(WIFI, false), (MOBILE, false)]).unwrap();
    assert_eq!(check, our_check(1));
    let expected = [(WIFI, theirs()), (MOBILE, theirs()), (WIFI, public), (MOBILE, public)];
    assert_eq!(ways, expected.map(|(socket, remote)| Way { socket, remote }));
    // Nothing but an answer to this check, from somebody who knows the password, counts.
    let forged = stun(BINDING_SUCCESS, 1, "", "a guess");
    for bytes in [&forged[..], &their_answer(8), SOUND, b"", &[0; 19], &their_answer(1)[..30]] {
        assert_eq!(roam.incoming(at(110), MOBILE, false, public, bytes), Arrival::Drop);
    }
    assert_eq!(roam.incoming(at(120), MOBILE, false, public, &their_answer(1)), pair());
    let way = Way { socket: MOBILE, remote: public };
    for bytes in [SOUND, &our_check(2)] {
        assert_eq!(roam.outgoing(at(121), WIFI, theirs(), bytes), Some((way, 0..bytes.len())));
    }
    assert_eq!(roam.incoming(at(130), MOBILE, false, public, SOUND), pair());
    assert_eq!(roam.round(at(140), &[(MOBILE, false)]), None);
}

#[test]
fn a_stranger_moves_nothing() {
    let mut roam = in_call();
    let stranger = address("10.6.6.6:666");
    for (user, key) in [("ours:theirs", "a guess"), ("theirs:ours", "our password, long"), ("", "")] {
        for ms in [2000, 2500, 3000] {
            let check = stun(BINDING_REQUEST, 3, user, key);
            assert_eq!(roam.incoming(at(ms), WIFI, true, stranger, &check), Arrival::AsItCame);
        }
    }
    assert_eq!(roam.way().unwrap().remote, theirs());
}

#[test]
fn after_a_sleep_the_way_is_doubted_until_something_comes() {
    let mut roam = in_call();
    roam.doubt(at(10));
    assert!(roam.is_searching(at(10)));
    assert!(roam.round(at(10), &[(WIFI, false)]).is_some());
    roam.incoming(at(20), WIFI, true, theirs(), SOUND);
    assert!(!roam.is_searching(at(20)));
}

#[test]
fn rounds_are_limited_and_go_on_where_the_last_one_ended() {
    let mut roam = in_call();
    for port in 1..200 {
        roam.add_remote(SocketAddr::new("10.0.0.3".parse().unwrap(), port), false);
    }
    roam.lose();
    let sockets = [(WIFI, false), (CABLE, false), (MOBILE, false)];
    let mut tried = std::collections::HashSet::new();
    for _ in 0..4 {
        let ways = roam.round(at(10), &sockets).unwrap().ways;
        assert!(ways.len() <= MAX_ROUND + 2);
        tried.extend(ways.iter().map(|way| (way.socket, way.remote)));
    }
    assert_eq!(tried.len(), MAX_REMOTES * sockets.len());
}

#[test]
fn another_pair_of_webrtcs_starts_afresh() {
    let mut roam = in_call();
    roam.incoming(at(2000), WIFI, true, address("10.9.9.9:1"), &their_check(2));
    roam.incoming(at(2200), WIFI, true, address("10.9.9.9:1"), &their_check(3));
    assert_ne!(roam.way().unwrap().remote, theirs());
    let relay = address("198.51.100.1:9");
    assert_eq!(roam.outgoing(at(2300), CABLE, relay, SOUND), None);
    assert_eq!(roam.way(), Some(Way { socket: CABLE, remote: relay }));
}

/// Our relay and the other side's, and where each side can be reached without.
fn our_relay() -> SocketAddr {
    address("198.51.100.1:3478")
}
fn their_relay() -> SocketAddr {
    address("198.51.100.2:50000")
}
fn direct() -> Way {
    Way { socket: WIFI, remote: theirs() }
}
const ALL: &[(SocketId, bool)] = &[(WIFI, false), (CABLE, false)];
const NUMBER: u16 = 0x4007;

/// As webrtc sends it through our relay: with the channel once there is one.
fn through_relay(envelope: Envelope, bytes: &[u8]) -> Vec<u8> {
    envelope.seal(Bound::ToRelay, bytes).unwrap()
}

fn from_relay(envelope: Envelope, bytes: &[u8]) -> Vec<u8> {
    envelope.seal(Bound::FromRelay, bytes).unwrap()
}

/// In a call through our relay, on the Wi-Fi since 0 ms.
fn relayed_by_us() -> (Roam, Envelope) {
    let mut roam = Roam::default();
    roam.set_keys(keys(), crypto());
    roam.set_relays([our_relay()].into());
    roam.add_remote(theirs(), false);
    let envelope = Envelope::Indication(theirs());
    for bytes in [SOUND, &our_check(1)] {
        assert_eq!(roam.outgoing(at(0), WIFI, our_relay(), &through_relay(envelope, bytes)), None);
    }
    assert_eq!(
        roam.incoming(at(0), WIFI, true, our_relay(), &from_relay(envelope, SOUND)),
        Arrival::AsItCame
    );
    (roam, envelope)
}

/// In a call through the other side's relay, which it has told of.
fn relayed_by_them() -> Roam {
    let mut roam = Roam::default();
    roam.set_keys(keys(), crypto());
    for bytes in [SOUND, &our_check(1)] {
        assert_eq!(roam.outgoing(at(0), WIFI, their_relay(), bytes), None);
    }
    roam.incoming(at(0), WIFI, true, their_relay(), SOUND);
    roam.add_remote(their_relay(), true);
    roam.add_remote(theirs(), false);
    roam
}

/// Plays the calls of the shell for a while: a step of 200 ms each, with `answers` to what goes out directly, and
/// something to hear on `heard`. Gives when rounds went out.
fn play(
    roam: &mut Roam,
    ms: std::ops::Range<u64>,
    answers: bool,
    heard: impl Fn(&mut Roam, Instant),
) -> Vec<u64> {
    let mut rounds = Vec::new();
    for ms in ms.step_by(200) {
        heard(roam, at(ms));
        if let Some(round) = roam.round(at(ms), ALL) {
            rounds.push(ms);
            if answers && round.ways.contains(&direct()) {
                roam.incoming(at(ms + 30), WIFI, true, theirs(), &their_answer(1));
            }
        }
    }
    rounds
}

#[test]
fn a_call_leaves_the_other_sides_relay_once_a_direct_way_has_proved_itself() {
    let mut roam = relayed_by_them();
    let sound = |roam: &mut Roam, now| {
        roam.incoming(now, WIFI, true, their_relay(), SOUND);
    };
    let rounds = play(&mut roam, 0..20_000, false, sound);
    assert_eq!(rounds, [0, 1000, 3000, 7000, 15_000], "rarer and rarer");
    assert!(play(&mut roam, 20_000..31_000, false, sound).is_empty());
    let rounds = play(&mut roam, 31_000..33_000, true, sound);
    assert_eq!(rounds, [31_000, 31_200, 31_400, 31_600, 31_800], "while it is on trial");
    assert_eq!(roam.outgoing(at(33_000), WIFI, their_relay(), SOUND), Some((direct(), 0..SOUND.len())));
    // The other side is not so far yet: what it sends through its relay is taken, and its checks are answered there.
    assert_eq!(roam.incoming(at(33_010), WIFI, true, their_relay(), SOUND), Arrival::AsItCame);
    assert_eq!(roam.incoming(at(33_010), WIFI, true, their_relay(), &their_check(7)), Arrival::AsItCame);
    assert_eq!(roam.outgoing(at(33_011), WIFI, their_relay(), &their_answer(7)), None);
    assert!(roam.outgoing(at(33_011), WIFI, their_relay(), &their_answer(6)).is_some());
}

#[test]
fn a_call_leaves_our_relay_and_webrtc_does_not_notice() {
    let (mut roam, _) = relayed_by_us();
    // From now on webrtc uses a channel: the pair is the same.
    let mut bind = vec![0, 9, 0, 20, 0x21, 0x12, 0xa4, 0x42];
    bind.extend([7; 12]);
    bind.extend([0, 0x0c, 0, 4, 0x40, 7, 0, 0, 0, 0x12, 0, 8]);
    bind.extend(crate::net::stun::masked(theirs(), [7; 12]));
    assert_eq!(roam.outgoing(at(10), WIFI, our_relay(), &bind), None);
    let channel = Envelope::Channel(NUMBER);
    assert_eq!(roam.outgoing(at(20), WIFI, our_relay(), &through_relay(channel, SOUND)), None);
    let sound = |roam: &mut Roam, now| {
        roam.incoming(now, WIFI, true, our_relay(), &from_relay(channel, SOUND));
    };
    play(&mut roam, 1000..2000, true, sound);
    assert!(roam.has_moved() && !roam.uses_our_relay());
    let wrapped = through_relay(channel, SOUND);
    let (way, payload) = roam.outgoing(at(2000), WIFI, our_relay(), &wrapped).unwrap();
    assert_eq!((way, &wrapped[payload]), (direct(), SOUND));
    // What is for the relay itself goes there, also its channel for somebody else.
    for own in [&bind[..], &through_relay(Envelope::Channel(0x4008), SOUND), &[0, 4, 0, 0]] {
        assert_eq!(roam.outgoing(at(2001), WIFI, our_relay(), own), None);
    }
    let of_the_pair = Arrival::OfThePair { label: WIFI, remote: our_relay(), envelope: Some(channel) };
    for bytes in [SOUND, &their_check(9)] {
        assert_eq!(roam.incoming(at(2010), WIFI, true, theirs(), bytes), of_the_pair);
    }
    assert_eq!(roam.incoming(at(2020), WIFI, true, our_relay(), &[1, 4, 0, 0]), Arrival::AsItCame);
    // The direct way breaks: back to the relay, whose silence is not what counts.
    let back = at(4000);
    let Round { ways, .. } = roam.round(back, ALL).unwrap();
    assert!(ways.contains(&Way { socket: WIFI, remote: our_relay() }));
    let round = roam.round(back, ALL).unwrap();
    let (_, inner) = envelope::open(round.on(Way { socket: WIFI, remote: our_relay() })).unwrap();
    assert_eq!(round.on(Way { socket: WIFI, remote: our_relay() })[inner], round.check[..]);
    for ms in [4010, 4200] {
        roam.incoming(at(ms), WIFI, true, our_relay(), &from_relay(channel, &their_answer(1)));
    }
    assert!(roam.uses_our_relay());
    // And not to and fro: the direct way is left alone for a while.
    let rounds = play(&mut roam, 4400..70_000, false, sound);
    assert_eq!(rounds, [34_200, 64_200]);
}

#[test]
fn a_way_that_answers_now_and_then_is_not_taken() {
    let mut roam = relayed_by_them();
    for ms in (0..60_000).step_by(200) {
        roam.incoming(at(ms), WIFI, true, their_relay(), SOUND);
        roam.round(at(ms), ALL);
        if ms % 1000 == 0 {
            roam.incoming(at(ms + 1), WIFI, true, theirs(), &their_answer(1));
        }
    }
    assert!(!roam.has_moved());
}

#[test]
fn a_check_on_a_better_way_calls_for_a_round_but_a_stranger_does_not() {
    let mut roam = relayed_by_them();
    let unknown = address("10.0.0.9:999");
    assert!(roam.round(at(0), ALL).is_some());
    let stranger = stun(BINDING_REQUEST, 3, "ours:theirs", "a guess");
    roam.incoming(at(300), WIFI, true, unknown, &stranger);
    assert!(!roam.is_asking(at(300)));
    roam.incoming(at(310), WIFI, true, unknown, &their_check(3));
    let round = roam.round(at(310), ALL).unwrap();
    assert!(round.ways.contains(&Way { socket: WIFI, remote: unknown }), "where it asked from");
    roam.incoming(at(320), WIFI, true, theirs(), &their_check(4));
    assert!(!roam.is_asking(at(320)), "not with each of its checks");
}

#[test]
fn without_relays_nothing_better_is_looked_for() {
    let mut roam = in_call();
    roam.add_remote(address("10.0.1.2:5001"), false);
    for ms in (0..40_000).step_by(200) {
        roam.incoming(at(ms), WIFI, true, theirs(), SOUND);
        assert_eq!(roam.round(at(ms), ALL), None);
    }
    // A relay that must be used is not told of: webrtc's own affair.
    let mut roam = Roam::default();
    let wrapped = through_relay(Envelope::Indication(theirs()), SOUND);
    assert_eq!(roam.outgoing(at(0), WIFI, our_relay(), &wrapped), None);
    assert_eq!(roam.way(), None);
}
