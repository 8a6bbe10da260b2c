//! *Invite a phone*: hands `assets/web/index.html` to a browser in the same network, over HTTPS, and lets that page fetch
//! the invite and bring its answer straight back, so that nobody pastes anything.
//!
//! ```text
//!   browser --HTTPS--> accept (limits) > TLS > hyper > Desk (token, one guest at a time) > PageEvent > engine
//!                      certificate: self-signed, kept beside the settings
//! ```
//!
//! Browsers give a camera only to pages that came over TLS. No authority signs certificates for a laptop in a home
//! network, so the browser warns once; what a person sees then, the window explains. The connection itself does not
//! rest on this: the token in the address is the secret, and media are encrypted by DTLS as ever.
//!
//! The engine starts it and drops it; it runs in a few tasks on the engine's runtime.

mod certificate;
mod desk;
mod plain;

use super::address;
use super::{NetConfig, NetError};
use crate::units::Redacted;
use desk::Desk;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::rand::{SecureRandom, SystemRandom};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

/// Tried first: a port that stays the same lets a firewall's exception and the browser's memory last.
const USUAL_PORT: u16 = 8443;
/// A browser opens up to six. More are turned away unheard.
const MAX_CONNECTIONS: usize = 24;
/// For the whole of a connection, so that nobody holds a place by dripping bytes.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(8);
const HEADER_LIMIT: Duration = Duration::from_secs(8);
/// The head of a request; ours have less than a kilobyte.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// After an error of `accept` (no file descriptor is free, say), so that it is not asked in a tight loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// 128 bits: nobody guesses that.
const TOKEN_BYTES: usize = 16;

/// What a page asks of the engine.
#[derive(Debug)]
pub enum PageEvent {
    /// A browser has loaded the page.
    Opened,
    /// It wants the invite, as JSON. Dropped: there is none now.
    InviteWanted(oneshot::Sender<Redacted<String>>),
    /// It brings the answer. `Err`: a sentence for the person in front of that browser.
    Reply { text: Redacted<String>, taken: oneshot::Sender<Result<(), String>> },
}

/// The running server; dropping it ends it.
pub struct PageServer {
    links: Vec<Redacted<String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl PageServer {
    /// Events under way; what finds no room is refused to the browser.
    pub const EVENTS: usize = 16;

    /// Listens on the addresses that a call may use. `port`: this one or none; `folder`: where the certificate is kept.
    pub async fn start(
        config: &NetConfig,
        port: Option<u16>,
        folder: Option<&Path>,
        events: mpsc::Sender<PageEvent>,
    ) -> Result<Self, NetError> {
        let mut addresses: Vec<IpAddr> =
            address::listen_on(config)?.into_iter().map(|address| address.ip()).collect();
        // The one that leads out is the one in the Wi-Fi, and not of a virtual machine.
        let outward = outward();
        addresses.sort_by_key(|address| Some(*address) != outward);
        let (listeners, port) = listen(&addresses, port).await?;
        let tls = tls(folder, &addresses)?;
        let token = token();
        let link =
            |address: &IpAddr| Redacted(format!("https://{}/{token}/", SocketAddr::new(*address, port)));
        let links = addresses.iter().map(link).collect();
        let desk = Arc::new(Desk::new(token.clone(), events));
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let serve = |listener| tokio::spawn(accept(listener, tls.clone(), places.clone(), desk.clone()));
        Ok(Self { links, tasks: listeners.into_iter().map(serve).collect() })
    }

    /// One address of the page for each of the machine's own, the likeliest first.
    pub fn links(&self) -> &[Redacted<String>] {
        &self.links
    }
}

/// The address that packets to the world leave from. None is sent: the system only looks up the way.
fn outward() -> Option<IpAddr> {
    // Reserved for examples (RFC 5737): reached by the default route, if by any.
    const SOMEWHERE: (&str, u16) = ("192.0.2.1", 9);
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(SOMEWHERE).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The same port on every address, as far as it is free there.
async fn listen(addresses: &[IpAddr], wanted: Option<u16>) -> Result<(Vec<TcpListener>, u16), NetError> {
    let ports = wanted.map_or_else(|| vec![USUAL_PORT, 0], |port| vec![port]);
    let mut failure = String::new();
    for mut port in ports {
        let mut listeners = Vec::new();
        for address in addresses {
            match TcpListener::bind(SocketAddr::new(*address, port)).await {
                Ok(listener) => {
                    port = listener.local_addr().map_or(port, |address| address.port());
                    listeners.push(listener);
                }
                Err(error) => {
                    failure = format!("port {port} cannot be used ({error})");
                    // The first address is the one that is shown.
                    if listeners.is_empty() {
                        break;
                    }
                }
            }
        }
        if !listeners.is_empty() {
            return Ok((listeners, port));
        }
    }
    Err(NetError::Page(failure))
}

fn tls(folder: Option<&Path>, addresses: &[IpAddr]) -> Result<TlsAcceptor, NetError> {
    let failed = |error: rustls::Error| NetError::Page(error.to_string());
    let (certificate, key) =
        certificate::load_or_make(folder, addresses, SystemTime::now()).map_err(NetError::Page)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn token() -> String {
    use base64::Engine as _;
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random numbers");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, places: Arc<Semaphore>, desk: Arc<Desk>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to the page could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (tls, desk) = (tls.clone(), desk.clone());
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(CONNECTION_LIMIT, serve(stream, tls, desk)).await;
        });
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, desk: Arc<Desk>) {
    match tokio::time::timeout(HANDSHAKE_LIMIT, plain::is_tls(&stream)).await {
        Ok(true) => {}
        Ok(false) => {
            let _ = tokio::time::timeout(HEADER_LIMIT, plain::send_on(stream)).await;
            return;
        }
        Err(_) => return,
    }
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await else { return };
    let answer = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the page ended early");
    }
}
