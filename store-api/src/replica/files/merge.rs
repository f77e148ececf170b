//! A checkpoint: the old snapshot and the closed journals become a new snapshot.
//!
//! It works on files only, on a thread of its own: the old rows are streamed past, and the rows of
//! products that the journals touched are replaced, left out or added. The simpler way, writing out
//! the live catalogue, would have to stop the follower or copy a million products to get one exact
//! cut. As it is, the result is also a check: its digest must equal the one that the live copy had
//! at that offset, and they came there by different ways.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::disk::Disk;
use shared::domain::inventory::{EventKind, Product};

use super::journal::{Depth, Item, scan};
use super::snapshot::{
    Finished, Header, Outline, SnapshotFault, SnapshotWriter, Summary, parse_row,
};
use crate::replica::position::Position;

/// Everything a checkpoint needs; it touches nothing but its temporary file.
#[derive(Debug)]
pub struct MergeJob {
    pub(super) disk: Arc<dyn Disk>,
    /// The snapshot to begin with.
    pub(super) snapshot: PathBuf,
    /// The journals that continue it, each with the bytes that are written.
    pub(super) journals: Vec<(PathBuf, u64)>,
    /// The header of the result.
    pub(super) header: Header,
    /// What the live copy held there.
    pub(super) expected: Summary,
    /// Where to write.
    pub(super) target: PathBuf,
}

/// Why a checkpoint failed. The files it began with are untouched.
#[derive(Debug, thiserror::Error)]
pub enum MergeFault {
    /// The disk failed or is full.
    #[error("cannot write the new snapshot")]
    Io(#[from] io::Error),
    /// The old snapshot is damaged.
    #[error("cannot read the old snapshot")]
    Snapshot(#[source] SnapshotFault),
    /// A journal is damaged.
    #[error("a journal is damaged")]
    Journal,
    /// The files and the live copy do not agree.
    #[error("the files hold {files:?}, the live copy had {live:?}")]
    Disagrees {
        /// What the files come to.
        files: Summary,
        /// What the live copy had.
        live: Summary,
    },
}

impl From<SnapshotFault> for MergeFault {
    fn from(fault: SnapshotFault) -> Self {
        match fault {
            SnapshotFault::Io(error) => Self::Io(error),
            SnapshotFault::Damaged(_) => Self::Snapshot(fault),
        }
    }
}

/// The last word on one product: its row, or that it is gone.
struct Change {
    row: Option<(Box<[u8]>, u64)>,
}

#[derive(Deserialize)]
struct DataText<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl MergeJob {
    /// The serial of the snapshot that it makes, which names the job.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.header.serial
    }

    /// Writes the new snapshot and makes it durable under its temporary name.
    ///
    /// # Errors
    /// [`MergeFault`]; then the temporary file may be left and is worth nothing.
    pub fn run(&self) -> Result<Finished, MergeFault> {
        let outline = Outline::read(&*self.disk, &self.snapshot)?;
        let mut changes = self.changes(outline.header.position())?;
        let mut writer = SnapshotWriter::begin(&*self.disk, self.target.clone(), self.header)?;
        let mut moved = 0_u64;
        let base = outline.stream_rows(&*self.disk, &self.snapshot, &mut |line| {
            let written = match changes.remove(&*row_id(line)?) {
                None => writer.row(line),
                Some(Change { row }) => {
                    moved = moved.wrapping_sub(parse_row(line)?.digest());
                    match row {
                        None => Ok(()),
                        Some((row, digest)) => {
                            moved = moved.wrapping_add(digest);
                            writer.row(&row)
                        }
                    }
                }
            };
            Ok(written?)
        })?;
        // New products, in an order that does not depend on a hash.
        let mut added: Vec<_> = changes.into_iter().collect();
        added.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (_, Change { row }) in added {
            if let Some((row, digest)) = row {
                moved = moved.wrapping_add(digest);
                writer.row(&row)?;
            }
        }
        let finished = writer.finish(base.wrapping_add(moved))?;
        if finished.summary == self.expected {
            Ok(finished)
        } else {
            Err(MergeFault::Disagrees {
                files: finished.summary,
                live: self.expected,
            })
        }
    }

    /// The last word of the journals on each product they touch.
    fn changes(&self, from: Position) -> Result<HashMap<Box<str>, Change>, MergeFault> {
        let mut changes = HashMap::new();
        let mut position = from;
        for (path, len) in &self.journals {
            let len = usize::try_from(*len).map_err(|_| MergeFault::Journal)?;
            let bytes = self.disk.read_at(path, 0, len)?;
            let scan = scan(&bytes, Depth::Full).ok_or(MergeFault::Journal)?;
            if scan.start != position || scan.len != len {
                return Err(MergeFault::Journal);
            }
            for item in scan.items {
                let Item::Event {
                    bytes: at, event, ..
                } = item
                else {
                    continue;
                };
                let Some((kind, product)) = event.and_then(|event| event.change) else {
                    continue;
                };
                let raw = bytes.get(at).ok_or(MergeFault::Journal)?;
                let change = change(kind, &product, raw).ok_or(MergeFault::Journal)?;
                changes.insert(Box::from(product.id.as_str()), change);
            }
            position = scan.end;
        }
        if position == self.header.position() {
            Ok(changes)
        } else {
            Err(MergeFault::Journal)
        }
    }
}

fn change(kind: EventKind, product: &Product, event: &[u8]) -> Option<Change> {
    if kind == EventKind::Deleted {
        return Some(Change { row: None });
    }
    let text: DataText<'_> = serde_json::from_slice(event).ok()?;
    let row = row_of(text.data.get().as_bytes(), product);
    Some(Change {
        row: Some((row.into(), product.digest())),
    })
}

/// The start of every row.
const ROW: &[u8] = b"{\"productId\":\"";

/// `text` if it is written as our rows are, else the product written anew. A merge finds a row's id
/// by its place.
pub fn row_of<'a>(text: &'a [u8], product: &Product) -> Cow<'a, [u8]> {
    if text.starts_with(ROW) && !text.contains(&b'\n') {
        return Cow::Borrowed(text);
    }
    let mut row = Vec::with_capacity(384);
    shared::wire::product::Encoder::new().product(&mut row, product);
    Cow::Owned(row)
}

/// The product id of a row.
fn row_id(line: &[u8]) -> Result<Cow<'_, str>, SnapshotFault> {
    const NO_ID: SnapshotFault = SnapshotFault::Damaged("a row does not begin with its id");
    let quoted = line.get(ROW.len() - 1..).ok_or(NO_ID)?;
    if !line.starts_with(ROW) {
        return Err(NO_ID);
    }
    let mut escaped = false;
    let close = quoted.iter().skip(1).position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    let end = close.ok_or(NO_ID)? + 2;
    let literal = quoted.get(..end).ok_or(NO_ID)?;
    if literal.contains(&b'\\') {
        let id: String = serde_json::from_slice(literal).map_err(|_| NO_ID)?;
        return Ok(Cow::Owned(id));
    }
    let plain = literal.get(1..end - 1).ok_or(NO_ID)?;
    std::str::from_utf8(plain)
        .map(Cow::Borrowed)
        .map_err(|_| NO_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_product_in_front() {
        for (line, id) in [
            (&br#"{"productId":"A","x":"\"}"}"#[..], Some("A")),
            (br#"{"productId":"a\"b\\","x":1}"#, Some("a\"b\\")),
            (br#"{"productId":"A"#, None),
            (br#"{"name":"A"}"#, None),
            (b"", None),
        ] {
            assert_eq!(row_id(line).ok().as_deref(), id, "{line:?}");
        }
    }
}
