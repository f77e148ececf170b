//! The bodies of the fuzz targets on the ordinary compiler, over inputs that begin as valid ones.
//!
//! A fuzzer that is guided by coverage finds more, and runs apart (`docs/fuzzing.md`); this keeps
//! what it found from coming back, in a few seconds. Every run changes the same inputs in the same
//! ways, so a failure names the input that shows it again.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../../system-tests/fuzz/bodies/archive.rs"]
mod archive;
#[path = "../../system-tests/fuzz/bodies/csv_import.rs"]
mod csv_import;
#[path = "../../system-tests/fuzz/bodies/journal_frames.rs"]
mod journal_frames;
#[path = "../../system-tests/fuzz/bodies/mutate.rs"]
mod mutate;
#[path = "../../system-tests/fuzz/bodies/update_body.rs"]
mod update_body;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use central_api::journal::embedded::EmbeddedOptions;
use central_api::journal::{Journal, LogGen};
use central_api::ledger::open::recover;
use central_api::ledger::snapshot::{Copied, Cut, entries_of};
use central_api::ledger::{KeyRetention, Request, Writer};
use shared::clock::Timestamp;
use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};
use shared::domain::ids::{IdempotencyKey, ProductId};
use shared::domain::inventory::fingerprint;
use shared::domain::inventory::{Atomicity, Command, Details, Move, NewProduct, Reason};
use shared::domain::origin::Origin;

const INPUTS: usize = 20_000;
const NOW: Timestamp = Timestamp::from_millis(1_768_473_000_123);

#[test]
fn any_movement_body_is_refused_by_name_or_within_the_limits() {
    mutate::each(1, &mutate::kept("update_body"), INPUTS, update_body::run);
}

#[test]
fn a_body_of_many_wrong_lines_gets_a_bounded_answer() {
    for line in ["1,", "{},", "{\"delta\":\"x\",\"version\":-1,\"note\":1},"] {
        for rest in ["", ",\"atomicity\":\"all\""] {
            let lines = line.repeat(900_000 / line.len());
            let lines = lines.trim_end_matches(',');
            update_body::run(format!("\n{{\"updates\":[{lines}]{rest}}}").as_bytes());
        }
    }
}

#[test]
fn any_import_file_is_refused_or_its_rows_are_within_the_limits() {
    mutate::each(4, &mutate::kept("csv_import"), INPUTS, csv_import::run);
}

#[test]
fn any_data_folder_is_refused_or_comes_up_dense_and_checked() {
    let plain = mutate::pack(&aged());
    let sealed = [journal_frames::SEALED, &plain].concat();
    for found in mutate::kept("journal_frames") {
        journal_frames::run(&found);
    }
    mutate::each(2, &[plain], INPUTS / 2, journal_frames::run);
    mutate::each(3, &[sealed], INPUTS / 2, journal_frames::run);
}

/// The files of a ledger that has lived: several frames and segments, refusals, and a snapshot.
fn aged() -> Vec<(String, Vec<u8>)> {
    let sim = SimDisk::new(1, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(sim);
    let options = EmbeddedOptions {
        dir: PathBuf::from("/data"),
        segment_bytes: 1_500,
    };
    let retention = KeyRetention::default();
    let recovered = recover(&disk, &options, retention).unwrap();
    let (mut journal, mut writer) = (recovered.journal, Writer::new(recovered.fold));
    let (mut draft, _) = writer.begin(&mut journal, NOW).unwrap();
    writer.begin_generation(&mut draft, LogGen(0xa1));
    writer.decide(&mut draft, &create("A", 5));
    let (flush, _) = writer.finish(&mut journal, draft).unwrap();
    flush.run().unwrap();
    for number in 0..8 {
        let (mut draft, _) = writer.begin(&mut journal, NOW).unwrap();
        writer.decide(&mut draft, &sale(number));
        let (flush, _) = writer.finish(&mut journal, draft).unwrap();
        flush.run().unwrap();
        if number == 3 {
            let since = writer.fold().seq;
            let reader = journal.reader();
            let copied = Copied {
                entries: entries_of(writer.fold()),
                ..Copied::default()
            };
            let cut = Cut::complete(copied, since, &*reader, retention).unwrap();
            reader.write_snapshot(since, &mut cut.parts()).unwrap();
        }
    }
    let mut files = Vec::new();
    for (folder, prefix) in [("journal", "journal-"), ("snapshots", "")] {
        let folder = Path::new("/data").join(folder);
        for name in disk.list(&folder).unwrap() {
            let bytes = disk.read(&folder.join(&name)).unwrap();
            files.push((format!("{prefix}{name}"), bytes));
        }
    }
    assert!(files.len() > 3, "several segments and a snapshot");
    files
}

fn create(id: &str, on_hand: i64) -> Request {
    let details = Details {
        name: id.into(),
        ..Details::default()
    };
    let product = NewProduct {
        product: ProductId::parse(id).unwrap(),
        details,
        on_hand,
    };
    request(
        "create",
        Command::Create {
            items: vec![product],
            atomicity: Atomicity::PerItem,
        },
    )
}

fn sale(number: usize) -> Request {
    let line = Move {
        product: ProductId::parse("A").unwrap(),
        delta: -1,
        reason: Reason::Sale,
        expected_version: None,
        reference: None,
        note: Some("n".into()),
    };
    request(
        &format!("k{number}"),
        Command::Move {
            lines: vec![line],
            atomicity: Atomicity::PerItem,
        },
    )
}

fn request(key: &str, command: Command) -> Request {
    let origin = Origin {
        key: Some(IdempotencyKey::parse(key).unwrap()),
        ..Origin::internal("fuzz")
    };
    let fingerprint = fingerprint(&command, None);
    Request {
        origin,
        command: command.into(),
        fingerprint,
    }
}
