//! The thread `compose`: 25 times a second it takes everybody's newest picture, composes one, and encodes it for each band
//! of listeners. While nobody gets a mix it sleeps and keeps nothing.

use super::bands::{self, BANDS};
use super::{MixPlan, Mixing, lock};
use crate::frame::RawFrame;
use crate::mix::{Arrangement, Compositor, Member, Place, Seats, Tile, places};
use crate::pipeline::Picture;
use crate::pipeline::send_video::Sending;
use crate::ports::PeerId;
use crate::units::Resolution;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The composed picture; narrow ways get it smaller (see `ladder`).
const SIZE: Resolution = Resolution::HD;
const INTERVAL: Duration = Duration::from_millis(40);
/// Who shares an encoder is looked at this often.
const REGROUP: Duration = Duration::from_secs(1);

/// Runs until the wish ends. `camera`: our own pictures.
pub(in crate::pipeline) fn run(link: &Mixing, camera: &Picture) {
    let mut composing: Option<Composing> = None;
    while let Some((plan, version)) = link.wish.current() {
        if plan.listeners.is_empty() {
            composing = None;
            lock(&link.sizes).clear();
            link.wish.wait(version, None);
            continue;
        }
        let now = Instant::now();
        let composing = composing.get_or_insert_with(|| Composing::new(now));
        if now < composing.next {
            link.wish.wait(version, Some(composing.next - now));
            continue;
        }
        composing.next = (composing.next + INTERVAL).max(now);
        composing.work(link, &plan, camera, now);
    }
}

struct Composing {
    compositor: Compositor,
    seats: Seats,
    /// Where the first ones of them are.
    places: Vec<Place>,
    encoders: [Sending; BANDS],
    next: Instant,
    regroup_at: Instant,
}

impl Composing {
    fn new(now: Instant) -> Self {
        Self {
            compositor: Compositor::new(SIZE, now),
            seats: Seats::default(),
            places: Vec::new(),
            encoders: Default::default(),
            next: now,
            regroup_at: now + REGROUP,
        }
    }

    fn work(&mut self, link: &Mixing, plan: &MixPlan, camera: &Picture, now: Instant) {
        if now >= self.regroup_at {
            self.regroup_at = now + REGROUP;
            regroup(link);
        }
        let sources = lock(&link.sources).clone();
        let listeners: Vec<Vec<PeerId>> =
            link.video.iter().map(|band| band.targets().into_iter().map(|(id, _)| id).collect()).collect();
        let lone = match listeners.concat()[..] {
            [] => {
                self.encoders = Default::default();
                return;
            }
            [lone] => Some(lone),
            _ => None,
        };
        self.compose(link, plan, &sources, lone, camera, now);
        let taken = Instant::now();
        for ((encoder, out), listeners) in self.encoders.iter_mut().zip(&link.video).zip(listeners) {
            if listeners.is_empty() {
                *encoder = Sending::default();
            } else {
                encoder.encode(self.compositor.frame(), taken, out);
            }
        }
    }

    /// `lone`: the only listener, who is left out.
    fn compose(
        &mut self,
        link: &Mixing,
        plan: &MixPlan,
        sources: &[(PeerId, Picture)],
        lone: Option<PeerId>,
        camera: &Picture,
        now: Instant,
    ) {
        let slot = |member: Member| match member {
            Member::Host => Some(camera),
            Member::Guest(id) => sources.iter().find(|(known, _)| *known == id).map(|(_, picture)| picture),
        };
        let left_out = lone.map(Member::Guest);
        let members: Vec<Member> = (plan.members.iter().map(|known| known.member))
            .filter(|member| Some(*member) != left_out && slot(*member).is_some())
            .collect();
        let speaker = link.speaker();
        self.seats.update(&members, speaker.filter(|_| plan.arrangement == Arrangement::Speaker));
        let seats = self.seats.seats();
        let found = places(SIZE, seats.len(), plan.arrangement);
        let sizes: Vec<_> = seats.iter().zip(&found).map(|(seat, place)| (*seat, place.size)).collect();
        if found != self.places || *lock(&link.sizes) != sizes {
            *lock(&link.sizes) = sizes;
            self.places = found;
        }
        let pictures: Vec<Option<(Arc<RawFrame>, u64)>> = (seats.iter().zip(&self.places))
            .map(|(seat, _)| slot(*seat).and_then(|slot| slot.newest()))
            .collect();
        let tiles: Vec<Tile> = (seats.iter().zip(&self.places).zip(&pictures))
            .map(|((seat, place), picture)| {
                let known = plan.members.iter().find(|known| known.member == *seat);
                Tile {
                    member: *seat,
                    place: *place,
                    picture: picture.as_ref().map(|(frame, number)| (&frame.image, *number)),
                    name: known.map_or("", |known| known.name.as_str()),
                    muted: known.is_some_and(|known| known.muted),
                    // Large is mark enough.
                    speaking: speaker == Some(*seat)
                        && plan.arrangement == Arrangement::Grid
                        && seats.len() > 1,
                }
            })
            .collect();
        self.compositor.compose(now, &tiles);
    }
}

/// Moves listeners whose targets have changed to the band they belong to.
fn regroup(link: &Mixing) {
    let _still = lock(&link.sources);
    for (current, band) in link.video.iter().enumerate() {
        for (id, target) in band.targets() {
            let wanted = bands::next(current, target);
            if wanted != current
                && let Some(outlet) = band.take(id)
            {
                tracing::debug!(peer = id.0, %target, current, wanted, "a listener changes its band");
                link.video[wanted].put(outlet);
            }
        }
    }
}
