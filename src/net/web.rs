//! Streams to servers that are named by addresses of the web: TCP, and TLS over it with the system's certificates.

use super::turn_stream::{Stream, StreamServer, dial};
use crate::server::Target;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Name servers that take longer have no answer.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one server that are tried.
const MAX_ADDRESSES: usize = 6;

/// Why a server is of no use. `Display` is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    #[error("The server “{0}” cannot be reached: {1}.")]
    Unreachable(String, String),
    #[error("The server “{0}” was reached, but {1}.")]
    Odd(String, &'static str),
}

/// A stream to the server. `bind`: this machine's addresses to start from; empty: any.
pub(super) async fn reach(target: &Target, bind: &[IpAddr]) -> Result<Box<dyn Stream>, WebError> {
    let unreachable =
        |why: &dyn std::fmt::Display| WebError::Unreachable(target.host.clone(), why.to_string());
    let found = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = match tokio::time::timeout(RESOLVE_LIMIT, found).await {
        Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
        Ok(Err(_)) => return Err(unreachable(&"its name was not found")),
        Err(_) => return Err(unreachable(&"no name server answers")),
    };
    let server =
        StreamServer { host: target.host.clone(), addresses, tls: target.secure, bind: bind.to_vec() };
    dial(&server).await.map_err(|trouble| unreachable(&trouble))
}
