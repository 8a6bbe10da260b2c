//! The compact code: golden codes, what happens to it on its way, damage.

use super::candidate::{Candidate, CandidateKind, Protocol};
use super::secret::Secret;
use super::template::{Essence, distil, expand};
use super::*;

fn candidate(kind: CandidateKind, address: &str, port: u16) -> Candidate {
    Candidate { kind, address: address.into(), port, protocol: Protocol::Udp, component: 1 }
}

fn secret(seed: u8) -> Secret {
    Secret(std::array::from_fn(|at| (at as u8).wrapping_mul(101) ^ seed.rotate_left(3)))
}

/// What a laptop on two networks has: two IPv4, one IPv6, one address from STUN.
fn essence(kind: Kind, seed: u8) -> Essence {
    let maker = match kind {
        Kind::Invite => Maker::Host(secret(seed)),
        Kind::Reply => Maker::Guest { nonce: [seed.wrapping_add(77); Guest::NONCE], secret: None },
    };
    Essence {
        maker,
        fingerprint: std::array::from_fn(|at| (at as u8).wrapping_mul(37) ^ seed),
        candidates: vec![
            candidate(CandidateKind::Host, "192.168.178.23", 51234),
            candidate(CandidateKind::Host, "10.8.0.2", 51235),
            candidate(CandidateKind::Host, "2001:db8:85a3::8a2e:370:7334", 51236),
            candidate(CandidateKind::ServerReflexive, "203.0.113.77", 40001),
        ],
    }
}

fn code(kind: Kind, seed: u8) -> String {
    encode(&expand(&essence(kind, seed)))
}

#[track_caller]
fn is_invite(text: &str) {
    assert_eq!(read(text), Ok(Pasted::Description(expand(&essence(Kind::Invite, 1)))), "{text}");
}

#[test]
fn a_code_is_short_and_made_of_letters_and_digits() {
    for seed in 0..=255 {
        for kind in [Kind::Invite, Kind::Reply] {
            let code = code(kind, seed);
            assert_eq!(code.len(), if kind == Kind::Invite { 130 } else { 119 });
            assert!(code.starts_with("2can") && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(read(&code), Ok(Pasted::Description(expand(&essence(kind, seed)))));
        }
    }
}

/// Codes are out in chats and mails: these must be understood for ever.
#[test]
fn golden_codes_stay_understood() {
    assert_eq!(
        code(Kind::Invite, 1),
        "2canACEEfGZZhKIaK6XGbII3a7Vz2qxkxOaN4u4Gqrht1GO4iO4knXqM0lcgIrIoTY6jA49qHWZQqlT85Zk1QNKP9tIxrGJVlWjajc1h6SZ3fiG0rqFj4EpAYN7jEM0zxA"
    );
    assert_eq!(
        code(Kind::Reply, 2),
        "2canEBbv0rm0m3Hza8ahFfa0ihoeYIsz4Ejeka2jQwohGuFoForLaL8OgSdHvyQaGVFQLq1AstejkE5qsRhVVcaDcOZS2qSVRKV2Q2FMwx9SpBBk2F0mMQs"
    );
}

#[test]
fn every_kind_of_address_survives() {
    let mut all = essence(Kind::Invite, 9);
    all.candidates = vec![
        candidate(CandidateKind::Host, "0f4c2f5a-1111-4222-8333-444455556666.local", 50000),
        Candidate { protocol: Protocol::Tcp, ..candidate(CandidateKind::Host, "192.0.2.1", 443) },
        candidate(CandidateKind::Relay, "2001:db8::1", 1),
        candidate(CandidateKind::Relay, "198.51.100.3", 65535),
    ];
    let description = expand(&all);
    assert_eq!(distil(&description), Some(all));
    assert_eq!(read(&encode(&description)), Ok(Pasted::Description(description)));
}

#[test]
fn what_has_no_compact_form_keeps_the_full_one() {
    let ours = expand(&essence(Kind::Invite, 3));
    for (from, to) in [
        ("a=rtpmap:125 H264", "a=rtpmap:99 H264"),
        ("a=twocan:1", "a=twocan:2"),
        ("192.168.178.23", "printer.local"),
        ("a=setup:actpass", "a=setup:passive"),
    ] {
        let sdp = ours.sdp.0.replace(from, to);
        assert_ne!(sdp, ours.sdp.0, "{from}");
        let other = Description { kind: Kind::Invite, sdp: Redacted(sdp) };
        assert_eq!(encode(&other), encode_full(&other), "{from}");
    }
}

/// The reply of a guest who has this invite, opened: what the guest itself knows.
fn opened(seed: u8, invite: Secret) -> Description {
    let mut essence = essence(Kind::Reply, seed);
    let Maker::Guest { secret, .. } = &mut essence.maker else { unreachable!() };
    *secret = Some(invite);
    expand(&essence)
}

#[test]
fn a_reply_is_opened_by_the_invite_it_answers_and_by_no_other() {
    let invite = expand(&essence(Kind::Invite, 1));
    let whole = opened(2, secret(1));
    let sealed = expand(&essence(Kind::Reply, 2));
    assert_eq!(read(&encode(&whole)), Ok(Pasted::Description(sealed.clone())));
    for text in [encode(&whole), encode_full(&whole), encode_full(&sealed), whole.sdp.0.clone(), sealed.sdp.0]
    {
        assert_eq!(expect(&text, Kind::Reply, Some(&invite)), Ok(whole.clone()), "{text}");
    }
    let other = expect(&encode(&whole), Kind::Reply, Some(&expand(&essence(Kind::Invite, 3)))).unwrap();
    assert_ne!(sdp::attribute(&other.sdp.0, "ice-pwd"), sdp::attribute(&whole.sdp.0, "ice-pwd"));
    assert_eq!(expect(&encode(&whole), Kind::Reply, None), Err(InviteError::OtherInvite));
    assert_eq!(expect(&encode(&whole), Kind::Invite, Some(&whole)), Err(InviteError::OwnCode(Kind::Reply)));
}

#[test]
fn a_knock_says_what_the_reply_would_have_said() {
    let mut reply = essence(Kind::Reply, 2);
    let Maker::Guest { nonce, secret: told } = &mut reply.maker else { unreachable!() };
    let guest = Guest { fingerprint: reply.fingerprint, nonce: *nonce };
    *told = Some(secret(1));
    reply.candidates.clear();
    assert_eq!(knocked(&Guest::from_ufrag(&guest.ufrag()).unwrap(), secret(1)), expand(&reply));
}

#[test]
fn our_own_description_says_the_same_in_every_form() {
    let ours = opened(4, secret(1));
    let printed = ours.sdp.0.replace("a=candidate:1 1 udp 2130706431", "a=candidate:77 1 udp 2130706175");
    assert_ne!(printed, ours.sdp.0);
    let printed = Description { kind: Kind::Reply, sdp: Redacted(printed.replace("o=- ", "o=- 9")) };
    assert_eq!(canonical(printed, Some(secret(1))), ours);
    let foreign = Description { kind: Kind::Reply, sdp: Redacted(ours.sdp.0.replace("H264", "VP8")) };
    assert_eq!(canonical(foreign.clone(), Some(secret(1))), foreign);
}

/// What chats, mail programs, terminals and word processors did to codes, as far as it can be undone.
#[test]
fn what_happens_on_the_way_is_undone() {
    let code = code(Kind::Invite, 1);
    let pieces = |width: usize, between: &str| {
        let lines: Vec<&str> =
            (0..code.len()).step_by(width).map(|at| &code[at..code.len().min(at + width)]).collect();
        lines.join(between)
    };
    let rows = [
        code.clone(),
        format!("\u{feff}  {code}\r\n"),
        format!("Here: {code}. See you at 8!"),
        format!("{code} is my code see you later alligator"),
        format!("(“{code}”)"),
        format!("**{code}**"),
        format!("`{code}`"),
        format!("```\n{code}\n```"),
        format!("[12:30, 24/12/2026] Ann: {code}"),
        format!("https://ann.example/call#{code}"),
        format!("https://ann.example/?c={code}&utm=1"),
        format!("<a href=\"#{code}\">{code}</a>"),
        format!("<p>{code}</p>"),
        format!("2Can{}", &code[4..]),
        format!("2CAN{}", &code[4..]),
        format!("2can is short: {code}"),
        pieces(76, "=\r\n"),
        pieces(64, "\n"),
        pieces(72, "\n> "),
        pieces(40, "\n>> "),
        pieces(30, "-\n"),
        pieces(20, " "),
        pieces(7, "\n"),
        pieces(1, " "),
        pieces(20, "\u{200b}"),
        pieces(60, "<wbr>"),
        pieces(60, "&#8203;"),
        pieces(60, "&shy;"),
        pieces(60, "=E2=80=8B"),
        pieces(60, "%20"),
        pieces(60, "<br>\n"),
        pieces(13, "\u{ad}"),
        format!("{}\n\n-- \nSent from my phone", pieces(64, "\n")),
    ];
    for text in rows {
        is_invite(&text);
    }
}

#[test]
fn what_is_beyond_repair_says_so() {
    let code = code(Kind::Invite, 1);
    use InviteError as E;
    let newer = newer_code();
    let rows = [
        ("2can", E::CutOff),
        (&code[..40], E::CutOff),
        (&code[..code.len() - 1], E::Damaged),
        (&format!("{}…", &code[..100]), E::Damaged),
        (&code.to_lowercase(), E::Damaged),
        (&newer, E::NewerVersion),
    ];
    for (text, error) in rows {
        assert_eq!(read(text), Err(error), "{text}");
    }
    let mut nowhere = essence(Kind::Invite, 1);
    nowhere.candidates.clear();
    assert!(read(&compact::encode(&nowhere).unwrap()).is_err());
    assert_eq!(expect(&code, Kind::Reply, None), Err(E::InviteNotReply));
    assert_eq!(
        expect(&code, Kind::Reply, Some(&expand(&essence(Kind::Invite, 1)))),
        Err(E::OwnCode(Kind::Invite))
    );
}

/// A code whose checksum is right and whose version is one more than ours.
fn newer_code() -> String {
    let essence = essence(Kind::Invite, 1);
    compact::encode_version(&essence, 1).unwrap()
}

/// The code with up to three letters changed, put in, left out or moved, a million times. `seed` is not 0.
pub(super) fn damaged(original: &str, seed: u64) -> impl Iterator<Item = String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = seed;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    (0..1_000_000).map(move |_| {
        let mut bytes = original.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = 4 + below(bytes.len() - 4);
            match below(4) {
                0 => bytes[at] = DIGITS[below(DIGITS.len())],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, DIGITS[below(DIGITS.len())]),
                _ => {
                    let other = 4 + below(bytes.len() - 4);
                    bytes.swap(at, other);
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    })
}

/// Never taken for another code.
#[test]
fn damaged_codes_are_never_taken_for_other_ones() {
    let content = essence(Kind::Invite, 1);
    for text in damaged(&code(Kind::Invite, 1), 0x2545_f491_4f6c_dd1d) {
        match compact::find(&text) {
            Some(Ok(compact::Found::Ours(read))) => assert_eq!(read, content, "{text}"),
            Some(Ok(compact::Found::Browser(_))) => panic!("taken for a browser's: {text}"),
            Some(Err(_)) | None => {}
        }
    }
}
