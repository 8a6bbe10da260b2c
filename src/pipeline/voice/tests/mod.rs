//! The voice through the real processing, in a simulated room.

mod distortion;
mod room;

use super::*;
use room::{Noise, RATE, Room, decibels, echo, play, speech};

const BLOCKS_PER_SECOND: usize = RATE / BLOCK;

fn run(settings: VoiceSettings, played: &[f32], heard: &[f32]) -> Vec<f32> {
    let mut processor = VoiceProcessor::new(settings);
    let mut sent = Vec::new();
    let (played, heard) = (played.as_chunks::<BLOCK>().0, heard.as_chunks::<BLOCK>().0);
    for (played, heard) in played.iter().zip(heard) {
        let mut block = [0.0; BLOCK];
        processor.handle_played(played);
        processor.process(heard, &mut block);
        sent.extend_from_slice(&block);
    }
    sent
}

const ALL_ON: VoiceSettings =
    VoiceSettings { noise_suppression: NoiseSuppression::High, automatic_gain: true };
const ALL_OFF: VoiceSettings =
    VoiceSettings { noise_suppression: NoiseSuppression::Off, automatic_gain: false };

#[test]
fn the_echo_of_the_speaker_is_gone_after_three_seconds() {
    let played = speech(10, 120.0, 1);
    let heard = echo(&played);
    for settings in [ALL_OFF, ALL_ON] {
        let sent = run(settings, &played, &heard);
        let after = 3 * BLOCKS_PER_SECOND * BLOCK;
        let less = decibels(&heard[after..]) - decibels(&sent[after..]);
        assert!(less >= 20.0, "{settings:?}: the echo is {less:.1} dB less");
    }
}

#[test]
fn who_speaks_here_is_heard() {
    let voice = speech(8, 190.0, 2);
    let silence = vec![0.0; voice.len()];
    let sent = run(ALL_OFF, &silence, &voice);
    let after = 2 * BLOCKS_PER_SECOND * BLOCK;
    let change = decibels(&sent[after..]) - decibels(&voice[after..]);
    assert!(change.abs() < 2.0, "the voice comes out {change:.1} dB louder");
    let change = decibels(&run(ALL_ON, &silence, &voice)[after..]) - decibels(&voice[after..]);
    assert!((-6.0..20.0).contains(&change), "with everything on {change:.1} dB louder");
}

#[test]
fn a_voice_gets_through_while_the_other_side_speaks() {
    let (played, voice) = (speech(12, 120.0, 1), speech(12, 190.0, 7));
    let start = 6 * BLOCKS_PER_SECOND * BLOCK;
    let mut heard = echo(&played);
    heard[start..].iter_mut().zip(&voice[start..]).for_each(|(sum, sample)| *sum += sample);
    let sent = run(ALL_OFF, &played, &heard);
    let change = decibels(&sent[start..]) - decibels(&voice[start..]);
    assert!(change > -12.0, "the voice comes out {change:.1} dB louder");
}

#[test]
fn noise_is_suppressed_as_much_as_wanted() {
    let mut noise = Noise(5);
    let hiss: Vec<f32> = (0..6 * RATE).map(|_| 0.01 * noise.next()).collect();
    let silence = vec![0.0; hiss.len()];
    let [off, low, high] =
        [NoiseSuppression::Off, NoiseSuppression::Low, NoiseSuppression::High].map(|level| {
            let settings = VoiceSettings { noise_suppression: level, automatic_gain: false };
            decibels(&hiss[3 * RATE..]) - decibels(&run(settings, &silence, &hiss)[3 * RATE..])
        });
    println!("noise is quieter by {off:.1} dB (off), {low:.1} dB (low), {high:.1} dB (high)");
    assert!(off < 3.0 && low > off + 3.0 && high > low + 5.0, "{off:.1} {low:.1} {high:.1}");
}

#[test]
fn settings_change_while_it_runs() {
    let mut processor = VoiceProcessor::new(ALL_OFF);
    let mut voice = [0.0; BLOCK];
    for settings in [ALL_ON, ALL_OFF, ALL_ON] {
        processor.apply(settings);
        processor.handle_played(&[0.1; BLOCK]);
        processor.process(&[0.1; BLOCK], &mut voice);
        assert!(voice.iter().all(|sample| sample.is_finite()));
    }
}

/// By how many decibels what is sent is quieter than what was heard, second by second. A second without echo to
/// speak of does not count.
fn echo_reduction(outcome: &room::Outcome) -> Vec<f32> {
    let seconds = outcome.heard.chunks_exact(RATE).zip(outcome.sent.chunks_exact(RATE));
    seconds.map(|(heard, sent)| decibels(heard) - decibels(sent)).collect()
}

fn shown(reduction: &[f32]) -> String {
    reduction.iter().map(|second| format!("{second:.0}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_echo_is_found_again_after_a_jump_of_its_delay() {
    let far = speech(24, 120.0, 1);
    let silence = vec![0.0; far.len()];
    for (name, delay) in [
        ("60 to 120 ms", (|at| if at < 12.0 { 0.06 } else { 0.12 }) as fn(f64) -> f64),
        ("120 to 60 ms", |at| if at < 12.0 { 0.12 } else { 0.06 }),
    ] {
        let outcome = play(ALL_OFF, &Room { delay, ..Room::PLAIN }, &far, &silence);
        let reduction = echo_reduction(&outcome);
        println!("delay {name}: {} dB a second, {:?}", shown(&reduction), outcome.stats);
        assert!(reduction[3..12].iter().all(|second| *second >= 20.0), "before: {}", shown(&reduction));
        assert!(reduction[14..].iter().all(|second| *second >= 20.0), "after: {}", shown(&reduction));
    }
}

#[test]
fn the_echo_is_measured_once_there_is_one() {
    let (far, silence) = (speech(6, 120.0, 1), vec![0.0; 6 * RATE]);
    assert_eq!(play(ALL_OFF, &Room::PLAIN, &silence, &far).stats, EchoStats::default());
    let stats = play(ALL_OFF, &Room::PLAIN, &far, &silence).stats;
    // Half as loud is 6 dB; the reverberation takes some of that back, and speech leaves bands out.
    assert!(stats.return_loss.is_some_and(|db| (0.0..25.0).contains(&db)), "{stats:?}");
    assert!(stats.return_loss_enhancement.is_some_and(|db| db > 5.0), "{stats:?}");
}

#[test]
fn clocks_that_run_apart_do_not_bring_the_echo_back() {
    let far = speech(60, 120.0, 3);
    let silence = vec![0.0; far.len()];
    for drift_ppm in [100.0, -100.0] {
        let outcome = play(ALL_OFF, &Room { drift_ppm, ..Room::PLAIN }, &far, &silence[..59 * RATE]);
        let reduction = echo_reduction(&outcome);
        println!("drift {drift_ppm} ppm: {} dB a second, {:?}", shown(&reduction), outcome.stats);
        // Where the delay has drifted by a step of the canceller, that second is weak; the next one is not.
        let weak = |second: &f32| *second < 20.0;
        assert!(reduction[3..].iter().filter(|second| weak(second)).count() <= 3, "{}", shown(&reduction));
        assert!(!reduction[3..].windows(2).any(|pair| pair.iter().all(weak)), "{}", shown(&reduction));
    }
}

#[test]
fn a_speaker_that_stood_still_and_another_one_are_taken_up() {
    let far = speech(24, 120.0, 4);
    let room = Room {
        delay: |at| if at < 12.0 { 0.05 } else { 0.09 },
        drift_ppm: 50.0,
        plays: |at| !(12.0..12.3).contains(&at),
    };
    let outcome = play(ALL_OFF, &room, &far, &vec![0.0; far.len() - RATE]);
    let reduction = echo_reduction(&outcome);
    println!("another speaker: {} dB a second, {:?}", shown(&reduction), outcome.stats);
    assert!(
        reduction[3..12].iter().chain(&reduction[15..]).all(|second| *second >= 15.0),
        "{}",
        shown(&reduction)
    );
}

/// Both speak at once: how much of the one who is here is changed by taking out the echo of the other, beside what the
/// same processing makes of him alone. The canceller favours no echo over a clear voice here: in loud echo a part of
/// the voice goes with it, as in the library it was ported from.
#[test]
fn who_speaks_here_while_the_other_speaks_stays_clear() {
    let far = speech(24, 120.0, 1);
    let silence = vec![0.0; far.len()];
    let start = 8 * RATE;
    let echo = decibels(&play(ALL_OFF, &Room::PLAIN, &far, &silence).heard[start..]);
    for (over_echo_db, least_snr_db, most_distance_db, most_lost) in
        [(0.0, 6.0, 5.5, 0.45), (10.0, 10.0, 5.5, 0.25)]
    {
        let mut near = speech(24, 190.0, 7);
        near[..start].fill(0.0);
        let gain = 10f32.powf((echo + over_echo_db - decibels(&near[start..])) / 20.0);
        near.iter_mut().for_each(|sample| *sample *= gain);
        let both = play(ALL_OFF, &Room::PLAIN, &far, &near);
        let alone = play(ALL_OFF, &Room::PLAIN, &silence, &near);
        let measure = |sound: &[f32]| distortion::measure(&alone.sent[start..], &sound[start..]);
        let (untreated, treated) = (measure(&both.heard), measure(&both.sent));
        println!("voice {over_echo_db} dB over the echo: untreated {untreated}; treated {treated}");
        assert!(treated.segmental_snr_db >= least_snr_db, "{treated}");
        assert!(treated.segmental_snr_db >= untreated.segmental_snr_db + 10.0, "{untreated}; {treated}");
        assert!(treated.log_spectral_db <= most_distance_db && treated.lost <= most_lost, "{treated}");
    }
}
