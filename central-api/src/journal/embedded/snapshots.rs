//! Snapshots as files beside the segments: found by name, written aside, the two newest kept.
//!
//! A name is only ever given to a whole, durable file, so whoever lists the folder can read what is
//! in it; a `.tmp` is what a process left that ended in the middle, and opening removes it. What a
//! snapshot holds, and whether its bytes are sound, is the ledger's to know.

use std::io::{self, ErrorKind};
use std::path::Path;

use shared::disk::Disk;
use shared::limits::{self, DISK_RESERVE};

use super::EmbeddedOptions;
use super::segments::Segments;
use crate::journal::JournalError;

/// Bytes of a snapshot that are given to the disk at once. Whoever waits for a sync of the journal
/// waits behind them.
const SYNC_BYTES: usize = 4 * 1024 * 1024;

impl Segments {
    /// Writes a snapshot aside, puts it in place, and drops the ones that are no longer kept.
    pub(super) fn put_snapshot(
        &self,
        seq: u64,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), JournalError> {
        let folder = self.options.dir.join("snapshots");
        let name = snapshot_name(seq);
        write_aside(
            &*self.disk,
            &folder,
            &name,
            &mut parts.map(Ok),
            DISK_RESERVE,
        )?;
        self.disk
            .sync_dir(&folder)
            .map_err(JournalError::sync("snapshots"))?;
        let kept = snapshots(&*self.disk, &self.options)?;
        let old = kept
            .into_iter()
            .skip(limits::SNAPSHOTS_KEPT)
            .map(snapshot_name);
        remove_durably(&*self.disk, &folder, old)
    }
}

/// Writes a file of `folder` under a name that nobody looks at, and then names it `name`. Its content
/// is durable before the name counts; the name is when the folder is synced. `reserve` bytes of the
/// disk are left free: what can be made again takes no room from what cannot.
pub(super) fn write_aside(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    reserve: u64,
) -> Result<(), JournalError> {
    let aside = format!("{name}.tmp");
    let path = folder.join(&aside);
    if let Err(error) = write_durably(disk, &path, &aside, parts, reserve) {
        // The room is wanted, and so is the name when it is tried again.
        drop(disk.remove(&path));
        return Err(error);
    }
    disk.rename(&path, &folder.join(name))
        .map_err(JournalError::io("rename", aside))
}

fn write_durably(
    disk: &dyn Disk,
    path: &Path,
    name: &str,
    parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    reserve: u64,
) -> Result<(), JournalError> {
    // Where room is given late, a sync is how a write learns that there is none; and nothing is built
    // upon this file.
    let unsynced = |error: io::Error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalError::io("write", name)(error),
        _ => JournalError::sync(name)(error),
    };
    let created = disk.create(path);
    let mut file = created.map_err(JournalError::io("create", name))?;
    let mut waiting = 0;
    for part in parts {
        let part = part?;
        if waiting == 0 && !has_room(disk, path, reserve, part.len().max(SYNC_BYTES)) {
            return Err(JournalError::io("write", name)(
                ErrorKind::StorageFull.into(),
            ));
        }
        file.write_all(&part)
            .map_err(JournalError::io("write", name))?;
        waiting += part.len();
        if waiting >= SYNC_BYTES {
            file.sync().map_err(unsynced)?;
            waiting = 0;
        }
    }
    file.sync().map_err(unsynced)
}

/// Whether `bytes` more would leave `reserve` free. Who cannot say is tried.
fn has_room(disk: &dyn Disk, path: &Path, reserve: u64, bytes: usize) -> bool {
    let folder = path.parent().unwrap_or(path);
    let needed = reserve.saturating_add(bytes as u64);
    reserve == 0 || disk.free(folder).map_or(true, |free| free >= needed)
}

/// Removes what was being written to `folder` when the process ended.
pub(super) fn remove_leftovers(disk: &dyn Disk, folder: &Path) -> Result<(), JournalError> {
    let names = disk
        .list(folder)
        .map_err(JournalError::io("list", name_of(folder)))?;
    let leftovers = names.into_iter().filter(|name| name.ends_with(".tmp"));
    remove_durably(disk, folder, leftovers)
}

/// What an error calls a folder.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Removes files of `folder`, so that they and what they took of the disk stay gone.
pub(super) fn remove_durably(
    disk: &dyn Disk,
    folder: &Path,
    names: impl Iterator<Item = String>,
) -> Result<(), JournalError> {
    let mut removed = false;
    for name in names {
        disk.remove(&folder.join(&name))
            .map_err(JournalError::io("remove", name))?;
        removed = true;
    }
    if removed {
        disk.sync_dir(folder)
            .map_err(JournalError::sync(name_of(folder)))?;
    }
    Ok(())
}

pub(super) fn snapshot_name(seq: u64) -> String {
    format!("snapshot-{seq:020}.ndjson")
}

/// The records at which there are snapshots, newest first.
///
/// # Errors
/// The folder cannot be read.
pub fn snapshots(disk: &dyn Disk, options: &EmbeddedOptions) -> Result<Vec<u64>, JournalError> {
    let folder = options.dir.join("snapshots");
    let names = match disk.list(&folder) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(JournalError::io("list", "snapshots")(error)),
    };
    let mut seqs: Vec<u64> = names
        .iter()
        .filter_map(|name| {
            let seq = name.strip_prefix("snapshot-")?.strip_suffix(".ndjson")?;
            let seq = seq.parse().ok()?;
            (snapshot_name(seq) == *name).then_some(seq)
        })
        .collect();
    seqs.sort_unstable_by(|one, other| other.cmp(one));
    Ok(seqs)
}

/// Reads the snapshot at `seq`.
///
/// # Errors
/// The file cannot be read.
pub fn read_snapshot(
    disk: &dyn Disk,
    options: &EmbeddedOptions,
    seq: u64,
) -> Result<Vec<u8>, JournalError> {
    let name = snapshot_name(seq);
    let path = options.dir.join("snapshots").join(&name);
    disk.read(&path).map_err(JournalError::io("read", name))
}
