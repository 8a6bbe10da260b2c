//! The reader of codes: it never panics, and what it takes survives the way out and in again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twocan::invite::{self, Kind, Pasted};

fuzz_target!(|text: &str| {
    if let Ok(Pasted::Description(description)) = invite::read(text) {
        let code = invite::encode(&description);
        assert_eq!(invite::read(&code), Ok(Pasted::Description(description.clone())));
        let _ = invite::candidates(&description);
        let _ = invite::expect(text, Kind::Invite, Some(&description));
    }
});
