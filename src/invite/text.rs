//! From what people paste to what it holds: everything a messenger, a mail program, a terminal or a browser's console
//! does to a text on its way is undone here.

use super::{InviteError, Kind, sdp};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What was inside the wrapping, not yet checked.
#[derive(Debug)]
pub enum Content {
    /// `kind` is what the JSON round it said; bare SDP has none.
    Sdp { kind: Option<Kind>, sdp: String },
    /// A `candidate:...` line.
    Candidate(String),
}

/// Codes have been through many hands: any padding, or none, and any last bits will do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// What the base64 of a description starts with: `{"`, `{ "`, `{ LF`, `{ CR`, `v=0`.
const BASE64_STARTS: [&str; 7] = ["eyJ", "eyI", "eyA", "ewo", "ew0", "dj0wDQ", "dj0wCg"];
/// A word of so many base64 characters is part of a code; ordinary words are shorter.
const LONG_RUN: usize = 24;

/// The text without what nobody sees and without what quoting added.
pub fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for line in text.lines() {
        let mut line = line.trim_end_matches('\r');
        while let Some(rest) = line.trim_start().strip_prefix(['>', '|']) {
            line = rest.strip_prefix(' ').unwrap_or(rest);
        }
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            continue;
        }
        for c in line.chars() {
            match c {
                '\u{ad}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}' => {}
                '“' | '”' | '„' | '«' | '»' => tidy.push('"'),
                '‘' | '’' => tidy.push('\''),
                c if c.is_whitespace() => tidy.push(' '),
                c if c.is_control() => {}
                c => tidy.push(c),
            }
        }
        tidy.push('\n');
    }
    let is_wrapping = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    tidy.trim_matches(is_wrapping).to_owned()
}

/// Finds the description or candidate in a tidy text.
pub fn unwrap(text: &str) -> Result<Content, InviteError> {
    if text.starts_with('{') || text.starts_with("[{") {
        return json(text);
    }
    if let Some(bare) = bare_sdp(text) {
        return bare;
    }
    let mut lines = text.lines().map(|line| line.trim().trim_start_matches("a="));
    if let Some(line) = lines.find(|line| line.starts_with("candidate:")) {
        if lines.any(|line| line.starts_with("candidate:")) {
            return Err(InviteError::SeveralCandidates);
        }
        return Ok(Content::Candidate(line.to_owned()));
    }
    if let Some(start) = base64_start(text) {
        return base64(&text[start..]);
    }
    if let Some(start) = text.find("{\"").or_else(|| text.find("{\\\"")) {
        return json(&text[start..]);
    }
    Err(if is_rest_of_code(text) { InviteError::CutOff } else { InviteError::NotACode })
}

/// Bare SDP: from the line `v=0` to the last line of that form. A console shows the line ends as `\r\n`.
fn bare_sdp(text: &str) -> Option<Result<Content, InviteError>> {
    let unescaped;
    let text = if text.contains("v=0\\r\\n") || text.contains("v=0\\n") {
        unescaped = text.replace("\\r", "").replace("\\n", "\n");
        &unescaped
    } else {
        text
    };
    let mut lines =
        text.lines().map(str::trim).skip_while(|line| *line != "v=0").filter(|line| !line.is_empty());
    let mut sdp = String::with_capacity(text.len());
    for line in lines.by_ref().take_while(|line| sdp::is_line(line)) {
        sdp.push_str(line);
        sdp.push('\n');
    }
    if sdp.is_empty() {
        return None;
    }
    // More of it behind something else: a line was broken in two or written over.
    let is_broken = lines.any(sdp::is_line);
    Some(if is_broken { Err(InviteError::Altered) } else { Ok(Content::Sdp { kind: None, sdp }) })
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// Where the code starts: at the start of a text without anything else, however it is broken into lines, else at a
/// word of some length, and not in the middle of one ("reworked").
fn base64_start(text: &str) -> Option<usize> {
    if text.chars().all(|c| is_base64(c) || c == '=' || c.is_whitespace()) {
        let longest = BASE64_STARTS.iter().map(|start| start.len()).max().unwrap_or_default();
        let first: String = text.chars().filter(|c| !c.is_whitespace()).take(longest).collect();
        if BASE64_STARTS.iter().any(|start| first.starts_with(start)) {
            return Some(0);
        }
    }
    let is_start = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let word = text[*at..].chars().take(LONG_RUN).take_while(|c| is_base64(*c)).count();
        before.is_none_or(|c| c == '/' || !is_base64(c)) && word >= LONG_RUN
    };
    let place = |start: &&str| text.match_indices(*start).map(|(at, _)| at).find(is_start);
    BASE64_STARTS.iter().filter_map(place).min()
}

/// `text` starts with base64; what follows the code is ignored, as in "... is my code, see you".
fn base64(text: &str) -> Result<Content, InviteError> {
    let end = text.find(|c: char| !is_base64(c) && !c.is_whitespace()).unwrap_or(text.len());
    let decoded = decode(&text[..end]);
    let decoded = match String::from_utf8(decoded) {
        Ok(decoded) => decoded,
        // What stands behind the code, taken for base64, gives anything but text: the code is before it.
        Err(error) => {
            let whole = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(whole);
            String::from_utf8(bytes).unwrap_or_default()
        }
    };
    let result = if decoded.starts_with('{') {
        json(&decoded)
    } else {
        bare_sdp(&decoded).unwrap_or(Err(InviteError::NotACode))
    };
    // The code goes on behind a character that does not belong there.
    let goes_on = text[end..].split(|c| !is_base64(c)).any(|word| word.len() >= LONG_RUN);
    match result {
        Err(InviteError::CutOff) if goes_on => Err(InviteError::Altered),
        other => other,
    }
}

/// Decodes what there is of base64 or base64url, leaving out white space.
fn decode(text: &str) -> Vec<u8> {
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let mut digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(standard).collect();
    if digits.len() % 4 == 1 {
        digits.pop(); // six bits of a byte whose other two are missing
    }
    BASE64.decode(digits).unwrap_or_default()
}

/// `text` starts with JSON; what follows the first value is ignored.
fn json(text: &str) -> Result<Content, InviteError> {
    let parse = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        values.next().unwrap_or(Ok(serde_json::Value::Null))
    };
    let value = parse(text).or_else(|error| {
        // Wrapped by a mail program, or printed by a console with its quotes escaped.
        let joined = text.replace('\n', "");
        match text.starts_with("{\\\"") {
            true => parse(&serde_json::from_str::<String>(&format!("\"{joined}\"")).unwrap_or_default()),
            false if joined.len() < text.len() => parse(&joined),
            false => Err(error),
        }
    });
    match value {
        Ok(value) => content(&value),
        Err(error) if !text.contains("sdp") && !text.contains("candidate") && !error.is_eof() => {
            Err(InviteError::NotACode)
        }
        Err(error) => Err(if error.is_eof() { InviteError::CutOff } else { InviteError::Altered }),
    }
}

/// `{"type","sdp"}`, `{"candidate"}`, and the same one level down, as some programs send them.
fn content(value: &serde_json::Value) -> Result<Content, InviteError> {
    let value = value.get(0).filter(|_| value.as_array().is_some_and(|all| all.len() == 1)).unwrap_or(value);
    let inner = ["sdp", "candidate"].iter().find_map(|key| value.get(key).filter(|inner| inner.is_object()));
    let value = inner.unwrap_or(value);
    if let Some(sdp) = value.get("sdp").and_then(serde_json::Value::as_str) {
        let kind = match value.get("type").and_then(serde_json::Value::as_str) {
            Some("offer") => Some(Kind::Invite),
            Some("answer" | "pranswer") => Some(Kind::Reply),
            Some(_) => return Err(InviteError::NotACode),
            None => None,
        };
        return Ok(Content::Sdp { kind, sdp: sdp.to_owned() });
    }
    match value.get("candidate").and_then(serde_json::Value::as_str) {
        Some(line) => Ok(Content::Candidate(line.trim().trim_start_matches("a=").to_owned())),
        None if value.as_array().is_some_and(|all| all.iter().any(|one| one.get("candidate").is_some())) => {
            Err(InviteError::SeveralCandidates)
        }
        None => Err(InviteError::NotACode),
    }
}

/// Whether this is a code without its beginning: it has the marks of a description, plain or in base64.
fn is_rest_of_code(text: &str) -> bool {
    let has_marks = |text: &str| {
        ["a=candidate:", "a=ice-", "a=fingerprint:", "a=rtpmap:", "a=rtcp", "\\r\\na=", "\"sdp\":"]
            .iter()
            .any(|mark| text.contains(mark))
    };
    let joined: String = text.split_whitespace().collect();
    let run = joined.split(|c| !is_base64(c)).max_by_key(|run| run.len()).filter(|run| run.len() >= LONG_RUN);
    // Where the groups of four digits began is lost with the beginning.
    let in_base64 = |run: &str| (0..4).any(|skip| has_marks(&String::from_utf8_lossy(&decode(&run[skip..]))));
    has_marks(text) || run.is_some_and(in_base64)
}
