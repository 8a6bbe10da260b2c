//! Streams to servers made here, over the loopback interface.

use super::*;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use webrtc::runtime::{Runtime, TokioRuntime};

const PATIENCE: Duration = Duration::from_secs(30);
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

fn allocate(transaction: u8) -> Vec<u8> {
    [&[0, 3, 0, 0][..], &COOKIE, &[transaction; 12]].concat()
}

fn at() -> SocketAddr {
    pretended(0, false)
}

fn streams(address: SocketAddr, tls: bool) -> Streams {
    let streams = Streams::default();
    let server = StreamServer { host: "localhost".into(), addresses: vec![address], tls, bind: Vec::new() };
    streams.open(vec![(at(), server)]);
    streams
}

fn socket(streams: &Streams) -> Arc<dyn AsyncUdpSocket> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    streams.wrap(TokioRuntime.wrap_udp_socket(socket).unwrap()).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens")
}

async fn send(socket: &Arc<dyn AsyncUdpSocket>, to: SocketAddr, bytes: &[u8], segment: Option<usize>) {
    let transmit =
        Transmit { destination: to, ecn: None, contents: bytes, segment_size: segment, src_ip: None };
    let sent = within(std::future::poll_fn(|context| socket.poll_send(context, &transmit))).await;
    assert_eq!(sent.unwrap(), bytes.len());
}

async fn receive(socket: &Arc<dyn AsyncUdpSocket>) -> (SocketAddr, Vec<u8>) {
    let mut buffer = vec![0; 2048];
    let mut meta = [RecvMeta::default()];
    let poll = std::future::poll_fn(|context| {
        socket.poll_recv(context, &mut [IoSliceMut::new(&mut buffer)], &mut meta)
    });
    assert_eq!(within(poll).await.unwrap(), 1);
    buffer.truncate(meta[0].len);
    (meta[0].addr, buffer)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    within(stream.read_exact(&mut read)).await.unwrap();
    read
}

async fn accept(listener: &TcpListener) -> TcpStream {
    within(listener.accept()).await.unwrap().0
}

#[tokio::test]
async fn what_is_for_the_server_takes_the_stream_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let streams = streams(listener.local_addr().unwrap(), false);
    let (first, second) = (socket(&streams), socket(&streams));
    // The repetition of a request stays away; ChannelData is padded.
    send(&first, at(), &[allocate(1), allocate(1)].concat(), Some(20)).await;
    send(&first, at(), &[0x40, 0, 0, 1, 9], None).await;
    let mut stream = accept(&listener).await;
    assert_eq!(read(&mut stream, 28).await, [&allocate(1)[..], &[0x40, 0, 0, 1, 9, 0, 0, 0]].concat());
    // Messages arrive cut up as the stream likes.
    let answers = [&allocate(2)[..], &[0x40, 0, 0, 2, 7, 8, 0, 0], &[0x41, 0, 0, 0]].concat();
    for piece in answers.chunks(3) {
        stream.write_all(piece).await.unwrap();
    }
    assert_eq!(receive(&first).await, (at(), allocate(2)));
    assert_eq!(receive(&first).await, (at(), vec![0x40, 0, 0, 2, 7, 8]));
    assert_eq!(receive(&first).await, (at(), vec![0x41, 0, 0, 0]));
    // The other socket is told at once that there is nothing for it.
    send(&second, at(), &allocate(3), None).await;
    let (from, refusal) = receive(&second).await;
    assert_eq!((from, &refusal[..2]), (at(), &[0x01, 0x13][..]));
    // And what goes elsewhere goes there.
    let (here, there) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    send(&first, there, b"hello", None).await;
    assert_eq!(receive(&second).await, (here, b"hello".to_vec()));
    // The end of the connection ends the stream, after what was said last.
    send(&first, at(), &allocate(4), None).await;
    drop((first, second, streams));
    assert_eq!(read(&mut stream, 20).await, allocate(4));
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stream_that_ends_is_made_again_when_it_is_needed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let streams = streams(listener.local_addr().unwrap(), false);
    let socket = socket(&streams);
    send(&socket, at(), &allocate(1), None).await;
    // Something else than TURN: where the next message would begin is unknown.
    accept(&listener).await.write_all(b"\xffHTTP/1.1 400 Bad Request\r\n").await.unwrap();
    let again = async {
        loop {
            send(&socket, at(), &allocate(2), None).await;
            tokio::select! {
                accepted = listener.accept() => return accepted.unwrap().0,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    };
    let mut stream = within(again).await;
    assert_eq!(read(&mut stream, 20).await, allocate(2));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_reason_to_wait() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let streams = streams(closed, false);
    let socket = socket(&streams);
    send(&socket, at(), &allocate(1), None).await;
    assert_eq!(receive(&socket).await.1[..2], [0x01, 0x13]);
    assert_eq!(streams.trouble(), Some(("localhost".into(), Trouble::Refused)));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    use tokio_rustls::rustls::{self, pki_types::PrivateKeyDer};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let streams = streams(listener.local_addr().unwrap(), true);
    let socket = socket(&streams);
    let own = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    tokio::spawn(async move {
        let stream = accept(&listener).await;
        assert!(tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_err());
    });
    send(&socket, at(), &allocate(1), None).await;
    assert_eq!(receive(&socket).await.1[..2], [0x01, 0x13]);
    assert_eq!(streams.trouble(), Some(("localhost".into(), Trouble::Certificate)));
}

#[tokio::test]
async fn nothing_changes_where_no_server_needs_a_stream() {
    let streams = Streams::default();
    streams.open(Vec::new());
    let (first, second) = (socket(&streams), socket(&streams));
    send(&first, second.local_addr().unwrap(), b"hello", None).await;
    assert_eq!(receive(&second).await.1, b"hello");
    assert_eq!(streams.trouble(), None);
}
