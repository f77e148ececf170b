//! Several files in one input: a line `@name` begins each of them.
//!
//! So that one array of bytes, which is what a fuzzer changes, stands for a whole folder.

use std::path::Path;

use shared::disk::Disk;

/// Begins the line that names a file. No file of ours has a line that begins with it.
const MARK: u8 = b'@';
/// More files than this in one input say nothing new and take long.
const FILES: usize = 16;

/// The files of an input, as `(name, bytes)`.
pub(crate) fn unpack(data: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(&[MARK]) {
            if files.len() == FILES {
                break;
            }
            let name = String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
            files.push((name, Vec::new()));
        } else if let Some((_, bytes)) = files.last_mut() {
            bytes.extend_from_slice(line);
        }
    }
    files
}

/// Puts a file where the program will find it, durably. Names that a file cannot have are left out.
pub(crate) fn put(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) {
    if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
        return;
    }
    let path = dir.join(name);
    // A second file of the same name is left out as well.
    let Ok(mut file) = disk.create(&path) else {
        return;
    };
    file.write_all(bytes)
        .expect("the simulated disk has no faults");
    file.sync().expect("the simulated disk has no faults");
    disk.sync_dir(dir)
        .expect("the simulated disk has no faults");
}
