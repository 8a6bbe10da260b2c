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
    Arrival::OfThePair { label: WIFI, remote: theirs() }
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
    let way = Some(Way { socket: WIFI, remote: moved });
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
    roam.add_remote(address("10.0.1.2:5001"));
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
    roam.add_remote(public);
    roam.add_remote(address("[2001:db8::1]:4000"));
    assert_eq!(roam.round(at(100), &[(MOBILE, false)]), None, "nothing is wrong yet");
    roam.lose();
    let (check, ways) = roam.round(at(100), &[(WIFI, false), (MOBILE, false)]).unwrap();
    assert_eq!(check, our_check(1));
    let expected = [(WIFI, theirs()), (MOBILE, theirs()), (WIFI, public), (MOBILE, public)];
    assert_eq!(ways, expected.map(|(socket, remote)| Way { socket, remote }));
    // Nothing but an answer to this check, from somebody who knows the password, counts.
    let forged = stun(BINDING_SUCCESS, 1, "", "a guess");
    for bytes in [&forged[..], &their_answer(8), SOUND, b"", &[0; 19], &their_answer(1)[..30]] {
        assert_eq!(roam.incoming(at(110), MOBILE, false, public, bytes), Arrival::Drop);
    }
    assert_eq!(roam.incoming(at(120), MOBILE, false, public, &their_answer(1)), pair());
    let way = Some(Way { socket: MOBILE, remote: public });
    assert_eq!(roam.outgoing(at(121), WIFI, theirs(), SOUND), way);
    assert_eq!(roam.outgoing(at(121), WIFI, theirs(), &our_check(2)), way);
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
        roam.add_remote(SocketAddr::new("10.0.0.3".parse().unwrap(), port));
    }
    roam.lose();
    let sockets = [(WIFI, false), (CABLE, false), (MOBILE, false)];
    let mut tried = std::collections::HashSet::new();
    for _ in 0..4 {
        let (_, ways) = roam.round(at(10), &sockets).unwrap();
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
