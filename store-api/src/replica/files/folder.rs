//! The folder while it is in use: append, sync, checkpoint, install.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use shared::disk::{Disk, DiskFile};
use shared::limits;

use super::index::Index;
use super::line::{push_event, push_mark};
use super::merge::MergeJob;
use super::snapshot::{Finished, Header, SnapshotWriter, Summary};
use crate::replica::position::{Gen, Position};

/// A snapshot in the folder.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile {
    pub(super) path: PathBuf,
    pub(super) position: Position,
    pub(super) serial: u64,
    pub(super) bytes: u64,
}

/// A journal in the folder.
#[derive(Clone, Debug)]
pub(super) struct JournalFile {
    pub(super) path: PathBuf,
    pub(super) start: Position,
    pub(super) bytes: u64,
}

/// The cache folder, owned by one thread.
#[derive(Debug)]
pub struct Folder {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// Newest first; the first is the one that the journals continue, the second a fallback.
    pub(super) snapshots: Vec<SnapshotFile>,
    /// The journals that lead from the second snapshot to the first.
    pub(super) older: Vec<JournalFile>,
    /// Those since the newest snapshot, oldest first; the last is open.
    pub(super) journals: Vec<JournalFile>,
    pub(super) file: Option<Box<dyn DiskFile>>,
    /// Where the files lead.
    pub(super) end: Position,
    pub(super) unsynced: bool,
    pub(super) index: Arc<Index>,
    /// How many of `journals` a running merge covers, and the serial of what it makes.
    pub(super) merging: Option<(usize, u64)>,
}

/// A full sync on its way into the folder.
#[derive(Debug)]
pub struct Install {
    /// The snapshot that was received.
    pub snapshot: Finished,
    /// What was read of the feed behind it: for each answer its generation and events.
    pub runs: Vec<(Gen, Vec<Bytes>)>,
}

impl Folder {
    /// Where events are, for readers.
    #[must_use]
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index)
    }

    /// Where the files lead.
    #[must_use]
    pub const fn end(&self) -> Position {
        self.end
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let snapshots = self.snapshots.iter().map(|file| file.bytes);
        let journals = self.older.iter().chain(&self.journals);
        snapshots.chain(journals.map(|file| file.bytes)).sum()
    }

    /// The snapshots, newest first: their paths and where they stand.
    #[must_use]
    pub fn snapshots(&self) -> Vec<(PathBuf, Position)> {
        let each = self.snapshots.iter();
        each.map(|file| (file.path.clone(), file.position))
            .collect()
    }

    /// Appends the events of one answer, under the generation it came with, as one write.
    ///
    /// # Errors
    /// The disk's. This folder must not be appended to again then.
    pub fn append(&mut self, r#gen: Gen, events: &[Bytes]) -> io::Result<()> {
        let (Some(file), Some(journal)) = (self.file.as_mut(), self.journals.last_mut()) else {
            return Err(io::Error::other("the folder has no journal yet"));
        };
        let mut text = Vec::with_capacity(events.iter().map(|event| event.len() + 32).sum());
        let mut end = self.end;
        if r#gen != end.r#gen {
            end.r#gen = r#gen;
            push_mark(&mut text, end);
            self.index.mark(end);
        }
        for event in events {
            self.index
                .event(end.offset, journal.bytes + text.len() as u64);
            push_event(&mut text, event);
            end.offset += 1;
        }
        if text.is_empty() {
            return Ok(());
        }
        file.write_all(&text)?;
        journal.bytes += text.len() as u64;
        self.end = end;
        self.unsynced = true;
        self.index.grow(end, journal.bytes);
        Ok(())
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// The disk's. This folder must not be used again then: a second sync may report success for
    /// bytes that are gone.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced
            && let Some(file) = self.file.as_mut()
        {
            file.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Whether the journals have outgrown their bound.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        let journals: u64 = self.journals.iter().map(|journal| journal.bytes).sum();
        let snapshot = self.snapshots.first().map_or(0, |file| file.bytes);
        let bound =
            (snapshot / 4).clamp(limits::CHECKPOINT_MIN_BYTES, limits::CHECKPOINT_MAX_BYTES);
        self.merging.is_none() && journals > bound
    }

    /// Begins the next journal and describes the merge of everything before it. `live` is what the
    /// live copy holds at [`Folder::end`].
    ///
    /// # Errors
    /// The disk's; `None` without a snapshot, or if a merge is running.
    pub fn begin_checkpoint(&mut self, live: Summary) -> io::Result<Option<MergeJob>> {
        let Some(newest) = self.snapshots.first().cloned() else {
            return Ok(None);
        };
        if self.merging.is_some() || self.end.offset == newest.position.offset {
            return Ok(None);
        }
        // Synced before the next one begins: a chain that breaks here would lose a whole journal.
        self.sync()?;
        // An open journal without events is already the next one; a second of its name cannot be.
        let started = self.journals.last().map(|journal| journal.start);
        if started.is_none_or(|start| start.offset != self.end.offset) {
            self.begin_journal(self.end, &[])?;
        }
        let Some((next, closed)) = self.journals.split_last() else {
            return Ok(None);
        };
        let header = Header {
            r#gen: next.start.r#gen,
            offset: next.start.offset,
            count: live.count,
            serial: newest.serial + 1,
        };
        self.merging = Some((closed.len(), header.serial));
        Ok(Some(MergeJob {
            disk: Arc::clone(&self.disk),
            snapshot: newest.path,
            journals: closed
                .iter()
                .map(|journal| (journal.path.clone(), journal.bytes))
                .collect(),
            header,
            expected: live,
            target: self
                .dir
                .join(format!("{}.merge.tmp", snapshot_name(header.position()))),
        }))
    }

    /// Gives the merged snapshot its name and removes what nobody needs any more: everything older
    /// than the snapshot before it.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish_checkpoint(&mut self, merged: &Finished) -> io::Result<()> {
        let Some((closed, _)) = self
            .merging
            .filter(|(_, serial)| *serial == merged.header.serial)
        else {
            // A full sync has replaced everything meanwhile.
            return self.disk.remove(&merged.path);
        };
        self.merging = None;
        let snapshot = self.name_snapshot(merged)?;
        // A crash here leaves both snapshots and every journal; the newer snapshot is used.
        let closed: Vec<_> = self
            .journals
            .drain(..closed.min(self.journals.len()))
            .collect();
        let unused_journals = std::mem::replace(&mut self.older, closed);
        self.snapshots.insert(0, snapshot);
        let unused_snapshots = self.snapshots.split_off(2.min(self.snapshots.len()));
        let keep_from = self.snapshots.get(1).map_or(0, |file| file.position.offset);
        self.index.forget_below(keep_from);
        let unused = unused_journals.into_iter().map(|file| file.path);
        for path in unused.chain(unused_snapshots.into_iter().map(|file| file.path)) {
            self.disk.remove(&path)?;
        }
        self.disk.sync_dir(&self.dir)
    }

    /// Forgets the merge to `serial`, which failed; the next one covers its journals too.
    pub fn abandon_checkpoint(&mut self, serial: u64) {
        self.merging = self.merging.filter(|(_, running)| *running != serial);
    }

    /// Begins to receive a snapshot. Nothing in use is touched.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin_install(&self, position: Position, count: u64) -> io::Result<SnapshotWriter> {
        let newest = self.snapshots.iter().map(|file| file.serial).max();
        let header = Header {
            r#gen: position.r#gen,
            offset: position.offset,
            count,
            serial: newest.unwrap_or(0) + 1,
        };
        let path = self.dir.join(format!("{}.tmp", snapshot_name(position)));
        SnapshotWriter::begin(&*self.disk, path, header)
    }

    /// Puts a received snapshot, and what was read behind it, in the place of everything there is.
    ///
    /// # Errors
    /// The disk's.
    pub fn install(&mut self, install: &Install) -> io::Result<()> {
        let snapshot = self.name_snapshot(&install.snapshot)?;
        // A crash here leaves the new snapshot and old journals that do not continue it.
        let position = snapshot.position;
        self.file = None;
        self.merging = None;
        self.unsynced = false;
        self.index.clear();
        self.snapshots = vec![snapshot];
        self.older.clear();
        self.journals.clear();
        self.begin_journal(position, &install.runs)?;
        self.remove_others()
    }

    /// Removes every file that is not part of the copy.
    pub(super) fn remove_others(&self) -> io::Result<()> {
        let snapshots = self.snapshots.iter().map(|file| &file.path);
        let journals = self
            .older
            .iter()
            .chain(&self.journals)
            .map(|file| &file.path);
        let kept: Vec<&Path> = snapshots.chain(journals).map(PathBuf::as_path).collect();
        let mut removed = false;
        for name in self.disk.list(&self.dir)? {
            let path = self.dir.join(&name);
            let ours = journal_start(&name).is_some() || snapshot_position(&name).is_some();
            if ours && !kept.contains(&path.as_path()) {
                self.disk.remove(&path)?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    fn name_snapshot(&self, finished: &Finished) -> io::Result<SnapshotFile> {
        let position = finished.header.position();
        let path = self.dir.join(snapshot_name(position));
        self.disk.rename(&finished.path, &path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(SnapshotFile {
            path,
            position,
            serial: finished.header.serial,
            bytes: finished.bytes,
        })
    }

    /// Begins a journal that continues `start` with `runs` already in it. It gets its name only
    /// when it is whole, so a journal never lacks its header.
    pub(super) fn begin_journal(
        &mut self,
        start: Position,
        runs: &[(Gen, Vec<Bytes>)],
    ) -> io::Result<()> {
        let path = self.dir.join(journal_name(start.offset));
        let temporary = self.dir.join(format!("{}.tmp", journal_name(start.offset)));
        match self.disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut header = Vec::new();
        push_mark(&mut header, start);
        let mut file = self.disk.create(&temporary)?;
        file.write_all(&header)?;
        self.index.begin(path.clone(), start, header.len() as u64);
        self.file = Some(file);
        self.journals.push(JournalFile {
            path: path.clone(),
            start,
            bytes: header.len() as u64,
        });
        self.end = start;
        self.unsynced = true;
        for (r#gen, events) in runs {
            self.append(*r#gen, events)?;
        }
        self.sync()?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir)
    }
}

/// The file name of a snapshot.
pub(super) fn snapshot_name(position: Position) -> String {
    format!("snapshot-{position}.jsonl")
}

/// The position in a snapshot's file name.
pub(super) fn snapshot_position(name: &str) -> Option<Position> {
    let middle = name.strip_prefix("snapshot-")?.strip_suffix(".jsonl")?;
    middle.parse().ok()
}

/// The file name of a journal.
pub(super) fn journal_name(start: u64) -> String {
    format!("journal-{start}.jsonl")
}

/// The offset in a journal's file name.
pub(super) fn journal_start(name: &str) -> Option<u64> {
    let middle = name.strip_prefix("journal-")?.strip_suffix(".jsonl")?;
    middle.parse().ok()
}
