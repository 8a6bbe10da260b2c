//! Messages of the control channel: what is read is limited, and survives the way out and in again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twocan::room::message::{MAX_NAME, Message};

fuzz_target!(|text: &str| {
    if let Some(message) = Message::from_json(text) {
        assert_eq!(Message::from_json(&message.to_json()), Some(message.clone()));
        if let Message::Hello { name, .. } = &message {
            assert!(name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control));
        }
    }
});
