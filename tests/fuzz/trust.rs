//! The exchange behind the words, with a side that sends what it likes: no panic, no other words once there are some.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twocan::room::message::Message;
use twocan::room::trust::{Comparison, Role, Trust};

// Lines: messages in JSON. The first byte chooses the part we play.
fuzz_target!(|script: &str| {
    let role = if script.starts_with('h') { Role::Host } else { Role::Guest };
    let mut trust = Trust::new(role, [1; 32], [2; 32], [3; 32], None);
    let mut before = trust.comparison();
    for line in script.lines().take(64) {
        if let Some(message) = Message::from_json(line.trim_start_matches(['h', 'g'])) {
            if let Some(answer) = trust.handle(&message) {
                assert_eq!(Message::from_json(&answer.to_json()), Some(answer));
            }
        }
        trust.poll();
        let now = trust.comparison();
        match (before, now) {
            (Comparison::Ready { .. }, Comparison::Ready { .. }) => assert_eq!(before, now),
            (Comparison::Ready { .. } | Comparison::Refused, now) => assert_eq!(now, Comparison::Refused),
            (Comparison::Waiting | Comparison::Unanswered, _) => {}
        }
        before = now;
    }
});
