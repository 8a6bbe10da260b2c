//! Statistics of a connection: above all, between which two addresses it goes.

use super::Peer;
use crate::net::endpoint::hop::is_hop;
use crate::net::sdp;
use crate::stats::PeerStats;
use rtc::statistics::report::RTCStatsReportEntry;
use rtc::statistics::stats::ice_candidate::RTCIceCandidateStats;
use std::net::SocketAddr;
use std::time::Instant;
use webrtc::peer_connection::StatsSelector;

impl Peer {
    /// Fills in what the transport knows.
    pub async fn stats(&self, into: &mut PeerStats) {
        self.monitor.fill(into);
        let report = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        let selected = report.iter().find_map(|entry| match entry {
            RTCStatsReportEntry::IceCandidatePair(pair) if pair.nominated => Some(pair),
            _ => None,
        });
        let Some(pair) = selected else { return };
        let (mut local, mut remote) = (String::new(), String::new());
        let from = self.runtime.remote();
        for entry in report.iter() {
            match entry {
                RTCStatsReportEntry::LocalCandidate(end)
                    if end.stats.id.ends_with(&pair.local_candidate_id) =>
                {
                    local = written(end, &self.runtime.names());
                }
                RTCStatsReportEntry::RemoteCandidate(end) if from == socket_of(end) => {
                    remote = written(end, &[])
                }
                _ => {}
            }
        }
        if let Some(from) = from.filter(|_| remote.is_empty()) {
            // Candidates that came within the description are not in the statistics; an address that is in
            // neither is a NAT's.
            let description = self.connection.remote_description().await;
            let kind = description.and_then(|description| sdp::kind_of(&description.sdp, from));
            remote = format!("{} {from} udp", kind.as_deref().unwrap_or("prflx"));
        }
        if from.is_none() && remote.is_empty() {
            // Over a relay nothing comes from the other side itself; sure is only what has no alternative.
            let description = self.connection.remote_description().await;
            let only = description.and_then(|description| sdp::only_candidate(&description.sdp));
            remote = only.map(|(address, kind)| format!("{kind} {address} udp")).unwrap_or_default();
        }
        let moved = self.runtime.sockets.moved_to();
        let heard = moved.map_or(from, |(_, to)| Some(to));
        if let Some((from, to)) = moved {
            // webrtc does not know of it.
            let description = self.connection.remote_description().await;
            let kind = description.and_then(|description| sdp::kind_of(&description.sdp, to));
            let kind = kind.as_deref().unwrap_or("prflx");
            (local, remote) = (format!("host {from} udp"), format!("{kind} {to} udp"));
        }
        if heard.is_some_and(is_hop) {
            remote = "relay (another member of the call)".into();
        }
        into.candidate_pair.local = local;
        into.candidate_pair.remote = remote;
        if into.candidate_pair.current_round_trip_time == 0.0 {
            into.candidate_pair.current_round_trip_time = pair.current_round_trip_time;
        }
    }
}

fn socket_of(end: &RTCIceCandidateStats) -> Option<SocketAddr> {
    Some(SocketAddr::new(end.address.as_deref()?.parse().ok()?, end.port))
}

/// `host 127.0.0.1:5000 udp`
fn written(end: &RTCIceCandidateStats, names: &[(SocketAddr, SocketAddr)]) -> String {
    let (kind, protocol) = (end.candidate_type, end.protocol.to_ascii_lowercase());
    let real = |name| names.iter().find(|(called, _)| *called == name).map_or(name, |(_, real)| *real);
    match socket_of(end).map(real) {
        Some(socket) => format!("{kind} {socket} {protocol}"),
        None => format!("{kind} {}:{} {protocol}", end.address.as_deref().unwrap_or("?"), end.port),
    }
}
