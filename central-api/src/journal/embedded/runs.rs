//! Runs of the order index as files beside the segments, written as snapshots are: aside, synced, and
//! then named.
//!
//! What is in them, and which of them are of use, is the ledger's to know. All of it can be made from
//! the log again, so the folder is made when it is first needed and may be removed.

use std::io::ErrorKind;

use shared::limits::DISK_RESERVE;

use super::segments::Segments;
use super::snapshots::{remove_durably, write_aside};
use crate::journal::{JournalError, RunName};

const FOLDER: &str = "index";

impl Segments {
    /// The runs there are, with their bytes. What an interrupted write has left is removed.
    pub(super) fn list_runs(&self) -> Result<Vec<(RunName, u64)>, JournalError> {
        let folder = self.options.dir.join(FOLDER);
        let names = match self.disk.list(&folder) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(JournalError::io("list", FOLDER)(error)),
        };
        let leftovers = names.iter().filter(|name| name.ends_with(".tmp"));
        remove_durably(&*self.disk, &folder, leftovers.cloned())?;
        let mut runs = Vec::new();
        for name in names {
            if let Some(run) = parse(&name) {
                let bytes = self.disk.len(&folder.join(&name));
                runs.push((run, bytes.map_err(JournalError::io("read", name))?));
            }
        }
        Ok(runs)
    }

    /// Reads up to `len` bytes of `run` from byte `from` on.
    pub(super) fn read_part_of_run(
        &self,
        run: RunName,
        from: u64,
        len: usize,
    ) -> Result<Vec<u8>, JournalError> {
        let name = run.to_string();
        let path = self.options.dir.join(FOLDER).join(&name);
        let read = self.disk.read_at(&path, from, len);
        read.map_err(JournalError::io("read", name))
    }

    /// Writes `run` aside and puts it in place.
    pub(super) fn put_run(
        &self,
        run: RunName,
        parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    ) -> Result<(), JournalError> {
        let folder = self.options.dir.join(FOLDER);
        let created = self.disk.create_dir(&folder);
        created.map_err(JournalError::io("create", FOLDER))?;
        let name = run.to_string();
        write_aside(&*self.disk, &folder, &name, parts, DISK_RESERVE)?;
        let synced = self.disk.sync_dir(&folder);
        synced.map_err(JournalError::sync(FOLDER))
    }

    /// Removes runs that are of no use any more.
    pub(super) fn drop_runs(&self, runs: &[RunName]) -> Result<(), JournalError> {
        let folder = self.options.dir.join(FOLDER);
        let names = runs.iter().map(RunName::to_string);
        // Somebody may have removed them, as they may.
        let names = names.filter(|name| self.disk.len(&folder.join(name)).is_ok());
        remove_durably(&*self.disk, &folder, names)
    }
}

/// The run with this file name; `None` if it is not one of ours.
fn parse(name: &str) -> Option<RunName> {
    let range = name.strip_prefix("orders-")?.strip_suffix(".run")?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    let run = RunName { from, to };
    (run.to_string() == name).then_some(run)
}
