//! Windows that find each other and ring, over the loopback interface and a multicast port of their own.

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::LOCALHOST, 8);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens")
}

/// A lobby; `port` is where these tests speak mDNS.
fn lobby(name: &str, port: u16) -> Nearby {
    let config = NearbyConfig { name: name.into(), networks: vec![LOOPBACK], mdns_port: port };
    Nearby::start(config).unwrap()
}

async fn people(lobby: &mut Nearby, wanted: impl Fn(&[Person]) -> bool) -> Vec<Person> {
    within(async {
        loop {
            if let Change::People(people) = lobby.next().await
                && wanted(&people)
            {
                return people;
            }
        }
    })
    .await
}

async fn rung(lobby: &mut Nearby) -> Ring {
    within(async {
        loop {
            if let Change::Event(NearbyEvent::Ring(ring)) = lobby.next().await {
                return ring;
            }
        }
    })
    .await
}

async fn over(lobby: &mut Nearby) -> u64 {
    within(async {
        loop {
            if let Change::Event(NearbyEvent::RingOver(id)) = lobby.next().await {
                return id;
            }
        }
    })
    .await
}

fn call(person: &Person) -> tokio::task::JoinHandle<Outcome> {
    tokio::spawn(ring(person.clone(), "Ann".into(), Redacted("2canInvite".into())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_windows_find_each_other_and_one_calls() {
    let mut ann = lobby("Ann", 45353);
    let mut bo = lobby("Bo \u{202e}", 45353);
    let found = people(&mut ann, |people| !people.is_empty()).await;
    assert_eq!(found.len(), 1, "nobody finds himself");
    assert_eq!(found[0].name, "Bo");
    people(&mut bo, |people| people.iter().any(|person| person.name == "Ann")).await;

    let outcome = call(&found[0]);
    let ring = rung(&mut bo).await;
    assert_eq!((ring.name.as_str(), ring.invite.0.as_str()), ("Ann", "2canInvite"));
    // It rings for one at a time.
    assert_eq!(within(call(&found[0])).await.unwrap(), Outcome::Busy);
    let id = ring.id;
    ring.accept().send(Redacted("2canReply".into())).unwrap();
    assert_eq!(within(outcome).await.unwrap(), Outcome::Reply(Redacted("2canReply".into())));
    assert_eq!(over(&mut bo).await, id);

    let outcome = call(&found[0]);
    drop(rung(&mut bo).await);
    assert_eq!(within(outcome).await.unwrap(), Outcome::Declined);
    over(&mut bo).await;

    // Whoever gives up is not waited for.
    let outcome = call(&found[0]);
    let ring = rung(&mut bo).await;
    outcome.abort();
    assert_eq!(over(&mut bo).await, ring.id);

    drop(bo);
    people(&mut ann, <[Person]>::is_empty).await;
    assert_eq!(within(call(&found[0])).await.unwrap(), Outcome::NoAnswer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cost_little_and_never_ring_without_a_word() {
    let mut bo = lobby("Bo", 45354);
    let (listeners, port) = listen(&[LOOPBACK]).unwrap();
    drop(listeners);
    assert_ne!(port, 0);
    let ann = {
        let mut ann = lobby("Ann", 45354);
        people(&mut ann, |people| !people.is_empty()).await
    };
    let to = SocketAddr::V4(ann[0].address.0);
    let long = vec![b'x'; 3 * MAX_LINE];
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\n", b"{}\n", b"\xff\xff\n", b"{\"type\":\"busy\"}\n", &long]
    {
        let mut stream = within(TcpStream::connect(to)).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        // It ends, without a word.
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty());
    }
    // A crowd that says nothing takes the seats for a moment only, and more of it is sent away at once.
    let mut crowd = Vec::new();
    for _ in 0..3 * MAX_CALLERS {
        crowd.push(within(TcpStream::connect(to)).await.unwrap());
    }
    let mut turned_away = 0;
    for stream in &mut crowd {
        let ended = tokio::time::timeout(FIRST_WORD / 3, stream.read_u8()).await.is_ok();
        turned_away += usize::from(ended);
    }
    assert!(turned_away >= 2 * MAX_CALLERS, "{turned_away}");
    drop(crowd);
    let outcome = call(&ann[0]);
    rung(&mut bo).await.say_busy();
    assert_eq!(within(outcome).await.unwrap(), Outcome::Busy);
}
