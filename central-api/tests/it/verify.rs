//! `central-api verify` finds every kind of damage that it promises to find, and says where.
//!
//! One folder is written by a real service over several lives. Each case takes it apart, does one
//! thing to it, puts it together with right checksums, and names the finding that there must be. The control is the folder as it was, of which nothing may be said.

mod api_keys;
pub(crate) mod damage;
mod effects;
mod frames;
mod orders;
mod records;
mod snapshots;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use central_api::ledger::KeyRetention;
use central_api::verify::{Finding, Report};
use reqwest::Method;
use serde_json::json;
use shared::disk::FsDisk;
use tempfile::TempDir;

use self::damage::{Folder, Place, names};
use crate::harness::{TestCentral, settings};

/// Products of the import, more than findings are listed.
const IMPORTED: usize = 120;

/// A folder with three lives, several segments and two snapshots: one in the midst of the log, one
/// at its end.
async fn lived_in() -> (TempDir, PathBuf) {
    let mut settings = settings();
    settings.segment_bytes = 4_000;
    let mut central = TestCentral::with(settings).await;
    for (id, units) in [("A", 10), ("B", 5), ("C", 0)] {
        central.create(id, units).await;
    }
    assert_eq!(central.update("A", -3, "sale").await.status(), 200);
    assert_eq!(central.update("A", -100, "refused").await.status(), 409);
    assert_eq!(central.update("B", 4, "received").await.status(), 200);
    let line = |id: &str| json!({"productId": id, "delta": -1});
    let both = json!({"storeId": "store-s1", "atomicity": "all", "idempotencyKey": "both",
                      "updates": [line("A"), line("B")]});
    let answer = central.post("/v1/inventory/updates", &both).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    central = central.restart().await;
    let deletion = json!({"productIds": ["C"]});
    let answer = central
        .admin_json(Method::DELETE, "/v1/admin/products/delete", &deletion)
        .await;
    assert_eq!(answer.status(), 200);
    let row = |number| format!("I-{number:03},Imported,2,7\n");
    let rows: String = (0..IMPORTED).map(row).collect();
    let answer = central
        .admin(Method::POST, "/v1/admin/products/import")
        .header("content-type", "text/csv")
        .body(format!("productId,name,price,onHand\n{rows}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);

    central = central.restart().await;
    assert_eq!(central.update("I-003", -1, "late-1").await.status(), 200);
    assert_eq!(central.update("A", -1, "late-2").await.status(), 200);
    central.create("C", 8).await;
    assert_eq!(central.update("C", -2, "late-3").await.status(), 200);
    assert_eq!(central.update("C", -1, "late-4").await.status(), 200);
    let folder = central.folder();
    (central.into_dir().await, folder)
}

fn verify(dir: &Path) -> Report {
    central_api::verify::verify(&FsDisk, dir, KeyRetention::default()).unwrap()
}

/// What the real program says, which must be all that the library found.
fn program(dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_central-api"))
        .arg("verify")
        .env_clear()
        .env("DATA_DIR", dir)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The finding that must come first.
struct Expected {
    file: String,
    byte: u64,
    record: Option<u64>,
    what: &'static str,
}

/// About the line of a record.
fn line(folder: &Folder, place: Place, what: &'static str) -> Expected {
    Expected {
        file: folder.file(place),
        byte: folder.byte(place),
        record: Some(folder.seq(place)),
        what,
    }
}

/// About a frame.
fn frame(folder: &Folder, place: Place, what: &'static str) -> Expected {
    Expected {
        byte: folder.frame_byte(place),
        ..line(folder, place, what)
    }
}

/// About a snapshot.
fn snapshot(folder: &Folder, index: usize, what: &'static str) -> Expected {
    Expected {
        file: folder.snapshots[index].file(),
        byte: 0,
        record: Some(folder.snapshots[index].seq()),
        what,
    }
}

/// Tries one kind of damage: what is found first is found at the damage and names it; the program
/// says all that the library finds, and fails.
fn noticed(healthy: &Path, name: &str, damage: impl Fn(&mut Folder) -> Expected) {
    let mut folder = Folder::read(healthy);
    let expected = damage(&mut folder);
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());

    let report = verify(copy.path());
    let Some(first) = report.findings.first() else {
        panic!("{name}: nothing was noticed");
    };
    let Finding {
        file, byte, record, ..
    } = first;
    let places = (file.as_str(), *byte, *record);
    let wanted = (expected.file.as_str(), expected.byte, expected.record);
    assert_eq!(places, wanted, "{name}: {first}");
    let mut there = report.findings.iter().filter(|finding| {
        finding.file == *file && (finding.byte, finding.record) == (*byte, *record)
    });
    assert!(
        there.any(|finding| finding.what.contains(expected.what)),
        "{name}: {first}"
    );

    let output = program(copy.path());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{name}: {text}");
    let listed: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
    let lines: Vec<&str> = text.lines().take(listed.len()).collect();
    assert_eq!(lines, listed, "{name}");
    let wrong = report.wrong;
    let end = match wrong {
        1 => ": 1 thing is wrong\n".to_owned(),
        _ => format!(": {wrong} things are wrong\n"),
    };
    assert!(text.ends_with(&end), "{name}: {text}");
}

/// Changes the record with this key by its text, and expects to be told of it.
fn changed(folder: &mut Folder, key: &str, pairs: &[(&str, &str)], what: &'static str) -> Expected {
    let place = folder.keyed(key);
    folder.change(place, pairs);
    line(folder, place, what)
}

#[tokio::test]
async fn nothing_is_said_of_a_folder_as_a_service_leaves_it_and_nothing_is_changed() {
    let (_dir, healthy) = lived_in().await;
    let folder = Folder::read(&healthy);
    assert!(folder.segments.len() >= 3, "several segments");
    let records = folder.places().len() as u64;
    let [middle, last] = [0, 1].map(|index: usize| folder.snapshots[index].seq());
    assert!(
        middle < last && last == records,
        "{middle} {last} {records}"
    );
    let before: Vec<_> = names(&healthy.join("journal"));

    let report = verify(&healthy);
    assert_eq!(report.findings, []);
    assert_eq!((report.wrong, report.torn_bytes), (0, 0));
    assert_eq!((report.records, report.snapshots), (records, 2));
    assert_eq!((report.checked_from, report.checked_to), (1, None));
    assert_eq!(report.products, 3 + IMPORTED);

    let output = program(&healthy);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(output.stderr.is_empty());
    let line = format!(
        "{records} records, next offset {}, {} products, digest {:016x}, 2 snapshots: nothing is wrong\n",
        report.next_offset, report.products, report.digest
    );
    assert_eq!(text, line);
    assert_eq!(names(&healthy.join("journal")), before);

    // Taken apart and put together it is the same: what the other cases find is their own doing.
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());
    for part in ["journal", "snapshots"] {
        for name in names(&healthy.join(part)) {
            let bytes = |dir: &Path| fs::read(dir.join(part).join(&name)).unwrap();
            assert!(bytes(copy.path()) == bytes(&healthy), "{part}/{name}");
        }
    }
}

#[tokio::test]
async fn what_hides_behind_damage_is_said_to_be_unchecked() {
    let (_dir, healthy) = lived_in().await;
    for (name, damage) in [
        (
            "a frame",
            (|folder, place| folder.frame(place).bytes = Some(b"?".to_vec()))
                as fn(&mut Folder, Place),
        ),
        ("a record", |folder, place| {
            *folder.line(place) = "{}".to_owned();
        }),
    ] {
        let mut folder = Folder::read(&healthy);
        let place = folder.keyed("sale");
        damage(&mut folder, place);
        let copy = tempfile::tempdir().unwrap();
        folder.write(copy.path());
        let text = said(&program(copy.path()));
        let to = Folder::read(&healthy).seq(place) - 1;
        let line = format!("effects are checked up to record {to} only");
        assert!(text.contains(&line), "{name}: {text}");
        assert!(text.ends_with(": 1 thing is wrong\n"), "{name}: {text}");
    }
}

#[tokio::test]
async fn a_hundred_findings_are_listed_and_all_are_counted() {
    let (_dir, healthy) = lived_in().await;
    let mut folder = Folder::read(&healthy);
    let place = folder.find(|record| record["events"].as_array().unwrap().len() == IMPORTED);
    folder.change(place, &[("\"batch\":{", "\"bunch\":{")]);
    let copy = tempfile::tempdir().unwrap();
    folder.write(copy.path());
    let report = verify(copy.path());
    assert_eq!(
        (report.findings.len(), report.wrong),
        (100, IMPORTED as u64)
    );
    let text = said(&program(copy.path()));
    assert!(text.ends_with(": 120 things are wrong\n"), "{text}");
}

#[tokio::test]
async fn a_folder_in_use_is_read_with_a_warning_and_one_that_is_not_there_is_an_error() {
    let central = TestCentral::start().await;
    central.create("A", 3).await;
    let output = program(&central.folder());
    let warning = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        warning.contains("a service is using this folder"),
        "{warning}"
    );
    assert!(said(&output).ends_with("nothing is wrong\n"));

    let nowhere = central.folder().join("nowhere");
    let output = program(&nowhere);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot list journal"), "{error}");
    assert!(!nowhere.exists(), "nothing is made by looking");
}
