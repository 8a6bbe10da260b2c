//! The program `twocan`: arguments, logging, then the window or the terminal.

// No console window when started by a double click; the terminal verbs attach to the one they were typed in.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use twocan::cli;

/// The program's own warnings, and of the libraries only what is lost: they warn of every packet that comes late.
/// eframe calls it an error that a machine has no GPU; the window then opens through OpenGL. What speaks with the
/// network tells addresses with its errors; what they mean for a call is told in words.
const DEFAULT_LOG: &str =
    "error,twocan=warn,eframe=off,webrtc=off,rtc=off,mdns_sd=off,portmapper=off,igd_next=off,netwatch=off";

fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        cli::console::attach();
    }
    match cli::Args::read(std::env::args_os()) {
        Ok(args) => {
            log_to_stderr(args.output.log.as_deref());
            cli::run(&args).into()
        }
        Err(exit) => exit.into(),
    }
}

/// `--log`, else `RUST_LOG`, else the default. A level is for this program alone: what the libraries say at length has
/// addresses and passwords in it, and whoever wants that has to name them.
fn log_to_stderr(level: Option<&str>) {
    let environment = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let chosen = |level: &str| match level {
        directives if directives.contains('=') => EnvFilter::new(directives),
        level => EnvFilter::new(format!("off,twocan={level}")),
    };
    let filter = level.map_or_else(environment, chosen);
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
