use super::*;
use crate::invite::{self, Description};
use crate::net::{NetConfig, NetEvent, Peer};
use crate::units::Redacted;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(30);

fn at(address: &str) -> NetConfig {
    NetConfig { bind: vec![address.parse().unwrap()], ..NetConfig::default() }
}

async fn host() -> (NetConfig, Peer, Description, mpsc::Receiver<NetEvent>) {
    let config = at("127.0.0.1");
    let (told, events) = mpsc::channel(1024);
    let (peer, invite) = Peer::offer(config.clone(), told).await.unwrap();
    (config, peer, invite, events)
}

/// The next event that `wanted` makes something of.
async fn event<T>(events: &mut mpsc::Receiver<NetEvent>, wanted: impl Fn(NetEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = wanted(events.recv().await.expect("the connection still talks")) {
                return found;
            }
        }
    };
    tokio::time::timeout(LONG, found).await.expect("the event comes")
}

/// Passes on TCP to `inside` and nothing else. Streams that were opened before it is told so are silent from then on, as
/// after a router has forgotten them.
async fn firewall(inside: SocketAddr) -> (SocketAddr, watch::Sender<u32>) {
    let firewall = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let outside = firewall.local_addr().unwrap();
    let (forget, forgotten) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut guest, _)) = firewall.accept().await {
            let mut forgotten = forgotten.clone();
            forgotten.mark_unchanged();
            tokio::spawn(async move {
                let mut host = TcpStream::connect(inside).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut guest, &mut host) => return,
                    _ = forgotten.changed() => {}
                }
                tokio::time::sleep(LONG).await;
            });
        }
    });
    (outside, forget)
}

/// A host behind a firewall, and a guest whose call to it has come up.
async fn call_over_tcp() -> (NetConfig, [(Peer, mpsc::Receiver<NetEvent>); 2], watch::Sender<u32>) {
    let (config, host, invite, mut events) = host().await;
    let inside = config.endpoint.local_ports()[0];
    let (outside, forget) = firewall(inside).await;
    let written = |at: SocketAddr| format!(" {} {} typ", at.ip(), at.port());
    let sdp = invite.sdp.0.replace(&written(inside), &written(outside));
    assert_ne!(sdp, invite.sdp.0);
    let (told, mut guest_events) = mpsc::channel(1024);
    let behind = Description { sdp: Redacted(sdp), ..invite.clone() };
    let (guest, _) = Peer::answer(at("127.0.0.2"), &behind, told).await.unwrap();
    let knock = |event| if let NetEvent::Knock(guest) = event { Some(guest) } else { None };
    let knocked = event(&mut events, knock).await;
    host.accept(&invite::knocked(&knocked, invite::secret(&invite).unwrap())).await.unwrap();
    event(&mut events, connected).await;
    event(&mut guest_events, connected).await;
    (config, [(host, events), (guest, guest_events)], forget)
}

fn connected(event: NetEvent) -> Option<()> {
    (event == NetEvent::Link(Link::Connected)).then_some(())
}

fn text(event: NetEvent) -> Option<String> {
    if let NetEvent::Control(text) = event { Some(text) } else { None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_comes_up_over_tcp_where_no_udp_gets_through() {
    let (config, [(host, mut events), (guest, _guest_events)], _forget) = call_over_tcp().await;
    guest.send_control("over TCP".into()).unwrap();
    assert_eq!(event(&mut events, text).await, "over TCP");
    // The stream belongs to the call.
    host.close().await;
    let over = async {
        while !config.endpoint.0.state().streams.0.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, over).await.expect("the stream ends with the call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_router_has_forgotten_is_made_again() {
    let (_config, [(_host, mut events), (guest, mut guest_events)], forget) = call_over_tcp().await;
    forget.send_modify(|times| *times += 1);
    event(&mut events, |event| (event == NetEvent::Link(Link::Interrupted)).then_some(())).await;
    event(&mut events, connected).await;
    event(&mut guest_events, connected).await;
    guest.send_control("again".into()).unwrap();
    assert_eq!(event(&mut events, text).await, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anybody_could_send_proves_nothing() {
    let (config, _host, _invite, _events) = host().await;
    let from: SocketAddr = "127.0.0.9:4242".parse().unwrap();
    let shared = &config.endpoint.0;
    {
        // Somebody at the address that a call sends to.
        let mut state = shared.state();
        let line = *state.lines.keys().next().unwrap();
        state.remotes.insert((0, from), line);
        let (queue, _) = mpsc::channel(1);
        state.streams.0.insert((0, from), Stream { queue, is_proven: false, number: 1 });
    }
    let message = |kind: u8| [&[0, kind, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    const REQUEST: u8 = 0x01;
    const INDICATION: u8 = 0x11;
    for kind in [REQUEST, INDICATION] {
        assert!(!shared.framed((0, from), 1, &message(kind)), "{kind}");
    }
}

/// Whether the other end hangs up, whatever it sends before.
async fn is_hung_up(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_hung_up_on() {
    let (config, _host, _invite, _events) = host().await;
    let port = config.endpoint.local_ports()[0];
    let junk = [&[0, 9][..], &[7; 9]].concat().repeat(TRIAL_FRAMES);
    for words in [&[0, 0][..], &[0xff, 0xff, 1], &junk] {
        let mut stranger = TcpStream::connect(port).await.unwrap();
        stranger.write_all(words).await.unwrap();
        assert!(is_hung_up(&mut stranger).await, "{} bytes", words.len());
    }
    let mut silent = Vec::new();
    for _ in 0..MAX_OF_ONE {
        silent.push(TcpStream::connect(port).await.unwrap());
    }
    while config.endpoint.0.state().streams.0.len() < MAX_OF_ONE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut one_more = TcpStream::connect(port).await.unwrap();
    assert!(is_hung_up(&mut one_more).await, "no more of one address");
    for stranger in &mut silent {
        assert!(is_hung_up(stranger).await, "whoever says nothing");
    }
    assert!(config.endpoint.0.state().streams.0.is_empty());
}

#[tokio::test]
async fn without_a_call_nobody_is_listened_to() {
    let config = at("127.0.0.1");
    config.endpoint.open(config.bind.iter().copied());
    let mut stranger = TcpStream::connect(config.endpoint.local_ports()[0]).await.unwrap();
    assert!(is_hung_up(&mut stranger).await);
}
