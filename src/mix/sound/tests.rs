use super::*;
use crate::ports::PeerId;

const fn guest(id: u64) -> Member {
    Member::Guest(PeerId(id))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// Any of 24 bits, within full scale.
    fn sample(&mut self) -> f32 {
        ((self.next() >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
    }
    fn block(&mut self) -> Block {
        std::array::from_fn(|_| self.sample())
    }
}

fn heard(mixer: &SoundMixer, listener: Option<Member>) -> Block {
    let mut mix = [9.0; VOICE_BLOCK];
    mixer.hear(listener, &mut mix);
    mix
}

/// Lets everybody in.
fn settle(mixer: &mut SoundMixer, members: &[Member]) {
    members.iter().for_each(|member| mixer.put(*member, &[0.0; VOICE_BLOCK]));
    mixer.mix();
}

#[test]
fn everyone_hears_exactly_the_others() {
    let mut random = Random(7);
    let members: Vec<Member> = std::iter::once(Member::Host).chain((1..8).map(guest)).collect();
    let mut mixer = SoundMixer::new(None);
    settle(&mut mixer, &members);
    for _ in 0..50 {
        let blocks: Vec<Block> = members.iter().map(|_| random.block()).collect();
        members.iter().zip(&blocks).for_each(|(member, block)| mixer.put(*member, block));
        mixer.mix();
        for listener in &members {
            let mix = heard(&mixer, Some(*listener));
            for (n, sample) in mix.iter().enumerate() {
                let others = members.iter().zip(&blocks).filter(|(member, _)| *member != listener);
                // Exact: eight numbers of 24 bits fit into the 53 of a double.
                let sum: f64 = others.map(|(_, block)| f64::from(block[n])).sum();
                assert_eq!(sample.to_bits(), (sum as f32).to_bits());
            }
        }
    }
}

#[test]
fn who_leaves_no_voice_behind_leaves_no_trace_in_the_sum() {
    // A total in floats would keep what a huge voice has pushed out of its bits.
    let mut mixer = SoundMixer::new(None);
    let members = [guest(1), guest(2), guest(3)];
    settle(&mut mixer, &members);
    mixer.put(guest(1), &[7.9; VOICE_BLOCK]);
    mixer.put(guest(2), &[1e-9; VOICE_BLOCK]);
    mixer.put(guest(3), &[2e-9; VOICE_BLOCK]);
    mixer.mix();
    let mix = heard(&mixer, Some(guest(1)));
    assert!(mix.iter().all(|sample| (sample - 3e-9).abs() < 2e-12), "{}", mix[0]);
}

#[test]
fn a_lone_voice_passes_to_the_bit() {
    let mut random = Random(3);
    for loudest in [None, Some(3)] {
        let mut mixer = SoundMixer::new(loudest);
        let mut first = true;
        for _ in 0..20 {
            // Down to what no fixed point holds.
            let block = random.block().map(|sample| if sample > 0.9 { sample * 1e-30 } else { sample });
            mixer.put(guest(1), &block);
            mixer.put(guest(2), &[0.0; VOICE_BLOCK]);
            mixer.mix();
            let mix = heard(&mixer, Some(guest(2)));
            // The first block is faded in.
            if !std::mem::take(&mut first) {
                assert!(mix.iter().zip(&block).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
            assert_eq!(heard(&mixer, Some(guest(1))), [0.0; VOICE_BLOCK], "and does not hear itself");
        }
    }
}

#[test]
fn those_who_are_silent_share_one_mix() {
    let mut random = Random(5);
    let mut mixer = SoundMixer::new(Some(3));
    for number in 0..100 {
        let loud = random.block().map(|sample| sample * 0.3);
        let faint = random.block().map(|sample| sample * 0.0005);
        mixer.put(guest(1), if number < 30 { &loud } else { &faint });
        mixer.put(guest(2), &faint);
        mixer.put(guest(3), &loud);
        mixer.mix();
        assert_eq!(mixer.hearing(guest(2)), Hearing::All);
        assert_eq!(mixer.hearing(guest(3)), Hearing::AllButOwn);
        // A pause between words is no end.
        let own = if number < 30 + HOLD { Hearing::AllButOwn } else { Hearing::All };
        assert_eq!(mixer.hearing(guest(1)), own, "block {number}");
        if own == Hearing::All {
            assert_eq!(heard(&mixer, Some(guest(1))), heard(&mixer, Some(guest(2))));
            assert_eq!(heard(&mixer, None), loud, "the faint ones are left out");
        }
    }
}

#[test]
fn the_loudest_are_heard_and_stay_so() {
    let mut random = Random(9);
    let mut mixer = SoundMixer::new(Some(2));
    let mut run = |levels: [f32; 3], mixer: &mut SoundMixer| {
        for _ in 0..100 {
            for (id, level) in levels.iter().enumerate() {
                mixer.put(guest(id as u64), &random.block().map(|sample| sample * level));
            }
            mixer.mix();
        }
        (0..3).filter(|id| mixer.hearing(guest(*id)) == Hearing::AllButOwn).collect::<Vec<u64>>()
    };
    assert_eq!(run([0.3, 0.2, 0.1], &mut mixer), [0, 1]);
    assert_eq!(run([0.3, 0.2, 0.3], &mut mixer), [0, 1], "not louder by enough");
    assert_eq!(run([0.3, 0.2, 0.5], &mut mixer), [0, 2]);
    assert_eq!(run([0.0, 0.2, 0.0], &mut mixer), [1]);
}

#[test]
fn joining_and_leaving_make_no_click() {
    let tone = |n: usize| 0.5 * (std::f32::consts::TAU * 440.0 * n as f32 / 48_000.0).sin();
    for loudest in [None, Some(1)] {
        let mut mixer = SoundMixer::new(loudest);
        let mut sound = Vec::new();
        for number in 0..40 {
            mixer.put(Member::Host, &[0.0; VOICE_BLOCK]);
            // In the middle of a wave, with no warning.
            if (10..25).contains(&number) {
                mixer.put(guest(1), &std::array::from_fn(|n| tone(number * VOICE_BLOCK + n + 27)));
            }
            mixer.mix();
            sound.extend(heard(&mixer, Some(Member::Host)));
        }
        let steepest = sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.05 * tone(1), "a step of {steepest}");
        assert!(sound[26 * VOICE_BLOCK..].iter().all(|sample| *sample == 0.0));
        assert!(sound[12 * VOICE_BLOCK..].iter().take(VOICE_BLOCK).any(|sample| *sample > 0.49));
    }
}

#[test]
fn nonsense_harms_nobody_else() {
    let mut mixer = SoundMixer::new(None);
    let members: Vec<Member> = (0..80).map(guest).collect();
    settle(&mut mixer, &members);
    for bad in [f32::NAN, f32::INFINITY, f32::MAX, -1e30] {
        members.iter().for_each(|member| mixer.put(*member, &[bad; VOICE_BLOCK]));
        mixer.put(guest(1), &[0.25; VOICE_BLOCK]);
        mixer.mix();
        assert!(heard(&mixer, None).iter().all(|sample| sample.abs() <= 64.0 * MAX_SAMPLE));
    }
    assert_eq!(mixer.levels().count(), MAX_VOICES);
}
