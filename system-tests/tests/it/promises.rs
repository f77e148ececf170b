//! `docs/promises.md` names tests and files; what it names must be there, or the table says more
//! than is shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every Rust file below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Names of all functions and of all files in the members of the workspace.
fn known() -> BTreeSet<String> {
    let mut files = Vec::new();
    for member in ["central-api", "shared", "store-api", "system-tests"] {
        sources(&root().join(member), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        names.insert(file.file_name().unwrap().to_str().unwrap().to_owned());
        let text = fs::read_to_string(&file).unwrap();
        for after in text.split("fn ").skip(1) {
            let name = after.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
            names.extend(name.take(1).map(str::to_owned));
        }
    }
    names
}

/// What the last column of a row names in backticks.
fn named(row: &str) -> impl Iterator<Item = &str> {
    let shown_by = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
    shown_by.split('`').skip(1).step_by(2)
}

/// Whether `name` is there: a path, a function or a file. A command or a type is neither.
fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    if name.contains('/') {
        let path = root().join(name);
        return path.exists() || path.with_extension("rs").exists();
    }
    let is_type = name.starts_with(|sign: char| sign.is_ascii_uppercase());
    is_type || name.contains(' ') || known.contains(name)
}

#[test]
fn every_test_that_the_promises_name_exists() {
    let known = known();
    let table = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let names: Vec<&str> = rows.flat_map(named).collect();
    let missing: Vec<_> = names.iter().filter(|name| !exists(name, &known)).collect();
    assert!(missing.is_empty(), "not in the tree: {missing:#?}");
    assert!(names.len() > 50, "only {} names were found", names.len());
    // The controls: what is not there is missed, in each form.
    for name in ["no_such_test", "no_such.rs", "central-api/no/such"] {
        assert!(!exists(name, &known), "{name}");
    }
}
