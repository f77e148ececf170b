//! A snapshot file: written row by row, read by two threads at once.
//!
//! ```text
//! {"gen":"8a7fd1e200aa31c4","offset":1200,"count":2,"serial":5}
//! {"productId":"A",...}
//! {"productId":"B",...}
//! {"count":2,"crc":"1f0a33c2","digest":"90aa31c48a7fd1e2"}
//! ```
//!
//! A snapshot is believed whole or not at all: count, checksum and digest must be what the trailer
//! says. Neither reading nor writing holds the file in memory. Rows are kept as they came, so that a
//! field which this version does not know survives until one that does.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::disk::{Disk, DiskFile};
use shared::domain::inventory::Product;
use shared::limits;

use super::line::hex8;
use crate::replica::position::{Gen, Position, parse_hex16};

/// Bytes read or written at once.
const BLOCK: usize = 1024 * 1024;
/// A header or trailer is far shorter than this.
const EDGE: usize = 512;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which log.
    pub r#gen: Gen,
    /// The state after every event below this offset.
    pub offset: u64,
    /// Products that follow.
    pub count: u64,
    /// Grows with each snapshot of one folder; 0, and left out, in a snapshot that is no folder's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub serial: u64,
}

const fn is_zero(serial: &u64) -> bool {
    *serial == 0
}

impl Header {
    /// Where the copy stands.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            r#gen: self.r#gen,
            offset: self.offset,
        }
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trailer {
    /// Products above.
    pub count: u64,
    /// CRC-32C of every byte above, 8 hex digits.
    pub crc: String,
    /// Digest of the catalogue, 16 hex digits.
    pub digest: String,
}

/// What a catalogue can be compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Products.
    pub count: u64,
    /// The wrapping sum of their digests.
    pub digest: u64,
}

impl Summary {
    /// The same with `product` in it.
    #[must_use]
    pub const fn plus(self, product_digest: u64) -> Self {
        Self {
            count: self.count.wrapping_add(1),
            digest: self.digest.wrapping_add(product_digest),
        }
    }
}

/// Why a snapshot is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFault {
    /// The file cannot be read.
    #[error("cannot read the snapshot")]
    Io(#[from] io::Error),
    /// It is not what its trailer says, or not a snapshot.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
}

/// Writes a snapshot; nothing may rely on it before [`SnapshotWriter::finish`].
#[derive(Debug)]
pub struct SnapshotWriter {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: Header,
    buffer: Vec<u8>,
    crc: u32,
    bytes: u64,
    count: u64,
}

/// A snapshot that is complete and durable under a temporary name.
#[derive(Debug)]
pub struct Finished {
    /// The temporary name.
    pub path: PathBuf,
    /// Its header.
    pub header: Header,
    /// What it holds.
    pub summary: Summary,
    /// Its size.
    pub bytes: u64,
}

impl SnapshotWriter {
    /// Begins a snapshot at `path`, replacing what an earlier attempt left there.
    pub(super) fn begin(disk: &dyn Disk, path: PathBuf, header: Header) -> io::Result<Self> {
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = disk.create(&path)?;
        let mut writer = Self {
            path,
            file,
            header,
            buffer: Vec::with_capacity(BLOCK + 8 * 1024),
            crc: 0,
            bytes: 0,
            count: 0,
        };
        let line = serde_json::to_vec(&header).expect("plain fields are always JSON");
        writer.buffer.extend_from_slice(&line);
        writer.buffer.push(b'\n');
        Ok(writer)
    }

    /// Appends one product: its line, without newline.
    pub fn row(&mut self, line: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        self.count += 1;
        if self.buffer.len() >= BLOCK {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the trailer and makes the bytes durable; the name is still the temporary one.
    pub fn finish(mut self, digest: u64) -> io::Result<Finished> {
        self.spill()?;
        let summary = Summary {
            count: self.count,
            digest,
        };
        let trailer = Trailer {
            count: self.count,
            crc: String::from_utf8_lossy(&hex8(self.crc)).into_owned(),
            digest: format!("{digest:016x}"),
        };
        let mut line = serde_json::to_vec(&trailer).expect("plain fields are always JSON");
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync()?;
        Ok(Finished {
            path: self.path,
            header: self.header,
            summary,
            bytes: self.bytes + line.len() as u64,
        })
    }
}

/// A snapshot file whose edges were read; its rows are still to be believed.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) header: Header,
    pub(super) trailer: Trailer,
    pub(super) rows: Range<u64>,
}

impl Outline {
    /// Checks that this is the snapshot that its file's name promises.
    pub(super) fn named(self, name: Position) -> Result<Self, SnapshotFault> {
        if self.header.position() == name {
            Ok(self)
        } else {
            Err(SnapshotFault::Damaged("its name says another position"))
        }
    }

    /// Reads the first and the last line of `path`.
    pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Self, SnapshotFault> {
        let damaged = SnapshotFault::Damaged;
        let len = disk.len(path)?;
        let head = disk.read_at(path, 0, EDGE)?;
        let head_len = head.iter().position(|byte| *byte == b'\n');
        let head_len = head_len.ok_or(damaged("no header"))?;
        let (head, _) = head.split_at(head_len);
        let header: Header = serde_json::from_slice(head).map_err(|_| damaged("no header"))?;

        let tail_at = len.saturating_sub(EDGE as u64);
        let tail = disk.read_at(path, tail_at, EDGE)?;
        let tail = tail.strip_suffix(b"\n").ok_or(damaged("no trailer"))?;
        let before = tail.iter().rposition(|byte| *byte == b'\n');
        let before = before.ok_or(damaged("no trailer"))?;
        let (_, line) = tail.split_at(before + 1);
        let trailer: Trailer = serde_json::from_slice(line).map_err(|_| damaged("no trailer"))?;
        if trailer.count != header.count {
            return Err(damaged("header and trailer disagree"));
        }
        let rows = head_len as u64 + 1..tail_at + before as u64 + 1;
        if rows.start > rows.end {
            return Err(damaged("no trailer"));
        }
        Ok(Self {
            header,
            trailer,
            rows,
        })
    }

    /// Bytes of rows.
    pub(super) const fn row_bytes(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// Gives each row's line to `row` in order, checks count and checksum, and answers the digest
    /// that the trailer vouches for.
    pub(super) fn stream_rows(
        &self,
        disk: &dyn Disk,
        path: &Path,
        row: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotFault>,
    ) -> Result<u64, SnapshotFault> {
        let digest =
            parse_hex16(&self.trailer.digest).map_err(|_| SnapshotFault::Damaged("no trailer"))?;
        let mut summary = Summary { count: 0, digest };
        let crc = lines(disk, path, self.rows.clone(), &mut |line| {
            summary.count += 1;
            row(line)
        })?;
        self.check(disk, path, crc, summary)?;
        Ok(digest)
    }

    fn check(
        &self,
        disk: &dyn Disk,
        path: &Path,
        rows_crc: u32,
        summary: Summary,
    ) -> Result<(), SnapshotFault> {
        let damaged = SnapshotFault::Damaged;
        let rows_len = usize::try_from(self.row_bytes()).map_err(|_| damaged("too large"))?;
        let head_len = usize::try_from(self.rows.start).map_err(|_| damaged("too large"))?;
        let head = crc32c::crc32c(&disk.read_at(path, 0, head_len)?);
        let crc = crc32c::crc32c_combine(head, rows_crc, rows_len);
        if hex8(crc) != *self.trailer.crc.as_bytes() {
            return Err(damaged("wrong checksum"));
        }
        if summary.count != self.trailer.count {
            return Err(damaged("wrong count"));
        }
        if parse_hex16(&self.trailer.digest) != Ok(summary.digest) {
            return Err(damaged("wrong digest"));
        }
        Ok(())
    }

    /// Parses every product, half of them on a second thread, and checks the whole; answers the
    /// digest too.
    pub(super) fn load(
        &self,
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<(Vec<Product>, u64), SnapshotFault> {
        let middle = middle_line(disk, path, &self.rows)?;
        let (first, second) = (self.rows.start..middle, middle..self.rows.end);
        let second_len = usize::try_from(second.end - second.start)
            .map_err(|_| SnapshotFault::Damaged("too large"))?;
        let per_half =
            usize::try_from(self.header.count.min(self.row_bytes() / 64) / 2 + 1).unwrap_or(0);
        let (left, right) = std::thread::scope(|scope| {
            let other = scope.spawn(|| parse_rows(disk, path, second, per_half));
            (parse_rows(disk, path, first, per_half * 2), other.join())
        });
        let mut left = left?;
        let right = right.map_err(|_| SnapshotFault::Damaged("a row cannot be parsed"))??;
        let crc = crc32c::crc32c_combine(left.crc, right.crc, second_len);
        let summary = Summary {
            count: left.summary.count + right.summary.count,
            digest: left.summary.digest.wrapping_add(right.summary.digest),
        };
        self.check(disk, path, crc, summary)?;
        left.products.extend(right.products);
        Ok((left.products, summary.digest))
    }
}

struct Half {
    products: Vec<Product>,
    summary: Summary,
    crc: u32,
}

fn parse_rows(
    disk: &dyn Disk,
    path: &Path,
    range: Range<u64>,
    room: usize,
) -> Result<Half, SnapshotFault> {
    let mut products = Vec::with_capacity(room);
    let mut summary = Summary::default();
    let crc = lines(disk, path, range, &mut |line| {
        let product = parse_row(line)?;
        summary = summary.plus(product.digest());
        products.push(product);
        Ok(())
    })?;
    Ok(Half {
        products,
        summary,
        crc,
    })
}

/// Parses one row.
pub(super) fn parse_row(line: &[u8]) -> Result<Product, SnapshotFault> {
    serde_json::from_slice(line).map_err(|_| SnapshotFault::Damaged("a row cannot be parsed"))
}

/// Where a line begins near the middle of `rows`.
fn middle_line(disk: &dyn Disk, path: &Path, rows: &Range<u64>) -> Result<u64, SnapshotFault> {
    let mut at = rows.start + (rows.end - rows.start) / 2;
    while at < rows.end {
        let block = disk.read_at(path, at, EDGE * 8)?;
        if block.is_empty() {
            break;
        }
        if let Some(newline) = block.iter().position(|byte| *byte == b'\n') {
            return Ok((at + newline as u64 + 1).min(rows.end));
        }
        at += block.len() as u64;
    }
    Ok(rows.end)
}

/// Gives every line of `range` to `take`, without its newline; answers the checksum of the range.
fn lines(
    disk: &dyn Disk,
    path: &Path,
    range: Range<u64>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), SnapshotFault>,
) -> Result<u32, SnapshotFault> {
    let mut crc = 0;
    let mut rest: Vec<u8> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let want = usize::try_from(range.end - at).unwrap_or(BLOCK).min(BLOCK);
        let block = disk.read_at(path, at, want)?;
        if block.is_empty() {
            return Err(SnapshotFault::Damaged("shorter than it says"));
        }
        at += block.len() as u64;
        crc = crc32c::crc32c_append(crc, &block);
        let mut pieces = block.split_inclusive(|byte| *byte == b'\n');
        if !rest.is_empty()
            && let Some(piece) = pieces.next()
        {
            rest.extend_from_slice(piece);
            if let Some(line) = rest.strip_suffix(b"\n") {
                take(line)?;
                rest.clear();
            }
        }
        for piece in pieces {
            match piece.strip_suffix(b"\n") {
                Some(line) => take(line)?,
                None => rest.extend_from_slice(piece),
            }
        }
        if rest.len() > limits::ROW_BYTES {
            return Err(SnapshotFault::Damaged("a row is too long"));
        }
    }
    if rest.is_empty() {
        Ok(crc)
    } else {
        Err(SnapshotFault::Damaged("a row is cut off"))
    }
}
