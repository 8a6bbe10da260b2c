//! Opens the stream to a TURN server: TCP to whichever of its addresses answers first, and TLS over it.

use super::StreamServer;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

/// A server that takes longer would not be found within the time of gathering anyway.
const LIMIT: Duration = Duration::from_secs(5);
/// The next address is tried beside the one before (RFC 8305, 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// What waits in the system's buffer is late: 200 ms of video, not the megabytes that a system allows.
const SEND_BUFFER: u32 = 64 * 1024;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a TURN server is not reached. `Display` ends a sentence that names the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("its name was not found")]
    NoAddress,
    #[error("it refuses connections on this port")]
    Refused,
    #[error("it does not answer")]
    Silent,
    #[error("its certificate is not one that this computer trusts")]
    Certificate,
    #[error("it does not speak TLS on this port")]
    Tls,
    #[error("it ends the connection")]
    Ended,
}

pub async fn dial(server: &StreamServer) -> Result<Box<dyn Stream>, Trouble> {
    tokio::time::timeout(LIMIT, open(server)).await.unwrap_or(Err(Trouble::Silent))
}

async fn open(server: &StreamServer) -> Result<Box<dyn Stream>, Trouble> {
    let tcp = connect(&server.addresses, &server.bind).await?;
    if !server.tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(server.host.clone()).map_err(|_| Trouble::Certificate)?;
    // Reads the system's certificates from its disk.
    let config = tokio::task::spawn_blocking(tls_config).await.ok().and_then(|config| {
        config.inspect_err(|error| tracing::warn!(%error, "no TLS on this computer")).ok()
    });
    let connector = TlsConnector::from(Arc::new(config.ok_or(Trouble::Certificate)?));
    match connector.connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            tracing::info!(%error, "no TLS with a TURN server");
            Err(why(&error))
        }
    }
}

/// Trusts what the system trusts; on Linux, `SSL_CERT_FILE` names another list, as it does for OpenSSL.
fn tls_config() -> Result<ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_platform_verifier()?.with_no_client_auth())
}

fn why(error: &io::Error) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (inner, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => Trouble::Certificate,
        (None, io::ErrorKind::ConnectionRefused) => Trouble::Refused,
        (
            None,
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable,
        ) => Trouble::Silent,
        _ => Trouble::Tls,
    }
}

/// Happy Eyeballs (RFC 8305) in short: one address after the other, without waiting for those before to fail.
async fn connect(addresses: &[SocketAddr], bind: &[IpAddr]) -> Result<TcpStream, Trouble> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.iter().copied();
    let mut trouble = Trouble::NoAddress;
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next), if waiting.len() > 0 => {
                next += NEXT_ADDRESS;
                if let Some(to) = waiting.next() {
                    let from = bind.iter().copied().find(|from| from.is_ipv4() == to.is_ipv4());
                    if from.is_some() || bind.is_empty() {
                        attempts.spawn(attempt(to, from));
                    }
                }
            }
            Some(outcome) = attempts.join_next() => match outcome {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    trouble = match error.kind() {
                        io::ErrorKind::ConnectionRefused => Trouble::Refused,
                        _ => Trouble::Silent,
                    };
                    next = tokio::time::Instant::now();
                }
                Err(_) => {}
            },
            else => return Err(trouble),
        }
    }
}

async fn attempt(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
