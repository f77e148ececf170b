//! A snapshot file as others get it, with the header that central's has.
//!
//! The serial in ours is the folder's own affair, and two files with the same products differ in it.
//! What is served is without it, and is named by its position and its checksum, so that one name
//! never has two contents. The rows are sent as they lie in the file; only the first and the last
//! line are made anew.

use std::ops::Range;
use std::path::Path;

use shared::disk::Disk;

use super::snapshot::{Header, Outline, SnapshotFault, Trailer};

/// The edges of a snapshot file as others get them, and where its rows are.
#[derive(Debug)]
pub struct Served {
    /// The first line.
    pub head: Vec<u8>,
    /// Where the rows are in the file.
    pub rows: Range<u64>,
    /// The last line.
    pub tail: Vec<u8>,
    /// The checksum in it.
    pub crc: String,
}

impl Served {
    /// Reads the edges of the file at `path`.
    ///
    /// # Errors
    /// [`SnapshotFault`]; the rows are not looked at.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, SnapshotFault> {
        let damaged = SnapshotFault::Damaged;
        let Outline {
            header,
            trailer,
            rows,
        } = Outline::read(disk, path)?;
        let line = |value: Result<Vec<u8>, serde_json::Error>| {
            let mut line = value.expect("plain fields are always JSON");
            line.push(b'\n');
            line
        };
        let head = line(serde_json::to_vec(&Header {
            serial: 0,
            ..header
        }));
        let kept_len = usize::try_from(rows.start).map_err(|_| damaged("too large"))?;
        let kept = crc32c::crc32c(&disk.read_at(path, 0, kept_len)?);
        let whole = u32::from_str_radix(&trailer.crc, 16).map_err(|_| damaged("no trailer"))?;
        // The sum of two texts is the first's, moved on by the second's length, xor the second's. So
        // taking a head away is the same as putting it in front.
        let rows_len = usize::try_from(rows.end - rows.start).map_err(|_| damaged("too large"))?;
        let rows_crc = crc32c::crc32c_combine(kept, whole, rows_len);
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&head), rows_crc, rows_len);
        let crc = format!("{crc:08x}");
        let tail = line(serde_json::to_vec(&Trailer {
            crc: crc.clone(),
            ..trailer
        }));
        Ok(Self {
            head,
            rows,
            tail,
            crc,
        })
    }
}
