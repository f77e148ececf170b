//! Any bytes as a store's cache folder: it always opens, what it finds is checked and without a gap,
//! and the next start finds the same.
//!
//! An input that begins with `sealed` gets its checksums set right first, so that the fuzzer gets
//! behind them. The rest is an archive of files, named as in the folder.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};
use shared::domain::inventory::{Event, EventKind, Inventory, Movement, MovementKind};
use store_api::replica::files::{Copy, Folder};

use crate::archive;

/// Begins an input whose checksums are to be set right.
pub(crate) const SEALED: &[u8] = b"sealed\n";
const DIR: &str = "/cache";

pub(crate) fn run(data: &[u8]) {
    let (sealed, rest) = match data.strip_prefix(SEALED) {
        Some(rest) => (true, rest),
        None => (false, data),
    };
    let disk = SimDisk::new(1, Faults::default());
    disk.create_dir(Path::new(DIR))
        .expect("the simulated disk has no faults");
    let mut files = archive::unpack(rest);
    for (name, bytes) in &mut files {
        if sealed {
            *bytes = if name.starts_with("snapshot") {
                seal_snapshot(bytes)
            } else {
                seal_lines(bytes)
            };
        }
        archive::put(&disk, Path::new(DIR), name, bytes);
    }
    let first = open(&disk);
    if let Some(copy) = &first {
        check_snapshot(copy, &files);
        check_copy(copy, &files);
    }
    let again = open(&disk);
    assert_eq!(
        first.map(|copy| seen(&copy)),
        again.map(|copy| seen(&copy)),
        "the next start"
    );
}

fn open(disk: &SimDisk) -> Option<Copy> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (folder, copy) = Folder::open(disk, Path::new(DIR)).expect("damage never fails the start");
    if let Some(copy) = &copy {
        assert_eq!(folder.end(), copy.end);
    }
    copy
}

/// What two copies are compared by.
fn seen(copy: &Copy) -> (String, Vec<Bytes>) {
    let state = format!("{:?} {:?} {:?}", copy.snapshot, copy.end, copy.products);
    (
        state,
        copy.events.iter().map(|(_, bytes)| bytes.clone()).collect(),
    )
}

/// The products come from a file whose own checksum is right.
fn check_snapshot(copy: &Copy, files: &[(String, Vec<u8>)]) {
    let is_it = |bytes: &[u8]| {
        let header = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let header: Value = serde_json::from_slice(header).unwrap_or_default();
        let generation = header["gen"].as_str().map(str::to_owned);
        generation == Some(copy.snapshot.r#gen.to_string())
            && header["offset"].as_u64() == Some(copy.snapshot.offset)
    };
    let is_right = files.iter().any(|(name, bytes)| {
        name.starts_with("snapshot-") && is_it(bytes) && *bytes == seal_snapshot(bytes)
    });
    assert!(is_right, "a snapshot that no file holds with its checksum");
}

fn check_copy(copy: &Copy, files: &[(String, Vec<u8>)]) {
    let mut offset = copy.snapshot.offset;
    for (event, bytes) in &copy.events {
        assert_eq!(event.offset, offset, "a gap");
        offset += 1;
        let line = [
            b"{\"crc\":\"".as_slice(),
            &sum(bytes),
            b"\",\"event\":",
            bytes,
            b"}\n",
        ]
        .concat();
        let stored = files
            .iter()
            .any(|(_, file)| file.windows(line.len()).any(|at| at == line));
        assert!(stored, "an event that no file holds with its checksum");
    }
    assert_eq!(copy.end.offset, offset);
    let mut state = Inventory::default();
    for product in &copy.products {
        assert!(state.get(product.id.as_str()).is_none(), "a row twice");
        state.apply(&Event {
            kind: EventKind::Created,
            product: product.clone(),
            movement: Movement::of(MovementKind::Adjusted),
        });
    }
    assert_eq!(state.digest(), copy.digest);
}

fn sum(bytes: &[u8]) -> Vec<u8> {
    format!("{:08x}", crc32c::crc32c(bytes)).into_bytes()
}

/// Gives every line of a journal the checksum of what it says.
fn seal_lines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let parts = [b"\",\"event\":".as_slice(), b"\",\"mark\":"];
        let sealed = parts.iter().find_map(|name| {
            let payload = line.get(16..)?.strip_prefix(*name)?.strip_suffix(b"}\n")?;
            Some(
                [
                    b"{\"crc\":\"".as_slice(),
                    &sum(payload),
                    name,
                    payload,
                    b"}\n",
                ]
                .concat(),
            )
        });
        out.extend_from_slice(&sealed.unwrap_or_else(|| line.to_vec()));
    }
    out
}

/// Gives a snapshot's trailer the checksum of the lines before it.
fn seal_snapshot(bytes: &[u8]) -> Vec<u8> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let Some(end) = body.iter().rposition(|byte| *byte == b'\n') else {
        return bytes.to_vec();
    };
    let (rows, trailer) = bytes.split_at(end + 1);
    let text = String::from_utf8_lossy(trailer).into_owned();
    let Some((head, tail)) = text.split_once("\"crc\":\"") else {
        return bytes.to_vec();
    };
    let sum = String::from_utf8(sum(rows)).expect("digits");
    let tail = tail.get(8..).unwrap_or_default();
    [rows, format!("{head}\"crc\":\"{sum}{tail}").as_bytes()].concat()
}
