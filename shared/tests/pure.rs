//! The core is pure: the rules, the policies and the wire reach for no file, socket, process, thread,
//! environment, clock or die, and nothing they are built with could do so on an executor.
//!
//! That they compile without features says half of it. It does not notice a dependency that is not
//! optional, nor the standard library, which every crate may use. So two things are looked at: the
//! whole tree of packages that a build without features has, by name, and every path into `std` in
//! the sources, comments and texts left out. Code behind a feature would hide from that build, so
//! there must be none. Each look is also shown what it has to find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the core may be built with. Whoever adds one has to mean it.
const PACKAGES: [&str; 21] = [
    "allocator-api2",
    "bytes",
    "equivalent",
    "foldhash",
    "hashbrown",
    "http",
    "itoa",
    "jiff",
    "jiff-core",
    "memchr",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "shared",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
];
/// What `serde_json` writes floats with; its name differs between versions.
const FLOATS: [&str; 2] = ["ryu", "zmij"];
/// Parts of the standard library that touch the world.
const WORLD: [&str; 7] = ["env", "fs", "io", "net", "os", "process", "thread"];
/// Names that tell the time or throw dice, wherever they come from.
const CHANCE: [&str; 4] = ["DefaultHasher", "Instant", "RandomState", "SystemTime"];

/// The packages of a build with `features` that the core has no business with.
fn strangers(features: &[&str]) -> BTreeSet<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--manifest-path"])
        .arg(manifest)
        .arg("--no-default-features")
        .args(features)
        .output()
        .expect("cargo runs, since it runs this");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let tree = String::from_utf8_lossy(&output.stdout);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let known = |name: &&str| PACKAGES.contains(name) || FLOATS.contains(name);
    let names = names.filter(|name| !name.is_empty() && !known(name));
    names.map(str::to_owned).collect()
}

#[test]
fn the_core_is_built_with_nothing_that_runs_or_connects() {
    assert_eq!(strangers(&[]), BTreeSet::new());
    // The control: where an executor is in the tree, it is seen.
    let service = strangers(&["--features", "service"]);
    for stranger in ["axum", "mio", "rand", "tokio"] {
        assert!(service.contains(stranger), "{service:?}");
    }
}

/// The words and signs of `source`, without comments, texts and characters.
fn tokens(source: &str) -> Vec<String> {
    let text: Vec<char> = source.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut index = 0;
    while index < text.len() {
        let here = at(index);
        if here == '/' && at(index + 1) == '/' {
            while index < text.len() && at(index) != '\n' {
                index += 1;
            }
        } else if here == '/' && at(index + 1) == '*' {
            index = after_comment(&text, index);
        } else if here == '"' {
            index = after_text(&text, index);
        } else if let Some(end) = after_raw_text(&text, index) {
            index = end;
        } else if here == '\'' {
            // A character, or the name of a lifetime, which is a word.
            index = match (at(index + 1), at(index + 2)) {
                ('\\', _) => (index + 3..text.len())
                    .find(|end| at(*end) == '\'')
                    .map_or(text.len(), |end| end + 1),
                (_, '\'') => index + 3,
                _ => index + 1,
            };
        } else if here.is_alphanumeric() || here == '_' {
            let end = (index..text.len()).find(|end| !is_word(at(*end)));
            let end = end.unwrap_or(text.len());
            tokens.push(text.get(index..end).unwrap_or_default().iter().collect());
            index = end;
        } else if here == ':' && at(index + 1) == ':' {
            tokens.push("::".to_owned());
            index += 2;
        } else {
            if !here.is_whitespace() {
                tokens.push(here.to_string());
            }
            index += 1;
        }
    }
    tokens
}

fn is_word(here: char) -> bool {
    here.is_alphanumeric() || here == '_'
}

fn after_comment(text: &[char], from: usize) -> usize {
    let (mut depth, mut index) = (0, from);
    while index < text.len() {
        match text.get(index..index + 2) {
            Some(['/', '*']) => (depth, index) = (depth + 1, index + 2),
            Some(['*', '/']) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

fn after_text(text: &[char], from: usize) -> usize {
    let mut index = from + 1;
    while let Some(here) = text.get(index) {
        match here {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    index
}

/// Where a raw text that begins here ends; `None` if none begins here.
fn after_raw_text(text: &[char], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let prefix = usize::from(rest.first() == Some(&'b'));
    (rest.get(prefix) == Some(&'r')).then_some(())?;
    let before = from.checked_sub(1).and_then(|index| text.get(index));
    before
        .is_none_or(|before| !is_word(*before))
        .then_some(())?;
    let marks = rest.get(prefix + 1..)?;
    let marks = marks.iter().take_while(|mark| **mark == '#').count();
    let open = prefix + 1 + marks;
    (rest.get(open) == Some(&'"')).then_some(())?;
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', marks));
    let end = rest.get(open + 1..)?.windows(close.len());
    let end = end.into_iter().position(|window| window == close)?;
    Some(from + open + 1 + end + close.len())
}

/// What `source` reaches for that the core must not.
fn reaches(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let word = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if CHANCE.contains(&token.as_str()) {
            found.push(token.clone());
        }
        if token == "now" && index > 0 && word(index - 1) == "::" {
            found.push("::now".to_owned());
        }
        if token == "feature" && word(index + 1) == "=" {
            found.push("feature".to_owned());
        }
        if token != "std" {
            continue;
        }
        match word(index + 1) {
            "::" => found.extend(into_std(&tokens, index + 2)),
            // Under another name it would not be seen.
            "as" | ";" => found.push("std itself".to_owned()),
            _ => {}
        }
    }
    found
}

/// What the path that goes on at `from`, behind `std::`, leads to of the world.
fn into_std(tokens: &[String], from: usize) -> Vec<String> {
    let word = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut names = Vec::new();
    if word(from) == "{" {
        let mut depth = 0;
        for index in from..tokens.len() {
            match word(index) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(word(index), "{" | ",") {
                names.push(word(index + 1));
            }
        }
    } else {
        names.push(word(from));
    }
    let worldly = |name: &&str| WORLD.contains(name) || matches!(*name, "*" | "self");
    names.retain(|name| worldly(name));
    names.iter().map(|name| format!("std::{name}")).collect()
}

/// The source files under `folder`, but those that are tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of this crate") {
        let path = entry.expect("a folder of this crate").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && name != Some("tests.rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_core_reaches_for_no_file_socket_clock_or_die() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("limits.rs")];
    for folder in ["domain", "policy", "wire"] {
        files.extend(sources(&source.join(folder)));
    }
    for known in ["domain/decide.rs", "policy/breaker/mod.rs", "wire/event.rs"] {
        assert!(files.contains(&source.join(known)), "{known}: {files:?}");
    }
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of this crate");
        let found = reaches(&text);
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

#[test]
fn whatever_reaches_into_the_world_is_noticed() {
    for (planted, named) in [
        ("use std::fs;", "std::fs"),
        (
            "fn f() { ::std::net::TcpStream::connect(\"x\"); }",
            "std::net",
        ),
        ("use std::{fmt, fs::File, time::Duration};", "std::fs"),
        (
            "use std::{collections::{env, x}, io::{self, Read}};",
            "std::io",
        ),
        ("use std::{\n    // a remark\n    env,\n};", "std::env"),
        ("use std::*;", "std::*"),
        ("use std::{self};", "std::self"),
        ("use std as other;", "std itself"),
        ("extern crate std;", "std itself"),
        ("let at = std::time::SystemTime::now();", "SystemTime"),
        ("use std::time::{Duration, Instant};", "Instant"),
        ("let at = jiff::Timestamp::now();", "::now"),
        ("let die = std::hash::RandomState::new();", "RandomState"),
        ("#[cfg(feature = \"service\")] mod hidden;", "feature"),
        (
            "let c = '\"'; let d = std::process::id(); let e = '\"';",
            "std::process",
        ),
        (
            "let r = r#\"a \" b\"#; std::thread::yield_now();",
            "std::thread",
        ),
    ] {
        let found = reaches(planted);
        assert!(found.iter().any(|one| one == named), "{planted}: {found:?}");
    }
    for harmless in [
        "// std::fs in a remark",
        "/* std::fs /* and */ std::net */ fn f() {}",
        "let text = \"use std::fs; \\\" std::net\";",
        "let text = r##\"std::fs \"# std::env\"##;",
        "use std::{collections::{BTreeMap, net}, fmt, time::Duration};",
        "fn decide<'a>(now: &'a u64) -> u64 { self::std_like::fs(now) }",
        "let c = '\\''; let d = b'x'; let std = 1;",
    ] {
        assert_eq!(reaches(harmless), Vec::<String>::new(), "{harmless}");
    }
}
