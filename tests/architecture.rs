//! The architecture as `src/lib.rs` draws it, checked on the sources: imports point down, foreign types stay in
//! their module, cores have no clock, files stay readable.
//!
//! Test code is left out throughout: a test may reach where the program may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A module may use those of its own line and of the lines before it.
const LAYERS: &[&[&str]] = &[
    &["units", "choice", "frame", "ports", "stats", "settings"],
    &["invite", "room", "rtp", "rate", "mix", "server"],
    &["relay"],
    &["device", "codec"],
    &["net", "pipeline"],
    &["engine"],
    &["ui", "cli"],
];

/// No clock, thread, lock, socket or device: time is an argument.
const CORES: &[&str] = &["invite", "room", "rtp", "rate", "mix", "server", "relay"];

/// Crates whose types stay in one module.
const FENCED: &[(&str, &str)] =
    &[("webrtc", "net"), ("rtc", "net"), ("egui", "ui"), ("eframe", "ui"), ("winit", "device")];

const MAX_LINES: usize = 600;
const MAX_MAIN_LINES: usize = 60;

/// One file of `src`.
struct Source {
    path: PathBuf,
    /// `["ui", "screens", "lobby"]`; empty for `lib.rs` and `main.rs`.
    module: Vec<String>,
    /// Without comments, string contents and tests; the lines are those of the file.
    code: String,
    lines: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test_file(&path) {
                found.push(read(path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > LAYERS.len(), "the sources were not found");
    found
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

fn read(path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).unwrap();
    let code = without_tests(&without_comments_and_strings(&text)).to_owned();
    let lines = code.lines().count();
    let relative = path
        .strip_prefix(root().join("src"))
        .unwrap()
        .with_extension("")
        .to_string_lossy()
        .replace('\\', "/");
    let mut module: Vec<String> = relative.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    Source { path: path.strip_prefix(root()).unwrap().into(), module, code, lines }
}

/// Blanks comments and the contents of string and character literals, so that only code is searched.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            1 + closing_quote(&rest[1..], '"')
        } else if first == '\'' && is_character(rest) {
            1 + closing_quote(&rest[1..], '\'')
        } else {
            // A name is taken whole: the `r` that ends one does not open a raw string.
            let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let taken = name.max(first.len_utf8());
            code.push_str(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        };
        code.extend(rest[..hidden].chars().filter(|&c| c == '\n'));
        rest = &rest[hidden..];
    }
    code
}

/// The length of the raw string literal that `text` starts with.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.find(|c| c != '#').unwrap_or(after.len());
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let start = text.len() - after.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |length| start + length + end.len()))
}

/// Up to and including the closing quote; a backslash takes the next character with it.
fn closing_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'x'` or `'\n'`, not the lifetime `'x`.
fn is_character(text: &str) -> bool {
    let mut chars = text[1..].chars();
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

/// The tests stand at the end of a file.
fn without_tests(code: &str) -> &str {
    let is_start = |at: &usize| {
        let after = code[*at..].trim_start_matches("#[cfg(test)]").trim_start();
        after.starts_with("mod ") && after.find('{') < after.find(';').or(Some(usize::MAX))
    };
    let start = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_start);
    &code[..start.unwrap_or(code.len())]
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `name` stands in the code as a whole name.
fn names<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(name)
        .map(|(at, _)| at)
        .filter(move |&at| !code[..at].ends_with(is_name) && !code[at + name.len()..].starts_with(is_name))
}

/// The first name of each path in `a::b`, `{a, b::{c, d}}`.
fn heads(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        return vec![path.chars().take_while(|&c| is_name(c)).collect()];
    };
    let (mut depth, mut found, mut current) = (1, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            found.push(heads(&std::mem::take(&mut current)).remove(0));
            if depth == 0 {
                break;
            }
        } else {
            current.push(c);
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The modules of the first level that a file names, by `crate::` or by climbing there with `super::`.
fn imports(source: &Source) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = source
        .code
        .match_indices("crate::")
        .flat_map(|(at, word)| heads(&source.code[at + word.len()..]))
        .collect();
    let to_the_top = "super::".repeat(source.module.len());
    if !source.module.is_empty() {
        found.extend(
            source
                .code
                .match_indices(&to_the_top)
                .flat_map(|(at, word)| heads(&source.code[at + word.len()..])),
        );
    }
    found.retain(|name| layer(name).is_some());
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|line| line.contains(&module))
}

#[test]
fn every_module_has_its_layer() {
    for source in sources() {
        if let Some(module) = source.module.first() {
            assert!(layer(module).is_some(), "{} is in no layer of src/lib.rs", source.path.display());
        }
    }
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    let mut beside: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
    for source in sources() {
        let Some(own) = source.module.first() else { continue };
        for target in imports(&source) {
            if target == *own {
                continue;
            }
            if layer(&target) > layer(own) {
                wrong.push(format!(
                    "{}: `{own}` must not use `{target}`, which is above it",
                    source.path.display()
                ));
            } else if layer(&target) == layer(own) {
                beside.insert((own.clone(), target), source.path.clone());
            }
        }
    }
    for ((own, target), path) in &beside {
        if let Some(back) = beside.get(&(target.clone(), own.clone())).filter(|_| own < target) {
            wrong.push(format!(
                "`{own}` and `{target}` use each other: {} and {}",
                path.display(),
                back.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_types_stay_in_their_module() {
    let mut wrong = Vec::new();
    for source in sources() {
        for &(name, home) in FENCED {
            if source.module.first().is_none_or(|module| module != home) {
                for at in names(&source.code, name) {
                    let line = source.code[..at].lines().count();
                    wrong.push(format!("{}:{line}: `{name}` is for src/{home} alone", source.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cores_are_handed_the_time() {
    for core in CORES {
        let path = root().join("src").join(core).join("mod.rs");
        let text = fs::read_to_string(&path).unwrap();
        let denied = text.contains("#![deny(clippy::disallowed_methods)]");
        assert!(denied, "{} must say `#![deny(clippy::disallowed_methods)]`", path.display());
    }
}

#[test]
fn files_stay_readable() {
    for source in sources() {
        let limit = if source.path.ends_with("src/main.rs") { MAX_MAIN_LINES } else { MAX_LINES };
        assert!(
            source.lines <= limit,
            "{} has {} lines; {limit} is the limit",
            source.path.display(),
            source.lines
        );
    }
}

#[test]
fn nothing_is_left_unwritten() {
    for source in sources() {
        for macro_name in ["todo", "unimplemented"] {
            assert_eq!(names(&source.code, macro_name).count(), 0, "{}: {macro_name}", source.path.display());
        }
    }
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = ["Cargo.toml", "Cargo.lock", "src", "assets", "tests", "README.md", "LICENSE", "target"];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name} does not belong at the top level"
        );
    }
}

#[test]
fn the_search_sees_code_and_only_code() {
    let text = r##"
        // crate::ui
        use crate::{units::{A, B}, frame::C};
        const S: &str = "crate::engine \" crate::net"; const R: &str = r#"crate::cli"#; const Q: char = '"';
        fn f<'a>(x: &'a crate::stats::Stats) {}
        #[cfg(test)]
        mod tests { use crate::ui::App; }
    "##;
    let code = without_tests(&without_comments_and_strings(text)).to_owned();
    let source = Source { path: "x.rs".into(), module: vec!["net".into()], code, lines: 0 };
    let expected = ["frame", "stats", "units"].map(str::to_owned);
    assert_eq!(imports(&source), BTreeSet::from(expected));
    let climbing = Source {
        code: "use super::super::engine::E; use super::y;".into(),
        module: vec!["net".into(), "x".into()],
        ..source
    };
    assert_eq!(imports(&climbing), BTreeSet::from(["engine".to_owned()]));
}
