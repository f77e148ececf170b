//! The map in `ARCHITECTURE.md` is the land: what it names is there, and what is there it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../../ARCHITECTURE.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The places in the first column of the map.
fn named() -> Vec<String> {
    let (_, map) = PAGE.split_once("## Code map").unwrap();
    let rows = map.lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let cell = row.trim_start_matches('|').split('|').next().unwrap();
        // What stands between the marks is every second piece.
        let places = cell.split('`').skip(1).step_by(2);
        places.map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

/// The modules right under the sources of a crate, as the map names them: without the end of a file.
fn modules(sources: &str) -> Vec<String> {
    let files = fs::read_dir(Path::new(ROOT).join(sources)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !matches!(name.as_str(), "lib.rs" | "main.rs"));
    names
        .map(|name| format!("{sources}/{}", without_end(&name)))
        .collect()
}

fn without_end(place: &str) -> &str {
    place.strip_suffix(".rs").unwrap_or(place)
}

#[test]
fn the_map_names_what_is_there_and_nothing_else() {
    let named = named();
    assert!(named.len() > 20, "{named:?}");
    for place in &named {
        let path = Path::new(ROOT).join(place);
        assert!(path.exists(), "{place} is not there");
    }
    let known: BTreeSet<_> = named.iter().map(|place| without_end(place)).collect();
    assert_eq!(known.len(), named.len(), "a place is named twice");
    for sources in ["shared/src", "central-api/src", "store-api/src"] {
        for module in modules(sources) {
            assert!(known.contains(&*module), "{module} is not in the map");
        }
    }
}
