//! One sender's picture on its way to one receiver: which layer it gets, and the change from one to another.
//!
//! A change waits for a keyframe of the new layer and for the end of the old one's picture, so that the receiver
//! decodes whole pictures before and a keyframe after it.

use super::choice::{Steady, Version};
use super::layer::{Arrival, Layer};
use super::rewrite::{Place, Rewriter};
use crate::frame::RtpPacket;
use crate::units::Resolution;
use std::time::{Duration, Instant};

/// The end of a picture may be lost: then nobody waits for it longer than this.
const PICTURE_END: Duration = Duration::from_millis(50);
pub(super) const VIDEO_CLOCK: u32 = 90_000;

/// How a receiver draws a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Nobody sees it.
    #[default]
    Hidden,
    /// On so many pixels.
    Drawn(Resolution),
}

pub(super) struct Tile {
    pub view: View,
    pub wanted: Option<Version>,
    pub steady: Steady,
    /// The layer that is being forwarded.
    layer: Option<u8>,
    /// A picture of it is under way since then.
    open: Option<Instant>,
    /// The picture that was decided on, by its time, and whether it is left out.
    picture: Option<(u32, bool)>,
    rewriter: Rewriter,
    pub switches: u64,
}

impl Tile {
    pub fn new(first: u16) -> Self {
        Self {
            view: View::Hidden,
            wanted: None,
            steady: Steady::default(),
            layer: None,
            open: None,
            picture: None,
            rewriter: Rewriter::new(VIDEO_CLOCK, first),
            switches: 0,
        }
    }

    /// The layer that is being forwarded.
    pub fn layer(&self) -> Option<u8> {
        self.layer
    }

    /// What is added to the times of the layer that is being forwarded.
    pub fn shift(&self) -> Option<u32> {
        self.rewriter.shift_of(self.layer?)
    }

    /// The layer whose keyframe is waited for.
    pub fn waits_for(&self) -> Option<u8> {
        self.wanted.map(|wanted| wanted.layer).filter(|layer| self.layer != Some(*layer))
    }

    pub fn handle(&mut self, now: Instant, layer: u8, arrival: &Arrival, emit: &mut dyn FnMut(RtpPacket)) {
        let (timestamp, glance) = (arrival.packet.timestamp, arrival.glance);
        let current = self.layer == Some(layer);
        let (picture, wanted) = (&mut self.picture, self.wanted);
        let leave_out = || {
            if glance.empty {
                return true;
            }
            if let Some((_, decided)) = picture.filter(|(of, _)| *of == timestamp) {
                return decided;
            }
            // While a cheaper layer is waited for, what can be done without is left out of this one.
            let thin = wanted.is_none_or(|wanted| wanted.thin || wanted.layer > layer);
            let decided = thin && glance.disposable;
            *picture = Some((timestamp, decided));
            decided
        };
        let place = self.rewriter.place(now, layer, arrival.index, timestamp, leave_out);
        match place {
            Place::Forward { sequence, timestamp, in_order } => {
                if in_order && current {
                    self.open = (!arrival.packet.marker).then_some(now);
                }
                emit(RtpPacket { sequence, timestamp, ..arrival.packet.clone() });
            }
            Place::LeftOut => {}
            Place::Broken => self.end(),
        }
    }

    /// Changes the layer, or stops, if it is to and can.
    pub fn switch(
        &mut self,
        now: Instant,
        layers: &[Layer],
        shift: impl FnOnce(u8) -> Option<u32>,
        emit: &mut dyn FnMut(RtpPacket),
    ) {
        let wanted = self.wanted.map(|wanted| wanted.layer);
        if wanted == self.layer || self.open.is_some_and(|since| now < since + PICTURE_END) {
            return;
        }
        let Some(wanted) = wanted else { return self.end() };
        let Some(beginning) = layers.get(usize::from(wanted)).and_then(|layer| layer.beginning(now)) else {
            return;
        };
        let first = &beginning[0];
        self.rewriter.start(now, wanted, first.index, first.packet.timestamp, shift(wanted));
        (self.layer, self.open, self.picture) = (Some(wanted), None, None);
        self.switches += 1;
        for arrival in beginning {
            self.handle(now, wanted, arrival, emit);
        }
    }

    fn end(&mut self) {
        self.rewriter.stop();
        (self.layer, self.open, self.picture) = (None, None, None);
    }
}
