// No console window when started by a double click; the terminal verbs attach to the one they were typed in.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
