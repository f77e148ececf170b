//! Opening a ledger: newest good snapshot, the log after it, and a new life of the log.

use std::sync::Arc;

use shared::disk::Disk;

use super::fold::Fold;
use super::keys::Retention;
use super::snapshot;
use crate::journal::embedded::{Embedded, EmbeddedOptions, Opened, read_snapshot, snapshots};
use crate::journal::{Body, First, Frame, JournalError, Record};

/// What opening found and did.
#[derive(Debug)]
pub struct Recovered {
    /// The writer's side of the journal.
    pub journal: Embedded,
    /// The state.
    pub fold: Fold,
    /// Where the log ends, and what was cut.
    pub opened: Opened,
    /// The snapshot it started from; 0 is none.
    pub snapshot_seq: u64,
    /// Snapshots that did not check out, with the reason.
    pub bad_snapshots: Vec<JournalError>,
}

/// Recovers the state from the files in `options.dir`.
///
/// A snapshot that does not check out, or cannot be read, is passed over: the one before it and more of the log give
/// the same state.
///
/// # Errors
/// An I/O error, damage in the log, or a log that ends before the snapshot.
pub fn recover(
    disk: &Arc<dyn Disk>,
    options: &EmbeddedOptions,
    retention: impl Into<Retention>,
) -> Result<Recovered, JournalError> {
    let retention = retention.into();
    disk.create_dir(&options.dir)
        .map_err(JournalError::io("create", "the data folder"))?;
    let mut bad_snapshots = Vec::new();
    let mut fold = Fold::empty(retention);
    for seq in snapshots(&**disk, options)? {
        let read = read_snapshot(&**disk, options, seq);
        match read.and_then(|bytes| snapshot::load(&bytes, seq, retention)) {
            Ok(loaded) => {
                fold = loaded;
                break;
            }
            Err(error) => bad_snapshots.push(error),
        }
    }
    let snapshot_seq = fold.seq;
    let from = fold.next();
    let (journal, opened) =
        Embedded::open::<JournalError>(Arc::clone(disk), options.clone(), from, |frame| {
            fold_frame(&mut fold, frame)
        })?;
    if fold.next_offsets != opened.next.offsets {
        return Err(JournalError::Damaged {
            file: format!("the snapshot of record {snapshot_seq}"),
            position: 0,
            what: "its offset is not where the journal ends".to_owned(),
        });
    }
    Ok(Recovered {
        journal,
        fold,
        opened,
        snapshot_seq,
        bad_snapshots,
    })
}

/// Folds in the records of a frame that are new.
///
/// Its checksum says that these are the bytes that were written, not that they were right: numbers
/// that do not follow each other would be handed out a second time, so they refuse the start.
fn fold_frame(fold: &mut Fold, frame: &Frame) -> Result<(), JournalError> {
    let First {
        mut seq,
        mut offsets,
    } = frame.header.first;
    for line in frame.lines() {
        let record = Record::parse(line).map_err(|error| frame.damaged(error.to_string()))?;
        let (events, orders) = match &record.body {
            Body::Generation(_) => (0, 0),
            Body::Decision(record) if record.first == offsets => {
                (record.decision.events.len(), record.decision.orders.len())
            }
            Body::Decision(_) => return Err(frame.damaged("an offset that does not follow")),
        };
        if record.seq != seq {
            return Err(frame.damaged("a record that does not follow the one before it"));
        }
        if seq > fold.seq {
            if offsets != fold.next_offsets {
                return Err(frame.damaged("it does not follow the snapshot"));
            }
            fold.apply(&record);
        }
        seq += 1;
        offsets.inventory += events as u64;
        offsets.orders += orders as u64;
    }
    if (First { seq, offsets }) != frame.header.next() {
        return Err(frame.damaged("not as many records or events as its header says"));
    }
    Ok(())
}
