//! The end of a connection, as the other side hears of it.

use super::*;

/// Events that wait to be heard.
const ROOM: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farewell_leaves_though_nobody_hears_the_events_any_more() {
    let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(ROOM), mpsc::channel(1024));
    let (a, invite) = Peer::offer(loopback(), told_a).await.unwrap();
    let (b, reply) = Peer::answer(loopback(), &invite, told_b).await.unwrap();
    a.accept(&reply).await.unwrap();
    let (mut a, mut b) = (End::new(a, events_a), End::new(b, events_b));
    a.event(|event| (event == NetEvent::ControlOpen).then_some(())).await;
    // More than there is room for: the last of them is about to be told when everybody stops to listen.
    for _ in 0..2 * ROOM {
        b.peer.send_control("are you there?".into()).unwrap();
    }
    let End { peer, events, .. } = a;
    while events.len() < ROOM {
        tokio::task::yield_now().await;
    }
    drop(events);
    peer.send_control("bye".into()).unwrap();
    peer.close().await;
    assert_eq!(b.control().await, "bye");
    b.event(|event| (event == NetEvent::ControlClosed).then_some(())).await;
}

/// The host has left this call without a word, but its port still answers others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_the_door_is_no_sign_of_life() {
    for kindly in [true, false] {
        let ((told_a, events_a), (told_b, events_b)) = (mpsc::channel(1024), mpsc::channel(1024));
        // Whoever holds it keeps the port open.
        let config = loopback();
        let (a, invite) = Peer::offer(config.clone(), told_a).await.unwrap();
        let (b, reply) = Peer::answer(loopback(), &invite, told_b).await.unwrap();
        a.accept(&reply).await.unwrap();
        let (mut a, mut b) = (End::new(a, events_a), End::new(b, events_b));
        a.link(Link::Connected).await;
        b.link(Link::Connected).await;
        if kindly {
            a.peer.close().await;
        } else {
            drop(a);
        }
        let wanted = [NetEvent::TurnedAway(Turned::Withdrawn), NetEvent::Link(Link::Interrupted)];
        let mut heard = [false; 2];
        b.event(|event| {
            heard = [0, 1].map(|nth| heard[nth] || event == wanted[nth]);
            (heard == [true; 2]).then_some(())
        })
        .await;
    }
}
