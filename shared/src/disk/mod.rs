//! What files must do for us: append, sync, rename, list. Nothing else.
//!
//! Both services keep their data through this trait, so that the same recovery code runs over real
//! files and over [`SimDisk`](sim::SimDisk), which keeps *written* and *durable* bytes apart and can
//! lose power at any call.
//!
//! What must stay true: a byte is durable only after [`DiskFile::sync`] on its file; a name
//! (created, renamed, removed) is durable only after [`Disk::sync_dir`] on its folder. Callers
//! never go on after a failed sync: a second one may report success for bytes that are gone.

mod fs;
pub mod sim;

use std::fmt;
use std::io;
use std::path::Path;

pub use fs::FsDisk;

/// A folder tree.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates `path`, which must not exist, for appending.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::create_new`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens `path`, which must exist, for appending.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::open`].
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Reads `path` whole.
    ///
    /// # Errors
    /// As [`std::fs::read`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Reads up to `len` bytes of `path` from `offset`; fewer at the end of the file.
    ///
    /// # Errors
    /// As [`std::os::unix::fs::FileExt::read_at`].
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Bytes in `path`.
    ///
    /// # Errors
    /// As [`std::fs::metadata`].
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Cuts `path` to `len` bytes and makes that durable.
    ///
    /// # Errors
    /// As [`std::fs::File::set_len`] and [`std::fs::File::sync_all`].
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Renames `from` to `to`, replacing it. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As [`std::fs::rename`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes `path`. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As [`std::fs::remove_file`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in `dir`, sorted.
    ///
    /// # Errors
    /// As [`std::fs::read_dir`].
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates `dir` and its parents, durably.
    ///
    /// # Errors
    /// As [`std::fs::create_dir_all`].
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_all`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that are free for this process where `dir` is.
    ///
    /// # Errors
    /// The file system does not say.
    fn free(&self, dir: &Path) -> io::Result<u64>;
}

/// A file open for appending.
pub trait DiskFile: Send + fmt::Debug {
    /// Appends `bytes`; they are written, not durable.
    ///
    /// # Errors
    /// As [`std::io::Write::write_all`]; some of `bytes` may be in the file.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written durable (fdatasync).
    ///
    /// # Errors
    /// As [`std::fs::File::sync_data`]. Never go on after one.
    fn sync(&mut self) -> io::Result<()>;
}

/// Writes `bytes` to `path`, durably, in place of what an attempt that was cut off has left there.
///
/// `path` is a file aside, which counts once it is renamed to its own name. That is the caller's, and
/// so is [`Disk::sync_dir`] after it.
///
/// # Errors
/// As the disk; `path` may hold a part then.
pub fn write_aside(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = disk.create(path)?;
    file.write_all(bytes)?;
    file.sync()
}
