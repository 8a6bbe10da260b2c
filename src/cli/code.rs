//! `twocan code`: reads any code on stdin and prints it in another form.

use super::args::Args;
use super::{Exit, console};
use crate::invite::{self, Candidate, Description, Kind, MAX_TEXT, Pasted};
use serde::Serialize;
use std::io::Read;

/// The readable form. The reader takes it back: it knows `type` and `sdp` and leaves the rest alone.
#[derive(Serialize)]
struct Readable<'a> {
    r#type: &'static str,
    candidates: Vec<Way>,
    sdp: &'a str,
}

#[derive(Serialize)]
struct Way {
    r#type: String,
    address: String,
    port: u16,
    protocol: String,
}

pub fn run(args: &Args, full: bool, json: bool) -> Exit {
    let passphrase = match args.passphrase() {
        Ok(passphrase) => passphrase,
        Err(sentence) => {
            console::say(&sentence);
            return Exit::BadInput;
        }
    };
    let mut text = Vec::new();
    // One byte more than is allowed is enough to see that it is too much.
    let read = std::io::stdin().lock().take(MAX_TEXT as u64 + 1).read_to_end(&mut text);
    if let Err(error) = read {
        console::say(&format!("The code cannot be read: {error}."));
        return Exit::BadInput;
    }
    let text = String::from_utf8_lossy(&text);
    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.0.as_str());
    match invite::unseal(&text, passphrase).and_then(|text| invite::read(&text)) {
        Ok(pasted) => {
            console::print(&shown(&pasted, full, json));
            Exit::Ended
        }
        Err(error) => {
            console::say(&super::passphrase::sentence(&error));
            Exit::BadInput
        }
    }
}

fn shown(pasted: &Pasted, full: bool, json: bool) -> String {
    match pasted {
        Pasted::Description(description) if json => readable(description),
        Pasted::Description(description) if full => invite::encode_full(description),
        Pasted::Description(description) => invite::encode(description),
        Pasted::Candidate(line) if full || json => {
            #[derive(Serialize)]
            struct Json<'a> {
                candidate: &'a str,
            }
            to_json(&Json { candidate: &line.0 })
        }
        Pasted::Candidate(line) => line.0.clone(),
    }
}

fn readable(description: &Description) -> String {
    let way = |candidate: Candidate| Way {
        r#type: candidate.kind.to_string(),
        address: candidate.address,
        port: candidate.port,
        protocol: candidate.protocol.to_string(),
    };
    let lines = invite::candidates(description);
    to_json(&Readable {
        r#type: match description.kind {
            Kind::Invite => "offer",
            Kind::Reply => "answer",
        },
        candidates: lines.iter().filter_map(|line| Candidate::parse(line)).map(way).collect(),
        sdp: &description.sdp.0,
    })
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("text and numbers always make JSON")
}
