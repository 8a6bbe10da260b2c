//! What the tests with real programs share: finding them, starting them, reading what they print, ending them.
#![allow(dead_code)] // each test uses its part

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// These tests hold calls in real time and need the machine for themselves.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says loudly that a test did not run. It is written past the test harness, which would hide it; `.ci/run` fails
/// on it.
pub fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {reason}");
}

/// The first of the programs that is on the search path (or, with a separator in its name, that exists).
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| {
        if Path::new(name).is_absolute() {
            return Path::new(name).is_file().then(|| name.into());
        }
        folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
    })
}

/// A folder for one test, which goes when the test does.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("twocan-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        Self(folder)
    }
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that ends when the test does, whatever comes.
pub struct Running {
    pub child: Child,
    name: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name }
    }

    /// Types a line and then nothing more, but leaves the keyboard connected.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin was piped");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the program reads its input");
    }

    /// The lines of its stdout from now on.
    pub fn lines(&mut self) -> Lines {
        Lines::of(self.child.stdout.take().expect("stdout was piped"), &self.name)
    }

    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        wait_for(&format!("the end of {}", self.name), timeout, || {
            self.child.try_wait().expect("it is our child")
        })
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines a program prints, read on a thread so that the wait for one can end.
pub struct Lines {
    lines: Receiver<String>,
    from: String,
}

impl Lines {
    pub fn of(output: impl Read + Send + 'static, from: &str) -> Self {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, from: from.into() }
    }

    pub fn next(&self, timeout: Duration) -> String {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{} printed nothing for {timeout:?}", self.from),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended before it printed the line", self.from),
        }
    }

    /// What is there now.
    pub fn waiting(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.try_iter()
    }
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, timeout: Duration, mut answer: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + timeout;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < end, "no {what} within {timeout:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
