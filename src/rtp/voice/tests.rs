use super::*;
use crate::frame::RtpPacket;
use crate::rtp::red::{RED, RedEncoder};
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

struct Run<D = Tone> {
    voice: VoicePlayout,
    decoder: D,
    /// Still to arrive, by arrival.
    packets: VecDeque<RtpPacket>,
    now_us: i64,
    played: Vec<f32>,
    lags: Vec<i64>,
}

impl<D: VoiceDecoder + Default> Run<D> {
    fn with(mut packets: Vec<RtpPacket>) -> Self {
        packets.sort_by_key(|packet| packet.arrived_at);
        Self {
            voice: VoicePlayout::new(),
            decoder: D::default(),
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

impl Run {
    fn new(packets: Vec<RtpPacket>) -> Self {
        Self::with(packets)
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
        println!(
            "{ppm} ppm for an hour: lag {:.1} to {:.1} ms, {:.1} ms concealed, {:.3} s taken out or put in",
            *shortest as f64 / 1e3,
            *longest as f64 / 1e3,
            counters.concealed_samples as f64 / 48.0,
            moved as f64 / 48_000.0
        );
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
            match random() % 7 {
                0 => packet.sequence ^= random() as u16,
                1 => packet.timestamp ^= random() as u32,
                4 => packet.payload_type = RED,
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
        assert!(run.voice.waiting.len() <= intake::MAX_PACKETS && run.voice.signal.len() < 20_000);
        assert!(run.played.iter().all(|sample| sample.abs() <= 1.0));
    }
}

/// Numbers that look random: below 1.
fn random(mut seed: u64) -> impl FnMut() -> f64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Which of `packets` are lost: in runs of `burst` on average, or each for itself if that is 0.
fn losses(packets: usize, share: f64, burst: f64) -> Vec<bool> {
    let (mut random, mut losing) = (random(99), false);
    let burst = if burst == 0.0 { 1.0 / (1.0 - share) } else { burst };
    let enter = share / (1.0 - share) / burst;
    (0..packets)
        .map(|_| {
            losing = random() < if losing { 1.0 - 1.0 / burst } else { enter };
            losing
        })
        .collect()
}

/// As [`stream`], with up to `depth` copies in each packet.
fn with_copies(packets: i64, depth: usize, delay_ms: impl Fn(i64) -> Option<i64>) -> Vec<RtpPacket> {
    let mut encoder = RedEncoder::default();
    let packed = |n: i64| {
        let mut packet = packet(n, 0, true);
        if let Some(payload) = encoder.encode(packet.timestamp, &packet.payload, 111, depth) {
            (packet.payload, packet.payload_type) = (payload, RED);
        }
        packet.arrived_at = at_us((n * 20_000 + delay_ms(n)? * 1000) as u64);
        Some(packet)
    };
    (0..packets).filter_map(packed).collect()
}

fn concealed_percent(run: &Run, before: VoiceCounters) -> f64 {
    let after = run.voice.counters();
    let total = after.total_samples_received - before.total_samples_received;
    (after.concealed_samples - before.concealed_samples) as f64 / total as f64 * 100.0
}

#[test]
fn jitter_of_30_ms_with_5_percent_of_reordering_conceals_less_than_one_percent() {
    // The kinds of the link: uniform and normal jitter, order kept; every twentieth packet 10 or 30 ms later.
    for (name, normal, held) in
        [("uniform", false, 10.0), ("uniform", false, 30.0), ("normal", true, 10.0), ("normal", true, 30.0)]
    {
        let (mut random, mut last) = (random(4), 0.0);
        let mut packets = stream(15_000, false, |_| Some(0));
        for (n, packet) in packets.iter_mut().enumerate() {
            let (one, other) = (random().max(1e-9), random());
            let jitter = if normal {
                15.0 * (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
            } else {
                60.0 * one - 30.0
            };
            let arrival = f64::max(last, n as f64 * 20.0 + 60.0 + jitter);
            last = arrival;
            let arrival = if random() < 0.05 { arrival + held } else { arrival };
            packet.arrived_at = at_us((arrival * 1e3) as u64);
        }
        let mut run = Run::new(packets);
        run.run(10.0, 0.0);
        let before = run.voice.counters();
        run.run(280.0, 0.0);
        let (percent, target) = (concealed_percent(&run, before), run.voice.target_delay().as_millis());
        println!("{name} jitter, 5 % held back {held} ms: {percent:.2} % concealed, target {target} ms");
        assert!(percent <= 1.0);
        assert!(target <= 120);
    }
}

#[test]
fn copies_stand_in_for_what_is_lost() {
    // Share and mean run of losses, copies; what may be concealed at most, in percent.
    for (share, burst, depth, limit) in [
        (0.05, 0.0, 1, 0.5),
        (0.10, 0.0, 1, 1.0),
        (0.20, 0.0, 2, 1.5),
        (0.10, 4.0, 2, 6.0),
        (0.20, 0.0, 0, 6.0),
        (0.10, 4.0, 0, 9.0),
    ] {
        let lost = losses(15_000, share, burst);
        let mut run = Run::new(with_copies(15_000, depth, |n| (!lost[n as usize]).then_some(30 + n % 3)));
        run.run(10.0, 0.0);
        let before = run.voice.counters();
        run.run(280.0, 0.0);
        let percent = concealed_percent(&run, before);
        let counters = run.voice.counters();
        println!(
            "{:.0} % lost, bursts of {burst}, {depth} copies and in-band redundancy: {percent:.2} % concealed, target {} ms",
            share * 100.0,
            run.voice.target_delay().as_millis()
        );
        assert!(percent <= limit);
        assert_eq!((counters.packets_discarded, counters.fec_packets_received > 0), (0, depth > 0));
        assert!(counters.fec_packets_discarded <= counters.fec_packets_received);
        assert!(run.lags.iter().all(|lag| (0..150_000).contains(lag)));
    }
}

#[test]
fn copies_of_what_arrived_change_nothing() {
    let mut with = Run::new(with_copies(1_000, 2, |_| Some(30)));
    let mut without = Run::new(stream(1_000, true, |_| Some(30)));
    let (with_counters, without_counters) =
        (with.run(19.0, 0.0).voice.counters(), without.run(19.0, 0.0).voice.counters());
    assert!(with.played == without.played);
    assert_eq!(with_counters.fec_packets_discarded, with_counters.fec_packets_received);
    assert_eq!((with_counters.concealed_samples, with_counters.packets_discarded), (0, 0));
    assert_eq!(with_counters.jitter_buffer_emitted_count, without_counters.jitter_buffer_emitted_count);
    // A packet that comes twice is no loss and no discarded one either.
    let mut twice = stream(1_000, true, |_| Some(30));
    twice.extend(stream(1_000, true, |_| Some(70)));
    let counters = Run::new(twice).run(19.0, 0.0).voice.counters();
    assert_eq!((counters.concealed_samples, counters.packets_discarded), (0, 0));
}

#[test]
fn after_an_outage_the_sound_is_back_at_once() {
    // Seconds of outage; delay after it in ms; whether the last second of it comes in a burst at the end.
    for (outage, after, burst) in
        [(3, 30, false), (10, 30, false), (10, 130, false), (3, 30, true), (10, 30, true)]
    {
        let (from, until) = (400, 400 + outage * 50);
        let mut run = Run::new(stream(until + 1_000, false, |n| match n {
            _ if (from..until - 50).contains(&n) => None,
            _ if (from..until).contains(&n) => burst.then_some((until - n) * 20 + after),
            _ if n < from => Some(30),
            _ => Some(after),
        }));
        run.run(until as f64 * 0.02 + 15.0, 0.0);
        // The block that ends at 3 + 10 n ms.
        let returned_ms = until * 20 + after;
        let back = run.played.chunks_exact(VOICE_BLOCK).enumerate().skip(returned_ms as usize / 10 - 1);
        let (back, _) = back.into_iter().find(|(_, block)| block.iter().any(|x| x.abs() > 0.3)).unwrap();
        let waited = 3 + (back as i64 + 1) * 10 - returned_ms;
        let lag_after = |seconds: i64| {
            let pulls = (until as usize) * 2 + seconds as usize * 100;
            run.lags[run.lags.len().min(pulls) - 1] as f64 / 1e3
        };
        println!(
            "outage of {outage} s, burst {burst}: sound after {waited} ms, lag {:.0} ms after 3 s, {:.0} ms at the end",
            lag_after(3),
            *run.lags.last().unwrap() as f64 / 1e3
        );
        assert!(waited <= 300);
        assert!(run.lags.last().unwrap() < &60_000);
        assert!(run.largest_step() < 0.03, "{}", run.largest_step());
    }
}

#[test]
fn a_packet_lost_before_a_pause_counts_as_one_packet() {
    // Ten packets of speech a second; the last of each ten is lost, so that no one says the pause begins.
    let mut packets = Vec::new();
    for n in (0..3_000i64).filter(|n| n % 50 < 10) {
        let mut speech = packet(n, n * 20_000 + 30_000, false);
        speech.sequence = (n / 50 * 10 + n % 50) as u16;
        packets.extend((n % 50 != 9).then_some(speech));
    }
    let counters = Run::new(packets).run(59.0, 0.0).voice.counters();
    assert_eq!(counters.concealed_samples, counters.concealment_events * 960);
    assert!((57..=60).contains(&counters.concealment_events), "{counters:?}");
}

/// A voice of 137 Hz with overtones: its period is no whole number of samples.
#[derive(Default)]
struct Singer(i64);

impl Singer {
    const HZ: f64 = 137.0;
    fn sing(&mut self, from: i64, samples: usize, pcm: &mut Vec<f32>) {
        let tone = |n: i64, k: f64| (std::f64::consts::TAU * k * Self::HZ * n as f64 / 48_000.0).sin() / k;
        pcm.extend(
            (from..from + samples as i64)
                .map(|n| (0.3 * (tone(n, 1.0) + tone(n, 2.0) + tone(n, 5.0))) as f32),
        );
        self.0 = from + samples as i64;
    }
}

impl VoiceDecoder for Singer {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        let place = packet.get(2..10).and_then(|place| place.try_into().ok()).ok_or(UndecodableVoice)?;
        self.sing(i64::from_be_bytes(place), 960, pcm);
        Ok(())
    }
    fn recover(&mut self, _: &[u8], samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.conceal(samples, pcm)
    }
    fn conceal(&mut self, samples: usize, pcm: &mut Vec<f32>) -> Result<(), UndecodableVoice> {
        self.sing(self.0, samples, pcm);
        Ok(())
    }
}

#[test]
fn shortened_and_lengthened_speech_keeps_its_pitch() {
    // The speaker's clock is slower or faster than the sender's than any real one.
    for ppm in [-4_000.0, 4_000.0] {
        let mut run: Run<Singer> = Run::with(stream(2_200, false, |n| Some(30 + n * 7 % 5)));
        let counters = run.run(40.0, ppm).voice.counters();
        let changed =
            counters.removed_samples_for_acceleration.max(counters.inserted_samples_for_deceleration);
        assert!(changed > 48 * 100, "{counters:?}");
        let worst = run.played[48_000..]
            .chunks_exact(1_920)
            .step_by(10)
            .map(|window| (pitch(window) / Singer::HZ - 1.0).abs())
            .fold(0.0, f64::max);
        println!(
            "{} ms taken out or put in within 40 s: pitch off by {:.2} % at most",
            changed / 48,
            worst * 100.0
        );
        assert!(worst < 0.03);
        assert!(run.largest_step() < 0.08, "{}", run.largest_step());
    }
}

/// The pitch of a sound by the period, 2 to 10 ms, at which it is most like itself.
fn pitch(window: &[f32]) -> f64 {
    let difference = |period: usize| {
        let (one, other) = (&window[..window.len() - 720], &window[period..]);
        one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
    };
    let period = (240..=500).min_by(|a, b| difference(*a).total_cmp(&difference(*b))).unwrap_or(240);
    48_000.0 / period as f64
}
