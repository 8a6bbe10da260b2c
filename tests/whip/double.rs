//! A server that takes one stream by WHIP and hands it to everybody who asks by WHEP: over real connections, without
//! decoding anything. Stands in for what no package of Debian has.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LINK, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use twocan::frame::{EncodedAudio, EncodedFrame, RtpPacket};
use twocan::invite::{Description, Kind};
use twocan::net::{NetConfig, NetEvent, Peer};
use twocan::ports::{Inlet, Outlet};
use twocan::rtp::{VideoAssembler, red};
use twocan::units::{Redacted, Resolution, VideoCodec};

pub const TOKEN: &str = "let-me-in";

pub struct Double {
    pub address: SocketAddr,
    /// What the server calls its ICE server: whoever reads the Link fields asks it.
    pub ice_server: UdpSocket,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Shared {
    ice_server: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Arc<Peer>>,
    publisher: Option<Arc<Peer>>,
    players: Vec<Outlet>,
    made: usize,
    /// `METHOD path`, in the order they came.
    asked: Vec<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Double {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ice_server = UdpSocket::bind("127.0.0.1:0").unwrap();
        ice_server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let shared = Arc::new(Shared {
            ice_server: format!("<stun:{}>; rel=\"ice-server\"", ice_server.local_addr().unwrap()),
            ..Shared::default()
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let served = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, ice_server, shared, _runtime: runtime }
    }

    pub fn asked(&self) -> Vec<String> {
        self.shared.state().asked.clone()
    }

    pub fn sessions(&self) -> usize {
        self.shared.state().sessions.len()
    }
}

type Answer = Response<Full<Bytes>>;

fn plain(status: StatusCode) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    shared.state().asked.push(format!("{} {path}", head.method));
    let authorised = head.headers.get(AUTHORIZATION).is_some_and(|value| value == &format!("Bearer {TOKEN}"));
    if !authorised {
        return Ok(plain(StatusCode::UNAUTHORIZED));
    }
    Ok(match (&head.method, path.as_str()) {
        (&Method::OPTIONS, "/whip" | "/whep") => {
            let mut answer = plain(StatusCode::NO_CONTENT);
            answer.headers_mut().insert(LINK, shared.ice_server.parse().unwrap());
            answer
        }
        (&Method::POST, "/moved") => {
            let mut answer = plain(StatusCode::TEMPORARY_REDIRECT);
            answer.headers_mut().insert(LOCATION, "/whip".parse().unwrap());
            answer
        }
        (&Method::OPTIONS, "/moved") => plain(StatusCode::METHOD_NOT_ALLOWED),
        (&Method::POST, "/whip" | "/whep") if head.headers[CONTENT_TYPE] != "application/sdp" => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
        (&Method::POST, "/whip" | "/whep") => {
            let offer = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let way = if path == "/whip" { "a=sendonly" } else { "a=recvonly" };
            assert_eq!(offer.matches(way).count(), 2, "both sections go one way: {offer}");
            assert!(!offer.contains("m=application"), "{offer}");
            make(&shared, offer, path == "/whip").await
        }
        (&Method::PATCH, session) => {
            let tag = session.rsplit('/').next().map(|number| format!("\"ice-{number}\""));
            let given = head.headers.get(IF_MATCH).and_then(|value| value.to_str().ok());
            let fragment = body.collect().await.unwrap().to_bytes();
            let is_last = String::from_utf8_lossy(&fragment).ends_with("a=end-of-candidates\r\n");
            assert!(is_last && head.headers[CONTENT_TYPE] == "application/trickle-ice-sdpfrag");
            plain(if given == tag.as_deref() {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::PRECONDITION_FAILED
            })
        }
        (&Method::DELETE, session) => {
            let peer = shared.state().sessions.remove(session);
            plain(if peer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND })
        }
        _ => plain(StatusCode::NOT_FOUND),
    })
}

async fn make(shared: &Arc<Shared>, offer: String, is_sender: bool) -> Answer {
    let config = NetConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..NetConfig::default() };
    let (events, from_net) = mpsc::channel(256);
    let (peer, answer) = if is_sender {
        Peer::answer_server(config, &Redacted(offer), &Vec::new(), events).await.unwrap()
    } else {
        let invite = Description { kind: Kind::Invite, sdp: Redacted(offer) };
        let (peer, reply) = Peer::answer(config, &invite, events).await.unwrap();
        (peer, reply.sdp)
    };
    let peer = Arc::new(peer);
    tokio::spawn(listen(shared.clone(), from_net));
    if is_sender {
        peer.connect(forward(shared.clone()));
    }
    let mut state = shared.state();
    state.made += 1;
    let place = format!("/session/{}", state.made);
    state.sessions.insert(place.clone(), peer.clone());
    match is_sender {
        true => state.publisher = Some(peer),
        false => state.players.push(peer.outlet()),
    }
    Response::builder()
        .status(StatusCode::CREATED)
        .header(LOCATION, place)
        .header(ETAG, format!("\"ice-{}\"", state.made))
        .header(CONTENT_TYPE, "application/sdp")
        .body(Full::from(answer.0))
        .unwrap()
}

/// Whoever plays and needs a keyframe gets one from whoever sends.
async fn listen(shared: Arc<Shared>, mut from_net: mpsc::Receiver<NetEvent>) {
    while let Some(event) = from_net.recv().await {
        if event == NetEvent::KeyframeWanted
            && let Some(publisher) = &shared.state().publisher
        {
            publisher.request_keyframe();
        }
    }
}

/// From the packets of whoever sends to the outlets of those who play.
fn forward(shared: Arc<Shared>) -> Inlet {
    let (video, pictures) = crossbeam_channel::bounded::<RtpPacket>(1024);
    let (audio, sound) = crossbeam_channel::bounded::<RtpPacket>(256);
    let players = shared.clone();
    std::thread::spawn(move || {
        let mut assembler = VideoAssembler::new();
        for packet in pictures {
            assembler.handle_packet(packet);
            while let Some(unit) = assembler.poll(Instant::now()) {
                let frame = EncodedFrame {
                    data: unit.data,
                    keyframe: unit.keyframe,
                    disposable: false,
                    captured_at: unit.first_arrival,
                    resolution: Resolution::new(320, 180),
                    codec: VideoCodec::H264,
                };
                for player in &players.state().players {
                    let _ = player.video.try_send(frame.clone());
                }
            }
        }
    });
    std::thread::spawn(move || {
        let (mut first, mut newest) = (None, None);
        for packet in sound {
            let parts =
                if packet.payload_type == red::RED { red::split(&packet).unwrap() } else { vec![packet] };
            for part in parts {
                let position = u64::from(part.timestamp.wrapping_sub(*first.get_or_insert(part.timestamp)));
                if newest.is_some_and(|newest| position <= newest) {
                    continue;
                }
                newest = Some(position);
                let voice =
                    EncodedAudio { data: part.payload, captured_at: part.arrived_at, position, level: 0.1 };
                for player in &shared.state().players {
                    let _ = player.audio.try_send(voice.clone());
                }
            }
        }
    });
    Inlet::new(video, audio)
}
