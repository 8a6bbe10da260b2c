//! What strangers send to the port of an invite: none of it panics, and whoever cannot sign is nobody.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;
use twocan::invite::stun::{self, Turned};
use twocan::invite::{Admits, BrowserGuest, Caller, DoorId, Doorbell, Guest, Secret, encode};

const SECRET: Secret = Secret([7; 16]);

fuzz_target!(|datagram: &[u8]| {
    let host = SECRET.host();
    let mut doorbell = Doorbell::new(1);
    let doors = [
        (host.ufrag.as_str(), Admits::Guests),
        ("expected", Admits::Only("guest".into())),
        ("gone", Admits::Nobody(Turned::Withdrawn)),
    ];
    for (id, (ufrag, admits)) in doors.into_iter().enumerate() {
        doorbell.add(DoorId(id as u64), ufrag, &host.password.0, admits);
    }
    doorbell.admit_browsers(DoorId(0), SECRET);
    let caller = doorbell.ring(Instant::now(), IpAddr::V4(Ipv4Addr::LOCALHOST), datagram);
    assert!(matches!(caller, Caller::Stranger));
    let _ = doorbell.busy(DoorId(0), datagram);
    let _ = stun::seen_at(datagram);
    assert_eq!(stun::refusal(datagram, &stun::key(&host.password.0)), None);

    // Names, as they stand in checks that somebody with the invite has signed.
    let Ok(text) = std::str::from_utf8(datagram) else { return };
    if let Some(guest) = Guest::from_ufrag(text) {
        assert_eq!(guest.ufrag(), text);
    }
    if let Some((name, ufrag)) = text.split_once(':')
        && let Some(guest) = BrowserGuest::read(name, ufrag)
    {
        assert_eq!(guest.name(), name);
        let _ = encode(&guest.offer());
    }
});
