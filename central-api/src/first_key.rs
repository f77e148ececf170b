//! The first admin key of a central that was given none.
//!
//! Without `API_KEYS` and `ADMIN_API_KEYS` nobody could ever call a new central, so its first start
//! makes a key that may do everything and shows it once. Only its SHA-256 is kept, in
//! `first-admin-key.json` in the data folder, and later starts take it from there. It goes on
//! working beside keys that are configured later, or an operator would lock itself out by
//! configuring the tills; whoever wants it gone removes the file.
//!
//! What must stay true: a key that counts has been shown. So it is shown after its file is written
//! aside and before the file gets its name: a crash in between leaves a key that was shown and is
//! worth nothing, and the next start shows another. The other way round a crash would leave a
//! central that nobody can ever call.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::disk::{Disk, write_aside};
use shared::domain::access::Hex;
use shared::domain::ids::Principal;
use shared::service::auth::{ApiKeys, Caller, KeyDigest, Scope};

/// The file in the data folder.
const FILE: &str = "first-admin-key.json";
const ASIDE: &str = "first-admin-key.json.new";
/// Tells people, and tools that look for leaked keys, what it is.
const PREFIX: &str = "hfadmin_";
/// As whom the key acts.
const NAME: &str = "first-admin";

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// The file cannot be read or written.
    #[error("cannot use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// The file is not what was written.
    #[error("{0} is damaged; remove it to be given a new key")]
    Damaged(PathBuf),
    /// The key cannot be shown, so it would be of no use.
    #[error("the first admin key cannot be shown")]
    Unshown(#[source] io::Error),
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    sha256: String,
    created_at: Timestamp,
}

/// Adds the first admin key of the data folder `dir` to `keys`. If there is none, and no other key
/// either, makes one and has `show` show it.
///
/// # Errors
/// See [`FirstKeyError`].
pub fn ensure(
    disk: &dyn Disk,
    dir: &Path,
    keys: &mut ApiKeys,
    now: Timestamp,
    show: impl FnOnce(&str) -> io::Result<()>,
) -> Result<(), FirstKeyError> {
    let path = dir.join(FILE);
    let digest = match disk.read(&path) {
        Ok(bytes) => parse(&bytes).ok_or(FirstKeyError::Damaged(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !keys.is_empty() {
                return Ok(());
            }
            make(disk, dir, now, show)?
        }
        Err(error) => return Err(FirstKeyError::Io(path, error)),
    };
    let name = Principal::parse(NAME).expect("a word is a valid id");
    keys.add(digest, Caller::new(Scope::Admin, None, Some(name)));
    Ok(())
}

fn parse(bytes: &[u8]) -> Option<KeyDigest> {
    let kept: Kept = serde_json::from_slice(bytes).ok()?;
    KeyDigest::from_hex(&kept.sha256)
}

fn make(
    disk: &dyn Disk,
    dir: &Path,
    now: Timestamp,
    show: impl FnOnce(&str) -> io::Result<()>,
) -> Result<KeyDigest, FirstKeyError> {
    let key = random_key();
    let digest = KeyDigest::of(key.as_bytes());
    let kept = Kept {
        sha256: digest.to_hex(),
        created_at: now,
    };
    let mut text = serde_json::to_vec(&kept).expect("a struct of texts becomes JSON");
    text.push(b'\n');
    let (aside, path) = (dir.join(ASIDE), dir.join(FILE));
    write_aside(disk, &aside, &text).map_err(|error| FirstKeyError::Io(aside.clone(), error))?;
    show(&key).map_err(FirstKeyError::Unshown)?;
    disk.rename(&aside, &path)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(|error| FirstKeyError::Io(path, error))?;
    Ok(digest)
}

/// 256 random bits behind a prefix.
fn random_key() -> String {
    let bits: [u8; 32] = rand::random();
    format!("{PREFIX}{}", Hex(bits))
}

#[cfg(test)]
mod tests {
    use shared::disk::sim::{Cut, Faults, SimDisk};

    use super::*;

    fn start(disk: &SimDisk, keys: &mut ApiKeys) -> (Result<(), FirstKeyError>, Option<String>) {
        let mut shown = None;
        let now = Timestamp::from_millis(1_768_473_000_123);
        let result = ensure(disk, Path::new(""), keys, now, |key| {
            shown = Some(key.to_owned());
            Ok(())
        });
        (result, shown)
    }

    fn opens(keys: &ApiKeys, key: &str) -> bool {
        let caller = keys.find(&KeyDigest::of(key.as_bytes()));
        caller.is_some_and(|caller| caller.scope() == Scope::Admin)
    }

    #[test]
    fn a_key_is_shown_once_and_counts_from_then_on() {
        let disk = SimDisk::new(1, Faults::default());
        let mut keys = ApiKeys::default();
        let (result, shown) = start(&disk, &mut keys);
        result.unwrap();
        let key = shown.unwrap();
        assert!(opens(&keys, &key));
        let file = disk.read(Path::new(FILE)).unwrap();
        assert!(!String::from_utf8(file).unwrap().contains(&key[8..]));
        let mut later = ApiKeys::parse("till", "").unwrap();
        let (result, shown) = start(&disk, &mut later);
        result.unwrap();
        assert_eq!(shown, None);
        assert!(opens(&later, &key));
    }

    #[test]
    fn no_key_is_made_where_one_is_configured() {
        let disk = SimDisk::new(1, Faults::default());
        let mut keys = ApiKeys::parse("till", "").unwrap();
        let (result, shown) = start(&disk, &mut keys);
        result.unwrap();
        assert_eq!(shown, None);
        assert!(disk.read(Path::new(FILE)).is_err(), "nothing is kept");
    }

    #[test]
    fn a_damaged_file_is_said_and_not_replaced() {
        let disk = SimDisk::new(1, Faults::default());
        start(&disk, &mut ApiKeys::default()).0.unwrap();
        disk.truncate(Path::new(FILE), 20).unwrap();
        let (result, shown) = start(&disk, &mut ApiKeys::default());
        assert!(
            matches!(result, Err(FirstKeyError::Damaged(_))),
            "{result:?}"
        );
        assert_eq!(shown, None);
    }

    /// Power is lost at every step and at the end. Whatever key counts afterwards was shown before,
    /// or is shown now.
    #[test]
    fn a_power_cut_at_any_step_never_leaves_a_key_that_nobody_saw() {
        let (mut kept, mut replaced) = (0, 0);
        for seed in 0..40 {
            for step in 1..9 {
                let faults = Faults {
                    cut: Some((step, Cut::Power)),
                    ..Faults::default()
                };
                let disk = SimDisk::new(seed, faults);
                let (_, first) = start(&disk, &mut ApiKeys::default());
                if !disk.has_ended() {
                    disk.end(Cut::Power);
                }
                let disk = disk.restart();
                let mut keys = ApiKeys::default();
                let (result, second) = start(&disk, &mut keys);
                result.unwrap();
                let key = second.as_ref().or(first.as_ref()).unwrap();
                assert!(opens(&keys, key), "seed {seed} step {step}");
                match second {
                    Some(_) => replaced += 1,
                    None => kept += 1,
                }
            }
        }
        assert!(kept > 0 && replaced > 0, "{kept} {replaced}");
    }
}
