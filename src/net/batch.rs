//! Packets that leave one after the other leave in one system call, where the system splits a buffer into datagrams
//! (UDP segmentation offload: Linux, Windows).
//!
//! A picture is three to eight packets, all but the last of one length. webrtc's driver joins 16 at the least, as its
//! data channels have them; here whatever it sends in one round is held until it goes to sleep ([`Batch::flush`]),
//! microseconds later. What is no media is not held, and overtakes nothing.

use super::demux::is_rtp;
use super::sockets::send_now;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use webrtc::runtime::{AsyncUdpSocket, Transmit};

/// Of one call: less than one datagram could have at the most (65,507 over IPv4), which is where systems end.
const MAX_BYTES: usize = 60_000;

#[derive(Debug)]
pub(super) struct Batch {
    socket: Arc<dyn AsyncUdpSocket>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
    /// The length of each but the last, which may be shorter.
    segment: usize,
    /// Of what was held before; the next one that is sent is told.
    failed: Option<io::Error>,
}

impl Held {
    fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1))
    }

    fn takes(&self, transmit: &Transmit<'_>, max_segments: usize) -> bool {
        let length = transmit.contents.len();
        self.to == Some(transmit.destination)
            && length <= self.segment
            && self.count() < max_segments
            && self.bytes.len() + length <= MAX_BYTES
    }
}

impl Batch {
    pub fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self { socket, held: Mutex::default() }
    }

    /// Now, or with the next [`Self::flush`]. No room is no error: lost, as on the network.
    pub fn send(&self, transmit: &Transmit<'_>) -> io::Result<usize> {
        let mut held = self.held();
        let length = transmit.contents.len();
        let max_segments = self.socket.max_gso_segments();
        let is_plain = transmit.segment_size.is_none() && transmit.ecn.is_none() && transmit.src_ip.is_none();
        if max_segments < 2 || !is_plain || !is_rtp(transmit.contents) {
            self.let_go(&mut held);
            drop(held);
            return self.send_now(transmit).map(|()| length);
        }
        if !held.takes(transmit, max_segments) {
            self.let_go(&mut held);
            (held.to, held.segment) = (Some(transmit.destination), length);
        }
        held.bytes.extend_from_slice(transmit.contents);
        if length < held.segment {
            self.let_go(&mut held);
        }
        held.failed.take().map_or(Ok(length), Err)
    }

    /// What is held leaves.
    pub fn flush(&self) {
        self.let_go(&mut self.held());
    }

    fn let_go(&self, held: &mut Held) {
        let Some(destination) = held.to.take() else { return };
        let whole =
            Transmit { destination, contents: &held.bytes, segment_size: None, ecn: None, src_ip: None };
        let joined = (held.count() > 1).then_some(held.segment);
        let mut sent = self.send_now(&Transmit { segment_size: joined, ..whole });
        if sent.is_err() && joined.is_some() {
            // Some network cards cannot split them; the socket joins none any more when it has seen that.
            let one = |contents| self.send_now(&Transmit { contents, ..whole });
            sent = held.bytes.chunks(held.segment).try_for_each(one);
        }
        held.failed = sent.err();
        held.bytes.clear();
    }

    /// Only one task at a time could be woken when there is room again, others would wait for ever: so none waits.
    fn send_now(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match send_now(&*self.socket, transmit) {
            Poll::Pending => Ok(()),
            Poll::Ready(sent) => sent.map(drop),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSliceMut;
    use std::task::Context;
    use webrtc::runtime::RecvMeta;

    const BO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);
    const CY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3);

    /// Notes the lengths of the datagrams of each call.
    #[derive(Debug)]
    struct Card {
        segments: usize,
        splits: bool,
        calls: Mutex<Vec<(u16, Vec<usize>)>>,
    }

    impl AsyncUdpSocket for Card {
        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(BO)
        }
        fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
            if transmit.segment_size.is_some() && !self.splits || transmit.destination.port() == 0 {
                return Poll::Ready(Err(io::ErrorKind::NetworkUnreachable.into()));
            }
            let segment = transmit.segment_size.unwrap_or(usize::MAX);
            let lengths = transmit.contents.chunks(segment).map(<[u8]>::len).collect();
            self.calls.lock().unwrap().push((transmit.destination.port(), lengths));
            Poll::Ready(Ok(transmit.contents.len()))
        }
        fn max_gso_segments(&self) -> usize {
            self.segments
        }
    }

    struct Scene(Arc<Card>, Batch);

    impl Scene {
        fn new(segments: usize, splits: bool) -> Self {
            let card = Arc::new(Card { segments, splits, calls: Mutex::default() });
            Self(card.clone(), Batch::new(card))
        }

        fn send(&self, to: SocketAddr, kind: [u8; 2], length: usize) -> io::Result<usize> {
            let mut contents = vec![0; length];
            contents[..2].copy_from_slice(&kind);
            let transmit = Transmit {
                destination: to,
                contents: &contents,
                segment_size: None,
                ecn: None,
                src_ip: None,
            };
            self.1.send(&transmit)
        }

        fn media(&self, to: SocketAddr, lengths: &[usize]) {
            lengths
                .iter()
                .for_each(|length| assert_eq!(self.send(to, [0x80, 96], *length).unwrap(), *length));
        }

        /// To which port, and how long the datagrams of each call were.
        fn calls(&self) -> Vec<(u16, Vec<usize>)> {
            std::mem::take(&mut *self.0.calls.lock().unwrap())
        }
    }

    #[test]
    fn a_picture_leaves_in_one_call_and_nothing_is_overtaken() {
        let scene = Scene::new(64, true);
        scene.media(BO, &[1200, 1200, 1200, 700]);
        assert_eq!(scene.calls(), [(2, vec![1200, 1200, 1200, 700])], "a shorter one is the last");
        scene.media(BO, &[90, 1200, 1200]);
        assert_eq!(scene.calls(), [(2, vec![90])], "a longer one begins anew");
        scene.1.flush();
        scene.1.flush();
        assert_eq!(scene.calls(), [(2, vec![1200, 1200])]);
        // Reports, handshakes and checks.
        for kind in [[0x81, 200], [22, 254], [0, 1]] {
            scene.media(BO, &[300, 300]);
            scene.send(BO, kind, 300).unwrap();
            assert_eq!(scene.calls(), [(2, vec![300, 300]), (2, vec![300])]);
        }
        scene.media(BO, &[300]);
        scene.media(CY, &[300, 300]);
        scene.1.flush();
        assert_eq!(scene.calls(), [(2, vec![300]), (3, vec![300, 300])]);
    }

    #[test]
    fn no_more_are_joined_than_the_system_takes() {
        let scene = Scene::new(4, true);
        scene.media(BO, &[1000; 9]);
        scene.1.flush();
        assert_eq!(scene.calls(), [(2, vec![1000; 4]), (2, vec![1000; 4]), (2, vec![1000])]);
        let scene = Scene::new(64, true);
        scene.media(BO, &[1400; 60]);
        scene.1.flush();
        assert_eq!(scene.calls().iter().map(|(_, lengths)| lengths.len()).collect::<Vec<_>>(), [42, 18]);
        let scene = Scene::new(1, true);
        scene.media(BO, &[1000; 2]);
        assert_eq!(scene.calls(), [(2, vec![1000]), (2, vec![1000])], "nothing is held");
    }

    #[test]
    fn what_cannot_be_split_leaves_one_by_one_and_a_failure_is_told() {
        let scene = Scene::new(64, false);
        scene.media(BO, &[1000, 1000, 10]);
        assert_eq!(scene.calls(), [(2, vec![1000]), (2, vec![1000]), (2, vec![10])]);
        let nowhere = SocketAddr::new(BO.ip(), 0);
        scene.media(nowhere, &[1000]);
        scene.1.flush();
        assert!(scene.send(BO, [0x80, 96], 1000).is_err(), "of the one before");
        scene.media(BO, &[10]);
        assert_eq!(scene.calls(), [(2, vec![1000]), (2, vec![10])]);
    }
}
