use super::*;
use crate::codec::AudioDecoder;
use crate::codec::opus::OpusDecoder;
use crate::mix::Arrangement;
use crate::pipeline::mixing::MixMember;
use tokio::sync::mpsc;

const ANN: PeerId = PeerId(1);
const BEN: PeerId = PeerId(2);

/// Something like a voice: a gliding tone with overtones, different for each pitch.
fn voice(pitch: f32, number: usize) -> [f32; BLOCK] {
    std::array::from_fn(|n| {
        let time = (number * BLOCK + n) as f32 / SAMPLE_RATE as f32;
        let phase = time * pitch + 3.0 * (time * 2.0).sin();
        (1..8).map(|k| (phase * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum::<f32>() * 0.12
    })
}

struct Room {
    link: Mixing,
    plan: MixPlan,
    mixed: Mixed,
    start: Instant,
    number: usize,
}

impl Room {
    fn new() -> (Self, [mpsc::Receiver<EncodedAudio>; 2]) {
        let link = Mixing::new(None);
        let packets = [ANN, BEN].map(|id| {
            let (sender, packets) = mpsc::channel(1000);
            link.audio.put(AudioOutlet::new(id, sender));
            packets
        });
        let member = |member| MixMember { member, name: String::new(), muted: false };
        let plan = MixPlan {
            listeners: vec![ANN, BEN],
            members: [Member::Host, Member::Guest(ANN), Member::Guest(BEN)].map(member).into(),
            arrangement: Arrangement::Grid,
        };
        (Self { link, plan, mixed: Mixed::new(), start: Instant::now(), number: 0 }, packets)
    }

    /// So many blocks in which Ann says this and Ben nothing; we go on speaking.
    fn run(&mut self, blocks: usize, ann: impl Fn(usize) -> [f32; BLOCK]) {
        for _ in 0..blocks {
            self.link.tap.open.store(true, std::sync::atomic::Ordering::Relaxed);
            self.link.tap.put(&voice(140.0, self.number));
            let heard_at = self.start + Duration::from_millis(10) * self.number as u32;
            let voices = vec![(ANN, ann(self.number)), (BEN, [0.0; BLOCK])];
            self.mixed.handle(&self.link, &self.plan, &Tick { heard_at, voices });
            self.number += 1;
        }
    }
}

/// What a listener hears of its packets, and their positions.
fn heard(packets: &mut mpsc::Receiver<EncodedAudio>) -> (Vec<f32>, Vec<u64>) {
    let (mut decoder, mut pcm, mut positions) = (OpusDecoder::new().unwrap(), Vec::new(), Vec::new());
    while let Ok(packet) = packets.try_recv() {
        decoder.decode(&packet.data, &mut pcm).unwrap();
        positions.push(packet.position);
    }
    (pcm, positions)
}

/// Signal over error in decibels, for the second `from` of a sound.
fn likeness(wanted: &[f32], got: &[f32]) -> f32 {
    let energy = |sound: &mut dyn Iterator<Item = f32>| sound.map(|sample| sample * sample).sum::<f32>();
    let errors = &mut wanted.iter().zip(got).map(|(a, b)| a - b);
    10.0 * (energy(&mut wanted.iter().copied()) / energy(errors).max(1e-9)).log10()
}

#[test]
fn who_speaks_hears_a_stream_of_its_own_and_notices_no_change() {
    let silent = |_: usize| [0.0; BLOCK];
    let ((mut room, mut packets), (mut quiet, mut quiet_packets)) = (Room::new(), Room::new());
    // Ann speaks for a second, and is back in the shared mix two seconds and a bit later. In the other room she is silent
    // all the time: what she hears is the same, us.
    room.run(101, silent);
    room.run(100, |number| voice(230.0, number));
    assert_eq!(room.mixed.apart.len(), 1);
    room.run(60 + REJOIN as usize, silent);
    assert!(room.mixed.apart.is_empty(), "back in the shared mix");
    room.run(60, silent);
    quiet.run(room.number, silent);
    let (ann, positions) = heard(&mut packets[0]);
    let (undisturbed, _) = heard(&mut quiet_packets[0]);
    assert!(positions.windows(2).all(|pair| pair[1] == pair[0] + PACKET as u64), "no gap and nothing twice");
    assert_eq!(ann.len(), undisturbed.len());
    // Until she rejoins it is the same to the bit: the copy of the encoder goes on where the shared one was.
    let rejoined = ann.iter().zip(&undisturbed).position(|(a, b)| a != b).unwrap_or(ann.len());
    assert!(rejoined >= 400 * BLOCK, "a change at block {}", rejoined / BLOCK);
    let rest = likeness(&undisturbed[400 * BLOCK..], &ann[400 * BLOCK..]);
    assert!(rest > 10.0, "{rest} dB after coming back");
    // Ben hears her.
    let (ben, _) = heard(&mut packets[1]);
    let power = |sound: &[f32]| sound.iter().map(|sample| sample * sample).sum::<f32>();
    assert!(power(&ben[120 * BLOCK..190 * BLOCK]) > 1.3 * power(&undisturbed[120 * BLOCK..190 * BLOCK]));
}

#[test]
fn a_pause_of_the_clock_is_a_gap_and_nothing_else() {
    let (mut room, mut packets) = Room::new();
    room.run(41, |number| voice(230.0, number));
    room.start += Duration::from_secs(1);
    room.run(40, |number| voice(230.0, number));
    let (_, positions) = heard(&mut packets[1]);
    let steps: Vec<u64> = positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let long: Vec<&u64> = steps.iter().filter(|step| **step != PACKET as u64).collect();
    assert_eq!(long.len(), 1, "{steps:?}");
    assert!((48_000..=50_000).contains(long[0]), "{long:?}");
}

#[test]
fn our_own_voice_never_runs_dry_and_never_piles_up() {
    let (sender, blocks) = crossbeam_channel::bounded(10);
    let mut own = OwnVoice::default();
    let put = |loud: f32| assert!(sender.try_send([loud; BLOCK]).is_ok());
    put(0.5);
    assert!(own.next(&blocks).is_none(), "one is not enough to begin with");
    put(0.5);
    assert!(own.next(&blocks).is_some() && own.next(&blocks).is_some());
    assert!(own.next(&blocks).is_none(), "dry: it fills up again");
    put(0.5);
    assert!(own.next(&blocks).is_none());
    (0..5).for_each(|_| put(0.5));
    assert!(own.next(&blocks).is_some());
    assert_eq!(blocks.len(), 5, "a loud one is not left out yet");
    (0..5).for_each(|_| put(0.5));
    assert!(own.next(&blocks).is_some());
    assert!(blocks.len() < OWN_MOST, "but too many are too many");
    while blocks.try_recv().is_ok() {}
    (0..6).for_each(|_| put(0.0));
    assert!(own.next(&blocks).is_some());
    assert!(blocks.len() < OWN_MANY, "quiet ones are");
}
