//! Deliberate mistakes, one at a time.

use std::io;
use std::path::Path;

use shared::disk::sim::{Faults, PowerCut, SimDisk};
use shared::disk::{Disk, DiskFile};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plant {
    /// None: everything as it should be.
    Nothing,
    /// Files are never synced.
    NoFileSync,
    /// Folders are never synced.
    NoFolderSync,
    /// A torn frame is not cut at start.
    TailNotCut,
    /// Answers go out before the sync.
    AnswerBeforeSync,
    /// A frame is synced only when the next one is written.
    SyncOneFrameLate,
    /// A failed sync is tried again, and the second time believed.
    FailedSyncRetried,
    /// A snapshot gets its name before its bytes are synced.
    SnapshotNamedBeforeSync,
    /// A snapshot is copied from the writer's state, which may be ahead of the log.
    SnapshotAheadOfLog,
    /// Used keys are forgotten at start.
    KeysForgotten,
    /// What was found at start is taken for durable.
    FoundTakenForDurable,
}

impl Plant {
    /// Those that the simulated disk commits itself.
    pub(super) fn faults(self) -> Faults {
        Faults {
            ignore_sync: self == Self::NoFileSync,
            ignore_sync_dir: self == Self::NoFolderSync,
            ignore_truncate: self == Self::TailNotCut,
            ..Faults::default()
        }
    }
}

/// The disk with the mistakes that lie between it and the journal.
#[derive(Debug)]
pub(super) struct PlantedDisk {
    pub(super) disk: SimDisk,
    pub(super) plant: Plant,
}

impl PlantedDisk {
    fn file(&self, path: &Path, found: bool, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(PlantedFile {
            file,
            plant: self.plant,
            aside: path.extension().is_some_and(|extension| extension == "tmp"),
            found,
            owed: false,
        })
    }
}

impl Disk for PlantedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, false, self.disk.create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, true, self.disk.append(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.read_at(path, offset, len)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.disk.len(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.disk.truncate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let is_segment = to
            .parent()
            .is_some_and(|folder| folder.ends_with("journal"));
        if self.plant == Plant::FoundTakenForDurable && is_segment {
            // What was written anew does not take its place.
            return self.disk.remove(from);
        }
        self.disk.rename(from, to)?;
        if self.plant == Plant::SnapshotNamedBeforeSync {
            self.disk.append(to)?.sync()?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free(dir)
    }
}

#[derive(Debug)]
struct PlantedFile {
    file: Box<dyn DiskFile>,
    plant: Plant,
    /// Whether it is being written under another name.
    aside: bool,
    /// Whether it was there before, and was not synced since.
    found: bool,
    /// Whether a sync was put off.
    owed: bool,
}

impl DiskFile for PlantedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.owed) {
            self.file.sync()?;
        }
        self.found = false;
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.plant {
            Plant::SnapshotNamedBeforeSync if self.aside => Ok(()),
            Plant::FoundTakenForDurable if self.found => Ok(()),
            Plant::SyncOneFrameLate if !self.aside => {
                self.owed = true;
                Ok(())
            }
            Plant::FailedSyncRetried => match self.file.sync() {
                Err(error) if !PowerCut::is(&error) => self.file.sync(),
                done => done,
            },
            _ => self.file.sync(),
        }
    }
}
