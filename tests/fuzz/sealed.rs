//! Codes with a passphrase: a text is sealed content only if we sealed it, and none of it panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use twocan::invite::{self, InviteError};

const PASSPHRASE: &str = "rosebud";
const PLAIN: &str = "2canACEEfGZZhKIaK6XGbII3a7Vz2qxkxOaN4u4Gqrht1GO4iO4knXqM0lcgIrIoTY6jA49qHWZQqlT85Zk1QNKP9tIxrGJVlWjajc1h6SZ3fiG0rqFj4EpAYN7jEM0zxA";

fn sealed() -> &'static str {
    static SEALED: OnceLock<String> = OnceLock::new();
    SEALED.get_or_init(|| invite::seal(PLAIN, PASSPHRASE, [7; invite::SALT]).expect("the code is compact"))
}

// Pairs of place and byte, put into a sealed code.
fuzz_target!(|changes: &[u8]| {
    let mut code = sealed().as_bytes().to_vec();
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) % code.len();
        code[at] = change[1];
    }
    let text = String::from_utf8_lossy(&code);
    // Opening costs an Argon2: only what the checksum lets through is tried.
    if matches!(invite::read(&text), Err(InviteError::NeedsPassphrase(_))) {
        match invite::unseal(&text, Some(PASSPHRASE)) {
            Ok(plain) => assert_eq!(plain, PLAIN),
            Err(error) => assert_eq!(error, InviteError::WrongPassphrase),
        }
    }
});
