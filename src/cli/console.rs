//! The terminal itself: printing that survives a closed pipe, lines from stdin, signals, and the odd ways of each
//! system. Lines and signals come in over one bounded channel, each from a thread of its own.

use crate::invite::MAX_TEXT;
use crossbeam_channel::Sender;
use std::io::{self, BufRead, IsTerminal, Write};

/// What comes from outside while a call runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// The engine has events.
    Wake,
    /// A line, without its end; one longer than any code is cut.
    Line(String),
    /// stdin has ended.
    End,
    /// Ctrl-C, or the system wants the program to end.
    Stop,
}

/// A code and candidates typed faster than they are read; beyond it the reading of stdin waits.
pub const INPUTS: usize = 256;

/// A line on stdout: a code or a result.
pub fn print(line: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// A line on stderr, for people.
pub fn say(line: &str) {
    // Nobody is left to be told that stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A program for the Windows desktop has no console; this borrows the one it was typed in. Handles that lead to a
/// file or a pipe stay as they are.
pub fn attach() {
    #[cfg(windows)]
    {
        #[link(name = "kernel32")]
        unsafe extern "system" {
            fn AttachConsole(process: u32) -> i32;
        }
        const ATTACH_PARENT_PROCESS: u32 = u32::MAX;
        // SAFETY: the function takes a number and touches no memory of ours. It fails where there is no console,
        // and then there is nobody to print for.
        unsafe { AttachConsole(ATTACH_PARENT_PROCESS) };
    }
}

/// Reads stdin until it ends.
pub fn read_lines(inputs: Sender<Input>) {
    let read = move || {
        let mut stdin = io::stdin().lock();
        let is_terminal = stdin.is_terminal();
        while let Ok(Some(line)) = next_line(&mut stdin) {
            let line = String::from_utf8_lossy(&line);
            if is_terminal && line.contains(END_KEY) {
                break;
            }
            let line = if is_terminal { without_erased(&line) } else { line.into_owned() };
            if inputs.send(Input::Line(line)).is_err() {
                return;
            }
        }
        // The face may be gone by now.
        let _ = inputs.send(Input::End);
    };
    spawn("stdin", read);
}

/// Ctrl-D, which a terminal hands through while it is in the mode of [`LongLines`].
const END_KEY: char = '\u{4}';

/// One line without its end, cut to what a code may have; `None` at the end of the input.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n' || char::from(*byte) == END_KEY);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (MAX_TEXT + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let is_end_key = end.is_some_and(|end| buffer[end] != b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        input.consume(used);
        if is_end_key {
            line.push(END_KEY as u8);
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// The line as it stands after the backspaces typed into it.
fn without_erased(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\u{8}' | '\u{7f}' => drop(kept.pop()),
            c => kept.push(c),
        }
    }
    kept
}

/// Hands on Ctrl-C and the system's wish to end.
pub fn watch_signals(inputs: Sender<Input>) {
    spawn("signals", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                if let Err(error) = runtime.block_on(watch(inputs)) {
                    tracing::warn!(%error, "Ctrl-C ends the program without a good-bye");
                }
            }
            Err(error) => tracing::warn!(%error, "Ctrl-C ends the program without a good-bye"),
        }
    });
}

#[cfg(unix)]
async fn watch(inputs: Sender<Input>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        if inputs.send(Input::Stop).is_err() {
            return Ok(());
        }
    }
}

#[cfg(windows)]
async fn watch(inputs: Sender<Input>) -> io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
    let (mut interrupt, mut pause) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut shutdown) = (ctrl_close()?, ctrl_shutdown()?);
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = pause.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
        if inputs.send(Input::Stop).is_err() {
            return Ok(());
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.into()).spawn(work) {
        tracing::error!(%error, name, "no thread");
    }
}

/// While this lives, a terminal takes lines of any length. In its usual mode Linux cuts a line after 4095 characters
/// and macOS after 1023, without a word: less than some codes have.
pub struct LongLines {
    #[cfg(unix)]
    before: Option<libc::termios>,
}

impl LongLines {
    #[cfg(unix)]
    pub fn begin() -> Self {
        if !io::stdin().is_terminal() {
            return Self { before: None };
        }
        // SAFETY: `termios` is plain integers, for which zeroes are valid; the call fills it in or says that it did
        // not, and both calls only look at the struct they are handed.
        unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(libc::STDIN_FILENO, &mut mode) != 0 {
                return Self { before: None };
            }
            let before = mode;
            // Without ECHOCTL the end of a line shows as one, not as ^J.
            mode.c_lflag &= !(libc::ICANON | libc::ECHOCTL);
            mode.c_cc[libc::VMIN] = 1;
            mode.c_cc[libc::VTIME] = 0;
            let is_set = libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &mode) == 0;
            Self { before: is_set.then_some(before) }
        }
    }

    /// The console of Windows takes 4096 characters, whatever its mode.
    #[cfg(not(unix))]
    pub fn begin() -> Self {
        Self {}
    }
}

#[cfg(unix)]
impl Drop for LongLines {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: as above. If the terminal is gone there is nothing to give back.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_cut_and_ended() {
        let long = "x".repeat(3 * MAX_TEXT);
        let text = format!("one\r\ntwo\u{4}{long}\nlast");
        let mut input = io::BufReader::with_capacity(7, text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines[..2], ["one\r", "two\u{4}"]);
        assert_eq!((lines[2].len(), lines[3].as_str(), lines.len()), (MAX_TEXT + 1, "last", 4));
    }

    #[test]
    fn a_backspace_takes_back_what_was_typed() {
        assert_eq!(without_erased("\u{7f}abx\u{7f}cé\u{8}"), "abc");
    }
}
