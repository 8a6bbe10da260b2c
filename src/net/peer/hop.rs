//! Ways through other members of the room; see [`hop`](crate::net::endpoint).

use super::Peer;
use crate::net::NetError;
use crate::room::roster::MemberId;

impl Peer {
    /// Whoever is at the other end is this member: it may reach others through us, and they it.
    pub fn set_member(&self, member: MemberId) {
        self.runtime.line.set_member(member);
    }

    /// Tries to reach `member`, who is to be at the other end, by way of whoever is at the other end of `by` as well; they
    /// have to do the same. `false`: there is no such way.
    pub async fn reach_by(&self, by: &Self, member: MemberId) -> Result<bool, NetError> {
        if by.runtime.sockets.is_on_its_own() {
            return Ok(false);
        }
        let Some(address) = self.runtime.line.hop(&by.runtime.line, member) else { return Ok(false) };
        let (ip, port) = (address.ip(), address.port());
        self.add_line(format!("candidate:hop 1 udp 1 {ip} {port} typ relay raddr {ip} rport {port}")).await?;
        Ok(true)
    }
}
