//! A disk in memory that can lose power at any call.
//!
//! It keeps apart what was *written* and what is *durable*, for bytes and for names, and it obeys
//! the least that a file system promises: bytes are durable after [`DiskFile::sync`], names after
//! [`Disk::sync_dir`], and nothing else is, in no order. Every call is a numbered step. A plan
//! ([`Faults`]) ends the world at one of them: that call may do part of its work, and it and all
//! later ones fail with [`PowerCut`], so that the code under test unwinds. [`SimDisk::restart`] then
//! yields the disk as the next process may find it.
//!
//! ```text
//!                    bytes                              names
//!   written          all of the file                    as the process sees them
//!   durable          the first `synced` bytes           as of the last sync_dir
//!   power is lost    the rest of each file is lost,     each change since then is kept or lost,
//!                    torn, zeroed, scribbled, patchy     whatever the others are
//!                    or kept, file by file
//!   process killed   nothing is lost, nothing more is durable than before
//! ```
//!
//! A real journaling file system is kinder than this (it orders names, it writes a new file's name
//! with its bytes); code that survives here survives there. Runs repeat exactly: one seed, one
//! story.
//!
//! The `ignore_*` options plant a lie into the disk itself. They exist to prove that a simulation
//! notices: a crash test that passes with `ignore_sync` tests nothing.
//!
//! What it leaves out: permissions, links, nested renames (a rename stays in its folder), time.

mod aftermath;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;

use self::state::{Change, State};
use super::{Disk, DiskFile};

/// What goes wrong, and when. The default is a disk without faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Ends the world at the call with this number, counted from 1 in each life of the disk; at the
    /// next call if that one is past.
    pub cut: Option<(u64, Cut)>,
    /// The file sync with this number, counted from 1, fails. The bytes it should have made durable
    /// never will be, though later syncs report success: that is what Linux does.
    pub fail_sync: Option<u64>,
    /// Writes get "no space" once this many bytes were written; the one that crosses the line
    /// leaves what fits.
    pub full_after: Option<u64>,
    /// Planted lie: a file sync reports success and does nothing.
    pub ignore_sync: bool,
    /// Planted lie: a folder sync reports success and does nothing.
    pub ignore_sync_dir: bool,
    /// Planted lie: a truncation reports success and does nothing.
    pub ignore_truncate: bool,
}

/// How the world ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The power fails: what is not durable may be lost or damaged.
    Power,
    /// The process is killed: what was written stays, durable or not.
    Kill,
}

/// The error of every call from the end of the world on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated machine has stopped")]
pub struct PowerCut;

impl PowerCut {
    /// Whether `error` says that the simulated machine has stopped, as opposed to a fault that the
    /// code under test should have an answer to.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
    }
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk; `seed` decides everything that is left to chance.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::over(State::new(seed, faults))
    }

    /// The disk as the next process may find it, without faults except for the planted lies. The
    /// old disk stays stopped, so handles left over from the dead process cannot reach the new one.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut state = self.state.lock();
        // A world that was not ended by a fault ends by a kill: the process simply went away.
        let cut = *state.end.get_or_insert(Cut::Kill);
        Self::over(match cut {
            Cut::Power => aftermath::of_power_loss(&mut state),
            Cut::Kill => aftermath::of_kill(&mut state),
        })
    }

    /// Replaces the plan, from the next call on. Steps are not counted anew.
    pub fn plan(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Ends the world between two calls.
    pub fn end(&self, cut: Cut) {
        self.state.lock().end.get_or_insert(cut);
    }

    /// Whether the world has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Calls so far in this life of the disk.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// File syncs so far in this life of the disk, whatever came of them.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Flips one bit of `path` in place, as a decaying medium does: durable, and unnoticed.
    /// Returns whether there is such a bit.
    #[must_use]
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u32) -> bool {
        let mut state = self.state.lock();
        let Ok(inode) = state.find(path) else {
            return false;
        };
        match state.inode(inode).bytes.get_mut(byte) {
            Some(byte) => {
                *byte ^= 1_u8.rotate_left(bit);
                true
            }
            None => false,
        }
    }

    fn over(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Carries out one numbered call. The last call of the world does its work or not, by chance,
    /// and is never answered.
    fn call<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.step()?.is_some() {
            if state.rng.random() {
                drop(work(&mut state));
            }
            return Err(stopped());
        }
        work(&mut state)
    }

    fn opened(&self, inode: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile {
            disk: self.clone(),
            inode,
        })
    }
}

fn stopped() -> io::Error {
    io::Error::other(PowerCut)
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("steps", &state.steps)
            .field("end", &state.end)
            .field("files", &state.written.len())
            .finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.call(|state| state.create(path))?;
        Ok(self.opened(inode))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.call(|state| state.find(path))?;
        Ok(self.opened(inode))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_at(path, 0, usize::MAX)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.call(|state| {
            let inode = state.find(path)?;
            let bytes = &state.inode(inode).bytes;
            let start = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
            let end = start.saturating_add(len).min(bytes.len());
            Ok(bytes.get(start..end).unwrap_or_default().to_vec())
        })
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.call(|state| {
            let inode = state.find(path)?;
            Ok(state.inode(inode).bytes.len() as u64)
        })
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.call(|state| {
            let inode = state.find(path)?;
            if !state.faults.ignore_truncate {
                let len = usize::try_from(len).map_err(io::Error::other)?;
                state.inode(inode).set_len(len);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|state| {
            if from.parent() != to.parent() {
                return Err(io::Error::new(
                    io::ErrorKind::CrossesDevices,
                    "the simulated disk renames within one folder only",
                ));
            }
            let inode = state.find(from)?;
            state.change(Change::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
                inode,
            });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            let inode = state.find(path)?;
            state.change(Change::Remove {
                name: path.to_owned(),
                inode,
            });
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(|state| {
            state.check_dir(dir)?;
            Ok(state.names_in(dir))
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(|state| {
            let parents = dir.ancestors().map(Path::to_owned);
            state.dirs.extend(parents);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(|state| {
            state.check_dir(dir)?;
            if !state.faults.ignore_sync_dir {
                state.settle(dir);
            }
            Ok(())
        })
    }

    fn free(&self, _dir: &Path) -> io::Result<u64> {
        // How full it will have been is a fault ([`Faults::full_after`]), which comes unannounced.
        Ok(u64::MAX)
    }
}

/// An open file; it outlives its name, as files do.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl DiskFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let last = state.step()?.is_some();
        let room = state.room();
        let mut taken = bytes.len().min(room);
        if last {
            taken = state.rng.random_range(0..=taken);
        }
        let part = bytes.get(..taken).unwrap_or_default();
        state.bytes_written = state.bytes_written.saturating_add(taken as u64);
        state.inode(self.inode).bytes.extend_from_slice(part);
        if last {
            return Err(stopped());
        }
        if taken < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let last = state.step()?.is_some();
        state.syncs = state.syncs.saturating_add(1);
        let ignored = state.faults.ignore_sync;
        if last {
            // Some of it may have reached the medium before the end.
            let inode = state.inode(self.inode);
            let (synced, len) = (inode.synced, inode.bytes.len());
            let reached = state.rng.random_range(synced..=len);
            if !ignored {
                state.inode(self.inode).synced = reached;
            }
            return Err(stopped());
        }
        if state.faults.fail_sync == Some(state.syncs) {
            state.inode(self.inode).doom();
            return Err(io::Error::other("simulated input/output error"));
        }
        if !ignored {
            let inode = state.inode(self.inode);
            inode.synced = inode.bytes.len();
        }
        Ok(())
    }
}
