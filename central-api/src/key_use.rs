//! When each API key was used last, kept beside the log.
//!
//! A record for every request would cost more than it tells, so the uses are kept in memory and
//! written to one small file every minute and at the end. A crash loses a minute of them, and a file
//! that cannot be read loses all; neither decides anything, so a start only says so.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use shared::clock::Timestamp;
use shared::disk::{Disk, write_aside};
use shared::domain::ids::ApiKeyId;

use crate::ledger::AccessBook;

/// The file in the data folder.
const FILE: &str = "api-key-use.json";
const ASIDE: &str = "api-key-use.json.new";

/// The file, and what it says.
#[derive(Debug)]
pub struct KeyUse {
    dir: PathBuf,
    written: BTreeMap<ApiKeyId, Timestamp>,
}

impl KeyUse {
    /// Tells `access` what the file in `dir` says.
    #[must_use]
    pub fn restore(disk: &dyn Disk, dir: &Path, access: &AccessBook) -> Self {
        let written = read(disk, dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "when API keys were used last is not known any more");
            BTreeMap::new()
        });
        access.used(written.iter().map(|(id, at)| (id.clone(), *at)));
        Self {
            dir: dir.to_owned(),
            written,
        }
    }

    /// Writes what `access` knows, if the file says otherwise. Blocking.
    ///
    /// # Errors
    /// As the disk; what was there before is there still.
    pub fn save(&mut self, disk: &dyn Disk, access: &AccessBook) -> io::Result<()> {
        let uses: BTreeMap<_, _> = access.uses().into_iter().collect();
        if uses == self.written {
            return Ok(());
        }
        let mut text = serde_json::to_vec(&uses)?;
        text.push(b'\n');
        let aside = self.dir.join(ASIDE);
        write_aside(disk, &aside, &text)?;
        disk.rename(&aside, &self.dir.join(FILE))?;
        disk.sync_dir(&self.dir)?;
        self.written = uses;
        Ok(())
    }
}

fn read(disk: &dyn Disk, dir: &Path) -> io::Result<BTreeMap<ApiKeyId, Timestamp>> {
    match disk.read(&dir.join(FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::disk::sim::{Faults, SimDisk};
    use shared::domain::access::{Access, ApiKey, Scope};
    use shared::domain::ids::Principal;

    use super::*;

    fn book() -> AccessBook {
        let name = Principal::parse("till").unwrap();
        let key = ApiKey {
            key_id: ApiKeyId::parse("key-01").unwrap(),
            name: name.clone(),
            scope: Scope::Read,
            store_id: None,
            created_at: Timestamp::default(),
            created_by: name,
            expires_at: None,
            revoked_at: None,
            revoked_by: None,
            secrets: Vec::new(),
        };
        let mut access = Access::default();
        access.put(&Arc::new(key));
        AccessBook::of(&access, 1)
    }

    #[test]
    fn what_was_written_is_known_after_a_restart_and_damage_is_no_reason_not_to_start() {
        let disk = SimDisk::new(1, Faults::default());
        let dir = Path::new("");
        let at = Timestamp::from_millis(1_768_473_000_123);
        let key = ApiKeyId::parse("key-01").unwrap();
        let before = book();
        let mut uses = KeyUse::restore(&disk, dir, &before);
        uses.save(&disk, &before).unwrap();
        assert!(disk.read(Path::new(FILE)).is_err(), "nothing to say");
        before.used([(key.clone(), at)]);
        uses.save(&disk, &before).unwrap();

        let after = book();
        drop(KeyUse::restore(&disk, dir, &after));
        assert_eq!(after.uses(), [(key.clone(), at)]);

        disk.truncate(Path::new(FILE), 5).unwrap();
        let damaged = book();
        let mut uses = KeyUse::restore(&disk, dir, &damaged);
        assert_eq!(damaged.uses(), []);
        damaged.used([(key.clone(), at)]);
        uses.save(&disk, &damaged).unwrap();
        let mended = book();
        drop(KeyUse::restore(&disk, dir, &mended));
        assert_eq!(mended.uses(), [(key, at)]);
    }
}
