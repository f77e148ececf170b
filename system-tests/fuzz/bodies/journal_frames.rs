//! Any bytes as central's data folder: it is refused, or what comes up is dense, checked and stays.
//!
//! The input's first line says whether checksums are set right before anything reads it (it begins
//! with `sealed`); so the fuzzer also gets behind them. The rest is an archive of files, named as
//! in the data folder: `journal-<seq>.ndjson` stands for `journal/<seq>.ndjson`, all else goes to
//! `snapshots/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use central_api::journal::embedded::EmbeddedOptions;
use central_api::journal::frame::{HEADER_BYTES, Header};
use central_api::journal::record::event_spans;
use central_api::journal::scan::{ScanEnd, scan};
use central_api::journal::{First, Frame, Journal, Offsets, Record};
use central_api::ledger::KeyRetention;
use central_api::ledger::open::{Recovered, recover};
use shared::disk::Disk;
use shared::disk::sim::{Faults, SimDisk};

use crate::archive;

/// Begins an input whose checksums are to be set right.
pub(crate) const SEALED: &[u8] = b"sealed\n";

pub(crate) fn run(data: &[u8]) {
    let (sealed, rest) = match data.strip_prefix(SEALED) {
        Some(rest) => (true, rest),
        None => (false, data),
    };
    let disk = SimDisk::new(1, Faults::default());
    let dir = PathBuf::from("/data");
    for folder in ["journal", "snapshots"] {
        disk.create_dir(&dir.join(folder))
            .expect("the simulated disk has no faults");
    }
    for (name, mut bytes) in archive::unpack(rest) {
        match name.strip_prefix("journal-") {
            Some(name) => {
                if sealed {
                    bytes = seal_frames(&bytes);
                }
                check_scan(&Bytes::from(bytes.clone()));
                archive::put(&disk, &dir.join("journal"), name, &bytes);
            }
            None => {
                if sealed {
                    seal_snapshot(&mut bytes);
                }
                archive::put(&disk, &dir.join("snapshots"), &name, &bytes);
            }
        }
    }
    check_start(&disk, &dir);
}

/// Where an empty log begins.
const BEGINNING: First = First {
    seq: 1,
    offsets: Offsets {
        inventory: 0,
        orders: 0,
    },
};

/// The walk over a segment believes what is checked, in order, and nothing else.
fn check_scan(bytes: &Bytes) {
    let mut next = BEGINNING;
    let found = scan(bytes, next);
    let valid = usize::try_from(found.valid).expect("a part of the input");
    assert_eq!(found.end == ScanEnd::Clean, valid == bytes.len());
    let mut at = 0;
    for frame in &found.frames {
        assert_eq!(frame.header.first, next);
        let end = at + frame.bytes.len();
        assert_eq!(Some(&frame.bytes[..]), bytes.get(at..end), "other bytes");
        check_sum(frame);
        // Both may say no; neither may panic.
        drop(event_spans(frame));
        for line in frame.lines() {
            drop(Record::parse(line));
        }
        at = end;
        next = frame.header.next();
    }
    assert_eq!(at, valid);
    for line in bytes.split(|byte| *byte == b'\n') {
        drop(Record::parse(line));
    }
}

/// The checksum, worked out here a second time from the bytes alone.
fn check_sum(frame: &Frame) {
    let text = std::str::from_utf8(&frame.bytes[..HEADER_BYTES]).expect("a header is ASCII");
    let figures: Vec<u64> = text
        .split('"')
        .filter(|part| matches!(part.len(), 8 | 16))
        .filter_map(|part| u64::from_str_radix(part, 16).ok())
        .collect();
    let [
        bytes,
        promised,
        seq,
        offset,
        records,
        events,
        order_offset,
        order_events,
    ] = figures[..]
    else {
        panic!("eight figures in {text}");
    };
    let mut sum = crc32c::crc32c(&bytes.to_le_bytes()[..4]);
    sum = crc32c::crc32c_append(sum, &seq.to_le_bytes());
    sum = crc32c::crc32c_append(sum, &offset.to_le_bytes());
    sum = crc32c::crc32c_append(sum, &order_offset.to_le_bytes());
    sum = crc32c::crc32c_append(sum, &records.to_le_bytes()[..4]);
    sum = crc32c::crc32c_append(sum, &events.to_le_bytes()[..4]);
    sum = crc32c::crc32c_append(sum, &order_events.to_le_bytes()[..4]);
    sum = crc32c::crc32c_append(sum, &frame.bytes[HEADER_BYTES..]);
    assert_eq!(u64::from(sum), promised, "a wrong checksum was believed");
}

/// A start refuses, or finds records without a gap, and the next start finds the same.
fn check_start(disk: &SimDisk, dir: &Path) {
    let Some(first) = start(disk, dir) else {
        return;
    };
    let reader = first.journal.reader();
    let oldest = reader.oldest().seq;
    let from = oldest.max(first.snapshot_seq + 1);
    let mut next = from;
    while next < first.opened.next.seq {
        let frames = reader
            .frames_from_seq(next, 1 << 20)
            .expect("what was recovered can be read");
        assert!(!frames.is_empty(), "record {next} is missing");
        for frame in &frames {
            check_sum(frame);
            for line in frame.lines() {
                let record = Record::parse(line).expect("what was recovered can be parsed");
                if record.seq >= next {
                    assert_eq!(record.seq, next, "a gap");
                    next += 1;
                }
            }
        }
    }
    assert_eq!(first.fold.next(), first.opened.next);
    let again = start(disk, dir).expect("what started once starts again");
    assert_eq!(again.opened.cut_bytes, 0, "cut once, cut for good");
    assert_eq!(again.fold.next(), first.fold.next());
    assert_eq!(
        again.fold.state.inventory.digest(),
        first.fold.state.inventory.digest()
    );
}

fn start(disk: &SimDisk, dir: &Path) -> Option<Recovered> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = EmbeddedOptions {
        dir: dir.to_owned(),
        segment_bytes: 1 << 20,
    };
    recover(&disk, &options, KeyRetention::default()).ok()
}

/// Gives every stretch of lines behind a header a header that is true of it: its length and
/// checksum, not its counts, which are part of what is tried.
fn seal_frames(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut open: Option<(Header, Vec<u8>)> = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(header) = Header::parse(line) {
            flush(&mut out, open.replace((header, Vec::new())));
        } else if let Some((_, lines)) = &mut open {
            lines.extend_from_slice(line);
        } else {
            out.extend_from_slice(line);
        }
    }
    flush(&mut out, open);
    out
}

fn flush(out: &mut Vec<u8>, frame: Option<(Header, Vec<u8>)>) {
    let Some((header, lines)) = frame else {
        return;
    };
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(&lines);
    out.extend_from_slice(&Frame::seal(bytes, header.first, header.counts).bytes);
}

/// Gives a snapshot a last line that is true of the lines before.
fn seal_snapshot(bytes: &mut Vec<u8>) {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let Some(end) = body.iter().rposition(|byte| *byte == b'\n') else {
        return;
    };
    bytes.truncate(end + 1);
    let last = format!(
        "{{\"end\":{{\"crc32c\":\"{:08x}\"}}}}\n",
        crc32c::crc32c(bytes)
    );
    bytes.extend_from_slice(last.as_bytes());
}
