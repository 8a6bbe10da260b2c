//! A port of the router that leads to our socket, opened by PCP, NAT-PMP or UPnP (RFC 6887, RFC 6886, IGD): whoever
//! has the code can send there, without our sending first. So the other side needs no reply from us, and two NATs
//! that let nobody in find each other.
//!
//! A connection holds a [`Lease`] as long as it lives, that is while its code is out or its call runs. The crate
//! renews the mapping; letting go of the last lease removes it from the router.

use portmapper::Client;
use std::net::{SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Looking for routers takes a second where there is none; this is what a router that answers late may take.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// The crate forgets after ten minutes what the router speaks, and would renew a mapping in the wrong language.
const PROBE_AGAIN: Duration = Duration::from_secs(8 * 60);
/// Where no router answered, another network may be there soon.
const PROBE_AGAIN_AFTER_NOTHING: Duration = Duration::from_secs(30);
/// Removing a mapping takes the router no longer; one that is slower forgets it when it runs out.
const RELEASE: Duration = Duration::from_millis(400);

/// The router's ports, if they may be asked for. Clones are one.
#[derive(Clone, Default)]
pub struct PortMapping(Option<Arc<Shared>>);

#[derive(Default)]
struct Shared {
    client: OnceLock<Client>,
    leases: Mutex<Leases>,
    /// When the router was last asked what it speaks, and whether it speaks anything.
    probed: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

#[derive(Default)]
struct Leases {
    next: u64,
    /// Ports that are wanted; the newest is mapped.
    wanted: Vec<(u64, NonZeroU16)>,
    mapped: Option<NonZeroU16>,
}

impl std::fmt::Debug for PortMapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "PortMapping(on)" } else { "PortMapping(off)" })
    }
}

impl PortMapping {
    pub fn on() -> Self {
        Self(Some(Arc::default()))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Asks the router what it speaks, so that the first code need not wait for that. On a tokio runtime.
    pub fn prepare(&self) {
        if let Some(shared) = self.0.clone() {
            tokio::spawn(async move { shared.probe().await });
        }
    }

    /// Has this UDP port of ours mapped; `None` if that is switched off.
    pub(super) fn lease(&self, port: u16) -> Option<Lease> {
        let shared = self.0.clone()?;
        let port = NonZeroU16::new(port)?;
        let id = {
            let mut leases = shared.leases();
            leases.next += 1;
            let id = leases.next;
            leases.wanted.push((id, port));
            id
        };
        let (settled, outcome) = tokio::sync::watch::channel(None);
        let keeper = tokio::spawn({
            let shared = shared.clone();
            async move {
                loop {
                    let answered = shared.probe().await;
                    shared.apply().await;
                    settled.send_replace(Some(answered));
                    tokio::time::sleep(PROBE_AGAIN).await;
                }
            }
        });
        Some(Lease { shared, id, outcome, keeper })
    }
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(Client::default)
    }

    /// Whether a router answers.
    async fn probe(&self) -> bool {
        let mut probed = self.probed.lock().await;
        if let Some((at, answered)) = *probed {
            let trust = if answered { PROBE_AGAIN } else { PROBE_AGAIN_AFTER_NOTHING };
            if at.elapsed() < trust {
                return answered;
            }
        }
        let answer = tokio::time::timeout(PROBE_LIMIT, self.client().probe()).await;
        let answered = match answer {
            Ok(Ok(Ok(found))) => {
                tracing::debug!(found.pcp, found.nat_pmp, found.upnp, "what the router speaks");
                found.pcp || found.nat_pmp || found.upnp
            }
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => false,
        };
        *probed = Some((Instant::now(), answered));
        answered
    }

    /// Has the newest port that is wanted mapped, or none.
    async fn apply(&self) {
        let wanted = {
            let mut leases = self.leases();
            let wanted = leases.wanted.last().map(|(_, port)| *port);
            if std::mem::replace(&mut leases.mapped, wanted) == wanted {
                // It may have been lost, with the network it was in.
                wanted.inspect(|_| self.client().procure_mapping());
                return;
            }
            wanted
        };
        let client = self.client();
        let mut outside = client.watch_external_address();
        let before = *outside.borrow_and_update();
        match wanted {
            Some(port) => client.update_local_port(port),
            None => client.deactivate(),
        }
        if before.is_none() {
            return;
        }
        // The old one goes first; then a question after it is answered only once the router was told.
        let told = async {
            let gone = outside.changed().await;
            if wanted.is_none() && gone.is_ok() {
                let _ = client.probe().await;
            }
        };
        let _ = tokio::time::timeout(RELEASE, told).await;
    }
}

/// One connection's wish for a mapping.
pub(super) struct Lease {
    shared: Arc<Shared>,
    id: u64,
    outcome: tokio::sync::watch::Receiver<Option<bool>>,
    keeper: JoinHandle<()>,
}

impl Lease {
    /// The address outside; waits as long as a router may still give one.
    pub async fn mapped(&self) -> Option<SocketAddr> {
        let mut outcome = self.outcome.clone();
        if *outcome.wait_for(Option::is_some).await.ok()? == Some(false) {
            return None;
        }
        let mut outside = self.shared.client().watch_external_address();
        let address: Option<SocketAddrV4> = *outside.wait_for(Option::is_some).await.ok()?;
        address.map(SocketAddr::V4)
    }

    /// Removes the mapping, if nobody else wants it.
    pub async fn release(self) {
        self.give_up();
        self.shared.apply().await;
    }

    fn give_up(&self) -> bool {
        self.keeper.abort();
        let mut leases = self.shared.leases();
        let before = leases.wanted.len();
        leases.wanted.retain(|(id, _)| *id != self.id);
        leases.wanted.len() < before
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.give_up()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let shared = self.shared.clone();
            runtime.spawn(async move { shared.apply().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_switched_off_asks_nobody() {
        let off = PortMapping::default();
        off.prepare();
        assert!(off.lease(5000).is_none() && !off.is_on());
        assert!(PortMapping::on().lease(0).is_none(), "there is no port 0");
    }

    #[tokio::test]
    async fn the_newest_port_is_mapped_until_nobody_wants_one() {
        let on = PortMapping::on();
        let shared = on.0.clone().unwrap();
        let first = on.lease(5000).unwrap();
        let second = on.lease(5001).unwrap();
        let same = on.lease(5001).unwrap();
        let mapped = || shared.leases().mapped.map(NonZeroU16::get);
        shared.apply().await;
        assert_eq!(mapped(), Some(5001));
        second.release().await;
        assert_eq!(mapped(), Some(5001), "somebody else has it too");
        same.release().await;
        assert_eq!(mapped(), Some(5000));
        first.release().await;
        assert_eq!(mapped(), None);
        assert!(shared.leases().wanted.is_empty());
    }
}
