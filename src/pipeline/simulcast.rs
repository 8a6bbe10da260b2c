//! Smaller layers of our picture (simulcast), beside the one that `send_video` makes: for a host that forwards to people
//! with narrow links or small tiles. One is encoded only while somebody asks for it, after the main picture, on the
//! same thread `venc`; at 320x180 it costs about a twelfth of 720p.

use super::meter::RateMeter;
use super::send_video::is_due;
use crate::codec::h264::H264Encoder;
use crate::codec::scale::Scaler;
use crate::codec::{CodecError, VideoEncoder};
use crate::frame::{EncodedFrame, FramePool, RawFrame};
use crate::ports::PeerId;
use crate::rtp::KeyframeThrottle;
use crate::units::{Bitrate, Resolution};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// The longer side and the rate of each smaller layer, the largest first: layers 1 and 2.
const SIZES: [(u32, Bitrate); 2] = [(320, Bitrate::from_kbps(150)), (160, Bitrate::from_kbps(60))];
/// In a small tile nobody misses the pictures above this rate.
const FPS: f64 = 20.0;

/// What the layers that can be asked for need, and how large they are, for a picture of this size.
pub fn layers(source: Resolution) -> impl Iterator<Item = (u8, Bitrate, Resolution)> {
    SIZES.into_iter().zip(1..).map(move |((side, rate), layer)| (layer, rate, size(source, side)))
}

fn size(source: Resolution, side: u32) -> Resolution {
    source.fitted_into(Resolution::new(side, side))
}

/// What whoever takes all layers gets of each: a receiver that is given a layer which does not come sees nothing.
#[derive(Debug, Default)]
pub struct Division {
    middle: bool,
}

/// From here on there is room for the middle one beside a main picture that is worth having; below the other, not.
const ROOM_FOR_MIDDLE: (Bitrate, Bitrate) = (Bitrate::from_kbps(450), Bitrate::from_kbps(350));
/// The main picture's, whatever the others take.
const LEAST_MAIN: Bitrate = Bitrate::from_kbps(100);

impl Division {
    /// Gives the rate of the main picture, and which of the smaller layers are sent: the smallest always.
    pub fn divide(&mut self, target: Bitrate) -> (Bitrate, [(u8, bool); SIZES.len()]) {
        self.middle = target >= if self.middle { ROOM_FOR_MIDDLE.1 } else { ROOM_FOR_MIDDLE.0 };
        let sent = [self.middle, true];
        let taken: u64 =
            SIZES.iter().zip(sent).filter(|(_, sent)| *sent).map(|((_, rate), _)| rate.bps()).sum();
        let main = Bitrate::from_bps(target.bps().saturating_sub(taken)).max(LEAST_MAIN);
        (main, [(1, sent[0]), (2, sent[1])])
    }
}

/// Where the small layers go, and who wants them.
#[derive(Default)]
pub(super) struct LayersOut(Mutex<Vec<LayerOutlet>>);

struct LayerOutlet {
    peer: PeerId,
    layer: u8,
    sender: Sender<EncodedFrame>,
    wanted: bool,
    keyframe: bool,
    throttle: KeyframeThrottle,
    /// A frame found no room: nothing is sent until the next keyframe.
    broken: bool,
}

impl LayersOut {
    fn lock(&self) -> MutexGuard<'_, Vec<LayerOutlet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not wanted yet.
    pub fn add(&self, peer: PeerId, layer: u8, sender: Sender<EncodedFrame>) {
        let mut outlets = self.lock();
        outlets.retain(|outlet| (outlet.peer, outlet.layer) != (peer, layer));
        let throttle = KeyframeThrottle::default();
        outlets.push(LayerOutlet {
            peer,
            layer,
            sender,
            wanted: false,
            keyframe: true,
            throttle,
            broken: true,
        });
    }

    pub fn remove(&self, peer: PeerId) {
        self.lock().retain(|outlet| outlet.peer != peer);
    }

    pub fn want(&self, peer: PeerId, layer: u8, wanted: bool) {
        for outlet in self.lock().iter_mut().filter(|outlet| (outlet.peer, outlet.layer) == (peer, layer)) {
            outlet.keyframe |= wanted && !outlet.wanted;
            outlet.wanted = wanted;
        }
    }

    pub fn request_keyframe(&self, peer: PeerId, layer: u8) {
        for outlet in self.lock().iter_mut().filter(|outlet| (outlet.peer, outlet.layer) == (peer, layer)) {
            outlet.keyframe = true;
        }
    }

    /// `None`: nobody wants this layer; otherwise whether the picture taken now must be a keyframe.
    fn wanted(&self, layer: u8, now: std::time::Instant) -> Option<bool> {
        let mut outlets = self.lock();
        outlets.retain(|outlet| !outlet.sender.is_closed());
        let mut keyframe = None;
        for outlet in outlets.iter_mut().filter(|outlet| outlet.layer == layer && outlet.wanted) {
            let needed = outlet.keyframe || outlet.broken && outlet.sender.capacity() > 0;
            let due = outlet.throttle.poll(now, needed);
            outlet.keyframe &= !due;
            keyframe = Some(keyframe.unwrap_or(false) || due);
        }
        keyframe
    }

    fn hand_out(&self, layer: u8, frame: &EncodedFrame) {
        for outlet in self.lock().iter_mut().filter(|outlet| outlet.layer == layer && outlet.wanted) {
            if outlet.broken && !frame.keyframe {
                continue;
            }
            outlet.broken = match outlet.sender.try_send(frame.clone()) {
                Ok(()) | Err(TrySendError::Closed(_)) => false,
                Err(TrySendError::Full(frame)) => !frame.disposable,
            };
        }
    }
}

/// The encoders; they live as long as they are wanted.
#[derive(Default)]
pub(super) struct Layers {
    running: [Option<Running>; SIZES.len()],
    camera: RateMeter,
    pool: FramePool,
}

struct Running {
    encoder: H264Encoder,
    scaler: Scaler,
    next: Option<std::time::Instant>,
}

impl Layers {
    pub fn encode(&mut self, frame: &RawFrame, out: &LayersOut) {
        self.camera.handle(frame.captured_at);
        for ((running, (side, rate)), layer) in self.running.iter_mut().zip(SIZES).zip(1..) {
            let Some(keyframe) = out.wanted(layer, frame.captured_at) else {
                *running = None;
                continue;
            };
            let Running { encoder, scaler, next } = running.get_or_insert_with(|| Running {
                encoder: H264Encoder::new(rate, FPS as u32),
                scaler: Scaler::default(),
                next: None,
            });
            let camera = self.camera.mean();
            if !keyframe && camera >= 1.0 && !is_due(next, frame.captured_at, FPS, camera) {
                continue;
            }
            let image = scaler.scale(&frame.image, size(frame.image.resolution(), side), &self.pool);
            match encoder.encode(&RawFrame { image, captured_at: frame.captured_at }, keyframe) {
                Ok(Some(encoded)) => out.hand_out(layer, &encoded),
                Ok(None) | Err(CodecError::NeedsKeyframe) => {}
                Err(CodecError::Fatal(error)) => {
                    tracing::error!(
                        error,
                        layer,
                        "the encoder of a small layer failed; the next picture gets a new one"
                    );
                    *running = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::I420;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc::{Receiver, channel};

    const PEER: PeerId = PeerId(1);

    fn run(
        layers: &mut Layers,
        out: &LayersOut,
        frames: &mut Receiver<EncodedFrame>,
        start: Instant,
        numbers: std::ops::Range<u32>,
    ) -> Vec<EncodedFrame> {
        let mut all = Vec::new();
        for number in numbers {
            let mut image = I420::black(Resolution::HD);
            image.planes_mut().0.fill((number * 3) as u8);
            layers
                .encode(&RawFrame { image, captured_at: start + Duration::from_secs(1) * number / 30 }, out);
            all.extend(std::iter::from_fn(|| frames.try_recv().ok()));
        }
        all
    }

    #[test]
    fn a_small_layer_is_made_only_while_it_is_wanted_and_begins_with_a_keyframe() {
        let (out, mut layers, start) = (LayersOut::default(), Layers::default(), Instant::now());
        let (sender, mut frames) = channel(8);
        out.add(PEER, 1, sender);
        assert!(run(&mut layers, &out, &mut frames, start, 0..10).is_empty());
        assert!(layers.running.iter().all(Option::is_none));
        out.want(PEER, 1, true);
        let made = run(&mut layers, &out, &mut frames, start, 10..70);
        assert!(made[0].keyframe && made[1..].iter().all(|frame| !frame.keyframe));
        assert!((36..=44).contains(&made.len()), "{} in two seconds", made.len());
        assert!(made.iter().all(|frame| frame.resolution == Resolution::new(320, 180)));
        assert!(layers.running[1].is_none());
        out.request_keyframe(PEER, 1);
        assert!(run(&mut layers, &out, &mut frames, start, 70..71)[0].keyframe);
        out.want(PEER, 1, false);
        assert!(run(&mut layers, &out, &mut frames, start, 71..80).is_empty());
        assert!(layers.running[0].is_none());
        out.want(PEER, 1, true);
        assert!(run(&mut layers, &out, &mut frames, start, 200..210)[0].keyframe);
        out.remove(PEER);
        assert!(run(&mut layers, &out, &mut frames, start, 210..220).is_empty());
    }

    #[test]
    fn a_full_queue_ends_the_layer_up_to_a_keyframe() {
        let (out, mut layers, start) = (LayersOut::default(), Layers::default(), Instant::now());
        let (sender, mut frames) = channel(2);
        out.add(PEER, 2, sender);
        out.want(PEER, 2, true);
        for number in 0..20 {
            let image = I420::black(Resolution::HD);
            layers
                .encode(&RawFrame { image, captured_at: start + Duration::from_secs(1) * number / 20 }, &out);
        }
        while frames.try_recv().is_ok() {}
        assert!(run(&mut layers, &out, &mut frames, start, 60..70)[0].keyframe);
    }

    #[test]
    fn the_layers_are_told_with_their_sizes() {
        let told: Vec<_> = layers(Resolution::HD).collect();
        assert_eq!(told[0], (1, Bitrate::from_kbps(150), Resolution::new(320, 180)));
        assert_eq!(told[1].2, Resolution::new(160, 90));
        assert_eq!(
            layers(Resolution::new(480, 640)).next().map(|layer| layer.2),
            Some(Resolution::new(240, 320))
        );
    }
}
