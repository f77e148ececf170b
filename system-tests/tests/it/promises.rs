//! `docs/promises.md` names tests and files of tests; what it names must be there, or the table says
//! more than is shown. A name counts if it is a function with a test attribute that is not ignored: a
//! helper of the same name shows nothing by itself.

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

/// The names of the tests in `text` that are run.
fn tests_of(text: &str) -> Vec<&str> {
    let mut tests = Vec::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            is_ignored |= line.starts_with("#[ignore");
            continue;
        }
        // What may stand between an attribute and its function.
        if line.starts_with("//") {
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line);
        if let Some(name) = function.strip_prefix("fn ").filter(|_| is_test) {
            let end = name.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
            tests.extend(
                name.get(..end.unwrap_or(name.len()))
                    .filter(|_| !is_ignored),
            );
        }
        (is_test, is_ignored) = (false, false);
    }
    tests
}

/// Names of all tests in the members of the workspace.
fn known() -> BTreeSet<String> {
    let mut files = Vec::new();
    for member in ["central-api", "shared", "store-api", "system-tests"] {
        sources(&root().join(member), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        names.extend(tests_of(&text).into_iter().map(str::to_owned));
    }
    names
}

/// What the last column of a row says.
fn shown_by(row: &str) -> &str {
    row.trim_end_matches('|').rsplit(" | ").next().unwrap()
}

/// What a row names in backticks as showing it.
fn named(row: &str) -> impl Iterator<Item = &str> {
    shown_by(row).split('`').skip(1).step_by(2)
}

/// Whether `name` is there: a path, or a test. A command is neither.
fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    if name.contains('/') {
        let path = root().join(name);
        return path.exists() || path.with_extension("rs").exists();
    }
    name.contains(' ') || known.contains(name)
}

/// Whether the row names something that shows it, or the row that does.
fn is_shown(row: &str) -> bool {
    let text = shown_by(row).trim();
    named(row).any(|name| !name.contains(' ')) || text.starts_with("as ")
}

#[test]
fn every_test_that_the_promises_name_exists() {
    let known = known();
    let table = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !shown_by(line).starts_with("shown by");
    let rows: Vec<&str> = table.lines().filter(is_row).collect();
    let names: Vec<&str> = rows.iter().copied().flat_map(named).collect();
    let missing: Vec<_> = names.iter().filter(|name| !exists(name, &known)).collect();
    assert!(missing.is_empty(), "not in the tree: {missing:#?}");
    assert!(names.len() > 50, "only {} names were found", names.len());
    let bare: Vec<_> = rows.iter().filter(|row| !is_shown(row)).collect();
    assert!(bare.is_empty(), "nothing shows: {bare:#?}");
    // The controls: what is not there is missed, in each form.
    for name in ["no_such_test", "no_such.rs", "central-api/no/such"] {
        assert!(!exists(name, &known), "{name}");
    }
    assert!(!is_shown("| a promise | one writer |"));
}

#[test]
fn a_test_is_what_is_run_as_one() {
    assert!(known().contains("a_test_is_what_is_run_as_one"));
    assert!(!known().contains("tests_of"), "a helper is no test");
    let text = "
        #[test]
        fn plain() {}
        #[tokio::test(flavor = \"multi_thread\")]
        /// About it.
        #[expect(clippy::too_many_lines)]
        async fn waiting() {}
        fn helper() {}
        #[test]
        #[ignore = \"some day\"]
        fn ignored() {}
        #[derive(Debug)]
        fn other() {}
        #[test]
        const BETWEEN: u8 = 1;
        fn late() {}
    ";
    assert_eq!(tests_of(text), ["plain", "waiting"]);
}
