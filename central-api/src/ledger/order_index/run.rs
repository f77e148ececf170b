//! One file of the order index: entries of 16 bytes, sorted by hash, in pages that check themselves.
//!
//! A page has 255 entries (hash and record, little-endian), their number, and a checksum, and is
//! 4096 bytes, so that a search reads a page for each bisection and a merge reads and writes them one
//! after the other. Two orders may have one hash, and one order may be in a run twice, so a search
//! returns all that it finds.
//!
//! What must stay true: the hash never changes, since files outlive the process that wrote them.

use std::io::ErrorKind;
use std::iter::Peekable;

use shared::domain::ids::OrderId;

use crate::journal::{JournalError, JournalReader, RunName};

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4_096;
/// Entries of a full page.
const PAGE_ENTRIES: usize = 255;
const ENTRY_BYTES: usize = 16;
/// Where the number of entries stands, and behind it the checksum of what is before that.
const COUNT_AT: usize = PAGE_ENTRIES * ENTRY_BYTES;
const CRC_AT: usize = COUNT_AT + 4;
/// Pages that are written, and read by a merge, at a time.
const PAGES_AT_ONCE: usize = 64;

/// One order and a record with an event of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) record: u64,
}

/// A run that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) name: RunName,
    pub(super) pages: u64,
}

/// The hash of an order's id: FNV-1a. Ids are central's own, so nobody can choose them.
pub(super) fn hash(id: &OrderId) -> u64 {
    let bytes = id.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Pages that so many entries fill.
pub(super) const fn pages_of(entries: usize) -> u64 {
    entries.div_ceil(PAGE_ENTRIES) as u64
}

impl Run {
    /// Adds the records of the entries with `hash` to `found`.
    ///
    /// # Errors
    /// The run cannot be read.
    pub(super) fn search(
        &self,
        journal: &dyn JournalReader,
        hash: u64,
        found: &mut Vec<u64>,
    ) -> Result<(), JournalError> {
        // Pages that begin below the hash.
        let (mut low, mut high) = (0, self.pages);
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.read(journal, middle, 1)?;
            if page.first().is_some_and(|entry| entry.hash < hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The last of them may have it, and those after it as long as it goes on.
        for page in low.saturating_sub(1)..self.pages {
            let entries = self.read(journal, page, 1)?;
            let same = entries.iter().filter(|entry| entry.hash == hash);
            found.extend(same.map(|entry| entry.record));
            if entries.last().is_some_and(|entry| entry.hash > hash) {
                break;
            }
        }
        Ok(())
    }

    /// The entries of up to `count` pages from `page` on.
    fn read(
        &self,
        journal: &dyn JournalReader,
        page: u64,
        count: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let from = page * PAGE_BYTES as u64;
        let damaged = |at: usize| JournalError::Damaged {
            file: format!("index/{}", self.name),
            position: from + at as u64,
            what: "not a page of the order index".to_owned(),
        };
        let bytes = match journal.read_run(self.name, from, count * PAGE_BYTES) {
            Ok(bytes) if !bytes.is_empty() => bytes,
            Ok(_) => return Err(damaged(0)),
            // Somebody has removed it.
            Err(JournalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(damaged(0));
            }
            Err(error) => return Err(error),
        };
        let mut entries = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        for (index, page) in bytes.chunks(PAGE_BYTES).enumerate() {
            decode(page, &mut entries).ok_or_else(|| damaged(index * PAGE_BYTES))?;
        }
        Ok(entries)
    }

    /// Every entry, in order. Ends after an error.
    fn entries<'a>(
        &'a self,
        journal: &'a dyn JournalReader,
    ) -> impl Iterator<Item = Result<Entry, JournalError>> + 'a {
        let starts = (0..self.pages).step_by(PAGES_AT_ONCE);
        starts.flat_map(move |page| {
            let (entries, error) = match self.read(journal, page, PAGES_AT_ONCE) {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let entries = entries.into_iter().map(Ok);
            entries.chain(error.map(Err))
        })
    }
}

/// Merges `runs` and `newer`, which is sorted, into the run `name`, without the entries of records
/// before `oldest`, which the log has dropped.
///
/// # Errors
/// A run cannot be read, or the new one cannot be written; there is none then.
pub(super) fn write(
    journal: &dyn JournalReader,
    name: RunName,
    runs: &[Run],
    newer: Vec<Entry>,
    oldest: u64,
) -> Result<Run, JournalError> {
    let newer: Entries<'_> = Box::new(newer.into_iter().map(Ok));
    let older = runs
        .iter()
        .map(|run| -> Entries<'_> { Box::new(run.entries(journal)) });
    let inputs: Vec<_> = older.chain([newer]).map(Iterator::peekable).collect();
    let is_there = |entry: &Result<Entry, JournalError>| {
        entry.as_ref().map_or(true, |entry| entry.record >= oldest)
    };
    let mut merged = Merged(inputs).filter(is_there).peekable();
    let mut pages = 0;
    let mut parts = std::iter::from_fn(|| {
        merged.peek()?;
        let mut part = Vec::with_capacity(PAGES_AT_ONCE * PAGE_BYTES);
        while part.len() < PAGES_AT_ONCE * PAGE_BYTES && merged.peek().is_some() {
            let page: Result<Vec<Entry>, _> = merged.by_ref().take(PAGE_ENTRIES).collect();
            match page {
                Ok(page) => encode(&page, &mut part),
                Err(error) => return Some(Err(error)),
            }
            pages += 1;
        }
        Some(Ok(part))
    });
    journal.write_run(name, &mut parts)?;
    Ok(Run { name, pages })
}

type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, JournalError>> + 'a>;

/// Sorted inputs as one. Errors come first, whatever the order.
struct Merged<'a>(Vec<Peekable<Entries<'a>>>);

impl Iterator for Merged<'_> {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let heads = self.0.iter_mut().enumerate().filter_map(|(index, input)| {
            let head = input.peek()?.as_ref().ok().copied();
            Some((head, index))
        });
        let (_, index) = heads.min()?;
        self.0.get_mut(index)?.next()
    }
}

/// Appends a page.
fn encode(entries: &[Entry], out: &mut Vec<u8>) {
    let start = out.len();
    for Entry { hash, record } in entries {
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&record.to_le_bytes());
    }
    out.resize(start + COUNT_AT, 0);
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.resize(start + PAGE_BYTES, 0);
}

/// Adds the entries of a page to `entries`; `None` if it is not a whole, undamaged page.
fn decode(page: &[u8], entries: &mut Vec<Entry>) -> Option<()> {
    let is_whole = page.len() == PAGE_BYTES;
    let crc = page.get(CRC_AT..CRC_AT + 4).filter(|_| is_whole)?;
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    if crc32c::crc32c(page.get(..CRC_AT)?) != crc {
        return None;
    }
    let count = u32::from_le_bytes(page.get(COUNT_AT..CRC_AT)?.try_into().ok()?);
    let used = usize::try_from(count).ok()?.checked_mul(ENTRY_BYTES)?;
    let (chunks, rest) = page.get(..used)?.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() || used > COUNT_AT {
        return None;
    }
    for chunk in chunks {
        let (hash, record) = chunk.split_at(8);
        entries.push(Entry {
            hash: u64::from_le_bytes(hash.try_into().ok()?),
            record: u64::from_le_bytes(record.try_into().ok()?),
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_same_in_every_release() {
        let id = OrderId::parse("ord-01kf0k8y20zzzzzzzzzzzzzzzz").unwrap();
        assert_eq!(hash(&id), 0x8dda_83cd_ba36_d6b9);
    }

    #[test]
    fn a_page_that_is_damaged_anywhere_is_not_read() {
        let entry = |record| Entry {
            hash: record * 7,
            record,
        };
        let entries: Vec<Entry> = (0..100).map(entry).collect();
        let mut page = Vec::new();
        encode(&entries, &mut page);
        assert_eq!(page.len(), PAGE_BYTES);
        let mut found = Vec::new();
        decode(&page, &mut found).unwrap();
        assert_eq!(found, entries);
        for at in 0..CRC_AT + 4 {
            page[at] ^= 1;
            assert_eq!(decode(&page, &mut found), None, "{at}");
            page[at] ^= 1;
        }
        assert_eq!(decode(&page[1..], &mut found), None);
    }
}
