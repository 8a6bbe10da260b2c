//! What it costs to forward one sender to many receivers: the two programs that `sfu.py` starts, measures and compares
//! with a Janus server. `cargo bench --bench sfu [-- ARGUMENTS OF sfu.py]`.
//!
//! ```text
//!   sfu.py ---- requests, one JSON object a line ----> hub    our forwarding alone: net::Sfu between net::Peers
//!          \--- the same ------------------------------> load   who sends, and who receives; of the hub and of Janus
//! ```
//!
//! `hub` has nothing but the connections and the relay, so its processor time and memory are those of forwarding. `load`
//! sends a recording of H.264 and Opus and counts what comes back; nothing is decoded.

mod clip;
mod count;
mod hub;
mod load;
mod room;

use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, exit};
use tokio::io::{AsyncBufReadExt, BufReader};
use twocan::net::NetConfig;

/// What either program can be told to do.
trait Role {
    async fn answer(&mut self, request: &Value) -> Value;
}

/// Answers one request after the other, as long as there are any.
async fn serve(mut role: impl Role) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request = serde_json::from_str(&line).expect("a request is JSON");
        println!("{}", role.answer(&request).await);
    }
}

fn number(request: &Value, name: &str) -> u64 {
    request[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {request}"))
}

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {request}"))
}

/// A connection with a port of its own, as if it were on a machine of its own.
fn config(bind: &str) -> NetConfig {
    let bind: IpAddr = bind.parse().expect("an address to bind to");
    NetConfig { bind: vec![bind], ..NetConfig::default() }
}

fn failed(error: impl std::fmt::Display) -> Value {
    json!({ "error": error.to_string() })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let role = arguments.first().map(String::as_str);
    if !matches!(role, Some("hub" | "load")) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/sfu.py");
        let own = std::env::current_exe().expect("this program has a path");
        let status = Command::new("python3").arg(script).arg("--program").arg(own).args(&arguments).status();
        exit(status.ok().and_then(|status| status.code()).unwrap_or(1));
    }
    let bind = arguments.get(1).expect("the address to bind to");
    // As many threads as the engine has, if nothing else is said.
    let threads = arguments.get(2).map_or(1, |threads| threads.parse().expect("a number of threads"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        match role {
            Some("hub") => serve(hub::Hub::new(config(bind))).await,
            _ => serve(load::Load::new(bind)).await,
        }
    });
}
