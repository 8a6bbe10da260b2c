use super::*;
use crate::rtp::test_time::at_us;
use std::f32::consts::TAU;

/// "Decodes" a payload that names its place in a tone of 200 Hz.
#[derive(Default)]
struct Tone {
    decoded: u32,
    recovered: u32,
    concealed: usize,
    position: i64,
}

fn tone(from: i64, samples: usize, pcm: &mut Vec<f32>) {
    pcm.extend((0..samples as i64).map(|n| 0.5 * (TAU * ((from + n) % 240) as f32 / 240.0).sin()));
}

impl VoiceDecoder for Tone {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        let place = packet.get(2..10).ok_or(UndecodableVoice)?;
        let place = i64::from_be_bytes(place.try_into().map_err(|_| UndecodableVoice)?);
        tone(place, 960, pcm);
        self.position = place + 960;
        self.decoded += 1;
        Ok(())
    }
    fn recover(&mut self, _: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.recovered += 1;
        self.conceal(samples, pcm)?;
        self.concealed -= samples;
        Ok(())
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        tone(self.position, samples, pcm);
        self.position += samples as i64;
        self.concealed += samples;
        Ok(())
    }
}

/// 20 ms of SILK wide band, with the flag of redundancy or without.
fn packet(n: i64, arrived_us: i64, redundancy: bool) -> RtpPacket {
    let mut payload = vec![9 << 3, if redundancy { 0xc0 } else { 0x80 }];
    payload.extend((n * 960).to_be_bytes());
    RtpPacket {
        payload_type: 111,
        marker: false,
        sequence: (65_500 + n) as u16,
        timestamp: (4_294_960_000i64 + n * 960) as u32,
        ssrc: 5,
        payload: payload.into(),
        arrived_at: at_us(arrived_us as u64),
    }
}

struct Run {
    voice: VoicePlayout,
    decoder: Tone,
    /// Still to arrive, by arrival.
    packets: VecDeque<RtpPacket>,
    now_us: i64,
    played: Vec<f32>,
    lags: Vec<i64>,
}

impl Run {
    fn new(mut packets: Vec<RtpPacket>) -> Self {
        packets.sort_by_key(|packet| packet.arrived_at);
        Self {
            voice: VoicePlayout::new(),
            decoder: Tone::default(),
            packets: packets.into(),
            now_us: 3_000,
            played: Vec::new(),
            lags: Vec::new(),
        }
    }
    /// Pulls `seconds` on a clock that is fast by `ppm`.
    fn run(&mut self, seconds: f64, ppm: f64) -> &mut Self {
        let step = 10_000.0 / (1.0 + ppm * 1e-6);
        let start = self.now_us as f64;
        let mut block = [0.0; VOICE_BLOCK];
        for n in 1..=(seconds * 100.0) as u64 {
            self.now_us = (start + n as f64 * step) as i64;
            let now = at_us(self.now_us as u64);
            while self.packets.front().is_some_and(|packet| packet.arrived_at <= now) {
                self.voice.handle_packet(&self.packets.pop_front().unwrap());
            }
            self.voice.pull(now, &mut self.decoder, &mut block);
            if self.played.len() < 48_000 * 60 {
                self.played.extend_from_slice(&block);
            }
            self.lags.extend(self.voice.shortest_lag());
        }
        self
    }
    fn largest_step(&self) -> f32 {
        self.played.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }
}

/// 50 packets a second, `delay_ms` after their time; `None` is lost.
fn stream(packets: i64, redundancy: bool, delay_ms: impl Fn(i64) -> Option<i64>) -> Vec<RtpPacket> {
    (0..packets).filter_map(|n| Some(packet(n, n * 20_000 + delay_ms(n)? * 1000, redundancy))).collect()
}

#[test]
fn a_clean_stream_is_played_sample_for_sample_with_little_delay() {
    let mut run = Run::new(stream(500, false, |_| Some(30)));
    let counters = run.run(10.0, 0.0).voice.counters();
    assert_eq!((counters.concealed_samples, counters.packets_discarded), (0, 0));
    assert!(run.lags.last().unwrap() <= &36_000, "{:?}", run.lags.last());
    assert_eq!(run.voice.target_delay(), Duration::from_millis(20));
    assert!(run.decoder.decoded >= 497 && run.decoder.concealed == 0);
    // A tone of 200 Hz moves by 0.0131 a sample at most.
    assert!(run.largest_step() < 0.015, "{}", run.largest_step());
    let wait = counters.jitter_buffer_delay / counters.jitter_buffer_emitted_count as f64;
    assert!((0.010..0.045).contains(&wait), "{wait}");
}

#[test]
fn jitter_is_waited_for() {
    let mut run = Run::new(stream(3_000, false, |n| Some(30 + n * 17 % 31)));
    run.run(10.0, 0.0);
    let before = run.voice.counters().concealed_samples;
    let counters = run.run(50.0, 0.0).voice.counters();
    assert!(counters.concealed_samples - before <= 960, "{counters:?}");
    assert!((40..=50).contains(&run.voice.target_delay().as_millis()));
}

#[test]
fn a_lost_packet_is_recovered_from_the_next_one_or_concealed() {
    for redundancy in [true, false] {
        let mut run = Run::new(stream(1_000, redundancy, |n| (n % 20 != 10).then_some(30)));
        let counters = run.run(19.9, 0.0).voice.counters();
        if redundancy {
            assert_eq!((counters.packets_recovered, counters.concealed_samples), (50, 0));
        } else {
            assert_eq!(counters.packets_recovered, 0);
            assert_eq!(counters.concealment_events, 50);
            assert!((50 * 480..=50 * 1_440).contains(&counters.concealed_samples), "{counters:?}");
        }
        assert_eq!(counters.packets_discarded, 0);
        assert!(run.lags.iter().all(|lag| (10_000..60_000).contains(lag)));
        assert!(run.largest_step() < 0.03, "{}", run.largest_step());
    }
}

#[test]
fn several_losses_in_a_row_are_concealed_and_the_last_recovered() {
    let mut run = Run::new(stream(500, true, |n| (!(200..203).contains(&n)).then_some(30)));
    let counters = run.run(9.0, 0.0).voice.counters();
    assert_eq!(counters.packets_recovered, 1);
    assert!((1_440..=2_400).contains(&counters.concealed_samples), "{counters:?}");
}

#[test]
fn packets_that_stay_away_fade_out_and_come_back_with_the_same_delay() {
    let mut run = Run::new(stream(1_000, false, |n| (!(200..300).contains(&n)).then_some(30)));
    let counters = run.run(15.0, 0.0).voice.counters();
    assert_eq!(counters.concealment_events, 1);
    let seconds = counters.concealed_samples as f64 / 48_000.0;
    assert!((1.9..2.1).contains(&seconds), "{seconds}");
    assert!(counters.silent_concealed_samples > 48_000 * 3 / 2);
    let middle = &run.played[5 * 48_000 - 4_800..5 * 48_000];
    assert!(middle.iter().all(|sample| *sample == 0.0));
    assert!(run.lags.last().unwrap() < &45_000);
    assert!(run.largest_step() < 0.03, "{}", run.largest_step());
}

#[test]
fn a_stall_that_delivers_late_is_caught_up_with() {
    // Three hundred milliseconds of packets come in one burst.
    let mut run = Run::new(stream(1_000, false, |n| {
        Some(if (200..215).contains(&n) { 30 + (215 - n) * 20 } else { 30 })
    }));
    let counters = run.run(15.0, 0.0).voice.counters();
    assert!(counters.removed_samples_for_acceleration > 48 * 200, "{counters:?}");
    assert_eq!(counters.packets_discarded, 0);
    assert!(run.lags.last().unwrap() < &60_000, "{:?}", run.lags.last());
}

#[test]
fn pauses_of_the_sender_are_not_losses() {
    // Ten packets of speech, then silence up to the next second; the sequence goes on without a hole.
    let mut packets = Vec::new();
    for n in 0..3_000i64 {
        if n % 50 < 10 {
            let mut speech = packet(n, n * 20_000 + 30_000, true);
            speech.sequence = packets.len() as u16;
            packets.push(speech);
        }
    }
    let counters = Run::new(packets).run(59.0, 0.0).voice.counters();
    assert_eq!((counters.concealed_samples, counters.packets_recovered), (0, 0));
    assert_eq!((counters.packets_discarded, counters.concealment_events), (0, 0));
}

#[test]
fn a_drifting_clock_is_followed_for_an_hour() {
    for ppm in [-200.0, 200.0] {
        let mut run = Run::new(stream(180_000, false, |n| Some(30 + n * 7 % 5)));
        let counters = run.run(3_595.0, ppm).voice.counters();
        assert!(counters.concealed_samples < 4_800, "{ppm}: {counters:?}");
        let (shortest, longest) = (run.lags.iter().min().unwrap(), run.lags.iter().max().unwrap());
        assert!(*shortest > 5_000 && *longest < 60_000, "{ppm}: {shortest} {longest}");
        let moved = counters.removed_samples_for_acceleration as i64
            - counters.inserted_samples_for_deceleration as i64;
        // 0.72 s in an hour.
        assert!((moved as f64 / 48_000.0 + ppm.signum() * 0.72).abs() < 0.1, "{ppm}: {moved}");
    }
}

#[test]
fn bursts_of_pulls_are_borne() {
    let mut run = Run::new(stream(2_000, false, |_| Some(30)));
    let mut block = [0.0; VOICE_BLOCK];
    for n in 1..900i64 {
        let now = at_us((n * 40_000) as u64);
        while run.packets.front().is_some_and(|packet| packet.arrived_at <= now) {
            run.voice.handle_packet(&run.packets.pop_front().unwrap());
        }
        for _ in 0..4 {
            run.voice.pull(now, &mut run.decoder, &mut block);
        }
    }
    let counters = run.voice.counters();
    assert!(counters.concealed_samples < 4_800, "{counters:?}");
}

#[test]
fn another_stream_and_a_restarted_sender_are_taken_up() {
    let mut packets = stream(500, false, |_| Some(30));
    for n in 0..500 {
        let mut other = packet(n, 10_000_000 + n * 20_000, false);
        (other.ssrc, other.sequence) = (6, n as u16);
        packets.push(other);
        let mut restarted = packet(n, 20_000_000 + n * 20_000, false);
        (restarted.ssrc, restarted.sequence, restarted.timestamp) =
            (6, (n - 300) as u16, n as u32 * 960 + 77);
        packets.push(restarted);
    }
    let mut run = Run::new(packets);
    run.run(29.0, 0.0);
    assert!(run.decoder.decoded > 1_300, "{}", run.decoder.decoded);
}

#[test]
fn memory_is_bounded_and_hostile_packets_do_no_harm() {
    let mut seed = 7u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..50 {
        let mut packets = stream(300, random() % 2 == 0, |_| Some(30));
        for packet in &mut packets {
            match random() % 6 {
                0 => packet.sequence ^= random() as u16,
                1 => packet.timestamp ^= random() as u32,
                2 => packet.payload = packet.payload.slice(..random() as usize % 11),
                3 => {
                    packet.payload =
                        Bytes::from((0..random() % 30).map(|_| random() as u8).collect::<Vec<_>>())
                }
                _ => {}
            }
        }
        let mut run = Run::new(packets);
        run.run(8.0, 0.0);
        assert!(run.voice.waiting.len() <= MAX_PACKETS && run.voice.signal.len() < 20_000);
        assert!(run.played.iter().all(|sample| sample.abs() <= 1.0));
    }
}
