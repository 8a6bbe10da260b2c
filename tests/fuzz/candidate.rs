//! ICE candidates, pasted or sent later: never a panic, and what is read can be read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twocan::invite::{self, Candidate};

fuzz_target!(|line: &str| {
    if let Some(candidate) = Candidate::parse(line) {
        let again = format!(
            "candidate:1 {} {} 1 {} {} typ {}",
            candidate.component, candidate.protocol, candidate.address, candidate.port, candidate.kind
        );
        assert_eq!(Candidate::parse(&again), Some(candidate));
    }
    let _ = invite::read(line);
});
