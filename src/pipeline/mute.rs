//! What becomes of sound while the microphone is muted. The thread `aenc` asks it about each block.
//!
//! Nothing of the microphone is sent. But what is sent last is silence, up to the packet in which the encoder says that
//! nobody speaks (DTX): without that the other side would take the packets that stay away for lost ones and stretch the
//! last syllable until it fades.

use crate::codec::BLOCK;

/// Silence that is sent at most, in blocks: the encoder notices it after 200 ms.
const SILENT_BLOCKS: u32 = 50;

#[derive(Debug, Default)]
pub(super) struct Mute {
    /// Blocks that were sent since the microphone was muted.
    blocks: u32,
    told: bool,
}

impl Mute {
    /// Whether the block is to be encoded, after what must not be heard has been taken out of it: the first one goes down
    /// to silence, so that there is no click.
    pub fn admit(&mut self, muted: bool, block: &mut [f32; BLOCK]) -> bool {
        if !muted {
            *self = Self::default();
            return true;
        }
        if self.told {
            return false;
        }
        let gain = |n: usize| if self.blocks == 0 { 1.0 - n as f32 / BLOCK as f32 } else { 0.0 };
        block.iter_mut().enumerate().for_each(|(n, sample)| *sample *= gain(n));
        self.blocks += 1;
        true
    }

    /// A packet was encoded. `silent`: the other side knows that nobody speaks.
    pub fn encoded(&mut self, silent: bool) {
        self.told = self.blocks > 0 && (silent || self.blocks >= SILENT_BLOCKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::opus::OpusEncoder;
    use crate::codec::{AudioEncoder, PACKET};

    #[test]
    fn muted_sound_ends_softly_and_with_the_word_that_nobody_speaks() {
        let (mut mute, mut encoder) = (Mute::default(), OpusEncoder::new().unwrap());
        let voice = |n: usize| 0.4 * (std::f32::consts::TAU * (n % 343) as f32 / 343.0).sin();
        let (mut pcm, mut encoded, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..200 {
            // Muted from block 40 to 150.
            let muted = (40..150).contains(&number);
            let mut block: [f32; BLOCK] = std::array::from_fn(|n| voice(number * BLOCK + n));
            if !mute.admit(muted, &mut block) {
                pcm.clear();
                continue;
            }
            pcm.extend_from_slice(&block);
            if pcm.len() == PACKET {
                let packet = encoder.encode(&pcm).unwrap();
                mute.encoded(packet.is_none());
                encoded.extend_from_slice(&pcm);
                sizes.push((number, packet.map_or(0, |packet| packet.len())));
                pcm.clear();
            }
        }
        let muted: Vec<_> = sizes.iter().filter(|(number, _)| (40..150).contains(number)).collect();
        assert!((5..=25).contains(&muted.len()), "{muted:?}");
        // The announcement, and after it the encoder's "nothing to send".
        let sent: Vec<_> = muted.iter().map(|(_, size)| *size).filter(|size| *size > 0).collect();
        assert!(
            *sent.last().unwrap() <= 2 && sent[..sent.len() - 1].iter().all(|size| *size > 2),
            "{sent:?}"
        );
        assert!(sizes.iter().filter(|(number, _)| *number >= 150).count() >= 24, "and it comes back");
        // No step from the voice into the silence.
        let end = 40 * BLOCK;
        let step = |from: usize, to: usize| {
            encoded[from..to].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
        };
        assert!(step(end - 10, end + 2 * BLOCK) <= step(0, end) * 1.01);
        assert!(encoded[end + BLOCK..end + 4 * BLOCK].iter().all(|sample| *sample == 0.0));
    }
}
