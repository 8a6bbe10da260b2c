//! Codes with a passphrase: golden ones, damage, wrong passphrases.

use super::candidate::{Candidate, CandidateKind, Protocol};
use super::compact_tests::damaged;
use super::*;

const PASSPHRASE: &str = "correct horse battery staple";

fn plain(candidates: usize) -> String {
    let way = |n: usize| Candidate {
        kind: CandidateKind::Host,
        address: format!("2001:db8::{n:x}"),
        port: 50_000,
        protocol: Protocol::Udp,
        component: 1,
    };
    let mut body: Vec<u8> = (0..48_u8).map(|at| at.wrapping_mul(73)).collect();
    (0..candidates).for_each(|n| compact::write_candidate(&mut body, &way(n)).unwrap());
    compact::pack(0, &body).unwrap()
}

#[test]
fn a_sealed_code_is_told_from_others() {
    assert!(is_sealed(&sealed(1, 1)) && !is_sealed(&plain(1)));
    assert!(!is_sealed("") && !is_sealed("2can") && !is_sealed("eyJ0eXBlIjoib2ZmZXIifQ=="));
}

fn sealed(candidates: usize, salt: u8) -> String {
    seal(&plain(candidates), PASSPHRASE, [salt; SALT]).unwrap()
}

#[track_caller]
fn opens(text: &str) {
    assert_eq!(unseal(text, Some(PASSPHRASE)), Ok(plain(2).into()), "{text}");
}

#[test]
fn a_passphrase_opens_what_it_sealed() {
    for salt in 0..8 {
        let code = sealed(2, salt);
        assert!(code.starts_with("2can") && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!((plain(2).len(), code.len()), (127, 172));
        opens(&code);
        assert_ne!(code, sealed(2, salt + 1));
    }
    for candidates in [1, 6] {
        let code = sealed(candidates, 9);
        assert_eq!(unseal(&code, Some(PASSPHRASE)), Ok(plain(candidates).into()));
    }
}

/// Codes are out in chats and mails: these must be understood for ever.
#[test]
fn golden_sealed_codes_stay_understood() {
    assert_eq!(
        sealed(2, 1),
        "2canGhpMfRWpSsf8tMinNKwn49Hrbk9wRMSJ3MgBZ69UpkZUvnI8yYE15l5cvLNCNEDaNi7ZZKuAtIoVJ7yynZddbtGMJh439plhMAGMtNtRywTDFG0CMWx33e8BTUmrAyB42Ssi6vKoUEXfL4iLn0StfG4JmhPs9LtRV9QhghcH"
    );
}

#[test]
fn it_survives_what_codes_survive() {
    let code = sealed(2, 1);
    let lines: Vec<&str> = (0..code.len()).step_by(40).map(|at| &code[at..code.len().min(at + 40)]).collect();
    opens(&format!("Here: {code}. See you at 8!"));
    opens(&lines.join("\n> "));
    opens(&format!("https://ann.example/call#{code}"));
    opens(&format!("<p>{code}</p>"));
}

#[test]
fn without_the_right_passphrase_it_says_so() {
    let code = sealed(2, 1);
    let none = unseal(&code, None);
    assert!(matches!(none, Err(InviteError::NeedsPassphrase(_))), "{none:?}");
    assert!(none.unwrap_err().to_string().starts_with("This code needs a passphrase"));
    assert!(matches!(read(&code), Err(InviteError::NeedsPassphrase(_))));
    for wrong in ["", "Correct horse battery staple", "correct horse battery stapl", "\u{0}"] {
        let error = unseal(&code, Some(wrong)).unwrap_err();
        assert_eq!(error, InviteError::WrongPassphrase, "{wrong}");
        assert!(error.to_string().starts_with("The passphrase is not the one this code was made with"));
    }
    // Damage is told from a wrong passphrase.
    let mut damaged = code.into_bytes();
    damaged[100] = if damaged[100] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).unwrap();
    assert_eq!(read(&damaged), Err(InviteError::Damaged));
    assert_eq!(unseal(&damaged, Some(PASSPHRASE)), Ok(damaged.as_str().into()), "read() says what is wrong");
}

#[test]
fn other_texts_are_left_alone() {
    let plain = plain(2);
    for text in [plain.as_str(), "", "hello", "candidate:1 1 udp 1 192.0.2.1 5000 typ host"] {
        for passphrase in [None, Some(PASSPHRASE)] {
            assert_eq!(unseal(text, passphrase), Ok(text.into()));
        }
    }
    for full in ["", "eyJ0eXBlIjoib2ZmZXIifQ==", "2can", "2canAA", "2can_-_-"] {
        assert_eq!(seal(full, PASSPHRASE, [0; SALT]), None, "{full}");
    }
    // One in the other is refused, not opened for ever.
    let twice = seal(&sealed(2, 1), PASSPHRASE, [2; SALT]).unwrap();
    assert_eq!(unseal(&twice, Some(PASSPHRASE)), Err(InviteError::Damaged));
}

#[test]
fn spaces_around_a_passphrase_do_not_count() {
    assert_eq!(passphrase("  rosebud \n"), Some("rosebud"));
    assert_eq!(passphrase("two words"), Some("two words"));
    assert_eq!((passphrase(""), passphrase(" \n\t")), (None, None));
    let long = "ж".repeat(2000);
    assert_eq!(passphrase(&long).map(str::len), Some(sealed::MAX_PASSPHRASE));
}

/// One letter changed, put in, left out or moved, a million times: none is opened, none is another sealed code. The
/// checksum stops them before any of them costs an Argon2.
#[test]
fn damaged_sealed_codes_are_never_taken_for_other_ones() {
    let original = sealed(2, 1);
    let Err(InviteError::NeedsPassphrase(content)) = read(&original) else { panic!() };
    for text in damaged(&original, 0x9e37_79b9_7f4a_7c15) {
        match compact::find(&text) {
            Some(Err(InviteError::NeedsPassphrase(read))) => assert_eq!(read, content, "{text}"),
            Some(Ok(_)) => panic!("{text}"),
            Some(Err(_)) | None => {}
        }
    }
}

/// Whoever knows how checksums are made gets no further: the tag holds.
#[test]
fn forged_sealed_codes_are_refused() {
    let Err(InviteError::NeedsPassphrase(Sealed(bytes))) = read(&sealed(2, 1)) else { panic!() };
    for at in (0..bytes.len()).step_by(5).filter(|at| *at != 1) {
        let mut forged = bytes.clone();
        forged[at] ^= 0x40;
        let Some(code) = compact::pack(forged[0], &forged[compact::HEAD..]) else { continue };
        // A change of byte 0 makes it a code of another version.
        let opened = unseal(&code, Some(PASSPHRASE));
        assert!(at == 0 || opened == Err(InviteError::WrongPassphrase), "{at}");
    }
    for short in 0..40 {
        let code = compact::pack(compact::SEALED, &vec![7; short]).unwrap();
        let opened = unseal(&code, Some(PASSPHRASE));
        assert!(opened.is_err() || opened == Ok(code.as_str().into()), "{short}");
    }
}
