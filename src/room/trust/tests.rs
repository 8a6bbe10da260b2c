//! The exchange between two sides, with somebody between them, and with a side that does not play by the rules.

use super::*;

const HOST: Bytes = [0xaa; 32];
const GUEST: Bytes = [0xbb; 32];

fn numbers(first: u8) -> Bytes {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}

fn host() -> Trust {
    Trust::new(Role::Host, HOST, GUEST, numbers(1), None)
}

fn guest() -> Trust {
    Trust::new(Role::Guest, GUEST, HOST, numbers(101), None)
}

/// Over the channel, as text.
fn sent(message: Message) -> Message {
    Message::from_json(&message.to_json()).unwrap()
}

/// Carries messages until nobody has any.
fn run(host: &mut Trust, guest: &mut Trust) {
    let mut to_guest = host.poll();
    while let Some(message) = to_guest.take() {
        let to_host = guest.handle(&sent(message));
        to_guest = to_host.and_then(|message| host.handle(&sent(message)));
    }
}

fn words(trust: &Trust) -> Words {
    match trust.comparison() {
        Comparison::Ready { words, .. } => words,
        other => panic!("{other:?}"),
    }
}

fn continued(trust: &Trust) -> bool {
    matches!(trust.comparison(), Comparison::Ready { continued: true, .. })
}

fn commit(trust: &mut Trust) -> Message {
    trust.poll().unwrap()
}

fn text(bytes: Bytes) -> String {
    to_hex(&bytes)
}

/// Golden: what another implementation has to come to.
#[test]
fn both_sides_come_to_the_same_words() {
    let (mut host, mut guest) = (host(), guest());
    let first = commit(&mut host);
    assert_eq!(
        first.to_json(),
        r#"{"type":"trust-commit","commitment":"ae216c2ef5247a3782c135efa279a3e4cdc61094270f5d2be58c6204b7a612c9"}"#
    );
    let second = guest.handle(&first).unwrap();
    assert_eq!(
        second.to_json(),
        r#"{"type":"trust-nonce","nonce":"65666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f8081828384"}"#
    );
    let third = host.handle(&second).unwrap();
    assert_eq!(
        third.to_json(),
        r#"{"type":"trust-reveal","nonce":"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"}"#
    );
    assert_eq!(guest.handle(&third), None);
    assert_eq!(words(&host).line(), "jigsaw queen tornado cotton");
    assert_eq!(words(&host), words(&guest));
    assert_eq!(
        text(host.key().unwrap().0),
        "bb9e34c8f7e03c397191272e7b72429a5e2ca79c948bb0eff4e98a6ff7b50f95"
    );
}

/// Golden: the proof that both have been on the connection before.
#[test]
fn a_fresh_connection_between_the_same_people_is_known() {
    let (mut host, mut guest) = (host(), guest());
    run(&mut host, &mut guest);
    assert!(!continued(&host) && !continued(&guest));
    // The parts may have changed: whoever joined makes the fresh invite.
    let mut next_host = Trust::new(Role::Host, [3; 32], [4; 32], numbers(51), guest.key());
    let mut next_guest = Trust::new(Role::Guest, [4; 32], [3; 32], numbers(151), host.key());
    let answer = next_guest.handle(&commit(&mut next_host)).unwrap();
    let Message::TrustNonce { proof, .. } = &answer else { panic!() };
    assert_eq!(proof, "cd5c2b1bda5afb4cd2887125e422c32b04896a8fe9978e1190ed82c595edc6e8");
    let answer = next_host.handle(&sent(answer)).unwrap();
    let Message::TrustReveal { proof, .. } = &answer else { panic!() };
    assert_eq!(proof, "dc1583041e4cad08072b56caf062dce57910c213041d9c4ca9f16655333b10a3");
    assert_eq!(next_guest.handle(&sent(answer)), None);
    assert!(continued(&next_host) && continued(&next_guest));
    assert_ne!(words(&next_host), words(&host));
}

#[test]
fn somebody_else_on_a_fresh_connection_is_known_too() {
    let (mut host, mut guest) = (host(), guest());
    run(&mut host, &mut guest);
    let wrong = Some(Key([9; 32]));
    for (of_host, of_guest) in [(host.key(), None), (None, guest.key()), (host.key(), wrong.clone())] {
        let mut next_host = Trust::new(Role::Host, HOST, GUEST, numbers(51), of_host);
        let mut next_guest = Trust::new(Role::Guest, GUEST, HOST, numbers(151), of_guest);
        run(&mut next_host, &mut next_guest);
        assert_eq!(words(&next_host), words(&next_guest));
        assert!(!continued(&next_host) && !continued(&next_guest));
    }
    // The proof of one side is none of the other's.
    let mut next_host = Trust::new(Role::Host, HOST, GUEST, numbers(51), host.key());
    let commitment = hash(&numbers(51));
    let proof = next_host.proof("host", &commitment, &numbers(151));
    next_host.handle(&Message::TrustNonce { nonce: text(numbers(151)), proof });
    assert!(!continued(&next_host));
}

/// A man in the middle has a connection to each side; he passes the messages on, or makes his own.
#[test]
fn somebody_in_the_middle_makes_the_words_differ() {
    let middle = [0xcc; 32];
    let host_side = || Trust::new(Role::Host, HOST, middle, numbers(1), None);
    let guest_side = || Trust::new(Role::Guest, GUEST, middle, numbers(101), None);
    let (mut host, mut guest) = (host_side(), guest_side());
    run(&mut host, &mut guest);
    assert_ne!(words(&host), words(&guest), "he only listens");

    let (mut host, mut guest) = (host_side(), guest_side());
    run(&mut host, &mut Trust::new(Role::Guest, middle, HOST, numbers(7), None));
    run(&mut Trust::new(Role::Host, middle, GUEST, numbers(8), None), &mut guest);
    assert_ne!(words(&host), words(&guest), "he plays both parts");
}

/// What makes searching useless: the number that would fit comes too late.
#[test]
fn a_number_that_was_chosen_afterwards_is_refused() {
    let mut guest = guest();
    let commitment = text(hash(&numbers(1)));
    guest.handle(&Message::TrustCommit { commitment }).unwrap();
    let late = Message::TrustReveal { nonce: text(numbers(2)), proof: String::new() };
    assert_eq!(guest.handle(&late), None);
    assert_eq!(guest.comparison(), Comparison::Refused);
    let right = Message::TrustReveal { nonce: text(numbers(1)), proof: String::new() };
    assert_eq!((guest.handle(&right), guest.comparison()), (None, Comparison::Refused), "for good");
    assert!(guest.key().is_none() && guest.poll().is_none());
}

#[test]
fn lost_messages_are_repeated_and_change_nothing() {
    let (mut host, mut guest) = (host(), guest());
    assert!(guest.poll().is_none(), "the host begins");
    let first = commit(&mut host);
    // The first commitment is lost, so is the answer to the second.
    assert_eq!(host.poll(), Some(first.clone()));
    let answer = guest.handle(&first);
    assert_eq!(guest.handle(&first), answer);
    assert_eq!(guest.poll(), answer);
    let reveal = host.handle(&answer.clone().unwrap());
    // The reveal is lost: the guest asks again.
    assert_eq!(host.handle(&answer.unwrap()), reveal);
    assert_eq!((host.poll(), guest.comparison()), (None, Comparison::Waiting));
    let reveal = reveal.unwrap();
    for message in [&reveal, &reveal, &first] {
        assert_eq!(guest.handle(message), None);
        assert_eq!(words(&guest), words(&host));
    }
    assert_eq!(guest.poll(), None);
}

#[test]
fn whatever_else_comes_is_refused() {
    let commitment = |bytes| Message::TrustCommit { commitment: text(bytes) };
    let nonce = |bytes| Message::TrustNonce { nonce: text(bytes), proof: String::new() };
    let reveal = |bytes| Message::TrustReveal { nonce: text(bytes), proof: String::new() };
    let of_host = commitment(hash(&numbers(1)));
    let right = reveal(numbers(1));
    for script in [
        // Wrong order.
        vec![right.clone()],
        vec![nonce(numbers(5))],
        // A second commitment, before and after the end.
        vec![of_host.clone(), commitment([1; 32])],
        vec![of_host.clone(), right.clone(), commitment([1; 32])],
        // A second number.
        vec![of_host.clone(), right.clone(), reveal(numbers(2))],
        // Garbage.
        vec![Message::TrustCommit { commitment: String::new() }],
        vec![Message::TrustCommit { commitment: text([1; 32]).to_uppercase().replace('1', "A") }],
        vec![Message::TrustCommit { commitment: format!("{}0", text([1; 32])) }],
        vec![Message::TrustCommit { commitment: "é".repeat(32) }],
        vec![of_host.clone(), Message::TrustReveal { nonce: "0".repeat(63), proof: String::new() }],
    ] {
        let mut guest = guest();
        script.iter().for_each(|message| drop(guest.handle(message)));
        assert_eq!(guest.comparison(), Comparison::Refused, "{script:?}");
    }
    for script in [
        vec![of_host],
        vec![right],
        vec![nonce(numbers(1))],
        vec![nonce(numbers(2)), nonce(numbers(3))],
        vec![Message::TrustNonce { nonce: "x".repeat(64), proof: String::new() }],
    ] {
        let mut host = host();
        script.iter().for_each(|message| drop(host.handle(message)));
        assert_eq!(host.comparison(), Comparison::Refused, "{script:?}");
    }
}

#[test]
fn a_side_that_knows_nothing_of_it_is_told_apart() {
    for mut trust in [host(), guest()] {
        let said = (0..100).filter_map(|_| trust.poll()).count();
        assert!(said < Trust::REMINDERS as usize);
        assert_eq!(trust.comparison(), Comparison::Unanswered);
        assert_eq!(trust.handle(&Message::Bye), None);
    }
    // Late is better than never.
    let (mut host, mut guest) = (host(), guest());
    let first = commit(&mut host);
    (0..100).for_each(|_| drop((host.poll(), guest.poll())));
    let answer = guest.handle(&first).unwrap();
    let reveal = host.handle(&answer).unwrap();
    guest.handle(&reveal);
    assert_eq!(words(&host), words(&guest));
}

/// Any message in any order, whole or damaged: no panic, and words only on one path.
#[test]
fn random_messages_never_lead_to_other_words() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let expected = {
        let (mut host, mut guest) = (host(), guest());
        run(&mut host, &mut guest);
        words(&host)
    };
    let numbers = [numbers(1), numbers(2), numbers(101), hash(&numbers(1)), hash(&numbers(2))];
    for _ in 0..20_000 {
        let mut guest = guest();
        for _ in 0..4 {
            let mut value = text(numbers[below(numbers.len())]);
            if below(8) == 0 {
                value.truncate(below(65));
            }
            let message = match below(3) {
                0 => Message::TrustCommit { commitment: value },
                1 => Message::TrustNonce { nonce: value, proof: String::new() },
                _ => Message::TrustReveal { nonce: value, proof: String::new() },
            };
            guest.handle(&message);
            guest.poll();
        }
        if let Comparison::Ready { words, .. } = guest.comparison() {
            let other = {
                let mut other = super::tests::guest();
                other.handle(&Message::TrustCommit { commitment: text(numbers[4]) });
                other.handle(&Message::TrustReveal { nonce: text(numbers[1]), proof: String::new() });
                super::tests::words(&other)
            };
            assert!(words == expected || words == other);
        }
    }
}
