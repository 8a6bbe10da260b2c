//! Counts what a receiver gets. One thread looks into all queues a few times a second, so that counting costs little.

use crossbeam_channel::Receiver;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use twocan::frame::RtpPacket;
use twocan::ports::Inlet;

/// More than what comes between two looks.
const QUEUE: usize = 4096;
const LOOK: Duration = Duration::from_millis(40);

/// What has come of one stream.
#[derive(Default)]
struct Stream {
    packets: u64,
    bytes: u64,
    /// Ends of pictures.
    markers: u64,
    /// First and highest sequence number, counted on beyond 16 bits.
    range: Option<(i64, i64)>,
}

impl Stream {
    fn take(&mut self, packet: &RtpPacket) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.markers += u64::from(packet.marker);
        let number = match self.range {
            None => i64::from(packet.sequence),
            Some((_, highest)) => highest + i64::from(packet.sequence.wrapping_sub(highest as u16) as i16),
        };
        let (first, highest) = self.range.unwrap_or((number, number));
        self.range = Some((first.min(number), highest.max(number)));
    }

    /// Numbers that have not come.
    fn missing(&self) -> i64 {
        self.range.map_or(0, |(first, highest)| highest - first + 1 - self.packets as i64)
    }

    fn told(&self) -> Value {
        json!({ "packets": self.packets, "bytes": self.bytes, "pictures": self.markers, "missing": self.missing() })
    }
}

struct Counted {
    id: u64,
    queues: [Receiver<RtpPacket>; 2],
    streams: [Stream; 2],
}

#[derive(Clone, Default)]
pub struct Counts(Arc<Mutex<Vec<Counted>>>);

impl Counts {
    pub fn start() -> Self {
        let counts = Self::default();
        let own = counts.clone();
        std::thread::spawn(move || {
            loop {
                own.look();
                std::thread::sleep(LOOK);
            }
        });
        counts
    }

    /// Where the packets of a receiver go.
    pub fn inlet(&self, id: u64) -> Inlet {
        let (video, pictures) = crossbeam_channel::bounded(QUEUE);
        let (audio, sound) = crossbeam_channel::bounded(QUEUE);
        let counted = Counted { id, queues: [pictures, sound], streams: Default::default() };
        self.0.lock().unwrap().push(counted);
        Inlet::new(video, audio)
    }

    fn look(&self) {
        for counted in self.0.lock().unwrap().iter_mut() {
            for (queue, stream) in counted.queues.iter().zip(&mut counted.streams) {
                queue.try_iter().for_each(|packet| stream.take(&packet));
            }
        }
    }

    /// What each receiver has got so far.
    pub fn told(&self) -> Value {
        self.look();
        let counts = self.0.lock().unwrap();
        let one = |counted: &Counted| {
            let [video, audio] = &counted.streams;
            json!({ "id": counted.id, "video": video.told(), "audio": audio.told() })
        };
        counts.iter().map(one).collect()
    }
}
