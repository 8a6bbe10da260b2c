use super::*;
use crate::invite::Admits;
use crate::net::Endpoint;
use std::time::Duration;
use tokio::sync::mpsc;

const ANN: MemberId = MemberId([1; 8]);
const BO: MemberId = MemberId([2; 8]);
const CY: MemberId = MemberId([3; 8]);
const DTLS: &[u8] = &[22, 254, 253, 1, 2, 3];

async fn endpoint() -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::default();
    endpoint.open(["127.0.0.1".parse().unwrap()].into_iter());
    let (_, io) = endpoint.port("127.0.0.1".parse().unwrap()).unwrap();
    let destination = endpoint.local_ports()[0];
    // A new socket is not ready at once.
    let transmit = Transmit { destination, ecn: None, contents: &[1], segment_size: None, src_ip: None };
    std::future::poll_fn(|context| io.poll_send(context, &transmit)).await.unwrap();
    (endpoint, destination)
}

/// A line to somebody, and what comes in on it.
fn line(endpoint: &Endpoint, ufrag: &str) -> (LineHandle, mpsc::Receiver<super::super::Datagram>) {
    let (events, _) = mpsc::channel(8);
    let line = endpoint.line(ufrag, "password-of-22-letters", Admits::Only("other".into()), events);
    let (sender, inbox) = mpsc::channel(64);
    line.attach(0, sender);
    (line, inbox)
}

fn send(line: &LineHandle, to: SocketAddr, contents: &[u8]) {
    line.sends_to(0, to);
    let transmit = Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: None };
    if !line.by_others(0, &transmit) {
        line.endpoint.0.state().send(0, to, contents);
    }
}

async fn comes(inbox: &mut mpsc::Receiver<super::super::Datagram>) -> (SocketAddr, Vec<u8>) {
    let datagram =
        tokio::time::timeout(Duration::from_secs(20), inbox.recv()).await.expect("it comes").unwrap();
    (datagram.from, datagram.bytes.into())
}

/// Ann and Cy, each with a line to Bo, and Bo with one to each: all have heard each other.
struct Three {
    ann: (Endpoint, LineHandle),
    bo: (Endpoint, [LineHandle; 2]),
    cy: (Endpoint, LineHandle),
}

async fn three() -> Three {
    let (ann, ann_at) = endpoint().await;
    let (bo, bo_at) = endpoint().await;
    let (cy, cy_at) = endpoint().await;
    let (to_ann, mut from_ann) = line(&bo, "bo1");
    let (to_cy, mut from_cy) = line(&bo, "bo2");
    let (ann_to_bo, mut ann_inbox) = line(&ann, "ann");
    let (cy_to_bo, mut cy_inbox) = line(&cy, "cy");
    for (to, at, back, inbox, other) in [
        (&ann_to_bo, ann_at, &to_ann, &mut from_ann, &mut ann_inbox),
        (&cy_to_bo, cy_at, &to_cy, &mut from_cy, &mut cy_inbox),
    ] {
        back.sends_to(0, at);
        send(to, bo_at, DTLS);
        assert_eq!(comes(inbox).await, (at, DTLS.to_vec()));
        send(back, at, DTLS);
        comes(other).await;
    }
    to_ann.set_member(ANN);
    to_cy.set_member(CY);
    Three { ann: (ann, ann_to_bo), bo: (bo, [to_ann, to_cy]), cy: (cy, cy_to_bo) }
}

#[tokio::test]
async fn two_who_cannot_reach_each_other_do_so_through_a_third() {
    let Three { ann: (ann, ann_to_bo), bo: _bo, cy: (cy, cy_to_bo) } = three().await;
    let (ann_to_cy, mut from_cy) = line(&ann, "ann2");
    let (cy_to_ann, mut from_ann) = line(&cy, "cy2");
    let [cy_by_bo, ann_by_bo] =
        [ann_to_cy.hop(&ann_to_bo, CY).unwrap(), cy_to_ann.hop(&cy_to_bo, ANN).unwrap()];
    assert!(is_hop(cy_by_bo) && is_hop(ann_by_bo));
    assert_eq!(ann_to_cy.hop(&ann_to_bo, CY), Some(cy_by_bo), "one way has one address");
    cy_to_ann.sends_to(0, ann_by_bo);
    send(&ann_to_cy, cy_by_bo, DTLS);
    assert_eq!(comes(&mut from_ann).await, (ann_by_bo, DTLS.to_vec()));
    send(&cy_to_ann, ann_by_bo, &[DTLS, DTLS].concat());
    assert_eq!(comes(&mut from_cy).await, (cy_by_bo, [DTLS, DTLS].concat()));
    // Nothing goes on to a third by such a way.
    assert_eq!(ann_to_bo.hop(&ann_to_cy, BO), None);
    drop(ann_to_bo);
    assert_eq!(ann.0.state().hops.0.len(), 0, "a way ends with the link that it goes over");
}

#[tokio::test]
async fn nothing_is_passed_on_for_strangers_to_strangers_or_without_end() {
    let Three { ann: (ann, ann_to_bo), bo: (bo, lines), cy: _cy } = three().await;
    let now = Instant::now();
    let [ann_at, stranger] = [ann.local_ports()[0], "127.0.0.9:99".parse().unwrap()];
    let mut state = bo.0.state();
    let frame = framed(TO, CY, &[22; 1000]);
    assert!(state.hop(now, 0, ann_at, &frame));
    assert!(!state.hop(now, 0, stranger, &frame), "of nobody in the room");
    assert!(!state.hop(now, 0, ann_at, &framed(TO, BO, &[22; 1000])), "to nobody in the room");
    assert!(!state.hop(now, 0, ann_at, &framed(TO, ANN, &[22; 1000])), "to themselves");
    assert!(
        !state.hop(now, 0, ann_at, &framed(FROM, CY, &[22; 1000])),
        "they are not between us and anybody"
    );
    assert!(!state.hop(now, 0, ann_at, &framed(TO, CY, &frame)), "by more than one");
    for length in 0..=HEAD {
        assert!(!state.hop(now, 0, ann_at, &frame[..length]), "{length}");
    }
    let left = |state: &State| state.lines.get(&lines[0].id).unwrap().allowance.left;
    for _ in 0..1000 {
        state.hop(now, 0, ann_at, &frame);
    }
    assert!(left(&state) < 1000.0, "a second's worth is passed on, and no more");
    state.hop(now + Duration::from_secs(1), 0, ann_at, &frame);
    assert!(left(&state) > BURST / 2.0);
    drop(state);
    drop(ann_to_bo);
}

#[tokio::test]
async fn two_ways_that_go_over_each_other_lead_nowhere() {
    let Three { ann: _ann, bo: (bo, [to_ann, to_cy]), cy: _cy } = three().await;
    let cy_by_ann = to_cy.hop(&to_ann, CY).unwrap();
    let ann_by_cy = to_ann.hop(&to_cy, ANN).unwrap();
    // Each is heard by way of the other from now on.
    let mut state = bo.0.state();
    for (line, at) in [(&to_ann, ann_by_cy), (&to_cy, cy_by_ann)] {
        state.lines.get_mut(&line.id).unwrap().note_heard(0, at, DTLS);
    }
    assert!(state.by_hop(0, cy_by_ann, DTLS));
    assert!(state.by_hop(0, ann_by_cy, DTLS));
}

#[tokio::test]
async fn a_way_that_nobody_uses_makes_room() {
    let Three { ann: (ann, ann_to_bo), .. } = three().await;
    let (other, _inbox) = line(&ann, "ann2");
    let member = |number: usize| MemberId([number as u8; 8]);
    let used = other.hop(&ann_to_bo, member(0)).unwrap();
    other.sends_to(0, used);
    for number in 1..250 {
        assert!(other.hop(&ann_to_bo, member(number)).is_some(), "{number}");
    }
    let state = ann.0.state();
    assert_eq!(state.hops.0.len(), MAX_HOPS);
    assert!(state.hops.at(used).is_some(), "what is used stays");
}
