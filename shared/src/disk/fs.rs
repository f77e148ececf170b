//! Real files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Disk, DiskFile};

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FsDisk;

impl Disk for FsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(
            OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(path)?,
        ))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let is_there = |folder: &&Path| folder.as_os_str().is_empty() || folder.exists();
        let missing = dir.ancestors().take_while(|folder| !is_there(folder));
        let missing = missing.count();
        fs::create_dir_all(dir)?;
        sync_names(dir, missing, |folder| self.sync_dir(folder))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Makes the names of `dir` and of the folders above it durable, of which the last `missing` are new:
/// each is, once the folder that it is in is synced. The others may have been made by a process that
/// ended before it came to that; but a folder that this process may not touch holds no such name.
fn sync_names(
    dir: &Path,
    missing: usize,
    sync: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    for (index, parent) in dir.ancestors().skip(1).enumerate() {
        let is_here = parent.as_os_str().is_empty();
        let folder = if is_here { Path::new(".") } else { parent };
        if let Err(error) = sync(folder) {
            let is_foreign = matches!(
                error.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::InvalidInput
                    | ErrorKind::Unsupported
            );
            if is_foreign && index >= missing {
                break;
            }
            return Err(error);
        }
    }
    Ok(())
}

impl DiskFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `/a/b/c`, of which `b` and `c` are new, if syncing `fails` says `kind`.
    fn synced(fails: &str, kind: ErrorKind) -> (Vec<String>, bool) {
        let seen = std::cell::RefCell::new(Vec::new());
        let result = sync_names(Path::new("/a/b/c"), 2, |folder| {
            seen.borrow_mut().push(folder.display().to_string());
            if folder == Path::new(fails) {
                Err(kind.into())
            } else {
                Ok(())
            }
        });
        (seen.into_inner(), result.is_ok())
    }

    #[test]
    fn a_name_that_is_not_durable_is_an_error() {
        let all = ["/a/b", "/a", "/"];
        for (fails, kind, asked, is_well) in [
            ("none", ErrorKind::Other, 3, true),
            ("/a/b", ErrorKind::Other, 1, false),
            ("/a", ErrorKind::PermissionDenied, 2, false),
            ("/", ErrorKind::Other, 3, false),
            ("/", ErrorKind::PermissionDenied, 3, true),
        ] {
            let (seen, well) = synced(fails, kind);
            assert_eq!(seen, all[..asked], "{fails} {kind}");
            assert_eq!(well, is_well, "{fails} {kind}");
        }
    }

    #[test]
    fn folders_are_created_from_wherever_there_is_one() {
        let dir = std::env::temp_dir().join(format!("holdfast-fs-{}", std::process::id()));
        let nested = dir.join("one/two");
        FsDisk.create_dir(&nested).unwrap();
        FsDisk.create_dir(&nested).unwrap();
        assert!(nested.is_dir());
        fs::remove_dir_all(dir).unwrap();
    }
}
