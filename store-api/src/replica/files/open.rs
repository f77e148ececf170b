//! Finding the copy that a folder holds.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use shared::disk::Disk;
use shared::domain::inventory::Product;
use shared::wire::event::FeedEvent;

use super::folder::{Folder, JournalFile, SnapshotFile, journal_name, snapshot_position};
use super::index::Index;
use super::journal::{Depth, Item, Scan, scan};
use super::line::BEFORE_EVENT;
use super::snapshot::{Outline, SnapshotFault};
use crate::replica::position::{Gen, Position};

/// What a folder held.
#[derive(Debug)]
pub struct Copy {
    /// The snapshot's products.
    pub products: Vec<Product>,
    /// The events behind it, in order, with central's bytes.
    pub events: Vec<(FeedEvent, Bytes)>,
    /// Where the products stand.
    pub snapshot: Position,
    /// Where products and events lead.
    pub end: Position,
    /// The digest of the products.
    pub digest: u64,
}

impl Folder {
    /// Opens the folder `dir`, creating it if need be, and finds the newest copy in it. Damage
    /// shortens the copy or, at worst, leaves none; it never fails the start.
    ///
    /// # Errors
    /// The disk's, if the folder cannot be listed, cut or written.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<(Self, Option<Copy>)> {
        disk.create_dir(dir)?;
        let mut snapshots = Vec::new();
        for name in disk.list(dir)? {
            let path = dir.join(&name);
            if name.ends_with(".tmp") {
                disk.remove(&path)?;
            } else if let Some(position) = snapshot_position(&name) {
                let outline = Outline::read(&*disk, &path);
                match outline.and_then(|outline| outline.named(position)) {
                    Ok(outline) => snapshots.push((path, outline)),
                    Err(fault) => discard(&*disk, &path, &fault)?,
                }
            }
        }
        snapshots.sort_by_key(|(_, outline)| std::cmp::Reverse(outline.header.serial));
        let mut folder = Self {
            disk,
            dir: dir.to_owned(),
            snapshots: Vec::new(),
            older: Vec::new(),
            journals: Vec::new(),
            file: None,
            end: Position {
                r#gen: Gen(0),
                offset: 0,
            },
            unsynced: false,
            index: Arc::new(Index::default()),
            merging: None,
        };
        let copy = folder.find_copy(snapshots)?;
        folder.remove_others()?;
        if let (Some(copy), None) = (&copy, &folder.file) {
            folder.begin_journal(copy.end, &[])?;
        }
        Ok((folder, copy))
    }

    fn find_copy(&mut self, snapshots: Vec<(PathBuf, Outline)>) -> io::Result<Option<Copy>> {
        let mut copy: Option<Copy> = None;
        for (path, outline) in snapshots {
            let file = SnapshotFile {
                position: outline.header.position(),
                serial: outline.header.serial,
                bytes: self.disk.len(&path)?,
                path,
            };
            if let Some(newest) = &copy {
                // The one before the newest stays as a fallback, unread; one is enough.
                if self.lead_from(file.position, newest.snapshot)? {
                    self.snapshots.push(file);
                    break;
                }
                continue;
            }
            match outline.load(&*self.disk, &file.path) {
                Ok((products, digest)) => {
                    copy = Some(Copy {
                        products,
                        digest,
                        events: Vec::new(),
                        snapshot: file.position,
                        end: file.position,
                    });
                    self.snapshots.push(file);
                }
                Err(fault) => discard(&*self.disk, &file.path, &fault)?,
            }
        }
        if let Some(copy) = &mut copy {
            self.follow_chain(copy)?;
        }
        Ok(copy)
    }

    /// Takes the journals from `start` to `goal` into the index, if they lead there.
    fn lead_from(&mut self, start: Position, goal: Position) -> io::Result<bool> {
        let mut position = start;
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        while position != goal && seen.insert(position.offset) {
            let path = self.dir.join(journal_name(position.offset));
            match self.scan(&path, Depth::Outline)? {
                Some((scan, _)) if scan.start == position => {
                    position = scan.end;
                    files.push((path, scan));
                }
                Some(_) | None => break,
            }
        }
        let leads = position == goal;
        if leads {
            for (path, scan) in files {
                let journal = self.indexed(&path, &scan);
                self.older.push(journal);
            }
        }
        Ok(leads)
    }

    /// Reads the journals that continue the snapshot, cuts the last one where it cannot be
    /// believed, and opens it for appending.
    fn follow_chain(&mut self, copy: &mut Copy) -> io::Result<()> {
        let mut position = copy.snapshot;
        let mut seen = HashSet::new();
        while seen.insert(position.offset) {
            let path = self.dir.join(journal_name(position.offset));
            let Some((scan, bytes)) = self.scan(&path, Depth::Full)? else {
                break;
            };
            if scan.start != position {
                break;
            }
            let len = bytes.len();
            let journal = self.indexed(&path, &scan);
            self.journals.push(journal);
            position = scan.end;
            for item in scan.items {
                if let Item::Event {
                    bytes: at,
                    event: Some(event),
                    ..
                } = item
                {
                    copy.events.push((event, bytes.slice(at)));
                }
            }
            if scan.len < len {
                tracing::warn!(
                    journal = %path.display(),
                    kept = scan.len,
                    cut = len - scan.len,
                    "the journal's tail cannot be believed and is cut; it will be fetched again"
                );
                self.disk.truncate(&path, scan.len as u64)?;
                break;
            }
        }
        copy.end = position;
        self.end = position;
        if let Some(last) = self.journals.last() {
            self.file = Some(self.disk.append(&last.path)?);
        }
        Ok(())
    }

    fn scan(&self, path: &Path, depth: Depth) -> io::Result<Option<(Scan, Bytes)>> {
        match self.disk.read(path) {
            Ok(bytes) => {
                let bytes = Bytes::from(bytes);
                Ok(scan(&bytes, depth).map(|scan| (scan, bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a journal into the index.
    fn indexed(&self, path: &Path, scan: &Scan) -> JournalFile {
        self.index.begin(path.to_owned(), scan.start, 0);
        for item in &scan.items {
            match item {
                Item::Mark(mark) => self.index.mark(*mark),
                Item::Event { offset, bytes, .. } => {
                    let at = bytes.start.saturating_sub(BEFORE_EVENT);
                    self.index.event(*offset, at as u64);
                }
            }
        }
        self.index.grow(scan.end, scan.len as u64);
        JournalFile {
            path: path.to_owned(),
            start: scan.start,
            bytes: scan.len as u64,
        }
    }
}

/// Removes a snapshot that cannot be believed; the one before it, or central, has a better one.
fn discard(disk: &dyn Disk, path: &Path, fault: &SnapshotFault) -> io::Result<()> {
    tracing::warn!(snapshot = %path.display(), %fault, "a damaged snapshot is discarded");
    disk.remove(path)
}
