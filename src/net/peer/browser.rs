//! A browser that has knocked at an invite: it keeps the credentials it has drawn itself, so it gets a connection of its
//! own, which answers the offer that its name for us tells (see `invite::browser`).

use super::server::Shape;
use super::{OFFER_CHECKS, Peer, internal, remote_description, unusable};
use crate::invite::{Admits, BrowserGuest, Kind};
use crate::net::keys::Keys;
use crate::net::{NetConfig, NetError, NetEvent, sdp};
use tokio::sync::mpsc;

impl Peer {
    /// Lets a guest in. `keys`: of the invite, whose door this connection takes over; what waits behind it can be let go
    /// of then. Nothing is gathered: the guest has found a way here.
    pub async fn welcome(
        config: NetConfig,
        keys: Keys,
        guest: &BrowserGuest,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<Self, NetError> {
        let own = keys.for_browser(guest)?;
        let (offer, codec) = remote_description(&guest.offer(), Kind::Invite)?;
        let admits = Admits::Only(guest.ufrag().to_owned());
        let (mut peer, _) = Self::new(&config, events, OFFER_CHECKS, &own, admits, Shape::Call).await?;
        let (ufrag, password) = sdp::credentials(&offer.sdp).unwrap_or_default();
        peer.runtime.line.expect(ufrag, password);
        peer.runtime.line.take_door(guest.name(), &keys.identity.ufrag, &keys.identity.password.0);
        peer.prepare(codec).await?;
        peer.connection.set_remote_description(offer).await.map_err(unusable)?;
        let answer = peer.connection.create_answer(None).await.map_err(unusable)?;
        peer.connection.set_local_description(answer).await.map_err(internal)?;
        peer.negotiated().await?;
        peer.keys = keys;
        Ok(peer)
    }
}
