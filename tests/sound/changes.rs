//! Devices that change while a call goes on: another default, a chosen one that goes and comes back, a sound server
//! that is killed and started anew.

use crate::call::{Instance, connect};
use crate::support::{Running, wait_for};
use crate::{LIMIT, RATE, record, recording, run, start_server};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the other side's test tone is surely louder than, as root mean square.
const LOUD: f32 = 0.05;
/// Sound has to be back this soon after the sound server.
const RESTART_LIMIT: Duration = Duration::from_secs(3);

/// Loads a module of the sound server; gives its number, by which it can be taken out.
fn load(module: &str) -> String {
    let answer = Command::new("pactl").arg("load-module").args(module.split(' ')).output().unwrap();
    assert!(answer.status.success(), "{module}");
    String::from_utf8_lossy(&answer.stdout).trim().to_owned()
}

fn speaker(name: &str, shown: &str) -> String {
    load(&format!(
        "module-null-sink sink_name={name} sink_properties=device.description={shown} rate=48000 channels=1"
    ))
}

fn pactl(arguments: &[&str]) {
    run(Command::new("pactl").args(arguments));
}

/// Waits until the last half second of what this speaker plays is loud; how long that took.
fn until_it_sounds(folder: &Path, sink: &str, when: &str) -> Duration {
    let (since, file) = (Instant::now(), folder.join(format!("{sink}.raw")));
    let _recorder = record(&format!("{sink}.monitor"), &file);
    wait_for(&format!("sound from {sink} {when}"), LIMIT, || {
        let sound = recording(&file);
        let late = &sound[sound.len().saturating_sub(RATE / 4)..];
        let power = late.iter().map(|sample| sample * sample).sum::<f32>() / late.len().max(1) as f32;
        (late.len() == RATE / 4 && power.sqrt() > LOUD).then_some(())
    });
    since.elapsed()
}

/// Plays words into a virtual microphone until the instance sends them.
fn until_words_are_sent(instance: &Instance, feed: &str, file: &Path) {
    let _player = Running::start(Command::new("paplay").args(["-d", feed]).arg(file));
    instance.stats("a voice that is sent", |stats| {
        let level = stats.pointer("/peers/0/outbound/audio/audioLevel")?.as_f64()?;
        (level > 0.01).then_some(())
    });
}

pub fn another_default_is_followed(folder: &Path, file: &Path) {
    let modules = [
        speaker("vsecond", "Second_Speaker"),
        speaker("vsecondfeed", "Second_Feed"),
        load(
            "module-remap-source source_name=vsecondmic master=vsecondfeed.monitor source_properties=device.description=Second_Mic",
        ),
    ];
    let (_caller, callee) = connect(folder, ["tone", "none"], ["default", "default"], &[]);
    until_it_sounds(folder, "vspeaker", "before the change");
    until_words_are_sent(&callee, "vmicfeed", file);
    pactl(&["set-default-sink", "vsecond"]);
    pactl(&["set-default-source", "vsecondmic"]);
    let took = until_it_sounds(folder, "vsecond", "as the new default");
    until_words_are_sent(&callee, "vsecondfeed", file);
    eprintln!("the call went over to the new default after {took:?}");
    pactl(&["set-default-sink", "vspeaker"]);
    pactl(&["set-default-source", "vmic"]);
    until_it_sounds(folder, "vspeaker", "as the default again");
    modules.iter().rev().for_each(|module| pactl(&["unload-module", module]));
}

pub fn a_chosen_speaker_that_returns_is_taken_again(folder: &Path) {
    let module = speaker("vheadset", "USB_Headset");
    let (_caller, callee) = connect(folder, ["tone", "none"], ["none", "USB_Headset"], &[]);
    until_it_sounds(folder, "vheadset", "at first");
    pactl(&["unload-module", &module]);
    let fell = until_it_sounds(folder, "vspeaker", "in its place");
    callee.says("“USB_Headset” is not connected. Another speaker is used until it is.");
    let module = speaker("vheadset", "USB_Headset");
    let back = until_it_sounds(folder, "vheadset", "when it is back");
    eprintln!(
        "unplugged: the default sounds after {fell:?}; plugged in: the chosen one sounds after {back:?}"
    );
    drop(callee);
    pactl(&["unload-module", &module]);
}

/// Gives the new server.
pub fn a_restarted_server_is_used_again(folder: &Path, file: &Path, server: Running) -> Running {
    let (_caller, callee) = connect(folder, ["tone", "none"], ["default", "default"], &[]);
    until_it_sounds(folder, "vspeaker", "before the restart");
    run(Command::new("pactl").arg("exit").stdout(Stdio::null()));
    drop(server);
    let server = start_server(folder);
    let back = until_it_sounds(folder, "vspeaker", "after the restart");
    eprintln!("the sound server was started anew: sound after {back:?}");
    assert!(back <= RESTART_LIMIT, "sound came back only after {back:?}");
    until_words_are_sent(&callee, "vmicfeed", file);
    server
}
